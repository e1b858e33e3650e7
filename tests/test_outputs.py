from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from captioner import outputs
from captioner.errors import ConfigError
from captioner.outputs import (
    DRAWING,
    OBJECTS,
    TABLE,
    Guard,
    Kind,
    Sheets,
    draw,
    file_path,
    is_drawing,
    json_lines,
    whole,
    write_text,
)
from captioner.pictures.drawings import save_png
from captioner.prediction import Caption


def _inside(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


OURS = json.dumps(dict.fromkeys(["file", "caption", "words", "log_prob", "grid", "error"])) + "\n"


def test_lines_grow_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    path.write_text(OURS)
    with json_lines(path) as write:
        write("one")
        assert _inside(tmp_path) == {"all.jsonl": OURS, "all.jsonl.partial": "one\n"}
        write("two")
    assert _inside(tmp_path) == {"all.jsonl": "one\ntwo\n"}


def _stopped(path: Path, line: str) -> list[str]:
    """What a run tells that writes one line and is stopped."""
    told: list[str] = []

    def interrupted() -> None:
        with json_lines(path, tell=told.append) as write:
            write(line)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stop:
        interrupted()
    assert stop.value.__notes__ == [f"what was done so far is in {path}.partial"]
    return told


def test_what_a_stopped_run_left_is_kept_under_a_number(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    lines = [OURS.replace("null", str(number), 1) for number in range(4)]
    assert _stopped(path, lines[0][:-1]) == []
    for number in (1, 2):
        kept = f"{path}.partial.{number} keeps what an earlier run had written before it was "
        assert _stopped(path, lines[number][:-1]) == [f"{kept}stopped"]
    with json_lines(path) as write:
        write(lines[3][:-1])
    names = [f"all.jsonl.partial.{number}" for number in (1, 2, 3)]
    assert _inside(tmp_path) == {**dict(zip(names, lines, strict=False)), "all.jsonl": lines[3]}


def test_what_a_killed_run_left_empty_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "all.jsonl.partial").touch()
    with json_lines(tmp_path / "all.jsonl") as write:
        write("one")
    assert _inside(tmp_path) == {"all.jsonl": "one\n"}


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    for line in ([], [OURS[:-1]]):  # before the first line, and behind it
        with json_lines(path) as write:
            for text in line:
                write(text)
            with pytest.raises(ConfigError) as refused:
                json_lines(path).__enter__()
            write("end")
        assert str(refused.value) == (
            f"{path}.partial is being written by another run; let it end, or choose another --jsonl"
        )
        assert path.read_text() == "".join(f"{text}\n" for text in [*line, "end"])
        path.unlink()


def test_a_partial_file_of_somebody_else_stays(tmp_path: Path) -> None:
    (tmp_path / "all.jsonl.partial").write_text("notes of mine\n")
    with pytest.raises(ConfigError, match=r"all\.jsonl\.partial is there already and was not writ"):
        json_lines(tmp_path / "all.jsonl").__enter__()
    (tmp_path / "b.jsonl.partial").mkdir()
    with pytest.raises(ConfigError, match=r"b\.jsonl\.partial is no file; choose another --jsonl"):
        json_lines(tmp_path / "b.jsonl").__enter__()


def test_lines_that_were_moved_away_are_not_replaced_by_others(tmp_path: Path) -> None:
    def moved() -> None:
        with json_lines(tmp_path / "all.jsonl") as write:
            write("one")
            (tmp_path / "all.jsonl.partial").rename(tmp_path / "moved")
            (tmp_path / "all.jsonl.partial").write_text("another's")

    with pytest.raises(ConfigError, match="was moved while it was written; look for it"):
        moved()
    assert _inside(tmp_path) == {"moved": "one\n", "all.jsonl.partial": "another's"}


def test_a_run_without_a_line_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), json_lines(tmp_path / "all.jsonl"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "one.txt"
    write_text(path, "half a character: \udcff")
    assert _inside(path.parent) == {"one.txt": "half a character: \\udcff"}

    def fail() -> None:
        with whole(path) as partial:
            partial.write_text("half")
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011  (the very one)
        fail()
    assert _inside(path.parent) == {"one.txt": "half a character: \\udcff"}


def test_links_lead_to_the_file_and_devices_stay(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "latest.txt").symlink_to("real/one.txt")
    write_text(tmp_path / "latest.txt", "one")
    with json_lines(tmp_path / "latest.txt", Guard(overwrite=True)) as write:
        write("two")
    assert (tmp_path / "latest.txt").is_symlink()
    assert _inside(tmp_path / "real") == {"one.txt": "two\n"}
    device = tmp_path / "null"  # replacing /dev/null itself would hurt
    device.symlink_to("/dev/null")
    for path in (Path("/dev/null"), device):
        write_text(path, "nothing")
        draw(Image.new("L", (3, 3)), path)
        with json_lines(path) as write:
            write("nothing")
        assert path.is_char_device()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest.txt", "null", "real"]


@pytest.mark.usefixtures("drawn")
def test_links_to_what_is_not_there_yet_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("lines", "text", "sheets"):
        Path(name).symlink_to(f"nowhere/{name}/x")
    with json_lines(Path("lines")) as write:
        write("one")
    write_text(Path("text"), "two")
    sheet = Sheets("sheets", grid=False).draw(_caption("dog.jpg"))
    assert Path("nowhere/lines/x").read_text() == "one\n"
    assert Path("nowhere/text/x").read_text() == "two"
    assert sheet.samefile("nowhere/sheets/x/dog.png")
    assert all(Path(name).is_symlink() for name in ("lines", "text", "sheets"))


def test_links_that_lead_back_to_themselves_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("one").symlink_to("two")
    Path("two").symlink_to("one")
    for overwrite in (False, True):
        with pytest.raises(ConfigError) as refused:
            json_lines(Path("one"), Guard(overwrite=overwrite)).__enter__()
        message = "one is a link that leads back to itself; choose another --jsonl"
        assert str(refused.value) == message
    with pytest.raises(ConfigError) as refused:
        Sheets("one", grid=False)
    assert str(refused.value) == (
        "one is a link that leads back to itself; --overlay takes a folder, choose another"
    )
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["one", "two"]
    assert Path("one").is_symlink()


def test_names_of_folders_are_no_names_of_files() -> None:
    for name in ("out/", "out/.", "..", "./", "a/.."):
        with pytest.raises(ConfigError) as refused:
            file_path(name, "--jsonl")
        assert str(refused.value) == (
            f"{name} is a folder; expected the name of a file for --jsonl"
        )
    assert file_path("a/out.jsonl", "--jsonl") == Path("a/out.jsonl")


def test_pictures_and_texts_go_into_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        draw(Image.new("L", (3, 3)), tmp_path / "pipe")
        assert Image.open(io.BytesIO(os.read(reader, 2**16))).size == (3, 3)
        write_text(tmp_path / "pipe", "text")
        assert os.read(reader, 2**16) == b"text"
    finally:
        os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127 + "x", "\udcff" * 85])
