"""A word of a sentence that was written, of a caption or a translation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Word:
    """One word of a sentence and how sure the model was of it."""

    text: str
    prob: float | None  # given the words before it; None for a word that the vocabulary lacks
    log_prob: float | None  # natural logarithm of `prob`
    alternatives: tuple[tuple[str, float], ...] = ()  # the most probable words here, best first
    known: bool = True
    copy_share: float | None = None  # of `prob`, what came from copying; None: it does not copy

    @property
    def copied(self) -> bool:
        """Whether the word was copied from what was recognised more than it was written."""
        return self.copy_share is not None and self.copy_share >= 0.5

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values: dict[str, Any] = {
            "word": self.text,
            "prob": None if self.prob is None else rounded(self.prob),
            "alternatives": [[text, rounded(prob)] for text, prob in self.alternatives],
        }
        if self.copy_share is not None:
            values["copy_share"] = rounded(self.copy_share)
        return values if self.known else {**values, "unknown": True}


def rounded(value: float) -> float:
    """Four significant digits, as all numbers in the objects have."""
    return float(f"{value:.4g}")


# Articles, pronouns, prepositions, conjunctions, auxiliaries, numbers: no things, deeds or looks.
_FUNCTION_WORDS = (
    "a about above across against all along an and another any are around as at be been "
    "behind being below beside between both but by do does down each five for four from "
    "has have having he her here herself him himself his in inside into is it its itself "
    "like many more near next no not of off on one onto or other others out outside over "
    "several she side six so some than that the their them themselves then there these "
    "they this those three through to toward towards two under up very was were what "
    "which while who with without"
)
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())


def is_content(word: str) -> bool:
    """Whether a lower-cased English word names a thing, a deed or a look."""
    return word.isalpha() and word not in FUNCTION_WORDS
