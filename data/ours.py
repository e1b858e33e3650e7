"""Whether a folder may be written to: it is new, or the same script made it."""

from __future__ import annotations

import json
from pathlib import Path

from captioner.errors import DataError


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
