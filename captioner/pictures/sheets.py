"""Sheets: all words over their maps, and photos with lines of text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from captioner.errors import ConfigError
from captioner.pictures.blocks import (
    BOLD,
    REGULAR,
    Block,
    Box,
    Mark,
    Picture,
    Text,
    beside,
    clean,
    fitted,
    font,
    framed,
    matted,
    paragraph,
    pictured,
    px,
    shrunk,
    stacked,
)
from captioner.pictures.drawings import comment_of, info_of
from captioner.pictures.ink import INK, LINE, MAT, MUTED, WARNING
from captioner.pictures.overlay import OPACITY, draw_overlay
from captioner.pictures.scale import checked_maps, coloured, shared_peak, spread
from captioner.pictures.vectors import pdf, svg

_DRAWN_AT = 224  # the tile size at which the sheet's measures are given; they grow with `tile`
_SHEET_WIDTH, _LEGEND_WIDTH = 1400, 430  # widest mosaic and narrowest sheet, at that tile size
_TALLEST, _WIDEST = 0.5, 2.5  # width : height of a tile; photos beyond are drawn on a mat
_DENSITY = 2  # pixels of a picture for one of the drawing, in SVG and PDF
_SMALLEST_TILE = 112  # below it the words are unreadable
_FOOTER = "one colour scale for all words · attention shows where the model looked, not why"
_GAUGE = "strip under each map: its spread, the share of the photo it looked at"


class SheetWord(Protocol):
    """What a contact sheet needs to know of a word; `words.Word` has it."""

    @property
    def text(self) -> str:
        """The word as written."""

    @property
    def prob(self) -> float | None:
        """Its probability in [0, 1]; None where the model has none, as for unknown words."""

    @property
    def known(self) -> bool:
        """Whether the vocabulary holds it."""

    @property
    def copied(self) -> bool:
        """Whether it was copied from what the model recognised."""


def contact_sheet(
    photo: Image.Image,
    words: Sequence[SheetWord],
    maps: np.ndarray,
    *,
    title: str = "",
    grid: bool = False,
    columns: int | None = None,
    tile: int = _DRAWN_AT,
) -> Image.Image:
    """The photo, then every word over its map: Show, Attend and Tell (Xu et al. 2015), figure 2.

    Unlike there, all words share one colour scale (`shared_peak`), printed below with its numbers,
    and every word shows its probability and how far its look was spread (`spread`).

    Args:
        photo: any mode and size; its aspect ratio is kept, beyond 1:2 and 5:2 on a mat.
        words: T words; unknown and copied ones are marked.
        maps: (T, h, w), each summing to 1.
        title: printed on top and wrapped; usually the whole caption.
        grid: show bare cells instead of smoothed maps.
        columns: tiles in a row; None takes what keeps the sheet readable on a page.
        tile: side in pixels of a square photo's tile (others get the same area); type and
            margins grow with it, so that 448 is the same sheet for a screen twice as dense.

    Returns:
        RGB.

    Raises:
        ConfigError: words and maps do not match, the maps are no attention maps, or a setting is
            out of range.
    """
    return sheet_block(
        photo, words, maps, title=title, grid=grid, columns=columns, tile=tile
    ).painted()


def sheet_block(
    photo: Image.Image,
    words: Sequence[SheetWord],
    maps: np.ndarray,
    *,
    title: str = "",
    grid: bool = False,
    columns: int | None = None,
    tile: int = _DRAWN_AT,
) -> Block:
    """What `contact_sheet` paints, laid out and not painted yet.

    Raises:
        ConfigError: as there.
    """
    maps = checked_maps(maps, "(T, h, w)")
    _check_sheet(words, maps, columns, tile)
    unit = tile / _DRAWN_AT
    box = _tile_box(photo.size, tile)
    small = fitted(photo, box)
    peak, gap = shared_peak(maps), px(20, unit)
    tiles = [_photo_tile(small, box, maps.shape[1:], unit)]
    for word, cells, share in zip(words, maps, spread(maps), strict=True):
        label = _word_label(word, float(share), box[0], unit)
        tiles.append(_tile(draw_overlay(small, cells, peak=peak, grid=grid), box, label, unit))
    columns = columns or _columns(len(tiles), box[0] + gap, px(_SHEET_WIDTH, unit))
    rows = [beside(tiles[i : i + columns], gap) for i in range(0, len(tiles), columns)]
    mosaic = stacked(rows, px(24, unit))
    width = max(mosaic.width, px(_LEGEND_WIDTH, unit))
    blocks = [mosaic, _legend(peak, maps, width, unit)]
    if clean(title):
        blocks.insert(0, paragraph(title, font(px(28, unit), BOLD), INK, width))
    return framed(stacked(blocks, px(28, unit)), px(36, unit))


@dataclass(frozen=True, eq=False)
class Sheet:
    """A contact sheet that is not drawn yet, as pixels or as lines and letters."""

    photo: Image.Image
    words: Sequence[SheetWord]  # T
    maps: np.ndarray  # (T, h, w)
    title: str = ""
    grid: bool = False  # show bare cells instead of smoothed maps

    def picture(self) -> Image.Image:
        """As pixels (RGB): see `contact_sheet`."""
        return contact_sheet(self.photo, self.words, self.maps, title=self.title, grid=self.grid)

    def vectors(self, suffix: str, texts: Mapping[str, str]) -> bytes:
        """As an SVG or PDF file of the same size, its pictures twice as dense."""
        block = sheet_block(
            self.photo,
            self.words,
            self.maps,
            title=self.title,
            grid=self.grid,
            tile=_DENSITY * _DRAWN_AT,
        )
        title, scale = clean(self.title), 1 / _DENSITY
        if suffix == ".svg":
            return svg(block, scale=scale, title=title, comment=comment_of(texts))
        return pdf(block, scale=scale, title=title, notes=info_of(texts))


def photo_rows(
    rows: Sequence[tuple[Image.Image, Sequence[str]]], *, title: str = ""
) -> Image.Image:
    """Photos on the left, lines of text on the right: the best and worst of an evaluation, say.

    Args:
        rows: a photo and its lines each; the first line is set in bold, long ones are wrapped.
        title: printed on top and wrapped.

    Returns:
        RGB.
    """
    box, width, text_width = (300, 240), 1050, 720
    blocks = [paragraph(title, font(30, BOLD), INK, width)] if clean(title) else []
    for photo, lines in rows:
        picture = fitted(photo, box)
        text = [paragraph(line, font(22, BOLD), INK, text_width) for line in lines[:1]]
        text += [paragraph(line, font(19, REGULAR), MUTED, text_width) for line in lines[1:]]
        rule = Block(width, 1, (Box(0, 0, width, 1, LINE),))
        gap = width - text_width - picture.width
        blocks += [rule, beside([pictured(picture), stacked(text, 8)], gap)]
    return framed(stacked(blocks, 24), 36).painted()


def _check_sheet(
    words: Sequence[SheetWord], maps: np.ndarray, columns: int | None, tile: int
) -> None:
    if len(words) != len(maps):
        raise ConfigError(f"{len(words)} words came with {len(maps)} maps: give each word its map")
    if columns is not None and columns < 1:
        raise ConfigError(f"columns is {columns}, but at least 1 was expected")
    if tile < _SMALLEST_TILE:
        raise ConfigError(f"tile is {tile} pixels, but at least {_SMALLEST_TILE} was expected")


def _tile_box(photo: tuple[int, int], tile: int) -> tuple[int, int]:
    """Width and height of a tile: the photo's aspect ratio within limits, the area of tile²."""
    aspect = min(max(photo[0] / photo[1], _TALLEST), _WIDEST)
    return round(tile * math.sqrt(aspect)), round(tile / math.sqrt(aspect))


