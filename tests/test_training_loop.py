"""The loop: rates, averages, losses that are looked at; tried with a small captioner."""

from __future__ import annotations

import csv
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from captioner import datasets
from captioner.captions.recipe import PhaseConfig
from captioner.errors import ConfigError
from captioner.training import loop, train
from captioner.training.loop import Position
from tests.captioning import TUNED, recipe, small_trainer
from tests.captioning import photos as photos
from tests.captioning import world as world
from tests.runs import Recorder
from tests.runs import no_fsync as no_fsync


def test_a_loss_that_is_not_finite_stops_the_run(world: Path, tmp_path: Path) -> None:
    phase = {"epochs": 3, "learning_rate": 1e37, "schedule": "constant", "warmup": 0.0}
    wanted = recipe(world, tmp_path / "run", training={"save_steps": 1}, phases=[phase])
    with pytest.raises(
        ConfigError,
        match=r"phase 1, epoch 1, step \d: the loss is .*nan.*; lower the phase's learning rates",
    ):
        train(wanted)
    state = load_file(tmp_path / "run" / "resume.safetensors")
    assert all(value.isfinite().all() for value in state.values())


def test_gradients_that_no_loss_scale_makes_finite_stop_the_run(
    world: Path, photos: list[datasets.Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few that overflow are how a scale is found; the rest of the steps is taken."""
    monkeypatch.setattr(loop, "_PATIENCE", 4)
    trainer = small_trainer(recipe(world, Path("unused")), photos)
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    (batch, *_) = trainer.reader.read(0)
    bias = trainer.model.decoder.output.bias
    spoilt = bias.register_hook(lambda gradient: gradient * math.nan)
    before = bias.detach().clone()
    for _ in range(3):
        trainer.step(batch)
    assert torch.equal(bias, before)
    assert trainer.scaler.get_scale() == 1.0
    spoilt.remove()
    trainer.step(batch)
    assert not torch.equal(bias, before)
    bias.register_hook(lambda gradient: gradient * math.nan)
    for _ in range(3):
        trainer.step(batch)
    with pytest.raises(
        ConfigError, match=r"step 1: the loss is \d.* gradient's norm nan, so train"
    ):
        trainer.step(batch)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_the_learning_rate_climbs_and_falls(schedule: str) -> None:
    phase = PhaseConfig(epochs=5, warmup=0.2, final_rate=0.1, schedule=schedule)
    rates = [
        loop.share_of_peak(phase, Position(0, epoch, step), 7)
        for epoch in range(5)
        for step in range(7)
    ]
    assert rates[:7] == pytest.approx([(n + 1) / 7 for n in range(7)])
    if schedule == "constant":
        assert rates[7:] == [1.0] * 28
        return
    expected = [0.1 + 0.9 * (1 + math.cos(math.pi * n / 28)) / 2 for n in range(28)]
    assert rates[7:] == pytest.approx(expected)
    assert all(before > after for before, after in pairwise(rates[7:]))
    assert 0.1 < rates[-1] < 0.12


def test_the_rate_of_a_phase_without_warm_up_starts_at_its_peak() -> None:
    phase = PhaseConfig(epochs=1, warmup=0.0)
    assert loop.share_of_peak(phase, Position(), 5) == 1.0


def test_the_weight_average_against_numpy(world: Path, photos: list[datasets.Photo]) -> None:
    recorder = Recorder()
    wanted = recipe(world, Path("unused"), phases=[TUNED], training={"weight_average": 0.25})
    trainer = small_trainer(wanted, photos, recorder)
    trainer.fit()
    found = trainer.averaged().model.state_dict()
    for name in (
        "decoder.output.weight",
        "encoder.features.18.1.running_mean",
        "encoder.project.bias",
    ):
        average = recorder.weights[0][name]
        for count, weights in enumerate(recorder.weights[1:], start=1):
            decay = min(0.25, (1 + count) / (10 + count))
            average = decay * average + (1 - decay) * weights[name]
        assert not np.allclose(average, recorder.weights[-1][name], rtol=1e-3)
        np.testing.assert_allclose(found[name].numpy(), average, rtol=1e-4, atol=1e-6)


def test_without_an_average_the_weights_themselves_count(
    world: Path, photos: list[datasets.Photo]
) -> None:
    wanted = recipe(world, Path("unused"), training={"weight_average": 0.0})
    trainer = small_trainer(wanted, photos)
    assert trainer.averaged(epoch=7).model is trainer.model
    assert trainer.averaged(epoch=7).provenance["epoch"] == 7


def test_losses_that_are_looked_at_now_and_then_add_up(
    world: Path, photos: list[datasets.Photo]
) -> None:
    sums = []
    for every in (1, 4):
        trainer = small_trainer(recipe(world, Path("unused"), phases=[TUNED]), photos)
        trainer.look_every = every
        batches = list(trainer.batches(0, 0))
        for batch in [*batches, *batches]:
            trainer.step(batch)
        trainer.look()
        sums.append(trainer.progress.loss_sum)
    assert sums[0] == sums[1] > 0


def test_a_loss_that_is_no_number_is_told_with_its_own_step(
    world: Path, photos: list[datasets.Photo]
) -> None:
    trainer = small_trainer(recipe(world, Path("unused"), phases=[TUNED]), photos)
    trainer.look_every = 10
    batch = next(trainer.batches(0, 0))
    trainer.step(batch)
    trainer.progress.position.step = 1
    with torch.no_grad():
        trainer.model.decoder.output.bias.fill_(torch.nan)
    trainer.step(batch)
    trainer.progress.position.step = 2
    with pytest.raises(ConfigError, match=r"phase 1, epoch 1, step 2: the loss is nan"):
        trainer.look()


def test_a_phase_is_validated_every_so_many_epochs_and_at_its_end(
    world: Path, tmp_path: Path
) -> None:
    phase = {**TUNED, "epochs": 3}
    train(recipe(world, tmp_path / "run", training={"validate_every": 2}, phases=[phase]))
    with (tmp_path / "run" / "log.csv").open() as file:
        scores = [row["cider"] for row in csv.DictReader(file)]
    assert [score == "nan" for score in scores] == [True, False, False]
