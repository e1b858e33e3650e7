"""Sources whose visible words are hidden: does the photo fill them in?

Caglayan, Madhyastha, Specia, Barrault 2019, "Probing the Need for Visual Context in Multimodal
Machine Translation", §3.1: colours, and nouns that name what a photo shows, become one sign. Which
words those are, and what says them in German, is written down here: what is counted is whether one
of their translations stands in the output where it stands in the reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from captioner.errors import ConfigError
from captioner.translations.pairs import Pair

SIGN = "[v]"
LANGUAGES = ("en", "de")  # of the source and of its translation

COLOURS: Mapping[
    str, tuple[str, ...]
] = {  # by which their German words begin, whatever they end in
    "black": ("schwarz",),
    "blond": ("blond",),
    "blonde": ("blond",),
    "blue": ("blau",),
    "brown": ("braun",),
    "gray": ("grau",),
    "green": ("grün",),
    "grey": ("grau",),
    "orange": ("orange",),
    "pink": ("pink", "rosa"),
    "purple": ("lila", "violett"),
    "red": ("rot",),
    "white": ("weiß", "weiss"),
    "yellow": ("gelb",),
}
NOUNS: Mapping[str, tuple[str, ...]] = {  # and all forms of what names people, animals, things
    "ball": ("ball", "balls", "fußball", "tennisball", "bälle"),
    "baby": ("baby", "babys", "kleinkind"),
    "bike": ("fahrrad", "fahrrads", "rad", "fahrrädern", "motorrad"),
    "bird": ("vogel", "vogels", "vögel"),
    "boy": ("junge", "jungen", "bub"),
    "boys": ("jungen", "jungs", "buben"),
    "child": ("kind", "kindes", "kinds", "kleinkind"),
    "children": ("kinder", "kindern"),
    "dog": ("hund", "hundes", "hunds", "hunde"),
    "dogs": ("hunde", "hunden"),
    "girl": ("mädchen", "mädchens"),
    "girls": ("mädchen",),
    "horse": ("pferd", "pferdes", "pferde"),
    "man": ("mann", "mannes", "manns"),
    "men": ("männer", "männern"),
    "people": ("leute", "leuten", "menschen", "personen"),
    "woman": ("frau",),
    "women": ("frauen",),
}
_WORD = re.compile(r"[^\W\d_]+")
_VISIBLE = re.compile(rf"\b(?:{'|'.join((*COLOURS, *NOUNS))})\b", re.IGNORECASE)

P = TypeVar("P", bound=Pair)


@dataclass(frozen=True)
class Masked:
    """A sentence without its visible words, and which they were."""

    text: str
    words: tuple[str, ...]  # lower-cased


def mask(text: str) -> Masked:
    """The sentence with `SIGN` in the place of each colour and visible noun."""
    words = tuple(found[0].lower() for found in _VISIBLE.finditer(text))
    return Masked(_VISIBLE.sub(SIGN, text), words)


def masked_pairs(pairs: Sequence[P]) -> list[P]:
    """The pairs of which something can be asked, their sources masked.

    Raises:
        ConfigError: they are not from English into German, or no reference says a masked word.
    """
    ways = {(pair.source_language, pair.target_language) for pair in pairs}
    if ways != {LANGUAGES}:
        told = ", ".join(f"{source}→{target}" for source, target in sorted(ways))
        raise ConfigError(f"masked words are known from en into de, but the pairs are {told}")
    found = [pair for pair in pairs if asked(pair.source_text, pair.target_text)]
    if not found:
        raise ConfigError("no source has a colour or a noun that its translation says, too")
    return [replace(pair, source_text=mask(pair.source_text).text) for pair in found]


def asked(source: str, reference: str) -> list[str]:
    """The visible words of a source, each once, that its translation says."""
    return [word for word in dict.fromkeys(mask(source).words) if says(reference, word)]


def says(text: str, word: str) -> bool:
    """Whether a German sentence says an English visible word."""
    said = {each.lower() for each in _WORD.findall(text)}
    if word in NOUNS:
        return not said.isdisjoint(NOUNS[word])
    return any(each.startswith(COLOURS[word]) for each in said)


def found(pairs: Sequence[Pair], said: Sequence[str]) -> list[float]:
    """Of each pair the share of its visible words that were said, where its reference says them.

    Args:
        pairs: as they were before their sources were masked.
        said: the translations of the masked ones.
    """
    shares = []
    for pair, text in zip(pairs, said, strict=True):
        wanted = asked(pair.source_text, pair.target_text)
        shares.append(float(np.mean([says(text, word) for word in wanted])))
    return shares
