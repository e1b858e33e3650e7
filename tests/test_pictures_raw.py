"""Camera raw files in the structure that their makers write, with a preview in each."""

from __future__ import annotations

import contextlib
import io
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from captioner.captions.caption import Caption
from captioner.captions.captioner import Captioner
from captioner.cli import main
from captioner.errors import ImageError
from captioner.pictures import raw
from captioner.pictures.embedding import with_packet
from captioner.pictures.folders import find_photos
from captioner.pictures.formats import PHOTO_SUFFIXES, RAW_SUFFIXES
from captioner.pictures.open import is_preview, open_photo, original_size
from tests.commands import read_objects

SIZE = (96, 64)


def photo(size: tuple[int, int] = SIZE) -> Image.Image:
    """Left half dark, right half bright: what is up can be told."""
    picture = Image.new("RGB", size, (20, 40, 60))
    picture.paste((230, 220, 200), (size[0] // 2, 0, *size))
    return picture


def jpeg(size: tuple[int, int] = SIZE, **more: object) -> bytes:
    buffer = io.BytesIO()
    photo(size).save(buffer, "JPEG", **more)
    return buffer.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return jpeg(exif=exif)


# SOF3: the values themselves, coded without loss, with noise behind in which anything may stand.
LOSSLESS = (
    b"\xff\xd8\xff\xc3\0\x0e\x0e\x0f\xff\x0f\xff\x02\0\x11\0\1\x11\0\xff\xda\0\x08\2\0\0\1\0\1\0"
)
NOISE = random.Random(3).randbytes(4000) + b"\xff\xd8\xff" + bytes(9) + b"\xff\xd8\xff\xe0\0"


def tiff(
    tags: dict[int, int], *pictures: bytes, order: str = "<", head: bytes | None = None
) -> bytes:
    """A file of one directory of short values, pictures behind it, values at the end."""
    first = head or (b"II*\0" if order == "<" else b"MM\0*")
    entries = b"".join(
        struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in sorted(tags.items())
    )
    place = len(first) + 4
    directory = struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    return b"".join([first, struct.pack(f"{order}I", place), directory, *pictures, LOSSLESS, NOISE])


def boxes(*pictures: bytes, turn: int = 1) -> bytes:
    """A CR3: boxes, in one of which lies a directory."""
    own = tiff({274: turn})
    return b"\0\0\0\x18ftypcrx \0\0\0\1crx isom\0\0\1\0moovCMT1" + own[:200] + b"".join(pictures)


THUMB = jpeg((32, 24))
FILES = {
    "canon.CR2": tiff({274: 1}, THUMB, jpeg(), head=b"II*\0\x10\0\0\0CR\2\0"[:4]),
    "nikon.NEF": tiff({254: 1, 330: 8, 274: 1}, THUMB, jpeg(), order=">"),
    "sony.ARW": tiff({254: 1, 330: 8}, jpeg(), THUMB),
    "phone.dng": tiff({50706: 1, 274: 1}, *[jpeg((256, 256))] * 9, jpeg(), THUMB),
    "pentax.pef": tiff({259: 65535}, jpeg(), order=">"),
    "olympus.orf": tiff({274: 1}, jpeg(), head=b"IIRO"),
    "panasonic.rw2": tiff({274: 1}, jpeg(), head=b"IIU\0"),
    "fuji.RAF": b"FUJIFILMCCD-RAW 0201" + bytes(64) + THUMB + jpeg() + NOISE,
    "canon.CR3": boxes(THUMB, jpeg(), LOSSLESS),
    "sigma.x3f": b"FOVb" + bytes(40) + jpeg(progressive=True),
}
FILES["canon.CR2"] = (
    FILES["canon.CR2"][:4]
    + struct.pack("<I", 16)
    + b"CR\2\0"
    + bytes(4)
    + tiff({274: 1}, THUMB, jpeg())[8:]
)


@pytest.mark.parametrize("name", FILES)
def test_the_largest_preview_is_the_photo(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    for source in (path, FILES[name], io.BytesIO(FILES[name])):
        picture = open_photo(source)
        assert picture.size == original_size(picture) == SIZE
        assert is_preview(picture)
        assert picture.getpixel((5, 5)) < (90, 90, 90) < picture.getpixel((90, 60))
    assert not is_preview(open_photo(jpeg()))


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_the_raw_file_says_what_is_up(turn: int) -> None:
    """Where the preview does not; where both do, it is turned once."""
    whole = open_photo(turned(turn))
    for data in (
        tiff({254: 1, 330: 8, 274: turn}, jpeg(), order=">"),
        tiff({254: 1, 330: 8, 274: turn}, turned(turn)),
        tiff({274: turn}, jpeg(), head=b"IIRO"),
        boxes(jpeg(), turn=turn),
        b"FUJIFILMCCD-RAW " + turned(turn),
    ):
        own = open_photo(data)
        assert own.tobytes() == whole.tobytes()
        assert original_size(own) == original_size(whole) == whole.size
        assert own.size == (SIZE[::-1] if turn in (6, 8) else SIZE)


def test_other_tiff_files_are_no_raw_files() -> None:
    buffer = io.BytesIO()
    photo().save(buffer, "TIFF")
    assert not raw.is_raw(buffer)
    assert not is_preview(open_photo(buffer.getvalue()))


@pytest.mark.parametrize(
    "data",
    [
        tiff({254: 1, 330: 8}),
        tiff({254: 1, 330: 8}, jpeg()[:40]),
        b"IIRO" + bytes(50),
        b"IIRO" + b"\xff\xd8\xff" * 50_000,
        b"IIRO\xff\xff\xff\xff" + b"\xff\xd8\xff\xc0\0\x11\x08\0\0\0\0\3" + bytes(30),
        tiff({50706: 1}, *[jpeg((256, 256))] * 9),
        boxes()[:40],
    ],
)
def test_a_raw_file_without_a_preview_says_so(data: bytes) -> None:
    with pytest.raises(ImageError) as error:
        open_photo(data)
    assert str(error.value) == (
        "the given bytes: this is a camera raw file without a preview that can be read; "
        "export it as JPEG"
    )


@pytest.mark.parametrize("cut", [9, 30, 200, 700])
@pytest.mark.parametrize("name", FILES)
def test_a_raw_file_that_is_cut_short_raises_nothing_else(name: str, cut: int) -> None:
    """Where the preview is whole, it is read; else that is the photo's error."""
    data = FILES[name][:cut]
    if cut == 700:
        with contextlib.suppress(ImageError):
            assert open_photo(data).size in (SIZE, (32, 24))
        return
    with pytest.raises(ImageError, match=r"^the given bytes: "):
        open_photo(data)


def test_what_was_read_is_said(
    tiny_captioner: Captioner,
    typed: Callable[..., int],
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("raws").mkdir()
    for name in ("nikon.NEF", "canon.CR3"):
        Path("raws", name).write_bytes(FILES[name])
    note = "a camera raw file, of which the preview in it was read, 96 × 64 pixels"
    caption = tiny_captioner("raws/nikon.NEF")
    assert caption.note == note == tiny_captioner.look("raws/nikon.NEF").caption().note
    assert isinstance(caption, Caption)
    assert caption.sheet().width > 0
    assert typed("caption", "raws", "--jsonl", "raw.jsonl") == 0
    told = capsys.readouterr()
    assert told.out.count("\n") == 2
    assert f"captioner: raws/nikon.NEF: {note}\n" in told.err
    assert [values["note"] for values in read_objects(Path("raw.jsonl"))] == [note] * 2
    assert typed("caption", "a/cat.jpg", "--jsonl", "one.jsonl") == 0
    assert "note" not in read_objects(Path("one.jsonl"))[0]


def test_a_raw_file_is_never_written_to(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("x.NEF").write_bytes(FILES["nikon.NEF"])
    with pytest.raises(ImageError, match="a camera raw file stays as it is"):
        with_packet(FILES["nikon.NEF"], b"<x:xmpmeta/>")
    assert typed("caption", "x.NEF", "--in-place") == 1
    assert (
        "x.NEF: a camera raw file stays as it is; write the caption beside it with --sidecar"
        in (capsys.readouterr().err)
    )
    assert Path("x.NEF").read_bytes() == FILES["nikon.NEF"]
    assert typed("caption", "x.NEF", "--sidecar", ".xmp") == 0
    assert Path("x.NEF.xmp").is_file()


def test_folders_bring_raw_files_along(tmp_path: Path) -> None:
    assert RAW_SUFFIXES <= PHOTO_SUFFIXES
    (tmp_path / "a.CR3").write_bytes(FILES["canon.CR3"])
    assert [item.is_photo for item in find_photos([str(tmp_path)])] == [True]
    assert main(["caption", str(tmp_path), "--dry-run"]) == 2
