"""What scripts that prepare data share: whether a folder is theirs to write, and how they end."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from captioner.errors import CaptionerError, DataError


def told(work: Callable[[], str]) -> int:
    """Prints what a script's work has to say, or why there is nothing.

    Args:
        work: begins at the beginning, each time.

    Returns:
        The exit code: 0, 1 after an error, 130 after an interrupt.
    """
    try:
        print(work())
    except (CaptionerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command begins again", file=sys.stderr)
        return 130
    return 0


def require_ours(output: Path, name: str) -> None:
    """Refuses a folder that something else has filled.

    Args:
        output: with a manifest.json that names its data set, if the script made it.
        name: of the data set.

    Raises:
        DataError: there is something else.
    """
    manifest = output / "manifest.json"
    try:
        if (
            manifest.exists()
            and json.loads(manifest.read_text(encoding="utf-8"))["data_set"] == name
        ):
            return
        empty = not output.exists() or (output.is_dir() and not any(output.iterdir()))
    except (ValueError, KeyError, TypeError):
        empty = False
    if not empty:
        raise DataError(f"{output}: there is something else there; name a new folder")
