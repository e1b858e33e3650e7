"""What one click covers: where a word looked, and as much elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from captioner.ui.painting import covering_of, elsewhere, where_looked

GRID = (5, 7)


def test_a_word_looked_at_the_cells_above_half_its_peak() -> None:
    weights = np.full(GRID, 0.01)
    weights[1, 2], weights[1, 3], weights[4, 6] = 0.4, 0.21, 0.2  # the last is half of it, no more
    assert where_looked(weights) == (1 * 7 + 2, 1 * 7 + 3)
    assert len(where_looked(np.full(GRID, 1 / 35))) == 35


@pytest.mark.parametrize("seed", range(5))
def test_the_control_is_as_large_elsewhere_and_of_the_same_shape(seed: int) -> None:
    looked = (8, 9, 15)  # an angle
    control = elsewhere(looked, GRID, seed)
    assert len(control) == len(looked)
    assert not set(control) & set(looked)
    assert control == elsewhere(looked, GRID, seed)
    places = [np.array([divmod(cell, GRID[1]) for cell in cells]) for cells in (looked, control)]
    moves = places[1] - places[0]
    assert (moves == moves[0]).all()


def test_seeds_differ_and_a_control_needs_room() -> None:
    assert len({elsewhere((8, 9, 15), GRID, seed) for seed in range(20)}) > 3
    strewn = tuple(range(0, 35, 3))  # its shape fits nowhere else but moved by one
    assert not set(elsewhere(strewn, GRID)) & set(strewn)
    middle = tuple(range(9, 19))  # a band that cannot be moved: strewn cells then
    assert len(elsewhere(middle, GRID)) == len(middle)
    assert elsewhere(tuple(range(18)), GRID) == ()  # 17 are left


@pytest.mark.parametrize(
    "sent", [None, 3, {}, {"index": 4, "kind": "looked"}, {"index": 0, "kind": "x"}, {"index": "0"}]
)
def test_what_no_click_sends_is_no_click(sent: object) -> None:
    assert covering_of(sent, 4) is None


def test_a_click_is_known() -> None:
    click = {"index": 3, "kind": "elsewhere", "more": 1}
    assert covering_of(click, 4) == {"index": 3, "kind": "elsewhere"}
