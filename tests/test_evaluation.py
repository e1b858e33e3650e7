from __future__ import annotations

import copy
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from captioner import metrics
from captioner.checkpoint import Checkpoint, TranslationCheckpoint
from captioner.cli.scores import json_lines
from captioner.datasets import Photo
from captioner.errors import ConfigError, DataError, MetricError
from captioner.evaluation import (
    decoding,
    draw_extremes,
    evaluate,
    evaluate_translations,
    search_decoding,
    search_translation_decoding,
)
from captioner.nn.model import build_model
from captioner.options import SearchOptions
from captioner.prediction import Captioner
from captioner.translation import Translator
from captioner.translations.pairs import Pair

SAYINGS = ("A dog runs.", "The red ball", "A cat jumps over the log!", "the man's dog")


@pytest.fixture
def photos(tmp_path: Path) -> list[Photo]:
    found = []
    for number in range(9):
        path = tmp_path / f"{number}.png"
        pixels = np.random.default_rng(number).integers(0, 256, (23, 29, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        found.append(Photo(str(number), path, (SAYINGS[number % 4], SAYINGS[(number + 1) % 4])))
    return found


def test_scores_are_those_of_free_decoding(tiny_captioner: Captioner, photos: list[Photo]) -> None:
    seen = []
    report = evaluate(
        tiny_captioner, photos, bootstrap=10, beam_size=2, progress=lambda: seen.append(1)
    )
    said = [tiny_captioner(photo.path, beam_size=2).text for photo in photos]
    assert [caption.text for caption in report.captions] == said
    expected = metrics.score(said, [photo.captions for photo in photos], bootstrap=0)
    for name, score in expected.items():
        assert report.scores[name].value == score.value
    assert report.photo_cider.mean() == pytest.approx(report.scores["cider"].value)
    assert len(seen) == 9
    assert "beam 2, length penalty 0.7" in report.scores["cider"].recipe
    assert report.to_dict()["cider"]["value"] == report.scores["cider"].value


def test_an_unreadable_photo_is_left_out_and_told(
    tiny_captioner: Captioner, photos: list[Photo], tmp_path: Path
) -> None:
    gone = Photo("x", tmp_path / "gone.png", ("A dog.",))
    report = evaluate(tiny_captioner, [*photos[:4], gone, *photos[4:]], bootstrap=0)
    assert report.photos == tuple(photos)
    assert len(report.left_out) == 1
    assert "gone.png" in report.left_out[0]


def test_nothing_to_score(tiny_captioner: Captioner, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of 1 photos can be read; the first: /.*gone\.png: "):
        evaluate(tiny_captioner, [Photo("x", tmp_path / "gone.png", ("A dog.",))])


def test_one_photo_has_no_cider_of_its_own(
    tiny_captioner: Captioner, photos: list[Photo], tmp_path: Path
) -> None:
    report = evaluate(tiny_captioner, photos[:1], bootstrap=5)
    assert "of one photo always 0" in report.to_dict()["cider"]["recipe"]
    assert np.isnan(report.photo_cider).tolist() == [True]
    (line,) = json_lines(report)
    assert json.loads(line)["cider"] is None
    assert draw_extremes(report).width > 0
    for several in (photos[:1], [Photo("x", tmp_path / "gone.png", ("A dog.",)), photos[0]]):
        with pytest.raises(DataError, match="of one photo is always 0; give 2 photos or more"):
            search_decoding(tiny_captioner, several, beam_sizes=(1, 2), length_penalties=(0.7,))


@pytest.fixture
def undecided(tiny_checkpoint: Checkpoint) -> Captioner:
    """A captioner whose caption depends on beam size and length penalty."""
    decoder = dataclasses.replace(tiny_checkpoint.config.decoder, tie_embeddings=False)
    settings = dataclasses.replace(tiny_checkpoint.config, decoder=decoder)
    torch.manual_seed(4)
    model = build_model(settings, len(tiny_checkpoint.vocabulary)).eval()
    with torch.no_grad():
        model.decoder.embedding.weight.mul_(30)
        model.decoder.output.weight.mul_(3)
    return Captioner(dataclasses.replace(tiny_checkpoint, model=model, config=settings))


def test_one_search_ranks_as_a_search_for_each_penalty_would(
    undecided: Captioner, photos: list[Photo], tmp_path: Path
) -> None:
    seen = []
    trials = search_decoding(
        undecided,
        [*photos, Photo("x", tmp_path / "gone.png", ("A dog.",))],
        beam_sizes=(1, 3, 5),
        length_penalties=(0.0, 0.7, 1.0),
        progress=lambda: seen.append(1),
        batch_size=4,
    )
    tried = [(1, None), *((beam, penalty) for beam in (3, 5) for penalty in (0.0, 0.7, 1.0))]
    assert [(trial.beam_size, trial.length_penalty) for trial in trials] == tried
    written = [photo.captions for photo in photos]
    all_said = set()
    for trial in trials:
        stream = undecided.stream(
            (photo.path for photo in photos), options=trial.put_into(undecided.options())
        )
        said = [caption.text for caption in stream]
        expected = metrics.score(said, written, names=("bleu", "cider"), bootstrap=0)
        assert trial.scores == {name: expected[name].value for name in ("cider", "bleu_4")}
        all_said.add(tuple(said))
    assert len(all_said) > 3  # the settings make a difference here
    assert len(seen) == 3 * 10


def test_nothing_to_search_on(tiny_captioner: Captioner, tmp_path: Path) -> None:
    gone = [Photo("x", tmp_path / "gone.png", ("A dog.",))]
    with pytest.raises(DataError, match="none of 1 photos can be read"):
        search_decoding(tiny_captioner, gone, beam_sizes=(1,), length_penalties=())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (SearchOptions(), "beam 3, length penalty 0.7"),
        (SearchOptions(beam_size=1), "greedy"),
        (SearchOptions(sample=True, top_p=0.8), "top-p 0.8, temperature 1, seed 0"),
    ],
)
def test_decoding_is_told(options: SearchOptions, text: str) -> None:
    assert decoding(options) == text


def test_the_sheet_shows_each_photo_once(tiny_captioner: Captioner, photos: list[Photo]) -> None:
    report = evaluate(tiny_captioner, photos, bootstrap=0)
    few = draw_extremes(report, each=1)
    more = draw_extremes(report, each=3)
    everything = draw_extremes(report, each=50)
    assert few.height < more.height
    assert everything.height >= more.height


# Translations


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


def test_what_a_shell_shows_is_short(tiny_captioner: Captioner, photos: list[Photo]) -> None:
    report = evaluate(tiny_captioner, photos, names=("rouge_l",), bootstrap=0)
    assert repr(report) == f"<CaptionReport: rouge_l {report.scores['rouge_l'].value:.3f}>"
