"""Photos in tar archives and Parquet tables, opened where they are: nothing is unpacked."""

from __future__ import annotations

import functools
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioner.errors import DataError, ImageError
from captioner.formats.places import SUFFIXES
from captioner.formats.webdataset import members


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

    start: int  # where its bytes begin in the archive
    size: int

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
