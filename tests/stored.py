"""Checkpoints of small models, their files, and files that were changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from captioner import checkpoint as checkpoints
from captioner.checkpoint import Checkpoint, TranslationCheckpoint
from captioner.errors import CheckpointError
from captioner.languages import Languages
from captioner.nn.architecture import ModelConfig, TranslationConfig
from captioner.nn.model import build_model, build_translation_model
from captioner.options import SearchOptions
from captioner.pictures.preprocess import Preprocess
from captioner.settings import from_dict
from captioner.subwords import Subwords
from captioner.text import Vocabulary

WORDS = ("a", "dog", "éclair", "runs", "t-shirt", "'s", "雪")


ENGLISH, GERMAN = (
    ("A dog runs.", "The dog is a dog."),
    ("Ein Hund läuft.", "Der Hund ist ein Hund."),
)
SMALL = {
    "encoder": {"image_size": 64, "feature_size": 23, "weights": "random"},
    "attention": {"size": 19},
    "decoder": {"hidden_size": 29, "embedding_size": 17},
}


def made(**decoder: Any) -> Checkpoint:
    settings = from_dict(ModelConfig, {**SMALL, "decoder": {**SMALL["decoder"], **decoder}})
    torch.manual_seed(5)
    model = build_model(settings, len(WORDS) + 4)
    for module in model.modules():  # statistics that float16 would spoil
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=3.0)
            module.running_var.uniform_(0.3, 7.0)
    return Checkpoint(
        model=model.eval(),
        config=settings,
        vocabulary=Vocabulary(WORDS),
        preprocess=Preprocess(64),
        search=SearchOptions(beam_size=2, max_length=7),
        provenance={"licence": "ours", "scores": {"cider": 0.5}, "epoch": 3},
    )


@pytest.fixture(scope="module")
def tied() -> Checkpoint:
    return made()


@pytest.fixture(scope="module")
def saved(tied: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    checkpoints.save(tied, path)
    return path


def photo() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (71, 83, 3)).astype(np.uint8)


Change = Callable[[dict[str, Any], dict[str, torch.Tensor]], None]


def altered(saved: Path, path: Path, change: Change) -> Path:
    with safe_open(saved, framework="pt") as file:
        header = {key: json.loads(value) for key, value in file.metadata().items()}
    header.pop("sha256", None)  # or nothing but that would be found wrong
    tensors = load_file(saved)
    change(header, tensors)
    texts = {k: v if isinstance(v, bytes) else json.dumps(v) for k, v in header.items()}
    save_file(
        tensors, path, {k: v.decode() if isinstance(v, bytes) else v for k, v in texts.items()}
    )
    return path


def put(place: str, value: Any) -> Change:
    def change(header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        *way, last = place.split(".")
        node = header
        for step in way:
            node = node[step]
        node[last] = value

    return change


def drop(name: str) -> Change:
    return lambda header, tensors: header.pop(name)


def translating(source: bool = True, output: bool = True) -> TranslationCheckpoint:
    values = {
        "encoder": {"hidden_size": 11, "tie_embeddings": source},
        "decoder": {"hidden_size": 23, "embedding_size": 17, "tie_embeddings": output},
    }
    settings = from_dict(TranslationConfig, values)
    subwords = Subwords.train([*ENGLISH, *GERMAN], 61, ["en", "de"], byte_fallback=False)
    read = {
        name: [subwords.encode(text).ids for text in texts]
        for name, texts in (("en", ENGLISH), ("de", GERMAN))
    }
    languages = Languages.count([("en", "de"), ("de", "en")], read, len(subwords))
    torch.manual_seed(5)
    model = build_translation_model(settings, len(subwords)).eval()
    search = SearchOptions(beam_size=2, max_length=7)
    return TranslationCheckpoint(
        model, settings, subwords, languages, search=search, provenance={"epoch": 3}
    )


@pytest.fixture(scope="module")
def translator_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "translator.safetensors"
    checkpoints.save(translating(), path)
    return path


def refused(path: Path, message: str) -> None:
    """Both readers refuse the file with one line that names it."""
    for read in (checkpoints.load, checkpoints.describe):
        with pytest.raises(CheckpointError, match=message) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
