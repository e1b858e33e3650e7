"""What people call: a photo in, a caption out, with a map for every word."""

from __future__ import annotations

import copy
import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from captioner import checkpoint as checkpoints
from captioner import render
from captioner.config import SearchOptions
from captioner.errors import CaptionerError, ConfigError, ImageError
from captioner.images import Geometry, ImageSource, Preprocess, open_photo, original_size
from captioner.nn.attention import Memory
from captioner.nn.encoders import fold_batch_norm, normalise
from captioner.search import Hypothesis, force, search
from captioner.text import UNK, detokenise, tokenise


@dataclass(frozen=True)
class Word:
    """One word of a sentence and how sure the model was of it."""

    text: str
    prob: float | None  # given the words before it; None for a word that the vocabulary lacks
    log_prob: float | None  # natural logarithm of `prob`
    alternatives: tuple[tuple[str, float], ...] = ()  # the most probable words here, best first
    known: bool = True


@dataclass(frozen=True, eq=False)
class Caption:
    """A sentence about a photo, and where each of its words looked."""

    text: str  # as people write it
    words: tuple[Word, ...]  # T words
    log_prob: float  # of the known words and the end of the sentence
    maps: NDArray[np.float32]  # (T, h, w), each sums to 1
    file: str | None = None  # name of the photo, where it came from a file
    geometry: Geometry | None = None  # where the cells lie on the photo
    gates: NDArray[np.float32] | None = None  # (T,) how much of the context passed, 0 to 1
    n_best: tuple[Caption, ...] = ()  # the other sentences found, from second best on
    error: str | None = None  # why there is no caption
    source: Any = field(default=None, repr=False)  # what was handed over as the photo

    def photo(self) -> Image.Image:
        """The whole photo, upright, opened again from where it came from."""
        return open_photo(self.source)

    def overlay(self, word: str | int, *, grid: bool = False) -> Image.Image:
        """The photo with the map of one word laid over it, in the photo's own pixels.

        Args:
            word: the word (its first place counts) or its position in the sentence.
            grid: show the real cells instead of smoothing them.

        Raises:
            ConfigError: the sentence has no such word.
        """
        peak = render.shared_peak(self.maps)
        return render.overlay(self.photo(), self.maps[self._place(word)], peak=peak, grid=grid)

    def _place(self, word: str | int) -> int:
        texts = [entry.text for entry in self.words]
        if isinstance(word, int) and -len(texts) <= word < len(texts):
            return word % len(texts)
        if isinstance(word, str) and word.lower() in texts:
            return texts.index(word.lower())
        said = ", ".join(texts) or "none"
        raise ConfigError(f"the caption has no word {word!r}; its words are: {said}")

    def sheet(self, *, grid: bool = False) -> Image.Image:
        """The contact sheet: the photo, then each word over its map, on one colour scale."""
        return render.contact_sheet(self.photo(), self.words, self.maps, title=self.text, grid=grid)

    def to_dict(self, *, maps: bool = False) -> dict[str, Any]:
        """Plain values for JSON, as `captioner caption --jsonl` writes them.

        Args:
            maps: include the maps, h·w numbers a word, row by row, four significant digits.
        """
        values: dict[str, Any] = {
            "file": self.file,
            "caption": self.text,
            "words": [_word_dict(word) for word in self.words],
            "log_prob": _rounded(self.log_prob),
            "grid": list(self.maps.shape[1:]),
        }
        if maps:
            values["maps"] = [[_rounded(x) for x in m.ravel().tolist()] for m in self.maps]
        if self.n_best:
            values["n_best"] = [_alternative_dict(other, maps) for other in self.n_best]
        return {**values, "error": self.error}


def _word_dict(word: Word) -> dict[str, Any]:
    values: dict[str, Any] = {
        "word": word.text,
        "prob": None if word.prob is None else _rounded(word.prob),
        "alternatives": [[text, _rounded(prob)] for text, prob in word.alternatives],
    }
    return values if word.known else {**values, "unknown": True}


def _alternative_dict(caption: Caption, maps: bool) -> dict[str, Any]:
    values = caption.to_dict(maps=maps)
    return {k: v for k, v in values.items() if k not in ("file", "grid", "error")}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


