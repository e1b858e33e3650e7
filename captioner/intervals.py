"""Means over words with intervals over photos: the words of one photo stand or fall together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from captioner.metrics import resample

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean, and between what it lies."""

    value: float  # nan where there was nothing to measure
    interval: tuple[float, float] | None = None  # 95 % bootstrap over photos (low, high)

    def __str__(self) -> str:
        return self.shown()

    def shown(self, scale: float = 1.0, digits: int = 3) -> str:
        """The mean and its interval, times `scale`; a dash where there is none."""
        if math.isnan(self.value):
            return "–"
        value = f"{scale * self.value:.{digits}f}"
        if self.interval is None:
            return value
        low, high = (f"{scale * end:.{digits}f}" for end in self.interval)
        return f"{value} [{low}, {high}]"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which knows no nan."""
        value = None if math.isnan(self.value) else self.value
        return {"value": value, "interval": list(self.interval) if self.interval else None}


def means(
    values: ArrayLike, owners: Sequence[int] | NDArray[np.int64], bootstrap: int, seed: int = 0
) -> list[Estimate]:
    """The mean of every column, with an interval from resampled photos.

    The same owners and seed draw the same photos, whatever the columns hold: the difference of two
    methods is a column of its own, and its interval a paired one (Koehn 2004).

    Args:
        values: (M, C) of M words; a row that holds nan counts in none of its nan columns.
        owners: (M,) the photo of each word.
        bootstrap: resamples; 0 leaves the intervals out.
        seed: of the resampling.
    """
    table = np.asarray(values, np.float64)
    table = table.reshape(len(table), -1) if table.size else table.reshape(0, table.shape[-1])
    known = ~np.isnan(table)  # (M, C)
    _, photo = np.unique(np.asarray(owners, np.int64), return_inverse=True)
    photos = int(photo.max()) + 1 if len(photo) else 0
    sums = np.zeros((photos, 2 * table.shape[1]))
    np.add.at(sums, photo, np.concatenate([np.where(known, table, 0), known], 1))
    found = _ratios(sums.sum(0))
    if not bootstrap or not photos:
        return [Estimate(value) for value in found.tolist()]
    drawn = _ratios(resample(sums, bootstrap, seed))  # (bootstrap, C)
    ends = [_ends(column) for column in drawn.T]
    return [
        Estimate(value, end if not math.isnan(value) else None)
        for value, end in zip(found.tolist(), ends, strict=True)
    ]


def _ratios(sums: Array) -> Array:
    """Means (…, C) of sums and counts (…, 2·C); nan where nothing was counted."""
    total, count = np.split(sums, 2, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, total / count, np.nan)


def _ends(column: Array) -> tuple[float, float] | None:
    kept = column[~np.isnan(column)]
    if not len(kept):
        return None
    low, high = np.quantile(kept, (0.025, 0.975)).tolist()
    return low, high


def table(heads: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """A Markdown table, its columns even."""
    cells = [list(heads), *([name, *row] for name, row in rows.items())]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])
