"""Files that are written whole or not at all: to a temporary file beside, then in one step."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

LONGEST_NAME = 200  # bytes; file systems take 255, and a temporary file's name is longer


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, which takes its name when all is written, or vanishes.

    A link leads to the file that is replaced, and a pipe or a device is written to as it is.
    """
    if is_special(path):
        yield path
        return
    target = behind(path)
    partial = target.with_name(f"{fitting(f'.{target.name}.{os.getpid()}')}.partial")
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def swept(folder: Path) -> None:
    """Removes what `whole` had begun in a folder when its process was killed.

    For a folder that one process alone writes to, as that of a training run.
    """
    for path in folder.iterdir():
        if re.fullmatch(r"\..+\.\d+\.partial", path.name):
            path.unlink(missing_ok=True)


def behind(path: Path) -> Path:
    """The file that a link leads to."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path  # noqa: PTH114


def is_special(path: Path) -> bool:
    """Whether `path` is a pipe or a device, such as /dev/null: written to and never replaced."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def is_same_file(one: str | Path, other: str | Path) -> bool:
    """Whether two names are those of one file that is there."""
    try:
        return os.path.samefile(one, other)  # noqa: PTH121  (Path of any name may raise)
    except (OSError, ValueError):
        return False


def fitting(name: str) -> str:
    """The name; one too long for file systems is cut, and a digest of it keeps it unique."""
    if len(os.fsencode(name)) <= LONGEST_NAME:
        return name
    cut = name
    while len(os.fsencode(cut)) > LONGEST_NAME:
        cut = cut[:-1]
    return f"{cut}-{digest(name)[:8]}"


def digest(text: str) -> str:
    """Sixteen letters that tell texts apart."""
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]


def lock(file: IO[Any]) -> bool:
    """Takes a file for this process, until it is closed; False where another one has it."""
    try:
        import fcntl
    except ImportError:  # Windows, where nobody can rename or delete a file that is open
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def is_same(file: IO[Any], path: Path) -> bool:
    """Whether an open file is the one that there is at a path now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:  # gone, or nobody may look
        return False
