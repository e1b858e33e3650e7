"""The page's own texts in the visitor's language."""

from __future__ import annotations

import gradio as gr

from captioner.ui import assets

_PAGE = {language: dict(parts["page"]) for language, parts in assets.strings().items()}
I18N = gr.I18n(**_PAGE)


def in_both(key: str) -> str:
    """A text in both languages, where the browser cannot choose."""
    return " · ".join(texts[key] for texts in _PAGE.values())
