from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from captioner import grids as gridding
from captioner.captions.batches import Batch, BatchReader
from captioner.datasets import Photo
from captioner.errors import DataError
from captioner.grids import cache_grids, fingerprint
from captioner.nn.encoders import ImageEncoder, build_features, normalise
from captioner.pictures.open import open_photo
from captioner.pictures.preprocess import Preprocess
from captioner.recipes.photos import AugmentConfig
from captioner.text import BOS, EOS, PAD, UNK, Vocabulary, tokenise

SIDE = 32  # of the model's square
CAPTIONS = (
    ("A red dog runs.", "The dog is red.", "A dog"),
    ("Two birds.",),
    ("A man stands to the left of a tree.", "A man"),
    ("A big house with a red door and a very very green garden.", "A house."),
    ("The RIGHT hand.", "A hand.", "Hands", "One hand"),
    ("A boat", "A boat on the water."),
    ("A cat sleeps.",),
)
PREPROCESS = Preprocess(SIDE)
STRONG = AugmentConfig(flip=True, crop=0.5, jitter=0.3)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    """Seven noise pictures of sizes that are distinct primes."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(11)
    found = []
    for number, captions in enumerate(CAPTIONS):
        path = folder / f"{number}.png"
        size = ((41, 37), (53, 59), (61, 43))[number % 3]
        Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8)).save(path)
        found.append(Photo(str(number), path, captions))
    return found


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.build([caption for captions in CAPTIONS for caption in captions])


@pytest.fixture(scope="module")
def encoder() -> ImageEncoder:
    torch.manual_seed(2)
    encoder = ImageEncoder(build_features("mobilenet_v2", 32), "mobilenet_v2", 23)
    for module in encoder.modules():  # as if it had seen photos; new ones fade to zero
        if isinstance(module, torch.nn.BatchNorm2d):
            module.bias.data.uniform_(0.0, 0.5)
    encoder.fine_tune(0)
    return encoder.eval()


def reader(
    photos: list[Photo],
    vocabulary: Vocabulary,
    batch_size: int = 3,
    seed: int = 5,
    words: int = 40,
    **boxes: Any,
) -> BatchReader:
    sizes = {"batch_size": batch_size, "max_words": words}
    return BatchReader(photos, vocabulary, PREPROCESS, seed=seed, **sizes, **boxes)


def same(first: Batch, second: Batch) -> bool:
    return all(
        torch.equal(getattr(first, entry.name), getattr(second, entry.name))
        for entry in fields(Batch)
    )


def all_same(first: Iterator[Batch], second: Iterator[Batch]) -> bool:
    return all(same(a, b) for a, b in zip(first, second, strict=True))


def pixels(photo: Photo) -> torch.Tensor:
    return torch.from_numpy(PREPROCESS.pixels(open_photo(photo.path)))


def whose(picture: torch.Tensor, photos: list[Photo]) -> int:
    known = {n: pixels(photo) for n, photo in enumerate(photos) if photo.path.exists()}
    (number,) = [n for n, own in known.items() if torch.equal(own, picture)]
    return number


def sentences(batch: Batch, vocabulary: Vocabulary) -> list[str]:
    rows = zip(batch.targets, batch.lengths.tolist(), strict=True)
    return [" ".join(vocabulary.decode(row[: length - 1].tolist())) for row, length in rows]


# ---- what is in a batch --------------------------------------------------------------------------


def test_every_caption_comes_once_an_epoch_with_its_own_photo(
    photos: list[Photo], vocabulary: Vocabulary
) -> None:
    read = reader(photos, vocabulary)
    assert len(read) == 3
    found: dict[int, list[str]] = {}
    sizes = []
    for batch in read.read(epoch=0):
        sizes.append(len(batch.photos))
        assert batch.photos.dtype == torch.uint8
        assert batch.photos.shape[1:] == (3, SIDE, SIDE)
        owners = [whose(picture, photos) for picture in batch.photos]
        for owner, text in zip(batch.owners.tolist(), sentences(batch, vocabulary), strict=True):
            found.setdefault(owners[owner], []).append(text)
    assert sizes == [3, 3, 1]
    assert found == {
        number: [" ".join(tokenise(caption)) for caption in captions]
        for number, captions in enumerate(CAPTIONS)
    }


def test_inputs_and_targets_are_one_word_apart_and_padded(
    photos: list[Photo], vocabulary: Vocabulary
) -> None:
    for batch in reader(photos, vocabulary).read(epoch=1):
        assert batch.inputs.shape == batch.targets.shape
        assert batch.inputs.shape[1] == batch.lengths.max()
        for inputs, targets, length in zip(
            batch.inputs, batch.targets, batch.lengths.tolist(), strict=True
        ):
            assert inputs[0] == BOS
            assert targets[length - 1] == EOS
            assert torch.equal(inputs[1:length], targets[: length - 1])
            assert (inputs[length:] == PAD).all()
            assert (targets[length:] == PAD).all()


def test_numbers_tell_which_photos_a_batch_holds(
    photos: list[Photo], vocabulary: Vocabulary
) -> None:
    wordless = Photo("7", photos[0].path, ("!!!",))
    read = reader([wordless, *photos], vocabulary)
    for batch in read.read(epoch=2):
        shown = [whose(picture, photos) for picture in batch.photos]
        assert [int(read.photos[n].photo_id) for n in batch.numbers.tolist()] == shown


def test_long_captions_are_cut_and_rare_words_unknown(photos: list[Photo]) -> None:
    known = Vocabulary(("a", "big", "house"))
    (batch,) = reader(photos[3:4], known, words=5).read(epoch=0)
    a, big, house = known.encode(["a", "big", "house"])
    assert batch.targets[0].tolist() == [a, big, house, UNK, a, EOS]
    assert batch.lengths.tolist() == [6, 3]


def test_captions_without_words_are_left_out(photos: list[Photo], vocabulary: Vocabulary) -> None:
    wordless = Photo("7", photos[0].path, ("!!!", "…"))
    read = reader([wordless, Photo("8", photos[1].path, (".", "A dog")), photos[2]], vocabulary)
    assert [photo.photo_id for photo in read.photos] == ["8", "2"]
    (batch,) = read.read(epoch=0)
    assert sorted(sentences(batch, vocabulary))[:2] == ["a dog", "a man"]
    assert batch.lengths.min() > 1


def test_a_batch_moves_but_its_lengths_owners_and_numbers_stay() -> None:
    batch = Batch(*(torch.zeros(2) for _ in fields(Batch)))
    moved = batch.to(torch.device("meta"))
    stay = ("lengths", "owners", "numbers")
    assert all(getattr(moved, name) is getattr(batch, name) for name in stay)
    others = [getattr(moved, e.name) for e in fields(Batch) if e.name not in stay]
    assert {tensor.device.type for tensor in others} == {"meta"}


# ---- the order -----------------------------------------------------------------------------------


def order(read: BatchReader, epoch: int, photos: list[Photo]) -> list[int]:
    return [whose(picture, photos) for batch in read.read(epoch) for picture in batch.photos]


def test_the_order_depends_on_seed_and_epoch_alone(
    photos: list[Photo], vocabulary: Vocabulary
) -> None:
    first = reader(photos, vocabulary)
    orders = [order(first, epoch, photos) for epoch in range(4)]
    assert [sorted(o) for o in orders] == [list(range(7))] * 4
    assert len({tuple(o) for o in orders}) == 4
    assert order(reader(photos, vocabulary), 2, photos) == orders[2]
    assert order(reader(photos, vocabulary, batch_size=2), 2, photos) == orders[2]
    assert order(reader(photos, vocabulary, seed=6), 2, photos) != orders[2]


@pytest.mark.parametrize("first_step", range(4))
def test_skipped_steps_leave_the_tail(
    first_step: int, photos: list[Photo], vocabulary: Vocabulary
) -> None:
    read = reader(photos, vocabulary)
    whole = list(read.read(3, changes=STRONG))
    assert all_same(iter(whole[first_step:]), read.read(3, first_step, STRONG))


def test_skipped_photos_are_not_opened(
    photos: list[Photo], vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def watch(path: Path, **settings: int) -> Image.Image:
        opened.append(path)
        return open_photo(path, **settings)

    monkeypatch.setattr(gridding, "open_photo", watch)
    list(reader(photos, vocabulary).read(0, first_step=2))
    assert len(opened) == 1


def test_an_abandoned_epoch_stops_reading(
    photos: list[Photo], vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def watch(path: Path, **settings: int) -> Image.Image:
        opened.append(path)
        return open_photo(path, **settings)

    monkeypatch.setattr(gridding, "open_photo", watch)
    stream = reader(photos, vocabulary, batch_size=1).read(0)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert len(opened) <= 3


# ---- augmentation --------------------------------------------------------------------------------


def test_augmentation_is_decided_by_seed_epoch_and_photo(
    photos: list[Photo], vocabulary: Vocabulary
) -> None:
    first, other = reader(photos, vocabulary), reader(photos, vocabulary, batch_size=7)
    assert all_same(
        first.read(0, changes=STRONG), reader(photos, vocabulary).read(0, changes=STRONG)
    )
    parts = torch.cat([batch.photos for batch in first.read(0, changes=STRONG)])
    assert torch.equal(parts, next(other.read(0, changes=STRONG)).photos)
    plain = torch.cat([batch.photos for batch in first.read(0)])
    assert not (parts == plain).flatten(1).all(1).any()


def test_another_epoch_looks_different(photos: list[Photo], vocabulary: Vocabulary) -> None:
    read = reader(photos[:1], vocabulary)
    looks = [next(read.read(epoch, changes=STRONG)).photos for epoch in range(3)]
    assert not torch.equal(looks[0], looks[1])
    assert not torch.equal(looks[1], looks[2])


def test_no_changes_change_nothing(photos: list[Photo], vocabulary: Vocabulary) -> None:
    read = reader(photos, vocabulary)
    assert all_same(read.read(0), read.read(0, changes=AugmentConfig()))


def test_photos_with_sides_are_never_mirrored(photos: list[Photo], vocabulary: Vocabulary) -> None:
    read = reader(photos, vocabulary, batch_size=7)
    mirrored: dict[int, int] = dict.fromkeys(range(7), 0)
    for epoch in range(24):
        numbers = np.random.default_rng((5, epoch)).permutation(7).tolist()
        (batch,) = read.read(epoch, changes=AugmentConfig(flip=True))
        for number, picture in zip(numbers, batch.photos, strict=True):
            upright = pixels(photos[number])
            flipped = torch.equal(picture, upright.flip(-1))
            assert flipped or torch.equal(picture, upright)
            mirrored[number] += flipped
    assert mirrored[2] == 0  # "to the left of"
    assert mirrored[4] == 0  # "RIGHT"
    assert all(4 <= mirrored[number] <= 20 for number in (0, 1, 3, 5, 6))


# ---- where the named things lie ------------------------------------------------------------------

GRID = (3, 5)
THINGS = {
    "0": {"dog": [(0.0, 0.0, 0.4, 1 / 3)], "cat": [(0.5, 0.5, 0.1, 0.1)]},
    "2": {"person": [(0.6, 0.0, 0.2, 1.0)], "tree": [(0.2, 0.0, 0.2, 1.0)]},
    "4": {"hand": [(0.0, 0.0, 0.2, 1 / 3), (0.8, 2 / 3, 0.2, 1 / 3)]},
    "5": {},
    "6": {"dog": [(0.0, 0.0, 1.0, 1.0)]},  # which no caption names
}


def block(rows: slice, columns: slice) -> torch.Tensor:
    region = torch.zeros(GRID)
    region[rows, columns] = 1
    return region.flatten()


DOG, MAN = block(slice(0, 1), slice(0, 2)), block(slice(0, 3), slice(3, 4))
TREE = block(slice(0, 3), slice(1, 2))
HANDS = block(slice(0, 1), slice(0, 1)) + block(slice(2, 3), slice(4, 5))
# of each photo: caption, place of the word, cells
NAMED = {
    0: [(0, 2, DOG), (1, 1, DOG), (2, 1, DOG)],
    2: [(0, 1, MAN), (0, 8, TREE), (1, 1, MAN)],
    4: [(0, 2, HANDS), (1, 1, HANDS), (2, 0, HANDS), (3, 1, HANDS)],
}


def assert_named(batch: Batch, photos: list[int], expected: dict[int, list[Any]]) -> None:
    """The mentions of these photos' captions, in their order, with their cells."""
    first, wanted = 0, []
    for number in photos:
        wanted += [(first + row, place, cells) for row, place, cells in expected.get(number, [])]
        first += len(CAPTIONS[number])
    assert batch.mentions.tolist() == [[row, place] for row, place, _ in wanted]
    assert batch.mentions.dtype == torch.long
    assert batch.regions.dtype == torch.float32
    assert batch.regions.shape == (len(wanted), GRID[0] * GRID[1])
    for found, (*_, cells) in zip(batch.regions, wanted, strict=True):
        torch.testing.assert_close(found, cells)


