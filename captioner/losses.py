"""What training minimises.

Shapes: K sentences, T words, M words of all sentences together, N positions, H heads, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence


def cross_entropy(logits: PackedSequence, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean over words of −log p, with label smoothing (Szegedy et al. 2016, §7).

    Args:
        logits: packed, (M, V).
        targets: padded, (K, T); what lies beyond a sentence's end is not read.
        label_smoothing: share of the target spread evenly over the vocabulary.
    """
    return F.cross_entropy(
        logits.data.float(), pack_like(logits, targets), label_smoothing=label_smoothing
    )


def pack_like(packed: PackedSequence, padded: Tensor) -> Tensor:
    """The entries of `padded` (K, T) in the order of `packed`'s, (M,)."""
    order = packed.sorted_indices
    rows = padded if order is None else padded[order]
    by_step = rows.t()  # (T, K): packed data runs step by step, the longest sentences first
    sizes = packed.batch_sizes.to(padded.device)
    places = torch.arange(by_step.shape[1], device=sizes.device).unsqueeze(0)  # (1, K)
    return by_step[: len(sizes)][places < sizes.unsqueeze(1)]


def self_critical(logits: PackedSequence, targets: Tensor, advantages: Tensor) -> Tensor:
    """−Σ A log p, mean over words: REINFORCE (Rennie et al. 2017, eq. 5), ends of sentences too.

    Args:
        logits: packed, (M, V), of the drawn sentences.
        targets: padded, (K, T); what lies beyond a sentence's end is not read.
        advantages: (K,), by how much each sentence's reward exceeds its baseline.
    """
    words = pack_like(logits, targets)
    weights = pack_like(logits, advantages.unsqueeze(1).expand_as(targets))
    return (weights * F.cross_entropy(logits.data.float(), words, reduction="none")).mean()


def leave_one_out(rewards: Tensor) -> Tensor:
    """How much each of a photo's n sentences is better than the mean of its others, (B, n).

    Luo 2020, "A Better Variant of Self-Critical Sequence Training".
    """
    count = rewards.shape[1]
    return (rewards - rewards.mean(1, keepdim=True)) * (count / (count - 1))


def supervised_attention(weights: Tensor, mentions: Tensor, regions: Tensor) -> Tensor:
    """−log Σ_j A_j α_j, mean over mentions: Liu et al. 2017, "Attention Correctness", as a mass.

    Nothing says how the map is spread inside the region: only how much of it lies there.

    Args:
        weights: (K, T, H, N).
        mentions: (M, 2), sentence and place of each word that names something.
        regions: (M, N), the share of each position that what is named covers.
    """
    if not len(mentions):
        return weights.sum() * 0.0
    maps = weights[mentions[:, 0], mentions[:, 1]].float().mean(1)  # (M, N)
    mass = (maps * regions).sum(-1)
    return -(mass + 1e-6).log().mean()


def doubly_stochastic(weights: Tensor) -> Tensor:
    """Σ_j (1 − Σ_t α_tj)², mean over sentences and heads: Xu et al. 2015, eq. 14.

    Args:
        weights: (K, T, H, N), 0 beyond a sentence's end, so that padding changes nothing.
    """
    looked = weights.float().sum(1)  # (K, H, N)
    return (1 - looked).square().sum(-1).mean()
