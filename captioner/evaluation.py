"""A captioner and photos, or a translator and sentence pairs → scores with their recipe.

Sentences are decoded freely, without teacher forcing; references are used to score them only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from captioner import metrics
from captioner.captions.caption import Caption
from captioner.captions.captioner import Captioner
from captioner.datasets import Photo
from captioner.errors import DataError, MetricError
from captioner.metrics import Score
from captioner.options import (
    PHOTOS_AT_ONCE,
    RESAMPLES,
    SENTENCES_AT_ONCE,
    THREADS,
    SearchOptions,
    given_or,
)
from captioner.pairs import Pair
from captioner.pictures.sheets import photo_rows
from captioner.text import tokenise
from captioner.translations.translation import Translation
from captioner.translations.translator import Translator
from captioner.trials import Sentence, Trial, try_decodings


@dataclass(frozen=True, eq=False)
class Report:
    """What an evaluation found."""

    scores: dict[str, Score]

    def __repr__(self) -> str:
        scores = ", ".join(f"{name} {score.value:.3f}" for name, score in self.scores.items())
        return f"<{type(self).__name__}: {scores}>"

    def to_dict(self) -> dict[str, Any]:
        """The scores as plain values for JSON."""
        return {name: score.to_dict() for name, score in self.scores.items()}


@dataclass(frozen=True, eq=False, repr=False)
class CaptionReport(Report):
    """What an evaluation of captions found."""

    photos: tuple[Photo, ...]  # those that could be read
    captions: tuple[Caption, ...]  # one a photo
    photo_cider: np.ndarray  # CIDEr of each photo alone; nan of an only one, where it says nothing
    left_out: tuple[str, ...]  # why photos are missing


@dataclass(frozen=True, eq=False, repr=False)
class TranslationReport(Report):
    """What an evaluation of translations found."""

    pairs: tuple[Pair, ...]
    translations: tuple[Translation, ...]  # one a pair
    sentence_chrf: np.ndarray  # chrF2 of each translation alone


def evaluate(
    captioner: Captioner,
    photos: Sequence[Photo],
    *,
    names: Sequence[str] = ("bleu", "rouge_l", "cider"),
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
    paths = [photo.path for photo in photos]
    kept, captions, left_out = [], [], []
    stream = captioner.stream(paths, batch_size=batch_size, workers=workers, options=options)
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
    each = each if len(each) > 1 else np.full(1, math.nan)
    return CaptionReport(scores, tuple(kept), tuple(captions), each, tuple(left_out))


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
    """CIDEr and BLEU-4 of every beam size with every length penalty.

    Args:
        captioner: with the weights to judge.
        photos: with their reference captions; not those that the final scores are for.
        beam_sizes: to try; 1 is tried once, as it has nothing to rank.
        length_penalties: to try.
        batch_size: photos captioned together.
        workers: threads that open photos.
        progress: called after every photo of every beam size.
        options: what else there is to decoding; left out, as the checkpoint has it.

    Returns:
        The trials, beam size by beam size; photos that cannot be read are left out.

    Raises:
        DataError: fewer than two of the photos can be read, which all have a CIDEr of 0.
    """

    def find(beam_size: int) -> list[tuple[Photo, list[Sentence]]]:
        found, left_out = [], []
        stream = captioner.stream(
            [photo.path for photo in photos],
            batch_size=batch_size,
            workers=workers,
            options=_whole_beam(captioner.options(options), beam_size),
        )
        for photo, caption in zip(photos, stream, strict=True):
            if caption.error is None:
                every = (caption, *caption.n_best)
                found.append(
                    (photo, [Sentence(c.text, c.log_prob, len(c.words) + 1) for c in every])
                )
            else:
                left_out.append(caption.error)
            progress()
        _check_any(found, left_out)
        if len(found) == 1:
            raise DataError(
                "a search chooses by CIDEr, which of one photo is always 0; give 2 photos or more"
            )
        return found

    def score(said: Sequence[str], photos: Sequence[Photo]) -> dict[str, float]:
        written = [photo.captions for photo in photos]
        scores = metrics.score(said, written, names=("bleu", "cider"), bootstrap=0)
        return {name: scores[name].value for name in ("cider", "bleu_4")}

    return try_decodings(find, score, beam_sizes=beam_sizes, length_penalties=length_penalties)


def _whole_beam(options: SearchOptions, beam_size: int) -> SearchOptions:
    """The options with a beam of which every sentence is returned, for penalties to rank."""
    return options.changed(beam_size=beam_size, n_best=beam_size, alternatives=0)


def _check_any(readable: Sequence[Any], left_out: Sequence[str]) -> None:
    if not readable:
        first = f"; the first: {left_out[0]}" if left_out else ""
        raise DataError(f"none of {len(left_out)} photos can be read{first}")


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


def evaluate_translations(
    translator: Translator,
    pairs: Sequence[Pair],
    *,
    bootstrap: int = RESAMPLES,
    batch_size: int = SENTENCES_AT_ONCE,
    progress: Callable[[], object] = lambda: None,
    options: SearchOptions | None = None,
    **settings: Any,
) -> TranslationReport:
    """Translates the sources and compares with what people wrote, raw.

    A sentence that cannot be translated counts as an empty translation; its `error` says why.

    Args:
        translator: with the weights to judge.
        pairs: of one direction.
        bootstrap: resamples for the intervals; 0 leaves them out.
        batch_size: sentences translated together.
        progress: called after every sentence.
        options: how to decode; left out, as the checkpoint has it, without alternatives.
        settings: fields of `SearchOptions` that are put into the options.

    Raises:
        ConfigError: the checkpoint does not translate so.
        DataError: there is no pair, or the pairs are of several directions.
    """
    source, target = _direction(pairs)
    options = given_or(options, translator.options(alternatives=0)).changed(**settings)
    stream = translator.stream(
        [pair.source_text for pair in pairs],
        to=target,
        source_language=source,
        batch_size=batch_size,
        options=options,
    )
    translations = []
    for translation in stream:
        translations.append(translation)
        progress()
    said = [translation.text for translation in translations]
    written = [pair.target_text for pair in pairs]
    scores = metrics.score_translations(
        said, written, target, bootstrap=bootstrap, decoding=decoding(options)
    )
    _, each = metrics.chrf(said, written)
    return TranslationReport(scores, tuple(pairs), tuple(translations), each)


def search_translation_decoding(
    translator: Translator,
    pairs: Sequence[Pair],
    *,
    beam_sizes: Sequence[int],
    length_penalties: Sequence[float],
    batch_size: int = SENTENCES_AT_ONCE,
    progress: Callable[[], object] = lambda: None,
    options: SearchOptions | None = None,
) -> tuple[Trial, ...]:
    """BLEU, of lower-cased Moses tokens, and chrF of every beam size with every length penalty.

    Args:
        translator: with the weights to judge.
        pairs: of one direction; not those that the final scores are for.
        beam_sizes: to try; 1 is tried once, as it has nothing to rank.
        length_penalties: to try.
        batch_size: sentences translated together.
        progress: called after every sentence of every beam size.
        options: what else there is to decoding; left out, as the checkpoint has it.

    Returns:
        The trials, beam size by beam size.

    Raises:
        ConfigError: the checkpoint does not translate so.
        DataError: there is no pair, or the pairs are of several directions.
        MetricError: BLEU cannot be computed here.
    """
    source, target = _direction(pairs)

    def find(beam_size: int) -> list[tuple[Pair, list[Sentence]]]:
        stream = translator.stream(
            [pair.source_text for pair in pairs],
            to=target,
            source_language=source,
            batch_size=batch_size,
            options=_whole_beam(translator.options(options), beam_size),
        )
        found = []
        for pair, translation in zip(pairs, stream, strict=True):
            every = (translation, *translation.n_best)
            found.append((pair, [Sentence(t.text, t.log_prob, t.pieces + 1) for t in every]))
            progress()
        return found

    def score(said: Sequence[str], pairs: Sequence[Pair]) -> dict[str, float]:
        written = [pair.target_text for pair in pairs]
        scores = metrics.score_translations(said, written, target, names=("bleu",), bootstrap=0)
        if math.isnan(scores["bleu"].value):
            raise MetricError(scores["bleu"].recipe)
        return {"bleu": scores["bleu"].value, "chrf": metrics.chrf(said, written)[0]}

    return try_decodings(find, score, beam_sizes=beam_sizes, length_penalties=length_penalties)


def _direction(pairs: Sequence[Pair]) -> tuple[str, str]:
    """From which language the pairs go to which."""
    directions = {(pair.source_language, pair.target_language) for pair in pairs}
    if len(directions) != 1:
        told = ", ".join(f"{source} → {target}" for source, target in sorted(directions))
        raise DataError(
            f"{len(pairs)} pairs of {told or 'no languages'}; expected pairs of one direction: "
            "score each by itself"
        )
    return directions.pop()


def decoding(options: SearchOptions) -> str:
    """How the sentences were found, for a score's recipe."""
    if options.sample:
        return f"top-p {options.top_p:g}, temperature {options.temperature:g}, seed {options.seed}"
    if options.beam_size == 1:
        return "greedy"
    return f"beam {options.beam_size}, length penalty {options.length_penalty:g}"
