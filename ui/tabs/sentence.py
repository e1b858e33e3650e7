"""Your own sentence: how likely is each of its words to the model, and where would it look?"""

from __future__ import annotations

from typing import Any

import gradio as gr

from captioner.errors import ConfigError, ImageError
from captioner.ui.desk import Desk
from captioner.ui.messages import public_message
from captioner.ui.tabs.components import Drawing, Text
from captioner.ui.tabs.events import ASKING, follow, with_errors
from captioner.ui.tabs.photo import PhotoColumn
from captioner.ui.tabs.texts import I18N, in_both
from captioner.ui.values import View


class SentenceTab:
    """A line to type in, and a viewer of what the model thinks of it."""

    def __init__(self, desk: Desk, column: PhotoColumn, tab: gr.Tab) -> None:
        self.desk = desk
        self.shown = gr.State()  # (photo, sentence) that the viewer shows
        gr.Markdown(I18N("sentence_help"), elem_classes="quiet")
        with gr.Row(elem_id="typed-row"):
            typed = Text(
                label=I18N("sentence"),
                placeholder=I18N("sentence_placeholder"),
                max_length=400,
                scale=5,
                elem_id="typed",
            )
            ask = gr.Button(I18N("ask"), variant="primary", scale=0, min_width=100, elem_id="ask")
        viewer = Drawing("viewer", elem_id="sentence-viewer")
        outputs = [viewer, self.shown]
        follow(
            tab,
            self.open,
            inputs=[column.photo, self.shown],
            outputs=outputs,
            api_name="_open_sentence",
        )
        gr.on(
            [typed.submit, ask.click],
            with_errors(self.explain),
            [column.photo, typed],
            outputs,
            api_name="_explain",
            **ASKING,
        )

    def open(self, photo: str | None, shown: tuple[str, str] | None) -> tuple[Any, Any]:
        """The photo with the last sentence, if they are not there yet; or why it cannot be read."""
        if photo is None:
            return self.desk.shown(None), None
        if shown is not None and shown[0] == photo:
            return gr.skip(), gr.skip()
        try:
            if shown is None or not shown[1]:
                return self.desk.shown(photo), (photo, "")
            return self.explain(photo, shown[1])
        except ImageError as error:
            return {**self.desk.shown(None), "error": public_message(error, photo)}, None

    def explain(
        self, photo: str | None, sentence: str | None
    ) -> tuple[View, tuple[str, str] | None]:
        """The sentence with its probabilities and maps, and what it is about.

        What is wrong with it stands where it would, over the photo.
        """
        if photo is None:
            return {**self.desk.shown(None), "error": in_both("need_photo")}, None
        try:
            said = sentence or ""
            return self.desk.explain(photo, said)[0], (photo, said)
        except ConfigError as error:
            return {**self.desk.shown(photo), "error": public_message(error, photo)}, (photo, "")
