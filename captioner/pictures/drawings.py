"""Files that captioner draws, as PNG, SVG or PDF: each says so inside, so that none is a photo."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from captioner.atomic import whole
from captioner.errors import ConfigError

if TYPE_CHECKING:
    from PIL import Image

SOFTWARE = "captioner"
"""What stands under `Software` in the files that we draw; in a PDF, under `Creator`."""

SUFFIXES = (".png", ".svg", ".pdf")
"""What a drawing can be written as, by the suffix of its file."""

_HEAD = 4096  # bytes of a PNG or SVG file in which its texts stand
_TAIL = 65536  # bytes of a PDF file in which its texts stand, before the places of its objects
_COMMENT = re.compile(rb"<\?xml[^>]*>\s*<!-- ((?:\w+: \w+;? ?)*) ?-->")
_INFO = re.compile(rb"/(Creator|Photo) \((\w+)\)")


class Drawing(Protocol):
    """What can be drawn as pixels or as lines and letters."""

    def picture(self) -> Image.Image:
        """As pixels (RGB)."""

    def vectors(self, suffix: str, texts: Mapping[str, str]) -> bytes:
        """As a file of `.svg` or `.pdf` in which text stays text.

        Args:
            suffix: one of the two.
            texts: what the file says of itself, by keyword, each a word of ASCII.
        """


def suffix_of(path: Path, what: str) -> str:
    """The suffix that tells how a drawing is written; PNG where there is none.

    Args:
        path: of the file.
        what: is drawn, for the message.

    Raises:
        ConfigError: it is another one.
    """
    suffix = path.suffix.lower() or SUFFIXES[0]
    if suffix not in SUFFIXES:
        raise ConfigError(
            f"{path}: the {what} is a PNG, SVG or PDF file; call it {path.with_suffix('.png')}"
        )
    return suffix


def save(drawing: Drawing | Image.Image, path: Path, **texts: str) -> None:
    """Writes a drawing as the kind of file that its name tells, whole or not at all.

    Args:
        drawing: what to write; a picture is written as PNG.
        path: where, in a folder that is there.
        texts: what it says besides, by keyword, each a word of ASCII.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES[1:] and (vectors := getattr(drawing, "vectors", None)) is not None:
        data = vectors(suffix, {"Software": SOFTWARE, **texts})
    else:
        buffer = io.BytesIO()
        pixels = getattr(drawing, "picture", None)
        save_png(pixels() if pixels else drawing, buffer, **texts)  # type: ignore[arg-type]
        data = buffer.getvalue()
    with whole(path) as partial:
        partial.write_bytes(data)


def comment_of(texts: Mapping[str, str]) -> str:
    """What an SVG file says of itself."""
    return "; ".join(f"{keyword}: {text}" for keyword, text in texts.items())


def info_of(texts: Mapping[str, str]) -> dict[str, str]:
    """What a PDF file says of itself, by its own keywords."""
    return {"Creator" if key == "Software" else key: text for key, text in texts.items()}


def is_drawing(path: Path) -> bool:
    """Whether a file is a picture that captioner drew."""
    try:
        return texts_of(path).get("Software") == SOFTWARE
    except OSError:
        return False


def texts_of(path: Path) -> dict[str, str]:
    """The texts of a PNG (section 11.3.3.2), SVG or PDF file of ours; none of any other file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(_HEAD)
        if data.startswith(b"%PDF-"):
            file.seek(max(0, file.seek(0, io.SEEK_END) - _TAIL))
            found = dict(_INFO.findall(file.read()))
            named = {b"Creator": "Software", b"Photo": "Photo"}
            return {named[key]: text.decode("ascii", "replace") for key, text in found.items()}
    if (comment := _COMMENT.match(data)) is not None:
        pairs = (pair.split(": ") for pair in comment[1].decode("ascii", "replace").split("; "))
        return {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}
    return _png_texts(data)


def _png_texts(data: bytes) -> dict[str, str]:
    texts: dict[str, str] = {}
    place = 8
    while data.startswith(b"\x89PNG\r\n\x1a\n") and place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"tEXt":
            keyword, _, text = data[place + 8 : place + 8 + length].partition(b"\0")
            texts[keyword.decode("latin-1")] = text.decode("latin-1")
        place += 12 + length
    return texts


def save_png(picture: Image.Image, file: IO[bytes], **texts: str) -> None:
    """Writes a picture as PNG that says who drew it: a folder's sheets are not captioned."""
    from PIL.PngImagePlugin import PngInfo

    note = PngInfo()
    for keyword, text in {"Software": SOFTWARE, **texts}.items():
        note.add_text(keyword, text)
    picture.save(file, format="PNG", pnginfo=note)
