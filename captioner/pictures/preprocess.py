"""From a photo to the square of pixels that the model sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.errors import ConfigError, ImageError, shown
from captioner.pictures.messages import type_name
from captioner.pictures.sizes import is_count

_LARGEST = 2**13  # pixels a side; more than any recipe takes


@dataclass(frozen=True)
class Preprocess:
    """How a photo becomes the model's input; part of a checkpoint, so it travels with the weights.

    The mean and standard deviation of each channel are those of ImageNet, on values in [0, 1]; they
    are what the encoder was pre-trained with.

    Raises:
        ConfigError: A field is of the wrong type or out of range.
    """

    size: int = 224  # pixels, both sides of the square
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # red, green, blue
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        if not is_count(self.size):
            raise ConfigError(
                f"preprocess: size is {self.size!r}, expected a whole number of pixels, 1 or more"
            )
        if self.size > _LARGEST:
            raise ConfigError(
                f"preprocess: size is {shown(self.size)}, expected at most {_LARGEST} pixels"
            )
        for name in ("mean", "std"):
            values = getattr(self, name)
            if not (
                isinstance(values, (tuple, list))
                and len(values) == 3
                and all(map(_is_finite, values))
            ):
                raise ConfigError(
                    f"preprocess: {name} is {values!r}, expected three numbers (red, green, blue)"
                )
            object.__setattr__(self, name, tuple(float(value) for value in values))
        if min(self.std) <= 0:
            raise ConfigError(f"preprocess: std is {self.std!r}, expected three numbers above 0")

    def pixels(self, photo: Image.Image) -> NDArray[np.uint8]:
        """The photo squashed to the square: uint8 (3, size, size), red, green, blue.

        The aspect ratio is not kept, as it was not for the training photos. Bilinear, antialiased
        where the photo shrinks.

        Raises:
            ImageError: The picture is not RGB.
        """
        if photo.mode != "RGB":
            raise ImageError(
                f"got a picture of mode {photo.mode}, expected RGB; open it with open_photo"
            )
        square = photo.resize((self.size, self.size), Image.Resampling.BILINEAR)
        return channels_first(square)  # (3, size, size)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON knows them."""
        return {"size": self.size, "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocess:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: A field is missing, unknown, of the wrong type or out of range.
        """
        expected = {field.name for field in fields(cls)}
        if not isinstance(values, Mapping) or set(values) != expected:
            got = type_name(values)
            if isinstance(values, Mapping):
                got = ", ".join(sorted(map(str, values))) or "nothing"
            raise ConfigError(
                f"preprocess: got {got}, expected the fields {', '.join(sorted(expected))}"
            )
        return cls(**values)


def channels_first(picture: Image.Image) -> NDArray[np.uint8]:
    """A picture as an array (C, H, W), as torch takes them."""
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))  # (3, H, W)


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
