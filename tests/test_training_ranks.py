from __future__ import annotations

import csv
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from captioner import checkpoint as checkpoints
from captioner.errors import ConfigError
from captioner.pipeline import share_of
from captioner.training import ranks, train
from captioner.training.loop import weighted
from captioner.training.ranks import ALONE, Ranks, check_share
from tests.captioning import FROZEN, recipe, world

__all__ = ["world"]

# Batches of five and one photos: of the last one, both processes take the only photo.
PHASE = {**FROZEN, "cache_features": False, "epochs": 2}
CHANGES: dict[str, Any] = {
    "model": {
        "encoder": {
            "image_size": 64,
            "stride": 16,
            "stages": 4,
            "feature_size": 24,
            "weights": "random",
        },
        "decoder": {"hidden_size": 29, "embedding_size": 17, "dropout": 0.0},
    },
    "training": {"batch_size": 5, "save_steps": 1, "workers": 1, "doubly_stochastic": 1.0},
    "phases": [PHASE],
}
CODE = """
import json, sys
from captioner import settings
from captioner.captions.recipe import Recipe
from captioner.errors import CaptionerError
from captioner.training import train
try:
    train(settings.from_dict(Recipe, json.loads(sys.argv[1])), resume=len(sys.argv) > 2, show=False)
except CaptionerError as error:
    sys.exit(str(error))
"""


def together(wanted: Any, *flags: str, count: int = 2) -> list[tuple[int, str]]:
    """Trains in several processes, as torchrun starts them; their exit codes and last words."""
    import json

    from captioner.settings import to_dict

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    running = []
    for rank in range(count):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
        own |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", CODE, json.dumps(to_dict(wanted)), *flags],
                env={**os.environ, **own},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    ends = [process.communicate() for process in running]
    return [(p.returncode, errors) for p, (_, errors) in zip(running, ends, strict=True)]


def losses(folder: Path) -> list[float]:
    with (folder / "log.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_two_processes_learn_what_one_does(world: Path, tmp_path: Path) -> None:
    """With dropout and sampling off: the same losses, and weights, as one with the whole batch."""
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    train(recipe(world, alone, **CHANGES), show=False)
    assert [code for code, _ in together(recipe(world, shared, **CHANGES))] == [0, 0]
    assert losses(shared) == pytest.approx(losses(alone), rel=1e-4)
    assert losses(alone)[0] > losses(alone)[1]
    names = [{p.name for p in f.iterdir() if "tfevents" not in p.name} for f in (alone, shared)]
    assert names[0] == names[1]  # only the first process writes
    one, other = (
        checkpoints.load(folder / "last.safetensors").model.state_dict()
        for folder in (alone, shared)
    )
    # All of them together: where a gradient is zero, Adam makes steps of what rounding leaves.
    names_of = [name for name, value in one.items() if value.is_floating_point()]
    whole, found = (torch.cat([w[n].flatten() for n in names_of]) for w in (one, other))
    assert float((found - whole).norm() / whole.norm()) < 1e-3
    # And it goes on, alone, behind what two have learned.
    longer = recipe(world, shared, **{**CHANGES, "phases": [PHASE, PHASE]})
    train(longer, resume=True, show=False)
    assert len(losses(shared)) == 4


def test_more_processes_than_a_step_has_items(world: Path, tmp_path: Path) -> None:
    wanted = recipe(world, tmp_path, training={"batch_size": 2})
    check_share(wanted, Ranks(0, 2))
    with pytest.raises(ConfigError) as refused:
        check_share(wanted, Ranks(1, 3))
    assert str(refused.value) == (
        "3 processes are to share each batch, and training.batch_size is 2; start fewer with "
        "torchrun, or make it larger"
    )


@pytest.mark.parametrize("count", range(1, 9))
def test_a_batch_is_shared_out(count: int) -> None:
    items = list(range(5))
    parts = [share_of(items, (number, count)) for number in range(count)]
    assert all(parts)
    assert {item for part in parts for item in part} == set(items)
    if count <= len(items):
        assert sum(map(len, parts)) == len(items)


def test_means_of_shares_are_the_mean_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums over words, each process having other numbers of them."""
    words = [[1.0, 2.0, 6.0], [5.0]]
    sums = lambda self, values: [sum(map(len, words))]  # noqa: E731
    monkeypatch.setattr(Ranks, "sums", sums)
    parts = []
    for rank, own in enumerate(words):
        shares = Ranks(rank, 2).weights({"words": len(own)})
        terms = {"cross_entropy": (0.5, torch.tensor(own).mean())}
        parts.append(weighted(terms, shares)["loss"])
    assert float(torch.stack(parts).mean()) == pytest.approx(0.5 * 14 / 4)


def test_one_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ALONE.first
    assert ALONE.sums([1.5]) == [1.5]
    assert (ALONE.any(True), ALONE.any(False)) == (True, False)
    assert ALONE.first_says({"a": 1}) == {"a": 1}
    assert ALONE.weights({"words": 3}) == {}
    monkeypatch.setenv("RANK", "1")  # of some other program: torchrun sets more
    assert ranks.is_first()
    with ranks.joined(torch.device("cpu")) as (found, device):
        assert (found, device) == (ALONE, torch.device("cpu"))
