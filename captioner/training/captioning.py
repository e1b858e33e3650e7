"""Training a captioner: photos with their captions in, a checkpoint out."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from captioner import boxes, datasets, losses
from captioner import checkpoint as checkpoints
from captioner.batches import Batch, BatchReader, cache_grids, clear_grids
from captioner.captions.captioner import Captioner
from captioner.checkpoint import Checkpoint
from captioner.datasets import Photo
from captioner.errors import ConfigError, DataError
from captioner.evaluation import evaluate
from captioner.judges import Judge, JudgesBeside
from captioner.metrics import Score
from captioner.nn.architecture import CopyConfig
from captioner.nn.encoders import load_pretrained, normalise
from captioner.nn.memory import Memory
from captioner.nn.model import CaptionModel, Dropouts, build_model
from captioner.nn.recognition import Recogniser, load_recogniser, read_kinds
from captioner.options import SearchOptions
from captioner.pictures.preprocess import Preprocess
from captioner.recipes.captioning import DataConfig, PhaseConfig, Recipe
from captioner.text import EOS, Vocabulary, tokenise
from captioner.training.attending import attention_losses
from captioner.training.callbacks import Interrupt, Log, Save, Validation, progress_bar
from captioner.training.loop import Callback, Trainer
from captioner.training.run import STATE_FILE, claim, run, with_dropouts
from captioner.training.scheduled import mixed_inputs, own_share
from captioner.training.self_critical import Drawn, draw
from captioner.training.store import PhotoStore

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
        photos = self._normalised(batch)
        grid = batch.photos if photos is None else self._grid(photos)
        memory = self.model.encoder.read(grid)
        drawn = self.draws(batch, memory) if phase.self_critical else None
        inputs = self._inputs(batch, memory)
        unrolled = self.model.decoder.unroll(inputs, batch.lengths, memory, batch.owners)
        found = {
            "cross_entropy": losses.cross_entropy(
                unrolled.logits, batch.targets, settings.label_smoothing
            )
        }
        total = (1 - phase.self_critical) * found["cross_entropy"]
        added, parts = attention_losses(
            self.checkpoint.config.attention, phase, unrolled, batch, self.kept
        )
        total, found = total + added, found | parts
        if settings.doubly_stochastic:
            mask = None if memory.mask is None else memory.mask[batch.owners]
            found["doubly_stochastic"] = losses.doubly_stochastic(unrolled.weights, mask)
            total = total + settings.doubly_stochastic * found["doubly_stochastic"]
        if phase.distillation:
            assert self.teacher is not None  # the recipe saw to both
            assert photos is not None
            assert memory.kinds is not None
            found["distillation"] = losses.distillation(memory.kinds, self._wanted(photos))
            total = total + phase.distillation * found["distillation"]
        if drawn is not None:  # judged by now
            found |= drawn.loss()
            total = total + phase.self_critical * found["self_critical"]
        return {"loss": total, **found}

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

    def _normalised(self, batch: Batch) -> Tensor | None:
        """The batch's pictures as the CNN takes them, or None where it holds cached grids."""
        if batch.photos.dtype != torch.uint8:
            return None
        preprocess = self.checkpoint.preprocess
        return normalise(batch.photos, preprocess.mean, preprocess.std)

    def _words(self, tokens: Sequence[int]) -> list[str]:
        return self.checkpoint.vocabulary.decode(tokens)

    @cached_property
    def data_digest(self) -> str:
        """Of the photos, their captions and the words."""
        names = [photo.photo_id for photo in self.reader.photos]
        content = [self.checkpoint.vocabulary.words, names, self.reader.sentences]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


class CaptionValidation(Validation):
    """Captions the validation photos; the highest CIDEr-D is the best."""

    logged = ("cider", "bleu_4")

    def __init__(
        self, photos: Sequence[Photo], folder: Path, show: bool, interrupt: Interrupt
    ) -> None:
        super().__init__(folder)
        self.photos, self.show, self.interrupt = photos, show, interrupt
        self.named: set[str] = set()  # photos that cannot be read

    def scores(self, trainer: Trainer) -> dict[str, Score]:
        """BLEU, ROUGE-L and CIDEr-D, without their intervals."""
        captioner = Captioner(trainer.averaged(), trainer.device)
        with progress_bar(self.show, len(self.photos), "validation", "photo") as bar:

            def advance() -> None:
                bar.update(1)
                self.interrupt.check()

            report = evaluate(
                captioner,
                self.photos,
                bootstrap=0,
                progress=advance,
                options=trainer.recipe.search,
            )
        for reason in report.left_out:
            if reason not in self.named:
                _LOG.warning("left out: %s", reason)
                self.named.add(reason)
        return report.scores

    def provenance(self, trainer: Trainer) -> dict[str, Any]:
        """Counts of photos and captions."""
        sentences = trainer.reader.sentences
        return {"photos": len(sentences), "captions": sum(map(len, sentences))}


