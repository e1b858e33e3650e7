"""What hard attention adds to a loss: REINFORCE for what was drawn, and its moving baseline.

Xu et al. 2015, §4.1.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from torch import Tensor

from captioner import losses
from captioner.nn.architecture import HardConfig
from captioner.nn.decoder import Unrolled

BASELINE = "glimpse_baseline"  # by which name a run keeps it
_MEMORY = 0.9  # b ← 0.9 b + 0.1 log p


def glimpse_terms(
    settings: HardConfig,
    unrolled: Unrolled,
    targets: Tensor,
    lengths: Tensor,
    kept: MutableMapping[str, Tensor],
) -> dict[str, tuple[float, Tensor]]:
    """What is added to the loss: the weight and the value of each term.

    Args:
        settings: the weights of the parts.
        unrolled: by a decoder in training, whose attention draws.
        targets: the words, padded, (K, T).
        lengths: of the sentences, (K,).
        kept: what the run keeps between its steps, the baseline among it; it starts as the first
            step's mean reward and is moved on.
    """
    rewards = losses.word_log_likelihoods(unrolled.logits, targets)  # (K,)
    counts = lengths.to(rewards)
    reward = (rewards * counts).sum() / counts.sum()
    baseline = kept.get(BASELINE, reward)
    kept[BASELINE] = _MEMORY * baseline + (1 - _MEMORY) * reward
    drawn = losses.reinforce(unrolled.extras["glimpse_log_prob"], rewards - baseline, lengths)
    heads = unrolled.weights.shape[2]
    entropy = unrolled.extras["glimpse_entropy"].sum() / (counts.sum() * heads)
    return {"glimpses": (settings.reward, drawn), "glimpse_entropy": (-settings.entropy, entropy)}
