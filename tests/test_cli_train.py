from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from captioner import checkpoint as checkpoints
from captioner import training
from captioner.captions.recipe import Recipe
from captioner.cli import main
from captioner.options import SearchOptions
from captioner.settings import from_dict
from tests.commands import contents_of

TINY_MODEL = [
    "--model.encoder.image_size=64",
    "--model.encoder.feature_size=24",
    "--model.encoder.weights=random",
    "--model.attention.size=24",
    "--model.decoder.hidden_size=24",
    "--model.decoder.embedding_size",
    "24",
]


def test_train_from_the_recipe_to_the_next_command(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("recipe.toml").write_text(
        """
output = "somewhere"
seed = 3
[data]
min_count = 1
[[data.train]]
captions = "captions_val.json"
images = "images"
[[data.validation]]
captions = "captions_val.json"
images = "images"
[[phases]]
epochs = 9
"""
    )
    flags = ["--output", "runs/mine", "--phases.0.epochs", "1", "--training.batch-size=4"]
    arguments = ["train", *flags, "recipe.toml", "--device", "cpu", *TINY_MODEL]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "training on cpu; everything goes to runs/mine/" in out
    assert "best checkpoint: runs/mine/best.safetensors" in out
    assert "scores on validation:\n  bleu_1 " in out
    assert "captioner caption --checkpoint runs/mine/best.safetensors" in out
    header = checkpoints.describe("runs/mine/best.safetensors")
    recipe = header["provenance"]["recipe"]
    assert recipe["search"]["alternatives"] == 0  # in validation, and only there
    assert header["search"]["alternatives"] == SearchOptions.alternatives
    assert recipe["seed"] == 3
    assert recipe["phases"][0]["epochs"] == 1
    assert recipe["training"]["batch_size"] == 4
    assert main(arguments) == 2
    assert "runs/mine holds a run already; go on with --resume" in capsys.readouterr().err
    assert main(["describe", "runs/mine/best.safetensors"]) == 0
    described = " ".join(capsys.readouterr().out.split())
    assert "trained on 7 photos with 35 captions: captions_val.json" in described
    assert "epochs one phase 1; best on validation" in described


def test_training_needs_data(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--device", "cpu"]) == 2
    assert "the recipe names no training data; write [[data.train]]" in capsys.readouterr().err


def test_an_interrupted_training_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[str, Any] = {}

    def train(recipe: Recipe, **settings: Any) -> Path:
        seen.update(settings, recipe=recipe)
        raise training.Interrupted("stopped and saved in runs/x; go on with --resume")

    monkeypatch.setattr(training, "train", train)
    assert main(["train", "--resume", "--device", "cpu", "--output=runs/x"]) == 130
    err = capsys.readouterr().err
    assert err == "captioner: stopped and saved in runs/x; go on with --resume\n"
    recipe = Recipe(output="runs/x")
    assert seen == {"resume": True, "device": "cpu", "show": False, "recipe": recipe}


def test_a_dry_run_tells_what_would_be_done_and_writes_nothing(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents_of(data)
    source = ["--data.min_count=1", "--data.train.0.captions", "captions_val.json"]
    source += ["--data.train.0.images=images", "--data.validation_share", "0.29"]
    phases = ["--phases.0.epochs=3", "--phases.1.epochs=1", "--phases.1.batch_size=4"]
    arguments = [*source, *phases, "--training.batch_size", "2", "--output", "runs/dry"]
    assert main(["train", "--device", "cpu", "--dry-run", *arguments, *TINY_MODEL]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert contents_of(data) == before
    assert not Path("runs").exists()
    assert plan["data"] == {"photos": 6, "captions": 30}
    assert [phase["steps_per_epoch"] for phase in plan["phases"]] == [3, 2]
    assert [phase["epochs"] for phase in plan["phases"]] == [3, 1]
    assert 0 < plan["phases"][0]["parameters_that_learn"] < plan["parameters"]
    recipe = from_dict(Recipe, plan["recipe"])  # whole, and read as any other
    assert recipe.training.batch_size == 2
    assert recipe.model.decoder.hidden_size == 24
    assert main(["train", "--dry-run", "--resume", "--device", "cpu"]) == 2
    assert "leave one out" in capsys.readouterr().err
