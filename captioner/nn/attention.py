"""Attention over a memory: grid cells of a photo or words of a sentence, the same module for both.

Shapes: B memories, K queries (one memory each), N positions, D features, Q query size, H heads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def rows(values: Tensor, indices: Tensor | slice) -> Tensor:
    """The rows of `values` at `indices` (K,), on its device, which may repeat.

    Where rows repeat, the gradients of `values[indices]` are added up by all threads at once, in
    whatever order they come; those of `index_select` come one after the other.
    """
    if isinstance(indices, slice):
        return values[indices]
    return values.index_select(0, indices)


_BY_MEMORY = (
    "values",
    "mask",
    "keys",
    "contents",
    "summary",
    "kinds",
    "things",
    "thing_log_probs",
)


@dataclass(frozen=True)
class Memory:
    """What a decoder looks at: N positions of D features, in a row or on a grid."""

    values: Tensor  # (B, N, D)
    mask: Tensor | None = None  # (B, N) bool, True where a position is real; None: all are
    grid: tuple[int, int] | None = None  # (h, w) with h·w = N, for a photo
    keys: Tensor | None = None  # (B, N, ·) or (B, H, N, ·) what the score compares, and
    contents: Tensor | None = None  # (B, H, N, D / H) what heads sum up; both written by `prepare`
    summary: Tensor | None = None  # (B, D) all positions in one vector, where the encoder sums up
    kinds: Tensor | None = None  # (B, C) logits of kinds of things, where the encoder tells them
    things: Tensor | None = None  # (B, S) words of the likeliest things, which can be copied, and
    thing_log_probs: Tensor | None = None  # (B, S) how likely; both written by `Copying.prepare`

    def __len__(self) -> int:
        return len(self.values)

    def select(self, indices: Tensor | slice) -> Memory:
        """The memories at `indices` (K,), which may repeat: one for every query."""
        parts: dict[str, Any] = {
            name: rows(part, indices)
            for name in _BY_MEMORY
            if (part := getattr(self, name)) is not None
        }
        return replace(self, **parts)

    def mean(self) -> Tensor:
        """Mean of the real positions' features, (B, D)."""
        if self.mask is None:
            return self.values.mean(1)
        real = self.mask.unsqueeze(-1).to(self.values.dtype)  # (B, N, 1)
        return (self.values * real).sum(1) / real.sum(1)


@dataclass(frozen=True)
class Attended:
    """What one step of attention gives."""

    context: Tensor  # (K, D)
    weights: Tensor  # (K, H, N), rows sum to 1, exactly 0 where masked
    extras: Mapping[str, Tensor] = field(default_factory=dict)  # by-products, (K, …) each


