"""Where `open_photo` lay before there was a room for pictures; programs find it here still."""

from captioner.pictures.geometry import Geometry
from captioner.pictures.open import open_photo, original_size
from captioner.pictures.preprocess import Preprocess

__all__ = ["Geometry", "Preprocess", "open_photo", "original_size"]
