from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from captioner.cli import main
from captioner.errors import DataError, ImageError
from captioner.pictures import shards
from captioner.pictures.folders import excluded, find_photos
from captioner.pictures.shards import photos_in
from captioner.prediction import Captioner
from tests.commands import one_error, read_objects


@pytest.fixture
def shard(here: Path) -> str:
    """An archive of the photos of `here`, with a text and an empty file among them."""
    with tarfile.open("shard.tar", "w") as archive:
        for name in ("a/cat.jpg", "a/dog.png", "b/dog.png"):
            archive.add(name, f"./{name}")
        for name, data in (("a/cat.txt", b"A cat."), ("empty.jpg", b""), ("a/._cat.jpg", b"x")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return "shard.tar"


def test_the_photos_of_an_archive_are_those_of_the_folder(
    tiny_captioner: Captioner, shard: str
) -> None:
    expected = [tiny_captioner(name).text for name in ("a/cat.jpg", "a/dog.png", "b/dog.png")]
    found = list(tiny_captioner.stream(shard))
    assert [caption.text for caption in found] == [*expected, ""]
    assert [caption.file for caption in found[:2]] == ["shard.tar/a/cat.jpg", "shard.tar/a/dog.png"]
    assert str(found[-1].error).startswith("shard.tar/empty.jpg: ")
    assert found[0].sheet().width > 0
    folder = [(c.file, c.text) for c in tiny_captioner.stream(Path("a"))]
    assert folder == [("a/cat.jpg", expected[0]), ("a/dog.png", expected[1])]


@pytest.mark.parametrize("packed", ["shard.tar.gz", "shard.tbz2", "shard.TAR.XZ"])
def test_compressed_archives_give_the_same(
    tiny_captioner: Captioner, shard: str, packed: str
) -> None:
    opener = {"gz": gzip.open, "bz2": bz2.open, "XZ": lzma.open}[packed.split(".")[-1].lstrip("t")]
    with opener(packed, "wb") as file:
        file.write(Path(shard).read_bytes())
    own = [caption.text for caption in tiny_captioner.stream(packed)]
    assert own == [caption.text for caption in tiny_captioner.stream(shard)]
    assert next(str(member) for member in photos_in(packed)) == f"{packed}/a/cat.jpg"
    assert [item.path for item in find_photos([packed])][1] == f"{packed}/a/dog.png"


def test_a_member_too_large_for_a_photo_is_that_members_error(
    shard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_LARGEST", 10)
    with pytest.raises(ImageError, match=r"^shard.tar/a/cat.jpg: [\d,]+ bytes, and no photo has "):
        next(iter(photos_in(shard))).read()


def test_streams_take_tensors_and_generators(tiny_captioner: Captioner) -> None:
    photos = torch.rand(3, 3, 31, 17)
    expected = [tiny_captioner(photo).text for photo in photos]
    assert [c.text for c in tiny_captioner.stream(photos)] == expected
    assert [c.text for c in tiny_captioner.stream(photos.numpy().transpose(0, 2, 3, 1))] == expected
    assert [c.text for c in tiny_captioner.stream(photo for photo in photos)] == expected


def test_captions_of_an_archive(
    typed: Callable[..., int], shard: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ("--jsonl", "out/all.jsonl", "--overlay", "sheets", "--exclude", "empty.*")
    assert typed("caption", shard, *own) == 0
    objects = read_objects(Path("out/all.jsonl"))
    assert [o["file"] for o in objects] == [
        *("shard.tar/a/cat.jpg", "shard.tar/a/dog.png", "shard.tar/b/dog.png")
    ]
    assert all(Path(o["sheet"]).is_file() for o in objects)
    capsys.readouterr()
    assert typed("caption", shard, "--jsonl", shard) == 2
    assert "shard.tar is read by this very command" in one_error(capsys)


def test_archives_that_cannot_be_read(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("words.tar").write_text("no archive")
    with tarfile.open("whole.tgz", "w:gz") as archive:
        archive.add("a")
    Path("cut.tgz").write_bytes(Path("whole.tgz").read_bytes()[:-600])
    Path("cut.tar").write_bytes(b"x" * 700)
    for name in ("words.tar", "cut.tar", "cut.tgz"):
        with pytest.raises(DataError) as error:
            list(photos_in(name))
        assert str(error.value) == (
            f"{name}: no tar archive that can be read; it may be cut short or damaged: get it again"
        )
        assert main(["caption", name]) in (1, 2)  # what stands before the cut is captioned
        assert f"{name}: no tar archive" in capsys.readouterr().err
    with tarfile.open("texts.tar", "w"):
        pass
    (found,) = find_photos(["texts.tar"])
    assert str(found.problem).startswith("texts.tar: there is no photo in this archive")


def test_lists_and_what_is_left_out(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("list.csv").write_text("image;year\na/cat.jpg;1999\nb/dog.png;\n")
    Path("a/list.txt").write_text("dog.png\n")
    assert typed("caption", "--list", "list.csv", "--list", "a/list.txt") == 0
    names = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["a/cat.jpg", "b/dog.png", os.path.join("a", "dog.png")]  # noqa: PTH118
    assert typed("caption", "a", "b", "--exclude", "b", "--exclude", "*.jpg") == 0
    names = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["a/dog.png"]
    assert typed("caption", "--list", "list.csv", "--csv", "list.csv", "--overwrite") == 2
    assert "list.csv is read by this very command" in one_error(capsys)
    assert typed("caption") == 2
    assert one_error(capsys) == (
        "captioner: no photo is named; give a PATH, or --list FILE; see --help\n"
    )


def test_copies_that_were_made_before_are_no_photos(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("caption", ".", "--output", "copies") == 0
    capsys.readouterr()
    assert typed("caption", ".", "--output", "copies") == 0
    assert capsys.readouterr().out.count("\n") == 3
    assert len([path for path in Path("copies").rglob("*") if path.is_file()]) == 3


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        *(("thumbs", True), ("thumbs/", True), ("*.jpg", True), ("a/thumbs/*", True)),
        *(("thumb", False), ("*.png", False), ("dog", False), ("dog*", True)),
    ],
)
def test_patterns_match_names_folders_and_paths(pattern: str, matches: bool) -> None:
    assert excluded("a/thumbs/dog.jpg", [pattern]) is matches
