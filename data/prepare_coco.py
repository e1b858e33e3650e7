"""Makes a COCO folder that `captioner` trains on out of the official archives.

Chen et al. 2015, "Microsoft COCO Captions" (arXiv:1504.00325); Karpathy and Fei-Fei 2015, "Deep
Visual-Semantic Alignments" (arXiv:1412.2306) for the splits that publications compare on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from archives import DataSet, Splits, Texts, options, parser, run

from captioner.datasets import read_coco, read_karpathy
from captioner.errors import DataError

KARPATHY = "dataset_coco.json"
SPLITS = {"train": "train+restval", "val": "val", "test": "test"}
DESCRIPTION = """\
Turns COCO's official archives into a folder that captioner reads: images/, and captions_train.json
and captions_val.json in the COCO format. With Karpathy's dataset_coco.json among the inputs, his
splits are made, which publications compare on: train (113,287 photos, his "restval" included), val
and test (5,000 each); without it, the official train and val."""
EPILOG = """\
examples:
  python data/prepare_coco.py train2014.zip val2014.zip caption_datasets.zip -o coco --squash 224
  python data/prepare_coco.py val2017.zip annotations_trainval2017.zip -o coco-small \\
      --allow-missing

Nothing is downloaded. Photos (2014: 13 and 6 GB, 2017: 18 and 1 GB) and annotations come from
COCO's home, https://cocodataset.org/#download, and Karpathy's splits (caption_datasets.zip) from
the page of his paper, https://cs.stanford.edu/people/karpathy/deepimagesent/. His file names the
photos of 2014; those of 2017 are the same and are recognised. COCO's test photos have no public
captions.
The annotations are licensed CC BY 4.0; the photos belong to their owners on Flickr.

A second run skips what is done, so an interrupted one is taken up by the same command. What was
read and written stands with its SHA-256 in manifest.json. Afterwards, `captioner data check` looks
at every picture and caption."""


def read_splits(texts: Texts, year: str | None) -> Splits:
    """Karpathy's splits if his file is there, or else the official ones.

    Raises:
        DataError: there are no captions, or those of both years.
    """
    karpathy = None if year else texts.path(KARPATHY)
    if karpathy:
        return {
            split: read_karpathy(karpathy, texts.folder, name) for split, name in SPLITS.items()
        }
    names = set(texts.names())
    years = [
        y for y in ("2014", "2017") if {f"captions_train{y}.json", f"captions_val{y}.json"} & names
    ]
    if year is None and len(years) > 1:
        raise DataError("captions of 2014 and 2017 are both there: choose with --year 2014 or 2017")
    chosen = year or (years[0] if years else "2014")
    files = {split: texts.path(f"captions_{split}{chosen}.json") for split in ("train", "val")}
    if not any(files.values()):
        raise DataError(
            f"captions_train{chosen}.json not found among the inputs, which have "
            f"{', '.join(sorted(names)[:8]) or 'no text'}: add annotations_trainval{chosen}.zip"
        )
    return {split: read_coco(path, texts.folder) for split, path in files.items() if path}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the script; see `archives.run` for the exit code."""
    coco = parser(DESCRIPTION, EPILOG)
    coco.add_argument(
        "--year",
        choices=("2014", "2017"),
        help="take the official splits of that year, even where Karpathy's are among the inputs",
    )
    parsed = coco.parse_args(arguments)
    read = partial(read_splits, year=parsed.year)
    licence = "annotations CC BY 4.0, COCO Consortium; photos under their owners' Flickr terms"
    return run(DataSet("COCO", licence, read), options(parsed))


if __name__ == "__main__":
    sys.exit(main())