class Captioner:
    """Captions photos and explains sentences about them, with one checkpoint."""

    def __init__(
        self, checkpoint: checkpoints.Checkpoint, device: str | torch.device = "cpu"
    ) -> None:
        self.checkpoint = checkpoint
        self.device = torch.device(device)
        model = copy.deepcopy(checkpoint.model).eval().requires_grad_(False)
        model.encoder.features = fold_batch_norm(model.encoder.features)
        self.model = model.to(self.device)
        self.vocabulary = checkpoint.vocabulary
        self.preprocess: Preprocess = checkpoint.preprocess

    @classmethod
    def load(cls, path: str | PathLike[str] | None = None, device: str = "cpu") -> Captioner:
        """The captioner of a checkpoint; without a path, of the weights that came along.

        Raises:
            CheckpointError: there is no usable checkpoint at `path`.
        """
        return cls(checkpoints.load(fspath(path) if path else checkpoints.default_path()), device)

    def options(self, **settings: Any) -> SearchOptions:
        """The checkpoint's own decoding options with `settings` (fields of `SearchOptions`) put in.

        Raises:
            ConfigError: a field is unknown or out of range.
        """
        chosen = {k: v for k, v in settings.items() if v is not None}
        known = {f.name for f in dataclasses.fields(SearchOptions)}
        for name in chosen.keys() - known:
            raise ConfigError(f"{name} is no decoding option; expected {', '.join(sorted(known))}")
        if chosen.get("n_best", 1) > self.checkpoint.search.beam_size:
            chosen.setdefault("beam_size", chosen["n_best"])
        return dataclasses.replace(self.checkpoint.search, **chosen)

    def __call__(self, photo: ImageSource, *, prefix: str = "", **settings: Any) -> Caption:
        """Captions one photo.

        Args:
            photo: path, PIL image, array, bytes or binary file.
            prefix: words that the caption must start with.
            settings: fields of `SearchOptions`; what is left out comes from the checkpoint.

        Raises:
            ImageError: it is no readable photo.
            ConfigError: a setting is wrong, or the prefix holds an unknown word.
        """
        return self._raised(self.stream([photo], prefix=prefix, workers=1, **settings))

    caption = __call__

    def explain(self, photo: ImageSource, sentence: str, alternatives: int = 5) -> Caption:
        """What the model thinks of *your* sentence: how likely each word is and where it looks.

        Words that the vocabulary lacks keep their place and their map, but have no probability.

        Raises:
            ImageError: it is no readable photo.
            ConfigError: the sentence has no words.
        """
        if not tokenise(sentence):
            raise ConfigError(_wordless(sentence))
        return self._raised(self.stream_explained([(photo, sentence)], alternatives=alternatives))

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
        batch_size: int = 32,
        workers: int = 2,
        prefix: str = "",
        **settings: Any,
    ) -> Iterator[Caption]:
        """Captions any number of photos in their order, in bounded memory.

        A photo that cannot be read gives a `Caption` with its `error`, and the others go on.

        Args:
            photos: any iterable, taken a few batches ahead.
            batch_size: photos captioned together.
            workers: threads that open photos.
            prefix: words that every caption must start with.
            settings: fields of `SearchOptions`.
        """
        options = self.options(**settings)
        start = self._known_tokens(prefix)
        count = 0
        for batch in _opened(photos, self.preprocess, batch_size, workers):
            good = [opened for opened in batch if opened.error is None]
            numbers = [count + place for place, opened in enumerate(batch) if opened.error is None]
            memory = self._memory(good)
            found = (
                []
                if memory is None
                else search(self.model.decoder, memory, options, start, numbers)
            )
            results = iter(zip(good, found, strict=True))
            count += len(batch)
            for opened in batch:
                if opened.error is not None:
                    yield opened.failed()
                else:
                    yield self._caption(memory, *next(results))

    def stream_explained(
        self,
        pairs: Iterable[tuple[ImageSource, str]],
        *,
        batch_size: int = 32,
        workers: int = 2,
        alternatives: int = 5,
    ) -> Iterator[Caption]:
        """`explain` for any number of (photo, sentence) pairs, in their order.

        A photo that cannot be read or a sentence without words gives a `Caption` with its `error`,
        and the others go on.
        """
        waiting: deque[str] = deque()

        def photos() -> Iterator[ImageSource]:
            for photo, sentence in pairs:
                waiting.append(sentence)
                yield photo

        for read in _opened(photos(), self.preprocess, batch_size, workers):
            written = [waiting.popleft() for _ in read]
            batch = [photo.checked(text) for photo, text in zip(read, written, strict=True)]
            sentences = [tokenise(text) for text in written]
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

    def _known_tokens(self, prefix: str) -> list[int]:
        words = tokenise(prefix)
        unknown = [word for word in words if word not in self.vocabulary]
        if unknown:
            raise ConfigError(
                f"the prefix holds {', '.join(map(repr, unknown))}, which the vocabulary of "
                f"{len(self.vocabulary.ordinary)} words lacks; choose other words"
            )
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
        return Word(text, float(np.exp(log_prob)), log_prob, alternatives)


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
        if self.error is not None or tokenise(sentence):
            return self
        return dataclasses.replace(self, error=_wordless(sentence))

    def failed(self) -> Caption:
        empty = np.zeros((0, 0, 0), np.float32)
        return Caption("", (), 0.0, empty, file=self.file, error=self.error, source=self.source)


def _open(source: ImageSource, preprocess: Preprocess) -> _Opened:
    file = fspath(source) if isinstance(source, (str, PathLike)) else None
    try:
        photo = open_photo(source, side=preprocess.size)
        return _Opened(source, file, original_size(photo), preprocess.pixels(photo))
    except CaptionerError as error:
        return _Opened(source, file, error=str(error))


def _opened(
    photos: Iterable[ImageSource], preprocess: Preprocess, batch_size: int, workers: int
) -> Iterator[list[_Opened]]:
    """Batches of opened photos, read by threads up to two batches ahead."""
    if batch_size < 1 or workers < 1:
        raise ConfigError(
            f"batch_size is {batch_size} and workers {workers}; expected at least 1 of each"
        )
    waiting: deque[Future[_Opened]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for photo in photos:
                waiting.append(pool.submit(_open, photo, preprocess))
                if len(waiting) >= 3 * batch_size:
                    yield [waiting.popleft().result() for _ in range(batch_size)]
            while waiting:
                size = min(batch_size, len(waiting))
                yield [waiting.popleft().result() for _ in range(size)]
        finally:
            for future in waiting:
                future.cancel()
