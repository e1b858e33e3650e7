"""What a decoder looks at: grid cells of a photo or words of a sentence, the same for both.

Shapes: B memories, M queries of each, N positions, D features, H heads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


def rows(values: Tensor, indices: Tensor | slice) -> Tensor:
    """The rows of `values` at `indices` (K,), on its device, which may repeat.

    Where rows repeat, the gradients of `values[indices]` are added up by all threads at once, in
    whatever order they come; those of `index_select` come one after the other.
    """
    if isinstance(indices, slice):
        return values[indices]
    return values.index_select(0, indices)


def of_each(values: Tensor, indices: Tensor) -> Tensor:
    """Of each memory's entries (B, M, …) those at `indices` (B, K), which may repeat: (B, K, …)."""
    batch, queries = values.shape[:2]
    first = torch.arange(batch, device=indices.device).unsqueeze(1) * queries  # (B, 1)
    chosen = rows(values.flatten(0, 1), (first + indices).flatten())
    return chosen.unflatten(0, indices.shape)


_BY_MEMORY = (
    "values",
    "mask",
    "keys",
    "contents",
    "summary",
    "kinds",
    "things",
    "thing_log_probs",
    "thing_keys",
    "there",
)


@dataclass(frozen=True)
class Memory:
    """What a decoder looks at: N positions of D features, in a row or on a grid."""

    values: Tensor  # (B, N, D)
    mask: Tensor | None = None  # (B, N) bool, True where a position is real; None: all are
    grid: tuple[int, int] | None = None  # (h, w) with h·w = N, for a photo
    keys: Tensor | None = None  # (B, H, N, ·) what the score compares, and
    contents: Tensor | None = None  # (B, H, N, D / H) what heads sum up; both written by `prepare`
    summary: Tensor | None = None  # (B, D) all positions in one vector, where the encoder sums up
    kinds: Tensor | None = None  # (B, C) logits of kinds of things, where the encoder tells them
    things: Tensor | None = None  # (B, S) words of the likeliest things, which can be copied,
    thing_log_probs: Tensor | None = None  # (B, S) how likely they are, and
    thing_keys: Tensor | None = None  # (B, S, ·) what they are found by; by `Copying.prepare`
    beside: Memory | None = None  # a second memory of the same B, as of a sentence's photo
    there: Tensor | None = None  # (B,) bool, False where there is none, of a second one

    def __len__(self) -> int:
        return len(self.values)

    @property
    def device(self) -> torch.device:
        """Where the memories lie."""
        return self.values.device

    def select(self, indices: Tensor | slice) -> Memory:
        """The memories at `indices` (K,), which may repeat."""
        parts: dict[str, Any] = {
            name: rows(part, indices)
            for name in _BY_MEMORY
            if (part := getattr(self, name)) is not None
        }
        if self.beside is not None:
            parts["beside"] = self.beside.select(indices)
        return replace(self, **parts)

    def first(self, count: int) -> Memory:
        """The first memories, which are not copied."""
        return self if count == len(self) else self.select(slice(count))

    def mean(self) -> Tensor:
        """Mean of the real positions' features, (B, D)."""
        if self.mask is None:
            return self.values.mean(1)
        real = self.mask.unsqueeze(-1).to(self.values.dtype)  # (B, N, 1)
        return (self.values * real).sum(1) / real.sum(1)
