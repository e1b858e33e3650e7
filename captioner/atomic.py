"""Files that are written whole or not at all: to a temporary file beside, then in one step."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows, where nobody can rename or delete a file that is open
    fcntl = None  # type: ignore[assignment]

LONGEST_NAME = 200  # bytes; file systems take 255, and a temporary file's name is longer
# No place on the disk, none for this user, none in a file.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_PARTIAL = re.compile(r"\.(?P<name>.+)\.\d+\.partial", re.DOTALL)
_left: dict[Path, dict[str, list[Path]]] = {}  # by folder and name, what was begun when it was seen


@contextlib.contextmanager
def whole(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """A temporary file beside `path`, which takes its name when all is written, or vanishes.

    A link leads to the file that is replaced, and a pipe or a device is written to as it is. What a
    killed process has left of the same file is cleared away.

    Args:
        path: where the file is to be.
        folder: the temporary file lies in a folder of its own, for libraries that write to yet
            another one beside it: whatever they leave goes with the folder.

    Raises:
        OSError: it cannot be written; the error names `path`.
    """
    if is_special(path):
        with naming(path):
            yield path
        return
    target = behind(path)
    name = fitting(target.name)
    partial = target.with_name(f".{name}.{os.getpid()}.partial")
    inside = partial / name if folder else partial
    with naming(path, partial, inside):
        _clear(target.parent, name)
        try:
            with _held(partial, folder=folder):
                yield inside
                inside.replace(target)
        finally:
            _remove(partial)


@contextlib.contextmanager
def naming(path: Path | str, *hidden: Path) -> Iterator[None]:
    """Puts a file's name into errors of writing: a full disk names none.

    Args:
        path: the name.
        hidden: temporary files that stand for it, whose names tell nobody anything.
    """
    try:
        yield
    except OSError as error:
        unknown = error.filename is None and error.errno in FULL
        if unknown or {error.filename, error.filename2} & set(map(str, hidden)):
            error.filename, error.filename2 = str(path), None
        raise


@contextlib.contextmanager
def _held(partial: Path, *, folder: bool) -> Iterator[None]:
    """A new file or folder that is locked while this process is at work on it, or alive."""
    _remove(partial)  # of a killed process that had the same number
    if folder:
        partial.mkdir()
    else:
        partial.touch()
    if fcntl is None:
        yield
        return
    file = os.open(partial, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(file)


def _clear(folder: Path, name: str) -> None:
    """Removes what `whole` had begun of a file when its process was killed.

    A folder is looked through once, since one of a hundred thousand files takes its time.
    """
    if folder not in _left:
        _left[folder] = {}
        with contextlib.suppress(OSError):  # nobody may look, or there is no folder: writing tells
            for path in folder.iterdir():
                if (found := _PARTIAL.fullmatch(path.name)) is not None:
                    _left[folder].setdefault(found["name"], []).append(path)
    for path in _left[folder].pop(name, ()):
        if _is_abandoned(path):
            _remove(path)


def _is_abandoned(path: Path) -> bool:
    """Whether no process is at work on a temporary file, as far as can be known."""
    if fcntl is None:
        return False
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process has it, or the file system knows no locks
        return False
    finally:
        os.close(file)
    return True


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def swept(folder: Path) -> None:
    """Removes what `whole` had begun in a folder when its process was killed.

    For a folder that one process alone writes to, as that of a training run.
    """
    for path in folder.iterdir():
        if _PARTIAL.fullmatch(path.name):
            _remove(path)


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
    if fcntl is None:
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
