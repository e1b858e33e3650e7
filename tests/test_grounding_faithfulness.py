from __future__ import annotations

import numpy as np
import pytest
import torch

from captioner.grounding.covering import Words
from captioner.grounding.faithfulness import Curves, cell_curves, order, orders, pixel_curves
from tests.seeing import CELL, DOG, GRID, STRENGTH, seeing

SHARES = (0.05, 0.2, 0.5)
WORDS = Words([[6, DOG], [DOG, 6]], [1, 0], [1, 0])


def right() -> torch.Tensor:
    """Maps of a model that hangs on one cell."""
    maps = torch.full((2, 24), 0.01)
    maps[:, CELL] = 1
    return maps


def test_ranks_go_down_a_map() -> None:
    maps = torch.tensor([[0.1, 0.5, 0.2, 0.2], [4.0, 3.0, 2.0, 1.0]])
    places = order(maps, torch.Generator().manual_seed(1))
    assert places[1].tolist() == [0, 1, 2, 3]
    assert places[0, 1] == 0
    assert places[0, 0] == 3
    assert sorted(places[0].tolist()) == [0, 1, 2, 3]
    several = orders({"map": maps})
    assert set(several) == {"map", "map, least first", "random"}
    assert (several["map"] + several["map, least first"]).unique().tolist() == [3]
    even = torch.zeros(50, 4)
    firsts = order(even, torch.Generator().manual_seed(2)).argmin(1)
    assert len(firsts.unique()) == 4  # equal cells in no fixed order


def test_areas_are_trapezoids() -> None:
    curves = Curves((0.0, 0.25, 1.0), np.array([[1.0, 0.5, 0.0]]), np.array([[0.0, 1.0, 1.0]]))
    deletion, insertion = curves.areas()
    assert deletion == pytest.approx([0.25 * 0.75 + 0.75 * 0.25])
    assert insertion == pytest.approx([0.125 + 0.75])


@pytest.mark.parametrize("level", ["pixels", "cells"])
def test_the_right_order_falls_and_rises_at_once(level: str) -> None:
    """By hand: with its cell "dog" has p = e^s / (e^s + 5), without it 1 / 6 (of 6 words)."""
    one, photos = seeing(), torch.ones(2, 3, 48, 48)
    memory = one.encoder(photos)

    def curves(places: torch.Tensor) -> Curves:
        if level == "pixels":
            return pixel_curves(one, photos, WORDS, places, GRID, shares=SHARES)
        return cell_curves(one, memory, WORDS, places, shares=SHARES)

    several = {name: curves(places) for name, places in orders({"right": right()}).items()}
    own = several["right"]
    assert own.shares == (0.0, *SHARES, 1.0)
    score = np.exp(STRENGTH)
    # "cat" scores the mean brightness of all cells
    cat = np.exp(STRENGTH * 23 / 24)
    assert own.deletion[0, 0] == pytest.approx(score / (score + np.exp(STRENGTH) + 5 - 1), rel=0.02)
    assert own.deletion[0, 1] == pytest.approx(1 / (cat + 5), rel=0.1)
    assert own.insertion[0, 1] > 0.9
    for name, other in several.items():
        if name != "right":
            assert (own.areas()[0] < other.areas()[0] + 1e-9).all()
            assert (own.areas()[1] > other.areas()[1] - 1e-9).all()
    worst = several["right, least first"]
    assert worst.deletion[0, 0] == own.deletion[0, 0]
    assert worst.deletion[0, 2] > own.deletion[0, 0]  # only what competes is gone


def test_both_curves_share_their_ends() -> None:
    one, photos = seeing(), torch.ones(2, 3, 48, 48)
    found = pixel_curves(one, photos, WORDS, orders({"right": right()})["random"], GRID)
    assert np.array_equal(found.deletion[:, 0], found.insertion[:, -1])
    assert np.array_equal(found.deletion[:, -1], found.insertion[:, 0])