class FeatureCache(Callback):
    """Computes a frozen CNN's grids once, before a phase that asks for it."""

    def __init__(self, folder: Path, show: bool, interrupt: Interrupt) -> None:
        self.folder, self.show, self.interrupt = folder, show, interrupt

    def on_phase(self, trainer: Trainer, phase: PhaseConfig) -> None:
        """Fills `trainer.grids`, or empties it."""
        assert isinstance(trainer, CaptionTrainer)
        trainer.grids = None
        if not phase.cache_features:
            clear_grids(self.folder)  # of a CNN that no longer stands still
            return
        photos = trainer.reader.photos
        with progress_bar(self.show, len(photos), "features", "photo") as bar:

            def advance(count: int) -> None:
                bar.update(count)
                self.interrupt.check()

            trainer.grids = cache_grids(
                trainer.model.encoder,
                trainer.checkpoint.preprocess,
                photos,
                self.folder,
                device=trainer.device,
                progress=advance,
            )

    def close(self, trainer: Trainer) -> None:
        """Gives the disk back when the run is over; one that goes on finds its grids again."""
        if trainer.progress.position.phase == len(trainer.recipe.phases) - 1 and trainer.is_over():
            assert isinstance(trainer, CaptionTrainer)
            trainer.grids = None
            clear_grids(self.folder)


class KeptPhotos(Callback):
    """Decodes all photos once, before the first phase that reads pictures."""

    def __init__(self, show: bool, interrupt: Interrupt) -> None:
        self.show, self.interrupt = show, interrupt

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
        with progress_bar(self.show, len(reader.photos), "photos", "photo") as bar:

            def advance(count: int) -> None:
                bar.update(count)
                self.interrupt.check()

            trainer.store = PhotoStore.filled(reader, trainer.device, advance)

    def close(self, trainer: Trainer) -> None:
        """Gives the memory back, and ends the processes that judge."""
        assert isinstance(trainer, CaptionTrainer)
        trainer.store = None
        trainer.dismiss_judge()


def read_splits(data: DataConfig, seed: int) -> tuple[list[Photo], list[Photo]]:
    """The training and the validation photos of a recipe.

    Raises:
        ConfigError: no training source is named.
        DataError: a source is not what its format promises.
    """
    if not data.train:
        raise ConfigError(
            "the recipe names no training data; write [[data.train]] with captions and images, or "
            "--data.train.0.captions FILE --data.train.0.images FOLDER"
        )
    training = [photo for source in data.train for photo in datasets.read(source)]
    if not data.validation:
        training, validation = datasets.split_off(training, data.validation_share, seed)
    else:
        validation = [photo for source in data.validation for photo in datasets.read(source)]
    if len(validation) > data.validation_photos:
        chosen = np.random.default_rng(seed).permutation(len(validation))[: data.validation_photos]
        validation = [validation[number] for number in sorted(chosen.tolist())]
    learned = {photo.photo_id for photo in training}
    both = [photo for photo in validation if photo.photo_id in learned]
    if both:
        _LOG.warning(
            "%d of the %d validation photos are training photos, too (%s): scores will flatter",
            len(both),
            len(validation),
            both[0].path.name,
        )
    return training, validation


def _read_boxes(recipe: Recipe) -> dict[str, boxes.Things]:
    """The boxes of all training sources that have them, by photo id."""
    if not any(phase.attention_supervision for phase in recipe.phases):
        return {}
    paths = [source.boxes for source in recipe.data.train if source.boxes]
    if not paths:
        raise ConfigError(
            "attention_supervision needs to know where things lie; name a COCO instance file: "
            "boxes in [[data.train]], or --data.train.0.boxes FILE"
        )
    return {name: things for path in paths for name, things in boxes.read(path).items()}


def start_checkpoint(
    recipe: Recipe, training: Sequence[Photo], teacher: Recogniser | None = None
) -> Checkpoint:
    """What training starts from: a new model, or `recipe.init` with its vocabulary extended.

    A teacher's classifier becomes the encoder's own, if that has none yet, and the words for its
    classes join the vocabulary. Where the recipe wants copying, and there is none, it is added.
    """
    checkpoint = _begun(recipe, training)
    if teacher is not None:
        checkpoint = _taught(checkpoint, recipe, teacher)
    copy_settings = recipe.model.copy
    if copy_settings.things and not checkpoint.config.copy.things:
        checkpoint.model.add_copying(copy_settings)
        settings = dataclasses.replace(checkpoint.config, copy=copy_settings)
        checkpoint = dataclasses.replace(checkpoint, config=settings)
    checkpoints.name_kinds(checkpoint.model, checkpoint.vocabulary, checkpoint.kinds)
    return checkpoint


def _taught(checkpoint: Checkpoint, recipe: Recipe, teacher: Recogniser) -> Checkpoint:
    """The checkpoint with a classifier as the teacher's, and with words for its classes."""
    model, classifier = checkpoint.model, teacher.classifier
    kinds = read_kinds(recipe.teacher.words, classifier.out_features)
    vocabulary = checkpoint.vocabulary.joined(word for kind in kinds for word in tokenise(kind))
    model.extend_vocabulary(len(vocabulary))
    settings = checkpoint.config
    if not settings.encoder.classes:
        model.encoder.classifier = copy.deepcopy(classifier).requires_grad_(True)
        encoder = dataclasses.replace(settings.encoder, classes=classifier.out_features)
        settings = dataclasses.replace(settings, encoder=encoder)
    return dataclasses.replace(
        checkpoint, config=settings, vocabulary=vocabulary, kinds=checkpoint.kinds or kinds
    )


