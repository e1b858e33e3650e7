"""What training minimises.

Shapes: K sentences, T words, M words of all sentences together, N positions, H heads, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

_ROWS = 256  # whose vocabulary of a few thousand words fits into a CPU's last cache


def cross_entropy(logits: PackedSequence, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean over words of −log p, with label smoothing (Szegedy et al. 2016, §7).

    Args:
        logits: packed, (M, V).
        targets: padded, (K, T); what lies beyond a sentence's end is not read.
        label_smoothing: share of the target spread evenly over the vocabulary.
    """
    words = pack_like(logits, targets)
    if logits.data.is_cuda:  # a few rows at a time keep a CPU's cache busy, and a GPU idle
        return F.cross_entropy(logits.data.float(), words, label_smoothing=label_smoothing)
    each: Tensor = _CrossEntropy.apply(logits.data, words, label_smoothing, None)
    return each


class _CrossEntropy(torch.autograd.Function):
    """`F.cross_entropy` in a quarter of the time on a CPU: a few rows at a time, gradient included.

    The whole of the vocabulary's log probabilities, their gradient and a float32 copy of both
    would be written to memory and read again; a few rows stay in the cache. It can be derived once.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None
    ) -> Tensor:
        """Mean of −w log p, (M, V) logits of any precision, (M,) weights; left out, all are 1."""
        count, words = logits.shape
        # Not yet over M: float16 has no numbers that small.
        gradient = torch.empty_like(logits)
        scratch = logits.new_empty((min(count, _ROWS), words), dtype=torch.float32)
        total = scratch.new_zeros(())
        for start in range(0, count, _ROWS):
            rows = slice(start, start + _ROWS)
            part = scratch[: count - start].copy_(logits[rows])  # (R, V)
            own = targets[rows].unsqueeze(1)  # (R, 1)
            wanted = (1 - smoothing) * part.gather(1, own)
            if smoothing:
                wanted = wanted + smoothing * part.mean(1, keepdim=True)
            highest = part.amax(1, keepdim=True)
            mass = part.sub_(highest).exp_().sum(1, keepdim=True)
            each = highest + mass.log() - wanted  # (R, 1)
            part.div_(mass)
            if smoothing:
                part.sub_(smoothing / words)
            part.scatter_add_(1, own, torch.full_like(wanted, smoothing - 1))
            if weights is not None:
                weight = weights[rows].unsqueeze(1)
                each, part = weight * each, part.mul_(weight)
            total += each.sum()
            gradient[rows] = part
        ctx.gradient = gradient
        return total / count

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None, None]:
        """Gradient w (p − target) / M, once: it is scaled where it lies."""
        gradient, ctx.gradient = ctx.gradient, None
        if gradient is None:
            raise RuntimeError("the cross-entropy's gradient was asked for twice; compute it anew")
        return gradient.mul_(outer[0] / len(gradient)), None, None, None


def r_drop(first: PackedSequence, second: PackedSequence) -> Tensor:
    """How far two passes of one batch are apart: R-Drop, Liang et al. 2021, eq. 1.

    Half the sum of the Kullback-Leibler divergences both ways, mean over words.

    Args:
        first: logits, packed, (M, V).
        second: of the same words, with other parts of the network dropped.
    """
    one, other = (logits.data.float().log_softmax(-1) for logits in (first, second))
    return ((one.exp() - other.exp()) * (one - other)).sum(-1).mean() / 2


def distillation(answers: Tensor, wanted: Tensor) -> Tensor:
    """Σ_c q_c (log q_c − log p_c), mean over photos: Hinton et al. 2015, §2, at temperature 1.

    Args:
        answers: logits of the network that learns, (B, C), whose softmax is p.
        wanted: logits of its teacher, (B, C), whose softmax is q.
    """
    log_p, log_q = answers.float().log_softmax(-1), wanted.float().log_softmax(-1)
    return (log_q.exp() * (log_q - log_p)).sum(-1).mean()


def pack_like(packed: PackedSequence, padded: Tensor) -> Tensor:
    """The entries of `padded` (K, T) in the order of `packed`'s, (M,)."""
    order = packed.sorted_indices
    rows = padded if order is None else padded[order]
    # Packed data runs step by step, the longest sentences first. Where each lies is known on the
    # CPU, where the sizes are: a mask would make the host wait for a GPU to count it.
    sizes = packed.batch_sizes
    steps = torch.arange(len(sizes)).repeat_interleave(sizes)  # (M,)
    starts = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    places = torch.arange(int(sizes.sum())) - starts
    flat = (places * padded.shape[1] + steps).to(padded.device)
    return rows.flatten()[flat]


