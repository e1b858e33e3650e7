"""The task sentence → sentence, as `captioner.tasks` lists it.

Importing this imports nothing that is slow: what computes is imported when it is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from captioner.translations.recipe import TranslationRecipe

if TYPE_CHECKING:
    import torch

    from captioner.training.run import Watch
    from captioner.translations.checkpoint import TranslationCheckpoint
    from captioner.translations.start import TranslationData
    from captioner.translations.training import TranslationTrainer
    from captioner.translations.translator import Translator


class Translating:
    """Sentences are translated."""

    name = "translate"
    recipe = TranslationRecipe

    def checkpoint(self) -> type[TranslationCheckpoint]:
        """The class of the checkpoints."""
        from captioner.translations.checkpoint import TranslationCheckpoint

        return TranslationCheckpoint

    def read(self, recipe: TranslationRecipe) -> TranslationData:
        """The sentence pairs of a recipe."""
        from captioner.translations.start import read

        return read(recipe)

    def start(self, recipe: TranslationRecipe, data: TranslationData) -> TranslationCheckpoint:
        """What training starts from: a new model, or that of `recipe.init` with its pieces."""
        from captioner.translations.start import start_checkpoint

        return start_checkpoint(recipe, data.training)

    def trainer(
        self,
        recipe: TranslationRecipe,
        checkpoint: TranslationCheckpoint,
        data: TranslationData,
        watch: Watch,
    ) -> TranslationTrainer:
        """What trains; the checkpoint's model lies on the device already."""
        from captioner.translations.training import make_trainer

        return make_trainer(recipe, checkpoint, data, watch)

    def open(
        self, checkpoint: TranslationCheckpoint, device: str | torch.device = "cpu"
    ) -> Translator:
        """What people use."""
        from captioner.translations.translator import Translator

        return Translator(checkpoint, device)

    def uses(self, recipe: TranslationRecipe, best: Path) -> tuple[str, ...]:
        """Commands that use new weights."""
        language = (recipe.data.validation or recipe.data.train)[0].languages[1]
        return (f"captioner translate --checkpoint {best} --to {language} SENTENCE",)
