"""Attention weights as colours: one scale for all maps, and numbers that say how a map looks.

Three promises hold for every picture of attention, because such pictures easily flatter it:

- **One scale.** A colour stands for a weight, never for "this map's own maximum": with a scale per
  map (min–max), an even map looks as focused as a sharp one.
- **Only the map has colour.** The photo under a map is grey, so that an orange dress cannot be
  mistaken for attention.
- **No weight that no cell has.** Smoothing is bicubic (bilinear turns a 7×7 grid into diamonds) and
  its over- and undershoot is cut off at the map's own extremes; `grid=True` shows the bare cells.

The colours are matplotlib's *inferno*: lightness rises evenly with the weight, so that it reads
alike with every kind of colour blindness and in grey print; and its zero is black, which leaves
what was not looked at dim but visible (viridis and cividis put a violet or blue veil there).
The same arguments give the same bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image

from captioner.errors import ConfigError

FULL_COLOUR = 6  # times the even weight 1/N: the least weight that may get the full colour
SUM_TOLERANCE = 0.01  # half-precision softmax sums miss 1 by a few thousandths


def shared_peak(maps: np.ndarray) -> float:
    """The weight that gets the full colour when several maps are shown together.

    It is the median of the maps' largest weights, so that one needle-sharp map does not leave all
    others dark, but never less than `FULL_COLOUR` times the even weight 1/N (nor more than 1): a
    caption whose maps are all nearly even must look so.

    Args:
        maps: (T, h, w), each summing to 1.

    Raises:
        ConfigError: the maps are no attention maps.
    """
    maps = checked_maps(maps, "(T, h, w)")
    even = even_peak(maps.shape[1] * maps.shape[2])
    if not len(maps):
        return even
    return max(even, min(1.0, float(np.median(maps.max(axis=(1, 2))))))


def spread(weights: np.ndarray) -> np.ndarray:
    """How spread out each map is: the effective share of cells, `exp(H) / N` in [1/N, 1].

    H = -Σ pᵢ ln pᵢ is the entropy of the map's N = h·w weights, exp(H) its perplexity: the number
    of equally weighted cells with the same entropy. 1 is an even map, 1/N a single cell.

    Args:
        weights: (T, h, w), each map summing to 1.

    Returns:
        (T,), float64.

    Raises:
        ConfigError: the maps are no attention maps.
    """
    maps = checked_maps(weights, "(T, h, w)")
    cells = maps.shape[1] * maps.shape[2]
    p = maps.reshape(len(maps), cells)
    p = p / p.sum(axis=1, keepdims=True)
    entropy = -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1)  # 0 · ln 0 = 0
    share: np.ndarray = np.clip(np.exp(entropy) / cells, 1 / cells, 1.0)
    return share


def checked_maps(weights: np.ndarray, shape: Literal["(h, w)", "(T, h, w)"]) -> np.ndarray:
    """The weights as float64; anything but non-negative maps that sum to 1 is refused."""
    try:
        array = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"attention weights are not numbers of shape {shape}: {error}") from None
    if array.ndim != shape.count(",") + 1 or 0 in array.shape[-2:]:
        raise ConfigError(f"attention weights have shape {array.shape}, but {shape} was expected")
    if not np.isfinite(array).all():
        raise ConfigError("attention weights hold NaN or infinity, but numbers were expected")
    if array.min(initial=0.0) < 0:
        raise ConfigError(
            f"attention weights reach down to {array.min():.3g}, but none may be negative: "
            "pass them after the softmax"
        )
    sums = array.sum(axis=(-2, -1)).reshape(-1)
    wrong = np.flatnonzero(np.abs(sums - 1) > SUM_TOLERANCE)
    if len(wrong):
        which = f"map {wrong[0]}" if array.ndim == 3 else "the map"
        raise ConfigError(
            f"the attention weights of {which} sum to {sums[wrong[0]]:.4g}, but 1 was expected: "
            "divide each map by its sum"
        )
    return array


def even_peak(cells: int) -> float:
    """The least weight of a map of so many cells that may get the full colour."""
    return min(1.0, FULL_COLOUR / cells)


def levels_of(shares: np.ndarray) -> np.ndarray:
    """Shares of the peak (h, w) as levels of the colour scale, float32; the floor is the step.

    Larger shares than 1 end here, before any smoothing: afterwards, a sharp cell's slope would
    stay above the peak far into its neighbours and make the cell look larger than it is.
    """
    levels: np.ndarray = (np.minimum(shares, 1) * 255 + 0.5).astype(np.float32)
    return levels


@lru_cache(maxsize=1)
def _palette() -> bytes:
    """The 256 colours of the scale, R G B each."""
    from matplotlib import colormaps  # not pyplot, which looks for a screen

    return bytes(colormaps["inferno"](np.arange(256), bytes=True)[:, :3].tobytes())


def coloured(steps: np.ndarray) -> Image.Image:
    """The colours (RGB) of steps (H, W) on the scale."""
    picture = Image.fromarray(steps)
    picture.putpalette(_palette())
    return picture.convert("RGB")
