"""What `evaluate` does with scores of any kind: shows them, chooses by them, keeps them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner import settings
from captioner.cli.display import columns, progress_bar
from captioner.options import SearchOptions
from captioner.outputs import draw, write_text

if TYPE_CHECKING:
    from captioner.cli.besides import Besides
    from captioner.cli.scored import Scored
    from captioner.scoring import Evaluation, Report
    from captioner.storage import Stored

SCORES = "scores.json"  # in --output
BEAM_SIZES, LENGTH_PENALTIES = (1, 3, 5), (0.0, 0.5, 0.7, 1.0)  # what `--search` tries

_TITLES = {"cider": "CIDEr", "bleu_4": "BLEU-4", "bleu": "BLEU", "chrf": "chrF"}


@dataclass(frozen=True)
class Outcome:
    """An evaluation, and what it takes to keep it."""

    kind: Scored
    checkpoint: Stored  # that was scored
    report: Report[Any, Any]
    options: SearchOptions  # the decoding that was scored
    besides: Besides  # what was found besides the scores


def best_decoding(judged: Evaluation[Any, Any, Any], options: SearchOptions) -> SearchOptions:
    """Shows how each beam size and length penalty scores; the best comes back, in the options.

    Args:
        judged: the model beside what it is scored on.
        options: what else there is to decoding.
    """
    with progress_bar(len(judged.items) * len(BEAM_SIZES), judged.unit) as bar:
        trials = judged.search(
            options,
            beam_sizes=BEAM_SIZES,
            length_penalties=LENGTH_PENALTIES,
            progress=lambda: bar.update(1),
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
    print(
        f"chosen on these very {judged.unit}s: for scores to be compared, take others\n", flush=True
    )
    return best.put_into(options)


def keep(arguments: argparse.Namespace, outcome: Outcome) -> str:
    """Writes what was found wherever it was asked for; it comes back as JSON."""
    record = {
        "checkpoint": arguments.checkpoint or "shipped",
        **outcome.kind.about(arguments, outcome.report),
        "decoding": settings.to_dict(outcome.options),
        "scores": outcome.report.to_dict(),
        **outcome.besides.values,
    }
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    if arguments.output:
        folder, kind = Path(arguments.output), outcome.kind
        write_text(folder / SCORES, text)
        write_text(folder / kind.answers, "".join(json_lines(outcome.report)))
        kind.draw(outcome.report, folder)
        for name, picture in outcome.besides.pictures.items():
            draw(picture, folder / name)
        names = (SCORES, kind.answers, *kind.drawn, *outcome.besides.pictures)
        print(f"{folder}/: {', '.join(names)}")
    if arguments.save_scores is not None:
        _save(arguments.checkpoint, outcome, outcome.kind.name(arguments))
    return text


def _save(path: str, outcome: Outcome, name: str) -> None:
    from captioner import storage

    scores = outcome.report.to_dict()
    storage.save_scores(path, outcome.checkpoint, name, scores, outcome.options)
    print(f"{path}: scores kept as {name!r}; its own decoding is the one scored here")


def json_lines(report: Report[Any, Any]) -> Iterator[str]:
    """A line of JSON an answer: with its own score, and what people wrote."""
    for values in report.records():
        yield json.dumps(values, ensure_ascii=False) + "\n"
