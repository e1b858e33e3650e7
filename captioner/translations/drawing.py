"""Which pairs an epoch holds: a share of each source, or so many by temperature over directions.

Shapes: C cells (pairs that are drawn alike), n of a cell's pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from captioner.languages import Direction
from captioner.translations.recipe import PairDataConfig, TranslationPhaseConfig

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Draw:
    """How many of each cell's pairs an epoch holds."""

    cells: tuple[Numbers, ...]  # C × (n,) numbers of pairs; every pair is in one cell at most
    counts: tuple[int, ...]  # (C,)

    def epoch(self, rng: np.random.Generator) -> Numbers:
        """The numbers of an epoch's pairs; of a cell with fewer than its count, some again.

        None comes once more before all have come as often.
        """
        parts = [np.zeros(0, np.int64)]
        for members, count in zip(self.cells, self.counts, strict=True):
            while count > 0:
                parts.append(rng.permutation(members)[:count])
                count -= len(parts[-1])
        return np.concatenate(parts)


def by_share(members: Sequence[Numbers], shares: Sequence[float]) -> Draw:
    """Of each source the share, or the number, that its recipe says.

    Args:
        members: numbers of each source's pairs.
        shares: as `PairSource.share`.
    """
    counts = [drawn_count(share, len(own)) for share, own in zip(shares, members, strict=True)]
    return Draw(tuple(members), tuple(counts))


def by_temperature(
    members: Sequence[Numbers],
    directions: Sequence[Direction],
    data: PairDataConfig,
    phase: TranslationPhaseConfig,
) -> Draw:
    """As many pairs as the recipe says, a direction's in proportion to n^(1/temperature).

    What the phase favours is drawn so by itself, and so is all the rest.

    Args:
        members: numbers of each source's pairs, of `data.train`.
        directions: of every pair, by its number.
        data: of the recipe, with `epoch_pairs`.
        phase: of it.
    """
    cells: dict[bool, dict[Direction, list[int]]] = {True: {}, False: {}}
    for source, own in zip(data.train, members, strict=True):
        of_directions = cells[bool(phase.favours) and source.group == phase.favours]
        for number in own.tolist():
            of_directions.setdefault(directions[number], []).append(number)
    total = phase.pairs or data.epoch_pairs
    favoured = round(phase.favoured * total) if cells[True] and cells[False] else 0
    parts = {True: favoured, False: total - favoured}
    if not cells[False]:
        parts = {True: total, False: 0}
    found: list[Numbers] = []
    counts: list[int] = []
    for kind, of_directions in cells.items():
        sizes = np.array([len(own) for own in of_directions.values()], float)
        found += [np.array(own, np.int64) for own in of_directions.values()]
        counts += _parted(parts[kind], sizes ** (1 / data.temperature))
    return Draw(tuple(found), tuple(counts))


def drawn_count(share: float, pairs: int) -> int:
    """How many pairs of a source an epoch draws, with `PairSource.share`."""
    return min(pairs, round(share * pairs) if share <= 1 else round(share))


def _parted(total: int, weights: NDArray[np.float64]) -> list[int]:
    """Whole numbers in proportion to the weights whose sum is the total (largest remainders)."""
    if not len(weights):
        return []
    wanted = total * weights / weights.sum()
    whole = np.floor(wanted).astype(int)
    most = np.argsort(whole - wanted, kind="stable")[: total - int(whole.sum())]
    whole[most] += 1
    counts: list[int] = whole.tolist()
    return counts
