"""Sheets and heat maps as SVG and PDF."""

from __future__ import annotations

import base64
import io
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from fontTools.pens.recordingPen import RecordingPen
from fontTools.ttLib import TTFont
from PIL import Image

from captioner.captions.captioner import Captioner
from captioner.errors import ConfigError
from captioner.pictures.blocks import BOLD, REGULAR, Block, Box, Picture, Text, font, font_file
from captioner.pictures.drawings import is_drawing, save, texts_of
from captioner.pictures.folders import find_photos
from captioner.pictures.heatmap import HeatMap
from captioner.pictures.ink import INK, LINE, MUTED
from captioner.pictures.sheets import Sheet, contact_sheet
from captioner.pictures.vectors import pdf, svg
from captioner.translations.selfattention import SelfAttention
from tests.commands import one_error
from tests.weights import drawn, plain

SVG = "{http://www.w3.org/2000/svg}"
LINES = ("Größe & <Schnee> – “ok”", "갈색 개가 눈 위를 달린다", "бежит 눈 über")


@dataclass(frozen=True)
class Spoken:
    text: str
    prob: float | None = 0.5
    known: bool = True
    copied: bool = False


def block() -> Block:
    picture = Image.radial_gradient("L").resize((64, 32)).convert("RGB")
    marks = (
        Box(10, 20, 300, 4, LINE),
        Picture(20, 40, picture),
        *(Text(10, 100 + 30 * n, line, INK, font(20, BOLD)) for n, line in enumerate(LINES)),
        Text(390, 190, "right 7 %", MUTED, font(16, REGULAR), "rs"),
    )
    return Block(400, 200, marks)


def test_svg_is_text_boxes_and_jpeg_pictures() -> None:
    data = svg(block(), scale=0.5, title=LINES[0], comment="Software: captioner")
    root = ElementTree.fromstring(data)
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == (
        *("200", "100"),
        "0 0 400 200",
    )
    assert root.findtext(f"{SVG}title") == LINES[0]
    texts = root.findall(f"{SVG}text")
    assert [text.text for text in texts] == [*LINES, "right 7 %"]
    assert [text.get("text-anchor") for text in texts] == ["start"] * 3 + ["end"]
    assert [text.get("font-weight") for text in texts] == ["bold"] * 3 + [None]
    (picture,) = root.findall(f"{SVG}image")
    link = str(picture.get("{http://www.w3.org/1999/xlink}href"))
    head, _, body = link.partition(",")
    assert head == "data:image/jpeg;base64"
    image = Image.open(io.BytesIO(base64.b64decode(body)))
    assert (image.format, image.size) == ("JPEG", (64, 32))
    box = root.findall(f"{SVG}rect")[1]
    assert [box.get(name) for name in ("x", "y", "width", "height")] == ["10", "20", "300", "4"]


def objects_of(data: bytes) -> dict[int, bytes]:
    """The objects of a PDF file, found where its table says that they are."""
    (start,) = map(int, re.findall(rb"startxref\n(\d+)\n%%EOF\n$", data))
    count = int(re.match(rb"xref\n0 (\d+)\n", data[start:])[1])  # type: ignore[index]
    rows = data[start:].split(b"\n")[2 : 2 + count]
    assert all(len(row) == 19 for row in rows)  # and a line feed
    found = {}
    for number, row in enumerate(rows[1:], 1):
        body = data[int(row[:10]) :]
        assert body.startswith(b"%d 0 obj\n" % number)
        found[number] = body.partition(b"\nendobj\n")[0]
    return found


def stream_of(body: bytes) -> bytes:
    (length,) = map(int, re.findall(rb"/Length (\d+) >>", body))
    start = body.index(b"stream\n") + 7
    assert body[start + length :] == b"\nendstream"
    raw = body[start : start + length]
    return zlib.decompress(raw) if b"/FlateDecode" in body else raw


