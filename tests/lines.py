"""A third task, as small as one can be: numbers in, two out that add up to the same.

A run takes milliseconds. What holds of runs, files and recipes of any task is tested with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from captioner import storage, tasks
from captioner.metrics import Score
from captioner.options import SearchOptions
from captioner.recipes import shared
from captioner.settings import from_dict, setting, written_down
from captioner.storage import Stored
from captioner.training.callbacks import Validation, Watch
from captioner.training.loop import Trainer, weighted
from captioner.training.start import continued, decoding


@dataclass(frozen=True)
class LineConfig:
    size: int = setting(3, "numbers that are read")
    dropout: float = setting(0.3, "share of them that is dropped")


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
        return nn.Sequential(nn.Dropout(config.dropout), nn.Linear(config.size, size))

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
            model = trainer.averaged().model.eval()
            away = float((model(trainer.reader[0]).sum(1) - trainer.reader[0].sum(1)).norm())
            model.train()
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
    """The task, in the registry."""
    lines = Lines()
    monkeypatch.setitem(tasks.TASKS, "line", lines)  # type: ignore[arg-type]
    return lines