def test_mentions_say_where_the_named_things_lie(
    photos: list[Photo], vocabulary: Vocabulary
) -> None:
    read = reader(photos, vocabulary, things=THINGS, grid=GRID)
    count = 0
    for batch in read.read(epoch=0):
        assert_named(batch, batch.numbers.tolist(), NAMED)
        words = batch.targets[batch.mentions[:, 0], batch.mentions[:, 1]].tolist()
        assert set(vocabulary.decode(words)) <= {"dog", "man", "tree", "hand", "hands"}
        count += len(words)
    assert count == 10


def test_without_boxes_nothing_is_mentioned(photos: list[Photo], vocabulary: Vocabulary) -> None:
    for boxes in ({}, {"things": {}}, {"things": {"5": {}}, "grid": GRID}):
        for batch in reader(photos, vocabulary, **boxes).read(epoch=0, changes=STRONG):
            rows, columns = boxes.get("grid", (1, 1))
            assert batch.mentions.shape == (0, 2)
            assert batch.regions.shape == (0, rows * columns)


def test_words_that_were_cut_off_are_not_mentioned(
    photos: list[Photo], vocabulary: Vocabulary
) -> None:
    """The ninth word is the tree; of a word that is unknown, the place still counts."""
    for words, places in ((9, [1, 8, 1]), (8, [1, 1]), (1, [])):
        read = reader(photos[2:3], Vocabulary(("a",)), words=words, things=THINGS, grid=GRID)
        (batch,) = read.read(epoch=0)
        assert batch.mentions[:, 1].tolist() == places
        assert (batch.mentions[:, 1] < batch.lengths[batch.mentions[:, 0]] - 1).all()


