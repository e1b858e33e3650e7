from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from captioner.datasets import Photo
from captioner.errors import DataError
from captioner.grounding import marks
from captioner.grounding.regions import Region

TEXT = "A dog sees the other dog."
HASH = marks.caption_hash(["a", "dog", "sees", "the", "other", "dog"])


def write(path: Path, *annotations: dict[str, Any]) -> Path:
    document = {
        "images": [{"id": 1, "file_name": "000000000001.jpg", "width": 9, "height": 9}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 3, 3]} | own
                        for own in annotations],
    }  # fmt: skip
    path.write_text(json.dumps(document))
    return path


def test_only_the_marked_word_is_asked_about(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.json",
        {"caption_hash": HASH, "word_index": 5},
        {"caption_hash": HASH, "word_index": 5},
        {"caption_hash": "another", "word_index": 1},
        {},
    )
    found = marks.read(path)
    assert found == {"1": {(HASH, 5): frozenset({"dog"}), ("another", 1): frozenset({"dog"})}}
    regions = {"1": {"dog": [Region((0, 0, 1, 1))]}}
    photo = Photo("1", Path("1.jpg"), ("The cat", TEXT, "a dog sees the other dog"))
    [asked] = marks.ask([photo, Photo("2", Path("2.jpg"), (TEXT,))], found, regions)
    [mention] = asked.mentions  # the same caption twice is asked about once
    assert (mention.sentence, mention.place, mention.kinds) == (1, 5, frozenset({"dog"}))
    assert len(asked.sentences) == 3  # all are read: the photo's mean map is of all of them
    assert asked.regions == regions["1"]


def test_a_file_that_marks_nothing(tmp_path: Path) -> None:
    assert marks.read(write(tmp_path / "a.json", {})) == {}
    with pytest.raises(DataError, match=r"none of the captions holds a word that was marked"):
        marks.ask([Photo("1", Path("1.jpg"), (TEXT,))], {}, {})
    with pytest.raises(DataError, match="expected annotations with image_id, category_id"):
        marks.read(write(tmp_path / "a.json", {"word_index": 1}))


def test_the_boxes_that_come_along_are_marked() -> None:
    path = Path(__file__).parent.parent / "data" / "boxes" / "coco-part-nouns.json"
    found = marks.read(path)
    assert len(found) == 150
    assert sum(map(len, found.values())) == 300
