"""Blocks as SVG and PDF: text stays text, crisp at any size, and photos are JPEG inside.

SVG 1.1; PDF 1.7 (ISO 32000-1), section 9.7 of which says how a font's letters are embedded: only
those that occur, by fontTools, with the characters that they stand for, so that they can be copied.
"""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from PIL import Image

from captioner.pictures.blocks import BOLD, Block, Box, Ink, Picture, Text
from captioner.pictures.ink import PAPER

_QUALITY = 88  # of JPEG pictures: maps have no sharp edges
_FAMILIES = (
    "'DejaVu Sans', Verdana, NanumGothic, 'Malgun Gothic', 'Apple SD Gothic Neo', "
    "'Noto Sans CJK KR', sans-serif"
)
_ANCHORS = {"l": "start", "m": "middle", "r": "end"}
_POINTS = 0.75  # of a pixel of 1/96 inch
# Of a font: how letters are combined, and what its makers left in it.
_DROPPED = ["GPOS", "GSUB", "GDEF", "kern", "FFTM", "DSIG", "TSI0", "TSI1", "TSI2", "TSI3", "TSI5"]
_TO_UNICODE = (
    "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CIDSystemInfo "
    "<< /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def /CMapName /Adobe-Identity-UCS def "
    "/CMapType 2 def 1 begincodespacerange <0000> <FFFF> endcodespacerange\n{}"
    "endcmap CMapName currentdict /CMap defineresource pop end end"
)


def svg(block: Block, *, scale: float = 1, title: str = "", comment: str = "") -> bytes:
    """A block as an SVG file.

    Args:
        block: to be drawn.
        scale: pixels of the drawing for one of the block.
        title: what it shows, for screen readers.
        comment: at its start, without "--".
    """
    wide, high = block.width, block.height
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<!-- {comment} -->",
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{wide * scale:g}" height="{high * scale:g}" viewBox="0 0 {wide} {high}" '
        f'role="img" font-family="{_FAMILIES}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{wide}" height="{high}" fill="{_colour(PAPER)}"/>',
        *map(_element, block.marks),
        "</svg>",
    ]
    return ("\n".join(lines) + "\n").encode()


def _element(mark: Text | Box | Picture) -> str:
    if isinstance(mark, Box):
        return (
            f'<rect x="{mark.x:g}" y="{mark.y:g}" width="{mark.width}" height="{mark.height}" '
            f'fill="{_colour(mark.ink)}"/>'
        )
    if isinstance(mark, Picture):
        data = base64.b64encode(_jpeg(mark.image)).decode("ascii")
        size = f'width="{mark.image.width}" height="{mark.image.height}"'
        link = quoteattr(f"data:image/jpeg;base64,{data}")
        return f'<image x="{mark.x:g}" y="{mark.y:g}" {size} xlink:href={link}/>'
    weight = ' font-weight="bold"' if mark.face.name == BOLD else ""
    # Where the font is another, the line still has the width that it was laid out for.
    length = f'textLength="{mark.face.getlength(mark.text):.1f}" lengthAdjust="spacingAndGlyphs"'
    return (
        f'<text x="{mark.x:g}" y="{mark.y:g}" font-size="{mark.face.size}"{weight} '
        f'text-anchor="{_ANCHORS[mark.anchor[0]]}" {length} fill="{_colour(mark.ink)}">'
        f"{escape(mark.text)}</text>"
    )


def _colour(ink: Ink) -> str:
    return "#{:02x}{:02x}{:02x}".format(*ink)


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return buffer.getvalue()


