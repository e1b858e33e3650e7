from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from captioner.errors import DataError
from captioner.formats import registry
from captioner.formats.entries import Entry

# Lines of Kaggle's captions.txt for Flickr8k, as pandas wrote it.
KAGGLE = """\
image,caption
1000268201_693b08cb0e.jpg,A child in a pink dress is climbing up a set of stairs in an entry way .
1000268201_693b08cb0e.jpg,A girl going into a wooden building .
1001773457_577c3a7d70.jpg,"A black dog and a white dog , both running ."
1002674143_1b742ab4b8.jpg,"A sign says ""no"" ."
"""


def _read(tmp_path: Path, text: str, name: str = "file", images: Path | None = None) -> Any:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    return registry.read(tmp_path / name, images=images)


def _names(found: Any) -> dict[str, tuple[str, ...]]:
    return {entry.name: entry.captions for entry in found.entries}


def test_kaggles_flickr8k(tmp_path: Path) -> None:
    found = _read(tmp_path, KAGGLE, "captions.txt")
    assert found.format.name == "kaggle"
    assert _names(found) == {
        "1000268201_693b08cb0e.jpg": (
            "A child in a pink dress is climbing up a set of stairs in an entry way .",
            "A girl going into a wooden building .",
        ),
        "1001773457_577c3a7d70.jpg": ("A black dog and a white dog , both running .",),
        "1002674143_1b742ab4b8.jpg": ('A sign says "no" .',),
    }
    registry.write(found.entries, tmp_path / "again.txt", found.format)
    assert (tmp_path / "again.txt").read_text() == KAGGLE


@pytest.mark.parametrize(
    "text",
    [
        "file_name,text\na.jpg,A dog\n",
        "Caption;Image\nA dog;a.jpg\n",
        "image\tsplit\tsentence\na.jpg\t\tA dog\n",
        '"filename","alt text"\r\n"a.jpg","A dog"\r\n',
        "\ufefffile,caption,probability\na.jpg,A dog,0.5\n",
        '{"image": "a.jpg", "text": "A dog"}\n',
        '{"file": "a.jpg", "caption": "A dog", "words": [], "error": null}\n',
        '{"file_name": "a.jpg", "captions": ["A dog", " "]}\n',
        "a.jpg\tA dog\n",
        "a.jpg\tA dog\tthe second best\n",
    ],
)
def test_columns_go_by_what_people_call_them(tmp_path: Path, text: str) -> None:
    assert _names(_read(tmp_path, text)) == {"a.jpg": ("A dog",)}


def test_commas_that_nobody_quoted_belong_to_the_last_column(tmp_path: Path) -> None:
    found = _read(tmp_path, "image,caption\na.jpg,A dog, a cat, and a man\n")
    assert _names(found) == {"a.jpg": ("A dog, a cat, and a man",)}
    with pytest.raises(DataError, match=r"line 2 has 3 columns, the heading 2: quote what"):
        _read(tmp_path, "caption,image\nA dog, a cat,a.jpg\n")


def test_objects_of_photos_that_failed_are_left_out(tmp_path: Path) -> None:
    lines = [
        {"file": "a.jpg", "caption": "A dog", "error": None},
        {"file": "b.jpg", "caption": "", "error": "b.jpg: it is empty"},
    ]
    found = _read(tmp_path, "\n".join(map(json.dumps, lines)))
    assert _names(found) == {"a.jpg": ("A dog",)}
    assert found.notes[0].endswith("1 lines with an error instead of a caption are left out")


def test_imagefolders_metadata(tmp_path: Path) -> None:
    one = '{"file_name": "0001.png", "text": "This is a golden retriever"}\n'
    found = _read(tmp_path, one, "metadata.jsonl")
    assert (found.format.name, _names(found)) == (
        "imagefolder",
        {"0001.png": ("This is a golden retriever",)},
    )
    registry.write(found.entries, tmp_path / "out" / "metadata.jsonl", found.format)
    assert (tmp_path / "out" / "metadata.jsonl").read_text() == one
    registry.write(found.entries, tmp_path / "out" / "metadata.csv", found.format)
    with (tmp_path / "out" / "metadata.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["file_name", "text"],
            ["0001.png", "This is a golden retriever"],
        ]


def test_every_object_has_the_same_keys_where_one_photo_has_several(tmp_path: Path) -> None:
    """Arrow, in which the table ends up, has one type a column."""
    entries = [Entry("a.jpg", ("x", "y")), Entry("b.jpg", ("z",))]
    registry.write(entries, tmp_path / "metadata.jsonl", registry.named("imagefolder"))
    objects = [json.loads(line) for line in (tmp_path / "metadata.jsonl").read_text().splitlines()]
    assert objects == [
        {"file_name": "a.jpg", "captions": ["x", "y"]},
        {"file_name": "b.jpg", "captions": ["z"]},
    ]


def test_a_split_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("file,caption,split\na.jpg,x,train\nb.jpg,y,val\nc.jpg,z,test\n")
    names = [entry.name for entry in registry.read(path, split="val+test").entries]
    assert names == ["b.jpg", "c.jpg"]
    with pytest.raises(DataError, match=r"no photos of the split 'dev'; the file holds 'train' \("):
        registry.read(path, split="dev")


def test_names_that_are_written_in_two_ways_are_one_photo(tmp_path: Path) -> None:
    found = _read(tmp_path, "file,caption\nété\\a.jpg,x\ne\u0301te\u0301/a.jpg,y\n")
    assert [entry.captions for entry in found.entries] == [("x", "y")]


def test_absolute_names_inside_of_the_photos_folder(tmp_path: Path) -> None:
    text = f"file,caption\n{tmp_path}/images/b/a.jpg,A dog\n"
    assert _names(_read(tmp_path, text, images=tmp_path / "images")) == {"b/a.jpg": ("A dog",)}
    with pytest.raises(DataError, match=r"line 2 names the file .*expected a name inside the fold"):
        _read(tmp_path, text, images=tmp_path / "other")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"file": "a.jpg", "caption": 5}\n', ": line 1: caption is a whole number, expected text"),
        ('{"file": 3, "caption": "x"}\n', ": line 1: file is a whole number, expected text"),
        (
            '{"file": "a.jpg", "caption": "x"}\n{"file": "b.jpg"}\n',
            ": line 2 has no caption, only 'file'",
        ),
        (
            '{"file": "a.jpg", "caption": "x"}\n{"file": "b.jpg", \n',
            ': line 2 is no JSON: \'{"file": "b.jpg", \'; expected an object on every line',
        ),
        ('{"file": "a.jpg", "caption": "x"}\n[1]\n', ": line 2 is a list, expected an object"),
        (
            '{"file": "a.jpg", "caption": "\\ud83d"}\n',
            ": line 1: caption holds half a character (a lone surrogate)",
        ),
        ("image,caption\n../a.jpg,x\n", ": line 2 names the file '../a.jpg', expected a name insi"),
        ("image,caption\nC:\\photos\\a.jpg,x\n", ": line 2 names the file 'C:\\\\photos\\\\a.jpg'"),
        ("a.jpg\tA dog\nb.jpg A cat\n", ": line 2 is 'b.jpg A cat', expected a name, a tab, a"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        _read(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path / 'file'}{message}")
    assert "\n" not in str(error.value)


def test_a_table_without_a_heading_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("a.jpg,A dog\n")
    with pytest.raises(DataError, match=r"begins with 'a.jpg,A dog', expected a heading"):
        registry.read(tmp_path / "c.csv", "csv")
