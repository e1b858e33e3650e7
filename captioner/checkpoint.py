"""Checkpoints: one safetensors file that holds a model and explains itself.

    from captioner.checkpoint import default_path, describe, load

The file format is `storage`'s; what the checkpoints of a task hold is said in that task's room.
"""

from __future__ import annotations

import os
from typing import Any

import torch

from captioner import storage, tasks
from captioner.captions.checkpoint import Checkpoint, save_confidence
from captioner.errors import CheckpointError
from captioner.storage import FORMAT, Stored, default_path, save, save_scores
from captioner.tasks import CAPTION, TRANSLATE
from captioner.translations.checkpoint import TranslationCheckpoint

__all__ = [
    "CAPTION",
    "FORMAT",
    "TRANSLATE",
    "Checkpoint",
    "CheckpointError",
    "Stored",
    "TranslationCheckpoint",
    "default_path",
    "describe",
    "load",
    "load_any",
    "load_translation",
    "save",
    "save_confidence",
    "save_scores",
]


def load(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Checkpoint:
    """Reads a captioner's checkpoint; the model comes back in evaluation mode, in float32.

    Raises:
        ConfigError: the device cannot be used.
        CheckpointError: the file is missing, cut short, damaged, no checkpoint, of another task, or
            from a newer format; the message says which and what to do.
    """
    return Checkpoint.load(storage.checked_path(path), device)


def load_translation(
    path: str | os.PathLike[str], device: str | torch.device = "cpu"
) -> TranslationCheckpoint:
    """Reads a translator's checkpoint; the model comes back in evaluation mode, in float32.

    Raises:
        ConfigError, CheckpointError: as `load`.
    """
    return TranslationCheckpoint.load(storage.checked_path(path), device)


def load_any(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Stored:
    """Reads a checkpoint of whichever task its file names, as `load` does.

    Raises:
        ConfigError, CheckpointError: as `load`.
    """
    return _kind(describe(path)).load(path, device)


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a checkpoint says of itself, without building the model.

    Besides the header: `file`, `bytes`, `parameters`.

    Raises:
        CheckpointError: as `load`.
    """
    path = storage.checked_path(path)
    kinds = [task.checkpoint() for task in tasks.TASKS.values()]
    header, _ = storage.read(path, kinds, with_tensors=False)
    with storage.consistent(path):
        _kind(header).check_header(header)
    return {"file": str(path), "bytes": path.stat().st_size, **header}


def _kind(header: dict[str, Any]) -> type[Stored]:
    return tasks.TASKS[header["task"]].checkpoint()
