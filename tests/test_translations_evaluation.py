from __future__ import annotations

import copy
import dataclasses
import sys

import numpy as np
import pytest
import torch

from captioner import metrics
from captioner.checkpoint import TranslationCheckpoint
from captioner.errors import ConfigError, DataError, MetricError
from captioner.options import SearchOptions
from captioner.translation import Translator
from captioner.translations.evaluation import evaluate_translations, search_translation_decoding
from captioner.translations.pairs import Pair


@pytest.fixture(scope="session")
def wavering(tiny_translation: TranslationCheckpoint) -> Translator:
    """A translator that learned a little and is never sure."""
    model = copy.deepcopy(tiny_translation.model)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in model.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight.add_(0.8 * weight.std(correction=0) * noise)
    search = SearchOptions(beam_size=3, max_length=13)
    return Translator(dataclasses.replace(tiny_translation, model=model, search=search))


@pytest.fixture
def pairs(phrases: dict[str, tuple[str, ...]]) -> list[Pair]:
    texts = zip(phrases["en"], phrases["de"], strict=True)
    return [Pair(english, german, "en", "de") for english, german in texts]


def test_scores_are_those_of_free_translation(wavering: Translator, pairs: list[Pair]) -> None:
    pytest.importorskip("sacremoses")
    pytest.importorskip("sacrebleu")
    seen = []
    report = evaluate_translations(
        wavering,
        pairs,
        bootstrap=11,
        batch_size=3,
        progress=lambda: seen.append(1),
        beam_size=2,
        length_penalty=0.5,
    )
    said = [
        wavering(pair.source_text, to="de", source_language="en", beam_size=2, length_penalty=0.5)
        for pair in pairs
    ]
    assert [each.text for each in report.translations] == [each.text for each in said]
    expected = metrics.score_translations(
        [each.text for each in said],
        [pair.target_text for pair in pairs],
        "de",
        bootstrap=11,
        decoding="beam 2, length penalty 0.5",
    )
    assert report.scores == expected
    assert 0 < expected["chrf"].value < 1
    assert report.pairs == tuple(pairs)
    assert report.to_dict()["bleu"]["recipe"] == expected["bleu"].recipe
    assert len(seen) == len(pairs)


def test_each_translation_has_its_own_score(wavering: Translator, pairs: list[Pair]) -> None:
    sacrebleu = pytest.importorskip("sacrebleu.metrics")
    report = evaluate_translations(wavering, pairs, bootstrap=0)
    for pair, translation, own in zip(
        pairs, report.translations, report.sentence_chrf, strict=True
    ):
        expected = sacrebleu.CHRF().sentence_score(translation.text, [pair.target_text])
        assert own == pytest.approx(expected.score / 100, abs=1e-6)


def test_what_is_known_by_heart_scores_1(tiny_translator: Translator, pairs: list[Pair]) -> None:
    pytest.importorskip("sacremoses")
    report = evaluate_translations(tiny_translator, pairs, bootstrap=0)
    assert report.scores["bleu"].value == pytest.approx(1)
    np.testing.assert_allclose(report.sentence_chrf, 1)


def test_what_cannot_be_translated_counts_as_empty(
    tiny_translator: Translator, pairs: list[Pair]
) -> None:
    pytest.importorskip("sacremoses")
    unreadable = Pair("ЖЖЖ", "drei Buchstaben", "en", "de")
    report = evaluate_translations(tiny_translator, [*pairs, unreadable], bootstrap=0)
    assert report.translations[-1].error is not None
    assert report.sentence_chrf[-1] == 0
    assert report.scores["bleu"].value < 1
    assert " | N 8 | " in report.scores["bleu"].recipe


def test_one_search_ranks_translations_as_many_would(
    wavering: Translator, pairs: list[Pair]
) -> None:
    pytest.importorskip("sacremoses")
    seen = []
    trials = search_translation_decoding(
        wavering,
        [*pairs, Pair("ЖЖЖ", "drei Buchstaben", "en", "de")],
        beam_sizes=(1, 3, 5),
        length_penalties=(0.0, 0.7, 2.0),
        progress=lambda: seen.append(1),
        batch_size=5,
        options=wavering.options(max_length=17),
    )
    tried = [(1, None), *((beam, penalty) for beam in (3, 5) for penalty in (0.0, 0.7, 2.0))]
    assert [(trial.beam_size, trial.length_penalty) for trial in trials] == tried
    written = [*(pair.target_text for pair in pairs), "drei Buchstaben"]
    all_said = set()
    for trial in trials:
        sources = [*(pair.source_text for pair in pairs), "ЖЖЖ"]
        options = trial.put_into(wavering.options(max_length=17))
        stream = wavering.stream(sources, to="de", source_language="en", options=options)
        said = [translation.text for translation in stream]
        expected = metrics.score_translations(said, written, "de", bootstrap=0)
        assert trial.scores["bleu"] == expected["bleu"].value > 0
        assert trial.scores["chrf"] == pytest.approx(expected["chrf"].value)
        all_said.add(tuple(said))
    assert len(all_said) > 2  # the settings make a difference here
    assert len(seen) == 3 * 8


def test_a_search_needs_its_score(
    tiny_translator: Translator, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    with pytest.raises(MetricError, match="the package sacremoses is missing"):
        search_translation_decoding(
            tiny_translator, pairs, beam_sizes=(1,), length_penalties=(0.0,)
        )


def test_pairs_must_be_of_one_direction_that_was_trained(
    tiny_translator: Translator, pairs: list[Pair]
) -> None:
    with pytest.raises(DataError) as caught:
        evaluate_translations(tiny_translator, [*pairs, pairs[0].turned()])
    assert str(caught.value) == (
        "8 pairs of de → en, en → de; expected pairs of one direction: score each by itself"
    )
    with pytest.raises(DataError, match="0 pairs of no languages; expected pairs of one direction"):
        evaluate_translations(tiny_translator, [])
    with pytest.raises(ConfigError, match="does not translate into 'cs'"):
        evaluate_translations(tiny_translator, [Pair("A dog.", "Pes.", "en", "cs")])
