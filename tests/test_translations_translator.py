"""Translating: line for line, streams, searches, explaining."""

from __future__ import annotations

import copy
import itertools
import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from captioner import storage
from captioner.checkpoint import TranslationCheckpoint
from captioner.errors import CheckpointError, ConfigError
from captioner.text import BOS, PAD, UNK
from captioner.translation import Translator
from tests.translating import (
    NEW,
    ODD,
    Phrases,
    check_steps,
    same,
    with_ends,
)


@pytest.mark.parametrize(("source", "target"), [("en", "de"), ("en", "fr"), ("fr", "en")])
def test_what_was_learned_comes_back(
    tiny_translator: Translator, phrases: Phrases, source: str, target: str
) -> None:
    stream = tiny_translator.stream(phrases[source], to=target)
    for sentence, wanted, found in zip(phrases[source], phrases[target], stream, strict=True):
        assert found.text == wanted
        assert found.error is None
        assert found.source == sentence
        assert (found.source_language, found.target_language) == (source, target)
        assert found.guessed


def test_a_text_tells_its_language_where_it_can_be_translated(
    tiny_translator: Translator, phrases: Phrases
) -> None:
    for language, to in (("en", "de"), ("fr", "en")):
        assert tiny_translator.guess(" ".join(phrases[language]), to) == language
    assert tiny_translator.guess("", "de") is None
    with pytest.raises(ConfigError, match="this checkpoint does not translate into 'xx'"):
        tiny_translator.guess("A dog.", "xx")


def test_capitals_tell_the_language_as_small_letters_do(
    tiny_translator: Translator, phrases: Phrases
) -> None:
    for language, to in (("en", "de"), ("fr", "en")):
        for text in phrases[language]:
            assert tiny_translator.guess(text.upper(), to) == language
            assert tiny_translator.direction(text.upper(), to) == (language, to)
    mixed = f"{phrases['fr'][0]} {phrases['fr'][1].upper()}"
    assert tiny_translator.direction(mixed, "de") == ("fr", "en")
    assert tiny_translator.direction("...", "de") == ("en", "de")  # and what says nothing


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("en", ("A DOG RUNS.", "TWO MEN ARE SITTING ON A BENCH.", "A WOMAN IN A RED DRESS.")),
        ("de", ("EIN HUND RENNT.", "ZWEI MÄNNER SITZEN AUF EINER BANK.", "DIE FRAU LÄUFT WEG.")),
        ("fr", ("UN CHIEN COURT.", "DEUX HOMMES SONT ASSIS SUR UN BANC.", "L'HOMME DORT AU LIT.")),
        ("cs", ("PES BĚŽÍ.", "DVA MUŽI SEDÍ NA LAVIČCE.", "ŽENA V ČERVENÝCH ŠATECH.")),
    ],
)
def test_capitals_tell_the_language_to_the_weights_that_came_along(
    language: str, texts: tuple[str, ...]
) -> None:
    reader = Translator.load(device="cpu").reader
    for text in texts:
        assert reader.languages.likeliest(reader.told(text)) == language


def test_the_steps_of_capitals_are_those_of_small_letters(
    tiny_translator: Translator, phrases: Phrases
) -> None:
    """They show what was read, not how it was written."""
    text = phrases["en"][0]
    loud, small = (tiny_translator(one, to="de", beam_size=1) for one in (text.upper(), text))
    shown, wanted = tiny_translator.trace(loud), tiny_translator.trace(small)
    assert shown.source == wanted.source
    np.testing.assert_allclose(shown.trace.weights, wanted.trace.weights, atol=1e-5)
    whole = [tiny_translator.with_whole_words(one).words for one in (loud, small)]
    assert [word.alternatives for word in whole[0]] == [word.alternatives for word in whole[1]]


def test_words_are_whole_and_what_stands_in_the_text(tiny_translator: Translator) -> None:
    found = tiny_translator("The man's red ball is on the table.", to="fr")
    source = ["The", "man's", "red", "ball", "is", "on", "the", "table", "."]
    said = ["Le", "ballon", "rouge", "de", "l'homme", "est", "sur", "la", "table", "."]
    assert list(found.source_words) == source
    assert [word.text for word in found.words] == said
    assert found.alignment.shape == (10, 9)
    assert found.end_mass.shape == (10,)
    assert found.alignment.dtype == found.end_mass.dtype == np.float32


