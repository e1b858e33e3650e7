"""Recipes as they are written and typed: from a TOML file to a task's settings."""

from __future__ import annotations

import dataclasses
import functools
import operator
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from captioner import settings
from captioner.errors import ConfigError, DataError
from captioner.nn.architecture import DROPOUTS
from captioner.recipes.captioning import Recipe
from captioner.recipes.translation import TranslationRecipe
from captioner.text import decoded

T = TypeVar("T")

RECIPES: Mapping[str, type[Recipe] | type[TranslationRecipe]] = {
    "caption": Recipe,
    "translate": TranslationRecipe,
}  # by task


def read_recipe(
    path: str | None, typed: Sequence[tuple[str, str]] = ()
) -> Recipe | TranslationRecipe:
    """A recipe from its TOML file and what was typed to replace or to add.

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
            raise ConfigError(f"{path}: no such file; expected a recipe (.toml)") from None
        except DataError as error:
            raise ConfigError(str(error)) from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: no TOML: {error}") from None
    kind = _recipe_of(dict(typed).get("task", values.get("task", "caption")))
    for place, text in typed:
        _check_place(place, kind)
        settings.override(values, place, text, kind)
    return settings.from_dict(kind, values)


def _recipe_of(task: Any) -> type[Recipe] | type[TranslationRecipe]:
    if task not in tuple(RECIPES):  # a list of TOML's has no hash
        raise ConfigError(f"task is {task!r}; expected one of {', '.join(RECIPES)}")
    return RECIPES[task]


def _check_place(place: str, recipe: type[Recipe] | type[TranslationRecipe]) -> None:
    """Helps where a setting was typed without its table: `batch_size`."""
    if "." in place or place in {entry.name for entry in dataclasses.fields(recipe)}:
        return
    places = [dotted for _, _, own in settings.groups(recipe) for dotted, _, _ in own]
    alike = [f"--{dotted}" for dotted in places if dotted.rpartition(".")[2] == place]
    if alike:
        raise ConfigError(f"{place} is no setting by itself; did you mean {' or '.join(alike)}?")


def continued(recipe: Recipe | TranslationRecipe, held: T, name: str) -> T:
    """The model of a run that goes on from a checkpoint, with the dropouts that the recipe wants.

    What the recipe leaves open is the checkpoint's; no default is held against it.

    Args:
        recipe: with `init`.
        held: settings of the checkpoint's model.
        name: of the checkpoint, for messages.

    Raises:
        ConfigError: the recipe asks for another model than the checkpoint holds.
    """
    own, wanted, usual = (
        settings.flat(settings.to_dict(each)) for each in (held, recipe.model, type(held)())
    )
    changed = settings.to_dict(held)
    for place, value in wanted.items():
        if value == own[place] or (place not in recipe.given and value == usual[place]):
            continue
        if place.startswith("copy.") and not own["copy.things"]:
            continue  # a part that the run adds
        if place not in DROPOUTS:
            raise ConfigError(
                f"model.{place} is {value!r}, but {name}, which the run starts from, has "
                f"{own[place]!r}; leave the setting out, or leave out init to train a new model"
            )
        *tables, field = place.split(".")
        functools.reduce(operator.getitem, tables, changed)[field] = value
    return settings.from_dict(type(held), changed)
