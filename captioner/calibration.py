"""How a checkpoint learns how sure its captions can be: from validation photos and empty pictures.

A photo's caption is right where it names the thing (`naming`), that of a picture with nothing in it
never is. Two logistic regressions are fitted, by Newton's method with a little L2: photos against
empty pictures, and named photos against the others; `confidence` multiplies them. What is told of
their quality comes from five-fold cross-validation: no picture is judged by what it was fitted on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.captions.captioner import Captioner
from captioner.confidence import Confidence, Regression
from captioner.datasets import Photo
from captioner.errors import ConfigError, DataError
from captioner.naming import common_words, key_words, named
from captioner.scoring import decoding

EMPTIES = 240  # pictures with nothing in them
FOLDS, BINS = 5, 10
NEARLY_ALL = 0.98  # of the empty pictures are to be unsure, but
MOST_PHOTOS = 0.1  # of the photos at most
FEWEST = 2 * FOLDS  # photos that are named, and that are not

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """Captions of photos that have key words."""

    evidence: tuple[Mapping[str, float], ...]  # of each caption
    chances: tuple[float | None, ...]  # each one's confidence, where the checkpoint has one
    hits: tuple[bool, ...]  # whether it names the thing
    left_out: tuple[str, ...]  # why photos are missing; those without key words need no reason


def judge(
    captioner: Captioner,
    photos: Sequence[Photo],
    *,
    common: set[str] | None = None,
    batch_size: int = 32,
    workers: int = 2,
    progress: Callable[[], object] = lambda: None,
) -> Judged:
    """Captions the photos, as the checkpoint decodes, and sees which of them are named.

    Args:
        captioner: with the weights to judge.
        photos: with their reference captions.
        common: words that tell nothing; left out, the commonest of these very captions.
        batch_size: photos captioned together.
        workers: threads that open photos.
        progress: called after every photo.

    Raises:
        DataError: no photo that can be read has a key word.
    """
    kept = with_key_words(photos, common)
    stream = captioner.stream(
        [photo.path for photo, _ in kept], batch_size=batch_size, workers=workers, **_ALONE
    )
    found, left_out = [], []
    for caption, (_, own) in zip(stream, kept, strict=True):
        if caption.error is None:
            found.append((caption, named([caption.text], [own])[0]))
        else:
            left_out.append(caption.error)
        progress()
    if not found:
        first = f"; the first that cannot be read: {left_out[0]}" if left_out else ""
        raise DataError(
            f"no word but the commonest stands in two captions of any of {len(photos)} photos that "
            f"can be read; expected photos with several captions each{first}"
        )
    return Judged(
        tuple(caption.evidence for caption, _ in found),
        tuple(caption.confidence for caption, _ in found),
        tuple(hit for _, hit in found),
        tuple(left_out),
    )


def with_key_words(
    photos: Sequence[Photo], common: set[str] | None, fewest: int = 0
) -> list[tuple[Photo, set[str]]]:
    """The photos that can be judged, each with its key words.

    Args:
        photos: with their reference captions.
        common: words that tell nothing; left out, the commonest of these very captions.
        fewest: how many it takes.

    Raises:
        DataError: there are fewer.
    """
    if common is None:
        common = common_words(caption for photo in photos for caption in photo.captions)
    keys = [key_words(photo.captions, common) for photo in photos]
    kept = [(photo, own) for photo, own in zip(photos, keys, strict=True) if own]
    if len(kept) < fewest:
        raise DataError(
            f"{len(kept)} of {len(photos)} photos have a key word, one that stands in two of their "
            f"captions and is none of the commonest; a calibration takes {fewest} such photos or "
            "more: give more photos"
        )
    return kept


_ALONE: dict[str, Any] = {"n_best": 1, "alternatives": 0}


def judge_empties(
    captioner: Captioner, count: int = EMPTIES, seed: int = 0, batch_size: int = 32
) -> Judged:
    """The same for pictures with nothing in them, whose captions name nothing."""
    pictures = empty_pictures(count, captioner.preprocess.size, seed)
    captions = list(captioner.stream(pictures, batch_size=batch_size, workers=1, **_ALONE))
    return Judged(
        tuple(caption.evidence for caption in captions),
        tuple(caption.confidence for caption in captions),
        (False,) * count,
        (),
    )


def calibrate(captioner: Captioner, photos: Judged, empties: Judged, about: str) -> Confidence:
    """Fits how sure the captions of a checkpoint can be, and measures how well that does.

    The threshold is the lowest under which 98 % of the empty pictures lie, each judged by what was
    fitted without it; but never one under which more than a tenth of the photos would lie, as of a
    model that cannot tell the two apart.

    Args:
        captioner: that was judged.
        photos: judged photos.
        empties: judged empty pictures.
        about: where the photos are from.

    Raises:
        DataError: there are too few photos that are named, or that are not.
    """
    hits = np.array(photos.hits)
    if min(hits.sum(), (~hits).sum()) < FEWEST:
        raise DataError(
            f"{hits.sum()} of {len(hits)} photos with key words are named by their captions; a "
            f"calibration takes {FEWEST} or more that are, and as many that are not: give more "
            "photos"
        )
    sure, doubtful = _held_out(photos, empties)
    wanted = np.quantile(doubtful, NEARLY_ALL, method="higher")
    threshold = min(np.nextafter(wanted, 1), np.quantile(sure, MOST_PHOTOS, method="lower"))
    shows, names = _fitted(photos.evidence, hits, empties.evidence)
    options = captioner.options()
    once = "" if options.repeats else ", no content word twice"
    return Confidence(
        shows,
        names,
        threshold=float(threshold),
        ece=calibration_error(sure, hits),
        photos=len(sure),
        unsure_photos=float((sure < threshold).mean()),
        empties=len(doubtful),
        unsure_empties=float((doubtful < threshold).mean()),
        fitted=f"{about}; {decoding(options)}{once}",
    )


def measure(captioner: Captioner, photos: Judged, empties: Judged) -> tuple[float, float, float]:
    """How a checkpoint's own confidence does on pictures that it was not fitted on.

    Returns:
        The expected calibration error of the photos, and the shares of them and of the empty
        pictures that are unsure.

    Raises:
        ConfigError: the checkpoint was not calibrated.
    """
    own = check_calibrated(captioner)
    sure, doubtful = (np.array(each.chances, np.float64) for each in (photos, empties))
    error = calibration_error(sure, np.array(photos.hits))
    return error, float((sure < own.threshold).mean()), float((doubtful < own.threshold).mean())


def check_calibrated(captioner: Captioner) -> Confidence:
    """A checkpoint's own confidence.

    Raises:
        ConfigError: the checkpoint was not calibrated.
    """
    own = captioner.checkpoint.confidence
    if own is None:
        raise ConfigError("the checkpoint has no confidence to measure; calibrate it first")
    return own


def _held_out(photos: Judged, empties: Judged) -> tuple[Array, Array]:
    """The chances of photos and of empty pictures, each by what was fitted on the other folds."""
    hits = np.array(photos.hits)
    sure, doubtful = np.empty(len(hits)), np.empty(len(empties.hits))
    rng = np.random.default_rng(0)
    folds = [rng.permutation(len(chances)) % FOLDS for chances in (sure, doubtful)]
    for fold in range(FOLDS):
        kept, left = (np.flatnonzero(each != fold) for each in folds)
        shows, names = _fitted(
            [photos.evidence[place] for place in kept],
            hits[kept],
            [empties.evidence[place] for place in left],
        )
        for chances, judged, own in zip((sure, doubtful), (photos, empties), folds, strict=True):
            for place in np.flatnonzero(own == fold):
                found = judged.evidence[place]
                chances[place] = shows.of(found) * names.of(found)
    return sure, doubtful


def _fitted(
    photos: Sequence[Mapping[str, float]], hits: NDArray[np.bool_], empties: Sequence[Any]
) -> tuple[Regression, Regression]:
    """What tells photos from empty pictures, and those that are named from those that are not."""
    there = np.arange(len(photos) + len(empties)) < len(photos)
    return fit([*photos, *empties], there), fit(photos, hits)


def fit(
    evidence: Sequence[Mapping[str, float]], hits: NDArray[np.bool_], l2: float = 1.0
) -> Regression:
    """The logistic regression that is likeliest, less l2 / 2 times its squared weights.

    The weights are those of features brought to a mean of 0 and a deviation of 1; the bias is free.

    Args:
        evidence: features by name, of n captions.
        hits: what happened, (n,); of both kinds.
        l2: what keeps weights small.
    """
    names = sorted({name for found in evidence for name in found})
    raw = np.array([[found.get(name, 0.0) for name in names] for found in evidence])  # (n, F)
    mean, deviation = raw.mean(0), raw.std(0)
    deviation[deviation < 1e-3] = 1.0  # one that hardly changes tells nothing
    inputs = np.column_stack([(raw - mean) / deviation, np.ones(len(raw))])
    weights = _newton(inputs, hits.astype(np.float64), np.array([l2] * len(names) + [0.0]))
    own = weights[:-1] / deviation
    return Regression(float(weights[-1] - own @ mean), dict(zip(names, own.tolist(), strict=True)))


def _newton(inputs: Array, hits: Array, penalties: Array, steps: int = 100) -> Array:
    """The weights (F,) of a penalised logistic regression on inputs (n, F), by Newton's method."""

    def loss(weights: Array) -> float:
        values = inputs @ weights
        return float((np.logaddexp(0, values) - hits * values).sum() + penalties @ weights**2 / 2)

    weights = np.zeros(inputs.shape[1])
    for _ in range(steps):
        chances = 1 / (1 + np.exp(-(inputs @ weights)))
        gradient = inputs.T @ (chances - hits) + penalties * weights
        if np.abs(gradient).max() < 1e-8 * len(hits):
            break
        curvature = (inputs.T * (chances * (1 - chances))) @ inputs + np.diag(penalties + 1e-12)
        step = np.linalg.solve(curvature, gradient)
        while loss(weights - step) > loss(weights) and np.abs(step).max() > 1e-12:
            step /= 2  # too far, where the curve is flat
        weights = weights - step
    return weights


