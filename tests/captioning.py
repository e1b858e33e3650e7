"""Runs of a captioner so small that they take seconds, on scenes that captioner draws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from captioner import boxes, datasets, scenes, settings
from captioner.captions import training as captioning
from captioner.captions.recipe import Recipe
from captioner.captions.start import start_checkpoint
from captioner.captions.training import CaptionTrainer
from captioner.nn.encoders import build_features
from captioner.nn.recognition import Recogniser
from captioner.training import train
from captioner.training.loop import Callback

SIZE = 64  # two cells a side
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    scenes.write(folder, train=6, val=3, seed=5, size=(SIZE, SIZE))
    return folder


@pytest.fixture(scope="module")
def photos(world: Path) -> list[datasets.Photo]:
    return datasets.read_coco(world / "captions_train.json", world / "images")


FROZEN = {"name": "frozen", "epochs": 2, "learning_rate": 3e-3, "cache_features": True}
TUNED = {
    "name": "tuned",
    "epochs": 2,
    "learning_rate": 1e-3,
    "encoder_learning_rate": 1e-3,
    "fine_tune_from": 4,
    "batch_norm": "updated",
    "augment": {"flip": True, "crop": 0.6, "jitter": 0.2},
}


def source(folder: Path, split: str = "train") -> dict[str, str]:
    return {"captions": str(folder / f"captions_{split}.json"), "images": str(folder / "images")}


def recipe(world: Path, output: Path, **changes: Any) -> Recipe:
    """Six photos, batches of two: three steps an epoch."""
    values = {
        "output": str(output),
        "seed": 3,
        "data": {"train": [source(world)], "validation": [source(world, "val")], "min_count": 1},
        "model": {
            "encoder": {"image_size": SIZE, "feature_size": 23, "weights": "random"},
            "attention": {"size": 19},
            "decoder": {"hidden_size": 29, "embedding_size": 17, "dropout": 0.3},
        },
        "training": {"batch_size": 2, "save_steps": 2, "workers": 2, "weight_average": 0.9},
        "search": {"beam_size": 2, "max_length": 5, "alternatives": 0},
        "phases": [FROZEN, TUNED],
    }
    for name, value in changes.items():
        old = values.get(name)
        values[name] = {**old, **value} if isinstance(old, dict) else value
    return settings.from_dict(Recipe, values)


@pytest.fixture(scope="module")
def uninterrupted(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "uninterrupted"
    train(recipe(world, folder))
    return folder


def small_trainer(
    wanted: Recipe,
    photos: list[datasets.Photo],
    *callbacks: Callback,
    device: str = "cpu",
    teacher: Recogniser | None = None,
    **boxes: Any,
) -> CaptionTrainer:
    torch.manual_seed(wanted.seed)
    checkpoint = start_checkpoint(wanted, photos, teacher)
    checkpoint.model.to(device).encoder.features.to(memory_format=torch.channels_last)
    reader = captioning.BatchReader(
        photos,
        checkpoint.vocabulary,
        checkpoint.preprocess,
        batch_size=wanted.training.batch_size,
        seed=wanted.seed,
        max_words=wanted.data.max_words,
        **boxes,
    )
    trainer = CaptionTrainer(wanted, checkpoint, reader, callbacks)
    trainer.teacher = teacher
    return trainer


KINDS = ("lion", "polar bear", "tench", "dog", "lion")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A CNN with a classifier of five kinds, from files."""
    folder = tmp_path_factory.mktemp("teacher")
    torch.manual_seed(17)
    features = build_features("mobilenet_v2", 32)
    save_file({f"features.{k}": v for k, v in features.state_dict().items()}, folder / "cnn.st")
    last = {"classifier.weight": 0.1 * torch.randn(5, 1280), "classifier.bias": torch.randn(5)}
    save_file(last, folder / "classifier.st")
    (folder / "words.json").write_text(json.dumps([{"word": kind} for kind in KINDS]))
    names = {"features": "cnn.st", "classifier": "classifier.st", "words": "words.json"}
    return {key: str(folder / name) for key, name in names.items()}


KEPT = {**TUNED, "epochs": 1, "fine_tune_from": 1, "distillation": 0.5}

LEARNER = {
    "model": {
        "encoder": {"image_size": SIZE, "feature_size": 64, "weights": "random"},
        "attention": {"size": 32},
        "decoder": {"hidden_size": 64, "embedding_size": 48, "dropout": 0.0},
    },
    "training": {"batch_size": 6, "label_smoothing": 0.0, "weight_average": 0.9, "save_steps": 0},
    "search": {"beam_size": 2, "max_length": 20, "alternatives": 0},
}

CELLS = (4, 4)


WHOLE = {"fine_tune_from": 1, "batch_norm": "updated", "warmup": 0.0, "schedule": "constant"}


def taught(world: Path, photos: list[datasets.Photo], weight: float) -> CaptionTrainer:
    """A trainer of one batch, whose maps of 4×4 cells are held against the drawn boxes."""
    wanted = recipe(
        world,
        Path("unused"),
        model={
            "encoder": {
                "image_size": SIZE,
                "stride": 16,
                "stages": 4,
                "feature_size": 32,
                "weights": "random",
            },
            "attention": {"size": 32, "query": "after"},
            "decoder": {"hidden_size": 32, "embedding_size": 24, "dropout": 0.0},
        },
        training={"batch_size": 6, "weight_average": 0.0},
        phases=[{**WHOLE, "learning_rate": 5e-3, "attention_supervision": weight}],
    )
    things = boxes.read(world / "instances_train.json")
    return small_trainer(wanted, photos, things=things, grid=CELLS)


COPY = {"things": 2, "size": 7}
