"""Photos opened: whatever a person hands over becomes an upright RGB picture of eight bits."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps, JpegImagePlugin, TiffImagePlugin

from captioner.errors import ConfigError, ImageError, shown
from captioner.pictures import jpeg, raw
from captioner.pictures.arrays import from_array, from_tensor
from captioner.pictures.depth import decoded
from captioner.pictures.formats import (
    EXPECTED,
    HEAD,
    THIS_IS_RAW,
    content,
    find_reader,
    is_text,
    what_it_is,
)
from captioner.pictures.messages import damaged, reason, source_name, type_name
from captioner.pictures.sizes import check_size
from captioner.settings import as_int

ImageSource: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | NDArray[Any]
)
"""What `open_photo` takes: a path, bytes, a binary file object, a PIL image, or an array.

A tensor is taken as well, by what it can do, since nothing here imports torch.
"""

_SOURCES = "expected a path, bytes, a binary file object, a PIL image or a numpy array"
_ORIGINAL = "captioner_original_size"
_TURNED = "captioner_turned"
_LARGE = 16_000_000  # pixels as they are decoded, from which on there is one such picture at a time
_TURN = 20.0  # seconds that a thread waits for its turn
_TURNS_AT_LARGE = threading.Lock()
_PREVIEW = "captioner_preview"
_TURNS = range(2, 9)  # orientations that ask for one (Exif 2.32, section 4.6.4)
_SWAPS = range(5, 9)  # orientations in which width and height change places


def open_photo(source: ImageSource, *, side: int | None = None) -> Image.Image:
    """A photo as an upright RGB picture of eight bits, whatever it came as.

    The EXIF orientation is applied, the first frame of an animation taken, transparency laid on
    white, and 16-bit values scaled (not clipped) to eight bits. In a file of 16-bit values, white
    is what the file declares (PNG's sBIT, TIFF's BitsPerSample, MaxSampleValue and
    SMaxSampleValue, where they tell a number of bits and no value exceeds it), or else the
    largest value of 8, 10, 12, 14 or 16 bits, the fewest that hold all values: cameras write 12
    bits into files of 16. Of colours that take all 16 bits, the upper eight are kept. In an array,
    white is 65535. The result shares nothing with the source; a file object stays open. May be
    called from many threads, as it changes nothing global.

    Of a camera raw file, the JPEG preview in it is taken, the largest one; `is_preview` tells.

    A JPEG file of more than `MAX_PIXELS` is decoded at 1/2 of its size or less; any other picture
    so large is refused.

    Args:
        source: A path, a file's bytes, a binary file object (read from its start), a PIL image, or
            an array: (H, W) or (H, W, 1|3|4) of uint8, uint16, bool, or floats in [0, 1]; a torch
            tensor of such values may have its channels first, too.
        side: The shorter side, in pixels, beyond which the caller needs no detail. A JPEG file is
            then decoded at 1/2, 1/4 or 1/8 of its size, never below `side` unless it would be above
            `MAX_PIXELS`; `original_size` tells the size of the whole photo.

    Raises:
        ImageError: The source is missing, unreadable, damaged, no photo, or above the limits.
    """
    return open_sizes(source, [side])[0]


def open_sizes(source: ImageSource, sides: Sequence[int | None]) -> list[Image.Image]:
    """What `open_photo` gives for each of `sides`, of a source that is opened once.

    It is decoded once for each size that comes out; where that is the same for two of `sides`, both
    are the same picture.

    Raises:
        ImageError: as `open_photo`.
    """
    for side in sides:
        check_side(side)
    try:
        return _opened(source, sides)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{source_name(source)}: too little memory; make it smaller") from error
    except Exception as error:  # any object may come, and one photo's fault is that photo's
        raise ImageError(f"{type_name(source)}: cannot be read ({reason(error)})") from error


def check_side(side: int | None) -> None:
    """Refuses what is no shorter side of a photo.

    Raises:
        ConfigError: it is no whole number, or below one pixel.
    """
    whole = as_int(side)
    if side is not None and (whole is None or whole < 1):
        raise ConfigError(
            f"side: got {shown(side)}, expected at least 1 pixel, or None for the whole photo"
        )


def _opened(source: ImageSource, sides: Sequence[int | None]) -> list[Image.Image]:
    name = source_name(source)
    if isinstance(source, Image.Image):
        return [_finished(source, name)] * len(sides)
    if isinstance(source, np.ndarray):
        return [_finished(from_array(source, name), name)] * len(sides)
    if callable(getattr(source, "detach", None)) and callable(getattr(source, "numpy", None)):
        return [_finished(from_tensor(source, name), name)] * len(sides)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _from_file(io.BytesIO(bytes(source)), name, sides)
    if isinstance(source, (str, os.PathLike)):
        return _from_path(os.fsdecode(source), name, sides)
    if callable(getattr(source, "read", None)):
        return _from_file(_buffered(source, name), name, sides)
    if isinstance(source, (list, tuple, set, frozenset, dict)):
        raise ImageError(f"got a {type_name(source)}; {_SOURCES}; Captioner.stream takes several")
    raise ImageError(f"got {'None' if source is None else type_name(source)}; {_SOURCES}")


def original_size(photo: Image.Image) -> tuple[int, int]:
    """(width, height) of the upright original of what `open_photo` returned, perhaps smaller."""
    width, height = photo.info.get(_ORIGINAL, photo.size)
    return width, height


def was_turned(photo: Image.Image) -> bool:
    """Whether the EXIF orientation of what `open_photo` returned asked for a turn."""
    return bool(photo.info.get(_TURNED))


def _from_path(path: str, name: str, sides: Sequence[int | None]) -> list[Image.Image]:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  (Path("") is the current folder)
        if stat.S_ISDIR(mode):
            raise ImageError(f"{name}: this is a folder, {EXPECTED}; name a file in it")
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise ImageError(f"{name}: this is a device or a socket, {EXPECTED}")
        with open(path, "rb") as file:  # noqa: PTH123
            readable = _buffered(file, name) if stat.S_ISFIFO(mode) else file
            return _from_file(readable, name, sides)
    except FileNotFoundError as error:
        hint = "download it first" if "://" in path else "check the name and the folder"
        raise ImageError(f"{name}: there is no such file; {hint}") from error
    except PermissionError as error:
        raise ImageError(f"{name}: no permission to read it; allow it (chmod u+r)") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise ImageError(f"{name}: cannot be read ({reason(error)}); check the path") from error


def _buffered(file: Any, name: str) -> io.BytesIO:
    """All of a file object's content: Pillow wants to seek, and not every object can."""
    try:
        if callable(seekable := getattr(file, "seekable", None)) and seekable():
            file.seek(0)
        data = file.read()
    except Exception as error:  # any object may come, with any read method
        raise ImageError(f"{name}: cannot be read ({reason(error)}); open it again") from error
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise ImageError(
            f"{name}: reading gives {type_name(data)}, expected bytes; open it in mode 'rb'"
        )
    return io.BytesIO(data)


