from __future__ import annotations

import json

import numpy as np
import pytest

from captioner.captions.caption import Caption
from captioner.errors import DataError
from captioner.grounding import inventions
from captioner.grounding.inventions import FEATURES, Said, auroc, map_features, measure, said
from captioner.grounding.synonyms import SYNONYMS, namer
from captioner.words import Word


def caption(text: str, *log_probs: float | None) -> Caption:
    words = text.split()
    maps = np.random.default_rng(len(text)).random((len(words), 3, 4)).astype(np.float32)
    maps /= maps.sum((1, 2), keepdims=True)
    probs = [*log_probs, *[-1.0] * (len(words) - len(log_probs))]
    entries = tuple(Word(w, p and np.exp(p), p) for w, p in zip(words, probs, strict=True))
    return Caption(text, entries, -3.0, maps)


def test_what_is_made_up() -> None:
    found = said(
        [
            caption("a puppy on a couch", -1.0, -2.0),
            caption("a man", None, None),
            Caption("", (), 0.0, np.zeros((0, 0, 0), np.float32), error="gone"),
            caption("Kitten and bus"),
        ],
        [["A dog sleeps."], ["A person"], ["A cat"], ["The cat, a hot dog", "bus station"]],
        namer(SYNONYMS),
    )
    assert [(each.photo, each.word, each.made_up) for each in found] == [
        (0, "puppy", False),
        (0, "couch", True),
        (3, "Kitten", False),
        (3, "bus", True),  # a bus station is none
    ]
    assert found[0].features["log_prob"] == -2.0
    assert set(found[0].features) == set(FEATURES["both"])


def test_what_a_map_looks_like() -> None:
    maps = np.zeros((3, 3, 3), np.float32)
    maps[0, 1, 1] = 1
    maps[1] = 1 / 9
    maps[2, 0, 0] = 1
    middle = map_features(maps, 0)
    assert middle["spread"] == pytest.approx(1 / 9)
    assert middle["peak"] == 1
    assert middle["centre"] > 1 > map_features(maps, 2)["centre"]
    assert middle["like_next"] == pytest.approx(1 / 9)
    assert middle["like_mean"] == pytest.approx(1 / 18)
    even = map_features(maps, 1)
    assert (even["spread"], even["centre"]) == (pytest.approx(1), pytest.approx(1))
    alone = map_features(maps[:1], 0)
    assert alone["like_mean"] == alone["like_next"] == pytest.approx(1)


def test_auroc_counts_pairs() -> None:
    rng = np.random.default_rng(4)
    scores, truth = rng.integers(0, 6, 40).astype(float), rng.random(40) < 0.4
    weights = rng.integers(0, 3, 40)
    pairs = [
        ((a > b) + (a == b) / 2, v * w)
        for a, v in zip(scores[truth], weights[truth], strict=True)
        for b, w in zip(scores[~truth], weights[~truth], strict=True)
    ]
    expected = sum(hit * weight for hit, weight in pairs) / sum(weight for _, weight in pairs)
    assert auroc(scores, truth, weights) == pytest.approx(expected)
    assert auroc(np.arange(4.0), np.array([False, False, True, True]), np.ones(4)) == 1
    assert np.isnan(auroc(scores, np.zeros(40, bool), weights))


def words(signal: str, count: int = 300) -> list[Said]:
    """Words of which one feature tells the made-up ones, and the others are noise."""
    rng = np.random.default_rng(5)
    found = []
    for number in range(count):
        made_up = bool(rng.random() < 0.3)
        features = {name: float(rng.normal()) for name in FEATURES["both"]}
        features[signal] += 2.0 * made_up
        found.append(Said(number // 2, "dog", made_up, features))
    return found


@pytest.mark.parametrize(("signal", "better"), [("log_prob", "probability"), ("spread", "map")])
def test_the_feature_that_tells_is_found(signal: str, better: str) -> None:
    found = measure(words(signal), bootstrap=50)
    worse = "map" if better == "probability" else "probability"
    assert found.auroc[better].value > 0.85
    assert 0.3 < found.auroc[worse].value < 0.65
    assert found.auroc["both"].value > 0.85
    gain = found.auroc["both"].value - found.auroc["probability"].value
    assert found.gain.value == pytest.approx(gain)
    for estimate in (*found.auroc.values(), found.gain):
        assert estimate.interval is not None
        assert estimate.interval[0] <= estimate.value <= estimate.interval[1]
    assert found.photos == 150
    json.dumps(found.to_dict(), allow_nan=False)
    assert f"{found.made_up} of 300 words" in str(found)
    assert "both – probability" in inventions.table({"here": found})


def test_too_few() -> None:
    with pytest.raises(DataError, match=r"of 6 words that name things are made up; .* takes 10"):
        measure(words("log_prob", 6))
