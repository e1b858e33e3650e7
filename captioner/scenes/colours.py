"""The colours of the drawn world: their names, and what is mixed from them."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from random import Random

RGB = tuple[int, int, int]  # 0 to 255

COLOURS: Mapping[str, RGB] = {
    "red": (226, 62, 58),
    "orange": (245, 138, 44),
    "yellow": (250, 206, 62),
    "green": (74, 166, 82),
    "blue": (50, 116, 214),
    "purple": (138, 84, 196),
    "pink": (245, 138, 180),
    "brown": (142, 92, 58),
    "black": (54, 52, 62),
    "white": (247, 245, 240),
    "grey": (152, 156, 166),
}
INK: RGB = (48, 40, 56)  # of eyes, noses and shoes
BLUSH: RGB = (240, 132, 128)  # of ears and hair bands


def mix(colour: RGB, other: RGB, share: float) -> RGB:
    """`colour` with `share` (0 to 1) of `other` in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def darken(colour: RGB, share: float = 0.18) -> RGB:
    """`colour` in the shade, by `share` (0 to 1)."""
    # Towards night blue, not black: shadows in flat drawings look dirty otherwise.
    return mix(colour, (28, 20, 62), share)


def lighten(colour: RGB, share: float = 0.3) -> RGB:
    """`colour` with `share` (0 to 1) of white in it."""
    return mix(colour, (255, 255, 255), share)


def vary(rng: Random, colour: RGB) -> RGB:
    """A neighbour of `colour` that still goes by its name."""
    hue, light, strength = colorsys.rgb_to_hls(*(part / 255 for part in colour))
    light = min(max(light + rng.uniform(-0.03, 0.03), 0), 1)
    red, green, blue = colorsys.hls_to_rgb((hue + rng.uniform(-0.012, 0.012)) % 1, light, strength)
    return round(red * 255), round(green * 255), round(blue * 255)
