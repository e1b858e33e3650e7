from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from captioner import training
from captioner.cli import display, main
from captioner.cli.display import progress_bar, speak
from captioner.cli.parser import in_place, make_parser
from captioner.errors import ConfigError

PAINT = re.compile(r"\x1b\[[0-9;:]*m")  # a colour or a weight


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _watch(monkeypatch: pytest.MonkeyPatch) -> _Terminal:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    return terminal


@pytest.fixture(autouse=True)
def as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test says aloud, the next begins anew."""
    monkeypatch.setattr(display, "_quiet", False)
    monkeypatch.setattr(display, "_verbose", False)


@pytest.mark.parametrize("no_color", ["", "1"])
def test_nothing_is_painted(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_color: str,
) -> None:
    """Neither with NO_COLOR nor without: no text, no bar."""
    terminal = _watch(monkeypatch)
    monkeypatch.setenv("NO_COLOR", no_color)
    out = _Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    assert typed("caption", "a", "gone.png") == 1
    assert "0/3" in terminal.getvalue()  # there was a bar
    assert "gone.png: there is no such file" in terminal.getvalue()
    assert not PAINT.search(terminal.getvalue() + out.getvalue())


def test_help_is_not_painted_where_colours_are_unwanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Newer versions of Python paint it unless they are told not to."""
    out = _Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit):
        main(["caption", "--help"])
    assert "usage: captioner caption" in out.getvalue()
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize(
    ("term", "quiet", "shown"),
    [("xterm", False, True), ("dumb", False, False), ("xterm", True, False)],
)
def test_a_bar_needs_a_terminal_that_goes_back(
    monkeypatch: pytest.MonkeyPatch, term: str, quiet: bool, shown: bool
) -> None:
    terminal = _watch(monkeypatch)
    monkeypatch.setenv("TERM", term)
    speak(quiet=quiet)
    with progress_bar(9, "photo") as bar:
        bar.update(1)
    assert bool(terminal.getvalue()) == shown


def test_quiet_leaves_results_and_errors(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (here / "a" / "cat.txt").write_text("somebody's own\n")  # which usually is a note
    terminal = _watch(monkeypatch)
    assert typed("caption", "a", "gone.png", "--sidecar", ".txt", "--quiet") == 1
    assert capsys.readouterr().out.count("\n") == 2
    errors = terminal.getvalue().splitlines()
    assert len(errors) == 2
    assert errors[0].startswith("captioner: gone.png: there is no such file")
    assert errors[1] == "captioner: 1 of 3 failed, see above"


def test_notes_are_told_otherwise(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "a" / "cat.txt").write_text("somebody's own\n")
    assert typed("caption", "a", "--sidecar", ".txt") == 0
    assert "1 text that was there stays" in capsys.readouterr().err


def test_verbose_tells_weights_device_and_time(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("caption", "a", "--verbose") == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 2
    assert re.fullmatch(r"captioner: tiny\.safetensors on cpu\ncaptioner: took \d+\.\d s\n", err), (
        err
    )


def test_verbose_tells_where_an_error_came_from_and_what_modules_log(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["caption", "a", "--device", "abacus", "--verbose"]) == 2
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1].startswith("captioner: device is 'abacus'; expected auto")
    assert main(["caption", "a", "--device", "abacus"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    log = logging.getLogger("captioner.somewhere")
    log.info("unheard")
    speak(verbose=True)
    log.info("two\nlines")
    speak()
    log.info("unheard")
    assert capsys.readouterr().err == "captioner: two\\nlines\n"


def test_quiet_and_verbose_are_opposites(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["caption", "a", "--quiet", "--verbose"]) == 2
    assert "--verbose: not allowed with argument --quiet" in capsys.readouterr().err


def test_a_quiet_training_prints_its_best_checkpoint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(recipe: object, **settings: object) -> Path:
        print("epoch 1/1")
        assert settings["show"] is False
        return tmp_path / "best.safetensors"

    monkeypatch.setattr(training, "train", train)
    assert main(["train", "--quiet", "--device", "cpu", "--output", "x"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'best.safetensors'}\n"


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("--device cuda caption x.jpg", "caption --device cuda x.jpg"),
        ("--device=cuda caption x.jpg", "caption --device=cuda x.jpg"),
        ("--quiet --device cuda train r.toml", "train --quiet --device cuda r.toml"),
        ("--device cuda study alignment", "study alignment --device cuda"),
        ("--device cuda caption x --device cpu", "caption --device cuda x --device cpu"),
        ("caption x.jpg --device cuda", "caption x.jpg --device cuda"),
        ("--device", "--device"),
        ("--version", "--version"),
    ],
)
def test_what_stands_before_the_command_counts_behind_it(typed: str, read: str) -> None:
    assert in_place(typed.split()) == read.split()


def test_the_last_device_counts(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["--device", "cuda", "caption", "x", "--device", "cpu"]
    assert make_parser().parse_args(in_place(line)).device == "cpu"
    assert main(["--device", "abacus", "caption", "a"]) == 2
    assert "device is 'abacus'; expected auto" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--device", "cpu", "describe"], "unrecognized arguments: --device; see"),
        (["--device"], "argument --device: expected one argument"),
    ],
)
def test_a_command_without_it_says_so(
    line: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line) == 2
    assert message in capsys.readouterr().err
    with pytest.raises(ConfigError):
        make_parser().parse_args(in_place(line))
