from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from captioner import examples
from captioner.examples import Example
from captioner.prediction import Caption, Captioner
from tests.commands import (
    contents_of,
    names_in,
    noisy_picture,
    one_error,
    read_objects,
)

ROOT = Path(__file__).parent.parent


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C after two captions."""
    real = Captioner.stream

    def stream(self: Captioner, photos: list[str], **settings: Any) -> Iterator[Caption]:
        yield from real(self, photos[:2], **settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(Captioner, "stream", stream)


@pytest.mark.usefixtures("interrupted")
def test_ctrl_c_keeps_what_was_done(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = json.dumps(dict.fromkeys(["file", "caption", "words", "log_prob", "grid", "error"]))
    Path("all.jsonl").write_text(f"{older}\n")
    assert typed("caption", "a", "b", "--jsonl", "all.jsonl") == 130
    out, err = capsys.readouterr()
    assert out.count("\n") == 2
    assert err == "captioner: stopped; what was done so far is in all.jsonl.partial\n"
    assert [values["file"] for values in read_objects(Path("all.jsonl.partial"))] == [
        "a/cat.jpg",
        "a/dog.png",
    ]
    assert Path("all.jsonl").read_text() == f"{older}\n"
    # The next run does not throw it away.
    assert typed("caption", "a", "b", "--jsonl", "all.jsonl") == 130
    told, _, end = capsys.readouterr().err.partition("\n")
    assert told == (
        "captioner: all.jsonl.partial.1 keeps what an earlier run had written before it was stopped"
    )
    assert end == err
    assert len(read_objects(Path("all.jsonl.partial.1"))) == 2


@pytest.mark.usefixtures("interrupted")
def test_ctrl_c_without_a_file(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("caption", "a") == 130
    assert capsys.readouterr().err == "captioner: stopped\n"


class _Cut(io.StringIO):
    """Standard output whose reader takes one line and goes away."""

    def write(self, text: str) -> int:
        if "\n" in self.getvalue():
            raise BrokenPipeError
        return super().write(text)


def test_a_reader_that_goes_away_is_no_error(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdout", _Cut())
    assert typed("caption", "a") == 141
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys, "stdout", _Cut())
    assert typed("caption", "a", "--jsonl", "all.jsonl") == 141
    assert "what was done so far is in all.jsonl.partial" in capsys.readouterr().err


def test_a_closed_pipe_is_silent_in_a_process_too() -> None:
    code = "import sys; from captioner import cli; "
    code += "cli._run = lambda _: print(' ' * 10**6); sys.exit(cli.run())"  # fills any pipe
    command = f'{sys.executable} -c "{code}" | true; exit ${{PIPESTATUS[0]}}'
    ran = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (141, "")


@pytest.mark.parametrize("target", ["pipe", "folder"])
def test_what_is_no_file_is_not_replaced(
    typed: Callable[..., int], here: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if target == "folder":
        assert typed("caption", "b", "--jsonl", "a") == 2
        assert "a is a folder; expected the name of a file for --jsonl" in one_error(capsys)
        return
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert typed("caption", "b", "--jsonl", "pipe") == 0
        assert json.loads(os.read(reader, 2**16))["file"] == "b/dog.png"
    finally:
        os.close(reader)
    assert Path("pipe").is_fifo()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["caption", "b/dog.png", "--overlay", "."],
            "b/dog.png is read by this very command, and an output never replaces an input; "
            "choose another --overlay",
        ),
        (["explain", "b/dog.png", "A dog.", "--overlay", "."], "b/dog.png is read by this very"),
        (["caption", "b/dog.png", "--jsonl", "b/dog.png"], "b/dog.png is read by this very"),
        (["caption", "b", "--jsonl", "hard"], "hard is read by this very command (b/dog.png)"),
        (["caption", "b", "--jsonl", "soft"], "soft is read by this very command (b/dog.png)"),
        (["caption", "*/*.png", "--jsonl", "soft"], "soft is read by this very"),
        (["explain", "--input", "in.tsv", "--jsonl", "in.tsv"], "in.tsv is read by this very"),
        (["explain", "--input", "in.tsv", "--jsonl", "b/dog.png"], "b/dog.png is read by this"),
        (["caption", "b", "--jsonl", "{weights}"], "tiny.safetensors is read by this very"),
    ],
)
def test_an_output_is_never_an_input(
    typed: Callable[..., int],
    here: Path,
    weights: str,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("in.tsv").write_text("b/dog.png\tA dog.\n")
    Path("soft").symlink_to("b/dog.png")
    os.link("b/dog.png", "hard")
    before = contents_of(here)
    monkeypatch.setattr(Captioner, "stream", None)  # nothing is read
    for overwrite in ([], ["--overwrite"]):
        assert typed(*(a.format(weights=weights) for a in arguments), *overwrite) == 2
        assert message in one_error(capsys)
    assert contents_of(here) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["caption", "a/cat.jpg", "--overlay", "."],
            "a/cat.png is there already and is no picture of captioner's; choose another "
            "--overlay, or replace what is there with --overwrite",
        ),
        (["explain", "a/cat.jpg", "A cat.", "--overlay", "."], "a/cat.png is there already"),
        (["caption", "b", "--jsonl", "a/cat.png"], "a/cat.png is there already and is no file of"),
        (["caption", "b", "--jsonl", "notes"], "notes is there already and is no file of objects"),
        (["demo", "--output", "a"], "a/lion.png is there already and is no picture of"),
    ],
)
def test_what_is_not_ours_is_replaced_on_demand_only(
    typed: Callable[..., int],
    here: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    there = Example("lion", "zoo", "zoo", "cat.jpg", "A. Keeper", "CC0-1.0")
    monkeypatch.setattr(examples, "found", lambda: iter([(there, here / "a/cat.jpg")]))
    monkeypatch.setattr(examples, "EXAMPLES", (there,))
    for name in ("a/cat.png", "a/lion.png"):
        noisy_picture(9).save(name)
    Path("notes").write_text("mine\n")
    before = contents_of(here)
    assert typed(*arguments) == 2
    assert message in one_error(capsys)
    assert contents_of(here) == before
    assert typed(*arguments, "--overwrite") == 0
    assert typed(*arguments) == 0  # it is ours now
    changed = {name for name, content in contents_of(here).items() if before.get(name) != content}
    assert changed <= {message.partition(" ")[0]}


def test_two_outputs_do_not_share_a_file(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("caption", "b", "--overlay", "s", "--jsonl", "s/b/dog.png") == 2
    assert "s/b/dog.png would be written twice, for --jsonl and for --overlay" in one_error(capsys)


@pytest.mark.parametrize("length", [245, 251])
def test_the_longest_names_end_no_run(
    typed: Callable[..., int], here: Path, length: int, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy_picture(4).save(here / "a" / f"{'x' * length}.png")
    assert typed("caption", "a", "--overlay", "s", "--jsonl", "all.jsonl") == 0
    assert capsys.readouterr().err == ""
    objects = read_objects(Path("all.jsonl"))
    assert len(objects) == 3
    assert all(Path(values["sheet"]).is_file() for values in objects)


@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), MemoryError(), RecursionError()]
)
def test_an_error_of_one_sheet_ends_no_run(
    typed: Callable[..., int],
    here: Path,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = Caption.sheet

    def sheet(self: Caption, *, grid: bool = False) -> Image.Image:
        if self.file == "a/cat.jpg":
            raise error
        return real(self, grid=grid)

    monkeypatch.setattr(Caption, "sheet", sheet)
    assert typed("caption", "a", "b", "--overlay", "s", "--jsonl", "all.jsonl") == 1
    out, err = capsys.readouterr()
    assert out.count("\n") == 3
    kind = type(error).__name__
    assert f"captioner: a/cat.jpg: the sheet cannot be drawn ({kind}" in err
    assert "captioner: 1 of 3 failed, see above\n" in err
    sheets = [values["sheet"] for values in read_objects(Path("all.jsonl"))]
    assert sheets == [None, "s/a/dog.png", "s/b/dog.png"]
    assert names_in("s/a") == ["dog.png"]


def test_a_full_disk_ends_the_run_and_keeps_what_was_done(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("caption", "a", "--jsonl", "/dev/full") == 2
    assert (
        "captioner: /dev/full: No space left on device; make room there, or choose another place\n"
        in capsys.readouterr().err
    )
