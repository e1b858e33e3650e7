from __future__ import annotations

from pathlib import Path

import pytest

from captioner.errors import DataError
from captioner.formats import registry
from captioner.formats.entries import Entry

FOLDER = registry.named("folder")


def _put(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_texts_beside_photos_as_kohya_has_them(tmp_path: Path) -> None:
    files = {
        "10_sks dog/1.png": "sks dog, running\n",
        "10_sks dog/1.txt": "sks dog, running, snow\nsecond line\r\n",
        "10_sks dog/2.JPG": "",
        "10_sks dog/2.caption": "sks dog asleep",
        "3.webp": "",
        "3.webp.txt": "a cat",
        "4.jpg": "no text",
        "alone.txt": "of no photo",
        "@eaDir/3.webp/SYNOPHOTO.jpg": "",
        "@eaDir/3.webp/SYNOPHOTO.txt": "thumbnail",
        "__MACOSX/1.jpg": "",
        "__MACOSX/1.txt": "dropping",
        "._3.webp": "",
        "._3.txt": "dropping",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = registry.read(tmp_path)
    assert found.format is FOLDER
    assert found.entries == (
        Entry("10_sks dog/1.png", ("sks dog, running, snow", "second line")),
        Entry("10_sks dog/2.JPG", ("sks dog asleep",)),
        Entry("3.webp", ("a cat",)),
    )


def test_a_folder_without_captions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(DataError, match=r": no photo with a caption beside it; expected files"):
        registry.read(tmp_path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return _put(tmp_path / "images", **{"a.jpg": "a", "b__a.jpg": "b", "a.png": "png"})


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([Entry("a.jpg", ("x",)), Entry("gone.jpg", ("y",))], "gone.jpg: there is no such photo"),
        (
            [Entry("a.jpg", ("x",)), Entry("a.png", ("y",))],
            "a.png: a.jpg would have the same text file beside it; rename one",
        ),
    ],
)
def test_nothing_is_written_where_not_all_can_be(
    images: Path, tmp_path: Path, entries: list[Entry], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        registry.write(entries, tmp_path / "out", FOLDER, images=images)
    assert not (tmp_path / "out").exists()


def test_what_a_person_wrote_is_not_replaced(images: Path, tmp_path: Path) -> None:
    out = _put(tmp_path / "out", **{"a.txt": "by hand\n"})
    entries = [Entry("b/a.jpg", ("y",)), Entry("a.jpg", ("x",))]
    with pytest.raises(DataError, match=r"out/a.txt is there already with another text"):
        registry.write(entries, out, FOLDER, images=images)
    assert sorted(p.name for p in out.rglob("*")) == ["a.txt"]
    registry.write(entries, out, FOLDER, images=images, overwrite=True)
    assert (out / "a.txt").read_text() == "x\n"
    _put(out, **{"a.jpg": "another photo"})
    with pytest.raises(DataError, match=r"out/a.jpg is there already and is another file; choose"):
        registry.write(entries, out, FOLDER, images=images, overwrite=True)


def test_texts_are_written_beside_photos_that_are_in_place(images: Path) -> None:
    registry.write([Entry("a.jpg", ("x", "y"))], images, FOLDER, images=images)
    assert (images / "a.txt").read_text() == "x\ny\n"
    assert (images / "a.jpg").read_text() == "a"
