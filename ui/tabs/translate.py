"""A text in another language, its words linked to those it came from."""

from __future__ import annotations

import re
from typing import Any

import gradio as gr

from captioner.errors import CaptionerError, ConfigError
from captioner.languages import called
from captioner.ui import exports
from captioner.ui.desk import Desk
from captioner.ui.messages import public_message
from captioner.ui.tabs.components import Drawing, Dropdown, Photo, Text
from captioner.ui.tabs.events import ASKING, PRIVATE, QUIET, with_errors
from captioner.ui.tabs.texts import I18N
from captioner.ui.values import View

_LINKS = re.compile(r"(?:\d{1,4}-\d{1,4}(?: \d{1,4}-\d{1,4}){0,999})?")


class TranslateTab:
    """Text in, text out; without a translator, a note that says how to get one."""

    def __init__(self, desk: Desk, downloads: exports.Downloads) -> None:
        self.desk, self.downloads = desk, downloads
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
                    lines=1,  # of more, Gradio takes Enter for a new line and Shift+Enter for done
                    max_lines=20,
                    max_length=2000,
                    elem_id="text",
                )
                named = [(called(code), code) for code in spoken.sources]
                guessed = [(I18N("guess"), ""), *named]
                source = Dropdown("source", choices=guessed, value="", label=I18N("source"))
                named = [(called(code), code) for code in spoken.targets]
                target = I18N("target")
                to = Dropdown("to", choices=named, value=desk.first_target(), label=target)
                self.photo = self._photo(desk)
                go = gr.Button(I18N("translate"), variant="primary")
            with gr.Column(scale=3):
                linked = Drawing("pairs", elem_id="pairs")
                self._download(linked)
                with gr.Accordion(I18N("tab_inside"), open=False):
                    steps = Drawing("steps", elem_id="translation-steps")
        gr.on(
            [go.click, text.submit],
            self.translate,
            [text, to, source, *self.photo],
            [linked, steps],
            api_name="_translate",
            **ASKING,
        )

    def translate(
        self, text: str | None, to: str, source: str = "", photo: Any = None
    ) -> tuple[View, View]:
        """The values of both viewers; what is wrong stands where the translation would."""
        try:
            return self.desk.translate(text or "", to, source, photo)
        except CaptionerError as error:
            return {"error": public_message(error)}, {}

    def _download(self, linked: Drawing) -> None:
        """A button that makes a file of which word belongs to which, and one that fetches it."""
        with gr.Row(elem_id="pairs-take"):
            button = gr.Button(I18N("pharaoh"), size="sm", scale=0, min_width=120)
            fetch = gr.DownloadButton(elem_id="fetch-pharaoh", elem_classes="fetch")
        made = button.click(
            with_errors(self.file),
            linked,
            fetch,
            js="(pairs) => [{pharaoh: (pairs && pairs.pharaoh) || []}]",
            api_name="_pharaoh",
            **QUIET,
        )
        made.success(None, js="() => document.querySelector('#fetch-pharaoh').click()", **PRIVATE)

    def file(self, pairs: View | None) -> str:
        """The path of a file with a line a sentence: `0-0 1-1`, a source and a target token each.

        Raises:
            ConfigError: nothing is translated yet, or what came is no alignment.
        """
        lines = pairs.get("pharaoh") if isinstance(pairs, dict) else None
        if not isinstance(lines, list) or not lines:
            raise ConfigError("there is nothing to translate; write a sentence")
        if not all(isinstance(line, str) and _LINKS.fullmatch(line) for line in lines):
            raise ConfigError("these are no alignments; translate the text again")
        return self.downloads.put("alignment.pharaoh.txt", "\n".join(lines) + "\n")

    @staticmethod
    def _photo(desk: Desk) -> list[Photo]:
        """What lies in view of the text, for a translator that has eyes; nothing for others."""
        if not desk.sees:
            return []
        return [
            Photo(
                label=I18N("in_view"),
                sources=["upload", "clipboard"],
                height=180,
                buttons=[],
                elem_id="in-view",
            )
        ]
