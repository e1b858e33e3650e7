"""A split and a captioner → scores with their recipe, by free decoding."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from captioner import metrics, render
from captioner.config import SearchOptions
from captioner.datasets import Photo
from captioner.errors import DataError
from captioner.metrics import Score
from captioner.prediction import Caption, Captioner
from captioner.text import tokenise


@dataclass(frozen=True, eq=False)
class Report:
    """What an evaluation found."""

    scores: dict[str, Score]
    photos: tuple[Photo, ...]  # those that could be read
    captions: tuple[Caption, ...]  # one a photo
    photo_cider: np.ndarray  # CIDEr of each photo alone
    left_out: tuple[str, ...]  # why photos are missing

    def to_dict(self) -> dict[str, Any]:
        """The scores as plain values for JSON."""
        return {name: score.to_dict() for name, score in self.scores.items()}


def evaluate(
    captioner: Captioner,
    photos: Sequence[Photo],
    *,
    names: Sequence[str] = ("bleu", "rouge_l", "cider"),
    bootstrap: int = 1000,
    batch_size: int = 32,
    workers: int = 2,
    progress: Callable[[], object] = lambda: None,
    **settings: Any,
) -> Report:
    """Captions the photos and compares with what people wrote, raw.

    Args:
        captioner: with the weights to judge.
        photos: with their reference captions.
        names: scores, as `metrics.score` takes them.
        bootstrap: resamples for the intervals; 0 leaves them out.
        batch_size: photos captioned together.
        workers: threads that open photos.
        progress: called after every photo.
        settings: fields of `SearchOptions`; the rest comes from the checkpoint.

    Raises:
        DataError: none of the photos can be read.
    """
    options = captioner.options(**{"alternatives": 0, **settings})
    paths = [photo.path for photo in photos]
    kept, captions, left_out = [], [], []
    stream = captioner.stream(
        paths, batch_size=batch_size, workers=workers, **dataclasses.asdict(options)
    )
    for photo, caption in zip(photos, stream, strict=True):
        if caption.error is None:
            kept.append(photo)
            captions.append(caption)
        else:
            left_out.append(caption.error)
        progress()
    _check_any(kept, left_out)
    said = [caption.text for caption in captions]
    written = [photo.captions for photo in kept]
    scores = metrics.score(
        said, written, names=names, bootstrap=bootstrap, decoding=decoding(options)
    )
    _, each = metrics.cider(
        [tokenise(text) for text in said],
        [[tokenise(text) for text in texts] for texts in written],
    )
    return Report(scores, tuple(kept), tuple(captions), each, tuple(left_out))


@dataclass(frozen=True)
class Trial:
    """A decoding that was tried, and how it scored."""

    beam_size: int
    length_penalty: float | None  # None for a beam of 1, which has nothing to rank
    cider: float
    bleu_4: float

    def settings(self) -> dict[str, Any]:
        """The fields of `SearchOptions` that ask for this decoding."""
        settings = {"beam_size": self.beam_size, "length_penalty": self.length_penalty}
        return {name: value for name, value in settings.items() if value is not None}


def search_decoding(
    captioner: Captioner,
    photos: Sequence[Photo],
    *,
    beam_sizes: Sequence[int],
    length_penalties: Sequence[float],
    progress: Callable[[], object] = lambda: None,
    **settings: Any,
) -> tuple[Trial, ...]:
    """Scores every beam size with every length penalty.

    A beam finds the same sentences whatever the penalty, which only ranks them at the end: one
    search a beam size is enough.

    Args:
        captioner: with the weights to judge.
        photos: with their reference captions; not those that the final scores are for.
        beam_sizes: to try; 1 is tried once, as it has nothing to rank.
        length_penalties: to try.
        progress: called after every photo of every beam size.
        settings: `batch_size` and `workers`, and other fields of `SearchOptions`.

    Returns:
        The trials, beam size by beam size; photos that cannot be read are left out.

    Raises:
        DataError: none of the photos can be read.
    """
    trials = []
    for beam_size in beam_sizes:
        own = {**settings, "beam_size": beam_size, "n_best": beam_size, "alternatives": 0}
        found = _all_sentences(captioner, photos, progress, own)
        for penalty in length_penalties if beam_size > 1 else (None,):
            scores = _ranked_scores(found, penalty or 0.0)
            trials.append(Trial(beam_size, penalty, scores["cider"].value, scores["bleu_4"].value))
    return tuple(trials)


_Sentences = list[tuple[Photo, list[tuple[str, float, int]]]]  # text, log p, words and the end


def _all_sentences(
    captioner: Captioner,
    photos: Sequence[Photo],
    progress: Callable[[], object],
    settings: Mapping[str, Any],
) -> _Sentences:
    """For every readable photo, all sentences that the beam found."""
    found: _Sentences = []
    left_out = []
    stream = captioner.stream([photo.path for photo in photos], **settings)
    for photo, caption in zip(photos, stream, strict=True):
        if caption.error is None:
            every = (caption, *caption.n_best)
            found.append((photo, [(c.text, c.log_prob, len(c.words) + 1) for c in every]))
        else:
            left_out.append(caption.error)
        progress()
    _check_any(found, left_out)
    return found


def _ranked_scores(found: _Sentences, length_penalty: float) -> dict[str, Score]:
    """Scores of the sentences that `length_penalty` ranks first."""
    said = [
        max(sentences, key=lambda entry: entry[1] / entry[2] ** length_penalty)[0]
        for _, sentences in found
    ]
    written = [photo.captions for photo, _ in found]
    return metrics.score(said, written, names=("bleu", "cider"), bootstrap=0)


def _check_any(readable: Sequence[Any], left_out: Sequence[str]) -> None:
    if not readable:
        raise DataError(f"none of {len(left_out)} photos can be read; the first: {left_out[:1]}")


def decoding(options: SearchOptions) -> str:
    """How the captions were found, for a score's recipe."""
    if options.sample:
        return f"top-p {options.top_p:g}, temperature {options.temperature:g}, seed {options.seed}"
    if options.beam_size == 1:
        return "greedy"
    return f"beam {options.beam_size}, length penalty {options.length_penalty:g}"


def draw_extremes(report: Report, each: int = 4) -> Image.Image:
    """A sheet of the worst, the median and the best photos by their own CIDEr."""
    order = np.argsort(report.photo_cider, kind="stable")
    middle = max(0, len(order) // 2 - each // 2)
    groups = {"worst": order[:each], "median": order[middle : middle + each], "best": order[-each:]}
    rows, shown = [], set()
    for group, numbers in groups.items():
        for number in numbers.tolist():
            if number in shown:
                continue
            shown.add(number)
            head = (
                f"{group} · CIDEr {report.photo_cider[number]:.2f} · {report.captions[number].text}"
            )
            people = [f"people: {caption}" for caption in report.photos[number].captions[:3]]
            rows.append((report.captions[number].photo(), [head, *people]))
    cider = report.scores.get("cider")
    title = f"Worst, median and best of {len(report.photos)} photos"
    return render.photo_rows(rows, title=f"{title} · CIDEr {cider.value:.3f}" if cider else title)
