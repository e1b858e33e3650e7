"""Training a captioner: what its batches, its losses and its scores are.

Shapes: B photos, K drawn captions of them all.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from captioner import losses
from captioner.captions.batches import Batch, BatchReader
from captioner.captions.captioner import Captioner
from captioner.captions.checkpoint import Checkpoint
from captioner.captions.evaluation import evaluate
from captioner.captions.recipe import PhaseConfig, Recipe
from captioner.captions.start import CaptionData, read_boxes
from captioner.captions.store import PhotoStore
from captioner.datasets import Photo
from captioner.judges import Judge, JudgesBeside
from captioner.metrics import Score
from captioner.nn.encoders import normalise
from captioner.nn.memory import Memory
from captioner.nn.model import CaptionModel, Dropouts
from captioner.nn.recognition import Recogniser
from captioner.text import EOS
from captioner.training.attending import attention_terms
from captioner.training.callbacks import Validation, Watch
from captioner.training.features import FeatureCache
from captioner.training.loop import Callback, Trainer, weighted
from captioner.training.scheduled import mixed_inputs, own_share
from captioner.training.self_critical import Drawn, draw

_LOG = logging.getLogger(__name__)


class CaptionTrainer(Trainer):
    """Minimises the cross-entropy of captions given their photos, and what a phase adds to it."""

    model: CaptionModel
    checkpoint: Checkpoint
    reader: BatchReader
    grids: NDArray[np.float16] | None = None  # of a frozen CNN, where a phase caches them
    store: PhotoStore | None = None  # photos that are decoded already
    _judge: Judge | None = None
    teacher: Recogniser | None = None  # whom a phase's distillation asks

    def enter(self, phase: PhaseConfig) -> None:
        """Readies model, optimiser and reader for a phase."""
        super().enter(phase)
        self.reader.batch_size = phase.batch_size or self.recipe.training.batch_size
        rates = Dropouts.of(self.checkpoint.config)
        self.model.set_dropouts(rates if phase.input_dropout else rates.without_inputs())

    def batches(self, epoch: int, first_step: int) -> Iterator[Batch]:
        """Photos, varied as the phase says, or cached grids."""
        if self.store is not None and self.grids is None:
            return self.reader.read_stored(self.store, epoch, first_step, self.phase.augment)
        return self.reader.read(epoch, first_step, self.phase.augment, self.grids)

    def groups(self, phase: PhaseConfig) -> list[tuple[list[nn.Parameter], float]]:
        """The decoder's and the CNN's parameters, whose rates differ."""
        self.model.encoder.fine_tune(phase.fine_tune_from, phase.batch_norm == "frozen")
        cnn = {id(parameter) for parameter in self.model.encoder.features.parameters()}
        learning = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        return [
            ([p for p in learning if id(p) not in cnn], phase.learning_rate),
            ([p for p in learning if id(p) in cnn], phase.encoder_learning_rate),
        ]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy, and what the recipe and the phase add to it."""
        settings, phase = self.recipe.training, self.phase
        photos = self.normalised(batch)
        grid = batch.photos if photos is None else self._grid(photos)
        memory = self.model.encoder.read(grid)
        drawn = self.draws(batch, memory) if phase.self_critical else None
        inputs = self._inputs(batch, memory)
        unrolled = self.model.decoder.unroll(inputs, batch.lengths, memory, batch.owners)
        cross_entropy = losses.cross_entropy(
            unrolled.logits, batch.targets, settings.label_smoothing
        )
        attention = self.checkpoint.config.attention
        terms = {
            "cross_entropy": (1 - phase.self_critical, cross_entropy),
            **attention_terms(attention, phase, unrolled, batch, self.kept),
        }
        if settings.doubly_stochastic:
            mask = None if memory.mask is None else memory.mask[batch.owners]
            penalty = losses.doubly_stochastic(unrolled.weights, mask)
            terms["doubly_stochastic"] = settings.doubly_stochastic, penalty
        if phase.distillation:
            assert photos is not None  # the recipe saw to both
            assert memory.kinds is not None
            divergence = losses.distillation(memory.kinds, self._wanted(photos))
            terms["distillation"] = phase.distillation, divergence
        if drawn is None:
            return weighted(terms, self.shares)
        terms["self_critical"] = phase.self_critical, drawn.loss()  # judged by now
        return weighted(terms, self.shares, reward=drawn.reward())

    def _inputs(self, batch: Batch, memory: Memory) -> Tensor:
        """The words that are read: the captions' own, or some of the model's instead."""
        phase = self.phase
        share = own_share(self.through, phase.scheduled_sampling, phase.scheduled_decay)
        if not share:
            return batch.inputs
        return mixed_inputs(self.model.decoder, memory, batch.inputs, share, batch.owners)

    def draws(self, batch: Batch, memory: Memory) -> Drawn:
        """Captions drawn for a batch, which are being judged."""
        photos = batch.numbers.tolist()

        def judge(
            drawn: Sequence[Sequence[int]], owners: Sequence[int]
        ) -> Callable[[], np.ndarray]:
            said = [self._words(tokens) for tokens in drawn]
            photo_of = [photos[owner] for owner in owners]
            return self.judge(said, photo_of, self.phase.repetition_penalty)

        return draw(
            self.model.decoder,
            memory,
            judge,
            samples=self.phase.samples,
            max_length=self.phase.max_length,
            seed=self.recipe.seed,
            # A number of its own for each photo of each step: a resumed run draws the same.
            first=self.progress.position.total_steps * self.reader.batch_size,
        )

    @property
    def judge(self) -> Judge:
        """CIDEr-D against the training captions, their ends being words."""
        if self._judge is None:
            references = [
                [self._words([*tokens, EOS]) for tokens in own] for own in self.reader.sentences
            ]
            kind = Judge if self.device.type == "cpu" else JudgesBeside
            self._judge = kind(references)
        return self._judge

    def dismiss_judge(self) -> None:
        """Ends the processes that judge, where there are some."""
        if self._judge is not None:
            self._judge.close()
        self._judge = None

    def _grid(self, photos: Tensor) -> Tensor:
        lower = self.recipe.training.encoder_precision == "same"
        with contextlib.nullcontext() if lower else torch.autocast(self.device.type, enabled=False):
            return self.model.encoder.grid(photos)

    def _wanted(self, photos: Tensor) -> Tensor:
        """The teacher's answers (B, classes), as precise as the CNN's own."""
        assert self.teacher is not None
        lower = self.recipe.training.encoder_precision == "same"
        with contextlib.nullcontext() if lower else torch.autocast(self.device.type, enabled=False):
            return self.teacher(photos).float()

    def normalised(self, batch: Batch) -> Tensor | None:
        """The batch's pictures as the CNN takes them, or None where it holds cached grids."""
        if batch.photos.dtype != torch.uint8:
            return None
        preprocess = self.checkpoint.preprocess
        return normalise(batch.photos, preprocess.mean, preprocess.std)

    def _words(self, tokens: Sequence[int]) -> list[str]:
        return self.checkpoint.vocabulary.decode(tokens)

    def content(self) -> Any:
        """The photos, their captions and the words."""
        names = [photo.photo_id for photo in self.reader.photos]
        return [self.checkpoint.vocabulary.words, names, self.reader.sentences]


