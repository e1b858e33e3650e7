"""Windows: which positions of a memory one step can look at. The second of attention's moves.

Shapes: B memories, M queries of each, N positions, H heads, A axes (1 in a row, 2 on a grid).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from captioner.nn.memory import Memory
from captioner.nn.query import Query


@dataclass(frozen=True)
class Windowed:
    """What a window leaves of the energies."""

    energies: Tensor  # (B, H, M, N), −∞ where nothing can be looked at
    passed: Tensor | None = None  # (B, H, M) share of the weighted sum that passes; None: all of it
    extras: Mapping[str, Tensor] = field(default_factory=dict)  # by-products, (B, M, …) each


class Everywhere(nn.Module):
    """The window that is all of the memory: every real position can be looked at."""

    def forward(self, energies: Tensor, query: Query, memory: Memory) -> Windowed:
        """Energies (B, H, M, N), −∞ where nothing can be looked at."""
        return Windowed(_real(energies, memory))


class Monotonic(nn.Module):
    """Local attention that moves on with the words: Luong, Pham, Manning 2015, §3.2, local-m.

    The centre of step t is p_t = t, and what lies further away than r cannot be looked at. At the
    memory's end the centre stands still: a translation may be longer than its source. A photo is
    walked through cell by cell as a page is read, and the window is a square of 2r + 1 cells.
    """

    def __init__(self, radius: int) -> None:
        """Takes r, the paper's D."""
        super().__init__()
        self.radius = radius

    def forward(self, energies: Tensor, query: Query, memory: Memory) -> Windowed:
        """Energies (B, H, M, N), −∞ outside the window; extras: `centre` (B, M, H, A)."""
        axes = _axes(memory)
        if memory.grid is None:
            ((_, count),) = axes
            centres = [count.sub(1).clamp(max=query.place)]  # (B,) of the last real position
        else:
            rows, columns = memory.grid
            cell = min(query.place, rows * columns - 1)
            centres = [axes[0][1].new_tensor([place]) for place in divmod(cell, columns)]
        outside = torch.zeros((), dtype=torch.bool, device=energies.device)
        for (places, _), centre in zip(axes, centres, strict=True):
            outside = outside | ((places - centre.unsqueeze(1)).abs() > self.radius)  # (B, N)
        batch, heads, queries, _ = energies.shape
        centre = torch.stack(centres, -1)[:, None, None].float()  # (B, 1, 1, A)
        return Windowed(
            _real(energies, memory).masked_fill(outside[:, None, None], -torch.inf),
            extras={"centre": centre.expand(batch, queries, heads, -1)},
        )


class Predictive(nn.Module):
    """Local attention that says where it looks: Luong, Pham, Manning 2015, §3.2, local-p.

    p = N·σ(vᵀ tanh(W q)), and the weights of the window [p − r, p + r] are scaled by
    exp(−(j − p)² / 2σ²) with σ = r / 2, j = 1 … N. On a grid, p has a row and a column, each with a
    v of its own, and the window is a square under a two-dimensional Gaussian.
    """

    def __init__(
        self,
        query_size: int,
        radius: int,
        *,
        heads: int = 1,
        axes: int = 1,
        renormalise: bool = True,
        deviation: float | None = None,
    ) -> None:
        """Makes the parts that predict.

        Args:
            query_size: Q.
            radius: r, the paper's D.
            heads: each has a centre of its own.
            axes: of the memory, 2 for a grid.
            renormalise: the scaled weights sum to 1; in the paper what the Gaussian took off is
                lost to the sum.
            deviation: σ; left out, r / 2 as in the paper.
        """
        super().__init__()
        self.radius, self.heads, self.renormalise = radius, heads, renormalise
        self.deviation = radius / 2 if deviation is None else deviation
        self.hidden = nn.Linear(query_size, query_size, bias=False)
        self.centre = nn.Linear(query_size, heads * axes, bias=False)

    def forward(self, energies: Tensor, query: Query, memory: Memory) -> Windowed:
        """Energies (B, H, M, N), the Gaussian's logarithm added, −∞ outside the window.

        Extras: `centre` (B, M, H, A), counted from 0; without renormalising also `passed`
        (B, M, H), the share that the Gaussian left.
        """
        kind = torch.promote_types(energies.dtype, torch.float32)
        shares = torch.sigmoid(self.centre(torch.tanh(self.hidden(query.hidden)))).to(kind)
        shares = shares.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, M, A)
        energies = energies.to(kind)
        outside = torch.zeros((), dtype=torch.bool, device=energies.device)
        squares = energies.new_zeros(())
        centres = []
        for axis, (places, count) in enumerate(_axes(memory)):
            centre = count[:, None, None] * shares[..., axis] - 1  # (B, H, M), from 0
            away = places[:, None, None] - centre.unsqueeze(-1)  # (B, H, M, N)
            outside = outside | (away.abs() > self.radius)
            squares = squares + away.square()
            centres.append(centre)
        near = _real(energies, memory).masked_fill(outside, -torch.inf)
        scaled = near - squares / (2 * self.deviation**2)
        extras = {"centre": torch.stack(centres, -1).transpose(1, 2)}  # (B, M, H, A)
        if self.renormalise:
            return Windowed(scaled, extras=extras)
        passed = (scaled.logsumexp(-1) - near.logsumexp(-1)).exp()
        return Windowed(scaled, passed, {**extras, "passed": passed.transpose(1, 2)})


def _real(energies: Tensor, memory: Memory) -> Tensor:
    if memory.mask is None:
        return energies
    return energies.masked_fill(~memory.mask[:, None, None], -torch.inf)


def _axes(memory: Memory) -> list[tuple[Tensor, Tensor]]:
    """Of each axis the places (B, N) of the positions, from 0, and how many there are (B,).

    A sentence's padding has no place: only real positions are counted, so that no window is empty.
    B may be 1 for all memories.
    """
    positions, device = memory.values.shape[1], memory.device
    order = torch.arange(positions, device=device)
    if memory.grid is not None:
        if memory.mask is not None:
            raise ValueError("a grid with a mask has no windows: some could be empty")
        rows, columns = memory.grid
        row = order.div(columns, rounding_mode="floor")
        counts = torch.tensor([[rows], [columns]], device=device)
        return [(row.unsqueeze(0), counts[0]), ((order - row * columns).unsqueeze(0), counts[1])]
    if memory.mask is None:
        return [(order.unsqueeze(0), torch.tensor([positions], device=device))]
    places = memory.mask.cumsum(1) - 1  # of padding behind the end, that of the last real position
    return [(places, memory.mask.sum(1))]


Window = Everywhere | Monotonic | Predictive