class Additive(nn.Module):
    """e_j = vᵀ tanh(W q + U k_j): Bahdanau, Cho, Bengio 2015, appendix A.1.2."""

    def __init__(self, query_size: int, value_size: int, size: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, size)
        self.key = nn.Linear(value_size, size, bias=False)
        self.energy = nn.Linear(size, 1, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """U k_j, which does not depend on the query: (B, N, D) → (B, N, size)."""
        return self.key(values)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores (K, N) of queries (K, Q) against keys (K, N, size)."""
        return self.energy(torch.tanh(self.query(query).unsqueeze(1) + keys)).squeeze(-1)


class Dot(nn.Module):
    """e_j = q·k_j: Luong, Pham, Manning 2015, eq. 8; divided by √d: Vaswani et al. 2017, §3.2.1."""

    def __init__(self, query_size: int, value_size: int, scaled: bool = False) -> None:
        super().__init__()
        if query_size != value_size:
            raise ValueError(f"dot compares equal sizes, not {query_size} with {value_size}")
        self.scale = query_size**-0.5 if scaled else 1.0

    def keys(self, values: Tensor) -> Tensor:
        """The values themselves, (B, N, D)."""
        return values

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores (K, N) of queries (K, D) against keys (K, N, D)."""
        return torch.bmm(keys, query.unsqueeze(-1)).squeeze(-1) * self.scale


class General(nn.Module):
    """e_j = qᵀ W k_j: Luong, Pham, Manning 2015, eq. 8."""

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__()
        self.key = nn.Linear(value_size, query_size, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """W k_j, which does not depend on the query: (B, N, D) → (B, N, Q)."""
        return self.key(values)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores (K, N) of queries (K, Q) against keys (K, N, Q)."""
        return torch.bmm(keys, query.unsqueeze(-1)).squeeze(-1)


class Cosine(nn.Module):
    """e_j = τ q·k_j / (‖q‖‖k_j‖) with a learned τ: the angle counts, not the length."""

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__()
        if query_size != value_size:
            raise ValueError(f"cosine compares equal sizes, not {query_size} with {value_size}")
        # A softmax of cosines alone could never be sharper than e² : 1 between two positions.
        self.temperature = nn.Parameter(torch.tensor(10.0))

    def keys(self, values: Tensor) -> Tensor:
        """Values of length 1, (B, N, D)."""
        return F.normalize(values, dim=-1)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores (K, N) of queries (K, D) against keys (K, N, D)."""
        unit = F.normalize(query, dim=-1).unsqueeze(-1)
        return torch.bmm(keys, unit).squeeze(-1) * self.temperature


Score = Additive | Dot | General | Cosine

SCORE_BUILDERS: Mapping[str, Callable[[int, int, int], Score]] = {
    "additive": Additive,
    "dot": lambda query_size, value_size, _: Dot(query_size, value_size),
    "scaled_dot": lambda query_size, value_size, _: Dot(query_size, value_size, scaled=True),
    "general": lambda query_size, value_size, _: General(query_size, value_size),
    "cosine": lambda query_size, value_size, _: Cosine(query_size, value_size),
}


class Attention(nn.Module):
    """Soft attention: α = softmax(e), context = Σ_j α_j v_j, with any score."""

    def __init__(self, score: Score, dropout: float = 0.0) -> None:
        super().__init__()
        self.score = score
        self.dropout = nn.Dropout(dropout)  # of what the context sums; the weights stay whole

    def prepare(self, memory: Memory) -> Memory:
        """The memory with its keys computed, once for all steps.

        Raises:
            ValueError: a memory has no real position, so nothing could be attended to.
        """
        _check_mask(memory)
        return replace(memory, keys=self.score.keys(memory.values))

    def first(self, memory: Memory) -> Tensor:
        """What the decoder's first state is made from: the mean, (B, D)."""
        return memory.mean()

    def forward(self, query: Tensor, memory: Memory) -> Attended:
        """Attends with queries (K, Q) to K prepared memories."""
        weights = self.energies(query, memory).float().softmax(-1)  # (K, 1, N)
        weights = weights.to(memory.values.dtype)
        return Attended(torch.bmm(self.dropout(weights), memory.values).squeeze(1), weights)

    def energies(self, query: Tensor, memory: Memory) -> Tensor:
        """Scores (K, 1, N) of queries (K, Q), −∞ where masked."""
        assert memory.keys is not None, "Attention.prepare comes first"
        return _masked(self.score(query, memory.keys).unsqueeze(1), memory)


class MultiHead(nn.Module):
    """head_i = softmax(Q_i K_iᵀ / √d) V_i, all heads projected together: Vaswani 2017, §3.2.2."""

    def __init__(self, query_size: int, value_size: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if value_size % heads:
            raise ValueError(f"{heads} heads cannot share {value_size} features evenly")
        self.heads = heads
        self.query = nn.Linear(query_size, value_size)
        self.key = nn.Linear(value_size, value_size)
        self.value = nn.Linear(value_size, value_size)
        self.output = nn.Linear(value_size, value_size)
        self.dropout = nn.Dropout(dropout)

    def prepare(self, memory: Memory) -> Memory:
        """The memory with its heads' keys and contents computed, once for all steps.

        Raises:
            ValueError: a memory has no real position, so nothing could be attended to.
        """
        _check_mask(memory)
        keys, contents = self.key(memory.values), self.value(memory.values)  # (B, N, D) each
        return replace(memory, keys=self._split(keys), contents=self._split(contents))

    def _split(self, projected: Tensor) -> Tensor:
        return projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, N, D / H)

    def first(self, memory: Memory) -> Tensor:
        """What the decoder's first state is made from: the mean, (B, D)."""
        return memory.mean()

    def forward(self, query: Tensor, memory: Memory) -> Attended:
        """Attends with queries (K, Q) to K prepared memories."""
        assert memory.contents is not None, "MultiHead.prepare comes first"
        weights = self.energies(query, memory).float().softmax(-1)  # (K, H, N)
        weights = weights.to(memory.contents.dtype)
        heads = torch.matmul(
            self.dropout(weights).unsqueeze(2), memory.contents
        )  # (K, H, 1, D / H)
        return Attended(self.output(heads.flatten(1)), weights)

    def energies(self, query: Tensor, memory: Memory) -> Tensor:
        """Scores (K, H, N) of queries (K, Q), −∞ where masked."""
        assert memory.keys is not None, "MultiHead.prepare comes first"
        split = self.query(query).unflatten(-1, (self.heads, -1, 1))  # (K, H, D / H, 1)
        energies = torch.matmul(memory.keys, split).squeeze(-1)
        return _masked(energies * memory.keys.shape[-1] ** -0.5, memory)


class Bottleneck(nn.Module):
    """No attention: the decoder gets the encoder's sum alone, what attention was made against.

    It comes as the first state alone (Sutskever, Vinyals, Le 2014, §2), or as the context of every
    step too (Cho et al. 2014, §2.2). The weights are even over the real positions, for nothing is
    looked at.
    """

    def __init__(self, every_step: bool) -> None:
        super().__init__()
        self.every_step = every_step

    def prepare(self, memory: Memory) -> Memory:
        """The memory with its sum, which is the mean where the encoder made none.

        Raises:
            ValueError: a memory has no real position.
        """
        _check_mask(memory)
        return replace(memory, summary=self.first(memory))

    def first(self, memory: Memory) -> Tensor:
        """What the decoder's first state is made from: the sum, (B, D)."""
        return memory.mean() if memory.summary is None else memory.summary

    def forward(self, query: Tensor, memory: Memory) -> Attended:
        """The same for every query (K, Q)."""
        summary = self.first(memory)  # (K, D)
        real = memory.values.new_ones(memory.values.shape[:2])  # (K, N)
        if memory.mask is not None:
            real = memory.mask.to(real.dtype)
        weights = (real / real.sum(1, keepdim=True)).unsqueeze(1)
        return Attended(summary if self.every_step else torch.zeros_like(summary), weights)


def _masked(energies: Tensor, memory: Memory) -> Tensor:
    if memory.mask is None:
        return energies
    return energies.masked_fill(~memory.mask.unsqueeze(1), -torch.inf)


def _check_mask(memory: Memory) -> None:
    if memory.mask is not None and not bool(memory.mask.any(1).all()):
        empty = (~memory.mask.any(1)).nonzero().flatten().tolist()
        raise ValueError(f"memories {empty} are masked everywhere; each needs one position")
