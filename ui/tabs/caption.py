"""A photo's caption: written, gone on with, put into another language, taken along."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gradio as gr

from captioner.captions.caption import Caption
from captioner.errors import ConfigError, ImageError
from captioner.ui import exports
from captioner.ui.desk import Desk
from captioner.ui.tabs.components import Drawing
from captioner.ui.tabs.events import ASKING, LATEST, PRIVATE, streaming_with_errors, with_errors
from captioner.ui.tabs.photo import PhotoColumn
from captioner.ui.tabs.texts import I18N, LANGUAGES, in_both
from captioner.ui.values import View, view


class CaptionTab:
    """The viewer of the caption, what stands under it, and the caption that other tabs ask for."""

    def __init__(self, desk: Desk, column: PhotoColumn, downloads: exports.Downloads) -> None:
        self.desk, self.column, self.downloads = desk, column, downloads
        self.caption = gr.State()  # the last one; kept by Gradio while the visitor's page is open
        self.viewer = Drawing("viewer", elem_id="caption-viewer")
        with gr.Row(elem_id="under"):
            self.to = self._languages()
            for kind in ("sheet", "json", "html"):
                self._download(kind)
        self._listen()

    def _listen(self) -> None:
        photo, chosen = self.column.photo, self.column.chosen
        inputs = [photo, self.to, *self.column.controls.values()]
        outputs = [self.viewer, self.caption]
        write = streaming_with_errors(self.write)
        # A photo that replaces another fires `change` twice, and would be written about twice.
        gr.on([photo.input, chosen.change], write, inputs, outputs, api_name="_write", **LATEST)
        for name, control in self.column.controls.items():
            listen = control.release if isinstance(control, gr.Slider) else control.input
            listen(write, inputs, outputs, api_name=f"_write_{name}", **LATEST)
        go_on = streaming_with_errors(self.go_on)
        self.viewer.select(go_on, inputs, outputs, api_name="_go_on", **LATEST)

    def write(
        self, photo: str | None, to: str, *controls: Any
    ) -> Iterator[tuple[View, Caption | None]]:
        """The viewer's value and the caption, as they grow."""
        if photo is None:
            yield self.desk.shown(None), None
            return
        options, compare = self.column.options(controls), self.column.compared(controls)
        try:
            answers = self.desk.write(photo, compare=compare, options=options)
            yield from self._in_language_at_end(to, answers)
        except ImageError:  # the caption of the photo before must not stand beside it
            yield self.desk.shown(None), None
            raise

    def go_on(
        self, event: gr.EventData, photo: str | None, to: str, *controls: Any
    ) -> Iterator[tuple[View, Caption | None]]:
        """As `write`, from a word on that was chosen."""
        if photo is None:
            return
        before, word = event._data.get("before", []), event._data.get("word", "")
        words = [*before, word] if isinstance(before, list) else before
        answers = self.desk.write(photo, before=words, options=self.column.options(controls))
        yield from self._in_language_at_end(to, answers)

    def _in_language_at_end(
        self, to: str, answers: Iterator[tuple[View, Caption]]
    ) -> Iterator[tuple[View, Caption]]:
        """The answers, and at their end the translation, if one is wanted."""
        for value, caption in answers:
            yield value, caption
        if to:
            yield self.desk.linked(value, caption, to), caption

    def _languages(self) -> Any:
        """The choice of another language; without a translator, a note in its place."""
        spoken = self.desk.languages()
        if not spoken:
            gr.Markdown(I18N("no_translation"), elem_classes="quiet")
            return gr.State("")
        choices = [(I18N("no_language"), ""), *((LANGUAGES.get(c, c), c) for c in spoken)]
        to = gr.Radio(choices, value="", label=I18N("to"), elem_id="to", container=False)
        to.input(
            with_errors(self.translate),
            [self.column.photo, self.caption, to],
            self.viewer,
            api_name="_in_language",
            **ASKING,
        )
        return to

    def translate(self, photo: str | None, caption: Caption | None, to: str) -> Any:
        """The viewer's value with the caption in the language that was chosen."""
        about = None if photo is None else about_photo(photo, caption)
        if photo is None or about is None:
            return gr.skip()
        return self.desk.in_language(about, to)

    def _download(self, kind: str) -> None:
        """A button that makes a file of the caption, and a hidden one that fetches it."""
        button = gr.Button(I18N(kind), size="sm", scale=0, min_width=120)
        fetch = gr.DownloadButton(elem_id=f"fetch-{kind}", elem_classes="fetch")
        button.click(
            with_errors(partial(self.file, kind)),
            [self.caption, self.viewer, self.to],
            fetch,
            api_name=f"_{kind}",
            **ASKING,
        ).success(None, js=f"() => document.querySelector('#fetch-{kind}').click()", **PRIVATE)

    def file(self, kind: str, caption: Caption | None, shown: View | None, to: str) -> str:
        """A file of the caption; in another language, where one is chosen, with its English."""
        if caption is None:
            raise ConfigError(in_both("need_photo"))
        public = exports.public(self.desk.translated(caption, to) if to else caption)
        made: dict[str, tuple[str, Callable[[], str | bytes]]] = {
            "sheet": (".png", lambda: exports.sheet(public)),
            "json": (".json", lambda: exports.json_text(public)),
            "html": (".html", lambda: exports.page(shown or view(public))),
        }
        suffix, make = made[kind]
        return self.downloads.put(exports.file_name(public, suffix), make())


def about_photo(photo: str, caption: Caption | None) -> Caption | None:
    """The caption, if it is about this photo and not about the one before."""
    return caption if caption is not None and caption.source == photo else None
