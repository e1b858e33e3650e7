"""What people call: a sentence in, its translation out, with what every word looked at.

Shapes: B sentences, S source words, T target words, N positions of the memory (the source's pieces
and its end), P pieces of the translation.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.utils.rnn import pad_sequence

from captioner import checkpoint as checkpoints
from captioner import devices
from captioner.errors import CaptionerError, ConfigError, shown
from captioner.nn.memory import Memory
from captioner.options import SENTENCES_AT_ONCE, SearchOptions
from captioner.pictures.heatmap import draw_heatmap
from captioner.pipeline import in_batches
from captioner.search import Hypothesis, Start, force, search
from captioner.subwords import Pieces, clean
from captioner.text import EOS, UNK, half_character, has_words, sentence_case, sentences
from captioner.words import Word, rounded

T = TypeVar("T")

MAX_WORDS, MAX_PIECES = 200, 800  # of a source sentence
END = "(end)"  # how an alternative reads that would end the sentence
_WIDTH = 16  # sentences searched together share their number of pieces up to this rounding
_AHEAD = 8  # batches that are read before the first is translated


@dataclass(frozen=True, eq=False)
class Translation:
    """A text in another language, and what each of its words looked at.

    A text of several sentences is translated sentence by sentence and joined: the alignment is
    block-diagonal then, as no word looks beyond its own sentence, and its rows still sum to 1.
    """

    text: str  # as people write it
    source_words: tuple[str, ...]  # S words, punctuation marks among them
    words: tuple[Word, ...]  # T words
    alignment: NDArray[np.float32]  # (T, S), rows sum to 1
    end_mass: NDArray[np.float32]  # (T,) share that each word's look left to the source's end
    log_prob: float  # of the words and the end of every sentence
    pieces: int = 0  # that the words were said in; a length penalty counts them and the end
    source: str = ""  # as it was given
    source_language: str = ""
    target_language: str = ""
    guessed: bool = False  # whether the source's language was not given
    n_best: tuple[Translation, ...] = ()  # the other sentences found, from second best on
    warning: str | None = None  # why not to rely on it: an answer in another language, a guess
    error: str | None = None  # why there is no translation

    def __repr__(self) -> str:
        if self.error is not None:
            return f"<Translation of {shown(self.source)}: {shown(self.error)}>"
        way = f"{self.source_language} → {self.target_language}"
        return f"<Translation {shown(self.text)} of {shown(self.source)}, {way}>"

    def heatmap(self) -> Image.Image:
        """The alignment drawn: the source on top, the translation at the left."""
        return draw_heatmap(
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
        return {**values, "warning": self.warning, "error": self.error}

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
    unread: bool = False  # whether the error is that no letter of it is known
    kept: str | None = None  # why it stays as it is
    warning: str | None = None  # about its language

    @property
    def good(self) -> bool:
        """Whether there is something to translate."""
        return bool(self.pieces.ids) and self.error is None and self.kept is None

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
        self._process = os.getpid()
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
        path = checkpoints.default_path(checkpoints.TRANSLATE) if path is None else path
        return cls(checkpoints.load_translation(path), device)

    def options(self, own: SearchOptions | None = None, /, **settings: Any) -> SearchOptions:
        """`own`, or the checkpoint's options, with `settings` (fields of `SearchOptions`) put in.

        Raises:
            ConfigError: a field is unknown or out of range.
        """
        return (self.checkpoint.search if own is None else own).changed(**settings)

    def __call__(
        self,
        text: str,
        *,
        to: str,
        source_language: str | None = None,
        options: SearchOptions | None = None,
        **settings: Any,
    ) -> Translation:
        """Translates one text, sentence by sentence.

        Args:
            text: one sentence or several; an empty one gives an empty translation.
            to: language, such as `de`.
            source_language: of the text; left out, it is guessed.
            options: how to decode; left out, as the checkpoint has it.
            settings: fields of `SearchOptions` that are put into the options.

        Returns:
            The translation; its `warning` says where it should not be relied on.

        Raises:
            ConfigError: the checkpoint does not translate so, the text is no string, has no words,
                cannot be read or has a sentence that is too long, or a setting is wrong.
        """
        lines = self.stream(
            [text], to=to, source_language=source_language, options=options, **settings
        )
        translation = self._raised(lines)
        if clean(text) and not has_words(text):
            raise ConfigError(f"{_short(text)} has no words to translate; write a sentence")
        return translation

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
        batch_size: int = SENTENCES_AT_ONCE,
        split: bool = True,
        options: SearchOptions | None = None,
        **settings: Any,
    ) -> Iterator[Translation]:
        """Translates any number of texts in their order, in bounded memory.

        An empty line gives an empty `Translation`, one that cannot be translated gives its `error`,
        and the others go on. A line without words, such as `* * *`, is its own translation, with a
        `warning`; so is an unreadable sentence among others.

        Where the texts are no sequence, they are taken in a thread of their own: what is there
        already is translated while the next text is waited for, and what taking one raises comes
        behind the translations of all texts before it.

        Args:
            lines: any iterable of texts, taken some batches ahead and searched by length.
            to: language, such as `de`.
            source_language: of all texts; left out, it is guessed for each.
            batch_size: sentences translated together.
            split: translate a text of several sentences sentence by sentence (see
                `captioner.text.sentences`); otherwise each text is one sentence to the model, which
                tends to leave out all but one.
            options: how to decode; left out, as the checkpoint has it.
            settings: fields of `SearchOptions` that are put into the options.

        Raises:
            ConfigError: the checkpoint does not translate so, `lines` is a single text, or a
                setting is wrong.
        """
        options = self.options(options, **settings)
        to, source_language = self._check(to, source_language, batch_size, options)
        guessed = not source_language
        numbers = itertools.count()
        for several in in_batches(_many(lines), lambda text: text, batch_size * _AHEAD, 1):
            texts = [self._lines(text, to, source_language, split) for text in several]
            read = [line for own in texts for line in own]
            # A sentence draws by the place of its text, and by its own place in there.
            draws = [
                n + (k << 32)
                for own, n in zip(texts, numbers, strict=False)
                for k in range(len(own))
            ]
            found = self._searched(read, draws, to, guessed, batch_size, options)
            rest = (found.get(n) or _untold(line, to, guessed) for n, line in enumerate(read))
            for text, own in zip(several, texts, strict=True):
                parts = list(itertools.islice(rest, len(own)))
                yield _joined(text, parts, options) if len(own) > 1 else parts[0]

    def _searched(
        self,
        read: Sequence[_Line],
        draws: Sequence[int],
        to: str,
        guessed: bool,
        batch_size: int,
        options: SearchOptions,
    ) -> dict[int, Translation]:
        """The translations of the sentences that can be translated, by their place."""
        found: dict[int, Translation] = {}
        for places in _alike(read, batch_size):
            limit = min(options.max_length, read[places[0]].limit)
            hypotheses = search(
                self.model.decoder,
                self._memory([read[place] for place in places]),
                dataclasses.replace(options, max_length=limit),
                indices=[draws[place] for place in places],
                start=self._start(to),
            )
            for place, best in zip(places, hypotheses, strict=True):
                found[place] = self._translation(read[place], best, to, guessed)
        return found

    def stream_explained(
        self,
        pairs: Iterable[tuple[str, str]],
        *,
        to: str,
        source_language: str | None = None,
        batch_size: int = SENTENCES_AT_ONCE,
        alternatives: int = SearchOptions.alternatives,
        split: bool = True,
    ) -> Iterator[Translation]:
        """`explain` for any number of (text, translation) pairs, in their order.

        A pair of as many sentences on both sides is explained sentence by sentence.
        """
        options = self.options(alternatives=alternatives)
        to, source_language = self._check(to, source_language, batch_size, options)
        guessed = not source_language
        for several in in_batches(_many(pairs), lambda pair: pair, batch_size, 1):
            tasks = [self._pair(*pair, to, source_language, split) for pair in several]
            every = [task for own in tasks for task in own]
            good = [(line, said) for line, said in every if not line.error and line.pieces.ids]
            found = iter(
                force(
                    self.model.decoder,
                    self._memory([line for line, _ in good]),
                    [self.subwords.encode(said).ids for _, said in good],
                    alternatives=options.alternatives,
                    start=self._start(to),
                )
                if good
                else []
            )
            for (text, _), own in zip(several, tasks, strict=True):
                parts = [
                    _nothing(line, to, guessed)
                    if line.error or not line.pieces.ids
                    else self._merged(
                        line, next(found), clean(said), self.subwords.encode(said), to, guessed
                    )
                    for line, said in own
                ]
                yield _together(text, parts) if len(own) > 1 else parts[0]

    def _pair(
        self, text: str, translation: str, to: str, language: str | None, split: bool
    ) -> list[tuple[_Line, str]]:
        """A text's sentences, each with its own translation; a text as a whole otherwise."""
        if not isinstance(text, str) or not isinstance(translation, str):
            wrong = translation if isinstance(text, str) else text
            return [(_Line("", _NOTHING, error=_no_text(wrong)), "")]
        lines, said = self._lines(text, to, language, split), sentences(translation)
        if len(lines) == len(said) and all(line.good and has_words(line.text) for line in lines):
            return list(zip(lines, said, strict=True))
        [line] = self._lines(text, to, language, split=False)
        if not line.error and not self.subwords.encode(translation).ids:
            line = dataclasses.replace(line, error=_WORDLESS)
        return [(line, translation)]

    def _check(
        self, to: str, source_language: str | None, batch_size: int, options: SearchOptions
    ) -> tuple[str, str | None]:
        """The languages as the checkpoint writes them."""
        devices.check_process(self.device, self._process)
        options.check_batch(batch_size)
        to = self.languages.code(to)
        source_language = source_language and self.languages.code(source_language)
        self.languages.check(source_language, to)
        return to, source_language

    def _start(self, to: str) -> Start:
        return Start(self.subwords.start(to), self.subwords.starts)

    def _lines(self, text: str, to: str, language: str | None, split: bool) -> list[_Line]:
        """A text's sentences, at least one, or the one reason why there is no translation."""
        if not isinstance(text, str):
            return [_Line("", _NOTHING, language or "", _no_text(text))]
        if (error := half_character(text)) is not None:
            return [_Line(text, self.subwords.encode(text), language or "", error)]
        parts = sentences(text) if split else []
        if len(parts) < 2:
            return [self._read(text, to, language)]
        lines = [self._cut(part) for part in parts]
        if any(line.good for line in lines):  # then what cannot be read stays as it is
            lines = [
                dataclasses.replace(line, error=None, kept=_short(line.text) + _UNREAD)
                if line.unread
                else line
                for line in lines
            ]
        lines = self._in_language(lines, to, language)
        for number, line in enumerate(lines, 1):
            if line.error:
                words = tuple(word for each in lines for word in each.pieces.words)
                error = line.error if len(lines) == 1 else f"sentence {number}: {line.error}"
                return [_Line(text, Pieces((), (), words), language or "", error)]
        return lines

    def _read(self, text: str, to: str, language: str | None) -> _Line:
        """A text as one sentence."""
        return self._in_language([self._cut(text)], to, language)[0]

    def _cut(self, text: str) -> _Line:
        """A sentence in pieces; one in capitals as if it were in small letters."""
        pieces = self._encode(text, sentence_case(text))
        if not pieces.ids:
            return _Line(text, pieces)
        if not has_words(text):
            return _Line(text, pieces, kept=_short(text) + _NO_WORDS)
        if len(pieces.words) > MAX_WORDS or len(pieces.ids) > MAX_PIECES:
            error = (
                f"{len(pieces.words)} words in {len(pieces.ids)} pieces are too long for one "
                f"sentence; split what has more than {MAX_WORDS} words or {MAX_PIECES} pieces"
            )
            return _Line(text, pieces, error=error)
        unknown = any(piece == UNK or self.subwords.is_byte(piece) for piece in pieces.ids)
        if unknown and not any(map(self._spells, pieces.ids)):
            error = (
                "nothing of this can be read: not one of its letters stood in the training "
                f"sentences ({', '.join(self.languages.names)})"
            )
            return _Line(text, pieces, error=error, unread=True)
        return _Line(text, pieces)

    def _encode(self, text: str, read_as: str) -> Pieces:
        """What is read instead of the text, with the words as they are written, if they agree."""
        pieces = self.subwords.encode(read_as)
        if read_as == text:
            return pieces
        words = self.subwords.encode(text).words
        return (
            dataclasses.replace(pieces, words=words) if len(words) == len(pieces.words) else pieces
        )

    def _in_language(self, lines: list[_Line], to: str, language: str | None) -> list[_Line]:
        """The sentences of a text with its language, which is guessed from all that it says."""
        warning = None
        good = [line for line in lines if line.good]
        if not language and good:
            pieces = [piece for line in good for piece in line.pieces.ids]
            try:
                language = self.languages.guess(pieces, to)
            except CaptionerError as error:
                words = tuple(word for line in lines for word in line.pieces.words)
                text = " ".join(line.text for line in lines)
                return [_Line(text, Pieces((), (), words), error=str(error))]
            warning = self._guess_warning(language, pieces)
        lines = [
            dataclasses.replace(line, language=language or "", warning=warning) for line in lines
        ]
        return [self._with_i(line) if line.good else line for line in lines]

    def _guess_warning(self, language: str, pieces: Sequence[int]) -> str | None:
        other = self.languages.unlike(pieces, language)
        return other and (
            f"taken for {language!r}, though it looks more like {other!r}; name the language if it "
            "is another"
        )

    def _with_i(self, line: _Line) -> _Line:
        """An English sentence in capitals keeps the one in `I`."""
        if line.language != "en" or not line.text.isupper():
            return line
        read_as = re.sub(r"\bi\b", "I", sentence_case(line.text))
        return dataclasses.replace(line, pieces=self._encode(line.text, read_as))

    def _spells(self, piece: int) -> bool:
        """Whether a piece holds a letter or a digit; of bytes, only what training has met."""
        if self.subwords.is_byte(piece):
            return bool(self.languages.counts[:, piece].any())
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
        said = []
        for hypothesis in hypotheses:
            text, target = self.subwords.decode(hypothesis.tokens)
            one = self._merged(line, hypothesis, text, target, to, guessed)
            notes = filter(None, (line.warning, self._answer_warning(line, target, to)))
            said.append(dataclasses.replace(one, warning="; ".join(notes) or None))
        return dataclasses.replace(said[0], n_best=tuple(said[1:]))

    def _answer_warning(self, line: _Line, target: Pieces, to: str) -> str | None:
        """Whether the answer is of another language, by the words that are no copied names."""
        if not target.words:
            return "the answer has no words"
        names = {word for word in line.pieces.words if word[0].isupper()}
        own = zip(target.ids, target.owners, strict=True)
        held = [piece for piece, owner in own if target.words[owner] not in names]
        other = self.languages.unlike(held, to)
        return other and (
            f"the answer looks like {other!r}, not {to!r}: these weights have learned too little "
            "of such sentences; do not rely on it"
        )

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
        if self.subwords.is_byte(piece):
            return self.subwords.pieces[piece]
        return END if piece == EOS else self.subwords.decode([piece])[0]


