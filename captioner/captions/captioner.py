"""What people call: a photo in, a caption out, with a map for every word."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch

from captioner import checkpoint as checkpoints
from captioner import devices
from captioner.captions.caption import Caption, in_other_words
from captioner.captions.inputs import (
    check_pairs,
    check_photo,
    check_photos,
    check_text,
    reason_against,
)
from captioner.captions.opened import Opened, open_one
from captioner.errors import ConfigError, ImageError
from captioner.nn.attention import Memory
from captioner.nn.encoders import fold_batch_norm, normalise
from captioner.options import PHOTOS_AT_ONCE, THREADS, SearchOptions, check_workers
from captioner.pictures.geometry import Geometry
from captioner.pictures.open import ImageSource
from captioner.pictures.preprocess import Preprocess
from captioner.pipeline import in_batches
from captioner.search import Hypothesis, Start, force, search
from captioner.text import UNK, detokenise, tokenise, unread
from captioner.translation import Translator
from captioner.words import Word, is_content


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
        check_photo(photo)
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
        check_photo(photo)
        if (wrong := reason_against(sentence)) is not None:
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
        photos = check_photos(photos)
        options = self.options(options, **settings)
        self._check(batch_size, workers, options)
        check_text("prefix", prefix)
        start = self._known_tokens(prefix)
        first = Start(once=() if options.repeats else self._content)
        if to is not None:
            check_text("to", to)
            to = self.translator.languages.code(to)
        language = None if to is None else self._language_before(to)
        count = 0
        read = functools.partial(open_one, preprocess=self.preprocess)
        for batch in in_batches(photos, read, batch_size, workers):
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
            first, *others = [in_other_words(one, next(translations)) for one in several]
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

        def read(pair: tuple[ImageSource, str]) -> tuple[Opened, list[str]]:
            photo, sentence = pair
            words = tokenise(sentence) if isinstance(sentence, str) else []
            return open_one(photo, self.preprocess).checked(sentence), words

        for several in in_batches(check_pairs(pairs), read, batch_size, workers):
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
    def _memory(self, opened: Sequence[Opened]) -> Memory | None:
        if not opened:
            return None
        pixels = torch.from_numpy(np.stack([p.pixels for p in opened if p.pixels is not None])).to(
            self.device
        )
        return self.model.encoder(normalise(pixels, self.preprocess.mean, self.preprocess.std))

    def _caption(
        self,
        memory: Memory | None,
        opened: Opened,
        hypotheses: Sequence[Hypothesis],
        words: Sequence[str] | None = None,
    ) -> Caption:
        assert memory is not None
        assert memory.grid is not None
        geometry = Geometry(opened.size, memory.grid)
        captions = [self._result(h, opened, geometry, words) for h in hypotheses]
        return dataclasses.replace(captions[0], n_best=tuple(captions[1:]))

    def _result(
        self, found: Hypothesis, opened: Opened, geometry: Geometry, words: Sequence[str] | None
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


def _shown(word: str) -> str:
    """An alternative as people read it: ending the sentence here is a full stop."""
    return "." if word == "<eos>" else word
