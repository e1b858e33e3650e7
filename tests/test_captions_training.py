from __future__ import annotations

import csv
import dataclasses
import json
import logging
import math
import os
import re
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from captioner import boxes, datasets, losses, scenes, settings
from captioner import checkpoint as checkpoints
from captioner.captions import training as captioning
from captioner.captions.recipe import PhaseConfig, Recipe
from captioner.captions.start import read_splits, start_checkpoint
from captioner.captions.training import CaptionTrainer, FeatureCache
from captioner.confidence import Confidence, Regression
from captioner.errors import CheckpointError, ConfigError, DataError
from captioner.metrics import CiderScorer, Score
from captioner.nn.architecture import DecoderConfig, ModelConfig
from captioner.nn.encoders import build_features
from captioner.nn.recognition import Recogniser, load_recogniser
from captioner.options import SearchOptions
from captioner.prediction import Captioner
from captioner.search import search
from captioner.text import EOS, tokenise
from captioner.training import Interrupted, callbacks, features, loop, state, train
from captioner.training.callbacks import Interrupt
from captioner.training.loop import Callback, Position, Trainer
from captioner.training.start import with_dropouts
from tests.processes import hear_signals

SIZE = 64  # two cells a side
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody cuts the power here, and a busy disk takes its time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


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