def pdf(
    block: Block, *, scale: float = 1, title: str = "", notes: Mapping[str, str] | None = None
) -> bytes:
    """A block as a PDF file of one page.

    Args:
        block: to be drawn.
        scale: pixels of 1/96 inch for one of the block.
        title: what it shows.
        notes: what the file says of itself besides, by keyword; ASCII.
    """
    file = _File()
    page = _Page(file, block)
    content = file.stream("", page.content(scale * _POINTS).encode("ascii"))
    resources = " ".join(
        (page.resources("Font", page.fonts), page.resources("XObject", page.images))
    )
    size = f"{block.width * scale * _POINTS:.2f} {block.height * scale * _POINTS:.2f}"
    tree = file.reserve()
    sheet = file.add(
        f"<< /Type /Page /Parent {tree} 0 R /MediaBox [0 0 {size}] "
        f"/Resources << {resources} >> /Contents {content} 0 R >>"
    )
    file.put(tree, f"<< /Type /Pages /Kids [{sheet} 0 R] /Count 1 >>")
    root = file.add(f"<< /Type /Catalog /Pages {tree} 0 R >>")
    said = "".join(f" /{key} ({text})" for key, text in (notes or {}).items())
    info = file.add(f"<< /Title <feff{title.encode('utf-16-be').hex()}>{said} >>")
    return file.whole(root, info)


