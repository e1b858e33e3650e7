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


def doubly_stochastic(weights: Tensor) -> Tensor:
    """Σ_j (1 − Σ_t α_tj)², mean over sentences and heads: Xu et al. 2015, eq. 14.

    Args:
        weights: (K, T, H, N), 0 beyond a sentence's end, so that padding changes nothing.
    """
    looked = weights.float().sum(1)  # (K, H, N)
    return (1 - looked).square().sum(-1).mean()
