"""benchmarks/korean.py: two ways to a Korean caption, compared and read blind."""

from __future__ import annotations

import pytest

from benchmarks import korean

WRITTEN = [[f"개 {number} 마리가 달린다.", f"{number}번 개."] for number in range(60)]


def test_the_better_side_is_better_by_more_than_the_interval() -> None:
    one = [own[n % 2] for n, own in enumerate(WRITTEN)]
    other = [text[:4] for text in one]
    found = korean.compare(one, other, WRITTEN)
    assert found["photos"] == 60
    assert found["chrf2"][0] == pytest.approx(1)
    assert found["difference"] == pytest.approx(1 - found["chrf2"][1])
    low, high = found["interval"]
    assert 0 < low < found["difference"] < high
    turned = korean.compare(other, one, WRITTEN)
    assert turned["interval"] == pytest.approx([-high, -low])


def test_alike_sides_differ_by_nothing() -> None:
    one = [own[0] for own in WRITTEN]
    found = korean.compare(one, list(one), WRITTEN)
    assert (found["difference"], found["interval"]) == (0, [0, 0])


def test_who_reads_does_not_know_which_is_which() -> None:
    names = [f"{number}.jpg" for number in range(60)]
    one, other = [f"direct {n}" for n in range(60)], [f"translated {n}" for n in range(60)]
    rows, key = korean.blind(names, one, other)
    assert len(rows) == len(key) == korean.READ
    assert 10 < key.count("direct") < 40
    for row, side in zip(rows, key, strict=True):
        number = row["photo"].removesuffix(".jpg")
        assert row["a"] == f"{side} {number}"
        assert {row["a"], row["b"]} == {f"direct {number}", f"translated {number}"}
    assert korean.blind(names, one, other) == (rows, key)
