"""A frozen CNN's grids, for a task that learns from photos without changing how they are seen.

Shapes: P photos, h×w×C a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from captioner.grids import OfFile, cache_grids, clear_grids
from captioner.nn.encoders import ImageEncoder
from captioner.training.callbacks import Watch
from captioner.training.loop import Callback


class FeatureCache(Callback):
    """Computes a frozen CNN's grids once, before a phase that asks for it: `trainer.grids`."""

    def __init__(self, watch: Watch) -> None:
        self.watch, self.folder = watch, watch.folder / "features"

    def wanted(self, phase: Any) -> bool:
        """Whether a phase reads grids; otherwise the CNN does not stand still."""
        return bool(phase.cache_features)

    def seen(self, trainer: Any) -> tuple[ImageEncoder, Sequence[OfFile]]:
        """The CNN, and the photos that it sees."""
        return trainer.model.encoder, trainer.reader.photos

    def on_phase(self, trainer: Any, phase: Any) -> None:
        """Fills `trainer.grids` (P, h, w, C), or empties it."""
        trainer.grids = None
        if not self.wanted(phase):
            clear_grids(self.folder)  # of a CNN that no longer stands still
            return
        encoder, photos = self.seen(trainer)
        with self.watch.progress(len(photos), "features", "photo") as advance:
            trainer.grids = cache_grids(
                encoder,
                trainer.checkpoint.preprocess,
                photos,
                self.folder,
                device=trainer.device,
                progress=advance,
            )

    def close(self, trainer: Any) -> None:
        """Gives the disk back when the run is over; one that goes on finds its grids again."""
        if trainer.progress.position.phase == len(trainer.recipe.phases) - 1 and trainer.is_over():
            trainer.grids = None
            clear_grids(self.folder)