def test_rows_sum_to_1_and_what_the_end_got_lies_beside_them(
    tiny_translator: Translator, phrases: Phrases
) -> None:
    for found in tiny_translator.stream([*phrases["en"], NEW], to="de"):
        assert len(found.words) == len(found.alignment) > 2
        np.testing.assert_allclose(found.alignment.sum(1), 1, atol=1e-6)
        assert (found.alignment >= 0).all()
        assert ((found.end_mass >= 0) & (found.end_mass <= 1)).all()
        assert found.end_mass.any()


def test_probabilities_and_alternatives(tiny_translator: Translator) -> None:
    found = tiny_translator(NEW, to="de", alternatives=7)
    for word in found.words:
        assert word.known
        assert word.prob is not None
        assert word.log_prob is not None
        assert word.prob == pytest.approx(np.exp(word.log_prob), rel=1e-6)
        probs = [prob for _, prob in word.alternatives]
        assert len(probs) == 7
        assert probs == sorted(probs, reverse=True)
        assert not {"<pad>", "<bos>", "<unk>", "<2de>"} & {text for text, _ in word.alternatives}


def test_the_end_of_the_sentence_reads_as_such(tiny_translator: Translator) -> None:
    found = with_ends(tiny_translator, 99.0).explain("Two men", "Zwei", to="de")
    assert found.words[0].alternatives[0][0] == "(end)"


def test_no_language_tag_and_no_special_token_is_ever_said(tiny_translator: Translator) -> None:
    checkpoint = copy.deepcopy(tiny_translator.checkpoint)
    tags = [checkpoint.subwords.start(language) for language in ("en", "de", "fr")]
    with torch.no_grad():  # a model that wants nothing more
        checkpoint.model.decoder.output.bias[[PAD, BOS, UNK, *tags]] += 50
    eager = Translator(checkpoint)
    for options in ({}, {"sample": True, "n_best": 3, "seed": 5}):
        found = eager(NEW, to="de", **options)
        same(found, tiny_translator(NEW, to="de", **options))
        for one in (found, *found.n_best):
            assert "<" not in one.text
            assert "\N{REPLACEMENT CHARACTER}" not in one.text


def test_the_same_sentence_in_another_language_starts_elsewhere(
    tiny_translator: Translator,
) -> None:
    german, french = (tiny_translator("Is the ball red?", to=to) for to in ("de", "fr"))
    assert german.source_words == french.source_words
    assert german.text == "Ist der Ball rot?"
    assert french.text == "Le ballon est-il rouge ?"


def test_nothing_is_lost_and_nothing_moves(tiny_translator: Translator, phrases: Phrases) -> None:
    lines = [text for pair in zip(ODD.values(), itertools.cycle(phrases["en"])) for text in pair]
    for batch_size in (1, 3, 64):
        stream = tiny_translator.stream(lines, to="de", batch_size=batch_size, beam_size=1)
        found = list(stream)
        assert [one.source for one in found] == lines
        good = [one.text for one in found[1::2]]
        assert good == list(itertools.islice(itertools.cycle(phrases["de"]), len(ODD)))
        for name, one in zip(ODD, found[::2], strict=True):
            if one.error is not None:
                assert "\n" not in one.error
                assert (one.text, one.words, one.n_best) == ("", (), ())
                assert one.alignment.shape == (0, len(one.source_words))
            assert one.alignment.shape == (len(one.words), len(one.source_words)), name
            json.dumps(one.to_dict())
        failed = {name: one.error for name, one in zip(ODD, found[::2], strict=True) if one.error}
        assert set(failed) == {"long", "script", "surrogate", "many", "other"}
        [kept] = [one for name, one in zip(ODD, found[::2], strict=True) if name == "emoji"]
        assert kept.text == ODD["emoji"]


def test_a_sentence_knows_nothing_of_its_neighbours(
    tiny_translator: Translator, phrases: Phrases
) -> None:
    lines = [*phrases["en"], NEW, "A dog", "The cat is red.", ""]
    alone = [tiny_translator(line, to="fr") for line in lines]
    for batch_size, order in ((1, 1), (3, -1), (64, 1)):
        stream = tiny_translator.stream(lines[::order], to="fr", batch_size=batch_size)
        for one, other in zip(stream, alone[::order], strict=True):
            same(one, other)


