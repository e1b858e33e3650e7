"""Models that see: one that tells cells apart, and one whose right maps are known.

That one says "dog" where one cell of the photo is bright.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence

from captioner.checkpoint import Checkpoint
from captioner.nn.decoder import Unrolled
from captioner.nn.memory import Memory
from captioner.prediction import Captioner

DOG, CAT, WORDS, GRID = 4, 5, 9, (4, 6)
CELL = 2 * 6 + 1  # that "dog" hangs on; "cat" hangs on the photo's mean
STRENGTH = 6.0


class Eye(nn.Module):
    """A cell's one feature is its mean brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(1, 1)

    def grid(self, photos: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(photos.mean(1, keepdim=True), GRID).permute(0, 2, 3, 1)

    def read(self, grid: Tensor) -> Memory:
        return Memory(grid.flatten(1, 2), grid=GRID)

    def forward(self, photos: Tensor) -> Memory:
        return self.read(self.grid(photos))


class Tongue(nn.Module):
    """Reads a word's score off the photo; its attention lies on the cell itself."""

    def unroll(
        self, tokens: Tensor, lengths: Tensor, memory: Memory, owners: Tensor | None = None
    ) -> Unrolled:
        own = memory if owners is None else memory.select(owners)
        cells = own.values[..., 0]  # (K, N)
        if own.mask is not None:
            cells = cells * own.mask
        logits = torch.zeros(*tokens.shape, WORDS)
        logits[..., DOG] = STRENGTH * cells[:, CELL].unsqueeze(1)
        logits[..., CAT] = STRENGTH * cells.mean(1, keepdim=True)
        weights = torch.zeros(*tokens.shape, 1, cells.shape[1])
        weights[..., CELL] = 1
        packed = pack_padded_sequence(logits, lengths, batch_first=True, enforce_sorted=False)
        return Unrolled(packed, weights, {})


@dataclass
class Seeing:
    encoder: Any
    decoder: Any


def seeing() -> Any:
    return Seeing(Eye(), Tongue())


def bright(count: int = 2) -> Tensor:
    """Photos (B, 3, 48, 48), brighter from one to the next, each of one colour."""
    return torch.linspace(0.5, 1, count).reshape(count, 1, 1, 1).expand(count, 3, 48, 48).clone()


def awake(checkpoint: Checkpoint) -> Captioner:
    """The captioner with a CNN that tells cells and photos apart, as random ones hardly do."""
    model = copy.deepcopy(checkpoint.model)
    torch.manual_seed(3)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.bias.data.uniform_(0.0, 0.5)
            module.weight.data.uniform_(0.5, 2.0)
    return Captioner(dataclasses.replace(checkpoint, model=model))
