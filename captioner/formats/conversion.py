"""From any format into any other; what the other cannot hold is said."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from captioner.errors import ConfigError, DataError
from captioner.formats import folder, registry, webdataset
from captioner.formats.entries import ALL, Entry, Gathered, photo_id
from captioner.formats.places import located, walked
from captioner.formats.registry import Format, Reading


@dataclass(frozen=True)
class Order:
    """What is to be converted into what."""

    sources: tuple[Path, ...]  # files, folders, archives; put together
    output: Path
    to: Format
    format: str = "auto"  # of the sources
    images: Path | None = None  # folder of the photos that they name
    photos: Path | None = None  # folder that the photos are copied into
    split: str = ""  # the part that is wanted; "" is all of it
    existing: bool = False  # only photos that are there
    overwrite: bool = False  # texts in an output folder may be replaced


@dataclass(frozen=True)
class Outcome:
    """What was converted."""

    photos: int
    captions: int
    came: tuple[Format, ...]  # of each source
    notes: tuple[str, ...]  # what was mended, left out or lost, a line each


def convert(order: Order) -> Outcome:
    """Reads the sources, puts them together and writes them.

    Raises:
        DataError: a source is not what its format promises, a photo that is to be copied is
            missing, or nothing is left.
        ConfigError: the photos' folder is needed and not named.
    """
    readings = [_read(source, order) for source in order.sources]
    entries, notes = _together(readings)
    entries = _with_names(entries, order)
    with _images(readings, entries, order) as images:
        if order.existing:
            entries, missing = _there(entries, images)
            notes += missing
        if not entries:
            raise DataError(f"{order.sources[0]}: holds no photo with a caption that is wanted")
        notes += _losses(entries, order.to)
        if order.photos is not None and not _packed(readings):
            for entry in entries:
                folder.check_copy(entry, images, order.photos)
            for entry in entries:
                folder.copy_photo(entry, images, order.photos)
        registry.write(entries, order.output, order.to, images=images, overwrite=order.overwrite)
    if order.to.name == "imagefolder" and not (order.output.parent / entries[0].name).is_file():
        notes.append(
            f"{order.to.title} wants the photos below {order.output.parent}; "
            f"add --photos {order.output.parent}"
        )
    captions = sum(len(entry.captions) for entry in entries) if order.to.several else len(entries)
    return Outcome(len(entries), captions, tuple(r.format for r in readings), tuple(notes))


def _read(source: Path, order: Order) -> Reading:
    content = registry.opened(source)
    form = order.format
    if form == "auto":
        form = registry.recognised(content).name
    split = order.split or (ALL if form == "karpathy" else "")
    return registry.read(source, form, split=split, images=order.images)


def _packed(readings: Sequence[Reading]) -> list[Path]:
    """The archives among the sources."""
    return [r.path for r in readings if r.format.name == "webdataset"]


def _together(readings: Sequence[Reading]) -> tuple[list[Entry], list[str]]:
    """All entries that have a caption, one a photo."""
    notes = [note for reading in readings for note in reading.notes]
    entries = [entry for reading in readings for entry in reading.entries]
    if len(readings) > 1:
        found = Gathered()
        for entry in entries:
            found.add(entry.name, entry.captions, identity=entry.identity, split=entry.split)
        entries = found.entries()
    good = [entry for entry in entries if entry.captions]
    if len(good) < len(entries):
        notes.append(f"{len(entries) - len(good):,} photos without a caption are left out")
    return good, notes


def _with_names(entries: Sequence[Entry], order: Order) -> list[Entry]:
    """The entries; names that the output needs come from the photos whose ids were given.

    Raises:
        ConfigError: no folder of photos is named.
        DataError: a photo is not found in it.
    """
    nameless = [entry for entry in entries if not entry.name]
    if not nameless or not order.to.named:
        return list(entries)
    if order.images is None:
        raise ConfigError(
            f"{order.sources[0]}: tells photos by ids and names no files, which {order.to.title} "
            "needs; add --images DIR, whose file names are compared with the ids"
        )
    names = {photo_id(name): name for name in reversed(list(walked(order.images)))}
    missing = [entry.identity for entry in nameless if entry.key not in names]
    if missing and not order.existing:
        raise DataError(
            f"{order.images}: has no photos for {len(missing)} of {len(nameless)} ids, first "
            f"{missing[0]!r}; name another folder, or leave them out with --existing"
        )
    return [
        entry if entry.name else replace(entry, name=names[entry.key])
        for entry in entries
        if entry.name or entry.key in names
    ]


@contextmanager
def _images(
    readings: Sequence[Reading], entries: Sequence[Entry], order: Order
) -> Iterator[Path | None]:
    """The folder that holds the photos; those of archives are unpacked where they are needed."""
    archives = _packed(readings)
    if not archives:
        own = [r.path if r.path.is_dir() else r.path.parent for r in readings if r.format.home]
        homes = set(own) if len(own) == len(readings) else set()
        yield order.images or (homes.pop() if len(homes) == 1 else None)
        return
    if len(archives) < len(readings):
        raise ConfigError(
            "archives and other sources do not go together; unpack the archives first: "
            "captioner data convert SHARD.tar --photos DIR --output DIR/metadata.jsonl"
        )
    if order.photos is None and order.to.text is not None and not order.existing:
        yield None  # the captions alone
        return
    with tempfile.TemporaryDirectory() as temporary:
        target = order.photos or Path(temporary)
        names = {entry.name for entry in entries}
        for archive in archives:
            webdataset.unpack(archive, names, target)
        yield target


def _there(entries: Sequence[Entry], images: Path | None) -> tuple[list[Entry], list[str]]:
    """The entries whose photos are there."""
    if images is None:
        raise ConfigError("--existing looks for the photos; add --images DIR")
    there = [entry for entry in entries if located(images, entry.name).is_file()]
    missing = len(entries) - len(there)
    return there, [f"{missing:,} photos that are not in {images} are left out"] * bool(missing)


def _losses(entries: Sequence[Entry], to: Format) -> list[str]:
    """What the format cannot hold."""
    notes = []
    several = sum(len(entry.captions) > 1 for entry in entries)
    if several and not to.several:
        notes.append(
            f"{several:,} photos have several captions; {to.title} holds one, the first of each"
        )
    if not to.splits and any(entry.split for entry in entries):
        notes.append(f"{to.title} does not say which split a photo belongs to; see --split")
    return notes
