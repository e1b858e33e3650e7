"""What is said of files that are damaged, or of an unusual kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.photographs import (
    FORMATS,
    encoded,
    noise,
    opened,
    refused,
    smooth,
    tiff,
)


def bmp(**changes: int) -> bytes:
    data = bytearray(encoded(smooth(31, 47), "BMP"))
    for key, value in changes.items():
        data[int(key[1:])] = value
    return bytes(data)


UNUSUAL = {
    "TIFF of JPEG 2000": (tiff(compression=34712), "TIFF is not read (compression 34712)"),
    "TIFF of 24 bits": (tiff((24,)), "TIFF is not read (an unusual number of channels, of bits"),
    "TIFF of 5 channels": (tiff((8,) * 5, photometric=2), "TIFF is not read (an unusual"),
    "TIFF of doubles": (tiff((64,), t339=3), "TIFF is not read (an unusual"),
    "BMP of 13 bits": (bmp(b28=13), "BMP is not read (Unsupported BMP pixel depth (13))"),
    "BMP of JPEG": (bmp(b30=4), "BMP is not read (Unsupported BMP compression (4))"),
    "BMP of the future": (bmp(b14=99), "BMP is not read (Unsupported BMP header type (99))"),
    "JPEG of 12 bits": (
        encoded(smooth(31, 47), "JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
        "JPEG is not read (cannot handle 12-bit layers)",
    ),
    "lossless JPEG": (
        encoded(smooth(31, 47), "JPEG").replace(b"\xff\xc0", b"\xff\xc3"),
        "JPEG is not read (lossless)",
    ),
    "JPEG-LS": (b"\xff\xd8\xff\xf7\0\x0b" + bytes(50), "JPEG is not read (JPEG-LS)"),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_kind_is_not_called_damaged(name: str) -> None:
    data, expected = UNUSUAL[name]
    message = refused(data)
    assert message.startswith(f"the given bytes: this kind of {expected}")
    assert message.endswith("); convert it to JPEG or PNG")


def test_the_tiff_written_by_hand_opens() -> None:
    assert opened(tiff()).shape == opened(tiff((8, 8, 8), photometric=2)).shape == (8, 8, 3)


@pytest.mark.parametrize("format_name", FORMATS)
def test_truncated_files(format_name: str, tmp_path: Path) -> None:
    data = encoded(Image.fromarray(noise(31, 47)), format_name)
    path = tmp_path / "photo.jpg"
    for length in (len(data) // 2, len(data) * 9 // 10):
        path.write_bytes(data[:length])
        message = refused(path)
        assert message.startswith(f"{path}: the {format_name} data is cut short or damaged (")
        assert message.endswith("; copy or download it again")


@pytest.mark.parametrize(("format_name", "end"), [("PNG", 12), ("GIF", 1)])
def test_other_formats_without_their_end_open(format_name: str, end: int) -> None:
    data = encoded(smooth(31, 47), format_name)
    np.testing.assert_array_equal(opened(data[:-end]), opened(data))


def test_too_little_memory_and_a_pillow_without_avif(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*arguments: Any) -> Any:
        raise MemoryError

    data = encoded(smooth(31, 47), "AVIF")
    with monkeypatch.context() as patched:
        patched.setattr(Image.Image, "convert", exhausted)
        message = refused(data)
    assert message == "the given bytes: too little memory for 47 × 31 pixels; make it smaller"
    monkeypatch.setitem(Image.OPEN, "AVIF", (None, lambda head: "support not installed"))
    assert "this Pillow was built without AVIF" in refused(data)
