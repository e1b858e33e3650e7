"""Where a captioner's training begins: its photos, its teacher and its first checkpoint."""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from captioner import boxes, datasets
from captioner.captions.checkpoint import Checkpoint
from captioner.captions.recipe import DataConfig, Recipe
from captioner.datasets import Photo
from captioner.errors import ConfigError, DataError
from captioner.nn.architecture import CopyConfig, EncoderConfig
from captioner.nn.encoders import ImageEncoder, load_pretrained
from captioner.nn.recognition import Recogniser, load_recogniser, read_kinds
from captioner.pictures.preprocess import Preprocess
from captioner.text import Vocabulary, tokenise
from captioner.training.start import built, continued, decoding, init_path, some

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaptionData:
    """What a run learns from and is chosen by."""

    recipe: Recipe
    training: list[Photo]
    validation: list[Photo]

    @cached_property
    def teacher(self) -> Recogniser | None:
        """The recipe's teacher; it has the encoder's architecture, whichever that is."""
        recipe = self.recipe
        if not recipe.teacher.features:
            return None
        name = recipe.model.encoder.name
        if recipe.init:
            name = Checkpoint.load(init_path(recipe)).config.encoder.name
        return load_recogniser(name, recipe.teacher)


def read(recipe: Recipe) -> CaptionData:
    """The photos of a recipe.

    Raises:
        ConfigError, DataError: as `read_splits`.
    """
    return CaptionData(recipe, *read_splits(recipe.data, recipe.seed))


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
    validation = some(validation, data.validation_photos, seed)
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


def read_boxes(recipe: Recipe) -> dict[str, boxes.Things]:
    """The boxes of all training sources that have them, by photo id.

    Raises:
        ConfigError: a phase supervises attention, and there are none.
    """
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
    checkpoint.complete()
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
    if recipe.init:
        old = continued(recipe, Checkpoint)
        vocabulary = old.vocabulary.extended(captions, recipe.data.min_count)
        old.model.extend_vocabulary(len(vocabulary))
        # How sure captions can be is measured anew, once the weights are others.
        return dataclasses.replace(old, vocabulary=vocabulary, confidence=None)
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
    model = built(Checkpoint, settings, len(vocabulary))
    begin_cnn(model.encoder, encoder)
    preprocess = Preprocess(encoder.image_size)
    return Checkpoint(model, settings, vocabulary, preprocess, search=decoding(recipe))


def begin_cnn(encoder: ImageEncoder, settings: EncoderConfig, table: str = "encoder") -> None:
    """Fills a new encoder's CNN with the weights that its settings name; the rest stays new.

    Args:
        encoder: with random weights.
        settings: that it was built by.
        table: of `model` in which they stand, for messages.

    Raises:
        ConfigError, CheckpointError: there are no such weights.
    """
    if settings.weights == "shipped":
        _take_shipped(encoder, settings.name, table)
    else:
        load_pretrained(encoder.features, settings.name, settings.weights)


def _take_shipped(encoder: ImageEncoder, name: str, table: str) -> None:
    """Starts the CNN as the one of the checkpoint that came along."""
    shipped = Checkpoint.load()
    if shipped.config.encoder.name != name:
        raise ConfigError(
            f'model.{table}.weights = "shipped" holds a {shipped.config.encoder.name}, but '
            f"model.{table}.name is {name}; make them equal, or choose imagenet"
        )
    weights = shipped.model.encoder.features.state_dict()
    wanted = encoder.features.state_dict().keys()  # fewer, with fewer stages
    encoder.features.load_state_dict({key: weights[key] for key in wanted})
