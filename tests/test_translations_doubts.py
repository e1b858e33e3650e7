"""Words that an answer guesses or leaves out: by hand, and by weights that never saw a word."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from captioner.subwords import Subwords
from captioner.translation import Translator
from captioner.translations.doubts import lost_words
from captioner.words import Word

TEXTS = ["the cat sat in Rome and met Tom in 1987", "die Katze saß in Rom und traf Tom"] * 9
BYTES = Subwords.train(TEXTS, 360, ["de"])
NO_BYTES = Subwords.train(TEXTS, 100, ["de"], byte_fallback=False)


def told(
    source: str,
    answer: str,
    links: dict[int, int],
    *,
    probs: dict[int, float] | None = None,
    subwords: Subwords = BYTES,
    names: bool = True,
) -> str | None:
    """What is told where each word of the answer looks at one word of the source."""
    pieces = subwords.encode(source)
    words = [
        Word(text, (probs or {}).get(place, 0.9), -0.1)
        for place, text in enumerate(subwords.encode(answer).words)
    ]
    alignment = np.full((len(words), len(pieces.words)), 0.01, np.float32)
    for place in range(len(words)):
        alignment[place, links.get(place, place)] = 0.9
    return lost_words(pieces, words, (source, answer), alignment, subwords, names=names)


def test_a_rare_word_that_is_guessed_is_told() -> None:
    source, answer = "the xat sat", "die Katze saß"
    assert told(source, answer, {}, probs={1: 0.03}) == (
        "these weights hardly know 'xat' (which became 'Katze'): do not rely on it"
    )
    assert told(source, answer, {}, probs={1: 0.2}) is None
    assert told("the cat sat", answer, {}, probs={1: 0.03}) is None  # often seen: another choice
    assert told(source, "die xat saß", {}, probs={1: 0.0}) is None  # copied


def test_a_name_that_is_left_out_is_told() -> None:
    links = {0: 0, 1: 1, 2: 3}
    assert told("Tom met Rat in", "Tom traf in", links) == (
        "the answer leaves out 'Rat': do not rely on it"
    )
    assert told("Tom met Rat in", "Tom traf in", links, names=False) is None  # German has capitals
    assert told("Tom met rat in", "Tom traf in", links) is None  # rendered by none of its own
    assert told("Rat met in", "traf in", {0: 1, 1: 2}) is None  # every first word has a capital


@pytest.mark.parametrize("subwords", [BYTES, NO_BYTES], ids=["bytes", "without"])
def test_unknown_letters_are_never_dropped_in_silence(subwords: Subwords) -> None:
    links = {0: 0, 1: 2}
    assert told("the жф sat", "die saß", links, subwords=subwords, names=False) == (
        "the answer leaves out 'жф': do not rely on it"
    )
    if subwords.byte_fallback:  # what bytes spell can be copied, letter for letter
        assert subwords.decode(subwords.encode("the жф sat").ids)[0] == "the жф sat"
        assert told("the жф sat", "die жф saß", {}, subwords=subwords) is None


@pytest.mark.parametrize(
    ("source", "answer", "gone"),
    [
        ("in 1987", "in 1987.", None),
        ("in 1987", "in 87", "'1987'"),
        ("3,000 cat", "3.000 Katze", None),
        ("3,000 cat", "3 000 Katze", None),
        ("3,000 cat", "Katze", "'3,000'"),
        ("1987, 12 cat", "12 Katze 1987", None),
        ("2 cat", "zwei Katze", None),
        ("at 3:30", "in 15:30", "'3:30'"),
    ],
)
def test_numbers_survive_however_they_are_parted(
    source: str, answer: str, gone: str | None
) -> None:
    expected = gone and f"the answer leaves out {gone}: do not rely on it"
    assert told(source, answer, dict.fromkeys(range(9), 0)) == expected


def test_no_more_than_a_few_are_named() -> None:
    source = " ".join(f"x{letter}z" for letter in "abcdefg")
    found = told(source, source.upper()[::-1], {}, probs=dict.fromkeys(range(7), 0.0))
    assert found is not None
    assert found.count("which became") == 5
    assert " and 2 more: do not rely on it" in found


def test_an_empty_answer_leaves_names_out() -> None:
    pieces = BYTES.encode("Tom met Xat")
    nothing = np.zeros((0, 3), np.float32)
    assert lost_words(pieces, [], ("Tom met Xat", ""), nothing, BYTES) == (
        "the answer leaves out 'Xat': do not rely on it"
    )


def test_weights_tell_of_what_they_never_saw(tiny_translator: Translator) -> None:
    text = "A zebra runs through the snow in 1987."
    found = tiny_translator(text, to="de", source_language="en")
    assert found.warning is not None
    assert "'1987'" in found.warning
    assert not found.astray or "looks like" in found.warning
    known = tiny_translator("A brown dog runs through the snow.", to="de", source_language="en")
    assert (known.warning, known.astray) == (None, False)
    both = tiny_translator(
        f"A brown dog runs through the snow. {text}", to="de", source_language="en"
    )
    assert both.warning == f"sentence 2: {found.warning}"
    assert both.astray == found.astray
    assert dataclasses.replace(both, astray=True).to_dict() == both.to_dict()
