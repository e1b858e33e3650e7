"""What a loss asks of attention, in whatever task: where it is to look, and how it learns to draw.

Shapes: K sentences, T words, N positions, M mentions.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Protocol

from torch import Tensor

from captioner import losses
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

    @property
    def mentions(self) -> Tensor:
        """Sentence and place of each word of which it is known where it should look, (M, 2)."""

    @property
    def regions(self) -> Tensor:
        """There: the share of each position that belongs to it, (M, N)."""


class Asking(Protocol):
    """The part of a phase that asks something of attention."""

    @property
    def attention_supervision(self) -> float:
        """Weight of the loss that teaches where to look."""

    @property
    def supervised_by(self) -> str:
        """What that loss compares."""

    @property
    def supervised_mass(self) -> float:
        """Mass that is enough."""

    @property
    def coverage(self) -> float:
        """Weight of the loss on looking again."""


def attention_losses(
    attention: AttentionConfig,
    phase: Asking,
    unrolled: Unrolled,
    batch: Told,
    kept: MutableMapping[str, Tensor],
) -> tuple[Tensor, dict[str, Tensor]]:
    """What is added to the cross-entropy, and its parts by name.

    Args:
        attention: the model's settings.
        phase: what it asks.
        unrolled: what a decoder in training made of the batch.
        batch: what was to be said.
        kept: what the run keeps between its steps.
    """
    total = unrolled.weights.new_zeros(())
    found: dict[str, Tensor] = {}
    if attention.kind == "hard":
        total, found = glimpse_losses(attention.hard, unrolled, batch.targets, batch.lengths, kept)
    if phase.attention_supervision:
        found["supervised_attention"] = losses.supervised_attention(
            unrolled.weights,
            batch.mentions,
            batch.regions,
            phase.supervised_mass,
            phase.supervised_by,
        )
        total = total + phase.attention_supervision * found["supervised_attention"]
    if phase.coverage:
        found["coverage"] = losses.coverage(unrolled.weights, batch.lengths)
        total = total + phase.coverage * found["coverage"]
    return total, found
