"""Carried maps: does a translated word point where its original does, and where the thing is?

The map of a translated word is the product of the two attentions (`captions.caption`): where the
words that it looked at looked. So two things can go wrong, the alignment and the map itself; the
overlap with the original word's own map tells the first, pointing tells both.

Shapes: M words, T words of the translation, N cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from captioner import intervals
from captioner.captions.caption import Caption
from captioner.errors import DataError
from captioner.grounding.pointing import judge
from captioner.grounding.regions import cover
from captioner.grounding.sentences import Asked
from captioner.intervals import Estimate
from captioner.options import RESAMPLES

# fmt: off
GERMAN: Mapping[str, str] = {
    "person": "mann männer mannes frau frauen junge jungen mädchen kind kinder person personen "
              "menschen leute spieler surfer skifahrer",
    "man": "mann männer mannes", "woman": "frau frauen", "boy": "junge jungen", "girl": "mädchen",
    "child": "kind kinder", "player": "spieler", "dog": "hund hunde hundes", "cat": "katze katzen",
    "horse": "pferd pferde", "bird": "vogel vögel", "cow": "kuh kühe", "sheep": "schaf schafe",
    "elephant": "elefant elefanten", "giraffe": "giraffe giraffen", "zebra": "zebra zebras",
    "bear": "bär bären", "boat": "boot boote", "car": "auto autos", "bus": "bus busse",
    "train": "zug züge", "truck": "lastwagen", "motorcycle": "motorrad motorräder",
    "bicycle": "fahrrad fahrräder", "airplane": "flugzeug flugzeuge",
    "plane": "flugzeug flugzeuge", "table": "tisch tische", "chair": "stuhl stühle",
    "bed": "bett betten", "bench": "bank bänke", "ball": "ball bälle", "umbrella": "regenschirm",
    "bottle": "flasche flaschen", "cup": "tasse tassen", "cake": "kuchen", "pizza": "pizza",
    "clock": "uhr uhren", "vase": "vase vasen", "toilet": "toilette", "sink": "waschbecken",
    "skateboard": "skateboard", "surfboard": "surfbrett surfboard", "frisbee": "frisbee",
    "kite": "drachen", "sign": "schild schilder", "hat": "hut", "shirt": "hemd",
    "tree": "baum bäume", "house": "haus häuser", "building": "gebäude", "window": "fenster",
    "flower": "blume blumen",
}
# fmt: on


@dataclass(frozen=True)
class Carried:
    """How well the maps of translated words hold."""

    words: int  # named in both languages
    asked: int  # named in the first
    photos: int
    original: Estimate  # pointing of the original word's map
    carried: Estimate  # of the translated word's
    lost: Estimate  # paired
    overlap: Estimate  # the share of weight that the two maps have in common

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        estimates = {
            name: value.to_dict() for name, value in vars(self).items() if hasattr(value, "value")
        }
        return {"words": self.words, "asked": self.asked, "photos": self.photos, **estimates}

    def __str__(self) -> str:
        return (
            f"pointing of the word {self.original}, of its translation {self.carried}, lost "
            f"{self.lost}; overlap of the two maps {self.overlap} | {self.words} of {self.asked} "
            f"words that name a thing in both languages, {self.photos} photos"
        )


def measure(
    captions: Iterable[tuple[Asked, Sequence[Caption]]],
    nouns: Mapping[str, str] = GERMAN,
    *,
    bootstrap: int = RESAMPLES,
) -> Carried:
    """Compares the maps of words and of their translations.

    Args:
        captions: photos, and of each of their sentences what `Captioner.translated` makes of the
            sentence explained; see `Caption.original`.
        nouns: of each kind the lower-cased words that name it in the other language, by spaces.
        bootstrap: resamples of the photos.

    Raises:
        DataError: no word names a thing in both languages.
    """
    values, owners, asked = [], [], 0
    for photo, (entry, sentences) in enumerate(captions):
        for mention in entry.mentions:
            caption = sentences[mention.sentence]
            regions = [r for kind in sorted(mention.kinds) for r in entry.regions.get(kind, ())]
            if caption.original is None or not regions:
                continue
            asked += 1
            named = {word for kind in mention.kinds for word in nouns.get(kind, "").split()}
            places = [n for n, word in enumerate(caption.words) if word.text.lower() in named]
            if len(places) != 1:  # none, or nobody knows which
                continue
            maps = np.stack([caption.original.maps[mention.place], caption.maps[places[0]]])
            flat = maps.reshape(2, -1).astype(np.float64)
            grid = (maps.shape[1], maps.shape[2])
            pointing = judge(flat, cover(regions, grid))[:, 0]
            overlap = np.minimum(*(flat / flat.sum(1, keepdims=True))).sum()
            values.append([*pointing, pointing[0] - pointing[1], overlap])
            owners.append(photo)
    if not values:
        raise DataError(f"none of {asked} words names a thing in both languages")
    found = intervals.means(values, owners, bootstrap)
    return Carried(len(values), asked, len(set(owners)), *found)
