"""What many tests share: a tiny captioner with random weights, a picture, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.page import FLAGS, chromium
from captioner.checkpoint import Checkpoint
from captioner.config import ModelConfig, SearchOptions, from_dict
from captioner.images import Preprocess
from captioner.nn.model import build_model
from captioner.prediction import Captioner
from captioner.text import Vocabulary

WORDS = ("a", "dog", "cat", "runs", "jumps", "over", "the", "log", "red", "ball", "'s", "man")


@pytest.fixture(scope="session")
def tiny_checkpoint() -> Checkpoint:
    torch.manual_seed(5)
    config = from_dict(
        ModelConfig,
        {
            "encoder": {"image_size": 64, "feature_size": 24, "weights": "random"},
            "attention": {"size": 24},
            "decoder": {"hidden_size": 24, "embedding_size": 24},
        },
    )
    vocabulary = Vocabulary(WORDS)
    model = build_model(config, len(vocabulary)).eval()
    with torch.no_grad():  # an untrained decoder is nearly indifferent; let it have opinions
        model.decoder.embedding.weight.mul_(4)
        model.decoder.attention.score.energy.weight.mul_(20)
    search = SearchOptions(beam_size=3, max_length=9)
    provenance = {"licence": "for tests", "scores": {}}
    return Checkpoint(model, config, vocabulary, Preprocess(64), search, provenance)


@pytest.fixture(scope="session")
def tiny_captioner(tiny_checkpoint: Checkpoint) -> Captioner:
    return Captioner(tiny_checkpoint)


@pytest.fixture
def picture() -> Image.Image:
    """97×53 pixels, no two parts alike."""
    pixels = np.random.default_rng(3).integers(0, 256, (7, 13, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((97, 53), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium; not for the whole session, since it keeps an event loop running."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = chromium()
    if path is None:
        pytest.skip("there is no Chromium; Debian's package is called `chromium`")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()
