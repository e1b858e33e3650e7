"""Sentence pairs for translation: parallel files and TSV in, batches of similar lengths out.

Shapes: B pairs, S source positions, T target positions, in pieces and with the end of the sentence.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from captioner.errors import ConfigError, DataError
from captioner.pipeline import share_of
from captioner.subwords import Subwords, clean
from captioner.text import EOS, PAD, decoded
from captioner.translations.drawing import Draw, Numbers, by_share
from captioner.translations.recipe import PairSource

_LOG = logging.getLogger(__name__)
PieceLink = tuple[int, tuple[int, ...]]  # place of a target's piece, those of its source pieces


@dataclass(frozen=True)
class Pair:
    """A sentence and its translation, as written, without the spaces around them."""

    source_text: str
    target_text: str
    source_language: str
    target_language: str
    others: tuple[str, ...] = field(default=(), kw_only=True)  # further translations

    @property
    def references(self) -> tuple[str, ...]:
        """All translations of the source, at least one."""
        return (self.target_text, *self.others)

    def turned(self) -> Self:
        """The pair in the other direction; of several translations the first."""
        return replace(
            self,
            source_text=self.target_text,
            target_text=self.source_text,
            source_language=self.target_language,
            target_language=self.source_language,
            others=(),
        )

    def each(self) -> list[Self]:
        """A pair for every translation."""
        return [replace(self, target_text=text, others=()) for text in self.references]


P = TypeVar("P", bound=Pair)


def read_pairs(source: PairSource) -> list[Pair]:
    """Reads one set of sentence pairs, in the order of its files; the turned ones follow.

    A line of a target file may hold several translations with tabs between, as sacreBLEU reads
    them: `Pair.references`. Pairs with nothing on one side are left out, and their number is
    logged.

    Raises:
        DataError: a file is missing, not UTF-8, has other lines than its partner or fewer columns
            than asked for, or no pair is left.
    """
    return chosen(read_lines(source), source)


def read_lines(source: PairSource) -> list[Pair]:
    """One set of sentence pairs, a pair for every line of its files.

    Raises:
        DataError: as `read_pairs`.
    """
    texts = _columns(source) if source.tsv else _aligned(source)
    return [
        Pair(one, first, *source.languages, others=tuple(others)) for one, (first, *others) in texts
    ]


def chosen(lines: Sequence[P], source: PairSource) -> list[P]:
    """The pairs of all lines that a source names, in their order; the turned ones follow.

    Raises:
        DataError: no pair is left.
    """
    pairs = [line for line in lines if clean(line.source_text) and clean(line.target_text)]
    name = source.tsv or source.source
    if not pairs:
        raise DataError(f"{name}: holds no pair of sentences")
    if len(pairs) < len(lines):
        empty = len(lines) - len(pairs)
        _LOG.warning("%s: left out %d of %d pairs, empty on one side", name, empty, len(lines))
    if source.part != "all":
        rest, held_out = split_by_source(pairs, source.held_out)
        pairs = rest if source.part == "train" else held_out
    if source.both_ways:
        return pairs + [one.turned() for pair in pairs for one in pair.each()]
    return pairs


def _aligned(source: PairSource) -> list[tuple[str, list[str]]]:
    ones, others = read_texts(source.source), read_texts(source.target)
    if len(ones) != len(others):
        raise DataError(
            f"{source.source} has {len(ones):,} lines and {source.target} {len(others):,}: line n "
            "of one must be the translation of line n of the other; get them from one data set"
        )
    return [(one.strip(), _several(other)) for one, other in zip(ones, others, strict=True)]


def _several(line: str) -> list[str]:
    """The translations on a line, at least one, which may be empty."""
    texts = [text.strip() for text in line.split("\t")]
    return list(filter(clean, texts)) or [""]


def _columns(source: PairSource) -> list[tuple[str, list[str]]]:
    texts: list[tuple[str, list[str]]] = []
    for number, line in enumerate(read_texts(source.tsv), 1):
        cells = line.split("\t")
        if len(cells) < max(source.columns) and line.strip():
            raise DataError(
                f"{source.tsv}: line {number} has {len(cells)} tab-separated columns, but columns "
                f"is {list(source.columns)}; is it a TSV file?"
            )
        if line.strip():
            one, other = (cells[column - 1].strip() for column in source.columns)
            texts.append((one, [other]))
        else:
            texts.append(("", [""]))
    return texts


def read_texts(name: str) -> list[str]:
    """The lines of a text file, cut at line feeds only: some sentences hold a U+2028.

    Raises:
        DataError: it is missing, cannot be read, or is not UTF-8.
    """
    try:
        content = Path(name).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{name}: no such file; expected sentences, one a line") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"{name}: cannot be read: {reason}") from None
    text = decoded(content, name)
    return text.removesuffix("\n").split("\n") if text else []


def split_by_source(pairs: Sequence[P], share: float, seed: int = 0) -> tuple[list[P], list[P]]:
    """Holds out the pairs of about `share` of the source sentences, so that none was seen before.

    A hash of seed and sentence decides about each sentence by itself; case and punctuation do not
    count, and all translations of one sentence stay together. The rest loses the pairs that give
    away a held-out translation: those with the same target sentence.

    Returns:
        (rest, held out), each in the order of `pairs`.

    Raises:
        ConfigError: `share` is not between 0 and 1, both excluded.
        DataError: one side would be empty.
    """
    if not 0 < share < 1:
        raise ConfigError(f"the share to hold out is {share}, but should lie between 0 and 1")
    sides = [_draw(pair.source_text, seed) < share for pair in pairs]
    held_out = [pair for pair, out in zip(pairs, sides, strict=True) if out]
    known = {_bare(text) for pair in held_out for text in pair.references}
    rest = [
        pair
        for pair, out in zip(pairs, sides, strict=True)
        if not out and known.isdisjoint(map(_bare, pair.references))
    ]
    if not rest or not held_out:
        raise DataError(
            f"a share of {share} of {len(pairs)} pairs leaves {len(rest)} and {len(held_out)}: "
            "choose a share nearer to 0.5, or name a validation file"
        )
    return rest, held_out


def _bare(text: str) -> str:
    """The sentence without what does not make it another one."""
    return "".join(filter(str.isalnum, clean(text).casefold())) or text


def _draw(text: str, seed: int) -> float:
    """A number in [0, 1) that depends on the sentence and the seed only."""
    digest = hashlib.blake2b(
        f"{seed}:{_bare(text)}".encode(errors="replace"), digest_size=6
    ).digest()
    return int.from_bytes(digest, "big") / 2**48


@dataclass(frozen=True)
class PairBatch:
    """Sentence pairs of similar lengths, as a training step takes them; padded with `PAD`."""

    sources: Tensor  # (B, S) pieces, each sentence up to its end token
    source_lengths: Tensor  # (B,) pieces and the end, on the CPU
    inputs: Tensor  # (B, T) previous pieces, from the target language's start token on
    targets: Tensor  # (B, T) the pieces to say, each sentence up to its end token
    lengths: Tensor  # (B,) pieces to say and the end, on the CPU
    mentions: Tensor  # (M, 2) pair and place of each piece that is linked to source pieces
    regions: Tensor  # (M, S) 1 at these, 0 elsewhere

    def to(self, device: torch.device) -> PairBatch:
        """The batch on `device`; the lengths stay, as packing wants them on the CPU."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self)}
        lengths = {"source_lengths": self.source_lengths, "lengths": self.lengths}
        return replace(self, **{**moved, **lengths})


