"""What was painted over a photo, to see what the words owed to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from captioner.errors import ConfigError
from captioner.pictures.geometry import Geometry

MOST_STROKES, MOST_POINTS = 400, 20_000  # of a painting
MOST_CELLS = 64 * 64  # of the finest maps
LOOKED = 0.5  # of a map's peak: a word looked at the cells above it
COVERS = ("looked", "elsewhere")  # what one click covers


@dataclasses.dataclass(frozen=True)
class Painting:
    """What was painted over a photo; places are shares of its width and height."""

    lines: tuple[tuple[float, tuple[tuple[float, float], ...]], ...] = ()  # (radius, points)
    cells: tuple[int, ...] = ()  # row by row

    @classmethod
    def from_json(cls, strokes: object) -> Painting:
        """The painting that a browser sent.

        Raises:
            ConfigError: it is none.
        """
        try:
            assert isinstance(strokes, list)
            lines = [(float(s["radius"]), _points(s["points"])) for s in strokes if "points" in s]
            cells = tuple(int(s["cell"]) for s in strokes if "cell" in s)
            count = sum(len(points) for _, points in lines)
            assert len(lines) <= MOST_STROKES
            assert count <= MOST_POINTS
            assert len(cells) <= MOST_CELLS
            assert all(0 < radius < 1 for radius, _ in lines)
        except (AssertionError, KeyError, TypeError, ValueError, OverflowError):
            raise ConfigError(
                f"the painting is damaged or has more than {MOST_STROKES} strokes; clear it and "
                "paint again"
            ) from None
        return cls(tuple(lines), cells)

    def __bool__(self) -> bool:
        return bool(self.lines or self.cells)

    def over(self, photo: Image.Image, grid: tuple[int, int]) -> Image.Image:
        """A copy of the photo, covered with its mean colour where it was painted."""
        painted = photo.convert("RGB").copy()
        pen, fill = ImageDraw.Draw(painted), mean_colour(photo)
        width, height = painted.size
        for radius, points in self.lines:
            around = radius * max(width, height)
            places = [(x * width, y * height) for x, y in points]
            pen.line(places, fill=fill, width=max(1, round(2 * around)), joint="curve")
            for x, y in places:
                pen.ellipse((x - around, y - around, x + around, y + around), fill=fill)
        geometry = Geometry((width, height), grid)
        for cell in self.cells:
            if 0 <= cell < grid[0] * grid[1]:
                left, top, right, bottom = geometry.box(*divmod(cell, grid[1]))
                pen.rectangle((round(left), round(top), round(right) - 1, round(bottom) - 1), fill)
        return painted


def _points(points: Sequence[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    found = tuple((float(x), float(y)) for x, y in points)
    assert found
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in found)
    return found


def mean_colour(photo: Image.Image) -> tuple[int, int, int]:
    """The photo's mean colour, which says least about what it covers."""
    red, green, blue = photo.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))  # type: ignore[misc]
    return int(red), int(green), int(blue)


def where_looked(weights: NDArray[np.floating[Any]]) -> tuple[int, ...]:
    """The cells of a map (h, w) above half its peak, row by row."""
    flat = weights.ravel()
    return tuple(np.flatnonzero(flat > LOOKED * flat.max()).tolist())


def elsewhere(cells: Sequence[int], grid: tuple[int, int], seed: int = 0) -> tuple[int, ...]:
    """As many cells as a control, none of those: where the photo allows it, of the same shape.

    A shape that holds together covers less of what is around it than cells strewn about, so a
    control of another shape would not be one.

    Args:
        cells: row by row.
        grid: (h, w).
        seed: the same cells and seed give the same control.

    Returns:
        The cells, none where the others leave too little room.
    """
    height, width = grid
    rng = np.random.default_rng((seed, *cells))
    places = np.array([divmod(cell, width) for cell in cells]).reshape(-1, 2)
    moves = [(down, right) for down in range(-height, height) for right in range(-width, width)]
    taken = set(cells)
    fitting = []
    for move in moves:
        moved = places + move
        if (moved < 0).any() or (moved >= grid).any():
            continue
        there = tuple(sorted((moved @ (width, 1)).tolist()))
        if not taken & set(there):
            fitting.append(there)
    if fitting:
        return fitting[int(rng.integers(len(fitting)))]
    free = sorted(set(range(height * width)) - taken)
    if len(free) < len(cells):
        return ()
    return tuple(sorted(rng.permutation(free)[: len(cells)].tolist()))


def covering_of(sent: object, words: int) -> dict[str, Any] | None:
    """Which click a painting came from, as a browser says: the word and one of `COVERS`."""
    if not isinstance(sent, dict):
        return None
    index, kind = sent.get("index"), sent.get("kind")
    known = isinstance(index, int) and 0 <= index < words and kind in COVERS
    return {"index": index, "kind": kind} if known else None
