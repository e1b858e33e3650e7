"""Where something stands, as features: self-attention by itself knows no order.

Shapes: P places, D features, h×w grid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PLACES = 512  # that learned positions tell apart; those behind look like the last
_WAVELENGTH = 10_000.0  # Vaswani et al. 2017, §3.5


def sinusoids(places: Tensor, size: int) -> Tensor:
    """PE(p, 2i) = sin(p / 10000^(2i/D)), cosine for 2i + 1: Vaswani et al. 2017, §3.5.

    Args:
        places: whole numbers, (…,).
        size: D; where it is odd, the last sine has no cosine.

    Returns:
        (…, D), from -1 to 1.
    """
    even = torch.arange(0, size, 2, device=places.device)
    angles = places.unsqueeze(-1) / _WAVELENGTH ** (even / size)  # (…, ⌈D/2⌉)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)[..., :size]


class Sinusoid(nn.Module):
    """Waves of lengths from 2π to 10000·2π: nothing to learn, and no place without one."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, places: Tensor) -> Tensor:
        """Features (…, D) of places (…,), from 0."""
        return sinusoids(places, self.size)


class Learned(nn.Module):
    """A vector for each of the first places: Gehring et al. 2017, §3.1."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.table = nn.Embedding(PLACES, size)
        nn.init.normal_(self.table.weight, std=0.02)  # Devlin et al. 2019: hardly there at first

    def forward(self, places: Tensor) -> Tensor:
        """Features (…, D) of places (…,), from 0."""
        features: Tensor = self.table(places.clamp(max=PLACES - 1))
        return features


Positions = Sinusoid | Learned


def build_positions(kind: str, size: int) -> Positions | None:
    """Positions of a kind: sinusoid or learned; for none, nothing."""
    if kind == "none":
        return None
    return Sinusoid(size) if kind == "sinusoid" else Learned(size)


class GridPositions(nn.Module):
    """Positions in two dimensions: half of the features tell the row, half the column."""

    def __init__(self, rows: Positions, columns: Positions) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, grid: tuple[int, int], device: torch.device) -> Tensor:
        """Features (h·w, D) of the cells of a grid, row by row."""
        rows, columns = (torch.arange(count, device=device) for count in grid)
        each_row = self.rows(rows).unsqueeze(1).expand(-1, len(columns), -1)
        each_column = self.columns(columns).unsqueeze(0).expand(len(rows), -1, -1)
        return torch.cat([each_row, each_column], -1).flatten(0, 1)


def build_grid_positions(kind: str, size: int) -> GridPositions | None:
    """Positions on a grid, of a kind as in `build_positions`."""
    rows, columns = build_positions(kind, size // 2), build_positions(kind, size - size // 2)
    return None if rows is None or columns is None else GridPositions(rows, columns)
