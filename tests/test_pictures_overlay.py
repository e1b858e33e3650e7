"""One map on its photo."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from captioner.errors import ConfigError
from captioner.pictures.overlay import draw_overlay
from captioner.pictures.scale import FULL_COLOUR
from tests.weights import (
    BROKEN,
    STEP_OF,
    drawn,
    even,
    noise,
    one_cell,
    plain,
    steps,
)


@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 99),
    grid=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_overlay_is_as_large_as_the_photo(size, shape, seed, grid):
    picture = draw_overlay(noise(*size), drawn(shape, seed), grid=grid)
    assert picture.size == size
    assert picture.mode == "RGB"


@given(
    shape=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    peak=st.none() | st.floats(1e-3, 1),
    grid=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_even_map_tints_evenly(shape, size, peak, grid):
    size = (min(size[0], 8 * shape[1] - 1), min(size[1], 8 * shape[0] - 1))  # too small for lines
    picture = np.asarray(draw_overlay(plain(*size), even(*shape), peak=peak, grid=grid))
    assert (picture == picture[0, 0]).all()


def test_even_map_never_looks_focused():
    picture = draw_overlay(plain(70, 55), even(5, 7), opacity=1)
    assert steps(picture).max() == pytest.approx(255 / FULL_COLOUR, abs=0.51)
    nearly = even(5, 7)
    nearly[2, 3] *= 1.001
    assert np.ptp(steps(draw_overlay(plain(70, 55), nearly, opacity=1))) <= 1


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize(
    ("row", "column"), [(0, 0), (0, 6), (4, 0), (4, 6), (1, 5), (3, 2), (2, 6)]
)
def test_peak_lights_its_own_place(row, column, grid):
    h, w, high, wide = 5, 7, 11, 13
    photo = plain(w * wide, h * high)
    picture = draw_overlay(photo, one_cell(h, w, row, column), grid=grid)
    light = np.asarray(picture.convert("L"), dtype=float)
    blocks = light.reshape(h, high, w, wide).mean(axis=(1, 3))
    assert np.unravel_index(blocks.argmax(), blocks.shape) == (row, column)
    y, x = np.unravel_index(light.argmax(), light.shape)
    assert (y // high, x // wide) == (row, column)


def test_smoothed_map_has_the_cells_weight_at_its_centre():
    cells = drawn((5, 3), seed=4)
    photo = plain(3 * 7, 5 * 7)  # odd cells: a pixel lies on each centre
    smooth = steps(draw_overlay(photo, cells, peak=0.5, opacity=1))[3::7, 3::7]
    wanted = np.minimum(np.round(cells / 0.5 * 255), 255)
    assert np.abs(smooth - wanted).max() <= 1


def test_a_cell_above_the_peak_looks_no_larger_than_one_at_the_peak():
    photo, sharp = plain(7 * 13, 5 * 11), one_cell(5, 7, 2, 3)
    soft = 0.2 * sharp + 0.8 * one_cell(5, 7, 0, 0)
    pictures = [np.asarray(draw_overlay(photo, cells, peak=0.2)) for cells in (sharp, soft)]
    near = np.s_[2 * 11 : 3 * 11, 3 * 13 : 4 * 13]
    assert np.array_equal(pictures[0][near], pictures[1][near])


def test_smoothing_follows_the_cubic_kernel():
    # Keys 1981, eq. 4 with a = -1/2: below 1 it is 1.5 d³ - 2.5 d² + 1, between 1 and 2 negative.
    picture = draw_overlay(plain(7 * 16, 3), one_cell(1, 7, 0, 3), peak=1, opacity=1)
    distance = np.abs((np.arange(7 * 16) + 0.5) / 16 - 3.5)
    kernel = np.where(distance < 1, 1.5 * distance**3 - 2.5 * distance**2 + 1, 0)
    assert np.abs(steps(picture)[1] - 255 * kernel).max() <= 1


@given(
    shape=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    size=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_smoothing_shows_no_weight_beyond_the_maps_extremes(shape, size, seed):
    cells = drawn(shape, seed, sharpness=2.0) * 0.5 + even(*shape) * 0.5
    shown = steps(draw_overlay(plain(*size), cells, peak=1, opacity=1))
    assert shown.min() >= int(cells.min() * 255 + 0.499)
    assert shown.max() <= int(cells.max() * 255 + 0.501)


def test_grid_shows_every_cell_as_a_block_between_lines():
    h, w = 5, 7
    cells = (np.arange(h * w, dtype=float) + 1).reshape(h, w)
    cells /= cells.sum()
    photo = plain(131, 97)  # no multiple of the grid
    picture = np.asarray(draw_overlay(photo, cells, grid=True, peak=float(cells.max()), opacity=1))
    is_cell = np.array([[tuple(pixel) in STEP_OF for pixel in row] for row in picture.tolist()])
    rows, columns = is_cell.any(axis=1), is_cell.any(axis=0)  # False on the lines
    bands = [np.split(np.arange(len(side)), np.flatnonzero(~side)) for side in (rows, columns)]
    assert [len(band) for band in bands] == [h, w]
    for r, ys in enumerate(bands[0]):
        for c, xs in enumerate(bands[1]):
            inside = {tuple(p) for y in ys[1:] for p in picture[y, xs[1:]].tolist()}
            assert [STEP_OF[colour] for colour in inside] == [
                int(cells[r, c] / cells.max() * 255 + 0.5)
            ]


def test_grid_without_room_for_lines_is_exactly_the_cells():
    cells = drawn((5, 3), seed=2)
    picture = steps(draw_overlay(plain(3 * 7, 5 * 7), cells, grid=True, peak=0.5, opacity=1))
    wanted = np.minimum(np.floor(cells / 0.5 * 255 + 0.5), 255)
    assert np.array_equal(picture, np.kron(wanted, np.ones((7, 7))))


@pytest.mark.parametrize("size", [(17, 13), (23, 31), (1, 13), (2, 3)])
def test_grid_gives_each_pixel_the_cell_under_its_centre(size):
    cells = drawn((5, 7), seed=2)
    shown = steps(draw_overlay(plain(*size), cells, grid=True, peak=0.5, opacity=1))
    wanted = np.minimum(np.floor(cells / 0.5 * 255 + 0.5), 255).astype(np.uint8)
    nearest = Image.fromarray(wanted).resize(size, Image.Resampling.NEAREST)
    assert np.array_equal(shown, np.asarray(nearest))


def test_the_same_weight_has_the_same_colour_in_every_map():
    sharp, soft = np.zeros((3, 5)), np.zeros((3, 5))
    sharp[0, 0], sharp[2, 4] = 0.1, 0.9
    soft[1, 2] = 0.1
    soft[soft == 0] = 0.9 / 14
    one, other = (
        np.asarray(draw_overlay(plain(35, 21), cells, grid=True, peak=0.5))
        for cells in (sharp, soft)
    )
    assert np.array_equal(one[3, 3], other[10, 17])
    one, other = (
        np.asarray(draw_overlay(plain(35, 21), cells, grid=True)) for cells in (sharp, soft)
    )
    assert np.array_equal(one[3, 3], other[10, 17])


def test_weights_above_the_peak_get_the_full_colour():
    cells = np.array([[0.7, 0.2, 0.1]])
    shown = steps(draw_overlay(plain(3, 1), cells, grid=True, peak=0.2, opacity=1))
    assert shown.tolist() == [[255, 255, 128]]


def test_only_the_map_has_colour():
    picture = np.asarray(draw_overlay(noise(17, 13), even(3, 5), opacity=0)).astype(int)
    assert np.ptp(picture, axis=-1).max() == 0
    red, green = (draw_overlay(plain(9, 9, c), even(3, 3)) for c in ((200, 0, 0), (0, 102, 0)))
    assert np.abs(np.asarray(red).astype(int) - np.asarray(green)).max() <= 1  # equally light


def test_opacity_mixes_photo_and_map():
    cells = drawn((3, 5))
    half = np.asarray(draw_overlay(noise(17, 13), cells, opacity=0.5)).astype(float)
    ends = [np.asarray(draw_overlay(noise(17, 13), cells, opacity=o)).astype(float) for o in (0, 1)]
    assert np.abs(half - sum(ends) / 2).max() <= 1


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK", "LA"])
def test_overlay_takes_any_mode_and_leaves_the_photo_alone(mode):
    photo = noise(17, 13).convert("RGB").convert("L" if mode == "LA" else "RGB").convert(mode)
    before = photo.tobytes()
    assert draw_overlay(photo, drawn((3, 5))).mode == "RGB"
    assert (photo.mode, photo.tobytes()) == (mode, before)


def test_half_precision_weights_are_taken():
    assert draw_overlay(noise(17, 13), drawn((7, 7)).astype(np.float16)).size == (17, 13)


@pytest.mark.parametrize(("weights", "message"), BROKEN)
def test_what_is_no_map_is_refused(weights, message):
    with pytest.raises(ConfigError, match=message) as caught:
        draw_overlay(plain(9, 9), weights)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("peak", [0, -0.1, 1e-9, 1.5, float("nan"), float("inf")])
def test_peak_out_of_range_is_refused(peak):
    with pytest.raises(ConfigError, match=r"peak is .*, but a weight from 1e-06 to 1"):
        draw_overlay(plain(9, 9), even(3, 3), peak=peak)


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan")])
def test_opacity_out_of_range_is_refused(opacity):
    with pytest.raises(ConfigError, match=r"opacity is .*, but a number from 0 to 1"):
        draw_overlay(plain(9, 9), even(3, 3), opacity=opacity)
