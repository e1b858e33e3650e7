"""Matplotlib's figures in our colours and letters, as pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from PIL import Image

from captioner.pictures.blocks import BOLD, REGULAR, clean, font_file, korean_font, letters
from captioner.pictures.drawings import SOFTWARE, comment_of, info_of
from captioner.pictures.ink import INK, PAPER

DPI = 144  # pixels an inch
WORD_SIZE, NOTE_SIZE = 12, 9.5  # points
_LONGEST_WORD = 24  # characters; the rest of a longer word is an ellipsis
_UNDRAWABLE = "\u25a1"  # □, for a character that neither font has


def painted(figure: Any, dpi: float = DPI) -> Image.Image:
    """A matplotlib figure, cut to what is drawn on it, as a picture (RGB)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # pyplot would look for a screen

    file = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(
        file, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.25, facecolor=shade(PAPER)
    )
    return Image.open(file).convert("RGB")


def as_vectors(figure: Any, suffix: str, texts: Mapping[str, str], title: str = "") -> bytes:
    """A matplotlib figure as an SVG or PDF file in which text stays text.

    Args:
        figure: as for `painted`.
        suffix: `.svg` or `.pdf`.
        texts: what the file says of itself.
        title: what it shows.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    file = io.BytesIO()
    is_svg = suffix == ".svg"
    (FigureCanvasSVG if is_svg else FigureCanvasPdf)(figure)
    said = (
        {"Date": None}
        if is_svg
        else {"CreationDate": None, "Creator": info_of(texts).get("Creator")}
    )
    own: Any = {"svg.fonttype": "none", "svg.hashsalt": SOFTWARE, "pdf.fonttype": 42}
    look = {"bbox_inches": "tight", "pad_inches": 0.25, "facecolor": shade(PAPER)}
    with rc_context(own):
        figure.savefig(file, format=suffix[1:], metadata={"Title": title, **said}, **look)
    head, line, rest = file.getvalue().partition(b"\n")
    comment = f"<!-- {comment_of(texts)} -->\n".encode("ascii") if is_svg else b""
    return head + line + comment + rest


def shade(colour: tuple[int, int, int]) -> tuple[float, ...]:
    """A colour as matplotlib takes it."""
    return tuple(channel / 255 for channel in colour)


def lettering(
    size: float = WORD_SIZE, ink: tuple[int, int, int] = INK, **more: Any
) -> dict[str, Any]:
    """Matplotlib's words for our type; a `$` in a sentence starts no formula."""
    families = list(_families())
    return {
        "fontfamily": families,
        "fontsize": size,
        "color": shade(ink),
        "parse_math": False,
    } | more


@lru_cache(maxsize=1)
def _families() -> tuple[str, ...]:
    """DejaVu Sans and, for what it lacks, NanumGothic (SIL Open Font License), made known once."""
    from matplotlib.font_manager import fontManager

    korean = [path for path in map(korean_font, (REGULAR, BOLD)) if path is not None]
    for path in korean:
        fontManager.addfont(path)
    return ("DejaVu Sans", "NanumGothic") if korean else ("DejaVu Sans",)


@lru_cache(maxsize=1)
def _letters() -> frozenset[int]:
    """What the fonts can draw; anything else would be a warning and an empty box."""
    korean = korean_font(REGULAR)
    return letters(font_file(REGULAR)) | (letters(korean) if korean else frozenset())


def drawable(text: str, longest: int | None = _LONGEST_WORD) -> str:
    """One line that the fonts can draw, its end an ellipsis where it is too long."""
    line = "".join(c if ord(c) in _letters() else _UNDRAWABLE for c in clean(text))
    return line if longest is None or len(line) <= longest else f"{line[: longest - 1]}…"
