"""The old door to translation: its names live in `captioner.translations` now."""

from captioner.translations.reader import MAX_PIECES, MAX_WORDS
from captioner.translations.translation import Translation
from captioner.translations.translator import Translator

__all__ = ["MAX_PIECES", "MAX_WORDS", "Translation", "Translator"]
