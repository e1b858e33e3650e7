from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from captioner.captions.caption import Caption
from captioner.datasets import Photo
from captioner.errors import DataError
from captioner.grounding.carried import GERMAN, measure
from captioner.grounding.regions import Region
from captioner.grounding.sentences import Asked, Mention
from captioner.words import Word

LEFT = Region((0.0, 0.0, 0.5, 1.0))


def caption(text: str, maps: list[list[float]]) -> Caption:
    words = tuple(Word(word, 0.5, -0.7) for word in text.split())
    return Caption(text, words, -1.0, np.array(maps, np.float32).reshape(len(words), 1, 4))


def asked() -> Asked:
    mention = Mention(0, 1, frozenset({"dog"}))
    photo = Photo("1", Path("1.jpg"), ("a dog",))
    return Asked(photo, (("a", "dog"),), (mention,), {"dog": [LEFT]})


ENGLISH = caption("a dog", [[0.25] * 4, [0.7, 0.1, 0.2, 0]])


def german(text: str, maps: list[list[float]]) -> Caption:
    return dataclasses.replace(caption(text, maps), original=ENGLISH)


def test_by_hand() -> None:
    right = german("Ein Hund", [[0.25] * 4, [0.5, 0.3, 0.2, 0]])
    wrong = german("Ein Hund", [[0.25] * 4, [0, 0, 0.2, 0.8]])
    found = measure([(asked(), [right]), (asked(), [wrong])], bootstrap=20)
    assert (found.words, found.asked, found.photos) == (2, 2, 2)
    assert (found.original.value, found.carried.value, found.lost.value) == (1, 0.5, 0.5)
    assert found.overlap.value == pytest.approx((0.8 + 0.2) / 2)
    json.dumps(found.to_dict(), allow_nan=False)
    assert "2 of 2 words" in str(found)


def test_words_that_are_not_found_once_are_passed_over() -> None:
    even = [[0.25] * 4] * 3
    several = [german("Hund und Hund", even), german("Ein Tier da", even), ENGLISH]
    with pytest.raises(DataError, match="none of 2 words names a thing in both languages"):
        measure([(asked(), [one]) for one in several])


def test_the_table_is_of_single_small_words() -> None:
    for kind, words in GERMAN.items():
        assert kind == kind.lower()
        assert words == words.lower()
        assert len(words.split()) == len(set(words.split()))
