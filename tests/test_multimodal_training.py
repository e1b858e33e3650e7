"""Training with the photo in view: what the source leaves open, the photo tells."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from captioner import checkpoint
from captioner.errors import ConfigError, DataError
from captioner.multimodal.evaluation import MultimodalEvaluation
from captioner.multimodal.pairs import SeenReader, read_seen_pairs
from captioner.multimodal.training import read, start_checkpoint
from captioner.training import Interrupted, train
from captioner.translations.checkpoint import MultimodalCheckpoint
from captioner.translations.translator import Translator
from tests.runs import equal_runs
from tests.runs import no_fsync as no_fsync
from tests.seen import PAIRS, TIMES, recipe


@pytest.mark.parametrize("view", ["own", "wrong", "none"])
def test_the_photo_tells_what_the_sentence_leaves_open(
    view: str, seen_world: Path, seen_weights: Path
) -> None:
    wanted = recipe(seen_world, Path("unused"))
    pairs = read_seen_pairs(wanted.data.validation[0])
    translator = Translator.load(seen_weights)
    judged = MultimodalEvaluation(translator, pairs, view=view)
    report = judged.run(bootstrap=0)
    said = [answer.text for answer in report.answers]
    targets = [pair.target_text for pair in pairs]
    if view == "own":
        assert said == targets
    elif view == "wrong":  # each noun has two photos: the other's colour is said
        flipped = [t for a, b in zip(targets[::2], targets[1::2], strict=True) for t in (b, a)]
        assert said == flipped
    else:
        assert said[::2] == said[1::2]  # nothing tells them apart
        assert [answer.seen for answer in report.answers] == [None] * len(pairs)


def test_the_cnn_stays_as_it_came_and_all_else_learns(seen_world: Path, seen_weights: Path) -> None:
    wanted = recipe(seen_world, Path("unused"))
    torch.manual_seed(wanted.seed)
    before = start_checkpoint(wanted, read(wanted)).model.state_dict()
    after = checkpoint.load_any(seen_weights).model.state_dict()
    for name, value in before.items():
        same = torch.equal(value.half(), after[name].half())
        floating = value.is_floating_point() and value.numel() > 1
        if name.startswith("encoder.photo.features"):
            assert not floating or torch.allclose(value, after[name], atol=1e-2), name
            assert same or "running_" in name or not floating, name
        elif floating:
            assert not same, name


@pytest.mark.parametrize("combination", ["flat", "hierarchical"])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    combination: str, keyboard: Any, seen_world: Path, tmp_path: Path
) -> None:
    changes = {
        "phases": [{"epochs": 2, "r_drop": 0.5, "self_critical": 0.2, "samples": 2}],
        "training": {"batch_tokens": 2000, "save_steps": 1, "weight_average": 0.9},
    }
    wanted = recipe(seen_world, tmp_path / "whole", **changes)
    attention = dataclasses.replace(wanted.model.attention, combination=combination)
    wanted = dataclasses.replace(
        wanted, model=dataclasses.replace(wanted.model, attention=attention)
    )
    train(wanted)
    keyboard.moments.extend(["step 1", "after epoch 1"])
    parts = dataclasses.replace(wanted, output=str(tmp_path / "parts"))
    for resume in (False, True):
        with pytest.raises(Interrupted):
            train(parts, resume=resume)
        assert list((tmp_path / "parts" / "features").iterdir())  # nothing is seen twice
    train(parts, resume=True)
    assert equal_runs(tmp_path / "whole", tmp_path / "parts")
    assert not (tmp_path / "parts" / "features").exists()


def test_a_file_tells_what_is_in_it(seen_weights: Path) -> None:
    header = checkpoint.describe(seen_weights)
    assert header["task"] == "multimodal"
    assert header["config"]["attention"]["combination"] == "hierarchical"
    assert (header["provenance"]["pairs"], header["provenance"]["photos"]) == (
        len(PAIRS) * TIMES,
        2,
    )
    found = checkpoint.load_any(seen_weights)
    assert isinstance(found, MultimodalCheckpoint)
    assert found.preprocess.size == 32


def test_a_run_goes_on_from_weights_and_keeps_their_cnn(
    seen_world: Path, seen_weights: Path, tmp_path: Path
) -> None:
    changes = {"init": str(seen_weights), "phases": [{"epochs": 1, "learning_rate": 1e-5}]}
    best = train(recipe(seen_world, tmp_path / "on", **changes))
    before, after = (checkpoint.load_any(path).model for path in (seen_weights, best))
    for name, value in before.encoder.photo.features.state_dict().items():
        assert torch.equal(value, after.encoder.photo.features.state_dict()[name]), name


def test_batches_bring_each_pair_its_own_photo(seen_world: Path) -> None:
    """An unreadable one is marked, and its grid is zeros."""
    wanted = recipe(seen_world, Path("unused"))
    pairs = read_seen_pairs(wanted.data.validation[0])
    made = start_checkpoint(wanted, read(wanted))
    reader = SeenReader([pairs], made.subwords, batch_tokens=60, seed=1)
    reader.grids = np.stack([np.full((1, 1, 3), value, np.float16) for value in (1, np.nan)])
    assert [photo.path.name for photo in reader.photos] == ["red.png", "blue.png"]
    for batch in reader.read(0):
        for target, grid, there in zip(batch.targets, batch.grids, batch.there, strict=True):
            text, _ = made.subwords.decode([piece for piece in target.tolist() if piece > 3])
            red = "roter" in text
            assert bool(there) is red
            assert grid.unique().tolist() == [1 if red else 0]


def test_photos_that_do_not_belong_to_the_lines(seen_world: Path, tmp_path: Path) -> None:
    source = recipe(seen_world, Path("unused")).data.validation[0]
    names = tmp_path / "names.txt"
    for text, message in (
        ("red.png\n", r"names\.txt has 1 lines and .*val\.en 6: line n of one must name the pho"),
        ("red.png\n\n" + "red.png\n" * 4, r"names\.txt: line 2 names no photo"),
        ("gone.png\n" * 6, r"gone\.png: no such photo, which .*names\.txt names first; is the ima"),
    ):
        names.write_text(text)
        with pytest.raises(DataError, match=message):
            read_seen_pairs(dataclasses.replace(source, photos=str(names)))


MODEL = {"photo": {"feature_size": 16}, "encoder": {"hidden_size": 8}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data": {"train": [{"source": "a", "target": "b", "languages": ["en", "de"]}]}},
            r"photos is '' and images ''; a source of task multimodal needs both: .*\"translate\"",
        ),
        (
            {"model": {**MODEL, "photo": {"feature_size": 24}}},
            r"photo\.feature_size is 24, but a word of the sentence has 16 features .* make them e",
        ),
        (
            {"model": {**MODEL, "photo": {"feature_size": 16, "classes": 3}}},
            r"photo\.classes is 3, but nothing asks what is on the photo; set it to 0",
        ),
        (
            {"model": {**MODEL, "attention": {"score": "none", "input_feeding": False}}},
            r"attention\.combination weighs .* attention\.score is none; choose another score",
        ),
        (
            {"model": {**MODEL, "attention": {"kind": "hard"}}},
            r"attention has kind hard and coverage false; .* soft attention alone: set kind",
        ),
        (
            {"model": {**MODEL, "attention": {"combination": "both"}}},
            r"model\.attention\.combination is 'both'; expected one of hierarchical, flat",
        ),
        (
            {
                "model": {
                    **MODEL,
                    "attention": {"input_feeding": False},
                    "decoder": {"kind": "transformer", "hidden_size": 16},
                }
            },
            r"decoder\.kind is transformer, but attention\.combination is defined for a recurrent",
        ),
        (
            {"phases": [{"attention_supervision": 0.5}]},
            r"phases\.0\.attention_supervision is 0\.5, but links between words say nothing of wh",
        ),
    ],
)
def test_recipes_that_cannot_be(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe(tmp_path, tmp_path, **changes)
