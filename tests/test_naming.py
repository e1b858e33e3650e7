from __future__ import annotations

import pytest

from benchmarks.naming import interval
from captioner.naming import common_words, key_words, named, words


def test_words_are_runs_of_letters_without_a_final_s() -> None:
    assert words("Two Lions' cubs, 3 dogs & a T-shirt.") == {
        "two", "lion", "cub", "dog", "a", "t", "shirt"
    }  # fmt: skip


def test_the_commonest_words_tell_nothing_unless_they_are_things() -> None:
    captions = ["a dog on grass"] * 3 + ["a lion on rocks"] * 2 + ["a cat"]
    assert common_words(captions, 2) == {"a", "on"}
    assert common_words(captions, 3) == {"a", "on"}  # the dog is third, and kept


def test_a_key_word_stands_in_two_captions() -> None:
    captions = ["A lion and a lion.", "Lions rest.", "The cat rests."]
    assert key_words(captions, {"a", "the"}) == {"lion", "rest"}
    assert key_words(captions, {"a", "the", "rest"}) == {"lion"}


def test_a_bus_is_a_thing_whatever_becomes_of_its_s() -> None:
    assert common_words(["a bus", "a bus"], 2) == {"a"}


def test_photos_without_key_words_are_left_out() -> None:
    said = ["A dog.", "The lions sleep.", "A cat."]
    assert named(said, [{"lion"}, {"lion", "rock"}, set()]) == [False, True]


def test_the_interval_holds_the_mean() -> None:
    low, high = interval([True, False] * 50)
    assert low < 0.5 < high
    assert high - low == pytest.approx(2 * 1.96 * 0.05, abs=0.03)
