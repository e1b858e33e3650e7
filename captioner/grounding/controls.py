"""Controls that a sceptic asks for: what is left with other weights, other maps, another photo?

Randomised weights (Adebayo et al. 2018, "Sanity Checks for Saliency Maps"): a map that stays the
same when the network has forgotten everything shows the photo, not the network. Maps replaced at
test time (Jain and Wallace 2019, "Attention is not Explanation"; Wiegreffe and Pinter 2019): what
does a word lose when the decoder must look evenly, or where another photo's map says? And without
any photo: how much of each word is language alone?

Shapes: B photos, K sentences of all photos together, T words, N cells.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from captioner import intervals
from captioner.captions.captioner import Captioner
from captioner.errors import ConfigError
from captioner.grounding.explanations import rank_correlation
from captioner.grounding.reading import read_sentences
from captioner.grounding.sentences import Asked, Shown, opened
from captioner.intervals import Estimate
from captioner.nn.decoder import Decoder
from captioner.nn.distributions import Distributed
from captioner.nn.memory import Memory
from captioner.nn.model import build_model
from captioner.nn.query import Query
from captioner.options import RESAMPLES
from captioner.search import word_log_probs
from captioner.text import BOS, UNK

PARTS = ("attention", "decoder", "everything")
VARIANTS = ("own maps", "uniform maps", "another photo's maps", "another photo", "no photo")
UNSEEING = "a model that never saw photos"


# Randomised weights


def randomised(captioner: Captioner, part: str, seed: int = 0) -> Captioner:
    """The captioner with a part of its weights as they were before training.

    Args:
        captioner: stays as it is.
        part: "attention", "decoder" (the attention with it) or "everything" (the CNN too).
        seed: of the new weights.
    """
    checkpoint = captioner.checkpoint
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        new = build_model(checkpoint.config, len(checkpoint.vocabulary))
    model = copy.deepcopy(checkpoint.model)
    if part == "attention":
        model.decoder.attention = new.decoder.attention
    elif part == "decoder":
        # What is copied is told by words, which a new decoder does not know: copying stays.
        new.decoder.copying = model.decoder.copying
        model.decoder = new.decoder
    elif part == "everything":
        new.decoder.copying = model.decoder.copying
        model = new
    else:
        raise ConfigError(f"no part is called {part!r}; expected one of {', '.join(PARTS)}")
    changed = dataclasses.replace(checkpoint, model=model.eval())
    runtime, size = captioner.writer.runtime.name, captioner.map_size
    return Captioner(changed, captioner.device, runtime=runtime, map_size=size)


@dataclass(frozen=True)
class Agreement:
    """How alike the maps are that two models show of the same words."""

    correlation: Estimate  # Spearman's, over the cells
    peaks: Estimate  # how often the two largest cells are the same, or neighbours
    words: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        own = {"correlation": self.correlation.to_dict(), "peaks": self.peaks.to_dict()}
        return {**own, "words": self.words}

    def __str__(self) -> str:
        return (
            f"rank correlation {self.correlation}, peaks in the same place {self.peaks} | "
            f"{self.words} words"
        )


def agreement(
    one: Sequence[tuple[Asked, Sequence[Shown]]],
    other: Sequence[tuple[Asked, Sequence[Shown]]],
    bootstrap: int = RESAMPLES,
) -> Agreement:
    """Compares the maps of the asked words; both are about the same photos, in one order."""
    first, owners, grid = _asked_maps(one)
    second, _, _ = _asked_maps(other)
    correlation = rank_correlation(first, second)
    places = [np.stack(np.unravel_index(maps.argmax(1), grid)) for maps in (first, second)]
    near = np.abs(places[0] - places[1]).max(0) <= 1
    found = intervals.means(np.stack([correlation, near], 1), owners, bootstrap)
    return Agreement(found[0], found[1], len(owners))


def _asked_maps(
    entries: Sequence[tuple[Asked, Sequence[Shown]]],
) -> tuple[NDArray[np.float32], NDArray[np.int64], tuple[int, ...]]:
    maps, owners = [], []
    for number, (asked, shown) in enumerate(entries):
        for mention in asked.mentions:
            maps.append(shown[mention.sentence].maps[mention.place])
            owners.append(number)
    stacked = np.stack(maps)
    return stacked.reshape(len(stacked), -1), np.array(owners), stacked.shape[1:]


# Maps replaced, and no photo


class _Given(nn.Module):
    """A distribution that looks where `weights` (K, T, N) of K sentences' steps say."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, energies: Tensor, query: Query) -> Distributed:
        own = (
            self.weights[:, query.place][:, None, None].expand_as(energies).float()
        )  # (K, H, M, N)
        return Distributed(own, own)


