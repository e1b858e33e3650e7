"""The resume state: where it puts what it has read, on a CPU and on a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from captioner import datasets
from captioner.errors import CheckpointError
from captioner.nn.memory import rows
from captioner.training import Interrupted, state, train
from tests.captioning import FROZEN, TUNED, recipe, small_trainer
from tests.captioning import photos as photos
from tests.captioning import world as world
from tests.runs import log
from tests.runs import no_fsync as no_fsync

gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="resuming on CUDA is tested where there is a CUDA GPU"
)


def test_steps_are_counted_on_the_parameters_device() -> None:
    """As the fused optimiser wants it; `meta` stands for any device that is no CPU."""
    elsewhere = torch.empty(5, 3, 2, 2, device="meta")
    moment = state.beside(elsewhere, torch.zeros(5, 3, 2, 2), count=False)
    steps = state.beside(elsewhere, torch.tensor(7.0), count=True)
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


@pytest.mark.parametrize("key", ["recipe", "progress", "scaler", "data", "format"])
def test_a_state_of_wrong_types_is_told_in_one_line(
    key: str, world: Path, photos: list[datasets.Photo], tmp_path: Path
) -> None:
    wanted, path = recipe(world, tmp_path, phases=[FROZEN]), tmp_path / "resume.safetensors"
    trainer = small_trainer(wanted, photos)
    state.save_state(trainer, path)
    with safe_open(path, framework="pt") as file:
        texts = {k: v for k, v in file.metadata().items() if k != "sha256"}
    tensors = load_file(path)
    places: list[Any] = [None, 7, "odd", [1], {"a": 1}, {"position": {"phase": 99}}]
    for odd in places:
        save_file(tensors, path, {**texts, key: json.dumps(odd)})
        if key == "scaler" and odd is None:
            continue  # there was none
        told = ""
        try:
            state.load_state(trainer, path)
        except CheckpointError as error:
            told = str(error)
        assert told.startswith(f"{path}: ") or key == "scaler", odd  # no scaler, nothing is read
        assert "\n" not in told


def test_flipped_bits_of_a_state_are_found(
    world: Path, photos: list[datasets.Photo], tmp_path: Path
) -> None:
    trainer = small_trainer(recipe(world, tmp_path, phases=[FROZEN]), photos)
    path = tmp_path / "resume.safetensors"
    state.save_state(trainer, path)
    content = bytearray(path.read_bytes())
    content[-1000] ^= 4
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"resume\.safetensors: damaged, .*the checksum diff"):
        state.load_state(trainer, path)


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


# ---- the same seed -------------------------------------------------------------------------------

REAL_SIZE = """
import hashlib, sys
import torch
from captioner import datasets, settings
from captioner.captions.recipe import Recipe
from captioner.captions import training as captioning
from captioner.captions.start import start_checkpoint

source = {"captions": sys.argv[1], "images": sys.argv[2]}
wanted = settings.from_dict(Recipe, {
    "data": {"train": [source], "min_count": 1},
    "model": {"encoder": {"weights": "random"}},
    "training": {"batch_size": 6},
    "phases": [{"epochs": 3, "self_critical": 0.5, "samples": 3}],
})
photos = datasets.read(wanted.data.train[0])
torch.manual_seed(wanted.seed)
checkpoint = start_checkpoint(wanted, photos)
assert checkpoint.config.decoder.hidden_size == checkpoint.config.encoder.feature_size == 512
reader = captioning.BatchReader(
    photos, checkpoint.vocabulary, checkpoint.preprocess, batch_size=6, seed=1, max_words=40
)
trainer = captioning.CaptionTrainer(wanted, checkpoint, reader)
trainer.fit()
digest = hashlib.sha256()
for name, value in sorted(trainer.model.state_dict().items()):
    digest.update(value.contiguous().numpy().tobytes())
print(torch.get_num_threads(), digest.hexdigest())
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_weights_at_real_size(threads: int, world: Path) -> None:
    """In processes of their own. With two threads, gradients were once added in any order."""
    command = [sys.executable, "-c", REAL_SIZE, world / "captions_train.json", world / "images"]
    own = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    own["OMP_WAIT_POLICY"] = "PASSIVE"  # or two threads wait for one another on a busy machine
    said = [
        subprocess.run(command, env=own, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert said[0].startswith(f"{threads} ")
    assert said[0] == said[1]


@pytest.mark.parametrize("shape", [(7, 49, 512), (7, 512)])
def test_gradients_of_repeated_rows_are_added_in_order(shape: tuple[int, ...]) -> None:
    """Bit by bit as one after the other, with any number of threads."""
    torch.manual_seed(3)
    indices = torch.arange(7).repeat_interleave(5)[torch.randperm(35)]
    values, gradient = torch.randn(shape, requires_grad=True), torch.randn(35, *shape[1:])
    rows(values, indices).backward(gradient)
    expected = torch.zeros(shape)
    for index, one in zip(indices.tolist(), gradient, strict=True):
        expected[index] += one
    assert values.grad is not None
    assert torch.equal(values.grad, expected)
