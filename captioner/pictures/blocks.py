"""Type and layout: blocks of text, boxes and pictures, put beside and below each other.

A block is not painted before all of it is laid out, so that the same sheet comes as pixels, or as
SVG and PDF (`vectors`, `pdf`), in which text stays text.
"""

from __future__ import annotations

import dataclasses
import math
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from captioner.pictures.ink import PAPER

REGULAR, BOLD = "DejaVuSans.ttf", "DejaVuSans-Bold.ttf"
_KOREAN = {REGULAR: "NanumGothic.ttf", BOLD: "NanumGothicExtraBold.ttf"}

Ink: TypeAlias = tuple[int, int, int]
"""A colour: red, green, blue."""


def px(length: float, unit: float) -> int:
    """A length in whole pixels, where its unit is so many; at least one."""
    return max(1, round(length * unit))


@dataclass(frozen=True)
class Face:
    """Type of a size: DejaVu Sans, which comes with matplotlib, and NanumGothic for Korean.

    The first has Latin with every accent, Greek and Cyrillic.
    """

    size: int  # pixels
    name: str  # REGULAR or BOLD

    def getlength(self, text: str) -> float:
        """How wide a line is, in pixels."""
        return sum(_font(self.size, file).getlength(part) for file, part in self.runs(text))

    def getmetrics(self) -> tuple[int, int]:
        """How far letters reach above and below their line."""
        return _font(self.size, font_file(self.name)).getmetrics()

    def runs(self, text: str) -> Iterator[tuple[Path, str]]:
        """The parts of a text, each with the font that has its letters."""
        own, other = font_file(self.name), korean_font(self.name)
        if other is None or text.isascii():
            yield own, text
            return
        known, more = letters(own), letters(other)
        for korean, part in groupby(text, lambda c: ord(c) not in known and ord(c) in more):
            yield (other if korean else own), "".join(part)

    def drawn(self, pen: ImageDraw.ImageDraw, mark: Text) -> None:
        """Puts a line of text on a picture."""
        runs = list(self.runs(mark.text))
        if len(runs) == 1:
            at = (mark.x, mark.y)
            pen.text(at, mark.text, mark.ink, _font(self.size, runs[0][0]), anchor=mark.anchor)
            return
        x = mark.x - {"l": 0.0, "m": 0.5, "r": 1.0}[mark.anchor[0]] * self.getlength(mark.text)
        for file, part in runs:
            face = _font(self.size, file)
            pen.text((x, mark.y), part, mark.ink, face, anchor="ls")
            x += face.getlength(part)


def font(size: int, name: str) -> Face:
    """Type of a size in pixels; `REGULAR` or `BOLD`."""
    return Face(size, name)


@lru_cache(maxsize=64)
def _font(size: int, file: Path) -> ImageFont.FreeTypeFont:
    # The basic layout is part of every Pillow; Raqm is not, and would move letters by a pixel.
    return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=2)
def font_file(name: str) -> Path:
    """Where a font of matplotlib's lies."""
    from matplotlib import get_data_path

    return Path(get_data_path(), "fonts", "ttf", name)


@lru_cache(maxsize=2)
def korean_font(name: str) -> Path | None:
    """Its Korean companion, of koreanize-matplotlib, which is not imported.

    It needs the distutils of Python 3.11.
    """
    package = find_spec("koreanize_matplotlib")
    folder = Path(package.origin).with_name("fonts") if package and package.origin else Path()
    path = folder / _KOREAN[name]
    return path if path.is_file() else None


@lru_cache(maxsize=4)
def letters(file: Path) -> frozenset[int]:
    """The characters that a font has."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(file)).get_charmap())


@dataclass(frozen=True)
class Text:
    """A line of text."""

    x: float
    y: float  # of the line that it stands on
    text: str
    ink: Ink
    face: Face
    anchor: str = "ls"  # where x is: "ls" its start, "ms" its middle, "rs" its end


@dataclass(frozen=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: int
    height: int
    ink: Ink


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels, one for one."""

    x: float
    y: float
    image: Image.Image


Mark: TypeAlias = Text | Box | Picture


