"""What `evaluate` does with scores of any kind: shows them, chooses by them, keeps them."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner import settings
from captioner.cli.display import columns, progress_bar
from captioner.options import SearchOptions
from captioner.outputs import draw, write_text

if TYPE_CHECKING:
    from captioner.checkpoint import Checkpoint, TranslationCheckpoint
    from captioner.evaluation import CaptionReport, Report, TranslationReport
    from captioner.trials import Trial

BEAM_SIZES, LENGTH_PENALTIES = (1, 3, 5), (0.0, 0.5, 0.7, 1.0)  # what `--search` tries

_TITLES = {"cider": "CIDEr", "bleu_4": "BLEU-4", "bleu": "BLEU", "chrf": "chrF"}


@dataclass(frozen=True)
class Outcome:
    """An evaluation, and what it takes to keep it."""

    checkpoint: Checkpoint | TranslationCheckpoint  # that was scored
    report: Report
    options: SearchOptions  # the decoding that was scored
    about: Mapping[str, Any]  # what was scored, as plain values for JSON
    name: str  # under which a checkpoint keeps the scores
    failures: int  # photos or sentences
    write: Callable[[Path], tuple[str, ...]]  # files of its own, into a folder; their names


def best_decoding(
    search: Callable[..., tuple[Trial, ...]], options: SearchOptions, count: int, unit: str
) -> SearchOptions:
    """Shows how each beam size and length penalty scores; the best comes back, in the options.

    Args:
        search: with `beam_sizes`, `length_penalties`, `progress` and `options` to be filled in.
        options: what else there is to decoding.
        count: how many photos or sentences it goes over, for every beam size.
        unit: what they are.
    """
    with progress_bar(count * len(BEAM_SIZES), unit) as bar:
        trials = search(
            beam_sizes=BEAM_SIZES,
            length_penalties=LENGTH_PENALTIES,
            progress=lambda: bar.update(1),
            options=options,
        )
    names = tuple(trials[0].scores)
    rows = [("beam", "length penalty", *(_TITLES[name] for name in names))]
    for trial in trials:
        penalty = "–" if trial.length_penalty is None else f"{trial.length_penalty:g}"
        rows.append((str(trial.beam_size), penalty, *(f"{trial.scores[n]:.4f}" for n in names)))
    print(columns(rows, right=range(len(rows[0]))))
    best = max(trials, key=lambda trial: trial.scores[names[0]])
    ranked = "" if best.length_penalty is None else f", length penalty {best.length_penalty:g}"
    print(f"best by {_TITLES[names[0]]}: beam size {best.beam_size}{ranked}")
    print(f"chosen on these very {unit}s: for scores to be compared, take others\n", flush=True)
    return best.put_into(options)


def keep(arguments: argparse.Namespace, outcome: Outcome) -> str:
    """Writes what was found wherever it was asked for; it comes back as JSON."""
    record = {
        "checkpoint": arguments.checkpoint or "shipped",
        **outcome.about,
        "decoding": settings.to_dict(outcome.options),
        "scores": outcome.report.to_dict(),
    }
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    if arguments.output:
        folder = Path(arguments.output)
        write_text(folder / "scores.json", text)
        print(f"{folder}/: {', '.join(('scores.json', *outcome.write(folder)))}")
    if arguments.save_scores is not None:
        _save(arguments.checkpoint, outcome)
    return text


def _save(path: str, outcome: Outcome) -> None:
    from captioner import checkpoint

    scores = outcome.report.to_dict()
    checkpoint.save_scores(path, outcome.checkpoint, outcome.name, scores, outcome.options)
    print(f"{path}: scores kept as {outcome.name!r}; its own decoding is the one scored here")


def write_captions(report: CaptionReport, folder: Path) -> tuple[str, ...]:
    """Writes the captions, each with its own score, and a sheet of the worst and the best."""
    from captioner.evaluation import draw_extremes

    write_text(folder / "captions.jsonl", "".join(judged_captions(report)))
    draw(draw_extremes(report), folder / "extremes.png")
    return "captions.jsonl", "extremes.png"


def judged_captions(report: CaptionReport) -> Iterator[str]:
    """A line of JSON a photo: its caption, its own CIDEr (if it is not the only one), the texts."""
    judged = zip(report.captions, report.photo_cider.tolist(), report.photos, strict=True)
    for caption, cider, photo in judged:
        own = None if math.isnan(cider) else round(cider, 4)  # JSON knows no nan
        values = {**caption.to_dict(), "cider": own, "references": photo.captions}
        yield json.dumps(values, ensure_ascii=False) + "\n"


def write_translations(report: TranslationReport, folder: Path) -> tuple[str, ...]:
    """Writes the translations, each with its own score."""
    write_text(folder / "translations.jsonl", "".join(judged_translations(report)))
    return ("translations.jsonl",)


def judged_translations(report: TranslationReport) -> Iterator[str]:
    """A line of JSON a pair: both sentences, the translation, and its own chrF."""
    judged = zip(report.pairs, report.translations, report.sentence_chrf.tolist(), strict=True)
    for pair, translation, chrf in judged:
        values = {
            "source": pair.source_text,
            "reference": pair.target_text,
            "translation": translation.text,
            "chrf": round(chrf, 4),
            "error": translation.error,
        }
        yield json.dumps(values, ensure_ascii=False) + "\n"
