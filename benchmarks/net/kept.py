"""The file that `keep` writes: JSON and arrays in one .npz, of which nothing is unpickled."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioner.atomic import whole

FORMAT = 1
_TEXT = "json"  # the name of the array that holds it


@dataclass
class Kept:
    """What was kept of one code."""

    about: dict[str, Any] = field(default_factory=dict)  # which code, with which inputs
    parts: dict[str, Any] = field(default_factory=dict)  # plain values, by part
    looks: dict[str, NDArray[np.float32]] = field(default_factory=dict)  # attention, end to end


def write(kept: Kept, path: Path) -> None:
    """Writes the file, whole or not at all."""
    document = {"format": FORMAT, "about": kept.about, "parts": kept.parts}
    text = np.frombuffer(json.dumps(document, ensure_ascii=False, default=float).encode(), np.uint8)
    with whole(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **{_TEXT: text, **kept.looks})  # type: ignore[arg-type]


def read(path: Path) -> Kept:
    """Reads it again.

    Raises:
        ValueError: `keep` did not write it, or wrote another format.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            document = json.loads(arrays[_TEXT].tobytes())
            looks = {name: arrays[name] for name in arrays.files if name != _TEXT}
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: `keep` did not write this ({error})") from None
    if document["format"] != FORMAT:
        raise ValueError(
            f"{path}: format {document['format']}, expected {FORMAT}; keep it again with this code"
        )
    return Kept(document["about"], document["parts"], looks)
