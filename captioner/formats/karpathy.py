"""Karpathy's JSON, whose splits of COCO, Flickr8k and Flickr30k the field compares on.

Source: Karpathy and Fei-Fei 2015, "Deep Visual-Semantic Alignments" (arXiv:1412.2306).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from captioner.errors import DataError
from captioner.formats.content import Content, field, shown
from captioner.formats.entries import ALL, Entry, own_name, plain_id, stripped
from captioner.text import tokenise


def is_karpathy(content: Content) -> bool:
    """Whether its images carry "sentences" and "split"."""
    document = content.data_set
    images = document.get("images") if isinstance(document, dict) else None
    first = images[0] if isinstance(images, list) and images else None
    return isinstance(first, dict) and {"sentences", "split"} <= first.keys()


def read(content: Content, split: str, images: Path | None) -> list[Entry]:
    """Reads one split, several joined by a plus sign ("train+restval"), or `ALL` of them."""
    path, document = content.path, content.document
    wanted = {name.strip() for name in split.split("+")} - {""}
    splits: Counter[str] = Counter()
    taken: dict[str, str] = {}
    chosen: list[Entry] = []
    for i, image in enumerate(field(path, "the file", document, "images", list)):
        entry = _entry(path, f"images[{i}]", image, taken)
        splits[entry.split] += 1
        if entry.split in wanted or split == ALL:
            chosen.append(entry)
    missing = wanted - splits.keys() - {"train", "val", "test", "restval", ALL}
    if missing or not chosen:
        held = ", ".join(f"{shown(name)} ({count})" for name, count in splits.most_common(8))
        raise DataError(
            f"{path}: no photos of the split {shown(min(missing, default=split))}; the file holds "
            f"{held or 'no photos'}: name one of them as split, or several as 'train+restval'"
        )
    return chosen


def _entry(path: Path, where: str, image: Any, taken: dict[str, str]) -> Entry:
    name = field(path, where, image, "filename", str)
    if "filepath" in image:
        name = f"{field(path, where, image, 'filepath', str)}/{name}".removeprefix("/")
    name = own_name(path, where, name, taken)
    split = field(path, where, image, "split", str)
    captions = [
        field(path, f"{where}.sentences[{k}]", sentence, "raw", str)
        for k, sentence in enumerate(field(path, where, image, "sentences", list))
    ]
    return Entry(name, tuple(stripped(captions)), _identity(image), split)


def _identity(image: Mapping[str, Any]) -> str:
    own = image.get("cocoid", "")
    return plain_id(own) if type(own) in (int, str) else ""


def written(entries: Sequence[Entry]) -> str:
    """The file; photos without a split are of "train"."""
    images: list[dict[str, Any]] = []
    said = 0
    for number, entry in enumerate(entries):
        folder, _, name = entry.name.rpartition("/")
        sentences = [
            {"raw": c, "tokens": tokenise(c), "imgid": number, "sentid": said + k}
            for k, c in enumerate(entry.captions)
        ]
        said += len(sentences)
        image: dict[str, Any] = {
            **({"filepath": folder} if folder else {}),
            "filename": name,
            "imgid": number,
            "split": entry.split or "train",
            "sentids": [sentence["sentid"] for sentence in sentences],
            "sentences": sentences,
        }
        if entry.identity.isascii() and entry.identity.isdigit():
            image["cocoid"] = int(entry.identity)
        images.append(image)
    return json.dumps({"images": images, "dataset": "captioner"}, ensure_ascii=False) + "\n"
