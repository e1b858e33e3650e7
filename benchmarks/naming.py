"""Does a caption name the thing? The share of photos whose caption says a key word of theirs.

CIDEr weighs every word of a caption; what a person notices first is whether the lion is called a
lion. `captioner.naming` says which words are key words; photos without any are left out.

    python -m benchmarks.naming --captions held.json --images photos/ --common captions_train.json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from captioner import datasets
from captioner.captions.captioner import Captioner
from captioner.naming import common_words, key_words, named


def interval(hits: Sequence[bool], draws: int = 2000) -> tuple[float, float]:
    """The 95 % bootstrap interval of their mean."""
    values = np.asarray(hits, float)
    drawn = np.random.default_rng(0).integers(0, len(values), (draws, len(values)))
    low, high = np.quantile(values[drawn].mean(1), (0.025, 0.975))
    return float(low), float(high)


def main() -> None:
    """Captions the photos of each set and prints the share that is named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--checkpoint", help="left out: the weights that come along")
    parser.add_argument("--captions", nargs="+", required=True, help="COCO captions files")
    parser.add_argument("--images", nargs="+", required=True, help="their folders, one each")
    parser.add_argument(
        "--common", required=True, help="captions whose commonest words tell little"
    )
    parser.add_argument("--show", type=int, default=0, help="captions to print of each set")
    arguments = parser.parse_args()
    captioner = Captioner.load(*([arguments.checkpoint] if arguments.checkpoint else []))
    everything = datasets.read_coco(arguments.common, Path(arguments.common).parent)
    common = common_words(caption for photo in everything for caption in photo.captions)
    for file, folder in zip(arguments.captions, arguments.images, strict=True):
        photos = datasets.read_coco(file, folder)
        keys = [key_words(photo.captions, common) for photo in photos]
        found = captioner.stream([str(photo.path) for photo in photos], alternatives=0)
        said = [caption.text for caption in found]
        hits = named(said, keys)
        low, high = interval(hits)
        mean = sum(hits) / len(hits)
        print(f"{file}: {mean:.1%} [{low:.1%}, {high:.1%}] of {len(hits)} photos with key words")
        for photo, caption, own in list(zip(photos, said, keys, strict=True))[: arguments.show]:
            print(f"  {photo.path.name}\t{caption}\t{' '.join(sorted(own))}")


if __name__ == "__main__":
    main()
