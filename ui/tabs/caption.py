"""A photo's caption: written, gone on with, put into another language, taken along."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import gradio as gr

from captioner.errors import ConfigError, ImageError
from captioner.ui import exports
from captioner.ui.desk import Desk, Written
from captioner.ui.tabs.components import Drawing
from captioner.ui.tabs.events import (
    ASKING,
    CARD,
    LATEST,
    PRIVATE,
    streaming_with_errors,
    with_errors,
)
from captioner.ui.tabs.photo import PhotoColumn
from captioner.ui.tabs.texts import I18N, LANGUAGES, in_both
from captioner.ui.values import View, view

BEGUN = "() => captionerPage.begin('%s')"
ENDED = "() => { captionerPage.end('%s'); captionerPage.follow(); }"


class CaptionTab:
    """The viewer of the caption, what stands under it, and the caption that other tabs ask for."""

    def __init__(self, desk: Desk, column: PhotoColumn, downloads: exports.Downloads) -> None:
        self.desk, self.column, self.downloads = desk, column, downloads
        self.written = gr.State()  # the last; kept by Gradio while the visitor's page is open
        self.viewer = Drawing("viewer", elem_id="caption-viewer")
        with gr.Row(elem_id="under"):
            self.to = self._languages()
            for kind in ("sheet", "json", "html"):
                self._download(kind)
        self._listen()

    def _listen(self) -> None:
        photo, chosen = self.column.photo, self.column.chosen
        inputs = [photo, self.written, self.to, *self.column.controls.values()]
        outputs = [self.viewer, self.written]
        # A photo that replaces another fires `change` twice, and would be written about twice.
        changes: dict[str, tuple[list[Any], Callable[..., Iterator[Any]]]] = {
            "write": ([photo.input, chosen.change], self.write)
        }
        for name, control in self.column.controls.items():
            listen = control.release if isinstance(control, gr.Slider) else control.input
            changes[f"write_{name}"] = ([listen], self.rewrite)
        changes |= {
            "go_on": ([self.viewer.select], self.go_on),
            "undo": ([self.viewer.undo], self.undo),
        }
        for name, (triggers, handler) in changes.items():
            gr.on(triggers, None, js=BEGUN % name, **PRIVATE)
            gr.on(
                triggers,
                streaming_with_errors(handler),
                inputs,
                outputs,
                api_name=f"_{name}",
                **LATEST,
            ).then(None, js=ENDED % name, **PRIVATE)

    def write(
        self, photo: str | None, written: Written | None, to: str, *controls: Any
    ) -> Iterator[tuple[View, Written | None]]:
        """The viewer's value and what is written about a photo that came, as it grows."""
        yield from self._write(photo, (), to, controls)

    def rewrite(
        self, photo: str | None, written: Written | None, to: str, *controls: Any
    ) -> Iterator[tuple[View, Written | None]]:
        """As `write`, for other options: words that were chosen stay."""
        about = about_photo(photo, written)
        yield from self._write(photo, about.edits if about else (), to, controls)

    def go_on(
        self,
        event: gr.EventData,
        photo: str | None,
        written: Written | None,
        to: str,
        *controls: Any,
    ) -> Iterator[tuple[View, Written | None]]:
        """As `write`, from a word on that was chosen."""
        before, word = event._data.get("before", []), event._data.get("word", "")
        words = [*before, word] if isinstance(before, list) else before
        about = about_photo(photo, written)
        edits = [*about.edits, words] if about else [words]
        if photo is not None:
            yield from self._write(photo, edits, to, controls)

    def undo(
        self, photo: str | None, written: Written | None, to: str, *controls: Any
    ) -> Iterator[tuple[View, Written | None]]:
        """As `write`, without the word that was chosen last."""
        about = about_photo(photo, written)
        if about is not None:
            yield from self._write(photo, about.edits[:-1], to, controls)

    def _write(
        self, photo: str | None, edits: Sequence[Sequence[str]], to: str, controls: Sequence[Any]
    ) -> Iterator[tuple[View, Written | None]]:
        if photo is None:
            yield self.desk.shown(None), None
            return
        options, compare = self.column.options(controls), self.column.compared(controls)
        try:
            for value, written in self.desk.write(
                photo, edits=edits, compare=compare, options=options
            ):
                yield value, written
            if to:
                yield self.desk.value_of(written, to=to), written
        except ImageError:  # the caption of the photo before must not stand beside it
            yield self.desk.shown(None), None
            raise

    def _languages(self) -> Any:
        """The choice of another language; without a translator, a note in its place."""
        spoken = self.desk.languages()
        if not spoken:
            gr.Markdown(I18N("no_translation"), elem_classes="quiet")
            return gr.State("")
        choices = [(I18N("no_language"), ""), *((LANGUAGES.get(c, c), c) for c in spoken)]
        to = gr.Radio(choices, value="", label=I18N("to"), elem_id="to", container=False)
        triggers = [to.input, self.viewer.input]
        gr.on(triggers, None, js=BEGUN % "translate", **PRIVATE)
        gr.on(
            triggers,
            with_errors(self.translate),
            [self.column.photo, self.written, self.viewer, to],
            self.viewer,
            js=f"(photo, written, viewer, to) => [photo, written, {CARD}, to]",
            api_name="_in_language",
            **LATEST,
        ).then(None, js=ENDED % "translate", **PRIVATE)
        return to

    def translate(
        self, photo: str | None, written: Written | None, shown: View | None, to: str
    ) -> Any:
        """The viewer's value with the sentence that is shown in the language that was chosen."""
        about = about_photo(photo, written)
        return gr.skip() if about is None else self.desk.value_of(about, card_of(shown), to)

    def _download(self, kind: str) -> None:
        """A button that makes a file of the caption, and a hidden one that fetches it."""
        button = gr.Button(I18N(kind), size="sm", scale=0, min_width=120)
        fetch = gr.DownloadButton(elem_id=f"fetch-{kind}", elem_classes="fetch")
        button.click(
            with_errors(partial(self.file, kind)),
            [self.written, self.viewer, self.to],
            fetch,
            api_name=f"_{kind}",
            **ASKING,
        ).success(None, js=f"() => document.querySelector('#fetch-{kind}').click()", **PRIVATE)

    def file(self, kind: str, written: Written | None, shown: View | None, to: str) -> str:
        """A file of the sentence that is shown; in another language, where one is chosen."""
        if written is None:
            raise ConfigError(in_both("need_photo"))
        caption = written.caption(card_of(shown))
        public = exports.public(self.desk.translated(caption, to) if to else caption)
        made: dict[str, tuple[str, Callable[[], str | bytes]]] = {
            "sheet": (".png", lambda: exports.sheet(public)),
            "json": (".json", lambda: exports.json_text(public)),
            "html": (".html", lambda: exports.page(shown or view(public))),
        }
        suffix, make = made[kind]
        return self.downloads.put(exports.file_name(public, suffix), make())


def about_photo(photo: str | None, written: Written | None) -> Written | None:
    """What is written, if it is about this photo and not about the one before."""
    return written if written is not None and photo and written.photo == photo else None


def card_of(shown: object) -> object:
    """Which card the viewer shows, from what the browser sent of its value."""
    return shown.get("choice", 0) if isinstance(shown, dict) else 0