def test_regions_follow_the_mirrored_photo(photos: list[Photo], vocabulary: Vocabulary) -> None:
    read = reader(photos, vocabulary, batch_size=7, things=THINGS, grid=GRID)
    mirrored = {
        number: [(row, place, cells.view(GRID).flip(1).flatten()) for row, place, cells in named]
        for number, named in NAMED.items()
    }
    seen = set()
    for epoch in range(7):
        (batch,) = read.read(epoch, changes=AugmentConfig(flip=True))
        numbers = batch.numbers.tolist()
        pictures = zip(numbers, batch.photos, strict=True)
        flipped = {n: torch.equal(shown, pixels(photos[n]).flip(-1)) for n, shown in pictures}
        seen |= {(n, flipped[n]) for n in NAMED}
        assert_named(batch, numbers, {n: (mirrored if flipped[n] else NAMED)[n] for n in NAMED})
    assert seen == {(0, True), (0, False), (2, False), (4, False)}  # "left" and "right" stay


def test_regions_follow_the_cropped_photo(tmp_path: Path, vocabulary: Vocabulary) -> None:
    """An oracle: the cells' mean redness, in a photo that is red where the dog is."""
    side, grid = 256, (4, 4)
    painted = np.zeros((side, side, 3), np.uint8)
    painted[64:160, 96:224, 0] = 255
    Image.fromarray(painted).save(tmp_path / "0.png")
    photo = Photo("0", tmp_path / "0.png", ("A dog",))
    read = BatchReader(
        [photo],
        vocabulary,
        Preprocess(side),
        batch_size=1,
        seed=3,
        max_words=9,
        things={"0": {"dog": [(96 / side, 64 / side, 128 / side, 96 / side)]}},
        grid=grid,
    )
    regions = []
    for epoch in range(9):
        (batch,) = read.read(epoch, changes=AugmentConfig(flip=True, crop=0.4))
        red = batch.photos[0, 0].float() / 255
        cells = red.view(4, 64, 4, 64).mean((1, 3)).flatten()
        torch.testing.assert_close(batch.regions[0], cells, atol=0.1, rtol=0)  # 9 points a side
        assert float((batch.regions[0] - cells).mean().abs()) < 0.02
        regions.append(batch.regions[0])
    assert all(float((one - regions[0]).abs().max()) > 0.2 for one in regions[1:])


