"""Attention maps for tests, photos to draw them on, and what a drawing shows."""

from __future__ import annotations

import matplotlib
import numpy as np
from PIL import Image

INFERNO = matplotlib.colormaps["inferno"](np.arange(256), bytes=True)[:, :3]
STEP_OF = {tuple(colour): step for step, colour in enumerate(INFERNO.tolist())}


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def plain(width: int, height: int, colour: tuple[int, int, int] = (90, 160, 30)) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def drawn(shape: tuple[int, ...], seed: int = 0, sharpness: float = 0.4) -> np.ndarray:
    maps = np.random.default_rng(seed).gamma(sharpness, 1.0, shape) + 1e-9
    return maps / maps.sum(axis=(-2, -1), keepdims=True)


def one_cell(h: int, w: int, row: int, column: int) -> np.ndarray:
    cells = np.zeros((h, w))
    cells[row, column] = 1
    return cells


def even(h: int, w: int) -> np.ndarray:
    return np.full((h, w), 1 / (h * w))


def steps(picture: Image.Image) -> np.ndarray:
    """The step on the colour scale of every pixel, for pictures drawn with opacity 1."""
    rows = np.asarray(picture).tolist()
    return np.array([[STEP_OF[tuple(pixel)] for pixel in row] for row in rows])


def places(sheet: Image.Image, picture: Image.Image) -> list[tuple[int, int]]:
    """Where (y, x) the picture lies in the sheet, pixel for pixel."""
    whole, part = np.asarray(sheet), np.asarray(picture)
    height, width = part.shape[:2]
    starts = np.argwhere((whole == part[0, 0]).all(axis=-1)).tolist()
    return [(y, x) for y, x in starts if np.array_equal(whole[y : y + height, x : x + width], part)]


def rectangles(sheet: Image.Image, colour: tuple[int, ...]) -> int:
    """How many solid rectangles of one colour there are, counted by their top left corners."""
    is_it = np.pad((np.asarray(sheet) == colour).all(axis=-1), 1)
    return int((is_it[1:, 1:] & ~is_it[:-1, 1:] & ~is_it[1:, :-1]).sum())


BROKEN = [
    (np.full((2, 3, 5), 1 / 15), r"shape \(2, 3, 5\), but \(h, w\) was expected"),
    (np.full(15, 1 / 15), r"shape \(15,\), but \(h, w\) was expected"),
    (np.zeros((0, 5)), r"shape \(0, 5\), but \(h, w\) was expected"),
    (np.full((3, 5), np.nan), "hold NaN or infinity"),
    (np.full((3, 5), np.inf), "hold NaN or infinity"),
    (np.array([[1.5, -0.5]]), r"reach down to -0\.5, but none may be negative"),
    (np.full((3, 5), 0.1), r"the map sum to 1\.5, but 1 was expected: divide"),
    (np.zeros((3, 5)), "sum to 0, but 1 was expected"),
    ([["a", "b"]], r"not numbers of shape \(h, w\)"),
    ([[0.5], [0.2, 0.3]], r"not numbers of shape \(h, w\)"),
]
