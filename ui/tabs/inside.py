"""Inside one step: the numbers of one word, from the query to the probabilities."""

from __future__ import annotations

from typing import Any

import gradio as gr

from captioner.errors import ImageError
from captioner.ui.desk import Desk, Written
from captioner.ui.messages import public_message
from captioner.ui.tabs.caption import CaptionTab, about_photo, card_of
from captioner.ui.tabs.components import Drawing
from captioner.ui.tabs.events import CARD, follow
from captioner.ui.tabs.photo import PhotoColumn
from captioner.ui.tabs.texts import I18N
from captioner.ui.values import View


class InsideTab:
    """A viewer of the caption's steps."""

    def __init__(self, desk: Desk, column: PhotoColumn, caption: CaptionTab, tab: gr.Tab) -> None:
        self.desk = desk
        self.shown = gr.State()  # (photo, caption) that the viewer shows
        gr.Markdown(I18N("inside_help"), elem_classes="quiet")
        viewer = Drawing("steps", elem_id="inside-viewer")
        follow(
            tab,
            self.open,
            inputs=[column.photo, caption.written, caption.viewer, self.shown],
            outputs=[viewer, self.shown],
            js=f"(photo, written, viewer, shown) => [photo, written, {CARD}, shown]",
            api_name="_open_inside",
        )

    def open(
        self, photo: str | None, written: Written | None, card: View | None, shown: Any
    ) -> tuple[Any, Any]:
        """The steps of the sentence that is shown, if they are not there yet.

        Where there is none, the reason why the photo cannot be read stands in their place.
        """
        about = about_photo(photo, written)
        if photo is None:
            return {}, None
        if about is None:
            try:
                self.desk.shown(photo)
            except ImageError as error:
                return {"error": public_message(error, photo)}, None
            return {}, None
        text = about.caption(card_of(card)).text
        if shown == (photo, text):
            return gr.skip(), gr.skip()
        return self.desk.inside(photo, text), (photo, text)
