"""The colour scale that maps share, and how spread out they are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.errors import ConfigError
from captioner.pictures.scale import FULL_COLOUR, shared_peak, spread
from tests.weights import (
    drawn,
    even,
    one_cell,
)


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
