"""Photos for tests, the formats that they come in, and how opening takes them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from captioner.errors import ImageError
from captioner.pictures.open import open_photo

checked = settings(deadline=None, derandomize=True, max_examples=60)


LOSSLESS = ("PNG", "BMP", "TIFF", "PPM", "JPEG2000")
FORMATS = (*LOSSLESS, "JPEG", "GIF", "WEBP", "AVIF")


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def smooth(height: int, width: int, seed: int = 0) -> Image.Image:
    """Large soft shapes, which survive compression."""
    return Image.fromarray(noise(5, 7, seed=seed)).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format_name: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def opened(source: Any, **options: Any) -> np.ndarray:
    photo = open_photo(source, **options)
    assert photo.mode == "RGB"
    return np.asarray(photo)


def refused(source: Any) -> str:
    """The message with which `open_photo` refuses a source: always a single line."""
    with pytest.raises(ImageError) as caught:
        open_photo(source)
    message = str(caught.value)
    assert message
    assert message.isprintable()
    return message


def png(width: int, height: int) -> bytes:
    """A PNG file that announces any size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def tiff(
    bits: tuple[int, ...] = (8,), compression: int = 1, photometric: int = 1, **tags: int
) -> bytes:
    """A TIFF file of 8 × 8 pixels of any kind, written by hand."""
    bits_at, data_at = 400, 600
    entries = {256: 8, 257: 8, 258: bits[0], 259: compression, 262: photometric, 273: data_at}
    entries |= {277: len(bits), 278: 8, 279: 64 * sum(bits) // 8}
    entries |= {int(key[1:]): value for key, value in tags.items()}
    directory = struct.pack("<H", len(entries))
    for tag, value in sorted(entries.items()):
        several = tag == 258 and len(bits) > 2
        count = len(bits) if tag == 258 else 1
        directory += struct.pack("<HHII", tag, 3, count, bits_at if several else value)
    head = b"II*\0" + struct.pack("<I", 8) + directory + bytes(4)
    head = head.ljust(bits_at, b"\0") + struct.pack(f"<{len(bits)}H", *bits)
    return head.ljust(data_at, b"\0") + bytes(64 * sum(bits) // 8 + 8)


# Exif 2.32, section 4.6.4: the side of the upright photo that row 0 and column 0 of the file show.
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda upright: upright,  # top, left
    2: lambda upright: upright[:, ::-1],  # top, right
    3: lambda upright: upright[::-1, ::-1],  # bottom, right
    4: lambda upright: upright[::-1],  # bottom, left
    5: lambda upright: upright.swapaxes(0, 1),  # left, top
    6: lambda upright: upright[:, ::-1].swapaxes(0, 1),  # right, top
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda upright: upright[::-1].swapaxes(0, 1),  # left, bottom
}
