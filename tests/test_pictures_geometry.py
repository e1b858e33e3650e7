"""Cells of the grid on the photo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner.errors import ConfigError
from captioner.pictures.geometry import Geometry
from tests.photographs import (
    checked,
)

GEOMETRIES = st.builds(
    Geometry,
    st.tuples(st.integers(1, 9973), st.integers(1, 9973)),
    st.tuples(st.integers(1, 31), st.integers(1, 31)),
)


@checked
@given(GEOMETRIES)
def test_the_cells_tile_the_photo(geometry: Geometry) -> None:
    """No gap, no overlap: rounding included, neighbours share their edge."""
    (width, height), (rows, cols) = geometry.photo, geometry.grid
    boxes = [[geometry.box(row, col) for col in range(cols)] for row in range(rows)]
    assert boxes[0][0][:2] == (0, 0)
    assert boxes[-1][-1][2:] == (width, height)
    for row, line in enumerate(boxes):
        for col, (left, top, right, bottom) in enumerate(line):
            assert right - left == pytest.approx(width / cols)
            assert bottom - top == pytest.approx(height / rows)
            assert col == 0 or left == line[col - 1][2]
            assert row == 0 or top == boxes[row - 1][col][3]


def test_a_box_in_numbers() -> None:
    assert Geometry(photo=(35, 33), grid=(11, 7)).box(2, 3) == (15, 6, 20, 9)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: Geometry((0, 5), (3, 3)), r"photo is \(0, 5\), expected two whole numbers"),
        (lambda: Geometry((7, 5), (3,)), r"grid is \(3,\)"),  # type: ignore[arg-type]
        (lambda: Geometry((7, 5), (3, 2.0)), r"grid is \(3, 2.0\)"),  # type: ignore[arg-type]
        (
            lambda: Geometry((7, 5), (3, 2)).box(3, 0),
            r"cell \(3, 0\) lies outside the grid of 3 rows × 2 columns",
        ),
        (lambda: Geometry((7, 5), (3, 2)).box(0, -1), r"cell \(0, -1\) lies outside"),
    ],
)
def test_geometry_refuses(call: Callable[[], Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        call()
