"""One run: its folder, and the loop between a start, an interruption and an end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from captioner.checkpoint import Checkpoint, TranslationCheckpoint
from captioner.errors import CheckpointError, ConfigError
from captioner.recipes.captioning import Recipe
from captioner.recipes.files import continued
from captioner.recipes.translation import TranslationRecipe
from captioner.training.callbacks import Interrupt, Interrupted
from captioner.training.loop import Trainer
from captioner.training.state import load_state, save_state

STATE_FILE = "resume.safetensors"

C = TypeVar("C", Checkpoint, TranslationCheckpoint)


def claim(folder: Path, resume: bool) -> None:
    """Makes the folder of a new run, which must not write over another one's files."""
    files = (STATE_FILE, "best.safetensors", "last.safetensors", "log.csv")
    held = [name for name in files if (folder / name).exists()]
    if resume:
        if files[0] in held:
            return
        raise CheckpointError(
            f"{folder}: nothing to resume; leave --resume out, or name the --output of the run"
        )
    if held:
        raise ConfigError(
            f"{folder} holds a run already; go on with --resume, or choose another --output"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"output {folder} cannot be made ({error.strerror}); choose another --output"
        ) from error


def with_dropouts(
    old: C, recipe: Recipe | TranslationRecipe, name: str, build: Callable[..., Any], words: int
) -> C:
    """The checkpoint that a run starts from, with the dropouts that the recipe asks for.

    Args:
        old: the checkpoint.
        recipe: with `init`.
        name: of the checkpoint, for messages.
        build: makes a model of settings and a number of words.
        words: of the vocabulary.

    Raises:
        ConfigError: the recipe asks for another model than the checkpoint holds.
    """
    settings: Any = continued(recipe, old.config, name)
    if settings == old.config:
        return old
    model = build(settings, words)
    model.load_state_dict(old.model.state_dict())
    return dataclasses.replace(old, model=model, config=settings)


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
    try:
        with interrupt.watching():
            trainer.fit()
    except Interrupted:
        save_state(trainer, state_path)
        stopped = Interrupted(
            f"stopped and saved in {folder}; go on with the same command and --resume"
        )
        stopped.number = interrupt.number
        raise stopped from None
    finally:
        for callback in trainer.callbacks:
            callback.close(trainer)
    save_state(trainer, state_path)
    return folder / "best.safetensors"
