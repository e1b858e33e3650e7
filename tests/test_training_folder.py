from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from captioner.errors import CheckpointError, ConfigError
from captioner.training import callbacks, train
from captioner.training.folder import MARK, claimed
from tests.lines import third
from tests.test_training_run import FILES, recipe

__all__ = ["third"]
pytestmark = pytest.mark.usefixtures("third")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if "tfevents" not in path.name}


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    for resume in (False, True):
        with claimed(tmp_path / "run", False):
            with pytest.raises(ConfigError) as refused:
                train(recipe(tmp_path / "run"), resume=resume)
            assert str(refused.value) == (
                f"another run is at work in {tmp_path / 'run'}; let it end, or choose another "
                "--output"
            )
        assert names(tmp_path) == set()


@pytest.mark.parametrize("left", [(), ("last.safetensors",), ("last.safetensors", "log.csv")])
def test_a_run_that_was_killed_before_it_saved_begins_anew(
    tmp_path: Path, left: tuple[str, ...]
) -> None:
    for name in (MARK, *left, ".resume.safetensors.4711.partial"):
        (tmp_path / name).write_bytes(b"half")
    if left:
        with pytest.raises(ConfigError, match=r"holds a run already; go on with --resume, or"):
            train(recipe(tmp_path))
    train(recipe(tmp_path), resume=True)
    assert names(tmp_path) == FILES
    with (tmp_path / "log.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 4


def test_a_run_that_failed_before_it_saved_may_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights are there, and no state: either way to go on was refused."""

    def full(*_: Any) -> None:
        raise CheckpointError("no room")

    wanted = recipe(tmp_path, training={"save_steps": 0})
    with monkeypatch.context() as patched:
        patched.setattr(callbacks, "save_state", full)
        with pytest.raises(CheckpointError, match="no room"):
            train(wanted)
    assert names(tmp_path) >= {"best.safetensors", MARK}
    train(wanted, resume=True)
    assert names(tmp_path) == FILES


def test_what_others_keep_in_the_folder_stays(tmp_path: Path) -> None:
    kept = (".hidden", ".notes.partial", "x.4.partial")
    for name in kept:
        (tmp_path / name).touch()
    train(recipe(tmp_path))
    assert names(tmp_path) == FILES | set(kept)


def test_nothing_to_go_on_with(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing to resume; leave --resume out, or name the"):
        train(recipe(tmp_path), resume=True)
    assert names(tmp_path) == set()


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path: Path) -> None:
    wanted = recipe(tmp_path / "runs" / "run", init=str(tmp_path / "nothing.safetensors"))
    with pytest.raises((ConfigError, CheckpointError)):
        train(wanted)
    assert names(tmp_path) == set()