def log(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def equal_runs(first: Path, second: Path) -> bool:
    """Weights, averages, moments, places and logs; only the time may differ."""
    for name in ("best", "last", "resume"):
        one, other = (load_file(folder / f"{name}.safetensors") for folder in (first, second))
        assert one.keys() == other.keys()
        different = [key for key in one if not torch.equal(one[key], other[key])]
        assert not different, (name, different)
    progress = []
    for folder in (first, second):
        with safe_open(folder / "resume.safetensors", framework="pt") as file:
            progress.append(json.loads(file.metadata()["progress"]))
        for entry in progress[-1]["history"]:
            del entry["seconds"]
    return progress[0] == progress[1] and log(first) == log(second)


# ---- a handful of pictures learned by heart ------------------------------------------------------


def one_caption_each(world: Path, path: Path, captions: list[str]) -> dict[str, str]:
    document = json.loads((world / "captions_train.json").read_text())
    document["annotations"] = [
        {"id": i, "image_id": image["id"], "caption": caption}
        for i, (image, caption) in enumerate(zip(document["images"], captions, strict=True))
    ]
    path.write_text(json.dumps(document))
    return {"captions": str(path), "images": str(world / "images")}


LEARNER = {
    "model": {
        "encoder": {"image_size": SIZE, "feature_size": 64, "weights": "random"},
        "attention": {"size": 32},
        "decoder": {"hidden_size": 64, "embedding_size": 48, "dropout": 0.0},
    },
    "training": {"batch_size": 6, "label_smoothing": 0.0, "weight_average": 0.9, "save_steps": 0},
    "search": {"beam_size": 2, "max_length": 20, "alternatives": 0},
}


@pytest.fixture(scope="module")
def learned(
    world: Path, photos: list[datasets.Photo], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A checkpoint that knows six pictures by heart, learned with the whole CNN."""
    folder = tmp_path_factory.mktemp("learned")
    own = one_caption_each(world, folder / "captions.json", [p.captions[0] for p in photos])
    phase = {
        "epochs": 2,
        "learning_rate": 5e-3,
        "encoder_learning_rate": 1e-3,
        "fine_tune_from": 1,
        "batch_norm": "updated",
    }
    wanted = recipe(
        world,
        folder / "run",
        data={"train": [own] * 80, "validation": [own]},  # eighty steps between two validations
        phases=[phase],
        **LEARNER,
    )
    return train(wanted)


def test_pictures_learned_by_heart_come_back_word_for_word(
    photos: list[datasets.Photo], learned: Path
) -> None:
    captioner = Captioner.load(learned)
    said = [tokenise(caption.text) for caption in captioner.stream(photo.path for photo in photos)]
    assert said == [tokenise(photo.captions[0]) for photo in photos]


def test_a_checkpoint_learns_new_words_and_keeps_the_old_ones(
    world: Path, photos: list[datasets.Photo], learned: Path, tmp_path: Path
) -> None:
    new = ["ein Bild", "zwei Bilder", "ein Tier", "kein Tier", "viele Tiere", "a new picture"]
    own = one_caption_each(world, tmp_path / "captions.json", new)
    wanted = recipe(
        world,
        tmp_path / "run",
        init=str(learned),
        data={"train": [own] * 30, "validation": [own]},
        model={**LEARNER["model"], "decoder": {"word_dropout": 0.01}},  # the rest is as it was
        training={**LEARNER["training"], "weight_average": 0.0},
        search=LEARNER["search"],
        phases=[{"epochs": 5, "learning_rate": 4e-3, "cache_features": True}],
    )
    before, after = checkpoints.load(learned), checkpoints.load(train(wanted))
    assert after.vocabulary.words[: len(before.vocabulary)] == before.vocabulary.words
    added = set(after.vocabulary.words[len(before.vocabulary) :])
    assert added >= {"ein", "bild", "zwei", "bilder", "tier", "kein", "viele", "tiere"}
    assert "a" not in added
    changed = dataclasses.replace(before.config.decoder, word_dropout=0.01)
    assert after.config == dataclasses.replace(before.config, decoder=changed)
    assert after.model.decoder.word_dropout.p == 0.01
    made = after.provenance["recipe"]["model"]  # of what was run, not of the recipe's defaults
    assert made == settings.to_dict(after.config)
    assert after.provenance["started_from"]["checkpoint"] == "best.safetensors"
    assert "scores" in after.provenance["started_from"]
    said = [c.text for c in Captioner(after).stream(photo.path for photo in photos)]
    assert [tokenise(text) for text in said] == [tokenise(text) for text in new]


def test_training_on_forgets_how_sure_captions_were(
    world: Path, photos: list[datasets.Photo], learned: Path, tmp_path: Path
) -> None:
    sure = Confidence(Regression(0, {}), Regression(0, {}), 0.5, 0.1, 9, 0.1, 9, 1.0, "for tests")
    calibrated = dataclasses.replace(checkpoints.load(learned), confidence=sure)
    checkpoints.save(calibrated, tmp_path / "calibrated.safetensors")
    begun = str(tmp_path / "calibrated.safetensors")
    wanted = recipe(world, Path("unused"), init=begun, model=LEARNER["model"])
    assert start_checkpoint(wanted, photos).confidence is None


def test_new_words_leave_what_was_known_untouched(
    world: Path, photos: list[datasets.Photo], learned: Path
) -> None:
    before = checkpoints.load(learned)
    wanted = recipe(world, Path("unused"), init=str(learned), model=LEARNER["model"])
    after = start_checkpoint(wanted, photos)
    known = len(before.vocabulary)
    assert len(after.vocabulary) > known
    old, new = before.model.state_dict(), after.model.state_dict()
    for name, value in old.items():
        assert torch.equal(new[name][: len(value)] if value.dim() else new[name], value), name


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


def test_stages_that_the_checkpoint_lacks_cannot_be_fine_tuned(world: Path, tmp_path: Path) -> None:
    trainer = taught(world, datasets.read_coco(world / "captions_train.json", world / "images"), 0)
    checkpoints.save(trainer.checkpoint, tmp_path / "four.safetensors")
    wanted = dataclasses.replace(
        recipe(world, tmp_path / "run", phases=[{**TUNED, "fine_tune_from": 5}]),
        init=str(tmp_path / "four.safetensors"),
        model=ModelConfig(),
        given=(),
    )
    with pytest.raises(
        ConfigError, match=r"phases\.0\.fine_tune_from is 5, but the CNN has only 4"
    ):
        train(wanted)


# ---- going on after Ctrl-C -----------------------------------------------------------------------


@pytest.fixture
def press(keyboard: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Moments at which Ctrl-C is pressed, one a session."""

    def telling(name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def outer(*arguments: Any, progress: Callable[..., Any], **settings: Any) -> Any:
            def told(*count: int) -> None:
                keyboard.at(name)
                progress(*count)

            return inner(*arguments, progress=told, **settings)

        return outer

    monkeypatch.setattr(features, "cache_grids", telling("features", features.cache_grids))
    monkeypatch.setattr(captioning, "evaluate", telling("validation", captioning.evaluate))
    moments: list[str] = keyboard.moments
    return moments


@pytest.mark.parametrize(
    "moments",
    [
        # before a grid is cached; within, at the end of, between epochs of the frozen phase
        ["features", "step 2", "validation", "after epoch 1", "step 5", "step 6"],
        # the last moment of the frozen phase, then the fine-tuned one with its augmentation
        ["after epoch 2", "step 8", "step 9", "validation", "step 11", "step 12", "after epoch 4"],
    ],
    ids=["frozen", "fine-tuned"],
)
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    moments: list[str],
    press: list[str],
    world: Path,
    uninterrupted: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    wanted = recipe(world, tmp_path / "run")
    for session, moment in enumerate(moments):
        press.append(moment)
        if moment == "after epoch 4":  # nothing is left to be stopped
            continue
        with pytest.raises(Interrupted, match=r"stopped and saved in .*run; .*--resume"):
            train(wanted, resume=session > 0)
        assert not press
    train(wanted, resume=True)
    assert not press
    assert equal_runs(tmp_path / "run", uninterrupted)
    assert len(log(tmp_path / "run")) == 4
    assert "stopping after this step" in capfd.readouterr().err
    assert logged_steps(tmp_path / "run") == list(range(1, 13))


def logged_steps(folder: Path) -> list[int]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    # File by file: TensorBoard sorts those of one second by name, .10 before .9.
    steps: set[int] = set()
    for path in folder.glob("events.out.tfevents.*"):
        events = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
        if "train/loss" in events.Tags()["scalars"]:
            steps |= {event.step for event in events.Scalars("train/loss")}
    return sorted(steps)


def test_a_second_ctrl_c_stops_at_once_and_loses_little(
    press: list[str],
    world: Path,
    uninterrupted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check = Interrupt.check

    def pressed_again(self: Interrupt) -> None:
        if self.requested:
            signal.raise_signal(signal.SIGINT)
        check(self)

    monkeypatch.setattr(Interrupt, "check", pressed_again)
    press.append("step 9")
    before = signal.getsignal(signal.SIGINT)
    wanted = recipe(world, tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train(wanted)
    assert signal.getsignal(signal.SIGINT) == before
    train(wanted, resume=True)
    assert equal_runs(tmp_path / "run", uninterrupted)


CHILD = """
import json, sys
from captioner import settings, training
from captioner.nn.architecture import DecoderConfig, ModelConfig
from captioner.captions.recipe import Recipe
from captioner.captions import training as captioning

def evaluate(*arguments, inner=captioning.evaluate, **settings):
    print("validating", flush=True)
    sys.stdin.readline()
    return inner(*arguments, **settings)

captioning.evaluate = evaluate
try:
    training.train(settings.from_dict(Recipe, json.loads(sys.argv[1])))
except training.Interrupted as message:
    print(message, flush=True)
    sys.exit(130)
"""


def test_ctrl_c_in_a_process_of_its_own(world: Path, uninterrupted: Path, tmp_path: Path) -> None:
    wanted = recipe(world, tmp_path / "run")
    threads = str(torch.get_num_threads())
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, json.dumps(settings.to_dict(wanted))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        preexec_fn=hear_signals,
    )
    assert child.stdout is not None
    assert any(line == "validating\n" for line in iter(child.stdout.readline, ""))
    child.send_signal(signal.SIGINT)
    said, _ = child.communicate("\n", timeout=120)
    assert child.returncode == 130
    assert "stopped and saved in" in said
    assert not (tmp_path / "run" / "best.safetensors").exists()  # the validation was cut off
    train(wanted, resume=True)
    assert equal_runs(tmp_path / "run", uninterrupted)


def test_ctrl_c_is_left_alone_in_other_threads() -> None:
    handlers = []

    def work() -> None:
        with Interrupt().watching():
            handlers.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [before]


def test_a_finished_run_has_nothing_left_to_do(
    world: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = log(uninterrupted)
    monkeypatch.setattr(Trainer, "step", lambda *_: pytest.fail("a step was taken"))
    monkeypatch.setattr(features, "cache_grids", lambda *_, **__: pytest.fail("cached"))
    assert train(recipe(world, uninterrupted), resume=True) == uninterrupted / "best.safetensors"
    assert log(uninterrupted) == before


def test_the_same_seed_gives_the_same_weights(
    world: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    wanted = recipe(world, tmp_path / "run", training={"workers": 3, "save_steps": 0})
    train(wanted)
    assert equal_runs(tmp_path / "run", uninterrupted)


@pytest.mark.parametrize("moment", [None, "step 2", "step 5", "after epoch 1"])
def test_phases_may_be_added_behind_the_recipe_on_resume(
    moment: str | None, press: list[str], world: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    """Whether the first phase had ended or not: as if all phases had been there from the start."""
    if moment:
        press.append(moment)
        with pytest.raises(Interrupted):
            train(recipe(world, tmp_path / "run", phases=[FROZEN]))
    else:
        train(recipe(world, tmp_path / "run", phases=[FROZEN]))
        assert len(log(tmp_path / "run")) == 2
    train(recipe(world, tmp_path / "run"), resume=True)
    assert not press
    assert equal_runs(tmp_path / "run", uninterrupted)


def test_a_phase_that_was_added_can_itself_be_interrupted(
    press: list[str], world: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    train(recipe(world, tmp_path / "run", phases=[FROZEN]))
    for moment in ("step 8", "validation"):
        press.append(moment)
        with pytest.raises(Interrupted):
            train(recipe(world, tmp_path / "run"), resume=True)
    train(recipe(world, tmp_path / "run"), resume=True)
    assert equal_runs(tmp_path / "run", uninterrupted)


# ---- what a run leaves in its folder -------------------------------------------------------------


def test_files_of_a_run(world: Path, uninterrupted: Path) -> None:
    names = {path.name for path in uninterrupted.iterdir()}
    events = {name for name in names if name.startswith("events.out.tfevents")}
    assert events
    assert names - events == {
        "best.safetensors",
        "last.safetensors",
        "resume.safetensors",
        "log.csv",
    }
    rows = log(uninterrupted)
    assert [(row["phase"], row["epoch"], row["step"]) for row in rows] == [
        ("frozen", "1", "3"),
        ("frozen", "2", "6"),
        ("tuned", "1", "9"),
        ("tuned", "2", "12"),
    ]
    assert all(math.isfinite(float(row[k])) for row in rows for k in ("loss", "cider", "bleu_4"))


def test_a_checkpoint_tells_how_it_was_made(world: Path, uninterrupted: Path) -> None:
    told = checkpoints.describe(uninterrupted / "last.safetensors")
    made = told["provenance"]
    assert made["photos"] == 6
    assert made["captions"] == 30
    assert (made["phase"], made["epoch"]) == ("tuned", 2)
    assert made["scores"]["validation"]["cider"]["recipe"]
    assert made["recipe"]["seed"] == 3
    assert made["recipe"]["data"]["train"][0]["captions"] == "captions_train.json"
    assert str(world) not in json.dumps(told["provenance"])


def scores(*values: float) -> Callable[..., Any]:
    """An evaluation with these CIDErs, one an epoch."""
    waiting = list(values)

    def evaluate(*_: Any, **__: Any) -> SimpleNamespace:
        value = waiting.pop(0)
        named = {name: Score(name, value, None, "given") for name in ("cider", "bleu_4")}
        return SimpleNamespace(scores=named, left_out=())

    return evaluate


class Watcher(Callback):
    """Keeps the averaged weights of every epoch."""

    kept: list[dict[str, torch.Tensor]]

    def __init__(self) -> None:
        self.kept = []

    def after_epoch(self, trainer: Trainer) -> None:
        state = trainer.averaged().model.state_dict()
        self.kept.append({name: value.clone() for name, value in state.items()})


def holds(path: Path, state: dict[str, torch.Tensor]) -> bool:
    loaded = checkpoints.load(path).model.state_dict()
    return all(
        torch.equal(
            loaded[name], value if "running_" in name else value.to(torch.float16).to(value.dtype)
        )
        for name, value in state.items()
        if value.is_floating_point()
    )


def test_best_and_last_and_early_stopping(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patience counts within a phase; the best is the best of all phases."""
    watcher = Watcher()
    monkeypatch.setattr(captioning, "evaluate", scores(0.1, 0.3, 0.2, 0.3, 0.25, 0.4, 0.4, 0.1))
    monkeypatch.setattr(callbacks, "Save", lambda path: watcher)
    phases = [{**FROZEN, "epochs": 9}, {**FROZEN, "name": "more", "epochs": 9}]
    wanted = recipe(world, tmp_path / "run", training={"patience": 2}, phases=phases)
    assert train(wanted) == tmp_path / "run" / "best.safetensors"
    rows = log(tmp_path / "run")
    assert [(row["phase"], row["epoch"], row["cider"]) for row in rows] == [
        ("frozen", "1", "0.1"),
        ("frozen", "2", "0.3"),
        ("frozen", "3", "0.2"),
        ("frozen", "4", "0.3"),
        ("more", "1", "0.25"),
        ("more", "2", "0.4"),
        ("more", "3", "0.4"),
        ("more", "4", "0.1"),
    ]
    assert holds(tmp_path / "run" / "best.safetensors", watcher.kept[5])
    assert holds(tmp_path / "run" / "last.safetensors", watcher.kept[7])
    assert not holds(tmp_path / "run" / "last.safetensors", watcher.kept[5])
    best = checkpoints.describe(tmp_path / "run" / "best.safetensors")["provenance"]
    assert (best["phase"], best["epoch"]) == ("more", 2)


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["resume.safetensors", "best.safetensors", "log.csv"])
def test_a_folder_that_holds_a_run_is_refused(file: str, world: Path, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(b"of another run")
    with pytest.raises(ConfigError, match=r"holds a run already; go on with --resume, or choose"):
        train(recipe(world, tmp_path))
    assert (tmp_path / file).read_bytes() == b"of another run"


def test_a_folder_that_cannot_be_made(world: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"output .*file.run cannot be made .*another --output"):
        train(recipe(world, tmp_path / "file" / "run"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 4}, r"had seed = 3, the recipe now has 4; resume with the old recipe"),
        ({"phases": [FROZEN]}, r"had phases\.1\.name = 'tuned', the recipe now has None"),
        (
            {"training": {"batch_size": 3}},
            r"had training\.batch_size = 2, the recipe now has 3",
        ),
        ({"model": {"attention": {"size": 31}}}, r"model\.attention\.size"),
        (
            {"phases": [{**FROZEN, "epochs": 3}, TUNED, {"name": "added"}]},
            r"had phases\.0\.epochs = 2, the recipe now has 3; resume with the old recipe "
            r"\(phases may be added behind its own\), or start anew in another --output",
        ),
        (
            {"phases": [{"name": "put before"}, FROZEN, TUNED]},
            r"had phases\.0\.name = 'frozen', the recipe now has 'put before'",
        ),
        (
            {"phases": [FROZEN, {**TUNED, "self_critical": 0.5}, {"name": "added"}]},
            r"had phases\.1\.self_critical = 0\.0, the recipe now has 0\.5",
        ),
    ],
)
def test_another_recipe_cannot_go_on(
    changes: dict[str, Any], message: str, world: Path, uninterrupted: Path
) -> None:
    with pytest.raises(CheckpointError, match=message):
        train(recipe(world, uninterrupted, **changes), resume=True)


def test_a_moved_run_with_other_workers_goes_on(
    world: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    (tmp_path / "moved").mkdir()
    for name in ("resume.safetensors", "best.safetensors", "last.safetensors", "log.csv"):
        (tmp_path / "moved" / name).write_bytes((uninterrupted / name).read_bytes())
    train(recipe(world, tmp_path / "moved", training={"workers": 1, "save_steps": 7}), resume=True)


def test_other_captions_cannot_go_on(
    world: Path, photos: list[datasets.Photo], uninterrupted: Path
) -> None:
    wanted, path = recipe(world, uninterrupted), uninterrupted / "resume.safetensors"
    state.load_state(small_trainer(wanted, photos), path)
    changed = [*photos[:-1], dataclasses.replace(photos[-1], captions=("Something else.",) * 5)]
    for other in (changed, photos[::-1], photos[:-1]):
        with pytest.raises(CheckpointError, match="are not those of the interrupted run; put them"):
            state.load_state(small_trainer(wanted, other), path)


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


def test_nothing_to_go_on_from(world: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"run: nothing to resume; leave --resume out, or"):
        train(recipe(world, tmp_path / "run"), resume=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [b"", b"cut short"])
def test_a_damaged_state(content: bytes, world: Path, tmp_path: Path) -> None:
    (tmp_path / "resume.safetensors").write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"no resume state, or a damaged one .*start anew in another --output"
    ):
        train(recipe(world, tmp_path), resume=True)


def test_a_checkpoint_is_no_resume_state(world: Path, uninterrupted: Path, tmp_path: Path) -> None:
    content = (uninterrupted / "last.safetensors").read_bytes()
    (tmp_path / "resume.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="no resume state, or a damaged one"):
        train(recipe(world, tmp_path), resume=True)


def test_without_data_or_words(world: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"names no training data; write \[\[data.train\]\]"):
        train(recipe(world, tmp_path / "a", data={"train": []}))
    with pytest.raises(
        DataError,
        match=r"no word stands 999 times in the 30 training captions; lower data.min_count",
    ):
        train(recipe(world, tmp_path / "b", data={"min_count": 999}))


def test_a_loss_that_is_not_finite_stops_the_run(world: Path, tmp_path: Path) -> None:
    phase = {"epochs": 3, "learning_rate": 1e37, "schedule": "constant", "warmup": 0.0}
    wanted = recipe(world, tmp_path / "run", training={"save_steps": 1}, phases=[phase])
    with pytest.raises(
        ConfigError,
        match=r"phase 1, epoch 1, step \d: the loss is .*nan.*; lower the phase's learning rates",
    ):
        train(wanted)
    state = load_file(tmp_path / "run" / "resume.safetensors")
    assert all(value.isfinite().all() for value in state.values())


def test_gradients_that_no_loss_scale_makes_finite_stop_the_run(
    world: Path, photos: list[datasets.Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few that overflow are how a scale is found; the rest of the steps is taken."""
    monkeypatch.setattr(loop, "_PATIENCE", 4)
    trainer = small_trainer(recipe(world, Path("unused")), photos)
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    (batch, *_) = trainer.reader.read(0)
    bias = trainer.model.decoder.output.bias
    spoilt = bias.register_hook(lambda gradient: gradient * math.nan)
    before = bias.detach().clone()
    for _ in range(3):
        trainer.step(batch)
    assert torch.equal(bias, before)
    assert trainer.scaler.get_scale() == 1.0
    spoilt.remove()
    trainer.step(batch)
    assert not torch.equal(bias, before)
    bias.register_hook(lambda gradient: gradient * math.nan)
    for _ in range(3):
        trainer.step(batch)
    with pytest.raises(
        ConfigError, match=r"step 1: the loss is \d.* gradient's norm nan, so train"
    ):
        trainer.step(batch)


def test_unreadable_photos_are_left_out_with_one_warning(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for path in (world / "images").iterdir():
        content = path.read_bytes()
        broken = path.name in ("000002.png", "500001.png")
        (images / path.name).write_bytes(content[: len(content) // 3] if broken else content)
    data = {
        "train": [{**source(world), "images": str(images)}],
        "validation": [{**source(world, "val"), "images": str(images)}],
    }
    phases = [{**FROZEN, "epochs": 1}, {**TUNED, "epochs": 2}]
    with caplog.at_level(logging.WARNING):
        train(recipe(world, tmp_path / "run", data=data, phases=phases))
    assert sorted(text.split("/")[-1][:10] for text in caplog.messages) == [
        "000002.png",
        "500001.png",
    ]
    assert all(text.startswith("left out: ") for text in caplog.messages)


# ---- the parts of a step -------------------------------------------------------------------------


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


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_the_learning_rate_climbs_and_falls(schedule: str) -> None:
    phase = PhaseConfig(epochs=5, warmup=0.2, final_rate=0.1, schedule=schedule)
    rates = [
        loop._rate(phase, Position(0, epoch, step), 7) for epoch in range(5) for step in range(7)
    ]
    assert rates[:7] == pytest.approx([(n + 1) / 7 for n in range(7)])
    if schedule == "constant":
        assert rates[7:] == [1.0] * 28
        return
    expected = [0.1 + 0.9 * (1 + math.cos(math.pi * n / 28)) / 2 for n in range(28)]
    assert rates[7:] == pytest.approx(expected)
    assert all(before > after for before, after in pairwise(rates[7:]))
    assert 0.1 < rates[-1] < 0.12


def test_the_rate_of_a_phase_without_warm_up_starts_at_its_peak() -> None:
    phase = PhaseConfig(epochs=1, warmup=0.0)
    assert loop._rate(phase, Position(), 5) == 1.0


@pytest.mark.parametrize("stage", [0, 5, 1])
def test_parameter_groups(stage: int, world: Path, photos: list[datasets.Photo]) -> None:
    phase = {"fine_tune_from": stage, "learning_rate": 0.7, "encoder_learning_rate": 0.03}
    wanted = recipe(world, Path("unused"), phases=[phase], training={"weight_decay": 0.02})
    trainer = small_trainer(wanted, photos)
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    seen: list[str] = []
    for group in trainer.optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            seen.append(name)
            assert group["peak"] == (0.03 if name.startswith("encoder.features") else 0.7)
            assert group["weight_decay"] == (0.02 if parameter.dim() > 1 else 0.0)
    learning = [name for name, p in trainer.model.named_parameters() if p.requires_grad]
    assert sorted(seen) == sorted(learning)
    first = {0: None, 5: 14, 1: 0}[stage]
    cnn = {int(name.split(".")[2]) for name in seen if name.startswith("encoder.features")}
    assert cnn == (set() if first is None else set(range(first, 19)))


class Recorder(Callback):
    def __init__(self) -> None:
        self.weights: list[dict[str, np.ndarray]] = []
        self.losses: list[dict[str, float]] = []

    def on_step(self, trainer: Trainer, losses: dict[str, torch.Tensor]) -> None:
        state = trainer.model.state_dict()
        self.weights.append({k: v.numpy().astype(np.float64) for k, v in state.items()})
        self.losses.append({name: float(value) for name, value in losses.items()})


def test_the_weight_average_against_numpy(world: Path, photos: list[datasets.Photo]) -> None:
    recorder = Recorder()
    wanted = recipe(world, Path("unused"), phases=[TUNED], training={"weight_average": 0.25})
    trainer = small_trainer(wanted, photos, recorder)
    trainer.fit()
    found = trainer.averaged().model.state_dict()
    for name in (
        "decoder.output.weight",
        "encoder.features.18.1.running_mean",
        "encoder.project.bias",
    ):
        average = recorder.weights[0][name]
        for count, weights in enumerate(recorder.weights[1:], start=1):
            decay = min(0.25, (1 + count) / (10 + count))
            average = decay * average + (1 - decay) * weights[name]
        assert not np.allclose(average, recorder.weights[-1][name], rtol=1e-3)
        np.testing.assert_allclose(found[name].numpy(), average, rtol=1e-4, atol=1e-6)


def test_without_an_average_the_weights_themselves_count(
    world: Path, photos: list[datasets.Photo]
) -> None:
    wanted = recipe(world, Path("unused"), training={"weight_average": 0.0})
    trainer = small_trainer(wanted, photos)
    assert trainer.averaged(epoch=7).model is trainer.model
    assert trainer.averaged(epoch=7).provenance["epoch"] == 7


def test_the_penalty_is_added(world: Path, photos: list[datasets.Photo]) -> None:
    found = {}
    for weight in (0.0, 2.5):
        wanted = recipe(world, Path("unused"), training={"doubly_stochastic": weight})
        trainer = small_trainer(wanted, photos)
        trainer.model.eval()
        found[weight] = trainer.loss(next(trainer.reader.read(0)))
    assert found[0.0].keys() == {"loss", "cross_entropy"}
    assert found[0.0]["loss"] == found[0.0]["cross_entropy"] == found[2.5]["cross_entropy"]
    expected = found[2.5]["cross_entropy"] + 2.5 * found[2.5]["doubly_stochastic"]
    assert torch.equal(found[2.5]["loss"], expected)
    assert found[2.5]["doubly_stochastic"] > 0


# ---- a classifier that is kept true --------------------------------------------------------------

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


def test_distillation_keeps_the_classifier_true(
    world: Path, teacher: dict[str, str], photos: list[datasets.Photo]
) -> None:
    """The CNN starts elsewhere than its teacher; with the loss it comes to answer alike."""
    found = {}
    for weight in (0.0, 2.0):
        phase = {**WHOLE, "learning_rate": 5e-3, "encoder_learning_rate": 1e-3}
        wanted = recipe(
            world,
            Path("unused"),
            teacher=teacher,
            training={"batch_size": 6, "weight_average": 0.0},
            phases=[{**phase, "distillation": weight}],
        )
        network = load_recogniser("mobilenet_v2", wanted.teacher)
        trainer = small_trainer(wanted, photos, teacher=network)
        (batch,) = trainer.reader.read(0)
        for _ in range(40):
            told = trainer.step(batch)
        pixels = trainer._normalised(batch)
        answers = trainer.model.encoder.recognise(trainer.model.encoder.grid(pixels))
        found[weight] = float(losses.distillation(answers, network(pixels)).detach())
        assert ("distillation" in told) == (weight > 0)
    assert found[2.0] < 0.5 * found[0.0]


def test_distillation_is_added_with_its_weight(
    world: Path, teacher: dict[str, str], photos: list[datasets.Photo]
) -> None:
    wanted = recipe(world, Path("unused"), teacher=teacher, phases=[{**KEPT, "distillation": 0.3}])
    network = load_recogniser("mobilenet_v2", wanted.teacher)
    trainer = small_trainer(wanted, photos, teacher=network)
    found = trainer.loss(next(trainer.reader.read(0)))
    expected = found["cross_entropy"] + 0.3 * found["distillation"]
    torch.testing.assert_close(found["loss"], expected)


# ---- maps that are taught ------------------------------------------------------------------------

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


def mass_in_boxes(trainer: CaptionTrainer) -> float:
    """How much of a noun's map lies in its boxes, by the word that names them."""
    (batch,) = trainer.reader.read(0)
    trainer.model.eval()
    with torch.no_grad():
        memory = trainer.model.encoder(trainer._normalised(batch))
        weights = trainer.model.decoder(batch.inputs, batch.lengths, memory, batch.owners).weights
    trainer.model.train()
    assert memory.grid == CELLS
    maps = [weights[row, place].mean(0) for row, place in batch.mentions.tolist()]
    assert len(maps) > 20
    return float((torch.stack(maps) * batch.regions).sum(1).mean())


def test_supervision_brings_a_nouns_map_into_its_box(
    world: Path, photos: list[datasets.Photo]
) -> None:
    found = {}
    for weight in (0.0, 1.0):
        trainer = taught(world, photos, weight)
        before = mass_in_boxes(trainer)
        (batch,) = trainer.reader.read(0)
        for _ in range(80):
            told = trainer.step(batch)
        found[weight] = mass_in_boxes(trainer)
        assert ("supervised_attention" in told) == (weight > 0)
    assert found[1.0] > 3 * max(before, found[0.0])


def test_supervision_is_added_with_its_weight(world: Path, photos: list[datasets.Photo]) -> None:
    trainer = taught(world, photos, 0.3)
    (batch,) = trainer.reader.read(0)
    found = trainer.loss(batch)
    expected = found["cross_entropy"] + 0.3 * found["supervised_attention"]
    torch.testing.assert_close(found["loss"], expected)
    no_boxes = dataclasses.replace(batch, mentions=batch.mentions[:0], regions=batch.regions[:0])
    trainer = taught(world, photos, 0.3)
    found = trainer.loss(no_boxes)
    assert torch.equal(found["loss"], found["cross_entropy"])


def test_supervision_without_boxes(world: Path, tmp_path: Path) -> None:
    wanted = recipe(world, tmp_path / "run", phases=[{**FROZEN, "attention_supervision": 0.2}])
    told = r"needs to know where things lie; .* boxes in \[\[data.train\]\], or --data.train.0.box"
    with pytest.raises(ConfigError, match=told):
        train(wanted)


# ---- captions that are drawn and judged ----------------------------------------------------------

KNOWING = {**WHOLE, "learning_rate": 4e-3, "epochs": 99}


def judged(world: Path, photos: list[datasets.Photo], *phases: dict[str, Any]) -> CaptionTrainer:
    """A trainer of one batch, with one caption for each photo."""
    wanted = recipe(
        world,
        Path("unused"),
        **{**LEARNER, "training": {**LEARNER["training"], "weight_average": 0.0}},
        phases=list(phases),
    )
    one_each = [dataclasses.replace(photo, captions=photo.captions[:1]) for photo in photos]
    return small_trainer(wanted, one_each)


def test_self_critical_steps_raise_the_reward(world: Path, photos: list[datasets.Photo]) -> None:
    """Of a decoder that knows half of it, about photos that do not change."""
    frozen = {"warmup": 0.0, "schedule": "constant"}
    critical = {**frozen, "learning_rate": 3e-3, "self_critical": 1.0, "samples": 40}
    trainer = judged(world, photos, {**frozen, "learning_rate": 4e-3, "epochs": 99}, critical)
    (batch,) = trainer.reader.read(0)
    for _ in range(30):
        trainer.step(batch)
    trainer.enter(trainer.recipe.phases[1])
    rewards = []
    for _ in range(60):
        found = trainer.step(batch)
        trainer.progress.position.total_steps += 1
        assert all(math.isfinite(float(value)) for value in found.values())
        assert torch.equal(found["loss"], found["self_critical"])
        rewards.append(float(found["reward"]))
    assert sum(rewards[-8:]) > 1.2 * sum(rewards[:8]) > 0


def test_the_reward_reaches_decoder_and_encoder(world: Path, photos: list[datasets.Photo]) -> None:
    trainer = judged(world, photos, KNOWING, {**KNOWING, "self_critical": 1.0, "samples": 3})
    (batch,) = trainer.reader.read(0)
    for _ in range(10):
        trainer.step(batch)
    trainer.enter(trainer.recipe.phases[1])
    found = trainer.loss(batch)
    assert found["reward"] > 0
    found["loss"].backward()
    for name, parameter in trainer.model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
    for module in (
        trainer.model.decoder.embedding,
        trainer.model.decoder.attention.score.query,
        trainer.model.encoder.project,
        trainer.model.encoder.features[0][0],
    ):
        assert bool(module.weight.grad.any())
    assert trainer.model.decoder.training  # drawing does not leave it evaluating


@pytest.mark.parametrize("max_length", [20, 4])
def test_the_self_critical_loss_by_hand(
    max_length: int, world: Path, photos: list[datasets.Photo]
) -> None:
    """Drawn, judged and weighed one by one, by the probabilities that the search itself reports.

    The decoder has its dropout, which neither drawing nor scoring may feel; of four words, most
    captions are cut, and an end that was forced is neither said nor made likelier.
    """
    critical = {"self_critical": 0.4, "samples": 3, "max_length": max_length}
    trainer = judged(world, photos, KNOWING, {**KNOWING, **critical})
    (batch,) = trainer.reader.read(0)
    for _ in range(25):
        trainer.step(batch)
    trainer.enter(trainer.recipe.phases[1])
    trainer.progress.position.total_steps = 7
    decoder, words = trainer.model.decoder, trainer.checkpoint.vocabulary.words
    trainer.model.eval()  # or batch norm would see another batch
    decoder.train()
    decoder.dropout.p, decoder.attention.dropout.p, decoder.word_dropout.p = 0.5, 0.3, 0.2
    found = trainer.loss(batch)
    assert decoder.training
    assert decoder.dropout.p == 0.5
    decoder.eval()
    with torch.no_grad():
        memory = trainer.model.encoder(trainer._normalised(batch))
    drawing = SearchOptions(
        sample=True, top_p=1.0, n_best=3, max_length=max_length, alternatives=0, seed=3
    )
    drawn = search(decoder, memory, drawing, indices=range(7 * 6, 8 * 6))
    own_words = [
        [[words[t] for t in [*caption, EOS]] for caption in own] for own in trainer.reader.sentences
    ]
    scorer, terms, all_rewards, cut = CiderScorer(own_words), [], [], 0
    for photo, hypotheses in enumerate(drawn):
        said = []
        for one in hypotheses:
            ended = len(one.tokens) < max_length
            cut += not ended
            said.append([words[token] for token in one.tokens] + ["<eos>"] * ended)
        rewards = scorer.score(said, [int(batch.numbers[photo])] * 3)
        all_rewards.extend(rewards)
        for place, one in enumerate(hypotheses):
            advantage = rewards[place] - np.delete(rewards, place).mean()
            ends = [one.end_log_prob] if len(one.tokens) < max_length else []
            terms += [-advantage * value for value in [*one.log_probs, *ends]]
    assert (cut > 5) == (max_length == 4)
    assert np.std(all_rewards) > 0.05
    assert float(found["reward"]) == pytest.approx(np.mean(all_rewards))
    critical_loss = float(found["self_critical"].detach())
    assert critical_loss == pytest.approx(np.mean(terms), rel=1e-3, abs=1e-5)
    expected = 0.6 * found["cross_entropy"] + 0.4 * found["self_critical"]
    torch.testing.assert_close(found["loss"], expected)


def test_draws_belong_to_the_step(world: Path, photos: list[datasets.Photo]) -> None:
    trainer = judged(world, photos, KNOWING, {**KNOWING, "self_critical": 1.0, "samples": 2})
    (batch,) = trainer.reader.read(0)
    trainer.enter(trainer.recipe.phases[1])
    trainer.model.eval()
    losses = []
    for steps in (3, 4, 3):
        trainer.progress.position.total_steps = steps
        torch.manual_seed(steps + len(losses))  # draws do not depend on what was drawn before
        with torch.no_grad():
            memory = trainer.model.encoder(trainer._normalised(batch))
            losses.append(trainer.draws(batch, memory).loss()["reward"])
    assert losses[0] == losses[2]


EVERYTHING = {
    "model": {
        "encoder": {
            "image_size": SIZE,
            "stride": 16,
            "lateral": True,
            "feature_size": 23,
            "weights": "random",
        },
        "attention": {"size": 19, "query": "after", "input_feeding": True},
        "decoder": {"hidden_size": 29, "embedding_size": 17, "dropout": 0.3},
    },
    "phases": [
        {**FROZEN, "attention_supervision": 0.2},
        {
            **TUNED,
            "attention_supervision": 0.2,
            "self_critical": 0.7,
            "samples": 3,
        },
    ],
}


def test_a_run_with_everything_ends_as_an_uninterrupted_one(
    press: list[str], world: Path, tmp_path: Path
) -> None:
    """Cached pyramids, taught maps, drawn captions: stopped in both phases."""
    own = {**source(world), "boxes": str(world / "instances_train.json")}
    data = {"train": [own], "validation": [source(world, "val")], "min_count": 1}
    train(recipe(world, tmp_path / "whole", data=data, **EVERYTHING))
    wanted = recipe(world, tmp_path / "run", data=data, **EVERYTHING)
    for session, moment in enumerate(("step 2", "step 8", "step 11")):
        press.append(moment)
        with pytest.raises(Interrupted):
            train(wanted, resume=session > 0)
    train(wanted, resume=True)
    assert equal_runs(tmp_path / "run", tmp_path / "whole")
    tags = {tag for tag in logged(tmp_path / "whole") if tag.startswith("train/")}
    assert tags >= {f"train/{name}" for name in ("supervised_attention", "self_critical", "reward")}


def logged(folder: Path) -> set[str]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    files = folder.glob("events.out.tfevents.*")
    return {tag for f in files for tag in EventAccumulator(str(f)).Reload().Tags()["scalars"]}


def test_cached_grids_train_like_pictures(
    world: Path, photos: list[datasets.Photo], tmp_path: Path
) -> None:
    """What a frozen CNN makes of a picture is the same from the cache, within float16."""
    losses = []
    for cache in (True, False):
        recorder = Recorder()
        wanted = recipe(world, Path("unused"), phases=[{**FROZEN, "cache_features": cache}])
        features = FeatureCache(tmp_path, False, Interrupt())
        small_trainer(wanted, photos, features, recorder).fit()
        losses.append([found["loss"] for found in recorder.losses])
    assert len(losses[0]) == 6
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)


def test_cached_grids_stay_as_long_as_they_are_wanted(
    world: Path, photos: list[datasets.Photo], tmp_path: Path
) -> None:
    wanted = recipe(world, Path("unused"), phases=[FROZEN, {**TUNED, "epochs": 1}])
    features = FeatureCache(tmp_path / "features", False, Interrupt())
    trainer = small_trainer(wanted, photos, features)
    features.on_phase(trainer, wanted.phases[0])
    features.close(trainer)  # as by Ctrl-C
    assert [path.suffix for path in (tmp_path / "features").iterdir()] == [".npy"]
    features.on_phase(trainer, wanted.phases[1])
    assert not list(tmp_path.iterdir())
    trainer = small_trainer(recipe(world, Path("unused"), phases=[FROZEN]), photos, features)
    trainer.fit()
    mine = tmp_path / "features" / "mine.npy"
    mine.touch()
    features.close(trainer)  # as at the end
    assert list(mine.parent.iterdir()) == [mine]


def test_frozen_stages_keep_every_bit(world: Path, photos: list[datasets.Photo]) -> None:
    wanted = recipe(world, Path("unused"), phases=[{**TUNED, "fine_tune_from": 5, "epochs": 1}])
    trainer = small_trainer(wanted, photos)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    trainer.fit()
    after = trainer.model.state_dict()
    for name, value in before.items():
        if name.startswith("encoder.features"):
            learns = int(name.split(".")[2]) >= 14
            assert torch.equal(after[name], value) != learns, name


def test_phases_have_batches_and_input_dropout_of_their_own(
    world: Path, photos: list[datasets.Photo], tmp_path: Path
) -> None:
    light = {**TUNED, "name": "light", "epochs": 1, "batch_size": 3, "input_dropout": False}
    wanted = recipe(
        world,
        tmp_path / "run",
        phases=[light, {**TUNED, "epochs": 1}],
        model={
            "encoder": {"image_size": SIZE, "weights": "random", "dropout": 0.2},
            "attention": {"dropout": 0.3},
            "decoder": {"word_dropout": 0.4},
        },
    )
    trainer = small_trainer(wanted, photos)
    decoder = trainer.model.decoder
    dropouts = (trainer.model.encoder.dropout, decoder.attention.dropout, decoder.word_dropout)
    seen = []

    class Watch(Callback):
        def on_step(self, trainer: Trainer, losses: dict[str, torch.Tensor]) -> None:
            seen.append([trainer.progress.position.phase, *(module.p for module in dropouts)])

    trainer.callbacks = [Watch()]
    trainer.fit()
    assert seen == [[0, 0.0, 0.0, 0.0]] * 2 + [[1, 0.2, 0.3, 0.4]] * 3


def test_bfloat16_trains(world: Path, photos: list[datasets.Photo]) -> None:
    recorder = Recorder()
    settings = {"precision": "bfloat16", "weight_average": 0.0}
    wanted = recipe(world, Path("unused"), phases=[{**TUNED, "epochs": 1}], training=settings)
    small_trainer(wanted, photos, recorder).fit()
    assert all(math.isfinite(found["loss"]) for found in recorder.losses)
    assert all(np.isfinite(value).all() for value in recorder.weights[-1].values())


# ---- copying what is recognised ------------------------------------------------------------------

COPY = {"things": 2, "size": 7}


def test_a_new_model_that_copies_comes_back_from_its_file(
    world: Path, teacher: dict[str, str], tmp_path: Path, photos: list[datasets.Photo]
) -> None:
    wanted = recipe(
        world, tmp_path / "run", teacher=teacher, model={"copy": COPY}, phases=[{**KEPT}]
    )
    path = train(wanted)
    kept = checkpoints.load(path)
    assert kept.config.copy.things == 2
    copying = kept.model.decoder.copying
    assert copying is not None
    # "polar bear" is copied by its last word; the two lions are one thing.
    words = [kept.vocabulary.words[token] for token in copying.words.tolist()]
    assert sorted(words) == ["bear", "dog", "lion", "tench"]
    assert [words[group] for group in copying.groups.tolist()] == [
        kind.rpartition(" ")[2] for kind in KINDS
    ]
    found = Captioner(kept)(photos[0].path)
    assert all(word.copy_share is not None for word in found.words)
    assert found.to_dict()["words"][0]["copy_share"] >= 0


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


# ---- on a device: photos kept, losses looked at now and then ------------------------------------


def test_kept_photos_train_as_those_from_files(
    world: Path, tmp_path: Path, photos: list[datasets.Photo]
) -> None:
    plain = {**TUNED, "augment": {}, "epochs": 1}
    weights = []
    for choice in ("never", "always"):
        training = {"keep_photos": choice}
        wanted = recipe(world, tmp_path / choice, training=training, phases=[plain])
        weights.append(checkpoints.load(train(wanted)).model.state_dict())
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


def test_losses_that_are_looked_at_now_and_then_add_up(
    world: Path, photos: list[datasets.Photo]
) -> None:
    sums = []
    for every in (1, 4):
        trainer = small_trainer(recipe(world, Path("unused"), phases=[TUNED]), photos)
        trainer.look_every = every
        batches = list(trainer.batches(0, 0))
        for batch in [*batches, *batches]:
            trainer.step(batch)
        trainer.look()
        sums.append(trainer.progress.loss_sum)
    assert sums[0] == sums[1] > 0


def test_a_loss_that_is_no_number_is_told_with_its_own_step(
    world: Path, photos: list[datasets.Photo]
) -> None:
    trainer = small_trainer(recipe(world, Path("unused"), phases=[TUNED]), photos)
    trainer.look_every = 10
    batch = next(trainer.batches(0, 0))
    trainer.step(batch)
    trainer.progress.position.step = 1
    with torch.no_grad():
        trainer.model.decoder.output.bias.fill_(torch.nan)
    trainer.step(batch)
    trainer.progress.position.step = 2
    with pytest.raises(ConfigError, match=r"phase 1, epoch 1, step 2: the loss is nan"):
        trainer.look()


def test_a_phase_is_validated_every_so_many_epochs_and_at_its_end(
    world: Path, tmp_path: Path
) -> None:
    phase = {**TUNED, "epochs": 3}
    train(recipe(world, tmp_path / "run", training={"validate_every": 2}, phases=[phase]))
    with (tmp_path / "run" / "log.csv").open() as file:
        scores = [row["cider"] for row in csv.DictReader(file)]
    assert [score == "nan" for score in scores] == [True, False, False]


# ---- the recipe of the weights that come along ---------------------------------------------------


def test_every_phase_of_the_shipped_recipe_runs(world: Path, tmp_path: Path) -> None:
    """The recipe as it stands, but for its data, its weights' files, and sizes."""
    torch.manual_seed(23)
    features = build_features("efficientnet_lite2", 32)
    save_file({f"features.{k}": v for k, v in features.state_dict().items()}, tmp_path / "cnn.st")
    last = {"classifier.weight": torch.randn(5, 1280), "classifier.bias": torch.randn(5)}
    save_file(last, tmp_path / "last.st")
    (tmp_path / "words.json").write_text(json.dumps(KINDS))
    path = Path(__file__).parent.parent / "configs" / "caption.toml"
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    own = {**source(world), "boxes": str(world / "instances_train.json")}
    values["data"] |= {"train": [own], "validation": [source(world, "val")], "min_count": 1}
    values["model"]["encoder"] |= {"weights": str(tmp_path / "cnn.st"), "image_size": SIZE}
    names = {"features": "cnn.st", "classifier": "last.st", "words": "words.json"}
    values["teacher"] = {key: str(tmp_path / name) for key, name in names.items()}
    values["training"] |= {"batch_size": 3, "keep_photos": "always"}
    values["output"] = str(tmp_path / "run")
    for phase in values["phases"]:
        phase["epochs"] = 1
    kept = checkpoints.load(train(settings.from_dict(Recipe, values)))
    assert kept.config.copy.things == 5
    with (tmp_path / "run" / "log.csv").open() as file:
        assert [row["phase"] for row in csv.DictReader(file)] == ["cross-entropy", "self-critical"]