def with_maps(decoder: Decoder[Any], weights: Tensor) -> Decoder[Any]:
    """A copy of a decoder that looks as `weights` (K, T, N) say, reading K sentences at once.

    Raises:
        ConfigError: its attention has no distribution that could be replaced.
    """
    attention = getattr(decoder, "attention", None)
    if not hasattr(attention, "distribution"):
        raise ConfigError(
            "this model's attention cannot be replaced; expected one attention with energies, a "
            "window, a distribution and a sum"
        )
    changed: Any = copy.copy(decoder)
    changed._modules = dict(changed._modules)
    looks: Any = copy.copy(attention)
    looks._modules = dict(looks._modules)
    looks.distribution = _Given(weights)
    changed.attention = looks
    found: Decoder[Any] = changed
    return found


def read_steps(decoder: Decoder[Any], memory: Memory, sentences: Sequence[Sequence[int]]) -> Tensor:
    """Log probabilities (K, T) of given words, a step at a time, each sentence about its memory.

    Unlike `reading.read_sentences`, nothing is sorted: step t of sentence k is asked in row k.
    """
    padded = pad_sequence([torch.tensor(list(s)) for s in sentences], batch_first=True)
    padded = padded.to(memory.device)  # (K, T)
    memory, state = decoder.start(memory)
    tokens, found = padded.new_full((len(padded), 1), BOS), []
    for place in range(padded.shape[1]):
        step = decoder.step(tokens, state, memory)
        log_probs = word_log_probs(step.logits[:, 0])  # (K, V)
        tokens, state = padded[:, place : place + 1], step.state
        found.append(log_probs.gather(1, tokens).squeeze(1))
    return torch.stack(found, 1)


@dataclass(frozen=True)
class Losses:
    """Mean log probabilities of given words as a model reads them under several conditions."""

    every: Mapping[str, Estimate]  # all words, by variant
    things: Mapping[str, Estimate]  # the words that name things
    every_lost: Mapping[str, Estimate]  # what all words lose against the own maps, paired
    things_lost: Mapping[str, Estimate]
    words: tuple[int, int]  # how many there were of either

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        names = ("every", "things", "every_lost", "things_lost")
        found: dict[str, Any] = {
            name: {variant: e.to_dict() for variant, e in getattr(self, name).items()}
            for name in names
        }
        return {**found, "words": list(self.words)}

    def __str__(self) -> str:
        """A table (Markdown), in nats a word."""
        rows = {
            name: [
                each[name].shown(1, 2)
                for each in (self.things, self.things_lost, self.every, self.every_lost)
            ]
            for name in self.every
        }
        heads = ["read with", "log p of things", "lost", "log p of all words", "lost"]
        counts = f"{self.words[1]} words that name things, {self.words[0]} in all"
        return f"{intervals.table(heads, rows)}\n\n{counts}"


@torch.inference_mode()
def losses(
    captioner: Captioner,
    asked: Sequence[Asked],
    *,
    unseeing: Captioner | None = None,
    bootstrap: int = RESAMPLES,
) -> Losses:
    """How likely given words are with the own maps, with others, and without the photo.

    "Another photo's maps" are those that the model shows of the same sentence before another photo
    of the batch; with "another photo" it sees that photo itself, and with "no photo" the mean of
    the batch's features at every cell. What is copied or told by the encoder's classifier goes with
    the photo, not with the maps. Words that a vocabulary lacks count nowhere.

    Args:
        captioner: whose decoder.
        asked: photos with their sentences; two or more.
        unseeing: a model trained alike, but with one blank picture for all photos: what it knows of
            a word is language alone. It reads the sentences before such a picture, as one more
            variant, `UNSEEING`.
        bootstrap: resamples of the photos.
    """
    values, owners, naming = [], [], []
    number = 0
    for entries, pixels, _ in opened(captioner, asked):
        if len(entries) < 2:
            continue
        memory = captioner.model.encoder(pixels)
        own, things, about = _losses(captioner, entries, memory, unseeing)
        values.append(own)
        naming.append(things)
        owners.append(about + number)
        number += len(entries)
    table, named = np.concatenate(values), np.concatenate(naming)
    photos = np.concatenate(owners)
    names = VARIANTS if unseeing is None else (*VARIANTS, UNSEEING)
    every = _estimates(names, table, photos, bootstrap)
    things_found = _estimates(names, table[named], photos[named], bootstrap)
    counts = (len(table), int(named.sum()))
    return Losses(every[0], things_found[0], every[1], things_found[1], counts)


