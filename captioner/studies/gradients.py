"""How far a gradient reaches: from the last word's loss back to each word of the source.

What attention was made for: in a recurrent network alone, what the last word needs of the first one
has come through every step between them, and its gradient goes the same way back (Bengio, Simard,
Frasconi 1994); attention is one step from everywhere (Bahdanau, Cho, Bengio 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.text import EOS
from captioner.translations.pairs import Pair
from captioner.translations.translator import Translator

DISTANCES = 24  # source pieces from the sentence's end that are told apart


def by_distance(translator: Translator, pairs: Sequence[Pair]) -> NDArray[np.float64]:
    """Mean length of ∂ loss of the last piece / ∂ embedding of a source piece, by its distance.

    Args:
        translator: whose model is asked; it stays as it is.
        pairs: sentences with their translations.

    Returns:
        (`DISTANCES`,): of the last source piece, the one before it, …, each over the mean of its
        sentence, so that models of any loss compare, and far pieces, which only long sentences
        have, with near ones: 1 is as much as each gets where distance means nothing. nan where no
        sentence is as long.
    """
    sums, counts = np.zeros(DISTANCES), np.zeros(DISTANCES)
    for pair in pairs:
        source = translator.subwords.encode(pair.source_text).ids
        said = translator.subwords.encode(pair.target_text).ids
        if not source or not said:
            continue
        start = translator.subwords.start(pair.target_language)
        lengths = of_last_word(translator.model, source, [start, *said])
        reach = lengths[::-1][:DISTANCES] / max(lengths.mean(), 1e-30)
        sums[: len(reach)] += reach
        counts[: len(reach)] += 1
    found: NDArray[np.float64] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return found


@torch.enable_grad()
def of_last_word(model: Any, source: Sequence[int], words: Sequence[int]) -> NDArray[np.float64]:
    """‖∂ loss of the last word / ∂ embedding of source word j‖, (S,), the source's end left out.

    Args:
        model: with an encoder of sentences; in evaluation mode.
        source: its words (S,).
        words: those of the translation, behind what starts it.
    """
    device = model.decoder.embedding.weight.device
    read: list[Tensor] = []

    def keep(_: nn.Module, __: Any, embedded: Tensor) -> Tensor:
        # The encoder comes first; the decoder may read the same matrix afterwards.
        if read:
            return embedded
        read.append(embedded.detach().requires_grad_())
        return read[0]

    hook = model.encoder.embedding.register_forward_hook(keep)
    try:
        tokens = torch.tensor([[*source, EOS]], device=device)
        memory = model.encoder(tokens, torch.tensor([len(source) + 1]))
        given = torch.tensor([words[:-1]], device=device)
        unrolled = model.decoder.unroll(given, torch.tensor([len(words) - 1]), memory)
    finally:
        hook.remove()
    last = torch.tensor(words[-1:], device=device)
    loss = F.cross_entropy(unrolled.padded_logits()[:, -1].float(), last)
    [gradient] = torch.autograd.grad(loss, read)
    lengths: NDArray[np.float64] = (
        gradient.reshape(len(source) + 1, -1).norm(dim=-1)[:-1].double().cpu().numpy()
    )
    return lengths
