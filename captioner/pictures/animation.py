"""A sentence's words one after the other, each lit over its map: a moving picture to send around.

Shapes: T words, h×w cells.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from captioner.errors import ConfigError
from captioner.pictures.blocks import (
    REGULAR,
    Block,
    Box,
    Face,
    Mark,
    Text,
    clean,
    fitted,
    font,
    framed,
    pictured,
    stacked,
)
from captioner.pictures.ink import INK, PAPER
from captioner.pictures.overlay import draw_overlay
from captioner.pictures.scale import checked_maps, shared_peak

WIDTH = 480  # pixels of a frame's photo
_TALLEST = 640  # pixels
_FIRST, _WORD = 1600, 850  # milliseconds that the plain photo and each word stand
_MARGIN, _GAP = 16, 12  # pixels


def frames(
    photo: Image.Image, words: Sequence[str], maps: np.ndarray, *, width: int = WIDTH
) -> list[Image.Image]:
    """The photo with its sentence, then each word over its map, on one colour scale.

    Args:
        photo: any mode and size; its aspect ratio is kept.
        words: T words.
        maps: (T, h, w), each summing to 1.
        width: of the photo in each frame, in pixels; a tall photo is narrower.

    Returns:
        T + 1 RGB pictures of one size.

    Raises:
        ConfigError: words and maps do not match, or the maps are no attention maps.
    """
    maps = checked_maps(maps, "(T, h, w)")
    if len(words) != len(maps):
        raise ConfigError(f"{len(words)} words came with {len(maps)} maps: give each word its map")
    small = fitted(photo, (width, _TALLEST))
    peak = shared_peak(maps) if len(maps) else 1.0
    pictures = [small, *(draw_overlay(small, cells, peak=peak) for cells in maps)]
    size = max(15, round(width / 24))
    below = (sentence(words, shown - 1, size, small.width) for shown in range(len(pictures)))
    blocks = (
        stacked([pictured(one), text], _GAP) for one, text in zip(pictures, below, strict=True)
    )
    return [framed(block, _MARGIN).painted() for block in blocks]


def gif(pictures: Sequence[Image.Image]) -> bytes:
    """Frames as an animated GIF, which goes round and round; the first stands longest."""
    buffer = io.BytesIO()
    first, *others = (picture.quantize(dither=Image.Dither.FLOYDSTEINBERG) for picture in pictures)
    durations = [_FIRST, *[_WORD] * len(others)]
    first.save(
        buffer, "GIF", save_all=True, append_images=others, duration=durations, loop=0, disposal=1
    )
    return buffer.getvalue()


def sentence(words: Sequence[str], shown: int, size: int, width: int) -> Block:
    """A sentence in lines of this width, one of its words on a dark ground.

    Args:
        words: as they are said; the first one gets its capital.
        shown: which of them is lit; none where it is out of range.
        size: of the type, in pixels.
        width: of the block, in pixels.
    """
    face = font(size, REGULAR)
    step = round(1.5 * size)
    places, lines = _places([clean(word) for word in words], face, width)
    marks: list[Mark] = []
    for place, (text, x, line) in enumerate(places):
        low, ink = line * step + round(1.1 * size), INK
        if place == shown:
            long, ink = round(face.getlength(text)) + 6, PAPER
            marks.append(Box(x - 3, line * step, long, step - 3, INK))
        marks.append(Text(x, low, text, ink, face))
    return Block(width, max(1, step * lines), tuple(marks))


def _places(
    words: Sequence[str], face: Face, width: int
) -> tuple[list[tuple[str, float, int]], int]:
    """Each word with where it begins and in which line, and how many lines there are."""
    places: list[tuple[str, float, int]] = []
    x, line, space = 4.0, 0, face.getlength(" ")
    for number, word in enumerate(words):
        text = word if number else word[:1].upper() + word[1:]
        x -= space if places and not word[:1].isalnum() else 0  # 's, n't, commas
        length = face.getlength(text)
        if places and x + length > width - 4:
            x, line = 4.0, line + 1
        places.append((text, x, line))
        x += length + space
    return places, line + 1
