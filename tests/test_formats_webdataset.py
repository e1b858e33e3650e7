from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from captioner.errors import DataError
from captioner.formats import registry, webdataset
from captioner.formats.entries import Entry


def _tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


# As img2dataset and webdataset's own writer have them.
SHARD = {
    "000000000.jpg": b"one",
    "000000000.json": json.dumps({"caption": "a dog", "key": "000000000", "url": "u"}).encode(),
    "000000000.txt": b"a dog",
    "./train/000017.left.jpg": b"two",
    "./train/000017.txt": "a cat\nÉté\n".encode(),
    "000003.png": b"three",
    "000003.cls": b"7",
    "000004.jpg": b"four",
    "000004.json": json.dumps({"caption": None}).encode(),
    "._000000000.jpg": b"dropping",
}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_samples_are_files_of_one_name(tmp_path: Path, mode: str) -> None:
    path = _tar(tmp_path / "shard.tar", SHARD, mode)
    found = registry.read(path)
    assert found.format.name == "webdataset"
    assert found.entries == (
        Entry("000000000.jpg", ("a dog",)),
        Entry("train/000017.left.jpg", ("a cat", "Été")),
    )
    webdataset.unpack(path, {"train/000017.left.jpg"}, tmp_path / "out")
    written = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert [p.relative_to(tmp_path / "out").as_posix() for p in written] == [
        "train/000017.left.jpg"
    ]
    assert written[0].read_bytes() == b"two"


def test_names_with_dots_and_of_one_stem_come_back(tmp_path: Path) -> None:
    names = ("holiday.2019.png", "a.jpg", "a.png", "A.jpg", "b/a.jpg")
    for number, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes([number]))
    entries = [Entry(name, (f"of {name}",)) for name in names]
    path = tmp_path / "shard.tar"
    registry.write(entries, path, registry.named("webdataset"), images=tmp_path)
    assert list(registry.read(path).entries) == entries
    with tarfile.open(path) as archive:
        members = archive.getnames()
    assert all(name.rpartition("/")[2].count(".") == 1 for name in members)
    webdataset.unpack(path, names, tmp_path / "out")
    assert [(tmp_path / "out" / name).read_bytes() for name in names] == [
        bytes([number]) for number in range(5)
    ]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"../a.jpg": b"x", "../a.txt": b"x"}, "a member names the file '../a.jpg', expected a na"),
        ({"a.jpg": b"x"}, "no photo with a caption; expected members such as 000017.jpg and 00001"),
        ({"a.jpg": b"x", "a.json": b"{"}, "a.json is no JSON; mend or remove that member"),
        ({"a.jpg": b"x", "a.json": b'{"caption": 5}'}, "a.json: a caption is no text; expected te"),
        ({"a.jpg": b"x", "a.txt": b"\xff\xfa"}, "a.txt: line 1 is not UTF-8 text"),
    ],
)
def test_what_cannot_be_read_is_said(
    tmp_path: Path, members: dict[str, bytes], message: str
) -> None:
    path = _tar(tmp_path / "shard.tar", members)
    with pytest.raises(DataError) as error:
        registry.read(path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_an_archive_that_is_cut_short(tmp_path: Path) -> None:
    path = _tar(tmp_path / "shard.tar", {"a.jpg": b"x" * 5000, "a.txt": b"a dog"})
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r": no (tar archive that can be read|photo with a capt)"):
        registry.read(path)


def test_a_missing_photo_leaves_no_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.jpg: there is no such photo; set --images to its"):
        registry.write(
            [Entry("gone.jpg", ("x",))],
            tmp_path / "s.tar",
            registry.named("webdataset"),
            images=tmp_path,
        )
    assert not list(tmp_path.iterdir())
