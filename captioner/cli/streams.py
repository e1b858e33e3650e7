"""Standard input, as a command reads it."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator
from typing import IO

from captioner.errors import ConfigError
from captioner.text import convert, other_encoding


def descriptor(file: str | None) -> str | int | None:
    """What an input's name stands for: for `-`, the descriptor of standard input."""
    if file != "-":
        return file
    try:
        return sys.stdin.fileno()
    except (OSError, ValueError):  # nothing that has one
        return None


def check_text(head: bytes, name: str) -> None:
    """Refuses what is no text of lines in UTF-8, before each of its lines is refused.

    Args:
        head: what it begins with, such as its first line.
        name: what messages call it.

    Raises:
        ConfigError: it is UTF-16 or UTF-32, or no text at all.
    """
    if (other := other_encoding(head)) is not None:
        raise ConfigError(f"{name}: {convert(other)}")
    if b"\0" in head:
        raise ConfigError(f"{name}: this is no text but a picture or other data; give a text file")


def standard_input() -> Iterator[bytes]:
    """The lines of standard input, without a byte order mark.

    Through an object of our own where there is a file behind it: Python, on its way out, waits for
    a thread that reads from `sys.stdin`.

    Raises:
        ConfigError: it is UTF-16 or UTF-32, or no text.
    """
    try:
        stream: IO[bytes] = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
    except (OSError, ValueError):
        stream = sys.stdin.buffer
    for number, line in enumerate(stream):
        if number == 0:
            check_text(line, "standard input")
        yield line.removeprefix(codecs.BOM_UTF8) if number == 0 else line
