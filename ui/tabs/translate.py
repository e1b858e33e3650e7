"""A text in another language, its words linked to those it came from."""

from __future__ import annotations

from typing import Any

import gradio as gr

from captioner.errors import CaptionerError
from captioner.ui.desk import Desk
from captioner.ui.messages import public_message
from captioner.ui.tabs.components import Drawing, Photo, Text
from captioner.ui.tabs.events import ASKING
from captioner.ui.tabs.texts import I18N, LANGUAGES
from captioner.ui.values import View


class TranslateTab:
    """Text in, text out; without a translator, a note that says how to get one."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        if desk.translator is None:
            gr.Markdown(I18N("no_weights"), elem_classes="quiet")
            return
        spoken = desk.translator.languages
        gr.Markdown(I18N("translate_help"), elem_classes="quiet")
        with gr.Row():
            with gr.Column(scale=1, elem_classes="side"):
                text = Text(
                    label=I18N("text"),
                    placeholder=I18N("text_placeholder"),
                    lines=3,
                    max_length=2000,
                    elem_id="text",
                )
                named = [(LANGUAGES.get(code, code), code) for code in spoken.sources]
                source = gr.Dropdown([(I18N("guess"), ""), *named], value="", label=I18N("source"))
                named = [(LANGUAGES.get(code, code), code) for code in spoken.targets]
                to = gr.Dropdown(named, value=desk.first_target(), label=I18N("target"))
                self.photo = self._photo(desk)
                go = gr.Button(I18N("translate"), variant="primary")
            with gr.Column(scale=3):
                linked = Drawing("pairs", elem_id="pairs")
                with gr.Accordion(I18N("tab_inside"), open=False):
                    steps = Drawing("steps", elem_id="translation-steps")
        gr.on(
            [go.click, text.submit],
            self.translate,
            [text, to, source, self.photo],
            [linked, steps],
            api_name="_translate",
            **ASKING,
        )

    def translate(
        self, text: str, to: str, source: str = "", photo: Any = None
    ) -> tuple[View, View]:
        """The values of both viewers; what is wrong stands where the translation would."""
        try:
            return self.desk.translate(text, to, source, photo)
        except CaptionerError as error:
            return {"error": public_message(error)}, {}

    @staticmethod
    def _photo(desk: Desk) -> Any:
        """What lies in view of the text, for a translator that has eyes."""
        if not desk.sees:
            return gr.State()
        return Photo(
            label=I18N("in_view"),
            sources=["upload", "clipboard"],
            height=180,
            buttons=[],
            elem_id="in-view",
        )
