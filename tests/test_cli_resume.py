"""`captioner caption --resume`; kills of real processes are in test_kills.py."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from captioner import beside
from captioner.captions import opened
from captioner.captions.writer import Writer
from captioner.cli.results import Results
from captioner.prediction import Captioner
from tests.commands import names_in, noisy_picture, one_error, read_objects

FLAGS = ("--jsonl", "all.jsonl", "--csv", "all.csv", "--write", "captions_results.json")
MORE = ("--sidecar", ".txt", "--batch-size", 2)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The photos that were captioned."""
    names: list[str] = []
    write = Writer.write

    def noting(self: Writer, memory: Any, photos: Sequence[Any], *rest: Any) -> Any:
        names.extend(str(photo.file) for photo in photos)
        return write(self, memory, photos, *rest)

    monkeypatch.setattr(Writer, "write", noting)
    return names


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Stops the next run behind so many lines."""

    def behind(lines: int) -> None:
        put, left = Results.put, [lines]

        def stopping(self: Results, *values: Any) -> None:
            put(self, *values)
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt

        monkeypatch.setattr(Results, "put", stopping)

    return behind


@pytest.fixture
def photos(here: Path) -> Path:
    """A folder of five photos, and what is none."""
    for number in range(5):
        path = here / "five" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        noisy_picture(number).save(path)
    (here / "five" / "6.jpg").write_text("no photo")
    return here


def outputs(here: Path) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: (here / name).read_text() for name in ("all.csv", "captions_results.json")
    }
    found["texts"] = {p.name: p.read_text() for p in (here / "five").glob("*.txt")}
    found["lines"] = [
        (values["file"], values["caption"], values["error"])
        for values in read_objects(here / "all.jsonl")
    ]
    return found


@pytest.mark.parametrize("lines", [1, 3, 6])
def test_a_stopped_run_goes_on_where_it_was(
    typed: Callable[..., int],
    photos: Path,
    stop: Callable[[int], None],
    seen: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lines: int,
) -> None:
    assert typed("caption", "five", *FLAGS, *MORE) == 1
    whole = outputs(photos)
    for name in (
        "all.jsonl",
        "all.csv",
        "captions_results.json",
        *(f"five/{n}.txt" for n in "01234"),
    ):
        (photos / name).unlink()
    seen.clear()
    with monkeypatch.context():
        stop(lines)
        assert typed("caption", "five", *FLAGS, *MORE) == 130
    monkeypatch.undo()
    monkeypatch.chdir(photos)
    assert (photos / "all.jsonl.partial").read_text().count("\n") == lines
    with (photos / "all.jsonl.partial").open("a") as file:
        file.write('{"file": "five/3.p')  # as a full disk tears it
    capsys.readouterr()
    assert typed("caption", "./five/", *FLAGS, *MORE, "--resume") == 1
    assert outputs(photos) == whole
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == max(0, 5 - lines)  # a line of each photo that was left
    assert "all.jsonl.partial: its last line was torn (18 bytes) and is written anew\n" in err
    assert f"captioner: goes on behind {lines} that an earlier run did" in err
    assert "all.jsonl.partial" not in names_in(".")


def test_nothing_is_done_twice(
    typed: Callable[..., int],
    photos: Path,
    stop: Callable[[int], None],
    seen: list[str],
) -> None:
    stop(2)
    assert typed("caption", "five", "--jsonl", "all.jsonl", "--batch-size", 2) == 130
    for _ in range(3):
        typed("caption", "five", "--jsonl", "all.jsonl", "--batch-size", 2, "--resume")
    assert sorted(seen) == [f"five/{n}.png" for n in range(5)]


def test_a_finished_run_takes_what_has_come_since(
    typed: Callable[..., int],
    photos: Path,
    seen: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = (*FLAGS, "--resume")
    assert typed("caption", "five", *flags) == 1
    before = (photos / "all.jsonl").read_bytes()
    noisy_picture(9).save("five/7.png")
    seen.clear()
    assert typed("caption", "five", *flags) == 1
    assert seen == ["five/7.png"]
    assert (photos / "all.jsonl").read_bytes().startswith(before)
    assert (photos / "all.csv").read_text().count("\n") == 8
    with monkeypatch.context() as patched:  # nothing is left: no weights are read
        patched.setattr(Captioner, "load", None)
        assert typed("caption", "five", *flags) == 1
    capsys.readouterr()
    assert typed("caption", "a", *flags) == 1  # of one that failed before
    assert "all.jsonl keeps 7 of photos that this command does not name" in capsys.readouterr().err


def test_other_options_are_refused_and_nothing_changes(
    typed: Callable[..., int],
    photos: Path,
    stop: Callable[[int], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    stop(2)
    assert typed("caption", "five", "--jsonl", "all.jsonl") == 130
    capsys.readouterr()
    before = (photos / "all.jsonl.partial").read_bytes()
    flags = ("--jsonl", "all.jsonl", "--resume", "--quiet")
    assert typed("caption", "five", *flags, "--prefix", "the") == 2
    assert "--resume: prefix was '' in the run that wrote the lines" in one_error(capsys)
    assert typed("caption", "five", *flags, "--map-size", "128") == 2
    assert "--resume: map_size was None in the run that wrote the lines" in one_error(capsys)
    (photos / "all.jsonl.run").unlink()
    assert typed("caption", "five", *flags) == 2
    assert "all.jsonl.run is missing, which says with which weights" in one_error(capsys)
    assert (photos / "all.jsonl.partial").read_bytes() == before


def test_resume_needs_the_file_of_the_run(
    typed: Callable[..., int], photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags in ((), ("--csv", "all.csv"), ("--jsonl", "-")):
        assert typed("caption", "five", "--resume", *flags) == 2
        assert one_error(capsys) == (
            "captioner: --resume goes on behind the objects that an earlier run wrote; add the "
            "--jsonl FILE of that run\n"
        )


def test_draws_are_those_of_a_run_that_nobody_stopped(
    typed: Callable[..., int], photos: Path, stop: Callable[[int], None]
) -> None:
    flags = ("--sample", "--beam-size", 1, "--temperature", 3)
    assert typed("caption", "five", "--jsonl", "whole.jsonl", *flags) == 1
    texts = [values["caption"] for values in read_objects(photos / "whole.jsonl")]
    assert len(set(texts)) > 2
    stop(3)
    assert typed("caption", "five", "--jsonl", "all.jsonl", *flags) == 130
    assert typed("caption", "five", "--jsonl", "all.jsonl", *flags, "--resume") == 1
    assert [values["caption"] for values in read_objects(photos / "all.jsonl")] == texts


def test_a_full_disk_beside_the_photos_ends_the_run_before_the_line(
    typed: Callable[..., int],
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write, room = beside._write, [2]

    def full(change: Any) -> None:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(change.path))
        write(change)

    monkeypatch.setattr(beside, "_write", full)
    assert typed("caption", "five", *FLAGS, *MORE) == 2
    assert (
        "five/2.txt: No space left on device; make room there, or choose another place; what was "
        "done so far is in" in capsys.readouterr().err
    )
    assert (photos / "all.jsonl.partial").read_text().count("\n") == 2
    room[0] = 100
    assert typed("caption", "five", *FLAGS, *MORE, "--resume") == 1
    assert len(list((photos / "five").glob("*.txt"))) == 5


def test_a_photo_that_hangs_its_decoder_is_given_up(
    typed: Callable[..., int],
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real, never = opened.open_one, threading.Event()

    def hanging(source: Any, *rest: Any, **settings: Any) -> Any:
        if str(source) == "five/1.png":
            never.wait()
        return real(source, *rest, **settings)

    monkeypatch.setattr(opened, "open_one", hanging)
    try:
        assert typed("caption", "five", "--jsonl", "all.jsonl", "--time-limit", 0.2) == 1
    finally:
        never.set()
    errors = [values["error"] for values in read_objects(photos / "all.jsonl")]
    assert errors[1] == ("five/1.png: opening it took longer than 0.2 s, and it was given up")
    assert [error is None for error in errors] == [True, False, True, True, True, False]
    assert f"captioner: {errors[1]}\n" in capsys.readouterr().err


def test_a_folder_that_vanishes_costs_its_photos_a_line_each(
    typed: Callable[..., int],
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stream = Captioner.stream

    def vanishing(self: Captioner, found: Any, **rest: Any) -> Any:
        (photos / "five").rename(photos / "gone")
        return stream(self, found, **rest)

    monkeypatch.setattr(Captioner, "stream", vanishing)
    assert typed("caption", "five", "a", "--jsonl", "all.jsonl") == 1
    errors = [values["error"] for values in read_objects(photos / "all.jsonl")]
    assert [error is None for error in errors] == [False] * 6 + [True] * 2
    assert "captioner: five/0.png: there is no such file" in capsys.readouterr().err
