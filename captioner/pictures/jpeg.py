"""JPEG files before they are decoded: what one costs, at what size, and whether it is whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageChops

from captioner.errors import ImageError
from captioner.pictures.messages import damaged, unread
from captioner.pictures.sizes import MAX_PIXELS, check_size

MAX_JPEG_PIXELS = 4 * MAX_PIXELS
"""The largest JPEG file that is opened; at half its size it is within `MAX_PIXELS`.

Half as many pixels where it comes in several scans, as progressive ones do: whatever the size that
is asked for, the coefficients of the whole picture are then held, up to 6 bytes for each pixel.
"""

_MAX_SCANNED = 20 * MAX_PIXELS  # pixels × scans of a JPEG file: each scan goes over all of them


def check_cost(image: Image.Image, data: bytes, name: str) -> None:
    """Refuses a JPEG file that takes too much memory or time however small it gets, or is cut.

    Args:
        image: what its header says.
        data: all of the file.
        name: of it in messages.

    Raises:
        ImageError: It is one of these.
    """
    pixels, scans = image.width * image.height, 1
    # A download that stopped in a file made at its full length reads as grey; cameras, too, fill
    # files with zeros, but after the end of the picture.
    filled = data.endswith(bytes(8))
    if filled or image.info.get("progressive") or pixels > MAX_PIXELS // 4:
        headers, ended = _scans(data)
        scans = len(headers)
        if filled and not ended:
            raise ImageError(damaged(name, "JPEG", EOFError()))
    check_size(image.size, name, MAX_JPEG_PIXELS if scans == 1 else MAX_JPEG_PIXELS // 2)
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


def draft(image: Image.Image, side: int | None) -> tuple[int, int] | None:
    """Tells a JPEG file's reader to decode at 1/2, 1/4 or 1/8, as `open_photo` promises for `side`.

    Returns:
        (width, height) of what then shows the photo; None where all of it does.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        width, height = width // 2, height // 2
    elif side is None:
        return None
    wanted = (width, height) if side is None else (min(side, width), min(side, height))
    drafted = image.draft(image.mode, wanted)
    # The last row and column may lie mostly outside the photo.
    return drafted and (round(drafted[1][2]), round(drafted[1][3]))


def completed(
    data: bytes, channels: int, decode: Callable[[bytes, int | None], Image.Image]
) -> bytes | None:
    """A JPEG file that lacks its end alone, with an end; None where pixels are missing as well.

    A decoder fills what is missing with grey. So the file is decoded with nothing but the end
    marker after what there is, and with noise before it: pixels that were missing would differ.

    Args:
        data: all of the file.
        channels: of the picture.
        decode: the picture in a file's content, no smaller than a side, as in `open_photo`; an
            `ImageError` where there is none.
    """
    data = data.removesuffix(b"\xff")

    def alike(side: int | None) -> bool:
        whole = decode(data + _ENDS[0], side)
        others = (decode(data + end, side) for end in _ENDS[1:])
        return all(ImageChops.difference(whole, other).getbbox() is None for other in others)

    try:
        # An eighth of the size tells most of those that lack something, at little cost.
        whole = _all_scanned(_scans(data)[0], channels) and alike(side=1) and alike(side=None)
    except ImageError:
        return None
    return data + _ENDS[0] if whole else None


def _all_scanned(scans: Sequence[bytes], channels: int) -> bool:
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
    return len(found) == 64 * channels


def _with_restarts(noise: bytes) -> bytes:
    """Noise with each of the restart markers, one of which the decoder may be waiting for."""
    return b"".join(noise[:64] + b"\xff" + bytes([0xD0 + number % 8]) for number in range(16))


_NOISE = np.random.default_rng(0).integers(0, 255, 2048, np.uint8).tobytes()  # without 0xff
_INVERTED = bytes(254 - value for value in _NOISE)
_ENDS = tuple(noise + b"\xff\xd9" for noise in (b"", _NOISE, _INVERTED, _with_restarts(_NOISE)))


_FRAMES = {  # the codings of a JPEG file that no decoder here knows (ITU-T T.81, table B.1)
    **dict.fromkeys((0xC3, 0xCB), "lossless"),
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical"),
    0xF7: "JPEG-LS",
}


def check_coding(data: bytes, name: str) -> None:
    """Refuses a JPEG file, whole though it may be, whose coding is not that of photos.

    Raises:
        ImageError: It is lossless, hierarchical or JPEG-LS.
    """
    start = 2
    while (marker := _MARKER.search(data, start)) and marker[1][0] not in (0xC0, 0xC2, 0xDA):
        if marker[1][0] in _FRAMES:
            raise ImageError(unread(name, "JPEG", _FRAMES[marker[1][0]]))
        start = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
