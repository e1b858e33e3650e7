"""Self-critical training: sentences are drawn, judged, and made likelier or less likely.

Rennie et al. 2017 for captions; Wu et al. 2016, §5, for translations.

Shapes: B memories, K sentences of all memories together, T words, W words of all sentences, V
vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_sequence

from captioner import losses
from captioner.nn.decoder import Decoder
from captioner.nn.memory import Memory
from captioner.options import SearchOptions
from captioner.search import Start, sayable, search
from captioner.text import EOS

# Takes drawn sentences and their memories, gives what waits for their rewards (K,).
Judge = Callable[[Sequence[Sequence[int]], Sequence[int]], Callable[[], np.ndarray]]


@dataclass(frozen=True)
class Drawn:
    """Sentences that are being judged, and the logits that they were drawn from."""

    logits: PackedSequence  # (W, V), among the words that can be said, at the draws' temperature
    targets: Tensor  # (K, T)
    samples: int  # sentences of each memory
    rewards: Callable[[], np.ndarray]  # waits for them, (K,)

    def loss(self) -> Tensor:
        """The self-critical loss, once the judgement is there."""
        advantages = losses.leave_one_out(self._judged.view(-1, self.samples)).flatten()
        return losses.self_critical(self.logits, self.targets, advantages.to(self.targets.device))

    def reward(self) -> Tensor:
        """The mean reward."""
        return self._judged.mean()

    @cached_property
    def _judged(self) -> Tensor:
        return torch.from_numpy(self.rewards()).float()  # (K,)


def draw(
    decoder: Decoder[Any],
    memory: Memory,
    judge: Judge,
    *,
    samples: int,
    max_length: int,
    seed: int,
    first: int,
    temperature: float = 1.0,
    start: Start = Start(),  # noqa: B008  (frozen)
) -> Drawn:
    """Draws sentences about a batch, hands them to the judge, and reads them once more to learn.

    The gradient of the expected reward is that of the probabilities which the draws were made
    with: the drawing and the scoring are done by one network, without the decoder's dropout, among
    the words that can be said and at one temperature.

    Args:
        decoder: training or not; it stays as it is.
        memory: B memories, fresh from an encoder.
        judge: rewards (K,) of K drawn sentences, each up to its end token, which counts as a word
            (n-grams alone would not miss it, and sentences would break off); one that was cut at
            `max_length` has none. Its second argument says which memory each is about. What it
            returns is called when the loss is, so that judging can go on beside computing.
        samples: sentences drawn of each memory, at least 2.
        max_length: words after which a sentence that still goes on is cut.
        seed: of the draws, together with the memory's number.
        first: number of the batch's first memory.
        temperature: of the draws.
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
    numbers = range(first, first + len(memory))
    with at_rest(decoder):
        found = search(decoder, memory, options, indices=numbers, start=start)
        # After the last word the search ends a sentence by force: nobody chose that end.
        drawn = [
            [*sentence.tokens, EOS][:max_length] for sentences in found for sentence in sentences
        ]
        owners = torch.arange(len(memory)).repeat_interleave(samples)
        rewards = judge(drawn, owners.tolist())
        device = memory.device
        targets = pad_sequence([torch.tensor(one) for one in drawn], batch_first=True).to(device)
        before = start.column(len(memory), device).repeat_interleave(samples).unsqueeze(1)
        inputs = torch.cat([before, targets[:, :-1]], 1)
        lengths = torch.tensor([len(one) for one in drawn])
        logits = decoder.unroll(inputs, lengths, memory, owners).logits
    drawn_from = sayable(logits.data, start.never) / temperature
    return Drawn(logits._replace(data=drawn_from), targets, samples, rewards)


@contextlib.contextmanager
def at_rest(decoder: Decoder[Any]) -> Iterator[None]:
    """The decoder without its dropout inside the block."""
    training = decoder.training
    decoder.train(False)
    try:
        yield
    finally:
        decoder.train(training)
