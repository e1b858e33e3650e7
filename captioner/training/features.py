"""A frozen CNN's grids, for a task that learns from photos without changing how they are seen.

Shapes: P photos, h×w×C a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from captioner.grids import OfFile, cache_grids, clear_grids
from captioner.nn.encoders import ImageEncoder
from captioner.pictures.preprocess import Preprocess
from captioner.training.callbacks import Watch
from captioner.training.loop import Callback, Trainer


class FeatureCache(Callback):
    """Computes a frozen CNN's grids once, before a phase that asks for them: `trainer.grids`."""

    def __init__(
        self, watch: Watch, encoder: ImageEncoder, preprocess: Preprocess, photos: Sequence[OfFile]
    ) -> None:
        self.watch, self.folder = watch, watch.folder / "features"
        self.encoder, self.preprocess, self.photos = encoder, preprocess, photos

    def wanted(self, trainer: Trainer, phase: Any) -> bool:
        """Whether the phase reads grids."""
        return True

    def on_phase(self, trainer: Any, phase: Any) -> None:
        """Fills `trainer.grids` (P, h, w, C), or empties it."""
        trainer.grids = None
        if not self.wanted(trainer, phase):
            clear_grids(self.folder)  # of a CNN that no longer stands still
            return
        with self.watch.progress(len(self.photos), "features", "photo") as advance:
            trainer.grids = cache_grids(
                self.encoder,
                self.preprocess,
                self.photos,
                self.folder,
                device=trainer.device,
                progress=advance,
            )

    def close(self, trainer: Any) -> None:
        """Gives the disk back when the run is over; one that goes on finds its grids again."""
        if trainer.progress.position.phase == len(trainer.recipe.phases) - 1 and trainer.is_over():
            trainer.grids = None
            clear_grids(self.folder)
