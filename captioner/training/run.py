"""One run, of whichever task: its start, the loop up to an interruption or the end, its folder."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from captioner import bars
from captioner.errors import ConfigError
from captioner.settings import to_dict
from captioner.storage import Stored
from captioner.training.callbacks import (
    STATE_FILE,
    Interrupt,
    Interrupted,
    Log,
    Save,
    Validation,
    Watch,
)
from captioner.training.folder import claimed
from captioner.training.loop import FirstStopped, Trainer
from captioner.training.ranks import ALONE, Ranks, check_share
from captioner.training.state import load_state, save_state

_FIRST_ONLY = (Validation, Log, Save)  # what one of several processes does for all

S = TypeVar("S", bound=Stored)
D = TypeVar("D")


class Task(Protocol[S, D]):
    """What is learned: all that depends on it, from a recipe to what people use.

    `S` is the class of its checkpoints, `D` holds the data of a run.
    """

    name: str  # in recipes and in checkpoints
    recipe: type[Any]  # a frozen dataclass with the fields of `recipes.shared`

    def checkpoint(self) -> type[S]:
        """The class of its checkpoints."""

    def read(self, recipe: Any) -> D:
        """The training and the validation data of a recipe.

        Raises:
            ConfigError, DataError: there are none, or they are not what their format promises.
        """

    def start(self, recipe: Any, data: D) -> S:
        """What training starts from: a new checkpoint, or the one that `recipe.init` names.

        Raises:
            ConfigError, DataError, CheckpointError: there is no such start.
        """

    def trainer(self, recipe: Any, checkpoint: S, data: D, watch: Watch) -> Trainer:
        """What trains the checkpoint's model, where it lies; with the callbacks of `watch`."""

    def open(self, checkpoint: S, device: str | torch.device = "cpu") -> Any:
        """What people use: a `Captioner`, a `Translator`."""

    def uses(self, recipe: Any, best: Path) -> tuple[str, ...]:
        """Commands that use the weights of a run."""


def plan(task: Task[S, D], recipe: Any, *, device: torch.device) -> dict[str, Any]:
    """What `train` would do, as plain values; data are read and the model built, nothing is kept.

    Args:
        task: the recipe's.
        recipe: everything there is to set.
        device: where to compute.

    Returns:
        `recipe` with every setting, the model's as they would be run; `data`, counts of what is
        learned from; `parameters` of the model; `phases`, each with its epochs, the steps of one
        and how many parameters learn.

    Raises:
        ConfigError, DataError, CheckpointError: as `train`.
    """
    data = task.read(recipe)
    torch.manual_seed(recipe.seed)
    checkpoint = task.start(recipe, data)
    recipe = dataclasses.replace(recipe, model=checkpoint.config)
    checkpoint.model.to(device)
    with tempfile.TemporaryDirectory(prefix="captioner-plan-") as folder:
        trainer = task.trainer(recipe, checkpoint, data, Watch(Path(folder), False, Interrupt()))
    phases = []
    for number, phase in enumerate(recipe.phases, 1):
        trainer.enter(phase)
        learning = [
            parameter for parameters, _ in trainer.groups(phase) for parameter in parameters
        ]
        phases.append(
            {
                "name": phase.name or f"phase {number}",
                "epochs": phase.epochs,
                "steps_per_epoch": len(trainer.reader),
                "parameters_that_learn": sum(parameter.numel() for parameter in learning),
            }
        )
    [judge] = [each for each in trainer.callbacks if isinstance(each, Validation)]
    return {
        "recipe": to_dict(recipe),
        "data": judge.provenance(trainer),
        "parameters": sum(parameter.numel() for parameter in checkpoint.model.parameters()),
        "phases": phases,
    }


def train(
    task: Task[S, D],
    recipe: Any,
    *,
    resume: bool = False,
    device: torch.device,
    show: bool | None = None,
    ranks: Ranks = ALONE,
) -> Path:
    """Trains as the recipe says and returns the best checkpoint's path.

    Args:
        task: the recipe's.
        recipe: everything there is to set.
        resume: go on with the interrupted run in `recipe.output`.
        device: where to compute.
        show: progress bars; left out, on a terminal or in a notebook.
        ranks: who learns together; the first of them writes, logs and validates.

    Raises:
        ConfigError, DataError, CheckpointError: the recipe, its data or its files are not usable,
            or there are more processes than a step has items.
        Interrupted: Ctrl-C or SIGTERM; the run is saved.
    """
    folder = Path(recipe.output)
    check_share(recipe, ranks)
    with _taken(folder, resume, ranks) as (own, saved):
        data = task.read(recipe)
        torch.manual_seed(recipe.seed)
        checkpoint = task.start(recipe, data)
        recipe = dataclasses.replace(recipe, model=checkpoint.config)  # what is run, and is written
        checkpoint.model.to(device)
        show = ranks.first and (bars.is_seen() if show is None else show)
        watch = Watch(own, show, Interrupt())
        watch.interrupt.ranks = ranks
        trainer = task.trainer(recipe, checkpoint, data, watch)
        trainer.join(ranks)
        return run(trainer, watch.interrupt, saved)


@contextlib.contextmanager
def _taken(folder: Path, resume: bool, ranks: Ranks) -> Iterator[tuple[Path, bool]]:
    """The folder that this process may write to, and whether a state is there to go on from.

    That of the run for the first one; the others have one for what they keep while they run.
    """
    with contextlib.ExitStack() as stack:
        saved = None
        try:
            if ranks.first:
                saved = stack.enter_context(claimed(folder, resume))
        finally:
            saved = ranks.first_says(saved)
        if saved is None:
            raise ConfigError(f"the first process cannot use {folder}, and says why")
        if ranks.first:
            yield folder, saved
        else:
            scratch = tempfile.TemporaryDirectory(prefix="captioner-rank-")
            yield Path(stack.enter_context(scratch)), saved


def run(trainer: Trainer, interrupt: Interrupt, resume: bool) -> Path:
    """Trains to the end of the recipe and returns the best checkpoint's path.

    Args:
        trainer: with `interrupt` among its callbacks.
        interrupt: what listens for Ctrl-C and SIGTERM.
        resume: go on where the run in the recipe's output folder stands.

    Raises:
        CheckpointError: the resume state is damaged or of another run.
        Interrupted: Ctrl-C or SIGTERM; the run is saved.
    """
    folder = Path(trainer.recipe.output)
    state_path = folder / STATE_FILE
    if resume:
        load_state(trainer, state_path)
    if not interrupt.ranks.first:
        trainer.callbacks = [c for c in trainer.callbacks if not isinstance(c, _FIRST_ONLY)]
    try:
        with interrupt.watching():
            trainer.fit()
    except FirstStopped:
        raise ConfigError("the first process was stopped, and says why") from None
    except Interrupted:
        if interrupt.ranks.first:
            save_state(trainer, state_path)
        stopped = Interrupted(
            f"stopped and saved in {folder}; go on with the same command and --resume"
        )
        stopped.number = interrupt.number
        raise stopped from None
    finally:
        for callback in trainer.callbacks:
            callback.close(trainer)
    if interrupt.ranks.first:
        save_state(trainer, state_path)
    return folder / "best.safetensors"
