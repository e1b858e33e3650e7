"""Photos in and out of the model's square: opening, preprocessing, geometry and augmentation.

Everything a person may hand over as a photo becomes one thing here, an upright RGB picture of eight
bits (`open_photo`); `Preprocess` squashes it to the square the model sees, `Geometry` leads from a
cell of the model's grid back to pixels of the photo. No torch: pictures and arrays only.
"""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import functools
import io
import os
import re
import stat
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.util import find_spec
from math import exp, isfinite, log
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The plugins enter their readers in Image.OPEN when they are imported.
from PIL import (
    AvifImagePlugin,  # noqa: F401
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageChops,
    Jpeg2KImagePlugin,  # noqa: F401
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,  # noqa: F401
    TiffImagePlugin,
    WebPImagePlugin,  # noqa: F401
)

from captioner.config import AugmentConfig
from captioner.errors import ConfigError, ImageError

MAX_PIXELS = 64_000_000
"""The largest picture that is decoded, in pixels (width × height).

A JPEG file may hold more, as those of telephones do: it is then decoded at a half or less.
"""

MAX_JPEG_PIXELS = 4 * MAX_PIXELS
"""The largest JPEG file that is opened; at half its size it is within `MAX_PIXELS`.

Half as many pixels where it comes in several scans, as progressive ones do: whatever the size that
is asked for, the coefficients of the whole picture are then held, up to 6 bytes for each pixel.
"""

_MAX_SCANNED = 20 * MAX_PIXELS  # pixels × scans of a JPEG file: each scan goes over all of them

ImageSource: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | NDArray[Any]
)
"""What `open_photo` takes: a path, bytes, a binary file object, a PIL image, or an array.

A tensor is taken as well, by what it can do, since nothing here imports torch.
"""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM")

_HEIC = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
_READS_HEIC = find_spec("pillow_heif") is not None  # imported with the first such photo
_INSTALL_HEIC = "HEIC is read with pillow-heif: pip install 'captioner[heic]', or export it as JPEG"

PHOTO_SUFFIXES = frozenset(
    {suffix for suffix, name in Image.EXTENSION.items() if name in _FORMATS}
    - _HEIC  # which another user of pillow-heif may have registered
    | {".mpo"}
    | (_HEIC if _READS_HEIC else set())
)
"""The suffixes, in lower case, of the files that a walk through a folder takes for photos."""

_RAW = (
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef"
    " .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f"
)
_VIDEO = ".3gp .avi .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .webm .wmv"
_DRAWN = ".ai .eps .pdf .ps .svg .svgz"
_LAYERED = ".kra .psb .psd .xcf"
_OTHERS = ".dds .emf .exr .hdr .ico .icns .jxl .jxr .pcx .tga .wdp .wmf"

UNREAD_SUFFIXES: Mapping[str, str] = {
    **({} if _READS_HEIC else dict.fromkeys(sorted(_HEIC), _INSTALL_HEIC)),
    **dict.fromkeys(_RAW.split(), "camera raw is not read; export it as JPEG"),
    **dict.fromkeys(_VIDEO.split(), "a video is not read; save a frame of it as JPEG or PNG"),
    **dict.fromkeys(_DRAWN.split(), "a page or drawing is not read; save it as PNG"),
    **dict.fromkeys(_LAYERED.split(), "a layered picture is not read; export it as PNG"),
    **dict.fromkeys(_OTHERS.split(), "this kind of picture is not read; convert it to JPEG or PNG"),
}
"""Why files that people take for photos are not opened, by their suffix in lower case."""

_EXPECTED = "expected a photo (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF)"
_SOURCES = "expected a path, bytes, a binary file object, a PIL image or a numpy array"
_THIS_IS_RAW = "this is a camera raw file, which is not read; export it as JPEG"
_HEAD = 4096  # bytes that tell what a file is
_SHAPES = "expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
_ORIGINAL = "captioner_original_size"
_TURNED = "captioner_turned"

# What the values 2 to 8 of the EXIF tag Orientation ask for (Exif 2.32, section 4.6.4).
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPPING = {_TURNS[value] for value in (5, 6, 7, 8)}  # width and height change places


