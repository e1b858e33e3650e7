"""Captioned photos as batches: pictures read ahead by threads, or a frozen CNN's grids from disk.

Shapes: B photos, K captions of them all, T words, R mentions of things with boxes, N grid cells, S
the square's side, h×w×D a grid.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from captioner.boxes import Box, Things, covered, naming
from captioner.datasets import Photo
from captioner.errors import DataError, ImageError
from captioner.grids import read_pixels
from captioner.pictures.augment import View
from captioner.pictures.preprocess import Preprocess
from captioner.pipeline import share_of
from captioner.recipes.photos import AugmentConfig
from captioner.text import BOS, EOS, Vocabulary, tokenise

_LOG = logging.getLogger(__name__)
_TRIES = 100  # photos in a row that cannot be read, from which on none is expected to be
_SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)


class Store(Protocol):
    """Pictures that are decoded already."""

    missing: frozenset[int]  # photos that cannot be read

    def batch(self, numbers: Tensor, views: Sequence[View]) -> Tensor:
        """Photos `numbers` (B,) in their views: uint8 (B, 3, S, S)."""
        ...


@dataclass(frozen=True)
class Batch:
    """Photos with all their captions, as a training step takes them."""

    photos: Tensor  # uint8 (B, 3, S, S), or float16 grids (B, h, w, D) from a cache
    inputs: Tensor  # (K, T) previous words, each sentence from the start token on
    targets: Tensor  # (K, T) the words to say, each sentence up to its end token
    lengths: Tensor  # (K,) words and the end, on the CPU
    owners: Tensor  # (K,) which of the photos a caption is about, on the CPU
    numbers: Tensor  # (B,) of the photos among the reader's
    mentions: Tensor  # (R, 2) caption and place of each word that names something with a box
    regions: Tensor  # (R, N) the share of each grid cell that lies in its boxes

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`, but for what packing and judging want on the CPU."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self)}
        stay = {name: getattr(self, name) for name in ("lengths", "owners", "numbers")}
        return replace(self, **{**moved, **stay})


@dataclass(frozen=True)
class _Seen:
    """What a batch holds of a photo."""

    number: int  # of it among the reader's
    pixels: NDArray[np.generic]  # or its grid from a cache
    view: View  # of the photo that the pixels show


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
        things: Mapping[str, Things] | None = None,
        grid: tuple[int, int] = (1, 1),
    ) -> None:
        """Takes what the batches are made of.

        Args:
            photos: with their captions.
            vocabulary: numbers the words.
            preprocess: makes pixels of the photos.
            batch_size: photos in a batch.
            seed: of the order and the augmentation.
            max_words: longer captions are cut.
            workers: threads that read photos.
            things: boxes by photo id and kind, for the batches' `mentions` and `regions`.
            grid: cells of a region, (h, w).
        """
        self.preprocess = preprocess
        self.batch_size = batch_size
        self.seed = seed
        self.workers = workers
        self.part = (0, 1)  # of each batch: this process's number, and how many share it
        self.photos: list[Photo] = []  # those with a caption that has a word
        self.sentences: list[list[list[int]]] = []  # of each photo
        self.grid = grid
        things = things or {}
        kinds_of = naming({kind for own in things.values() for kind in own})
        self._named: list[list[tuple[int, int, list[Box]]]] = []  # caption, place, boxes
        for photo in photos:
            sentences = [words for caption in photo.captions if (words := tokenise(caption))]
            if sentences:
                self.photos.append(photo)
                self.sentences.append([vocabulary.encode(words[:max_words]) for words in sentences])
                own = things.get(photo.photo_id, {})
                self._named.append(
                    [
                        (row, place, boxes)
                        for row, words in enumerate(sentences if own else [])
                        for place, word in enumerate(words[:max_words])
                        if (boxes := [box for kind in kinds_of(word) for box in own.get(kind, ())])
                    ]
                )
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
            grids: (P, h, w, D), read instead of the pictures.

        Raises:
            DataError: none of the epoch's first photos can be read.
        """
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.photos))
        starts = range(first_step * self.batch_size, len(order), self.batch_size)
        batches = [
            np.array(share_of(order[start : start + self.batch_size].tolist(), self.part))
            for start in starts
        ]

        def look(number: int) -> _Seen | ImageError:
            if grids is None:
                return self._look(number, epoch, changes)
            if np.isnan(grids[number].flat[0]):
                path = self.photos[number].path
                return ImageError(f"{path}: could not be read when its features were computed")
            return _Seen(number, grids[number], View())

        with ThreadPoolExecutor(self.workers) as pool:
            waiting: list[tuple[NDArray[np.int64], list[Future[_Seen | ImageError]]]] = []
            try:
                for ahead in range(len(batches) + 2):
                    if ahead < len(batches):
                        numbers = batches[ahead]
                        waiting.append((numbers, [pool.submit(look, n) for n in numbers.tolist()]))
                    if ahead >= 2:
                        numbers, futures = waiting.pop(0)
                        kept = self._readable(numbers, [future.result() for future in futures])
                        # Steps are counted, for a resume to find its place: each needs a photo.
                        kept = kept or self._first_readable(order, look)
                        yield self._batch(kept)
            finally:
                for _, futures in waiting:
                    for future in futures:
                        future.cancel()

    def read_stored(
        self, store: Store, epoch: int, first_step: int = 0, changes: AugmentConfig | None = None
    ) -> Iterator[Batch]:
        """The batches of an epoch, as `read` gives them, with pictures from a store.

        Args:
            store: of this reader's photos.
            epoch: decides the order and the augmentation, together with the seed.
            first_step: steps to skip.
            changes: augmentation of the pictures.

        Raises:
            DataError: none of the photos can be read.
        """
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.photos))
        starts = range(first_step * self.batch_size, len(order), self.batch_size)
        batches = [
            list(share_of(order[start : start + self.batch_size].tolist(), self.part))
            for start in starts
        ]
        standing_in = [number for number in order.tolist() if number not in store.missing][:1]
        if not standing_in:
            raise DataError(_none_readable(len(order), self.photos[order[0]]))

        def prepared(numbers: list[int]) -> tuple[Batch, list[View]]:
            kept = [number for number in numbers if number not in store.missing] or standing_in
            views = [self._view(number, epoch, changes) for number in kept]
            return self._texts(kept, views), views

        with ThreadPoolExecutor(1) as pool:
            waiting: deque[Future[tuple[Batch, list[View]]]] = deque()
            try:
                for ahead in range(len(batches) + 2):
                    if ahead < len(batches):
                        waiting.append(pool.submit(prepared, batches[ahead]))
                    if ahead >= 2:
                        batch, views = waiting.popleft().result()
                        yield replace(batch, photos=store.batch(batch.numbers, views))
            finally:
                for future in waiting:
                    future.cancel()

    def pixels(self, number: int) -> NDArray[np.uint8] | ImageError:
        """Photo `number` as the network takes it, uint8 (3, S, S), or why there is none."""
        pixels = read_pixels(self.photos[number], self.preprocess)
        if isinstance(pixels, ImageError) and number not in self._skipped:
            _LOG.warning("left out: %s", pixels)
            self._skipped.add(number)
        return pixels

    def _look(self, number: int, epoch: int, changes: AugmentConfig | None) -> _Seen | ImageError:
        """A photo, in a view of its own where photos are varied."""
        pixels = read_pixels(self.photos[number], self.preprocess)
        if isinstance(pixels, ImageError):
            return pixels
        view = self._view(number, epoch, changes)
        return _Seen(number, pixels if view == View() else view.show(pixels), view)

    def _view(self, number: int, epoch: int, changes: AugmentConfig | None) -> View:
        """How an epoch shows a photo."""
        if changes is None or not changes.active:
            return View()
        rng = np.random.default_rng((self.seed, epoch, number))
        return View.draw(changes, rng, self._may_flip(number))

    def _may_flip(self, number: int) -> bool:
        return not any(_SIDES.search(caption) for caption in self.photos[number].captions)

    def _readable(
        self, numbers: NDArray[np.int64], looks: Sequence[_Seen | ImageError]
    ) -> list[_Seen]:
        """The photos that can be seen; the others are named once."""
        kept = []
        for number, seen in zip(numbers.tolist(), looks, strict=True):
            if not isinstance(seen, ImageError):
                kept.append(seen)
            elif number not in self._skipped:
                _LOG.warning("left out: %s", seen)
                self._skipped.add(number)
        return kept

    def _first_readable(
        self, order: NDArray[np.int64], look: Callable[[int], _Seen | ImageError]
    ) -> list[_Seen]:
        """The first photo of an epoch, to stand in for a whole batch that cannot be read."""
        for place in range(min(_TRIES, len(order))):
            if kept := self._readable(order[place : place + 1], [look(int(order[place]))]):
                return kept
        raise DataError(_none_readable(min(_TRIES, len(order)), self.photos[order[0]]))

    def _batch(self, kept: Sequence[_Seen]) -> Batch:
        texts = self._texts([seen.number for seen in kept], [seen.view for seen in kept])
        return replace(texts, photos=torch.from_numpy(np.stack([seen.pixels for seen in kept])))

    def _texts(self, numbers: Sequence[int], views: Sequence[View]) -> Batch:
        """A batch without its pictures."""
        sentences = [sentence for number in numbers for sentence in self.sentences[number]]
        counts = torch.tensor([len(self.sentences[number]) for number in numbers])
        mentions, regions = self._regions(numbers, views)
        return Batch(
            photos=torch.empty(0, dtype=torch.uint8),
            inputs=_padded([[BOS, *sentence] for sentence in sentences]),
            targets=_padded([[*sentence, EOS] for sentence in sentences]),
            lengths=torch.tensor([len(sentence) + 1 for sentence in sentences]),
            owners=torch.arange(len(numbers)).repeat_interleave(counts),
            numbers=torch.tensor(numbers),
            mentions=mentions,
            regions=regions,
        )

    def _regions(self, numbers: Sequence[int], views: Sequence[View]) -> tuple[Tensor, Tensor]:
        """A batch's `mentions` (R, 2) and `regions` (R, N), where its pixels show them."""
        mentions: list[tuple[int, int]] = []
        regions: list[NDArray[np.float32]] = []
        first = 0  # caption of the photo
        for number, view in zip(numbers, views, strict=True):
            for row, place, boxes in self._named[number]:
                placed = [box for entry in boxes if (box := view.place(entry)) is not None]
                region = covered(placed, self.grid).ravel()
                if region.any():  # what lies outside, or is too thin to be seen, teaches nothing
                    mentions.append((first + row, place))
                    regions.append(region)
            first += len(self.sentences[number])
        cells = self.grid[0] * self.grid[1]
        return (
            torch.tensor(mentions, dtype=torch.long).reshape(-1, 2),
            torch.from_numpy(np.array(regions, np.float32).reshape(-1, cells)),
        )


def _none_readable(tried: int, first: Photo) -> str:
    return (
        f"none of {tried} photos can be read, first {first.path}; is the images folder right? "
        "`captioner data check` tells what is wrong"
    )


def _padded(sentences: list[list[int]]) -> Tensor:
    return pad_sequence([torch.tensor(sentence) for sentence in sentences], batch_first=True)
