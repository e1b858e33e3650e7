"""The old door to captioning: its names live in `captioner.captions` now."""

from captioner.captions.caption import Caption, word_shares
from captioner.captions.captioner import Captioner
from captioner.words import Word

__all__ = ["Caption", "Captioner", "Word", "word_shares"]
