"""`captioner study NAME`: variants of one recipe, each trained for the same time and compared."""

from __future__ import annotations

import argparse
import platform
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.cli import flags
from captioner.cli.display import is_watched
from captioner.cli.models import pick_device
from captioner.errors import ConfigError
from captioner.outputs import DRAWING, TABLE, Guard, draw, write_text

if TYPE_CHECKING:
    from captioner.studies.config import StudyConfig

ABOUT = {
    "family-captions": "captioners: every kind of attention and decoder over the same features",
    "family-translations": "translators: recurrent networks with and without attention, "
    "Transformers, and how far a gradient reaches",
    "multimodal": "translators with a photo in view and without one, shown a wrong photo, and "
    "given sources whose colours and nouns are masked",
    "norms": "translators: layer, batch and no normalisation, with and without residual "
    "connections, at batches of 1, 2 and 32",
    "positions": "translators: Transformers with and without positions",
}
_FILES = {"table.md": TABLE, "results.csv": TABLE, "curves.png": DRAWING, "gradients.png": DRAWING}


def add(topics: Any) -> None:
    """The topics, all with the same flags."""
    for name, about in ABOUT.items():
        parser = topics.add_parser(
            name,
            usage=f"captioner study {name} [--config FILE.toml] [options]",
            description=f"Trains and compares {about}.\nEvery run trains for the same time. A run "
            "that is finished is kept: after Ctrl-C the same command goes on.",
        )
        parser.add_argument(
            "--config",
            type=flags.file_name,
            default=f"configs/study-{name}.toml",
            metavar="FILE.toml",
            help=f"what is compared (default: configs/study-{name}.toml)",
        )
        parser.add_argument(
            "--minutes", type=float, metavar="X", help="time of a run (default: the config's)"
        )
        parser.add_argument(
            "--seeds", metavar="N,N,…", help="of the core variants (default: the config's)"
        )
        parser.add_argument(
            "--runs", type=flags.file_name, metavar="DIR", help="folder for the runs' results"
        )
        parser.add_argument(
            "--output", type=flags.file_name, metavar="DIR", help="folder for tables and figures"
        )
        flags.add_overwrite(parser)
        flags.add_device(parser)
        parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Makes what runs are missing, then writes tables and figures; returns 0.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; what is finished is kept.
    """
    from captioner.studies.config import read_study

    config = read_study(arguments.config, _replaced(arguments))
    guard = Guard([arguments.config, config.recipe], arguments.overwrite)
    for name, kind in _FILES.items():
        guard.claim(Path(config.documents) / name, kind, "--output")
    name = pick_device(arguments.device)
    from captioner.studies import grounded
    from captioner.training.folder import marked

    if config.grounding.boxes:  # what lacks is told now, not when hours are spent
        grounded.questions(config.grounding)
    with marked(Path(config.output), "--runs") as mark:  # two would train the same run
        try:
            return _run(arguments, config, name)
        finally:
            mark.unlink(missing_ok=True)


def _run(arguments: argparse.Namespace, config: StudyConfig, name: str) -> int:
    """The same, once the folder is taken, on the device of that name."""
    import torch

    from captioner.studies import curves, grounded, runs, summary
    from captioner.training import Interrupted

    device, every, folder = torch.device(name), config.runs(), Path(config.documents)
    print(
        f"{len(every)} runs of {config.minutes:g} minutes on {device}: "
        f"{len(every) * config.minutes / 60:.1f} hours, kept in {config.output}/",
        flush=True,
    )
    found = []
    try:
        for each in runs.run_all(config, device, _told, show=is_watched()):
            found.append(each)
        found = grounded.added(config, found, device, _told)
    except (Interrupted, KeyboardInterrupt) as stop:  # within training, or around it
        stopped = KeyboardInterrupt(
            f"stopped; {len(found)} of {len(every)} runs are kept in {config.output}: the same "
            "command goes on"
        )
        stopped.number = getattr(stop, "number", signal.SIGINT)  # type: ignore[attr-defined]
        raise stopped from stop
    machine = f"Computed on {device} with {_threads()}, Python {platform.python_version()}."
    write_text(
        folder / "table.md", summary.table(config, found, shlex.join(arguments.typed), machine)
    )
    write_text(folder / "results.csv", summary.results(found))
    shown = summary.by_variant(config, found, True) or summary.by_variant(config, found, False)
    draw(curves.curves(shown), folder / "curves.png")
    reached = curves.gradients(summary.by_variant(config, found))
    if reached is not None:
        draw(reached, folder / "gradients.png")
    print(f"\n{folder}/: table.md, results.csv, curves.png" + (", gradients.png" * bool(reached)))
    return 0


def _told(line: str) -> None:
    print(line, flush=True)


def _threads() -> str:
    import torch

    return f"torch {torch.__version__.partition('+')[0]}, {torch.get_num_threads()} threads"


def _replaced(arguments: argparse.Namespace) -> list[tuple[str, Any]]:
    """What was typed in the place of the config's settings."""
    replaced: list[tuple[str, Any]] = []
    if arguments.seeds is not None:
        try:
            seeds = [int(text) for text in arguments.seeds.split(",")]
        except ValueError:
            raise ConfigError(
                f"--seeds {arguments.seeds} are no seeds; expected whole numbers: 1,2,3"
            ) from None
        replaced.append(("seeds", seeds))
    for name, value in (
        ("minutes", arguments.minutes),
        ("output", arguments.runs),
        ("documents", arguments.output),
    ):
        if value is not None:
            replaced.append((name, value))
    return replaced
