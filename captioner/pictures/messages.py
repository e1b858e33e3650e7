"""How messages about photos call a source, a type and what went wrong: always on one line."""

from __future__ import annotations

import os
import re
import struct

import numpy as np
from PIL import Image


def source_name(source: object) -> str:
    """How a message calls a source."""
    if isinstance(source, (str, os.PathLike)):
        return shown_name(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "the given bytes"
    if isinstance(source, np.ndarray):
        return f"the given array {source.shape} of {source.dtype}"
    if hasattr(source, "detach") and hasattr(source, "shape"):
        return f"the given tensor {tuple(source.shape)}"
    picture = isinstance(source, Image.Image)
    given = getattr(source, "filename" if picture else "name", None)
    if isinstance(given, str) and given:
        return printable(given)
    return "the given PIL image" if picture else "the given file object"


def shown_name(path: str | os.PathLike[str]) -> str:
    """A path as messages name it: printable, and no longer than paths are."""
    shown = printable(os.fsdecode(path)) or "''"
    return shown if len(shown) <= 1000 else f"{shown[:60]}…{shown[-40:]}"


def printable(text: str) -> str:
    """Text as one printable line: names may hold line breaks and bytes that are no UTF-8."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def type_name(value: object) -> str:
    """The type of a value as a message names it."""
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def reason(error: Exception) -> str:
    """An error's own words, on one line."""
    words = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return printable(words) if words else type(error).__name__


def damaged(name: str, format_name: str, error: Exception) -> str:
    """What a reader's error says of a file: cut short, damaged, or of a kind that is not read."""
    kind = _unsupported(format_name, error)
    if kind:
        return unread(name, format_name, kind)
    too_short = isinstance(error.__cause__ or error, (struct.error, IndexError, EOFError))
    truncated = "truncated" in str(error)  # Pillow counts bytes that help nobody
    words = "it ends too early" if too_short or truncated else reason(error)
    return (
        f"{name}: the {format_name} data is cut short or damaged ({words});"
        " copy or download it again"
    )


def unread(name: str, format_name: str, kind: str) -> str:
    """What is said of a file that is whole, but of an unusual kind."""
    return f"{name}: this kind of {format_name} is not read ({kind}); convert it to JPEG or PNG"


def _unsupported(format_name: str, error: Exception) -> str:
    """What is unusual about a file, where it is that rather than damage."""
    cause = error.__cause__ or error
    if format_name == "TIFF" and isinstance(cause, KeyError) and isinstance(cause.args[0], int):
        return f"compression {cause.args[0]}"
    words = reason(error)
    if words == "unknown pixel mode":
        return "an unusual number of channels, of bits or of colours"
    return words if _UNSUPPORTED.search(words) else ""


# What Pillow's readers say of files that are whole, but of a kind that they do not know.
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|cannot handle|unknown (pixel mode|compression|data organization)",
    re.IGNORECASE,
)
