"""The page's own texts in the visitor's language."""

from __future__ import annotations

import gradio as gr

from captioner.ui import assets

LANGUAGES = {
    **{"en": "English", "de": "Deutsch", "fr": "Français", "cs": "Čeština", "ko": "한국어"},
    **{"es": "Español", "it": "Italiano", "pt": "Português", "nl": "Nederlands", "pl": "Polski"},
    **{"ja": "日本語", "zh": "中文", "ru": "Русский", "tr": "Türkçe", "ar": "العربية"},
}
"""What can be translated, each by its own name."""

_PAGE = {language: dict(parts["page"]) for language, parts in assets.strings().items()}
I18N = gr.I18n(**_PAGE)


def in_both(key: str) -> str:
    """A text in both languages, where the browser cannot choose."""
    return " · ".join(texts[key] for texts in _PAGE.values())
