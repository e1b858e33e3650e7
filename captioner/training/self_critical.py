"""Self-critical training: sentences are drawn, judged, and made likelier or less likely.

Rennie et al. 2017 for captions; Wu et al. 2016, §5, for translations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from captioner import losses
from captioner.config import SearchOptions
from captioner.nn.attention import Memory
from captioner.nn.decoder import Decoder
from captioner.search import Start, search
from captioner.text import EOS

Judge = Callable[[Sequence[Sequence[int]], Sequence[int]], np.ndarray]


def self_critical(
    decoder: Decoder,
    memory: Memory,
    judge: Judge,
    *,
    samples: int,
    max_length: int,
    seed: int,
    first: int,
    temperature: float = 1.0,
    start: Start = Start(),  # noqa: B008  (frozen)
) -> dict[str, Tensor]:
    """The self-critical loss of sentences drawn about a batch, and their mean reward.

    Args:
        decoder: training; the drawing is done without dropout.
        memory: B memories, fresh from an encoder.
        judge: rewards (K,) of K drawn sentences, each up to its end token, which counts as a word
            (n-grams alone would not miss it, and sentences would break off); its second argument
            says which memory each is about.
        samples: sentences drawn of each memory, at least 2.
        max_length: of a sentence, in words.
        seed: of the draws, together with the memory's number.
        first: number of the batch's first memory.
        temperature: of the draws; other than 1, they are rewarded as if the model had drawn them
            itself, which is a small bias for much less noise.
        start: what stands before the first word.
    """
    options = SearchOptions(
        sample=True,
        top_p=1.0,
        temperature=temperature,
        n_best=samples,
        max_length=max_length,
        alternatives=0,
        seed=seed,
    )
    decoder.eval()
    found = search(decoder, memory, options, indices=range(first, first + len(memory)), start=start)
    decoder.train()
    drawn = [[*sentence.tokens, EOS] for sentences in found for sentence in sentences]
    owners = torch.arange(len(memory)).repeat_interleave(samples)
    rewards = torch.from_numpy(judge(drawn, owners.tolist()))
    advantages = losses.leave_one_out(rewards.float().view(-1, samples)).flatten()
    device = memory.values.device
    owners = owners.to(device)
    targets = pad_sequence([torch.tensor(one) for one in drawn], batch_first=True).to(device)
    before = start.column(len(memory), device)[owners].unsqueeze(1)
    inputs = torch.cat([before, targets[:, :-1]], 1)
    lengths = torch.tensor([len(one) for one in drawn])
    unrolled = decoder(inputs, lengths, memory, owners)
    loss = losses.self_critical(unrolled.logits, targets, advantages.to(device))
    return {"self_critical": loss, "reward": rewards.mean()}
