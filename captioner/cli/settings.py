"""Settings as they are typed: flags and help texts made from `config`, and a recipe put together.

A setting is explained once, where `config` defines it, so that the command line and the Python
interface cannot drift apart.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import tomllib
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from captioner import config
from captioner.config import Recipe, TranslationRecipe
from captioner.errors import ConfigError, DataError, shown
from captioner.text import decoded

Setting = tuple[str, dataclasses.Field[Any], Any]  # dotted place, field, default


def add_fields(parser: Any, cls: type, *, only: Sequence[str] = ()) -> None:
    """Adds flags made from a dataclass: `beam_size` is --beam-size. What is not typed is None.

    Args:
        parser: a parser, or a group of one.
        cls: with fields made by `config.setting`.
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


def read_recipe(
    path: str | None, settings: Sequence[tuple[str, str]] = ()
) -> Recipe | TranslationRecipe:
    """A recipe from its TOML file and what was typed to replace or to add.

    Args:
        path: the file; without one, the defaults are the recipe.
        settings: dotted places with values, as `split_settings` returns them.

    Raises:
        ConfigError: the file is missing or no TOML, or a setting is unknown or out of range.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(decoded(Path(path).read_bytes(), path))
        except FileNotFoundError:
            raise ConfigError(f"{path}: no such file; expected a recipe (.toml)") from None
        except DataError as error:
            raise ConfigError(str(error)) from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: no TOML: {error}") from None
    kind = _recipe_of(dict(settings).get("task", values.get("task", "caption")))
    for place, text in settings:
        _check_place(place, kind)
        config.override(values, place, text, kind)
    if kind is TranslationRecipe:
        return config.from_dict(TranslationRecipe, values)
    return config.from_dict(Recipe, values)


def _recipe_of(task: Any) -> type[Recipe] | type[TranslationRecipe]:
    if task not in ("caption", "translate"):
        raise ConfigError(f"task is {task!r}; expected one of caption, translate")
    return TranslationRecipe if task == "translate" else Recipe


def _check_place(place: str, recipe: type[Recipe] | type[TranslationRecipe]) -> None:
    """Helps where a setting was typed without its table: `batch_size`."""
    if "." in place or place in {entry.name for entry in dataclasses.fields(recipe)}:
        return
    places = [dotted for _, _, settings in setting_groups(recipe) for dotted, _, _ in settings]
    alike = [f"--{dotted}" for dotted in places if dotted.rpartition(".")[2] == place]
    if alike:
        raise ConfigError(f"{place} is no setting by itself; did you mean {' or '.join(alike)}?")


def setting_groups(
    recipe: type[Recipe] | type[TranslationRecipe] = Recipe,
) -> Iterator[tuple[str, str, list[Setting]]]:
    """The recipe's settings by table: heading, what it is about, (dotted place, field, default)."""
    groups: dict[str, tuple[str, list[Setting]]] = {}

    def walk(cls: Any, values: Any, place: str, table: str, about: str) -> None:
        hints = typing.get_type_hints(cls)
        own = groups.setdefault(table, (about, []))[1]
        for entry in dataclasses.fields(cls):
            if entry.metadata.get("hidden"):
                continue
            kind, dotted = hints[entry.name], f"{place}{entry.name}"
            default: Any = entry.default if values is None else getattr(values, entry.name)
            heading, text = f"{table.strip('[]')}.{entry.name}".strip("."), entry.metadata["help"]
            if dataclasses.is_dataclass(kind):
                walk(kind, default, f"{dotted}.", heading, text)
            elif typing.get_origin(kind) is tuple:
                first, item = default[0] if default else None, typing.get_args(kind)[0]
                if dataclasses.is_dataclass(item):
                    walk(item, first, f"{dotted}.0.", f"[{heading}]", text)
                else:
                    own.append((f"{dotted}.0", entry, first))
            else:
                own.append((dotted, entry, default))

    walk(recipe, recipe(), "", "", "")
    for table, (about, settings) in groups.items():
        if settings:
            many = "; .1., .2., … for more of them" if table.startswith("[") else ""
            yield (f"[{table}]" if table else "recipe", about + many, settings)
