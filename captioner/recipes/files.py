"""Recipes as they are written and typed: from a TOML file to a task's settings."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from captioner import settings, tasks
from captioner.errors import ConfigError, DataError
from captioner.text import decoded


def read_recipe(path: str | None, typed: Sequence[tuple[str, str]] = ()) -> Any:
    """A task's recipe from its TOML file and what was typed to replace or to add.

    Args:
        path: the file; without one, the defaults are the recipe.
        typed: dotted places with values, (training.batch_size, 16).

    Raises:
        ConfigError: the file is missing or no TOML, or a setting is unknown or out of range.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(decoded(Path(path).read_bytes(), path))
        except FileNotFoundError:
            raise ConfigError(
                f"{path}: no such file; expected a recipe (.toml), as those in the folder configs/ "
                "of captioner's source"
            ) from None
        except DataError as error:
            raise ConfigError(str(error)) from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: no TOML: {error}") from None
    kind = _recipe_of(dict(typed).get("task", values.get("task", tasks.CAPTION)))
    for place, text in typed:
        _check_place(place, kind)
        settings.override(values, place, text, kind)
    return settings.from_dict(kind, values)


def _recipe_of(task: Any) -> type[Any]:
    if task not in tuple(tasks.TASKS):  # a list of TOML's has no hash
        raise ConfigError(f"task is {task!r}; expected one of {', '.join(tasks.TASKS)}")
    return tasks.TASKS[task].recipe


def _check_place(place: str, recipe: type[Any]) -> None:
    """Helps where a setting was typed without its table: `batch_size`."""
    if "." in place or place in {entry.name for entry in dataclasses.fields(recipe)}:
        return
    places = [dotted for _, _, own in settings.groups(recipe) for dotted, _, _ in own]
    alike = [f"--{dotted}" for dotted in places if dotted.rpartition(".")[2] == place]
    if alike:
        raise ConfigError(f"{place} is no setting by itself; did you mean {' or '.join(alike)}?")
