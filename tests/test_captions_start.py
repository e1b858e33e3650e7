"""What a captioner's training starts from: photos, a teacher, a checkpoint."""

from __future__ import annotations

import dataclasses
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from captioner import checkpoint as checkpoints
from captioner import datasets, settings
from captioner.captions.recipe import Recipe
from captioner.captions.start import read_splits, start_checkpoint
from captioner.errors import CheckpointError, ConfigError, DataError
from captioner.nn.architecture import DecoderConfig, ModelConfig
from captioner.nn.recognition import load_recogniser
from captioner.training import train
from captioner.training.start import with_dropouts
from tests.captioning import COPY, KEPT, KINDS, LEARNER, SIZE, recipe, small_trainer
from tests.captioning import photos as photos
from tests.captioning import teacher as teacher
from tests.captioning import uninterrupted as uninterrupted
from tests.captioning import world as world
from tests.runs import no_fsync as no_fsync


@pytest.fixture(scope="module")
def begun(
    world: Path, photos: list[datasets.Photo], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A checkpoint of a model that has learned nothing yet."""
    path = tmp_path_factory.mktemp("begun") / "best.safetensors"
    wanted = recipe(world, Path("unused"), model=LEARNER["model"])
    checkpoints.save(small_trainer(wanted, photos).checkpoint, path)
    return path


def test_only_dropouts_of_a_checkpoint_can_be_changed(
    photos: list[datasets.Photo], begun: Path
) -> None:
    before = checkpoints.load(begun)

    def started(model: dict[str, Any]) -> checkpoints.Checkpoint:
        source = {"captions": "x", "images": "x"}
        values = {"init": str(begun), "data": {"train": [source]}, "model": model}
        return start_checkpoint(settings.from_dict(Recipe, values), photos)

    assert started({}).config == before.config  # no default is held against it
    same = {"decoder": {"hidden_size": 64}, "encoder": {"image_size": SIZE, "dropout": 0.0}}
    assert started(same).config == before.config
    rates = {"encoder": {"dropout": 0.1}, "attention": {"dropout": 0.2}}
    # As usual for a new model, and yet another one than the checkpoint's.
    after = started({**rates, "decoder": {"dropout": 0.5, "word_dropout": 0.3}})
    assert before.config.decoder.dropout == 0.0
    decoder = after.model.decoder
    modules = (after.model.encoder.dropout, decoder.attention.dropout, decoder.dropout)
    assert [module.p for module in (*modules, decoder.word_dropout)] == [0.1, 0.2, 0.5, 0.3]
    old, new = before.model.state_dict(), after.model.state_dict()
    assert all(torch.equal(new[k][: len(v)] if v.dim() else new[k], v) for k, v in old.items())
    for model, place, has in (
        ({"decoder": {"hidden_size": 512}}, "decoder.hidden_size is 512", "64"),  # the default
        ({"encoder": {"weights": "imagenet"}}, "encoder.weights is 'imagenet'", "'random'"),
        ({"attention": {"score": "general"}}, "attention.score is 'general'", "'additive'"),
    ):
        with pytest.raises(ConfigError) as caught:
            started(model)
        assert str(caught.value) == (
            f"model.{place}, but best.safetensors, which the run starts from, has {has}; leave "
            "the setting out, or leave out init to train a new model"
        )


def test_settings_made_in_python_count_where_they_differ_from_the_defaults(begun: Path) -> None:
    held = checkpoints.load(begun).config
    model = ModelConfig(decoder=DecoderConfig(dropout=0.25))
    found = with_dropouts(Recipe(init=str(begun), model=model), held, "best")
    assert found == dataclasses.replace(
        held, decoder=dataclasses.replace(held.decoder, dropout=0.25)
    )


def test_validation_photos_are_split_off_and_limited(world: Path) -> None:
    data = recipe(world, Path("unused"), data={"validation": [], "validation_share": 0.4}).data
    training_photos, validation = read_splits(data, 3)
    ids = [{photo.photo_id for photo in part} for part in (training_photos, validation)]
    assert not ids[0] & ids[1]
    assert len(ids[0] | ids[1]) == 6
    few = dataclasses.replace(recipe(world, Path("unused")).data, validation_photos=2)
    chosen = read_splits(few, 3)[1]
    assert len(chosen) == 2
    assert chosen == read_splits(few, 3)[1]


def test_validation_photos_that_are_learned_from_are_told(
    world: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = recipe(world, Path("unused")).data
    with caplog.at_level(logging.WARNING):
        read_splits(data, 3)
        assert not caplog.messages
        read_splits(dataclasses.replace(data, validation=data.train), 3)
    (message,) = caplog.messages
    assert re.fullmatch(
        r"(\d+) of the \1 validation photos are training photos, too \(0+\d\.png\): .* flatter",
        message,
    )


def test_without_data_or_words(world: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"names no training data; write \[\[data.train\]\]"):
        train(recipe(world, tmp_path / "a", data={"train": []}))
    with pytest.raises(
        DataError,
        match=r"no word stands 999 times in the 30 training captions; lower data.min_count",
    ):
        train(recipe(world, tmp_path / "b", data={"min_count": 999}))


def test_a_teachers_classifier_and_words_join_a_new_model(
    world: Path, teacher: dict[str, str], tmp_path: Path
) -> None:
    wanted = recipe(world, tmp_path / "run", teacher=teacher, phases=[KEPT])
    kept = checkpoints.load(train(wanted))
    assert kept.kinds == KINDS
    assert kept.config.encoder.classes == 5
    assert kept.model.encoder.classifier is not None
    assert all(word in kept.vocabulary for word in ("lion", "polar", "bear", "tench"))
    assert checkpoints.describe(tmp_path / "run" / "best.safetensors")["kinds"] == list(KINDS)


def test_a_checkpoint_without_a_classifier_takes_the_teachers(
    world: Path, teacher: dict[str, str], uninterrupted: Path, photos: list[datasets.Photo]
) -> None:
    begun = str(uninterrupted / "best.safetensors")
    wanted = recipe(world, Path("unused"), init=begun, teacher=teacher, phases=[KEPT])
    network = load_recogniser("mobilenet_v2", wanted.teacher)
    start = start_checkpoint(wanted, photos, network)
    assert torch.equal(start.model.encoder.classifier.weight, network.classifier.weight)
    assert start.model.encoder.classifier.weight.requires_grad
    old = checkpoints.load(begun).vocabulary.ordinary
    assert start.vocabulary.ordinary[: len(old)] == old
    assert len(start.vocabulary) == start.model.decoder.embedding.num_embeddings
    again = dataclasses.replace(start, kinds=("a", "b", "c", "d", "e"))
    path = uninterrupted / "with-kinds.safetensors"
    checkpoints.save(again, path, torch.float32)
    learned = dataclasses.replace(wanted, init=str(path))  # its classifier is its own by now
    kept = start_checkpoint(learned, photos, network)
    assert kept.kinds == ("a", "b", "c", "d", "e")


def test_copying_joins_a_checkpoint_that_did_not_copy(
    world: Path, teacher: dict[str, str], uninterrupted: Path, photos: list[datasets.Photo]
) -> None:
    begun = str(uninterrupted / "best.safetensors")
    wanted = recipe(
        world, Path("unused"), init=begun, teacher=teacher, model={"copy": COPY}, phases=[KEPT]
    )
    network = load_recogniser("mobilenet_v2", wanted.teacher)
    start = start_checkpoint(wanted, photos, network)
    assert start.config.copy == wanted.model.copy
    assert start.model.decoder.copying is not None
    with pytest.raises(ConfigError, match=r"copy.things is 2, but encoder.classes is 0"):
        start_checkpoint(wanted, photos)


def test_copying_needs_something_that_tells_things_apart(world: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.copy.things is 2, but nothing tells the things"):
        recipe(world, Path("unused"), model={"copy": COPY})


def test_a_file_whose_classes_have_no_words_contradicts_itself(
    world: Path, teacher: dict[str, str], tmp_path: Path, photos: list[datasets.Photo]
) -> None:
    wanted = recipe(world, tmp_path, teacher=teacher, model={"copy": COPY}, phases=[KEPT])
    network = load_recogniser("mobilenet_v2", wanted.teacher)
    start = start_checkpoint(wanted, photos, network)
    path = tmp_path / "wordless.safetensors"
    checkpoints.save(dataclasses.replace(start, kinds=()), path)
    with pytest.raises(CheckpointError, match="0 words for the 5 classes to copy"):
        checkpoints.load(path)
