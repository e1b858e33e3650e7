"""Training: the loop, and around it what watches, saves and stops it.

A run's folder holds `best.safetensors` (the averaged weights with the best validation score),
`last.safetensors`, `resume.safetensors` (everything needed to go on at the very step), `log.csv`
and TensorBoard's event files.

The same recipe gives the same weights, bit by bit, on the same machine with the same versions and
the same number of threads; this is tested on a CPU with one thread. On a GPU sums have no fixed
order: there, runs agree as closely as its rounding allows.

Under `torchrun`, several processes learn one model together, each from its share of every batch.

The modules here know nothing of photos and sentences: what is learned is said by a task's room.
"""

from pathlib import Path
from typing import Any

from captioner import devices, tasks
from captioner.training import run
from captioner.training.callbacks import Interrupted
from captioner.training.ranks import joined

__all__ = ["Interrupted", "plan", "train"]


def plan(recipe: Any, *, device: str = "cpu") -> dict[str, Any]:
    """What `train` would do: the whole recipe, the data, the parameters and the steps.

    Nothing is written. Arguments, result and errors are those of `run.plan`.
    """
    return run.plan(tasks.of(recipe), recipe, device=devices.pick(device))


def train(
    recipe: Any, *, resume: bool = False, device: str = "cpu", show: bool | None = None
) -> Path:
    """Trains what the recipe is for and returns the best checkpoint's path.

    Args:
        recipe: everything there is to set, such as a `captioner.Recipe`.
        resume: go on with the interrupted run in `recipe.output`.
        device: where to compute; `auto` is a GPU where there is one.
        show: progress bars; left out, on a terminal only.

    Raises:
        ConfigError, DataError, CheckpointError: the recipe, its data, its files or the device are
            not usable.
        Interrupted: Ctrl-C or SIGTERM; the run is saved.
    """
    picked = devices.pick(device)
    with joined(picked) as (together, own):
        return run.train(
            tasks.of(recipe), recipe, resume=resume, device=own, show=show, ranks=together
        )
