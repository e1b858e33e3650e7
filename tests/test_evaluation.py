from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner import metrics
from captioner.config import SearchOptions
from captioner.datasets import Photo
from captioner.errors import DataError
from captioner.evaluation import decoding, draw_extremes, evaluate
from captioner.prediction import Captioner

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
    with pytest.raises(DataError, match="none of 1 photos can be read"):
        evaluate(tiny_captioner, [Photo("x", tmp_path / "gone.png", ("A dog.",))])


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
