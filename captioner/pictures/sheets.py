"""Pictures of attention: a map on its photo, a sheet of all words, an alignment, photos with text.

Three promises hold for everything drawn here, because pictures of attention easily flatter it:

- **One scale.** A colour stands for a weight, never for "this map's own maximum": with a scale per
  map (min–max), an even map looks as focused as a sharp one.
- **Only the map has colour.** The photo under a map is grey, so that an orange dress cannot be
  mistaken for attention.
- **No weight that no cell has.** Smoothing is bicubic (bilinear turns a 7×7 grid into diamonds) and
  its over- and undershoot is cut off at the map's own extremes; `grid=True` shows the bare cells.

The colours are matplotlib's *inferno*: lightness rises evenly with the weight, so that it reads
alike with every kind of colour blindness and in grey print; and its zero is black, which leaves
what was not looked at dim but visible (viridis and cividis put a violet or blue veil there).
A heat map lies on no photo and takes matplotlib's *Blues*, as even, with a zero near the paper.
The same arguments give the same bytes.
"""

from __future__ import annotations

import io
import math
import textwrap
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from captioner.errors import ConfigError

FULL_COLOUR = 6  # times the even weight 1/N: the least weight that may get the full colour
OPACITY = 0.55  # share of the map's colour in every pixel; the rest is the photo in grey
SUM_TOLERANCE = 0.01  # half-precision softmax sums miss 1 by a few thousandths
_SMALLEST_PEAK = 1e-6  # below the even weight of any grid; keeps float32 far from its limits

PAPER, MAT = (250, 250, 248), (236, 237, 236)
INK, MUTED, LINE, WARNING = (28, 33, 40), (91, 98, 108), (221, 223, 224), (150, 82, 0)

_REGULAR, _BOLD = "DejaVuSans.ttf", "DejaVuSans-Bold.ttf"
_DRAWN_AT = 224  # the tile size at which the sheet's measures are given; they grow with `tile`
_SHEET_WIDTH, _LEGEND_WIDTH = 1400, 430  # widest mosaic and narrowest sheet, at that tile size
_TALLEST, _WIDEST = 0.5, 2.5  # width : height of a tile; photos beyond are drawn on a mat
_SMALLEST_TILE = 112  # below it the words are unreadable
_SMALLEST_CELL = 8  # pixels; lines between smaller cells would hide them
_CELL, _SMALL_CELL, _BOARD = 0.6, 0.33, 4.8  # inches: a heat map's cells, and what few of them fill
_DPI, _LONGEST_BOARD = 144, 4400  # pixels: an inch, and the longest side of the cells together
_WORD_SIZE, _NOTE_SIZE = 12, 9.5  # points
_LONGEST_WORD = 24  # characters; the rest of a longer word is an ellipsis
_END_NOTE = "\n(end): on the end of the source,\nwhich the rows leave out"
_END_GAP = 0.35  # cells between the words and the end of the sentence
_UNDRAWABLE = "\u25a1"  # □, for a character that neither font has
_FOOTER = "one colour scale for all words · attention shows where the model looked, not why"
_GAUGE = "strip under each map: its spread, the share of the photo it looked at"


class SheetWord(Protocol):
    """What a contact sheet needs to know of a word; `prediction.Word` has it."""

    @property
    def text(self) -> str:
        """The word as written."""

    @property
    def prob(self) -> float | None:
        """Its probability in [0, 1]; None where the model has none, as for unknown words."""

    @property
    def known(self) -> bool:
        """Whether the vocabulary holds it."""


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
    maps = _checked(maps, "(T, h, w)")
    even = _even_peak(maps.shape[1] * maps.shape[2])
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
    maps = _checked(weights, "(T, h, w)")
    cells = maps.shape[1] * maps.shape[2]
    p = maps.reshape(len(maps), cells)
    p = p / p.sum(axis=1, keepdims=True)
    entropy = -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1)  # 0 · ln 0 = 0
    share: np.ndarray = np.clip(np.exp(entropy) / cells, 1 / cells, 1.0)
    return share


