"""Pictures of every mode and of more than eight bits."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.photographs import (
    encoded,
    noise,
    opened,
    refused,
)


@pytest.mark.parametrize(
    "mode", ["L", "1", "CMYK", "YCbCr", "HSV", "LA", "RGBA", "RGBa", "La", "PA", "I", "F"]
)
def test_every_mode_becomes_the_same_rgb(mode: str) -> None:
    grey = Image.fromarray(noise(11, 13, 1)[:, :, 0])
    image = grey.point(lambda value: 255 * (value > 127)) if mode == "1" else grey
    steps = {"RGBa": ("RGBA", "RGBa"), "La": ("LA", "La"), "PA": ("P", "PA"), "HSV": ("RGB", "HSV")}
    steps |= {"YCbCr": ("RGB", "YCbCr"), "CMYK": ("RGB", "CMYK"), "1": ("1",)}
    changed = image
    for step in steps.get(mode, (mode,)):
        changed = changed.convert(step)
    assert changed.mode == mode
    expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(opened(changed) - expected).max() <= 1


def test_a_cmyk_jpeg_is_not_inverted() -> None:
    image = Image.new("RGB", (17, 19), (250, 130, 10))
    photo = opened(encoded(image.convert("CMYK"), "JPEG", quality=95)).astype(int)
    assert np.abs(photo - [250, 130, 10]).max() <= 6


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_sixteen_bits_are_scaled_not_clipped(format_name: str) -> None:
    values = (np.arange(11 * 13, dtype=np.uint32).reshape(11, 13) * 65535 // (11 * 13 - 1)).astype(
        np.uint16
    )
    photo = opened(encoded(Image.fromarray(values), format_name))
    np.testing.assert_array_equal(photo, np.rint(values / 257)[..., None].repeat(3, 2))


def with_significant_bits(data: bytes, bits: int) -> bytes:
    """A grey PNG file with a chunk sBIT after its header of 33 bytes."""
    chunk = b"sBIT" + bytes([bits])
    return data[:33] + b"\0\0\0\1" + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]


@pytest.mark.parametrize("format_name", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_fewer_bits_in_a_file_of_sixteen_are_not_dark(bits: int, format_name: str) -> None:
    white = 2**bits - 1
    values = np.array([[0, white // 2, white]], np.uint16)
    photo = opened(encoded(Image.fromarray(values), format_name))
    assert photo[0, :, 0].tolist() == [0, round(255 * (white // 2) / white), 255]


def test_a_declared_range_counts_where_it_can_be_true() -> None:
    dim = Image.fromarray(np.array([[0, 450, 900]], np.uint16))  # fits into 10 bits
    expected = [0, round(255 * 450 / 4095), round(255 * 900 / 4095)]
    declared = with_significant_bits(encoded(dim), 12)
    assert opened(declared)[0, :, 0].tolist() == expected
    assert opened(Image.open(io.BytesIO(declared)))[0, :, 0].tolist() == expected
    for tag in (281, 341):  # MaxSampleValue, SMaxSampleValue
        assert opened(encoded(dim, "TIFF", tiffinfo={tag: 4095}))[0, :, 0].tolist() == expected
    # By the letter of the standard, 12 significant bits are spread over all 16.
    full = Image.fromarray(np.array([[0, 32768, 65535]], np.uint16))
    assert opened(with_significant_bits(encoded(full), 12))[0, :, 0].tolist() == [0, 128, 255]
    # The largest value of the picture is a count, not a range.
    assert opened(encoded(dim, "TIFF", tiffinfo={281: 900}))[0, 2, 0] == round(255 * 900 / 1023)


def test_a_black_picture_of_sixteen_bits_stays_black() -> None:
    assert not opened(encoded(Image.fromarray(np.zeros((3, 5), np.uint16)))).any()


def test_twelve_bits_of_colour_in_a_file_of_sixteen_are_not_dark() -> None:
    values = (noise(5, 7).astype(int) * 4095 // 255).astype(">u2")
    body = b"".join(b"\0" + row.tobytes() for row in values)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 7, 5, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(body)),
    ]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*parts, (b"IEND", b""))
    ]
    photo = opened(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).astype(int)
    assert np.abs(photo - noise(5, 7)).max() <= 17  # of which sixteen steps are left


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_sixteen_bit_pictures_of_either_byte_order(mode: str) -> None:
    values = np.array([[0, 257, 65535], [128 * 257, 254 * 257, 255]])
    order = ">u2" if mode.endswith("B") else "<u2"
    picture = Image.frombytes(mode, (3, 2), values.astype(order).tobytes())
    assert opened(picture)[:, :, 0].tolist() == [[0, 1, 255], [128, 254, 1]]


@pytest.mark.parametrize(
    ("top", "white"), [(200, 255), (4000, 4095), (60_000, 65_535), (3_000_000, 3_000_000)]
)
def test_thirty_two_bits_take_the_smallest_range_that_holds_them(top: int, white: int) -> None:
    picture = Image.fromarray(np.array([[0, top // 2, top]], dtype=np.int32))
    assert opened(picture)[0, :, 0].tolist() == [
        round(255 * value / white) for value in (0, top // 2, top)
    ]


def test_float_tiff_and_its_nan() -> None:
    values = np.array([[0.0, 0.5, 1.0]], dtype=np.float32)
    assert opened(encoded(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == [0, 128, 255]
    values[0, 1] = np.nan
    assert "NaN or infinite" in refused(encoded(Image.fromarray(values), "TIFF"))


@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(format_name: str, mode: str) -> None:
    rgba = noise(11, 13, 4)
    image = Image.fromarray(rgba).convert(mode)
    data = encoded(
        image, format_name, **({"lossless": True, "exact": True} if format_name == "WEBP" else {})
    )
    layer = np.asarray(image.convert("RGBA")).astype(float)
    alpha = layer[..., 3:] / 255
    expected = layer[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(opened(data) - expected).max() <= 1


@pytest.mark.parametrize(
    ("mode", "key"), [("P", 0), ("L", 0), ("1", 0), ("RGB", (0, 0, 0)), ("P", bytes([0]))]
)
def test_a_transparent_colour_becomes_white(mode: str, key: Any) -> None:
    array = np.zeros((5, 7), np.uint8)
    array[2:, 3:] = 255
    image = Image.fromarray(array).convert("RGB").convert(mode)
    if mode == "P":
        image = Image.fromarray(array // 255, "L")
        image.putpalette([0, 0, 0, 10, 20, 30])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        photo = opened(encoded(image, "PNG", transparency=key))
    np.testing.assert_array_equal(photo[:2, :3], 255)
    np.testing.assert_array_equal(
        photo[2:, 3:], np.broadcast_to([10, 20, 30] if mode == "P" else 255, (3, 4, 3))
    )