def self_critical(logits: PackedSequence, targets: Tensor, advantages: Tensor) -> Tensor:
    """−Σ A log p, mean over words: REINFORCE (Rennie et al. 2017, eq. 5), ends of sentences too.

    Args:
        logits: packed, (M, V), of the drawn sentences.
        targets: padded, (K, T); what lies beyond a sentence's end is not read.
        advantages: (K,), by how much each sentence's reward exceeds its baseline.
    """
    words = pack_like(logits, targets)
    weights = pack_like(logits, advantages.unsqueeze(1).expand_as(targets))
    if logits.data.is_cuda:
        each = F.cross_entropy(logits.data.float(), words, reduction="none")
        return (weights * each).mean()
    own: Tensor = _CrossEntropy.apply(logits.data, words, 0.0, weights)
    return own


def word_log_likelihoods(logits: PackedSequence, targets: Tensor) -> Tensor:
    """Mean of log p over each sentence's words and its end, (K,), without a gradient.

    Args:
        logits: packed, (M, V).
        targets: padded, (K, T); what lies beyond a sentence's end is not read.
    """
    with torch.no_grad():
        words = pack_like(logits, targets)
        each = -F.cross_entropy(logits.data.float(), words, reduction="none")
        padded, lengths = pad_packed_sequence(logits._replace(data=each), batch_first=True)
        return padded.sum(1) / lengths.to(padded.device)


def reinforce(log_probs: Tensor, advantages: Tensor, lengths: Tensor) -> Tensor:
    """−Σ_k T_k A_k Σ_t log p(s_kt) / Σ_k T_k: what hard attention's draws add to the gradient.

    Of the mean over words of log p(y | s), as the cross-entropy is, it is the part that comes from
    how likely the draws were (Xu et al. 2015, eq. 11; Williams 1992).

    Args:
        log_probs: of the drawn positions, (K, T, H), 0 beyond a sentence's end.
        advantages: (K,), by how much log p(y | s) a word exceeds the baseline.
        lengths: words of each sentence, its end among them, (K,).
    """
    counts = lengths.to(log_probs)
    return -(counts * advantages * log_probs.sum((1, 2))).sum() / counts.sum()


def leave_one_out(rewards: Tensor) -> Tensor:
    """How much each of a photo's n sentences is better than the mean of its others, (B, n).

    Luo 2020, "A Better Variant of Self-Critical Sequence Training".
    """
    count = rewards.shape[1]
    return (rewards - rewards.mean(1, keepdim=True)) * (count / (count - 1))


def supervised_attention(
    weights: Tensor, mentions: Tensor, regions: Tensor, required: float = 1.0, by: str = "mass"
) -> Tensor:
    """How far maps are from where they should lie, mean over mentions.

    By "mass", −log Σ_j A_j α_j (Liu et al. 2017, "Attention Correctness", as a mass): nothing says
    how the map is spread inside the region, only how much of it lies there. By "cross_entropy",
    −Σ_j A*_j log α_j, and by "squares", ½ Σ_j (A*_j − α_j)², where A* is the region as a map that
    sums to 1 (Liu et al. 2016, Mi et al. 2016).

    Args:
        weights: (K, T, H, N).
        mentions: (M, 2), sentence and place of each word that names something.
        regions: (M, N), the share of each position that what is named covers.
        required: mass from which on the loss is 0, by "mass".
        by: what is compared.
    """
    if not len(mentions):
        return weights.sum() * 0.0
    maps = weights[mentions[:, 0], mentions[:, 1]].float().mean(1)  # (M, N)
    if by == "mass":
        mass = (maps * regions).sum(-1)
        return -((mass + 1e-6) / required).clamp(max=1).log().mean()
    wanted = regions / regions.sum(-1, keepdim=True)
    if by == "cross_entropy":
        return -(wanted * (maps + 1e-6).log()).sum(-1).mean()
    return (wanted - maps).square().sum(-1).mean() / 2


def coverage(weights: Tensor, lengths: Tensor) -> Tensor:
    """Σ_j min(α_tj, Σ_{s<t} α_sj), mean over words and heads: See, Liu, Manning 2017, eq. 12.

    What has been looked at already should not be looked at again.

    Args:
        weights: (K, T, H, N), 0 beyond a sentence's end, so that padding changes nothing.
        lengths: words of each sentence, its end among them, (K,).
    """
    weights = weights.float()
    before = weights.cumsum(1) - weights
    again = torch.minimum(weights, before).sum((1, 3)).mean(-1)  # (K,)
    return again.sum() / lengths.sum()


def doubly_stochastic(weights: Tensor, mask: Tensor | None = None) -> Tensor:
    """Σ_j (1 − Σ_t α_tj)², mean over sentences and heads: Xu et al. 2015, eq. 14.

    Args:
        weights: (K, T, H, N), 0 beyond a sentence's end, so that padding changes nothing.
        mask: (K, N), True where a position is real: nothing can look at the others. None: all are.
    """
    missing = (1 - weights.float().sum(1)).square()  # (K, H, N)
    if mask is not None:
        missing = missing * mask.unsqueeze(1)
    return missing.sum(-1).mean()
