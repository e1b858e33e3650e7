"""The resume state: where it puts what it has read, on a CPU and on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_training import FROZEN, TUNED, log, recipe, small_trainer
from test_training import no_fsync as no_fsync
from test_training import photos as photos
from test_training import world as world

from captioner import datasets
from captioner.training import Interrupted, state, train

gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="resuming on CUDA is tested where there is a CUDA GPU"
)


def test_steps_are_counted_on_the_parameters_device() -> None:
    """As the fused optimiser wants it; `meta` stands for any device that is no CPU."""
    elsewhere = torch.empty(5, 3, 2, 2, device="meta")
    moment = state._beside(elsewhere, torch.zeros(5, 3, 2, 2), count=False)
    steps = state._beside(elsewhere, torch.tensor(7.0), count=True)
    assert (moment.device, steps.device) == (elsewhere.device, elsewhere.device)
    assert (moment.shape, steps.shape) == (elsewhere.shape, ())


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=gpu)])
def test_the_optimiser_goes_on_with_what_it_had(
    device: str, world: Path, photos: list[datasets.Photo], tmp_path: Path
) -> None:
    wanted = recipe(world, tmp_path, phases=[TUNED])
    before = small_trainer(wanted, photos, device=device)
    batches = [batch.to(before.device) for batch in before.reader.read(0)]
    for batch in batches:
        before.step(batch)
    state.save_state(before, tmp_path / "resume.safetensors")
    after = small_trainer(wanted, photos, device=device)
    state.load_state(after, tmp_path / "resume.safetensors")
    pairs = zip(before.model.parameters(), after.model.parameters(), strict=True)
    for one, other in pairs:
        old, new = before.optimizer.state[one], after.optimizer.state[other]
        assert old.keys() == new.keys()
        for name, value in old.items():
            assert new[name].device == value.device, name
            assert new[name].stride() == value.stride(), name
            assert torch.equal(new[name], value), name
    assert before.scaler.state_dict() == after.scaler.state_dict()
    losses = [trainer.step(batches[0])["loss"] for trainer in (before, after)]
    torch.testing.assert_close(*losses)


@gpu
def test_a_run_on_a_gpu_goes_on(keyboard: Any, world: Path, tmp_path: Path) -> None:
    """Interrupted in both phases; half precision with loss scaling, as is usual there."""
    wanted = recipe(world, tmp_path / "run", phases=[FROZEN, TUNED])
    for session, moment in enumerate(("step 2", "step 8", "step 11")):
        keyboard.moments.append(moment)
        with pytest.raises(Interrupted):
            train(wanted, resume=session > 0, device="cuda")
    train(wanted, resume=True, device="cuda")
    train(recipe(world, tmp_path / "whole", phases=[FROZEN, TUNED]), device="cuda")
    run, whole = log(tmp_path / "run"), log(tmp_path / "whole")
    assert [row["step"] for row in run] == [row["step"] for row in whole]
    for one, other in zip(run, whole, strict=True):  # sums on a GPU have no order
        assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=0.02)
