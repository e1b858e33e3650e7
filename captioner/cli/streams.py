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


def standard_input() -> Iterator[bytes]:
    """The lines of standard input, without a byte order mark.

    Through an object of our own where there is a file behind it: Python, on its way out, waits for
    a thread that reads from `sys.stdin`.

    Raises:
        ConfigError: it is UTF-16 or UTF-32.
    """
    try:
        stream: IO[bytes] = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
    except (OSError, ValueError):
        stream = sys.stdin.buffer
    for number, line in enumerate(stream):
        if number == 0 and (other := other_encoding(line)) is not None:
            raise ConfigError(f"standard input: {convert(other)}")
        yield line.removeprefix(codecs.BOM_UTF8) if number == 0 else line
