"""Where `open_photo` lay before there was a room for pictures; programs find it here still."""

from captioner.pictures.open import Geometry, Preprocess, open_photo, original_size

__all__ = ["Geometry", "Preprocess", "open_photo", "original_size"]
