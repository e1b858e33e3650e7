from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from captioner.errors import ConfigError
from captioner.pictures.sheets import (
    FULL_COLOUR,
    WARNING,
    contact_sheet,
    heatmap,
    overlay,
    photo_rows,
    shared_peak,
    spread,
)

INFERNO = matplotlib.colormaps["inferno"](np.arange(256), bytes=True)[:, :3]
STEP_OF = {tuple(colour): step for step, colour in enumerate(INFERNO.tolist())}


@dataclass(frozen=True)
class Spoken:
    text: str
    prob: float | None = 0.5
    known: bool = True


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def plain(width: int, height: int, colour: tuple[int, int, int] = (90, 160, 30)) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def drawn(shape: tuple[int, ...], seed: int = 0, sharpness: float = 0.4) -> np.ndarray:
    maps = np.random.default_rng(seed).gamma(sharpness, 1.0, shape) + 1e-9
    return maps / maps.sum(axis=(-2, -1), keepdims=True)


def one_cell(h: int, w: int, row: int, column: int) -> np.ndarray:
    cells = np.zeros((h, w))
    cells[row, column] = 1
    return cells


def even(h: int, w: int) -> np.ndarray:
    return np.full((h, w), 1 / (h * w))


def steps(picture: Image.Image) -> np.ndarray:
    """The step on the colour scale of every pixel, for pictures drawn with opacity 1."""
    rows = np.asarray(picture).tolist()
    return np.array([[STEP_OF[tuple(pixel)] for pixel in row] for row in rows])


def places(sheet: Image.Image, picture: Image.Image) -> list[tuple[int, int]]:
    """Where (y, x) the picture lies in the sheet, pixel for pixel."""
    whole, part = np.asarray(sheet), np.asarray(picture)
    height, width = part.shape[:2]
    starts = np.argwhere((whole == part[0, 0]).all(axis=-1)).tolist()
    return [(y, x) for y, x in starts if np.array_equal(whole[y : y + height, x : x + width], part)]


def rectangles(sheet: Image.Image, colour: tuple[int, ...]) -> int:
    """How many solid rectangles of one colour there are, counted by their top left corners."""
    is_it = np.pad((np.asarray(sheet) == colour).all(axis=-1), 1)
    return int((is_it[1:, 1:] & ~is_it[:-1, 1:] & ~is_it[1:, :-1]).sum())


def numbers(sheet: Image.Image) -> bytes:
    return sheet.tobytes()


# overlay


@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 99),
    grid=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_overlay_is_as_large_as_the_photo(size, shape, seed, grid):
    picture = overlay(noise(*size), drawn(shape, seed), grid=grid)
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
    picture = np.asarray(overlay(plain(*size), even(*shape), peak=peak, grid=grid))
    assert (picture == picture[0, 0]).all()