class PairReader:
    """Batches of sentence pairs in an order that depends on seed and epoch alone.

    An epoch's pairs are sorted by length and cut where every step gets the same number of pieces,
    so that little is padded and all epochs have the same number of steps.
    """

    def __init__(
        self,
        sets: Sequence[Sequence[Pair]],
        subwords: Subwords,
        *,
        batch_tokens: int,
        seed: int,
        shares: Sequence[float] = (),
        max_pieces: int = 100,
    ) -> None:
        """Encodes the sentences; those that occur in several pairs once.

        Args:
            sets: of pairs, as `read_pairs` gives them.
            subwords: cut the sentences.
            batch_tokens: pieces of a step, sources and targets together, without padding.
            seed: decides the order, together with the epoch.
            shares: of each set, as `PairSource.share` says; everything if left out.
            max_pieces: pairs with a longer sentence are left out, and their number is logged.

        Raises:
            ConfigError: a target language has no start token.
            DataError: no pair is short enough.
        """
        self.seed = seed
        self.part = (0, 1)  # of each batch: this process's number, and how many share it
        self._subwords = subwords
        self._encoded: dict[str, tuple[int, ...]] = {}
        self.links: Mapping[Pair, Sequence[PieceLink]] = {}  # of the pairs that have some
        self.pairs: list[Pair] = []  # the short ones of all sets
        self.members: list[Numbers] = []  # numbers of each set's pairs
        for pairs in sets:
            kept = [pair for pair in pairs if max(self._sizes(pair)) <= max_pieces]
            self.members.append(np.arange(len(self.pairs), len(self.pairs) + len(kept)))
            self.pairs += kept
        self._check(sum(map(len, sets)), max_pieces)
        self._lengths = np.array([self._sizes(pair) for pair in self.pairs]) + 1  # (P, 2), the end
        self._batch_tokens = batch_tokens
        self.draws(by_share(self.members, shares or [1.0] * len(self.members)))

    def draws(self, draw: Draw) -> None:
        """Takes what the next epochs hold."""
        self._draw = draw
        self._steps = self._count_steps()

    def __len__(self) -> int:
        """Steps an epoch."""
        return self._steps

    def read(self, epoch: int, first_step: int = 0) -> Iterator[PairBatch]:
        """The batches of an epoch, from step `first_step` on."""
        for numbers in self._plan(epoch)[first_step:]:
            own = share_of(numbers.tolist(), self.part)
            yield self._batch([self.pairs[number] for number in own])

    def _encode(self, text: str) -> tuple[int, ...]:
        if text not in self._encoded:
            self._encoded[text] = self._subwords.encode(text).ids
        return self._encoded[text]

    def _sizes(self, pair: Pair) -> tuple[int, int]:
        return len(self._encode(pair.source_text)), len(self._encode(pair.target_text))

    def _check(self, given: int, max_pieces: int) -> None:
        """Every pair can be learned from; those that cannot are spoken of."""
        for language in dict.fromkeys(pair.target_language for pair in self.pairs):
            self._subwords.start(language)
        if not self.pairs:
            raise DataError(f"none of {given} pairs has at most {max_pieces} pieces on both sides")
        if len(self.pairs) < given:
            long = given - len(self.pairs)
            _LOG.warning("left out %d of %d pairs, over %d pieces long", long, given, max_pieces)

    def _count_steps(self) -> int:
        """As many as give each step `batch_tokens` pieces at most, in an average epoch."""
        drawn = zip(self._draw.cells, self._draw.counts, strict=True)
        own = [(count, self._lengths[cell].sum(1).mean()) for cell, count in drawn if count]
        pieces = sum(count * size for count, size in own)
        steps = math.ceil(pieces / self._batch_tokens)
        return max(1, min(steps, sum(self._draw.counts)))

    def _plan(self, epoch: int) -> list[Numbers]:
        """The numbers of the pairs in every step of an epoch."""
        rng = np.random.default_rng((self.seed, epoch))
        drawn = self._draw.epoch(rng)
        drawn = rng.permutation(drawn)
        sources, targets = self._lengths[drawn].T
        # The decoder's steps cost most: pairs of one target length stay together, drawn at random.
        drawn = drawn[np.lexsort((sources, targets))]
        pieces = self._lengths[drawn].sum(1)
        middles = (pieces.cumsum() - pieces / 2) / pieces.sum()  # of each pair in the epoch, 0 to 1
        places = np.arange(self._steps)
        cuts = np.searchsorted(middles, places / self._steps)
        # A few long pairs may overlap several cuts; every step still gets one of its own.
        cuts = np.maximum.accumulate(cuts - places).clip(max=len(drawn) - self._steps) + places
        batches = np.split(drawn, cuts[1:])
        return [batches[place] for place in rng.permutation(self._steps)]

    def _batch(self, pairs: Sequence[Pair]) -> PairBatch:
        sources = [(*self._encode(pair.source_text), EOS) for pair in pairs]
        targets = [self._encode(pair.target_text) for pair in pairs]
        starts = [self._subwords.start(pair.target_language) for pair in pairs]
        links = [
            (row, *link) for row, pair in enumerate(pairs) for link in self.links.get(pair, ())
        ]
        regions = torch.zeros(len(links), max(map(len, sources)))
        for region, (_, _, places) in zip(regions, links, strict=True):
            region[list(places)] = 1
        mentions = [(row, place) for row, place, _ in links]
        return PairBatch(
            sources=_padded(sources),
            source_lengths=torch.tensor([len(source) for source in sources]),
            inputs=_padded([(s, *target) for s, target in zip(starts, targets, strict=True)]),
            targets=_padded([(*target, EOS) for target in targets]),
            lengths=torch.tensor([len(target) + 1 for target in targets]),
            mentions=torch.tensor(mentions, dtype=torch.long).reshape(-1, 2),
            regions=regions,
        )


def _padded(sentences: Sequence[tuple[int, ...]]) -> Tensor:
    rows = [torch.tensor(sentence) for sentence in sentences]
    return pad_sequence(rows, batch_first=True, padding_value=PAD)
