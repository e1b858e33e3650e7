"""Training a captioner: pictures learned by heart, and runs that go on where they stopped."""

from __future__ import annotations

import csv
import dataclasses
import json
import logging
import math
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from captioner import checkpoint as checkpoints
from captioner import datasets, settings
from captioner.captions import training as captioning
from captioner.captions.recipe import Recipe
from captioner.captions.start import start_checkpoint
from captioner.captions.training import FeatureCache
from captioner.confidence import Confidence, Regression
from captioner.errors import CheckpointError, ConfigError
from captioner.nn.architecture import ModelConfig
from captioner.nn.encoders import build_features
from captioner.prediction import Captioner
from captioner.text import tokenise
from captioner.training import Interrupted, features, state, train
from captioner.training.callbacks import Interrupt, Watch
from captioner.training.loop import Callback, Trainer
from tests.captioning import (
    COPY,
    FROZEN,
    KEPT,
    KINDS,
    LEARNER,
    SIZE,
    TUNED,
    recipe,
    small_trainer,
    source,
    taught,
)
from tests.captioning import photos as photos
from tests.captioning import teacher as teacher
from tests.captioning import uninterrupted as uninterrupted
from tests.captioning import world as world
from tests.runs import Recorder, equal_runs, log, logged, logged_steps
from tests.runs import no_fsync as no_fsync


def one_caption_each(world: Path, path: Path, captions: list[str]) -> dict[str, str]:
    document = json.loads((world / "captions_train.json").read_text())
    document["annotations"] = [
        {"id": i, "image_id": image["id"], "caption": caption}
        for i, (image, caption) in enumerate(zip(document["images"], captions, strict=True))
    ]
    path.write_text(json.dumps(document))
    return {"captions": str(path), "images": str(world / "images")}


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


def test_cached_grids_train_like_pictures(
    world: Path, photos: list[datasets.Photo], tmp_path: Path
) -> None:
    """What a frozen CNN makes of a picture is the same from the cache, within float16."""
    losses = []
    for cache in (True, False):
        recorder = Recorder()
        wanted = recipe(world, Path("unused"), phases=[{**FROZEN, "cache_features": cache}])
        features = FeatureCache(Watch(tmp_path, False, Interrupt()))
        small_trainer(wanted, photos, features, recorder).fit()
        losses.append([found["loss"] for found in recorder.losses])
    assert len(losses[0]) == 6
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)


def test_cached_grids_stay_as_long_as_they_are_wanted(
    world: Path, photos: list[datasets.Photo], tmp_path: Path
) -> None:
    wanted = recipe(world, Path("unused"), phases=[FROZEN, {**TUNED, "epochs": 1}])
    features = FeatureCache(Watch(tmp_path, False, Interrupt()))
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

    class Rates(Callback):
        def on_step(self, trainer: Trainer, losses: dict[str, torch.Tensor]) -> None:
            seen.append([trainer.progress.position.phase, *(module.p for module in dropouts)])

    trainer.callbacks = [Rates()]
    trainer.fit()
    assert seen == [[0, 0.0, 0.0, 0.0]] * 2 + [[1, 0.2, 0.3, 0.4]] * 3


def test_bfloat16_trains(world: Path, photos: list[datasets.Photo]) -> None:
    recorder = Recorder()
    settings = {"precision": "bfloat16", "weight_average": 0.0}
    wanted = recipe(world, Path("unused"), phases=[{**TUNED, "epochs": 1}], training=settings)
    small_trainer(wanted, photos, recorder).fit()
    assert all(math.isfinite(found["loss"]) for found in recorder.losses)
    assert all(np.isfinite(value).all() for value in recorder.weights[-1].values())


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
