"""Captioned photos as people publish them, of any format that `captioner.formats` reads.

Many formats come in, one type goes out: a list of `Photo`. The photos themselves are neither
opened nor looked for here, so that a hundred thousand of them are listed in a second or two;
`captioner.audit` looks at them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from captioner.captions.recipe import Source
from captioner.errors import ConfigError, DataError
from captioner.formats import registry
from captioner.formats.content import read_json
from captioner.formats.entries import Entry, Id, finder, photo_id, stays_inside
from captioner.formats.places import located
from captioner.formats.registry import Format

__all__ = [
    "FORMATS",
    "Id",
    "Photo",
    "Photos",
    "finder",
    "photo_id",
    "read",
    "read_coco",
    "read_flickr8k",
    "read_json",
    "read_karpathy",
    "reading",
    "split_off",
    "stays_inside",
]
FORMATS = ("auto", *registry.NAMES)


@dataclass(frozen=True)
class Photo:
    """One photo and what people wrote about it."""

    photo_id: str  # who it is in any data set: see `photo_id`
    path: Path
    captions: tuple[str, ...]  # raw, as written, without the spaces around them; never empty


@dataclass(frozen=True)
class Photos:
    """What one source holds."""

    photos: list[Photo]
    format: Format  # that its file is in
    notes: tuple[str, ...]  # what was mended or left out, a line each


def read(source: Source) -> list[Photo]:
    """Reads one set of captioned photos, in the order of its file.

    With the format "auto" the content decides which of `captioner.formats.registry` it is.

    Raises:
        DataError: a file is missing or not what its format promises, the folder of photos does not
            exist, or no captioned photo is left.
        ConfigError: the format is unknown, or a folder of photos is needed and not named.
    """
    return reading(source).photos


def reading(source: Source) -> Photos:
    """`read`, with the format that was seen and what was mended.

    Raises:
        DataError, ConfigError: see `read`.
    """
    images = Path(source.images) if source.images else None
    found = registry.read(source.captions, source.format, split=source.split, images=images)
    if found.format.name == "webdataset" and images is None:
        raise ConfigError(
            f"{found.path}: its photos lie inside of it; unpack them with: captioner data convert "
            f"{found.path} --photos DIR --output DIR/metadata.jsonl"
        )
    if not found.format.named:
        raise DataError(
            f"{found.path}: {found.format.title} tell photos by ids and name no files; give them "
            "names with: captioner data convert FILE --images DIR --output captions.json"
        )
    home = found.path if found.path.is_dir() else found.path.parent
    if images is None and not found.format.home:
        raise ConfigError(
            f"{found.path}: {found.format.title} need `images`: the folder that holds the photos"
        )
    photos = _photos(found.path, images or home, found.entries)
    return Photos(photos, found.format, found.notes)


def read_coco(captions: str | Path, images: str | Path) -> list[Photo]:
    """Reads a COCO captions file: "images" (id, file_name) and "annotations" (image_id, caption).

    Photos without a caption are left out, blank captions too.

    Raises:
        DataError: see `read`.
    """
    return read(Source(os.fspath(captions), os.fspath(images), "coco"))


def read_karpathy(file: str | Path, images: str | Path, split: str) -> list[Photo]:
    """Reads one split of a Karpathy file (`dataset_coco.json`, `dataset_flickr8k.json`).

    Args:
        file: the JSON file; its images carry filename, split, sentences with "raw", and for COCO
            filepath.
        images: the folder that holds the photos; filepath is a folder inside it.
        split: "train", "val", "test", "restval", or several joined by a plus sign: "train+restval".

    Raises:
        DataError: see `read`.
    """
    return read(Source(os.fspath(file), os.fspath(images), "karpathy", split))


def read_flickr8k(
    tokens: str | Path, images: str | Path, split_file: str | Path | None = None
) -> list[Photo]:
    """Reads Flickr8k's own format: lines `name.jpg#0<TAB>caption`, a list of names for each split.

    With a split file its photos come in its order, without one all photos in the order of the token
    file. Flickr8k.token.txt names one photo (`2258277193_586949ec62.jpg.1`) that its archive does
    not hold: a name with such an ending is left out unless the file is there.

    Raises:
        DataError: see `read`.
    """
    split = os.fspath(split_file) if split_file else ""
    return read(Source(os.fspath(tokens), os.fspath(images), "flickr8k", split))


def _photos(path: Path, images: Path, entries: Sequence[Entry]) -> list[Photo]:
    """The photos that have a caption; the folder must be there, the files are not looked for."""
    photos = [
        Photo(photo_id(entry.name), located(images, entry.name), entry.captions)
        for entry in entries
        if entry.captions
    ]
    if not photos:
        raise DataError(f"{path}: holds no photo with a caption")
    if not os.path.isdir(images):  # noqa: PTH112  (Path.is_dir raises for too long a name)
        there = os.path.exists(images)  # noqa: PTH110
        what = "is a file, not a folder" if there else "does not exist"
        first = photos[0].path.relative_to(images)
        raise DataError(
            f"{path}: its folder of photos {str(images)!r} {what}: set images to the folder that "
            f"holds {str(first)!r}"
        )
    return photos


def split_off(
    photos: Sequence[Photo], share: float, seed: int = 0
) -> tuple[list[Photo], list[Photo]]:
    """Carves off about `share` of the photos, as a validation split for data that has none.

    A hash of seed and photo id decides about each photo by itself: the order does not matter, a
    photo never changes sides when others are added, and all entries of one photo id stay together.

    Returns:
        (rest, part), each in the order of `photos`.

    Raises:
        ConfigError: `share` is not between 0 and 1, both excluded.
        DataError: one side would be empty.
    """
    if not 0 < share < 1:
        raise ConfigError(f"the share to split off is {share}, but should lie between 0 and 1")
    chosen = {p.photo_id for p in photos if _draw(p.photo_id, seed) < share}
    part = [p for p in photos if p.photo_id in chosen]
    rest = [p for p in photos if p.photo_id not in chosen]
    if not part or not rest:
        raise DataError(
            f"a share of {share} of {len(photos)} photos leaves {len(rest)} and {len(part)}: "
            "choose a share nearer to 0.5, another seed, or name a validation file"
        )
    return rest, part


def _draw(identity: str, seed: int) -> float:
    """A number in [0, 1) that depends on the photo id and the seed only."""
    digest = hashlib.blake2b(f"{seed}:{identity}".encode(errors="replace"), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48
