"""What if: the photo with a part painted over, and what its words owed to that part."""

from __future__ import annotations

from typing import Any

import gradio as gr

from captioner.captions.caption import Caption
from captioner.errors import ImageError
from captioner.ui.desk import Desk, Written
from captioner.ui.messages import public_message
from captioner.ui.tabs.caption import CaptionTab, about_photo, card_of
from captioner.ui.tabs.components import Drawing
from captioner.ui.tabs.events import CARD, LATEST, follow, with_errors
from captioner.ui.tabs.photo import PhotoColumn
from captioner.ui.tabs.texts import I18N
from captioner.ui.values import View


class WhatIfTab:
    """A viewer that can be painted on."""

    def __init__(self, desk: Desk, column: PhotoColumn, caption: CaptionTab, tab: gr.Tab) -> None:
        self.desk, self.column = desk, column
        self.shown = gr.State()  # (photo, caption) that the viewer shows
        gr.Markdown(I18N("paint_help"), elem_classes="quiet")
        viewer = Drawing("viewer", elem_id="paint-viewer")
        controls = list(column.controls.values())
        outputs = [viewer, self.shown]
        follow(
            tab,
            self.open,
            inputs=[column.photo, caption.written, caption.viewer, self.shown, *controls],
            outputs=outputs,
            js=f"(photo, written, viewer, ...rest) => [photo, written, {CARD}, ...rest]",
            api_name="_open_paint",
        )
        viewer.paint(
            with_errors(self.paint),
            [column.photo, self.shown, *controls],
            outputs,
            api_name="_paint",
            **LATEST,
        )

    def open(
        self,
        photo: str | None,
        written: Written | None,
        card: View | None,
        shown: Any,
        *controls: Any,
    ) -> tuple[Any, Any]:
        """The photo with the sentence that is shown and nothing painted, if it is not there yet."""
        if photo is None:
            return self.desk.shown(None), None
        about = about_photo(photo, written)
        caption = None if about is None else about.caption(card_of(card))
        if caption and shown and (shown[0], shown[1].text) == (photo, caption.text):
            return gr.skip(), gr.skip()
        return self.repaint(photo, caption, [], controls)

    def paint(
        self, event: gr.EventData, photo: str | None, shown: Any, *controls: Any
    ) -> tuple[Any, Any]:
        """The photo as it was painted over, with what changed; none of another photo."""
        if photo is None or shown is None or shown[0] != photo:
            return gr.skip(), gr.skip()
        strokes, covering = (event._data.get(name) for name in ("strokes", "covering"))
        return self.repaint(photo, shown[1], strokes, controls, covering)

    def repaint(
        self,
        photo: str,
        caption: Caption | None,
        strokes: Any,
        controls: Any,
        covering: Any = None,
    ) -> tuple[Any, Any]:
        """The viewer's value, and what it shows; or why the photo cannot be read, in its place."""
        options = self.column.options(controls)
        try:
            value, whole = self.desk.paint(photo, caption, strokes, options, covering=covering)
        except ImageError as error:
            return {**self.desk.shown(None), "error": public_message(error, photo)}, None
        return value, (photo, whole)
