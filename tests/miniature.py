"""Trainers of both tasks in memory, so small that a step takes milliseconds."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from captioner.captions.batches import Batch
from captioner.captions.checkpoint import Checkpoint
from captioner.captions.recipe import Recipe
from captioner.captions.training import CaptionTrainer
from captioner.languages import Languages
from captioner.nn import model as models
from captioner.nn.encoders import BACKBONES
from captioner.pictures.preprocess import Preprocess
from captioner.settings import from_dict
from captioner.subwords import Subwords
from captioner.text import BOS, EOS, Vocabulary
from captioner.translations.checkpoint import TranslationCheckpoint
from captioner.translations.pairs import Pair, PairReader
from captioner.translations.recipe import TranslationRecipe
from captioner.translations.training import TranslationTrainer
from tests.conftest import PHRASES, WORDS

SIDE, FEATURES, STATE, EMBEDDING, SIZE = 2, 15, 15, 7, 6  # a photo's grid is 2×2
PHOTOS, CAPTIONS, LONGEST = 3, 2, 5
_SMALL = {"layers": 1, "heads": 3, "inner": 11}  # of a Transformer
_CNN = {"name": "resnet18", "image_size": 64, "weights": "random"}


class _Grids:
    """A reader whose photos are a frozen CNN's grids already."""

    batch_size = PHOTOS
    photos: tuple[()] = ()

    def __init__(self) -> None:
        self.sentences = [[[4, 5], [6, 7, 8]] for _ in range(PHOTOS)]

    def __len__(self) -> int:
        return 2

    def read(self, epoch: int, first_step: int, *_: object) -> Iterator[Batch]:
        for step in range(first_step, 2):
            yield self.batch(step)

    def batch(self, step: int = 0) -> Batch:
        rng = torch.Generator().manual_seed(step)
        lengths = torch.tensor([3, 5, 2, 4, 5, 3])
        words = torch.randint(4, 4 + len(WORDS), (len(lengths), LONGEST), generator=rng)
        places = torch.arange(LONGEST)
        ends = lengths.unsqueeze(1) - 1
        targets = words.where(places < ends, torch.where(places == ends, EOS, 0))
        inputs = torch.cat([torch.full((len(lengths), 1), BOS), targets[:, :-1]], 1)
        channels = BACKBONES["resnet18"].channels
        return Batch(
            photos=torch.randn(PHOTOS, SIDE, SIDE, channels, generator=rng).half(),
            inputs=inputs,
            targets=targets,
            lengths=lengths,
            owners=torch.arange(PHOTOS).repeat_interleave(CAPTIONS),
            numbers=torch.arange(PHOTOS),
            mentions=torch.tensor([[0, 0], [3, 1]]),
            regions=torch.tensor([[1.0, 0.5, 0, 0], [0, 0, 0, 1]]),
        )


def captioning(**tables: Any) -> CaptionTrainer:
    """A trainer of a captioner, by the tables of its recipe: model, training, phases, …"""
    model = tables.pop("model", {})
    recipe = from_dict(
        Recipe,
        {
            "model": {
                "encoder": {**_CNN, "feature_size": FEATURES},
                "attention": {"size": SIZE, **model.get("attention", {})},
                "decoder": {
                    "hidden_size": STATE,
                    **_SMALL,
                    "embedding_size": EMBEDDING,
                    **model.get("decoder", {}),
                },
            },
            **tables,
        },
    )
    torch.manual_seed(recipe.seed)
    features, models.build_features = models.build_features, lambda *_: nn.Sequential()
    try:
        vocabulary = Vocabulary(WORDS)
        built = models.build_model(recipe.model, len(vocabulary))
    finally:
        models.build_features = features
    checkpoint = Checkpoint(built, recipe.model, vocabulary, Preprocess(64))
    return CaptionTrainer(recipe, checkpoint, _Grids())


@functools.cache
def subwords() -> Subwords:
    """Pieces of the phrases that the tiny translator knows."""
    texts = [text for several in PHRASES.values() for text in several]
    return Subwords.train(texts * 2, 251, list(PHRASES), byte_fallback=False)


def translating(**tables: Any) -> TranslationTrainer:
    """A trainer of a translator, by the tables of its recipe."""
    model = tables.pop("model", {})
    recipe = from_dict(
        TranslationRecipe,
        {
            "data": {"train": [{"source": "-", "target": "-", "languages": ["en", "de"]}]},
            "model": {
                "encoder": {"hidden_size": 15, **model.get("encoder", {})},
                "attention": {"size": SIZE, **model.get("attention", {})},
                "decoder": {
                    "hidden_size": 30,
                    **_SMALL,
                    "embedding_size": EMBEDDING,
                    **model.get("decoder", {}),
                },
            },
            **{"training": {"batch_tokens": 60}, **tables},
        },
    )
    pieces = subwords()
    pairs = [
        Pair(one, other, "en", "de")
        for one, other in zip(PHRASES["en"], PHRASES["de"], strict=True)
    ]
    torch.manual_seed(recipe.seed)
    built = models.build_translation_model(recipe.model, len(pieces))
    read = {name: [pieces.encode(text).ids for text in PHRASES[name]] for name in ("en", "de")}
    languages = Languages.count([("en", "de")], read, len(pieces))
    checkpoint = TranslationCheckpoint(built, recipe.model, pieces, languages)
    reader = PairReader(
        [pairs], pieces, batch_tokens=recipe.training.batch_tokens, seed=recipe.seed
    )
    return TranslationTrainer(recipe, checkpoint, reader)


def steps(trainer: CaptionTrainer | TranslationTrainer, count: int) -> list[dict[str, Tensor]]:
    """The next steps of a trainer."""
    found = []
    for batch in trainer.batches(0, trainer.progress.position.step):
        if len(found) == count:
            break
        found.append(trainer.step(batch))
        trainer.progress.position.step += 1
        trainer.progress.position.total_steps += 1
    return found


def state_of(trainer: CaptionTrainer | TranslationTrainer, path: Path) -> dict[str, np.ndarray]:
    """Everything that a run keeps, by name."""
    from safetensors.numpy import load_file

    from captioner.training.state import save_state

    save_state(trainer, path)
    return dict(load_file(path))