def test_things_outside_the_crop_are_not_mentioned(
    photos: list[Photo], vocabulary: Vocabulary
) -> None:
    """At the corners and the edges, thin things come and go with the crop."""
    corner = {"0": {"dog": [(0.0, 0.0, 0.06, 0.06)]}}
    read = reader(photos[:1], vocabulary, things=corner, grid=GRID)
    counts = set()
    for epoch in range(12):
        (batch,) = read.read(epoch, changes=AugmentConfig(crop=0.4))
        counts.add(len(batch.mentions))
        assert (batch.regions.sum(1) > 0).all()
    assert counts == {0, 3}


def test_a_box_between_the_points_of_the_cells_is_no_mention(
    photos: list[Photo], vocabulary: Vocabulary
) -> None:
    """Without a cell to look at, no map could be right."""
    thin = {"0": {"dog": [(0.505, 0.3, 0.001, 0.3)], "cat": [(0.0, 0.0, 1.0, 1.0)]}}
    (batch,) = reader(photos[:1], vocabulary, things=thin, grid=GRID).read(epoch=0)
    assert batch.mentions.shape == (0, 2)


def test_regions_of_cached_grids_are_those_of_the_whole_photos(
    photos: list[Photo], vocabulary: Vocabulary
) -> None:
    """A cached grid does not follow the changes, so neither do the boxes."""
    read = reader(photos, vocabulary, things=THINGS, grid=GRID)
    grids = np.zeros((7, 3, 5, 2), np.float16)
    for batch in read.read(epoch=3, changes=STRONG, grids=grids):
        assert_named(batch, batch.numbers.tolist(), NAMED)


