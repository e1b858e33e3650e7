"""Errors as visitors may read them."""

from __future__ import annotations

import re
from pathlib import Path

from captioner.errors import CaptionerError

LONGEST_MESSAGE = 500  # characters


def public_message(error: CaptionerError, *paths: str | None) -> str:
    """An error's one line without the server's own folders, never longer than a few lines."""
    message = str(error)
    for path in filter(None, paths):
        message = message.replace(str(path), Path(str(path)).name)
    message = re.sub(r"\s*[\r\n]\s*", " ", message)
    if len(message) <= LONGEST_MESSAGE:
        return message
    half = LONGEST_MESSAGE // 2  # what came is in the middle, what to do at the end
    return f"{message[:half]}…{message[-half:]}"