_WORDLESS = "the translation has no words; write what the sentence says"
_NO_WORDS = " has no words to translate; it stays as it is"
_UNREAD = " cannot be read, its letters stood in no training sentence; it stays as it is"
_NOTHING = Pieces((), (), ())
_NO_SPACE = tuple("。！？｡」』")  # what no space follows


def _short(text: str) -> str:
    """The beginning of a text, in quotes, on one line."""
    text = clean(text)
    return repr(text if len(text) <= 40 else f"{text[:39]}…")


def _no_text(value: object) -> str:
    name = "None" if value is None else f"a value of type {type(value).__name__}"
    return f"{name} came; expected a sentence as a string"


def _many(items: Iterable[T]) -> Iterable[T]:
    """The items, unless they are one text, which would be taken letter by letter.

    Raises:
        ConfigError: they are, or cannot be taken one by one.
    """
    if isinstance(items, (str, bytes)) or not isinstance(items, Iterable):
        name = "None" if items is None else f"one value of type {type(items).__name__}"
        raise ConfigError(
            f"a stream takes any number of sentences, but {name} came; put one sentence in a list, "
            "[text], or call the translator itself"
        )
    return items


def _untold(line: _Line, to: str, guessed: bool) -> Translation:
    """What a line gives that was not searched for: itself, or nothing."""
    nothing = _nothing(line, to, guessed)
    if line.kept is None or line.error is not None:
        return nothing
    words = line.pieces.words
    return dataclasses.replace(
        nothing,
        text=clean(line.text),
        words=tuple(Word(word, None, None, known=False) for word in words),
        alignment=np.eye(len(words), dtype=np.float32),
        end_mass=np.zeros(len(words), np.float32),
        warning=line.kept,
    )


