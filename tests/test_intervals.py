from __future__ import annotations

import math

import numpy as np
import pytest

from captioner.intervals import Estimate, means, table


def test_means_are_over_words_and_intervals_over_photos() -> None:
    rng = np.random.default_rng(2)
    owners = np.repeat(np.arange(40), rng.integers(1, 7, 40))
    values = rng.random((len(owners), 2))
    first, second = means(values, owners, 400)
    assert (first.value, second.value) == pytest.approx(values.mean(0))
    drawn = []  # an oracle: photos drawn one by one
    for _ in range(2000):
        rows = np.concatenate([np.flatnonzero(owners == p) for p in rng.integers(0, 40, 40)])
        drawn.append(values[rows, 0].mean())
    assert first.interval == pytest.approx(np.quantile(drawn, (0.025, 0.975)), abs=0.02)
    assert means(values, owners, 0)[0].interval is None


def test_a_constant_difference_has_no_spread() -> None:
    one = np.random.default_rng(3).random(30)
    difference = means(np.stack([one, one - 0.25 - one], 1), np.arange(30) // 2, 200)[1]
    assert difference.interval == pytest.approx((-0.25, -0.25))


def test_what_is_missing_counts_nowhere() -> None:
    values = np.array([[1.0, np.nan], [0.0, 0.5], [np.nan, np.nan]])
    first, second = means(values, [0, 1, 2], 50)
    assert (first.value, second.value) == (0.5, 0.5)
    [nothing] = means(np.full((2, 1), np.nan), [0, 1], 50)
    assert math.isnan(nothing.value)
    assert nothing.to_dict() == {"value": None, "interval": None}
    assert str(nothing) == "–"
    assert math.isnan(means(np.empty((0, 1)), [], 50)[0].value)


def test_how_it_is_shown() -> None:
    assert Estimate(0.5, (0.25, 0.75)).shown(100, 1) == "50.0 [25.0, 75.0]"
    lines = table(["a", "long head"], {"x": ["1"], "longer": ["2"]}).splitlines()
    assert lines == [
        "| a      | long head |",
        "|--------|-----------|",
        "| x      | 1         |",
        "| longer | 2         |",
    ]
