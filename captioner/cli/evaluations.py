"""`captioner evaluate`: a split in, scores with their recipe out."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner import config
from captioner.cli.display import columns, progress_bar
from captioner.cli.models import load_captioner
from captioner.cli.parser import BEAM_SIZES, LENGTH_PENALTIES
from captioner.cli.settings import check_decoding, given
from captioner.config import SearchOptions, Source
from captioner.errors import ConfigError
from captioner.outputs import whole, write_text

if TYPE_CHECKING:
    from captioner.datasets import Photo
    from captioner.evaluation import Report
    from captioner.prediction import Captioner


def evaluate(arguments: argparse.Namespace) -> int:
    """Scores a checkpoint on a split; returns how many photos could not be read."""
    _check_evaluation(arguments)
    with contextlib.ExitStack() as stack:
        if arguments.json == "-":  # whoever parses standard output wants nothing else there
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        text, failures = _evaluated(arguments)
    if arguments.json == "-":
        print(text, end="")
    elif arguments.json:
        write_text(Path(arguments.json), text)
    return failures


def _evaluated(arguments: argparse.Namespace) -> tuple[str, int]:
    """The evaluation as JSON, and how many photos could not be read; the rest is shown."""
    from captioner import datasets, evaluation

    photos = datasets.read(Source(**given(arguments, Source)))[: arguments.limit]
    captioner = load_captioner(arguments)
    speed: dict[str, Any] = {"batch_size": arguments.batch_size, "workers": arguments.workers}
    settings = given(arguments, SearchOptions)
    if arguments.search:
        settings |= _best_decoding(captioner, photos, speed, settings)
    with progress_bar(len(photos), "photo") as bar:
        report = evaluation.evaluate(
            captioner,
            photos,
            names=arguments.metrics,
            bootstrap=arguments.bootstrap,
            progress=lambda: bar.update(1),
            **speed,
            **settings,
        )
    for score in report.scores.values():
        print(score)
    for reason in report.left_out:
        print(f"captioner: {reason}", file=sys.stderr)
    if arguments.boxes:
        _print_grounding(captioner, photos, arguments.boxes, arguments.bootstrap)
    options = captioner.options(**settings, alternatives=SearchOptions.alternatives)
    return _keep_evaluation(arguments, captioner, report, options), len(report.left_out)


def _print_grounding(
    captioner: Captioner, photos: Sequence[Photo], path: str, bootstrap: int
) -> None:
    """Shows how well the maps of nouns cover what they name, in percent."""
    from captioner import boxes, maps

    things = boxes.read(path)
    kinds_of = boxes.naming({kind for kinds in things.values() for kind in kinds})
    with progress_bar(len(photos), "photo") as bar:
        found = maps.measure(
            captioner, photos, things, kinds_of, bootstrap=bootstrap, progress=bar.update
        )
    print(f"\n{found}")


def _check_evaluation(arguments: argparse.Namespace) -> None:
    check_decoding(arguments)
    if arguments.limit is not None and arguments.limit < 1:
        raise ConfigError(f"--limit is {arguments.limit}; expected 1 photo or more")
    if arguments.save_scores is not None and not arguments.checkpoint:
        raise ConfigError("--save-scores changes a checkpoint; name it with --checkpoint FILE")
    typed = [
        name
        for name in ("beam_size", "length_penalty", "sample")
        if getattr(arguments, name) is not None
    ]
    if arguments.search and typed:
        flag = typed[0].replace("_", "-")
        raise ConfigError(f"--search finds beam size and length penalty itself; leave --{flag} out")


def _best_decoding(
    captioner: Captioner,
    photos: Sequence[Photo],
    speed: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Shows how each beam size and length penalty scores; the best by CIDEr comes back."""
    from captioner import evaluation

    with progress_bar(len(photos) * len(BEAM_SIZES), "photo") as bar:
        trials = evaluation.search_decoding(
            captioner,
            photos,
            beam_sizes=BEAM_SIZES,
            length_penalties=LENGTH_PENALTIES,
            progress=lambda: bar.update(1),
            **speed,
            **settings,
        )
    best = max(trials, key=lambda trial: trial.cider).settings()
    rows = [("beam", "length penalty", "CIDEr", "BLEU-4")]
    for trial in trials:
        penalty = "–" if trial.length_penalty is None else f"{trial.length_penalty:g}"
        rows.append((str(trial.beam_size), penalty, f"{trial.cider:.4f}", f"{trial.bleu_4:.4f}"))
    print(columns(rows, right=(0, 1, 2, 3)))
    print(f"best by CIDEr: {', '.join(f'{k} {v:g}'.replace('_', ' ') for k, v in best.items())}")
    print("chosen on these very photos: for scores to be compared, take others\n", flush=True)
    return best


def _keep_evaluation(
    arguments: argparse.Namespace, captioner: Captioner, report: Report, options: SearchOptions
) -> str:
    """Writes what was found wherever it was asked for; it comes back as JSON."""
    record = {
        "checkpoint": arguments.checkpoint or "shipped",
        "captions": arguments.captions,
        "split": arguments.split or "",
        "photos": len(report.photos),
        "left_out": list(report.left_out),
        "decoding": config.to_dict(options),
        "scores": report.to_dict(),
    }
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    if arguments.output:
        _write_evaluation(Path(arguments.output), report, text)
    if arguments.save_scores is not None:
        name = arguments.save_scores or arguments.split or Path(arguments.captions).stem
        _save_scores(arguments.checkpoint, captioner, name, report, options)
    return text


def _save_scores(
    path: str, captioner: Captioner, name: str, report: Report, options: SearchOptions
) -> None:
    from captioner import checkpoint

    checkpoint.save_scores(path, captioner.checkpoint, name, report.to_dict(), options)
    print(f"{path}: scores kept as {name!r}; its own decoding is the one scored here")


def _write_evaluation(folder: Path, report: Report, scores: str) -> None:
    from captioner.evaluation import draw_extremes

    write_text(folder / "scores.json", scores)
    write_text(folder / "captions.jsonl", "".join(_judged(report)))
    with whole(folder / "extremes.png") as partial:
        draw_extremes(report).save(partial, format="PNG")
    print(f"{folder}/: scores.json, captions.jsonl, extremes.png")


def _judged(report: Report) -> Iterator[str]:
    """A line of JSON a photo: its caption, its own CIDEr, what people wrote."""
    judged = zip(report.captions, report.photo_cider.tolist(), report.photos, strict=True)
    for caption, cider, photo in judged:
        values = {**caption.to_dict(), "cider": round(cider, 4), "references": photo.captions}
        yield json.dumps(values, ensure_ascii=False) + "\n"