def test_even_map_never_looks_focused():
    picture = overlay(plain(70, 55), even(5, 7), opacity=1)
    assert steps(picture).max() == pytest.approx(255 / FULL_COLOUR, abs=0.51)
    nearly = even(5, 7)
    nearly[2, 3] *= 1.001
    assert np.ptp(steps(overlay(plain(70, 55), nearly, opacity=1))) <= 1


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize(
    ("row", "column"), [(0, 0), (0, 6), (4, 0), (4, 6), (1, 5), (3, 2), (2, 6)]
)
def test_peak_lights_its_own_place(row, column, grid):
    h, w, high, wide = 5, 7, 11, 13
    photo = plain(w * wide, h * high)
    picture = overlay(photo, one_cell(h, w, row, column), grid=grid)
    light = np.asarray(picture.convert("L"), dtype=float)
    blocks = light.reshape(h, high, w, wide).mean(axis=(1, 3))
    assert np.unravel_index(blocks.argmax(), blocks.shape) == (row, column)
    y, x = np.unravel_index(light.argmax(), light.shape)
    assert (y // high, x // wide) == (row, column)


def test_smoothed_map_has_the_cells_weight_at_its_centre():
    cells = drawn((5, 3), seed=4)
    photo = plain(3 * 7, 5 * 7)  # odd cells: a pixel lies on each centre
    smooth = steps(overlay(photo, cells, peak=0.5, opacity=1))[3::7, 3::7]
    wanted = np.minimum(np.round(cells / 0.5 * 255), 255)
    assert np.abs(smooth - wanted).max() <= 1


def test_a_cell_above_the_peak_looks_no_larger_than_one_at_the_peak():
    photo, sharp = plain(7 * 13, 5 * 11), one_cell(5, 7, 2, 3)
    soft = 0.2 * sharp + 0.8 * one_cell(5, 7, 0, 0)
    pictures = [np.asarray(overlay(photo, cells, peak=0.2)) for cells in (sharp, soft)]
    near = np.s_[2 * 11 : 3 * 11, 3 * 13 : 4 * 13]
    assert np.array_equal(pictures[0][near], pictures[1][near])


def test_smoothing_follows_the_cubic_kernel():
    # Keys 1981, eq. 4 with a = -1/2: below 1 it is 1.5 d³ - 2.5 d² + 1, between 1 and 2 negative.
    picture = overlay(plain(7 * 16, 3), one_cell(1, 7, 0, 3), peak=1, opacity=1)
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
    shown = steps(overlay(plain(*size), cells, peak=1, opacity=1))
    assert shown.min() >= int(cells.min() * 255 + 0.499)
    assert shown.max() <= int(cells.max() * 255 + 0.501)


def test_grid_shows_every_cell_as_a_block_between_lines():
    h, w = 5, 7
    cells = (np.arange(h * w, dtype=float) + 1).reshape(h, w)
    cells /= cells.sum()
    photo = plain(131, 97)  # no multiple of the grid
    picture = np.asarray(overlay(photo, cells, grid=True, peak=float(cells.max()), opacity=1))
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
    picture = steps(overlay(plain(3 * 7, 5 * 7), cells, grid=True, peak=0.5, opacity=1))
    wanted = np.minimum(np.floor(cells / 0.5 * 255 + 0.5), 255)
    assert np.array_equal(picture, np.kron(wanted, np.ones((7, 7))))


@pytest.mark.parametrize("size", [(17, 13), (23, 31), (1, 13), (2, 3)])
def test_grid_gives_each_pixel_the_cell_under_its_centre(size):
    cells = drawn((5, 7), seed=2)
    shown = steps(overlay(plain(*size), cells, grid=True, peak=0.5, opacity=1))
    wanted = np.minimum(np.floor(cells / 0.5 * 255 + 0.5), 255).astype(np.uint8)
    nearest = Image.fromarray(wanted).resize(size, Image.Resampling.NEAREST)
    assert np.array_equal(shown, np.asarray(nearest))


def test_the_same_weight_has_the_same_colour_in_every_map():
    sharp, soft = np.zeros((3, 5)), np.zeros((3, 5))
    sharp[0, 0], sharp[2, 4] = 0.1, 0.9
    soft[1, 2] = 0.1
    soft[soft == 0] = 0.9 / 14
    one, other = (
        np.asarray(overlay(plain(35, 21), cells, grid=True, peak=0.5)) for cells in (sharp, soft)
    )
    assert np.array_equal(one[3, 3], other[10, 17])
    one, other = (np.asarray(overlay(plain(35, 21), cells, grid=True)) for cells in (sharp, soft))
    assert np.array_equal(one[3, 3], other[10, 17])


def test_weights_above_the_peak_get_the_full_colour():
    cells = np.array([[0.7, 0.2, 0.1]])
    shown = steps(overlay(plain(3, 1), cells, grid=True, peak=0.2, opacity=1))
    assert shown.tolist() == [[255, 255, 128]]


def test_only_the_map_has_colour():
    picture = np.asarray(overlay(noise(17, 13), even(3, 5), opacity=0)).astype(int)
    assert np.ptp(picture, axis=-1).max() == 0
    red, green = (overlay(plain(9, 9, c), even(3, 3)) for c in ((200, 0, 0), (0, 102, 0)))
    assert np.abs(np.asarray(red).astype(int) - np.asarray(green)).max() <= 1  # equally light


def test_opacity_mixes_photo_and_map():
    cells = drawn((3, 5))
    half = np.asarray(overlay(noise(17, 13), cells, opacity=0.5)).astype(float)
    ends = [np.asarray(overlay(noise(17, 13), cells, opacity=o)).astype(float) for o in (0, 1)]
    assert np.abs(half - sum(ends) / 2).max() <= 1


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK", "LA"])
def test_overlay_takes_any_mode_and_leaves_the_photo_alone(mode):
    photo = noise(17, 13).convert("RGB").convert("L" if mode == "LA" else "RGB").convert(mode)
    before = photo.tobytes()
    assert overlay(photo, drawn((3, 5))).mode == "RGB"
    assert (photo.mode, photo.tobytes()) == (mode, before)


def test_half_precision_weights_are_taken():
    assert overlay(noise(17, 13), drawn((7, 7)).astype(np.float16)).size == (17, 13)


BROKEN = [
    (np.full((2, 3, 5), 1 / 15), r"shape \(2, 3, 5\), but \(h, w\) was expected"),
    (np.full(15, 1 / 15), r"shape \(15,\), but \(h, w\) was expected"),
    (np.zeros((0, 5)), r"shape \(0, 5\), but \(h, w\) was expected"),
    (np.full((3, 5), np.nan), "hold NaN or infinity"),
    (np.full((3, 5), np.inf), "hold NaN or infinity"),
    (np.array([[1.5, -0.5]]), r"reach down to -0\.5, but none may be negative"),
    (np.full((3, 5), 0.1), r"the map sum to 1\.5, but 1 was expected: divide"),
    (np.zeros((3, 5)), "sum to 0, but 1 was expected"),
    ([["a", "b"]], r"not numbers of shape \(h, w\)"),
    ([[0.5], [0.2, 0.3]], r"not numbers of shape \(h, w\)"),
]


@pytest.mark.parametrize(("weights", "message"), BROKEN)
def test_what_is_no_map_is_refused(weights, message):
    with pytest.raises(ConfigError, match=message) as caught:
        overlay(plain(9, 9), weights)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("peak", [0, -0.1, 1e-9, 1.5, float("nan"), float("inf")])
def test_peak_out_of_range_is_refused(peak):
    with pytest.raises(ConfigError, match=r"peak is .*, but a weight from 1e-06 to 1"):
        overlay(plain(9, 9), even(3, 3), peak=peak)


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan")])
def test_opacity_out_of_range_is_refused(opacity):
    with pytest.raises(ConfigError, match=r"opacity is .*, but a number from 0 to 1"):
        overlay(plain(9, 9), even(3, 3), opacity=opacity)


# shared_peak and spread


def test_shared_peak_is_the_median_of_the_maxima_when_maps_are_sharp():
    maps = np.stack([one_cell(3, 5, 0, 0) * a + one_cell(3, 5, 2, 4) * (1 - a) for a in (0.9,) * 3])
    maps[0] = one_cell(3, 5, 1, 1)
    assert shared_peak(maps) == pytest.approx(0.9)


def test_shared_peak_stays_well_above_even():
    assert shared_peak(np.stack([even(5, 7)] * 3)) == pytest.approx(FULL_COLOUR / 35)
    assert shared_peak(np.zeros((0, 5, 7))) == pytest.approx(FULL_COLOUR / 35)
    assert shared_peak(np.ones((2, 1, 1))) == 1


def test_spread_of_even_and_single_cell():
    maps = np.stack([even(5, 7), one_cell(5, 7, 4, 2)])
    assert spread(maps) == pytest.approx([1, 1 / 35])
    assert spread(maps).max() <= 1


@pytest.mark.parametrize("used", [1, 2, 3, 11, 35])
def test_spread_of_equal_cells_is_their_share(used):
    cells = np.zeros(35)
    cells[:used] = 1 / used
    assert spread(cells.reshape(1, 5, 7)) == pytest.approx([used / 35])


@given(seed=st.integers(0, 999), sharpness=st.floats(0.05, 5))
@settings(deadline=None, max_examples=50)
def test_spread_ignores_the_order_of_cells_and_stays_in_range(seed, sharpness):
    maps = drawn((3, 5, 7), seed, sharpness)
    order = np.random.default_rng(seed).permutation(35)
    shuffled = maps.reshape(3, 35)[:, order].reshape(3, 7, 5)
    assert spread(shuffled) == pytest.approx(spread(maps))
    assert (spread(maps) >= 1 / 35).all()
    assert (spread(maps) <= 1).all()


def test_spread_grows_towards_even():
    sharp = one_cell(5, 7, 2, 3)
    mixed = np.stack([(1 - a) * sharp + a * even(5, 7) for a in (0, 0.1, 0.3, 0.7, 1)])
    assert all(low < high for low, high in pairwise(spread(mixed).tolist()))


def test_spread_is_of_the_map_made_to_sum_to_one():
    maps = drawn((3, 5, 7))
    assert spread(maps * 0.995) == pytest.approx(spread(maps), rel=1e-9)


def test_spread_of_no_maps_is_empty():
    assert spread(np.zeros((0, 5, 7))).shape == (0,)


def test_spread_names_the_broken_map():
    maps = np.stack([even(3, 5), even(3, 5) / 2])
    with pytest.raises(ConfigError, match=r"of map 1 sum to 0\.5, but 1 was expected"):
        spread(maps)
    with pytest.raises(ConfigError, match=r"shape \(3, 5\), but \(T, h, w\) was expected"):
        spread(even(3, 5))


# contact_sheet

WORDS = [Spoken("a", 0.9), Spoken("dog", 0.999), Spoken("jumps", 0.004), Spoken("high", 0.3)]


def test_sheet_holds_the_photo_and_then_every_map_in_reading_order():
    photo, maps = noise(224, 224), drawn((4, 5, 7))  # as large as its tile: not resized
    sheet = contact_sheet(photo, WORDS, maps, title="A dog jumps high.", columns=2)
    found = places(sheet, photo)
    for cells in maps:
        found += places(sheet, overlay(photo, cells, peak=shared_peak(maps)))
    assert len(found) == 5
    assert found == sorted(found)
    assert len({y for y, _ in found}) == 3
    assert len({x for _, x in found}) == 2


@given(
    size=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    words=st.integers(0, 12),
    columns=st.none() | st.integers(1, 20),
)
@settings(deadline=None, max_examples=25)
def test_sheet_has_one_tile_per_word_for_any_photo(size, words, columns):
    maps = np.stack([even(5, 7)] * words) if words else np.zeros((0, 5, 7))
    photo = plain(*size, (250, 240, 10))
    sheet = contact_sheet(photo, [Spoken("word")] * words, maps, tile=112, columns=columns)
    assert rectangles(sheet, (250, 240, 10)) == 1
    tint = overlay(plain(1, 1, (250, 240, 10)), even(5, 7), peak=FULL_COLOUR / 35)
    assert rectangles(sheet, tint.getpixel((0, 0))) == words


@pytest.mark.parametrize(("size", "aspect"), [((90, 60), 1.5), ((60, 90), 2 / 3), ((7, 7), 1)])
def test_tiles_keep_the_photos_aspect_ratio(size, aspect):
    photo = plain(*size, (250, 240, 10))
    sheet = np.asarray(contact_sheet(photo, [], np.zeros((0, 5, 7)), tile=300))
    ys, xs = np.nonzero((sheet == (250, 240, 10)).all(axis=-1))
    assert np.ptp(xs) / np.ptp(ys) == pytest.approx(aspect, rel=0.02)
    assert np.ptp(xs) * np.ptp(ys) == pytest.approx(300 * 300, rel=0.02)


@pytest.mark.parametrize("size", [(1, 997), (997, 1), (1, 1), (3001, 83)])
def test_extreme_photos_make_sheets_of_bounded_size(size):
    sheet = contact_sheet(noise(*size), WORDS, drawn((4, 5, 7)), title="Thin")
    assert max(sheet.size) < 2000


def test_gauge_below_each_map_is_as_long_as_its_spread():
    photo = noise(224, 224)
    maps = np.stack([even(5, 7), one_cell(5, 7, 1, 1), drawn((5, 7), 3)])
    sheet = contact_sheet(photo, WORDS[:3], maps)
    pixels = np.asarray(sheet).astype(int)
    for cells, share in zip(maps, spread(maps), strict=True):
        ((y, x),) = places(sheet, overlay(photo, cells, peak=shared_peak(maps)))
        strip = pixels[y + 224 + 5, x : x + 224].sum(axis=-1)
        assert (strip < 400).sum() == round(224 * share)


def test_sheet_shows_the_ends_of_its_scale_on_mid_grey():
    sheet = np.asarray(contact_sheet(noise(50, 40), WORDS, drawn((4, 5, 7))))
    ends = overlay(plain(2, 1, (128, 128, 128)), np.array([[0.0, 1.0]]), grid=True, peak=1)
    for x in (0, 1):
        assert (sheet == ends.getpixel((x, 0))).all(axis=-1).sum() >= 16  # a column of the bar


def test_unknown_words_are_marked():
    marked = [replace(WORDS[0], known=False, prob=None), *WORDS[1:]]
    for words, wanted in ((WORDS, False), (marked, True)):
        sheet = np.asarray(contact_sheet(noise(50, 40), words, drawn((4, 5, 7))))
        assert (sheet == WARNING).all(axis=-1).any() == wanted


def test_probability_changes_the_sheet_but_never_reads_as_certainty():
    photo, maps = plain(50, 40), drawn((1, 5, 7))
    sheets = {
        prob: numbers(contact_sheet(photo, [Spoken("dog", prob)], maps))
        for prob in (None, 0.0, 0.009, 0.5, 0.504, 0.995, 1.0)
    }
    assert sheets[0.0] == sheets[0.009]  # < 1 %
    assert sheets[0.5] == sheets[0.504]
    assert sheets[0.995] == sheets[1.0]  # > 99 %
    assert len(set(sheets.values())) == 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "Donaudampfschifffahrtsgesellschaftskapitän",
        "x" * 3000,
        "příliš žluťoučký kůň",
        "собака",
        "한국어",
        "שלום",
        "🐕",
        "a\nb\tc",
        "nul\x00",
        "\ud800",
        "\u202eabc",
    ],
)
def test_any_text_is_drawn_within_its_tile(text):
    photo, maps = plain(50, 50), drawn((2, 5, 7))
    sheet = contact_sheet(photo, [Spoken(text), Spoken("dog")], maps, title=text)
    usual = contact_sheet(photo, [Spoken("cat"), Spoken("dog")], maps, title="cat")
    assert sheet.width == usual.width
    margin = np.asarray(sheet)[:, -36:]
    assert (margin == margin[0, 0]).all()


