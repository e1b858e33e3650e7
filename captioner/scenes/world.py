"""Scenes: a seed and an index become a picture, five captions, and its things with their masks."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.errors import ConfigError
from captioner.scenes.layout import choose
from captioner.scenes.painting import paint
from captioner.scenes.places import BACKGROUNDS, PLACES
from captioner.scenes.sentences import describe

SMALLEST, LARGEST = 32, 2048  # sides of a picture, in pixels


@dataclass(frozen=True, eq=False)  # arrays have no truth value to compare by
class Thing:
    """One thing in a picture, and the pixels on which it can be seen."""

    kind: str  # one of KINDS
    colour: str  # one of COLOURS; of a person, the colour of the clothes
    box: tuple[int, int, int, int]  # x, y, width, height in pixels; bounds the mask exactly
    mask: NDArray[np.bool_]  # (H, W)


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture, five sentences that hold for it, and the things in it."""

    picture: Image.Image  # RGB
    captions: tuple[str, ...]
    things: tuple[Thing, ...]  # one to three
    background: str  # one of BACKGROUNDS


def draw(seed: int, index: int, size: tuple[int, int] = (224, 224)) -> Scene:
    """Draws scene `index` of the world `seed`.

    Args:
        seed: which world, from 0.
        index: which of its scenes, from 0; each can be drawn without the others.
        size: width and height in pixels, each from 32 to 2048. Sizes with the same proportions
            show the same drawing and have the same captions.

    Returns:
        The picture, its captions, and its things with their boxes and masks.

    Raises:
        ConfigError: a number is out of range.
    """
    check(seed, index, size)
    rng = Random(f"{seed}/{index}")  # hashed by SHA-512, so neighbours have nothing in common
    place = rng.choices(BACKGROUNDS, [row.often for row in PLACES.values()])[0]
    plan = choose(rng, place)
    canvas, placed = paint(rng, plan, place, size)
    masks = [canvas.mask(number) for number in range(len(placed))]
    things = tuple(
        Thing(item.group.kind, item.group.colour, _box(mask), mask)
        for item, mask in zip(placed, masks, strict=True)
    )
    captions = describe(rng, plan, place, placed)
    return Scene(canvas.reduced(), captions, things, place)


def check(seed: int, index: int, size: tuple[int, int]) -> None:
    """Refuses numbers that no scene has, as a `ConfigError`."""
    for name, number in (("seed", seed), ("index", index)):
        if number < 0:
            raise ConfigError(f"{name} is {number}; give a number from 0 upwards")
    if len(size) != 2 or not all(SMALLEST <= side <= LARGEST for side in size):
        raise ConfigError(
            f"size is {size}; give a width and a height of {SMALLEST} to {LARGEST} pixels"
        )


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """x, y, width and height of the smallest box around a mask (H, W) that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y
