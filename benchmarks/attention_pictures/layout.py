"""Rows of maps laid out as one picture, small enough for a repository."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from captioner.pictures.blocks import (
    BOLD,
    REGULAR,
    Block,
    Text,
    beside,
    font,
    framed,
    paragraph,
    pictured,
    stacked,
)
from captioner.pictures.ink import INK, MUTED
from captioner.pictures.overlay import draw_overlay

from .rows import Asked, Row, Tile

LARGEST = 60_000  # bytes of a picture
TILE = 132  # pixels
_MARK = (0, 214, 255)  # no colour of the maps' scale
_GAP, _LABEL = 6, 168  # pixels


def _tile(asked: Asked, tile: Tile, size: int) -> Block:
    """A map on the photo, with its marks, and the note below it."""
    small = asked.photo.resize((2 * size, 2 * size), Image.Resampling.LANCZOS)
    picture = draw_overlay(small, tile.weights, peak=tile.peak)
    pen = ImageDraw.Draw(picture)
    rows, columns = tile.weights.shape
    cell = np.array([picture.width / columns, picture.height / rows])
    if tile.window is not None:
        corners = np.array(tile.window).reshape(2, 2) * cell
        corners = corners.clip(2, 2 * size - 3)
        pen.rectangle([*corners[0], *corners[1]], outline=_MARK, width=4)
    for dot in tile.dots:
        x, y = np.array(dot) * cell
        pen.ellipse((x - 9, y - 9, x + 9, y + 9), outline=_MARK, width=5)
    picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    if not tile.note:
        return pictured(picture)
    notes = [
        Block(size, 17, (Text(0, 14, line, MUTED, font(12, REGULAR)),))
        for line in tile.note.splitlines()
    ]
    return stacked([pictured(picture), *notes], 1)


def picture_of(asked: Asked, rows: Sequence[Row], heads: Sequence[str], size: int) -> Image.Image:
    """Rows of tiles, the words above them."""
    top = [Block(_LABEL, 24)]
    top += [Block(size, 24, (Text(0, 18, head, INK, font(16, BOLD)),)) for head in heads]
    blocks = [beside(top, _GAP)] if heads else []
    for row in rows:
        width = _LABEL - 8
        label = stacked(
            [
                paragraph(row.title, font(15, BOLD), INK, width),
                paragraph(row.note, font(12, REGULAR), MUTED, width),
            ],
            4,
        )
        padded = Block(_LABEL, label.height, label.marks)
        blocks.append(beside([padded, *(_tile(asked, tile, size) for tile in row.tiles)], _GAP))
    return framed(stacked(blocks, _GAP), 14).painted()


def packed(picture: Image.Image, most: int = LARGEST) -> bytes:
    """A WebP of the best quality that the size allows."""
    for quality in (90, 84, 78, 70, 60, 50, 40):
        file = io.BytesIO()
        picture.save(file, "WEBP", quality=quality, method=6)
        if file.tell() <= most:
            break
    return file.getvalue()
