"""Visible words are masked, asked for and found again, and nothing else is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from captioner.errors import ConfigError
from captioner.studies.masked import asked, found, mask, masked_pairs, says
from captioner.translations.pairs import Pair

sys.path.insert(0, str(Path(__file__).parent.parent / "data"))

from mask_sources import main


@pytest.mark.parametrize(
    ("text", "masked", "words"),
    [
        ("A Brown dog and a white dog.", "A [v] [v] and a [v] [v].", "brown dog white dog"),
        ("Two women in redwood manes.", "Two [v] in redwood manes.", "women"),
        ("Nothing to see.", "Nothing to see.", ""),
        ("blue-green, MEN's", "[v]-[v], [v]'s", "blue green men"),
    ],
)
def test_whole_visible_words_are_masked(text: str, masked: str, words: str) -> None:
    found = mask(text)
    assert (found.text, " ".join(found.words)) == (masked, words)


@pytest.mark.parametrize(
    ("text", "word", "expected"),
    [
        ("Ein Mann mit rotem Hut.", "red", True),
        ("Ein Brot.", "red", False),  # within a word is no word
        ("Zwei Männer", "man", False),
        ("Zwei Männer", "men", True),
        ("Die Mannschaft", "man", False),
        ("Ein WEISSER Hund", "white", True),
        ("Der Hund des Mannes", "man", True),
    ],
)
def test_german_forms_say_a_word(text: str, word: str, expected: bool) -> None:
    assert says(text, word) is expected


def test_only_what_the_reference_says_is_asked() -> None:
    pairs = [
        Pair("A red dog, a red ball.", "Ein roter Hund, ein Ding.", "en", "de"),
        Pair("A dog.", "Ein Tier.", "en", "de"),
        Pair("A girl in pink.", "Ein Mädchen in Rosa.", "en", "de"),
    ]
    assert asked(pairs[0].source_text, pairs[0].target_text) == ["red", "dog"]
    masked = masked_pairs(pairs)
    assert [pair.source_text for pair in masked] == ["A [v] [v], a [v] [v].", "A [v] in [v]."]
    shares = found([pairs[0], pairs[2]], ["Ein blauer Hund.", "Ein Mädchen in pinker Hose."])
    assert shares == [0.5, 1.0]
    with pytest.raises(ConfigError, match=r"no source has a colour or a noun that its transl"):
        masked_pairs(pairs[1:2])
    with pytest.raises(ConfigError, match=r"known from en into de, but the pairs are en→fr$"):
        masked_pairs([Pair("A dog.", "Un chien.", "en", "fr")])


def test_files_are_masked_line_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "train.en"
    path.write_text("A dog.\nTwo men.\n\nSnow.\n")
    assert main([str(path)]) == 0
    assert (tmp_path / "train.masked.en").read_text() == "A [v].\nTwo [v].\n\nSnow.\n"
    assert "train.masked.en: 4 lines, 2 masked words" in capsys.readouterr().out
    assert main([str(tmp_path / "no.en")]) == 1
    assert (
        "no.en: cannot be read (No such file or directory); expected sen" in capsys.readouterr().err
    )
