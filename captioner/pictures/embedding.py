"""XMP inside of photos: packets taken out of JPEG, PNG, WebP and TIFF files, and put into them.

Only the container is changed: the coded picture stays as it is, byte by byte. (Writing the photo
anew with Pillow would compress it a second time.)

Sources: XMP specification, part 3 (Adobe 2020); PNG, section 11.3.3.4; WebP container; TIFF 6.0,
section 2.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from captioner.errors import ImageError
from captioner.pictures import raw

_JPEG_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
_PNG_HEAD = b"XML:com.adobe.xmp\0"
_LONGEST_SEGMENT = 65_533 - len(_JPEG_HEAD)
_TIFF_TAG = 700


def packet_of(data: bytes) -> bytes | None:
    """The XMP packet in a photo's file; None where it has none.

    Raises:
        ImageError: the file is of another format, or damaged.
    """
    return _container(data).take(data)


def with_packet(data: bytes, packet: bytes) -> bytes:
    """The photo's file with another packet; its picture is not touched.

    Raises:
        ImageError: the file is of another format, damaged, or cannot hold so long a packet.
    """
    return _container(data).put(data, packet)


@dataclass(frozen=True)
class _Container:
    take: Callable[[bytes], bytes | None]
    put: Callable[[bytes, bytes], bytes]


def _container(data: bytes) -> _Container:
    if data[:3] == b"\xff\xd8\xff":
        return _guarded(_take_jpeg, _put_jpeg)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _guarded(_take_png, _put_png)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _guarded(_take_webp, _put_webp)
    if raw.is_raw(io.BytesIO(data)):
        raise ImageError(
            "a camera raw file stays as it is; write the caption beside it with --sidecar .xmp"
        )
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _guarded(_take_tiff, _put_tiff)
    raise ImageError(
        "a caption is put into JPEG, PNG, WebP and TIFF files, and this is none; "
        "write it beside the photo with --sidecar .xmp"
    )


def _guarded(
    take: Callable[[bytes], bytes | None], put: Callable[[bytes, bytes], bytes]
) -> _Container:
    """The two, with one error for files that end too early."""

    def taken(data: bytes) -> bytes | None:
        try:
            return take(data)
        except (struct.error, IndexError, zlib.error) as error:
            raise ImageError("its container is damaged; save the photo anew") from error

    def put_in(data: bytes, packet: bytes) -> bytes:
        try:
            return put(data, packet)
        except (struct.error, IndexError, zlib.error) as error:
            raise ImageError("its container is damaged; save the photo anew") from error

    return _Container(taken, put_in)


# JPEG: a segment APP1 before the picture.


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of the segments before the picture, then (0xDA, start, end of file)."""
    place = 2
    while True:
        start = place
        if data[place] != 0xFF:
            raise ImageError("its container is damaged; save the photo anew")
        while data[place] == 0xFF:  # any number of them may fill up
            place += 1
        marker = data[place]
        if marker in (0xDA, 0xD9):
            yield 0xDA, start, len(data)
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            place += 1
        else:
            place += 1 + struct.unpack_from(">H", data, place + 1)[0]
        yield marker, start, place


def _is_packet(data: bytes, marker: int, start: int, end: int) -> bool:
    return marker == 0xE1 and _JPEG_HEAD in data[start : min(end, start + 64)]


def _take_jpeg(data: bytes) -> bytes | None:
    for marker, start, end in _segments(data):
        if _is_packet(data, marker, start, end):
            return data[data.index(_JPEG_HEAD, start) + len(_JPEG_HEAD) : end]
    return None


def _put_jpeg(data: bytes, packet: bytes) -> bytes:
    if len(packet) > _LONGEST_SEGMENT:
        raise ImageError(
            f"its XMP would have {len(packet):,} bytes, and a JPEG file holds {_LONGEST_SEGMENT:,};"
            " write it beside the photo with --sidecar .xmp"
        )
    own = b"\xff\xe1" + struct.pack(">H", 2 + len(_JPEG_HEAD) + len(packet)) + _JPEG_HEAD + packet
    before = [data[:2]]
    behind: list[bytes] = []
    for marker, start, end in _segments(data):
        if _is_packet(data, marker, start, end):
            continue
        # Readers look for JFIF and Exif at once behind the start.
        head = marker == 0xE0 or (marker == 0xE1 and data[start + 4 : start + 8] == b"Exif")
        (before if head and not behind else behind).append(data[start:end])
    return b"".join([*before, own, *behind])


