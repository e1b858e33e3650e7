"""A translation: of several sentences, as values, as a picture."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from PIL import Image

from captioner.translation import Translation, Translator
from tests.translating import (
    NEW,
    Phrases,
    check_steps,
    same,
)


def check_blocks(found: Translation, parts: list[Translation]) -> None:
    """The text is its sentences, one after the other, and no word looks beyond its own."""
    assert found.text == " ".join(part.text for part in parts)
    words = [word for part in parts for word in part.words]
    assert [word.text for word in found.words] == [word.text for word in words]
    for word, match in zip(found.words, words, strict=True):
        assert word.prob == pytest.approx(match.prob, abs=1e-5)
    assert found.source_words == tuple(word for part in parts for word in part.source_words)
    expected = np.zeros((len(found.words), len(found.source_words)))
    row = column = 0
    for part in parts:
        for t, s in np.ndindex(part.alignment.shape):
            expected[row + t, column + s] = part.alignment[t, s]
        row, column = row + len(part.words), column + len(part.source_words)
    np.testing.assert_allclose(found.alignment, expected, atol=1e-5)
    np.testing.assert_array_equal(found.alignment == 0, expected == 0)
    np.testing.assert_allclose(found.alignment.sum(1), 1, atol=1e-5)
    ends = np.concatenate([part.end_mass for part in parts])
    np.testing.assert_allclose(found.end_mass, ends, atol=1e-5)
    assert found.log_prob == pytest.approx(sum(part.log_prob for part in parts), abs=1e-4)
    assert found.pieces + 1 == sum(part.pieces + 1 for part in parts)


@pytest.mark.parametrize("between", [" ", "  ", "\n", "\r\n", "\u2028", "\x0c"])
def test_no_sentence_of_a_text_is_lost(
    tiny_translator: Translator, phrases: Phrases, between: str
) -> None:
    text = between.join(phrases["en"])
    found = tiny_translator(text, to="de")
    assert found.text == " ".join(phrases["de"])
    assert found.source == text
    assert (found.source_language, found.guessed, found.warning) == ("en", True, None)
    check_blocks(found, [tiny_translator(sentence, to="de") for sentence in phrases["en"]])
    assert found.heatmap().width > 100
    json.dumps(found.to_dict())


def test_without_splitting_a_text_is_one_sentence(
    tiny_translator: Translator, phrases: Phrases
) -> None:
    text = " ".join(phrases["en"][:2])
    [whole] = tiny_translator.stream([text], to="de", split=False)
    check_steps(tiny_translator, whole, "de")
    assert (whole.alignment > 0).all()
    assert not (tiny_translator(text, to="de").alignment > 0).all()


def test_texts_keep_their_places(tiny_translator: Translator, phrases: Phrases) -> None:
    english, german = phrases["en"], phrases["de"]
    lines = [" ".join(english[:3]), "", english[3], " ".join(english[4:]), "***"]
    for batch_size in (1, 2, 64):
        found = list(tiny_translator.stream(lines, to="de", batch_size=batch_size))
        assert [one.source for one in found] == lines
        wanted = [" ".join(german[:3]), "", german[3], " ".join(german[4:]), "***"]
        assert [one.text for one in found] == wanted


def test_the_best_of_a_text_are_the_best_of_its_sentences(tiny_translator: Translator) -> None:
    """Against all ways to put them together."""
    texts = ["The students' red snowball jumps!", "A cat sleeps on the student."]
    settings = {"to": "de", "beam_size": 4, "n_best": 4, "length_penalty": 0.7}
    found = tiny_translator(" ".join(texts), **settings)
    every = [(one, *one.n_best) for one in (tiny_translator(text, **settings) for text in texts)]

    def score(ways: tuple[Translation, ...]) -> float:
        return sum(one.log_prob / (one.pieces + 1) ** 0.7 for one in ways)

    ranked = sorted(itertools.product(*every), key=score, reverse=True)[:4]
    for one, parts in zip((found, *found.n_best), ranked, strict=True):
        check_blocks(one, list(parts))


def test_draws_differ_from_sentence_to_sentence(tiny_translator: Translator) -> None:
    drawn = {"sample": True, "seed": 5, "temperature": 3.0, "max_length": 13}
    found = tiny_translator("A dog runs. " * 5, to="de", **drawn)
    again = tiny_translator("A dog runs. " * 5, to="de", **drawn)
    assert found.text == again.text
    first = tiny_translator("A dog runs.", to="de", **drawn).text
    assert found.text.startswith(first)
    assert found.text != " ".join([first] * 5)


def test_texts_are_explained_sentence_by_sentence(
    tiny_translator: Translator, phrases: Phrases
) -> None:
    source, said = " ".join(phrases["en"][:3]), " ".join(phrases["de"][:3])
    found = tiny_translator.explain(source, said, to="de")
    same(found, tiny_translator(source, to="de"))
    whole = tiny_translator.explain(source, phrases["de"][0], to="de")  # three to one
    assert whole.text == phrases["de"][0]
    check_steps(tiny_translator, whole, "de")


def test_to_dict_is_the_contract(tiny_translator: Translator) -> None:
    found = tiny_translator(NEW, to="de", n_best=2)
    values = json.loads(json.dumps(found.to_dict()))
    names = ["source", "from", "guessed", "to", "source_words", "translation", "words", "alignment"]
    assert list(values) == [*names, "end_mass", "log_prob", "n_best", "warning", "error"]
    assert values["source"] == NEW
    assert (values["from"], values["to"], values["guessed"]) == ("en", "de", True)
    assert values["source_words"] == list(found.source_words)
    assert values["translation"] == found.text
    assert [word["word"] for word in values["words"]] == [word.text for word in found.words]
    assert np.array(values["alignment"]).shape == found.alignment.shape
    np.testing.assert_allclose(values["alignment"], found.alignment, rtol=1e-3)
    np.testing.assert_allclose(values["end_mass"], found.end_mass, rtol=1e-3)
    for row in values["alignment"]:
        assert sum(row) == pytest.approx(1, abs=1e-3)
        assert all(number == float(f"{number:.4g}") for number in row)
    assert values["error"] is None
    [other] = values["n_best"]
    assert list(other) == ["translation", "words", "alignment", "end_mass", "log_prob"]
    assert "n_best" not in tiny_translator("A dog", to="de").to_dict()


def test_the_heat_map_is_a_picture(tiny_translator: Translator) -> None:
    short = tiny_translator("I am a student.", to="fr").heatmap()
    long = tiny_translator("The man's red ball is on the table.", to="de").heatmap()
    for drawn in (short, long):
        assert isinstance(drawn, Image.Image)
        assert drawn.mode == "RGB"
        assert len(drawn.getcolors(maxcolors=2**24)) > 9
    assert long.width > 0
    assert short.tobytes() != long.tobytes()


def test_what_a_shell_shows_is_short(tiny_translator: Translator) -> None:
    found = tiny_translator("A dog runs over the log.", to="de", n_best=3)
    assert repr(found) == (f"<Translation {found.text!r} of 'A dog runs over the log.', en → de>")
    [failed] = tiny_translator.stream(["dog " * 300], to="de")
    assert repr(failed).startswith("<Translation of 'dog dog ")
    assert len(repr(failed)) < 200
