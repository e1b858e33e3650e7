"""Training photos varied: which part is seen, mirrored or not, in which light."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.config import AugmentConfig
from captioner.pictures.preprocess import channels_first


@dataclass(frozen=True)
class View:
    """Which part of a photo an augmented copy shows, in shares of its sides."""

    left: float
    top: float
    right: float
    bottom: float
    mirrored: bool = False

    def place(
        self, box: tuple[float, float, float, float]
    ) -> tuple[float, float, float, float] | None:
        """Where a box (x, y, width, height) of the photo lies on the copy; None: outside."""
        x, y, width, height = box
        wide, high = self.right - self.left, self.bottom - self.top
        left, right = (min(max((e - self.left) / wide, 0), 1) for e in (x, x + width))
        top, bottom = (min(max((e - self.top) / high, 0), 1) for e in (y, y + height))
        if self.mirrored:
            left, right = 1 - right, 1 - left
        return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def augmented_view(
    settings: AugmentConfig, rng: np.random.Generator, flip_allowed: bool = True
) -> View:
    """What `augment` shows with a generator in the same state."""
    return _view(settings, rng.random(8), flip_allowed)


def _view(settings: AugmentConfig, draws: NDArray[np.float64], flip_allowed: bool) -> View:
    box = _crop_box(settings.crop, draws[:4]) if settings.crop < 1 else (0.0, 0.0, 1.0, 1.0)
    return View(*box, mirrored=settings.flip and flip_allowed and bool(draws[4] < 0.5))


def augment(
    pixels: NDArray[np.uint8],
    settings: AugmentConfig,
    rng: np.random.Generator,
    flip_allowed: bool = True,
) -> NDArray[np.uint8]:
    """A changed copy of a training photo for which its captions still hold.

    Random resized crop and colour jitter as in Szegedy et al., "Going deeper with convolutions"
    (2015), section 6, and Krizhevsky et al. (2012), section 4.1; the crop's share of the photo is
    exact, as no draw is ever clipped.

    Args:
        pixels: uint8 (3, H, W), left as they are.
        settings: how much may change.
        rng: Drawn from equally often whatever the settings, so that one photo's changes never shift
            the next one's.
        flip_allowed: False for a photo whose captions tell left from right.

    Returns:
        uint8 of the same shape.
    """
    draws = rng.random(8)
    picture = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))  # (H, W, 3)
    view = _view(settings, draws, flip_allowed)
    if settings.crop < 1:
        wide, high = picture.size
        box = (view.left * wide, view.top * high, view.right * wide, view.bottom * high)
        picture = picture.resize(picture.size, Image.Resampling.BILINEAR, box=box)
    if view.mirrored:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if settings.jitter > 0:
        factors = 1 + settings.jitter * (2 * draws[5:] - 1)
        picture = picture.convert("RGB", _colour_matrix(picture, *factors))
    return channels_first(picture)  # (3, H, W)


def _crop_box(smallest: float, draws: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """(left, top, right, bottom), in shares, of a crop with an area in [smallest, 1].

    Of the aspect ratios 3/4 to 4/3 (to the photo's own) only those are drawn with which the crop
    fits into the photo.
    """
    share, ratio, across, down = draws.tolist()
    area = smallest + (1 - smallest) * share
    limit = min(log(4 / 3), -log(area))
    aspect = exp(limit * (2 * ratio - 1))
    width, height = min((area * aspect) ** 0.5, 1.0), min((area / aspect) ** 0.5, 1.0)
    left, top = across * (1 - width), down * (1 - height)
    right, bottom = min(left + width, 1.0), min(top + height, 1.0)
    return left, top, right, bottom


# Luma of red, green and blue (ITU-R BT.601), which Pillow's mode L and ImageEnhance use too.
_LUMA = np.array([0.299, 0.587, 0.114])


def _colour_matrix(
    picture: Image.Image, brightness: float, contrast: float, saturation: float
) -> tuple[float, ...]:
    """Brightness, contrast about the mean grey, saturation about each pixel's: a 3 × 4 matrix.

    One affine map loses nothing to rounding or clipping between the three steps.
    """
    grey = float(np.asarray(picture.convert("L")).mean()) * brightness
    mix = saturation * np.eye(3) + (1 - saturation) * _LUMA  # every row: the weights of one channel
    offset = np.full((3, 1), (1 - contrast) * grey)
    return tuple(np.hstack([contrast * brightness * mix, offset]).ravel().tolist())
