"""A frozen CNN's grids of many photos, computed once and read from disk afterwards.

Shapes: P photos, h×w×C a grid.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from captioner.atomic import FULL, naming
from captioner.errors import DataError, ImageError
from captioner.nn.encoders import ImageEncoder, fold_batch_norm, normalise
from captioner.pictures.open import open_photo
from captioner.pictures.preprocess import Preprocess

_GRIDS = re.compile(r"[0-9a-f]{24}(\.npy|\.partial\.npy|\.count)")  # what `cache_grids` writes
_Grids = np.memmap[Any, np.dtype[np.float16]]


class OfFile(Protocol):
    """A photo that lies in a file."""

    @property
    def path(self) -> Path:
        """Where."""


def read_pixels(photo: OfFile, preprocess: Preprocess) -> NDArray[np.uint8] | ImageError:
    """What the model sees of a photo, or why it sees nothing: that alone ends no training."""
    try:
        return preprocess.pixels(open_photo(photo.path, side=preprocess.size))
    except ImageError as error:
        return error
    except MemoryError:
        return ImageError(f"{photo.path}: too little memory; make it smaller")


def fingerprint(encoder: ImageEncoder, preprocess: Preprocess, photos: Sequence[OfFile]) -> str:
    """What a frozen CNN's grids depend on: its weights, the preprocessing, and the photo files."""
    digest = hashlib.sha256(json.dumps(preprocess.to_dict(), sort_keys=True).encode())
    # The layers' settings tell stride 16 from stride 32, which share their weights.
    digest.update(str(encoder.features).encode())
    for name, value in encoder.features.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().numpy().tobytes())
    for photo in photos:
        try:
            status = photo.path.stat()
            digest.update(f"{photo.path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
        except (OSError, ValueError):  # ValueError: a null character in the path
            digest.update(f"{photo.path.name} missing\n".encode(errors="replace"))
    return digest.hexdigest()[:24]


@torch.inference_mode()
def cache_grids(
    encoder: ImageEncoder,
    preprocess: Preprocess,
    photos: Sequence[OfFile],
    folder: Path,
    *,
    device: torch.device,
    batch_size: int = 32,
    workers: int = 2,
    progress: Callable[[int], object] = lambda photos: None,
) -> NDArray[np.float16]:
    """The frozen CNN's grids (P, h, w, C) of all photos, memory-mapped from `folder`.

    What an earlier call computed, even one that was interrupted, is not computed again. A photo
    that cannot be read has a grid of nan, by which readers of batches know it.

    Raises:
        DataError: the disk has too little room.
        OSError: it has none for this user.
    """
    name = fingerprint(encoder, preprocess, photos)
    path, partial, count = (folder / f"{name}{end}" for end in (".npy", ".partial.npy", ".count"))
    probe = torch.zeros(1, 3, preprocess.size, preprocess.size, device=device)
    shape = (len(photos), *encoder.grid(probe).shape[1:])
    finished = _opened(path, shape, "r")
    if finished is not None:
        return finished
    folder.mkdir(parents=True, exist_ok=True)
    done, grids = _number(count), _opened(partial, shape, "r+")
    if grids is None or not 0 <= done <= len(photos):
        _check_room(folder, 2 * math.prod(shape))
        done, grids = 0, np.lib.format.open_memmap(partial, "w+", np.float16, shape)
        _reserve(partial)

    def pixels(photo: OfFile) -> NDArray[np.uint8] | None:
        found = read_pixels(photo, preprocess)
        return None if isinstance(found, ImageError) else found

    quick = copy.deepcopy(encoder)
    quick.features = fold_batch_norm(encoder.features)
    progress(done)
    with ThreadPoolExecutor(workers) as pool:
        for start in range(done, len(photos), batch_size):
            found = list(pool.map(pixels, photos[start : start + batch_size]))
            blank = np.zeros((3, preprocess.size, preprocess.size), np.uint8)
            batch = np.stack([blank if picture is None else picture for picture in found])
            pictures = torch.from_numpy(batch).to(device)
            grid = quick.grid(normalise(pictures, preprocess.mean, preprocess.std))
            grid[[picture is None for picture in found]] = torch.nan
            grids[start : start + len(found)] = grid.half().cpu().numpy()
            grids.flush()  # the number must not reach the disk before what it counts
            with naming(count):
                count.write_text(str(start + len(found)))
            progress(len(found))
    partial.replace(path)
    count.unlink(missing_ok=True)
    return np.lib.format.open_memmap(path, "r")


def clear_grids(folder: Path) -> None:
    """Deletes what `cache_grids` wrote, and the folder if nothing else lies in it."""
    with contextlib.suppress(OSError):  # no folder, not empty, or a file that is still open
        for path in folder.iterdir():
            if _GRIDS.fullmatch(path.name):
                path.unlink()
        folder.rmdir()


def _opened(path: Path, shape: tuple[int, ...], mode: str) -> _Grids | None:
    """The grids in a file; None without one, or with one that is damaged."""
    try:
        grids = np.lib.format.open_memmap(path, mode)
    except (OSError, ValueError):
        return None
    return grids if grids.shape == shape and grids.dtype == np.float16 else None


def _number(path: Path) -> int:
    """The number in a file; 0 without one, or with one that was being written."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _reserve(path: Path) -> None:
    """Takes the whole length of a file on the disk: mapped memory without room ends the process."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        with naming(path), path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        if error.errno in FULL:  # others: a file system that cannot say so beforehand
            path.unlink()
            raise


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + 2**28:
        raise DataError(
            f"{folder}: the feature cache takes {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are "
            "free; make room, choose another output folder, or set cache_features = false"
        )
