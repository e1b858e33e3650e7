"""What a loss asks of attention, in whatever task: where it is to look, and how it learns to draw.

Shapes: K sentences, T words, N positions, M mentions.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from captioner import losses
from captioner.nn.architecture import AttentionConfig
from captioner.nn.decoder import Unrolled
from captioner.training.glimpses import glimpse_terms


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


def attention_terms(
    attention: AttentionConfig,
    phase: Asking,
    unrolled: Unrolled,
    batch: Told,
    kept: MutableMapping[str, Tensor],
) -> dict[str, tuple[float, Tensor]]:
    """What is added to the cross-entropy: the weight and the value of each term.

    Args:
        attention: the model's settings.
        phase: what it asks.
        unrolled: what a decoder in training made of the batch.
        batch: what was to be said.
        kept: what the run keeps between its steps.
    """
    terms = {}
    if attention.kind == "hard":
        terms = glimpse_terms(attention.hard, unrolled, batch.targets, batch.lengths, kept)
    if phase.attention_supervision:
        supervised = losses.supervised_attention(
            unrolled.weights,
            batch.mentions,
            batch.regions,
            phase.supervised_mass,
            phase.supervised_by,
        )
        terms["supervised_attention"] = phase.attention_supervision, supervised
    if phase.coverage:
        terms["coverage"] = phase.coverage, losses.coverage(unrolled.weights, batch.lengths)
    return terms


def averaged(
    passes: Sequence[Mapping[str, tuple[float, Tensor]]],
) -> dict[str, tuple[float, Tensor]]:
    """The terms of several passes over one batch, each counting alike."""
    return {
        name: (weight, torch.stack([terms[name][1] for terms in passes]).mean())
        for name, (weight, _) in passes[0].items()
    }
