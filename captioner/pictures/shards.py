"""Photos in tar archives and Parquet tables, opened where they are: nothing is unpacked."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from captioner.errors import DataError, ImageError
from captioner.formats.archives import Parts, compression, is_named_so, members, opened
from captioner.formats.places import SUFFIXES
from captioner.pictures.formats import RAW_SUFFIXES

_LARGEST = 2**29  # bytes; no photo that is opened has more


def holds_photos(path: str | os.PathLike[str]) -> bool:
    """Whether a name is that of an archive or a table, which stands for the photos in it."""
    return is_named_so(path) or is_table(path)


def is_table(path: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a Parquet table."""
    return os.fsdecode(path).lower().endswith(".parquet")


@dataclass(frozen=True)
class Packed(os.PathLike[str]):
    """A photo among others in one file; its path is that of the file, a slash, and its name."""

    archive: str
    name: str

    def __fspath__(self) -> str:
        return f"{self.archive}/{self.name}"

    def __str__(self) -> str:
        return self.__fspath__()

    def read(self) -> bytes:
        """Its bytes; threads may read of one file at once."""
        raise NotImplementedError


@dataclass(frozen=True)
class Member(Packed):
    """A photo in a tar archive."""

    start: int  # where its bytes begin in what the archive holds
    size: int
    parts: Parts = field(compare=False, repr=False)

    @classmethod
    def at(cls, archive: str, name: str, start: int, size: int) -> Member:
        """The photo at a known place of an archive that is not compressed.

        Raises:
            DataError: it is compressed, so that there are no such places.
        """
        if compression(Path(archive)):
            raise DataError(f"{archive}: is compressed, and actors need its places; unpack it")
        parts = Parts(Path(archive))
        parts.add(start, size)
        return cls(archive, name, start, size, parts)

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


@dataclass(frozen=True)
class Row(Packed):
    """A photo in a Parquet table, whose bytes are in a column."""

    column: str
    group: int  # of rows, which are read together
    place: int  # in the group

    def read(self) -> bytes:
        """Its bytes; none where the table has none.

        Raises:
            ImageError: the table cannot be read any more.
        """
        import pyarrow

        try:
            value = _group(self.archive, self.group, self.column)[self.place].as_py()
        except (OSError, pyarrow.ArrowException, IndexError) as error:
            raise ImageError(f"{self}: cannot be read ({error}); check the table") from None
        value = value.get("bytes") if isinstance(value, dict) else value
        return value if isinstance(value, bytes) else b""


_IMAGES = ("image", "jpg", "jpeg", "png", "webp", "bytes", "image_bytes", "content", "img")
_NAMES = ("file_name", "file", "path", "filename", "name", "key", "__key__", "id", "image_id")


@functools.lru_cache(maxsize=2)  # rows are asked for one behind the other, by a few threads
def _group(table: str, number: int, column: str) -> Any:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(table) as file:
        return file.read_row_group(number, columns=[column]).column(0)


def rows_of(table: str) -> Iterator[Row]:
    """The photos in a Parquet table, in its order, a group of rows at a time.

    Their bytes are in a column of that type, or in the `bytes` of one as Hugging Face's `datasets`
    writes it. They are named by a column of names, if it is there, or by their numbers.

    Raises:
        DataError: it is none, has no such column, or nothing reads such tables here.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError(
            f"{table}: reading Parquet takes pyarrow; pip install 'captioner[ray]'"
        ) from None
    try:
        with pyarrow.parquet.ParquetFile(table) as file:
            column, names = _columns(table, file.schema_arrow)
            total = 0
            for group in range(file.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                own = file.read_row_group(group, columns=names).column(0) if names else None
                for place in range(count):
                    name = None if own is None else own[place].as_py()
                    usable = isinstance(name, (str, int)) and name != ""
                    shown = str(name).lstrip("/") if usable else f"{total + place:09}"
                    yield Row(table, shown, column, group, place)
                total += count
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{table}: no Parquet table that can be read ({error})") from None


def _columns(table: str, schema: Any) -> tuple[str, list[str]]:
    """The column of photos, and that of their names, if there is one."""
    import pyarrow

    def holds_bytes(kind: Any) -> bool:
        if pyarrow.types.is_struct(kind):
            return kind.get_field_index("bytes") >= 0 and holds_bytes(kind.field("bytes").type)
        return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))

    held = [entry.name for entry in schema if holds_bytes(entry.type)]
    known = [name for name in held if name.lower() in _IMAGES]
    if not held or (len(held) > 1 and len(known) != 1):
        raise DataError(
            f"{table}: {len(held)} of its columns hold bytes ({', '.join(held) or 'none'}); "
            f"expected one column of photos, such as {_IMAGES[0]}"
        )
    names = [entry.name for entry in schema if entry.name.lower() in _NAMES]
    names = [name for name in names if name not in held]
    return (known or held)[0], names[:1]
