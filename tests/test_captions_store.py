"""Photos decoded once: the same batches as from files, varied by the same draws."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from captioner.captions.batches import BatchReader
from captioner.captions.store import PhotoStore, show_all
from captioner.datasets import Photo
from captioner.errors import DataError
from captioner.pictures.augment import View
from captioner.pictures.preprocess import Preprocess
from captioner.recipes.photos import AugmentConfig
from captioner.text import Vocabulary

SIDE, PHOTOS = 64, 11
CHANGES = AugmentConfig(flip=True, crop=0.5, jitter=0.3)
CPU = torch.device("cpu")


@pytest.fixture
def reader(tmp_path: Path) -> BatchReader:
    return reader_of(tmp_path)


def reader_of(folder: Path, lost: int | None = None) -> BatchReader:
    photos = []
    yy, xx = np.mgrid[0:90, 0:120]
    for number in range(PHOTOS):
        path = folder / f"{number}.png"
        waves = [np.sin((number + 2 + c) * xx / 40 + c * yy / 30) for c in range(3)]
        pixels = (127.5 + 120 * np.stack(waves, -1)).astype(np.uint8)
        if number != lost:
            Image.fromarray(pixels).save(path)
        side = "a dog on the left" if number % 3 == 0 else "a dog runs"
        photos.append(Photo(f"{number}", path, (side, "the dog")))
    vocabulary = Vocabulary.build([c for p in photos for c in p.captions])
    return BatchReader(
        photos, vocabulary, Preprocess(SIDE), batch_size=4, seed=3, max_words=9, workers=2
    )


def test_a_store_gives_the_batches_that_files_give(reader: BatchReader) -> None:
    store = PhotoStore.filled(reader, CPU)
    for epoch in (0, 1):
        stored = list(reader.read_stored(store, epoch))
        read = list(reader.read(epoch))
        assert len(stored) == len(read) == 3
        for one, other in zip(stored, read, strict=True):
            for name in ("photos", "inputs", "targets", "lengths", "owners", "numbers"):
                assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_varied_photos_are_those_from_files_but_for_rounding(reader: BatchReader) -> None:
    store = PhotoStore.filled(reader, CPU)
    plain = torch.cat([batch.photos for batch in reader.read(0)]).float()
    stored = torch.cat([batch.photos for batch in reader.read_stored(store, 0, 0, CHANGES)])
    read = torch.cat([batch.photos for batch in reader.read(0, 0, CHANGES)])
    apart = (stored.float() - read.float()).abs()
    assert float((read.float() - plain).abs().mean()) > 20  # much was changed
    assert float(apart.mean()) < 1
    assert float((apart <= 3).float().mean()) > 0.99


def test_reading_goes_on_from_any_step(reader: BatchReader) -> None:
    store = PhotoStore.filled(reader, CPU)
    whole = list(reader.read_stored(store, 2, 0, CHANGES))
    rest = list(reader.read_stored(store, 2, 1, CHANGES))
    assert len(rest) == len(whole) - 1
    for one, other in zip(rest, whole[1:], strict=True):
        assert torch.equal(one.photos, other.photos)
        assert torch.equal(one.targets, other.targets)


def test_a_lost_photo_is_left_out_and_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reader = reader_of(tmp_path, lost=5)
    with caplog.at_level(logging.WARNING):
        store = PhotoStore.filled(reader, CPU)
        batches = [batch for epoch in (0, 1) for batch in reader.read_stored(store, epoch)]
    assert store.missing == {5}
    assert sum("5.png" in message for message in caplog.messages) == 1
    assert all(5 not in batch.numbers for batch in batches)
    assert sum(len(batch.numbers) for batch in batches) == 2 * (PHOTOS - 1)


def test_without_any_photo_nothing_is_trained(tmp_path: Path) -> None:
    reader = reader_of(tmp_path)
    store = PhotoStore(torch.zeros(PHOTOS, 3, SIDE, SIDE), frozenset(range(PHOTOS)))
    with pytest.raises(DataError, match="none of 11 photos can be read"):
        next(reader.read_stored(store, 0))


def test_varying_shows_the_view() -> None:
    # Each half of the photo has its own grey: what is shown can be told by eye.
    photo = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    photo[..., 4:] = 200
    right = show_all(photo, [View(left=0.5)])
    assert torch.equal(right[..., 1:], torch.full((1, 3, 8, 7), 200, dtype=torch.uint8))
    mirrored = show_all(photo, [View(mirrored=True)])
    assert torch.equal(mirrored, photo.flip(-1))
    darker = show_all(photo, [View(brightness=0.5)])
    assert torch.equal(darker, photo // 2)
    grey = show_all(photo, [View(contrast=0.0)])
    assert torch.equal(grey, torch.full_like(photo, 100))
