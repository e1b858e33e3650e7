from __future__ import annotations

import dataclasses
import os
import re
import shlex
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from captioner import checkpoint as checkpoints
from captioner import cli, training
from captioner.captions.recipe import Recipe
from captioner.checkpoint import Checkpoint
from captioner.cli import main, study_family
from captioner.cli.display import one_line
from captioner.cli.parser import make_parser
from captioner.cli.train import split_settings
from captioner.options import SearchOptions
from captioner.settings import groups
from captioner.text import Vocabulary
from captioner.translations.recipe import TranslationRecipe
from tests.commands import (
    one_error,
    read_objects,
)
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
    "doctor",
    "bench",
    "export",
    "completion",
    "data check",
)


@pytest.mark.parametrize(
    ("command", "topics"),
    [("data", ("check", "convert")), ("study", ("length", *study_family.ABOUT))],
)
def test_commands_of_two_words_say_what_each_is_for(
    command: str, topics: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capsys.readouterr().out
    for topic in topics:
        assert re.search(rf"^  {topic} +\S+ \S+", text, re.MULTILINE), topic
        assert f"captioner {command} TOPIC --help" in text
    assert max(map(len, text.splitlines()[2:])) <= 100


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
        error = one_error(capsys)
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
            (one_error(capsys)),
        )


def test_what_is_told_twice_counts_last(typed: Callable[..., int], here: Path) -> None:
    assert typed("caption", "a", "--jsonl", "one.jsonl", "--jsonl=two.jsonl") == 0
    assert not Path("one.jsonl").exists()
    assert len(read_objects(Path("two.jsonl"))) == 2


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
        words = shlex.split(parts[0])[1:]
        own, _ = split_settings(words) if command == "train" else (words, [])
        assert parser.parse_args(own).command == command


def test_train_help_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    recipes = (Recipe, TranslationRecipe)
    places = {p for kind in recipes for _, _, own in groups(kind) for p, _, _ in own}
    assert len(places) > 80
    for place in places:
        assert f"--{place} " in text
    for heading in ("[training]", "[model.encoder]", "[[data.train]]", "[[phases]]"):
        assert f"{heading}:" in text
    assert "smallest share of the area that a random crop keeps; 1 is no crop (default: 1)" in text
    assert "recurrent cell: lstm, gru, rnn (default: lstm)" in text


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
        (["caption"], "no photo is named; give a PATH, or --list FILE"),
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
    assert message in one_error(capsys)


def test_a_missing_package_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert main(["caption", "a"]) == 2
    assert one_error(capsys) == "captioner: tqdm is not installed; pip install tqdm\n"


def test_a_missing_module_of_our_own_is_a_bug(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    monkeypatch.setitem(sys.modules, "captioner.pictures.folders", None)
    with pytest.raises(ModuleNotFoundError):
        main(["caption", "a"])


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
    assert [values["file"] for values in read_objects(Path("all.jsonl.partial"))] == ["a/cat.jpg"]


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
    told = [
        "0",
        "2",
        "2",
        "2",
        "captioner: standard output: No space left on device; make room there, or choose another "
        "place",
        "0",
    ]
    assert (out.splitlines(), err) == (told, "")
    (values,) = read_objects(Path("all.jsonl"))
    assert values["error"] is None
    assert Path(values["sheet"]).is_file()


def test_a_closed_standard_input_names_no_photo(
    typed: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    cli.open_closed()
    assert typed("caption", "-") == 2
    assert "standard input named no photo; expected one path a line" in one_error(capsys)


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


_STOPPED_AT_ITS_START = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test in the background ignores it
class Stop:
    def find_spec(self, name, *_):
        if name == "captioner.cli.parser":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Stop())
from captioner.__main__ import run
run()
"""


def test_ctrl_c_before_the_command_begins_prints_no_traceback() -> None:
    stopped = subprocess.run(
        [sys.executable, "-c", _STOPPED_AT_ITS_START], capture_output=True, text=True, check=False
    )
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (-signal.SIGINT, "", "")
