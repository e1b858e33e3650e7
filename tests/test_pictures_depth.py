"""Pictures of every mode and of more than eight bits."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.photographs import (
    deep_png,
    deep_tiff,
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


def deep(channels: int, bits: int) -> np.ndarray:
    """Values (11, 13, channels) of so many bits, white and black among them."""
    values = np.random.default_rng(bits).integers(0, 2**bits, (11, 13, channels))
    values[0, 0], values[0, 1] = 2**bits - 1, 0
    return values


def on_white(values: np.ndarray, white: int) -> np.ndarray:
    """What values (H, W, 1 to 4) of 0 to `white` look like, (H, W, 3)."""
    shares = values / white
    colours = shares[..., :3] if values.shape[2] > 2 else shares[..., :1].repeat(3, -1)
    alpha = shares[..., -1:] if values.shape[2] in (2, 4) else 1
    return 255 * (colours * alpha + 1 - alpha)


FILES: dict[str, Callable[[np.ndarray], bytes]] = {
    "PNG": deep_png,
    "TIFF": deep_tiff,
    "TIFF, big end first": lambda values: deep_tiff(values, ">"),
    "TIFF, strips": lambda values: deep_tiff(values, rows=3),
    "TIFF, strips, packed": lambda values: deep_tiff(values, rows=3, packed=True),
    "TIFF, planes": lambda values: deep_tiff(values, planes=True),
    "TIFF, planes in strips": lambda values: deep_tiff(values, ">", planes=True, rows=4),
    "TIFF, packed": lambda values: deep_tiff(values, packed=True),
    "TIFF, packed, big end first": lambda values: deep_tiff(values, ">", packed=True),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_colours_keep_all_their_steps(bits: int, name: str) -> None:
    """Pillow gives the upper eight of 16 bits: of 12 bits, sixteen steps would be left."""
    values = deep(3, bits)
    data = FILES[name](values)
    photo = opened(data)
    assert np.abs(photo - on_white(values, 2**bits - 1)).max() <= (1 if bits == 16 else 0.501)
    np.testing.assert_array_equal(opened(Image.open(io.BytesIO(data))), photo)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_transparency_has_the_colours_bits_or_all_of_them(bits: int, name: str) -> None:
    values, write = deep(4, bits), FILES[name]
    expected = on_white(values, 2**bits - 1)
    assert np.abs(opened(write(values)) - expected).max() <= 2
    values[..., 3] = 65535  # as programs add it
    expected = on_white(values[..., :3], 2**bits - 1)
    assert np.abs(opened(write(values)) - expected).max() <= (1 if bits == 16 else 0.501)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_the_fourth_channel_of_a_tiff_may_be_unused_or_multiplied_in(
    order: str, packed: bool
) -> None:
    values = deep(4, 12)
    unused = deep_tiff(values, order, packed=packed, t338=(0,))
    assert np.abs(opened(unused) - on_white(values[..., :3], 4095)).max() <= 0.501
    values[..., 3] = values.max(-1).clip(1)
    shares = values / 4095
    expected = 255 * (shares[..., :3] + 1 - shares[..., 3:])
    multiplied = deep_tiff(values, order, packed=packed, t338=(1,))
    assert np.abs(opened(multiplied) - expected).max() <= 2


def test_of_packed_planes_the_upper_bytes_are_left() -> None:
    """Pillow gives no others; what there is of the picture is as bright as it should be."""
    values = deep(3, 12)
    photo = opened(deep_tiff(values, planes=True, packed=True))
    np.testing.assert_array_equal(photo, (values >> 8) * 17)
    full = deep(3, 16)
    np.testing.assert_array_equal(opened(deep_tiff(full, planes=True, packed=True)), full >> 8)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_grey_with_transparency_keeps_its_steps(bits: int) -> None:
    values = deep(2, bits)
    assert np.abs(opened(deep_png(values)) - on_white(values, 2**bits - 1)).max() <= 2


def test_a_declared_range_counts_for_colours_too() -> None:
    dim = deep(3, 10)
    expected = on_white(dim, 4095)
    assert np.abs(opened(deep_png(dim, (12, 12, 11))) - expected).max() <= 0.501
    assert np.abs(opened(deep_tiff(dim, t281=(4095, 4095, 4095))) - expected).max() <= 0.501
    full = deep(3, 16)  # by the letter of the standard, 12 bits are spread over all 16
    np.testing.assert_array_equal(opened(deep_png(full, (12, 12, 12))), opened(deep_png(full)))


def test_a_black_picture_of_deep_colours_stays_black() -> None:
    assert not opened(deep_png(np.zeros((3, 5, 3)))).any()


def test_another_frame_than_the_first_is_read_again_where_it_is() -> None:
    first, second = deep(3, 12), deep(3, 10)
    data = bytearray(deep_tiff(first) + bytes(first.size % 2))
    start = len(data)
    later = bytearray(deep_tiff(second)[8:])  # its directory, lists and values
    count = struct.unpack_from("<H", later)[0]
    for entry in range(count):
        place = 2 + 12 * entry
        tag, *_, value = struct.unpack_from("<HHII", later, place)
        if tag in (258, 273):  # the offsets of the bits and of the values
            struct.pack_into("<I", later, place + 8, value + start - 8)
            struct.pack_into("<H", later, place + 2, 4 if tag == 273 else 3)
    struct.pack_into("<I", data, 8 + 2 + 12 * count, start)  # the next directory
    with Image.open(io.BytesIO(bytes(data + later))) as image:
        image.seek(1)
        assert np.abs(opened(image) - on_white(second, 1023)).max() <= 0.501


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