def _columns(tiles: int, step: int, width: int) -> int:
    """As many columns as fit, then as few as give the same number of rows."""
    rows = math.ceil(tiles / max(1, width // step))
    return math.ceil(tiles / rows)


def _tile(picture: Image.Image, box: tuple[int, int], label: Block, unit: float) -> Block:
    return stacked([matted(picture, box, MAT), label], px(3, unit))


def _photo_tile(
    small: Image.Image, box: tuple[int, int], shape: tuple[int, ...], unit: float
) -> Block:
    face, cells = shrunk(f"{shape[0]} × {shape[1]} cells", px(16, unit), REGULAR, box[0])
    marks = (
        Text(0, px(34, unit), "photo", MUTED, font(px(21, unit), REGULAR)),
        Text(0, px(58, unit), cells, MUTED, face),
    )
    return _tile(small, box, Block(box[0], px(64, unit), marks), unit)


def _word_label(word: SheetWord, share: float, width: int, unit: float) -> Block:
    """The gauge of the map's spread; below it the word, its probability and the spread."""
    high, middle, low = px(6, unit), px(34, unit), px(58, unit)
    marks: list[Mark] = [
        Box(0, 0, width, high, LINE),
        Box(0, 0, max(1, round(width * share)), high, MUTED),
    ]
    face, text = shrunk(clean(word.text), px(21, unit), BOLD, width)
    marks.append(Text(0, middle, text, INK, face))
    taken = face.getlength(text) + px(8, unit)
    face = font(px(16, unit), REGULAR)
    if word.copied and taken + face.getlength("copied") <= width:
        marks.append(Text(width, middle, "copied", MUTED, face, "rs"))
    chance, ink = (_percent(word.prob), MUTED) if word.known else ("unknown", WARNING)
    marks.append(Text(0, low, chance, ink, face))
    number = f"spread {100 * share:.0f} %"
    if face.getlength("unknown" + number) + px(8, unit) <= width:
        marks.append(Text(width, low, number, MUTED, face, "rs"))
    return Block(width, px(64, unit), tuple(marks))


def _percent(prob: float | None) -> str:
    """A probability in whole per cent that never rounds to certainty or to impossibility."""
    if prob is None:
        return "–"
    if prob < 0.01:
        return "< 1 %"
    return f"{100 * prob:.0f} %" if prob < 0.995 else "> 99 %"


def _legend(peak: float, maps: np.ndarray, width: int, unit: float) -> Block:
    """The colour scale with its numbers and, beside or below it, how to read the sheet."""
    face = font(px(16, unit), REGULAR)
    if not len(maps):
        return paragraph("no words, so no maps", face, MUTED, width)
    bar = _colour_bar(peak, maps, unit)
    gap = px(40, unit)
    rest = width - bar.width - gap
    wide = rest >= px(_LEGEND_WIDTH, unit)
    notes = [paragraph(note, face, MUTED, rest if wide else width) for note in (_GAUGE, _FOOTER)]
    text = stacked(notes, px(8, unit))
    return beside([bar, text], gap) if wide else stacked([bar, text], px(16, unit))


def _colour_bar(peak: float, maps: np.ndarray, unit: float) -> Block:
    """The scale from 0 to the peak as it looks on mid-grey, the even weight 1/N marked."""
    wide, top, high = px(390, unit), px(24, unit), px(16, unit)
    cells = maps[0].size
    face = font(px(16, unit), REGULAR)
    ramp = np.tile(np.linspace(0, 255, wide).round().astype(np.uint8), (high, 1))
    grey = Image.new("RGB", (wide, high), (128, 128, 128))
    x = min(wide - 1, round(wide / cells / peak))
    even = f"even: 1/{cells} = {1 / cells:.2g}"
    start = max(0, min(x, wide - math.ceil(face.getlength(even))))
    low = top + high + px(19, unit)
    more = "≥ " if maps.max() > peak else ""
    marks = (
        Picture(0, top, Image.blend(grey, coloured(ramp), OPACITY)),
        Box(x, top - px(5, unit), px(2, unit), high + px(5, unit), INK),
        Text(start, top - px(8, unit), even, MUTED, face),
        Text(0, low, "0", MUTED, face),
        Text(wide // 2, low, "attention weight of a cell", MUTED, face, "ms"),
        Text(wide, low, f"{more}{peak:.2g}", MUTED, face, "rs"),
    )
    return Block(wide, px(64, unit), marks)
