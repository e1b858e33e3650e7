"""A translation's alignment: which word looked at which.

A heat map lies on no photo and takes matplotlib's *Blues*: as even as the maps' own colours (see
`scale`), with a zero near the paper.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from captioner.errors import ConfigError
from captioner.pictures.blocks import clean
from captioner.pictures.figures import (
    DPI,
    NOTE_SIZE,
    WORD_SIZE,
    as_vectors,
    drawable,
    lettering,
    painted,
    shade,
)
from captioner.pictures.ink import INK, LINE, MUTED

_CELL, _SMALL_CELL, _BOARD = 0.6, 0.33, 4.8  # inches: a heat map's cells, and what few of them fill
_LONGEST_BOARD = 4400  # pixels: the longest side of the cells together
_END_NOTE = "\n(end): on the end of the source,\nwhich the rows leave out"
_END_GAP = 0.35  # cells between the words and the end of the sentence


def draw_heatmap(
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
    return HeatMap(source_words, words, alignment, end_mass, title).picture()


@dataclass(frozen=True, eq=False)
class HeatMap:
    """A heat map that is not drawn yet, as pixels or as lines and letters: see `draw_heatmap`."""

    source_words: Sequence[str]  # S
    words: Sequence[str]  # T
    alignment: np.ndarray  # (T, S)
    end_mass: np.ndarray | None = None  # (T,)
    title: str = ""

    def picture(self) -> Image.Image:
        """As pixels (RGB)."""
        figure, longest = self._figure()
        return painted(figure, min(DPI, _LONGEST_BOARD / longest))

    def vectors(self, suffix: str, texts: Mapping[str, str]) -> bytes:
        """As an SVG or PDF file."""
        return as_vectors(self._figure()[0], suffix, texts, clean(self.title))

    def _figure(self) -> tuple[Any, float]:
        """The figure, and the longest side of its cells together, in inches."""
        return _drawn(self.source_words, self.words, self.alignment, self.end_mass, self.title)


def _drawn(
    source_words: Sequence[str],
    words: Sequence[str],
    alignment: np.ndarray,
    end_mass: np.ndarray | None,
    title: str,
) -> tuple[Any, float]:
    cells = _checked_alignment(source_words, words, alignment, end_mass)
    columns = len(source_words) + (0 if end_mass is None else 1 + _END_GAP)
    cell = min(_CELL, max(_SMALL_CELL, _BOARD / max(columns, len(words))))
    figure, board = _board(columns * cell, len(words) * cell)
    _draw_cells(board, cells, 0)
    places = np.arange(len(source_words)) + 0.5
    names = [drawable(word) for word in source_words]
    if end_mass is not None:
        _draw_cells(board, np.asarray(end_mass, dtype=float)[:, None], len(source_words) + _END_GAP)
        places, names = np.append(places, columns - 0.5), [*names, "(end)"]
    _label_board(board, names, places, [drawable(word) for word in words])
    if end_mass is not None:
        board.get_xticklabels()[-1].set_color(shade(MUTED))
    _draw_scale(figure, f"share of the word's attention{'' if end_mass is None else _END_NOTE}")
    if clean(title):
        wrapped = textwrap.fill(drawable(title, None), max(24, round(columns * cell * 9)))
        board.set_title(wrapped, loc="left", pad=12, **lettering(WORD_SIZE + 2, INK, weight="bold"))
    return figure, cell * max(columns, len(words))


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
    board.tick_params(length=0, pad=6, labelsize=WORD_SIZE)
    board.xaxis.tick_top()
    board.set_xticks(places, names, rotation=45, ha="left", rotation_mode="anchor", **lettering())
    board.tick_params(axis="x", pad=2)
    board.set_yticks(np.arange(len(words)) + 0.5, words, **lettering())


def _draw_scale(figure: Any, note: str) -> None:
    """A colour bar below the cells, with its numbers and what they are."""
    from matplotlib.cm import ScalarMappable

    width, height = figure.get_size_inches()
    long = min(1.0, 2.4 / width)
    axes = figure.add_axes((0, -0.42 / height, long, 0.12 / height))
    bar = figure.colorbar(ScalarMappable(cmap="Blues"), cax=axes, orientation="horizontal")
    bar.outline.set_visible(False)
    bar.set_ticks([0, 0.5, 1], labels=["0", "0.5", "1"], **lettering(NOTE_SIZE, MUTED))
    bar.ax.tick_params(length=0, pad=3)
    bar.set_label(note, loc="left", **lettering(NOTE_SIZE, MUTED))
