"""Photos in tar archives, opened where they are: nothing is unpacked."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from captioner.errors import DataError
from captioner.formats.places import SUFFIXES
from captioner.formats.webdataset import members


@dataclass(frozen=True)
class Member(os.PathLike[str]):
    """A photo in an archive; its path is that of the archive, a slash, and its name there."""

    archive: str
    name: str
    start: int  # where its bytes begin in the archive
    size: int

    def __fspath__(self) -> str:
        return f"{self.archive}/{self.name}"

    def __str__(self) -> str:
        return self.__fspath__()

    def read(self) -> bytes:
        """Its bytes; threads may read of one archive at once."""
        with Path(self.archive).open("rb") as file:
            file.seek(self.start)
            return file.read(self.size)


def photos_in(archive: str) -> Iterator[Member]:
    """The photos in a tar archive, in its order; texts and the like are passed over.

    Raises:
        DataError: it is compressed, cut short or none, or a name leads out of it.
    """
    path = Path(archive)
    try:
        with tarfile.open(path, "r:") as opened:
            for member, name in members(path, opened):
                if Path(name).suffix.lower() in SUFFIXES and not member.issparse():
                    yield Member(archive, name, member.offset_data, member.size)
    except (tarfile.TarError, EOFError) as error:
        raise DataError(
            f"{archive}: no tar archive that can be read where it is; it may be cut short, or "
            "compressed: unpack it first"
        ) from error
    except OSError as error:
        raise DataError(f"{archive}: cannot be read: {error.strerror or error}") from None
