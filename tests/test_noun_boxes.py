"""The boxes of `data/boxes/coco-part-nouns.json` agree with themselves and with their reader."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from captioner import boxes
from captioner.datasets import photo_id
from captioner.text import tokenise

FOLDER = Path(__file__).parent.parent / "data" / "boxes"
FILE = FOLDER / "coco-part-nouns.json"

Entry = Mapping[str, Any]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def nouns(document: Entry) -> dict[tuple[int, int], list[Entry]]:
    """The boxes of each noun, by photo and place in the caption."""
    found = defaultdict(list)
    for annotation in document["annotations"]:
        found[annotation["image_id"], annotation["word_index"]].append(annotation)
    return found


def area(own: list[Entry]) -> float:
    """The share of the photo that boxes cover together, what they share counted once."""
    return float(boxes.mask([tuple(entry["share"]) for entry in own], (25, 25)).mean())


def test_ids_are_unique_and_known(document: Entry) -> None:
    known = {
        name: {entry["id"] for entry in document[name]}
        for name in ("images", "annotations", "categories")
    }
    assert all(len(known[name]) == len(document[name]) for name in known)
    assert {a["image_id"] for a in document["annotations"]} == known["images"]
    assert {a["category_id"] for a in document["annotations"]} == known["categories"]
    assert len({category["name"] for category in document["categories"]}) == len(
        document["categories"]
    )
    assert all(photo_id(i["file_name"]) == str(i["id"]) for i in document["images"])


def test_every_photo_has_two_nouns_of_one_caption(
    document: Entry, nouns: Mapping[tuple[int, int], list[Entry]]
) -> None:
    by_photo = defaultdict(list)
    for (image, _), own in nouns.items():
        by_photo[image].append(own)
    assert len(by_photo) == len(document["images"]) == 150
    for image, pair in by_photo.items():
        assert len(pair) == 2, image
        same = ("caption_id", "caption_index", "caption_hash")
        assert len({tuple(e[name] for name in same) for own in pair for e in own}) == 1, image
        kinds = [{(entry["word"], entry["category_id"]) for entry in own} for own in pair]
        assert [len(kind) for kind in kinds] == [1, 1], image
        assert not kinds[0] & kinds[1], image


def test_boxes_lie_in_their_photos(document: Entry) -> None:
    sizes = {image["id"]: (image["width"], image["height"]) for image in document["images"]}
    assert all(min(size) == 240 for size in sizes.values())
    for entry in document["annotations"]:
        x, y, width, height = entry["share"]
        assert min(x, y) >= 0, entry
        assert min(width, height) >= 0.02, entry  # nothing that an eye could not draw
        assert max(x + width, y + height) <= 1 + 1e-9, entry
        wide, high = sizes[entry["image_id"]]
        pixels = [x * wide, y * high, width * wide, height * high]
        assert entry["bbox"] == pytest.approx(pixels, abs=0.01), entry
        assert entry["area"] == pytest.approx(pixels[2] * pixels[3], abs=0.5), entry
        assert entry["iscrowd"] == 0


def test_no_box_is_drawn_twice(nouns: Mapping[tuple[int, int], list[Entry]]) -> None:
    for own in nouns.values():
        assert len({tuple(entry["share"]) for entry in own}) == len(own), own


def test_words_are_tokens_and_no_caption_is_copied(document: Entry) -> None:
    for entry in document["annotations"]:
        assert tokenise(entry["word"]) == [entry["word"]]
        assert entry["word_index"] >= 0
        assert entry["caption_index"] >= 0
        assert re.fullmatch("[0-9a-f]{12}", entry["caption_hash"])
        assert "caption" not in entry


def test_the_reader_finds_every_noun(
    document: Entry, nouns: Mapping[tuple[int, int], list[Entry]]
) -> None:
    things = boxes.read(FILE)
    names = {category["id"]: category["name"] for category in document["categories"]}
    for (image, _), own in nouns.items():
        read = things[str(image)][names[own[0]["category_id"]]]
        assert len(read) == len(own)
        for box, entry in zip(read, own, strict=True):
            assert box == pytest.approx(entry["share"], abs=1e-4)


def test_the_licence_and_the_counts_are_those_of_the_text(
    document: Entry, nouns: Mapping[tuple[int, int], list[Entry]]
) -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "CC0 1.0" in document["info"]["license"]
    assert "CC0 1.0" in text
    small = sum(area(own) < 0.25 for own in nouns.values())
    for count in (
        f"{len(document['images'])} photos",
        f"{len(nouns)} nouns",
        f"{len(document['annotations'])} boxes",
        f"{len(document['categories'])} kinds",
        f"{small} of the {len(nouns)} nouns",
    ):
        assert count in text
