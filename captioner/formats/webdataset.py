"""WebDataset: tar archives in which files of one name, up to its first dot, are a sample.

Source: https://github.com/webdataset/webdataset; an archive is a shard of a data set.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from captioner.atomic import whole
from captioner.errors import DataError
from captioner.formats import archives
from captioner.formats.archives import members, opened
from captioner.formats.content import Content
from captioner.formats.entries import Entry, of_split, stays_inside, stripped
from captioner.formats.places import SUFFIXES, located
from captioner.text import decoded

_TEXTS = (".txt", ".caption")
_LONGEST_TEXT = 2**24  # bytes of a caption's file


def is_tar(content: Content) -> bool:
    """Whether it is an archive."""
    return archives.is_tar(content.path)


@dataclass
class _Sample:
    """Files of an archive that belong together."""

    photo: str = ""  # name of the member
    captions: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)


def read(content: Content, split: str, images: Path | None) -> list[Entry]:
    """Reads an archive: `000017.jpg` with `000017.txt`, `.caption` or `.json` beside it.

    A JSON may hold `caption` or `text`, or a list `captions`; `file_name` there names the photo, or
    else its name in the archive does.
    """
    found = [entry for _, entry in _named(content.path)]
    if not found:
        raise DataError(
            f"{content.path}: no photo with a caption; expected members such as 000017.jpg and "
            "000017.txt"
        )
    return of_split(content.path, found, split)


def _named(path: Path) -> list[tuple[str, Entry]]:
    """The members that are photos with captions, each with its entry; no name comes twice."""
    found, taken = [], set()
    for key, sample in _samples(path).items():
        captions = _captions(f"{path}: {key}", sample)
        if not (sample.photo and captions):
            continue
        own = sample.values.get("file_name")
        name = own if isinstance(own, str) and stays_inside(own) else sample.photo
        name = sample.photo if name in taken else name
        taken.add(name)
        found.append((sample.photo, Entry(name, tuple(captions), split=_split(sample))))
    return found


def _split(sample: _Sample) -> str:
    own = sample.values.get("split", "")
    return own if isinstance(own, str) else ""


def _captions(where: str, sample: _Sample) -> list[str]:
    values = sample.values
    own = values.get("captions", values.get("caption", values.get("text", sample.captions)))
    several = own if isinstance(own, list) else [] if own is None else [own]
    if not all(isinstance(caption, str) for caption in several):
        raise DataError(f"{where}.json: a caption is no text; expected text or a list of it")
    return list(stripped(several))


def _samples(path: Path) -> dict[str, _Sample]:
    samples: dict[str, _Sample] = {}
    with opened(path) as archive:
        for member, name in members(path, archive):
            key, suffix = _parted(name)
            kind = "." + suffix.rpartition(".")[2]
            if kind not in (*SUFFIXES, *_TEXTS, ".json"):
                continue
            sample = samples.setdefault(key, _Sample())
            if kind in SUFFIXES:
                sample.photo = sample.photo or name
                continue
            text = _text(path, archive, member)
            if kind == ".json":
                sample.values = _object(path, name, text)
            else:
                sample.captions += text.split("\n")
    return samples


def _parted(name: str) -> tuple[str, str]:
    """The key of a member and its suffix, at the first dot of its own name."""
    folder, slash, own = name.rpartition("/")
    stem, _, suffix = own.partition(".")
    return f"{folder}{slash}{stem}", f".{suffix}".lower()


def _text(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    if member.size > _LONGEST_TEXT:
        raise DataError(f"{path}: {member.name} has {member.size:,} bytes, too many for a caption")
    file = archive.extractfile(member)
    assert file is not None
    return decoded(file.read(), f"{path}: {member.name}")


def _object(path: Path, name: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise DataError(f"{path}: {name} is no JSON; mend or remove that member") from None
    return value if isinstance(value, dict) else {}


def unpack(path: Path, names: Collection[str], folder: Path) -> None:
    """Writes photos of an archive below a folder, each whole or not at all.

    Args:
        path: the archive.
        names: of its entries that are wanted.
        folder: where they go.

    Raises:
        DataError: another file is there already.
    """
    by_member = {member: entry.name for member, entry in _named(path) if entry.name in names}
    with opened(path) as archive:
        for member, name in members(path, archive):
            if name not in by_member:
                continue
            file = archive.extractfile(member)
            assert file is not None
            _write(file.read(), folder / by_member.pop(name))


def _write(data: bytes, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        if target.is_file() and target.read_bytes() == data:
            return
        raise DataError(f"{target} is there already and is another file; choose another folder")
    with whole(target) as partial:
        partial.write_bytes(data)


def pack(entries: Sequence[Entry], path: Path, images: Path | None) -> None:
    """Writes an archive: a photo, its first caption as text, all of them as JSON.

    The same photos and captions give the same bytes: the members have no time and no owner.

    Raises:
        DataError: a photo is missing.
    """
    taken: set[str] = set()
    with whole(path) as partial, tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            source = located(images or Path(), entry.name)
            if not source.is_file():
                raise DataError(f"{source}: there is no such photo; set --images to its folder")
            key, suffix = _free(entry.name, taken)
            values: dict[str, Any] = {"file_name": entry.name, "captions": list(entry.captions)}
            if entry.split:
                values["split"] = entry.split
            _put(archive, f"{key}{suffix}", source.read_bytes())
            _put(archive, f"{key}.txt", entry.captions[0].encode())
            _put(archive, f"{key}.json", json.dumps(values, ensure_ascii=False).encode())


def _free(name: str, taken: set[str]) -> tuple[str, str]:
    """A key of its own, without a dot in its last part, and the suffix."""
    path = PurePosixPath(name)
    stem = re.sub(r"\.", "_", path.stem.lstrip(".")) or "photo"
    key, number = str(path.with_name(stem)), 1
    while key.casefold() in taken:
        number += 1
        key = str(path.with_name(f"{stem}-{number}"))
    taken.add(key.casefold())
    return key, path.suffix.lower() or ".jpg"


def _put(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
