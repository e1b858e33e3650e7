"""Tiny random captioners and translators, one for each move that an attention can make."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from captioner.captions.captioner import Captioner
from captioner.captions.checkpoint import Checkpoint
from captioner.nn import model as models
from captioner.nn.architecture import ModelConfig
from captioner.nn.encoders import BACKBONES
from captioner.pictures.preprocess import Preprocess
from captioner.settings import from_dict
from captioner.text import Vocabulary
from captioner.translations.translator import Translator
from tests.conftest import WORDS
from tests.miniature import translating

AFTER = {"query": "after"}
CAPTIONS: dict[str, dict[str, Any]] = {
    **{
        score: {"attention": {"score": score}}
        for score in ("additive", "dot", "scaled_dot", "general", "cosine", "location")
    },
    "heads": {"attention": {"score": "scaled_dot", "heads": 3}},
    "local_m": {"attention": {"kind": "local_m", "local": {"radius": 1}}},
    "local_p": {"attention": {"kind": "local_p", "local": {"radius": 1, "renormalise": False}}},
    "hard argmax": {"attention": {"kind": "hard", "hard": {"decode": "argmax"}}},
    "hard sample": {"attention": {"kind": "hard", "hard": {"decode": "sample"}}},
    "hard": {"attention": {"kind": "hard"}},
    "sentinel": {"attention": {"kind": "sentinel", **AFTER}},
    "coverage": {"attention": {"coverage": True}},
    "input feeding": {"attention": {**AFTER, "input_feeding": True}},
    "transformer": {
        "attention": {"score": "scaled_dot", "heads": 3},
        "decoder": {"kind": "transformer", "layers": 2, "heads": 3, "inner": 11},
    },
    "refinement": {"encoder": {"refine": 2, "heads": 3}},
}
TRANSLATIONS: dict[str, dict[str, Any]] = {
    "words, local_p": {"attention": {"kind": "local_p", "local": {"radius": 1}}},
    "words, self-attention": {"encoder": {"kind": "transformer", "layers": 2, "heads": 3}},
}
SIDE, CELL, CHANNELS = 128, 32, BACKBONES["resnet18"].channels
GRID = (SIDE // CELL, SIDE // CELL)


def captioner(name: str) -> Captioner:
    """A captioner of 4×4 cells whose CNN sees a cell's mean colour."""
    own = CAPTIONS[name]
    config = from_dict(
        ModelConfig,
        {
            "encoder": {
                "name": "resnet18",
                "image_size": SIDE,
                "feature_size": 24,
                "weights": "random",
                **own.get("encoder", {}),
            },
            "attention": {"size": 24, **own["attention"]} if "attention" in own else {"size": 24},
            "decoder": {"hidden_size": 24, "embedding_size": 16, **own.get("decoder", {})},
        },
    )
    torch.manual_seed(7)
    built, models.build_features = models.build_features, lambda *_: _colours()
    try:
        model = models.build_model(config, len(Vocabulary(WORDS))).eval()
    finally:
        models.build_features = built
    with torch.no_grad():  # from nearly indifferent to opinionated
        for parameter in model.decoder.parameters():
            parameter.mul_(2)
    return Captioner(Checkpoint(model, config, Vocabulary(WORDS), Preprocess(SIDE)))


def _colours() -> nn.Sequential:
    return nn.Sequential(nn.AvgPool2d(CELL), nn.Conv2d(3, CHANNELS, 1))


def translator(name: str) -> Translator:
    """A translator from English to German that has learned nothing."""
    own = {name: dict(table) for name, table in TRANSLATIONS[name].items()}
    own.setdefault("attention", {}).setdefault("input_feeding", False)
    return Translator(translating(model=own).checkpoint)
