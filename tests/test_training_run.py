"""A run of any task, from its folder to its end; tried with a task that takes no time."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from captioner import checkpoint as checkpoints
from captioner import settings
from captioner.errors import CheckpointError, ConfigError
from captioner.metrics import Score
from captioner.training import Interrupted, callbacks, train
from captioner.training.callbacks import Interrupt
from captioner.training.loop import Callback, Trainer
from tests.lines import LineRecipe, Lines, LineValidation
from tests.lines import third as third
from tests.processes import hear_signals
from tests.runs import equal_runs, log
from tests.runs import no_fsync as no_fsync

ROOT = Path(__file__).resolve().parent.parent
FIRST = {"name": "first", "epochs": 2, "learning_rate": 3e-2}
SECOND = {"name": "second", "epochs": 2, "learning_rate": 1e-2}
FILES = {"best.safetensors", "last.safetensors", "resume.safetensors", "log.csv"}

pytestmark = pytest.mark.usefixtures("third")


def recipe(output: Path, **changes: Any) -> LineRecipe:
    """Three steps an epoch, two phases of two epochs."""
    values: dict[str, Any] = {
        "output": str(output),
        "seed": 3,
        "training": {"save_steps": 2, "weight_average": 0.9},
        "phases": [FIRST, SECOND],
    }
    for name, value in changes.items():
        old = values.get(name)
        values[name] = {**old, **value} if isinstance(old, dict) else value
    return settings.from_dict(LineRecipe, values)


@pytest.fixture
def whole(third: Lines, tmp_path: Path) -> Path:
    """A run that nothing interrupted."""
    train(recipe(tmp_path / "whole"))
    return tmp_path / "whole"


# ---- going on after Ctrl-C -----------------------------------------------------------------------


@pytest.fixture
def press(keyboard: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Moments at which Ctrl-C is pressed, one a session."""
    scores = LineValidation.scores

    def pressed(self: LineValidation, trainer: Trainer) -> dict[str, Score]:
        keyboard.at("validation")
        return scores(self, trainer)

    monkeypatch.setattr(LineValidation, "scores", pressed)
    moments: list[str] = keyboard.moments
    return moments


def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    press: list[str], whole: Path, tmp_path: Path
) -> None:
    """Stopped in every step, in validations, between epochs and between phases."""
    moments = [
        *("step 1", "step 2", "validation", "after epoch 1", "step 5", "step 6", "after epoch 2"),
        *("step 8", "step 9", "validation", "step 11", "step 12"),
    ]
    for session, moment in enumerate(moments):
        press.append(moment)
        with pytest.raises(Interrupted, match=r"stopped and saved in .*run; .*--resume"):
            train(recipe(tmp_path / "run"), resume=session > 0)
        assert not press
    train(recipe(tmp_path / "run"), resume=True)
    assert equal_runs(tmp_path / "run", whole)
    assert len(log(tmp_path / "run")) == 4


def test_a_second_ctrl_c_stops_at_once_and_loses_little(
    press: list[str], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = Interrupt.check

    def pressed_again(self: Interrupt) -> None:
        if self.requested:
            signal.raise_signal(signal.SIGINT)
        check(self)

    monkeypatch.setattr(Interrupt, "check", pressed_again)
    press.append("step 9")
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(recipe(tmp_path / "run"))
    assert signal.getsignal(signal.SIGINT) == before
    train(recipe(tmp_path / "run"), resume=True)
    assert equal_runs(tmp_path / "run", whole)


CHILD = """
import json, sys
from captioner import settings, tasks, training
from tests.lines import LineRecipe, Lines, LineValidation

def scores(self, trainer, inner=LineValidation.scores):
    print("validating", flush=True)
    sys.stdin.readline()
    return inner(self, trainer)

LineValidation.scores = scores
tasks.TASKS["line"] = Lines()
try:
    training.train(settings.from_dict(LineRecipe, json.loads(sys.argv[1])))
except training.Interrupted as message:
    print(message, flush=True)
    sys.exit(130)
"""


def test_ctrl_c_in_a_process_of_its_own(whole: Path, tmp_path: Path) -> None:
    wanted = recipe(tmp_path / "run")
    threads = str(torch.get_num_threads())
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, json.dumps(settings.to_dict(wanted))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        preexec_fn=hear_signals,
    )
    assert child.stdout is not None
    assert any(line == "validating\n" for line in iter(child.stdout.readline, ""))
    child.send_signal(signal.SIGINT)
    said, _ = child.communicate("\n", timeout=120)
    assert child.returncode == 130
    assert "stopped and saved in" in said
    assert not (tmp_path / "run" / "best.safetensors").exists()  # the validation was cut off
    train(wanted, resume=True)
    assert equal_runs(tmp_path / "run", whole)