def _joined(source: str, parts: Sequence[Translation], options: SearchOptions) -> Translation:
    """A text's best translations from the best of its sentences."""

    def score(found: Translation) -> float:
        return found.log_prob / (found.pieces + 1) ** options.length_penalty

    best: list[tuple[Translation, ...]] = [()]
    for part in parts:  # the best of all ways to go on are among those from the best beginnings
        ways = [(*begun, one) for begun in best for one in (part, *part.n_best)]
        best = sorted(ways, key=lambda way: -sum(map(score, way)))[: options.n_best]
    first, *others = [_together(source, way) for way in best]
    return dataclasses.replace(first, n_best=tuple(others))


def _together(source: str, parts: Sequence[Translation]) -> Translation:
    """A text's translation from those of its sentences; the alignment has them as blocks."""
    text = ""
    for part in parts:
        gap = " " if text and part.text and not text.endswith(_NO_SPACE) else ""
        text += gap + part.text
    shapes = np.array([part.alignment.shape for part in parts])
    alignment = np.zeros(shapes.sum(0), np.float32)  # (T, S)
    for part, (row, column) in zip(parts, shapes.cumsum(0) - shapes, strict=True):
        height, width = part.alignment.shape
        alignment[row : row + height, column : column + width] = part.alignment
    return dataclasses.replace(
        parts[0],
        text=text,
        source_words=tuple(word for part in parts for word in part.source_words),
        words=tuple(word for part in parts for word in part.words),
        alignment=alignment,
        end_mass=np.concatenate([part.end_mass for part in parts]),
        log_prob=sum(part.log_prob for part in parts),
        pieces=sum(part.pieces + 1 for part in parts) - 1,  # each has an end of its own
        source=source,
        guessed=any(part.guessed for part in parts),
        n_best=(),
        warning=_warnings(parts),
    )


def _warnings(parts: Sequence[Translation]) -> str | None:
    """What is to be said of a text, each thing once, with the sentences that it is about."""
    about: dict[str, list[str]] = {}
    for number, part in enumerate(parts, 1):
        if part.warning:
            about.setdefault(part.warning, []).append(str(number))
    told = [f"sentence {', '.join(numbers)}: {warning}" for warning, numbers in about.items()]
    return "; ".join(told) or None


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
    good = [place for place, line in enumerate(lines) if line.good]
    good.sort(key=lambda place: len(lines[place].pieces.ids))
    for _, alike in itertools.groupby(good, lambda place: lines[place].limit):
        yield from _several(alike, batch_size)
