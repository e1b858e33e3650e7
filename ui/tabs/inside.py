"""Inside one step: the numbers of one word, from the query to the probabilities."""

from __future__ import annotations

from typing import Any

import gradio as gr

from captioner.captions.caption import Caption
from captioner.ui.desk import Desk
from captioner.ui.tabs.caption import CaptionTab, about_photo
from captioner.ui.tabs.components import Drawing
from captioner.ui.tabs.events import ASKING, with_errors
from captioner.ui.tabs.photo import PhotoColumn
from captioner.ui.tabs.texts import I18N


class InsideTab:
    """A viewer of the caption's steps."""

    def __init__(self, desk: Desk, column: PhotoColumn, written: CaptionTab, tab: gr.Tab) -> None:
        self.desk = desk
        self.shown = gr.State()  # (photo, caption) that the viewer shows
        gr.Markdown(I18N("inside_help"), elem_classes="quiet")
        viewer = Drawing("steps", elem_id="inside-viewer")
        tab.select(
            with_errors(self.open),
            [column.photo, written.caption, self.shown],
            [viewer, self.shown],
            api_name="_open_inside",
            **ASKING,
        )

    def open(self, photo: str | None, caption: Caption | None, shown: Any) -> tuple[Any, Any]:
        """The steps of the caption, if they are not there yet."""
        about = None if photo is None else about_photo(photo, caption)
        if photo is None or about is None:
            return {}, None
        if shown == (photo, about.text):
            return gr.skip(), gr.skip()
        return self.desk.inside(photo, about.text), (photo, about.text)