def _losses(
    captioner: Captioner, entries: Sequence[Asked], memory: Memory, unseeing: Captioner | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Log probabilities (W, variants) of a batch's words, which name things, and their photos."""
    decoder = captioner.model.decoder
    owners = [n for n, entry in enumerate(entries) for _ in entry.sentences]
    sentences = [sentence for entry in entries for sentence in entry.sentences]
    words = [captioner.vocabulary.encode(sentence) for sentence in sentences]
    others = [(owner + 1) % len(entries) for owner in owners]
    rows, swapped = torch.tensor(owners), torch.tensor(others)
    here = memory.select(rows.to(memory.device))
    there = read_sentences(decoder, memory, words, others).maps
    even = torch.full_like(there, 1 / there.shape[-1])
    read = [
        read_steps(decoder, here, words),
        read_steps(with_maps(decoder, even), here, words),
        read_steps(with_maps(decoder, there), here, words),
        read_steps(decoder, memory.select(swapped.to(memory.device)), words),
        read_steps(decoder, blind(here, memory), words),
    ]
    known = _known(words)
    if unseeing is not None:
        theirs = [unseeing.vocabulary.encode(sentence) for sentence in sentences]
        read.append(_unseen(unseeing, theirs).to(memory.device))
        known &= _known(theirs)
    stacked = torch.stack(read, -1).double().cpu().numpy()  # (K, T, variants)
    named = np.zeros(stacked.shape[:2], bool)
    first = np.cumsum([0, *(len(entry.sentences) for entry in entries)])
    for number, entry in enumerate(entries):
        for mention in entry.mentions:
            named[first[number] + mention.sentence, mention.place] = True
    about = np.broadcast_to(np.array(owners)[:, None], known.shape)
    return stacked[known], named[known], about[known]


def _known(sentences: Sequence[Sequence[int]]) -> NDArray[np.bool_]:
    """Where there is a word (K, T) that the vocabulary has."""
    known = np.zeros((len(sentences), max(map(len, sentences))), bool)
    for row, sentence in enumerate(sentences):
        known[row, : len(sentence)] = np.array(sentence) != UNK
    return known


def _unseen(captioner: Captioner, sentences: Sequence[Sequence[int]]) -> Tensor:
    """Log probabilities (K, T) of words before a picture of the preprocessing's mean colour."""
    side = captioner.preprocess.size
    memory = captioner.model.encoder(torch.zeros(1, 3, side, side, device=captioner.device))
    rows = torch.zeros(len(sentences), dtype=torch.long, device=memory.device)
    return read_steps(captioner.model.decoder, memory.select(rows), sentences)


def blind(memory: Memory, batch: Memory) -> Memory:
    """The memory as if there was no photo: the mean of a batch's features at every cell."""
    values = batch.values.mean((0, 1)).expand_as(memory.values)
    kinds = None
    if memory.kinds is not None and batch.kinds is not None:
        kinds = batch.kinds.mean(0).expand_as(memory.kinds)
    return replace(memory, values=values, kinds=kinds)


def _estimates(
    names: Sequence[str],
    table: NDArray[np.float64],
    owners: NDArray[np.int64],
    bootstrap: int,
) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    lost = table[:, :1] - table
    found = intervals.means(np.concatenate([table, lost], 1), owners, bootstrap)
    if not len(table):
        found = [Estimate(math.nan)] * (2 * len(names))
    count = len(names)
    return (
        dict(zip(names, found[:count], strict=True)),
        dict(zip(names, found[count:], strict=True)),
    )