def test_mentions_of_photos_that_cannot_be_read_are_left_out(
    photos: list[Photo], vocabulary: Vocabulary
) -> None:
    read = reader(damaged(photos, 0, 3), vocabulary, batch_size=7, things=THINGS, grid=GRID)
    (batch,) = read.read(epoch=0)
    assert sorted(batch.numbers.tolist()) == [1, 2, 4, 5, 6]
    assert_named(batch, batch.numbers.tolist(), NAMED)


# ---- photos that cannot be read ------------------------------------------------------------------


def damaged(photos: list[Photo], *numbers: int) -> list[Photo]:
    gone = photos[0].path.with_name("gone.png")
    return [
        Photo(p.photo_id, gone.with_name(f"gone-{n}.png"), p.captions) if n in numbers else p
        for n, p in enumerate(photos)
    ]


def test_an_unreadable_photo_is_left_out_with_one_warning(
    photos: list[Photo], vocabulary: Vocabulary, caplog: pytest.LogCaptureFixture
) -> None:
    read = reader(damaged(photos, 1, 3), vocabulary, batch_size=4)
    counts = [sum(len(batch.photos) for batch in read.read(epoch)) for epoch in range(3)]
    assert counts == [5, 5, 5]
    texts = caplog.messages
    assert len(texts) == 2
    assert sorted(text.split(":")[0] for text in texts) == ["left out"] * 2
    assert all(f"gone-{n}.png" in text for text, n in zip(sorted(texts), (1, 3), strict=True))


