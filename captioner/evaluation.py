"""The old door to evaluation: its names live in `scoring` and in the rooms of the tasks now."""

from captioner.captions.evaluation import (
    CaptionReport,
    draw_extremes,
    evaluate,
    search_decoding,
)
from captioner.scoring import Report, decoding
from captioner.translations.evaluation import (
    TranslationReport,
    evaluate_translations,
    search_translation_decoding,
)

__all__ = [
    "CaptionReport",
    "Report",
    "TranslationReport",
    "decoding",
    "draw_extremes",
    "evaluate",
    "evaluate_translations",
    "search_decoding",
    "search_translation_decoding",
]
