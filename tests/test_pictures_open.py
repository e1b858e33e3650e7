"""Photos of every kind that people have, and of every kind that they take for one."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageFile

from captioner.config import AugmentConfig
from captioner.errors import ConfigError, ImageError
from captioner.pictures import open as images
from captioner.pictures.open import (
    MAX_PIXELS,
    PHOTO_SUFFIXES,
    UNREAD_SUFFIXES,
    Geometry,
    Preprocess,
    View,
    augment,
    augmented_view,
    open_photo,
    original_size,
)

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


# ---- what people have


@pytest.mark.parametrize("format_name", FORMATS)
def test_every_format_opens_from_path_bytes_and_file(format_name: str, tmp_path: Path) -> None:
    image = smooth(31, 47)
    data = encoded(image, format_name)
    path = tmp_path / "photo.bin"  # the content counts, not the suffix
    path.write_bytes(data)
    expected = opened(data)
    difference = np.abs(expected.astype(int) - np.asarray(image))
    assert difference.mean() <= (0 if format_name in LOSSLESS else 10)
    with path.open("rb") as file:
        sources = [path, str(path), bytearray(data), memoryview(data), io.BytesIO(data), file]
        for source in sources:
            np.testing.assert_array_equal(opened(source), expected)
        assert not file.closed
    assert original_size(open_photo(path)) == (47, 31)


@pytest.mark.parametrize("size", [(1, 1), (1, 997), (997, 1), (2, 3)])
@pytest.mark.parametrize("format_name", FORMATS)
def test_thin_photos_open_and_squash(format_name: str, size: tuple[int, int]) -> None:
    photo = open_photo(encoded(Image.new("RGB", size, (200, 100, 50)), format_name), side=7)
    assert photo.size == size
    pixels = Preprocess(size=7).pixels(photo).astype(int)
    assert np.abs(pixels - np.array([200, 100, 50])[:, None, None]).max() <= 30


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


@pytest.mark.parametrize("format_name", ["GIF", "WEBP", "PNG", "TIFF", "MPO", "AVIF"])
def test_the_first_frame_of_many(format_name: str) -> None:
    frames = [Image.new("RGB", (23, 29), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], format_name, save_all=True, append_images=frames[1:])
    assert np.abs(opened(data).astype(int) - [255, 0, 0]).max() <= 6


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


@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", STORED)
def test_the_exif_orientation_is_applied(orientation: int, format_name: str) -> None:
    upright = np.asarray(smooth(31, 47))
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    extra = (
        {"lossless": True}
        if format_name == "WEBP"
        else {"quality": 95}
        if format_name == "JPEG"
        else {}
    )
    data = encoded(stored, format_name, exif=exif, **extra)
    photo = open_photo(data)
    assert photo.size == original_size(photo) == (47, 31)
    difference = np.abs(np.asarray(photo).astype(int) - upright)
    assert difference.mean() <= (8 if format_name == "JPEG" else 0)
    np.testing.assert_array_equal(opened(Image.open(io.BytesIO(data))), np.asarray(photo))
    np.testing.assert_array_equal(opened(photo), np.asarray(photo))  # never turned twice


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\0\x09", b"\xff" * 41]
)
def test_exif_that_cannot_be_read_does_not_stop_a_photo(exif: bytes) -> None:
    image = smooth(31, 47)
    assert opened(encoded(image, "JPEG", exif=exif)).shape == (31, 47, 3)
    np.testing.assert_array_equal(opened(encoded(image, "PNG", exif=exif)), np.asarray(image))


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_unknown_orientation_leaves_the_photo(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = smooth(31, 47)
    np.testing.assert_array_equal(opened(encoded(image, exif=exif)), np.asarray(image))


# ---- HEIC, with pillow-heif


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
        "from captioner.pictures import open as images; found = dict(images.UNREAD_SUFFIXES); "
        "found['walked'] = '.heic' in images.PHOTO_SUFFIXES\n"
        "for brand in (b'heic\\0\\0\\0\\0mif1heic', b'mif1\\0\\0\\0\\0mif1heic'):\n"
        "  try: images.open_photo(b'\\0\\0\\0\\x18ftyp' + brand)\n"
        "  except images.ImageError as error: found[brand[:4].decode()] = str(error)\n"
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
    known = ".cr2 .cr3 .nef .arw .dng .raf .orf .rw2 .pef .srw .psd .svg .pdf .mp4"
    for suffix in known.split():
        assert UNREAD_SUFFIXES[suffix].isprintable()
    for suffix in UNREAD_SUFFIXES:
        assert suffix.startswith(".")
        assert suffix == suffix.lower()


# ---- draft


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("progressive", [False, True])
def test_draft_looks_like_the_whole_photo(progressive: bool, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(smooth(479, 641), "JPEG", quality=90, progressive=progressive, exif=exif)
    whole, draft = open_photo(data), open_photo(data, side=59)
    assert draft.width < whole.width / 7
    assert original_size(draft) == whole.size == ((641, 479) if orientation == 1 else (479, 641))
    preprocess = Preprocess(size=59)
    difference = np.abs(preprocess.pixels(draft).astype(int) - preprocess.pixels(whole))
    assert difference.mean() < 1.5
    assert difference.max() <= 12


@checked
@given(width=st.integers(1, 400), height=st.integers(1, 400), side=st.integers(1, 450))
def test_draft_never_falls_below_the_side(width: int, height: int, side: int) -> None:
    photo = open_photo(encoded(Image.new("RGB", (width, height)), "JPEG"), side=side)
    assert min(photo.size) >= min(side, width, height)
    assert original_size(photo) == (width, height)


def test_a_side_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="side: got 0, expected at least 1 pixel"):
        open_photo(png(3, 5), side=0)


# ---- arrays and PIL images

SIDES = st.integers(1, 13)
SHAPES = st.one_of(
    st.tuples(SIDES, SIDES),
    st.tuples(SIDES, SIDES, st.just(1)),
    st.tuples(SIDES, SIDES, st.just(3)),
)


def as_rgb(array: np.ndarray) -> np.ndarray:
    return np.broadcast_to(array[..., None] if array.ndim == 2 else array, (*array.shape[:2], 3))


@checked
@given(hnp.arrays(np.uint8, SHAPES))
def test_uint8_arrays_come_back_unchanged(array: np.ndarray) -> None:
    before = array.copy()
    np.testing.assert_array_equal(opened(array), as_rgb(array))
    np.testing.assert_array_equal(opened(np.asfortranarray(array)), as_rgb(array))
    np.testing.assert_array_equal(array, before)


@checked
@given(hnp.arrays(st.sampled_from(["<u2", ">u2"]), SHAPES))
def test_uint16_arrays_are_scaled(array: np.ndarray) -> None:
    assert np.abs(opened(array) - as_rgb(array / 257)).max() <= 0.501


@checked
@given(hnp.arrays(np.bool_, SHAPES))
def test_bool_arrays_are_black_and_white(array: np.ndarray) -> None:
    np.testing.assert_array_equal(opened(array), as_rgb(array) * 255)


@checked
@given(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        SHAPES,
        elements=st.floats(0, 1, width=16),
    )
)
def test_float_arrays_are_scaled(array: np.ndarray) -> None:
    assert np.abs(opened(array) - as_rgb(array.astype(float) * 255)).max() <= 0.501


@checked
@given(hnp.arrays(np.uint8, st.tuples(SIDES, SIDES, st.just(4))))
def test_an_array_with_alpha_is_laid_on_white(array: np.ndarray) -> None:
    alpha = array[..., 3:] / 255
    assert np.abs(opened(array) - (array[..., :3] * alpha + 255 * (1 - alpha))).max() <= 1


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros(5), r"array \(5,\) of float64: wrong shape, expected \(H, W\)"),
        (np.zeros((3, 5, 7), np.uint8), r"channels come last: array.transpose\(1, 2, 0\)"),
        (np.zeros((5, 7, 2), np.uint8), "wrong shape"),
        (np.zeros((2, 5, 7, 3), np.uint8), "wrong shape"),
        (np.zeros((0, 7), np.uint8), "7 × 0 pixels, expected at least 1 × 1"),
        (
            np.zeros((5, 7), np.int64),
            "of int64: wrong type, expected uint8, uint16, bool or floats",
        ),
        (np.zeros((5, 7), np.uint32), "wrong type"),
        (np.zeros((5, 7), complex), "wrong type"),
        (np.full((5, 7), None), "of object: wrong type"),
        (np.full((5, 7), np.nan), "NaN or infinite"),
        (np.full((5, 7), np.inf), "NaN or infinite"),
        (
            np.linspace(-2, 255, 35).reshape(5, 7),
            r"values from -2 to 255, expected floats in \[0, 1\]",
        ),
        (
            np.broadcast_to(np.uint8(0), (8001, 8000)),
            "8000 × 8001 pixels are 64,008,000, above the limit",
        ),
    ],
)
def test_arrays_that_are_no_photo(array: np.ndarray, expected: str) -> None:
    with pytest.raises(ImageError, match=expected):
        open_photo(array)


def test_a_pil_image_is_left_as_it_is() -> None:
    image = Image.fromarray(noise(5, 7))
    photo = open_photo(image)
    photo.putpixel((0, 0), (1, 2, 3))
    np.testing.assert_array_equal(np.asarray(image), noise(5, 7))
    assert image.info == {}


@pytest.mark.parametrize(
    ("source", "got"),
    [(None, "None"), (3, "int"), (2.5, "float"), (["photo.jpg"], "a list"), (object(), "object")],
)
def test_unsupported_types(source: Any, got: str) -> None:
    message = (
        f"got {got}; expected a path, bytes, a binary file object, a PIL image or a numpy array"
    )
    several = "; Captioner.stream takes several" if isinstance(source, list) else ""
    assert refused(source) == message + several


def test_objects_that_misbehave_are_image_errors_too() -> None:
    class Path5:
        def __fspath__(self) -> Any:
            return 5

    class Reads:
        @property
        def read(self) -> Any:
            raise RuntimeError("no cable")

    assert "cannot be read (expected" in refused(Path5())
    assert "Reads: cannot be read (no cable)" in refused(Reads())


@pytest.mark.parametrize("kind", [MemoryError, SyntaxError, struct.error, KeyError, RecursionError])
def test_whatever_happens_to_a_photo_is_that_photos_error(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(smooth(31, 47), "JPEG"))
    for step in ("_identified", "_check_jpeg", "_drafted", "_orientation"):
        with monkeypatch.context() as patched:

            def failing(*arguments: Any) -> Any:
                raise kind("trouble")

            patched.setattr(images, step, failing)
            assert refused(path)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bfloat16", "float16"])
def test_tensors_are_photos_where_their_channels_are_clear(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    values = noise(11, 13)
    tensor = torch.from_numpy(values).permute(2, 0, 1)
    if dtype != "uint8":
        tensor = (tensor / 255).to(getattr(torch, dtype)).requires_grad_()
    for given_tensor in (tensor, tensor.permute(1, 2, 0)):
        assert np.abs(opened(given_tensor).astype(int) - values).max() <= (dtype == "bfloat16")
    np.testing.assert_array_equal(
        opened(tensor[0]), np.repeat(opened(tensor[:1])[..., :1], 3, axis=2)
    )


def test_tensors_that_are_no_photo() -> None:
    torch = pytest.importorskip("torch")
    assert "either its first or its last side" in refused(torch.zeros(3, 5, 3))
    assert refused(torch.zeros(2, 3, 5, 7)).startswith("the given tensor (2, 3, 5, 7): wrong shape")
    assert "values from -2 to -2" in refused(torch.full((3, 5, 7), -2.0))


# ---- what people take for a photo


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
        "the given bytes: this is a camera raw file, which is not read; export it as JPEG"
    )


def test_libtiff_writes_nothing_itself(tmp_path: Path) -> None:
    """Its words would name no file; from several threads, and with other photos between."""
    data = encoded(Image.fromarray(noise(61, 83)), "TIFF", compression="jpeg")
    broken = encoded(Image.fromarray(noise(61, 83)), "TIFF", compression="tiff_lzw")
    (tmp_path / "a.tif").write_bytes(data.replace(b"\xff\xdb", b"\xff\xdd"))
    (tmp_path / "b.tif").write_bytes(broken[:200] + bytes(200) + broken[400:])
    (tmp_path / "c.png").write_bytes(encoded(smooth(31, 47)))
    code = (
        "import sys; from concurrent.futures import ThreadPoolExecutor\n"
        "from captioner.pictures.open import ImageError, open_photo\n"
        "def opened(name):\n"
        "  try: open_photo(name)\n"
        "  except ImageError as error: return str(error)\n"
        "print(*ThreadPoolExecutor(3).map(opened, 4 * sys.argv[1:]), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "a.tif", "b.tif", "c.png"],
        check=True, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("a.tif: the TIFF data is cut short or damaged")
    assert lines[2] == "None"
    assert lines == 4 * lines[:3]


@pytest.mark.parametrize("format_name", FORMATS)
def test_truncated_files(format_name: str, tmp_path: Path) -> None:
    data = encoded(Image.fromarray(noise(31, 47)), format_name)
    path = tmp_path / "photo.jpg"
    for length in (len(data) // 2, len(data) * 9 // 10):
        path.write_bytes(data[:length])
        message = refused(path)
        assert message.startswith(f"{path}: the {format_name} data is cut short or damaged (")
        assert message.endswith("; copy or download it again")


@pytest.mark.parametrize("side", [None, 5])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"subsampling": 0}]
)
@pytest.mark.parametrize("size", [(31, 47), (64, 48)])
def test_a_jpeg_that_lacks_its_end_alone_opens(
    size: tuple[int, int], options: dict[str, Any], side: int | None, tmp_path: Path
) -> None:
    """Wherever it is cut, a photo opens as it was or not at all: no bottom is grey."""
    data = encoded(Image.fromarray(noise(*size)), "JPEG", **options)
    expected = opened(data, side=side)
    path = tmp_path / "photo.jpg"
    for cut in (1, 2):
        path.write_bytes(data[:-cut])
        np.testing.assert_array_equal(opened(path, side=side), expected)
        np.testing.assert_array_equal(opened(data[:-cut], side=side), expected)
    for cut in range(3, len(data) - data.index(b"\xff\xda"), 1 if options else 7):
        with contextlib.suppress(ImageError):
            np.testing.assert_array_equal(opened(data[:-cut], side=side), expected)
    assert "cut short or damaged" in refused(data[:-40])
    message = refused(data[:-40] + bytes(40))  # a file made at its full length
    assert "the JPEG data is cut short or damaged (it ends too early)" in message
    np.testing.assert_array_equal(opened(data + bytes(40), side=side), expected)


@pytest.mark.parametrize(("format_name", "end"), [("PNG", 12), ("GIF", 1)])
def test_other_formats_without_their_end_open(format_name: str, end: int) -> None:
    data = encoded(smooth(31, 47), format_name)
    np.testing.assert_array_equal(opened(data[:-end]), opened(data))


def test_paths_that_lead_to_no_file(tmp_path: Path) -> None:
    missing = tmp_path / "no\nsuch.jpg"
    assert (
        refused(missing)
        == f"{tmp_path}/no\\nsuch.jpg: there is no such file; check the name and the folder"
    )
    assert refused("") == "'': there is no such file; check the name and the folder"
    assert refused("https://example.org/a.jpg").endswith("there is no such file; download it first")
    assert refused(tmp_path) == (
        f"{tmp_path}: this is a folder, expected a photo (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF);"
        " name a file in it"
    )
    assert "null" in refused("a\0b.jpg")
    assert "cannot be read (File name too long)" in refused("x" * 300)
    assert refused("x" * 5000) == (
        f"{'x' * 60}…{'x' * 40}: cannot be read (File name too long); check the path"
    )
    assert "this is a device or a socket" in refused(os.devnull)
    assert refused(os.fsdecode(b"caf\xe9.jpg")).startswith("caf\\udce9.jpg: there is no such file")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            FileNotFoundError(2, "No such file"),
            "there is no such file; check the name and the folder",
        ),
        (
            PermissionError(13, "Permission denied"),
            "no permission to read it; allow it (chmod u+r)",
        ),
        (OSError(5, "Input/output error"), "cannot be read (Input/output error); check the path"),
    ],
)
def test_a_file_that_cannot_be_opened_after_all(
    error: OSError, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opening(*arguments: Any) -> Any:
        raise error

    path = tmp_path / "photo.png"
    path.write_bytes(png(3, 5))
    monkeypatch.setattr(images, "open", opening, raising=False)
    assert refused(path) == f"{path}: {expected}"


@pytest.mark.parametrize(
    "size", [(8001, 8000), (10_000, 9_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)]
)
def test_the_limit_is_checked_from_the_header_without_a_warning(size: tuple[int, int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        message = refused(png(*size))
    assert f"{size[0]} × {size[1]} pixels are {size[0] * size[1]:,}, above the limit" in message
    assert "64,000,000 (64 megapixels); make it smaller first" in message


def test_the_limit_itself_is_allowed() -> None:
    assert MAX_PIXELS == 8000 * 8000
    assert "cut short" in refused(png(8000, 8000))


def resized(data: bytes, width: int, height: int) -> bytes:
    """A JPEG file that announces another size and holds too little for it."""
    changed = bytearray(data)
    place = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2")) + 5  # length (2), precision (1)
    changed[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(changed)


@pytest.fixture(scope="module")
def telephone() -> bytes:
    """A photo of 64.1 megapixels, as telephones take them: more than may be decoded at once."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(smooth(6936, 9248), "JPEG", quality=60, exif=exif)


