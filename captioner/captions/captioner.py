"""What people call: a photo in, a caption out, with a map for every word."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from typing import Any

import torch

from captioner import devices
from captioner.captions.caption import Caption
from captioner.captions.checkpoint import Checkpoint
from captioner.captions.inputs import check_pairs, check_photo, check_photos, check_sentence
from captioner.captions.look import Look
from captioner.captions.opened import Opened, Opener, open_one
from captioner.captions.writer import Request, Writer
from captioner.errors import ConfigError, ImageError, shown
from captioner.options import (
    PHOTOS_AT_ONCE,
    THREADS,
    SearchOptions,
    check_alternatives,
    check_time_limit,
    check_workers,
)
from captioner.pictures.geometry import Geometry
from captioner.pictures.open import ImageSource, check_side
from captioner.pictures.preprocess import Preprocess
from captioner.pipeline import abreast, in_batches
from captioner.text import tokenise
from captioner.translations.translator import Translator


class Captioner:
    """Captions photos and explains sentences about them, with one checkpoint."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str | torch.device = "cpu",
        translator: Translator | None = None,
        runtime: str = "auto",
        map_size: int | None = None,
    ) -> None:
        """Takes the weights.

        Args:
            checkpoint: of the captioner.
            device: where to compute; `auto` is a GPU where there is one.
            translator: for captions in other languages; without one, the weights that came along
                are loaded when they are first needed.
            runtime: what computes photos' features on a CPU: `openvino`, in bfloat16 where the CPU
                has it; `openvino-f32`, as exact as torch; `torch`; or `auto`, the first of these
                that can be used.
            map_size: side in pixels, a multiple of 32, to which the photo is enlarged when a
                sentence is written, for maps on a finer grid, see `captions.closer`; left out,
                maps are those of the search. Twice the model's size gives twice the cells each way.

        Raises:
            ConfigError: `checkpoint` is none of a captioner, `translator` no `Translator`, or the
                device, the runtime or the size cannot be used.
        """
        if not isinstance(checkpoint, Checkpoint):
            raise ConfigError(
                f"the checkpoint is {shown(checkpoint)}; expected a captioner's Checkpoint; "
                "Captioner.load(path) reads a file"
            )
        check_translator(translator)
        self.checkpoint = checkpoint
        self.device = devices.pick(device)
        self._runtime, self.map_size = runtime, map_size
        self.writer = Writer(checkpoint, self.device, translator, runtime, map_size)
        self.model = self.writer.model
        self.vocabulary = checkpoint.vocabulary
        self.preprocess: Preprocess = checkpoint.preprocess
        # Pixels beyond which nothing more of a photo is seen, on the shorter side.
        self.largest_size = self.preprocess.size if self._closer is None else self._closer.size

    @classmethod
    def load(
        cls,
        path: str | PathLike[str] | None = None,
        device: str | torch.device = "cpu",
        translator: Translator | None = None,
        runtime: str = "auto",
        map_size: int | None = None,
    ) -> Captioner:
        """The captioner of a checkpoint; without a path, of the weights that came along.

        Args:
            path: of the checkpoint.
            device: where to compute; `auto` is a GPU where there is one.
            translator: for captions in other languages.
            runtime: what computes photos' features, as when a captioner is made.
            map_size: side in pixels at which maps are read, as when a captioner is made.

        Raises:
            ConfigError: the device, the runtime or the size cannot be used, or `translator` is no
                `Translator`.
            CheckpointError: there is no usable checkpoint at `path`.
        """
        check_translator(translator)
        device = devices.pick(device)  # before the weights are read
        return cls(Checkpoint.load(path), device, translator, runtime, map_size)

    def options(self, own: SearchOptions | None = None, /, **settings: Any) -> SearchOptions:
        """`own`, or the checkpoint's options, with `settings` (fields of `SearchOptions`) put in.

        Raises:
            ConfigError: a field is unknown or out of range.
        """
        return self.checkpoint.options(own, **settings)

    def __reduce__(self) -> tuple[Any, ...]:
        """For other processes: the checkpoint is sent, and all else is made of it there.

        So it holds no thread, lock or graph of this process, and needs no file on that machine.
        """
        given = self.writer.interpreter.given
        own = self.checkpoint, str(self.device), given, self._runtime, self.map_size
        return type(self), own

    @property
    def _closer(self) -> Preprocess | None:
        closer = self.writer.closer
        return None if closer is None else closer.preprocess

    def __repr__(self) -> str:
        words = len(self.checkpoint.vocabulary.words)
        return f"<Captioner on {self.device}, {words:,} words>"

    @property
    def translator(self) -> Translator:
        """What translates the captions.

        Raises:
            CheckpointError: none was given, and none came along.
        """
        return self.writer.interpreter.translator

    def look(self, photo: ImageSource, *, side: int | None = None) -> Look:
        """Opens, preprocesses and encodes one photo, once for all that is asked about it.

        Args:
            photo: path, PIL image, array, bytes or binary file.
            side: keep the photo as `open_photo` gives it for this shorter side, as the look's
                `picture`; left out, none is kept.

        Raises:
            ImageError: it is no readable photo.
            ConfigError: `side` is below 1, or the model lies on a GPU, and this process was forked
                since.
        """
        check_photo(photo)
        check_side(side)
        self.writer.check_process()
        opened = open_one(photo, self.preprocess, side, self._closer)
        if opened.error is not None:
            raise ImageError(opened.error)
        memory, refinement = self.writer.look(opened)
        assert memory.grid is not None
        geometry = Geometry(opened.size, memory.grid)
        about = (opened.file, opened.source, self.writer, opened.picture, opened.note)
        return Look(memory, geometry, *about, refinement, self.writer.enlarged([opened]))

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
        check_photo(photo)
        request = self.writer.request(self.options(options, **settings), prefix=prefix, to=to)
        return self.look(photo).answer(request)

    caption = __call__

    def explain(
        self, photo: ImageSource, sentence: str, alternatives: int = SearchOptions.alternatives
    ) -> Caption:
        """What the model thinks of *your* sentence: how likely each word is and where it looks.

        Words that the vocabulary lacks keep their place and their map, but have no probability.

        Raises:
            ImageError: it is no readable photo.
            ConfigError: the sentence has no words, or `alternatives` is out of range.
        """
        check_photo(photo)
        check_sentence(sentence)
        check_alternatives(alternatives)
        return self.look(photo).explain(sentence, alternatives)

    def translated(self, caption: Caption, to: str) -> Caption:
        """A caption that was found, and its other sentences, in another language.

        It is translated from its own words: no photo is opened, and nothing is searched again.

        Raises:
            ConfigError: it is no caption or has an error, the translator does not speak the
                language, or the captions are in it already.
            CheckpointError: there are no weights for translation.
        """
        if not isinstance(caption, Caption):
            raise ConfigError(
                f"the caption is {shown(caption)}; expected a Caption, as captioner(photo) gives it"
            )
        way = self.writer.interpreter.way(to)
        if caption.error is not None:
            raise ConfigError(f"there is no caption to translate: {caption.error}")
        said = caption if caption.original is None else caption.original
        [found] = self.writer.interpreter.translated([said], way)
        if found.error is not None:
            raise ImageError(found.error)
        return found

    def stream(
        self,
        photos: Iterable[ImageSource],
        *,
        batch_size: int = PHOTOS_AT_ONCE,
        workers: int = THREADS,
        prefix: str = "",
        to: str | None = None,
        options: SearchOptions | None = None,
        numbers: Iterable[int] | None = None,
        time_limit: float | None = None,
        **settings: Any,
    ) -> Iterator[Caption]:
        """Captions any number of photos in their order, in bounded memory.

        A photo that cannot be read gives a `Caption` with its `error`, and the others go on.

        Where the photos are no sequence, they are taken in a thread of their own: what is there
        already is captioned while the next photo is waited for, and if taking one raises, that
        comes behind the captions of all photos before it.

        Args:
            photos: any iterable, taken a few batches ahead: a list, a generator, a tensor or an
                array of photos (N, 3, H, W); or the path of a folder or of a tar archive.
            batch_size: photos captioned together, at most.
            workers: threads that open photos.
            prefix: words that every caption must start with.
            to: language to translate the captions into.
            options: how to decode; left out, as the checkpoint has it.
            numbers: the photos' own numbers, which seed their draws, asked for one by one as
                batches are written; left out, 0, 1, …
            time_limit: seconds that opening one photo may take, from 0 on; a pipe is waited for.
                A photo that takes longer gives a `Caption` with its `error`. Left out, there is
                no limit.
            settings: fields of `SearchOptions` that are put into the options.

        Raises:
            ConfigError: `photos` is a single photo or nothing that holds photos, a setting is
                wrong, or so many photos take too long that nothing goes on.
        """
        photos = check_photos(photos)
        options = self.options(options, **settings)
        check_workers(workers)
        check_time_limit(time_limit)
        request = self.writer.request(options, prefix=prefix, to=to, batch_size=batch_size)
        opener = Opener(self.preprocess, self._closer)
        limit = None if time_limit is None else opener.limit(time_limit)
        if numbers is not None and not isinstance(numbers, Iterable):
            raise ConfigError(f"the photos' numbers are {shown(numbers)}; expected an iterable")
        counted = itertools.count() if numbers is None else iter(numbers)
        opening = opener.open, batch_size, workers
        if isinstance(photos, Sequence) and len(photos) > batch_size:
            writer = self.writer.shared()
            if (at_once := writer.at_once(request)) > 1:

                def then(batch: list[Opened]) -> Callable[[], list[Caption]]:
                    own = _own(counted, len(batch))
                    return functools.partial(_written, writer, batch, own, request)

                for captions in abreast(photos, *opening, then, at_once, limit):
                    yield from captions
                return
        for batch in in_batches(photos, *opening, limit):
            yield from _written(self.writer, batch, _own(counted, len(batch)), request)

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
        check_alternatives(alternatives)
        options = self.options(beam_size=1, alternatives=alternatives)
        check_workers(workers)
        self.writer.request(options, batch_size=batch_size)

        opener = Opener(self.preprocess, self._closer)

        def read(pair: tuple[ImageSource, str]) -> tuple[Opened, list[str]]:
            photo, sentence = pair
            words = tokenise(sentence) if isinstance(sentence, str) else []
            return opener.open(photo).checked(sentence), words

        for several in in_batches(check_pairs(pairs), read, batch_size, workers):
            good = [(opened, words) for opened, words in several if opened.error is None]
            found: list[Caption] = []
            if good:
                photos = [opened for opened, _ in good]
                sentences = [words for _, words in good]
                memory = self.writer.encode(photos)
                enlarged = self.writer.enlarged(photos)
                found = self.writer.explain(memory, photos, sentences, alternatives, enlarged)
            yield from _in_order([opened for opened, _ in several], found)


