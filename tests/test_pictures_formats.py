"""What is read, and what people take for a photo."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from captioner.pictures.formats import PHOTO_SUFFIXES, UNREAD_SUFFIXES
from captioner.pictures.open import open_photo, original_size
from tests.photographs import (
    STORED,
    refused,
    smooth,
    tiff,
)


def heic(image: Image.Image, orientation: int = 1, **options: Any) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = pillow_heif.from_pillow(image)
    buffer = io.BytesIO()
    # The encoder writes what EXIF asks for as the file's own turning, as telephones do.
    file.save(buffer, quality=90, exif=exif.tobytes(), **options)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", STORED)
def test_heic_lies_as_it_was_taken(orientation: int, tmp_path: Path) -> None:
    upright = np.asarray(smooth(62, 94))
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    path = tmp_path / "IMG_1.HEIC"
    path.write_bytes(heic(stored, orientation))
    for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        photo = open_photo(source, side=29)
        assert photo.size == original_size(photo) == (94, 62)
        assert np.abs(np.asarray(photo).astype(int) - upright).mean() < 8


def test_a_thumbnail_inside_never_stands_for_the_photo() -> None:
    data = heic(smooth(620, 940), thumbnails=[128])
    photo = open_photo(data, side=29)
    assert photo.size == (940, 620)


def test_a_damaged_heic_is_an_image_error() -> None:
    data = heic(smooth(62, 94))
    for end in (20, 100, len(data) // 2, len(data) * 9 // 10):
        assert "the HEIC data is cut short or damaged" in refused(data[:end])


def test_opening_heic_enters_nothing_in_pillows_lists() -> None:
    code = (
        "import io, sys; from PIL import Image; from captioner.pictures.open import open_photo; "
        "photo = open_photo(sys.stdin.buffer); assert photo.size == (94, 62); "
        "sys.exit('HEIF' in Image.OPEN or '.heic' in Image.EXTENSION)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, input=heic(smooth(62, 94)))


def without_heif() -> dict[str, str]:
    """What a process without pillow-heif finds: suffixes, and messages about content."""
    code = (
        "import sys, json; sys.modules['pillow_heif'] = None; import importlib.util as util; "
        "spec = util.find_spec; "
        "util.find_spec = lambda name: None if name == 'pillow_heif' else spec(name); "
        "from captioner.pictures import formats, open; found = dict(formats.UNREAD_SUFFIXES); "
        "found['walked'] = '.heic' in formats.PHOTO_SUFFIXES\n"
        "for brand in (b'heic\\0\\0\\0\\0mif1heic', b'mif1\\0\\0\\0\\0mif1heic'):\n"
        "  try: open.open_photo(b'\\0\\0\\0\\x18ftyp' + brand)\n"
        "  except open.ImageError as error: found[brand[:4].decode()] = str(error)\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def test_without_pillow_heif_the_extra_is_named() -> None:
    found = without_heif()
    remedy = "HEIC is read with pillow-heif: pip install 'captioner[heic]', or export it as JPEG"
    assert found["heic"] == found["mif1"] == f"the given bytes: {remedy}"
    assert found[".heic"] == found[".heif"] == remedy
    assert not found["walked"]


def test_with_pillow_heif_its_suffixes_are_those_of_photos() -> None:
    pytest.importorskip("pillow_heif")
    assert {".heic", ".heif"} <= PHOTO_SUFFIXES
    assert not PHOTO_SUFFIXES & UNREAD_SUFFIXES.keys()


def test_what_people_take_for_photos_has_a_reason_each() -> None:
    known = ".psd .svg .pdf .mp4"
    for suffix in known.split():
        assert UNREAD_SUFFIXES[suffix].isprintable()
    for suffix in UNREAD_SUFFIXES:
        assert suffix.startswith(".")
        assert suffix == suffix.lower()


def test_the_suffixes_are_those_that_people_have() -> None:
    for name in ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "jp2", "mpo"):
        assert f".{name}" in PHOTO_SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in PHOTO_SUFFIXES)
    assert not PHOTO_SUFFIXES & {".txt", ".svg", ".pdf", ".json"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty (0 bytes)"),
        (b"hello, world\n", "this is text, expected a photo (JPEG, PNG,"),
        (b"BMW is a car", "this is text"),
        (b"P1 is a label", "this is text"),
        (b"B", "this is text"),
        (b"P", "this is text"),
        ("caf\u00e9 ".encode() * 4096, "this is text"),
        (b"x" + "\u00e9".encode() * 4096, "this is text"),  # the head ends within a character
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG is not supported"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- a --><SVG>", "SVG is not supported"),
        (b"\n<!DOCTYPE html><html><svg/></html>", "this is a web page (HTML)"),
        (b"<HTML>not found", "this is a web page (HTML)"),
        (b"%PDF-1.7", "this is a PDF document"),
        (b"%!PS-Adobe", "this is a PostScript document"),
        (b"PK\x03\x04\x14\0", "this is a ZIP archive"),
        (b"\x1f\x8b\x08\0", "this is a gzip archive"),
        (b"8BPS\0\1", "this is a Photoshop document"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "this is a JPEG XL picture"),
        (b"\x1aE\xdf\xa3\0", "this is a video"),
        (b"version https://git-lfs.github.com/spec/v1\n", "this is a Git LFS pointer"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "this is a video"),
        (b"\0\x01\x02\xfe\xff" * 11, "this is no photo that can be read"),
        (b"\xff\xd8\xff", "the JPEG data is cut short or damaged (it ends too early)"),
        (b"\x89PNG\r\n\x1a\n", "the PNG data is cut short or damaged"),
        (b"GIF89a", "the GIF data is cut short or damaged (it ends too early)"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "the WEBP data is cut short or damaged"),
    ],
)
def test_files_that_are_no_photo(content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    message = refused(path)
    assert message.startswith(f"{path}: ")
    assert expected in message
    assert refused(content).startswith("the given bytes: ")


@pytest.mark.parametrize(
    "content",
    [
        tiff(t254=1, t330=8),  # Nikon, Sony, Pentax: a thumbnail, and the rest further down
        tiff(t50706=1),  # DNG
        b"II*\0\x10\0\0\0CR\x02\0" + bytes(50),
        b"FUJIFILMCCD-RAW " + bytes(50),
        b"IIU\0" + bytes(50),
        b"IIRO" + bytes(50),
        b"\0\0\0\x18ftypcrx " + bytes(50),
    ],
)
def test_the_thumbnail_of_a_raw_file_never_stands_for_it(content: bytes) -> None:
    assert refused(content) == (
        "the given bytes: this is a camera raw file without a preview that can be read; "
        "export it as JPEG"
    )
