"""What if: the photo with a part painted over, and what its words owed to that part."""

from __future__ import annotations

from typing import Any

import gradio as gr

from captioner.captions.caption import Caption
from captioner.ui.desk import Desk
from captioner.ui.tabs.caption import CaptionTab, about_photo
from captioner.ui.tabs.components import Drawing
from captioner.ui.tabs.events import ASKING, LATEST, with_errors
from captioner.ui.tabs.photo import PhotoColumn
from captioner.ui.tabs.texts import I18N


class WhatIfTab:
    """A viewer that can be painted on."""

    def __init__(self, desk: Desk, column: PhotoColumn, written: CaptionTab, tab: gr.Tab) -> None:
        self.desk, self.column = desk, column
        self.shown = gr.State()  # (photo, caption) that the viewer shows
        gr.Markdown(I18N("paint_help"), elem_classes="quiet")
        viewer = Drawing("viewer", elem_id="paint-viewer")
        controls = list(column.controls.values())
        outputs = [viewer, self.shown]
        tab.select(
            with_errors(self.open),
            [column.photo, written.caption, self.shown, *controls],
            outputs,
            api_name="_open_paint",
            **ASKING,
        )
        viewer.paint(
            with_errors(self.paint),
            [column.photo, written.caption, *controls],
            outputs,
            api_name="_paint",
            **LATEST,
        )

    def open(
        self, photo: str | None, caption: Caption | None, shown: Any, *controls: Any
    ) -> tuple[Any, Any]:
        """The photo with its caption and nothing painted, if they are not there yet."""
        if photo is None:
            return self.desk.shown(None), None
        if caption is not None and shown == (photo, caption.text):
            return gr.skip(), gr.skip()
        return self.repaint(photo, caption, [], controls)

    def paint(
        self, event: gr.EventData, photo: str | None, caption: Caption | None, *controls: Any
    ) -> tuple[Any, Any]:
        """The photo as it was painted over, with what changed."""
        if photo is None:
            return gr.skip(), gr.skip()
        return self.repaint(photo, caption, event._data.get("strokes"), controls)

    def repaint(
        self, photo: str, caption: Caption | None, strokes: Any, controls: Any
    ) -> tuple[Any, Any]:
        """The viewer's value, and what it shows."""
        value, whole = self.desk.paint(
            photo, about_photo(photo, caption), strokes, self.column.options(controls)
        )
        return value, (photo, whole.text)
