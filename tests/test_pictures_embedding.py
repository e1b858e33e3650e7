from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from captioner.errors import ImageError
from captioner.pictures.embedding import packet_of, with_packet
from captioner.pictures.xmp import DESCRIPTION, texts_of, with_texts

PACKET = with_texts(None, {DESCRIPTION: "Ein Hund läuft."})


def _file(form: str, mode: str = "RGB", **more: Any) -> bytes:
    image = Image.effect_noise((97, 53), 90).convert(mode)
    file = io.BytesIO()
    image.save(file, form, **more)
    return file.getvalue()


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    return exif


def _note() -> PngInfo:
    note = PngInfo()
    note.add_itxt("XML:com.adobe.xmp", PACKET.decode(), zip=True)
    note.add_text("Title", "kept")
    return note


FILES = {
    "jpeg": _file("JPEG", exif=_exif(), icc_profile=b"i" * 300, comment=b"kept"),
    "grey progressive jpeg": _file("JPEG", "L", progressive=True),
    "jpeg with xmp": _file("JPEG", xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"),
    "png": _file("PNG", "RGBA", exif=_exif()),
    "palette png": _file("PNG", "P"),
    "png with compressed xmp": _file("PNG", pnginfo=_note()),
    "webp": _file("WEBP"),
    "webp with exif": _file("WEBP", exif=_exif()),
    "lossless webp": _file("WEBP", "RGBA", lossless=True),
    "lossless opaque webp": _file("WEBP", lossless=True),
    "tiff": _file("TIFF"),
    "packed tiff": _file("TIFF", compression="tiff_lzw", exif=_exif()),
}


def _seen(data: bytes) -> tuple[Any, ...]:
    with Image.open(io.BytesIO(data)) as image:
        info = {k: v for k, v in image.info.items() if k in ("icc_profile", "comment", "Title")}
        exif = {k: v for k, v in image.getexif().items() if k in (0x0112, 0x010F)}
        return image.format, image.mode, image.size, image.tobytes(), info, exif


@pytest.mark.parametrize("name", FILES)
def test_a_packet_goes_in_and_nothing_else_changes(name: str) -> None:
    """Pillow is the judge: it finds the packet, and the same pixels, profile and EXIF."""
    data = FILES[name]
    once = with_packet(data, PACKET)
    assert packet_of(once) == PACKET
    assert _seen(once) == _seen(data)
    with Image.open(io.BytesIO(once)) as image:
        image.load()
        found = image.info.get("xmp") or image.tag_v2[700]  # type: ignore[attr-defined]
        assert (found.encode() if isinstance(found, str) else found) == PACKET
    longer = with_texts(PACKET, {DESCRIPTION: "Two dogs run, one behind the other."})
    twice = with_packet(once, longer)
    assert packet_of(twice) == longer
    assert _seen(twice) == _seen(data)
    if not data.startswith((b"II", b"MM")):  # where the old one stays, unused, till it is saved
        assert PACKET not in twice


def test_big_endian_tiff() -> None:
    import struct

    body = struct.pack(">4sIH", b"MM\0*", 8, 8)
    tags = [(256, 3, 1, 2 << 16), (257, 3, 1, 1 << 16), (258, 3, 1, 8 << 16), (259, 3, 1, 1 << 16)]
    tags += [(262, 3, 1, 1 << 16), (273, 4, 1, 110), (278, 3, 1, 1 << 16), (279, 4, 1, 2)]
    data = body + b"".join(struct.pack(">HHII", *tag) for tag in tags) + b"\0" * 4 + b"\x07\xf7"
    changed = with_packet(data, PACKET)
    assert packet_of(changed) == PACKET
    with Image.open(io.BytesIO(changed)) as image:
        assert (image.size, image.tobytes()) == ((2, 1), b"\x07\xf7")


def test_only_the_container_of_a_jpeg_changes() -> None:
    data = FILES["jpeg"]
    once = with_packet(data, PACKET)
    start = once.index(PACKET) + len(PACKET)
    assert data.endswith(once[start:])
    assert len(once) - len(data) == len(PACKET) + 29 + 4


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_short_is_refused_or_read(name: str) -> None:
    data = FILES[name]
    for length in (*range(4, 120, 7), len(data) - 1, len(data) - 40):
        try:
            packet_of(with_packet(data[:length], PACKET))
        except ImageError as error:
            assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("form", ["GIF", "BMP", "AVIF"])
def test_other_kinds_are_refused(form: str) -> None:
    data = _file(form)
    with pytest.raises(ImageError, match="JPEG, PNG, WebP and TIFF files, and this is none; write"):
        with_packet(data, PACKET)


def test_a_jpeg_holds_so_much_and_no_more() -> None:
    most = with_packet(FILES["jpeg"], b"<" + b"x" * 65_502 + b">")
    assert _seen(most) == _seen(FILES["jpeg"])
    with pytest.raises(ImageError, match="its XMP would have 65,505 bytes, and a JPEG file holds"):
        with_packet(FILES["jpeg"], b"x" * 65_505)


def test_all_frames_of_an_animation_stay() -> None:
    frames = [Image.effect_noise((31, 17), 50 + k).convert("RGB") for k in range(3)]
    for form in ("PNG", "WEBP", "TIFF"):
        file = io.BytesIO()
        frames[0].save(file, form, save_all=True, append_images=frames[1:], lossless=True)
        changed = with_packet(file.getvalue(), PACKET)
        assert texts_of(packet_of(changed)) == {DESCRIPTION: "Ein Hund läuft."}
        with Image.open(io.BytesIO(changed)) as image, Image.open(file) as original:
            assert image.n_frames == original.n_frames == 3
            for number in range(3):
                image.seek(number)
                original.seek(number)
                assert image.tobytes() == original.tobytes()
