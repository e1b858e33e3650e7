"""Tar archives, compressed or not: what is in them, read in their order and within limits.

Photos are compressed already, so that an archive of them unpacks to about its own size. One that
unpacks to a hundred times of it and more than `_ROOM` holds something else, and is refused before
it fills memory or hours.
"""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import os
import tarfile
import threading
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from captioner.errors import DataError
from captioner.formats.entries import inner_name
from captioner.formats.places import SYSTEM_FOLDERS

SUFFIXES = (
    *(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz"),
    *(".tar.zst", ".tzst"),
)
"""How the names of archives end, in lower case."""

_ZSTD = b"\x28\xb5\x2f\xfd"
_COMPRESSED: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
    _ZSTD: lambda file: (_zstandard() or gzip.open)(file),  # `content` asks whether it is there
}
_ROOM = 2**30  # bytes that any archive may unpack to
_TIMES = 100  # of its own size, beyond that
_BROKEN = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


def is_named_so(path: str | os.PathLike[str]) -> bool:
    """Whether a name is that of an archive."""
    return os.fsdecode(path).lower().endswith(SUFFIXES)


def compression(path: Path) -> bytes:
    """The signature of what compresses a file; empty where nothing does, or nobody may look."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except (OSError, ValueError):
        return b""
    return next((start for start in _COMPRESSED if head.startswith(start)), b"")


def is_tar(path: Path) -> bool:
    """Whether a file is an archive, by its first bytes."""
    try:
        if not path.is_file():
            return False
        if compression(path) == _ZSTD and not _zstandard():
            return is_named_so(path)  # which is then asked for
        with opened(path):
            return True
    except (DataError, OSError, ValueError):
        return False


@contextmanager
def opened(path: Path) -> Iterator[tarfile.TarFile]:
    """An archive, compressed or not.

    Raises:
        DataError: it is none, cut short, needs a library, or unpacks to far more than photos would.
    """
    with _said(path), content(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
        yield archive


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """Says of what goes wrong which archive it is."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # what decompresses found damage
            raise _damaged(path) from error
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except _BROKEN as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> DataError:
    return DataError(
        f"{path}: no tar archive that can be read; it may be cut short or damaged: get it again"
    )


def content(path: Path) -> IO[bytes]:
    """What an archive's file holds, decompressed where it is compressed.

    Raises:
        DataError: what decompresses it is not installed.
        OSError: the file cannot be opened.
    """
    start = compression(path)
    if not start:
        return path.open("rb")
    if start == _ZSTD and not _zstandard():
        raise DataError(
            f"{path}: is compressed with Zstandard, which is read with zstandard: "
            "pip install 'captioner[zstd]', or decompress it: zstd -d"
        )
    return io.BufferedReader(_Bounded(path, _COMPRESSED[start]))


def _zstandard() -> Callable[[IO[bytes]], Any] | None:
    """What reads Zstandard: Python's own from 3.14 on, or the package of that name."""
    for module, name in (("compression.zstd", "ZstdFile"), ("zstandard", "open")):
        try:
            return getattr(importlib.import_module(module), name)
        except ImportError:
            continue
    return None


class _Bounded(io.RawIOBase):
    """A compressed file's content that is read forwards, and never without end.

    To seek backwards is to begin anew, as all who decompress do; here it works alike for those that
    cannot.
    """

    def __init__(self, path: Path, decompress: Callable[[IO[bytes]], Any]) -> None:
        self._path, self._decompress = path, decompress
        self._most = max(_ROOM, _TIMES * path.stat().st_size)
        self._begin()

    def _begin(self) -> None:
        self._raw = self._path.open("rb")
        self._file, self._place = self._decompress(self._raw), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        self._place += len(data)
        if self._place > self._most:
            raise DataError(
                f"{self._path}: unpacks to more than {_TIMES} times its size, which no photos do; "
                "unpack it yourself, if you trust it"
            )
        buffer[: len(data)] = data
        return len(data)

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            raise io.UnsupportedOperation("its end is known when it was read")
        wanted = place + (self._place if whence == os.SEEK_CUR else 0)
        if wanted < self._place:
            self._shut()
            self._begin()
        scratch = memoryview(bytearray(2**20))
        while self._place < wanted and self.readinto(scratch[: wanted - self._place]):
            pass
        return self._place

    def _shut(self) -> None:
        self._file.close()
        self._raw.close()

    def close(self) -> None:
        if not self.closed:
            self._shut()
        super().close()


def members(path: Path, archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, str]]:
    """The files of an archive with their names.

    Links, devices, holes in files and what systems left are passed over.

    Raises:
        DataError: a name leads out of the archive.
    """
    for member in archive:
        name = member.name.removeprefix("./")
        parts = PurePosixPath(name).parts
        hidden = any(part.startswith(".") and part not in (".", "..") for part in parts)
        if not member.isreg() or member.issparse() or hidden or SYSTEM_FOLDERS & set(parts):
            continue
        yield member, inner_name(path, "a member", name)


class Parts:
    """Reads parts of an archive's content, by any number of threads.

    What is compressed can be read forwards only. Photos are asked for about in their order, so that
    one pass serves all: what is passed on the way to a later one is kept for those who ask a little
    late.
    """

    _MOST_KEPT = 16  # parts; more than there are threads that read photos

    def __init__(self, path: Path) -> None:
        self.path = path
        self._starts: list[int] = []
        self._sizes: dict[int, int] = {}
        self._kept: dict[int, bytes] = {}
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._packed = bool(compression(path))

    def add(self, start: int, size: int) -> None:
        """Announces a part; each lies behind the one before."""
        self._starts.append(start)
        self._sizes[start] = size

    def read(self, start: int) -> bytes:
        """A part that was announced.

        Raises:
            DataError: the archive cannot be read any more.
        """
        with _said(self.path):
            if not self._packed:
                with self.path.open("rb") as file:
                    file.seek(start)
                    return file.read(self._sizes[start])
            with self._lock:
                return self._forwards(start)

    def _forwards(self, start: int) -> bytes:
        if start in self._kept:
            return self._kept.pop(start)
        self._file = self._file or content(self.path)
        first = bisect_left(self._starts, self._file.tell())
        passed = self._starts[first : bisect_left(self._starts, start)]
        for other in passed[-self._MOST_KEPT :]:
            self._kept[other] = self._taken(self._file, other)
        while len(self._kept) > self._MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return self._taken(self._file, start)

    def _taken(self, file: IO[bytes], start: int) -> bytes:
        file.seek(start)
        return file.read(self._sizes[start])

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()
