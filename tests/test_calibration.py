from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner.calibration import (
    MOST_PHOTOS,
    NEARLY_ALL,
    Judged,
    calibrate,
    calibration_error,
    empty_pictures,
    fit,
    judge,
    judge_empties,
    measure,
)
from captioner.confidence import Regression
from captioner.datasets import Photo
from captioner.errors import ConfigError, DataError
from captioner.prediction import Captioner

# ---- the fit -------------------------------------------------------------------------------------


def _drawn(count: int, seed: int = 0) -> tuple[list[dict[str, float]], np.ndarray, np.ndarray]:
    """Evidence, true chances and what happened."""
    rng = np.random.default_rng(seed)
    values = np.stack([rng.normal(-1, 0.5, count), rng.normal(8, 3, count)], 1)
    chances = 1 / (1 + np.exp(-(2.0 + 1.5 * values[:, 0] + 0.25 * (values[:, 1] - 8))))
    found = [{"mean_log_prob": one, "kind_energy": other} for one, other in values.tolist()]
    return found, chances, rng.uniform(size=count) < chances


def test_a_yes_or_no_feature_has_the_log_odds_as_its_weights() -> None:
    found = [{"copied": 0.0}] * 40 + [{"copied": 1.0}] * 60
    hits = np.array([True] * 10 + [False] * 30 + [True] * 45 + [False] * 15)
    fitted = fit(found, hits, l2=0.0)
    assert fitted.bias == pytest.approx(math.log(10 / 30), abs=1e-6)
    assert fitted.weights["copied"] == pytest.approx(math.log(45 / 15 * 30 / 10), abs=1e-6)


@pytest.mark.parametrize("l2", [0.0, 1.0, 30.0])
def test_nothing_near_it_is_likelier(l2: float) -> None:
    found, _, hits = _drawn(211)
    fitted = fit(found, hits, l2)
    scale = {name: np.std([each[name] for each in found]) for name in fitted.weights}

    def loss(regression: Regression) -> float:
        chances = [regression.of(each) for each in found]
        likely = sum(math.log(p if hit else 1 - p) for p, hit in zip(chances, hits, strict=True))
        return l2 / 2 * sum((w * scale[n]) ** 2 for n, w in regression.weights.items()) - likely

    best = loss(fitted)
    for step, name in itertools.product((-1e-3, 1e-3), ("bias", *fitted.weights)):
        moved = {n: w + step * (n == name) for n, w in fitted.weights.items()}
        other = Regression(fitted.bias + step * (name == "bias"), moved)
        assert loss(other) > best


def test_what_tells_all_apart_keeps_its_weight_within_limits() -> None:
    found = [{"kind_energy": value, "copy_share": 0.5} for value in (1.0, 2.0, 8.0, 9.0)]
    fitted = fit(found, np.array([False, False, True, True]))
    assert [fitted.of(each) > 0.5 for each in found] == [False, False, True, True]
    assert fitted.weights["kind_energy"] < 5
    assert fitted.weights["copy_share"] == 0  # it never changes


def test_what_hardly_changes_has_no_steep_weight() -> None:
    rng = np.random.default_rng(0)
    found = [{"mean_log_prob": -1 + 1e-7 * draw} for draw in rng.normal(size=50)]
    fitted = fit(found, np.array([each["mean_log_prob"] > -1 for each in found]))
    assert abs(fitted.weights["mean_log_prob"]) < 1


def test_drawn_chances_are_found_again() -> None:
    found, _, hits = _drawn(8000)
    fitted = fit(found, hits)
    fresh, true, happened = _drawn(4000, seed=1)
    told = np.array([fitted.of(each) for each in fresh])
    assert np.abs(told - true).max() < 0.06
    assert calibration_error(told, happened) < 0.03
    assert calibration_error(told**3, happened) > 0.15


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    chances = np.array([0.05, 0.05, 0.95, 1.0, 0.5])
    hits = np.array([True, False, True, True, False])
    gaps = [abs(0.1 - 1), abs(1.95 - 2), 0.5]
    assert calibration_error(chances, hits) == pytest.approx(sum(gaps) / 5)
    assert calibration_error(hits.astype(float), hits) == 0


# ---- confidence and its threshold ----------------------------------------------------------------


def _judged(energy: float, count: int, seed: int, named: bool = True) -> Judged:
    rng = np.random.default_rng(seed)
    drawn = rng.normal((-1, energy), 1, (count, 2))
    found = [{"mean_log_prob": one, "kind_energy": other} for one, other in drawn]
    chances = [1 / (1 + math.exp(-2 - each["mean_log_prob"])) for each in found]
    hits = rng.uniform(size=count) < chances if named else np.zeros(count, bool)
    return Judged(tuple(found), (None,) * count, tuple(hits.tolist()), ())


