"""chrF2 as counts that can be summed (Popović 2015), the same as sacreBLEU's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

CHRF_ORDER, CHRF_BETA = 6, 2  # longest n-grams of characters, weight of recall


def chrf_counts(candidate: str, references: Sequence[str]) -> list[int]:
    """For each n-gram length: those of the candidate, of the reference, and in both; no spaces.

    Of several references it is the first of those that chrF is highest against.
    """
    several = [_counts(candidate, reference) for reference in references]
    return several[int(np.argmax(chrf_values(np.array(several))))]


def _counts(candidate: str, reference: str) -> list[int]:
    mine, theirs = ("".join(text.split()) for text in (candidate, reference))
    counts = []
    for n in range(1, CHRF_ORDER + 1):
        said, wanted = (
            Counter(text[i : i + n] for i in range(len(text) - n + 1)) for text in (mine, theirs)
        )
        # sacreBLEU leaves out what a reference too short for this length cannot confirm.
        counts += [said.total() if wanted else 0, wanted.total(), (said & wanted).total()]
    return counts


def chrf_values(totals: np.ndarray) -> np.ndarray:
    """chrF2 (...) of summed counts (..., 18): the F-score of mean precision and mean recall."""
    said, wanted, common = (totals[..., column::3] for column in range(3))
    there = (said > 0) & (wanted > 0)
    lengths = np.maximum(there.sum(axis=-1), 1)
    precision = (there * common / np.maximum(said, 1)).sum(axis=-1) / lengths
    recall = (there * common / np.maximum(wanted, 1)).sum(axis=-1) / lengths
    squared = CHRF_BETA**2
    weighted = squared * precision + recall
    value: np.ndarray = (1 + squared) * precision * recall / np.where(weighted > 0, weighted, 1.0)
    return value
