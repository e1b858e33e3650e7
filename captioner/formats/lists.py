"""Lists of photos: a path a line, or a column of paths in a CSV or in JSON lines."""

from __future__ import annotations

import os
from pathlib import Path

from captioner.errors import DataError
from captioner.formats import tables
from captioner.formats.content import Content, lines, shown


def paths_in(file: str | Path) -> list[str]:
    """The paths that a list names, in its order.

    A relative path counts from the current folder, or else, where nothing is there, from the list's
    own. Nothing is dropped for being named twice.

    Raises:
        DataError: it is no text, or has no column of paths.
    """
    content = Content(file)
    names = _names(content)
    if not names:
        raise DataError(f"{file}: names no photo; expected a path a line, or a column of paths")
    return [_reached(name, content.path.parent) for name in names]


def _names(content: Content) -> list[str]:
    if content.path.suffix.lower() in (".csv", ".tsv"):
        return tables.column(content, tables.NAMES)
    if content.is_json:
        return tables.column_of_objects(content, tables.NAMES)
    names = [line.strip("\r") for _, line in lines(content.text)]
    if any("\0" in name for name in names):
        raise DataError(
            f"{content.path}: is no text; expected a path a line, not {shown(names[0])}"
        )
    return names


def _reached(name: str, folder: Path) -> str:
    if os.path.isabs(name) or os.path.lexists(name):  # noqa: PTH117  (Path("a\0b") may raise)
        return name
    beside = os.path.join(folder, name)  # noqa: PTH118
    return beside if os.path.lexists(beside) else name
