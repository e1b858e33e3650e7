"""Made-up things: do maps tell a word that the photo does not bear out from one that it does?

A word of a model's own caption that names a thing is *made up* where no reference caption names a
thing of its kinds (object hallucination, Rohrbach et al. 2018). Logistic regressions tell the two
apart by the word's probability, by its map, and by both; each word is judged by what was fitted on
other photos. The score is the area under the ROC curve (AUROC): how often a made-up word gets the
higher score of the two; 0.5 is chance.

Shapes: M words of captions that name things.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioner import intervals
from captioner.calibration import FOLDS, fit
from captioner.captions.caption import Caption
from captioner.errors import DataError
from captioner.grounding.pointing import baselines
from captioner.grounding.synonyms import Kinds, Namer
from captioner.intervals import Estimate
from captioner.options import RESAMPLES
from captioner.text import tokenise

PROBABILITY = ("log_prob",)
MAP = ("spread", "peak", "centre", "like_mean", "like_next")
FEATURES: Mapping[str, tuple[str, ...]] = {
    "probability": PROBABILITY,
    "map": MAP,
    "both": (*PROBABILITY, *MAP),
}


@dataclass(frozen=True)
class Said:
    """A word of a caption that names a thing."""

    photo: int
    word: str
    made_up: bool  # no reference names such a thing
    features: Mapping[str, float]  # `PROBABILITY` and `MAP`


@dataclass(frozen=True)
class Inventions:
    """How well made-up words are told from the others."""

    words: int
    made_up: int
    photos: int
    auroc: Mapping[str, Estimate]  # by `FEATURES`
    gain: Estimate  # of both over the probability alone, paired

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "words": self.words,
            "made_up": self.made_up,
            "photos": self.photos,
            "auroc": {name: each.to_dict() for name, each in self.auroc.items()},
            "gain": self.gain.to_dict(),
        }

    def __str__(self) -> str:
        told = ", ".join(f"{name} {each}" for name, each in self.auroc.items())
        return (
            f"made-up words: AUROC of {told}; both over probability alone {self.gain} | "
            f"{self.made_up} of {self.words} words in {self.photos} photos | {FOLDS}-fold by photo"
        )


def said(
    captions: Iterable[Caption],
    references: Iterable[Sequence[str]],
    namer: Namer,
    progress: Callable[[int], object] = lambda photos: None,
) -> list[Said]:
    """The words of captions that name things, with what is known of each.

    Args:
        captions: a model's own, one a photo, with maps; one with an error is passed over.
        references: of each photo.
        namer: finds the words that name things.
        progress: called after every photo.
    """
    found = []
    for photo, (caption, texts) in enumerate(zip(captions, references, strict=True)):
        progress(1)
        if caption.error is not None:
            continue
        seen: Kinds = frozenset().union(
            *(kinds for text in texts for _, kinds in namer(tokenise(text)))
        )
        words = [word.text.lower() for word in caption.words]
        for place, kinds in namer(words):
            own = caption.words[place]
            if own.log_prob is not None:
                features = {"log_prob": own.log_prob, **map_features(caption.maps, place)}
                found.append(Said(photo, own.text, not kinds & seen, features))
    return found


def map_features(maps: NDArray[np.float32], place: int) -> dict[str, float]:
    """What the map of one word of a sentence (T, h, w) looks like.

    Returns:
        spread: exp(entropy) / N; peak: the largest cell's weight; centre: the weight below a
        centred Gaussian, against an even map's; like_mean: the share of weight that it has in
        common with the mean map of the sentence's other words; like_next: with the next word's map.
    """
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    own = flat[place]
    entropy = -(own * np.log(np.where(own > 0, own, 1))).sum()
    others = np.delete(flat, place, 0).mean(0) if len(flat) > 1 else own
    following = flat[min(place + 1, len(flat) - 1)]
    centre = baselines((maps.shape[1], maps.shape[2]))["centre"]
    return {
        "spread": float(np.exp(entropy) / len(own)),
        "peak": float(own.max()),
        "centre": float(own @ centre * len(own)),
        "like_mean": float(np.minimum(own, others).sum()),
        "like_next": float(np.minimum(own, following).sum()),
    }


def measure(words: Sequence[Said], *, bootstrap: int = RESAMPLES, seed: int = 0) -> Inventions:
    """How well made-up words are told apart, by probability, map and both.

    Raises:
        DataError: there are too few made-up words, or too few others.
    """
    truth = np.array([word.made_up for word in words], dtype=bool)
    fewest = 2 * FOLDS
    if min(truth.sum(), (~truth).sum()) < fewest:
        raise DataError(
            f"{int(truth.sum())} of {len(truth)} words that name things are made up; to tell them "
            f"apart takes {fewest} or more of either: give more photos"
        )
    photos = np.unique([word.photo for word in words], return_inverse=True)[1]
    scores = {name: _held_out(words, truth, photos, own) for name, own in FEATURES.items()}
    weights = np.ones((1, photos.max() + 1))
    if bootstrap:
        rng, count = np.random.default_rng(seed), weights.shape[1]
        drawn = rng.multinomial(count, [1 / count] * count, bootstrap)
        weights = np.concatenate([weights, drawn])
    each = {
        name: np.array([auroc(score, truth, own[photos]) for own in weights])
        for name, score in scores.items()
    }
    estimates = {name: _estimate(values) for name, values in each.items()}
    gain = _estimate(each["both"] - each["probability"])
    count = int(photos.max()) + 1
    return Inventions(len(words), int(truth.sum()), count, estimates, gain)


def _estimate(values: NDArray[np.float64]) -> Estimate:
    """Of the whole, and of the resamples behind it."""
    drawn = values[1:][~np.isnan(values[1:])]
    if not len(drawn):
        return Estimate(float(values[0]))
    low, high = np.quantile(drawn, (0.025, 0.975)).tolist()
    return Estimate(float(values[0]), (low, high))


def _held_out(
    words: Sequence[Said],
    truth: NDArray[np.bool_],
    photos: NDArray[np.int64],
    names: Sequence[str],
) -> NDArray[np.float64]:
    """Each word's chance of being made up, by what was fitted on the other folds' photos."""
    fold_of = np.random.default_rng(0).permutation(photos.max() + 1)[photos] % FOLDS
    features = [{name: word.features[name] for name in names} for word in words]
    chances = np.empty(len(words))
    for fold in range(FOLDS):
        kept = np.flatnonzero(fold_of != fold)
        regression = fit([features[place] for place in kept], truth[kept])
        for place in np.flatnonzero(fold_of == fold):
            chances[place] = regression.of(features[place])
    return chances


def auroc(scores: NDArray[np.float64], truth: NDArray[np.bool_], weights: NDArray[Any]) -> float:
    """How often one that is true gets the higher score than one that is not; equal ones count half.

    Args:
        scores: (M,).
        truth: (M,).
        weights: (M,) how often each counts.
    """
    _, level = np.unique(scores, return_inverse=True)
    true, false = (
        np.bincount(level, weights * own, minlength=level.max() + 1) for own in (truth, ~truth)
    )
    below = np.cumsum(false) - false
    total = true.sum() * false.sum()
    return float((true * (below + false / 2)).sum() / total) if total else float("nan")


def table(found: Mapping[str, Inventions]) -> str:
    """A Markdown table of several sets of photos."""
    rows = {
        name: [
            f"{each.made_up} of {each.words}",
            *(each.auroc[features].shown(1, 3) for features in FEATURES),
            each.gain.shown(1, 3),
        ]
        for name, each in found.items()
    }
    heads = ["photos", "made-up words", *(f"AUROC, {n}" for n in FEATURES), "both – probability"]
    return intervals.table(heads, rows)