def open_photo(source: ImageSource, *, side: int | None = None) -> Image.Image:
    """A photo as an upright RGB picture of eight bits, whatever it came as.

    The EXIF orientation is applied, the first frame of an animation taken, transparency laid on
    white, and 16-bit values scaled (not clipped) to eight bits. In a file of 16-bit values, white
    is what the file declares (PNG's sBIT, TIFF's BitsPerSample, MaxSampleValue and
    SMaxSampleValue, where they tell a number of bits and no value exceeds it), or else the
    largest value of 8, 10, 12, 14 or 16 bits, the fewest that hold all values: cameras write 12
    bits into files of 16. In an array it is 65535. The result shares nothing with the
    source; a file object stays open. May be called from many threads, as it changes nothing
    global.

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
    if side is not None and side < 1:
        raise ConfigError(
            f"side: got {side}, expected at least 1 pixel, or None for the whole photo"
        )
    try:
        return _opened(source, side)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{_name(source)}: too little memory; make it smaller") from error
    except Exception as error:  # any object may come, and one photo's fault is that photo's
        raise ImageError(f"{_kind(source)}: cannot be read ({_reason(error)})") from error


def _opened(source: ImageSource, side: int | None) -> Image.Image:
    name = _name(source)
    if isinstance(source, Image.Image):
        return _finished(source, name)
    if isinstance(source, np.ndarray):
        return _finished(_from_array(source, name), name)
    if callable(getattr(source, "detach", None)) and callable(getattr(source, "numpy", None)):
        return _finished(_from_tensor(source, name), name)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _from_file(io.BytesIO(bytes(source)), name, side)
    if isinstance(source, (str, os.PathLike)):
        return _from_path(os.fsdecode(source), name, side)
    if callable(getattr(source, "read", None)):
        return _from_file(_buffered(source, name), name, side)
    if isinstance(source, (list, tuple, set, frozenset, dict)):
        raise ImageError(f"got a {_kind(source)}; {_SOURCES}; Captioner.stream takes several")
    raise ImageError(f"got {'None' if source is None else _kind(source)}; {_SOURCES}")


def original_size(photo: Image.Image) -> tuple[int, int]:
    """(width, height) of the upright original of what `open_photo` returned, perhaps smaller."""
    width, height = photo.info.get(_ORIGINAL, photo.size)
    return width, height


def was_turned(photo: Image.Image) -> bool:
    """Whether the EXIF orientation of what `open_photo` returned asked for a turn."""
    return bool(photo.info.get(_TURNED))


@dataclass(frozen=True)
class Preprocess:
    """How a photo becomes the model's input; part of a checkpoint, so it travels with the weights.

    The mean and standard deviation of each channel are those of ImageNet, on values in [0, 1]; they
    are what the encoder was pre-trained with.

    Raises:
        ConfigError: A field is of the wrong type or out of range.
    """

    size: int = 224  # pixels, both sides of the square
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # red, green, blue
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        if not _is_count(self.size):
            raise ConfigError(
                f"preprocess: size is {self.size!r}, expected a whole number of pixels, 1 or more"
            )
        for name in ("mean", "std"):
            values = getattr(self, name)
            if not (
                isinstance(values, (tuple, list))
                and len(values) == 3
                and all(map(_is_finite, values))
            ):
                raise ConfigError(
                    f"preprocess: {name} is {values!r}, expected three numbers (red, green, blue)"
                )
            object.__setattr__(self, name, tuple(float(value) for value in values))
        if min(self.std) <= 0:
            raise ConfigError(f"preprocess: std is {self.std!r}, expected three numbers above 0")

    def pixels(self, photo: Image.Image) -> NDArray[np.uint8]:
        """The photo squashed to the square: uint8 (3, size, size), red, green, blue.

        The aspect ratio is not kept, as it was not for the training photos. Bilinear, antialiased
        where the photo shrinks.

        Raises:
            ImageError: The picture is not RGB.
        """
        if photo.mode != "RGB":
            raise ImageError(
                f"got a picture of mode {photo.mode}, expected RGB; open it with open_photo"
            )
        square = photo.resize((self.size, self.size), Image.Resampling.BILINEAR)
        return _channels_first(square)  # (3, size, size)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON knows them."""
        return {"size": self.size, "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocess:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: A field is missing, unknown, of the wrong type or out of range.
        """
        expected = {field.name for field in fields(cls)}
        if not isinstance(values, Mapping) or set(values) != expected:
            mapping = isinstance(values, Mapping)
            got = (", ".join(sorted(map(str, values))) or "nothing") if mapping else _kind(values)
            raise ConfigError(
                f"preprocess: got {got}, expected the fields {', '.join(sorted(expected))}"
            )
        return cls(**values)


@dataclass(frozen=True)
class Geometry:
    """Where the cells of the model's grid lie on a photo that was squashed to the model's square.

    Coordinates are pixels of the upright original, x to the right and y down; pixel 0 reaches from
    0 to 1.

    Raises:
        ConfigError: A field is not a pair of whole numbers, 1 or more.
    """

    photo: tuple[int, int]  # (width, height) of the upright original, in pixels
    grid: tuple[int, int]  # (h, w), in cells

    def __post_init__(self) -> None:
        for name in ("photo", "grid"):
            pair = getattr(self, name)
            if not (
                isinstance(pair, (tuple, list)) and len(pair) == 2 and all(map(_is_count, pair))
            ):
                raise ConfigError(
                    f"geometry: {name} is {pair!r}, expected two whole numbers, 1 or more"
                )
            object.__setattr__(self, name, tuple(pair))

    def box(self, row: int, col: int) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of one cell.

        Raises:
            ConfigError: There is no such cell.
        """
        rows, cols = self.grid
        if not (0 <= row < rows and 0 <= col < cols):
            raise ConfigError(
                f"cell ({row}, {col}) lies outside the grid of {rows} rows × {cols} columns"
            )
        x, y = self._edges()
        return float(x[col]), float(y[row]), float(x[col + 1]), float(y[row + 1])

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """(row, col) of the cell that a point lies in; the right and lower edge count as inside.

        Raises:
            ConfigError: The point lies outside the photo.
        """
        width, height = self.photo
        if not (0 <= x <= width and 0 <= y <= height):
            raise ConfigError(
                f"point ({x}, {y}) lies outside the photo of {width} × {height} pixels"
            )
        rows, cols = self.grid
        x_edges, y_edges = self._edges()
        # Searching the very edges that `box` returns keeps the two inverse, rounding included.
        row = int(np.searchsorted(y_edges, y, side="right")) - 1
        col = int(np.searchsorted(x_edges, x, side="right")) - 1
        return min(row, rows - 1), min(col, cols - 1)

    def coverage(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """The share of each cell, in [0, 1], that a box covers; outside the photo nothing counts.

        Args:
            boxes: One box (x, y, width, height) as in COCO, or an array (…, 4) of them.

        Returns:
            (h, w), or (…, h, w).

        Raises:
            ConfigError: Not four finite numbers, or a negative width or height.
        """
        array = np.asarray(boxes, dtype=np.float64)
        if array.shape[-1:] != (4,):
            raise ConfigError(f"box: got shape {array.shape}, expected (x, y, width, height)")
        if not np.isfinite(array).all() or (array[..., 2:] < 0).any():
            raise ConfigError("box: got NaN, infinity or a negative side, expected finite numbers")
        x_edges, y_edges = self._edges()
        x, y, width, height = np.moveaxis(array, -1, 0)[..., None]  # each (…, 1)
        across = _overlap(x_edges, x, x + width)  # (…, w)
        down = _overlap(y_edges, y, y + height)  # (…, h)
        return down[..., :, None] * across[..., None, :]

    def _edges(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        (width, height), (rows, cols) = self.photo, self.grid
        return np.arange(cols + 1) * width / cols, np.arange(rows + 1) * height / rows


@dataclass(frozen=True)
class View:
    """Which part of a photo an augmented copy shows, in shares of its sides."""

    left: float
    top: float
    right: float
    bottom: float
    mirrored: bool = False

    def place(
        self, box: tuple[float, float, float, float]
    ) -> tuple[float, float, float, float] | None:
        """Where a box (x, y, width, height) of the photo lies on the copy; None: outside."""
        x, y, width, height = box
        wide, high = self.right - self.left, self.bottom - self.top
        left, right = (min(max((e - self.left) / wide, 0), 1) for e in (x, x + width))
        top, bottom = (min(max((e - self.top) / high, 0), 1) for e in (y, y + height))
        if self.mirrored:
            left, right = 1 - right, 1 - left
        return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def augmented_view(
    settings: AugmentConfig, rng: np.random.Generator, flip_allowed: bool = True
) -> View:
    """What `augment` shows with a generator in the same state."""
    return _view(settings, rng.random(8), flip_allowed)


def _view(settings: AugmentConfig, draws: NDArray[np.float64], flip_allowed: bool) -> View:
    box = _crop_box(settings.crop, draws[:4]) if settings.crop < 1 else (0.0, 0.0, 1.0, 1.0)
    return View(*box, mirrored=settings.flip and flip_allowed and bool(draws[4] < 0.5))


def augment(
    pixels: NDArray[np.uint8],
    settings: AugmentConfig,
    rng: np.random.Generator,
    flip_allowed: bool = True,
) -> NDArray[np.uint8]:
    """A changed copy of a training photo for which its captions still hold.

    Random resized crop and colour jitter as in Szegedy et al., "Going deeper with convolutions"
    (2015), section 6, and Krizhevsky et al. (2012), section 4.1; the crop's share of the photo is
    exact, as no draw is ever clipped.

    Args:
        pixels: uint8 (3, H, W), left as they are.
        settings: how much may change.
        rng: Drawn from equally often whatever the settings, so that one photo's changes never shift
            the next one's.
        flip_allowed: False for a photo whose captions tell left from right.

    Returns:
        uint8 of the same shape.
    """
    draws = rng.random(8)
    picture = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))  # (H, W, 3)
    view = _view(settings, draws, flip_allowed)
    if settings.crop < 1:
        wide, high = picture.size
        box = (view.left * wide, view.top * high, view.right * wide, view.bottom * high)
        picture = picture.resize(picture.size, Image.Resampling.BILINEAR, box=box)
    if view.mirrored:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if settings.jitter > 0:
        factors = 1 + settings.jitter * (2 * draws[5:] - 1)
        picture = picture.convert("RGB", _colour_matrix(picture, *factors))
    return _channels_first(picture)  # (3, H, W)


def _from_path(path: str, name: str, side: int | None) -> Image.Image:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  (Path("") is the current folder)
        if stat.S_ISDIR(mode):
            raise ImageError(f"{name}: this is a folder, {_EXPECTED}; name a file in it")
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise ImageError(f"{name}: this is a device or a socket, {_EXPECTED}")
        with open(path, "rb") as file:  # noqa: PTH123
            readable = _buffered(file, name) if stat.S_ISFIFO(mode) else file
            return _from_file(readable, name, side)
    except FileNotFoundError as error:
        hint = "download it first" if "://" in path else "check the name and the folder"
        raise ImageError(f"{name}: there is no such file; {hint}") from error
    except PermissionError as error:
        raise ImageError(f"{name}: no permission to read it; allow it (chmod u+r)") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise ImageError(f"{name}: cannot be read ({_reason(error)}); check the path") from error


def _buffered(file: Any, name: str) -> io.BytesIO:
    """All of a file object's content: Pillow wants to seek, and not every object can."""
    try:
        if callable(seekable := getattr(file, "seekable", None)) and seekable():
            file.seek(0)
        data = file.read()
    except Exception as error:  # any object may come, with any read method
        raise ImageError(f"{name}: cannot be read ({_reason(error)}); open it again") from error
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise ImageError(
            f"{name}: reading gives {_kind(data)}, expected bytes; open it in mode 'rb'"
        )
    return io.BytesIO(data)


def _from_file(file: BinaryIO, name: str, side: int | None) -> Image.Image:
    """The photo in an open, seekable file."""
    image = _identified(file, name)
    size, box = image.size, None
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        _check_jpeg(image, file, name)
        box = _drafted(image, side)
    elif isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_tiff(image, name)
    try:
        return _finished(image, name, size, box)
    except ImageError as error:
        if isinstance(image, JpegImagePlugin.JpegImageFile) and type(error.__cause__) is OSError:
            _check_coding(_content(file), name)
            if (photo := _completed(file, name, side)) is not None:
                return photo
        raise


_SUBFILE_TYPE, _SUB_IFDS, _DNG_VERSION = 254, 330, 50706  # TIFF 6.0; TIFF/EP; DNG 1.6


def _check_tiff(image: TiffImagePlugin.TiffImageFile, name: str) -> None:
    """Refuses camera raw files, which are TIFF files whose first picture is a thumbnail."""
    _silence_libtiff()
    tags = image.tag_v2
    thumbnail = tags.get(_SUBFILE_TYPE) == 1 and _SUB_IFDS in tags
    if thumbnail or _DNG_VERSION in tags:
        raise ImageError(f"{name}: {_THIS_IS_RAW}")


@functools.cache
def _silence_libtiff() -> None:
    """Keeps libtiff from writing to standard error, where nothing tells which file it is about.

    The errors it has words for come back from Pillow, too, and are told with the photo's name. The
    handler is libtiff's own and the same for all threads: it is set once, and never back.
    """
    with contextlib.suppress(AttributeError, OSError):  # libtiff may be linked in another way
        handler = ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler
        handler.restype, handler.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        handler(None)


def _check_jpeg(image: Image.Image, file: BinaryIO, name: str) -> None:
    """Refuses a JPEG file that takes too much memory or time however small it gets, or is cut."""
    pixels, data = image.width * image.height, _content(file)
    scans = 1
    # A download that stopped in a file made at its full length reads as grey; cameras, too, fill
    # files with zeros, but after the end of the picture.
    filled = data.endswith(bytes(8))
    if filled or image.info.get("progressive") or pixels > MAX_PIXELS // 4:
        headers, ended = _scans(data)
        scans = len(headers)
        if filled and not ended:
            raise ImageError(_damaged(name, "JPEG", EOFError()))
    _check_size(image.size, name, MAX_JPEG_PIXELS if scans == 1 else MAX_JPEG_PIXELS // 2)
    most = _MAX_SCANNED // pixels
    if scans > most:
        raise ImageError(
            f"{name}: {image.width} × {image.height} pixels come in {scans:,} scans, expected"
            f" {most:,} at most; save it as a JPEG that is not progressive"
        )


def _scans(data: bytes) -> tuple[list[bytes], bool]:
    """The headers of a JPEG file's scans (ITU-T T.81, B.2.3), and whether the end follows them."""
    headers: list[bytes] = []
    start = 2
    while marker := _MARKER.search(data, start):
        if marker[1] == b"\xd9":
            return headers, True
        length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        start = marker.end() + length
        if marker[1] == b"\xda":
            headers.append(data[marker.end() + 2 : start])
    return headers, False


# A marker with a length after it, or the end of the picture; the others lie between entropy codes.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)


def _drafted(image: Image.Image, side: int | None) -> tuple[int, int] | None:
    """Tells a JPEG file's reader the size to decode; the size of what then shows the photo."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        width, height = width // 2, height // 2
    elif side is None:
        return None
    wanted = (width, height) if side is None else (min(side, width), min(side, height))
    drafted = image.draft(image.mode, wanted)
    # The last row and column may lie mostly outside the photo.
    return drafted and (round(drafted[1][2]), round(drafted[1][3]))


def _content(file: BinaryIO) -> bytes:
    """All of a file; its reader goes on where it was."""
    place = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(place)
    return data


def _completed(file: BinaryIO, name: str, side: int | None) -> Image.Image | None:
    """The photo in a JPEG file that lacks its end alone; None where pixels are missing as well.

    A decoder fills what is missing with grey. So the file is decoded with nothing but the end
    marker after what there is, and with noise before it: pixels that were missing would differ.
    """
    data = _content(file).removesuffix(b"\xff")

    def ended(end: bytes, side: int | None) -> Image.Image:
        image = _identified(io.BytesIO(data + end), name)
        return _finished(image, name, image.size, _drafted(image, side))

    def alike(side: int | None) -> bool:
        whole = ended(_ENDS[0], side)
        others = (ended(end, side) for end in _ENDS[1:])
        return all(ImageChops.difference(whole, other).getbbox() is None for other in others)

    try:
        header = _identified(io.BytesIO(data + _ENDS[0]), name)
        # An eighth of the size tells most of those that lack something, at little cost.
        complete = _all_scanned(_scans(data)[0], header) and alike(side=1) and alike(side=None)
        return ended(_ENDS[0], side) if complete else None
    except ImageError:
        return None


def _all_scanned(scans: Sequence[bytes], image: Image.Image) -> bool:
    """Whether the scans of a JPEG file hold every bit of every coefficient of every component."""
    found: set[tuple[int, int]] = set()  # (component, coefficient)
    for scan in scans:
        count = scan[0] if scan else 0
        if len(scan) == 4 + 2 * count and not scan[-1] & 15:  # the lowest bit, at last
            found |= {
                (part, k)
                for part in scan[1 : 1 + 2 * count : 2]
                for k in range(scan[-3], scan[-2] + 1)
            }
    return len(found) == 64 * len(image.getbands())


def _with_restarts(noise: bytes) -> bytes:
    """Noise with each of the restart markers, one of which the decoder may be waiting for."""
    return b"".join(noise[:64] + b"\xff" + bytes([0xD0 + number % 8]) for number in range(16))


_NOISE = np.random.default_rng(0).integers(0, 255, 2048, np.uint8).tobytes()  # without 0xff
_INVERTED = bytes(254 - value for value in _NOISE)
_ENDS = tuple(noise + b"\xff\xd9" for noise in (b"", _NOISE, _INVERTED, _with_restarts(_NOISE)))


def _identified(file: BinaryIO, name: str) -> Image.Image:
    """The header of an open, seekable file, read by the reader that knows its signature.

    `Image.open` would do the same, but warns of large photos through the `warnings` module, which
    no thread can silence for itself alone, and tries formats that run other programs.
    """
    head = file.read(_HEAD)
    if not head:
        raise ImageError(f"{name}: the file is empty (0 bytes), {_EXPECTED}; download it again")
    format_name, factory = _reader(head)
    if factory is not None:
        try:
            file.seek(0)
            return factory(file, "")
        except Exception as error:  # Pillow's readers raise a dozen kinds on damaged headers
            if format_name == "JPEG":
                _check_coding(_content(file), name)
            # BM and P1 may begin a word.
            if not (format_name in ("BMP", "PPM") and _is_text(head)):
                raise ImageError(_damaged(name, format_name, error)) from error
    raise ImageError(f"{name}: {_what_it_is(head)}")


_Factory: TypeAlias = Callable[[BinaryIO, str], Image.Image]


def _reader(head: bytes) -> tuple[str, _Factory | None]:
    """The format that a file's first bytes announce, and what reads it; None where nothing does."""
    if _is_heic(head):
        return "HEIC", _heic_reader()
    if head[:4] == b"II*\0" and head[8:10] == b"CR":  # Canon's raw files
        return "", None
    for format_name in _FORMATS:
        factory, accept = Image.OPEN[format_name]
        if accept and _fits(accept, head[:16]):
            return format_name, factory
    return "", None


@functools.cache
def _heic_reader() -> _Factory | None:
    """Pillow-heif's reader, which is not entered in Pillow's own list: that is everybody's."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError:  # not installed, or without the libraries it was built with
        return None
    return HeifImageFile


def _fits(accept: Callable[[bytes], bool | str], head: bytes) -> bool:
    try:
        return accept(head) is True  # a string says that Pillow was built without the format
    except (IndexError, struct.error):  # too few bytes for a signature
        return False


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
    _check_size(image.size, name)
    try:
        white, deep = _declared_white(image), _is_deep(image)
        image.load()
        turn = _TURNS.get(_orientation(image))
        picture = _rgb(image, name, white)
        if deep:
            picture = _brightened(picture)
        if box is not None:
            picture = picture.crop((0, 0, *box))
        if turn is not None:
            picture = picture.transpose(turn)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(
            f"{name}: too little memory for {size[0]} × {size[1]} pixels; make it smaller"
        ) from error
    except Exception as error:  # as above: the decoders raise what they like
        raise ImageError(_damaged(name, image.format or "picture's", error)) from error
    picture.info = {
        _ORIGINAL: size[::-1] if turn in _SWAPPING else size,
        _TURNED: turn is not None,
    }
    return picture


def _check_size(size: tuple[int, int], name: str, limit: int = MAX_PIXELS) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(
            f"{name}: the picture is {width} × {height} pixels, expected at least 1 × 1"
        )
    if width * height > limit:
        raise ImageError(
            f"{name}: {width} × {height} pixels are {width * height:,}, above the limit of"
            f" {limit:,} ({limit / 1e6:g} megapixels); make it smaller first"
        )


def _orientation(image: Image.Image) -> Any:
    """The EXIF orientation; a photo is not refused for EXIF data that cannot be read."""
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # the EXIF parser raises as many kinds as the readers
        return 1


_SIGNIFICANT_BITS = re.compile(rb"\0\0\0[\1-\4]sBIT(.)", re.DOTALL)  # PNG, section 11.3.2.7
_BITS_PER_SAMPLE, _MAX_SAMPLE, _SIGNED_MAX_SAMPLE = 258, 281, 341  # TIFF 6.0, section 8 and 19


def _declared_white(image: Image.Image) -> int | None:
    """The value of white that a file of 16-bit grey values declares; None where it does not."""
    if image.mode[:1] != "I":
        return None
    values: list[Any] = []
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        values = [image.tag_v2.get(tag) for tag in (_MAX_SAMPLE, _SIGNED_MAX_SAMPLE)]
        bits = image.tag_v2.get(_BITS_PER_SAMPLE)
        values.append(2 ** bits[0] - 1 if bits else None)
    elif isinstance(image, PngImagePlugin.PngImageFile) and image.fp:
        head = _content(image.fp)  # type: ignore[arg-type]
        found = _SIGNIFICANT_BITS.search(head, 33, max(33, head.find(b"IDAT")))
        values = [2 ** found[1][0] - 1 if found else None]
    plain = [next(iter(value), None) if isinstance(value, tuple) else value for value in values]
    return next((value for value in plain if value in _WHITES), None)


_WHITES = frozenset(2**bits - 1 for bits in range(8, 16))  # of fewer bits than the file holds


def _is_deep(image: Image.Image) -> bool:
    """Whether a file holds colours of 16 bits, of which Pillow keeps the upper eight."""
    return image.mode in ("RGB", "RGBA") and ";16" in str(getattr(image, "tile", ""))


def _brightened(picture: Image.Image) -> Image.Image:
    """Colours of 10, 12 or 14 bits that came in 16, of which there is less than eight bits left."""
    top = max(int(np.asarray(channel).max()) for channel in picture.split())
    white = next((white for white in (3, 15, 63) if 0 < top <= white), 255)
    return picture if white == 255 else picture.point(lambda value: value * 255 / white)


def _rgb(image: Image.Image, name: str, white: int | None = None) -> Image.Image:
    """A loaded picture of any mode as a new RGB one."""
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image)  # (H, W)
        top = _value_range(values, name)
        # Less than the values take is no range; more than the fewest bits take may well be one.
        top = white if white is not None and values.max() <= white else top
        return Image.fromarray(_eight_bits(values, top)).convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        canvas = Image.new("RGB", layer.size, "white")
        canvas.paste(layer.convert("RGB"), mask=layer.getchannel("A"))
        return canvas
    return image.convert("RGB")  # a copy where it is RGB already


def _value_range(values: NDArray[Any], name: str) -> float:
    """The value that stands for white in a picture of 16-bit, 32-bit or float values.

    Nothing tells, so it is the smallest usual one that no value exceeds, or else the largest value.
    """
    if not np.isfinite(values).all():
        raise ImageError(f"{name}: holds NaN or infinite values, expected finite ones")
    top = float(values.max())
    usual = (1, 255, 65535) if values.dtype.kind == "f" else (255, 1023, 4095, 16383, 65535)
    return next((white for white in usual if top <= white), top)


def _eight_bits(values: NDArray[Any], white: float) -> NDArray[np.uint8]:
    """Values from 0 to `white`, rounded to 0 to 255; whatever lies outside is clipped."""
    scaled = values.astype(np.float32) * np.float32(255 / white)
    return np.rint(scaled.clip(0, 255, out=scaled), out=scaled).astype(np.uint8)


def _from_array(array: NDArray[Any], name: str) -> Image.Image:
    """An array (H, W) or (H, W, 1|3|4) as a picture of mode L, RGB or RGBA."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        hint = "; channels come last: array.transpose(1, 2, 0)" if first else ""
        raise ImageError(f"{name}: wrong shape, {_SHAPES}{hint}")
    _check_size((array.shape[1], array.shape[0]), name)
    kind, bits = array.dtype.kind, 8 * array.dtype.itemsize
    if kind == "f":
        _check_floats(array, name)
    elif kind != "b" and (kind, bits) not in (("u", 8), ("u", 16)):
        raise ImageError(f"{name}: wrong type, expected uint8, uint16, bool or floats in [0, 1]")
    if (kind, bits) != ("u", 8):
        array = _eight_bits(array, 65535 if kind == "u" else 1)
    return Image.fromarray(np.ascontiguousarray(array))


def _from_tensor(tensor: Any, name: str) -> Image.Image:
    """A tensor (3, H, W), as torchvision has them, (H, W, 3) or (H, W) as a picture."""
    tensor = tensor.detach().cpu()
    floats = tensor.is_floating_point() and tensor.element_size() < 4  # bfloat16 among them
    array = (tensor.float() if floats else tensor).numpy()
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        if array.shape[2] in (1, 3, 4):
            raise ImageError(
                f"{name}: either its first or its last side may be the channels; give an array"
                " (H, W, 3): tensor.permute(1, 2, 0).numpy()"
            )
        array = array.transpose(1, 2, 0)
    return _from_array(array, name)


def _check_floats(array: NDArray[Any], name: str) -> None:
    if not np.isfinite(array).all():
        raise ImageError(f"{name}: holds NaN or infinite values, expected floats in [0, 1]")
    low, high = float(array.min()), float(array.max())
    if low < -1e-3 or high > 1.001:  # what resizing in floats may add is forgiven
        raise ImageError(
            f"{name}: values from {low:g} to {high:g}, expected floats in [0, 1];"
            " scale or clip them, or give uint8"
        )


def _what_it_is(head: bytes) -> str:
    """A sentence about content that is no photo, from its first bytes."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return f"this is a web page (HTML), {_EXPECTED}; download the photo itself"
    if text.startswith((b"<svg", b"<?xml", b"<!doctype svg", b"<!--")) and b"<svg" in text:
        return f"SVG is not supported, {_EXPECTED}; convert it to PNG"
    if head[4:8] == b"ftyp":
        return _what_container(head)
    if head.startswith(_RAW_STARTS) or (head.startswith(b"II*\0") and head[8:10] == b"CR"):
        return _THIS_IS_RAW
    for start, kind in _KINDS:
        if head.startswith(start):
            return f"this is {kind}, {_EXPECTED}; give the photo itself"
    if _is_text(head):
        return f"this is text, {_EXPECTED}; give the photo itself"
    return f"this is no photo that can be read, {_EXPECTED}; convert it to JPEG or PNG"


_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_PICTURE_BRANDS = {b"mif1", b"msf1", b"mif2"}  # pictures in any of the codings


def _brands(head: bytes) -> set[bytes]:
    """The brands of an ISO base media file (ISO/IEC 14496-12, section 4.3); none of any other."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[start : start + 4] for start in range(16, end - 3, 4))}


def _is_heic(head: bytes) -> bool:
    """Whether a file holds pictures in HEVC (ISO/IEC 23008-12): mif1 alone does not tell AVIF."""
    brands = _brands(head)
    return head[8:12] not in _AVIF_BRANDS and (
        head[8:12] in _HEIC_BRANDS or (head[8:12] in _PICTURE_BRANDS and not brands & _AVIF_BRANDS)
    )


def _what_container(head: bytes) -> str:
    """What an ISO base media file is that cannot be read."""
    if _is_heic(head):
        return _INSTALL_HEIC
    if _brands(head) & _AVIF_BRANDS:
        return f"this Pillow was built without AVIF, {_EXPECTED}; convert it to JPEG"
    if head[8:12] == b"crx ":
        return _THIS_IS_RAW
    return f"this is a video, {_EXPECTED}; give a frame of it"


_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FOVb", b"\0MRM")

_KINDS = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"8BPS", "a Photoshop document"),
    (b"gimp xcf", "a GIMP document"),
    (b"\0\0\1\0", "an icon"),
    (b"v/1\1", "an OpenEXR picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"\x93NUMPY", "a NumPy array (np.load reads it)"),
    (b"version https://git-lfs", "a Git LFS pointer (git lfs pull fetches the photo)"),
)


def _is_text(head: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()  # lets the head end within a character
    try:
        text = decoder.decode(head, final=len(head) < _HEAD)
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char.isspace() for char in text)


def _damaged(name: str, format_name: str, error: Exception) -> str:
    kind = _unsupported(format_name, error)
    if kind:
        return _unread(name, format_name, kind)
    too_short = isinstance(error.__cause__ or error, (struct.error, IndexError, EOFError))
    truncated = "truncated" in str(error)  # Pillow counts bytes that help nobody
    reason = "it ends too early" if too_short or truncated else _reason(error)
    return (
        f"{name}: the {format_name} data is cut short or damaged ({reason});"
        " copy or download it again"
    )


# What Pillow's readers say of files that are whole, but of a kind that they do not know.
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|cannot handle|unknown (pixel mode|compression|data organization)",
    re.IGNORECASE,
)


