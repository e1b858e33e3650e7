"""Sheets of maps and of photos."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from captioner.errors import ConfigError
from captioner.pictures.ink import WARNING
from captioner.pictures.overlay import draw_overlay
from captioner.pictures.scale import FULL_COLOUR, shared_peak, spread
from captioner.pictures.sheets import contact_sheet, photo_rows
from tests.weights import (
    BROKEN,
    drawn,
    even,
    noise,
    one_cell,
    places,
    plain,
    rectangles,
)


@dataclass(frozen=True)
class Spoken:
    text: str
    prob: float | None = 0.5
    known: bool = True
    copied: bool = False


def numbers(sheet: Image.Image) -> bytes:
    return sheet.tobytes()


WORDS = [Spoken("a", 0.9), Spoken("dog", 0.999), Spoken("jumps", 0.004), Spoken("high", 0.3)]


def test_sheet_holds_the_photo_and_then_every_map_in_reading_order():
    photo, maps = noise(224, 224), drawn((4, 5, 7))  # as large as its tile: not resized
    sheet = contact_sheet(photo, WORDS, maps, title="A dog jumps high.", columns=2)
    found = places(sheet, photo)
    for cells in maps:
        found += places(sheet, draw_overlay(photo, cells, peak=shared_peak(maps)))
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
    tint = draw_overlay(plain(1, 1, (250, 240, 10)), even(5, 7), peak=FULL_COLOUR / 35)
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
        ((y, x),) = places(sheet, draw_overlay(photo, cells, peak=shared_peak(maps)))
        strip = pixels[y + 224 + 5, x : x + 224].sum(axis=-1)
        assert (strip < 400).sum() == round(224 * share)


def test_sheet_shows_the_ends_of_its_scale_on_mid_grey():
    sheet = np.asarray(contact_sheet(noise(50, 40), WORDS, drawn((4, 5, 7))))
    ends = draw_overlay(plain(2, 1, (128, 128, 128)), np.array([[0.0, 1.0]]), grid=True, peak=1)
    for x in (0, 1):
        assert (sheet == ends.getpixel((x, 0))).all(axis=-1).sum() >= 16  # a column of the bar


def test_unknown_words_are_marked():
    marked = [replace(WORDS[0], known=False, prob=None), *WORDS[1:]]
    for words, wanted in ((WORDS, False), (marked, True)):
        sheet = np.asarray(contact_sheet(noise(50, 40), words, drawn((4, 5, 7))))
        assert (sheet == WARNING).all(axis=-1).any() == wanted


def test_copied_words_are_marked_beside_the_word():
    """The mark stands on the word's own line, and nowhere else does the sheet change."""
    photo, maps = plain(50, 40), drawn((1, 5, 7))
    plainly = np.asarray(contact_sheet(photo, [Spoken("dog", 0.5)], maps)).astype(int)
    marked = np.asarray(contact_sheet(photo, [Spoken("dog", 0.5, copied=True)], maps)).astype(int)
    rows, columns = np.nonzero((plainly != marked).any(-1))
    assert 4 <= np.ptp(rows) <= 24
    assert 20 <= np.ptp(columns) <= 90
    long = [Spoken("hippopotamuses", 0.5, copied=copied) for copied in (False, True)]
    sheets = [np.asarray(contact_sheet(photo, [word], maps, tile=120)) for word in long]
    assert np.array_equal(*sheets)  # no room for it


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
        assert (
            len(places(sheet, draw_overlay(photo, cells, peak=shared_peak(maps), grid=True))) == 1
        )


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


def test_same_input_gives_the_same_bytes():
    photo, maps = noise(83, 61), drawn((4, 5, 7))
    kept = photo.tobytes(), maps.tobytes()
    for draw in (
        lambda: draw_overlay(photo, maps[0]),
        lambda: draw_overlay(photo, maps[0], grid=True),
        lambda: contact_sheet(photo, WORDS, maps, title="A dog."),
        lambda: photo_rows([(photo, ["A dog."])], title="Best"),
    ):
        assert numbers(draw()) == numbers(draw())
    assert kept == (photo.tobytes(), maps.tobytes())


def test_import_is_light():
    code = (
        "import sys, captioner.pictures.sheets, captioner.pictures.heatmap; "
        "print(*sorted({'torch', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip()) == (0, ""), result.stderr
