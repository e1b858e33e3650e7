"""Where the photos lie that a file of captions names."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

# What systems leave among photos: folders of thumbnails and of what was thrown away.
SYSTEM_FOLDERS = frozenset(
    {"@eaDir", "@Recycle", "#recycle", "#snapshot", "__MACOSX", "$RECYCLE.BIN"}
    | {"System Volume Information"}
)
"""The folders that a walk passes over, as it does hidden ones."""

_SUFFIXES = (
    ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff .avif .avifs .jp2 .j2k"
    " .ppm .pgm .pbm .pnm .mpo .heic .heif .hif"
)
SUFFIXES = frozenset(_SUFFIXES.split())
"""The suffixes of photos, in lower case; whether one opens is seen when it is opened."""


def located(images: Path, name: str) -> Path:
    """Where a photo lies, by a name that Windows or macOS may have written in its own way.

    Backslashes part folders on Windows, and macOS takes accents apart (NFD). Only for such names
    the files are looked for; one that is found in no way stays as it is written.
    """
    if "\\" in name or not name.isascii():
        slashed = name.replace("\\", "/")
        forms = (unicodedata.normalize(form, slashed) for form in ("NFC", "NFD"))
        for other in (name, slashed, *forms):
            if os.path.exists(images / other):  # noqa: PTH110  (Path.exists may raise)
                return images / other
    return images / name


def walked(folder: Path, suffixes: Iterable[str] = SUFFIXES) -> Iterator[str]:
    """The files below a folder with one of the suffixes, by name; "/" between folders.

    Hidden files and folders and `SYSTEM_FOLDERS` are passed over, links to folders not followed.
    """
    wanted = frozenset(suffixes)
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [n for n in folders if not n.startswith(".") and n not in SYSTEM_FOLDERS]
        for name in files:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in wanted:  # noqa: PTH122
                found.append(Path(parent, name).relative_to(folder).as_posix())
    yield from sorted(found)