def test_accents_may_come_composed_or_apart():
    photo, maps = plain(50, 50), drawn((1, 5, 7))
    apart, composed = "Ka\u0308se", "K\u00e4se"
    one, other = (
        contact_sheet(photo, [Spoken(text)], maps, title=text) for text in (apart, composed)
    )
    assert numbers(one) == numbers(other)


def test_forty_words_stay_as_wide_as_a_page():
    sheet = contact_sheet(
        noise(80, 60), WORDS * 10, drawn((40, 5, 7)), title=" ".join(["word"] * 40)
    )
    assert 1000 < sheet.width < 1500
    assert sheet.height > sheet.width


def test_denser_sheet_is_the_same_sheet():
    sizes = [
        contact_sheet(noise(80, 60), WORDS, drawn((4, 5, 7)), title="Dog", tile=tile).size
        for tile in (224, 448)
    ]
    assert np.allclose(2 * np.array(sizes[0]), sizes[1], rtol=0.02)


def test_sheet_without_words_shows_the_photo():
    photo = noise(224, 224)
    sheet = contact_sheet(photo, [], np.zeros((0, 7, 7)))
    assert len(places(sheet, photo)) == 1


def test_grid_sheet_shows_cells():
    photo, maps = noise(224, 224), drawn((2, 5, 7))
    sheet = contact_sheet(photo, WORDS[:2], maps, grid=True)
    for cells in maps:
        assert len(places(sheet, overlay(photo, cells, peak=shared_peak(maps), grid=True))) == 1


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (3, {}, "3 words came with 4 maps"),
        (4, {"columns": 0}, "columns is 0, but at least 1"),
        (4, {"tile": 20}, "tile is 20 pixels, but at least 112"),
    ],
)
def test_sheet_refuses_what_does_not_fit(words, options, message):
    with pytest.raises(ConfigError, match=message):
        contact_sheet(plain(9, 9), WORDS[:words], drawn((4, 5, 7)), **options)