@dataclass(frozen=True, eq=False)
class Block:
    """Marks on paper, one upon the other."""

    width: int
    height: int
    marks: tuple[Mark, ...] = ()

    def moved(self, x: float, y: float) -> Iterator[Mark]:
        """Its marks as they lie on a larger block."""
        return (dataclasses.replace(mark, x=mark.x + x, y=mark.y + y) for mark in self.marks)

    def painted(self) -> Image.Image:
        """The block as pixels (RGB)."""
        whole = Image.new("RGB", (self.width, self.height), PAPER)
        pen = ImageDraw.Draw(whole)
        for mark in self.marks:
            if isinstance(mark, Text):
                mark.face.drawn(pen, mark)
            elif isinstance(mark, Box):
                corner = (mark.x + mark.width - 1, mark.y + mark.height - 1)
                pen.rectangle((mark.x, mark.y, *corner), mark.ink)
            else:
                whole.paste(mark.image, (int(mark.x), int(mark.y)))
        return whole


def clean(text: str) -> str:
    """One line of composed, printable characters: accents and no boxes for control codes."""
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join(c for c in composed if c.isprintable())


def _prefix(text: str, face: Face, width: float) -> int:
    """How many characters of the text fit the width; at least one."""
    lengths = range(1, min(len(text), math.ceil(width)) + 1)  # spares measuring endless words
    return max(1, bisect_right(lengths, width, key=lambda n: face.getlength(text[:n])))


def shrunk(text: str, size: int, name: str, width: int) -> tuple[Face, str]:
    """A font and the text for one line: smaller type down to 0.7, then an ellipsis."""
    for smaller in range(size, math.ceil(0.7 * size) - 1, -1):
        face = font(smaller, name)
        if face.getlength(text) <= width:
            return face, text
    return face, text[: _prefix(text, face, width - face.getlength("…"))] + "…"


def _wrapped(text: str, face: Face, width: int) -> list[str]:
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


def paragraph(text: str, face: Face, ink: Ink, width: int) -> Block:
    """Wrapped text as a block of this width."""
    lines = _wrapped(text, face, width)
    ascent, descent = face.getmetrics()
    step = round(1.12 * (ascent + descent))
    marks = (Text(0, i * step + ascent, line, ink, face) for i, line in enumerate(lines))
    return Block(width, max(1, step * len(lines)), tuple(marks))


def fitted(photo: Image.Image, box: tuple[int, int]) -> Image.Image:
    """The photo as large as the box allows, at its own aspect ratio."""
    scale = min(box[0] / photo.width, box[1] / photo.height)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    return photo.convert("RGB").resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def pictured(image: Image.Image) -> Block:
    """A picture as a block."""
    return Block(image.width, image.height, (Picture(0, 0, image),))


def matted(image: Image.Image, box: tuple[int, int], ink: Ink) -> Block:
    """A picture in the middle of a coloured box."""
    x, y = (box[0] - image.width) // 2, (box[1] - image.height) // 2
    return Block(*box, (Box(0, 0, *box, ink), Picture(x, y, image)))


def stacked(blocks: Sequence[Block], gap: int) -> Block:
    """Blocks below each other."""
    height = sum(block.height for block in blocks) + gap * max(0, len(blocks) - 1)
    width = max((block.width for block in blocks), default=1)
    marks: list[Mark] = []
    y = 0
    for block in blocks:
        marks += block.moved(0, y)
        y += block.height + gap
    return Block(width, max(1, height), tuple(marks))


def beside(blocks: Sequence[Block], gap: int) -> Block:
    """Blocks side by side."""
    width = sum(block.width for block in blocks) + gap * (len(blocks) - 1)
    marks: list[Mark] = []
    x = 0
    for block in blocks:
        marks += block.moved(x, 0)
        x += block.width + gap
    return Block(width, max(block.height for block in blocks), tuple(marks))


def framed(block: Block, margin: int) -> Block:
    """A block with a margin around it."""
    size = (block.width + 2 * margin, block.height + 2 * margin)
    return Block(*size, tuple(block.moved(margin, margin)))