def test_nearly_all_empty_pictures_are_unsure_and_few_photos(tiny_captioner: Captioner) -> None:
    photos, empties = _judged(9, 1500, 0), _judged(2, 200, 1, named=False)
    found = calibrate(tiny_captioner, photos, empties, "val/captions.json")
    assert found.unsure_empties >= NEARLY_ALL
    assert found.unsure_photos < 0.05
    assert found.ece < 0.05
    assert (found.photos, found.empties) == (1500, 200)
    assert found.fitted == "val/captions.json; beam 3, length penalty 0.7"
    fresh, blank = _judged(9, 1000, 2), _judged(2, 200, 3, named=False)
    assert np.mean([found.of(each) < found.threshold for each in blank.evidence]) > 0.95
    told = np.array([found.of(each) for each in fresh.evidence])
    assert calibration_error(told, np.array(fresh.hits)) < 0.06
    assert np.mean(told < found.threshold) < 0.05


def test_a_model_that_cannot_tell_them_apart_doubts_few_photos(tiny_captioner: Captioner) -> None:
    photos, empties = _judged(9, 300, 0), _judged(9, 200, 1, named=False)
    found = calibrate(tiny_captioner, photos, empties, "")
    assert found.unsure_photos <= MOST_PHOTOS
    assert found.unsure_empties < 0.5


@pytest.mark.parametrize("hits", [9, 31])
def test_too_few_of_either_are_refused(hits: int, tiny_captioner: Captioner) -> None:
    photos = dataclasses.replace(_judged(9, 40, 0), hits=tuple(n < hits for n in range(40)))
    with pytest.raises(
        DataError, match=f"{hits} of 40 photos .* takes 10 or more that are, and as many that are"
    ):
        calibrate(tiny_captioner, photos, _judged(2, 20, 1, named=False), "")


# ---- judging -------------------------------------------------------------------------------------


def _photos(folder: Path, captions: list[tuple[str, ...]]) -> list[Photo]:
    photos = []
    for number, several in enumerate(captions):
        pixels = np.random.default_rng(number).integers(0, 256, (5, 7, 3), dtype=np.uint8)
        path = folder / f"{number}.png"
        Image.fromarray(pixels).resize((71, 53), Image.Resampling.BICUBIC).save(path)
        photos.append(Photo(str(number), path, several))
    return photos


def test_a_caption_is_right_where_it_says_a_key_word(
    tiny_captioner: Captioner, tmp_path: Path
) -> None:
    photos = _photos(tmp_path, [("x", "y")] * 3)
    said = [caption.text for caption in tiny_captioner.stream([p.path for p in photos])]
    captions = [(said[0], said[0]), ("a zebra", "the zebra"), (said[2], "a zebra")]
    photos = _photos(tmp_path, captions)  # the last has no word twice
    gone = Photo("gone", tmp_path / "gone.png", ("a zebra", "a zebra"))
    seen: list[None] = []
    found = judge(
        tiny_captioner, [*photos, gone], common={"a", "the"}, progress=lambda: seen.append(None)
    )
    assert found.hits == (True, False)
    assert len(seen) == 3
    assert found.left_out == (f"{gone.path}: there is no such file; check the name and the folder",)
    captions_again = list(tiny_captioner.stream([photo.path for photo in photos[:2]]))
    assert found.evidence == tuple(caption.evidence for caption in captions_again)
    assert found.chances == (None, None)


def test_photos_without_key_words_cannot_be_judged(
    tiny_captioner: Captioner, tmp_path: Path
) -> None:
    photos = _photos(tmp_path, [("a lion", "the zebra")])
    with pytest.raises(DataError, match="in two captions of any of 1 photos that can be read"):
        judge(tiny_captioner, photos)


def test_only_what_is_calibrated_can_be_measured(tiny_captioner: Captioner) -> None:
    judged = _judged(9, 40, 0)
    with pytest.raises(ConfigError, match="no confidence to measure; calibrate it first"):
        measure(tiny_captioner, judged, judged)


# ---- pictures with nothing in them ---------------------------------------------------------------


def test_empty_pictures_are_of_all_kinds_and_the_same_every_time() -> None:
    pictures = empty_pictures(24, 32, seed=4)
    assert [picture.size for picture in pictures] == [(32, 32)] * 24
    arrays = [np.asarray(picture).astype(float) for picture in pictures]
    flat = [array.std((0, 1)).max() < 1e-9 for array in arrays]
    assert flat == [True] * 4 + [False] * 8 + [True] * 4 + [False] * 8
    assert arrays[1].max() < 8
    assert arrays[2].min() > 247
    assert np.ptp(arrays[3], axis=2).max() == 0
    steps = [np.abs(np.diff(array, axis=1)).mean() for array in arrays]
    assert max(steps[4], steps[5]) < 15 < min(steps[6:9])  # runs, grain, then real noise
    again = empty_pictures(24, 32, seed=4)
    assert all(one.tobytes() == other.tobytes() for one, other in zip(pictures, again, strict=True))
    assert empty_pictures(1, 32, seed=5)[0].tobytes() != pictures[0].tobytes()


def test_an_empty_picture_is_never_named(tiny_captioner: Captioner) -> None:
    found = judge_empties(tiny_captioner, 7)
    assert found.hits == (False,) * 7
    pictures = empty_pictures(7, tiny_captioner.preprocess.size)
    captions = list(tiny_captioner.stream(pictures))
    assert found.evidence == tuple(caption.evidence for caption in captions)
