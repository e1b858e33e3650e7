"""A photo's caption: written, gone on with, put into another language, taken along."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import gradio as gr

from captioner.errors import ConfigError, ImageError
from captioner.languages import called
from captioner.options import DRAWING
from captioner.ui import exports
from captioner.ui.desk import Desk, Written
from captioner.ui.messages import public_message
from captioner.ui.tabs.components import Drawing, Radio
from captioner.ui.tabs.events import (
    ASKING,
    CARD,
    LATEST,
    PRIVATE,
    QUIET,
    streaming_with_errors,
    with_errors,
)
from captioner.ui.tabs.photo import PhotoColumn
from captioner.ui.tabs.texts import I18N, in_both
from captioner.ui.values import View, view

BEGUN = "() => captionerPage.begin('%s')"
RUN = "(...inputs) => captionerPage.run('%s', ...inputs)"
ENDED = "(...shown) => { captionerPage.end('%s'); captionerPage.keep(...shown); }"
FILES = ("gif", "sheet", "html", "json")  # to take along


class CaptionTab:
    """The viewer of the caption, what stands around it, and the caption that other tabs ask for."""

    def __init__(self, desk: Desk, column: PhotoColumn, downloads: exports.Downloads) -> None:
        self.desk, self.column, self.downloads = desk, column, downloads
        photo = column.examples.path(0)  # that every visitor's page begins with
        value, opening = desk.open_with(photo)
        self.written = gr.State(opening)  # kept by Gradio while the visitor's page is open
        self.to = self._languages()
        self.viewer = Drawing("viewer", value=self._dressed(value, photo), elem_id="caption-viewer")
        with gr.Row(elem_id="under"):
            for kind in FILES:
                self._download(kind)
        self.restored = gr.Button(elem_id="restore", elem_classes="fetch")
        self.again = gr.Button(elem_id="again", elem_classes="fetch")
        self._listen()

    def _listen(self) -> None:
        photo, chosen, controls = self.column.photo, self.column.chosen, self.column.controls
        inputs = [photo, self.written, self.to, *controls.values()]
        outputs = [self.viewer, self.written]
        # A photo that replaces another fires `change` twice, and would be written about twice.
        changes: dict[str, tuple[list[Any], Callable[..., Iterator[Any]]]] = {
            "write": ([photo.input, chosen.change], self.write)
        }
        for name, control in controls.items():
            listen = control.release if isinstance(control, gr.Slider) else control.input
            changes[f"write_{name}"] = ([listen], self.rewrite)
        changes |= {
            "write_again": ([self.again.click], self.rewrite),
            "go_on": ([self.viewer.select], self.go_on),
            "undo": ([self.viewer.undo], self.undo),
        }
        for name, (triggers, handler) in changes.items():
            self._event(name, triggers, streaming_with_errors(handler), inputs, outputs)
        self._event(
            "restore",
            [self.restored.click],
            streaming_with_errors(self.restore),
            [photo, self.viewer, self.to, *controls.values()],
            [*outputs, photo, self.to, *controls.values()],
            js="() => captionerPage.run('restore', ...captionerPage.kept())",
        )
        if self.desk.languages():
            self._event(
                "in_language",
                [self.to.input, self.viewer.input],
                with_errors(self.translate),
                [photo, self.written, self.viewer, self.to],
                [self.viewer],
                js="(photo, written, viewer, to) => "
                f"captionerPage.run('in_language', photo, written, {CARD}, to)",
            )
        self.column.forget.click(
            lambda: (None, self.desk.shown(None), None),
            None,
            [photo, *outputs],
            js="() => captionerPage.forget()",
            api_name="_forget",
            **QUIET,
        ).then(None, js="() => captionerPage.follow()", **PRIVATE)

    def _event(
        self,
        name: str,
        triggers: list[Any],
        handler: Callable[..., Any],
        inputs: list[Any],
        outputs: list[Any],
        js: str | None = None,
    ) -> None:
        """One that changes the viewer: while it runs the page is busy, and then keeps what came."""
        column = self.column
        shown = [column.photo, self.viewer, self.to, *column.controls.values()]
        gr.on(triggers, None, js=BEGUN % name, **PRIVATE)
        js = js or RUN % name
        gr.on(triggers, handler, inputs, outputs, js=js, api_name=f"_{name}", **LATEST).then(
            None, shown, js=ENDED % name, **PRIVATE
        )

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

    def restore(
        self, photo: str | None, shown: object, to: str, *controls: Any
    ) -> Iterator[tuple[Any, ...]]:
        """As `write`, for a page that was loaded again: with its photo, language and options."""
        chosen = dict(zip(self.column.controls, controls, strict=True))
        updates = [
            gr.update(value=value, visible=bool(chosen["sample"]) or name not in DRAWING)
            for name, value in chosen.items()
        ]
        edits = shown.get("edits", ()) if isinstance(shown, dict) else ()
        try:
            for value, written in self._write(photo, edits, to, controls, card_of(shown)):
                yield value, written, photo, to, *updates
        except ConfigError:  # what this tab kept does not fit these weights any more
            for value, written in self._write(photo, (), "", controls):
                yield value, written, photo, "", *updates

    def _write(
        self,
        photo: str | None,
        edits: Sequence[Sequence[str]],
        to: str,
        controls: Sequence[Any],
        card: object = 0,
    ) -> Iterator[tuple[View, Written | None]]:
        if photo is None:
            yield self.desk.shown(None), None
            return
        options, compare = self.column.options(controls), self.column.compared(controls)
        written: Written | None = None
        try:
            for value, written in self.desk.write(
                photo, edits=edits, compare=compare, options=options
            ):
                yield self._dressed(value, photo), written
        except ImageError as error:  # it stands where the caption would, of no other photo
            yield {**self.desk.shown(None), "error": public_message(error, photo)}, None
            return
        if written is not None and (to or card):
            yield self._dressed(self.desk.value_of(written, card, to), photo), written

    def _dressed(self, value: View, photo: str) -> View:
        return {**value, **self.column.examples.about(photo)}

    def _languages(self) -> Any:
        """The choice of another language; without a translator, a note in its place."""
        spoken = self.desk.languages()
        if not spoken:
            gr.Markdown(I18N("no_translation"), elem_classes="quiet", elem_id="no-languages")
            return gr.State("")
        choices = [(I18N("no_language"), ""), *((called(c), c) for c in spoken)]
        label = I18N("to")
        return Radio("to", choices=choices, value="", label=label, elem_id="to", container=False)

    def translate(
        self, photo: str | None, written: Written | None, shown: View | None, to: str
    ) -> Any:
        """The viewer's value with the sentence that is shown in the language that was chosen."""
        about = about_photo(photo, written)
        if about is None or photo is None:
            return gr.skip()
        return self._dressed(self.desk.value_of(about, card_of(shown), to), photo)

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
            "gif": (".gif", lambda: exports.animation(public)),
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
