"""What people call: a sentence in, its translation out, with what every word looked at.

Shapes: B sentences, S source words, T target words, N positions of the memory (the source's pieces
and its end), P pieces of the translation.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.utils.rnn import pad_sequence

from captioner import checkpoint as checkpoints
from captioner import devices, render
from captioner.config import SearchOptions
from captioner.errors import CaptionerError, ConfigError, shown
from captioner.nn.attention import Memory
from captioner.search import Hypothesis, Start, force, search
from captioner.subwords import Pieces, clean
from captioner.text import EOS, UNK
from captioner.words import Word, rounded

T = TypeVar("T")

MAX_WORDS, MAX_PIECES = 200, 800  # of a source sentence
END = "(end)"  # how an alternative reads that would end the sentence
_WIDTH = 16  # sentences searched together share their number of pieces up to this rounding
_AHEAD = 8  # batches that are read before the first is translated


@dataclass(frozen=True, eq=False)
class Translation:
    """A sentence in another language, and what each of its words looked at."""

    text: str  # as people write it
    source_words: tuple[str, ...]  # S words, punctuation marks among them
    words: tuple[Word, ...]  # T words
    alignment: NDArray[np.float32]  # (T, S), rows sum to 1
    end_mass: NDArray[np.float32]  # (T,) share that each word's look left to the source's end
    log_prob: float  # of the words and the end of the sentence
    pieces: int = 0  # that the words were said in; a length penalty counts them and the end
    source: str = ""  # as it was given
    source_language: str = ""
    target_language: str = ""
    guessed: bool = False  # whether the source's language was not given
    n_best: tuple[Translation, ...] = ()  # the other sentences found, from second best on
    error: str | None = None  # why there is no translation

    def __repr__(self) -> str:
        if self.error is not None:
            return f"<Translation of {shown(self.source)}: {shown(self.error)}>"
        way = f"{self.source_language} → {self.target_language}"
        return f"<Translation {shown(self.text)} of {shown(self.source)}, {way}>"

    def heatmap(self) -> Image.Image:
        """The alignment drawn: the source on top, the translation at the left."""
        return render.heatmap(
            self.source_words,
            [word.text for word in self.words],
            self.alignment,
            end_mass=self.end_mass,
            title=self.text,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, as `captioner translate --jsonl` writes them."""
        values: dict[str, Any] = {
            "source": self.source,
            "from": self.source_language,
            "guessed": self.guessed,
            "to": self.target_language,
            "source_words": list(self.source_words),
            **self._said(),
        }
        if self.n_best:
            values["n_best"] = [other._said() for other in self.n_best]
        return {**values, "error": self.error}

    def _said(self) -> dict[str, Any]:
        return {
            "translation": self.text,
            "words": [word.to_dict() for word in self.words],
            "alignment": [[rounded(share) for share in row] for row in self.alignment.tolist()],
            "end_mass": [rounded(share) for share in self.end_mass.tolist()],
            "log_prob": rounded(self.log_prob),
        }


