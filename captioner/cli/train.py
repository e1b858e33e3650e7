"""`captioner train`: a recipe in, a run's folder out."""

from __future__ import annotations

import argparse
from pathlib import Path

from captioner.cli.display import print_scores
from captioner.cli.models import pick_device
from captioner.recipes.captioning import Recipe
from captioner.recipes.files import read_recipe
from captioner.recipes.translation import TranslationRecipe


def train(arguments: argparse.Namespace) -> int:
    """Trains as a recipe says; returns 0.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM, with what was saved and how to go on; its attribute
            `number` is that of the signal.
    """
    recipe = read_recipe(arguments.recipe, arguments.settings)
    device = pick_device(arguments.device)
    from captioner import checkpoint, training

    folder = Path(recipe.output)
    print(f"training on {device}; everything goes to {folder}/: best.safetensors, log.csv, …")
    print(f"watch it: tensorboard --logdir {folder}", flush=True)
    try:
        best = training.train(recipe, resume=arguments.resume, device=device)
    except training.Interrupted as stop:
        stopped = KeyboardInterrupt(str(stop))
        stopped.number = stop.number  # type: ignore[attr-defined]
        raise stopped from stop
    print(f"\nbest checkpoint: {best}")
    print_scores(checkpoint.describe(best)["provenance"])
    print(f"\nwhat to do with it:\n{_uses(recipe, best)}\n  captioner describe {best}")
    return 0


def _uses(recipe: Recipe | TranslationRecipe, best: Path) -> str:
    """Commands that use the new weights."""
    if isinstance(recipe, TranslationRecipe):
        language = (recipe.data.validation or recipe.data.train)[0].languages[1]
        return f"  captioner translate --checkpoint {best} --to {language} SENTENCE"
    source = (recipe.data.validation or recipe.data.train)[0]
    return f"""\
  captioner caption --checkpoint {best} --overlay sheets PHOTO…
  captioner evaluate --checkpoint {best} --captions {source.captions} --images {source.images}"""