def calibration_error(chances: Array, hits: NDArray[np.bool_], bins: int = BINS) -> float:
    """The expected calibration error (Naeini et al. 2015): 0 where of all chances x, x come true.

    The mean, over captions, of the difference between mean chance and share of hits in the bin that
    the caption's chance lies in; the bins are equally wide.
    """
    bin_of = np.minimum((chances * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, chances - hits, minlength=bins)
    return float(np.abs(gaps).sum() / len(chances))


# Pictures with nothing in them


def empty_pictures(count: int, side: int, seed: int = 0) -> list[Image.Image]:
    """Pictures of one colour, of running colours and of noise of several kinds, in turn.

    Args:
        count: how many.
        side: pixels.
        seed: of the draws; the same seed draws the same pictures.
    """
    rng = np.random.default_rng(seed)
    drawn = (_EMPTY[place % len(_EMPTY)](rng, side) for place in range(count))
    return [Image.fromarray(np.clip(each, 0, 255).round().astype(np.uint8)) for each in drawn]


def _plain(rng: np.random.Generator, side: int) -> Array:
    return np.zeros((side, side, 3)) + rng.uniform(0, 255, 3)


def _black(rng: np.random.Generator, side: int) -> Array:
    return np.zeros((side, side, 3)) + rng.uniform(0, 6)


def _white(rng: np.random.Generator, side: int) -> Array:
    return 255 - _black(rng, side)


def _grey(rng: np.random.Generator, side: int) -> Array:
    return np.zeros((side, side, 3)) + rng.uniform(0, 255)


def _gradient(rng: np.random.Generator, side: int) -> Array:
    angle, (one, other) = rng.uniform(0, 2 * np.pi), rng.uniform(0, 255, (2, 3))
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    share = np.clip(columns * np.cos(angle) + rows * np.sin(angle) + 0.5, 0, 1)[..., None]
    return one * (1 - share) + other * share


def _grain(rng: np.random.Generator, side: int) -> Array:
    """A colour with a little noise, as a sensor gives in the dark."""
    return _plain(rng, side) + rng.normal(0, rng.uniform(1, 10), (side, side, 3))


def _normal(rng: np.random.Generator, side: int) -> Array:
    return _plain(rng, side) + rng.normal(0, rng.uniform(20, 120), (side, side, 3))


def _uniform(rng: np.random.Generator, side: int) -> Array:
    return rng.uniform(0, 255, (side, side, 3))


def _grey_noise(rng: np.random.Generator, side: int) -> Array:
    return np.zeros((side, side, 3)) + rng.uniform(0, 255, (side, side, 1))


def _salt_and_pepper(rng: np.random.Generator, side: int) -> Array:
    return _plain(rng, side) + 255.0 * rng.choice((-1, 0, 1), (side, side, 1), p=(0.1, 0.8, 0.1))


def _coarse(
    rng: np.random.Generator, side: int, resample: Image.Resampling = Image.Resampling.NEAREST
) -> Array:
    """Noise in squares of a few pixels."""
    few = int(rng.integers(4, max(5, side // 4)))
    small = Image.fromarray(rng.integers(0, 256, (few, few, 3), dtype=np.uint8))
    return np.asarray(small.resize((side, side), resample), np.float64)


def _clouds(rng: np.random.Generator, side: int) -> Array:
    """The same, the squares running into each other."""
    return _coarse(rng, side, Image.Resampling.BICUBIC)


_EMPTY: tuple[Callable[[np.random.Generator, int], Array], ...] = (
    _plain,
    _black,
    _white,
    _grey,
    _gradient,
    _grain,
    _normal,
    _uniform,
    _grey_noise,
    _salt_and_pepper,
    _coarse,
    _clouds,
)
