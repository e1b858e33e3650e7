"""Judges: the same rewards at once and beside, and a price for saying things twice."""

from __future__ import annotations

import numpy as np

from captioner.judges import Judge, JudgesBeside
from captioner.metrics import CiderScorer

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
    assert np.allclose(Judge(REFERENCES)(SAID, OWNERS, 0.5)(), plain - [0.5, 0, 0, 0])


def test_judges_beside_say_the_same_in_the_same_order() -> None:
    expected = Judge(REFERENCES)(SAID, OWNERS, 0.5)()
    beside = JudgesBeside(REFERENCES, processes=2)
    try:
        first, second = beside(SAID, OWNERS, 0.5), beside(SAID[::-1], OWNERS[::-1], 0.5)
        assert np.array_equal(second(), expected[::-1])
        assert np.array_equal(first(), expected)
    finally:
        beside.close()
