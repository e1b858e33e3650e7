"""`open_photo` under its former name, for programs that import it from here."""

from captioner.pictures.geometry import Geometry
from captioner.pictures.open import open_photo, original_size
from captioner.pictures.preprocess import Preprocess

__all__ = ["Geometry", "Preprocess", "open_photo", "original_size"]
