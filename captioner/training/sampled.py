"""Sampled softmax: a step compares its own words with a draw from the others, not with all.

Jean, Cho, Memisevic, Bengio 2015, "On Using Very Large Target Vocabulary for Neural Machine
Translation", §3, with one draw that all words of a step share.

Shapes: K sentences, T words, V vocabulary, C words that are compared.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from captioner.nn.vocabulary import Compared


def compared_with(targets: Tensor, vocabulary: int, count: int) -> tuple[Compared, Tensor]:
    """The words of a step and `count` others, and at which of them each target stands.

    The others are drawn evenly and without repetition by torch's own generator, which a trainer
    seeds anew at each step: a resumed run draws the same. One that is drawn stands for all others
    over all drawn, and its logit gains the logarithm of that: the expected sum of the softmax's
    denominator is then that of the whole vocabulary.

    Args:
        targets: the words to say, (K, T), among them whatever pads.
        vocabulary: V.
        count: words to draw; all others, where there are not so many.

    Returns:
        The C words, and the targets' places among them, (K, T).
    """
    own, places = targets.unique(return_inverse=True)
    others = torch.ones(vocabulary, dtype=torch.bool, device=targets.device)
    others = others.index_fill(0, own, False).nonzero().flatten()
    drawn = others[torch.randperm(len(others))[:count].to(others.device)]
    offsets = torch.zeros(len(own) + len(drawn), device=targets.device)
    if len(drawn):
        offsets[len(own) :] = math.log(len(others) / len(drawn))
    return Compared(torch.cat([own, drawn]), offsets), places
