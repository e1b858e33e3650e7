"""A folder of photos with their captions in text files beside them, as image generators learn."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from captioner.atomic import whole
from captioner.errors import DataError
from captioner.formats.content import Content, read_text
from captioner.formats.entries import Entry, of_split, one_line, stripped
from captioner.formats.places import located, walked

SIDECARS = (".txt", ".caption")


def is_folder(content: Content) -> bool:
    """Whether it is a folder."""
    return content.path.is_dir()


def read(content: Content, split: str, images: Path | None) -> list[Entry]:
    """Reads the text files beside photos, a caption a line: `dog.txt` or `dog.jpg.txt`."""
    folder = content.path
    found = []
    for name in walked(folder):
        beside = _beside(folder / name)
        if beside is None:
            continue
        text = read_text(beside)
        captions = tuple(stripped(text.split("\n")))
        found.append(Entry(name, captions))
    if not found:
        raise DataError(
            f"{folder}: no photo with a caption beside it; expected files such as dog.jpg and "
            "dog.txt (or dog.caption)"
        )
    return of_split(folder, found, split)


def _beside(photo: Path) -> Path | None:
    """The file of a photo's captions."""
    for suffix in SIDECARS:
        for path in (photo.with_suffix(suffix), photo.with_name(photo.name + suffix)):
            if path.is_file():
                return path
    return None


def pack(entries: Sequence[Entry], folder: Path, images: Path | None, overwrite: bool) -> None:
    """Copies photos into a folder, with text files beside them.

    Raises:
        DataError: a photo is missing, two photos would share a text file, or something else is
            there already; then nothing is written.
    """
    texts = dict(_texts(entries, folder, overwrite))
    for entry in entries:
        check_copy(entry, images, folder)
    for entry in entries:
        copy_photo(entry, images, folder)
    for target, text in texts.items():
        with whole(target) as partial:
            partial.write_text(text, encoding="utf-8")


def _texts(entries: Sequence[Entry], folder: Path, overwrite: bool) -> Iterator[tuple[Path, str]]:
    """The text files, none of which replaces another text unasked."""
    taken: dict[str, str] = {}
    for entry in entries:
        target = (folder / entry.name).with_suffix(".txt")
        text = "".join(f"{one_line(caption)}\n" for caption in entry.captions)
        key = str(target).casefold()
        if key in taken:
            raise DataError(
                f"{entry.name}: {taken[key]} would have the same text file beside it; rename one"
            )
        taken[key] = entry.name
        if os.path.lexists(target) and not overwrite and read_text(target) != text:
            raise DataError(
                f"{target} is there already with another text; choose another folder, or replace "
                "it with --overwrite"
            )
        yield target, text


def check_copy(entry: Entry, images: Path | None, folder: Path) -> None:
    """Refuses to copy a photo that is missing, or over another file.

    Raises:
        DataError: it is so.
    """
    source, target = located(images or Path(), entry.name), folder / entry.name
    if not source.is_file():
        raise DataError(f"{source}: there is no such photo to copy; set --images to its folder")
    if os.path.lexists(target) and not (target.is_file() and _same(source, target)):
        raise DataError(f"{target} is there already and is another file; choose another folder")


def copy_photo(entry: Entry, images: Path | None, folder: Path) -> None:
    """Copies one photo below a folder, whole or not at all; one that is there already stays."""
    source, target = located(images or Path(), entry.name), folder / entry.name
    if os.path.lexists(target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole(target) as partial:
        shutil.copyfile(source, partial)


def _same(one: Path, other: Path) -> bool:
    return one.samefile(other) or (
        one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()
    )
