"""Settings as they are typed: flags and help texts made from `config`, and a recipe put together.

A setting is explained once, where `config` defines it, so that the command line and the Python
interface cannot drift apart.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import typing
from collections.abc import Callable, Sequence
from typing import Any

from captioner.errors import ConfigError, shown


def add_fields(parser: Any, cls: type, *, only: Sequence[str] = ()) -> None:
    """Adds flags made from a dataclass: `beam_size` is --beam-size. What is not typed is None.

    Args:
        parser: a parser, or a group of one.
        cls: with fields made by `settings.setting`.
        only: names of the fields wanted; all, where none is named.
    """
    hints = typing.get_type_hints(cls)
    for entry in dataclasses.fields(cls):
        if only and entry.name not in only:
            continue
        # How much is told is no matter of decoding: evaluation and training switch it off.
        default = entry.default if entry.name == "alternatives" else None
        flag, about = f"--{entry.name.replace('_', '-')}", help_of(entry, default)
        if hints[entry.name] is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=about)
            continue
        parser.add_argument(
            flag,
            type=_typed(entry, hints[entry.name]),
            default=default,
            metavar=metavar(entry),
            choices=entry.metadata["choices"] or None,
            help=about,
        )


def whole(low: int, high: int) -> Callable[[str], int]:
    """What reads a whole number from `low` to `high` as it is typed."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(
                f"{shown(text)} is no whole number from {low} to {high}"
            )
        return number

    return read


def number(low: float, high: float) -> Callable[[str], float]:
    """What reads a number from `low` to `high` as it is typed."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{shown(text)} is no number from {low:g} to {high:g}")
        return value

    return read


def _typed(entry: dataclasses.Field[Any], kind: Any) -> Any:
    """What reads a setting's value; without limits of its own, whatever its type takes."""
    within = entry.metadata["within"]
    if kind is float:
        return number(*within) if within else number(-math.inf, math.inf)
    return whole(*within) if kind is int and within else kind


def help_of(entry: dataclasses.Field[Any], default: Any) -> str:
    """The help text of a setting, with its unit, its choices and its default."""
    text, unit, choices = (entry.metadata[name] for name in ("help", "unit", "choices"))
    if unit:
        text += f", in {unit}"
    if not all(str(choice) in text for choice in choices if isinstance(choice, str)):
        text += f": {', '.join(choices)}"
    if default not in (None, "", ()):
        shown = f"{default:g}" if isinstance(default, float) else str(default).lower()
        text += f" (default: {shown})"
    return str(text).replace("%", "%%")


def metavar(entry: dataclasses.Field[Any]) -> str:
    """What stands for a setting's value in the help, such as FILE or N."""
    named = {"captions": "FILE", "images": "DIR", "output": "DIR", "init": "FILE"}
    kinds = {"int": "N", "float": "X", "bool": "true|false"}
    return named.get(entry.name) or kinds.get(str(entry.type), "TEXT")


def given(arguments: argparse.Namespace, cls: type) -> dict[str, Any]:
    """What was typed of the fields of `cls`."""
    values = {f.name: getattr(arguments, f.name, None) for f in dataclasses.fields(cls)}
    return {name: value for name, value in values.items() if value is not None}


def check_decoding(arguments: argparse.Namespace) -> None:
    """Refuses what shapes random draws where none are asked for.

    Raises:
        ConfigError: --top-p or --temperature without --sample.
    """
    typed = [flag for flag in ("top_p", "temperature") if getattr(arguments, flag) is not None]
    if typed and not arguments.sample:
        flag = typed[0].replace("_", "-")
        raise ConfigError(f"--{flag} shapes random draws and does nothing here; add --sample")


def file_name(text: str) -> str:
    """A name as it is typed for a file or a folder.

    Raises:
        argparse.ArgumentTypeError: it is empty, as a variable that was never set.
    """
    if not text:
        raise argparse.ArgumentTypeError("expected a name, got an empty one")
    return text


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
        if not name.startswith("--") or name in ("--help", "--resume", "--device"):
            own.append(argument)
            continue
        if not equals:
            following = next(rest, None)
            if following is None or following.startswith("--"):
                raise ConfigError(f"{name} needs a value: {name} VALUE; see captioner train --help")
            value = following
        settings.append((name.removeprefix("--").replace("-", "_"), value))
    return own, settings
