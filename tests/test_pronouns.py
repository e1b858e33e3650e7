"""Who has understood a pair: a head that changes its mind with the one word, and no other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.pronouns import PAIRS, figure, heads, table
from captioner.errors import ConfigError
from captioner.text import tokenise
from captioner.translation import Translator
from captioner.translations.selfattention import SelfAttention


class Reader:
    """Two heads: one always looks at the first pair's mouse, one knows what is meant."""

    def self_attention(self, text: str) -> SelfAttention:
        words = (*tokenise(text), "(end)")
        weights = np.zeros((1, 2, len(words), len(words)), np.float32)
        weights[..., -1] = 1
        pair = next(pair for pair in PAIRS if text in (pair.text(0), pair.text(1)))
        meant = pair.nouns[0 if text == pair.text(0) else 1]
        for head, noun in enumerate((pair.nouns[0], meant)):
            row = weights[0, head, words.index("it")]
            row[:], row[words.index(noun)] = 0.2 / (len(words) - 1), 0.8
        return SelfAttention(words, weights)


@pytest.fixture
def reader() -> Any:
    return Reader()


def test_every_pair_has_both_nouns_and_changes_one_word() -> None:
    for pair in PAIRS:
        first, second = (tokenise(pair.text(number)) for number in range(2))
        assert sum(one != other for one, other in zip(first, second, strict=True)) == 1
        assert first.count("it") == 1
        assert {*pair.nouns} <= {*first}
        assert len({*pair.nouns}) == 2


def test_a_head_is_right_where_it_changes_with_the_word(reader: Any) -> None:
    stubborn, wise, mean = heads(reader, PAIRS[0])
    assert (stubborn.name, wise.name, mean.name) == (
        "layer 1, head 1",
        "layer 1, head 2",
        "layer 1, mean",
    )
    assert stubborn.right == (True, False)
    assert wise.right == (True, True)
    assert mean.right == (True, False)  # in the second sentence the two heads are even
    text = table(reader)
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if "layer" in line}
    assert "| 0.80" in lines["layer 1, head 1"]
    assert lines["layer 1, head 1"].endswith("| 0 of 6              |")
    assert lines["layer 1, head 2"].endswith("| 6 of 6              |")
    assert '"it" at "mouse"' in text
    assert (
        "- The cat did not eat the mouse because it was not tasty. (mouse) / … hungry. (c" in text
    )


def test_the_figure_has_a_panel_a_sentence(reader: Any) -> None:
    picture = figure(reader, PAIRS[0])
    assert picture.width > 900
    assert picture.height > 150


def test_a_reader_without_self_attention_is_refused(tiny_translator: Translator) -> None:
    with pytest.raises(ConfigError, match="this model reads with a recurrent network"):
        table(tiny_translator)
