"""Translating: line for line, whole words, and alignments held against the decoder's own steps."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from captioner import storage
from captioner.checkpoint import Checkpoint, TranslationCheckpoint
from captioner.errors import CheckpointError, ConfigError, ImageError
from captioner.languages import Languages
from captioner.nn.architecture import TranslationConfig
from captioner.nn.model import build_translation_model
from captioner.options import SearchOptions
from captioner.prediction import Caption, Captioner, word_shares
from captioner.search import Hypothesis
from captioner.settings import from_dict
from captioner.subwords import Pieces, Subwords, clean
from captioner.text import BOS, EOS, PAD, UNK
from captioner.translation import MAX_WORDS, Translation, Translator
from captioner.translations.merging import Merger
from captioner.words import Word

Phrases = dict[str, tuple[str, ...]]

NEW = "The students' red snowball jumps!"  # words of several pieces, never seen together


def same(one: Translation, other: Translation) -> None:
    assert one.text == other.text
    assert one.source_words == other.source_words
    assert [word.text for word in one.words] == [word.text for word in other.words]
    assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
    np.testing.assert_allclose(one.alignment, other.alignment, atol=1e-5)
    np.testing.assert_allclose(one.end_mass, other.end_mass, atol=1e-5)
    for word, match in zip(one.words, other.words, strict=True):
        assert word.prob == pytest.approx(match.prob, abs=1e-5)
    assert one.error == other.error
    names = ("source", "source_language", "target_language", "guessed")
    assert [getattr(one, name) for name in names] == [getattr(other, name) for name in names]


def with_ends(translator: Translator, bias: float) -> Translator:
    """The translator with another mind about where sentences end."""
    checkpoint = copy.deepcopy(translator.checkpoint)
    with torch.no_grad():
        checkpoint.model.decoder.output.bias[EOS] += bias
    return Translator(checkpoint)


# ---- what comes out ------------------------------------------------------------------------------


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


# ---- against the decoder's own steps -------------------------------------------------------------


@dataclasses.dataclass
class Stepped:
    """A translation, piece by piece."""

    log_probs: list[float]  # (P,)
    end_log_prob: float
    weights: list[np.ndarray]  # (P, N)


def stepped(translator: Translator, source: str, target: str, to: str) -> Stepped:
    """The decoder's steps over given pieces, the forbidden tokens taken out in NumPy."""
    subwords, decoder = translator.subwords, translator.model.decoder
    pieces = torch.tensor([[*subwords.encode(source).ids, EOS]])
    with torch.inference_mode():
        memory = translator.model.encoder(pieces, torch.tensor([pieces.shape[1]]))
        memory, state = decoder.start(memory)
        read, log_probs, weights = subwords.start(to), [], []
        for wanted in (*subwords.encode(target).ids, EOS):
            step = decoder.step(torch.tensor([[read]]), state, memory)
            logits = step.logits[0, 0].double().numpy()
            logits[[PAD, BOS, UNK, *map(subwords.start, subwords.languages)]] = -np.inf
            log_probs.append(float(logits[wanted] - np.log(np.exp(logits).sum())))
            weights.append(step.attended.weights[0, 0, 0].double().numpy())
            read, state = wanted, step.state
    return Stepped(log_probs[:-1], log_probs[-1], weights[:-1])


def merged(weights: list[np.ndarray], source: Pieces, target: Pieces) -> np.ndarray:
    """(T, S + 1) by loops: sums over a source word's pieces, the mean over a target word's."""
    table = np.zeros((len(target.words), len(source.words) + 1))
    for word in range(len(target.words)):
        own = [place for place, owner in enumerate(target.owners) if owner == word]
        for place in own:
            for position, owner in enumerate([*source.owners, len(source.words)]):
                table[word, owner] += weights[place][position] / len(own)
    return table


