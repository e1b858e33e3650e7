"""Training translation with the photo in view: the translator's, with grids in its batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from captioner.captions.start import begin_cnn
from captioner.metrics import Score
from captioner.multimodal.evaluation import MultimodalEvaluation
from captioner.multimodal.pairs import (
    PhotoFile,
    SeenBatch,
    SeenPair,
    SeenReader,
    photos_of,
    read_seen_pairs,
)
from captioner.multimodal.recipe import MultimodalRecipe
from captioner.nn.encoders import ImageEncoder
from captioner.nn.memory import Memory
from captioner.nn.model import MultimodalModel
from captioner.pictures.preprocess import Preprocess
from captioner.sights import Sight
from captioner.training.callbacks import Watch
from captioner.training.features import FeatureCache
from captioner.training.loop import Trainer
from captioner.translations import start
from captioner.translations.checkpoint import MultimodalCheckpoint
from captioner.translations.start import TranslationData
from captioner.translations.training import TranslationTrainer, TranslationValidation, make_reader
from captioner.translations.translator import Translator


def read(recipe: MultimodalRecipe) -> TranslationData:
    """The sentence pairs of a recipe, with their photos; raises as the translator's."""
    return start.read(recipe, read_seen_pairs)


def start_checkpoint(recipe: MultimodalRecipe, data: TranslationData) -> MultimodalCheckpoint:
    """What training starts from: a new model with the CNN that is named, or `recipe.init`."""
    preprocess = Preprocess(recipe.model.photo.image_size)
    checkpoint = start.begun(recipe, data.training, MultimodalCheckpoint, preprocess=preprocess)
    if not recipe.init:
        begin_cnn(checkpoint.model.encoder.photo, recipe.model.photo, "photo")
    return checkpoint


class MultimodalTrainer(TranslationTrainer):
    """Minimises what a translator's does, with the photos in view; their CNN does not learn."""

    model: MultimodalModel
    checkpoint: MultimodalCheckpoint
    reader: SeenReader
    grids: NDArray[np.float16] | None = None  # of the reader's photos, then of the validation's

    def groups(self, phase: Any) -> list[tuple[list[nn.Parameter], float]]:
        """All parameters but the CNN's."""
        self.model.encoder.photo.fine_tune(0)
        return super().groups(phase)

    def memory(self, batch: SeenBatch) -> Memory:  # type: ignore[override]
        """What the decoder looks at: the sources, read, and their photos."""
        memory: Memory = self.model.encoder(
            batch.sources, batch.source_lengths, batch.grids, batch.there
        )
        return memory

    def content(self) -> Any:
        """The pairs, the photos' names and the pieces."""
        pairs = [
            [pair.source_text, pair.target_text, pair.target_language, pair.path.name]
            for pair in self.reader.pairs
        ]
        return [self.checkpoint.subwords.pieces, pairs]


class SeenFeatures(FeatureCache):
    """The grids of all photos, before the first step: the CNN never learns."""

    def __init__(self, watch: Watch, judged: Sequence[SeenPair]) -> None:
        super().__init__(watch)
        self.judged = photos_of(judged)  # of validation

    def wanted(self, phase: Any) -> bool:
        """Always."""
        return True

    def seen(self, trainer: Any) -> tuple[ImageEncoder, Sequence[PhotoFile]]:
        """The photos of the reader, and those of validation behind them."""
        return trainer.model.encoder.photo, [*trainer.reader.photos, *self.judged]

    def on_phase(self, trainer: Any, phase: Any) -> None:
        """Fills `trainer.grids`, and hands the reader its own."""
        super().on_phase(trainer, phase)
        trainer.reader.grids = trainer.grids

    def close(self, trainer: Any) -> None:
        """Gives the disk back when the run is over."""
        trainer.reader.grids = None
        super().close(trainer)


class MultimodalValidation(TranslationValidation):
    """Translates the validation sentences with their photos in view; the highest BLEU is best."""

    known: Mapping[Path, Sight] = {}

    def scores(self, trainer: Trainer) -> dict[str, Score]:
        """As the translator's; the photos have been seen before the first step."""
        assert isinstance(trainer, MultimodalTrainer)
        assert trainer.grids is not None
        eyes = Translator(trainer.averaged(), trainer.device).eyes
        assert eyes is not None
        pairs = [pair for several in self.directions.values() for pair in several]
        first = len(trainer.reader.photos)
        size = (eyes.preprocess.size, eyes.preprocess.size)
        self.known = {
            photo.path: eyes.known(_loaded(grid, trainer.device), size, photo.path)
            for photo, grid in zip(photos_of(pairs), trainer.grids[first:], strict=True)
            if not np.isnan(grid[0, 0, 0])
        }
        return super().scores(trainer)

    def judged(self, translator: Translator, pairs: Sequence[SeenPair]) -> MultimodalEvaluation:
        """The pairs of one direction beside the translator."""
        return MultimodalEvaluation(translator, pairs, known=self.known)

    def provenance(self, trainer: Trainer) -> dict[str, Any]:
        """The counts of pairs and photos."""
        return {**super().provenance(trainer), "photos": len(trainer.reader.photos)}


def _loaded(grid: NDArray[np.float16], device: torch.device) -> Tensor:
    return torch.from_numpy(np.array(grid)).to(device)


def make_trainer(
    recipe: MultimodalRecipe,
    checkpoint: MultimodalCheckpoint,
    data: TranslationData,
    watch: Watch,
) -> MultimodalTrainer:
    """What trains a translator with eyes, whose model lies on its device already.

    Raises:
        ConfigError: the checkpoint does not translate as validation wants it.
        DataError: no pair is short enough.
    """
    reader = make_reader(SeenReader, recipe, checkpoint, data)
    judged: list[Any] = [pair for pairs in data.validation.values() for pair in pairs]
    callbacks = [
        SeenFeatures(watch, judged),
        MultimodalValidation(data.validation, watch),
        *watch.callbacks(),
    ]
    return MultimodalTrainer(recipe, checkpoint, reader, callbacks)
