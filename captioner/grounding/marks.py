"""Words that were marked when their things were boxed: exact questions, no synonyms needed.

An annotation of a COCO instance file may say which word of which caption its box was drawn for:
`caption_hash`, the first 12 hexadecimal digits of the SHA-256 of the caption's words joined by
spaces, and `word_index`, the word's place among them, from 0 (`data/boxes`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from captioner.datasets import Photo, finder, photo_id, read_json
from captioner.errors import DataError
from captioner.grounding.regions import Region
from captioner.grounding.sentences import Asked, Mention
from captioner.text import tokenise

Marks = Mapping[str, Mapping[tuple[str, int], frozenset[str]]]
"""By photo id the kinds of each marked word, by the hash of its caption and its place there."""


def caption_hash(words: Sequence[str]) -> str:
    """By which a caption is found again, whatever file it stands in."""
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:12]


def read(path: str | Path) -> dict[str, dict[tuple[str, int], frozenset[str]]]:
    """The marked words of a COCO instance file; none where its annotations mark none.

    Raises:
        DataError: the file is missing, or a mark is none.
    """
    document = read_json(path, "a COCO instance file")
    try:
        return _marks(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: no marked words ({type(error).__name__}: {error}); expected annotations with "
            "image_id, category_id, caption_hash and word_index"
        ) from None


def _marks(document: Any) -> dict[str, dict[tuple[str, int], frozenset[str]]]:
    kinds = {category["id"]: str(category["name"]) for category in document["categories"]}
    images = {image["id"]: photo_id(image["file_name"]) for image in document["images"]}
    find_kind, find_image = finder(kinds), finder(images)
    found: dict[str, dict[tuple[str, int], frozenset[str]]] = {}
    for annotation in document["annotations"]:
        if "word_index" not in annotation:
            continue
        image, kind = find_image(annotation["image_id"]), find_kind(annotation["category_id"])
        if image is None or kind is None:
            raise KeyError(annotation["image_id" if image is None else "category_id"])
        key = (str(annotation["caption_hash"]), int(annotation["word_index"]))
        own = found.setdefault(images[image], {})
        own[key] = own.get(key, frozenset()) | {kinds[kind]}
    return found


def ask(
    photos: Iterable[Photo],
    marks: Marks,
    regions: Mapping[str, Mapping[str, Sequence[Region]]],
) -> list[Asked]:
    """The photos with marked words; all their captions are read, the marked words asked about.

    Raises:
        DataError: no caption holds a marked word.
    """
    found = []
    for photo in photos:
        marked = marks.get(photo.photo_id, {})
        sentences = tuple(tuple(tokenise(caption)) for caption in photo.captions)
        hashes = [caption_hash(words) for words in sentences]
        mentions = tuple(
            Mention(number, place, marked[own, place])
            for number, (own, words) in enumerate(zip(hashes, sentences, strict=True))
            if own not in hashes[:number]
            for place in range(len(words))
            if (own, place) in marked
        )
        if mentions:
            found.append(Asked(photo, sentences, mentions, regions.get(photo.photo_id, {})))
    if not found:
        raise DataError(
            f"none of the captions holds a word that was marked ({len(marks)} photos have some); "
            "are they the captions that the boxes were drawn for?"
        )
    return found
