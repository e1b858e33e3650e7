"""What runs of training leave behind, and what tests of any task watch them by."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from captioner.training.loop import Callback, Trainer


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody cuts the power here, and a busy disk takes its time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def log(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def equal_runs(first: Path, second: Path) -> bool:
    """Weights, averages, moments, places and logs; only the time may differ."""
    for name in ("best", "last", "resume"):
        one, other = (load_file(folder / f"{name}.safetensors") for folder in (first, second))
        assert one.keys() == other.keys()
        different = [key for key in one if not torch.equal(one[key], other[key])]
        assert not different, (name, different)
    progress = []
    for folder in (first, second):
        with safe_open(folder / "resume.safetensors", framework="pt") as file:
            progress.append(json.loads(file.metadata()["progress"]))
        for entry in progress[-1]["history"]:
            del entry["seconds"]
    return progress[0] == progress[1] and log(first) == log(second)


def logged(folder: Path) -> set[str]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    files = folder.glob("events.out.tfevents.*")
    return {tag for f in files for tag in EventAccumulator(str(f)).Reload().Tags()["scalars"]}


def logged_steps(folder: Path) -> list[int]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    # File by file: TensorBoard sorts those of one second by name, .10 before .9.
    steps: set[int] = set()
    for path in folder.glob("events.out.tfevents.*"):
        events = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
        if "train/loss" in events.Tags()["scalars"]:
            steps |= {event.step for event in events.Scalars("train/loss")}
    return sorted(steps)


class Recorder(Callback):
    def __init__(self) -> None:
        self.weights: list[dict[str, np.ndarray]] = []
        self.losses: list[dict[str, float]] = []

    def on_step(self, trainer: Trainer, losses: dict[str, torch.Tensor]) -> None:
        state = trainer.model.state_dict()
        self.weights.append({k: v.numpy().astype(np.float64) for k, v in state.items()})
        self.losses.append({name: float(value) for name, value in losses.items()})