def check_steps(translator: Translator, found: Translation, to: str) -> None:
    """Everything that the translation claims, from the steps that wrote it."""
    subwords = translator.subwords
    steps = stepped(translator, found.source, found.text, to)
    source, target = subwords.encode(found.source), subwords.encode(found.text)
    assert found.words
    assert tuple(word.text for word in found.words) == target.words
    expected = merged(steps.weights, source, target)
    np.testing.assert_allclose(expected.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(found.end_mass, expected[:, -1], atol=1e-5)
    rows = expected[:, :-1] / expected[:, :-1].sum(1, keepdims=True)
    np.testing.assert_allclose(found.alignment, rows, atol=1e-4)
    for number, word in enumerate(found.words):
        own = [steps.log_probs[p] for p, owner in enumerate(target.owners) if owner == number]
        assert word.log_prob == pytest.approx(sum(own), abs=1e-4)
    total = sum(steps.log_probs) + steps.end_log_prob
    assert found.log_prob == pytest.approx(total, abs=1e-4)
    said = sum(word.log_prob or 0.0 for word in found.words)
    assert found.log_prob == pytest.approx(said + steps.end_log_prob, abs=1e-4)


@pytest.mark.parametrize(
    ("source", "target", "to"),
    [
        ("A brown dog runs through the snow.", "Ein brauner Hund läuft durch den Schnee.", "de"),
        (NEW, "Männerschlaf springt durchs Hundes!", "de"),
        ("Un chat", "A cat jumps over the snowball table man's student.", "en"),
    ],
)
def test_explaining_is_the_decoders_steps(
    tiny_translator: Translator, source: str, target: str, to: str
) -> None:
    found = tiny_translator.explain(source, target, to=to)
    assert found.text == target
    assert len(tiny_translator.subwords.encode(target).ids) > len(found.words)
    check_steps(tiny_translator, found, to)


def test_what_the_search_claims_is_the_decoders_steps(
    tiny_translator: Translator, phrases: Phrases
) -> None:
    for sentence in (*phrases["en"], NEW):
        check_steps(tiny_translator, tiny_translator(sentence, to="de"), "de")


def test_explaining_its_own_translation_changes_nothing(tiny_translator: Translator) -> None:
    found = tiny_translator("A cat runs over the table.", to="fr")
    same(tiny_translator.explain(found.source, found.text, to="fr"), found)


PIECES = Pieces((30, 31, 32, 33, 34), (0, 0, 1, 2, 2), ("dogs", "'", "home"))


@settings(max_examples=30, deadline=None)
@given(
    owners=st.lists(st.booleans(), min_size=1, max_size=7),
    seed=st.integers(0, 2**32 - 1),
    heads=st.integers(1, 3),
)
def test_merging_is_the_loops(
    tiny_translator: Translator, owners: list[bool], seed: int, heads: int
) -> None:
    """Any cut of the translation into words, padding behind the memory included."""
    rng = np.random.default_rng(seed)
    places = np.cumsum(owners) - int(owners[0])
    target = Pieces(
        tuple(range(30, 30 + len(owners))), tuple(places.tolist()), ("w",) * (places[-1] + 1)
    )
    weights = rng.dirichlet(np.full(6, 0.3), (len(owners), heads)).astype(np.float32)
    padded = np.pad(weights, ((0, 0), (0, 0), (0, 4)))
    nothing = np.zeros((len(owners), 0))
    found = Hypothesis(
        target.ids, rng.normal(size=len(owners)), -0.5, padded, nothing.astype(int), nothing
    )
    [line] = [dataclasses.replace(tiny_translator.reader.read("dog", "de", "en"), pieces=PIECES)]
    result = Merger(tiny_translator.subwords, tiny_translator.reader).merged(
        line, found, "said", target, "de", False
    )
    expected = merged(list(weights.mean(1).astype(np.float64)), PIECES, target)
    np.testing.assert_allclose(result.end_mass, expected[:, -1], atol=1e-6)
    np.testing.assert_allclose(result.alignment.sum(1), 1, atol=1e-5)
    shares = expected[:, :-1]
    np.testing.assert_allclose(result.alignment * shares.sum(1, keepdims=True), shares, atol=1e-5)


def test_a_look_at_the_end_alone_leaves_an_even_row(tiny_translator: Translator) -> None:
    weights = np.zeros((1, 1, 6), np.float32)
    weights[..., -1] = 1
    nothing = np.zeros((1, 0))
    found = Hypothesis((30,), np.array([-1.0]), -0.5, weights, nothing.astype(int), nothing)
    line = dataclasses.replace(tiny_translator.reader.read("dog", "de", "en"), pieces=PIECES)
    target = Pieces((30,), (0,), ("w",))
    result = Merger(tiny_translator.subwords, tiny_translator.reader).merged(
        line, found, "w", target, "de", False
    )
    assert result.end_mass.tolist() == [1.0]
    np.testing.assert_allclose(result.alignment, 1 / 3)


# ---- line n is line n ----------------------------------------------------------------------------

ODD = {
    "empty": "",
    "spaces": " \t\u00a0\u3000 ",
    "control": "\x00\x07\x1b\u200b\u202e",
    "long": "dog " * 500,
    "script": "雪の中を犬が走る。",
    "emoji": "🐶🐶 🐱",
    "surrogate": "\ud800",
    "mixed": "A dog 🐶 runs\x00 over\nthe 雪 log.",
    "other": "Zwei Männer schlafen. Ich bin Student. Ist der Ball rot?",
    "word": "dog" * 80,
    "many": "a.b" * 250,
    "tag": "<2de> <pad> A dog.",
}


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


# ---- texts of several sentences ------------------------------------------------------------------


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


def test_the_language_is_guessed_from_the_whole_text(tiny_translator: Translator) -> None:
    """Alone, `Non.` could be either."""
    found = tiny_translator("Je suis étudiant. O. Deux hommes dorment.", to="en")
    assert found.source_language == "fr"
    with pytest.raises(ConfigError, match="this looks like 'fr', which the checkpoint does not"):
        tiny_translator("Je suis étudiant. Un chien court dans la neige.", to="de")


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


def test_texts_are_explained_sentence_by_sentence(
    tiny_translator: Translator, phrases: Phrases
) -> None:
    source, said = " ".join(phrases["en"][:3]), " ".join(phrases["de"][:3])
    found = tiny_translator.explain(source, said, to="de")
    same(found, tiny_translator(source, to="de"))
    whole = tiny_translator.explain(source, phrases["de"][0], to="de")  # three to one
    assert whole.text == phrases["de"][0]
    check_steps(tiny_translator, whole, "de")


# ---- what is not to be relied on -----------------------------------------------------------------


def tempted(translator: Translator, to: str) -> Translator:
    """The translator, with the start of French wherever it should start in `to`."""
    checkpoint = copy.deepcopy(translator.checkpoint)
    with torch.no_grad():
        rows = checkpoint.model.decoder.embedding.weight
        rows[checkpoint.subwords.start(to)] = rows[checkpoint.subwords.start("fr")]
    return Translator(checkpoint)


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


@pytest.mark.parametrize("wrong", ["A dog", b"A dog", None, 3])
def test_a_stream_is_of_many_texts(tiny_translator: Translator, wrong: Any) -> None:
    message = "a stream takes any number of sentences, but .* came; put one sentence in a list, "
    with pytest.raises(ConfigError, match=message):
        next(tiny_translator.stream(wrong, to="de"))
    with pytest.raises(ConfigError, match=message):
        next(tiny_translator.stream_explained(wrong, to="de"))


# ---- several sentences ---------------------------------------------------------------------------


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


# ---- explaining ----------------------------------------------------------------------------------


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


# ---- what becomes of it --------------------------------------------------------------------------


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


# ---- captions in another language ----------------------------------------------------------------


@pytest.fixture(scope="module")
def polyglot(tiny_checkpoint: Checkpoint, tiny_translator: Translator) -> Captioner:
    return Captioner(tiny_checkpoint, translator=tiny_translator)


KNOWN = {"prefix": "a dog runs over the log", "max_length": 6}  # a caption that can be translated


def test_a_caption_says_the_same_in_another_language(
    polyglot: Captioner, tiny_translator: Translator, picture: Image.Image
) -> None:
    plain = polyglot(picture, **KNOWN)
    caption = polyglot(picture, to="de", **KNOWN)
    assert plain.text == "A dog runs over the log."
    assert caption.text == "Ein Hund läuft über den Stamm."
    assert caption.original is not None
    assert caption.original.text == plain.text
    np.testing.assert_allclose(caption.original.maps, plain.maps, atol=1e-6)
    assert caption.translation is not None
    same(caption.translation, tiny_translator(plain.text, to="de", source_language="en"))
    assert caption.words == caption.translation.words
    assert caption.log_prob == caption.translation.log_prob
    assert caption.geometry == plain.geometry
    assert caption.gates is None


def test_maps_are_the_product_of_the_two_attentions(
    polyglot: Captioner, picture: Image.Image
) -> None:
    caption = polyglot(picture, to="de", **KNOWN)
    assert caption.original is not None
    assert caption.translation is not None
    english = [word.text for word in caption.original.words]
    assert english == ["a", "dog", "runs", "over", "the", "log"]
    assert caption.translation.source_words == ("A", "dog", "runs", "over", "the", "log", ".")
    for word, found in enumerate(caption.maps):
        row = caption.translation.alignment[word, :-1].astype(float)  # nothing on the full stop
        shares = row / row.sum()
        parts = zip(shares, caption.original.maps, strict=True)
        np.testing.assert_allclose(found, sum(share * own for share, own in parts), atol=1e-5)
    assert caption.maps.shape == (len(caption.words), 2, 2)
    np.testing.assert_allclose(caption.maps.sum((1, 2)), 1, atol=1e-5)


def test_overlay_and_sheet_know_the_new_words(polyglot: Captioner, picture: Image.Image) -> None:
    caption = polyglot(picture, to="de", **KNOWN)
    assert caption.overlay("Hund").size == picture.size
    assert caption.overlay("hund").tobytes() == caption.overlay(1).tobytes()
    assert caption.sheet().width > 100
    with pytest.raises(ConfigError, match="no word 'dog'; its words are: Ein, Hund, läuft"):
        caption.overlay("dog")


def test_several_captions_are_translated_each(polyglot: Captioner, picture: Image.Image) -> None:
    caption = polyglot(picture, to="fr", n_best=3)
    plain = polyglot(picture, n_best=3)
    every = (caption, *caption.n_best)
    assert len(every) == 3
    for one, other in zip(every, (plain, *plain.n_best), strict=True):
        assert one.original is not None
        assert one.original.text == other.text
        assert one.translation is not None
        assert one.translation.target_language == "fr"
        assert one.maps.shape == (len(one.words), 2, 2)
        np.testing.assert_allclose(one.maps.sum((1, 2)), 1, atol=1e-5)


def test_translated_captions_as_json(polyglot: Captioner, picture: Image.Image) -> None:
    caption = polyglot(picture, to="de", **KNOWN)
    values = json.loads(json.dumps(caption.to_dict(maps=True)))
    names = ["file", "caption", "words", "log_prob", "grid", "maps", "original"]
    names += ["from", "to", "source_words", "alignment", "warning"]
    assert list(values) == [*names, "error"]
    assert values["warning"] is None
    assert values["caption"] == caption.text
    assert values["original"]["caption"] == "A dog runs over the log."
    assert len(values["maps"]) == len(values["words"]) == len(values["alignment"])
    assert len(values["original"]["maps"]) == 6
    assert (values["from"], values["to"]) == ("en", "de")


def test_a_photo_that_cannot_be_read_stays_in_its_place(
    polyglot: Captioner, picture: Image.Image
) -> None:
    found = list(polyglot.stream([picture, "none.jpg", picture], to="de", **KNOWN))
    assert [one.text for one in found] == [
        "Ein Hund läuft über den Stamm.",
        "",
        "Ein Hund läuft über den Stamm.",
    ]
    assert found[1].error is not None
    assert "no such file" in found[1].error
    with pytest.raises(ImageError, match="no such file"):
        polyglot("none.jpg", to="de")


@pytest.mark.parametrize("photo", ["none.jpg", "picture"])
def test_captions_are_not_translated_into_their_own_language(
    polyglot: Captioner, picture: Image.Image, photo: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        polyglot(picture if photo == "picture" else photo, to="en")
    assert str(caught.value) == (
        "the captions are in 'en' already; leave the language out, or name another to translate "
        "them into: de, fr"
    )


def test_a_doubtful_translation_of_a_caption_says_so(
    tiny_checkpoint: Checkpoint, tiny_translator: Translator, picture: Image.Image
) -> None:
    captioner = Captioner(tiny_checkpoint, translator=tempted(tiny_translator, "de"))
    warning = captioner(picture, to="de", **KNOWN).to_dict()["warning"]
    assert warning.startswith("the answer looks like 'fr', not 'de'")


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        (
            "caf\udce9",
            r"in the sentence, character 4 is no text \(\\udce9: a byte that is not UTF-8",
        ),
        (None, "the sentence is None; expected text"),
        ("...", "the sentence '...' has no words; write what you see"),
    ],
)
def test_sentences_that_cannot_be_explained(
    polyglot: Captioner, picture: Image.Image, sentence: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        polyglot.explain(picture, sentence)
    [found, other] = polyglot.stream_explained([(picture, sentence), (picture, "a dog")])
    assert found.error is not None
    assert other.error is None


def test_a_language_that_is_not_spoken_is_told_before_anything_is_done(
    polyglot: Captioner,
) -> None:
    with pytest.raises(ConfigError, match="this checkpoint does not translate into 'cs'"):
        polyglot("none.jpg", to="cs")


def test_a_caption_that_cannot_be_translated_says_so(
    polyglot: Captioner, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Translator, lines: list[str], **_: Any) -> Iterator[Translation]:
        return (
            Translation("", (), (), np.zeros((0, 0), np.float32), np.zeros(0), 0.0, error="no")
            for _ in lines
        )

    monkeypatch.setattr(Translator, "stream", failing)
    [found] = polyglot.stream([picture], to="de", **KNOWN)
    assert found.error == "the caption: no"
    assert found.maps.shape == (0, 2, 2)
    assert found.original is not None
    assert found.original.error is None


def test_translators_come_when_they_are_needed(
    tiny_checkpoint: Checkpoint,
    translation_weights: str,
    picture: Image.Image,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def shipped(task: str) -> str:
        asked.append(task)
        return translation_weights

    monkeypatch.setattr(storage, "default_path", shipped)
    captioner = Captioner(tiny_checkpoint)
    captioner(picture)
    assert asked == []
    assert captioner(picture, to="de", **KNOWN).text == "Ein Hund läuft über den Stamm."
    assert captioner.translator is captioner.translator
    assert asked == ["translate"]


def aligned(source: tuple[str, ...], rows: np.ndarray) -> Translation:
    words = (Word("w", 1.0, 0.0),) * len(rows)
    return Translation("w", source, words, rows.astype(np.float32), np.zeros(len(rows)), 0.0)


@pytest.mark.parametrize(
    ("source", "words", "shares"),
    [
        (("A", "dog", "."), ("a", "dog"), [[1, 0], [0, 1], [0, 0]]),
        (("isn", "'", "t", "."), ("is", "n't"), [[2 / 3, 1 / 3], [0, 1], [0, 1], [0, 0]]),
        (("T", "-", "shirt"), ("t-shirt",), [[1], [1], [1]]),
        (("man", "'", "s"), ("man", "'s"), [[1, 0], [0, 1], [0, 1]]),
    ],
)
def test_words_cut_in_two_ways_share_their_letters(
    source: tuple[str, ...], words: tuple[str, ...], shares: list[list[float]]
) -> None:
    rows = np.random.default_rng(3).dirichlet(np.ones(len(source)), 5)
    found = word_shares(aligned(source, rows), words)
    expected = rows @ np.array(shares)
    np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True), atol=1e-6)