def test_the_longest_names_can_be_written(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "text")
    assert [path.name for path in tmp_path.iterdir()] == [name]


# What is ours


def _png(path: Path, **texts: str) -> None:
    note = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        note.add_text(keyword, text)
    Image.new("RGB", (5, 3)).save(path, pnginfo=note)


def test_what_we_draw_is_known(tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    draw(Image.new("RGB", (5, 3), "red"), path, Photo="dog")
    assert is_drawing(path)
    with Image.open(path) as again:
        assert again.getpixel((0, 0)) == (255, 0, 0)
        assert (again.info["Software"], again.info["Photo"]) == ("captioner", "dog")
    for texts in ({}, {"Software": "GIMP"}, {"Title": "captioner"}, {"Software": "captioners"}):
        _png(path, **texts)
        assert not is_drawing(path)
    _png(path, Comment="x" * 3000, Software="captioner")
    assert is_drawing(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n\xff\xff\xff\xfftEXtSoftware",
        b"\x89PNG\r\n\x1a\n\0\0\0\0tEXt" * 500,
        b"tEXtSoftware\0captioner",
        bytes(range(256)) * 20,
    ],
)
def test_nothing_else_is_a_drawing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.png").write_bytes(content)
    assert not is_drawing(tmp_path / "odd.png")
    assert not is_drawing(tmp_path / "gone.png")
    assert not is_drawing(tmp_path)


