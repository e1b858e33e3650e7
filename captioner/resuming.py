"""What an earlier run has left of its file of objects, so that the next one goes on behind it.

The file itself says what was done, an object a photo; beside it, FILE.run says with which weights
and options, so that no file holds captions of two kinds.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from captioner.atomic import whole
from captioner.errors import ConfigError, DataError, shown

LONGEST_LINE = 2**26  # bytes; an object with the maps of a hundred captions has a twentieth of it
WRITTEN = "write"  # in the note: the files of captions that the run is to write


class Earlier:
    """The objects that are there already: whose they are, and how many say that there is none."""

    def __init__(self, each: Callable[[Mapping[str, Any]], object] = lambda values: None) -> None:
        """Knows of none yet.

        Args:
            each: called with every object, in order.
        """
        self.each = each
        self.count = self.failed = 0
        self.left: Counter[str] = Counter()  # of each photo, those that were not asked for again

    def note(self, values: Mapping[str, Any]) -> None:
        """Takes one object."""
        self.count += 1
        self.failed += values["error"] is not None
        self.left[_key(values["file"])] += 1
        self.each(values)

    def take(self, file: str) -> bool:
        """Whether a photo that is named now has an object that no other naming of it has taken."""
        key = _key(file)
        if not self.left[key]:  # which adds no key
            return False
        self.left[key] -= 1
        return True

    @property
    def others(self) -> int:
        """Objects of photos that nobody has asked for since."""
        return sum(self.left.values())


def _key(file: str) -> str:
    """One path for `a.jpg`, `./a.jpg` and the whole path to it."""
    return os.path.abspath(file)  # noqa: PTH100  (links stay as they are named)


def mend(file: IO[bytes], name: str, earlier: Earlier) -> int:
    """Notes every object of a file and cuts off what is behind the last whole line.

    A line is torn where a disk was full or a computer stopped; nothing whole comes behind it.

    Args:
        file: open for reading and writing.
        name: of it in messages.
        earlier: notes the objects.

    Returns:
        How many bytes were cut off.

    Raises:
        DataError: a line in the midst is no object of ours.
    """
    file.seek(0)
    end, torn = 0, 0  # bytes of whole lines; the number of the first line that is none
    for number, (line, values) in enumerate(_lines(file), 1):
        if values is None:
            torn = torn or number
        elif torn:
            raise DataError(
                f"{name}: line {torn} holds no object as captioner writes them, and more lines "
                "follow; mend it or take it out, or begin anew without --resume"
            )
        else:
            earlier.note(values)
            end += len(line)
    size = file.seek(0, os.SEEK_END)
    if end < size:
        file.truncate(end)
    file.seek(end)
    return size - end


def _lines(file: IO[bytes]) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """Every line, with its object where it holds one."""
    while line := file.readline(LONGEST_LINE):
        yield line, _object(line) if line.endswith(b"\n") else None


def _object(line: bytes) -> dict[str, Any] | None:
    with contextlib.suppress(ValueError, RecursionError):
        values = json.loads(line)
        if isinstance(values, dict) and isinstance(values.get("file"), str) and "error" in values:
            return values
    return None


def is_torn(path: Path) -> bool:
    """Whether all that is there is the beginning of an object: not even one line was finished."""
    with path.open("rb") as file:
        text = file.read(LONGEST_LINE)
    return text.startswith(b"{") and b"\n" not in text and _object(text) is None


def note_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Notes how a file of objects is made, as plain values by name."""
    with whole(path) as partial:
        partial.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def check_note(path: Path, settings: Mapping[str, Any]) -> None:
    """Refuses to go on with a file of objects that was made in another way.

    Raises:
        ConfigError: the note is missing or damaged, or says something else.
    """
    begin = "begin anew without --resume"
    try:
        before = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ConfigError(
            f"{path} is missing, which says with which weights and options the lines that are "
            f"there were written; {begin}"
        ) from None
    except (ValueError, RecursionError):
        before = None
    if not isinstance(before, dict):
        raise ConfigError(f"{path} is damaged; {begin}")
    for name in sorted(before.keys() | settings.keys()):
        was, now = before.get(name), settings.get(name)
        if was != json.loads(json.dumps(now)):
            raise ConfigError(
                f"--resume: {name} was {shown(was)} in the run that wrote the lines which are "
                f"there, and is {shown(now)} now; take the old one again, or {begin}"
            )


def written_before(path: Path) -> tuple[str, ...]:
    """The files of captions that a note names; `check_note` says what is wrong with a note."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        values = json.loads(path.read_bytes())
        if isinstance(values, dict) and isinstance(values.get(WRITTEN), list):
            return tuple(map(str, values[WRITTEN]))
    return ()