def _unread(name: str, format_name: str, kind: str) -> str:
    return f"{name}: this kind of {format_name} is not read ({kind}); convert it to JPEG or PNG"


def _unsupported(format_name: str, error: Exception) -> str:
    """What is unusual about a file, where it is that rather than damage."""
    cause = error.__cause__ or error
    if format_name == "TIFF" and isinstance(cause, KeyError) and isinstance(cause.args[0], int):
        return f"compression {cause.args[0]}"
    words = _reason(error)
    if words == "unknown pixel mode":
        return "an unusual number of channels, of bits or of colours"
    return words if _UNSUPPORTED.search(words) else ""


_FRAMES = {  # the codings of a JPEG file that no decoder here knows (ITU-T T.81, table B.1)
    **dict.fromkeys((0xC3, 0xCB), "lossless"),
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical"),
    0xF7: "JPEG-LS",
}


def _check_coding(data: bytes, name: str) -> None:
    """Refuses a JPEG file, whole though it may be, whose coding is not that of photos."""
    start = 2
    while (marker := _MARKER.search(data, start)) and marker[1][0] not in (0xC0, 0xC2, 0xDA):
        if marker[1][0] in _FRAMES:
            kind = _FRAMES[marker[1][0]]
            raise ImageError(_unread(name, "JPEG", kind))
        start = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")


