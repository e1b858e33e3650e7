"""Camera raw files: the JPEG preview in them that cameras show on their own screens.

A raw file's values are no picture yet; every maker's are coded in a way of its own. But each file
holds the picture as the camera developed it, a JPEG at up to full size. It is found by what it is
and not by where a maker's tags say it lies, so that one way serves all of them, CR3 and RAF too.

Sources: TIFF 6.0, section 2; DNG 1.6; ITU-T T.81, B.1 and B.2.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from captioner.pictures.formats import HEAD, is_raw_head

_ORIENTATION, _COMPRESSION, _SUBFILE_TYPE = 274, 259, 254
_SUB_IFDS, _DNG_VERSION = 330, 50706  # TIFF/EP; DNG
_CODINGS = frozenset({32767, 32769, 32770, 34713, 65000, 65535})  # of makers' own
_TIFF_HEADS = (b"II*\0", b"MM\0*", b"IIU\0", b"IIRO", b"IIRS", b"MMOR")
_MOST_ENTRIES = 512  # in a directory; there are about thirty
_MOST_STARTS = 20_000  # of pictures that are looked at in a file
_TILES = 3  # of one size; what comes more often is a part of a picture


class Preview(NamedTuple):
    """The largest picture in a raw file."""

    data: bytes  # a JPEG file
    size: tuple[int, int]  # width, height as stored
    orientation: int  # as EXIF counts, of the raw file; 1 where it says nothing


def is_raw(file: BinaryIO) -> bool:
    """Whether an open, seekable file is a camera raw file, among TIFF files by its tags."""
    file.seek(0)
    head = file.read(HEAD)
    if is_raw_head(head):
        return True
    if head[:4] not in (b"II*\0", b"MM\0*"):
        return False
    tags = _directory(file, head)
    thumbnail = tags.get(_SUBFILE_TYPE) == 1 and _SUB_IFDS in tags
    return thumbnail or _DNG_VERSION in tags or tags.get(_COMPRESSION) in _CODINGS


def preview_of(file: BinaryIO) -> Preview | None:
    """The largest JPEG in a raw file that a photo viewer would show; None where there is none."""
    file.seek(0)
    data = file.read()
    found = list(_pictures(data))
    counts = Counter((width, height) for _, width, height in found)
    whole = [each for each in found if counts[each[1], each[2]] <= _TILES]
    if not whole:
        return None
    start, width, height = max(whole, key=lambda each: each[1] * each[2])
    end = _end(data, start)
    return Preview(data[start:end], (width, height), _turn(file, data[:HEAD], data))


def _pictures(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(start, width, height) of whatever begins as a JPEG that can be shown."""
    start = -1
    for _ in range(_MOST_STARTS):
        start = data.find(b"\xff\xd8\xff", start + 1)
        if start < 0:
            return
        size = _size(data, start)
        if size is not None:
            yield start, *size


def _segments(data: bytes, start: int) -> Iterator[tuple[int, int]]:
    """(marker, place of its length) of the segments of a JPEG, the first scan's the last."""
    place = start + 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # any number of them may fill up
            place += 1
            continue
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        if not 0xC0 <= marker <= 0xFE or 0xD0 <= marker <= 0xD9 or length < 2:
            return
        yield marker, place + 2
        if marker == 0xDA:
            return
        place += 2 + length


def _size(data: bytes, start: int) -> tuple[int, int] | None:
    """Width and height of a JPEG of eight bits, baseline or progressive; of no other.

    The raw values themselves are often coded as lossless JPEG (SOF3), which shows nothing.
    """
    size = None
    for marker, place in _segments(data, start):
        if marker in (0xC0, 0xC1, 0xC2) and place + 8 <= len(data):
            bits, height, width, channels = struct.unpack_from(">BHHB", data, place + 2)
            size = (width, height) if bits == 8 and channels in (1, 3) else None
        if marker == 0xDA:
            return size if size and min(size) > 0 else None
    return None


def _end(data: bytes, start: int) -> int:
    """Where a JPEG ends: after its first scan begins, only the end is marked as it is."""
    scan = max((place for _, place in _segments(data, start)), default=start)
    end = data.find(b"\xff\xd9", scan)
    return len(data) if end < 0 else end + 2


def _turn(file: BinaryIO, head: bytes, data: bytes) -> int:
    """The orientation that a raw file's first directory asks for."""
    tags = _directory(file, head)
    if not tags and (canon := data.find(b"CMT1", 0, 2**16)) >= 0:  # CR3 keeps it in a box
        tags = _entries(data[canon + 4 : canon + 4 + 2**14])
    turn = tags.get(_ORIENTATION, 1)
    return turn if 1 <= turn <= 8 else 1


def _directory(file: BinaryIO, head: bytes) -> dict[int, int]:
    """The first directory of a file that is built as TIFF files are."""
    if head[:4] not in _TIFF_HEADS or len(head) < 8:
        return {}
    (place,) = struct.unpack_from(_order(head) + "I", head, 4)
    file.seek(place)
    return _entries(head[:8], file.read(2 + 12 * _MOST_ENTRIES))


def _order(head: bytes) -> str:
    return ">" if head[:2] == b"MM" else "<"


def _entries(head: bytes, body: bytes | None = None) -> dict[int, int]:
    """The values that stand in the entries themselves, by tag: first ones, of whole numbers."""
    if len(head) < 8:
        return {}
    order = _order(head)
    if body is None:
        body = head[struct.unpack_from(order + "I", head, 4)[0] :]
    if len(body) < 2:
        return {}
    count = min(struct.unpack_from(order + "H", body)[0], (len(body) - 2) // 12, _MOST_ENTRIES)
    found = {}
    for number in range(count):
        tag, kind = struct.unpack_from(order + "HH", body, 2 + 12 * number)
        form = {1: "B", 3: "H"}.get(kind, "I")
        (found[tag],) = struct.unpack_from(order + form, body, 10 + 12 * number)
    return found
