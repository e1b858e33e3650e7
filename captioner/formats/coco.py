"""COCO's two files: captions of photos, and the results that its evaluation takes.

Source: Chen et al. 2015, "Microsoft COCO Captions" (arXiv:1504.00325).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from captioner.errors import DataError
from captioner.formats.content import Content, field, shown
from captioner.formats.entries import (
    Entry,
    Gathered,
    Id,
    finder,
    own_name,
    plain_id,
    stripped,
)


def is_captions(content: Content) -> bool:
    """Whether it is a file of captions: "images" and "annotations"."""
    document = content.data_set
    return isinstance(document, dict) and {"images", "annotations"} <= document.keys()


def read_captions(content: Content, split: str, images: Path | None) -> list[Entry]:
    """Reads a captions file: "images" (id, file_name) and "annotations" (image_id, caption).

    The annotations of photos that "images" leaves out are left out, too, if every photo in it has a
    caption of its own: that is how people cut COCO to a subset.
    """
    path, document = content.path, content.document
    if split:
        raise DataError(
            f"{path}: a COCO file has no splits inside, but split is {shown(split)}: "
            "leave it out, and name the file of that split"
        )
    names: dict[Id, str] = {}
    taken: dict[str, str] = {}
    for i, image in enumerate(field(path, "the file", document, "images", list)):
        where = f"images[{i}]"
        identity = field(path, where, image, "id", int, str)
        if identity in names:
            raise DataError(f"{path}: {where} has the id {shown(identity)} of an earlier image")
        names[identity] = own_name(path, where, field(path, where, image, "file_name", str), taken)
    captions: dict[Id, list[str]] = {identity: [] for identity in names}
    find = finder(names)
    foreign: list[str] = []
    for i, annotation in enumerate(field(path, "the file", document, "annotations", list)):
        where = f"annotations[{i}]"
        identity = field(path, where, annotation, "image_id", int, str)
        caption = field(path, where, annotation, "caption", str)
        if (own := find(identity)) is not None:
            captions[own].append(caption)
        else:
            foreign.append(f"{where} has image_id {shown(identity)}")
    if foreign and not (names and all(captions.values())):
        raise DataError(
            f"{path}: {len(foreign)} annotations speak of photos that are not in 'images', first "
            f"{foreign[0]}: the file is cut short, or two files were mixed"
        )
    if foreign:
        content.note(f"{len(foreign):,} annotations of photos that 'images' lacks are left out")
    return [
        Entry(name, tuple(stripped(captions[identity])), plain_id(identity))
        for identity, name in names.items()
    ]


def written_captions(entries: Sequence[Entry]) -> str:
    """The file of captions, with ids of its own where the entries' are no numbers of their own."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, entry in zip(_numbers(entries), entries, strict=True):
        images.append({"id": number, "file_name": entry.name})
        for caption in entry.captions:
            own = len(annotations) + 1
            annotations.append({"id": own, "image_id": number, "caption": caption})
    document = {"images": images, "annotations": annotations}
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _numbers(entries: Sequence[Entry]) -> Sequence[int]:
    given = [entry.identity or entry.key for entry in entries]
    if all(map(_is_number, given)) and len(set(given)) == len(given):
        return [int(identity) for identity in given]
    return range(1, len(entries) + 1)


def _is_number(identity: str) -> bool:
    return identity.isascii() and identity.isdigit() and len(identity) < 16


def is_results(content: Content) -> bool:
    """Whether it is a list of results."""
    document = content.data_set
    first = document[0] if isinstance(document, list) and document else None
    return isinstance(first, dict) and {"image_id", "caption"} <= first.keys()


def read_results(content: Content, split: str, images: Path | None) -> list[Entry]:
    """Reads results: `[{"image_id": 42, "caption": "…"}]`, which name no files."""
    path, document = content.path, content.document
    if type(document) is not list:
        raise DataError(
            f"{path}: no list; expected COCO's results, objects with 'image_id' and 'caption'"
        )
    found = Gathered()
    for i, result in enumerate(document):
        identity = plain_id(field(path, f"[{i}]", result, "image_id", int, str))
        caption = field(path, f"[{i}]", result, "caption", str)
        if not identity:
            raise DataError(f"{path}: [{i}].image_id is empty, expected the id of a photo")
        found.add("", [caption], identity=identity)
    return found.entries()


def written_results(entries: Sequence[Entry]) -> str:
    """One result a photo, its first caption; ids that are numbers as numbers."""
    rows: list[dict[str, Any]] = []
    seen: dict[str, str] = {}
    for entry in entries:
        identity = entry.identity or entry.key
        if identity in seen:
            raise DataError(
                f"{entry.name or identity}: its id {identity} is that of {seen[identity]}, too; "
                "COCO's results tell photos apart by it: give the files other names"
            )
        seen[identity] = entry.name or identity
        number = int(identity) if _is_number(identity) else identity
        rows.append({"image_id": number, "caption": entry.captions[0]})
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"
