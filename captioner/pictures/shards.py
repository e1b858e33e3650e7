"""Photos in tar archives, opened where they are: nothing is unpacked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from captioner.errors import ImageError
from captioner.formats.archives import Parts, members, opened
from captioner.formats.places import SUFFIXES
from captioner.pictures.formats import RAW_SUFFIXES

_LARGEST = 2**29  # bytes; no photo that is opened has more


@dataclass(frozen=True)
class Member(os.PathLike[str]):
    """A photo in an archive; its path is that of the archive, a slash, and its name there."""

    archive: str
    name: str
    start: int  # where its bytes begin in what the archive holds
    size: int
    parts: Parts = field(compare=False, repr=False)

    def __fspath__(self) -> str:
        return f"{self.archive}/{self.name}"

    def __str__(self) -> str:
        return self.__fspath__()

    def read(self) -> bytes:
        """Its bytes; threads may read of one archive at once.

        Raises:
            ImageError: it is too large for a photo.
            DataError: the archive cannot be read any more.
        """
        if self.size > _LARGEST:
            raise ImageError(
                f"{self}: {self.size:,} bytes, and no photo has more than {_LARGEST:,}; unpack it"
            )
        return self.parts.read(self.start)


def photos_in(archive: str) -> Iterator[Member]:
    """The photos in a tar archive, in its order; texts and the like are passed over.

    Raises:
        DataError: it is cut short or none, needs a library, or a name leads out of it.
    """
    path = Path(archive)
    parts = Parts(path)
    with opened(path) as tar:
        for member, name in members(path, tar):
            if Path(name).suffix.lower() in SUFFIXES | RAW_SUFFIXES:
                parts.add(member.offset_data, member.size)
                yield Member(archive, name, member.offset_data, member.size, parts)
