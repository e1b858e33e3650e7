from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from captioner import metrics
from captioner.captions.evaluation import draw_extremes, evaluate, search_decoding
from captioner.checkpoint import Checkpoint
from captioner.cli.scores import json_lines
from captioner.datasets import Photo
from captioner.errors import DataError
from captioner.nn.model import build_model
from captioner.options import SearchOptions
from captioner.prediction import Captioner
from captioner.scoring import decoding

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


def test_what_a_shell_shows_is_short(tiny_captioner: Captioner, photos: list[Photo]) -> None:
    report = evaluate(tiny_captioner, photos, names=("rouge_l",), bootstrap=0)
    assert repr(report) == f"<CaptionReport: rouge_l {report.scores['rouge_l'].value:.3f}>"
