"""One attention map on its photo."""

from __future__ import annotations

import numpy as np
from PIL import Image

from captioner.errors import ConfigError
from captioner.pictures.scale import checked_maps, coloured, even_peak, levels_of

OPACITY = 0.55  # share of the map's colour in every pixel; the rest is the photo in grey
_SMALLEST_PEAK = 1e-6  # below the even weight of any grid; keeps float32 far from its limits
_SMALLEST_CELL = 8  # pixels; lines between smaller cells would hide them


def draw_overlay(
    photo: Image.Image,
    weights: np.ndarray,
    *,
    peak: float | None = None,
    grid: bool = False,
    opacity: float = OPACITY,
) -> Image.Image:
    """One attention map on its photo, at the photo's own size.

    The grid covers the whole photo, whatever its aspect ratio, since the model saw the whole photo
    squashed to a square. At a cell's centre the smoothed map has that cell's colour.

    Args:
        photo: any mode; drawn in grey under the map's colours.
        weights: (h, w), summing to 1.
        peak: the weight that gets the full colour; larger ones get it too. None is
            `FULL_COLOUR` times the even weight 1/N, whatever the map: pictures made one by one
            stay comparable. For maps shown together, pass their `shared_peak`.
        grid: show the cells as they are, with thin lines between them, instead of smoothing.
        opacity: share of the map's colour in every pixel, in [0, 1].

    Returns:
        RGB, as large as the photo.

    Raises:
        ConfigError: the weights are no attention map, or a setting is out of range.
    """
    cells = checked_maps(weights, "(h, w)")
    peak = even_peak(cells.size) if peak is None else peak
    if not _SMALLEST_PEAK <= peak <= 1:
        raise ConfigError(f"peak is {peak}, but a weight from {_SMALLEST_PEAK} to 1 was expected")
    if not 0 <= opacity <= 1:
        raise ConfigError(f"opacity is {opacity}, but a number from 0 to 1 was expected")
    grey = photo.convert("RGB").convert("L").convert("RGB")
    levels = levels_of(cells / peak)
    if not grid:
        return Image.blend(grey, coloured(_smoothed(levels, photo.size)), opacity)
    rows, columns = _owners(photo.height, len(cells)), _owners(photo.width, cells.shape[1])
    blend = Image.blend(grey, coloured(_cells(levels, rows, columns)), opacity)
    return _with_lines(blend, rows, columns)


def _cells(levels: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Steps (H, W) of the cells (h, w) that own the pixels of each row and column."""
    return levels.astype(np.uint8)[rows[:, None], columns]


def _smoothed(levels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Steps (H, W) of a bicubic surface through the cells' centres, within their extremes."""
    surface = np.asarray(Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC))
    return np.clip(surface, levels.min(), levels.max()).astype(np.uint8)


def _owners(pixels: int, cells: int) -> np.ndarray:
    """The cell (pixels,) in which each pixel's centre lies, along one side."""
    return (2 * np.arange(pixels) + 1) * cells // (2 * pixels)


def _with_lines(picture: Image.Image, rows: np.ndarray, columns: np.ndarray) -> Image.Image:
    """The picture with thin, half-transparent lines where the owning cell changes."""
    thin = max(1, round(min(picture.size) / 500))
    mask = np.zeros(picture.size[::-1], dtype=np.uint8)  # (H, W)
    for owners, side in ((rows, mask), (columns, mask.T)):
        if len(owners) >= _SMALLEST_CELL * (int(owners[-1]) + 1):
            for edge in np.flatnonzero(np.diff(owners)) + 1:
                side[edge - thin // 2 : edge - thin // 2 + thin] = 90
    picture.paste((255, 255, 255), mask=Image.fromarray(mask))
    return picture
