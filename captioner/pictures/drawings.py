"""PNG files that captioner draws: each says so inside, so that none is taken for a photo."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

SOFTWARE = "captioner"
"""What stands under `Software` in the PNG files that we draw."""

_HEAD = 4096  # bytes of a PNG file in which its texts stand


def is_drawing(path: Path) -> bool:
    """Whether a file is a picture that captioner drew."""
    try:
        return texts_of(path).get("Software") == SOFTWARE
    except OSError:
        return False


def texts_of(path: Path) -> dict[str, str]:
    """The texts at the head of a PNG file (PNG, section 11.3.3.2); none where it is no such file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(_HEAD)
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
