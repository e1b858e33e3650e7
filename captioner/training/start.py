"""Where a run begins: what it may start from, whatever is learned."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from captioner import settings
from captioner.errors import ConfigError
from captioner.nn.architecture import DROPOUTS
from captioner.options import SearchOptions
from captioner.storage import Stored, default_path

S = TypeVar("S", bound=Stored)
T = TypeVar("T")
C = TypeVar("C")


def built(kind: type[Stored], config: Any, size: int) -> Any:
    """A new model with random weights, if this machine's memory can hold them.

    Args:
        kind: of checkpoint.
        config: the model's settings.
        size: of the vocabulary.

    Raises:
        ConfigError: the weights are larger than the memory.
    """
    with torch.device("meta"):  # which has shapes and no numbers
        weights = kind.build(config, size).parameters()
    counted = sum(weight.numel() * weight.element_size() for weight in weights)
    if counted > _memory():
        raise ConfigError(
            f"the model's weights would take {counted / 1e9:,.0f} GB, and this machine has "
            f"{_memory() / 1e9:,.0f} GB of memory; choose smaller sizes or fewer layers (model.…)"
        )
    return kind.build(config, size)


def _memory() -> float:
    """Bytes of the machine's memory; infinite where nobody knows."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return math.inf


def some(items: Sequence[T], count: int, seed: int) -> list[T]:
    """At most `count` of the items, drawn by `seed`, in their order."""
    chosen = np.random.default_rng(seed).permutation(len(items))[:count]
    return [items[number] for number in sorted(chosen.tolist())]


def decoding(recipe: Any) -> SearchOptions:
    """How a new checkpoint decodes: as its recipe validates it, with the usual alternatives.

    Validation reports none, which cost time; who uses the model wants them.
    """
    return dataclasses.replace(recipe.search, alternatives=SearchOptions().alternatives)


def init_path(recipe: Any) -> Path:
    """The file that `recipe.init` names; `shipped` is the one that came along for its task."""
    return default_path(recipe.task) if recipe.init == "shipped" else Path(recipe.init)


def continued(recipe: Any, kind: type[S]) -> S:
    """The checkpoint that a run goes on from, with the dropouts and decoding of the recipe.

    What the recipe leaves open of the model is the checkpoint's; no default is held against it.

    Args:
        recipe: with `init`.
        kind: what its file must hold.

    Raises:
        CheckpointError: the file holds no such checkpoint.
        ConfigError: the recipe asks for another model than the checkpoint holds.
    """
    path = init_path(recipe)
    old, name = kind.load(path), path.name
    config = with_dropouts(recipe, old.config, name)
    if config != old.config:
        old = old.rebuilt(config)
    begun = {"started_from": {"checkpoint": name, **old.provenance}}
    return dataclasses.replace(old, search=decoding(recipe), provenance=begun)


def with_dropouts(recipe: Any, held: C, name: str) -> C:
    """The settings of a checkpoint's model, with the dropouts that the recipe wants.

    Raises:
        ConfigError: the recipe asks for another model.
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