@pytest.mark.parametrize(("weights", "message"), BROKEN[3:8])
def test_sheet_refuses_what_is_no_map(weights, message):
    with pytest.raises(ConfigError, match=message.replace("the map", "map 0")):
        contact_sheet(plain(9, 9), WORDS[:1], weights[None])


# photo_rows


def test_rows_show_photos_from_top_to_bottom():
    photos = [noise(240, 240, seed) for seed in (1, 2, 3)]  # as large as their place
    sheet = photo_rows([(photo, ["caption", "CIDEr 0.9"]) for photo in photos], title="Best")
    found = [places(sheet, photo) for photo in photos]
    assert [len(place) for place in found] == [1, 1, 1]
    assert found == sorted(found)
    assert len({place[0][1] for place in found}) == 1


def test_rows_wrap_long_lines():
    photo = noise(80, 60)
    short = photo_rows([(photo, ["a dog"])])
    long = photo_rows([(photo, ["a dog", "runs on the beach " * 90, "y" * 900])])
    assert long.width == short.width
    assert long.height > 2 * short.height
    margin = np.asarray(long)[:, -36:]
    assert (margin == margin[0, 0]).all()


@pytest.mark.parametrize("rows", [[], [(plain(9, 9), [])], [(plain(1, 997), ["", "\ud800"])]])
def test_rows_take_little(rows):
    assert min(photo_rows(rows).size) >= 36


