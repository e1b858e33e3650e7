"""Pictures of any mode as RGB of eight bits; and what is white in those of more bits."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, TiffImagePlugin

from captioner.errors import ImageError
from captioner.pictures.formats import content

_SIGNIFICANT_BITS = re.compile(rb"\0\0\0[\1-\4]sBIT(.)", re.DOTALL)  # PNG, section 11.3.2.7
_BITS_PER_SAMPLE, _MAX_SAMPLE, _SIGNED_MAX_SAMPLE = 258, 281, 341  # TIFF 6.0, section 8 and 19
_WHITES = frozenset(2**bits - 1 for bits in range(8, 16))  # of fewer bits than the file holds


def _declared_white(image: Image.Image) -> int | None:
    """The value of white that a file of 16-bit grey values declares; None where it does not."""
    if image.mode[:1] != "I":
        return None
    values: list[Any] = []
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        values = [image.tag_v2.get(tag) for tag in (_MAX_SAMPLE, _SIGNED_MAX_SAMPLE)]
        bits = image.tag_v2.get(_BITS_PER_SAMPLE)
        values.append(2 ** bits[0] - 1 if bits else None)
    elif isinstance(image, PngImagePlugin.PngImageFile) and image.fp:
        head = content(image.fp)  # type: ignore[arg-type]
        found = _SIGNIFICANT_BITS.search(head, 33, max(33, head.find(b"IDAT")))
        values = [2 ** found[1][0] - 1 if found else None]
    plain = [next(iter(value), None) if isinstance(value, tuple) else value for value in values]
    return next((value for value in plain if value in _WHITES), None)


def _is_deep(image: Image.Image) -> bool:
    """Whether a file holds colours of 16 bits, of which Pillow keeps the upper eight."""
    return image.mode in ("RGB", "RGBA") and ";16" in str(getattr(image, "tile", ""))


def _brightened(picture: Image.Image) -> Image.Image:
    """Colours of 10, 12 or 14 bits that came in 16, of which there is less than eight bits left."""
    top = max(int(np.asarray(channel).max()) for channel in picture.split())
    white = next((white for white in (3, 15, 63) if 0 < top <= white), 255)
    return picture if white == 255 else picture.point(lambda value: value * 255 / white)


def decoded(image: Image.Image, name: str) -> Image.Image:
    """A picture of any mode as a new RGB one; transparency is laid on white.

    Args:
        image: perhaps not read yet.
        name: of it in messages.

    Raises:
        ImageError: It holds NaN or infinite values. Pillow's readers raise whatever they like.
    """
    white, deep = _declared_white(image), _is_deep(image)  # told by the file, until it is read
    image.load()
    picture = _rgb(image, name, white)
    return _brightened(picture) if deep else picture


def _rgb(image: Image.Image, name: str, white: int | None) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image)  # (H, W)
        top = _value_range(values, name)
        # Less than the values take is no range; more than the fewest bits take may well be one.
        top = white if white is not None and values.max() <= white else top
        return Image.fromarray(eight_bits(values, top)).convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        canvas = Image.new("RGB", layer.size, "white")
        canvas.paste(layer.convert("RGB"), mask=layer.getchannel("A"))
        return canvas
    return image.convert("RGB")  # a copy where it is RGB already


def _value_range(values: NDArray[Any], name: str) -> float:
    """The value that stands for white in a picture of 16-bit, 32-bit or float values.

    Nothing tells, so it is the smallest usual one that no value exceeds, or else the largest value.
    """
    if not np.isfinite(values).all():
        raise ImageError(f"{name}: holds NaN or infinite values, expected finite ones")
    top = float(values.max())
    usual = (1, 255, 65535) if values.dtype.kind == "f" else (255, 1023, 4095, 16383, 65535)
    return next((white for white in usual if top <= white), top)


def eight_bits(values: NDArray[Any], white: float) -> NDArray[np.uint8]:
    """Values from 0 to `white`, rounded to 0 to 255; whatever lies outside is clipped."""
    scaled = values.astype(np.float32) * np.float32(255 / white)
    return np.rint(scaled.clip(0, 255, out=scaled), out=scaled).astype(np.uint8)
