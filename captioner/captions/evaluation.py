"""A captioner and photos → scores with their recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from captioner import metrics
from captioner.captions.caption import Caption
from captioner.captions.captioner import Captioner
from captioner.datasets import Photo
from captioner.errors import DataError
from captioner.metrics import Score
from captioner.options import PHOTOS_AT_ONCE, RESAMPLES, THREADS, SearchOptions, given_or
from captioner.pictures.sheets import photo_rows
from captioner.scoring import Evaluation, Report
from captioner.text import tokenise
from captioner.trials import Trial

NAMES = ("bleu", "rouge_l", "cider")  # what is scored where nothing else is asked for


@dataclass(frozen=True, eq=False, repr=False)
class CaptionReport(Report[Photo, Caption]):
    """What an evaluation of captions found."""

    @property
    def photos(self) -> tuple[Photo, ...]:
        """Those that could be read."""
        return self.items

    @property
    def captions(self) -> tuple[Caption, ...]:
        """One a photo."""
        return self.answers

    @property
    def photo_cider(self) -> np.ndarray:
        """CIDEr of each photo alone; nan of an only one, where it says nothing."""
        return self.each

    @property
    def left_out(self) -> tuple[str, ...]:
        """Why photos are missing."""
        return self.failures

    def records(self) -> Iterator[dict[str, Any]]:
        """Each caption with its own CIDEr, if it is not the only one, and what people wrote."""
        for caption, cider, photo in zip(self.answers, self.each.tolist(), self.items, strict=True):
            own = None if math.isnan(cider) else round(cider, 4)  # JSON knows no nan
            yield {**caption.to_dict(), "cider": own, "references": photo.captions}


class CaptionEvaluation(Evaluation[Photo, Caption, CaptionReport]):
    """A captioner with the photos that it is scored on; those that cannot be read are left out."""

    unit = "photo"
    report = CaptionReport
    left_out = True

    def __init__(
        self,
        captioner: Captioner,
        photos: Sequence[Photo],
        *,
        names: Sequence[str] = NAMES,
        batch_size: int = PHOTOS_AT_ONCE,
        workers: int = THREADS,
    ) -> None:
        """Takes what is scored.

        Args:
            captioner: with the weights to judge.
            photos: with their reference captions.
            names: scores, as `metrics.score` takes them.
            batch_size: photos captioned together.
            workers: threads that open photos.
        """
        super().__init__(captioner, photos)
        self.names, self.batch_size, self.workers = names, batch_size, workers

    def answers(self, options: SearchOptions) -> Iterator[Caption]:
        """The captions, or why there is none."""
        return self.model.stream(
            [photo.path for photo in self.items],
            batch_size=self.batch_size,
            workers=self.workers,
            options=options,
        )

    def length(self, answer: Caption) -> int:
        """Words."""
        return len(answer.words)

    def scores(
        self, said: Sequence[str], items: Sequence[Photo], *, bootstrap: int, decoding: str
    ) -> dict[str, Score]:
        """Those of `names`."""
        written = [photo.captions for photo in items]
        return metrics.score(
            said, written, names=self.names, bootstrap=bootstrap, decoding=decoding
        )

    def each(self, said: Sequence[str], items: Sequence[Photo]) -> np.ndarray:
        """CIDEr of each photo alone; nan of an only one, where it says nothing."""
        _, each = metrics.cider(
            [tokenise(text) for text in said],
            [[tokenise(text) for text in photo.captions] for photo in items],
        )
        return each if len(each) > 1 else np.full(1, math.nan)

    def trial_scores(self, said: Sequence[str], items: Sequence[Photo]) -> dict[str, float]:
        """CIDEr, which chooses, and BLEU-4."""
        written = [photo.captions for photo in items]
        scores = metrics.score(said, written, names=("bleu", "cider"), bootstrap=0)
        return {name: scores[name].value for name in ("cider", "bleu_4")}

    def check_search(self, items: Sequence[Photo]) -> None:
        """Refuses a single photo, which always has a CIDEr of 0."""
        if len(items) == 1:
            raise DataError(
                "a search chooses by CIDEr, which of one photo is always 0; give 2 photos or more"
            )


def evaluate(
    captioner: Captioner,
    photos: Sequence[Photo],
    *,
    names: Sequence[str] = NAMES,
    bootstrap: int = RESAMPLES,
    batch_size: int = PHOTOS_AT_ONCE,
    workers: int = THREADS,
    progress: Callable[[], object] = lambda: None,
    options: SearchOptions | None = None,
    **settings: Any,
) -> CaptionReport:
    """Captions the photos and compares with what people wrote, raw.

    Args:
        captioner: with the weights to judge.
        photos: with their reference captions.
        names: scores, as `metrics.score` takes them.
        bootstrap: resamples for the intervals; 0 leaves them out.
        batch_size: photos captioned together.
        workers: threads that open photos.
        progress: called after every photo.
        options: how to decode; left out, as the checkpoint has it, without alternatives.
        settings: fields of `SearchOptions` that are put into the options.

    Raises:
        DataError: none of the photos can be read.
    """
    options = given_or(options, captioner.options(alternatives=0)).changed(**settings)
    judged = CaptionEvaluation(
        captioner, photos, names=names, batch_size=batch_size, workers=workers
    )
    return judged.run(options, bootstrap=bootstrap, progress=progress)


def search_decoding(
    captioner: Captioner,
    photos: Sequence[Photo],
    *,
    beam_sizes: Sequence[int],
    length_penalties: Sequence[float],
    batch_size: int = PHOTOS_AT_ONCE,
    workers: int = THREADS,
    progress: Callable[[], object] = lambda: None,
    options: SearchOptions | None = None,
) -> tuple[Trial, ...]:
    """CIDEr and BLEU-4 of every beam size with every length penalty: `Evaluation.search`.

    The photos are not those that the final scores are for; what cannot be read is left out.

    Raises:
        DataError: fewer than two of the photos can be read, which all have a CIDEr of 0.
    """
    judged = CaptionEvaluation(captioner, photos, batch_size=batch_size, workers=workers)
    return judged.search(
        options, beam_sizes=beam_sizes, length_penalties=length_penalties, progress=progress
    )


def draw_extremes(report: CaptionReport, each: int = 4) -> Image.Image:
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
            cider = report.photo_cider[number]
            own = "" if math.isnan(cider) else f" · CIDEr {cider:.2f}"
            head = f"{group}{own} · {report.captions[number].text}"
            people = [f"people: {caption}" for caption in report.photos[number].captions[:3]]
            rows.append((report.captions[number].photo(), [head, *people]))
    score = report.scores.get("cider")
    title = f"Worst, median and best of {len(report.photos)} photos"
    if score is not None and len(report.photos) > 1:
        title += f" · CIDEr {score.value:.3f}"
    return photo_rows(rows, title=title)
