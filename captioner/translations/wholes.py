"""What else each word of a translation could have been: whole words, not their first pieces.

Shapes: K alternatives at a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from captioner.nn.decoder import Decoder, State
from captioner.nn.memory import Memory
from captioner.search import Start, word_log_probs
from captioner.subwords import Subwords
from captioner.text import EOS

Alternatives = tuple[tuple[str, float], ...]  # words and their probabilities, best first

LONGEST = 12  # pieces of a word


@torch.inference_mode()
def whole_words(
    decoder: Decoder[Any],
    memory: Memory,
    tokens: Sequence[int],
    subwords: Subwords,
    *,
    start: Start,
    count: int = 5,
) -> tuple[Alternatives, ...]:
    """The likeliest first pieces at each word's place, each gone on with until its word is whole.

    A word's probability is the product of its pieces', given all words before it, as that of the
    words that were said. A piece that would only go on with the word before it is no alternative.

    Args:
        decoder: in evaluation mode.
        memory: one memory, fresh from an encoder.
        tokens: of the translation, without start and end.
        subwords: what the tokens are pieces of.
        start: what stands before the first piece.
        count: how many pieces to go on with (K).
    """
    memory, state = decoder.start(memory)
    owners = subwords.decode(tokens)[1].owners
    token, found = int(start.column(1, memory.device)), []
    for place, piece in enumerate(tokens):
        step = decoder.step(torch.tensor([[token]], device=memory.device), state, memory)
        state, token = step.state, piece
        if place and owners[place] == owners[place - 1]:
            continue
        log_probs = word_log_probs(step.logits[0, 0], start.never)
        best, pieces = log_probs.topk(min(count, int(log_probs.isfinite().sum())))
        begun = [
            (number, log_prob)
            for number, log_prob in zip(pieces.tolist(), best.tolist(), strict=True)
            if number != EOS and _begins(subwords, [*tokens[:place], number])
        ]
        found.append(_gone_on(decoder, memory, state, begun, subwords, start))
    return tuple(found)


def _begins(subwords: Subwords, tokens: Sequence[int]) -> bool:
    """Whether the last of these pieces begins a word."""
    owners = subwords.decode(tokens)[1].owners
    return len(owners) == len(tokens) and (len(owners) < 2 or owners[-1] != owners[-2])


def _gone_on(
    decoder: Decoder[Any],
    memory: Memory,
    state: State,
    begun: Sequence[tuple[int, float]],
    subwords: Subwords,
    start: Start,
) -> Alternatives:
    """The words that pieces begin, each with the likeliest pieces until the next would begin."""
    words = [[number] for number, _ in begun]
    totals = [log_prob for _, log_prob in begun]
    running = set(range(len(words)))
    if words:
        state = state.select(torch.zeros(1, len(words), dtype=torch.long, device=memory.device))
    while running and max(map(len, words)) < LONGEST:
        last = torch.tensor([[word[-1] for word in words]], device=memory.device)
        step = decoder.step(last, state, memory)
        state = step.state
        log_probs: Tensor = word_log_probs(step.logits[0], start.never)  # (K, V)
        best, pieces = log_probs.max(-1)
        for k in list(running):
            number = int(pieces[k])
            if number == EOS or _begins(subwords, [*words[k], number]):
                running.discard(k)
                continue
            words[k].append(number)
            totals[k] += float(best[k])
    found: dict[str, float] = {}
    for k, word in enumerate(words):
        text = subwords.decode(word)[0]
        if k not in running and text:  # one that does not end is no word
            found.setdefault(text, float(torch.tensor(totals[k]).exp()))
    return tuple(sorted(found.items(), key=lambda pair: -pair[1]))
