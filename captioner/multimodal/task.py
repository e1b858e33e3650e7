"""The task (photo, sentence) → sentence, as `captioner.tasks` lists it.

Importing this imports nothing that is slow: what computes is imported when it is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from captioner.multimodal.recipe import MultimodalRecipe

if TYPE_CHECKING:
    import torch

    from captioner.multimodal.training import MultimodalTrainer
    from captioner.training.run import Watch
    from captioner.translations.checkpoint import MultimodalCheckpoint
    from captioner.translations.start import TranslationData
    from captioner.translations.translator import Translator


class Seeing:
    """Sentences are translated with the photo in view."""

    name = "multimodal"
    recipe = MultimodalRecipe

    def checkpoint(self) -> type[MultimodalCheckpoint]:
        """The class of the checkpoints."""
        from captioner.translations.checkpoint import MultimodalCheckpoint

        return MultimodalCheckpoint

    def read(self, recipe: MultimodalRecipe) -> TranslationData:
        """The sentence pairs of a recipe, with their photos."""
        from captioner.multimodal.training import read

        return read(recipe)

    def start(self, recipe: MultimodalRecipe, data: TranslationData) -> MultimodalCheckpoint:
        """What training starts from: a new model, or that of `recipe.init` with its pieces."""
        from captioner.multimodal.training import start_checkpoint

        return start_checkpoint(recipe, data)

    def trainer(
        self,
        recipe: MultimodalRecipe,
        checkpoint: MultimodalCheckpoint,
        data: TranslationData,
        watch: Watch,
    ) -> MultimodalTrainer:
        """What trains; the checkpoint's model lies on the device already."""
        from captioner.multimodal.training import make_trainer

        return make_trainer(recipe, checkpoint, data, watch)

    def open(
        self, checkpoint: MultimodalCheckpoint, device: str | torch.device = "cpu"
    ) -> Translator:
        """What people use: a translator that is given a photo with every text."""
        from captioner.translations.translator import Translator

        return Translator(checkpoint, device)

    def uses(self, recipe: MultimodalRecipe, best: Path) -> tuple[str, ...]:
        """Commands that use new weights."""
        source = (recipe.data.validation or recipe.data.train)[0]
        first, second = source.languages
        return (
            f"captioner translate --checkpoint {best} --to {second} --photo PHOTO SENTENCE",
            f"captioner evaluate --checkpoint {best} --source {source.source or source.tsv} "
            f"--target {source.target or source.tsv} --from {first} --to {second} "
            f"--photo-names {source.photos} --photo-folder {source.images}",
        )