def _begun(recipe: Recipe, training: Sequence[Photo]) -> Checkpoint:
    captions = [caption for photo in training for caption in photo.captions]
    # Validation reports no alternatives, which cost time; who uses the model wants them.
    search = dataclasses.replace(recipe.search, alternatives=SearchOptions().alternatives)
    if recipe.init:
        path = _init_path(recipe)
        old = checkpoints.load(path)
        old = with_dropouts(old, recipe, path.name, build_model, len(old.vocabulary))
        vocabulary = old.vocabulary.extended(captions, recipe.data.min_count)
        old.model.extend_vocabulary(len(vocabulary))
        begun = {"started_from": {"checkpoint": path.name, **old.provenance}}
        # How sure captions can be is measured anew, once the weights are others.
        return dataclasses.replace(
            old, vocabulary=vocabulary, search=search, provenance=begun, confidence=None
        )
    vocabulary = Vocabulary.build(captions, recipe.data.min_count)
    if not vocabulary.ordinary:
        raise DataError(
            f"no word stands {recipe.data.min_count} times in the {len(captions)} training "
            "captions; lower data.min_count"
        )
    encoder = recipe.model.encoder
    settings = recipe.model
    if not encoder.classes:  # copying needs a classifier, which comes from the teacher
        settings = dataclasses.replace(settings, copy=CopyConfig())
    model = build_model(settings, len(vocabulary))
    if encoder.weights == "shipped":
        _take_shipped(model, encoder.name)
    else:
        load_pretrained(model.encoder.features, encoder.name, encoder.weights)
    return Checkpoint(model, settings, vocabulary, Preprocess(encoder.image_size), search)


def _take_shipped(model: CaptionModel, name: str) -> None:
    """Starts the CNN as the one of the checkpoint that came along; the rest stays new."""
    shipped = checkpoints.load(checkpoints.default_path())
    if shipped.config.encoder.name != name:
        raise ConfigError(
            f'model.encoder.weights = "shipped" holds a {shipped.config.encoder.name}, but '
            f"model.encoder.name is {name}; make them equal, or choose imagenet"
        )
    weights = shipped.model.encoder.features.state_dict()
    wanted = model.encoder.features.state_dict().keys()  # fewer, with fewer stages
    model.encoder.features.load_state_dict({key: weights[key] for key in wanted})


def train(
    recipe: Recipe, *, resume: bool = False, device: str = "cpu", show: bool | None = None
) -> Path:
    """Trains as the recipe says and returns the best checkpoint's path.

    Args:
        recipe: everything there is to set.
        resume: go on with the interrupted run in `recipe.output`.
        device: where to compute.
        show: progress bars; left out, on a terminal only.

    Raises:
        ConfigError, DataError, CheckpointError: the recipe, its data or its files are not usable.
        Interrupted: Ctrl-C or SIGTERM; the run is saved.
    """
    folder = Path(recipe.output)
    claim(folder, resume)
    visible = sys.stderr.isatty() if show is None else show
    training, validation = read_splits(recipe.data, recipe.seed)
    torch.manual_seed(recipe.seed)
    teacher = _teacher(recipe)
    checkpoint = start_checkpoint(recipe, training, teacher)
    recipe = dataclasses.replace(recipe, model=checkpoint.config)  # what is run, and told
    checkpoint.model.to(device).encoder.features.to(memory_format=torch.channels_last)
    cells = checkpoint.preprocess.size // checkpoint.config.encoder.stride  # along a side
    reader = BatchReader(
        training,
        checkpoint.vocabulary,
        checkpoint.preprocess,
        batch_size=recipe.training.batch_size,
        seed=recipe.seed,
        max_words=recipe.data.max_words,
        workers=recipe.training.workers,
        things=_read_boxes(recipe),
        grid=(cells, cells),
    )
    interrupt = Interrupt()
    callbacks = [
        FeatureCache(folder / "features", visible, interrupt),
        KeptPhotos(visible, interrupt),
        CaptionValidation(validation, folder, visible, interrupt),
        Log(folder, visible),
        Save(folder / STATE_FILE),
        interrupt,
    ]
    trainer = CaptionTrainer(recipe, checkpoint, reader, callbacks)
    trainer.teacher = None if teacher is None else teacher.to(device)
    return run(trainer, interrupt, resume)


def _teacher(recipe: Recipe) -> Recogniser | None:
    """The recipe's teacher; it has the encoder's architecture, whichever that is."""
    if not recipe.teacher.features:
        return None
    name = recipe.model.encoder.name
    if recipe.init:
        name = checkpoints.load(_init_path(recipe)).config.encoder.name
    return load_recogniser(name, recipe.teacher)


def _init_path(recipe: Recipe) -> Path:
    return checkpoints.default_path() if recipe.init == "shipped" else Path(recipe.init)
