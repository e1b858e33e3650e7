from __future__ import annotations

import contextlib
import errno
import fcntl
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from captioner import atomic, beside, outputs, scenes
from captioner.atomic import swept, whole
from captioner.errors import CaptionerError
from captioner.formats import folder, registry, webdataset
from captioner.formats.entries import Entry
from captioner.grids import _reserve
from captioner.resuming import note_settings
from captioner.storage import write_tensors
from captioner.training.callbacks import _write_csv, writing
from data.archives import write_whole


@pytest.fixture(autouse=True)
def _looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "_left", {})  # folders are looked through once a process


def names(path: Path) -> list[str]:
    return sorted(str(each.relative_to(path)) for each in path.rglob("*"))


@contextlib.contextmanager
def little_room(size: int = 64) -> Iterator[None]:
    """No file may grow beyond `size` bytes; the system refuses what is longer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


LONG = "word " * 10_000


def _photo(path: Path) -> Path:
    Image.effect_noise((64, 64), 90).save(path)
    return path


def _lines(path: Path) -> None:
    with outputs.json_lines(path) as write:
        write(LONG)


def _log(path: Path) -> None:
    with writing(path.parent):
        _write_csv(path, [{"phase": LONG}])


def _tensors(path: Path) -> None:
    write_tensors({"a": torch.zeros(9_999)}, {}, path)


def _copied(path: Path) -> None:
    inside = Entry(path.name, ("A dog.",))
    folder.copy_photo(inside, path.parent.parent / "photos", path.parent)


def _packed(path: Path) -> None:
    webdataset.pack([Entry("a.png", ("A dog.",))], path, path.parent.parent / "photos")


def _table(path: Path) -> None:
    entry = Entry("a.png", (LONG,))
    registry.write([entry], path, registry.of_output(path))


def _reserved(path: Path) -> None:
    def full(file: int, start: int, size: int) -> None:
        assert (start, size) == (0, 32)
        raise OSError(errno.ENOSPC, "No space left on device")

    path.touch()
    os.truncate(path, 32)  # what a mapped file has at first: its length, and nothing on the disk
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        _reserve(path)


WRITERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "text": ("a.txt", lambda path: outputs.write_text(path, LONG)),
    "lines": ("a.jsonl", _lines),
    "note": ("a.jsonl.run", lambda path: note_settings(path, {"a": LONG})),
    "sheet": ("a.png", lambda path: outputs.draw(Image.effect_noise((64, 64), 90), path)),
    "log": ("log.csv", _log),
    "weights": ("a.safetensors", _tensors),
    "sidecar": ("a.txt", lambda path: beside._write(beside.Change(path, "", LONG.encode()))),
    "copy": ("a.png", _copied),
    "archive": ("a.tar", _packed),
    "table": ("a.csv", _table),
    "grids": ("a.npy", _reserved),
    "scenes": ("images/000001.png", lambda path: scenes.write(path.parents[1], train=1, val=0)),
    "data": ("a.jpg", lambda path: write_whole(path, LONG.encode())),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_told_with_the_name_of_the_file(writer: str, tmp_path: Path) -> None:
    name, write = WRITERS[writer]
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    (tmp_path / "photos").mkdir()
    _photo(tmp_path / "photos" / "a.png")
    with little_room(), pytest.raises((OSError, CaptionerError)) as refused:
        write(path)
    error = refused.value
    if isinstance(error, OSError):
        assert error.filename2 is None
        assert error.filename == str(path) + ".partial" * (writer == "lines")
        assert error.errno in atomic.FULL
    else:
        assert str(path) in str(error)
        assert "File too large" in str(error)
        assert "make room there" in str(error)
    left = [each for each in names(tmp_path / "out") if each not in ("images",)]
    assert left == ["a.jsonl.partial"] * (writer == "lines")


def test_errors_of_what_is_read_keep_their_own_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as refused, whole(tmp_path / "out"):
        (tmp_path / "gone").read_bytes()
    assert refused.value.filename == str(tmp_path / "gone")
    with pytest.raises(ValueError, match="mine"), whole(tmp_path / "out"):
        raise ValueError("mine")
    assert names(tmp_path) == []


def test_no_message_names_a_temporary_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as refused, whole(tmp_path / "no" / "out") as partial:
        partial.write_text("x")
    assert refused.value.filename == str(tmp_path / "no" / "out")
    (tmp_path / "out").mkdir()
    with pytest.raises(IsADirectoryError) as refused, whole(tmp_path / "out") as partial:
        partial.write_text("x")
    assert (refused.value.filename, refused.value.filename2) == (str(tmp_path / "out"), None)
    assert names(tmp_path) == ["out"]


_KILLED = """
import os, signal, sys
from pathlib import Path
from captioner.atomic import whole
stack = [whole(Path(name), folder=name.endswith(".bin")) for name in sys.argv[1:]]
for each in stack:
    each.__enter__().write_text("half")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_has_left_is_cleared_away_by_the_next_one(tmp_path: Path) -> None:
    long = "하" * 80 + ".txt"  # 244 bytes, of which a temporary file's name cannot hold all
    ours = [str(tmp_path / name) for name in ("a.txt", "b.bin", long)]
    killed = subprocess.run([sys.executable, "-c", _KILLED, *ours], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 3
    others = [".a.txt.partial", ".a.txt.9x.partial", ".other.txt.12.partial", "a.txt.12.partial"]
    for name in others:
        (tmp_path / name).write_text("somebody else's")
    for name in ours:
        with whole(Path(name), folder=name.endswith(".bin")) as partial:
            partial.write_text("whole")
    assert names(tmp_path) == sorted([*others, "a.txt", "b.bin", long])
    assert [Path(name).read_text() for name in ours] == ["whole"] * 3


def _at_work(path: Path, ready: Any, end: Any) -> None:
    with whole(path) as partial:
        partial.write_text("first")
        ready.set()
        end.wait(60)


def test_what_a_living_run_writes_stays(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, end = context.Event(), context.Event()
    path = tmp_path / "a.txt"
    other = context.Process(target=_at_work, args=(path, ready, end))
    other.start()
    try:
        assert ready.wait(60)
        with whole(path) as partial:
            partial.write_text("second")
        assert path.read_text() == "second"
        assert names(tmp_path) == [f".a.txt.{other.pid}.partial", "a.txt"]
    finally:
        end.set()
        other.join(60)
    assert other.exitcode == 0
    assert path.read_text() == "first"
    assert names(tmp_path) == ["a.txt"]


def test_without_locks_nothing_of_another_process_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / ".a.txt.12.partial").touch()
    with whole(tmp_path / "a.txt") as partial:
        partial.write_text("whole")
    assert names(tmp_path) == [".a.txt.12.partial", "a.txt"]


def test_one_number_may_come_again(tmp_path: Path) -> None:
    """In a container, a process has the number that the killed one had."""
    path, left = tmp_path / "a.bin", tmp_path / f".a.bin.{os.getpid()}.partial"
    left.mkdir()
    (left / ".tmpA1b2C3").touch()
    with whole(path) as partial:
        partial.write_text("whole")
    left.write_text("half")
    with whole(path, folder=True) as partial:
        partial.write_text("whole again")
    assert (names(tmp_path), path.read_text()) == (["a.bin"], "whole again")


def test_a_run_of_its_own_folder_sweeps_all_of_it(tmp_path: Path) -> None:
    (tmp_path / ".best.safetensors.12.partial").mkdir()
    (tmp_path / ".best.safetensors.12.partial" / ".tmpA1b2C3").touch()
    (tmp_path / ".log.csv.12.partial").touch()
    (tmp_path / "log.csv").touch()
    swept(tmp_path)
    assert names(tmp_path) == ["log.csv"]


def test_a_weights_file_is_as_open_as_any_other(tmp_path: Path) -> None:
    write_tensors({"a": torch.zeros(3)}, {}, tmp_path / "a.safetensors")
    (tmp_path / "other").touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1
