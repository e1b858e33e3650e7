"""Captions said in another language."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from captioner.captions.caption import Caption, in_other_words
from captioner.captions.inputs import check_text
from captioner.errors import ConfigError
from captioner.text import Vocabulary
from captioner.translations.translator import Translator


@dataclass(frozen=True)
class Way:
    """From the captions' language into another."""

    source: str | None  # None where the translator has to guess it
    to: str


class Interpreter:
    """Translates what a captioner says, from its words.

    A photo is looked at again only where the translator has eyes of its own.
    """

    def __init__(
        self, vocabulary: Vocabulary, device: torch.device, translator: Translator | None = None
    ) -> None:
        self.vocabulary = vocabulary
        self.device = device
        self.given = translator
        self._translator = translator

    @property
    def translator(self) -> Translator:
        """The one that was given, or that of the weights that came along.

        Raises:
            CheckpointError: none was given, and none came along.
        """
        if self._translator is None:
            self._translator = Translator.load(device=str(self.device))
        return self._translator

    def way(self, to: str) -> Way:
        """How captions get into a language.

        Raises:
            ConfigError: they are in it already, or the translator does not speak it.
            CheckpointError: there are no weights for translation.
        """
        check_text("to", to)
        to = self.translator.languages.code(to)
        return Way(self._language_before(to), to)

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

    def translated(self, captions: Sequence[Caption], way: Way) -> Iterator[Caption]:
        """The captions in another language; with their other sentences, where they have some.

        One that has an error stays as it is.
        """
        every = [
            (caption, *caption.n_best) if caption.error is None else () for caption in captions
        ]
        said = [one for several in every for one in several]
        translations = self.translator.stream(
            [one.text for one in said],
            to=way.to,
            source_language=way.source,
            photos=None if self.translator.eyes is None else [one.source for one in said],
        )
        for caption, several in zip(captions, every, strict=True):
            if not several:
                yield caption
                continue
            first, *others = [in_other_words(one, next(translations)) for one in several]
            yield dataclasses.replace(first, n_best=tuple(others))
