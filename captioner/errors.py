"""The errors that people see: one line each, saying what came, what was expected and what to do."""

from __future__ import annotations

from typing import Any

_LONGEST = 60  # characters that a message gives to a value


class CaptionerError(Exception):
    """Anything that the person using `captioner` can mend; its text is the whole message."""


class ConfigError(CaptionerError, ValueError):
    """A setting is unknown, out of range, or does not go with another one."""


class ImageError(CaptionerError):
    """A file or object that should be a picture is not one, or cannot be read."""


class DataError(CaptionerError):
    """An annotation file, a split or a folder of photos is not what its format promises."""


class CheckpointError(CaptionerError):
    """A checkpoint is cut short, of another task, from a newer format, or not a checkpoint."""


class MetricError(CaptionerError):
    """A score cannot be computed from what was given, or its tool is not there."""


def shown(value: Any) -> str:
    """What came, for a message: on one line, and short whatever it was."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # whole numbers of more than 4,300 digits, and objects of any kind
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
