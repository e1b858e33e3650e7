"""Judges: the same rewards at once and beside, and a price for saying things twice."""

from __future__ import annotations

import numpy as np

from captioner.metrics import CiderScorer
from captioner.training.judges import Judge, JudgesBeside

REFERENCES = [
    [["a", "brown", "dog", "runs"], ["the", "dog", "is", "running"]],
    [["two", "cats", "sleep"]],
    [["a", "red", "bus", "on", "a", "street"], ["a", "bus"]],
]
SAID = [["a", "brown", "and", "brown", "dog"], ["two", "cats"], ["a", "dog", "runs"], ["a", "bus"]]
OWNERS = [0, 1, 0, 2]


def test_a_judge_takes_off_what_is_said_again() -> None:
    plain = CiderScorer(REFERENCES).score(SAID, OWNERS)
    assert np.array_equal(Judge(REFERENCES)(SAID, OWNERS)(), plain)
    assert np.allclose(Judge(REFERENCES, 0.5)(SAID, OWNERS)(), plain - [0.5, 0, 0, 0])


def test_judges_beside_say_the_same_in_the_same_order() -> None:
    expected = Judge(REFERENCES, 0.5)(SAID, OWNERS)()
    beside = JudgesBeside(REFERENCES, 0.5, processes=2)
    try:
        first, second = beside(SAID, OWNERS), beside(SAID[::-1], OWNERS[::-1])
        assert np.array_equal(second(), expected[::-1])
        assert np.array_equal(first(), expected)
    finally:
        beside.close()
