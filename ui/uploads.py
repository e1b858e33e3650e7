"""The page's own folder: what visitors upload, what they download, and the examples.

It is made for one run of the page, is private to whoever started it, and goes when the page ends.
Visitors never learn where it lies: in requests and answers it is called `uploads`.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import quote

VARIABLE = "GRADIO_TEMP_DIR"
"""Where Gradio keeps files; it reads this when it is imported, and again at every upload."""

PUBLIC = "uploads"
"""What the folder is called in requests and answers."""

FORGOTTEN = 600.0  # seconds after which an upload that stopped is one that was cut off
LONGEST_NAME = 1024  # characters of a file's name in a request


@cache
def claim() -> Path:
    """Makes this process's folder; its path is for `GRADIO_TEMP_DIR`, before Gradio is imported.

    The folder has mode 700. It lies in the system's folder for temporary files, or where
    `GRADIO_TEMP_DIR` says, and is removed at the end of the process.
    """
    parent = os.environ.get(VARIABLE)
    if parent:
        Path(parent).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="captioner-page-", dir=parent or None)).resolve()
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked process ends before its parent does
        shutil.rmtree(folder, ignore_errors=True)


class Uploads:
    """A folder and its files, by the names that visitors know them by."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        path = str(self.folder)
        # As it stands in JSON, with and without its characters escaped, and in addresses.
        spelt = {path, json.dumps(path)[1:-1], json.dumps(path, ensure_ascii=False)[1:-1]}
        self.names = {text.encode(): PUBLIC.encode() for text in {*spelt, quote(path)}}

    def path(self, name: object) -> str | None:
        """The path of the file that a visitor calls `name`; None where there is none.

        Only a name below `uploads/` is one, and only of a file that lies in the folder, whatever
        links are on the way. No answer of the page holds a name that is long, or has dots or
        nothing between two slashes: following each of them would take its time.
        """
        if not isinstance(name, str) or len(name) > LONGEST_NAME:
            return None
        first, *parts = name.replace("\\", "/").split("/")
        if first != PUBLIC or not parts or {"", ".", ".."} & {*parts}:
            return None
        try:
            path = self.folder.joinpath(*parts).resolve()
            inside = path.is_relative_to(self.folder) and path.is_file()
        except (OSError, ValueError):  # a name that is too long, or holds a zero
            return None
        return str(path) if inside else None

    def sweep(self, age: float = FORGOTTEN) -> None:
        """Removes what is left of uploads that were cut off, `age` seconds after their last byte.

        Gradio writes an upload to a file called `tmp…`, which gets its own name at the end.
        """
        for path in self.folder.glob("tmp*"):
            with contextlib.suppress(OSError):  # another upload's sweep was faster
                if path.is_file() and time.time() - path.stat().st_mtime > age:
                    path.unlink()

    def size(self) -> int:
        """Bytes of all files in the folder."""
        total = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with contextlib.suppress(OSError):
                    total += (Path(folder) / name).lstat().st_size
        return total


class Renaming:
    """Says some things by other names in an answer that comes bit by bit.

    Args:
        names: what is to be said instead of what.
    """

    def __init__(self, names: Mapping[bytes, bytes]) -> None:
        self.names = dict(sorted(names.items(), key=lambda pair: -len(pair[0])))
        self.kept = b""  # what may be the beginning of a name

    def __call__(self, part: bytes, more: bool) -> bytes:
        """What can be said of the answer so far; `more` of it may come."""
        said = self.kept + part
        for name, other in self.names.items():
            said = said.replace(name, other)
        count = self._begun(said) if more else 0
        self.kept = said[len(said) - count :]
        return said[: len(said) - count]

    def _begun(self, said: bytes) -> int:
        longest = min(len(said), max(map(len, self.names), default=1) - 1)
        for count in range(longest, 0, -1):
            if any(name.startswith(said[-count:]) for name in self.names):
                return count
        return 0
