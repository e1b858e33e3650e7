"""Scheduled sampling: a decoder learns to go on after its own words (Bengio et al. 2015).

Shapes: K sentences, T words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from captioner.nn.decoder import Decoder
from captioner.nn.memory import Memory
from captioner.search import sayable
from captioner.text import EOS
from captioner.training.self_critical import at_rest


def own_share(through: float, last: float, decay: str) -> float:
    """The share of the words read that are the model's own: 1 − ε_i of the paper, §2.4.

    Args:
        through: how much of the phase is over, 0 to 1.
        last: the share at its end, below 1.
        decay: of ε_i, linear, exponential or inverse_sigmoid.
    """
    if not last or decay == "linear":
        return last * through
    if decay == "exponential":  # ε_i = k^i
        return 1 - (1 - last) ** through
    # ε_i = k / (k + exp(i / k)), with i from 0 to 1 and k such that it ends at 1 − last.
    k = _steepness(last)
    return float(1 / (1 + k * math.exp(-through / k)))


def _steepness(last: float) -> float:
    """The k of k / (k + exp(1 / k)) = 1 − last; the left side grows with k."""
    low, high = 1e-3, 1e3
    for _ in range(100):
        k = math.sqrt(low * high)
        # Logarithms, for exp(1000) is no number.
        low, high = (k, high) if math.log(k) - 1 / k < math.log(1 / last - 1) else (low, k)
    return k


@torch.no_grad()
def mixed_inputs(
    decoder: Decoder[Any],
    memory: Memory,
    inputs: Tensor,
    share: float,
    owners: Tensor | None = None,
    never: Sequence[int] = (),
) -> Tensor:
    """Previous words (K, T), of which a share is what the decoder would have said there itself.

    Each is drawn from what it predicts after the words before it, drawn ones among them, without
    its dropout. The gradient does not pass through the draws, as in the paper; the sentences are
    read once more to learn.

    Args:
        decoder: training or not; it stays as it is.
        memory: B memories, fresh from an encoder.
        inputs: the sentences' own words, (K, T), each from the start token on.
        share: of the words behind the start that are the decoder's.
        owners: which memory each sentence is about, (K,); left out, the k-th is about the k-th.
        never: what no sentence holds, besides the special tokens.
    """
    mixed = inputs.clone()
    with at_rest(decoder):
        about = memory if owners is None else memory.select(owners.to(memory.device))
        ready, state = decoder.start(about)
        own = torch.rand(inputs.shape, device=inputs.device) < share
        for place in range(inputs.shape[1] - 1):
            step = decoder.step(mixed[:, place : place + 1], state, ready)
            # A sentence goes on here, so that its end was not what was said.
            probs = sayable(step.logits[:, 0].float(), (*never, EOS)).softmax(-1)
            said = torch.multinomial(probs, 1).squeeze(1)
            mixed[:, place + 1] = torch.where(own[:, place + 1], said, inputs[:, place + 1])
            state = step.state
    return mixed
