"""Alignments as pairs of tokens, held against a loop over letters."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner.subwords import clean, cut_words
from captioner.translation import Translator
from captioner.translations.pharaoh import token_links

PAIR = re.compile(r"(\d+)-(\d+)")


def one_to_one(count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.eye(count, dtype=np.float32), np.zeros(count, np.float32)


def test_tokens_are_what_spaces_part() -> None:
    texts = "We eat (fresh) bread.", "Wir essen frisches Brot ."
    words = cut_words(texts[0]), cut_words(texts[1])
    assert words[0] == ["We", "eat", "(", "fresh", ")", "bread", "."]
    alignment = np.full((5, 7), 0.01, np.float32)
    for row, column in ((0, 0), (1, 1), (2, 3), (3, 5), (4, 6)):
        alignment[row, column] = 0.94
    found = token_links(texts, words, alignment, np.zeros(5, np.float32))
    assert found == [(0, 0), (1, 1), (2, 2), (3, 3), (3, 4)]


def test_what_looks_at_the_end_has_no_link() -> None:
    alignment, end_mass = one_to_one(2)
    end_mass[1] = 0.7
    assert token_links(("a b", "c d"), ("ab", "cd"), alignment, end_mass) == [(0, 0)]


def test_what_cannot_be_read_is_a_token_a_word() -> None:
    words = ["�", "b"], ["c", "d"]
    assert token_links(("жж b", "c d"), words, *one_to_one(2)) == [(0, 0), (1, 1)]


def test_nothing_has_no_link() -> None:
    empty = np.zeros((0, 2), np.float32)
    assert token_links(("a b", ""), (["a", "b"], []), empty, np.zeros(0, np.float32)) == []


LETTERS = st.text("ab.,!- \t", min_size=1, max_size=12)


@given(st.tuples(LETTERS, LETTERS), st.integers(0, 99))
def test_links_are_those_of_a_loop(texts: tuple[str, str], seed: int) -> None:
    words = [cut_words(clean(text)) for text in texts]
    if not all(words):
        return
    rng = np.random.default_rng(seed)
    alignment = rng.dirichlet(np.ones(len(words[0])), len(words[1])).astype(np.float32)
    end_mass = rng.random(len(words[1])).astype(np.float32)
    expected = []
    of_tokens = []  # words of each token, by eating its letters
    for text, own in zip(texts, words, strict=True):
        left = list(enumerate(own))
        of_tokens.append([])
        for token in text.split():
            members, eaten = [], ""
            while left and len(eaten) < len(token):
                number, word = left.pop(0)
                members.append(number)
                eaten += word
            of_tokens[-1].append(members)
    for there, target in enumerate(of_tokens[1]):
        shares = [
            sum(float(alignment[t, s] * (1 - end_mass[t])) for t in target for s in source)
            for source in of_tokens[0]
        ]
        if sum(shares) >= sum(float(end_mass[t]) for t in target):
            expected.append((shares.index(max(shares)), there))
    assert token_links(texts, tuple(words), alignment, end_mass) == sorted(expected)


@pytest.mark.parametrize("text", ["A brown dog runs. We are eating bread.", "A DOG RUNS!", ""])
def test_links_of_a_translation(tiny_translator: Translator, text: str) -> None:
    found = tiny_translator(text, to="de", source_language="en")
    pairs = [tuple(map(int, both)) for both in PAIR.findall(found.pharaoh())]
    assert re.fullmatch(r"(\d+-\d+( \d+-\d+)*)?", found.pharaoh())
    assert len(pairs) <= len(found.text.split())
    for source, target in pairs:
        assert source < len(text.split())
        assert target < len(found.text.split())
    assert bool(pairs) == bool(text)
