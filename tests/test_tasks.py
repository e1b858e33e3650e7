"""A task is one object: what a third one needs, and that it needs no second copy of anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from captioner import checkpoint, storage, tasks, training
from captioner.errors import CheckpointError, ConfigError
from captioner.metrics import Score
from captioner.options import SearchOptions
from captioner.recipes import shared
from captioner.recipes.files import read_recipe
from captioner.settings import from_dict, setting, written_down
from captioner.storage import Stored
from captioner.training.callbacks import Validation, Watch
from captioner.training.loop import Trainer, weighted
from captioner.training.start import continued, decoding

# ---- a third task: a number in, its digits counted -----------------------------------------------


@dataclass(frozen=True)
class LineConfig:
    size: int = setting(3, "numbers that are read")
    dropout: float = setting(0.0, "share of them that is dropped")


@dataclass(frozen=True)
class LinePhase:
    name: str = shared.phase_name()
    epochs: int = setting(2, "times")
    learning_rate: float = setting(1e-2, "peak")
    warmup: float = shared.warmup(0.0)
    schedule: str = shared.schedule()
    final_rate: float = shared.final_rate()


@dataclass(frozen=True)
class LineTraining:
    weight_decay: float = shared.weight_decay()
    gradient_clip: float = shared.gradient_clip(1.0)
    weight_average: float = shared.weight_average()
    precision: str = shared.precision()
    validate_every: int = shared.validate_every()
    patience: int = shared.patience("closeness")
    save_steps: int = shared.save_steps()


@dataclass(frozen=True)
class LineRecipe:
    output: str = shared.output("runs/line")
    init: str = setting("", "a checkpoint")
    seed: int = shared.seed("numbers")
    model: LineConfig = shared.model(LineConfig)
    training: LineTraining = setting(LineTraining, "all phases")
    search: SearchOptions = setting(SearchOptions, "decoding")
    phases: tuple[LinePhase, ...] = setting(lambda: (LinePhase(),), "one after the other")
    licence: str = shared.licence()
    task: str = shared.task("line")
    given: tuple[str, ...] = written_down()


@dataclass(frozen=True)
class LineCheckpoint(Stored):
    names: tuple[str, ...]

    task = "line"
    needs = ("names",)
    lexicon = "names"

    @staticmethod
    def build(config: LineConfig, size: int, /) -> nn.Module:
        return nn.Linear(config.size, size)

    @classmethod
    def parsed(cls, header: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "config": from_dict(LineConfig, header["config"]),
            "names": tuple(storage.harmless(header["names"])),
        }

    def own_header(self) -> dict[str, Any]:
        return {"names": list(self.names)}


@dataclass(frozen=True)
class Numbers:
    inputs: Tensor

    def to(self, device: torch.device) -> Numbers:
        return Numbers(self.inputs.to(device))


class LineTrainer(Trainer):
    def batches(self, epoch: int, first_step: int) -> Iterator[Numbers]:
        for inputs in self.reader[first_step:]:
            yield Numbers(inputs)

    def loss(self, batch: Numbers) -> dict[str, Tensor]:
        away = (self.model(batch.inputs).sum(1) - batch.inputs.sum(1)).square().mean()
        return weighted({"distance": (1.0, away)}, seen=torch.tensor(len(batch.inputs)))

    def content(self) -> Any:
        return [inputs.tolist() for inputs in self.reader]


class LineValidation(Validation):
    logged = ("closeness",)

    def scores(self, trainer: Trainer) -> dict[str, Score]:
        with self.watch.progress(1, "validation", "number") as advance, torch.no_grad():
            away = float(trainer.loss(Numbers(trainer.reader[0]))["loss"])
            advance()
        return {"closeness": Score("closeness", -away, None, "minus the distance")}

    def provenance(self, trainer: Trainer) -> dict[str, Any]:
        return {"numbers": len(trainer.reader)}


class Lines:
    name = "line"
    recipe = LineRecipe

    def checkpoint(self) -> type[LineCheckpoint]:
        return LineCheckpoint

    def read(self, recipe: LineRecipe) -> list[Tensor]:
        return [torch.arange(12.0).view(4, 3) / (10 + n) for n in range(3)]

    def start(self, recipe: LineRecipe, data: list[Tensor]) -> LineCheckpoint:
        if recipe.init:
            return continued(recipe, LineCheckpoint)
        names = ("one", "two")
        model = LineCheckpoint.build(recipe.model, len(names))
        return LineCheckpoint(model, recipe.model, names, search=decoding(recipe))

    def trainer(
        self, recipe: LineRecipe, start: LineCheckpoint, data: list[Tensor], watch: Watch
    ) -> LineTrainer:
        return LineTrainer(recipe, start, data, [LineValidation(watch), *watch.callbacks()])

    def open(self, start: LineCheckpoint, device: str | torch.device = "cpu") -> nn.Module:
        return start.model.to(device)

    def uses(self, recipe: LineRecipe, best: Path) -> tuple[str, ...]:
        return ()


@pytest.fixture
def third(monkeypatch: pytest.MonkeyPatch) -> Lines:
    lines = Lines()
    monkeypatch.setitem(tasks.TASKS, "line", lines)  # type: ignore[arg-type]
    return lines


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
    own = LineCheckpoint(nn.Linear(3, 2), LineConfig(), ("one", "two"))
    checkpoint.save(own, path)
    wider = {"output": str(tmp_path / "other"), "init": str(path), "model": {"size": 4}}
    with pytest.raises(ConfigError, match=r"model\.size is 4, but line\.safetensors, which"):
        training.train(from_dict(LineRecipe, wider))


# ---- the two that are there ----------------------------------------------------------------------


def test_every_task_names_itself_alike() -> None:
    assert list(tasks.TASKS) == ["caption", "translate"]  # the first is meant where none is named
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
