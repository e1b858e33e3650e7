"""What programs call: a photo or a text in, plain values out. `docs/api.md` describes them.

Each function raises a `CaptionerError` whose one line names no folder of the server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from captioner.captions.caption import Caption
from captioner.captions.captioner import Captioner
from captioner.captions.look import Look
from captioner.errors import ConfigError, ImageError
from captioner.options import SearchOptions
from captioner.settings import field_of
from captioner.subwords import clean
from captioner.translations.translation import Translation
from captioner.ui.album import Album
from captioner.ui.exports import public, without_folders

LONGEST_SENTENCE = 1000  # characters, of a typed sentence
LONGEST_TEXT = 10_000  # characters, of a text to translate

_UNTRANSLATED = "the weights for translation are not there; `captioner train` makes some"


class Endpoints:
    """The endpoints over one captioner and, where its weights are there, one translator.

    Nothing of a call stays here but what the model made of the last photos, so that any number of
    visitors share the one model.
    """

    def __init__(
        self, captioner: Captioner, translator: Callable[..., Translation] | None = None
    ) -> None:
        self.captioner = captioner
        self.looks = Album(self._look)
        self.translator = translator

    def caption(
        self,
        photo: str | None,
        beam_size: float | None = None,
        n_best: float | None = 1,
        max_length: float | None = None,
        maps: bool = True,
        to: str | None = None,
    ) -> dict[str, Any]:
        """One photo's caption, its words and, with `maps`, where each of them looked.

        Args:
            photo: path of the uploaded file.
            beam_size: sentences kept alive; None is the checkpoint's own, 1 is greedy.
            n_best: captions wanted, the best one included.
            max_length: longest caption, in words.
            maps: include the maps.
            to: code of the language to say it in, such as `de`; None is the model's own.

        Raises:
            ImageError: it is no photo.
            ConfigError: a setting is out of range, or there are no weights for translation.
        """
        asked = {"beam_size": beam_size, "n_best": n_best, "max_length": max_length}
        options = self.captioner.options(**{k: _served(k, v) for k, v in asked.items()})
        if to and self.translator is None:
            raise ConfigError(_UNTRANSLATED)
        return self._answer(photo, lambda look: look.caption(to=to or None, options=options), maps)

    def caption_batch(
        self, photo: Sequence[str | None], maps: Sequence[bool]
    ) -> tuple[list[dict[str, Any]]]:
        """The captions of requests that waited together, computed together.

        For Gradio's `batch=True`: a list an input, a list an output. A photo that cannot be read
        gives an object with its `error` and spoils no other's request.

        Args:
            photo: path of the uploaded file, for each request.
            maps: include the maps, for each request.
        """
        there = [path for path in photo if path]
        found = self.captioner.stream(there, batch_size=max(1, len(there)), workers=1)
        captions = [next(found) if path else None for path in photo]
        results = [
            {"error": _missing()} if caption is None else public(caption).to_dict(maps=bool(wanted))
            for caption, wanted in zip(captions, maps, strict=True)
        ]
        return (results,)

    def explain(self, photo: str | None, sentence: str | None, maps: bool = True) -> dict[str, Any]:
        """How likely each word of a given sentence is about the photo, and where it looks.

        Raises:
            ImageError: it is no photo.
            ConfigError: the sentence has no words, or is too long.
        """
        text = _short(sentence, "sentence", LONGEST_SENTENCE)
        return self._answer(photo, lambda look: look.explain(text), maps)

    def translate(
        self, text: str | None, to: str | None, source: str | None = None
    ) -> dict[str, Any]:
        """A text in another language, its words linked to the source's.

        Args:
            text: one sentence or several, translated each and joined.
            to: the language's code, such as `de`.
            source: the text's own language; None lets the model tell.

        Returns:
            The object that `captioner translate --jsonl` writes; its `warning` says where the
            answer should not be relied on.

        Raises:
            ConfigError: there are no weights for translation, a language is unknown to them, or the
                text is empty, without words or too long.
        """
        if self.translator is None:
            raise ConfigError(_UNTRANSLATED)
        if not to:
            raise ConfigError("to is empty; expected the code of a language, such as de")
        sentence = _short(text, "text", LONGEST_TEXT)
        return self.translator(sentence, to=to, source_language=source or None).to_dict()

    def _look(self, photo: str) -> Look:
        return self.captioner.look(photo)

    def _answer(
        self, photo: str | None, ask: Callable[[Look], Caption], maps: bool
    ) -> dict[str, Any]:
        path = _given(photo)
        try:
            caption = ask(self.looks[path])
        except ImageError as error:
            raise ImageError(without_folders(str(error), path)) from None
        return public(caption).to_dict(maps=maps)


def _given(photo: str | None) -> str:
    if not photo:
        raise ImageError(_missing())
    return photo


def _missing() -> str:
    return "no photo was given; upload one and send its path"


def _served(name: str, value: float | None) -> int | None:
    """A number from JSON as a whole one; the limits keep one request from holding up all others."""
    if value is None:
        return None
    most = field_of(SearchOptions, name).metadata["served"]
    if value not in range(1, most + 1):
        raise ConfigError(f"{name} is {value!r}; expected a whole number from 1 to {most}")
    return int(value)


def _short(text: str | None, name: str, most: int) -> str:
    if not text or not clean(text):  # what nobody sees is no sentence
        raise ConfigError(f"{name} is empty; expected a sentence")
    if len(text) > most:
        raise ConfigError(f"{name} has {len(text)} characters; expected at most {most}")
    return text
