from __future__ import annotations

from captioner import images
from captioner.pictures.geometry import Geometry
from captioner.pictures.open import open_photo, original_size
from captioner.pictures.preprocess import Preprocess


def test_the_old_door_leads_to_the_room() -> None:
    found = [getattr(images, name) for name in images.__all__]
    assert found == [Geometry, Preprocess, open_photo, original_size]
