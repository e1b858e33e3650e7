"""Whether a caption names the thing: says a key word of its photo.

A photo's key words stand in two or more of its captions and are none of the words that most
captions hold anyway.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

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