def check_translator(translator: Any) -> None:
    """Refuses what does not translate, such as the path of a checkpoint.

    Raises:
        ConfigError: it is neither None nor a translator.
    """
    if translator is not None and not isinstance(translator, Translator):
        raise ConfigError(
            f"the translator is {shown(translator)}; expected a Translator, as "
            "Translator.load(path) gives it, or None for the one that came along"
        )


def _own(numbers: Iterator[int], count: int) -> list[int]:
    """The numbers of the next photos.

    Raises:
        ConfigError: there are fewer.
    """
    own = list(itertools.islice(numbers, count))
    if len(own) < count or not all(isinstance(n, int) and n >= 0 for n in own):
        raise ConfigError(
            f"the photos' numbers are {shown(own)}; expected {count} whole numbers, 0 or more, one "
            "for each photo"
        )
    return own


def _written(
    writer: Writer, batch: Sequence[Opened], numbers: Sequence[int], request: Request
) -> list[Caption]:
    """The captions of a batch, those that say why there is none included."""
    good = [place for place, opened in enumerate(batch) if opened.error is None]
    found: list[Caption] = []
    if good:
        there = [batch[place] for place in good]
        own = [numbers[place] for place in good]
        found = writer.write(writer.encode(there), there, request, own, writer.enlarged(there))
    return list(_in_order(batch, found))


def _in_order(batch: Sequence[Opened], found: Sequence[Caption]) -> Iterator[Caption]:
    """The captions of a batch, with those that say why there is none at their places."""
    captions = iter(found)
    for opened in batch:
        yield next(captions) if opened.error is None else opened.failed()
