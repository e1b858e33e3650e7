"""What people call: a sentence in, its translation out, with what every word looked at.

Shapes: B sentences, S source words, T target words, N positions of the memory (the source's pieces
and its end), P pieces of the translation.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import Any, TypeVar

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from captioner import devices
from captioner.errors import ConfigError, ImageError, shown
from captioner.nn.memory import Memory
from captioner.nn.sentences import TransformerEncoder
from captioner.options import SENTENCES_AT_ONCE, SearchOptions, check_alternatives
from captioner.pictures.open import ImageSource
from captioner.pipeline import in_batches
from captioner.search import Start, force, search
from captioner.sights import Eyes, Sight
from captioner.subwords import clean
from captioner.text import EOS, has_words
from captioner.tracing import trace
from captioner.translations import checkpoint as checkpoints
from captioner.translations.alternatives import Finisher
from captioner.translations.checkpoint import MultimodalCheckpoint, TranslationCheckpoint
from captioner.translations.merging import END, Merger
from captioner.translations.reader import Line, Reader, nothing, short, untold
from captioner.translations.selfattention import SelfAttention, by_word
from captioner.translations.translation import (
    SentenceReading,
    Translation,
    joined,
    together,
)

T = TypeVar("T")
Photo = ImageSource | Sight | None  # what may be in view of a sentence: None, nothing is

_NO_EYES = (
    "there is a photo, but this model has no eyes: it translates sentences alone; leave the photo "
    'out, or choose a checkpoint of task "multimodal"'
)
_NO_PHOTO = (
    "this model translates with a photo in view, and there is none; name it (--photo PHOTO, "
    "photo=…), or choose a translator's checkpoint"
)
_AHEAD = 8  # batches that are read before the first is translated


class Translator:
    """Translates sentences between the languages of one checkpoint."""

    def __init__(
        self, checkpoint: TranslationCheckpoint, device: str | torch.device = "cpu"
    ) -> None:
        if not isinstance(checkpoint, TranslationCheckpoint):
            raise ConfigError(
                f"the checkpoint is {shown(checkpoint)}; expected a translator's; "
                "Translator.load(path) reads a file"
            )
        self.checkpoint = checkpoint
        self.device = devices.pick(device)
        self._process = os.getpid()
        model = copy.deepcopy(checkpoint.model).eval().requires_grad_(False)
        self.model = model.to(self.device)
        self.subwords = checkpoint.subwords
        self.languages = checkpoint.languages
        self.reader = Reader(self.subwords, self.languages)
        self._merger = Merger(self.subwords, self.reader)
        self.eyes: Eyes | None = None  # of a model that looks at photos
        if isinstance(checkpoint, MultimodalCheckpoint):
            self.eyes = Eyes(self.model.encoder.photo, checkpoint.preprocess)  # type: ignore[arg-type]

    def __reduce__(self) -> tuple[Any, ...]:
        """For other processes: the checkpoint is sent, and all else is made of it there."""
        return type(self), (self.checkpoint, str(self.device))

    def __repr__(self) -> str:
        ways = ", ".join(f"{source} → {to}" for source, to in self.languages.directions)
        return f"<{type(self).__name__} on {self.device}, {ways}>"

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
        return cls(checkpoints.load(path, "cpu"), device)

    def options(self, own: SearchOptions | None = None, /, **settings: Any) -> SearchOptions:
        """`own`, or the checkpoint's options, with `settings` (fields of `SearchOptions`) put in.

        Raises:
            ConfigError: a field is unknown or out of range.
        """
        return self.checkpoint.options(own, **settings)

    def look(self, photo: ImageSource) -> Sight:
        """Opens a photo and sees it, once for all sentences that are translated in its view.

        Raises:
            ConfigError: the model has no eyes.
            ImageError: it is no readable photo.
        """
        devices.check_process(self.device, self._process)
        if self.eyes is None:
            raise ConfigError(_NO_EYES)
        return self.eyes.look(photo)

    def __call__(
        self,
        text: str,
        *,
        to: str,
        source_language: str | None = None,
        photo: Photo = None,
        options: SearchOptions | None = None,
        **settings: Any,
    ) -> Translation:
        """Translates one text, sentence by sentence.

        Args:
            text: one sentence or several; an empty one gives an empty translation.
            to: language, such as `de`.
            source_language: of the text; left out, it is guessed.
            photo: what the text is about, for a model that looks at photos.
            options: how to decode; left out, as the checkpoint has it.
            settings: fields of `SearchOptions` that are put into the options.

        Returns:
            The translation; its `warning` says where it should not be relied on.

        Raises:
            ConfigError: the checkpoint does not translate so, the text is no string, has no words,
                cannot be read or has a sentence that is too long, or a setting is wrong; there is a
                photo that the model has no eyes for, or none, and it has; or it is unreadable.
        """
        photos = None if photo is None else [photo]
        lines = self.stream(
            [text],
            to=to,
            source_language=source_language,
            photos=photos,
            options=options,
            **settings,
        )
        translation = _raised(lines)
        if clean(text) and not has_words(text):
            raise ConfigError(f"{short(text)} has no words to translate; write a sentence")
        return translation

    translate = __call__

    def explain(
        self,
        text: str,
        translation: str,
        *,
        to: str,
        source_language: str | None = None,
        photo: Photo = None,
    ) -> Translation:
        """What the model thinks of *your* translation: how likely each word is, where it looks.

        Raises:
            ConfigError: as `translate`, or the translation has no words.
        """
        photos = None if photo is None else [photo]
        pairs = self.stream_explained(
            [(text, translation)], to=to, source_language=source_language, photos=photos
        )
        return _raised(pairs)

    def guess(self, text: str, to: str) -> str | None:
        """The language of a whole text that shall be translated into `to`; None if it is empty.

        A text tells more than each of its sentences.

        Raises:
            ConfigError: it is, without doubt, of a language that is not translated into `to`, or
                nothing is.
        """
        self.languages.check(None, to)
        pieces = self.reader.told(text)
        return self.languages.guess(pieces, to) if pieces else None

    def direction(self, text: str, to: str) -> tuple[str | None, str]:
        """The languages between which a text is translated that someone wants in `to`.

        Where its language is, without doubt, translated into others only, that is the first of
        them; otherwise `guess` tells the one and `to` is the other.

        Raises:
            ConfigError: nothing is translated into `to`, or nothing from the text's language.
        """
        self.languages.check(None, to)
        pieces = self.reader.told(text)
        there = self.languages.elsewhere(pieces, to) if pieces else None
        return there or (self.guess(text, to), to)

    def trace(self, found: Translation, alternatives: int = 8) -> SentenceReading:
        """Everything that is computed while a sentence and its translation are read, step by step.

        Args:
            found: of one sentence.
            alternatives: how many of the likeliest next pieces to keep.

        Raises:
            ConfigError: `alternatives` is out of range, or the model attends to nothing.
        """
        check_alternatives(alternatives)
        devices.check_process(self.device, self._process)
        read = self.reader.pieces(found.source, found.source_language).ids
        said = self.subwords.encode(found.text).ids
        sight = None if found.seen is None else found.seen.sight
        memory = self._encoded([read], [sight])
        start = Start(self.subwords.start(found.target_language))
        traced = trace(self.model.decoder, memory, said, start=start, alternatives=alternatives)
        named = functools.partial(map, self._merger.piece)
        following = tuple(tuple(named(row)) for row in traced.tokens.tolist())
        pieces = tuple(named(read))
        weights = self._self_attention(read)
        return SentenceReading(
            pieces,
            tuple(named(said)),
            following,
            traced,
            None if weights is None else SelfAttention((*pieces, END), weights),
            None if sight is None else sight.geometry.grid,
            None if sight is None or self.eyes is None else self.eyes.refinement(sight),
        )

    def with_whole_words(self, found: Translation) -> Translation:
        """A translation of one sentence whose words have whole words as their alternatives.

        `Word.alternatives` of a translation are pieces, with which other words could begin.
        """
        devices.check_process(self.device, self._process)
        read = self.reader.pieces(found.source, found.source_language).ids
        said = self.subwords.encode(found.text).ids
        spelt = self.subwords.decode(said)[1].words
        if tuple(word.text for word in found.words) != tuple(spelt):  # of several sentences
            return found
        sight = None if found.seen is None else found.seen.sight
        finisher = Finisher(self.model.decoder, self.subwords)
        start = Start(self.subwords.start(found.target_language))
        words = finisher.finished(self._encoded([read], [sight]), start, said, found.words)
        return dataclasses.replace(found, words=words)

    def self_attention(self, text: str) -> SelfAttention:
        """What a sentence's words look at in one another while it is read.

        Raises:
            ConfigError: the text has no words or cannot be read, or the model reads with a
                recurrent network, whose words do not look at one another.
        """
        devices.check_process(self.device, self._process)
        line = self.reader.sentence(text)
        weights = self._self_attention(line.pieces.ids)
        if weights is None:
            raise ConfigError(
                "this model reads with a recurrent network, in which no word looks at another; "
                'train one with model.encoder.kind = "transformer"'
            )
        owners = (*line.pieces.owners, len(line.pieces.words))
        return SelfAttention((*line.pieces.words, END), by_word(weights, owners))

    @torch.inference_mode()
    def _self_attention(self, read: Sequence[int]) -> np.ndarray | None:
        """The weights (L, H, P + 1, P + 1) between a sentence's pieces (P,), if there are any."""
        encoder = self.model.encoder if self.eyes is None else self.model.encoder.sentence
        if not isinstance(encoder, TransformerEncoder):
            return None
        source = torch.tensor([[*read, EOS]], device=self.device)
        _, weights = encoder.look(source, torch.tensor([len(read) + 1]))
        found: np.ndarray = weights[0].float().cpu().numpy()
        return found

    def stream(
        self,
        lines: Iterable[str],
        *,
        to: str,
        source_language: str | None = None,
        photos: Iterable[Photo] | Sight | None = None,
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
            photos: what each text is about, in their order, or one sight for all; for a model that
                looks at photos, which does without where there is None for a text.
            batch_size: sentences translated together.
            split: translate a text of several sentences sentence by sentence (see
                `captioner.text.sentences`); otherwise each text is one sentence to the model, which
                tends to leave out all but one.
            options: how to decode; left out, as the checkpoint has it.
            settings: fields of `SearchOptions` that are put into the options.

        Raises:
            ConfigError: the checkpoint does not translate so, `lines` is a single text, there are
                photos that the model has no eyes for, or none, and it has, or more or fewer than
                texts; or a setting is wrong.
        """
        options = self.options(options, **settings)
        to, source_language = self._check(to, source_language, batch_size, options)
        views = self._views(_many(lines), photos)
        for text, parts in self._parts(views, to, source_language, batch_size, split, options):
            yield joined(text, parts, options) if len(parts) > 1 else parts[0]

    def by_sentence(
        self,
        text: str,
        *,
        to: str,
        source_language: str | None = None,
        photo: Photo = None,
        options: SearchOptions | None = None,
        **settings: Any,
    ) -> tuple[Translation, ...]:
        """Translates one text as `translate` does, its sentences side by side instead of joined.

        Each has its own alignment and `warning`; the text's language is guessed from all of it.

        Raises:
            ConfigError: as `translate`, but for a text without words, which stays as it is.
        """
        options = self.options(options, **settings)
        to, source_language = self._check(to, source_language, SENTENCES_AT_ONCE, options)
        blind = photo is None and self.eyes is None
        views = self._views([text], None if blind else [photo])
        found = self._parts(views, to, source_language, SENTENCES_AT_ONCE, True, options)
        [(_, parts)] = found
        for part in parts:
            if part.error is not None:
                raise ConfigError(part.error)
        return tuple(parts)

    def _parts(
        self,
        views: Iterable[tuple[str, Photo]],
        to: str,
        source_language: str | None,
        batch_size: int,
        split: bool,
        options: SearchOptions,
    ) -> Iterator[tuple[str, list[Translation]]]:
        """Each text with the translations of its sentences, at least one."""
        guessed = not source_language
        numbers = itertools.count()
        for several in in_batches(views, self._in_view, batch_size * _AHEAD, 1):
            texts = [
                _with(self.reader.lines(text, to, source_language, split), sight)
                for text, sight in several
            ]
            read = [line for own in texts for line in own]
            # A sentence draws by the place of its text, and by its own place in there.
            draws = [
                n + (k << 32)
                for own, n in zip(texts, numbers, strict=False)
                for k in range(len(own))
            ]
            found = self._searched(read, draws, to, guessed, batch_size, options)
            rest = (found.get(n) or untold(line, to, guessed) for n, line in enumerate(read))
            for (text, _), own in zip(several, texts, strict=True):
                yield text, list(itertools.islice(rest, len(own)))

    def _searched(
        self,
        read: Sequence[Line],
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
                start=self.start(to),
            )
            for place, best in zip(places, hypotheses, strict=True):
                found[place] = self._merger.translation(read[place], best, to, guessed)
        return found

    def stream_explained(
        self,
        pairs: Iterable[tuple[str, str]],
        *,
        to: str,
        source_language: str | None = None,
        photos: Iterable[Photo] | Sight | None = None,
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
        for several in in_batches(self._views(_many(pairs), photos), self._in_view, batch_size, 1):
            tasks = []
            for pair, sight in several:
                own = self.reader.pair(*pair, to, source_language, split)
                read = _with([line for line, _ in own], sight)
                tasks.append([(line, said) for line, (_, said) in zip(read, own, strict=True)])
            every = [task for own in tasks for task in own]
            good = [(line, said) for line, said in every if not line.error and line.pieces.ids]
            found = iter(
                force(
                    self.model.decoder,
                    self._memory([line for line, _ in good]),
                    [self.subwords.encode(said).ids for _, said in good],
                    alternatives=options.alternatives,
                    start=self.start(to),
                )
                if good
                else []
            )
            for ((text, _), _), own in zip(several, tasks, strict=True):
                parts = [
                    nothing(line, to, guessed)
                    if line.error or not line.pieces.ids
                    else self._merger.merged(
                        line, next(found), clean(said), self.subwords.encode(said), to, guessed
                    )
                    for line, said in own
                ]
                yield together(text, parts) if len(own) > 1 else parts[0]

    def _check(
        self, to: str, source_language: str | None, batch_size: int, options: SearchOptions
    ) -> tuple[str, str | None]:
        """The languages as the checkpoint writes them."""
        devices.check_process(self.device, self._process)
        options.check_batch(batch_size)
        to = self.languages.code(to)
        if source_language is not None:
            source_language = self.languages.code(source_language)
        self.languages.check(source_language, to)
        return to, source_language

    def start(self, to: str) -> Start:
        """What stands before a translation into a language, and what none can hold."""
        return Start(self.subwords.start(to), self.subwords.starts)

    def _views(
        self, items: Iterable[T], photos: Iterable[Photo] | Sight | None
    ) -> Iterable[tuple[T, Photo]]:
        """Each item with what is in its view.

        Raises:
            ConfigError: the model has no eyes for photos, or is given none.
        """
        if (photos is None) != (self.eyes is None):
            raise ConfigError(_NO_PHOTO if photos is None else _NO_EYES)
        if photos is None or isinstance(photos, Sight):
            if isinstance(items, Sequence):
                return [(item, photos) for item in items]
            return ((item, photos) for item in items)
        if isinstance(photos, (str, bytes, PathLike)) or not isinstance(photos, Iterable):
            raise ConfigError(
                f"the photos are {shown(photos)}; expected one for each text, in a list, or one "
                "sight for all, as translator.look(photo) gives it"
            )
        if isinstance(items, Sequence) and isinstance(photos, Sequence):
            return list(_paired(items, photos))
        return _paired(items, photos)

    def _in_view(self, view: tuple[T, Photo]) -> tuple[T, Sight | str | None]:
        """An item with its photo seen; with the reason, where that cannot be done."""
        item, photo = view
        if photo is None or isinstance(photo, Sight):
            return item, photo
        try:
            return item, self.look(photo)
        except ImageError as error:
            return item, str(error)

    def _memory(self, lines: Sequence[Line]) -> Memory:
        return self._encoded([line.pieces.ids for line in lines], [line.sight for line in lines])

    @torch.inference_mode()
    def _encoded(self, read: Sequence[Sequence[int]], sights: Sequence[Sight | None]) -> Memory:
        """The memory of sentences in pieces, with what is in their view."""
        sources = [torch.tensor([*pieces, EOS]) for pieces in read]
        lengths = torch.tensor([len(source) for source in sources])
        padded = pad_sequence(sources, batch_first=True).to(self.device)
        known = [sight.grid for sight in sights if sight is not None]
        if not known:
            return self.model.encoder(padded, lengths)
        grids = [torch.zeros_like(known[0]) if sight is None else sight.grid for sight in sights]
        there = torch.tensor([sight is not None for sight in sights], device=self.device)
        return self.model.encoder(padded, lengths, torch.stack(grids).to(self.device), there)


def _raised(found: Iterator[Translation]) -> Translation:
    translation = next(found)
    if translation.error is not None:
        raise ConfigError(translation.error)
    return translation


def _paired(items: Iterable[T], photos: Iterable[Photo]) -> Iterator[tuple[T, Photo]]:
    """Each item with its photo.

    Raises:
        ConfigError: there are more of one than of the other.
    """
    missing = object()
    for number, both in enumerate(itertools.zip_longest(items, photos, fillvalue=missing)):
        item, photo = both
        if item is missing or photo is missing:
            fewer, more = ("photos", "texts") if photo is missing else ("texts", "photos")
            raise ConfigError(
                f"there are {number} {fewer} and more {more}; expected a photo for each text"
            )
        yield item, photo  # type: ignore[misc]


def _with(lines: Sequence[Line], sight: Sight | str | None) -> list[Line]:
    """A text's sentences with the photo in view, or with the reason why it is not."""
    if isinstance(sight, str):
        return [dataclasses.replace(line, error=line.error or sight) for line in lines[:1]]
    return [dataclasses.replace(line, sight=sight) for line in lines]


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


def _several(items: Iterable[T], count: int) -> Iterator[list[T]]:
    """The items in lists of `count`."""
    rest = iter(items)
    while several := list(itertools.islice(rest, count)):
        yield several


def _alike(lines: Sequence[Line], batch_size: int) -> Iterator[list[int]]:
    """Places of lines of a like length, at most `batch_size` together."""
    good = [place for place, line in enumerate(lines) if line.good]
    good.sort(key=lambda place: len(lines[place].pieces.ids))
    for _, alike in itertools.groupby(good, lambda place: lines[place].limit):
        yield from _several(alike, batch_size)