def test_a_word_that_looked_at_the_full_stop_alone_looks_everywhere() -> None:
    found = word_shares(aligned(("A", "dog", "."), np.array([[0.0, 0.0, 1.0]])), ("a", "dog"))
    np.testing.assert_allclose(found, 0.5)


def test_texts_are_cleaned(tiny_translator: Translator) -> None:
    untidy = "  A\u00a0dog\truns\u200b over  the log.\r\n"
    found = tiny_translator(untidy, to="de")
    assert found.text == "Ein Hund läuft über den Stamm."
    assert found.source == untidy
    assert clean(untidy) == "A dog runs over the log."
    assert isinstance(found, Translation)
    assert not isinstance(found, Caption)


# ---- letters that are spelled by bytes -----------------------------------------------------------


@pytest.fixture(scope="module")
def spelling(phrases: Phrases) -> Translator:
    """Nothing is trained but the pieces, with bytes; of other letters, only ü's were counted."""
    texts = [text for language in ("en", "de") for text in phrases[language]]
    subwords = Subwords.train([text.replace("ü", "u") for text in texts], 400, ["en", "de"])
    sizes = {"hidden_size": 8, "embedding_size": 8}
    config = from_dict(TranslationConfig, {"encoder": {"hidden_size": 4}, "decoder": sizes})
    torch.manual_seed(3)
    model = build_translation_model(config, len(subwords))
    ids = {name: [subwords.encode(t).ids for t in phrases[name]] for name in ("en", "de")}
    languages = Languages.count([("en", "de")], ids, len(subwords))
    search = SearchOptions(max_length=40, alternatives=300)
    return Translator(TranslationCheckpoint(model, config, subwords, languages, search=search))


