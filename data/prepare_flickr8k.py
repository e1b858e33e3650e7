"""Makes the Flickr8k folder that `captioner` trains on out of the two official archives.

Hodosh, Young and Hockenmaier 2013, "Framing Image Description as a Ranking Task".
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from archives import DataSet, Splits, Texts, options, parser, run

from captioner.datasets import read_flickr8k
from captioner.errors import DataError

TOKENS = "Flickr8k.token.txt"
SPLITS = {
    "train": "Flickr_8k.trainImages.txt",
    "val": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
DESCRIPTION = """\
Turns Flickr8k's official archives into a folder that captioner reads: images/, and the official
splits as captions_train.json (6,000 photos), captions_val.json and captions_test.json (1,000 each),
five captions a photo, in the COCO format."""
EPILOG = """\
example:
  python data/prepare_flickr8k.py Flickr8k_Dataset.zip Flickr8k_text.zip -o flickr8k --squash 224

Nothing is downloaded. The two archives (Flickr8k_Dataset.zip with 1.1 GB of photos,
Flickr8k_text.zip with the captions) come from the data set's home at the University of Illinois,
which sends the links to those who fill in its form: https://forms.illinois.edu/sec/1713398
They may be used for research and education only, and not be passed on.

A second run skips what is done, so an interrupted one is taken up by the same command. What was
read and written stands with its SHA-256 in manifest.json. Afterwards, `captioner data check` looks
at every picture and caption."""


def read_splits(texts: Texts) -> Splits:
    """The official splits, as far as their lists are among the inputs.

    Raises:
        DataError: the captions or all of the lists are missing.
    """
    tokens = texts.path(TOKENS)
    lists = {split: texts.path(name) for split, name in SPLITS.items()}
    if tokens is None or not any(lists.values()):
        wanted = TOKENS if tokens is None else ", ".join(SPLITS.values())
        raise DataError(
            f"{wanted} not found among the inputs, which have "
            f"{', '.join(texts.names()[:8]) or 'no text'}: add Flickr8k_text.zip, or the folder "
            "that it was unpacked to"
        )
    for split, path in lists.items():
        if path is None:
            print(f"no {SPLITS[split]}: no captions_{split}.json", file=sys.stderr)
    return {
        split: read_flickr8k(tokens, texts.folder, path) for split, path in lists.items() if path
    }


FLICKR8K = DataSet(
    "Flickr8k", "Flickr terms of use; research and education only, not to be passed on", read_splits
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the script; see `archives.run` for the exit code."""
    return run(FLICKR8K, options(parser(DESCRIPTION, EPILOG).parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
