from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from captioner.pictures import folders
from captioner.pictures.drawings import save_png
from captioner.pictures.folders import Found, find_photos
from captioner.pictures.formats import UNREAD_SUFFIXES


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Works inside a folder of files that hold nothing: finding reads no more than heads."""
    names = (
        "b.JPG a.png notes.txt .hidden.jpg sub/c.webp sub/deep/d.gif .git/e.jpg empty/readme.md"
        " odd/photo[1].jpg odd/x.dat a/z.jpg @eaDir/b.JPG/SYNOPHOTO_THUMB_XL.jpg"
        " sub/@eaDir/c.webp/SYNOPHOTO_THUMB_M.jpg #recycle/old.jpg __MACOSX/f.jpg"
    )
    for name in names.split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def photos(*arguments: str) -> list[str]:
    """What is found, and nothing that is wrong with it."""
    found = list(find_photos(arguments))
    assert all(item.is_photo for item in found), found
    return [item.path for item in found]


def problems(*arguments: str) -> list[str | None]:
    return [item.problem for item in find_photos(arguments) if item.problem is not None]


ALL = ["a/z.jpg", "a.png", "b.JPG", "odd/photo[1].jpg", "sub/c.webp", "sub/deep/d.gif"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], []),
        (["."], ALL),
        (["sub"], ["sub/c.webp", "sub/deep/d.gif"]),
        (["sub/", "a.png"], ["sub/c.webp", "sub/deep/d.gif", "a.png"]),
        (["a.png", "sub", "a.png"], ["a.png", "sub/c.webp", "sub/deep/d.gif", "a.png"]),
        (["./a.png", "missing.jpg", "notes.txt", ""], ["./a.png", "missing.jpg", "notes.txt", ""]),
        ([".git"], [".git/e.jpg"]),
        (["@eaDir"], ["@eaDir/b.JPG/SYNOPHOTO_THUMB_XL.jpg"]),  # named, and so meant
        (["*.png"], ["a.png"]),
        (["?.*"], ["a.png", "b.JPG"]),
        (["[ab]*"], ["a/z.jpg", "a.png", "b.JPG"]),
        (["**/*.gif"], ["sub/deep/d.gif"]),
        (["s*/**/*.gif"], ["sub/deep/d.gif"]),
        (["**/deep/**/*.gif"], ["sub/deep/d.gif"]),
        (["sub/**"], ["sub/c.webp", "sub/deep/d.gif"]),
        (["**/*"], ALL),
        (["**"], ALL),
        (["*"], ALL),
        (["@*/**/*.jpg"], None),
        (["@eaDir/**/*.jpg"], ["@eaDir/b.JPG/SYNOPHOTO_THUMB_XL.jpg"]),
        (["odd/*.dat"], ["odd/x.dat"]),
        (["odd/photo[1].jpg"], ["odd/photo[1].jpg"]),  # a name, though it reads as a pattern
    ],
)
def test_what_arguments_stand_for(
    album: Path, arguments: list[str], expected: list[str] | None
) -> None:
    if expected is None:
        assert problems(*arguments)
    else:
        assert photos(*arguments) == expected


def test_absolute_arguments_give_absolute_names(album: Path) -> None:
    assert photos(f"{album}/sub") == [f"{album}/sub/c.webp", f"{album}/sub/deep/d.gif"]
    assert photos(f"{album}/*.png") == [f"{album}/a.png"]
    assert photos(f"{album}/**/*.gif") == [f"{album}/sub/deep/d.gif"]


def test_a_photo_knows_the_folder_that_was_named(album: Path) -> None:
    found = list(find_photos(["sub/", "a.png", "*.png"]))
    assert [(item.path, item.root) for item in found] == [
        ("sub/c.webp", "sub/"),
        ("sub/deep/d.gif", "sub/"),
        ("a.png", ""),
        ("a.png", ""),
    ]


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("empty", "empty: there is no photo in this folder"),
        ("*.tiff", "*.tiff: no photo matches this pattern"),
        ("not*", "not*: no photo matches this pattern"),
    ],
)
def test_arguments_that_stand_for_nothing_stop_no_others(
    album: Path, argument: str, expected: str
) -> None:
    found = list(find_photos(["a.png", argument, "b.JPG"]))
    assert [item.is_photo for item in found] == [True, False, True]
    assert found[1].problem == f"{expected}, expected files such as photo.jpg or photo.png"


def test_arguments_are_taken_as_they_are_needed(album: Path) -> None:
    def arguments() -> Any:
        yield "a.png"
        raise OSError("the pipe broke")

    found = find_photos(arguments())
    assert next(found) == Found("a.png")
    with pytest.raises(OSError, match="the pipe broke"):
        next(found)


def test_links_to_folders_are_not_followed_and_links_to_photos_are(album: Path) -> None:
    (album / "sub/again").symlink_to(album)
    (album / "sub/more").symlink_to(album)  # two of them would be a tree of 2^40 paths
    (album / "sub/e.png").symlink_to(album / "a.png")
    expected = ["sub/c.webp", "sub/deep/d.gif", "sub/e.png"]
    assert photos("sub") == expected
    assert photos("sub/**") == expected
    assert photos("sub/**/*.gif", "**/e.png") == ["sub/deep/d.gif", "sub/e.png"]


@pytest.mark.parametrize(
    "argument", ["sub", "sub/**/*.*", "sub/**", "sub/*", "s*/*/*.gif", "sub/*/*"]
)
def test_a_folder_that_cannot_be_listed_is_told_and_left_out(
    album: Path, argument: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def listing(path: Any) -> Any:
        if "deep" in os.fspath(path):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", listing)
    found = [item.path for item in find_photos([argument, "b.JPG"]) if item.is_photo]
    assert found == (["b.JPG"] if argument.endswith(("*/*", "*.gif")) else ["sub/c.webp", "b.JPG"])
    assert set(problems(argument)) == {
        "sub/deep: left out, as it cannot be listed (Permission denied)"
    }


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("sub/*/*.gif", ["sub/free/e.gif"]),
        ("sub/*/*", ["sub/free/e.gif"]),
        ("s*/dee[p]/*.*", []),
        ("sub/**/*.*", ["sub/c.webp", "sub/free/e.gif"]),
    ],
)
def test_a_folder_that_cannot_be_searched_is_told_and_left_out(
    album: Path, argument: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("deep/x.gif", "free/e.gif"):
        (album / "sub" / name).parent.mkdir(exist_ok=True)
        (album / "sub" / name).touch()
    real = os.stat

    def status(path: Any, **follow: Any) -> Any:
        if not isinstance(path, int) and "deep/" in os.fspath(path):
            raise PermissionError(13, "Permission denied", path)
        return real(path, **follow)

    monkeypatch.setattr(os, "stat", status)
    told = ["sub/deep: left out, as it cannot be searched (Permission denied)"]
    assert problems(argument) == told
    found = [item.path for item in find_photos([argument, "b.JPG"]) if item.is_photo]
    assert found == [*expected, "b.JPG"]


def test_what_is_no_file_is_told_and_left_out(album: Path) -> None:
    os.mkfifo("sub/pipe.jpg")
    (album / "sub/link.jpg").symlink_to("pipe.jpg")
    (album / "sub/device.png").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sub/socket.gif")
        os.mkfifo("sub/notes.txt")  # nobody would take it for a photo
        for argument in ("sub", "sub/*", "sub/**/*.*"):
            found = list(find_photos([argument]))
            told = [item.problem for item in found if item.problem]
            assert told == [
                "sub/device.png: left out, as it is a device; expected a file",
                "sub/link.jpg: left out, as it is a pipe; expected a file",
                "sub/pipe.jpg: left out, as it is a pipe; expected a file",
                "sub/socket.gif: left out, as it is a socket; expected a file",
            ]
            wanted = ["sub/c.webp"] if argument == "sub/*" else ["sub/c.webp", "sub/deep/d.gif"]
            assert [item.path for item in found if item.is_photo][: len(wanted)] == wanted
    assert photos("sub/pipe.jpg") == ["sub/pipe.jpg"]  # named, and so meant


def test_pictures_that_are_not_read_are_told_with_the_reason(album: Path) -> None:
    for suffix in UNREAD_SUFFIXES:
        (album / "sub" / f"x{suffix.upper()}").touch()
    told = problems("sub")
    assert told == problems("sub/*") == problems("sub/**")
    assert sorted(map(str, told)) == sorted(
        f"sub/x{suffix.upper()}: left out; {reason}" for suffix, reason in UNREAD_SUFFIXES.items()
    )
    assert ".psd" in UNREAD_SUFFIXES
    assert ".svg" in UNREAD_SUFFIXES
    assert photos("sub/*.PSD") == ["sub/x.PSD"]  # asked for by its suffix
    assert [item.path for item in find_photos(["sub"]) if item.is_photo] == [
        "sub/c.webp",
        "sub/deep/d.gif",
    ]


def test_a_folder_of_nothing_that_is_read_needs_no_second_word(album: Path) -> None:
    (album / "empty/x.svg").touch()
    (reason,) = problems("empty")
    assert reason == f"empty/x.svg: left out; {UNREAD_SUFFIXES['.svg']}"


def test_sheets_of_our_own_are_no_photos(album: Path) -> None:
    with (album / "sub/sheet.PNG").open("wb") as file:
        save_png(Image.new("RGB", (7, 5)), file)
    Image.new("RGB", (7, 5)).save(album / "sub/photo.png")
    for argument in ("sub", "sub/*", "sub/**"):
        drawn = [item.path for item in find_photos([argument]) if item.drawn]
        assert drawn == ["sub/sheet.PNG"]
    found = [item.path for item in find_photos(["sub"]) if item.is_photo]
    assert found == ["sub/c.webp", "sub/deep/d.gif", "sub/photo.png"]
    assert photos("sub/sheet.PNG") == ["sub/sheet.PNG"]  # named, and so meant
    with (album / "empty/sheet.png").open("wb") as file:
        save_png(Image.new("RGB", (7, 5)), file)
    assert problems("empty") == [
        "empty: there is no photo in this folder, expected files such as photo.jpg or photo.png; "
        "sheets that captioner drew are left out (1)"
    ]


def test_odd_names_are_told_in_one_line(album: Path) -> None:
    (album / "sub/two\nlines.svg").touch()
    (told,) = problems("sub")
    assert told is not None
    assert told.startswith("sub/two\\nlines.svg: left out")


def test_is_pipe(album: Path) -> None:
    os.mkfifo("pipe")
    assert folders.is_pipe("pipe")
    assert not any(map(folders.is_pipe, ("a.png", "sub", "gone", "null\0", "/dev/null")))


@pytest.mark.parametrize("argument", ["sub/*/c.gif", "sub/**/c.gif", "[s]ub/*/c.gif"])
def test_a_name_in_a_folder_that_cannot_be_searched_is_told(
    album: Path, argument: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the pattern ends in is no pattern, and `glob` takes it for not there."""
    for name in ("deep/c.gif", "free/c.gif"):
        (album / "sub" / name).parent.mkdir(exist_ok=True)
        (album / "sub" / name).touch()
    real = os.lstat

    def status(path: Any, **more: Any) -> Any:
        if "deep/c" in os.fspath(path):
            raise PermissionError(13, "Permission denied", path)
        return real(path, **more)

    monkeypatch.setattr(os, "lstat", status)
    (told,) = problems(argument)
    assert told.endswith("deep: left out, as it cannot be searched (Permission denied)")
    found = [item.path for item in find_photos([argument]) if item.is_photo]
    assert [Path(path).parts[-2:] for path in found] == [("free", "c.gif")]
