"""From a cell of the model's grid back to the pixels of the photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from captioner.errors import ConfigError
from captioner.pictures.sizes import is_count


@dataclass(frozen=True)
class Geometry:
    """Where the cells of the model's grid lie on a photo that was squashed to the model's square.

    Coordinates are pixels of the upright original, x to the right and y down; pixel 0 reaches from
    0 to 1.

    Raises:
        ConfigError: A field is not a pair of whole numbers, 1 or more.
    """

    photo: tuple[int, int]  # (width, height) of the upright original, in pixels
    grid: tuple[int, int]  # (h, w), in cells

    def __post_init__(self) -> None:
        for name in ("photo", "grid"):
            pair = getattr(self, name)
            if not (
                isinstance(pair, (tuple, list)) and len(pair) == 2 and all(map(is_count, pair))
            ):
                raise ConfigError(
                    f"geometry: {name} is {pair!r}, expected two whole numbers, 1 or more"
                )
            object.__setattr__(self, name, tuple(pair))

    def box(self, row: int, col: int) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of one cell.

        Raises:
            ConfigError: There is no such cell.
        """
        rows, cols = self.grid
        if not (0 <= row < rows and 0 <= col < cols):
            raise ConfigError(
                f"cell ({row}, {col}) lies outside the grid of {rows} rows × {cols} columns"
            )
        x, y = self._edges()
        return float(x[col]), float(y[row]), float(x[col + 1]), float(y[row + 1])

    def _edges(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        (width, height), (rows, cols) = self.photo, self.grid
        return np.arange(cols + 1) * width / cols, np.arange(rows + 1) * height / rows
