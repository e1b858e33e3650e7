"""Captioned photos as batches: pictures read ahead by threads, or a frozen CNN's grids from disk.

Shapes: B photos, K captions of them all, T words, S the square's side, h×w×C a grid.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from captioner.config import AugmentConfig
from captioner.datasets import Photo
from captioner.errors import DataError, ImageError
from captioner.images import Preprocess, augment, open_photo
from captioner.nn.encoders import ImageEncoder, fold_batch_norm, normalise
from captioner.text import BOS, EOS, Vocabulary, tokenise

_LOG = logging.getLogger(__name__)
_SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Batch:
    """Photos with all their captions, as a training step takes them."""

    photos: Tensor  # uint8 (B, 3, S, S), or float16 grids (B, h, w, C) from a cache
    inputs: Tensor  # (K, T) previous words, each sentence from the start token on
    targets: Tensor  # (K, T) the words to say, each sentence up to its end token
    lengths: Tensor  # (K,) words and the end, on the CPU
    owners: Tensor  # (K,) which of the photos a caption is about

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`; the lengths stay, as packing wants them on the CPU."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self)}
        return replace(self, **{**moved, "lengths": self.lengths})


class BatchReader:
    """Batches of a split in an order that depends on seed and epoch alone."""

    def __init__(
        self,
        photos: Sequence[Photo],
        vocabulary: Vocabulary,
        preprocess: Preprocess,
        *,
        batch_size: int,
        seed: int,
        max_words: int,
        workers: int = 2,
    ) -> None:
        self.photos = list(photos)
        self.preprocess = preprocess
        self.batch_size = batch_size
        self.seed = seed
        self.workers = workers
        self.sentences = [
            [vocabulary.encode(tokenise(caption)[:max_words]) for caption in photo.captions]
            for photo in self.photos
        ]
        self._skipped: set[int] = set()

    def __len__(self) -> int:
        """Steps an epoch."""
        return -(-len(self.photos) // self.batch_size)

    def read(
        self,
        epoch: int,
        first_step: int = 0,
        changes: AugmentConfig | None = None,
        grids: NDArray[np.float16] | None = None,
    ) -> Iterator[Batch]:
        """The batches of an epoch, from step `first_step` on.

        A photo that cannot be read is left out and named once.

        Args:
            epoch: decides the order and the augmentation, together with the seed.
            first_step: steps to skip without reading their photos.
            changes: augmentation of the pictures.
            grids: (P, h, w, C), read instead of the pictures.

        Raises:
            DataError: no photo of a whole batch can be read.
        """
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.photos))
        starts = range(first_step * self.batch_size, len(order), self.batch_size)
        batches = [order[start : start + self.batch_size] for start in starts]

        def picture(number: int) -> NDArray[np.generic] | ImageError:
            if grids is not None:
                return grids[number]
            return self._picture(number, epoch, changes)

        with ThreadPoolExecutor(self.workers) as pool:
            waiting: list[tuple[NDArray[np.int64], list[Future[NDArray[np.generic] | ImageError]]]]
            waiting = []
            try:
                for ahead in range(len(batches) + 2):
                    if ahead < len(batches):
                        numbers = batches[ahead]
                        waiting.append((numbers, [pool.submit(picture, n) for n in numbers]))
                    if ahead >= 2:
                        numbers, futures = waiting.pop(0)
                        yield self._batch(numbers, [future.result() for future in futures])
            finally:
                for _, futures in waiting:
                    for future in futures:
                        future.cancel()

    def _picture(
        self, number: int, epoch: int, changes: AugmentConfig | None
    ) -> NDArray[np.uint8] | ImageError:
        photo = self.photos[number]
        try:
            pixels = self.preprocess.pixels(open_photo(photo.path, side=self.preprocess.size))
        except ImageError as error:
            return error
        if changes is None or not changes.active:
            return pixels
        one_sided = any(_SIDES.search(caption) for caption in photo.captions)
        rng = np.random.default_rng((self.seed, epoch, number))
        return augment(pixels, changes, rng, flip_allowed=not one_sided)

    def _batch(
        self, numbers: NDArray[np.int64], pictures: Sequence[NDArray[np.generic] | ImageError]
    ) -> Batch:
        kept, arrays = [], []
        for number, array in zip(numbers.tolist(), pictures, strict=True):
            if isinstance(array, ImageError):
                if number not in self._skipped:
                    _LOG.warning("left out: %s", array)
                    self._skipped.add(number)
                continue
            kept.append(number)
            arrays.append(array)
        if not kept:
            raise DataError(
                f"none of {len(numbers)} photos in a row can be read, first "
                f"{self.photos[numbers[0]].path}; is the images folder right? `captioner data check` tells what is wrong"
            )
        sentences = [sentence for number in kept for sentence in self.sentences[number]]
        counts = torch.tensor([len(self.sentences[number]) for number in kept])
        return Batch(
            photos=torch.from_numpy(np.stack(arrays)),
            inputs=_padded([[BOS, *sentence] for sentence in sentences]),
            targets=_padded([[*sentence, EOS] for sentence in sentences]),
            lengths=torch.tensor([len(sentence) + 1 for sentence in sentences]),
            owners=torch.arange(len(kept)).repeat_interleave(counts),
        )


def _padded(sentences: list[list[int]]) -> Tensor:
    return pad_sequence([torch.tensor(sentence) for sentence in sentences], batch_first=True)


def fingerprint(encoder: ImageEncoder, preprocess: Preprocess, photos: Sequence[Photo]) -> str:
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
        except OSError:
            digest.update(f"{photo.path.name} missing\n".encode())
    return digest.hexdigest()[:24]


@torch.inference_mode()
def cache_grids(
    encoder: ImageEncoder,
    preprocess: Preprocess,
    photos: Sequence[Photo],
    folder: Path,
    *,
    device: torch.device,
    batch_size: int = 32,
    workers: int = 2,
    progress: Callable[[int], object] = lambda photos: None,
) -> NDArray[np.float16]:
    """The frozen CNN's grids (P, h, w, C) of all photos, memory-mapped from `folder`.

    What an earlier call computed, even one that was interrupted, is not computed again. A photo
    that cannot be read has a grid of zeros and a warning.

    Raises:
        DataError: the disk has too little room.
    """
    name = fingerprint(encoder, preprocess, photos)
    path, partial, count = (folder / f"{name}{end}" for end in (".npy", ".partial.npy", ".count"))
    if path.exists():
        return np.load(path, mmap_mode="r", allow_pickle=False)
    folder.mkdir(parents=True, exist_ok=True)
    done = int(count.read_text()) if count.exists() and partial.exists() else 0
    if done:
        grids = np.lib.format.open_memmap(partial, mode="r+")
    else:
        probe = torch.zeros(1, 3, preprocess.size, preprocess.size, device=device)
        shape = (len(photos), *encoder.grid(probe).shape[1:])
        _check_room(folder, 2 * int(np.prod(shape)))
        grids = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)

    def pixels(photo: Photo) -> NDArray[np.uint8]:
        try:
            return preprocess.pixels(open_photo(photo.path, side=preprocess.size))
        except ImageError as error:
            _LOG.warning("left out: %s", error)
            return np.zeros((3, preprocess.size, preprocess.size), np.uint8)

    quick = copy.deepcopy(encoder)
    quick.features = fold_batch_norm(encoder.features)
    progress(done)
    with ThreadPoolExecutor(workers) as pool:
        for start in range(done, len(photos), batch_size):
            batch = np.stack(list(pool.map(pixels, photos[start : start + batch_size])))
            pictures = torch.from_numpy(batch).to(device)
            grid = quick.grid(normalise(pictures, preprocess.mean, preprocess.std))
            grids[start : start + len(batch)] = grid.half().cpu().numpy()
            progress(len(batch))
            if start // batch_size % 32 == 31:
                grids.flush()
                count.write_text(str(start + len(batch)))
    grids.flush()
    partial.replace(path)
    count.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + 2**28:
        raise DataError(
            f"{folder}: the feature cache takes {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are "
            "free; make room, choose another output folder, or set cache_features = false"
        )
