"""Sentence pairs with their photos: files in, batches with a frozen CNN's grids out.

Shapes: B pairs, P photos, h×w×C a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from captioner.errors import DataError
from captioner.multimodal.recipe import SeenSource
from captioner.translations.pairs import (
    Pair,
    PairBatch,
    PairReader,
    chosen,
    read_lines,
    read_texts,
)


@dataclass(frozen=True)
class SeenPair(Pair):
    """A sentence and its translation, and the photo that they are about."""

    path: Path


def read_seen_pairs(source: SeenSource) -> list[SeenPair]:
    """Reads one set of sentence pairs with their photos, as `read_pairs` reads those without.

    Raises:
        DataError: as there, or the photos' names are fewer or more than the lines, or one is empty.
    """
    lines, names = read_lines(source), [name.strip() for name in read_texts(source.photos)]
    texts = source.tsv or source.source
    if len(names) != len(lines):
        raise DataError(
            f"{source.photos} has {len(names):,} lines and {texts} {len(lines):,}: line n of one "
            "must name the photo of line n of the other; get them from one data set"
        )
    if "" in names:
        raise DataError(f"{source.photos}: line {names.index('') + 1} names no photo")
    folder = Path(source.images)
    if not (folder / names[0]).is_file():
        raise DataError(
            f"{folder / names[0]}: no such photo, which {source.photos} names first; is the images "
            "folder right?"
        )
    seen = [
        SeenPair(**asdict(line), path=folder / name)
        for line, name in zip(lines, names, strict=True)
    ]
    return chosen(seen, source)


@dataclass(frozen=True)
class SeenBatch(PairBatch):
    """Sentence pairs of similar lengths with what was seen of their photos."""

    grids: Tensor  # float16 (B, h, w, C)
    there: Tensor  # (B,) bool, False where the photo cannot be read


@dataclass(frozen=True)
class PhotoFile:
    """A photo that lies in a file."""

    path: Path


def photos_of(pairs: Sequence[Any]) -> list[PhotoFile]:
    """The photos of seen pairs, each once, in their order."""
    return [PhotoFile(path) for path in dict.fromkeys(pair.path for pair in pairs)]


class SeenReader(PairReader):
    """Batches of sentence pairs, as a translator's, with the grids of their photos."""

    pairs: list[SeenPair]  # type: ignore[assignment]
    grids: NDArray[np.float16] | None = None  # (P, h, w, C) of `photos`, nan where unreadable

    def __init__(self, sets: Sequence[Sequence[SeenPair]], *arguments: Any, **settings: Any):
        super().__init__(sets, *arguments, **settings)
        self.photos = photos_of(self.pairs)
        self._numbers = {photo.path: number for number, photo in enumerate(self.photos)}

    def _batch(self, pairs: Sequence[Pair]) -> SeenBatch:
        assert self.grids is not None, "the photos are seen before a phase begins"
        numbers = [self._numbers[pair.path] for pair in pairs if isinstance(pair, SeenPair)]
        grids = np.asarray(self.grids[numbers])
        there = ~np.isnan(grids[:, 0, 0, 0])
        grids[~there] = 0
        return SeenBatch(
            **vars(super()._batch(pairs)),
            grids=torch.from_numpy(grids),
            there=torch.from_numpy(there),
        )
