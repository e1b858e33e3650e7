"""Attention in four moves over any memory: energies → window → distribution → sum.

Each move is a part of its own. A new kind of attention is another score, window or distribution,
and neither the decoder nor the search hears of it.

Shapes: B memories, M queries of each, N positions, D features, Q query size, H heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from captioner.nn.distributions import Distribution, Softmax
from captioner.nn.memory import Memory
from captioner.nn.query import Query
from captioner.nn.scores import Covering, Score
from captioner.nn.windows import Everywhere, Window, Windowed


@dataclass(frozen=True)
class Attended:
    """What one step of attention gives."""

    context: Tensor  # (B, M, D)
    weights: Tensor  # (B, M, H, N), rows sum to 1, exactly 0 where masked
    extras: Mapping[str, Tensor] = field(default_factory=dict)  # by-products, (B, M, …) each


class Attention(nn.Module):
    """α = distribution(window(e)), context = Σ_j α_j v_j, with any score and any number of heads.

    Several heads look at once, each at projections of its own (Vaswani et al. 2017, §3.2.2), which
    the score compares as it would compare the query and the values themselves.
    """

    def __init__(
        self,
        score: Score,
        *,
        heads: Heads | None = None,
        window: Window | None = None,
        distribution: Distribution | None = None,
        dropout: float = 0.0,
    ) -> None:
        """Takes finished parts.

        Args:
            score: of a query and a position, or of a head's projections of the two.
            heads: sizes of the heads; left out, there is one, without projections.
            window: what can be looked at; left out, everything.
            distribution: how energies become weights; left out, their softmax.
            dropout: share of the weights dropped from what the context sums.
        """
        super().__init__()
        self.score = score
        self.heads = 1 if heads is None else heads.count
        # By these names, beside the score and not within a part, checkpoints know them.
        projections: list[nn.Module] = [nn.Identity() for _ in range(4)]
        if heads is not None:
            projections = heads.projections()
        if not score.compares:  # then nothing is asked of what lies at a position
            projections[1] = nn.Identity()
        self.query, self.key, self.value, self.output = projections
        self.window: Window = Everywhere() if window is None else window
        self.distribution: Distribution = Softmax() if distribution is None else distribution
        self.dropout = nn.Dropout(dropout)  # of what the context sums; the weights stay whole

    def prepare(self, memory: Memory) -> Memory:
        """The memory with its keys and contents computed, once for all steps.

        Raises:
            ValueError: a memory has no real position, so nothing could be attended to.
        """
        _check_mask(memory)
        keys = self.score.keys(self._split(self.key(memory.values)))
        contents = self._split(self.value(memory.values))
        return replace(memory, keys=_as_multiplied(keys), contents=_as_multiplied(contents))

    def first(self, memory: Memory) -> Tensor:
        """What the decoder's first state is made from: the mean, (B, D)."""
        return memory.mean()

    def forward(self, query: Query, memory: Memory) -> Attended:
        """Attends with M queries to each of B prepared memories."""
        assert memory.contents is not None, "Attention.prepare comes first"
        windowed = self.windowed(query, memory)
        found = self.distribution(windowed.energies, query)
        looked = self.dropout(found.looked.to(memory.contents.dtype))
        sums = torch.matmul(looked, memory.contents)  # (B, H, M, D / H)
        if windowed.passed is not None:
            sums = sums * windowed.passed.unsqueeze(-1).to(sums.dtype)
        extras = {**windowed.extras, **found.extras}
        return Attended(self._joined(sums), self._seen(found.weights, memory), extras)

    def energies(self, query: Query, memory: Memory) -> Tensor:
        """Scores (B, H, M, N), −∞ outside the window."""
        return self.windowed(query, memory).energies

    def windowed(self, query: Query, memory: Memory) -> Windowed:
        """Scores (B, H, M, N), −∞ outside the window, and what the window was."""
        assert memory.keys is not None, "Attention.prepare comes first"
        asked = self._split(self.query(query.hidden))
        if isinstance(self.score, Covering) and query.covered is not None:
            energies = self.score(asked, memory.keys, query.covered.transpose(1, 2))
        else:
            energies = self.score(asked, memory.keys)
        windowed: Windowed = self.window(energies, query, memory)
        return windowed

    def contents(self, memory: Memory) -> Tensor:
        """v_j that each head sums up, (B, H, N, D / H)."""
        assert memory.contents is not None, "Attention.prepare comes first"
        return memory.contents

    def _joined(self, sums: Tensor) -> Tensor:
        """Contexts (B, M, D): the heads' sums (B, H, M, D / H), side by side."""
        context: Tensor = self.output(sums.transpose(1, 2).flatten(2))
        return context

    def _seen(self, weights: Tensor, memory: Memory) -> Tensor:
        return weights.to(memory.values.dtype).transpose(1, 2)  # (B, M, H, N)

    def _split(self, projected: Tensor) -> Tensor:
        """(B, ·, H·d) → (B, H, ·, d)."""
        if self.heads == 1:
            return projected.unsqueeze(1)
        return projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    @property
    def remembers(self) -> bool:
        """Whether it asks for what has been looked at before."""
        return isinstance(self.score, Covering)

    def set_dropout(self, rate: float) -> None:
        """Sets the share of the weights dropped in training."""
        self.dropout.p = rate


@dataclass(frozen=True)
class Heads:
    """How many heads there are, and the sizes of what they project."""

    count: int  # H
    query_size: int  # Q
    value_size: int  # D, which the heads share

    def __post_init__(self) -> None:
        if self.value_size % self.count:
            raise ValueError(f"{self.count} heads cannot share {self.value_size} features evenly")

    @property
    def size(self) -> int:
        """Of a head's query, and of its keys."""
        return self.value_size // self.count

    def projections(self) -> list[nn.Module]:
        """Of queries, keys and values, all heads together, and of their sums."""
        size = self.value_size
        return [nn.Linear(self.query_size, size), *(nn.Linear(size, size) for _ in range(3))]


class Bottleneck(nn.Module):
    """No attention: the decoder gets the encoder's sum alone, what attention was made against.

    It comes as the first state alone (Sutskever, Vinyals, Le 2014, §2), or as the context of every
    step too (Cho et al. 2014, §2.2). The weights are even over the real positions, for nothing is
    looked at.
    """

    remembers = False  # nothing is looked at

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

    def forward(self, query: Query, memory: Memory) -> Attended:
        """The same for every query."""
        queries = query.hidden.shape[1]
        summary = self.first(memory).unsqueeze(1).expand(-1, queries, -1)  # (B, M, D)
        real = memory.values.new_ones(memory.values.shape[:2])  # (B, N)
        if memory.mask is not None:
            real = memory.mask.to(real.dtype)
        weights = (real / real.sum(1, keepdim=True))[:, None, None].expand(-1, queries, -1, -1)
        return Attended(summary if self.every_step else torch.zeros_like(summary), weights)

    def set_dropout(self, rate: float) -> None:
        """Nothing is weighed, so nothing can be dropped."""


def _as_multiplied(part: Tensor) -> Tensor:
    """In the precision and the layout that every step's product would turn it into anew."""
    kind = part.device.type
    if torch.is_autocast_enabled(kind):
        part = part.to(torch.get_autocast_dtype(kind))
    return part.contiguous()


def _check_mask(memory: Memory) -> None:
    if memory.mask is not None and not bool(memory.mask.any(1).all()):
        empty = (~memory.mask.any(1)).nonzero().flatten().tolist()
        raise ValueError(f"memories {empty} are masked everywhere; each needs one position")
