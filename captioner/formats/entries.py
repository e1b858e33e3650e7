"""One photo's entry in a data set: its name, its captions; and who a photo is by its name."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from captioner.errors import DataError
from captioner.formats.content import shown

ALL = "*"  # as a split, every one that the file holds


@dataclass(frozen=True)
class Entry:
    """What a data set says of one photo."""

    name: str  # its file, below the folder of photos, "/" between; "" where only an id is given
    captions: tuple[str, ...]  # raw, as written, without the spaces around them
    identity: str = ""  # the data set's own id for it
    split: str = ""  # the part of the data set that it belongs to, where the file says so

    @property
    def key(self) -> str:
        """Who it is in another file about the same photos: see `photo_id`."""
        return photo_id(self.name) if self.name else plain_id(self.identity)

    def moved(self, folder: Path) -> Entry:
        """The same, named as it is called from a folder, where it lies below it."""
        inside = os.path.relpath(self.name, folder).replace(os.sep, "/")
        return self if inside.startswith("..") else replace(self, name=inside)


_FOLDERS = re.compile(r".*[\\/]", re.DOTALL)
_NUMBERED = re.compile(r"(?:COCO_[a-z]+[0-9]{4}_)?0*([0-9]+)(?:\.[A-Za-z0-9.]+)?")
_FLICKR = re.compile(r"([0-9]+)_[0-9a-f]{8,12}(?:[_.].*)?", re.DOTALL)


def photo_id(file_name: str) -> str:
    """Who a photo is, whatever data set it is met in; a folder before the name does not matter.

    COCO names (`COCO_val2014_000000391895.jpg`, `000000391895.jpg`) give COCO's number, "391895";
    Flickr names (`1000268201_693b08cb0e.jpg`, `1000268201.jpg`) the digits before the first
    underscore or dot, by which Flickr8k is recognised inside Flickr30k and Multi30k; any other name
    its stem, its letters composed (NFC) as macOS does not write them.
    """
    name = unicodedata.normalize("NFC", _FOLDERS.sub("", file_name))
    known = _NUMBERED.fullmatch(name) or _FLICKR.fullmatch(name)
    return known.group(1) if known else Path(name).stem


Id = int | str


def finder(identities: Iterable[Id]) -> Callable[[Id], Id | None]:
    """Finds ids that may be written otherwise: "042" is 42, unless 42 is written in two ways."""
    own = set(identities)
    counts = Counter(map(_number, own))
    alike = {_number(identity): identity for identity in own if counts[_number(identity)] == 1}
    return lambda identity: identity if identity in own else alike.get(_number(identity))


def _number(identity: Id) -> Id:
    """The number that an id is, be it written as text."""
    plain = identity.strip() if isinstance(identity, str) else ""
    return int(plain) if plain.isascii() and plain.isdigit() and len(plain) < 20 else identity


def plain_id(identity: Id) -> str:
    """An id as text, a number without the zeros before it."""
    return str(_number(identity)).strip()


def plain(name: str) -> str:
    """A name as it is compared: whether "é" is one character or two is no matter."""
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


_LEAVES = (
    re.compile(  # absolute, with a drive, through the parent, a folder, or with control characters
        r"[\\/]|[A-Za-z]:|(?:.*[\\/])?\.\.(?:[\\/]|\Z)|(?:.*[\\/])?\.?\Z|.*[\x00-\x1f]", re.DOTALL
    )
)


def stays_inside(name: str) -> bool:
    """Whether a file name from outside leads to a file in the folder it is joined to, or below."""
    return not _LEAVES.match(name)


def inner_name(path: Path, where: str, name: str) -> str:
    """A file name that stays inside the folder of photos.

    Raises:
        DataError: it does not.
    """
    if not stays_inside(name):
        raise DataError(
            f"{path}: {where} names the file {shown(name)}, expected a name inside the folder of "
            "photos, without '..', drive or leading slash"
        )
    return name


def own_name(path: Path, where: str, name: str, taken: dict[str, str]) -> str:
    """A file name that stays inside the folder of photos and was not given before."""
    inner_name(path, where, name)
    if name in taken:
        raise DataError(
            f"{path}: {where} names the file {shown(name)} again, first {taken[name]}: "
            "put all captions of a photo under one entry"
        )
    taken[name] = where
    return name


def below(name: str, images: Path | None) -> str:
    """An absolute name inside the folder of photos as one below it; any other as it is."""
    if images is not None and os.path.isabs(name):  # noqa: PTH117  (no Path of "a\0b")
        folder = os.path.abspath(images)  # noqa: PTH100
        if name.startswith(folder + os.sep):
            return name[len(folder) + 1 :].replace(os.sep, "/")
    return name


class Gathered:
    """Captions that come one by one, put together by photo, in the order of the photos."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, str, str, list[str]]] = {}

    def add(
        self, name: str, captions: Iterable[str], *, identity: str = "", split: str = ""
    ) -> None:
        """Puts captions to those of the same name, or without a name of the same id."""
        key = f"/{plain(name)}" if name else plain_id(identity)
        entry = self._found.setdefault(key, (name, identity, split, []))
        entry[-1].extend(stripped(captions))

    def entries(self) -> list[Entry]:
        """An entry a photo, those without captions too."""
        return [
            Entry(name, tuple(captions), identity, split)
            for name, identity, split, captions in self._found.values()
        ]


def stripped(captions: Iterable[str]) -> Iterable[str]:
    """The captions that say something, without the spaces around them."""
    return (text for caption in captions if (text := caption.strip()))


def one_line(caption: str) -> str:
    """A caption for a format that has a line for it."""
    return _BREAKS.sub(" ", caption)


_BREAKS = re.compile(r"\s*[\t\n\r\v\f]\s*")


def of_split(path: Path, entries: Sequence[Entry], split: str) -> list[Entry]:
    """The entries of a split, or of several joined by a plus sign; all, where none is named.

    Raises:
        DataError: there is none of it.
    """
    if not split or split == ALL:
        return list(entries)
    wanted = {name.strip() for name in split.split("+")}
    held = Counter(entry.split for entry in entries if entry.split)
    missing = wanted - held.keys()
    if missing:
        counts = ", ".join(f"{shown(name)} ({count})" for name, count in held.most_common(8))
        raise DataError(
            f"{path}: no photos of the split {shown(min(missing))}; the file holds "
            f"{counts or 'no splits'}"
        )
    return [entry for entry in entries if entry.split in wanted]
