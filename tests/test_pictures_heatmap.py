"""Heat maps of alignments."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from PIL import Image

from captioner.errors import ConfigError
from captioner.pictures.heatmap import draw_heatmap

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
    picture = draw_heatmap(SOURCE, TARGET, LOOKED)
    assert picture.mode == "RGB"
    assert picture.tobytes() == draw_heatmap(SOURCE, TARGET, LOOKED).tobytes()
    first, last = spots(picture, blue(1)), spots(picture, blue(0.75))
    assert first[:, 0].min() < last[:, 0].min()  # the first word's row lies above
    assert first[:, 1].min() < last[:, 1].min()  # the first source word's column lies left
    cell = area(draw_heatmap(["Je"], ["I"], np.eye(1)), blue(1))
    assert area(picture, blue(1)) == pytest.approx(3 * cell, rel=0.03)
    assert area(picture, blue(0.75)) == pytest.approx(2 * cell, rel=0.03)


def test_an_even_row_looks_even() -> None:
    picture = draw_heatmap(SOURCE, ["I"], np.full((1, 4), 0.25))
    one = draw_heatmap(["Je"], ["I"], np.array([[0.25]]))
    assert area(picture, blue(0.25)) == pytest.approx(4 * area(one, blue(0.25)), rel=0.03)
    assert area(picture, blue(1)) < 200  # only the end of the scale


def test_the_end_of_the_sentence_stands_apart() -> None:
    end = np.array([0, 0, 0, 0, 0.5])
    without, picture = (
        draw_heatmap(SOURCE, TARGET, LOOKED),
        draw_heatmap(SOURCE, TARGET, LOOKED, end_mass=end),
    )
    assert picture.width > without.width
    mine = spots(picture, blue(0.5))
    mine = mine[mine[:, 1] > spots(picture, blue(0.75))[:, 1].max()]
    cell = area(draw_heatmap(["Je"], ["I"], np.array([[0.5]])), blue(0.5))
    assert len(mine) == pytest.approx(cell, rel=0.03)


def test_long_sentences_stay_readable_and_endless_ones_bounded() -> None:
    long = draw_heatmap(["Wort"] * 25, ["word"] * 25, np.eye(25), title="Ein Satz " * 9)
    assert 25 * 40 < long.width < 2000  # 40 pixels a cell and more
    assert 25 * 40 < long.height < 2000
    endless = draw_heatmap(["w" * 99] * 151, ["v"], np.full((1, 151), 1 / 151))
    assert max(endless.size) < 5000


def test_letters_of_all_languages_are_drawn_without_a_warning(recwarn, caplog) -> None:
    words = ["Příliš", "žluťoučký", "œuvre", "Straße", "개가", "달린다"]
    draw_heatmap(words, words, np.eye(6), end_mass=np.zeros(6), title="갈색 개가 눈 속을 달린다")
    assert not [str(warning.message) for warning in recwarn]
    assert not caplog.messages


def test_korean_letters_are_no_boxes() -> None:
    pictures = {
        draw_heatmap([word], ["x"], np.eye(1)).tobytes() for word in ("개", "눈", "달", "\u0378")
    }
    assert len(pictures) == 4


def test_odd_words_break_nothing(recwarn) -> None:
    words = ["$x_1$", "$", "^_{", "\x07\n", "", "𒀀", "e\u0301", "%", "\\frac"]
    picture = draw_heatmap(words, words, np.eye(len(words)), title="$\\alpha$ \x00 𒀀")
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
        draw_heatmap(SOURCE, words, alignment, end_mass=end)