def test_draws_belong_to_the_line_and_the_seed(
    tiny_translator: Translator, phrases: Phrases
) -> None:
    def said(seed: int, batch_size: int) -> list[str]:
        drawn = {"sample": True, "seed": seed, "temperature": 3.0, "max_length": 13}
        stream = tiny_translator.stream(phrases["en"], to="de", batch_size=batch_size, **drawn)
        return [found.text for found in stream]

    assert said(1, 2) == said(1, 64)
    assert said(1, 64) != said(2, 64)


def test_a_stream_reads_only_some_batches_ahead(tiny_translator: Translator) -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "A dog"

    stream = tiny_translator.stream(endless(), to="de", batch_size=2, beam_size=1)
    next(stream)
    stream.close()
    assert 1 <= taken <= 3 * 8 * 2 + 1  # three rounds of eight batches, and one in the hand


def test_a_stream_loses_nothing_when_its_source_breaks(tiny_translator: Translator) -> None:
    def broken() -> Iterator[str]:
        yield from ["A dog runs over the log.", "Two men are sleeping."]
        raise OSError("the pipe broke")

    found = []
    with pytest.raises(OSError, match="the pipe broke"):  # noqa: PT012
        for translation in tiny_translator.stream(broken(), to="de"):
            found.append(translation.text)
    assert found == ["Ein Hund läuft über den Stamm.", "Zwei Männer schlafen."]


def test_a_translation_waits_for_no_later_text(tiny_translator: Translator) -> None:
    asked = threading.Event()

    def slow() -> Iterator[str]:
        yield "Two men are sleeping."
        assert asked.wait(60)
        yield "A dog runs over the log."

    stream = tiny_translator.stream(slow(), to="de")
    assert next(stream).text == "Zwei Männer schlafen."
    asked.set()
    assert [found.text for found in stream] == ["Ein Hund läuft über den Stamm."]


@pytest.mark.parametrize("wrong", ["A dog", b"A dog", None, 3])
def test_a_stream_is_of_many_texts(tiny_translator: Translator, wrong: Any) -> None:
    message = "a stream takes any number of sentences, but .* came; put one sentence in a list, "
    with pytest.raises(ConfigError, match=message):
        next(tiny_translator.stream(wrong, to="de"))
    with pytest.raises(ConfigError, match=message):
        next(tiny_translator.stream_explained(wrong, to="de"))


def test_n_best_comes_in_order(tiny_translator: Translator) -> None:
    found = tiny_translator(NEW, to="de", n_best=5)  # wider than the checkpoint's own beam
    every = (found, *found.n_best)
    assert len(every) == 5
    assert len({one.text for one in every}) == 5
    penalty = tiny_translator.checkpoint.search.length_penalty
    scores = []
    for one in every:
        check_steps(tiny_translator, one, "de")
        pieces = tiny_translator.subwords.encode(one.text).ids
        scores.append(one.log_prob / (len(pieces) + 1) ** penalty)
        assert one.source_words == found.source_words
    assert scores == sorted(scores, reverse=True)


def test_a_model_that_says_nothing(tiny_translator: Translator) -> None:
    found = with_ends(tiny_translator, 99.0)("A dog runs.", to="de", beam_size=1)
    assert (found.text, found.words, found.error) == ("", (), None)
    assert found.alignment.shape == (0, 4)
    assert found.to_dict()["alignment"] == []


def test_a_model_that_never_ends_is_stopped(tiny_translator: Translator) -> None:
    endless = with_ends(tiny_translator, -99.0)
    lengths = []
    for source in (
        "A dog.",
        "A dog runs over the log, over the table and the snow, red, red, red.",
    ):
        found = endless(source, to="de", beam_size=1)
        pieces = tiny_translator.subwords.encode(found.text).ids
        assert len(pieces) > len(tiny_translator.subwords.encode(source).ids)
        lengths.append(len(pieces))
    assert lengths[0] < lengths[1]
    assert len(endless("A dog.", to="de", beam_size=1, max_length=5).words) <= 5


