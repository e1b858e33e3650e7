"""How large a picture may be."""

from __future__ import annotations

import io
import warnings

import pytest
from PIL import Image

from captioner.pictures.sizes import MAX_PIXELS
from tests.photographs import (
    png,
    refused,
)


@pytest.mark.parametrize(
    "size", [(8001, 8000), (10_000, 9_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)]
)
def test_the_limit_is_checked_from_the_header_without_a_warning(size: tuple[int, int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        message = refused(png(*size))
    assert f"{size[0]} × {size[1]} pixels are {size[0] * size[1]:,}, above the limit" in message
    assert "64,000,000 (64 megapixels); make it smaller first" in message


def test_the_limit_itself_is_allowed() -> None:
    assert MAX_PIXELS == 8000 * 8000
    assert "cut short" in refused(png(8000, 8000))


def test_a_large_pil_image_is_not_even_loaded() -> None:
    with Image.open(io.BytesIO(png(9000, 9000))) as image:
        assert "9000 × 9000 pixels" in refused(image)
