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


def deep_png(values: np.ndarray, significant: tuple[int, ...] = ()) -> bytes:
    """A PNG file of 16-bit values (H, W, channels), with a chunk sBIT where bits are given."""
    rows = np.ascontiguousarray(values.astype(">u2")).view(np.uint8).reshape(len(values), -1)
    step = 2 * values.shape[2]
    rows = np.column_stack([np.ones(len(rows), np.uint8), rows])  # each row in the filter Sub
    rows[:, 1 + step :] -= rows[:, 1:-step].copy()
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[2]]
    height, width = values.shape[:2]
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))]
    parts += [(b"sBIT", bytes(significant))] if significant else []
    parts += [(b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def deep_tiff(
    values: np.ndarray,
    order: str = "<",
    *,
    packed: bool = False,
    rows: int = 0,
    planes: bool = False,
    **tags: tuple[int, ...],
) -> bytes:
    """A TIFF file of 16-bit values (H, W, channels), written by hand in either byte order.

    Its strips hold so many rows (0: all), of one channel each where it has planes.
    """
    height, width, channels = values.shape
    rows = rows or height
    parts = np.split(values, channels, axis=2) if planes else [values]
    strips = [part[row : row + rows] for part in parts for row in range(0, height, rows)]
    written = [np.ascontiguousarray(strip.astype(f"{order}u2")).tobytes() for strip in strips]
    written = [zlib.compress(strip) if packed else strip for strip in written]
    data_at = 1000
    entries = {256: (width,), 257: (height,), 258: (16,) * channels, 259: (8 if packed else 1,)}
    entries |= {262: (2,), 277: (channels,), 278: (rows,), 279: tuple(map(len, written))}
    entries[273] = tuple(
        data_at + sum(map(len, written[:number])) for number in range(len(written))
    )
    entries |= {284: (2,)} if planes else {}
    entries |= {int(key[1:]): numbers for key, numbers in tags.items()}
    directory, lists = struct.pack(f"{order}H", len(entries)), b""
    for tag, numbers in sorted(entries.items()):
        raw = struct.pack(f"{order}{len(numbers)}H", *numbers)
        if len(raw) > 4:
            place = struct.pack(f"{order}I", 500 + len(lists))
            lists, raw = lists + raw, place
        directory += struct.pack(f"{order}HHI", tag, 3, len(numbers)) + raw.ljust(4, b"\0")
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8) + directory
    return (head.ljust(500, b"\0") + lists).ljust(data_at, b"\0") + b"".join(written)


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
