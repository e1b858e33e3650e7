"""Given sentences read by a decoder (teacher forcing): each word's probability and where it looked.

Shapes: B memories, K sentences of all memories together, T words of the longest with its end, N
cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from captioner.nn.decoder import Decoder
from captioner.nn.memory import Memory
from captioner.search import word_log_probs
from captioner.text import BOS, EOS


@dataclass(frozen=True)
class Reading:
    """What a decoder made of K sentences; zeros behind a sentence's end."""

    log_probs: Tensor  # (K, T) of each word, −∞ of one that the vocabulary lacks, and of the end
    maps: Tensor  # (K, T, N) heads averaged


def read_sentences(
    decoder: Decoder[Any],
    memory: Memory,
    sentences: Sequence[Sequence[int]],
    owners: Sequence[int],
) -> Reading:
    """Reads sentences about memories; gradients flow where they are wanted.

    Args:
        decoder: in evaluation mode.
        memory: B memories, fresh from an encoder.
        sentences: K of them, tokens without start and end.
        owners: which memory each is about.
    """
    targets = [torch.tensor([*sentence, EOS]) for sentence in sentences]
    lengths = torch.tensor([len(target) for target in targets])
    padded = pad_sequence(targets, batch_first=True).to(memory.device)  # (K, T)
    inputs = torch.cat([padded.new_full((len(targets), 1), BOS), padded[:, :-1]], 1)
    unrolled = decoder.unroll(inputs, lengths, memory, torch.tensor(list(owners)))
    wanted = pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False)
    # Word by word, (W, V): nothing is computed for padding.
    chosen = word_log_probs(unrolled.logits.data).gather(-1, wanted.data.unsqueeze(-1)).squeeze(-1)
    log_probs, _ = pad_packed_sequence(wanted._replace(data=chosen), batch_first=True)
    return Reading(log_probs, unrolled.weights.float().mean(2))


def word_log_prob(
    decoder: Decoder[Any],
    memory: Memory,
    sentences: Sequence[Sequence[int]],
    places: Sequence[int],
    owners: Sequence[int],
) -> Tensor:
    """The log probability (K,) of one word of each sentence; nothing behind it is read."""
    cut = [sentence[: place + 1] for sentence, place in zip(sentences, places, strict=True)]
    found = read_sentences(decoder, memory, cut, owners).log_probs
    return found[torch.arange(len(cut)), torch.tensor(list(places))]