@pytest.mark.parametrize(
    ("side", "size"),
    [(224, (867, 1156)), (3000, (3468, 4624)), (9999, (3468, 4624)), (None, (3468, 4624))],
)
def test_a_telephones_photo_is_decoded_at_half_its_size_or_less(
    telephone: bytes, side: int | None, size: tuple[int, int]
) -> None:
    photo = open_photo(telephone, side=side)
    assert photo.size == size
    assert original_size(photo) == (6936, 9248)
    upright = np.rot90(np.asarray(smooth(289, 386)), -1)
    small = np.asarray(photo.resize((289, 386)))
    assert np.abs(small.astype(int) - upright).mean() < 5


def test_a_pil_image_above_the_limit_is_refused_whatever_its_format(telephone: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(io.BytesIO(telephone))
    assert "9248 × 6936 pixels are 64,144,128, above the limit" in refused(image)
    assert image.size == (9248, 6936)


@pytest.mark.parametrize(
    ("progressive", "size", "limit"),
    [
        (False, (16_001, 16_000), "256,000,000 (256 megapixels)"),
        (False, (65_500, 65_500), "256,000,000 (256 megapixels)"),
        (True, (11_315, 11_315), "128,000,000 (128 megapixels)"),
        (True, (65_500, 65_500), "128,000,000 (128 megapixels)"),
    ],
)
def test_a_jpeg_bomb_is_refused_from_its_header(
    progressive: bool, size: tuple[int, int], limit: str
) -> None:
    data = resized(encoded(smooth(31, 47), "JPEG", progressive=progressive), *size)
    code = (
        "import resource, sys; from captioner.pictures.open import open_photo\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: open_photo(sys.stdin.buffer, side=8)\n"
        "except Exception as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, input=data, capture_output=True)
    message, grown = done.stdout.decode().splitlines()
    assert message == (
        f"<stdin>: {size[0]} × {size[1]} pixels are {size[0] * size[1]:,}, above the limit of "
        f"{limit}; make it smaller first"
    )
    assert int(grown) < 20_000  # kilobytes


@pytest.mark.parametrize("size", [(8000, 8000), (16_000, 16_000)])
def test_a_header_without_its_pixels_is_not_decoded_at_full_size(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a JPEG file lacks its end alone is tried at an eighth before it is tried whole."""
    decoded: list[int] = []

    def counting(image: Image.Image, *arguments: Any) -> Any:
        decoded.append(image.width)
        return finished(image, *arguments)

    finished = images._finished
    monkeypatch.setattr(images, "_finished", counting)
    assert "cut short or damaged" in refused(resized(encoded(smooth(31, 47), "JPEG")[:-2], *size))
    assert sorted(decoded)[:-1] == [size[0] // 8] * (len(decoded) - 1)


def test_a_progressive_jpeg_of_many_scans_is_refused_unread() -> None:
    """Each scan goes over the whole picture: a hundred kilobytes of them take minutes."""
    data = resized(encoded(smooth(31, 47), "JPEG", progressive=True), 8000, 8000)
    last = data[data.rindex(b"\xff\xda") : -2]
    many = data[:-2] + 1000 * last + data[-2:]
    assert refused(many) == (
        "the given bytes: 8000 × 8000 pixels come in 1,010 scans, expected 20 at most; "
        "save it as a JPEG that is not progressive"
    )
    small = encoded(smooth(31, 47), "JPEG", progressive=True)
    assert opened(small[:-2] + 50 * small[small.rindex(b"\xff\xda") : -2] + small[-2:]).any()


def test_scans_are_counted_outside_thumbnails() -> None:
    exif = Image.Exif()
    exif[0x010E] = "\xff\xda".encode("latin-1") * 40  # in a segment that is no scan
    exif[0x0110] = encoded(smooth(9, 9), "JPEG")
    plain = encoded(smooth(31, 47), "JPEG", exif=exif)
    assert plain.count(b"\xff\xda") > 2
    assert len(images._scans(plain)[0]) == 1
    progressive = encoded(smooth(31, 47), "JPEG", exif=exif, progressive=True)
    assert len(images._scans(progressive)[0]) == 10


def test_a_large_pil_image_is_not_even_loaded() -> None:
    with Image.open(io.BytesIO(png(9000, 9000))) as image:
        assert "9000 × 9000 pixels" in refused(image)


def test_too_little_memory_and_a_pillow_without_avif(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*arguments: Any) -> Any:
        raise MemoryError

    data = encoded(smooth(31, 47), "AVIF")
    monkeypatch.setattr(images, "_rgb", exhausted)
    assert refused(data) == "the given bytes: too little memory for 47 × 31 pixels; make it smaller"
    monkeypatch.setitem(Image.OPEN, "AVIF", (None, lambda head: "support not installed"))
    assert "this Pillow was built without AVIF" in refused(data)


# ---- file objects


class Stream:
    """A readable object that can do nothing else."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def read(self) -> Any:
        if isinstance(self.data, Exception):
            raise self.data
        return self.data


def test_file_objects_are_read_from_their_start_and_stay_open() -> None:
    data = encoded(smooth(31, 47))
    file = io.BytesIO(data)
    file.read(17)
    np.testing.assert_array_equal(opened(file), opened(data))
    np.testing.assert_array_equal(opened(file), opened(data))
    assert not file.closed
    np.testing.assert_array_equal(opened(Stream(data)), opened(data))


def test_file_objects_that_give_no_bytes() -> None:
    closed = io.BytesIO(b"x")
    closed.close()
    assert refused(closed).startswith(
        "the given file object: cannot be read (I/O operation on closed"
    )
    assert refused(io.StringIO("x")) == (
        "the given file object: reading gives str, expected bytes; open it in mode 'rb'"
    )
    assert "cannot be read (the cable\\nis out)" in refused(Stream(OSError("the cable\nis out")))
    assert "(KeyError)" in refused(Stream(KeyError()))


def test_a_pipe_can_be_read(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    data = encoded(smooth(31, 47))
    writer = threading.Thread(target=fifo.write_bytes, args=(data,))
    writer.start()
    np.testing.assert_array_equal(opened(fifo), opened(data))
    writer.join()


# ---- what opening leaves behind


def test_no_handle_leaks_whatever_the_file_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = [encoded(smooth(31, 47), name) for name in FORMATS]
    good.append(encoded(smooth(31, 47), "TIFF", compression="jpeg"))
    handles: list[Any] = []

    def recording(path: str, mode: str) -> Any:
        handles.append(Path(path).open(mode))  # noqa: SIM115  (what closes it is under test)
        return handles[-1]

    monkeypatch.setattr(images, "open", recording, raising=False)
    path = tmp_path / "photo.bin"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ResourceWarning)
        for data in (
            *good,
            *(data[: len(data) // 2] for data in good),
            png(9001, 9001),
            b"no photo",
        ):
            path.write_bytes(data)
            with contextlib.suppress(ImageError):
                open_photo(path, side=13)
        gc.collect()
    assert len(handles) == 2 * len(good) + 2
    assert all(handle.closed for handle in handles)
    assert not caught


def test_nothing_global_changes() -> None:
    def state() -> tuple[Any, ...]:
        return (
            Image.MAX_IMAGE_PIXELS,
            ImageFile.LOAD_TRUNCATED_IMAGES,
            list(warnings.filters),
            set(Image.OPEN),
        )

    before = state()
    for source in (
        png(9001, 9001),
        png(20_001, 20_001),
        png(7, 5),
        b"x",
        encoded(smooth(31, 47), "JPEG")[:400],
    ):
        with pytest.raises(ImageError):
            open_photo(source)
    assert state() == before


def test_many_threads_open_what_one_opens() -> None:
    photos = [encoded(smooth(61, 83, seed), FORMATS[seed % len(FORMATS)]) for seed in range(36)]
    sources = [data for pair in zip(photos, [png(9999, 9999)] * 36, strict=True) for data in pair]

    def result(data: bytes) -> bytes | str:
        try:
            return open_photo(data, side=19).tobytes()
        except ImageError as error:
            return str(error)

    with ThreadPoolExecutor(7) as pool:
        assert list(pool.map(result, sources)) == [result(data) for data in sources]


def test_the_module_imports_without_torch() -> None:
    code = "import sys, captioner.pictures.open; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(images.__file__).parents[1])


# ---- random damage

VALID = {
    name: encoded(smooth(23, 29), name) for name in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")
}


def opens_or_is_refused(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on damaged metadata
        with contextlib.suppress(ImageError):
            assert open_photo(data, side=5).mode == "RGB"


@checked
@given(st.binary(max_size=300), st.sampled_from([b"", *(data[:12] for data in VALID.values())]))
def test_random_bytes_raise_nothing_but_image_error(data: bytes, start: bytes) -> None:
    opens_or_is_refused(start + data)


@settings(checked, max_examples=300)
@given(st.sampled_from(sorted(VALID)), st.data())
def test_damaged_photos_raise_nothing_but_image_error(name: str, draw: st.DataObject) -> None:
    data = bytearray(VALID[name])
    places = st.one_of(st.integers(0, 99), st.integers(0, len(data) - 1))  # headers break most
    for place in draw.draw(st.lists(places, max_size=5)):
        data[place] = draw.draw(st.integers(0, 255))
    end = draw.draw(st.one_of(st.none(), st.integers(1, len(data))))
    opens_or_is_refused(bytes(data[:end]))


# ---- Suffixes


def test_the_suffixes_are_those_that_people_have() -> None:
    for name in ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "jp2", "mpo"):
        assert f".{name}" in PHOTO_SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in PHOTO_SUFFIXES)
    assert not PHOTO_SUFFIXES & {".txt", ".svg", ".pdf", ".json"}


# ---- Preprocess


def triangle(source: int, target: int) -> np.ndarray:
    """(target, source): antialiased bilinear weights, straight from their definition."""
    scale = source / target
    centres = (np.arange(target) + 0.5) * scale
    distance = np.abs(np.arange(source) + 0.5 - centres[:, None]) / max(scale, 1.0)
    weights = np.clip(1 - distance, 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("height", "width", "size"), [(31, 47, 7), (5, 61, 11), (3, 2, 13), (7, 7, 7), (1, 97, 5)]
)
def test_pixels_are_squashed_with_antialiasing(height: int, width: int, size: int) -> None:
    photo = noise(height, width)
    pixels = Preprocess(size=size).pixels(Image.fromarray(photo))
    assert pixels.shape == (3, size, size)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    expected = np.einsum("ih,hwc,jw->cij", triangle(height, size), photo, triangle(width, size))
    assert np.abs(pixels - expected).max() <= 1.01


def test_preprocess_wants_an_opened_photo() -> None:
    with pytest.raises(ImageError, match="mode L, expected RGB; open it with open_photo"):
        Preprocess().pixels(Image.new("L", (3, 5)))


def test_preprocess_travels_through_json() -> None:
    preprocess = Preprocess(size=97, mean=(0.5, 0.25, 0), std=(1, 2, 3.5))
    assert Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict()))) == preprocess
    assert Preprocess.from_dict(Preprocess().to_dict()) == Preprocess()
    assert Preprocess().to_dict() == {
        "size": 224,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"size": 0}, "size is 0, expected a whole number"),
        ({"size": 2.5}, "size is 2.5"),
        ({"size": True}, "size is True"),
        ({"mean": [1, 2]}, r"mean is \[1, 2\], expected three numbers"),
        ({"mean": "abc"}, "mean is 'abc'"),
        ({"mean": [0, 0, float("nan")]}, "mean is"),
        ({"std": [1, 0, 1]}, "expected three numbers above 0"),
        ({"std": None}, "std is None"),
        (
            {"colour": 1},
            r"got colour, mean, size, std, expected the fields mean, size, std$",
        ),
    ],
)
def test_preprocess_refuses_wrong_fields(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        Preprocess.from_dict(Preprocess().to_dict() | change)


def test_preprocess_refuses_missing_fields_and_other_things() -> None:
    with pytest.raises(ConfigError, match=r"got size, expected the fields mean, size, std$"):
        Preprocess.from_dict({"size": 7})
    with pytest.raises(ConfigError, match="got list, expected the fields"):
        Preprocess.from_dict([1, 2])  # type: ignore[arg-type]


# ---- Geometry

GEOMETRIES = st.builds(
    Geometry,
    st.tuples(st.integers(1, 9973), st.integers(1, 9973)),
    st.tuples(st.integers(1, 31), st.integers(1, 31)),
)
SHARES = st.floats(0, 1, exclude_max=True)


@checked
@given(GEOMETRIES, st.data())
def test_box_and_cell_are_inverse(geometry: Geometry, draw: st.DataObject) -> None:
    rows, cols = geometry.grid
    row, col = draw.draw(st.integers(0, rows - 1)), draw.draw(st.integers(0, cols - 1))
    left, top, right, bottom = geometry.box(row, col)
    assert 0 <= left < right <= geometry.photo[0]
    assert 0 <= top < bottom <= geometry.photo[1]
    assert geometry.cell(left, top) == (row, col)
    assert geometry.cell((left + right) / 2, (top + bottom) / 2) == (row, col)
    assert geometry.cell(np.nextafter(right, left), np.nextafter(bottom, top)) == (row, col)


@checked
@given(GEOMETRIES, SHARES, SHARES)
def test_a_point_lies_in_the_box_of_its_cell(
    geometry: Geometry, across: float, down: float
) -> None:
    x, y = across * geometry.photo[0], down * geometry.photo[1]
    left, top, right, bottom = geometry.box(*geometry.cell(x, y))
    assert left <= x < right
    assert top <= y < bottom


def test_the_cells_tile_the_photo() -> None:
    geometry = Geometry(photo=(641, 479), grid=(5, 7))
    assert geometry.box(0, 0)[:2] == (0, 0)
    assert geometry.box(4, 6)[2:] == (641, 479)
    assert geometry.box(2, 3)[2] == geometry.box(2, 4)[0]
    assert geometry.box(2, 3)[3] == geometry.box(3, 3)[1]
    assert geometry.cell(641, 479) == (4, 6)
    assert geometry.cell(640, 0) == (0, 6)


@checked
@given(GEOMETRIES, SHARES, SHARES, SHARES, SHARES)
def test_coverages_sum_to_the_boxs_area(
    geometry: Geometry, x: float, y: float, w: float, h: float
) -> None:
    (width, height), (rows, cols) = geometry.photo, geometry.grid
    box = (x * width, y * height, w * (1 - x) * width, h * (1 - y) * height)
    coverage = geometry.coverage(box)
    assert coverage.shape == (rows, cols)
    assert coverage.min() >= 0
    assert coverage.max() <= 1
    cell_area = width / cols * height / rows
    assert coverage.sum() == pytest.approx(box[2] * box[3] / cell_area, abs=1e-6)


@checked
@given(GEOMETRIES, st.data())
def test_a_cells_own_box_covers_it_alone(geometry: Geometry, draw: st.DataObject) -> None:
    rows, cols = geometry.grid
    row, col = draw.draw(st.integers(0, rows - 1)), draw.draw(st.integers(0, cols - 1))
    left, top, right, bottom = geometry.box(row, col)
    expected = np.zeros((rows, cols))
    expected[row, col] = 1
    coverage = geometry.coverage((left, top, right - left, bottom - top))
    np.testing.assert_allclose(coverage, expected, atol=1e-6)


def test_coverage_against_counted_pixels() -> None:
    geometry = Geometry(photo=(35, 33), grid=(11, 7))  # cells of 5 × 3 pixels
    mask = np.zeros((33, 35))
    mask[4:23, 8:30] = 1
    counted = mask.reshape(11, 3, 7, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(geometry.coverage((8, 4, 22, 19)), counted)


def test_coverage_of_many_boxes_and_of_boxes_that_stick_out() -> None:
    geometry = Geometry(photo=(35, 33), grid=(11, 7))
    boxes = [[8, 4, 22, 19], [-100, -100, 1000, 1000], [40, 2, 5, 5], [3, 3, 0, 0]]
    coverage = geometry.coverage(boxes)
    assert coverage.shape == (4, 11, 7)
    np.testing.assert_array_equal(coverage, [geometry.coverage(box) for box in boxes])
    assert coverage.sum(axis=(1, 2))[1:].tolist() == [77, 0, 0]
    assert geometry.coverage(np.zeros((0, 4))).shape == (0, 11, 7)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: Geometry((0, 5), (3, 3)), r"photo is \(0, 5\), expected two whole numbers"),
        (lambda: Geometry((7, 5), (3,)), r"grid is \(3,\)"),  # type: ignore[arg-type]
        (lambda: Geometry((7, 5), (3, 2.0)), r"grid is \(3, 2.0\)"),  # type: ignore[arg-type]
        (
            lambda: Geometry((7, 5), (3, 2)).box(3, 0),
            r"cell \(3, 0\) lies outside the grid of 3 rows × 2 columns",
        ),
        (lambda: Geometry((7, 5), (3, 2)).box(0, -1), r"cell \(0, -1\) lies outside"),
        (
            lambda: Geometry((7, 5), (3, 2)).cell(7.5, 0),
            r"point \(7.5, 0\) lies outside the photo of 7 × 5 pixels",
        ),
        (lambda: Geometry((7, 5), (3, 2)).cell(float("nan"), 0), "lies outside"),
        (
            lambda: Geometry((7, 5), (3, 2)).coverage((1, 2, 3)),
            r"got shape \(3,\), expected \(x, y, width, height\)",
        ),
        (lambda: Geometry((7, 5), (3, 2)).coverage((1, 2, -3, 4)), "negative side"),
        (lambda: Geometry((7, 5), (3, 2)).coverage((1, 2, np.nan, 4)), "NaN"),
    ],
)
def test_geometry_refuses(call: Callable[[], Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        call()


# ---- augment

PIXELS = np.ascontiguousarray(noise(13, 17).transpose(2, 0, 1))  # (3, 13, 17)


def drawn(
    settings: AugmentConfig, pixels: np.ndarray = PIXELS, seed: int = 0, **options: Any
) -> np.ndarray:
    return augment(pixels, settings, np.random.default_rng(seed), **options)


@checked
@given(
    st.booleans(),
    st.floats(0.05, 1),
    st.floats(0, 0.9),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    hnp.arrays(np.uint8, st.tuples(st.just(3), SIDES, SIDES)),
)
def test_augment_keeps_the_shape_and_follows_the_rng(
    flip: bool, crop: float, jitter: float, seed: int, allowed: bool, pixels: np.ndarray
) -> None:
    settings, before = AugmentConfig(flip, crop, jitter), pixels.copy()
    changed = drawn(settings, pixels, seed, flip_allowed=allowed)
    assert changed.shape == pixels.shape
    assert changed.dtype == np.uint8
    assert changed.flags.c_contiguous
    assert not np.shares_memory(changed, pixels)
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(drawn(settings, pixels, seed, flip_allowed=allowed), changed)


def test_augment_draws_equally_often_whatever_it_does() -> None:
    states = []
    for changes, allowed in [
        (AugmentConfig(True, 0.7, 0.2), True),
        (AugmentConfig(True, 0.7, 0.2), False),
        (AugmentConfig(False, 1.0, 0.0), True),
    ]:
        rng = np.random.default_rng(7)
        augment(PIXELS, changes, rng, flip_allowed=allowed)
        states.append(rng.bit_generator.state)
    assert states[0] == states[1] == states[2]


def test_nothing_to_do_changes_nothing() -> None:
    np.testing.assert_array_equal(drawn(AugmentConfig(flip=False, crop=1.0, jitter=0.0)), PIXELS)
    for seed in range(20):
        np.testing.assert_array_equal(
            drawn(AugmentConfig(True, 1.0, 0.0), seed=seed, flip_allowed=False), PIXELS
        )


def test_every_second_photo_is_mirrored() -> None:
    mirrored = 0
    for seed in range(200):
        changed = drawn(AugmentConfig(flip=True, crop=1.0, jitter=0.0), seed=seed)
        mirrored += (changed == PIXELS[:, :, ::-1]).all()
        assert (changed == PIXELS).all() or (changed == PIXELS[:, :, ::-1]).all()
    assert 70 <= mirrored <= 130


def test_the_crop_keeps_its_share_and_its_aspect() -> None:
    down, across = np.mgrid[0:101, 0:101] * 2  # the colours tell where a pixel came from
    pixels = np.stack([across, down, np.zeros_like(down)]).astype(np.uint8)
    areas = []
    for seed in range(100):
        changed = drawn(AugmentConfig(flip=False, crop=0.3, jitter=0.0), pixels, seed).astype(float)
        width = (changed[0].mean(axis=0)[-11] - changed[0].mean(axis=0)[10]) / (
            2 * 80
        )  # 80 pixels apart
        height = (changed[1].mean(axis=1)[-11] - changed[1].mean(axis=1)[10]) / (2 * 80)
        areas.append(width * height)
        assert 0.74 <= width / height <= 1.36
        assert width <= 1.01
        assert height <= 1.01
    assert 0.28 <= min(areas) <= 0.4
    assert 0.9 <= max(areas) <= 1.01


def test_jitter_is_brightness_contrast_saturation() -> None:
    pixels = (PIXELS // 4 + 96).astype(
        np.uint8
    )  # far from black and white, so that nothing is clipped
    luma = np.array([0.299, 0.587, 0.114])[:, None, None]
    for seed in range(20):
        brightness, contrast, saturation = 1 + 0.2 * (
            2 * np.random.default_rng(seed).random(8)[5:] - 1
        )
        bright = pixels * brightness
        mean = (luma * bright).sum(axis=0).mean()
        hard = mean + contrast * (bright - mean)
        grey = (luma * hard).sum(axis=0)
        expected = grey + saturation * (hard - grey)
        assert np.abs(drawn(AugmentConfig(False, 1.0, 0.2), pixels, seed) - expected).max() <= 1.5


# ---- where things lie after augment


BACK, FRONT = (10, 200, 30), (240, 20, 160)
WIDE, HIGH = 67, 59  # of the pictures below


@st.composite
def rectangles(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """(x, y, width, height) in pixels of a 67×59 picture."""
    x, y = draw(st.integers(0, WIDE - 1)), draw(st.integers(0, HIGH - 1))
    return x, y, draw(st.integers(1, WIDE - x)), draw(st.integers(1, HIGH - y))


@settings(deadline=None, derandomize=True, max_examples=70)
@given(rectangles(), st.booleans(), st.booleans(), st.floats(0.1, 1), st.integers(0, 2**32 - 1))
def test_a_rectangle_is_found_where_its_view_says(
    rectangle: tuple[int, int, int, int], flip: bool, allowed: bool, crop: float, seed: int
) -> None:
    x, y, width, height = rectangle
    pixels = np.empty((3, HIGH, WIDE), np.uint8)
    pixels[:] = np.array(BACK, np.uint8)[:, None, None]
    pixels[:, y : y + height, x : x + width] = np.array(FRONT, np.uint8)[:, None, None]
    changes = AugmentConfig(flip=flip, crop=crop)
    shown = drawn(changes, pixels, seed, flip_allowed=allowed).astype(float)
    view = augmented_view(changes, np.random.default_rng(seed), flip_allowed=allowed)
    placed = view.place((x / WIDE, y / HIGH, width / WIDE, height / HIGH))

    span = np.array(FRONT, float) - BACK
    front = ((shown - np.array(BACK)[:, None, None]) / span[:, None, None]).mean(0)  # (59, 67)
    across, down = (np.arange(size) + 0.5 for size in (WIDE, HIGH))
    zoom = 1 / (view.right - view.left), 1 / (view.bottom - view.top)
    blur_x, blur_y = (0.5 + 0.5 * z for z in zoom)  # two pixels of the photo mix over an edge
    # What touches the border from outside may be blurred into it too.
    left, top, wide, high = placed or (0.0, 0.0, 1.0, 1.0)
    rows = _between(down, top * HIGH, (top + high) * HIGH, blur_y)
    columns = _between(across, left * WIDE, (left + wide) * WIDE, blur_x)
    if placed is None:
        assert (front[rows][:, columns] < 0.02).all()
        return
    assert (front[rows][:, columns] > 0.98).all()
    assert (front[~_between(down, top * HIGH, (top + high) * HIGH, -blur_y)] < 0.02).all()
    assert (front[:, ~_between(across, left * WIDE, (left + wide) * WIDE, -blur_x)] < 0.02).all()


def _between(places: np.ndarray, first: float, last: float, apart: float) -> np.ndarray:
    """Which pixels lie between two edges, and by how much."""
    return (places > first + apart) & (places < last - apart)


WINDOW = (0.25, 0.5, 0.75, 1.0)  # left, top, right, bottom


@pytest.mark.parametrize(
    ("box", "upright", "mirrored"),
    [
        ((0.25, 0.5, 0.5, 0.5), (0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)),
        ((0.25, 0.625, 0.125, 0.25), (0.0, 0.25, 0.25, 0.5), (0.75, 0.25, 0.25, 0.5)),
        ((0.5, 0.75, 0.125, 0.125), (0.5, 0.5, 0.25, 0.25), (0.25, 0.5, 0.25, 0.25)),
        ((0.0, 0.0, 0.5, 0.75), (0.0, 0.0, 0.5, 0.5), (0.5, 0.0, 0.5, 0.5)),  # sticks out
        ((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)),  # on all sides
        ((0.0, 0.5, 0.25, 0.5), None, None),  # touches the left edge from outside
        ((0.25, 0.0, 0.5, 0.5), None, None),
        ((0.8, 0.6, 0.1, 0.1), None, None),
        ((0.4, 0.6, 0.0, 0.1), None, None),  # has no area
    ],
)
def test_boxes_in_a_window(
    box: tuple[float, ...], upright: tuple[float, ...] | None, mirrored: tuple[float, ...] | None
) -> None:
    assert View(*WINDOW).place(box) == upright
    assert View(*WINDOW, mirrored=True).place(box) == mirrored


def test_a_photo_that_does_not_change_is_seen_whole() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert augmented_view(AugmentConfig(jitter=0.3), rng) == View(0.0, 0.0, 1.0, 1.0)
        seen = augmented_view(AugmentConfig(True, 0.5), rng, flip_allowed=False)
        assert not seen.mirrored
    used = np.random.default_rng(3)
    augment(PIXELS, AugmentConfig(True, 0.5), used)
    looked = np.random.default_rng(3)
    augmented_view(AugmentConfig(True, 0.5), looked)
    assert used.bit_generator.state == looked.bit_generator.state
