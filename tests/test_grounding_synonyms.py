from __future__ import annotations

import pytest

from captioner import scenes
from captioner.grounding.synonyms import SYNONYMS, by_word, namer, plural
from captioner.text import tokenise


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("A man eats a hot dog.", [("man", "person"), ("dog", "hot dog")]),
        ("Two puppies and their ladies", [("puppies", "dog"), ("ladies", "person")]),
        ("The stop sign by a bus stop", [("sign", "stop sign")]),
        ("A tennis player's racquet", [("player", "person"), ("racquet", "tennis racket")]),
        ("A motor bike, knives and geese", [("bike", "motorcycle"), ("knives", "knife"),
                                            ("geese", "bird")]),
        ("Men on a train track", [("men", "person")]),
        ("Two teddy bears on a bed", [("bears", "teddy bear"), ("bed", "bed")]),
        ("A dog house", []),
        ("Nothing here", []),
    ],
)  # fmt: skip
def test_what_a_sentence_names(sentence: str, expected: list[tuple[str, str]]) -> None:
    words = tokenise(sentence)
    found = [(words[place], *kinds) for place, kinds in namer(SYNONYMS)(words)]
    assert found == expected


def test_every_category_is_named_by_itself_and_its_plural() -> None:
    find = namer(SYNONYMS)
    assert len(SYNONYMS) == 80
    for kind, others in SYNONYMS.items():
        for noun in (kind, plural(kind), *others):
            words = tokenise(noun)
            [(place, kinds)] = find(words)
            assert place == len(words) - 1, noun
            assert kind in kinds, noun


def test_only_the_kinds_that_are_asked_for_are_named() -> None:
    assert namer({"dog"})(["a", "man", "with", "a", "dog"]) == [(4, frozenset({"dog"}))]
    assert namer({"dog"})(["a", "hot", "dog"]) == [(2, frozenset({"dog"}))]


def test_a_kind_of_its_own_beside_a_wider_one() -> None:
    find = namer({"bird", "duck", "rocking chair"})
    assert find(["a", "duck", "on", "a", "rocking", "chair"]) == [
        (1, frozenset({"bird", "duck"})),
        (5, frozenset({"rocking chair"})),
    ]


def test_names_of_the_drawn_world() -> None:
    find = by_word(scenes.kinds_of)
    assert find(["a", "child", "and", "two", "dogs"]) == [
        (1, frozenset({"boy", "girl"})),
        (4, frozenset({"dog"})),
    ]