def _reason(error: Exception) -> str:
    """An error's own words, on one line."""
    words = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return _shown(words) if words else type(error).__name__


def _name(source: object) -> str:
    """How a message calls a source."""
    if isinstance(source, (str, os.PathLike)):
        return shown_name(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "the given bytes"
    if isinstance(source, np.ndarray):
        return f"the given array {source.shape} of {source.dtype}"
    if hasattr(source, "detach") and hasattr(source, "shape"):
        return f"the given tensor {tuple(source.shape)}"
    picture = isinstance(source, Image.Image)
    given = getattr(source, "filename" if picture else "name", None)
    if isinstance(given, str) and given:
        return _shown(given)
    return "the given PIL image" if picture else "the given file object"


def shown_name(path: str | os.PathLike[str]) -> str:
    """A path as messages name it: printable, and no longer than paths are."""
    shown = _shown(os.fsdecode(path)) or "''"
    return shown if len(shown) <= 1000 else f"{shown[:60]}…{shown[-40:]}"


def _shown(text: str) -> str:
    """Text as one printable line: names may hold line breaks and bytes that are no UTF-8."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def _kind(value: object) -> str:
    """The type of a value as a message names it."""
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _channels_first(picture: Image.Image) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))  # (3, H, W)


def _overlap(
    edges: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The share of each interval between neighbouring edges that [start, end) covers."""
    shared = np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)
    return np.clip(shared / (edges[1:] - edges[:-1]), 0, 1)


