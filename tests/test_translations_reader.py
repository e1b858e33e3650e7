"""What can be read, and what is not to be relied on."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.errors import ConfigError
from captioner.prediction import Caption
from captioner.subwords import clean
from captioner.translation import MAX_WORDS, Translation, Translator
from tests.translating import (
    ODD,
    Phrases,
    tempted,
    with_ends,
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text("adogcatné .,'▁<2de>\n\x00雪🐶\u0301\u200d\ud800", max_size=13), max_size=5)
)
def test_any_text_is_a_line_of_its_own(tiny_translator: Translator, lines: list[str]) -> None:
    options = {"to": "de", "beam_size": 1, "max_length": 5, "alternatives": 0}
    found = list(tiny_translator.stream(lines, batch_size=2, **options))
    assert [one.source for one in found] == lines
    pairs = list(zip(lines, lines[::-1], strict=True))
    explained = list(tiny_translator.stream_explained(pairs, to="de", batch_size=2))
    assert [one.source for one in explained] == lines
    for one in (*found, *explained):
        assert (one.error is None) or not one.words
        np.testing.assert_allclose(one.alignment.sum(1), 1, atol=1e-5)
        assert one.alignment.shape == (len(one.words), len(one.source_words))
        assert len(one.end_mass) == len(one.words)
        assert np.isfinite(one.log_prob)
        json.dumps(one.to_dict())


@pytest.mark.parametrize("name", ["empty", "spaces", "control"])
def test_an_empty_line_is_an_empty_translation(tiny_translator: Translator, name: str) -> None:
    found = tiny_translator(ODD[name], to="de")
    assert (found.text, found.words, found.source_words) == ("", (), ())
    assert found.alignment.shape == (0, 0)
    assert found.end_mass.shape == (0,)
    assert found.log_prob == 0
    assert not found.guessed
    assert tiny_translator(ODD[name], to="de", source_language="en").source_language == "en"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ODD["long"], "500 words in 500 pieces are too long for one sentence; split what has"),
        ("é" * 900, r"1 word in \d+ pieces is too long for one sentence; split what has more"),
        ("a." * 101, "202 words in .* pieces are too long .* more than 200 words or 800 pieces"),
        (ODD["script"], r"nothing of this can be read: .* training sentences \(en, de, fr\)"),
        (ODD["surrogate"], r"character 1 is no text \(\\ud800: a byte that is not UTF-8, or half"),
        ("A caf\udce9.", r"character 6 is no text \(\\udce9: a byte that is not UTF-8"),
        ("Ж Ш.", "nothing of this can be read"),  # its full stop alone can
        ("Je suis étudiant, le chien court dans la neige.", "this looks like 'fr', which the che"),
        (ODD["other"], "this looks like 'de', which the checkpoint does not translate into 'de'"),
    ],
)
def test_lines_that_cannot_be_translated(
    tiny_translator: Translator, text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny_translator(text, to="de")
    [found] = tiny_translator.stream([text], to="de")
    assert found.error is not None
    assert "\n" not in found.error
    assert (found.source, found.source_language, found.guessed) == (text, "", False)


def test_as_many_words_as_are_allowed(tiny_translator: Translator) -> None:
    found = tiny_translator("dog " * MAX_WORDS, to="de", beam_size=1, max_length=11)
    assert found.error is None
    assert len(found.source_words) == MAX_WORDS
    assert found.alignment.shape == (len(found.words), MAX_WORDS)


def test_the_language_can_be_named(tiny_translator: Translator) -> None:
    """Even against what the words look like."""
    french = "Je suis étudiant, le chien court dans la neige."
    found = tiny_translator(french, to="de", source_language="en", beam_size=1)
    assert found.source_language == "en"
    assert not found.guessed
    assert tiny_translator("A dog.", to="de").guessed
    [failed] = tiny_translator.stream([ODD["script"]], to="de", source_language="en")
    assert failed.error is not None
    assert failed.source_language == "en"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"to": "cs"}, "this checkpoint does not translate into 'cs'; it translates en → de, en"),
        ({"to": "de", "source_language": "fr"}, "does not translate 'fr' into 'de'"),
        ({"to": "de", "source_language": "de"}, "the sentences are in 'de' already; name another"),
        ({"to": "de", "batch_size": 0}, "batch_size is 0; expected a whole number from 1 to 4096"),
        (
            {"to": "de", "batch_size": 64, "beam_size": 100},
            "6400 sentences at once, more ",
        ),
        ({"to": "de", "batch_size": "3"}, "batch_size is '3'; expected a whole number from 1"),
        ({"to": "de", "beam_size": "3"}, "beam_size is '3'; expected a whole number"),
        ({"to": "de", "beam_size": 2.5}, "beam_size is 2.5; expected a whole number"),
        ({"to": "de", "beam_size": True}, "beam_size is True; expected a whole number"),
        ({"to": "de", "length_penalty": "1"}, "length_penalty is '1'; expected a number"),
        ({"to": "de", "sample": 1}, "sample is 1; expected true or false"),
        ({"to": "de", "beams": 3}, "beams is no decoding option; expected alternatives, beam_size"),
        ({"to": "de", "beam_size": 0}, "beam_size is 0; expected a whole number from 1 to 100"),
    ],
)
def test_wrong_wishes(tiny_translator: Translator, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        next(tiny_translator.stream(["A dog."], **arguments))


def test_the_language_is_guessed_from_the_whole_text(tiny_translator: Translator) -> None:
    """Alone, `Non.` could be either."""
    found = tiny_translator("Je suis étudiant. O. Deux hommes dorment.", to="en")
    assert found.source_language == "fr"
    with pytest.raises(ConfigError, match="this looks like 'fr', which the checkpoint does not"):
        tiny_translator("Je suis étudiant. Un chien court dans la neige.", to="de")


def test_a_sentence_in_trouble_names_itself(tiny_translator: Translator) -> None:
    with pytest.raises(ConfigError, match="sentence 2: 500 words in 500 pieces are too long for"):
        tiny_translator(f"A dog runs.\n{ODD['long']}\nA cat.", to="de")
    with pytest.raises(ConfigError, match="nothing of this can be read"):
        tiny_translator("Ж. Ш.", to="de")


def test_what_cannot_be_read_among_others_stays_as_it_is(
    tiny_translator: Translator, phrases: Phrases
) -> None:
    text = f"{phrases['en'][0]}\n雪の中を。\n- - -\n{phrases['en'][1]}"
    found = tiny_translator(text, to="de")
    assert found.text == f"{phrases['de'][0]} 雪の中を。- - - {phrases['de'][1]}"
    assert found.error is None
    assert found.warning == (
        "sentence 2: '雪の中を。' cannot be read, its letters stood in no training sentence; it "
        "stays as it is; sentence 3: '- - -' has no words to translate; it stays as it is"
    )
    kept = [word for word in found.words if not word.known]
    assert [word.text for word in kept] == ["雪の中を", "。", "-", "-", "-"]
    assert all(word.prob is None and word.log_prob is None for word in kept)
    np.testing.assert_allclose(found.alignment.sum(1), 1, atol=1e-5)
    json.dumps(found.to_dict())


def test_an_answer_in_another_language_is_said(
    tiny_translator: Translator, phrases: Phrases
) -> None:
    said = (
        "the answer looks like 'fr', not 'de': these weights have learned too little of such "
        "sentences; do not rely on it"
    )
    french = tempted(tiny_translator, "de")
    for sentence, wanted in zip(phrases["en"], phrases["fr"], strict=True):
        found = french(sentence, to="de", n_best=2)
        assert found.text == wanted
        assert found.warning == said
        assert found.to_dict()["warning"] == said
        assert tiny_translator(sentence, to="de").warning is None
        assert tiny_translator(sentence, to="fr").warning is None
    text = french(" ".join(phrases["en"][:2]), to="de")
    assert text.warning == f"sentence 1, 2: {said}"


def test_a_copied_name_says_nothing_about_the_language(tiny_translator: Translator) -> None:
    answer = tiny_translator.subwords.encode("Je Un Deux Le.")
    copied = tiny_translator.reader.read("Je Un Deux Le sleep.", "de", "en")
    assert tiny_translator.reader.answer_warning(copied, answer, "de") is None
    own = tiny_translator.reader.read("The man sleeps.", "de", "en")
    assert "looks like 'fr', not 'de'" in str(
        tiny_translator.reader.answer_warning(own, answer, "de")
    )


def test_an_empty_answer_is_said(tiny_translator: Translator) -> None:
    found = with_ends(tiny_translator, 99.0)("A dog runs.", to="de", beam_size=1)
    assert found.warning == "the answer has no words"


def test_a_doubtful_guess_is_said(tiny_translator: Translator, phrases: Phrases) -> None:
    """A text that is French rather than English, but not a thousand times."""

    def doubtful(text: str) -> bool:
        found = next(tiny_translator.stream([text], to="de", beam_size=1))
        return found.error is None and found.warning is not None and "taken" in found.warning

    words = (word for text in phrases["fr"] for word in text.split())
    text = next(word for word in words if doubtful(word))
    found = tiny_translator(text, to="de")
    assert (found.source_language, found.guessed) == ("en", True)
    assert str(found.warning).startswith(
        "taken for 'en', though it looks more like 'fr'; name the language if it is another"
    )
    named = tiny_translator(text, to="de", source_language="en").warning
    assert "taken for" not in str(named)


@pytest.mark.parametrize("text", ["....", "?!", "🐶🐶 🐱", "3:30", "* * *", "\u0301"])
def test_what_has_no_words_is_no_sentence(tiny_translator: Translator, text: str) -> None:
    with pytest.raises(ConfigError, match="has no words to translate; write a sentence"):
        tiny_translator(text, to="de")
    [found] = tiny_translator.stream([text], to="de")
    assert found.text == clean(text)
    assert found.error is None
    assert found.warning == f"{clean(text)!r} has no words to translate; it stays as it is"
    assert np.array_equal(found.alignment, np.eye(len(found.source_words)))


def test_capitals_are_read_as_small_letters(tiny_translator: Translator, phrases: Phrases) -> None:
    for sentence in phrases["en"]:
        found = tiny_translator(sentence.upper(), to="fr")
        same_words = tiny_translator(sentence, to="fr")
        assert found.text == same_words.text
        assert found.source == sentence.upper()
        assert found.source_words == tuple(map(str.upper, same_words.source_words))
        np.testing.assert_allclose(found.alignment, same_words.alignment, atol=1e-5)


def test_words_in_capitals_are_read_as_words(tiny_translator: Translator) -> None:
    """Where small letters are a known word; an abbreviation stays what it is."""
    plain, first, short = "A brown dog runs.", "Brown dog runs.", "A NBA dog runs."

    def read(text: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
        pieces = tiny_translator.reader.sentence(text).pieces
        return pieces.ids, pieces.words

    known = [w for w in ("dog", "brown") if len(tiny_translator.subwords.encode(w).ids) == 1]
    assert known
    for word in known:
        loud = plain.replace(word, word.upper())
        assert read(loud) == (read(plain)[0], (*tiny_translator.subwords.encode(loud).words,))
    if "brown" in known:
        assert read(first.replace("Brown", "BROWN"))[0] == read(first)[0]
    assert read(short)[0] == tiny_translator.subwords.encode(short).ids


@pytest.mark.parametrize("wrong", [None, 3, 2.5, ["A dog."], b"A dog.", float("nan")])
def test_what_is_no_text(tiny_translator: Translator, wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"came; expected a sentence as a string"):
        tiny_translator(wrong, to="de")
    with pytest.raises(ConfigError, match=r"came; expected a sentence as a string"):
        tiny_translator.explain("A dog.", wrong, to="de")
    found = list(tiny_translator.stream(["I am a student.", wrong], to="de"))
    assert [one.text for one in found] == ["Ich bin Student.", ""]
    assert found[1].error is not None


def test_texts_are_cleaned(tiny_translator: Translator) -> None:
    untidy = "  A\u00a0dog\truns\u200b over  the log.\r\n"
    found = tiny_translator(untidy, to="de")
    assert found.text == "Ein Hund läuft über den Stamm."
    assert found.source == untidy
    assert clean(untidy) == "A dog runs over the log."
    assert isinstance(found, Translation)
    assert not isinstance(found, Caption)