# PNG: a chunk iTXt before the picture.


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of all chunks; what stands behind the last one belongs to it."""
    place = 8
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind, end = data[place + 4 : place + 8], place + 12 + length
        if end > len(data):
            raise ImageError("its container is damaged; save the photo anew")
        if kind == b"IEND":
            end = len(data)
        yield kind, place, end
        place = end


def _take_png(data: bytes) -> bytes | None:
    for kind, start, end in _chunks(data):
        body = data[start + 8 : end - 4]
        if kind == b"iTXt" and body.startswith(_PNG_HEAD):
            compressed = body[len(_PNG_HEAD)]
            text = body[len(_PNG_HEAD) + 2 :].split(b"\0", 2)[2]  # behind language and keyword
            return zlib.decompress(text) if compressed else text
    return None


def _put_png(data: bytes, packet: bytes) -> bytes:
    body = b"iTXt" + _PNG_HEAD + b"\0\0\0\0" + packet
    own = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    parts, done = [data[:8]], False
    for kind, start, end in _chunks(data):
        if kind == b"iTXt" and data[start + 8 :].startswith(_PNG_HEAD):
            continue
        if kind == b"IDAT" and not done:
            parts.append(own)
            done = True
        parts.append(data[start:end])
    return b"".join(parts)


# WebP: a chunk "XMP " behind the picture, announced at the start.

_XMP_FLAG, _ALPHA_FLAG = 0x04, 0x10


def _riff(data: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 12
    while place + 8 <= len(data):
        kind, length = data[place : place + 4], struct.unpack_from("<I", data, place + 4)[0]
        if place + 8 + length > len(data):
            raise ImageError("its container is damaged; save the photo anew")
        found.append((kind, data[place + 8 : place + 8 + length]))
        place += 8 + length + length % 2
    return found


def _take_webp(data: bytes) -> bytes | None:
    return next((body for kind, body in _riff(data) if kind == b"XMP "), None)


def _put_webp(data: bytes, packet: bytes) -> bytes:
    chunks = [(kind, body) for kind, body in _riff(data) if kind != b"XMP "]
    if chunks[0][0] != b"VP8X":
        chunks.insert(0, (b"VP8X", _extended(*chunks[0])))
    flags = chunks[0][1]
    chunks[0] = (b"VP8X", bytes([flags[0] | _XMP_FLAG]) + flags[1:])
    chunks.append((b"XMP ", packet))
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(own)) + own + b"\0" * (len(own) % 2) for kind, own in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _extended(kind: bytes, body: bytes) -> bytes:
    """The head that a file of one picture does without: flags, width, height."""
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, 1)
        width, height, alpha = bits & 0x3FFF, bits >> 14 & 0x3FFF, bits >> 28 & 1
    elif kind == b"VP8 ":
        wide, high = struct.unpack_from("<HH", body, 6)
        width, height, alpha = (wide & 0x3FFF) - 1, (high & 0x3FFF) - 1, 0
    else:
        raise ImageError("its container is damaged; save the photo anew")
    sides = struct.pack("<I", width)[:3] + struct.pack("<I", height)[:3]
    return bytes([_ALPHA_FLAG * alpha, 0, 0, 0]) + sides


# TIFF: a tag of the first directory, which is written anew at the end of the file.


def _directory(data: bytes) -> tuple[str, list[bytes], bytes]:
    """The byte order, the entries of twelve bytes, the place of the next directory."""
    order = "<" if data[:2] == b"II" else ">"
    (place,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, place)
    entries = [data[place + 2 + 12 * k : place + 14 + 12 * k] for k in range(count)]
    behind = data[place + 2 + 12 * count : place + 6 + 12 * count]
    if len(behind) != 4:
        raise ImageError("its container is damaged; save the photo anew")
    return order, entries, behind


def _take_tiff(data: bytes) -> bytes | None:
    order, entries, _ = _directory(data)
    for entry in entries:
        tag, kind, count, place = struct.unpack(f"{order}HHII", entry)
        if tag == _TIFF_TAG and kind in (1, 7) and count > 4:
            return data[place : place + count]
    return None


def _put_tiff(data: bytes, packet: bytes) -> bytes:
    order, entries, behind = _directory(data)
    data += b"\0" * (len(data) % 2)
    own = struct.pack(f"{order}HHII", _TIFF_TAG, 1, len(packet), len(data))
    entries = [e for e in entries if struct.unpack_from(f"{order}H", e)[0] != _TIFF_TAG]
    entries = sorted([*entries, own], key=lambda e: int(struct.unpack_from(f"{order}H", e)[0]))
    padded = packet + b"\0" * (len(packet) % 2)
    place = len(data) + len(padded)
    if place + 12 * len(entries) >= 2**32:
        raise ImageError("a TIFF file of 4 GiB holds no more; use --sidecar .xmp")
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + behind
    return data[:4] + struct.pack(f"{order}I", place) + data[8:] + padded + directory
