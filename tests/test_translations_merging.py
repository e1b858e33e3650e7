"""Whole words and their alignments, held against the decoder's own steps."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner.checkpoint import TranslationCheckpoint
from captioner.errors import ConfigError
from captioner.languages import Languages
from captioner.nn.architecture import TranslationConfig
from captioner.nn.model import build_translation_model
from captioner.options import SearchOptions
from captioner.search import Hypothesis
from captioner.settings import from_dict
from captioner.subwords import Pieces, Subwords
from captioner.translation import Translator
from captioner.translations.merging import Merger
from tests.translating import (
    NEW,
    Phrases,
    check_steps,
    merged,
    same,
)


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