class CaptionValidation(Validation):
    """Captions the validation photos; the highest CIDEr-D is the best."""

    logged = ("cider", "bleu_4")

    def __init__(self, photos: Sequence[Photo], watch: Watch) -> None:
        super().__init__(watch)
        self.photos = photos
        self.warned: set[str] = set()  # photos that cannot be read

    def scores(self, trainer: Trainer) -> dict[str, Score]:
        """BLEU, ROUGE-L and CIDEr-D, without their intervals."""
        captioner = Captioner(trainer.averaged(), trainer.device, runtime="torch")
        with self.watch.progress(len(self.photos), "validation", "photo") as advance:
            report = evaluate(
                captioner,
                self.photos,
                bootstrap=0,
                progress=advance,
                options=trainer.recipe.search,
            )
        for reason in report.left_out:
            if reason not in self.warned:
                _LOG.warning("left out: %s", reason)
                self.warned.add(reason)
        return report.scores

    def provenance(self, trainer: Trainer) -> dict[str, Any]:
        """Counts of photos and captions."""
        sentences = trainer.reader.sentences
        return {"photos": len(sentences), "captions": sum(map(len, sentences))}


class KeptPhotos(Callback):
    """Decodes all photos once, before the first phase that reads pictures."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_phase(self, trainer: Trainer, phase: PhaseConfig) -> None:
        """Fills `trainer.store` where the recipe says so, or a GPU has room."""
        assert isinstance(trainer, CaptionTrainer)
        reader = trainer.reader
        needed = PhotoStore.bytes_needed(len(reader.photos), reader.preprocess.size)
        wanted = trainer.recipe.training.keep_photos
        roomy = trainer.device.type == "cuda" and needed < torch.cuda.mem_get_info()[0] / 3
        if any(each.self_critical for each in trainer.recipe.phases):
            _ = trainer.judge  # its processes, where it has some, are ready by the time
        if phase.cache_features or trainer.store is not None:
            return
        if wanted == "never" or (wanted == "auto" and not roomy):
            return
        with self.watch.progress(len(reader.photos), "photos", "photo") as advance:
            trainer.store = PhotoStore.filled(reader, trainer.device, advance)

    def close(self, trainer: Trainer) -> None:
        """Gives the memory back, and ends the processes that judge."""
        assert isinstance(trainer, CaptionTrainer)
        trainer.store = None
        trainer.dismiss_judge()


def make_trainer(
    recipe: Recipe, checkpoint: Checkpoint, data: CaptionData, watch: Watch
) -> CaptionTrainer:
    """What trains a captioner, whose model lies on its device already."""
    checkpoint.model.encoder.features.to(memory_format=torch.channels_last)
    cells = checkpoint.preprocess.size // checkpoint.config.encoder.stride  # along a side
    reader = BatchReader(
        data.training,
        checkpoint.vocabulary,
        checkpoint.preprocess,
        batch_size=recipe.training.batch_size,
        seed=recipe.seed,
        max_words=recipe.data.max_words,
        workers=recipe.training.workers,
        things=read_boxes(recipe),
        grid=(cells, cells),
    )
    callbacks = [
        FeatureCache(watch),
        KeptPhotos(watch),
        CaptionValidation(data.validation, watch),
        *watch.callbacks(),
    ]
    trainer = CaptionTrainer(recipe, checkpoint, reader, callbacks)
    trainer.teacher = None if data.teacher is None else data.teacher.to(trainer.device)
    return trainer