# all of them


def test_same_input_gives_the_same_bytes():
    photo, maps = noise(83, 61), drawn((4, 5, 7))
    kept = photo.tobytes(), maps.tobytes()
    for draw in (
        lambda: overlay(photo, maps[0]),
        lambda: overlay(photo, maps[0], grid=True),
        lambda: contact_sheet(photo, WORDS, maps, title="A dog."),
        lambda: photo_rows([(photo, ["A dog."])], title="Best"),
    ):
        assert numbers(draw()) == numbers(draw())
    assert kept == (photo.tobytes(), maps.tobytes())


def test_import_is_light():
    code = (
        "import sys, captioner.pictures.sheets; "
        "print(*sorted({'torch', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip()) == (0, ""), result.stderr


# Heat maps

SOURCE, TARGET = ["Je", "suis", "étudiant", "."], ["I", "am", "a", "student", "."]
LOOKED = np.array(
    [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0.25, 0.75, 0], [0, 0, 1, 0], [0, 0, 0.25, 0.75]]
)
BLUES = matplotlib.colormaps["Blues"](np.arange(256), bytes=True)[:, :3]


def blue(share: float) -> tuple[int, ...]:
    return tuple(BLUES[min(255, int(256 * share))].tolist())


def area(picture: Image.Image, colour: tuple[int, ...]) -> int:
    pixels = np.asarray(picture)
    return int((pixels == np.array(colour, dtype=np.uint8)).all(axis=-1).sum())


