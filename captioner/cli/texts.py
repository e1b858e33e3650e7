"""Where `captioner translate` reads many texts from: lines, a column of a table, objects."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from captioner.cli.streams import check_text, standard_input
from captioner.errors import ConfigError
from captioner.text import not_utf8


class Lines:
    """The lines of a file or, for `-`, of standard input, read as they are needed."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.broken: dict[int, str] = {}  # lines that cannot be read, with the reason
        self.read: deque[tuple[int, str]] = deque()  # number and line of each text that was taken

    def __iter__(self) -> Iterator[str]:
        """The texts; an empty one for what cannot be read.

        Raises:
            ConfigError: the whole file is UTF-16 or UTF-32, or not what it was said to be.
        """
        for number, line in self.lines():
            text = "" if number in self.broken else self.text(number, line)
            self.read.append((number, line))
            yield text

    def text(self, number: int, line: str) -> str:
        """What is translated of a line."""
        return line.removesuffix("\r")

    def printed(self, line: str, said: str) -> str:
        """What is printed of a line whose translation is `said`."""
        return said

    def heading(self, to: str) -> str | None:
        """What is printed before all translations into `to`."""
        return None

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines with their numbers, from 1, without line feeds."""
        with contextlib.ExitStack() as stack:
            typed = self.file == "-"
            stream = standard_input() if typed else stack.enter_context(Path(self.file).open("rb"))
            for number, line in enumerate(stream, 1):
                if number == 1:
                    check_text(line, self.file)
                content, encoding = (
                    line.removesuffix(b"\n"),
                    "utf-8-sig" if number == 1 else "utf-8",
                )
                try:
                    yield number, content.decode(encoding)
                except UnicodeDecodeError as error:
                    self.broken[number] = not_utf8(error)
                    yield number, content.decode(encoding, "replace")


class Table(Lines):
    """A column of tab-separated values; every row comes out as it was, with one column more."""

    def __init__(self, file: str, column: str) -> None:
        """Takes the column.

        Args:
            file: as for lines.
            column: its number, from 1, or its name in the first row.

        Raises:
            ConfigError: the number is 0.
        """
        super().__init__(file)
        self.column = column
        self.place = int(column) - 1 if column.isdecimal() else -1
        self._heading: str | None = None
        if column.isdecimal() and self.place < 0:
            raise ConfigError("--tsv counts columns from 1; 0 is none")

    def lines(self) -> Iterator[tuple[int, str]]:
        """The rows below the names of the columns, if these have been asked for."""
        rows = super().lines()
        if not self.column.isdecimal():
            _, self._heading = next(rows, (1, ""))
            names = [name.strip() for name in self._heading.split("\t")]
            if self.column not in names:
                raise ConfigError(
                    f"{self.file}: no column is called {self.column!r} in the first row, which "
                    f"has {', '.join(map(repr, names))}; name one of them, or its number"
                )
            self.place = names.index(self.column)
        yield from rows

    def text(self, number: int, line: str) -> str:
        """The cell."""
        cells = line.removesuffix("\r").split("\t")
        if len(cells) > self.place:
            return cells[self.place]
        if cells != [""]:
            columns = f"{len(cells)} column{'s' if len(cells) > 1 else ''}"
            self.broken[number] = f"has {columns}, and --tsv names column {self.place + 1}"
        return ""

    def printed(self, line: str, said: str) -> str:
        """The row, and the translation behind it."""
        end = "\r" if line.endswith("\r") else ""
        row = line.removesuffix("\r")
        return f"{row}\t{said}{end}"

    def heading(self, to: str) -> str | None:
        """The names of the columns, and the language."""
        return None if self._heading is None else self.printed(self._heading, to)


class Objects(Lines):
    """What stands under a key of each line's JSON object."""

    def __init__(self, file: str, key: str) -> None:
        super().__init__(file)
        self.key = key

    def text(self, number: int, line: str) -> str:
        """The value."""
        if not line.strip():
            return ""
        try:
            found = json.loads(line)
            value = found[self.key]
        except (ValueError, RecursionError):
            self.broken[number] = "is no JSON object; --objects reads one a line"
        except (KeyError, TypeError, IndexError):
            keys = f"has {', '.join(map(repr, found))}" if isinstance(found, dict) else "is none"
            self.broken[number] = f"no object with {self.key!r}: it {keys}"
        else:
            if isinstance(value, str):
                return value
            self.broken[number] = f"{self.key!r} is {json.dumps(value)[:40]}; expected a text"
        return ""
