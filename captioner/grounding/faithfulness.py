"""Faithfulness: does the word hang on what its map shows?

Deletion covers a photo in a map's order, its largest cells first, and insertion uncovers it in the
same order (Petsiuk et al. 2018, "RISE"); the word's probability should fall soon in the one and
rise soon in the other. The area under each curve is the score. Against the map's own order stand
the opposite one and a random one. What insertion reaches with few cells is also called sufficiency
(DeYoung et al. 2020, "ERASER"), and what deletion takes away with few, comprehensiveness.

Shapes: M words, N cells, S shares of the photo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from captioner.grounding.covering import Words, covered_words, hidden_cells
from captioner.nn.memory import Memory
from captioner.nn.model import CaptionModel

SHARES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7)
"""Of the photo that are covered or uncovered; none and all of it come besides."""


@dataclass(frozen=True, eq=False)
class Curves:
    """A word's probability while its photo is covered, or uncovered, in the order of a map."""

    shares: tuple[float, ...]  # S + 2, from 0 to 1
    deletion: NDArray[np.float64]  # (M, S + 2)
    insertion: NDArray[np.float64]  # (M, S + 2)

    def areas(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The areas (M,) under deletion and insertion: mean probabilities along the curves."""
        steps = np.diff(self.shares)
        deletion, insertion = (
            (curve[:, 1:] + curve[:, :-1]) / 2 @ steps for curve in (self.deletion, self.insertion)
        )
        return deletion, insertion


def order(maps: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Ranks (M, N) of cells by maps (M, N): 0 is the largest; equal ones in a drawn order."""
    drawn = torch.rand(maps.shape, generator=generator)
    by_chance = drawn.argsort(dim=1)
    sorted_ = maps.gather(1, by_chance).argsort(dim=1, descending=True, stable=True)
    cells = by_chance.gather(1, sorted_)
    return torch.empty_like(cells).scatter_(
        1, cells, torch.arange(maps.shape[1]).expand_as(cells).contiguous()
    )


def orders(maps: Mapping[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    """Orders (M, N) by each map, and, of the first of them, the opposite one; and a random one."""
    drawn = torch.Generator().manual_seed(seed)
    found = {name: order(each, drawn) for name, each in maps.items()}
    name, first = next(iter(found.items()))
    found[f"{name}, least first"] = first.shape[1] - 1 - first
    found["random"] = order(torch.zeros_like(first, dtype=torch.float), drawn)
    return found


def pixel_curves(
    model: CaptionModel,
    photos: Tensor,
    words: Words,
    places: Tensor,
    grid: tuple[int, int],
    *,
    shares: Sequence[float] = SHARES,
    fill: str = "mean",
) -> Curves:
    """Curves of covering the pixels behind the cells.

    Args:
        model: in evaluation mode.
        photos: normalised, (B, 3, S, S).
        words: M of them, about the photos.
        places: of each cell in the order, (M, N).
        grid: of the cells.
        shares: of the photo; of each share, at least one cell is covered or uncovered.
        fill: see `covering.filled`.
    """
    kept = _kept(places, shares)  # (M, 2 · S + 2, N)
    versions = kept.shape[1]
    each = [m for m in range(len(places)) for _ in range(versions)]
    many = Words(
        [words.tokens[m] for m in each], [words.places[m] for m in each], list(range(len(each)))
    )
    shown = [words.owners[m] for m in each]
    cells = kept.flatten(0, 1).unflatten(1, grid)
    found = covered_words(model, photos, cells, shown, many, fill)
    return _curves(found.reshape(len(places), versions), shares)


def cell_curves(
    model: CaptionModel,
    memory: Memory,
    words: Words,
    places: Tensor,
    *,
    shares: Sequence[float] = SHARES,
) -> Curves:
    """Curves of hiding cells from the attention; one cell is always left to look at."""
    kept = _kept(places, shares)
    kept[:, -1] = places == places.shape[1] - 1  # all but the last: nothing is no memory
    versions = kept.shape[1]
    each = [m for m in range(len(places)) for _ in range(versions)]
    many = Words(
        [words.tokens[m] for m in each],
        [words.places[m] for m in each],
        [words.owners[m] for m in each],
    )
    found = hidden_cells(model, memory, kept.flatten(0, 1), many)
    return _curves(found.reshape(len(places), versions), shares)


def _kept(places: Tensor, shares: Sequence[float]) -> Tensor:
    """The cells that stay, (M, 2·S + 2, N): all; deletion; insertion; none."""
    cells = places.shape[1]
    counts = torch.tensor([max(1, round(share * cells)) for share in shares])
    inside = places.unsqueeze(1) < counts.unsqueeze(1)  # (M, S, N)
    every = torch.ones_like(inside[:, :1])
    return torch.cat([every, ~inside, inside, ~every], 1)


def _curves(log_probs: Tensor, shares: Sequence[float]) -> Curves:
    """The curves in log probabilities (M, 2·S + 2) of what `_kept` keeps."""
    probs = log_probs.double().exp().numpy()
    count = len(shares)
    whole, deleted, inserted, nothing = np.split(probs, [1, 1 + count, 1 + 2 * count], axis=1)
    return Curves(
        (0.0, *shares, 1.0),
        np.concatenate([whole, deleted, nothing], 1),
        np.concatenate([nothing, inserted, whole], 1),
    )