def _from_file(file: BinaryIO, name: str, sides: Sequence[int | None]) -> list[Image.Image]:
    """The photo in an open, seekable file, at each size."""
    known: dict[_Decoded, Image.Image] = {}
    return [_at_size(file, name, side, known) for side in sides]


_Decoded: TypeAlias = tuple[tuple[int, int], tuple[int, int] | None]
"""What a file is decoded to: its size, and that of the part which shows the photo."""


def _at_size(
    file: BinaryIO, name: str, side: int | None, known: dict[_Decoded, Image.Image]
) -> Image.Image:
    if raw.is_raw(file):
        return _developed(file, name, side, known)
    file.seek(0)
    image = _identified(file, name)
    size, box = image.size, None
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        jpeg.check_cost(image, content(file), name)
        box = jpeg.draft(image, side)
    elif isinstance(image, TiffImagePlugin.TiffImageFile):
        _silence_libtiff()
    if (wanted := (image.size, box)) not in known:
        with _one_at_a_time(image.size):
            known[wanted] = _decoded(file, name, image, size, box, side)
    return known[wanted]


@contextlib.contextmanager
def _one_at_a_time(size: tuple[int, int]) -> Iterator[None]:
    """Has threads take turns at what is decoded at many pixels, and so takes gigabytes.

    A decoder that hangs keeps the others for `_TURN` seconds each, and not for ever.
    """
    if size[0] * size[1] <= _LARGE:
        yield
        return
    mine = _TURNS_AT_LARGE.acquire(timeout=_TURN)
    try:
        yield
    finally:
        if mine:
            _TURNS_AT_LARGE.release()


def _decoded(
    file: BinaryIO,
    name: str,
    image: Image.Image,
    size: tuple[int, int],
    box: tuple[int, int] | None,
    side: int | None,
) -> Image.Image:
    """The photo; also of a JPEG file that lacks nothing but its end."""
    try:
        return _finished(image, name, size, box)
    except ImageError as error:
        if isinstance(image, JpegImagePlugin.JpegImageFile) and type(error.__cause__) is OSError:
            jpeg.check_coding(content(file), name)
            decode = functools.partial(_from_jpeg, name)
            whole = jpeg.completed(content(file), len(image.getbands()), decode)
            if whole is not None:
                return decode(whole, side)
        raise


