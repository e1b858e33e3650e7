"""What a captioner's file holds, and what contradicts it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from captioner import checkpoint as checkpoints
from captioner.checkpoint import Checkpoint
from captioner.confidence import Confidence, Regression
from captioner.errors import CheckpointError
from captioner.options import SearchOptions
from captioner.prediction import Captioner
from tests.stored import Change, altered, drop, photo, put, refused
from tests.stored import saved as saved
from tests.stored import tied as tied


def test_the_captions_stay_the_same(tied: Checkpoint, tmp_path: Path) -> None:
    checkpoints.save(tied, tmp_path / "exact.safetensors", torch.float32)
    before = Captioner(tied)(photo())
    exact = Captioner.load(tmp_path / "exact.safetensors")(photo())
    assert exact.text == before.text
    assert exact.log_prob == before.log_prob
    assert np.array_equal(exact.maps, before.maps)


SURE = Confidence(
    Regression(0.5, {"mean_log_prob": 1.5}),
    Regression(-0.25, {"mean_log_prob": 0.1, "lowest_log_prob": 1 / 3}),
    threshold=0.25,
    ece=0.0625,
    photos=97,
    unsure_photos=0.03125,
    empties=24,
    unsure_empties=0.984375,
    fitted="val/captions.json; beam 3",
)


def test_confidence_is_kept_and_the_rest_stays_bit_by_bit(tied: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    checkpoints.save(tied, path)
    header, stored = checkpoints.describe(path), load_file(path)
    assert "confidence" not in header
    assert checkpoints.load(path).confidence is None
    checkpoints.save_confidence(path, checkpoints.load(path), SURE)
    after, weights = checkpoints.describe(path), load_file(path)
    expected = {**header, "confidence": SURE.to_dict()}
    counted = {"bytes": 0, "sha256": ""}
    assert {**after, **counted} == {**expected, **counted}
    assert weights.keys() == stored.keys()
    assert all(torch.equal(weights[name], stored[name]) for name in stored)
    loaded = checkpoints.load(path)
    assert loaded.confidence == SURE
    checkpoints.save(loaded, tmp_path / "again.safetensors")
    assert checkpoints.load(tmp_path / "again.safetensors").confidence == SURE
    checkpoints.save_scores(path, loaded, "test", {}, SearchOptions())
    assert checkpoints.load(path).confidence == SURE


def test_confidence_of_another_checkpoint_is_refused(tied: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    checkpoints.save(dataclasses.replace(tied, provenance={"epoch": 5}), path)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="changed since it was loaded; calibrate what it hol"):
        checkpoints.save_confidence(path, tied, SURE)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "the confidence is None; expected a table of shows, names"),
        ({**SURE.to_dict(), "ece": float("nan")}, "ece is nan; expected a number from 0 to 1"),
        ({**SURE.to_dict(), "threshold": 2}, "threshold is 2; expected a number from 0 to 1"),
        (
            {**SURE.to_dict(), "shows": {"bias": 0, "weights": {"kind_entropy": 1}}},
            "this model's captions have mean_log_prob, lowest_log_prob",
        ),
    ],
)
def test_a_confidence_that_no_caption_can_have_is_refused(
    value: Any, reason: str, saved: Path, tmp_path: Path
) -> None:
    path = altered(saved, tmp_path / "model.safetensors", put("confidence", value))
    refused(path, f"contradicts itself .*{reason}.*; get an undamaged copy")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("format", 2), r"format 2 is newer than this captioner reads \(1\); upgrade captioner"),
        (put("format", "one"), "format 'one' is newer"),
        (put("format", "a\nb"), r"format 'a\\nb' is newer"),
        (put("task", "x" * 5000), r"a checkpoint for 'x{58}…; expected one for 'caption'"),
        (put("task", "translation"), "a checkpoint for 'translation'; expected one for 'caption'"),
        (drop("task"), "a checkpoint for None"),
        (put("config", b"{broken"), "the metadata are no JSON"),
        (put("provenance", b"9" * 5000), "the metadata are no JSON"),
        (put("provenance", b"[" * 100_000), "the metadata are no JSON"),
        (drop("vocabulary"), "the metadata lack vocabulary"),
        (lambda h, t: [h.pop("config"), h.pop("search")], "the metadata lack config, search"),
    ],
)
def test_metadata_that_no_reader_takes(
    change: Change, message: str, saved: Path, tmp_path: Path
) -> None:
    refused(altered(saved, tmp_path / "model.safetensors", change), message)


def reshape(name: str, *shape: int) -> Change:
    return lambda header, tensors: tensors.update({name: torch.zeros(shape)})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (put("config.encoder.name", "alexnet"), "encoder.name is 'alexnet'"),
        (put("config.encoder.size", 3), "encoder.size is no setting"),
        (put("config", [1, 2]), "expected a table"),
        (put("config.decoder.hidden_size", 31), "size mismatch"),
        (put("config.encoder.name", "resnet18"), "Missing key"),
        (put("search.beam_size", 0), "beam_size is 0"),
        (put("preprocess.std", [0, 0, 0]), "std"),
        (put("preprocess", {}), "preprocess"),
        (put("vocabulary", ["<pad>", "<bos>", "<eos>", "<unk>", "a", "a"]), "lists 'a' twice"),
        (put("vocabulary", ["a", "dog"]), "does not start with <pad>, <bos>, <eos>, <unk>"),
        (put("vocabulary", ["<pad>", "<bos>", "<eos>", "<unk>", 5, 6, 7]), "is no list of words"),
        (put("vocabulary", ["<pad>", "<bos>", "<eos>", "<unk>", "too", "few"]), "size mismatch"),
        (put("vocabulary", 7), "is no list of words"),
        (put("vocabulary", {}), "is no list of words"),
        (lambda h, t: t.pop("decoder.from_hidden.bias"), "Missing key.*from_hidden.bias"),
        (lambda h, t: t.pop("decoder.embedding.weight"), "decoder.embedding.weight"),
        (reshape("decoder.surplus", 3), "Unexpected key.*surplus"),
        (reshape("decoder.output.bias", 3), "size mismatch for decoder.output.bias"),
        (
            lambda h, t: t.update({"decoder.output.bias": torch.zeros(11, dtype=torch.int64)}),
            "floating point",
        ),
    ],
)
def test_checkpoints_that_contradict_themselves(
    change: Change, reason: str, saved: Path, tmp_path: Path
) -> None:
    path = altered(saved, tmp_path / "model.safetensors", change)
    with pytest.raises(
        CheckpointError, match=r"contradicts itself .*get an undamaged copy"
    ) as caught:
        checkpoints.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None
    assert caught.match(reason)