def spots(picture: Image.Image, colour: tuple[int, ...]) -> np.ndarray:
    """(row, column) of the pixels of a colour."""
    return np.argwhere((np.asarray(picture) == np.array(colour, dtype=np.uint8)).all(axis=-1))


def test_a_heat_map_has_the_source_on_top_and_one_scale() -> None:
    picture = heatmap(SOURCE, TARGET, LOOKED)
    assert picture.mode == "RGB"
    assert picture.tobytes() == heatmap(SOURCE, TARGET, LOOKED).tobytes()
    first, last = spots(picture, blue(1)), spots(picture, blue(0.75))
    assert first[:, 0].min() < last[:, 0].min()  # the first word's row lies above
    assert first[:, 1].min() < last[:, 1].min()  # the first source word's column lies left
    cell = area(heatmap(["Je"], ["I"], np.eye(1)), blue(1))
    assert area(picture, blue(1)) == pytest.approx(3 * cell, rel=0.03)
    assert area(picture, blue(0.75)) == pytest.approx(2 * cell, rel=0.03)


def test_an_even_row_looks_even() -> None:
    picture = heatmap(SOURCE, ["I"], np.full((1, 4), 0.25))
    one = heatmap(["Je"], ["I"], np.array([[0.25]]))
    assert area(picture, blue(0.25)) == pytest.approx(4 * area(one, blue(0.25)), rel=0.03)
    assert area(picture, blue(1)) < 200  # only the end of the scale