def test_a_finished_run_has_nothing_left_to_do(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = log(whole)
    monkeypatch.setattr(Trainer, "step", lambda *_: pytest.fail("a step was taken"))
    assert train(recipe(whole), resume=True) == whole / "best.safetensors"
    assert log(whole) == before


def test_the_same_seed_gives_the_same_weights_and_another_one_others(
    whole: Path, tmp_path: Path
) -> None:
    train(recipe(tmp_path / "same", training={"save_steps": 0}))
    assert equal_runs(tmp_path / "same", whole)
    train(recipe(tmp_path / "other", seed=4))
    one, other = (
        checkpoints.load_any(folder / "last.safetensors").model.state_dict()
        for folder in (whole, tmp_path / "other")
    )
    assert one.keys() == other.keys()
    assert not any(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("moment", [None, "step 2", "step 5", "after epoch 1"])
def test_phases_may_be_added_behind_the_recipe_on_resume(
    moment: str | None, press: list[str], whole: Path, tmp_path: Path
) -> None:
    """Whether the first phase had ended or not: as if all phases had been there from the start."""
    if moment:
        press.append(moment)
        with pytest.raises(Interrupted):
            train(recipe(tmp_path / "run", phases=[FIRST]))
    else:
        train(recipe(tmp_path / "run", phases=[FIRST]))
        assert len(log(tmp_path / "run")) == 2
    train(recipe(tmp_path / "run"), resume=True)
    assert not press
    assert equal_runs(tmp_path / "run", whole)


def test_a_phase_that_was_added_can_itself_be_interrupted(
    press: list[str], whole: Path, tmp_path: Path
) -> None:
    train(recipe(tmp_path / "run", phases=[FIRST]))
    for moment in ("step 8", "validation"):
        press.append(moment)
        with pytest.raises(Interrupted):
            train(recipe(tmp_path / "run"), resume=True)
    train(recipe(tmp_path / "run"), resume=True)
    assert equal_runs(tmp_path / "run", whole)


# ---- what a run leaves in its folder -------------------------------------------------------------


def test_files_of_a_run(whole: Path) -> None:
    names = {path.name for path in whole.iterdir()}
    events = {name for name in names if name.startswith("events.out.tfevents")}
    assert events
    assert names - events == FILES
    rows = log(whole)
    assert [(row["phase"], row["epoch"], row["step"]) for row in rows] == [
        ("first", "1", "3"),
        ("first", "2", "6"),
        ("second", "1", "9"),
        ("second", "2", "12"),
    ]


class Watcher(Callback):
    """Keeps the averaged weights of every epoch."""

    def __init__(self) -> None:
        self.kept: list[dict[str, torch.Tensor]] = []

    def after_epoch(self, trainer: Trainer) -> None:
        state = trainer.averaged().model.state_dict()
        self.kept.append({name: value.clone() for name, value in state.items()})


def holds(path: Path, state: dict[str, torch.Tensor]) -> bool:
    loaded = checkpoints.load_any(path).model.state_dict()
    return all(torch.equal(loaded[name], value.half().float()) for name, value in state.items())


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Scores that validations find, one an epoch."""
    waiting: list[float] = []
    monkeypatch.setattr(
        LineValidation,
        "scores",
        lambda *_: {"closeness": Score("closeness", waiting.pop(0), None, "given")},
    )
    yield waiting
    assert not waiting


def test_best_and_last_and_early_stopping(
    given: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patience counts within a phase; the best is the best of all phases."""
    watcher = Watcher()
    given += [0.1, 0.3, 0.2, 0.3, 0.25, 0.4, 0.4, 0.1]
    monkeypatch.setattr(callbacks, "Save", lambda path: watcher)
    phases = [{**FIRST, "epochs": 9}, {**SECOND, "epochs": 9}]
    wanted = recipe(tmp_path / "run", training={"patience": 2}, phases=phases)
    assert train(wanted) == tmp_path / "run" / "best.safetensors"
    rows = log(tmp_path / "run")
    assert [(row["phase"], row["epoch"], row["closeness"]) for row in rows] == [
        ("first", "1", "0.1"),
        ("first", "2", "0.3"),
        ("first", "3", "0.2"),
        ("first", "4", "0.3"),
        ("second", "1", "0.25"),
        ("second", "2", "0.4"),
        ("second", "3", "0.4"),
        ("second", "4", "0.1"),
    ]
    assert holds(tmp_path / "run" / "best.safetensors", watcher.kept[5])
    assert holds(tmp_path / "run" / "last.safetensors", watcher.kept[7])
    assert not holds(tmp_path / "run" / "last.safetensors", watcher.kept[5])
    best = checkpoints.describe(tmp_path / "run" / "best.safetensors")["provenance"]
    assert (best["phase"], best["epoch"]) == ("second", 2)


def test_scores_of_zero_do_not_keep_the_first_epoch(
    given: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CIDEr of a single validation photo is always 0, which tells no epoch from another."""
    given += [0.0, 0.0, 0.0]
    watcher = Watcher()
    monkeypatch.setattr(callbacks, "Save", lambda path: watcher)
    train(recipe(tmp_path / "run", phases=[{**FIRST, "epochs": 3}]))
    assert holds(tmp_path / "run" / "best.safetensors", watcher.kept[2])
    best = checkpoints.describe(tmp_path / "run" / "best.safetensors")["provenance"]
    assert best["epoch"] == 3


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["resume.safetensors", "best.safetensors", "log.csv"])
def test_a_folder_that_holds_a_run_is_refused(file: str, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(b"of another run")
    with pytest.raises(ConfigError, match=r"holds a run already; go on with --resume, or choose"):
        train(recipe(tmp_path))
    assert (tmp_path / file).read_bytes() == b"of another run"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"output .*file.run cannot be made .*another --output"):
        train(recipe(tmp_path / "file" / "run"))


def test_another_recipe_cannot_go_on(whole: Path) -> None:
    for changes, message in (
        ({"seed": 4}, r"had seed = 3, the recipe now has 4; resume with the old recipe"),
        ({"phases": [FIRST]}, r"had phases\.1\.name = 'second', the recipe now has None"),
        ({"training": {"gradient_clip": 3.0}}, r"had training\.gradient_clip = 1\.0, the recipe"),
        ({"model": {"size": 3, "dropout": 0.1}}, r"model\.dropout"),
        (
            {"phases": [{**FIRST, "epochs": 3}, SECOND, {"name": "added"}]},
            r"had phases\.0\.epochs = 2, the recipe now has 3; resume with the old recipe "
            r"\(phases may be added behind its own\), or start anew in another --output",
        ),
        (
            {"phases": [{"name": "put before"}, FIRST, SECOND]},
            r"had phases\.0\.name = 'first', the recipe now has 'put before'",
        ),
        (
            {"phases": [FIRST, {**SECOND, "warmup": 0.5}, {"name": "added"}]},
            r"had phases\.1\.warmup = 0\.0, the recipe now has 0\.5",
        ),
    ):
        with pytest.raises(CheckpointError, match=message):
            train(recipe(whole, **changes), resume=True)


def test_a_run_that_was_moved_goes_on(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "moved").mkdir()
    for name in FILES:
        (tmp_path / "moved" / name).write_bytes((whole / name).read_bytes())
    train(recipe(tmp_path / "moved", training={"save_steps": 7}), resume=True)


def test_nothing_to_go_on_from(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"run: nothing to resume; leave --resume out, or"):
        train(recipe(tmp_path / "run"), resume=True)
    assert not (tmp_path / "run").exists()


def test_what_is_no_resume_state(whole: Path, tmp_path: Path) -> None:
    checkpoint = (whole / "last.safetensors").read_bytes()
    for content in (b"", b"cut short", checkpoint):
        (tmp_path / "resume.safetensors").write_bytes(content)
        with pytest.raises(
            CheckpointError,
            match=r"no resume state, or a damaged one .*start anew in another --output",
        ):
            train(recipe(tmp_path), resume=True)


def test_other_data_cannot_go_on(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lines, "read", lambda *_: [torch.ones(4, 3)] * 3)
    with pytest.raises(CheckpointError, match="are not those of the interrupted run; put them"):
        train(dataclasses.replace(recipe(whole)), resume=True)