def test_no_photo_ends_the_training_whatever_its_fault(
    photos: list[Photo], vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too long a name, a null character in it, too little memory."""
    pixels = Preprocess.pixels
    tight = open_photo(photos[2].path, side=8).tobytes()

    def exhausted(preprocess: Preprocess, photo: Image.Image) -> Any:
        if photo.tobytes() == tight:
            raise MemoryError
        return pixels(preprocess, photo)

    monkeypatch.setattr(Preprocess, "pixels", exhausted)
    bad = [replace(photos[0], path=Path("x" * 5000)), replace(photos[1], path=Path("a\0b.jpg"))]
    reader = BatchReader(
        [*bad, *photos[2:]], vocabulary, Preprocess(size=8), batch_size=3, seed=0, max_words=9
    )
    numbers = [number for batch in reader.read(0) for number in batch.numbers.tolist()]
    assert set(numbers) == set(range(3, len(photos)))


def test_a_whole_batch_of_unreadable_photos_still_is_a_step(
    photos: list[Photo], vocabulary: Vocabulary
) -> None:
    """A run counts its steps, so that an interrupted one finds its place."""
    read = reader(damaged(photos, 1, 3), vocabulary, batch_size=1)
    found = list(read.read(0))
    assert len(found) == len(read) == 7
    assert [len(batch.photos) for batch in found] == [1] * 7
    assert all_same(iter(found[2:]), read.read(0, first_step=2))


def test_nothing_readable_is_an_error(photos: list[Photo], vocabulary: Vocabulary) -> None:
    read = reader(damaged(photos, *range(7)), vocabulary)
    with pytest.raises(
        DataError, match=r"none of 7 photos can be read, first .*gone-.*images folder right\?"
    ):
        next(read.read(0))


# ---- the cache of a frozen CNN's grids -----------------------------------------------------------


def cached(encoder: ImageEncoder, photos: list[Photo], folder: Path, **options: Any) -> np.ndarray:
    return cache_grids(encoder, PREPROCESS, photos, folder, device=torch.device("cpu"), **options)


def direct(encoder: ImageEncoder, photos: list[Photo]) -> torch.Tensor:
    pictures = torch.stack([pixels(photo) for photo in photos])
    with torch.no_grad():
        return encoder.grid(normalise(pictures, PREPROCESS.mean, PREPROCESS.std))


def test_cached_grids_are_the_direct_ones(
    encoder: ImageEncoder, photos: list[Photo], tmp_path: Path
) -> None:
    done: list[int] = []
    grids = cached(encoder, photos, tmp_path / "new", batch_size=3, progress=done.append)
    assert grids.dtype == np.float16
    assert grids.shape == (7, 1, 1, 1280)
    expected = direct(encoder, photos)
    assert float(expected.abs().max()) > 0.1
    np.testing.assert_allclose(grids, expected.numpy(), rtol=2e-3, atol=2e-3)
    assert done == [0, 3, 3, 1]
    (file,) = (tmp_path / "new").iterdir()
    assert file.name == f"{fingerprint(encoder, PREPROCESS, photos)}.npy"


def test_a_second_call_computes_nothing(
    encoder: ImageEncoder, photos: list[Photo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = np.array(cached(encoder, photos, tmp_path))
    monkeypatch.setattr(gridding, "open_photo", lambda *_, **__: pytest.fail("a photo was opened"))
    assert np.array_equal(cached(encoder, photos, tmp_path), first)


def test_the_key_tells_apart_what_the_grids_depend_on(
    encoder: ImageEncoder, photos: list[Photo], tmp_path: Path
) -> None:
    wider = ImageEncoder(build_features("mobilenet_v2", 16), "mobilenet_v2", 23)
    wider.features.load_state_dict(encoder.features.state_dict())
    other = ImageEncoder(build_features("mobilenet_v2", 32), "mobilenet_v2", 23)
    other.features.load_state_dict(encoder.features.state_dict())
    projected = fingerprint(other, PREPROCESS, photos)
    other.features[5].conv[0][0].weight.data[0, 0] += 1e-6
    resized = Path(tmp_path / photos[0].path.name)
    Image.new("RGB", (47, 31)).save(resized)
    keys = [
        fingerprint(encoder, PREPROCESS, photos),
        fingerprint(wider, PREPROCESS, photos),
        fingerprint(other, PREPROCESS, photos),
        fingerprint(encoder, Preprocess(64), photos),
        fingerprint(encoder, Preprocess(SIDE, std=(0.5, 0.5, 0.5)), photos),
        fingerprint(encoder, PREPROCESS, photos[::-1]),
        fingerprint(encoder, PREPROCESS, photos[:-1]),
        fingerprint(encoder, PREPROCESS, damaged(photos, 2)),
        fingerprint(encoder, PREPROCESS, [Photo("0", resized, ("A dog.",)), *photos[1:]]),
    ]
    assert len(set(keys)) == len(keys)
    assert projected == keys[0]  # only the CNN counts, not what is learned on top of it


class Stop(Exception):  # noqa: N818
    pass


def stopping_after(count: int) -> Callable[[int], None]:
    done = 0

    def progress(photos: int) -> None:
        nonlocal done
        done += photos
        if done >= count:
            raise Stop

    return progress


def test_an_interrupted_cache_goes_on_where_it_stopped(
    encoder: ImageEncoder, photos: list[Photo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Stop):
        cached(encoder, photos, tmp_path / "a", batch_size=2, progress=stopping_after(4))
    opened: list[str] = []

    def watch(path: Path, **settings: int) -> Image.Image:
        opened.append(path.name)
        return open_photo(path, **settings)

    monkeypatch.setattr(gridding, "open_photo", watch)
    done: list[int] = []
    grids = cached(encoder, photos, tmp_path / "a", batch_size=2, progress=done.append)
    assert sorted(opened) == ["4.png", "5.png", "6.png"]
    assert done == [4, 2, 1]
    assert np.array_equal(grids, cached(encoder, photos, tmp_path / "b", batch_size=2))
    assert len(list((tmp_path / "a").iterdir())) == 1


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        (".count", b""),
        (".count", b"many"),
        (".count", b"999"),
        (".count", b"-2"),
        (".count", None),
        (".partial.npy", b""),
        (".partial.npy", b"\x93NUMPY"),
        (".partial.npy", b"no array at all" * 99),
        (".partial.npy", None),
        (".npy", b"\x93NUMPY\x01\x00"),
        (".npy", b""),
    ],
)
def test_damaged_files_are_computed_anew(
    ending: str, content: bytes | None, encoder: ImageEncoder, photos: list[Photo], tmp_path: Path
) -> None:
    expected = np.array(cached(encoder, photos[:3], tmp_path / "whole", batch_size=2))
    with pytest.raises(Stop):
        cached(encoder, photos[:3], tmp_path, batch_size=2, progress=stopping_after(2))
    file = tmp_path / f"{fingerprint(encoder, PREPROCESS, photos[:3])}{ending}"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    assert np.array_equal(cached(encoder, photos[:3], tmp_path, batch_size=2), expected)


def test_a_cut_cache_is_computed_anew(
    encoder: ImageEncoder, photos: list[Photo], tmp_path: Path
) -> None:
    expected = np.array(cached(encoder, photos[:2], tmp_path))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    assert np.array_equal(cached(encoder, photos[:2], tmp_path), expected)


def test_a_full_disk_is_told_before_any_work(
    encoder: ImageEncoder, photos: list[Photo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(gridding.shutil, "disk_usage", lambda _: usage(10**9, 9 * 10**8, 10**8))
    with pytest.raises(
        DataError,
        match=r"the feature cache takes 0\.0 GB and 0\.1 GB are free; make room.* = false",
    ):
        cached(encoder, photos, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_batches_from_the_cache(
    encoder: ImageEncoder,
    photos: list[Photo],
    vocabulary: Vocabulary,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The same order and sentences; what could not be read is left out here too, named once."""
    broken = damaged(photos, 1)
    grids = cached(encoder, broken, tmp_path)
    read = reader(broken, vocabulary)
    pairs = list(zip(reader(broken, vocabulary).read(0), read.read(0, grids=grids), strict=True))
    list(read.read(1, grids=grids))
    told = [text for text in caplog.messages if "could not be read when" in text]
    assert len(told) == 1
    assert "gone-1.png" in told[0]
    assert sum(len(cells.photos) for _, cells in pairs) == 6
    for pictures, cells in pairs:
        assert torch.equal(pictures.targets, cells.targets)
        assert torch.equal(pictures.owners, cells.owners)
        assert cells.photos.dtype == torch.float16
        assert cells.photos.isfinite().all()
        for picture, grid in zip(pictures.photos, cells.photos, strict=True):
            assert np.array_equal(grid.numpy(), grids[whose(picture, broken)])
