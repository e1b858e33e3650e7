"""Alternatives, as whole words."""

from __future__ import annotations

import pytest

from captioner.translation import Translator
from tests.translating import (
    NEW,
)


def test_alternatives_are_whole_words(
    tiny_translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is what the model itself says where it must begin with the alternative's first piece."""
    monkeypatch.setattr("captioner.translations.alternatives.LEAST", 1e-6)  # it is sure of itself
    found = tiny_translator(NEW, to="de")
    whole = tiny_translator.with_whole_words(found)
    assert [word.text for word in whole.words] == [word.text for word in found.words]
    assert [word.prob for word in whole.words] == [word.prob for word in found.words]
    subwords = tiny_translator.subwords
    said, seen = subwords.encode(found.text).ids, 0
    owners = subwords.decode(said)[1].owners
    for place, word in enumerate(whole.words):
        before = said[: owners.index(place)]
        probs = [prob for _, prob in word.alternatives]
        assert probs == sorted(probs, reverse=True)
        for text, prob in word.alternatives:
            assert text != word.text
            assert " " not in text
            pieces = subwords.encode(text).ids
            given = subwords.decode([*before, *pieces])[0]
            forced = tiny_translator.explain(found.source, given, to="de", source_language="en")
            if [*subwords.encode(given).ids] == [*before, *pieces]:
                same_word = forced.words[place]
                assert same_word.text == text
                assert same_word.prob == pytest.approx(prob, rel=1e-3)
                seen += 1
    assert seen
    two = tiny_translator("A dog runs over the log. Two men are sleeping.", to="de")
    assert tiny_translator.with_whole_words(two).text == two.text