@pytest.mark.parametrize(
    ("kind", "content", "ours"),
    [
        (OBJECTS, OURS, True),
        (OBJECTS, OURS * 2 + "cut sho", True),
        (OBJECTS, '{"source": "a", "translation": "b", "error": null, "more": 1}\n', True),
        (OBJECTS, json.dumps({"checkpoint": 1, "decoding": 2, "scores": 3}, indent=2), True),
        (OBJECTS, "# Translation by length of the source\n", False),
        (OBJECTS, '{"file": "a", "caption": "b"}\n', False),
        (OBJECTS, f"[{OURS}]", False),
        (OBJECTS, OURS[: len(OURS) // 2], False),
        (OBJECTS, "notes of mine\n", False),
        (OBJECTS, "[" * 10**5, False),
        (OBJECTS, "{\n" + "[" * 10**5, False),
        (TABLE, "# Translation by length of the source\n\n", True),
        (TABLE, "# Holiday\n", False),
        (DRAWING, OURS, False),
    ],
)
def test_what_is_ours_is_replaced_and_nothing_else(
    tmp_path: Path, kind: Kind, content: str, ours: bool
) -> None:
    path = tmp_path / "out"
    path.write_text(content)
    if not ours:
        with pytest.raises(ConfigError) as refused:
            Guard().check(path, kind, "--flag")
        assert str(refused.value) == (
            f"{path} is there already and is no {kind.name} of captioner's; choose another --flag, "
            "or replace what is there with --overwrite"
        )
    else:
        Guard().check(path, kind, "--flag")
    Guard(overwrite=True).check(path, kind, "--flag")
    path.write_text("")  # as `mktemp` makes it
    Guard().check(path, kind, "--flag")


def test_what_nobody_may_read_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").write_text(OURS)

    def refused(*_: object) -> bool:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(ConfigError, match="is there already and is no file of objects"):
        Guard().check(tmp_path / "out", Kind("file of objects", refused), "--jsonl")


def test_an_output_is_never_an_input_whatever_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text(OURS)
    Path("soft").symlink_to("in.jsonl")
    os.link("in.jsonl", "hard")
    Path("folder").symlink_to(".")
    for read in ("in.jsonl", "soft", "hard", f"{tmp_path}/folder/in.jsonl"):
        guard = Guard([read, None, "gone", "null\0"], overwrite=True)
        for name in (
            "in.jsonl",
            "soft",
            "hard",
            "./in.jsonl",
            "folder/in.jsonl",
            tmp_path / "hard",
        ):
            with pytest.raises(ConfigError) as refused:
                guard.check(Path(name), OBJECTS, "--jsonl")
            message = str(refused.value)
            assert message.startswith(f"{Path(name)} is read by this very command")
            assert message.endswith("an output never replaces an input; choose another --jsonl")
    Path("copy").write_text(OURS)
    guard.check(Path("copy"), OBJECTS, "--jsonl")
    guard.check(Path("gone"), OBJECTS, "--jsonl")
    with Path("in.jsonl").open() as file, pytest.raises(ConfigError, match=r"\(standard input\)"):
        Guard([file.fileno()]).check(Path("soft"), OBJECTS, "--jsonl")
    with pytest.raises(ConfigError, match="folder is a folder; expected the name of a file for -"):
        guard.check(Path("folder"), OBJECTS, "--jsonl")


def test_an_input_that_is_found_on_the_way_is_not_replaced_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    path.write_text("a photo, say")
    guard = Guard(overwrite=True)

    def late() -> None:
        with json_lines(path, guard) as write:
            write("one")
            guard.reads(path)

    with pytest.raises(ConfigError, match="is read by this very command") as refused:
        late()
    assert refused.value.__notes__ == [f"what was done so far is in {path}.partial"]
    assert path.read_text() == "a photo, say"


def test_two_outputs_do_not_share_a_file(tmp_path: Path) -> None:
    guard = Guard()
    guard.claim(tmp_path / "one.png", DRAWING, "--overlay")
    with pytest.raises(ConfigError) as refused:
        guard.claim(tmp_path / "ONE.png", OBJECTS, "--jsonl")
    assert str(refused.value) == (
        f"{tmp_path}/ONE.png would be written twice, for --overlay and for --jsonl; choose another "
        "--jsonl"
    )
    for _ in range(2):
        guard.claim(Path("/dev/null"), OBJECTS, "--jsonl")


# Sheets


@pytest.fixture
def sheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sheets:
    """In a folder of the current one."""
    monkeypatch.chdir(tmp_path)
    return Sheets("s", grid=False)


@pytest.mark.parametrize(
    ("photo", "root", "expected"),
    [
        ("dog.jpg", "", "s/dog.png"),
        ("./a/../dog.jpg", "", "s/dog.png"),
        ("a/b/dog.jpg", "", "s/a/b/dog.png"),
        ("a/b/dog.jpg", "a", "s/a/b/dog.png"),
        ("{here}/a/dog.jpg", "{here}/a", "s/a/dog.png"),
        ("/data/holiday/sun/dog.jpg", "/data/holiday", "s/holiday/sun/dog.png"),
        ("/data/holiday/sun/dog.jpg", "/data/holiday/", "s/holiday/sun/dog.png"),
        ("/data/holiday/sun/dog.jpg", "", "s/sun/dog.png"),
        ("../../up/dog.jpg", "", "s/up/dog.png"),
        ("../../up/sub/dog.jpg", "../../up", "s/up/sub/dog.png"),
        ("/dog.jpg", "", "s/dog.png"),
        ("/dog.jpg", "/", "s/dog.png"),
        ("no suffix", "", "s/no suffix.png"),
        (".jpg", "", "s/.jpg.png"),
        ("", "", "s/photo.png"),
    ],
)
def test_sheets_mirror_the_folders_of_the_photos(
    sheets: Sheets, tmp_path: Path, photo: str, root: str, expected: str
) -> None:
    photo, root = (text.format(here=tmp_path) for text in (photo, root))
    assert str(sheets.place(photo, root)) == expected


def _caption(file: str) -> Caption:
    return Caption(file, (), 0.0, np.zeros((0, 2, 2), np.float32), file=file)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sheets that are drawn at once: a pixel."""
    monkeypatch.setattr(Caption, "sheet", lambda self, *, grid: Image.new("L", (1, 1)))


@pytest.mark.usefixtures("drawn")
def test_no_two_photos_share_a_sheet_now_or_later(
    sheets: Sheets, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    several = ["dog.jpg", "dog.png", "Dog.gif", "dog.jpg", "dog-2.jpg", f"{other}/x/dog.jpg"]
    several += ["/elsewhere/x/dog.jpg", "x/dog.jpg"]
    places = [str(sheets.draw(_caption(file))) for file in several]
    names = ["dog.png", "dog.png.png", "Dog.gif.png", "dog-2.png", "dog-2.jpg.png"]
    assert places[:5] == [f"s/{name}" for name in names]
    assert places[5] == "s/x/dog.png"
    assert places[6] == "s/x/dog.jpg.png"
    assert places[7] == "s/x/dog-2.png"
    assert len(set(places)) == len(several)
    assert all(is_drawing(Path(place)) for place in places)
    # Another run in the other order: what is there tells whose it is.
    again = Sheets("s", grid=False)
    wanted = dict(zip(several[5:], places[5:], strict=True))
    for file in reversed(several[5:]):
        assert str(again.place(file)) == wanted[file]
    assert str(Sheets("s", grid=False).place("dog.png")) == "s/dog.png.png"
    assert str(Sheets("s", grid=False).place("dog.jpg")) == "s/dog.png"


@pytest.mark.usefixtures("drawn")
def test_sheets_and_photos_may_move_together(
    sheets: Sheets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets.draw(_caption("pics/dog.jpg"))
    (tmp_path / "moved").mkdir()
    (tmp_path / "s").rename(tmp_path / "moved" / "s")
    monkeypatch.chdir(tmp_path / "moved")
    assert str(Sheets("s", grid=False).place("pics/dog.jpg")) == "s/pics/dog.png"
    assert str(Sheets("s", grid=False).place("/far/pics/dog.jpg")) == "s/pics/dog.jpg.png"


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("stem", ["x" * 251, "ü" * 125, "\udcff" * 83])
def test_the_longest_names_have_sheets(sheets: Sheets, stem: str) -> None:
    places = [sheets.draw(_caption(f"{stem[:-1]}{end}.jpg")) for end in (stem[-1], "y")]
    assert len(set(places)) == 2
    assert all(place.stat().st_size for place in places)
    again = [Sheets("s", grid=False).place(f"{stem}.jpg") for _ in range(2)]
    assert again == [places[0]] * 2


def test_sheets_take_the_place_of_nothing_else(sheets: Sheets) -> None:
    Path("s/dog.png").write_text("not ours")
    with pytest.raises(ConfigError, match=r"s/dog\.png is there already and is no picture of capt"):
        sheets.place("dog.jpg")
    assert str(Sheets("s", False, Guard(overwrite=True)).place("dog.jpg")) == "s/dog.png"
    Path("s/cat.png").mkdir()
    with pytest.raises(ConfigError, match=r"s/cat\.png is a folder"):
        sheets.place("cat.jpg")
    guard = Guard(["s/dog.png"], overwrite=True)
    with pytest.raises(ConfigError, match=r"s/dog\.png is read by this very command"):
        Sheets("s", False, guard).place("dog.jpg")


@pytest.mark.usefixtures("drawn")
def test_what_came_since_is_not_replaced(sheets: Sheets) -> None:
    place = sheets.place("dog.jpg")
    place.write_text("not ours")
    with pytest.raises(ConfigError, match=r"s/dog\.png is there already"):
        sheets.draw(_caption("dog.jpg"), place)
    assert place.read_text() == "not ours"


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_may_be_named_later_is_passed_by(sheets: Sheets, overwrite: bool) -> None:
    Path("s/dog.png").write_text("a photo, say")
    Path("s/cat.png").touch()  # being written
    Path("s/cow.png").symlink_to("gone.png")
    Path("s/bat.png").mkdir()
    os.mkfifo("s/fox.png")
    sheets.draw(_caption("owl.jpg"))
    guard = Guard(overwrite=overwrite, complete=False)
    for _ in range(2):  # and their own sheets are found again
        late = Sheets("s", False, guard)
        for name in ("dog", "cat", "cow", "bat", "fox"):
            assert str(late.draw(_caption(f"{name}.jpg"))) == f"s/{name}.jpg.png"
        assert str(late.draw(_caption("owl.jpg"))) == "s/owl.png"
        guard = Guard(overwrite=overwrite, complete=False)
    assert Path("s/dog.png").read_text() == "a photo, say"
    assert not Path("s/cat.png").stat().st_size
    assert not Path("s/gone.png").exists()


def test_a_folder_that_nobody_may_write_to(sheets: Sheets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs.os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match="s: no permission to write there; choose another folder"):
        Sheets("s", grid=False)


def test_a_sheet_for_the_page_says_who_drew_it() -> None:
    buffer = io.BytesIO()
    save_png(Image.new("L", (1, 1)), buffer)
    assert b"tEXtSoftware\0captioner" in buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("note.txt/out.json", "note.txt is a file, and no folder for"),
        ("note.txt/deeper/out.json", "note.txt is a file, and no folder for"),
        ("new/out.json", "nothing can be written in "),
        ("out.json", "nothing can be written in "),
        ("old.json", "nothing can be written in "),
    ],
)
def test_where_nothing_can_be_written_is_told_before_the_work(
    name: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "note.txt").write_text("mine")
    (tmp_path / "old.json").write_text(OURS)
    monkeypatch.setattr(os, "access", lambda path, mode: not Path(path).is_dir())
    with pytest.raises(ConfigError, match=f"{told}.*; choose another --json$"):
        Guard().claim(tmp_path / name, OBJECTS, "--json")


def test_folders_that_are_not_there_yet_are_no_hindrance(tmp_path: Path) -> None:
    Guard().claim(tmp_path / "a" / "b" / "out.json", OBJECTS, "--json")
    assert not (tmp_path / "a").exists()
