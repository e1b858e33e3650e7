"""What the page promises, and the cards of the weights that came along."""

from __future__ import annotations

import re
from importlib.resources import files

import gradio as gr

from captioner.checkpoint import CAPTION, TRANSLATE
from captioner.ui.tabs.texts import I18N


class AboutTab:
    """Two texts."""

    def __init__(self) -> None:
        gr.Markdown(I18N("about"))
        gr.Markdown(_cards(), elem_id="about")


def _cards() -> str:
    """The model cards of the weights that came along, their headings one level down."""
    cards = [files("captioner.checkpoints") / f"{task}.md" for task in (CAPTION, TRANSLATE)]
    text = "\n\n".join(card.read_text(encoding="utf-8") for card in cards if card.is_file())
    return re.sub(r"^#", "##", text, flags=re.MULTILINE)
