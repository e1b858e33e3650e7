"""The task photo → sentence, as `captioner.tasks` lists it.

Importing this imports nothing that is slow: what computes is imported when it is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from captioner.captions.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from captioner.captions.captioner import Captioner
    from captioner.captions.checkpoint import Checkpoint
    from captioner.captions.start import CaptionData
    from captioner.captions.training import CaptionTrainer
    from captioner.training.run import Watch


class Captioning:
    """Photos are captioned."""

    name = "caption"
    recipe = Recipe

    def checkpoint(self) -> type[Checkpoint]:
        """The class of the checkpoints."""
        from captioner.captions.checkpoint import Checkpoint

        return Checkpoint

    def read(self, recipe: Recipe) -> CaptionData:
        """The photos of a recipe, with boxes and a teacher where it names some."""
        from captioner.captions.start import read

        return read(recipe)

    def start(self, recipe: Recipe, data: CaptionData) -> Checkpoint:
        """What training starts from: a new model, or that of `recipe.init` with new words."""
        from captioner.captions.start import start_checkpoint

        return start_checkpoint(recipe, data.training, data.teacher)

    def trainer(
        self, recipe: Recipe, checkpoint: Checkpoint, data: CaptionData, watch: Watch
    ) -> CaptionTrainer:
        """What trains; the checkpoint's model lies on the device already."""
        from captioner.captions.training import make_trainer

        return make_trainer(recipe, checkpoint, data, watch)

    def open(self, checkpoint: Checkpoint, device: str | torch.device = "cpu") -> Captioner:
        """What people use."""
        from captioner.captions.captioner import Captioner

        return Captioner(checkpoint, device)

    def uses(self, recipe: Recipe, best: Path) -> tuple[str, ...]:
        """Commands that use new weights."""
        source = (recipe.data.validation or recipe.data.train)[0]
        return (
            f"captioner caption --checkpoint {best} --overlay sheets PHOTO…",
            f"captioner evaluate --checkpoint {best} --captions {source.captions} "
            f"--images {source.images}",
        )
