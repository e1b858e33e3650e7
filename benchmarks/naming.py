"""Does a caption name the thing? The share of photos whose caption says a key word of theirs.

CIDEr weighs every word of a caption; what a person notices first is whether the lion is called a
lion. A photo's key words stand in two or more of its captions and are none of the words that most
captions hold anyway. Photos without any are left out.

    python -m benchmarks.naming --captions held.json --images photos/ --common captions_train.json
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from captioner import datasets
from captioner.captions.captioner import Captioner

COMMON = 120
"""So many of the commonest words tell nothing of what a photo shows …"""

_LETTERS = re.compile(r"[^\W\d_]+")


def words(caption: str) -> set[str]:
    """The caption's runs of letters, lower-cased, without a final s."""
    return {run.removesuffix("s") for run in _LETTERS.findall(caption.lower())}


KEPT = words(
    "dog cat horse bird train bus boat car plane bench bed clock bike ball snow beach elephant "
    "giraffe zebra"
)
"""… but these, which are things all the same."""


def common_words(captions: Iterable[str], most: int = COMMON) -> set[str]:
    """The words that most captions hold, without `KEPT`."""
    counts = Counter(word for caption in captions for word in sorted(words(caption)))
    return {word for word, _ in counts.most_common(most)} - KEPT


def key_words(captions: Sequence[str], common: set[str]) -> set[str]:
    """The words of two or more of a photo's captions that are not common."""
    counts = Counter(word for caption in captions for word in words(caption))
    return {word for word, count in counts.items() if count >= 2} - common


def named(said: Sequence[str], keys: Sequence[set[str]]) -> list[bool]:
    """For each photo that has key words, whether its caption says one of them."""
    pairs = zip(said, keys, strict=True)
    return [bool(words(caption) & own) for caption, own in pairs if own]


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
