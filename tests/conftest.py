"""What many tests share: tiny models and their files, photos, commands, Ctrl-C and a browser."""

from __future__ import annotations

import itertools
import json
import os
import pkgutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # processes that share the cores; before torch counts them
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from PIL import Image

from benchmarks.page import FLAGS, chromium
from captioner import checkpoint as checkpoints
from captioner.checkpoint import Checkpoint, TranslationCheckpoint
from captioner.cli import main
from captioner.languages import Languages
from captioner.nn.architecture import ModelConfig
from captioner.nn.model import build_model, build_translation_model
from captioner.options import SearchOptions
from captioner.pictures.preprocess import Preprocess
from captioner.prediction import Captioner
from captioner.runtimes import choice
from captioner.settings import from_dict
from captioner.subwords import Subwords
from captioner.text import Vocabulary
from captioner.training.callbacks import Interrupt, Save
from captioner.training.loop import Trainer
from captioner.translation import Translator
from captioner.translations.pairs import Pair, PairReader
from captioner.translations.recipe import TranslationRecipe
from captioner.translations.training import TranslationTrainer
from tests.commands import noisy_picture
from tests.seen import seen_weights as seen_weights
from tests.seen import seen_world as seen_world

# A busy machine is no error: no test fails on a clock.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

WORDS = ("a", "dog", "cat", "runs", "jumps", "over", "the", "log", "red", "ball", "'s", "man")


@pytest.fixture(scope="session", autouse=True)
def plain() -> Iterator[None]:
    """What computes is torch, exactly; the tests of other runtimes ask for them by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "PREFERRED", "torch")
        yield


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
    return Checkpoint(
        model, config, vocabulary, Preprocess(64), search=search, provenance=provenance
    )


@pytest.fixture(scope="session")
def tiny_captioner(tiny_checkpoint: Checkpoint) -> Captioner:
    return Captioner(tiny_checkpoint)


PHRASES = {  # line n of each says the same
    "en": (
        "I am a student.",
        "A dog runs over the log.",
        "A brown dog runs through the snow.",
        "Two men are sleeping.",
        "The man's red ball is on the table.",
        "A cat jumps over the dog!",
        "Is the ball red?",
    ),
    "de": (
        "Ich bin Student.",
        "Ein Hund läuft über den Stamm.",
        "Ein brauner Hund läuft durch den Schnee.",
        "Zwei Männer schlafen.",
        "Der rote Ball des Mannes ist auf dem Tisch.",
        "Eine Katze springt über den Hund!",
        "Ist der Ball rot?",
    ),
    "fr": (
        "Je suis étudiant.",
        "Un chien court sur le tronc.",
        "Un chien brun court dans la neige.",
        "Deux hommes dorment.",
        "Le ballon rouge de l'homme est sur la table.",
        "Un chat saute par-dessus le chien !",
        "Le ballon est-il rouge ?",
    ),
}
DIRECTIONS = (("en", "de"), ("en", "fr"), ("fr", "en"))


@pytest.fixture(scope="session")
def phrases() -> dict[str, tuple[str, ...]]:
    """The sentences that the tiny translator knows by heart, in three languages."""
    return PHRASES


@pytest.fixture(scope="session")
def tiny_translation() -> TranslationCheckpoint:
    """Translates PHRASES in DIRECTIONS; has opinions about everything else."""
    sets = [
        [Pair(*texts, one, other) for texts in zip(PHRASES[one], PHRASES[other], strict=True)]
        for one, other in DIRECTIONS
    ]
    files = {"source": "none", "target": "none"}  # the pairs are here already
    recipe = from_dict(
        TranslationRecipe,
        {
            "seed": 3,
            "data": {"train": [{**files, "languages": names} for names in DIRECTIONS]},
            "model": {
                "encoder": {"hidden_size": 32, "dropout": 0.0},
                "decoder": {"hidden_size": 64, "embedding_size": 64, "dropout": 0.0},
            },
            "training": {"label_smoothing": 0.0, "weight_average": 0.0},
            "search": {"beam_size": 3, "max_length": 97, "alternatives": 5},
            "phases": [{"epochs": 90, "learning_rate": 1.5e-2}],
        },
    )
    texts = [text for several in PHRASES.values() for text in several]
    # Twice, for what stands there once is not merged: most of the words become one piece.
    subwords = Subwords.train(texts * 2, 251, list(PHRASES), byte_fallback=False)
    read = {name: [subwords.encode(text).ids for text in own] for name, own in PHRASES.items()}
    languages = Languages.count(DIRECTIONS, read, len(subwords))
    torch.manual_seed(recipe.seed)
    model = build_translation_model(recipe.model, len(subwords))
    checkpoint = TranslationCheckpoint(
        model, recipe.model, subwords, languages, search=recipe.search
    )
    reader = PairReader(sets, subwords, batch_tokens=10_000, seed=recipe.seed)
    trainer = TranslationTrainer(recipe, checkpoint, reader)
    trainer.fit()
    return trainer.averaged(licence="for tests", scores={})


@pytest.fixture(scope="session")
def tiny_translator(tiny_translation: TranslationCheckpoint) -> Translator:
    return Translator(tiny_translation)


@pytest.fixture(scope="session")
def translation_weights(
    tiny_translation: TranslationCheckpoint, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A file of the tiny translator, exactly."""
    path = tmp_path_factory.mktemp("weights") / "translate.safetensors"
    checkpoints.save(tiny_translation, path, torch.float32)
    return str(path)


