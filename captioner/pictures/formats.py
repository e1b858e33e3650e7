"""The formats of photos: what is read, what is not and why, and what a file's first bytes tell."""

from __future__ import annotations

import codecs
import functools
import struct
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import BinaryIO, TypeAlias

# The plugins enter their readers in Image.OPEN when they are imported.
from PIL import (
    AvifImagePlugin,  # noqa: F401
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    Jpeg2KImagePlugin,  # noqa: F401
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    PpmImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "PPM")

_RAW = (
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef"
    " .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f"
)
RAW_SUFFIXES = frozenset(_RAW.split())
"""The suffixes of camera raw files, of which the preview is read."""

_HEIC = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
_READS_HEIC = find_spec("pillow_heif") is not None  # imported with the first such photo
_INSTALL_HEIC = "HEIC is read with pillow-heif: pip install 'captioner[heic]', or export it as JPEG"

PHOTO_SUFFIXES = frozenset(
    {suffix for suffix, name in Image.EXTENSION.items() if name in _FORMATS}
    - _HEIC  # which another user of pillow-heif may have registered
    | {".mpo"}
    | RAW_SUFFIXES
    | (_HEIC if _READS_HEIC else set())
)
"""The suffixes, in lower case, of the files that a walk through a folder takes for photos."""

_VIDEO = ".3gp .avi .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .webm .wmv"
_DRAWN = ".ai .eps .pdf .ps .svg .svgz"
_LAYERED = ".kra .psb .psd .xcf"
_OTHERS = ".dds .emf .exr .hdr .ico .icns .jxl .jxr .pcx .tga .wdp .wmf"

UNREAD_SUFFIXES: Mapping[str, str] = {
    **({} if _READS_HEIC else dict.fromkeys(sorted(_HEIC), _INSTALL_HEIC)),
    **dict.fromkeys(_VIDEO.split(), "a video is not read; save a frame of it as JPEG or PNG"),
    **dict.fromkeys(_DRAWN.split(), "a page or drawing is not read; save it as PNG"),
    **dict.fromkeys(_LAYERED.split(), "a layered picture is not read; export it as PNG"),
    **dict.fromkeys(_OTHERS.split(), "this kind of picture is not read; convert it to JPEG or PNG"),
}
"""Why files that people take for photos are not opened, by their suffix in lower case."""

EXPECTED = "expected a photo (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF)"
THIS_IS_RAW = "this is a camera raw file without a preview that can be read; export it as JPEG"
HEAD = 4096  # bytes that tell what a file is


def content(file: BinaryIO) -> bytes:
    """All of a file; its reader goes on where it was."""
    place = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(place)
    return data


_Factory: TypeAlias = Callable[[BinaryIO, str], Image.Image]


def find_reader(head: bytes) -> tuple[str, _Factory | None]:
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


def what_it_is(head: bytes) -> str:
    """A sentence about content that is no photo, from its first bytes."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return f"this is a web page (HTML), {EXPECTED}; download the photo itself"
    if text.startswith((b"<svg", b"<?xml", b"<!doctype svg", b"<!--")) and b"<svg" in text:
        return f"SVG is not supported, {EXPECTED}; convert it to PNG"
    if head[4:8] == b"ftyp" and not is_raw_head(head):
        return _what_container(head)
    if is_raw_head(head):
        return THIS_IS_RAW
    for start, kind in _KINDS:
        if head.startswith(start):
            return f"this is {kind}, {EXPECTED}; give the photo itself"
    if is_text(head):
        return f"this is text, {EXPECTED}; give the photo itself"
    return f"this is no photo that can be read, {EXPECTED}; convert it to JPEG or PNG"


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
        return f"this Pillow was built without AVIF, {EXPECTED}; convert it to JPEG"
    return f"this is a video, {EXPECTED}; give a frame of it"


def is_raw_head(head: bytes) -> bool:
    """Whether a file's first bytes are those of a camera raw file that is no common TIFF."""
    canon = head.startswith(b"II*\0") and head[8:10] == b"CR"
    boxes = head[4:12] == b"ftypcrx "
    return head.startswith(_RAW_STARTS) or canon or boxes or head[6:14] == b"HEAPCCDR"


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


def is_text(head: bytes) -> bool:
    """Whether a file begins (`HEAD` bytes) as text does."""
    decoder = codecs.getincrementaldecoder("utf-8")()  # lets the head end within a character
    try:
        text = decoder.decode(head, final=len(head) < HEAD)
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char.isspace() for char in text)