def overlay(
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
    cells = _checked(weights, "(h, w)")
    peak = _even_peak(cells.size) if peak is None else peak
    if not _SMALLEST_PEAK <= peak <= 1:
        raise ConfigError(f"peak is {peak}, but a weight from {_SMALLEST_PEAK} to 1 was expected")
    if not 0 <= opacity <= 1:
        raise ConfigError(f"opacity is {opacity}, but a number from 0 to 1 was expected")
    grey = photo.convert("RGB").convert("L").convert("RGB")
    levels = _levels(cells / peak)
    if not grid:
        return Image.blend(grey, _coloured(_smoothed(levels, photo.size)), opacity)
    rows, columns = _owners(photo.height, len(cells)), _owners(photo.width, cells.shape[1])
    blend = Image.blend(grey, _coloured(_cells(levels, rows, columns)), opacity)
    return _with_lines(blend, rows, columns)


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
        words: T words; unknown ones are marked.
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
    maps = _checked(maps, "(T, h, w)")
    _check_sheet(words, maps, columns, tile)
    unit = tile / _DRAWN_AT
    box = _tile_box(photo.size, tile)
    small = _fitted(photo, box)
    peak, gap = shared_peak(maps), _px(20, unit)
    tiles = [_photo_tile(small, box, maps.shape[1:], unit)]
    for word, cells, share in zip(words, maps, spread(maps), strict=True):
        label = _word_label(word, float(share), box[0], unit)
        tiles.append(_tile(overlay(small, cells, peak=peak, grid=grid), box, label, unit))
    columns = columns or _columns(len(tiles), box[0] + gap, _px(_SHEET_WIDTH, unit))
    rows = [_beside(tiles[i : i + columns], gap) for i in range(0, len(tiles), columns)]
    mosaic = _stacked(rows, _px(24, unit))
    width = max(mosaic.width, _px(_LEGEND_WIDTH, unit))
    blocks = [mosaic, _legend(peak, maps, width, unit)]
    if _clean(title):
        blocks.insert(0, _paragraph(title, _font(_px(28, unit), _BOLD), INK, width))
    return _framed(_stacked(blocks, _px(28, unit)), _px(36, unit))


def heatmap(
    source_words: Sequence[str],
    words: Sequence[str],
    alignment: np.ndarray,
    *,
    end_mass: np.ndarray | None = None,
    title: str = "",
) -> Image.Image:
    """A translation's alignment: Bahdanau, Cho, Bengio 2015 (arXiv:1409.0473), figure 3.

    The source sentence stands on top, its translation at the left; a row shows where its word
    looked. The scale runs from 0 to 1 in every heat map, so that two of them can be compared and
    an even row looks even. Letters are Latin, Greek, Cyrillic and Korean.

    Args:
        source_words: S words.
        words: T words of the translation.
        alignment: (T, S) shares of attention, rows renormalised over words.
        end_mass: (T,) share of each word's attention that fell on the end of the source, before
            the row was renormalised; drawn as a column apart.
        title: printed on top and wrapped.

    Returns:
        RGB; its size follows the numbers of words.

    Raises:
        ConfigError: words and alignment do not match, or shares lie outside 0 to 1.
    """
    cells = _checked_alignment(source_words, words, alignment, end_mass)
    columns = len(source_words) + (0 if end_mass is None else 1 + _END_GAP)
    cell = min(_CELL, max(_SMALL_CELL, _BOARD / max(columns, len(words))))
    figure, board = _board(columns * cell, len(words) * cell)
    _draw_cells(board, cells, 0)
    places = np.arange(len(source_words)) + 0.5
    names = [_drawable(word) for word in source_words]
    if end_mass is not None:
        _draw_cells(board, np.asarray(end_mass, dtype=float)[:, None], len(source_words) + _END_GAP)
        places, names = np.append(places, columns - 0.5), [*names, "(end)"]
    _label_board(board, names, places, [_drawable(word) for word in words])
    if end_mass is not None:
        board.get_xticklabels()[-1].set_color(shade(MUTED))
    _draw_scale(figure, f"share of the word's attention{'' if end_mass is None else _END_NOTE}")
    if _clean(title):
        wrapped = textwrap.fill(_drawable(title, None), max(24, round(columns * cell * 9)))
        board.set_title(wrapped, loc="left", pad=12, **_type(_WORD_SIZE + 2, INK, weight="bold"))
    return painted(figure, min(_DPI, _LONGEST_BOARD / (cell * max(columns, len(words)))))


def painted(figure: Any, dpi: float = _DPI) -> Image.Image:
    """A matplotlib figure, cut to what is drawn on it, as a picture (RGB)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # pyplot would look for a screen

    file = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(
        file, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.25, facecolor=shade(PAPER)
    )
    return Image.open(file).convert("RGB")


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
    blocks = [_paragraph(title, _font(30, _BOLD), INK, width)] if _clean(title) else []
    for photo, lines in rows:
        picture = _fitted(photo, box)
        text = [_paragraph(line, _font(22, _BOLD), INK, text_width) for line in lines[:1]]
        text += [_paragraph(line, _font(19, _REGULAR), MUTED, text_width) for line in lines[1:]]
        rule = Image.new("RGB", (width, 1), LINE)
        blocks += [rule, _beside([picture, _stacked(text, 8)], width - text_width - picture.width)]
    return _framed(_stacked(blocks, 24), 36)


# From weights to colours


def _checked(weights: np.ndarray, shape: Literal["(h, w)", "(T, h, w)"]) -> np.ndarray:
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


def _even_peak(cells: int) -> float:
    return min(1.0, FULL_COLOUR / cells)


def _levels(shares: np.ndarray) -> np.ndarray:
    """Shares of the peak (h, w) as levels of the colour scale, float32; the floor is the step.

    Larger shares than 1 end here, before any smoothing: afterwards, a sharp cell's slope would
    stay above the peak far into its neighbours and make the cell look larger than it is.
    """
    levels: np.ndarray = (np.minimum(shares, 1) * 255 + 0.5).astype(np.float32)
    return levels


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


@lru_cache(maxsize=1)
def _palette() -> bytes:
    """The 256 colours of the scale, R G B each."""
    from matplotlib import colormaps  # not pyplot, which looks for a screen

    return bytes(colormaps["inferno"](np.arange(256), bytes=True)[:, :3].tobytes())


def _coloured(steps: np.ndarray) -> Image.Image:
    """The colours (RGB) of steps (H, W) on the scale."""
    picture = Image.fromarray(steps)
    picture.putpalette(_palette())
    return picture.convert("RGB")


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


# The parts of a heat map


def _checked_alignment(
    source_words: Sequence[str],
    words: Sequence[str],
    alignment: np.ndarray,
    end_mass: np.ndarray | None,
) -> np.ndarray:
    """The alignment as float64; anything but shares of the right shape is refused."""
    cells, expected = np.asarray(alignment, dtype=np.float64), (len(words), len(source_words))
    if 0 in expected:
        which = "source" if words else "translation"
        raise ConfigError(f"the {which} has no words, so there is no alignment to draw")
    if cells.shape != expected:
        raise ConfigError(
            f"the alignment has shape {cells.shape}, but {expected} was expected: a row for each "
            "word of the translation, a column for each word of the source"
        )
    end = np.zeros(len(words)) if end_mass is None else np.asarray(end_mass, dtype=np.float64)
    if end.shape != expected[:1]:
        raise ConfigError(f"end_mass has shape {end.shape}, but {expected[:1]} was expected")
    for name, shares in (("the alignment", cells), ("end_mass", end)):
        if not (np.isfinite(shares).all() and 0 <= shares.min() <= shares.max() <= 1.01):
            raise ConfigError(
                f"{name} holds values from {shares.min():.3g} to {shares.max():.3g}, but shares of "
                "attention from 0 to 1 were expected"
            )
    return cells


def _board(width: float, height: float) -> tuple[Any, Any]:
    """A figure with axes of this size in inches; what lies around them grows the figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.add_axes((0, 0, 1, 1))


def _draw_cells(board: Any, cells: np.ndarray, left: float) -> None:
    columns, rows = np.arange(cells.shape[1] + 1) + left, np.arange(len(cells) + 1)
    lines = {"edgecolors": [shade(LINE)], "linewidth": 0.6, "clip_on": False}
    board.pcolormesh(columns, rows, cells, cmap="Blues", vmin=0, vmax=1, **lines)


def _label_board(
    board: Any, names: Sequence[str], places: np.ndarray, words: Sequence[str]
) -> None:
    """The source on top, slanted so that columns can be narrow; the target at the left."""
    board.invert_yaxis()
    board.set_frame_on(False)
    board.tick_params(length=0, pad=6, labelsize=_WORD_SIZE)
    board.xaxis.tick_top()
    board.set_xticks(places, names, rotation=45, ha="left", rotation_mode="anchor", **_type())
    board.tick_params(axis="x", pad=2)
    board.set_yticks(np.arange(len(words)) + 0.5, words, **_type())


def _draw_scale(figure: Any, note: str) -> None:
    """A colour bar below the cells, with its numbers and what they are."""
    from matplotlib.cm import ScalarMappable

    width, height = figure.get_size_inches()
    long = min(1.0, 2.4 / width)
    axes = figure.add_axes((0, -0.42 / height, long, 0.12 / height))
    bar = figure.colorbar(ScalarMappable(cmap="Blues"), cax=axes, orientation="horizontal")
    bar.outline.set_visible(False)
    bar.set_ticks([0, 0.5, 1], labels=["0", "0.5", "1"], **_type(_NOTE_SIZE, MUTED))
    bar.ax.tick_params(length=0, pad=3)
    bar.set_label(note, loc="left", **_type(_NOTE_SIZE, MUTED))


def _type(size: float = _WORD_SIZE, ink: tuple[int, int, int] = INK, **more: Any) -> dict[str, Any]:
    """Matplotlib's words for our type; a `$` in a sentence starts no formula."""
    families = list(_families())
    return {
        "fontfamily": families,
        "fontsize": size,
        "color": shade(ink),
        "parse_math": False,
    } | more


def shade(colour: tuple[int, int, int]) -> tuple[float, ...]:
    """A colour as matplotlib takes it."""
    return tuple(channel / 255 for channel in colour)


@lru_cache(maxsize=1)
def _families() -> tuple[str, ...]:
    """DejaVu Sans and, for what it lacks, NanumGothic (SIL Open Font License), made known once."""
    from matplotlib.font_manager import fontManager

    for path in _korean_fonts():
        fontManager.addfont(path)
    return ("DejaVu Sans", "NanumGothic") if _korean_fonts() else ("DejaVu Sans",)


def _korean_fonts() -> list[Path]:
    """Those in koreanize-matplotlib, which is not imported: it needs Python 3.11's distutils."""
    package = find_spec("koreanize_matplotlib")
    folder = Path(package.origin).with_name("fonts") if package and package.origin else Path()
    paths = [folder / name for name in ("NanumGothic.ttf", "NanumGothicExtraBold.ttf")]
    return [path for path in paths if path.is_file()]


@lru_cache(maxsize=1)
def _letters() -> frozenset[int]:
    """What the fonts can draw; anything else would be a warning and an empty box."""
    from matplotlib import get_data_path
    from matplotlib.ft2font import FT2Font

    paths = [Path(get_data_path(), "fonts", "ttf", _REGULAR), *_korean_fonts()]
    return frozenset(code for path in paths for code in FT2Font(str(path)).get_charmap())


def _drawable(text: str, longest: int | None = _LONGEST_WORD) -> str:
    """One line that the fonts can draw, its end an ellipsis where it is too long."""
    line = "".join(c if ord(c) in _letters() else _UNDRAWABLE for c in _clean(text))
    return line if longest is None or len(line) <= longest else f"{line[: longest - 1]}…"


# The parts of a sheet


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


def _tile(
    picture: Image.Image, box: tuple[int, int], label: Image.Image, unit: float
) -> Image.Image:
    mat = Image.new("RGB", box, MAT)
    _centre(mat, picture)
    return _stacked([mat, label], _px(3, unit))


def _photo_tile(
    small: Image.Image, box: tuple[int, int], shape: tuple[int, ...], unit: float
) -> Image.Image:
    label, pen = _label(box[0], unit)
    pen.text((0, _px(34, unit)), "photo", MUTED, _font(_px(21, unit), _REGULAR), anchor="ls")
    face, cells = _shrunk(f"{shape[0]} × {shape[1]} cells", _px(16, unit), _REGULAR, box[0])
    pen.text((0, _px(58, unit)), cells, MUTED, face, anchor="ls")
    return _tile(small, box, label, unit)


def _word_label(word: SheetWord, share: float, width: int, unit: float) -> Image.Image:
    """The gauge of the map's spread; below it the word, its probability and the spread."""
    label, pen = _label(width, unit)
    pen.rectangle((0, 0, width - 1, _px(6, unit) - 1), LINE)
    pen.rectangle((0, 0, max(1, round(width * share)) - 1, _px(6, unit) - 1), MUTED)
    face, text = _shrunk(_clean(word.text), _px(21, unit), _BOLD, width)
    pen.text((0, _px(34, unit)), text, INK, face, anchor="ls")
    face, low = _font(_px(16, unit), _REGULAR), _px(58, unit)
    chance, ink = (_percent(word.prob), MUTED) if word.known else ("unknown", WARNING)
    pen.text((0, low), chance, ink, face, anchor="ls")
    number = f"spread {100 * share:.0f} %"
    if face.getlength("unknown" + number) + _px(8, unit) <= width:
        pen.text((width, low), number, MUTED, face, anchor="rs")
    return label


def _label(width: int, unit: float) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    label = Image.new("RGB", (width, _px(64, unit)), PAPER)
    return label, ImageDraw.Draw(label)


def _percent(prob: float | None) -> str:
    """A probability in whole per cent that never rounds to certainty or to impossibility."""
    if prob is None:
        return "–"
    if prob < 0.01:
        return "< 1 %"
    return f"{100 * prob:.0f} %" if prob < 0.995 else "> 99 %"


def _legend(peak: float, maps: np.ndarray, width: int, unit: float) -> Image.Image:
    """The colour scale with its numbers and, beside or below it, how to read the sheet."""
    face = _font(_px(16, unit), _REGULAR)
    if not len(maps):
        return _paragraph("no words, so no maps", face, MUTED, width)
    bar = _colour_bar(peak, maps, unit)
    gap = _px(40, unit)
    rest = width - bar.width - gap
    wide = rest >= _px(_LEGEND_WIDTH, unit)
    notes = [_paragraph(note, face, MUTED, rest if wide else width) for note in (_GAUGE, _FOOTER)]
    text = _stacked(notes, _px(8, unit))
    return _beside([bar, text], gap) if wide else _stacked([bar, text], _px(16, unit))


def _colour_bar(peak: float, maps: np.ndarray, unit: float) -> Image.Image:
    """The scale from 0 to the peak as it looks on mid-grey, the even weight 1/N marked."""
    wide, top, high = _px(390, unit), _px(24, unit), _px(16, unit)
    cells = maps[0].size
    face = _font(_px(16, unit), _REGULAR)
    block = Image.new("RGB", (wide, _px(64, unit)), PAPER)
    ramp = np.tile(np.linspace(0, 255, wide).round().astype(np.uint8), (high, 1))
    grey = Image.new("RGB", (wide, high), (128, 128, 128))
    block.paste(Image.blend(grey, _coloured(ramp), OPACITY), (0, top))
    pen = ImageDraw.Draw(block)
    x = min(wide - 1, round(wide / cells / peak))
    pen.rectangle((x, top - _px(5, unit), x + _px(2, unit) - 1, top + high - 1), INK)
    even = f"even: 1/{cells} = {1 / cells:.2g}"
    start = min(x, wide - math.ceil(face.getlength(even)))
    pen.text((max(0, start), top - _px(8, unit)), even, MUTED, face, anchor="ls")
    low = top + high + _px(19, unit)
    pen.text((0, low), "0", MUTED, face, anchor="ls")
    pen.text((wide // 2, low), "attention weight of a cell", MUTED, face, anchor="ms")
    more = "≥ " if maps.max() > peak else ""
    pen.text((wide, low), f"{more}{peak:.2g}", MUTED, face, anchor="rs")
    return block


# Type and layout: blocks are pictures on paper, put beside and below each other


def _px(length: float, unit: float) -> int:
    return max(1, round(length * unit))


@lru_cache(maxsize=64)
def _font(size: int, name: str) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: Latin with every accent, Greek, Cyrillic."""
    from matplotlib import get_data_path

    # The basic layout is part of every Pillow; Raqm is not, and would move letters by a pixel.
    path = Path(get_data_path(), "fonts", "ttf", name)
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def _clean(text: str) -> str:
    """One line of composed, printable characters: accents and no boxes for control codes."""
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join(c for c in composed if c.isprintable())


def _prefix(text: str, face: ImageFont.FreeTypeFont, width: float) -> int:
    """How many characters of the text fit the width; at least one."""
    lengths = range(1, min(len(text), math.ceil(width)) + 1)  # spares measuring endless words
    return max(1, bisect_right(lengths, width, key=lambda n: face.getlength(text[:n])))


def _shrunk(text: str, size: int, name: str, width: int) -> tuple[ImageFont.FreeTypeFont, str]:
    """A font and the text for one line: smaller type down to 0.7, then an ellipsis."""
    for smaller in range(size, math.ceil(0.7 * size) - 1, -1):
        face = _font(smaller, name)
        if face.getlength(text) <= width:
            return face, text
    return face, text[: _prefix(text, face, width - face.getlength("…"))] + "…"


def _wrapped(text: str, face: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Lines that fit the width; a word longer than a line is broken."""
    lines, line = [], ""
    for word in _clean(text).split():
        trial = f"{line} {word}" if line else word
        if face.getlength(trial) <= width:
            line = trial
            continue
        lines += [line] if line else []
        while face.getlength(word) > width and len(word) > 1:
            cut = _prefix(word, face, width)
            lines.append(word[:cut])
            word = word[cut:]
        line = word
    return [*lines, line] if line else lines


def _paragraph(
    text: str, face: ImageFont.FreeTypeFont, ink: tuple[int, int, int], width: int
) -> Image.Image:
    lines = _wrapped(text, face, width)
    ascent, descent = face.getmetrics()
    step = round(1.12 * (ascent + descent))
    block = Image.new("RGB", (width, max(1, step * len(lines))), PAPER)
    pen = ImageDraw.Draw(block)
    for i, line in enumerate(lines):
        pen.text((0, i * step + ascent), line, ink, face, anchor="ls")
    return block


def _fitted(photo: Image.Image, box: tuple[int, int]) -> Image.Image:
    """The photo as large as the box allows, at its own aspect ratio."""
    scale = min(box[0] / photo.width, box[1] / photo.height)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    return photo.convert("RGB").resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _centre(ground: Image.Image, picture: Image.Image) -> None:
    free = (ground.width - picture.width, ground.height - picture.height)
    ground.paste(picture, (free[0] // 2, free[1] // 2))


def _stacked(blocks: Sequence[Image.Image], gap: int) -> Image.Image:
    height = sum(block.height for block in blocks) + gap * max(0, len(blocks) - 1)
    width = max((block.width for block in blocks), default=1)
    whole = Image.new("RGB", (width, max(1, height)), PAPER)
    y = 0
    for block in blocks:
        whole.paste(block, (0, y))
        y += block.height + gap
    return whole


def _beside(blocks: Sequence[Image.Image], gap: int) -> Image.Image:
    width = sum(block.width for block in blocks) + gap * (len(blocks) - 1)
    whole = Image.new("RGB", (width, max(block.height for block in blocks)), PAPER)
    x = 0
    for block in blocks:
        whole.paste(block, (x, 0))
        x += block.width + gap
    return whole


def _framed(block: Image.Image, margin: int) -> Image.Image:
    size = (block.width + 2 * margin, block.height + 2 * margin)
    whole = Image.new("RGB", size, PAPER)
    whole.paste(block, (margin, margin))
    return whole
