"""Photos of every kind that people have, opened from everywhere."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import struct
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from captioner.errors import ConfigError, ImageError
from captioner.pictures import open as opening
from captioner.pictures.open import open_photo, original_size
from captioner.pictures.preprocess import Preprocess
from tests.photographs import (
    FORMATS,
    LOSSLESS,
    STORED,
    checked,
    encoded,
    noise,
    opened,
    png,
    refused,
    smooth,
)


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


@pytest.mark.parametrize("format_name", ["GIF", "WEBP", "PNG", "TIFF", "MPO", "AVIF"])
def test_the_first_frame_of_many(format_name: str) -> None:
    frames = [Image.new("RGB", (23, 29), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], format_name, save_all=True, append_images=frames[1:])
    assert np.abs(opened(data).astype(int) - [255, 0, 0]).max() <= 6


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


def test_tags_that_cannot_be_written_back_do_not_keep_a_photo_from_its_turn() -> None:
    tags = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack(">HHI4s", 0x011A, 2, 3, b"72")
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x02" + tags + bytes(4)  # XResolution as text
    data = encoded(smooth(31, 47), "JPEG", exif=exif)
    with Image.open(io.BytesIO(data)) as image, pytest.raises(TypeError):
        ImageOps.exif_transpose(image)
    assert open_photo(data).size == original_size(open_photo(data)) == (31, 47)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_unknown_orientation_leaves_the_photo(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = smooth(31, 47)
    np.testing.assert_array_equal(opened(encoded(image, exif=exif)), np.asarray(image))


def test_a_side_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="side: got 0, expected at least 1 pixel"):
        open_photo(png(3, 5), side=0)


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

    def failing(*arguments: Any) -> Any:
        raise kind("trouble")

    for step in ("__init__", "draft", "load", "convert"):
        with monkeypatch.context() as patched:
            patched.setattr(JpegImageFile, step, failing)
            with pytest.raises(ImageError) as caught:
                open_photo(path, side=5)
        assert str(caught.value).isprintable()


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
    with monkeypatch.context() as patched:
        patched.setattr("builtins.open", opening)
        message = refused(path)
    assert message == f"{path}: {expected}"


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


def test_no_handle_leaks_whatever_the_file_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = [encoded(smooth(31, 47), name) for name in FORMATS]
    good.append(encoded(smooth(31, 47), "TIFF", compression="jpeg"))
    handles: list[Any] = []

    def recording(name: str, mode: str) -> Any:
        handles.append(Path(name).open(mode))  # noqa: SIM115  (what closes it is under test)
        return handles[-1]

    monkeypatch.setattr("builtins.open", recording)
    path = tmp_path / "photo.bin"
    gc.collect()  # what others have left open is not counted
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
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


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


@pytest.mark.parametrize(
    ("kind", "decodes"),
    [("JPEG", 2), ("PNG", 1), ("WEBP", 1), ("BMP", 1), ("GIF", 1), ("TIFF", 1)],
)
@pytest.mark.parametrize("source", ["path", "bytes", "file"])
def test_one_file_is_opened_once_for_several_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, decodes: int, source: str
) -> None:
    pixels = np.random.default_rng(11).integers(0, 256, (23, 37, 3), dtype=np.uint8)
    path = tmp_path / "photo"
    Image.fromarray(pixels).resize((740, 460)).save(path, format=kind)
    alone = [open_photo(path, side=side) for side in (61, 300, 100)]
    finished: list[str] = []
    real = opening.decoded

    def counted(image: Image.Image, name: str) -> Image.Image:
        finished.append(name)
        return real(image, name)

    monkeypatch.setattr(opening, "decoded", counted)
    sources = {"path": path, "bytes": path.read_bytes(), "file": io.BytesIO(path.read_bytes())}
    together = opening.open_sizes(sources[source], [61, 300, 100])  # 100 decodes as 61 does: 1/4
    assert len(finished) == decodes
    for one, other in zip(together, alone, strict=True):
        assert one.tobytes() == other.tobytes()
        assert opening.original_size(one) == opening.original_size(other) == (740, 460)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "TIFF"])
def test_a_closed_picture_is_not_called_damaged(name: str, tmp_path: Path) -> None:
    path = tmp_path / "photo"
    path.write_bytes(encoded(smooth(31, 47), name))
    by_hand = Image.open(path)
    by_hand.close()
    with Image.open(path) as left:
        pass
    with path.open("rb") as file:
        of_a_file = Image.open(file)
    for picture in (by_hand, left, of_a_file):
        message = refused(picture)
        assert "closed before its pixels were read; hand it over while its file is open" in message
    with Image.open(path) as loaded:
        loaded.load()
    np.testing.assert_array_equal(opened(loaded), opened(path))
