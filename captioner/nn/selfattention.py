"""Self-attention and what is built around it: a sequence that looks at itself, layer by layer.

Vaswani et al. 2017, §3. Shapes: T places of a sequence, S features of each, H heads, d = S / H, t
earlier places, "…" any dimensions before them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.nn.memory import rows
from captioner.nn.positions import GridPositions


class SelfAttention(nn.Module):
    """softmax(Q Kᵀ / √d) V over a sequence's own places, heads side by side (§3.2)."""

    def __init__(self, size: int, heads: int, dropout: nn.Dropout) -> None:
        """Takes sizes.

        Args:
            size: S, which the heads share evenly.
            heads: H.
            dropout: of the weights; the weights that are told stay whole.
        """
        super().__init__()
        if size % heads:
            raise ValueError(f"{heads} heads cannot share {size} features evenly")
        self.heads = heads
        self.project = nn.Linear(size, 3 * size)  # queries, keys and values
        self.output = nn.Linear(size, size)
        self.dropout = dropout

    def forward(
        self, values: Tensor, seen: Tensor | None = None, past: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What each place gathers from those that it sees.

        Args:
            values: (…, T, S).
            seen: bool, to be broadcast to (…, H, T, t + T), True where a place is seen; left out,
                all are. One at least must be.
            past: keys and values of earlier places, (…, 2, H, t, d), as an earlier call gave them.

        Returns:
            What was gathered (…, T, S), the weights (…, H, T, t + T), whose rows sum to 1, and the
            keys and values of all places so far, (…, 2, H, t + T, d).
        """
        parts = self.project(values).unflatten(-1, (3, self.heads, -1))  # (…, T, 3, H, d)
        parts = parts.movedim(-4, -2)  # (…, 3, H, T, d)
        query, own = parts[..., 0, :, :, :], parts[..., 1:, :, :, :]
        held = own if past is None else torch.cat([past, own], -2)
        keys, contents = held[..., 0, :, :, :], held[..., 1, :, :, :]
        energies = torch.matmul(query, keys.transpose(-1, -2)) * query.shape[-1] ** -0.5
        if seen is not None:
            energies = energies.masked_fill(~seen, -torch.inf)
        weights = energies.float().softmax(-1)
        sums = torch.matmul(self.dropout(weights.to(contents.dtype)), contents)  # (…, H, T, d)
        return self.output(sums.transpose(-2, -3).flatten(-2)), weights, held


class LayerNorm(nn.LayerNorm):
    """Each place by itself: Ba, Kiros, Hinton 2016."""

    def forward(self, values: Tensor, real: Tensor | None = None) -> Tensor:
        """Values (…, S) of mean 0 and deviation 1 over the features, scaled and shifted."""
        return super().forward(values)


class BatchNorm(nn.BatchNorm1d):
    """Each feature over all real places of a batch: Ioffe & Szegedy 2015.

    In training a place then depends on all others, even on later ones of its own sentence.
    """

    def forward(self, values: Tensor, real: Tensor | None = None) -> Tensor:
        """Values (…, S), each feature of mean 0 and deviation 1 over the real places (…,)."""
        flat = values.flatten(0, -2)
        if not self.training:
            return super().forward(flat).view_as(values)
        places = torch.arange(len(flat), device=flat.device)
        if real is not None:
            places = real.expand(values.shape[:-1]).flatten().nonzero().squeeze(1)
        if len(places) < 2:  # one number has no deviation: what was seen before has to do
            known = F.batch_norm(
                flat, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
            return known.view_as(values)
        normed = super().forward(rows(flat, places))
        return (
            torch.zeros_like(flat, dtype=normed.dtype).index_copy(0, places, normed).view_as(values)
        )


class NoNorm(nn.Module):
    """Values as they are."""

    def forward(self, values: Tensor, real: Tensor | None = None) -> Tensor:
        """The values."""
        return values


NORMS: Mapping[str, Callable[[int], nn.Module]] = {
    "layer": LayerNorm,
    "batch": BatchNorm,
    "none": lambda size: NoNorm(),
}


@dataclass(frozen=True)
class LayerPlan:
    """What the layers of a stack have in common."""

    size: int  # S
    heads: int  # H, of the self-attention
    inner: int  # hidden features of the feed-forward network
    norm: str = "layer"  # or batch, none
    norm_first: bool = True  # before each part of a layer (pre-norm); False: behind it
    residual: bool = True  # whether a part adds to what it read

    def new_norm(self) -> nn.Module:
        """A norm of its own."""
        return NORMS[self.norm](self.size)

    def last_norm(self) -> nn.Module:
        """What stands behind all layers: with pre-norm, the sum of all parts has none yet."""
        return self.new_norm() if self.norm_first else NoNorm()


@dataclass(frozen=True)
class Dropping:
    """What is dropped in training, throughout a stack; a phase sets the shares."""

    features: nn.Dropout  # of what each part gives
    weights: nn.Dropout  # of the attention's


class Around(nn.Module):
    """What stands around each part of a layer: norm, dropout and the residual connection.

    LN(x + part(x)) as in Vaswani et al. 2017, §5.4, or, with the norm first, x + part(LN(x)), which
    trains more easily (Xiong et al. 2020).
    """

    def __init__(self, plan: LayerPlan, dropping: Dropping) -> None:
        super().__init__()
        self.norm = plan.new_norm()
        self.norm_first, self.residual = plan.norm_first, plan.residual
        self.dropout = dropping.features

    def before(self, values: Tensor, real: Tensor | None) -> Tensor:
        """What the part reads, (…, S)."""
        return self.norm(values, real) if self.norm_first else values

    def after(self, values: Tensor, found: Tensor, real: Tensor | None) -> Tensor:
        """Values (…, S) with what the part has found."""
        found = self.dropout(found)
        found = values + found if self.residual else found
        return found if self.norm_first else self.norm(found, real)


class FeedForward(nn.Module):
    """W₂ ReLU(W₁ x + b₁) + b₂, at each place by itself (§3.3)."""

    def __init__(self, plan: LayerPlan, dropping: Dropping) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(plan.size, plan.inner), nn.Linear(plan.inner, plan.size)
        self.dropout = dropping.features

    def forward(self, values: Tensor) -> Tensor:
        """(…, S) → (…, S)."""
        found: Tensor = self.leave(self.dropout(self.enter(values).relu()))
        return found


class EncoderLayer(nn.Module):
    """Self-attention, then a feed-forward network."""

    around: Sequence[Around]

    def __init__(self, plan: LayerPlan, dropping: Dropping) -> None:
        super().__init__()
        self.attention = SelfAttention(plan.size, plan.heads, dropping.weights)
        self.feed = FeedForward(plan, dropping)
        self.around = nn.ModuleList(  # type: ignore[assignment]
            Around(plan, dropping) for _ in range(2)
        )

    def forward(self, values: Tensor, real: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Values (B, T, S), of which `real` (B, T) are, and the weights (B, H, T, T)."""
        attending, feeding = self.around
        seen = None if real is None else real[:, None, None]
        gathered, weights, _ = self.attention(attending.before(values, real), seen)
        values = attending.after(values, gathered, real)
        return feeding.after(values, self.feed(feeding.before(values, real)), real), weights


class EncoderStack(nn.Module):
    """Layers of self-attention over a sentence's words or a grid's cells."""

    def __init__(self, plan: LayerPlan, layers: int, dropping: Dropping) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(plan, dropping) for _ in range(layers))
        self.norm = plan.last_norm()
        start_evenly(self)

    def forward(
        self, values: Tensor, real: Tensor | None = None
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Values (B, T, S), and each layer's weights (B, H, T, T)."""
        weights = []
        for layer in self.layers:
            values, own = layer(values, real)
            weights.append(own)
        return self.norm(values, real), weights


class GridRefiner(nn.Module):
    """Self-attention over a photo's grid, whose cells know their row and their column."""

    def __init__(
        self, plan: LayerPlan, layers: int, positions: GridPositions | None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.stack = EncoderStack(plan, layers, Dropping(self.dropout, nn.Dropout(0.0)))
        self.positions = positions

    def forward(self, values: Tensor, grid: tuple[int, int]) -> Tensor:
        """Cells (B, h·w, D) that have looked at one another."""
        return self.look(values, grid)[0]

    def look(self, values: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Sequence[Tensor]]:
        """The cells, and what each looked at, layer by layer: weights (B, H, h·w, h·w)."""
        if self.positions is not None:
            values = values + self.positions(grid, values.device)
        found: tuple[Tensor, Sequence[Tensor]] = self.stack(values)
        return found


@torch.no_grad()
def start_evenly(module: nn.Module) -> None:
    """Starts all matrices as Glorot & Bengio 2010 do, without biases, as torch's Transformer."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for part in module.modules():
        if isinstance(part, SelfAttention):
            for matrix in part.project.weight.chunk(3):  # each of the three by itself
                nn.init.xavier_uniform_(matrix)


def fitted(size: int, wanted: int) -> nn.Module:
    """A projection where sizes differ."""
    return nn.Identity() if size == wanted else nn.Linear(size, wanted)