def outline(face: TTFont, glyph: str) -> list[object]:
    pen = RecordingPen()
    face.getGlyphSet()[glyph].draw(pen)
    return pen.value


def test_pdf_has_text_with_its_letters_and_jpeg_pictures() -> None:
    data = pdf(block(), scale=0.5, title=LINES[1], notes={"Creator": "captioner"})
    found = objects_of(data)
    (page,) = (body for body in found.values() if b"/Type /Page " in body)
    assert b"/MediaBox [0 0 150.00 75.00]" in page
    number = int(re.search(rb"/Contents (\d+) 0 R", page)[1])  # type: ignore[index]
    operators = stream_of(found[number]).decode("ascii")
    fonts = {}
    for name, place in re.findall(rb"/(F\d+) (\d+) 0 R", page):
        own = int(re.search(rb"/ToUnicode (\d+) 0 R", found[int(place)])[1])  # type: ignore[index]
        pairs = re.findall(rb"<([0-9a-f]{4})> <([0-9a-f]+)>\n", stream_of(found[own]))
        fonts[name.decode()] = {
            int(code, 16): bytes.fromhex(letter.decode()).decode("utf-16-be")
            for code, letter in pairs
        }
    said = []
    for line in re.findall(r"BT.*?ET", operators, re.DOTALL):
        parts = re.findall(r"/(F\d+) \d+ Tf <([0-9a-f]*)> Tj", line)
        codes = (
            (name, int(text[i : i + 4], 16)) for name, text in parts for i in range(0, len(text), 4)
        )
        said.append("".join(fonts[name][code] for name, code in codes))
    assert said == [*LINES, "right 7 %"]
    assert len(fonts) == 3  # bold, its Korean companion, regular
    (picture,) = (body for body in found.values() if b"/DCTDecode" in body)
    assert Image.open(io.BytesIO(stream_of(picture))).size == (64, 32)
    programs = [
        TTFont(io.BytesIO(stream_of(body))) for body in found.values() if b"/Length1" in body
    ]
    original = TTFont(font_file(REGULAR))
    embedded = next(
        face for face in programs if ord("7") in face.getBestCmap() and len(face.getBestCmap()) < 9
    )
    for letter in "right7%":
        assert outline(embedded, embedded.getBestCmap()[ord(letter)]) == outline(
            original, original.getBestCmap()[ord(letter)]
        )
    assert len(data) < 60_000  # the whole fonts have megabytes


def test_a_letter_that_no_font_has_breaks_nothing() -> None:
    odd = Block(99, 30, (Text(0, 20, "a😀\u0e01b", INK, font(16, REGULAR)),))
    assert ElementTree.fromstring(svg(odd)).find(f"{SVG}text") is not None
    assert b"<0000" not in pdf(odd)[:20]
    assert odd.painted().size == (99, 30)


def sheet() -> Sheet:
    words = [Spoken("눈"), Spoken("dog", 0.999), Spoken("jumps", None, known=False)]
    return Sheet(plain(80, 60, (20, 90, 60)), words, drawn((3, 5, 7)), "눈 dog jumps & runs", False)


def heat_map() -> HeatMap:
    shares = np.array([[0.7, 0.3], [0.1, 0.9]])
    return HeatMap(["a", "$dog"], ["눈", "Hund"], shares, np.array([0.1, 0.2]), "눈 Hund")


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".png", ".SVG"])
@pytest.mark.parametrize("make", [sheet, heat_map])
def test_files_say_who_drew_them_and_are_the_same_each_time(
    tmp_path: Path, make: Callable[[], Sheet | HeatMap], suffix: str
) -> None:
    one, other = tmp_path / f"one{suffix}", tmp_path / f"other{suffix}"
    for path in (one, other):
        save(make(), path, Photo="ab12")
    assert one.read_bytes() == other.read_bytes()
    assert is_drawing(one)
    assert texts_of(one)["Software"] == "captioner"
    if make is sheet:
        assert texts_of(one)["Photo"] == "ab12"
    assert [item.drawn for item in find_photos([str(tmp_path)])][:2] == [True, True]
    if suffix == ".svg":
        whole = "".join(ElementTree.fromstring(one.read_bytes()).itertext())
        assert "눈" in whole
        assert "jumps" in whole or "$dog" in whole
    if suffix == ".pdf":
        objects = one.read_bytes()
        assert objects.startswith(b"%PDF-")
        assert b"/FontFile2" in objects
        assert b"/DCTDecode" in objects or make is heat_map


