"""Type and layout: blocks are pictures on paper, put beside and below each other."""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from captioner.pictures.ink import PAPER

REGULAR, BOLD = "DejaVuSans.ttf", "DejaVuSans-Bold.ttf"


def px(length: float, unit: float) -> int:
    """A length in whole pixels, where its unit is so many; at least one."""
    return max(1, round(length * unit))


@lru_cache(maxsize=64)
def font(size: int, name: str) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: Latin with every accent, Greek, Cyrillic."""
    from matplotlib import get_data_path

    # The basic layout is part of every Pillow; Raqm is not, and would move letters by a pixel.
    path = Path(get_data_path(), "fonts", "ttf", name)
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def clean(text: str) -> str:
    """One line of composed, printable characters: accents and no boxes for control codes."""
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join(c for c in composed if c.isprintable())


def _prefix(text: str, face: ImageFont.FreeTypeFont, width: float) -> int:
    """How many characters of the text fit the width; at least one."""
    lengths = range(1, min(len(text), math.ceil(width)) + 1)  # spares measuring endless words
    return max(1, bisect_right(lengths, width, key=lambda n: face.getlength(text[:n])))


def shrunk(text: str, size: int, name: str, width: int) -> tuple[ImageFont.FreeTypeFont, str]:
    """A font and the text for one line: smaller type down to 0.7, then an ellipsis."""
    for smaller in range(size, math.ceil(0.7 * size) - 1, -1):
        face = font(smaller, name)
        if face.getlength(text) <= width:
            return face, text
    return face, text[: _prefix(text, face, width - face.getlength("…"))] + "…"


def _wrapped(text: str, face: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Lines that fit the width; a word longer than a line is broken."""
    lines, line = [], ""
    for word in clean(text).split():
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


def paragraph(
    text: str, face: ImageFont.FreeTypeFont, ink: tuple[int, int, int], width: int
) -> Image.Image:
    """Wrapped text as a block of this width."""
    lines = _wrapped(text, face, width)
    ascent, descent = face.getmetrics()
    step = round(1.12 * (ascent + descent))
    block = Image.new("RGB", (width, max(1, step * len(lines))), PAPER)
    pen = ImageDraw.Draw(block)
    for i, line in enumerate(lines):
        pen.text((0, i * step + ascent), line, ink, face, anchor="ls")
    return block


def fitted(photo: Image.Image, box: tuple[int, int]) -> Image.Image:
    """The photo as large as the box allows, at its own aspect ratio."""
    scale = min(box[0] / photo.width, box[1] / photo.height)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    return photo.convert("RGB").resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def centre(ground: Image.Image, picture: Image.Image) -> None:
    """Pastes a picture into the middle of another."""
    free = (ground.width - picture.width, ground.height - picture.height)
    ground.paste(picture, (free[0] // 2, free[1] // 2))


def stacked(blocks: Sequence[Image.Image], gap: int) -> Image.Image:
    """Blocks below each other."""
    height = sum(block.height for block in blocks) + gap * max(0, len(blocks) - 1)
    width = max((block.width for block in blocks), default=1)
    whole = Image.new("RGB", (width, max(1, height)), PAPER)
    y = 0
    for block in blocks:
        whole.paste(block, (0, y))
        y += block.height + gap
    return whole


def beside(blocks: Sequence[Image.Image], gap: int) -> Image.Image:
    """Blocks side by side."""
    width = sum(block.width for block in blocks) + gap * (len(blocks) - 1)
    whole = Image.new("RGB", (width, max(block.height for block in blocks)), PAPER)
    x = 0
    for block in blocks:
        whole.paste(block, (x, 0))
        x += block.width + gap
    return whole


def framed(block: Image.Image, margin: int) -> Image.Image:
    """A block with a margin around it."""
    size = (block.width + 2 * margin, block.height + 2 * margin)
    whole = Image.new("RGB", size, PAPER)
    whole.paste(block, (margin, margin))
    return whole