def test_explaining_many(tiny_translator: Translator, phrases: Phrases) -> None:
    pairs = list(zip(phrases["en"], phrases["de"], strict=True))
    pairs[2:2] = [("", "Hund"), ("A dog.", " \n"), ("雪", "Schnee"), ("A dog", "Ein 犬 läuft")]
    for batch_size in (1, 3, 64):
        found = list(tiny_translator.stream_explained(pairs, to="de", batch_size=batch_size))
        assert [one.source for one in found] == [source for source, _ in pairs]
        empty, wordless, unreadable, unknown = found[2:6]
        assert (empty.text, empty.error) == ("", None)
        assert wordless.error == "the translation has no words; write what the sentence says"
        assert unreadable.error is not None
        assert "nothing of this can be read" in unreadable.error
        assert [word.known for word in unknown.words] == [True, False, True]
        for one, (source, said) in zip(found, pairs, strict=True):
            if one.error is None and source:
                same(one, tiny_translator.explain(source, said, to="de"))


def test_an_unknown_word_keeps_its_place_but_has_no_probability(
    tiny_translator: Translator,
) -> None:
    found = tiny_translator.explain("A dog runs", "Ein 犬 läuft", to="de")
    assert found.text == "Ein 犬 läuft"
    word = found.words[1]
    assert (word.text, word.prob, word.log_prob, word.known) == ("犬", None, None, False)
    assert len(word.alternatives) == 5
    np.testing.assert_allclose(found.alignment.sum(1), 1, atol=1e-6)
    assert np.isfinite(found.log_prob)
    assert found.to_dict()["words"][1]["unknown"] is True
    with pytest.raises(ConfigError, match="the translation has no words; write what the sentence"):
        tiny_translator.explain("A dog", " ", to="de")
    with pytest.raises(ConfigError, match="does not translate into 'cs'"):
        tiny_translator.explain("A dog", "Pes", to="cs")


def test_load(
    translation_weights: str, tiny_translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = Translator.load(translation_weights)
    same(
        loaded("A dog runs over the log.", to="fr"),
        tiny_translator("A dog runs over the log.", to="fr"),
    )
    monkeypatch.setattr(
        storage, "default_path", lambda task: {"translate": translation_weights}[task]
    )
    assert Translator.load().languages.directions == tiny_translator.languages.directions
    with pytest.raises(CheckpointError, match="no such file"):
        Translator.load("none.safetensors")


def test_the_checkpoint_stays_as_it_was(tiny_translation: TranslationCheckpoint) -> None:
    before = {k: v.clone() for k, v in tiny_translation.model.state_dict().items()}
    training = tiny_translation.model.training
    Translator(tiny_translation)("A dog", to="de")
    assert tiny_translation.model.training == training
    after = tiny_translation.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.requires_grad for parameter in tiny_translation.model.parameters())


def test_options_start_from_the_checkpoint(tiny_translator: Translator) -> None:
    assert tiny_translator.options() == tiny_translator.checkpoint.search
    assert tiny_translator.options(beam_size=None).beam_size == 3
    assert tiny_translator.options(n_best=4).beam_size == 4


def test_a_trace_is_that_of_what_was_said(
    tiny_translator: Translator, phrases: dict[str, tuple[str, ...]]
) -> None:
    found = tiny_translator(phrases["en"][1], to="de")
    read = tiny_translator.trace(found, alternatives=4)
    assert "".join(read.source).replace("\u2423", "") == "AdogrunsovertheLog.".replace("L", "l")
    assert "".join(read.words).replace("\u2423", "") == "EinHundläuftüberdenStamm."
    assert read.trace.weights.shape == (len(read.words) + 1, 1, len(read.source) + 1)
    np.testing.assert_allclose(read.trace.weights.sum(-1), 1, rtol=1e-5)
    # What was learned by heart is the likeliest at each step, the end at the last.
    assert [row[0] for row in read.following] == [*read.words, "<eos>"]
    assert {len(row) for row in read.following} == {4}
    explained = tiny_translator.explain(found.source, found.text, to="de")
    end = read.trace.weights[:-1, 0, -1]
    assert end.max() >= explained.end_mass.max() - 1e-4  # the mean over a word's pieces


def test_french_by_itself_is_translated_into_what_there_is(tiny_translator: Translator) -> None:
    french = "Je suis étudiant. Deux hommes dorment."
    assert tiny_translator.direction(french, "de") == ("fr", "en")
    assert tiny_translator.direction(french, "en") == ("fr", "en")
    assert tiny_translator.direction("A dog runs over the log.", "de") == ("en", "de")
    with pytest.raises(ConfigError, match="does not translate into 'xx'"):
        tiny_translator.direction(french, "xx")
