"""The square that the model sees."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from captioner.errors import ConfigError, ImageError
from captioner.pictures.preprocess import Preprocess
from tests.photographs import (
    noise,
)


def triangle(source: int, target: int) -> np.ndarray:
    """(target, source): antialiased bilinear weights, straight from their definition."""
    scale = source / target
    centres = (np.arange(target) + 0.5) * scale
    distance = np.abs(np.arange(source) + 0.5 - centres[:, None]) / max(scale, 1.0)
    weights = np.clip(1 - distance, 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("height", "width", "size"), [(31, 47, 7), (5, 61, 11), (3, 2, 13), (7, 7, 7), (1, 97, 5)]
)
def test_pixels_are_squashed_with_antialiasing(height: int, width: int, size: int) -> None:
    photo = noise(height, width)
    pixels = Preprocess(size=size).pixels(Image.fromarray(photo))
    assert pixels.shape == (3, size, size)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    expected = np.einsum("ih,hwc,jw->cij", triangle(height, size), photo, triangle(width, size))
    assert np.abs(pixels - expected).max() <= 1.01


def test_preprocess_wants_an_opened_photo() -> None:
    with pytest.raises(ImageError, match="mode L, expected RGB; open it with open_photo"):
        Preprocess().pixels(Image.new("L", (3, 5)))


def test_preprocess_travels_through_json() -> None:
    preprocess = Preprocess(size=97, mean=(0.5, 0.25, 0), std=(1, 2, 3.5))
    assert Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict()))) == preprocess
    assert Preprocess.from_dict(Preprocess().to_dict()) == Preprocess()
    assert Preprocess().to_dict() == {
        "size": 224,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"size": 0}, "size is 0, expected a whole number"),
        ({"size": 2**63}, f"size is {2**63}, expected at most 8192 pixels"),
        ({"size": 2.5}, "size is 2.5"),
        ({"size": True}, "size is True"),
        ({"mean": [1, 2]}, r"mean is \[1, 2\], expected three numbers"),
        ({"mean": "abc"}, "mean is 'abc'"),
        ({"mean": [0, 0, float("nan")]}, "mean is"),
        ({"std": [1, 0, 1]}, "expected three numbers above 0"),
        ({"std": None}, "std is None"),
        (
            {"colour": 1},
            r"got colour, mean, size, std, expected the fields mean, size, std$",
        ),
    ],
)
def test_preprocess_refuses_wrong_fields(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        Preprocess.from_dict(Preprocess().to_dict() | change)


def test_preprocess_refuses_missing_fields_and_other_things() -> None:
    with pytest.raises(ConfigError, match=r"got size, expected the fields mean, size, std$"):
        Preprocess.from_dict({"size": 7})
    with pytest.raises(ConfigError, match="got list, expected the fields"):
        Preprocess.from_dict([1, 2])  # type: ignore[arg-type]