def test_a_foreign_letter_is_looked_at_with_its_word(spelling: Translator) -> None:
    pair = ("A dog雪 runs, ü.", "Ein Hund雪 läuft ü.")
    [found] = spelling.stream_explained([pair], to="de", alternatives=300)
    assert found.source_words == ("A", "dog雪", "runs", ",", "ü", ".")
    assert [word.text for word in found.words] == ["Ein", "Hund雪", "läuft", "ü", "."]
    assert all(word.known and word.prob for word in found.words)
    check_steps(spelling, found, "de")
    shown = {text for word in found.words for text, _ in word.alternatives}
    assert "<0xE9>" in shown
    assert "\N{REPLACEMENT CHARACTER}" not in shown


def test_letters_that_no_training_sentence_held_cannot_be_read(spelling: Translator) -> None:
    with pytest.raises(ConfigError, match="nothing of this can be read: not one of its letters"):
        spelling("Ж Ш.", to="de")
    [found] = spelling.stream(["üü"], to="de", beam_size=1)
    assert found.error is None
    json.dumps(found.to_dict(), ensure_ascii=False).encode()


def test_what_a_shell_shows_is_short(tiny_translator: Translator) -> None:
    found = tiny_translator("A dog runs over the log.", to="de", n_best=3)
    assert repr(found) == (f"<Translation {found.text!r} of 'A dog runs over the log.', en → de>")
    [failed] = tiny_translator.stream(["dog " * 300], to="de")
    assert repr(failed).startswith("<Translation of 'dog dog ")
    assert len(repr(failed)) < 200


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


def test_french_by_itself_is_translated_into_what_there_is(tiny_translator: Translator) -> None:
    french = "Je suis étudiant. Deux hommes dorment."
    assert tiny_translator.direction(french, "de") == ("fr", "en")
    assert tiny_translator.direction(french, "en") == ("fr", "en")
    assert tiny_translator.direction("A dog runs over the log.", "de") == ("en", "de")
    with pytest.raises(ConfigError, match="does not translate into 'xx'"):
        tiny_translator.direction(french, "xx")
