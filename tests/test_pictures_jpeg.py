"""JPEG files: decoded smaller, cut short, and those that would take all memory."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from captioner.errors import ImageError
from captioner.pictures.open import open_photo, original_size
from captioner.pictures.preprocess import Preprocess
from tests.photographs import (
    checked,
    encoded,
    noise,
    opened,
    refused,
    smooth,
)


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


def resized(data: bytes, width: int, height: int) -> bytes:
    """A JPEG file that announces another size and holds too little for it."""
    changed = bytearray(data)
    place = max(data.rfind(b"\xff\xc0"), data.rfind(b"\xff\xc2")) + 5  # length (2), precision (1)
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

    def counting(image: JpegImageFile) -> Any:
        decoded.extend(
            [image.width] if image.tile else []
        )  # it is loaded again, with nothing to do
        return load(image)

    load = JpegImageFile.load
    monkeypatch.setattr(JpegImageFile, "load", counting)
    assert "cut short or damaged" in refused(resized(encoded(smooth(31, 47), "JPEG")[:-2], *size))
    assert len(decoded) > 2
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
    assert plain.count(b"\xff\xda") > 20
    assert open_photo(resized(plain, 8000, 8000), side=8)  # where 20 are read
    progressive = encoded(smooth(31, 47), "JPEG", exif=exif, progressive=True)
    assert open_photo(resized(progressive, 8000, 8000), side=8)
    many = progressive[:-2] + 15 * progressive[progressive.rindex(b"\xff\xda") : -2]
    assert "come in 25 scans, expected 20 at most" in refused(resized(many, 8000, 8000))
