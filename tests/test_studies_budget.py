"""Runs that a time ends, by a clock of the test's own."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from captioner.studies.budget import Budget, Point, Spent, climbs, clock_of


def driven(seconds: float, points: int, step: float, **more: Any) -> tuple[Budget, list[float]]:
    """A run whose steps take `step` seconds and whose looks take a hundred."""
    now, rates = [7.0], []

    def look(trainer: Any) -> float:
        now[0] += 100.0
        return 10.0 * budget.steps

    budget = Budget(seconds, points, look, clock=lambda: now[0], **more)
    trainer: Any = SimpleNamespace(device=torch.device("cpu"))
    budget.on_phase(trainer, None)
    number, running = 0, True
    while running and number < 1000:
        rates.append(trainer.rate())
        now[0] += step
        try:
            budget.on_step(trainer, {"loss": torch.tensor(float(number))})
        except Spent:
            running = False
        number += 1
    assert not running
    return budget, rates


def test_looks_take_no_time_and_stand_at_equal_shares_of_it() -> None:
    budget, _ = driven(10.0, 4, 0.5)
    assert budget.curve == [
        Point(5, 2.5, 2.0, 50.0),
        Point(10, 5.0, 7.0, 100.0),
        Point(15, 7.5, 12.0, 150.0),
        Point(20, 10.0, 17.0, 200.0),
    ]


def test_the_last_point_is_the_end_even_where_a_step_is_longer_than_the_time() -> None:
    budget, _ = driven(1.0, 4, 3.0)
    assert budget.curve == [Point(1, 3.0, 0.0, 10.0)]
    budget, _ = driven(10.0, 3, 4.0)
    assert [point.steps for point in budget.curve] == [1, 2, 3]


def test_learning_rates_rise_and_fall_over_the_time_whatever_a_step_takes() -> None:
    _, many = driven(16.0, 1, 0.125, warmup=0.125)
    _, few = driven(16.0, 1, 0.5, warmup=0.125)
    assert few == many[::4]
    assert many[0] == pytest.approx(0.01)
    assert many[8] == pytest.approx(0.5)
    assert many[16] == max(many) == pytest.approx(1.0)
    assert many[-1] == pytest.approx(0.05, abs=0.01)
    assert many[16:] == sorted(many[16:], reverse=True)


@pytest.mark.parametrize(
    ("scores", "still"), [([1.0], True), ([1.0, 1.01], False), ([1.0, 1.1], True), ([2, 1], False)]
)
def test_a_curve_climbs_by_more_than_a_fiftieth_of_itself(scores: list[float], still: bool) -> None:
    assert climbs([Point(1, 1.0, 0.0, score) for score in scores]) == still


def test_on_a_cpu_waiting_for_others_takes_none_of_the_time() -> None:
    assert clock_of(torch.device("cpu")) is time.process_time
    assert clock_of(torch.device("cuda")) is time.perf_counter