def test_files_of_others_are_not_ours(tmp_path: Path) -> None:
    for name, data in (
        ("a.svg", b'<?xml version="1.0"?>\n<!-- Software: inkscape -->\n<svg/>'),
        ("b.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
        ("c.pdf", b"%PDF-1.4\n1 0 obj << /Creator (Writer) >>"),
        ("d.pdf", b"%PDF-"),
    ):
        (tmp_path / name).write_bytes(data)
        assert not is_drawing(tmp_path / name)
    assert all(item.problem for item in find_photos([str(tmp_path)]))


def test_the_sheet_of_pixels_is_as_before() -> None:
    own = sheet()
    expected = contact_sheet(own.photo, own.words, own.maps, title=own.title)
    assert own.picture().tobytes() == expected.tobytes()


def test_korean_letters_on_sheets_are_no_boxes() -> None:
    """Two syllables differ, and neither is the box that stands for what a font lacks."""
    rows = [
        Block(40, 30, (Text(0, 24, text, INK, font(20, REGULAR)),)).painted().tobytes()
        for text in ("눈", "개", "\u0378")
    ]
    assert len(set(rows)) == 3
    face = font(20, REGULAR)
    assert face.getlength("a눈") == face.getlength("a") + face.getlength("눈")


def test_captions_and_translations_save_themselves(tiny_captioner: Captioner, here: Path) -> None:
    caption = tiny_captioner("a/cat.jpg")
    for name in ("x.svg", "x.pdf", "x.png"):
        caption.save(name, grid=True)
        assert is_drawing(Path(name))
    assert Image.open("x.png").tobytes() == caption.sheet(grid=True).tobytes()
    with pytest.raises(ConfigError) as error:
        caption.save("x.jpg")
    assert str(error.value) == "x.jpg: the sheet is a PNG, SVG or PDF file; call it x.png"
    own = tiny_captioner("a/dog.png")
    before = Path("a/dog.png").read_bytes()
    with pytest.raises(ConfigError, match=r"^a/dog.png is the photo itself; choose another name$"):
        own.save("a/dog.png")
    assert Path("a/dog.png").read_bytes() == before
    looks = SelfAttention(("a", "b"), np.full((1, 1, 2, 2), 0.5, np.float32))
    looks.save("self.svg")
    assert is_drawing(Path("self.svg"))


def test_sheets_of_a_command_in_each_format(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kinds in (("svg", "svg"), ("pdf",)):  # its own sheets are replaced
        for kind in kinds:
            assert typed("caption", "a/cat.jpg", "--overlay", "a", "--sheet-format", kind) == 0
        assert is_drawing(Path(f"a/a/cat.{kind}"))
    capsys.readouterr()
    assert typed("caption", "a") == 0
    assert "sheets that captioner drew are left out (2)" in capsys.readouterr().err
    assert typed("caption", "a/cat.jpg", "--sheet-format", "svg") == 2
    assert "--sheet-format belongs to the sheets of --overlay; add --overlay DIR" in one_error(
        capsys
    )
    Path("mine.svg").write_text("<svg/>")
    Path("sheets").mkdir()
    Path("sheets/cat.svg").write_text("<svg>mine</svg>")
    own = ("explain", "a/cat.jpg", "a cat", "--overlay", "sheets", "--sheet-format", "svg")
    assert typed(*own) == 0
    assert Path("sheets/cat.svg").read_text() == "<svg>mine</svg>"
