"""Arrays and tensors as photos."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from captioner.errors import ImageError
from captioner.pictures.open import open_photo
from tests.photographs import (
    checked,
    noise,
    opened,
    refused,
)

SIDES = st.integers(1, 13)
SHAPES = st.one_of(
    st.tuples(SIDES, SIDES),
    st.tuples(SIDES, SIDES, st.just(1)),
    st.tuples(SIDES, SIDES, st.just(3)),
)


def as_rgb(array: np.ndarray) -> np.ndarray:
    return np.broadcast_to(array[..., None] if array.ndim == 2 else array, (*array.shape[:2], 3))


@checked
@given(hnp.arrays(np.uint8, SHAPES))
def test_uint8_arrays_come_back_unchanged(array: np.ndarray) -> None:
    before = array.copy()
    np.testing.assert_array_equal(opened(array), as_rgb(array))
    np.testing.assert_array_equal(opened(np.asfortranarray(array)), as_rgb(array))
    np.testing.assert_array_equal(array, before)


@checked
@given(hnp.arrays(st.sampled_from(["<u2", ">u2"]), SHAPES))
def test_uint16_arrays_are_scaled(array: np.ndarray) -> None:
    assert np.abs(opened(array) - as_rgb(array / 257)).max() <= 0.501


@checked
@given(hnp.arrays(np.bool_, SHAPES))
def test_bool_arrays_are_black_and_white(array: np.ndarray) -> None:
    np.testing.assert_array_equal(opened(array), as_rgb(array) * 255)


@checked
@given(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        SHAPES,
        elements=st.floats(0, 1, width=16),
    )
)
def test_float_arrays_are_scaled(array: np.ndarray) -> None:
    assert np.abs(opened(array) - as_rgb(array.astype(float) * 255)).max() <= 0.501


@checked
@given(hnp.arrays(np.uint8, st.tuples(SIDES, SIDES, st.just(4))))
def test_an_array_with_alpha_is_laid_on_white(array: np.ndarray) -> None:
    alpha = array[..., 3:] / 255
    assert np.abs(opened(array) - (array[..., :3] * alpha + 255 * (1 - alpha))).max() <= 1


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros(5), r"array \(5,\) of float64: wrong shape, expected \(H, W\)"),
        (np.zeros((3, 5, 7), np.uint8), r"channels come last: array.transpose\(1, 2, 0\)"),
        (np.zeros((5, 7, 2), np.uint8), "wrong shape"),
        (np.zeros((2, 5, 7, 3), np.uint8), "wrong shape"),
        (np.zeros((0, 7), np.uint8), "7 × 0 pixels, expected at least 1 × 1"),
        (
            np.zeros((5, 7), np.int64),
            "of int64: wrong type, expected uint8, uint16, bool or floats",
        ),
        (np.zeros((5, 7), np.uint32), "wrong type"),
        (np.zeros((5, 7), complex), "wrong type"),
        (np.full((5, 7), None), "of object: wrong type"),
        (np.full((5, 7), np.nan), "NaN or infinite"),
        (np.full((5, 7), np.inf), "NaN or infinite"),
        (
            np.linspace(-2, 255, 35).reshape(5, 7),
            r"values from -2 to 255, expected floats in \[0, 1\]",
        ),
        (
            np.broadcast_to(np.uint8(0), (8001, 8000)),
            "8000 × 8001 pixels are 64,008,000, above the limit",
        ),
    ],
)
def test_arrays_that_are_no_photo(array: np.ndarray, expected: str) -> None:
    with pytest.raises(ImageError, match=expected):
        open_photo(array)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bfloat16", "float16"])
def test_tensors_are_photos_where_their_channels_are_clear(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    values = noise(11, 13)
    tensor = torch.from_numpy(values).permute(2, 0, 1)
    if dtype != "uint8":
        tensor = (tensor / 255).to(getattr(torch, dtype)).requires_grad_()
    for given_tensor in (tensor, tensor.permute(1, 2, 0)):
        assert np.abs(opened(given_tensor).astype(int) - values).max() <= (dtype == "bfloat16")
    np.testing.assert_array_equal(
        opened(tensor[0]), np.repeat(opened(tensor[:1])[..., :1], 3, axis=2)
    )


def test_tensors_that_are_no_photo() -> None:
    torch = pytest.importorskip("torch")
    assert "either its first or its last side" in refused(torch.zeros(3, 5, 3))
    assert refused(torch.zeros(2, 3, 5, 7)).startswith("the given tensor (2, 3, 5, 7): wrong shape")
    assert "values from -2 to -2" in refused(torch.full((3, 5, 7), -2.0))
