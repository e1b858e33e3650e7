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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values: dict[str, Any] = {
            "word": self.text,
            "prob": None if self.prob is None else rounded(self.prob),
            "alternatives": [[text, rounded(prob)] for text, prob in self.alternatives],
        }
        return values if self.known else {**values, "unknown": True}


def rounded(value: float) -> float:
    """Four significant digits, as all numbers in the objects have."""
    return float(f"{value:.4g}")
