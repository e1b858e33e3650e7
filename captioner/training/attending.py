"""What a loss asks of attention, in whatever task: where it is to look, and how it learns to draw.

Shapes: K sentences, T words, N positions, M mentions.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Protocol

from torch import Tensor

from captioner.nn.architecture import AttentionConfig
from captioner.nn.decoder import Unrolled
from captioner.training.glimpses import glimpse_losses


class Told(Protocol):
    """The part of a batch that says what is to be said, and where each word should look."""

    @property
    def targets(self) -> Tensor:
        """The words to say, (K, T)."""

    @property
    def lengths(self) -> Tensor:
        """Of the sentences, their ends among the words, (K,), on the CPU."""


def attention_losses(
    attention: AttentionConfig, unrolled: Unrolled, batch: Told, kept: MutableMapping[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """What is added to the cross-entropy, and its parts by name.

    Args:
        attention: the model's settings.
        unrolled: what a decoder in training made of the batch.
        batch: what was to be said.
        kept: what the run keeps between its steps.
    """
    total = unrolled.weights.new_zeros(())
    found: dict[str, Tensor] = {}
    if attention.kind == "hard":
        total, found = glimpse_losses(attention.hard, unrolled, batch.targets, batch.lengths, kept)
    return total, found
