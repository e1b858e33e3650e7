"""A task is one object: what a third one needs, and that it needs no second copy of anything."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from captioner import checkpoint, tasks, training
from captioner.errors import CheckpointError, ConfigError
from captioner.options import SearchOptions
from captioner.recipes.files import read_recipe
from captioner.settings import from_dict
from tests.lines import LineCheckpoint, LineConfig, LineRecipe, Lines
from tests.lines import third as third


def test_a_third_task_is_a_room_and_a_line_in_the_registry(third: Lines, tmp_path: Path) -> None:
    """Recipe, run, file, description, resuming and going on: nothing of it is written again."""
    file = tmp_path / "line.toml"
    file.write_text('task = "line"\n')
    recipe = read_recipe(str(file), [("output", str(tmp_path / "run"))])
    assert isinstance(recipe, LineRecipe)
    assert tasks.of(recipe) is third
    best = training.train(recipe)
    header = checkpoint.describe(best)
    assert (header["task"], header["names"]) == ("line", ["one", "two"])
    assert header["provenance"]["numbers"] == 3
    assert header["provenance"]["recipe"]["phases"][0]["epochs"] == 2
    found = checkpoint.load_any(best)
    assert isinstance(found, LineCheckpoint)
    assert third.open(found)(torch.ones(1, 3)).shape == (1, 2)
    more = from_dict(LineRecipe, {"output": recipe.output, "phases": [{}, {"epochs": 1}]})
    assert training.train(more, resume=True) == best
    again = from_dict(LineRecipe, {"output": str(tmp_path / "on"), "init": str(best)})
    begun = checkpoint.describe(training.train(again))["provenance"]["started_from"]
    assert begun["checkpoint"] == "best.safetensors"
    found = checkpoint.load_any(best)
    checkpoint.save_scores(best, found, "test", {"closeness": {"value": 1.0}}, SearchOptions())
    assert checkpoint.load_any(best).provenance["scores"]["test"] == {"closeness": {"value": 1.0}}
    with pytest.raises(CheckpointError, match="for 'line'; expected one for 'caption'"):
        checkpoint.load(best)


def test_a_run_starts_from_its_own_tasks_checkpoints(
    third: Lines, weights: str, tmp_path: Path
) -> None:
    recipe = from_dict(LineRecipe, {"output": str(tmp_path / "run"), "init": weights})
    with pytest.raises(CheckpointError, match="for 'caption'; expected one for 'line'"):
        training.train(recipe)
    path = tmp_path / "line.safetensors"
    own = LineCheckpoint(LineCheckpoint.build(LineConfig(), 2), LineConfig(), ("one", "two"))
    checkpoint.save(own, path)
    wider = {"output": str(tmp_path / "other"), "init": str(path), "model": {"size": 4}}
    with pytest.raises(ConfigError, match=r"model\.size is 4, but line\.safetensors, which"):
        training.train(from_dict(LineRecipe, wider))


# ---- the two that are there ----------------------------------------------------------------------


def test_every_task_names_itself_alike() -> None:
    names = ["caption", "translate", "multimodal"]
    assert list(tasks.TASKS) == names  # the first is meant where none is named
    for name, task in tasks.TASKS.items():
        assert task.name == task.recipe().task == task.checkpoint().task == name
        assert tasks.of(task.recipe()) is task


def test_files_open_as_what_they_are_for(weights: str, translation_weights: str) -> None:
    from captioner import Captioner, Translator

    for path, name, kind in (
        (weights, "caption", Captioner),
        (translation_weights, "translate", Translator),
    ):
        found = checkpoint.load_any(path)
        assert isinstance(found, tasks.TASKS[name].checkpoint())
        assert isinstance(tasks.TASKS[name].open(found), kind)
