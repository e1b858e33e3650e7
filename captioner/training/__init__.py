"""Training: the loop, and around it what watches, saves and stops it.

A run's folder holds `best.safetensors` (the averaged weights with the best validation score),
`last.safetensors`, `resume.safetensors` (everything needed to go on at the very step), `log.csv`
and TensorBoard's event files.

The same recipe gives the same weights, bit by bit, on the same machine with the same versions and
the same number of threads; this is tested on a CPU with one thread. On a GPU sums have no fixed
order: there, runs agree as closely as its rounding allows.

`loop` knows nothing of captions and translations; `captioning` and `translation` say what their
batches, their losses and their scores are.
"""

from pathlib import Path

from captioner import devices
from captioner.recipes.captioning import Recipe
from captioner.recipes.translation import TranslationRecipe
from captioner.training import captioning, translation
from captioner.training.callbacks import Interrupted

__all__ = ["Interrupted", "train"]


def train(
    recipe: Recipe | TranslationRecipe,
    *,
    resume: bool = False,
    device: str = "cpu",
    show: bool | None = None,
) -> Path:
    """Trains what the recipe is for and returns the best checkpoint's path.

    Args:
        recipe: everything there is to set.
        resume: go on with the interrupted run in `recipe.output`.
        device: where to compute; `auto` is a GPU where there is one.
        show: progress bars; left out, on a terminal only.

    Raises:
        ConfigError, DataError, CheckpointError: the recipe, its data, its files or the device are
            not usable.
        Interrupted: Ctrl-C or SIGTERM; the run is saved.
    """
    device = str(devices.pick(device))
    if isinstance(recipe, TranslationRecipe):
        return translation.train(recipe, resume=resume, device=device, show=show)
    return captioning.train(recipe, resume=resume, device=device, show=show)