def _from_jpeg(name: str, data: bytes, side: int | None) -> Image.Image:
    """The photo in a JPEG file's content, which has been checked."""
    image = _identified(io.BytesIO(data), name)
    return _finished(image, name, image.size, jpeg.draft(image, side))


def _developed(
    file: BinaryIO, name: str, side: int | None, known: dict[_Decoded, Image.Image]
) -> Image.Image:
    """The preview in a camera raw file, turned as the file asks where the preview does not."""
    found = raw.preview_of(file)
    if found is None:
        raise ImageError(f"{name}: {THIS_IS_RAW}")
    inside = io.BytesIO(found.data)
    own = ExifTags.Base.Orientation in _identified(inside, name).getexif()
    picture = _at_size(inside, name, side, known)
    if _PREVIEW not in picture.info:
        if not own:
            width, height = picture.info[_ORIGINAL]
            swapped = found.orientation in _SWAPS
            kept: dict[str | tuple[int, int], Any] = {
                _ORIGINAL: (height, width) if swapped else (width, height),
                _TURNED: found.orientation in _TURNS,
            }
            _turn(picture, found.orientation)
            picture.info = kept
        picture.info[_PREVIEW] = True
    return picture


def is_preview(photo: Image.Image) -> bool:
    """Whether what `open_photo` returned is the preview in a camera raw file."""
    return bool(photo.info.get(_PREVIEW))


@functools.cache
def _silence_libtiff() -> None:
    """Keeps libtiff from writing to standard error, without the name of the file.

    Pillow raises the same errors, which are then reported with the photo's name. libtiff has one
    handler for all threads: it is set once, and never back.
    """
    with contextlib.suppress(AttributeError, OSError):  # libtiff may be linked in another way
        handler = ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler
        handler.restype, handler.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        handler(None)


def _identified(file: BinaryIO, name: str) -> Image.Image:
    """The header of an open, seekable file, read by the reader that knows its signature.

    `Image.open(formats=…)` would not do: it warns of large photos through the `warnings` module,
    which no thread can silence for itself alone; refuses those from 179 megapixels on, before they
    could be decoded at half their size; and keeps to itself what a reader said of a damaged file.
    """
    head = file.read(HEAD)
    if not head:
        raise ImageError(f"{name}: the file is empty (0 bytes), {EXPECTED}; download it again")
    format_name, factory = find_reader(head)
    if factory is not None:
        try:
            file.seek(0)
            return factory(file, "")
        except Exception as error:  # Pillow's readers raise a dozen kinds on damaged headers
            if format_name == "JPEG":
                jpeg.check_coding(content(file), name)
            # BM and P1 may begin a word.
            if not (format_name in ("BMP", "PPM") and is_text(head)):
                raise ImageError(damaged(name, format_name, error)) from error
    raise ImageError(f"{name}: {what_it_is(head)}")


def _finished(
    image: Image.Image,
    name: str,
    size: tuple[int, int] | None = None,
    box: tuple[int, int] | None = None,
) -> Image.Image:
    """The picture decoded, upright and RGB.

    Args:
        image: perhaps of a file that is decoded at less than its size.
        name: of it in messages.
        size: of the whole photo.
        box: the size of the part that shows the photo.
    """
    size = size or image.size
    check_size(image.size, name)
    closed = _is_closed(image)
    try:
        picture = decoded(image, name)
        if box is not None:
            picture = picture.crop((0, 0, *box))
        orientation = _orientation(image)
        _turn(picture, orientation)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(
            f"{name}: too little memory for {size[0]} × {size[1]} pixels; make it smaller"
        ) from error
    except Exception as error:  # as above: the decoders raise what they like
        if closed:
            raise ImageError(
                f"{name}: this PIL image was closed before its pixels were read; hand it over "
                "while its file is open, or call its load() first"
            ) from error
        raise ImageError(damaged(name, image.format or "picture's", error)) from error
    picture.info = {
        _ORIGINAL: size[::-1] if orientation in _SWAPS else size,
        _TURNED: orientation in _TURNS,
    }
    return picture


def _is_closed(image: Image.Image) -> bool:
    """Whether its file cannot be read (any more), which matters where its pixels were not."""
    if not isinstance(image, ImageFile.ImageFile):
        return False
    file = image.fp
    return file is None or bool(getattr(file, "closed", False))


def _orientation(image: Image.Image) -> Any:
    """The EXIF orientation; a photo is not refused for EXIF data that cannot be read."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # the EXIF parser raises as many kinds as the readers
        return 1


def _turn(picture: Image.Image, orientation: Any) -> None:
    """Turns a picture as an EXIF orientation asks for.

    The picture is given that tag alone: `exif_transpose` writes back the others that it finds, and
    fails where one is of another type than it should be.
    """
    picture.info = {}
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    ImageOps.exif_transpose(picture, in_place=True)