def _crop_box(smallest: float, draws: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """(left, top, right, bottom), in shares, of a crop with an area in [smallest, 1].

    Of the aspect ratios 3/4 to 4/3 (to the photo's own) only those are drawn with which the crop
    fits into the photo.
    """
    share, ratio, across, down = draws.tolist()
    area = smallest + (1 - smallest) * share
    limit = min(log(4 / 3), -log(area))
    aspect = exp(limit * (2 * ratio - 1))
    width, height = min((area * aspect) ** 0.5, 1.0), min((area / aspect) ** 0.5, 1.0)
    left, top = across * (1 - width), down * (1 - height)
    right, bottom = min(left + width, 1.0), min(top + height, 1.0)
    return left, top, right, bottom


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


# Luma of red, green and blue (ITU-R BT.601), which Pillow's mode L and ImageEnhance use too.
_LUMA = np.array([0.299, 0.587, 0.114])


def _colour_matrix(
    picture: Image.Image, brightness: float, contrast: float, saturation: float
) -> tuple[float, ...]:
    """Brightness, contrast about the mean grey, saturation about each pixel's: a 3 × 4 matrix.

    One affine map loses nothing to rounding or clipping between the three steps.
    """
    grey = float(np.asarray(picture.convert("L")).mean()) * brightness
    mix = saturation * np.eye(3) + (1 - saturation) * _LUMA  # every row: the weights of one channel
    offset = np.full((3, 1), (1 - contrast) * grey)
    return tuple(np.hstack([contrast * brightness * mix, offset]).ravel().tolist())
