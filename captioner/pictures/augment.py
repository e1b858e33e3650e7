"""Training photos varied: a view is drawn once, then applied to pixels and boxes alike.

torchvision's `transforms.v2` does the same kind of thing for pixels and boxes, but draws from
torch's one generator, which the threads that read photos would share, and crops at whole pixels; it
takes about twice the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.pictures.preprocess import channels_first
from captioner.recipes.photos import AugmentConfig

_Box: TypeAlias = tuple[float, float, float, float]  # x, y, width, height in shares of the sides


@dataclass(frozen=True)
class View:
    """How a copy shows a photo: which part of it, mirrored or not, in which light.

    Random resized crop and colour jitter as in Szegedy et al., "Going deeper with convolutions"
    (2015), section 6, and Krizhevsky et al. (2012), section 4.1; the crop's share of the photo is
    exact, as no draw is ever clipped. The view that a call without arguments makes is the photo as
    it is.
    """

    left: float = 0.0  # of the part that is shown, in shares of the photo's sides
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0
    mirrored: bool = False
    brightness: float = 1.0  # factors; 1 changes nothing
    contrast: float = 1.0
    saturation: float = 1.0

    @classmethod
    def draw(
        cls, settings: AugmentConfig, rng: np.random.Generator, flip_allowed: bool = True
    ) -> View:
        """A view in which the photo's captions still hold.

        Args:
            settings: how much may change.
            rng: drawn from equally often whatever the settings, so that one photo's changes never
                shift the next one's.
            flip_allowed: False for a photo whose captions tell left from right.
        """
        draws = rng.random(8)
        part = _crop_box(settings.crop, draws[:4]) if settings.crop < 1 else (0.0, 0.0, 1.0, 1.0)
        mirrored = settings.flip and flip_allowed and bool(draws[4] < 0.5)
        return cls(*part, mirrored, *(1 + settings.jitter * (2 * draws[5:] - 1)).tolist())

    def show(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The copy of a photo, uint8 (3, H, W) like its pixels, which stay as they are."""
        picture = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))  # (H, W, 3)
        wide, high = picture.size
        part = (self.left * wide, self.top * high, self.right * wide, self.bottom * high)
        picture = picture.resize(picture.size, Image.Resampling.BILINEAR, box=part)
        if self.mirrored:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        light = (self.brightness, self.contrast, self.saturation)
        if light != (1, 1, 1):
            picture = picture.convert("RGB", _colour_matrix(picture, *light))
        return channels_first(picture)  # (3, H, W)

    def place(self, box: _Box) -> _Box | None:
        """Where a box (x, y, width, height) lies on the copy, in shares; None: outside."""
        x, y, width, height = box
        wide, high = self.right - self.left, self.bottom - self.top
        left, right = (min(max((e - self.left) / wide, 0), 1) for e in (x, x + width))
        top, bottom = (min(max((e - self.top) / high, 0), 1) for e in (y, y + height))
        if self.mirrored:
            left, right = 1 - right, 1 - left
        return (left, top, right - left, bottom - top) if right > left and bottom > top else None


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