def test_the_end_of_the_sentence_stands_apart() -> None:
    end = np.array([0, 0, 0, 0, 0.5])
    without, picture = (
        heatmap(SOURCE, TARGET, LOOKED),
        heatmap(SOURCE, TARGET, LOOKED, end_mass=end),
    )
    assert picture.width > without.width
    mine = spots(picture, blue(0.5))
    mine = mine[mine[:, 1] > spots(picture, blue(0.75))[:, 1].max()]
    cell = area(heatmap(["Je"], ["I"], np.array([[0.5]])), blue(0.5))
    assert len(mine) == pytest.approx(cell, rel=0.03)


def test_long_sentences_stay_readable_and_endless_ones_bounded() -> None:
    long = heatmap(["Wort"] * 25, ["word"] * 25, np.eye(25), title="Ein Satz " * 9)
    assert 25 * 40 < long.width < 2000  # 40 pixels a cell and more
    assert 25 * 40 < long.height < 2000
    endless = heatmap(["w" * 99] * 151, ["v"], np.full((1, 151), 1 / 151))
    assert max(endless.size) < 5000


def test_letters_of_all_languages_are_drawn_without_a_warning(recwarn, caplog) -> None:
    words = ["Příliš", "žluťoučký", "œuvre", "Straße", "개가", "달린다"]
    heatmap(words, words, np.eye(6), end_mass=np.zeros(6), title="갈색 개가 눈 속을 달린다")
    assert not [str(warning.message) for warning in recwarn]
    assert not caplog.messages


def test_korean_letters_are_no_boxes() -> None:
    pictures = {
        heatmap([word], ["x"], np.eye(1)).tobytes() for word in ("개", "눈", "달", "\u0378")
    }
    assert len(pictures) == 4


def test_odd_words_break_nothing(recwarn) -> None:
    words = ["$x_1$", "$", "^_{", "\x07\n", "", "𒀀", "e\u0301", "%", "\\frac"]
    picture = heatmap(words, words, np.eye(len(words)), title="$\\alpha$ \x00 𒀀")
    assert picture.width > 100
    assert not [str(warning.message) for warning in recwarn]


@pytest.mark.parametrize(
    ("words", "alignment", "end", "message"),
    [
        (TARGET[:3], LOOKED, None, r"shape \(5, 4\), but \(3, 4\) was expected: a row for each"),
        (TARGET, LOOKED[0], None, r"shape \(4,\), but \(5, 4\) was expected"),
        (TARGET, LOOKED * 2, None, "the alignment holds values from 0 to 2, but shares"),
        (TARGET, LOOKED * np.nan, None, "the alignment holds values from nan to nan"),
        (TARGET, LOOKED, np.zeros(4), r"end_mass has shape \(4,\), but \(5,\) was expected"),
        (TARGET, LOOKED, np.full(5, -1.0), "end_mass holds values from -1 to -1"),
        ([], np.zeros((0, 4)), None, "the translation has no words, so there is no alignment"),
    ],
)
def test_what_is_no_alignment_is_refused(words, alignment, end, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        heatmap(SOURCE, words, alignment, end_mass=end)