@pytest.fixture
def press(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, int], None]]:
    """Presses Ctrl-C, with a real signal, at the n-th call of a function, by its full name."""

    def prepare(place: str, time: int) -> None:
        owner, _, name = place.rpartition(".")
        held = pkgutil.resolve_name(owner)
        function, calls = getattr(held, name), itertools.count(1)

        def call(*values: Any, **named: Any) -> Any:
            if next(calls) == time:
                signal.raise_signal(signal.SIGINT)
            return function(*values, **named)

        monkeypatch.setattr(held, name, call)

    # A test in the background ignores it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield prepare
    signal.signal(signal.SIGINT, before)


class Keyboard:
    """Presses Ctrl-C, with a real signal, at the first of the noted moments."""

    def __init__(self) -> None:
        self.moments: list[str] = []

    def at(self, moment: str) -> None:
        if self.moments[:1] == [moment]:
            self.moments.pop(0)
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Keyboard:
    """Ctrl-C at `step 3` or `after epoch 2`; a task's tests add moments of their own."""
    pressed = Keyboard()
    on_step, after_epoch = Interrupt.on_step, Save.after_epoch

    def step(self: Interrupt, trainer: Trainer, losses: dict[str, torch.Tensor]) -> None:
        pressed.at(f"step {trainer.progress.position.total_steps}")
        on_step(self, trainer, losses)

    def epoch(self: Save, trainer: Trainer) -> None:
        pressed.at(f"after epoch {len(trainer.progress.history)}")
        after_epoch(self, trainer)

    monkeypatch.setattr(Interrupt, "on_step", step)
    monkeypatch.setattr(Save, "after_epoch", epoch)
    return pressed


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


@pytest.fixture(scope="session")
def weights(tiny_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    checkpoints.save(tiny_checkpoint, path, torch.float32)  # exactly the tiny captioner
    return str(path)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with three photos in two folders, two of the same name."""
    for number, name in enumerate(("b/dog.png", "a/dog.png", "a/cat.jpg")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        noisy_picture(number).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def typed(weights: str) -> Callable[..., int]:
    """Runs a command with the tiny weights on the CPU."""

    def run(command: str, *arguments: object) -> int:
        own = ["--checkpoint", weights, "--device", "cpu"]
        return main([command, *map(str, arguments), *own])

    return run


@pytest.fixture
def data(here: Path) -> Path:
    """Seven photos with five captions each, in the COCO format."""
    texts = ["A dog runs.", "The red dog jumps over a log.", "A man.", "The cat", "A ball!"]
    images, annotations = [], []
    (here / "images").mkdir()
    for number in range(7):
        noisy_picture(20 + number).save(here / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png"})
        rotated = [texts[(number + k) % 5] for k in range(5)]
        annotations += [{"image_id": number, "caption": text} for text in rotated]
    document = {"images": images, "annotations": annotations}
    (here / "captions_val.json").write_text(json.dumps(document))
    return here
