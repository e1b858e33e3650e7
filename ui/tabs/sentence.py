"""Your own sentence: how likely is each of its words to the model, and where would it look?"""

from __future__ import annotations

from typing import Any

import gradio as gr

from captioner.errors import ConfigError
from captioner.ui.desk import Desk
from captioner.ui.tabs.components import Drawing, Text
from captioner.ui.tabs.events import ASKING, with_errors
from captioner.ui.tabs.photo import PhotoColumn
from captioner.ui.tabs.texts import I18N, in_both
from captioner.ui.values import View


class SentenceTab:
    """A line to type in, and a viewer of what the model thinks of it."""

    def __init__(self, desk: Desk, column: PhotoColumn, tab: gr.Tab) -> None:
        self.desk = desk
        self.photo_shown = gr.State()
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
        outputs = [viewer, self.photo_shown]
        tab.select(
            with_errors(self.open),
            [column.photo, self.photo_shown],
            outputs,
            api_name="_open_sentence",
            **ASKING,
        )
        gr.on(
            [typed.submit, ask.click],
            with_errors(self.explain),
            [column.photo, typed],
            outputs,
            api_name="_explain",
            **ASKING,
        )

    def open(self, photo: str | None, photo_shown: str | None) -> Any:
        """The photo alone, if it is not there yet."""
        return (gr.skip(), gr.skip()) if photo == photo_shown else (self.desk.shown(photo), photo)

    def explain(self, photo: str | None, sentence: str) -> tuple[View, str]:
        """The sentence with its probabilities and maps, and the photo it is about."""
        if photo is None:
            raise ConfigError(in_both("need_photo"))
        return self.desk.explain(photo, sentence)[0], photo