@dataclass(frozen=True)
class _Line:
    """One sentence on its way: its pieces, or why it is not translated."""

    text: str
    pieces: Pieces
    language: str = ""
    error: str | None = None

    @property
    def limit(self) -> int:
        """The most pieces that its translation may have.

        Sentences of a like length share it, and only those are searched together, so that no
        sentence depends on its neighbours.
        """
        return 2 * _WIDTH * -(-(len(self.pieces.ids) + 1) // _WIDTH) + 10


class Translator:
    """Translates sentences between the languages of one checkpoint."""

    def __init__(
        self, checkpoint: checkpoints.TranslationCheckpoint, device: str | torch.device = "cpu"
    ) -> None:
        self.checkpoint = checkpoint
        self.device = devices.pick(device)
        model = copy.deepcopy(checkpoint.model).eval().requires_grad_(False)
        self.model = model.to(self.device)
        self.subwords = checkpoint.subwords
        self.languages = checkpoint.languages

    @classmethod
    def load(
        cls, path: str | PathLike[str] | None = None, device: str | torch.device = "cpu"
    ) -> Translator:
        """The translator of a checkpoint; without a path, of the weights that came along.

        Args:
            path: of the checkpoint.
            device: where to compute; `auto` is a GPU where there is one.

        Raises:
            ConfigError: the device cannot be used.
            CheckpointError: there is no usable checkpoint at `path`.
        """
        device = devices.pick(device)  # before the weights are read
        path = fspath(path) if path else checkpoints.default_path(checkpoints.TRANSLATE)
        return cls(checkpoints.load_translation(path), device)

    def options(self, **settings: Any) -> SearchOptions:
        """The checkpoint's own decoding options with `settings` (fields of `SearchOptions`) put in.

        Raises:
            ConfigError: a field is unknown or out of range.
        """
        return self.checkpoint.search.changed(**settings)

    def __call__(
        self, text: str, *, to: str, source_language: str | None = None, **settings: Any
    ) -> Translation:
        """Translates one sentence.

        Args:
            text: the sentence; an empty one gives an empty translation.
            to: language, such as `de`.
            source_language: of the sentence; left out, it is guessed.
            settings: fields of `SearchOptions`; what is left out comes from the checkpoint.

        Raises:
            ConfigError: the checkpoint does not translate so, the sentence cannot be read or is
                too long, or a setting is wrong.
        """
        lines = self.stream([text], to=to, source_language=source_language, **settings)
        return self._raised(lines)

    translate = __call__

    def explain(
        self, text: str, translation: str, *, to: str, source_language: str | None = None
    ) -> Translation:
        """What the model thinks of *your* translation: how likely each word is, where it looks.

        Raises:
            ConfigError: as `translate`, or the translation has no words.
        """
        pairs = self.stream_explained([(text, translation)], to=to, source_language=source_language)
        return self._raised(pairs)

    @staticmethod
    def _raised(found: Iterator[Translation]) -> Translation:
        translation = next(found)
        if translation.error is not None:
            raise ConfigError(translation.error)
        return translation

    def stream(
        self,
        lines: Iterable[str],
        *,
        to: str,
        source_language: str | None = None,
        batch_size: int = 64,
        **settings: Any,
    ) -> Iterator[Translation]:
        """Translates any number of sentences in their order, in bounded memory.

        An empty line gives an empty `Translation`, one that cannot be translated gives its `error`,
        and the others go on.

        Args:
            lines: any iterable, taken some batches ahead and searched by length.
            to: language, such as `de`.
            source_language: of all sentences; left out, it is guessed for each.
            batch_size: sentences translated together.
            settings: fields of `SearchOptions`.

        Raises:
            ConfigError: the checkpoint does not translate so, or a setting is wrong.
        """
        options = self.options(**settings)
        self._check(to, source_language, batch_size)
        start = self._start(to)
        numbers = itertools.count()
        for several in _several(lines, batch_size * _AHEAD):
            read = [self._read(text, to, source_language) for text in several]
            own = [next(numbers) for _ in read]
            found: dict[int, Translation] = {}
            for places in _alike(read, batch_size):
                limit = min(options.max_length, read[places[0]].limit)
                hypotheses = search(
                    self.model.decoder,
                    self._memory([read[place] for place in places]),
                    dataclasses.replace(options, max_length=limit),
                    indices=[own[place] for place in places],
                    start=start,
                )
                for place, best in zip(places, hypotheses, strict=True):
                    found[place] = self._translation(read[place], best, to, not source_language)
            for place, line in enumerate(read):
                yield found.get(place) or _nothing(line, to, not source_language)

    def stream_explained(
        self,
        pairs: Iterable[tuple[str, str]],
        *,
        to: str,
        source_language: str | None = None,
        batch_size: int = 64,
        alternatives: int = 5,
    ) -> Iterator[Translation]:
        """`explain` for any number of (sentence, translation) pairs, in their order."""
        self._check(to, source_language, batch_size)
        start = self._start(to)
        for several in _several(pairs, batch_size):
            read = [self._read(text, to, source_language) for text, _ in several]
            said = [self.subwords.encode(translation) for _, translation in several]
            read = [
                line if line.error or pieces.ids else dataclasses.replace(line, error=_WORDLESS)
                for line, pieces in zip(read, said, strict=True)
            ]
            good = [place for place, line in enumerate(read) if not line.error and line.pieces.ids]
            found = iter(
                force(
                    self.model.decoder,
                    self._memory([read[place] for place in good]),
                    [said[place].ids for place in good],
                    alternatives=alternatives,
                    start=start,
                )
                if good
                else []
            )
            for place, line in enumerate(read):
                if place in good:
                    yield self._merged(
                        line,
                        next(found),
                        clean(several[place][1]),
                        said[place],
                        to,
                        not source_language,
                    )
                else:
                    yield _nothing(line, to, not source_language)

    def _check(self, to: str, source_language: str | None, batch_size: int) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; expected at least 1")
        self.languages.check(source_language, to)

    def _start(self, to: str) -> Start:
        return Start(self.subwords.start(to), self.subwords.starts)

    def _read(self, text: str, to: str, language: str | None) -> _Line:
        pieces = self.subwords.encode(text)
        if not pieces.ids:
            return _Line(text, pieces, language or "")
        if len(pieces.words) > MAX_WORDS or len(pieces.ids) > MAX_PIECES:
            error = (
                f"{len(pieces.words)} words in {len(pieces.ids)} pieces are too long for one "
                f"sentence; split what has more than {MAX_WORDS} words or {MAX_PIECES} pieces"
            )
            return _Line(text, pieces, language or "", error)
        if UNK in pieces.ids and not any(map(self._spells, pieces.ids)):
            error = (
                "nothing of this can be read: not one of its letters stood in the training "
                f"sentences ({', '.join(self.languages.names)})"
            )
            return _Line(text, pieces, language or "", error)
        try:
            return _Line(text, pieces, language or self.languages.guess(pieces.ids, to))
        except CaptionerError as error:
            return _Line(text, pieces, error=str(error))

    def _spells(self, piece: int) -> bool:
        """Whether a piece holds a letter or a digit."""
        return piece != UNK and any(map(str.isalnum, self.subwords.pieces[piece]))

    @torch.inference_mode()
    def _memory(self, lines: Sequence[_Line]) -> Memory:
        sources = [torch.tensor([*line.pieces.ids, EOS]) for line in lines]
        lengths = torch.tensor([len(source) for source in sources])
        padded = pad_sequence(sources, batch_first=True).to(self.device)
        return self.model.encoder(padded, lengths)

    def _translation(
        self, line: _Line, hypotheses: Sequence[Hypothesis], to: str, guessed: bool
    ) -> Translation:
        first, *others = [
            self._merged(line, hypothesis, *self.subwords.decode(hypothesis.tokens), to, guessed)
            for hypothesis in hypotheses
        ]
        return dataclasses.replace(first, n_best=tuple(others))

    def _merged(
        self, line: _Line, found: Hypothesis, text: str, target: Pieces, to: str, guessed: bool
    ) -> Translation:
        """Whole words: sums over a source word's pieces, the mean over a target word's."""
        source = line.pieces
        looked = found.weights.mean(1)[:, : len(source.ids) + 1].astype(np.float64)  # (P, N)
        by_source = np.zeros((looked.shape[1], len(source.words) + 1))
        by_source[np.arange(looked.shape[1]), [*source.owners, len(source.words)]] = 1
        by_target = np.zeros((len(target.words), len(looked)))
        by_target[list(target.owners), np.arange(len(target.owners))] = 1
        by_target /= by_target.sum(1, keepdims=True)
        merged = by_target @ looked @ by_source  # (T, S + 1)
        alignment = merged[:, :-1] + np.finfo(np.float32).tiny  # all may be on the end
        alignment /= alignment.sum(1, keepdims=True)
        return Translation(
            text=text,
            source_words=source.words,
            words=tuple(self._word(found, target, word) for word in range(len(target.words))),
            alignment=alignment.astype(np.float32),
            end_mass=merged[:, -1].astype(np.float32),
            log_prob=found.log_prob,
            pieces=len(found.tokens),
            source=line.text,
            source_language=line.language,
            target_language=to,
            guessed=guessed,
        )

    def _word(self, found: Hypothesis, target: Pieces, word: int) -> Word:
        """The product of its pieces' probabilities; what else could have begun there."""
        places = [place for place, owner in enumerate(target.owners) if owner == word]
        others = found.alternatives[places[0]].tolist()
        probs = found.alternative_probs[places[0]].tolist()
        alternatives = tuple((self._shown(o), p) for o, p in zip(others, probs, strict=True))
        if any(found.tokens[place] == UNK for place in places):
            return Word(target.words[word], None, None, alternatives, known=False)
        log_prob = float(found.log_probs[places].sum(dtype=np.float64))
        return Word(target.words[word], float(np.exp(log_prob)), log_prob, alternatives)

    def _shown(self, piece: int) -> str:
        return END if piece == EOS else self.subwords.decode([piece])[0]


_WORDLESS = "the translation has no words; write what the sentence says"


def _nothing(line: _Line, to: str, guessed: bool) -> Translation:
    """What an empty line gives, and one that cannot be translated."""
    return Translation(
        text="",
        source_words=line.pieces.words,
        words=(),
        alignment=np.zeros((0, len(line.pieces.words)), np.float32),
        end_mass=np.zeros(0, np.float32),
        log_prob=0.0,
        source=line.text,
        source_language=line.language,
        target_language=to,
        guessed=guessed and bool(line.language),
        error=line.error,
    )


def _several(items: Iterable[T], count: int) -> Iterator[list[T]]:
    """The items in lists of `count`."""
    rest = iter(items)
    while several := list(itertools.islice(rest, count)):
        yield several


def _alike(lines: Sequence[_Line], batch_size: int) -> Iterator[list[int]]:
    """Places of lines of a like length, at most `batch_size` together."""
    good = [place for place, line in enumerate(lines) if not line.error and line.pieces.ids]
    good.sort(key=lambda place: len(lines[place].pieces.ids))
    for _, alike in itertools.groupby(good, lambda place: lines[place].limit):
        yield from _several(alike, batch_size)
