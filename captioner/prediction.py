"""What people call: a photo in, a caption out, with a map for every word."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import functools
import io
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from captioner import checkpoint as checkpoints
from captioner import devices
from captioner.errors import CaptionerError, ConfigError, ImageError, shown
from captioner.nn.encoders import fold_batch_norm, normalise
from captioner.nn.memory import Memory
from captioner.options import PHOTOS_AT_ONCE, THREADS, SearchOptions, check_workers
from captioner.pictures.folders import is_pipe
from captioner.pictures.geometry import Geometry
from captioner.pictures.open import ImageSource, open_photo, original_size
from captioner.pictures.overlay import draw_overlay
from captioner.pictures.preprocess import Preprocess
from captioner.pictures.scale import shared_peak
from captioner.pictures.sheets import contact_sheet
from captioner.pipeline import in_batches
from captioner.search import Hypothesis, Start, force, search
from captioner.text import UNK, detokenise, half_character, tokenise, unread
from captioner.translation import Translation, Translator
from captioner.words import Word, is_content, rounded

__all__ = ["Caption", "Captioner", "Word", "word_shares"]

T = TypeVar("T")
R = TypeVar("R")

_LONGEST_PIPE = 2**29  # bytes; no photo that is opened has more


@dataclass(frozen=True, eq=False)
class Caption:
    """A sentence about a photo, and where each of its words looked.

    In another language than the model's it is a translation, and where a word looked is carried
    over from the `original` by what the translation's words looked at.
    """

    text: str  # as people write it
    words: tuple[Word, ...]  # T words
    log_prob: float  # of the known words and the end of the sentence
    maps: NDArray[np.float32]  # (T, h, w), each sums to 1
    file: str | None = None  # name of the photo, where it came from a file
    geometry: Geometry | None = None  # where the cells lie on the photo
    gates: NDArray[np.float32] | None = None  # (T,) how much of the context passed, 0 to 1
    n_best: tuple[Caption, ...] = ()  # the other sentences found, from second best on
    original: Caption | None = None  # the model's own sentence, where this is its translation
    translation: Translation | None = None  # how the two belong together
    error: str | None = None  # why there is no caption
    source: Any = None  # what was handed over as the photo

    def __repr__(self) -> str:
        of = "" if self.file is None else f" of {shown(self.file)}"
        if self.error is not None:
            return f"<Caption{of}: {shown(self.error)}>"
        size = "×".join(map(str, self.maps.shape))
        return f"<Caption {shown(self.text)}{of}, maps {size}>"

    def photo(self) -> Image.Image:
        """The whole photo, upright, opened again; at half its size above 64 megapixels."""
        return open_photo(self.source)

    def overlay(self, word: str | int, *, grid: bool = False) -> Image.Image:
        """The photo with the map of one word laid over it, in the photo's own pixels.

        Args:
            word: the word (its first place counts, capitals do not) or its position.
            grid: show the real cells instead of smoothing them.

        Raises:
            ConfigError: the sentence has no such word.
        """
        peak = shared_peak(self.maps)
        return draw_overlay(self.photo(), self.maps[self._place(word)], peak=peak, grid=grid)

    def _place(self, word: str | int) -> int:
        texts = [entry.text for entry in self.words]
        if isinstance(word, int) and -len(texts) <= word < len(texts):
            return word % len(texts)
        folded = [text.casefold() for text in texts]
        if isinstance(word, str) and word.casefold() in folded:
            return folded.index(word.casefold())
        said = ", ".join(texts) or "none"
        raise ConfigError(f"the caption has no word {word!r}; its words are: {said}")

    def sheet(self, *, grid: bool = False) -> Image.Image:
        """The contact sheet: the photo, then each word over its map, on one colour scale."""
        title = self.text if self.original is None else f"{self.text} – {self.original.text}"
        return contact_sheet(self.photo(), self.words, self.maps, title=title, grid=grid)

    def to_dict(self, *, maps: bool = False) -> dict[str, Any]:
        """Plain values for JSON, as `captioner caption --jsonl` writes them.

        Args:
            maps: include the maps, h·w numbers a word, row by row, four significant digits.
        """
        values: dict[str, Any] = {
            "file": self.file,
            "caption": self.text,
            "words": [word.to_dict() for word in self.words],
            "log_prob": rounded(self.log_prob),
            "grid": list(self.maps.shape[1:]),
        }
        if maps:
            values["maps"] = [[rounded(x) for x in m.ravel().tolist()] for m in self.maps]
        if self.n_best:
            values["n_best"] = [_alternative_dict(other, maps) for other in self.n_best]
        if self.original is not None and self.translation is not None:
            values["original"] = _alternative_dict(self.original, maps)
            carried = self.translation.to_dict()
            names = ("from", "to", "source_words", "alignment", "warning")
            values |= {key: carried[key] for key in names}
        return {**values, "error": self.error}


def _alternative_dict(caption: Caption, maps: bool) -> dict[str, Any]:
    values = caption.to_dict(maps=maps)
    return {k: v for k, v in values.items() if k not in ("file", "grid", "n_best", "error")}


def _in_other_words(caption: Caption, translation: Translation) -> Caption:
    """The caption said in another language, each map carried over by the words looked at."""
    return dataclasses.replace(
        caption,
        text=translation.text,
        words=translation.words,
        log_prob=translation.log_prob,
        maps=_carried(caption, translation),
        gates=None,
        n_best=(),
        original=caption,
        translation=translation,
        error=translation.error and f"{caption.file or 'the caption'}: {translation.error}",
    )


def _carried(caption: Caption, translation: Translation) -> NDArray[np.float32]:
    """Maps (T, h, w) of the translation's words: the product of the two attentions.

    A source word that the caption has no map for, such as a full stop, is left out of the sum.
    """
    shares = word_shares(translation, [word.text for word in caption.words])
    return np.tensordot(shares, caption.maps, 1).astype(np.float32)


def word_shares(translation: Translation, words: Sequence[str]) -> NDArray[np.float64]:
    """How much each of T translated words looked at each word of the caption, rows sum to 1."""
    shares = translation.alignment.astype(np.float64) @ _overlaps(translation.source_words, words)
    shares += np.finfo(np.float32).tiny  # all may be on words without a map
    shares /= shares.sum(1, keepdims=True)
    return shares  # (T, words of the caption)


def _overlaps(words: Sequence[str], others: Sequence[str]) -> NDArray[np.float64]:
    """How the letters of `words` are shared out among `others`, two cuts of one sentence.

    `is`, `n't` and `isn`, `'`, `t` have the same letters in the same order; the sentence's own full
    stop stands behind the last of `others`, which makes a row of zeros.
    """
    shares = np.zeros((len(words), len(others)))
    owners = [place for place, other in enumerate(others) for _ in other.replace(" ", "")]
    letter = 0
    for place, word in enumerate(words):
        for owner in owners[letter : letter + len(word)]:
            shares[place, owner] += 1 / len(word)
        letter += len(word)
    return shares


class Captioner:
    """Captions photos and explains sentences about them, with one checkpoint."""

    def __init__(
        self,
        checkpoint: checkpoints.Checkpoint,
        device: str | torch.device = "cpu",
        translator: Translator | None = None,
    ) -> None:
        """Takes the weights.

        Args:
            checkpoint: of the captioner.
            device: where to compute; `auto` is a GPU where there is one.
            translator: for captions in other languages; without one, the weights that came along
                are loaded when they are first needed.

        Raises:
            ConfigError: the device cannot be used.
        """
        self.checkpoint = checkpoint
        self._translator = translator
        self.device = devices.pick(device)
        self._process = os.getpid()
        model = copy.deepcopy(checkpoint.model).eval().requires_grad_(False)
        model.encoder.features = fold_batch_norm(model.encoder.features)
        self.model = model.to(self.device)
        self.vocabulary = checkpoint.vocabulary
        self.preprocess: Preprocess = checkpoint.preprocess

    @classmethod
    def load(
        cls,
        path: str | PathLike[str] | None = None,
        device: str | torch.device = "cpu",
        translator: Translator | None = None,
    ) -> Captioner:
        """The captioner of a checkpoint; without a path, of the weights that came along.

        Args:
            path: of the checkpoint.
            device: where to compute; `auto` is a GPU where there is one.
            translator: for captions in other languages.

        Raises:
            ConfigError: the device cannot be used.
            CheckpointError: there is no usable checkpoint at `path`.
        """
        device = devices.pick(device)  # before the weights are read
        path = checkpoints.default_path() if path is None else path
        return cls(checkpoints.load(path), device, translator)

    def options(self, own: SearchOptions | None = None, /, **settings: Any) -> SearchOptions:
        """`own`, or the checkpoint's options, with `settings` (fields of `SearchOptions`) put in.

        Raises:
            ConfigError: a field is unknown or out of range.
        """
        return (self.checkpoint.search if own is None else own).changed(**settings)

    @property
    def translator(self) -> Translator:
        """What translates the captions.

        Raises:
            CheckpointError: none was given, and none came along.
        """
        if self._translator is None:
            self._translator = Translator.load(device=str(self.device))
        return self._translator

    def __call__(
        self,
        photo: ImageSource,
        *,
        prefix: str = "",
        to: str | None = None,
        options: SearchOptions | None = None,
        **settings: Any,
    ) -> Caption:
        """Captions one photo.

        Args:
            photo: path, PIL image, array, bytes or binary file.
            prefix: words that the caption must start with.
            to: language to translate the caption into, such as `de`.
            options: how to decode; left out, as the checkpoint has it.
            settings: fields of `SearchOptions` that are put into the options.

        Raises:
            ImageError: it is no readable photo.
            ConfigError: a setting is wrong, the prefix holds an unknown word, or the translator
                does not speak the language, or the captions are in it already.
            CheckpointError: a translation is wanted, and there are no weights for it.
        """
        _check_photo(photo)
        alone = {"batch_size": 1, "workers": 1, **settings}
        return self._raised(self.stream([photo], prefix=prefix, to=to, options=options, **alone))

    caption = __call__

    def explain(
        self, photo: ImageSource, sentence: str, alternatives: int = SearchOptions.alternatives
    ) -> Caption:
        """What the model thinks of *your* sentence: how likely each word is and where it looks.

        Words that the vocabulary lacks keep their place and their map, but have no probability.

        Raises:
            ImageError: it is no readable photo.
            ConfigError: the sentence has no words.
        """
        _check_photo(photo)
        if (wrong := _wrong(sentence)) is not None:
            raise ConfigError(wrong)
        pairs = [(photo, sentence)]
        return self._raised(self.stream_explained(pairs, batch_size=1, alternatives=alternatives))

    @staticmethod
    def _raised(captions: Iterator[Caption]) -> Caption:
        caption = next(captions)
        if caption.error is not None:
            raise ImageError(caption.error)
        return caption

    def stream(
        self,
        photos: Iterable[ImageSource],
        *,
        batch_size: int = PHOTOS_AT_ONCE,
        workers: int = THREADS,
        prefix: str = "",
        to: str | None = None,
        options: SearchOptions | None = None,
        **settings: Any,
    ) -> Iterator[Caption]:
        """Captions any number of photos in their order, in bounded memory.

        A photo that cannot be read gives a `Caption` with its `error`, and the others go on.

        Where the photos are no sequence, they are taken in a thread of their own: what is there
        already is captioned while the next photo is waited for, and if taking one raises, that
        comes behind the captions of all photos before it.

        Args:
            photos: any iterable, taken a few batches ahead.
            batch_size: photos captioned together, at most.
            workers: threads that open photos.
            prefix: words that every caption must start with.
            to: language to translate the captions into.
            options: how to decode; left out, as the checkpoint has it.
            settings: fields of `SearchOptions` that are put into the options.

        Raises:
            ConfigError: `photos` is a single photo or nothing that holds photos, or a setting is
                wrong.
        """
        photos = _check_photos(photos)
        options = self.options(options, **settings)
        self._check(batch_size, workers, options)
        _check_text("prefix", prefix)
        start = self._known_tokens(prefix)
        first = Start(once=() if options.repeats else self._content)
        if to is not None:
            _check_text("to", to)
            to = self.translator.languages.code(to)
        language = None if to is None else self._language_before(to)
        count = 0
        read = functools.partial(_open, preprocess=self.preprocess)
        for batch in _opened(photos, read, batch_size, workers):
            good = [opened for opened in batch if opened.error is None]
            numbers = [count + place for place, opened in enumerate(batch) if opened.error is None]
            memory = self._memory(good)
            found = (
                []
                if memory is None
                else search(self.model.decoder, memory, options, start, numbers, first)
            )
            results = iter(zip(good, found, strict=True))
            count += len(batch)
            captions = [
                opened.failed()
                if opened.error is not None
                else self._caption(memory, *next(results))
                for opened in batch
            ]
            yield from captions if to is None else self._translated(captions, to, language)

    @functools.cached_property
    def _content(self) -> tuple[int, ...]:
        """Tokens of the content words."""
        words = self.vocabulary.ordinary
        return tuple(self.vocabulary.encode(word for word in words if is_content(word)))

    def _language_before(self, to: str) -> str | None:
        """The language that captions are translated from, where the translator can tell.

        Raises:
            ConfigError: it is that very language, or none that is translated into `to`.
        """
        languages, subwords = self.translator.languages, self.translator.subwords
        words = [piece for word in self.vocabulary.ordinary for piece in subwords.encode(word).ids]
        language = languages.likeliest(words)
        if language == to:
            others = ", ".join(target for target in languages.targets if target != to)
            raise ConfigError(
                f"the captions are in {to!r} already; leave the language out, or name another to "
                f"translate them into: {others}"
            )
        languages.check(language, to)
        sources = [source for source, into in languages.directions if into == to]
        # Captions are of one language: where only one can be translated so, it need not be guessed.
        return sources[0] if language is None and len(sources) == 1 else language

    def _translated(
        self, captions: Sequence[Caption], to: str, language: str | None
    ) -> Iterator[Caption]:
        """The captions in another language; with their other sentences, where they have some."""
        every = [
            (caption, *caption.n_best) if caption.error is None else () for caption in captions
        ]
        texts = [one.text for several in every for one in several]
        translations = self.translator.stream(texts, to=to, source_language=language)
        for caption, several in zip(captions, every, strict=True):
            if not several:
                yield caption
                continue
            first, *others = [_in_other_words(one, next(translations)) for one in several]
            yield dataclasses.replace(first, n_best=tuple(others))

    def stream_explained(
        self,
        pairs: Iterable[tuple[ImageSource, str]],
        *,
        batch_size: int = PHOTOS_AT_ONCE,
        workers: int = THREADS,
        alternatives: int = SearchOptions.alternatives,
    ) -> Iterator[Caption]:
        """`explain` for any number of (photo, sentence) pairs, in their order.

        A photo that cannot be read or a sentence without words gives a `Caption` with its `error`,
        and the others go on.

        Raises:
            ConfigError: `pairs` holds something else than pairs, or a setting is wrong.
        """
        options = self.options(beam_size=1, alternatives=alternatives)
        self._check(batch_size, workers, options)

        def read(pair: tuple[ImageSource, str]) -> tuple[_Opened, list[str]]:
            photo, sentence = pair
            words = tokenise(sentence) if isinstance(sentence, str) else []
            return _open(photo, self.preprocess).checked(sentence), words

        for several in _opened(_check_pairs(pairs), read, batch_size, workers):
            batch = [opened for opened, _ in several]
            sentences = [words for _, words in several]
            good = [place for place, opened in enumerate(batch) if opened.error is None]
            memory = self._memory([batch[place] for place in good])
            tokens = [self.vocabulary.encode(sentences[place]) for place in good]
            found = iter(
                force(self.model.decoder, memory, tokens, alternatives=alternatives)
                if memory is not None
                else []
            )
            for opened, words in zip(batch, sentences, strict=True):
                if opened.error is not None:
                    yield opened.failed()
                else:
                    yield self._caption(memory, opened, [next(found)], words)

    def _check(self, batch_size: int, workers: int, options: SearchOptions) -> None:
        """Refuses what cannot be done, or not in this process."""
        devices.check_process(self.device, self._process)
        options.check_batch(batch_size)
        check_workers(workers)

    def _known_tokens(self, prefix: str) -> list[int]:
        words, known = tokenise(prefix), self.vocabulary.ordinary
        unknown = [*unread(prefix), *(word for word in words if word not in self.vocabulary)]
        if unknown:
            near = (difflib.get_close_matches(word, known, n=1) for word in unknown)
            alike = ", ".join(dict.fromkeys(repr(word) for found in near for word in found))
            hint = f" (the vocabulary has {alike})" if alike else ""
            raise ConfigError(
                f"the prefix holds {', '.join(map(repr, unknown))}, which the vocabulary of "
                f"{len(known)} words lacks; choose other words{hint}"
            )
        if prefix.strip() and not words:
            raise ConfigError(f"the prefix {prefix!r} has no words; write how the caption begins")
        return self.vocabulary.encode(words)

    @torch.inference_mode()
    def _memory(self, opened: Sequence[_Opened]) -> Memory | None:
        if not opened:
            return None
        pixels = torch.from_numpy(np.stack([p.pixels for p in opened if p.pixels is not None])).to(
            self.device
        )
        return self.model.encoder(normalise(pixels, self.preprocess.mean, self.preprocess.std))

    def _caption(
        self,
        memory: Memory | None,
        opened: _Opened,
        hypotheses: Sequence[Hypothesis],
        words: Sequence[str] | None = None,
    ) -> Caption:
        assert memory is not None
        assert memory.grid is not None
        geometry = Geometry(opened.size, memory.grid)
        captions = [self._result(h, opened, geometry, words) for h in hypotheses]
        return dataclasses.replace(captions[0], n_best=tuple(captions[1:]))

    def _result(
        self, found: Hypothesis, opened: _Opened, geometry: Geometry, words: Sequence[str] | None
    ) -> Caption:
        texts = self.vocabulary.decode(found.tokens) if words is None else words
        maps = found.weights.mean(1).reshape(-1, *geometry.grid)  # heads share one map
        gates = found.extras.get("gate")
        return Caption(
            text=detokenise(texts),
            words=tuple(self._word(found, place, text) for place, text in enumerate(texts)),
            log_prob=found.log_prob,
            maps=maps / maps.sum((1, 2), keepdims=True),
            file=opened.file,
            geometry=geometry,
            gates=None if gates is None else gates[:, 0],
            source=opened.source,
        )

    def _word(self, found: Hypothesis, place: int, text: str) -> Word:
        others = self.vocabulary.decode(found.alternatives[place].tolist())
        probs = found.alternative_probs[place].tolist()
        alternatives = tuple((_shown(o), p) for o, p in zip(others, probs, strict=True))
        if found.tokens[place] == UNK:
            return Word(text, None, None, alternatives, known=False)
        log_prob = float(found.log_probs[place])
        shares = found.extras.get("copy_share")
        copied = None if shares is None else float(shares[place])
        return Word(text, float(np.exp(log_prob)), log_prob, alternatives, copy_share=copied)


def _wrong(sentence: str) -> str | None:
    """Why a sentence cannot be explained."""
    if not isinstance(sentence, str):
        return f"the sentence is {shown(sentence)}; expected text"
    if (half := half_character(sentence)) is not None:
        return f"in the sentence, {half}"
    return None if tokenise(sentence) else _wordless(sentence)


def _check_photo(photo: Any) -> None:
    """Refuses what holds photos; whether anything else is a photo is seen when it is opened."""
    if isinstance(photo, (list, tuple, set, frozenset, dict, Generator)):
        raise ImageError(
            f"got {type(photo).__name__}; expected one photo: a path, a PIL image, an array, bytes "
            "or a binary file; many go to captioner.stream([photo, photo])"
        )


def _check_photos(photos: Any) -> Iterable[ImageSource]:
    """Refuses one photo where many are wanted: a path is a row of letters, a file one of lines."""
    one = isinstance(photos, (str, bytes, bytearray, memoryview, PathLike, Image.Image))
    if one or hasattr(photos, "read") or (isinstance(photos, np.ndarray) and photos.ndim < 4):
        raise ConfigError(
            f"stream takes many photos, and this is one {type(photos).__name__}; put it in a list, "
            "stream([photo]), or call captioner(photo)"
        )
    if isinstance(photos, dict) or not isinstance(photos, Iterable):
        raise ConfigError(f"the photos are {shown(photos)}; expected a list or another iterable")
    return photos


def _check_pairs(pairs: Any) -> Iterator[tuple[ImageSource, str]]:
    """The pairs; refuses what is no (photo, sentence)."""
    if isinstance(pairs, (str, bytes, dict)) or not isinstance(pairs, Iterable):
        raise ConfigError(f"the pairs are {shown(pairs)}; expected (photo, sentence) pairs")
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ConfigError(f"a pair is {shown(pair)}; expected (photo, sentence)")
        yield pair[0], pair[1]


def _check_text(name: str, text: Any) -> None:
    if not isinstance(text, str):
        raise ConfigError(f"the {name} is {shown(text)}; expected text")


def _wordless(sentence: str) -> str:
    return f"the sentence {sentence!r} has no words; write what you see"


def _shown(word: str) -> str:
    """An alternative as people read it: ending the sentence here is a full stop."""
    return "." if word == "<eos>" else word


@dataclass(frozen=True)
class _Opened:
    """One photo on its way: its pixels, or why there are none."""

    source: Any
    file: str | None
    size: tuple[int, int] = (0, 0)
    pixels: NDArray[np.uint8] | None = None
    error: str | None = None

    def checked(self, sentence: str) -> _Opened:
        """Itself, or an error where the photo is fine but the sentence about it has no words."""
        if self.error is not None or (wrong := _wrong(sentence)) is None:
            return self
        return dataclasses.replace(self, error=wrong)

    def failed(self) -> Caption:
        empty = np.zeros((0, 0, 0), np.float32)
        return Caption("", (), 0.0, empty, file=self.file, error=self.error, source=self.source)


def _open(source: ImageSource, preprocess: Preprocess) -> _Opened:
    """The photo, or why there is none: whatever goes wrong with one is no matter of the others."""
    file = fspath(source) if isinstance(source, (str, PathLike)) else None
    try:
        source = _kept(source)
        photo = open_photo(source, side=preprocess.size)
        return _Opened(source, file, original_size(photo), preprocess.pixels(photo))
    except CaptionerError as error:
        return _Opened(source, file, error=str(error))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        message = f"{file or 'the given photo'}: cannot be opened ({reason})"
        return _Opened(source, file, error=message)


def _kept(source: ImageSource) -> ImageSource:
    """The source; in the place of a pipe, which can be read only once, all that came from it."""
    if not (isinstance(source, (str, PathLike)) and is_pipe(source)):
        return source
    with Path(source).open("rb") as pipe:
        content = _Content(pipe.read(_LONGEST_PIPE + 1))
    content.name = fspath(source)
    if content.getbuffer().nbytes > _LONGEST_PIPE:
        most = f"{_LONGEST_PIPE >> 20} MiB"
        raise ImageError(f"{content.name}: more than {most} came from this pipe; send one photo")
    return content


class _Content(io.BytesIO):
    """What came from a file of this name."""

    name: str


def _opened(
    sources: Iterable[T], read: Callable[[T], R], batch_size: int, workers: int
) -> Iterator[list[R]]:
    """Batches of what was read by threads, up to two batches ahead."""
    yield from in_batches(sources, read, batch_size, workers)
