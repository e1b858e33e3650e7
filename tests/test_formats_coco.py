from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from captioner.errors import DataError
from captioner.formats import registry
from captioner.formats.entries import Entry

PHOTOS = (
    Entry("COCO_val2014_000000000042.jpg", ("A dog.", "Two dogs, é.")),
    Entry("val2014/COCO_val2014_000000000073.jpg", ("A cat.",)),
)


def _written(name: str, path: Path) -> Path:
    registry.write(PHOTOS, path, registry.named(name))
    return path


def test_cocos_own_tools_read_what_is_written(tmp_path: Path, capsys: Any) -> None:
    tools = pytest.importorskip("pycocotools.coco")
    captions = tools.COCO(str(_written("coco", tmp_path / "captions.json")))
    names = {image["file_name"]: number for number, image in captions.imgs.items()}
    assert names == {entry.name: int(entry.key) for entry in PHOTOS}
    said = {n: [a["caption"] for a in captions.imgToAnns[n]] for n in captions.imgs}
    assert said == {42: ["A dog.", "Two dogs, é."], 73: ["A cat."]}
    results = captions.loadRes(str(_written("results", tmp_path / "results.json")))
    assert {a["image_id"]: a["caption"] for a in results.anns.values()} == {
        42: "A dog.",
        73: "A cat.",
    }


def test_results_are_one_a_line_with_ids_as_numbers(tmp_path: Path) -> None:
    text = _written("results", tmp_path / "r.json").read_text(encoding="utf-8")
    assert text == (
        '[\n{"image_id": 42, "caption": "A dog."},\n{"image_id": 73, "caption": "A cat."}\n]\n'
    )


def test_results_with_ids_as_text(tmp_path: Path) -> None:
    rows = [{"image_id": "holiday-3", "caption": "x"}, {"image_id": "0042", "caption": "y"}]
    (tmp_path / "r.json").write_text(json.dumps(rows))
    entries = registry.read(tmp_path / "r.json").entries
    assert entries == (Entry("", ("x",), "holiday-3"), Entry("", ("y",), "42"))


def test_photos_with_one_id_cannot_be_told_apart_in_results(tmp_path: Path) -> None:
    entries = [Entry("a/dog.jpg", ("x",)), Entry("b/dog.png", ("y",))]
    with pytest.raises(DataError, match=r"^b/dog.png: its id dog is that of a/dog.jpg, too; COCO"):
        registry.write(entries, tmp_path / "r.json", registry.named("results"))
    assert not list(tmp_path.iterdir())


def test_a_subset_of_images_is_read_with_all_annotations(tmp_path: Path) -> None:
    """As people cut COCO to try something out."""
    document = json.loads(_written("coco", tmp_path / "captions.json").read_text())
    document["images"] = document["images"][:1]
    (tmp_path / "part.json").write_text(json.dumps(document))
    found = registry.read(tmp_path / "part.json")
    assert [entry.captions for entry in found.entries] == [("A dog.", "Two dogs, é.")]
    assert found.notes == (
        f"{tmp_path / 'part.json'}: 1 annotations of photos that 'images' lacks are left out",
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"image_id": 1, "caption": 5}], "[0].caption is a whole number (5), expected text"),
        ([{"image_id": 1, "caption": "x"}, {"caption": "y"}], "[1] has no 'image_id', only 'cap"),
        ([{"image_id": 1, "caption": "x"}, 3], "[1] is a whole number, expected an object with"),
        ([{"image_id": " ", "caption": "x"}], "[0].image_id is empty, expected the id of a photo"),
        ({"a": 1}, "no list; expected COCO's results, objects with 'image_id' and 'caption'"),
    ],
)
def test_what_are_no_results_is_said(tmp_path: Path, rows: Any, message: str) -> None:
    (tmp_path / "r.json").write_text(json.dumps(rows))
    with pytest.raises(DataError) as error:
        registry.read(tmp_path / "r.json", "results")
    assert str(error.value).startswith(f"{tmp_path / 'r.json'}: {message}")