class _File:
    """Objects of a PDF file, numbered from 1."""

    def __init__(self) -> None:
        self._objects: list[bytes] = []

    def reserve(self) -> int:
        """A number for an object that is put later."""
        self._objects.append(b"")
        return len(self._objects)

    def put(self, number: int, body: str | bytes) -> None:
        """Puts an object under a number."""
        self._objects[number - 1] = body.encode("latin-1") if isinstance(body, str) else body

    def add(self, body: str | bytes) -> int:
        """Adds an object."""
        number = self.reserve()
        self.put(number, body)
        return number

    def stream(self, entries: str, data: bytes, *, packed: bool = False) -> int:
        """Adds a stream, compressed unless it is already."""
        if not packed:
            data, entries = zlib.compress(data, 9), f"{entries} /Filter /FlateDecode"
        head = f"<< {entries} /Length {len(data)} >>\nstream\n"
        return self.add(head.encode("latin-1") + data + b"\nendstream")

    def whole(self, root: int, info: int) -> bytes:
        """The file."""
        parts, places = [b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"], []
        place = len(parts[0])
        for number, body in enumerate(self._objects, 1):
            places.append(place)
            parts.append(b"%d 0 obj\n%b\nendobj\n" % (number, body))
            place += len(parts[-1])
        count = len(places) + 1
        table = "".join(f"{own:010} 00000 n \n" for own in places)
        parts.append(
            f"xref\n0 {count}\n0000000000 65535 f \n{table}trailer\n"
            f"<< /Size {count} /Root {root} 0 R /Info {info} 0 R >>\n"
            f"startxref\n{place}\n%%EOF\n".encode("ascii")
        )
        return b"".join(parts)


class _Page:
    """The marks of a block as the operators of a page, with the fonts and pictures they need."""

    def __init__(self, file: _File, block: Block) -> None:
        self._file, self._block = file, block
        said: dict[Path, set[str]] = {}
        for mark in block.marks:
            for font, part in mark.face.runs(mark.text) if isinstance(mark, Text) else ():
                said.setdefault(font, set()).update(part)
        self._letters = {font: _Letters(font, "".join(sorted(own))) for font, own in said.items()}
        self.fonts = {
            font: (f"F{number}", own.put(file, number))
            for number, (font, own) in enumerate(self._letters.items())
        }
        self.images: dict[int, tuple[str, int]] = {}

    def resources(self, kind: str, own: Mapping[Any, tuple[str, int]]) -> str:
        """The dictionary that gives names to fonts or pictures."""
        return f"/{kind} << {' '.join(f'/{name} {number} 0 R' for name, number in own.values())} >>"

    def content(self, scale: float) -> str:
        """The operators. PDF counts upwards, so that every place is turned over."""
        whole = Box(0, 0, self._block.width, self._block.height, PAPER)
        lines = [f"{scale:.6f} 0 0 {scale:.6f} 0 0 cm"]
        for mark in (whole, *self._block.marks):
            if isinstance(mark, Text):
                lines += self._text(mark)
            elif isinstance(mark, Box):
                y = self._block.height - mark.y - mark.height
                lines.append(f"{_rgb(mark.ink)} {mark.x:g} {y:g} {mark.width} {mark.height} re f")
            else:
                lines.append(self._picture(mark))
        return "\n".join(lines)

    def _text(self, mark: Text) -> Iterator[str]:
        x = mark.x - {"l": 0.0, "m": 0.5, "r": 1.0}[mark.anchor[0]] * mark.face.getlength(mark.text)
        yield f"BT {_rgb(mark.ink)} 1 0 0 1 {x:.2f} {self._block.height - mark.y:.2f} Tm"
        for font, part in mark.face.runs(mark.text):
            name, _ = self.fonts[font]
            yield f"/{name} {mark.face.size} Tf <{self._letters[font].codes(part)}> Tj"
        yield "ET"

    def _picture(self, mark: Picture) -> str:
        wide, high = mark.image.size
        number = self._file.stream(
            f"/Type /XObject /Subtype /Image /Width {wide} /Height {high} /ColorSpace /DeviceRGB "
            "/BitsPerComponent 8 /Filter /DCTDecode",
            _jpeg(mark.image),
            packed=True,
        )
        name = f"I{len(self.images)}"
        self.images[len(self.images)] = (name, number)
        y = self._block.height - mark.y - high
        return f"q {wide} 0 0 {high} {mark.x:g} {y:g} cm /{name} Do Q"


def _rgb(ink: Ink) -> str:
    return " ".join(f"{channel / 255:.4f}" for channel in ink) + " rg"


class _Letters:
    """Some letters of a font, and the numbers that it knows them by."""

    def __init__(self, font: Path, text: str) -> None:
        from fontTools import subset
        from fontTools.ttLib import TTFont

        options = subset.Options(layout_features=[], notdef_outline=True, recalc_timestamp=False)
        options.drop_tables += _DROPPED
        face = TTFont(font, recalcTimestamp=False, recalcBBoxes=False)
        cut = subset.Subsetter(options)
        cut.populate(text=text)
        cut.subset(face)
        buffer = io.BytesIO()
        face.save(buffer)
        self.file, self.face = buffer.getvalue(), face
        self.numbers = {chr(c): face.getGlyphID(g) for c, g in face.getBestCmap().items()}

    def codes(self, text: str) -> str:
        """The text as the page writes it; a letter that the font lacks is its empty box."""
        return "".join(f"{self.numbers.get(letter, 0):04x}" for letter in text)

    def put(self, file: _File, number: int) -> int:
        """Adds the font to a file."""
        name = f"CAPTIO+Font{number}"
        unit = 1000 / self.face["head"].unitsPerEm
        across = [round(self.face["hmtx"][glyph][0] * unit) for glyph in self.face.getGlyphOrder()]
        head, line = self.face["head"], self.face["hhea"]
        box = " ".join(
            str(round(side * unit)) for side in (head.xMin, head.yMin, head.xMax, head.yMax)
        )
        program = file.stream(f"/Length1 {len(self.file)}", self.file)
        descriptor = file.add(
            f"<< /Type /FontDescriptor /FontName /{name} /Flags 4 /FontBBox [{box}] "
            f"/ItalicAngle 0 /Ascent {round(line.ascent * unit)} "
            f"/Descent {round(line.descent * unit)} /CapHeight {round(line.ascent * unit)} "
            f"/StemV 80 /FontFile2 {program} 0 R >>"
        )
        glyphs = file.add(
            f"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /{name} /CIDToGIDMap /Identity "
            "/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> "
            f"/FontDescriptor {descriptor} 0 R /W [0 [{' '.join(map(str, across))}]] >>"
        )
        meant = file.stream("", _TO_UNICODE.format(self._meanings()).encode("ascii"))
        return file.add(
            f"<< /Type /Font /Subtype /Type0 /BaseFont /{name} /Encoding /Identity-H "
            f"/DescendantFonts [{glyphs} 0 R] /ToUnicode {meant} 0 R >>"
        )

    def _meanings(self) -> str:
        """Which characters the letters stand for, a hundred at once as the standard asks."""
        pairs: Sequence[str] = [
            f"<{number:04x}> <{letter.encode('utf-16-be').hex()}>\n"
            for letter, number in sorted(self.numbers.items())
        ]
        return "".join(
            f"{len(pairs[i : i + 100])} beginbfchar\n{''.join(pairs[i : i + 100])}endbfchar\n"
            for i in range(0, len(pairs), 100)
        )
