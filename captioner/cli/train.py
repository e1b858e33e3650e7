"""`captioner train`: a recipe in, a run's folder out."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from captioner import tasks
from captioner.cli import flags
from captioner.cli.display import is_quiet, is_watched, print_scores
from captioner.cli.models import pick_device
from captioner.errors import ConfigError
from captioner.recipes.files import read_recipe
from captioner.settings import groups

_OWN = (
    "--help",
    "--resume",
    "--device",
    "--quiet",
    "--verbose",
    "--dry-run",
)  # flags that are no settings


def add(commands: Any) -> None:
    """The flags."""
    parser = commands.add_parser(
        "train",
        usage="captioner train CONFIG.toml [--KEY VALUE …] [--resume] [--device DEVICE]",
        description="Trains a model as a recipe says. The recipe is a TOML file; every setting "
        "below stands in it\nunder its name, or is typed here to replace what the file says. A "
        'translator\'s recipe has task =\n"translate" and shares most settings; those of its own '
        "stand at the end.",
        epilog="""\
examples:
  captioner train configs/caption.toml
  captioner train configs/caption.toml --output runs/small --training.batch_size 16
  captioner train configs/caption.toml --init shipped --phases.0.epochs=3
  captioner train configs/caption.toml --resume
  captioner train configs/translate.toml
  captioner train configs/caption.toml --dry-run

Ctrl-C saves after the current step; the same command with --resume goes on at that very step.""",
    )
    parser.add_argument("recipe", nargs="?", metavar="CONFIG.toml", help="the recipe")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print, as JSON, the whole recipe, how much data, how many parameters and steps there "
        "are; read everything, write nothing",
    )
    flags.add_device(parser)
    flags.add_loudness(parser)
    shown: set[str] = set()
    for task in tasks.TASKS.values():
        whose = "" if task.name == tasks.CAPTION else f'with task = "{task.name}", '
        for title, about, every in groups(task.recipe):
            own = [setting for setting in every if setting[0] not in shown]
            if not own:
                continue
            group = parser.add_argument_group(f"{whose}{title}", about)
            for place, entry, default in own:
                shown.add(place)
                help_text = flags.help_of(entry, default)
                group.add_argument(f"--{place}", metavar=flags.metavar(entry), help=help_text)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Trains as a recipe says; returns 0.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM, with what was saved and how to go on; its attribute
            `number` is that of the signal.
    """
    recipe = read_recipe(arguments.recipe, arguments.settings)
    device = pick_device(arguments.device)
    from captioner import checkpoint, training
    from captioner.training.ranks import is_first

    if arguments.dry_run:
        if arguments.resume:
            raise ConfigError("--dry-run begins nothing that --resume could go on; leave one out")
        print(json.dumps(training.plan(recipe, device=device), indent=2, ensure_ascii=False))
        return 0
    folder = Path(recipe.output)
    helps = not is_first()  # the first of several processes speaks for all
    try:
        with _told(quiet=is_quiet() or helps):
            print(
                f"training on {device}; everything goes to {folder}/: best.safetensors, log.csv, …"
            )
            print(f"watch it: tensorboard --logdir {folder}", flush=True)
            show = is_watched()
            best = training.train(recipe, resume=arguments.resume, device=device, show=show)
    except training.Interrupted as stop:
        stopped = KeyboardInterrupt(str(stop))
        stopped.number = stop.number  # type: ignore[attr-defined]
        raise stopped from stop
    if helps:
        return 0
    if is_quiet():
        print(best)
        return 0
    print(f"\nbest checkpoint: {best}")
    print_scores(checkpoint.describe(best)["provenance"])
    print("\nwhat to do with it:")
    for command in (*tasks.of(recipe).uses(recipe, best), f"captioner describe {best}"):
        print(f"  {command}")
    return 0


@contextlib.contextmanager
def _told(*, quiet: bool) -> Iterator[None]:
    """Leaves out what training prints along the way, where nobody is to hear it."""
    with contextlib.ExitStack() as stack:
        if quiet:
            nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        yield


def split_settings(arguments: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Parts `train`'s arguments into its own and the recipe's: (training.batch_size, 16).

    Raises:
        ConfigError: a setting comes without a value.
    """
    own: list[str] = []
    settings = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if not name.startswith("--") or name in _OWN:
            own.append(argument)
            continue
        if not equals:
            following = next(rest, None)
            if following is None or following.startswith("--"):
                raise ConfigError(f"{name} needs a value: {name} VALUE; see captioner train --help")
            value = following
        settings.append((name.removeprefix("--").replace("-", "_"), value))
    return own, settings
