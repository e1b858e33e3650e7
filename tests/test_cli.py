from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from captioner import checkpoint as checkpoints
from captioner import cli, evaluation, examples, training
from captioner.checkpoint import Checkpoint
from captioner.cli import main
from captioner.cli.captions import _word_table
from captioner.cli.display import one_line, percent
from captioner.cli.parser import make_parser
from captioner.cli.results import Results
from captioner.cli.settings import setting_groups, split_settings
from captioner.config import Recipe, SearchOptions, TranslationRecipe
from captioner.examples import Example
from captioner.prediction import Caption, Captioner
from captioner.text import Vocabulary
from captioner.trials import Trial
from tests.processes import hear_signals

ROOT = Path(__file__).parent.parent
COMMANDS = (
    "caption",
    "explain",
    "translate",
    "ui",
    "demo",
    "train",
    "evaluate",
    "calibrate",
    "study",
    "describe",
    "data check",
)


@pytest.fixture(scope="session")
def weights(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    checkpoints.save(tiny_checkpoint, path, torch.float32)  # exactly the tiny captioner
    return str(path)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with three photos in two folders, two of the same name."""
    for number, name in enumerate(("b/dog.png", "a/dog.png", "a/cat.jpg")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        _picture(number).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _picture(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((71, 53), Image.Resampling.BICUBIC)


@pytest.fixture
def typed(weights: str) -> Callable[..., int]:
    """Runs a command with the tiny weights on the CPU."""

    def run(command: str, *arguments: object) -> int:
        own = ["--checkpoint", weights, "--device", "cpu"]
        return main([command, *map(str, arguments), *own])

    return run


def _objects(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def _one_error(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error; nothing on standard output."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("captioner: ")
    assert err.count("\n") == 1, err
    return err


# Help and misuse.


ODD = ("nan", "inf", "-inf", "-1", "1e999", "9" * 5000, "0x10", "three", "", "1e-300", "1000000000")
NUMBERS = {  # what each flag takes of ODD
    "beam-size": (),
    "length-penalty": ("1e-300",),
    "max-length": (),
    "n-best": (),
    "temperature": ("1000000000",),
    "seed": ("1000000000",),
    "alternatives": (),
    "batch-size": (),
    "workers": (),
}


@pytest.mark.parametrize("flag", NUMBERS)
def test_odd_numbers_are_told_before_anything_is_read(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in set(ODD) - set(NUMBERS[flag]):
        assert main(["caption", "x.jpg", "--sample", f"--{flag}={text}"]) == 2, text
        error = _one_error(capsys)
        assert f"argument --{flag}: " in error
        assert " number from " in error
        assert len(error) < 200


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        ("ui", "port"),
        ("evaluate", "batch-size"),
        ("evaluate", "workers"),
        ("evaluate", "limit"),
        ("evaluate", "bootstrap"),
        ("translate x --to de", "batch-size"),
        ("data check", "min-count"),
        ("data check", "limit"),
        ("study alignment --source a --target b --from de --to en", "iterations"),
        ("study length a=b --source a --target b --from de --to en", "batch-size"),
    ],
)
def test_so_are_the_numbers_of_other_commands(
    command: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in ("-1", "nan", "9" * 5000, "2.5"):
        assert main([*command.split(), f"--{flag}={text}"]) == 2
        assert re.search(
            rf"argument --{flag}: '\S+ is no whole number from \d+ to \d+; see",
            (_one_error(capsys)),
        )


def test_what_is_told_twice_counts_last(typed: Callable[..., int], here: Path) -> None:
    assert typed("caption", "a", "--jsonl", "one.jsonl", "--jsonl=two.jsonl") == 0
    assert not Path("one.jsonl").exists()
    assert len(_objects(Path("two.jsonl"))) == 2


def test_no_text_steers_the_terminal() -> None:
    told = "\x1b[31mred\x07\r\n\t\x9b2J\u202etxt\u2028\u0085"
    assert one_line(told) == (r"\x1b[31mred\x07\r\n\t\x9b2J\u202etxt\u2028\x85")
    for fine in (
        "Größe 3 × 4",
        "un\u00a0chien\u202f!",
        "می\u200cخواهم",
        "👩\u200d👧",
        "犬",
        "\udcff",
        "\\",
    ):
        assert one_line(fine) == fine


def test_words_of_a_checkpoint_do_not_steer_the_terminal(
    tiny_checkpoint: Checkpoint, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = "\x1b]0;owned\x07\x9b2J"
    words = tuple(f"{word}{bad}" for word in tiny_checkpoint.vocabulary.ordinary)
    evil = dataclasses.replace(tiny_checkpoint, vocabulary=Vocabulary(words))
    checkpoints.save(evil, "evil.safetensors", torch.float32)
    own = ["--checkpoint", "evil.safetensors", "--device", "cpu"]
    assert main(["caption", "a", "--n-best", "2", *own]) == 2  # such words are refused on loading
    checkpoints.save(tiny_checkpoint, "good.safetensors", torch.float32)
    own = ["--checkpoint", "good.safetensors", "--device", "cpu"]
    assert main(["explain", "a/cat.jpg", f"a zebra{bad}", *own]) == 0
    assert main(["caption", f"gone{bad}.png", *own]) in (1, 2)
    assert main(["caption", "a", "--checkpoint", f"gone{bad}", "--device", "cpu"]) == 2
    out, err = capsys.readouterr()
    assert "x1b]0;owned" in err
    assert not {c for c in out + err if unicodedata.category(c) == "Cc"} - set("\n\t")


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n  {command} " in text
    assert text.count("\n  captioner ") >= 4  # examples to copy


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*command.split(), "--help"])
    assert end.value.code == 0
    assert f"usage: captioner {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["caption", "explain", "train", "evaluate"])
def test_examples_in_the_help_are_valid(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = make_parser()
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capsys.readouterr().out.replace("\\\n", " ")
    lines = [line.split("|") for line in text.splitlines() if line.startswith("  captioner ")]
    assert lines
    for parts in lines:
        words = [word.strip("'\"") for word in parts[0].split()[1:]]
        own, _ = split_settings(words) if command == "train" else (words, [])
        assert parser.parse_args(own).command == command


def test_train_help_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    recipes = (Recipe, TranslationRecipe)
    places = {p for kind in recipes for _, _, own in setting_groups(kind) for p, _, _ in own}
    assert len(places) > 80
    for place in places:
        assert f"--{place} " in text
    for heading in ("[training]", "[model.encoder]", "[[data.train]]", "[[phases]]"):
        assert f"{heading}:" in text
    assert "smallest share of the area that a random crop keeps; 1 is no crop (default: 1)" in text
    assert "recurrent cell: lstm, gru (default: lstm)" in text


def test_every_decoding_option_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["caption", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for entry in dataclasses.fields(SearchOptions):
        assert f"--{entry.name.replace('_', '-')}" in text
        assert entry.metadata["help"] in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    import captioner

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"captioner {captioner.__version__}\n"


def test_without_a_command_help_comes_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "captioner demo" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["captoin"], "invalid choice: 'captoin'"),
        (["caption"], "the following arguments are required: PATH"),
        (
            ["caption", "x.jpg", "--beam-size", "many"],
            "argument --beam-size: 'many' is no whole number from 1 to 100; see",
        ),
        (["caption", "x.jpg", "--beem", "3"], "unrecognized arguments: --beem 3"),
        (["caption", "x.jpg", "--beam", "3"], "unrecognized arguments: --beam 3"),
        (
            ["caption", "x.jpg", "--beem-size", "3"],
            "arguments: --beem-size 3 (did you mean --beam-size?); see captioner caption --help",
        ),
        (["caption", "x.jpg", "--maps"], "--maps belongs to the objects of --jsonl"),
        (["caption", "x.jpg", "--grid"], "--grid belongs to the sheets of --overlay"),
        (["caption", "x.jpg", "--top-p", "0.5"], "--top-p shapes random draws"),
        (
            ["caption", "x.jpg", "--device", "abacus"],
            "device is 'abacus'; expected auto, cpu, cuda",
        ),
        (["caption", "x.jpg", "--device", "meta"], "device meta holds no numbers"),
        (["caption", "x.jpg", "--device", "cuda:99"], "device cuda:99 cannot be used here ("),
        (["train", "--device", "meta"], "device meta holds no numbers"),
        (["ui", "--port", "0", "--device", "meta"], "device meta holds no numbers"),
        (["caption", "x.jpg", "--checkpoint", "no.safetensors"], "no.safetensors: no such file"),
        (["caption", "empty"], "empty: there is no photo in this folder"),
        (["caption", "*.webp"], "*.webp: no photo matches this pattern"),
        (["caption", "x.jpg", "--jsonl", ""], "argument --jsonl: expected a name, got an empty"),
        (["caption", "x.jpg", "--overlay", ""], "argument --overlay: expected a name"),
        (["caption", "x.jpg", "--checkpoint", ""], "argument --checkpoint: expected a name"),
        (["explain", "--input", ""], "argument --input: expected a name"),
        (["demo", "--output", ""], "argument --output: expected a name"),
        (["evaluate", "--json", ""], "argument --json: expected a name"),
        (["explain", "x.jpg"], "explain takes a photo and a sentence"),
        (["explain", "x.jpg", "A dog.", "--input", "f"], "explain takes a photo and a sentence"),
        (["explain", "--input", "no.tsv"], "no.tsv: No such file or directory"),
        (["explain", "--input", "empty.tsv"], "empty.tsv: no line; expected a path, a tab"),
        (["train", "no.toml"], "no.toml: no such file; expected a recipe"),
        (["train", "broken.toml"], "broken.toml: no TOML: Expected '=' after a key"),
        (["train", "broken.toml"], "line 2"),
        (["train", "latin.toml"], "latin.toml: line 1 is not UTF-8 text (byte 11)"),
        (["train", "odd.toml"], "training.batchsize is no setting; did you mean batch_size?"),
        (["train", "--seed"], "--seed needs a value: --seed VALUE"),
        (["train", "--seed", "--resume"], "--seed needs a value: --seed VALUE"),
        (["train", "--seed", "one"], "--seed is 'one'; expected a whole number"),
        (["train", "--sede", "1"], "sede is no setting; did you mean seed?"),
        (["train", "--batch-size", "1"], "mean --training.batch_size or --phases.0.batch_size?"),
        (["train", "--training.batchsize=1"], "training.batchsize is no setting; did you mean"),
        (["evaluate", "--captions", "c.json"], "the following arguments are required: --images"),
        (["evaluate", "--captions", "c", "--images", "i", "--metrics", "spice"], "no score is"),
        (["evaluate", "--captions", "c", "--images", "i", "--limit", "0"], "--limit is 0"),
        (
            ["evaluate", "--captions", "c", "--images", "i", "--save-scores"],
            "--save-scores changes",
        ),
        (
            ["evaluate", "--captions", "c", "--images", "i", "--search", "--beam-size", "2"],
            "--search finds beam size and length penalty itself; leave --beam-size out",
        ),
        (["evaluate", "--captions", "no.json", "--images", "i"], "no.json: no such file"),
        (["describe", "good.toml"], "good.toml: cut short or no safetensors file"),
        (["data"], "the following arguments are required: check"),
        (["data", "check"], "name the data in one of three ways"),
        (["data", "check", "a=b:c", "--config", "good.toml"], "name the data in one of three ways"),
        (["data", "check", "captions.json"], "'captions.json' names no split"),
        (["data", "check", "train=captions.json"], "names no split; expected NAME=CAPTIONS:IMAGES"),
        (["data", "check", "--captions", "c.json"], "a data source needs `images`"),
        (["data", "check", "--config", "good.toml"], "nothing to look at: name a file of captions"),
    ],
)
def test_misuse_is_told_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.jpg").write_bytes(b"")
    Path("empty").mkdir()
    Path("empty.tsv").write_text("")
    Path("broken.toml").write_text("seed = 1\nseed\n")
    Path("latin.toml").write_bytes(b"licence = '\xe9'\n")
    Path("odd.toml").write_text("[training]\nbatchsize = 3\n")
    Path("good.toml").write_text("seed = 3\n")
    assert main(arguments) == 2
    assert message in _one_error(capsys)


def test_a_missing_package_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert main(["caption", "a"]) == 2
    assert _one_error(capsys) == "captioner: tqdm is not installed; pip install tqdm\n"


def test_a_missing_module_of_our_own_is_a_bug(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    monkeypatch.setitem(sys.modules, "captioner.folders", None)
    with pytest.raises(ModuleNotFoundError):
        main(["caption", "a"])


# caption


def test_a_line_a_photo_in_order(
    typed: Callable[..., int],
    tiny_captioner: Captioner,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert typed("caption", "b", "a", "a/ca*.jpg") == 0
    out, err = capsys.readouterr()
    paths = ["b/dog.png", "a/cat.jpg", "a/dog.png", "a/cat.jpg"]
    lines = [line.split("\t") for line in out.splitlines()]
    assert [path for path, _ in lines] == paths
    assert [text for _, text in lines] == [tiny_captioner(path).text for path in paths]
    assert err == ""  # no bar in a pipe


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_progress_bar(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert typed("caption", "a", "--batch-size", 1) == 0
    assert "0/2" in terminal.getvalue()
    assert "photo" in terminal.getvalue()
    assert capsys.readouterr().out.count("\n") == 2


def test_objects_hold_the_contract(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("caption", "a", "b", "--jsonl", "out/all.jsonl", "--maps", "--n-best", 2) == 0
    lines = capsys.readouterr().out.splitlines()
    objects = _objects(here / "out" / "all.jsonl")
    assert [values["file"] for values in objects] == ["a/cat.jpg", "a/dog.png", "b/dog.png"]
    for line, values in zip(lines, objects, strict=True):
        names = ["file", "caption", "words", "log_prob", "grid", "maps", "n_best", "error"]
        assert list(values) == names
        others = [other["caption"] for other in values["n_best"]]
        assert line.split("\t") == [values["file"], values["caption"], *others]
        assert values["grid"] == [2, 2]
        assert values["error"] is None
        assert len(values["maps"]) == len(values["words"])
        for word in values["words"]:
            assert set(word) == {"word", "prob", "alternatives"}
            assert len(word["alternatives"]) == 5
    assert _names("out") == ["all.jsonl"]


def test_maps_only_on_request(typed: Callable[..., int], here: Path) -> None:
    assert typed("caption", "b", "--jsonl", "all.jsonl", "--alternatives", 2) == 0
    (values,) = _objects(Path("all.jsonl"))
    assert list(values) == ["file", "caption", "words", "log_prob", "grid", "error"]
    assert all(len(word["alternatives"]) == 2 for word in values["words"])


def test_objects_on_standard_output_take_the_place_of_lines(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a/bad.jpg").write_text("no picture")
    assert typed("caption", "a", "--jsonl", "-") == 1
    out, err = capsys.readouterr()
    objects = [json.loads(line) for line in out.splitlines()]
    assert [values["file"] for values in objects] == ["a/bad.jpg", "a/cat.jpg", "a/dog.png"]
    assert objects[0]["caption"] == ""
    assert f"captioner: {objects[0]['error']}\n" in err


BAD_FILES: dict[str, bytes] = {
    "empty.jpg": b"",
    "half.jpg": b"\xff\xd8\xff\xe0 cut short",
    "page.png": b"<html>404</html>",
    "words.gif": b"only words",
}


def test_bad_files_do_not_stop_the_others(
    typed: Callable[..., int],
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, content in BAD_FILES.items():
        (here / "a" / name).write_bytes(content)
    sheets = ["--overlay", "sheets", "--jsonl", "all.jsonl", "--batch-size", 2]
    assert typed("caption", "a", "gone.jpg", *sheets) == 1
    out, err = capsys.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()] == ["a/cat.jpg", "a/dog.png"]
    objects = _objects(Path("all.jsonl"))
    assert [values["file"] for values in objects] == [
        *sorted(f"a/{name}" for name in [*BAD_FILES, "cat.jpg", "dog.png"]),
        "gone.jpg",
    ]
    errors = {values["file"]: values["error"] for values in objects if values["error"]}
    assert set(errors) == {*(f"a/{name}" for name in BAD_FILES), "gone.jpg"}
    for file, error in errors.items():
        assert f"captioner: {error}\n" in err
        assert file in error
    assert "captioner: 5 of 7 failed, see above\n" in err
    assert _names("sheets/a") == ["cat.png", "dog.png"]
    sheets = [values["sheet"] for values in objects if values["error"] is None]
    assert sheets == ["sheets/a/cat.png", "sheets/a/dog.png"]
    assert all(values["sheet"] is None for values in objects if values["error"] is not None)


def test_paths_from_standard_input(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    odd = os.fsdecode(b"a/caf\xe9.png")
    _picture(7).save(odd)
    lines = b"b/dog.png\r\n\na/caf\xe9.png\na/cat.jpg"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines), "utf-8"))
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # as `run` does
    assert typed("caption", "-", "--jsonl", "all.jsonl") == 0
    assert "a/caf\\udce9.png\t" in capsys.readouterr().out
    files = [values["file"] for values in _objects(Path("all.jsonl"))]
    assert files == ["b/dog.png", odd, "a/cat.jpg"]


def test_an_empty_standard_input_is_told(
    typed: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    assert typed("caption", "-") == 2
    assert "standard input named no photo; expected one path a line" in _one_error(capsys)


def test_a_name_with_a_tab_stays_one_field(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _picture(1).save(here / "two\twords\n.png")
    assert typed("caption", "two\twords\n.png") == 0
    path, _, text = capsys.readouterr().out.partition("\t")
    assert path == r"two\twords\n.png"
    assert text.count("\n") == 1


def test_flags_reach_the_search(
    here: Path, monkeypatch: pytest.MonkeyPatch, typed: Callable[..., int]
) -> None:
    seen: dict[str, Any] = {}

    def stream(self: Captioner, photos: list[str], **settings: Any) -> Iterator[Caption]:
        seen.update(settings, photos=photos)
        return iter(())

    monkeypatch.setattr(Captioner, "stream", stream)
    flags = "--beam-size 4 --length-penalty 0 --max-length 7 --sample --top-p 0.5 --temperature 2"
    more = "--seed 11 --n-best 3 --batch-size 13 --workers 5 --prefix the"
    assert typed("caption", "b", *flags.split(), *more.split()) == 0
    assert seen == {
        "photos": ["b/dog.png"],
        "beam_size": 4,
        "length_penalty": 0.0,
        "max_length": 7,
        "sample": True,
        "top_p": 0.5,
        "temperature": 2.0,
        "seed": 11,
        "n_best": 3,
        "alternatives": 5,
        "batch_size": 13,
        "workers": 5,
        "prefix": "the",
        "to": None,
    }


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--beam-size", "0"], "argument --beam-size: '0' is no whole number from 1 to 100"),
        (["--beam-size", "2", "--n-best", "3"], "ask for a beam_size of at least 3"),
        (["--prefix", "a zebra"], "the prefix holds 'zebra'"),
        (["--batch-size", "999", "--beam-size", "9"], "choose a batch_size of at most 455"),
    ],
)
def test_wrong_settings_leave_no_file(
    typed: Callable[..., int],
    here: Path,
    flags: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert typed("caption", "b", "--jsonl", "all.jsonl", *flags) == 2
    assert message in _one_error(capsys)
    assert not list(here.glob("all.jsonl*"))


# Sheets


def test_sheets_of_one_name_do_not_overwrite_each_other(
    typed: Callable[..., int], here: Path
) -> None:
    _picture(5).save("a/Dog.jpg")
    _picture(6).save("b/dog.bmp")
    photos = ["a/dog.png", "b/dog.png", "a/Dog.jpg", "b/dog.bmp"]
    assert typed("caption", *photos, "--overlay", "out/sheets", "--jsonl", "all.jsonl") == 0
    names = ["a/dog.png", "b/dog.png", "a/Dog.jpg.png", "b/dog.bmp.png"]
    contents = {(here / "out" / "sheets" / name).read_bytes() for name in names}
    assert len(contents) == 4
    objects = _objects(Path("all.jsonl"))
    assert [values["sheet"] for values in objects] == [f"out/sheets/{name}" for name in names]
    assert list(objects[0])[-2:] == ["sheet", "error"]
    # Nor in later runs, in another order, in which one is captioned again.
    for photo in reversed(photos):
        assert typed("caption", photo, "--overlay", "out/sheets") == 0
    assert {(here / "out" / "sheets" / name).read_bytes() for name in names} == contents
    found = [path for path in Path("out/sheets").rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to("out/sheets")) for path in found) == sorted(names)


def test_sheets_among_the_photos_are_no_photos(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in Path("a").iterdir()}
    for _ in range(2):
        assert typed("caption", "a", "--overlay", "a") == 0
    out, err = capsys.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()] == ["a/cat.jpg", "a/dog.png"] * 2
    assert err == "captioner: sheets that captioner drew are left out (2)\n"
    assert {path: path.read_bytes() for path in before} == before
    assert _names("a/a") == ["cat.png", "dog.png"]


def test_the_grid_shows_on_the_sheet(
    typed: Callable[..., int], tiny_captioner: Captioner, here: Path
) -> None:
    assert typed("caption", "b", "--overlay", "smooth") == 0
    assert typed("caption", "b", "--overlay", "cells", "--grid") == 0
    caption = tiny_captioner("b/dog.png")
    for folder, grid in (("smooth", False), ("cells", True)):
        drawn = Image.open(f"{folder}/b/dog.png")
        assert drawn.tobytes() == caption.sheet(grid=grid).tobytes()


def test_a_photo_that_vanishes_before_its_sheet(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = Captioner.stream

    def stream(self: Captioner, photos: list[str], **settings: Any) -> Iterator[Caption]:
        captions = list(real(self, photos, **settings))
        Path("a/cat.jpg").unlink()
        yield from captions

    monkeypatch.setattr(Captioner, "stream", stream)
    assert typed("caption", "a", "--overlay", "sheets") == 1
    out, err = capsys.readouterr()
    assert out.count("\n") == 2  # the caption is there all the same
    assert "captioner: a/cat.jpg: there is no such file" in err
    assert _names("sheets/a") == ["dog.png"]


def test_a_folder_that_cannot_be_made(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("caption", "b", "--overlay", "a/cat.jpg") == 2
    assert "a/cat.jpg is a file; --overlay takes a folder, choose another" in _one_error(capsys)
    assert typed("caption", "b", "--jsonl", "new/") == 2
    assert "new/ is a folder; expected the name of a file for --jsonl" in _one_error(capsys)
    assert not Path("new").exists()


# Interrupted and cut


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
    assert [values["file"] for values in _objects(Path("all.jsonl.partial"))] == [
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
    assert len(_objects(Path("all.jsonl.partial.1"))) == 2


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
        assert "a is a folder; expected the name of a file for --jsonl" in _one_error(capsys)
        return
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert typed("caption", "b", "--jsonl", "pipe") == 0
        assert json.loads(os.read(reader, 2**16))["file"] == "b/dog.png"
    finally:
        os.close(reader)
    assert Path("pipe").is_fifo()


# Outputs and inputs


def _untouched(here: Path) -> dict[str, bytes]:
    return {str(path.relative_to(here)): path.read_bytes() for path in here.rglob("*.*")}


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
    before = _untouched(here)
    monkeypatch.setattr(Captioner, "stream", None)  # nothing is read
    for overwrite in ([], ["--overwrite"]):
        assert typed(*(a.format(weights=weights) for a in arguments), *overwrite) == 2
        assert message in _one_error(capsys)
    assert _untouched(here) == before


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
        _picture(9).save(name)
    Path("notes").write_text("mine\n")
    before = _untouched(here)
    assert typed(*arguments) == 2
    assert message in _one_error(capsys)
    assert _untouched(here) == before
    assert typed(*arguments, "--overwrite") == 0
    assert typed(*arguments) == 0  # it is ours now
    changed = {name for name, content in _untouched(here).items() if before.get(name) != content}
    assert changed <= {message.partition(" ")[0]}


def test_two_outputs_do_not_share_a_file(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("caption", "b", "--overlay", "s", "--jsonl", "s/b/dog.png") == 2
    assert "s/b/dog.png would be written twice, for --jsonl and for --overlay" in _one_error(capsys)


@pytest.mark.parametrize("length", [245, 251])
def test_the_longest_names_end_no_run(
    typed: Callable[..., int], here: Path, length: int, capsys: pytest.CaptureFixture[str]
) -> None:
    _picture(4).save(here / "a" / f"{'x' * length}.png")
    assert typed("caption", "a", "--overlay", "s", "--jsonl", "all.jsonl") == 0
    assert capsys.readouterr().err == ""
    objects = _objects(Path("all.jsonl"))
    assert len(objects) == 3
    assert all(Path(values["sheet"]).is_file() for values in objects)


@pytest.mark.parametrize("error", [OSError(28, "No space left"), MemoryError(), RecursionError()])
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
    sheets = [values["sheet"] for values in _objects(Path("all.jsonl"))]
    assert sheets == [None, "s/a/dog.png", "s/b/dog.png"]
    assert _names("s/a") == ["dog.png"]


def test_a_full_disk_ends_the_run_and_keeps_what_was_done(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("caption", "a", "--jsonl", "/dev/full") == 2
    assert "captioner: /dev/full: No space left on device\n" in capsys.readouterr().err


# What folders bring along


def test_what_is_left_out_is_told_and_counted(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("a/@eaDir/dog.png/thumb.jpg", "a/lost+found/x.jpg", "a/x.cr2", "a/y.svg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    os.mkfifo("a/pipe.jpg")
    real = os.scandir

    def listing(path: Any) -> Any:
        if "lost+found" in os.fspath(path):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", listing)
    assert typed("caption", "a", "*.nothing", "b", "--jsonl", "all.jsonl") == 1
    out, err = capsys.readouterr()
    files = ["a/cat.jpg", "a/dog.png", "b/dog.png"]
    assert [line.split("\t")[0] for line in out.splitlines()] == files
    assert [values["file"] for values in _objects(Path("all.jsonl"))] == files
    assert err.splitlines() == [
        "captioner: a/lost+found: left out, as it cannot be listed (Permission denied)",
        "captioner: a/pipe.jpg: left out, as it is a pipe; expected a file",
        "captioner: a/x.cr2: left out; camera raw is not read; export it as JPEG",
        "captioner: a/y.svg: left out; a page or drawing is not read; save it as PNG",
        "captioner: *.nothing: no photo matches this pattern, expected files such as photo.jpg or "
        "photo.png",
        "captioner: 5 of 8 failed, see above",
    ]


def test_where_nothing_can_be_captioned_no_weights_are_loaded(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a/cat.jpg").rename("a/cat.svg")
    Path("a/dog.png").unlink()
    assert main(["caption", "a", "*.nothing", "--checkpoint", "none", "--jsonl", "all.jsonl"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(":")[1] for line in err.splitlines()] == [" a/cat.svg", " *.nothing"]
    assert not list(here.glob("all.jsonl*"))


# Standard input


def test_standard_input_comes_as_it_is_there(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr(sys, "stdin", os.fdopen(reader))
    shown: list[str] = []
    rest = [b"b/dog.png\ngone.jpg\n", b"a"]  # a line, one that fails, and a folder at the end

    def show(self: Results, text: str) -> None:
        shown.append(text.partition("\t")[0])
        if rest:  # the next line is written when the caption of the last one is there
            os.write(writer, rest.pop(0))
            if not rest:
                os.close(writer)

    monkeypatch.setattr(Results, "show", show)
    Path("a/x.svg").touch()
    os.write(writer, b"\xef\xbb\xbfa/dog.png\r\n\n")
    assert typed("caption", "-", "--overlay", "s", "--jsonl", "all.jsonl") == 1
    assert shown == ["a/dog.png", "b/dog.png", "a/cat.jpg", "a/dog.png"]
    sheets = [values["sheet"] for values in _objects(Path("all.jsonl"))]
    assert sheets == ["s/a/dog.png", "s/b/dog.png", None, "s/a/cat.png", "s/a/dog-2.png"]
    err = capsys.readouterr().err
    assert "captioner: gone.jpg: there is no such file" in err
    assert "captioner: a/x.svg: left out" in err
    assert "captioner: 2 of 6 failed, see above\n" in err


def _one_after_the_other(monkeypatch: pytest.MonkeyPatch, *lines: bytes) -> None:
    """Standard input that gives each line when the result of the one before was put."""
    reader, writer = os.pipe()
    monkeypatch.setattr(sys, "stdin", os.fdopen(reader))
    rest = list(lines)
    put = Results.put

    def note(self: Results, *values: Any) -> None:
        put(self, *values)
        if rest:
            os.write(writer, rest.pop(0))
            if not rest:
                os.close(writer)

    monkeypatch.setattr(Results, "put", note)
    os.write(writer, rest.pop(0))


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_a_photo_that_standard_input_names_later_is_not_replaced_by_a_sheet(
    typed: Callable[..., int], here: Path, overwrite: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _picture(8).save("a/cat.png")
    before = _untouched(here)
    names = [b"a/cat.jpg\n", b"a/cat.png\n", b"a/dog.png\n"]
    _one_after_the_other(monkeypatch, *names)
    assert typed("caption", "-", "--overlay", ".", *overwrite, "--jsonl", "all.jsonl") == 0
    after = _untouched(here)
    assert {name: after[name] for name in before} == before
    objects = _objects(Path("all.jsonl"))
    sheets = ["a/cat.jpg.png", "a/cat.png.png", "a/dog.png.png"]
    assert [values["sheet"] for values in objects] == sheets
    assert all(values["caption"] for values in objects)


def test_a_photo_that_standard_input_names_later_is_not_replaced_by_objects(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = _untouched(here)
    _one_after_the_other(monkeypatch, b"a/cat.jpg\n", b"a/dog.png\n")
    assert typed("caption", "-", "--jsonl", "a/dog.png", "--overwrite") == 2
    told = capsys.readouterr().err
    assert "captioner: a/dog.png is read by this very command" in told
    assert "what was done so far is in a/dog.png.partial" in told
    assert {name: _untouched(here)[name] for name in before} == before
    assert len(_objects(Path("a/dog.png.partial"))) == 2


# Processes: signals, closed streams, pipes


def _process(weights: str, command: str, **settings: Any) -> subprocess.Popen[bytes]:
    """`command` in bash, with $C for `captioner caption` with the tiny weights."""
    own = f"{sys.executable} -m captioner"
    flags = f"--checkpoint {weights} --device cpu"
    path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = {**os.environ, "PYTHONPATH": path, "C": f"{own} caption {flags}"}
    pipe = subprocess.PIPE
    settings = {"stdout": pipe, "stderr": pipe, "preexec_fn": hear_signals, **settings}
    return subprocess.Popen(["bash", "-c", command], env=environment, **settings)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_signals_that_ask_to_end_keep_what_was_done(weights: str, here: Path, name: str) -> None:
    number = getattr(signal, name)
    command = "exec $C - --jsonl all.jsonl"
    with _process(weights, command, stdin=subprocess.PIPE) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdin.write(b"a/cat.jpg\n")
        running.stdin.flush()
        assert running.stdout.readline().startswith(b"a/cat.jpg\t")  # nothing else comes
        running.send_signal(number)
        told = running.stderr.read().decode()
    how = "stopped" if name == "SIGINT" else f"stopped by {name}"
    assert told == f"captioner: {how}; what was done so far is in all.jsonl.partial\n"
    assert running.returncode == 128 + number
    assert [values["file"] for values in _objects(Path("all.jsonl.partial"))] == ["a/cat.jpg"]


def test_a_pipe_that_nobody_writes_to_can_be_left(weights: str, here: Path) -> None:
    os.mkfifo("pipe")
    with _process(weights, "exec $C pipe") as running:
        assert running.stderr is not None
        with Path("pipe").open("wb"):  # comes back when the pipe is being read
            running.send_signal(signal.SIGTERM)
            assert running.stderr.read() == b"captioner: stopped by SIGTERM\n"
    assert running.returncode == 143


@pytest.mark.parametrize("paths", ["b/dog.png pipe a/cat.jpg", "- < names"])
def test_a_slow_photo_holds_back_no_caption_before_it(weights: str, here: Path, paths: str) -> None:
    os.mkfifo("pipe")
    Path("names").write_text("b/dog.png\npipe\na/cat.jpg\n")
    with _process(weights, f"exec $C {paths}") as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith(b"b/dog.png\t")
        Path("pipe").write_bytes(Path("a/dog.png").read_bytes())  # not before
        lines = running.stdout.read().splitlines()
    assert [line.partition(b"\t")[0] for line in lines] == [b"pipe", b"a/cat.jpg"]
    assert running.returncode == 0


def test_closed_streams_are_as_dev_null(weights: str, here: Path) -> None:
    light = f"{sys.executable} -m captioner"
    commands = [
        f"{light} --version >&-; echo $?",
        f"{light} caption 2>&-; echo $?",
        f"{light} caption 2> >(true); echo $?",
        f"{light} --version > /dev/full 2> full; echo $?; cat full",
        # A pipe is a photo, too, and its sheet needs it once more.
        "$C <(cat b/dog.png) --overlay s --jsonl all.jsonl <&- >&- 2>&-; echo $?",
    ]
    with _process(weights, "\n".join(commands)) as running:
        out, err = (stream.decode() for stream in running.communicate())
    told = ["0", "2", "2", "2", "captioner: No space left on device", "0"]
    assert (out.splitlines(), err) == (told, "")
    (values,) = _objects(Path("all.jsonl"))
    assert values["error"] is None
    assert Path(values["sheet"]).is_file()


def test_a_closed_standard_input_names_no_photo(
    typed: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    cli._open_closed()
    assert typed("caption", "-") == 2
    assert "standard input named no photo; expected one path a line" in _one_error(capsys)


def test_the_signal_of_an_interrupted_training_is_in_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def train(recipe: Recipe, **settings: Any) -> Path:
        stop = training.Interrupted("stopped and saved")
        stop.number = signal.SIGTERM  # type: ignore[attr-defined]
        raise stop

    monkeypatch.setattr(training, "train", train)
    assert main(["train", "--device", "cpu", "--output=runs/x"]) == 143


def test_signals_are_left_to_whoever_listens_already(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def run(arguments: Any) -> int:
        seen.append((signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)))
        return 0

    monkeypatch.setattr(cli, "_run", run)
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
        assert main([]) == 0
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGHUP, before[1])
    assert callable(seen[0][0])
    assert seen[0][1] is signal.SIG_IGN


# explain


def test_explain_shows_a_table(
    typed: Callable[..., int],
    tiny_captioner: Captioner,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert typed("explain", "b/dog.png", "The zebra", "runs!", "--jsonl", "one.jsonl") == 0
    out, err = capsys.readouterr()
    caption = tiny_captioner.explain("b/dog.png", "The zebra runs!")
    lines = out.splitlines()
    assert lines[0].split("  ")[0] == "word"
    assert [line.split()[0] for line in lines[1:4]] == ["the", "zebra", "runs"]
    assert percent(caption.words[0].prob or 0) in lines[1]
    assert lines[2].split()[1] == "unknown"
    assert f"{caption.log_prob:.2f}" in lines[4]
    assert "the model does not know 'zebra'" in err
    (values,) = _objects(Path("one.jsonl"))
    assert values == json.loads(json.dumps(caption.to_dict(maps=True)))
    assert values["words"][1]["unknown"] is True


def test_the_likeliest_other_word_is_another_word() -> None:
    from captioner.prediction import Word

    alternatives = (("dog", 0.9995), ("cat", 0.0004), (".", 0.0001))
    words = (
        Word("dog", 0.9995, -0.0005, alternatives),
        Word("cat", 0.0004, -7.8, alternatives[1:]),
        Word("a", 0.5, -0.7),
    )
    maps = np.full((3, 2, 2), 0.25, np.float32)
    rows = _word_table(Caption("", words, -8.5, maps)).splitlines()
    assert rows[1].split("  ")[0] == "dog"
    assert "> 99.9 %  cat < 0.1 %" in rows[1]
    assert "< 0.1 %  (end) < 0.1 %" in rows[2]
    assert "50.0 %  –" in rows[3]
    assert rows[3].endswith("100.0 %")


def test_explain_draws_the_sheet_of_the_sentence(
    typed: Callable[..., int], tiny_captioner: Captioner, here: Path
) -> None:
    assert typed("explain", "b/dog.png", "A red ball.", "--overlay", "sheets") == 0
    expected = tiny_captioner.explain("b/dog.png", "A red ball.").sheet()
    assert Image.open("sheets/b/dog.png").tobytes() == expected.tobytes()


def test_explain_many_line_for_line(
    typed: Callable[..., int],
    tiny_captioner: Captioner,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("a/bad.jpg").write_text("no picture")
    lines = [
        "a/cat.jpg\tThe cat jumps.",
        "a/cat.jpg The cat jumps.",
        "a/cat.jpg\t...",
        "",
        "a/bad.jpg\tA dog.",
        "gone.jpg\t!",
        "a/dog.png\tA dog over a zebra",
    ]
    Path("pairs.tsv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    options = ["--jsonl", "out.jsonl", "--batch-size", 2]
    assert typed("explain", "--input", "pairs.tsv", *options) == 1
    out, err = capsys.readouterr()
    objects = _objects(Path("out.jsonl"))
    assert [values["error"] is None for values in objects] == [True, *[False] * 5, True]
    alone = tiny_captioner.explain("a/cat.jpg", "The cat jumps.").to_dict(maps=True)
    assert objects[0]["maps"][2] == pytest.approx(alone["maps"][2], abs=1e-3)
    assert objects[0]["log_prob"] == pytest.approx(alone["log_prob"], abs=1e-2)
    assert objects[1]["error"].startswith("line 2 is 'a/cat.jpg The cat jumps.'; expected a path")
    assert objects[1]["file"] is None
    assert objects[2]["error"] == "the sentence '...' has no words; write what you see"
    assert objects[2]["file"] == "a/cat.jpg"
    assert objects[3]["error"].startswith("line 4 is ''; expected a path, a tab and a sentence")
    assert "a/bad.jpg" in objects[4]["error"]
    assert "gone.jpg: there is no such file" in objects[5]["error"]
    assert len(objects[6]["maps"]) == len(objects[6]["words"]) == 5
    assert [line.split("\t")[0] for line in out.splitlines()] == ["a/cat.jpg", "a/dog.png"]
    assert out.splitlines()[0].split("\t")[2] == "The cat jumps."
    assert "does not know 'zebra'" in err
    assert "5 of 7 failed" in err


def test_explain_scores_no_sentence_with_bytes_that_are_not_utf_8(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of it would be another sentence; a path may be of any bytes."""
    Path("pairs.tsv").write_bytes(
        b"a/cat.jpg\tA dog.\na/cat.jpg\tA caf\xe9 dog.\na/caf\xe9.jpg\tA dog.\n"
    )
    assert typed("explain", "--input", "pairs.tsv", "--jsonl", "out.jsonl") == 1
    good, broken, path = _objects(Path("out.jsonl"))
    assert good["error"] is None
    assert broken["error"] == (
        "line 2: the sentence is not UTF-8 (byte 6: E9); save the file as UTF-8, from Latin-1 "
        "with: iconv -f latin1 -t utf-8"
    )
    assert (broken["file"], broken["words"]) == (None, [])
    assert "there is no such file" in path["error"]
    capsys.readouterr()
    assert typed("explain", "a/cat.jpg", "A caf\udce9 dog.") == 2
    assert "character 6 is no text (\\udce9: a byte that is not UTF-8" in _one_error(capsys)


@pytest.mark.parametrize("command", ["explain --input pairs.tsv", "caption -"])
def test_files_of_lines_in_utf_16_are_said_to_be_that(
    command: str,
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = "a/cat.jpg\tA dog.\n".encode("utf-16")
    Path("pairs.tsv").write_bytes(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert typed(*command.split()) == 2
    told = "this is UTF-16 text; save it as UTF-8, with: iconv -f utf-16 -t utf-8"
    assert told in _one_error(capsys)


def test_explain_one_bad_photo(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("explain", "gone.jpg", "A dog.") == 1
    assert "gone.jpg: there is no such file" in _one_error(capsys)
    assert typed("explain", "a/cat.jpg", "?") == 1
    assert "the sentence '?' has no words" in _one_error(capsys)


# demo


def test_demo_shows_what_is_there(
    typed: Callable[..., int],
    here: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    packages = tmp_path_factory.mktemp("packages")
    (packages / "zoo_of_ours").mkdir()
    _picture(3).save(packages / "zoo_of_ours" / "lion.png")
    monkeypatch.syspath_prepend(str(packages))
    there = Example("lion", "zoo_of_ours", "zoo", "lion.png", "A. Keeper", "CC0-1.0")
    gone = Example("tower", "no_such_package_anywhere", "towers", "tower.png", "B", "CC0-1.0")
    monkeypatch.setattr(examples, "EXAMPLES", (there, gone))
    assert typed("demo") == 0
    out, err = capsys.readouterr()
    assert out.startswith("lion: ")
    assert "(A. Keeper; CC0-1.0)" in out
    assert "captioner-demo/lion.png" in out
    assert err == "left out: tower (pip install towers)\n"
    assert _names("captioner-demo") == ["lion.png"]
    monkeypatch.setattr(examples, "EXAMPLES", (gone,))
    assert typed("demo", "--output", "other") == 2
    assert "no photographs for the demo; pip install" in capsys.readouterr().err
    assert not Path("other").exists()


# describe


def test_describe(weights: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", weights]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert weights in out
    assert "mobilenet_v2, stride 32: 64 × 64 pixels become 2 × 2 cells of 24 features" in out
    assert "vocabulary 12 words and 4 special tokens" in out
    assert "decoding beam 3, length penalty 0.7, at most 9 words" in out
    assert "licence for tests" in out
    assert main(["describe", weights, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values == json.loads(json.dumps(checkpoints.describe(weights)))


def test_describe_the_shipped_weights(
    weights: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkpoints, "default_path", lambda: Path(weights))
    assert main(["describe"]) == 0
    assert weights in capsys.readouterr().out


# evaluate, train, data check


@pytest.fixture
def data(here: Path) -> Path:
    """Seven photos with five captions each, in the COCO format."""
    texts = ["A dog runs.", "The red dog jumps over a log.", "A man.", "The cat", "A ball!"]
    images, annotations = [], []
    (here / "images").mkdir()
    for number in range(7):
        _picture(20 + number).save(here / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png"})
        rotated = [texts[(number + k) % 5] for k in range(5)]
        annotations += [{"image_id": number, "caption": text} for text in rotated]
    document = {"images": images, "annotations": annotations}
    (here / "captions_val.json").write_text(json.dumps(document))
    return here


SPLIT = ("--captions", "captions_val.json", "--images", "images")


def test_evaluate(
    typed: Callable[..., int],
    data: Path,
    weights: str,
    tiny_captioner: Captioner,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert typed("evaluate", *SPLIT, "--bootstrap", 7, "--output", "out", "--beam-size", 2) == 0
    out = capsys.readouterr().out.splitlines()
    names = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"]
    assert [line.split()[0] for line in out[:6]] == names
    assert all("beam 2, length penalty 0.7" in line and "N 7" in line for line in out[:6])
    assert _names("out") == ["captions.jsonl", "extremes.png", "scores.json"]
    record = json.loads(Path("out/scores.json").read_text())
    assert list(record["scores"]) == names
    assert record["photos"] == 7
    assert record["decoding"]["beam_size"] == 2
    rows = _objects(Path("out/captions.jsonl"))
    assert [row["file"] for row in rows] == [f"images/{number}.png" for number in range(7)]
    assert rows[0]["caption"] == tiny_captioner("images/0.png", beam_size=2).text
    assert len(rows[0]["references"]) == 5
    mean = sum(row["cider"] for row in rows) / 7
    assert record["scores"]["cider"]["value"] == pytest.approx(mean, abs=1e-3)
    assert Image.open("out/extremes.png").width > 700


def test_evaluate_as_json(
    typed: Callable[..., int], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("images/2.png").write_text("no picture")
    flags = ["--metrics", "bleu,cider", "--bootstrap", 0, "--limit", 5]
    assert typed("evaluate", *SPLIT, *flags, "--json", "-") == 1
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert record["photos"] == 4
    assert "images/2.png" in record["left_out"][0]
    assert "images/2.png" in err
    assert set(record["scores"]) == {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider"}
    assert typed("evaluate", *SPLIT, *flags, "--json", "out/scores.json") == 1
    assert json.loads(Path("out/scores.json").read_text()) == record


def test_search_takes_the_best_by_cider(
    typed: Callable[..., int],
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: dict[str, Any] = {}
    trials = (
        Trial(1, None, {"cider": 0.25, "bleu_4": 0.5}),
        Trial(3, 0.0, {"cider": 0.75, "bleu_4": 0.125}),
        Trial(3, 1.0, {"cider": 0.5, "bleu_4": 0.0625}),
    )

    def search(captioner: Captioner, photos: list[Any], **settings: Any) -> tuple[Trial, ...]:
        seen.update(settings, photos=len(photos))
        return trials

    monkeypatch.setattr(evaluation, "search_decoding", search)
    flags = ["--search", "--bootstrap", 0, "--max-length", 7, "--workers", 3]
    assert typed("evaluate", *SPLIT, *flags) == 0
    del seen["progress"]
    assert seen == {
        "photos": 7,
        "beam_sizes": (1, 3, 5),
        "length_penalties": (0.0, 0.5, 0.7, 1.0),
        "workers": 3,
        "max_length": 7,
    }
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:4]] == [
        ["1", "–", "0.2500", "0.5000"],
        ["3", "0", "0.7500", "0.1250"],
        ["3", "1", "0.5000", "0.0625"],
    ]
    assert lines[4] == "best by CIDEr: beam size 3, length penalty 0"
    assert "chosen on these very photos" in lines[5]
    assert len(lines[7:]) == 6
    assert all(line.endswith("beam 3, length penalty 0)") for line in lines[7:])


def test_scores_are_kept_in_the_checkpoint(
    data: Path,
    weights: str,
    tiny_checkpoint: Checkpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "mine.safetensors"
    first = {"cider": {"name": "cider", "value": 0.5, "interval": None, "recipe": "in training"}}
    provenance = {"licence": "for tests", "scores": {"validation": first}}
    search = dataclasses.replace(tiny_checkpoint.search, alternatives=0)
    old = dataclasses.replace(tiny_checkpoint, provenance=provenance, search=search)
    checkpoints.save(old, path)
    own = ["--checkpoint", str(path), "--device", "cpu", "--bootstrap", "0"]
    flags = ["--beam-size", "2", "--length-penalty", "1", "--save-scores"]
    assert main(["evaluate", *SPLIT, *own, *flags]) == 0
    assert main(["evaluate", *SPLIT, *own, "--save-scores", "test photos"]) == 0
    header = checkpoints.describe(path)
    assert list(header["provenance"]["scores"]) == ["validation", "captions_val", "test photos"]
    assert header["provenance"]["scores"]["validation"] == first
    kept = header["provenance"]["scores"]["captions_val"]
    assert "beam 2, length penalty 1" in kept["cider"]["recipe"]
    assert kept == header["provenance"]["scores"]["test photos"]  # beam 2 is its own now
    assert header["provenance"]["licence"] == "for tests"
    assert header["search"]["beam_size"] == 2
    assert header["search"]["alternatives"] == SearchOptions.alternatives
    capsys.readouterr()
    assert main(["describe", str(path)]) == 0
    out = capsys.readouterr().out
    assert "scores on validation:\n  cider 0.5000 (in training)" in out
    assert "scores on test photos:\n  bleu_1 " in out


TINY_MODEL = [
    "--model.encoder.image_size=64",
    "--model.encoder.feature_size=24",
    "--model.encoder.weights=random",
    "--model.attention.size=24",
    "--model.decoder.hidden_size=24",
    "--model.decoder.embedding_size",
    "24",
]


def test_train_from_the_recipe_to_the_next_command(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("recipe.toml").write_text(
        """
output = "somewhere"
seed = 3
[data]
min_count = 1
[[data.train]]
captions = "captions_val.json"
images = "images"
[[data.validation]]
captions = "captions_val.json"
images = "images"
[[phases]]
epochs = 9
"""
    )
    flags = ["--output", "runs/mine", "--phases.0.epochs", "1", "--training.batch-size=4"]
    arguments = ["train", *flags, "recipe.toml", "--device", "cpu", *TINY_MODEL]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "training on cpu; everything goes to runs/mine/" in out
    assert "best checkpoint: runs/mine/best.safetensors" in out
    assert "scores on validation:\n  bleu_1 " in out
    assert "captioner caption --checkpoint runs/mine/best.safetensors" in out
    header = checkpoints.describe("runs/mine/best.safetensors")
    recipe = header["provenance"]["recipe"]
    assert recipe["search"]["alternatives"] == 0  # in validation, and only there
    assert header["search"]["alternatives"] == SearchOptions.alternatives
    assert recipe["seed"] == 3
    assert recipe["phases"][0]["epochs"] == 1
    assert recipe["training"]["batch_size"] == 4
    assert main(arguments) == 2
    assert "runs/mine holds a run already; go on with --resume" in capsys.readouterr().err
    assert main(["describe", "runs/mine/best.safetensors"]) == 0
    described = " ".join(capsys.readouterr().out.split())
    assert "trained on 7 photos with 35 captions: captions_val.json" in described
    assert "epochs one phase 1; best on validation" in described


def test_training_needs_data(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--device", "cpu"]) == 2
    assert "the recipe names no training data; write [[data.train]]" in capsys.readouterr().err


def test_an_interrupted_training_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[str, Any] = {}

    def train(recipe: Recipe, **settings: Any) -> Path:
        seen.update(settings, recipe=recipe)
        raise training.Interrupted("stopped and saved in runs/x; go on with --resume")

    monkeypatch.setattr(training, "train", train)
    assert main(["train", "--resume", "--device", "cpu", "--output=runs/x"]) == 130
    err = capsys.readouterr().err
    assert err == "captioner: stopped and saved in runs/x; go on with --resume\n"
    assert seen == {"resume": True, "device": "cpu", "recipe": Recipe(output="runs/x")}


@pytest.mark.parametrize(
    "arguments",
    [
        ["val=captions_val.json:images"],
        [*SPLIT],
        ["--config", "recipe.toml"],
        ["train=captions_val.json:images", "train=more.json:images"],
    ],
)
def test_data_check(data: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    source = 'captions = "captions_val.json"\nimages = "images"\n'
    Path("recipe.toml").write_text(f"[data]\nmin_count = 1\n[[data.train]]\n{source}")
    extra = {"images": [{"id": 1, "file_name": "x.png"}], "annotations": []}
    extra["annotations"] = [{"image_id": 1, "caption": "A cat runs."}]
    Path("more.json").write_text(json.dumps(extra))
    _picture(99).save("images/x.png")
    assert main(["data", "check", *arguments]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("split")
    assert "\ngood to know\n" in out
    assert "    → " in out
    assert "errors" not in out
    assert err == ""
    if "--config" in arguments:
        assert "training" not in out.splitlines()[1]
        assert "words are among the 11 of train" in out  # the recipe's own min_count


def test_data_check_finds_errors(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("images/3.png").write_text("no picture")
    Path("images/4.png").unlink()
    splits = ["train=captions_val.json:images", "test=captions_val.json:images"]
    assert main(["data", "check", *splits, "--min-count", "1"]) == 1
    out = capsys.readouterr().out
    headings = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert headings[:1] == ["split  photos  captions  a photo"]
    order = [out.index(text) for text in ("\nerrors, ", "\nwarnings, ", "\ngood to know")]
    assert order == sorted(order)
    assert "  train: images/4.png: there is no such file\n" in out
    assert "  train, test: 0, 1, 2, 3, 4, …: 7 photo ids are in both" in out
    assert "    → take them out of train" in out
