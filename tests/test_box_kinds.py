"""data/box_kinds.py: a classifier's answers, cell by cell, become boxes of what captions name."""

from __future__ import annotations

import copy
import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from captioner import boxes, scenes, storage
from captioner.checkpoint import Checkpoint
from captioner.prediction import Captioner

DATA = Path(__file__).resolve().parents[1] / "data"
sys.path.insert(0, str(DATA))

import box_kinds  # noqa: E402
from box_kinds import AGREE, SURE, Seeing, boxed, main, merged  # noqa: E402

KINDS = ("circle", "square", "circle", "moon")


@pytest.fixture(scope="module")
def seeing(tiny_checkpoint: Checkpoint) -> Checkpoint:
    """A captioner whose encoder tells four kinds apart, two of them by one word."""
    torch.manual_seed(4)
    model = copy.deepcopy(tiny_checkpoint.model)
    model.encoder.classifier = nn.Linear(model.encoder.project.in_features, len(KINDS))
    encoder = dataclasses.replace(tiny_checkpoint.config.encoder, classes=len(KINDS))
    config = dataclasses.replace(tiny_checkpoint.config, encoder=encoder)
    return dataclasses.replace(tiny_checkpoint, model=model, config=config, kinds=KINDS)


def test_boxes_go_round_cells_that_touch() -> None:
    probs = np.zeros((4, 8), np.float32)
    probs[1, 1], probs[2, 1], probs[2, 2] = 0.9, 0.31, 0.4  # one thing
    probs[0, 7] = 0.5  # another
    probs[3, 3] = 0.305  # touches the first at a corner only
    probs[3, 5] = 0.29  # less than a third of the surest cell's
    assert AGREE * 0.9 > 0.29
    assert boxed(probs) == [
        (1 / 8, 1 / 4, 2 / 8, 2 / 4),
        (3 / 8, 3 / 4, 1 / 8, 1 / 4),
        (7 / 8, 0.0, 1 / 8, 1 / 4),
    ]


def test_who_is_not_sure_boxes_nothing() -> None:
    assert boxed(np.full((3, 3), SURE - 0.01, np.float32)) == []
    assert boxed(np.full((3, 3), SURE, np.float32)) == [(0.0, 0.0, 1.0, 1.0)]
    probs = np.zeros((1, 5), np.float32)
    probs[0, [0, 2]] = 0.6, 0.25  # agrees, and is not sure itself
    assert boxed(probs) == [(0.0, 0.0, 1 / 5, 1.0)]


def test_drawn_boxes_win() -> None:
    drawn, made = [(0.1, 0.1, 0.2, 0.2)], [(0.0, 0.0, 1.0, 1.0)]
    assert merged({"dog": made, "cat": made}, {"dog": drawn}) == {"dog": drawn, "cat": made}


def test_every_cell_is_asked(seeing: Checkpoint) -> None:
    """Without a graph the same: a cell's features through the classifier, kinds of a word added."""
    captioner = Captioner(seeing)
    side = box_kinds.ENLARGED * captioner.preprocess.size
    pixels = np.random.default_rng(1).integers(0, 256, (2, 3, side, side), np.uint8)
    asked = Seeing(captioner, 1)
    probs = asked(pixels)
    assert asked.words == ["circle", "moon", "square"]
    assert probs.shape[:2] == (2, 3)
    assert np.allclose(probs.sum(1), 1, atol=1e-4)
    shift, scale = (
        np.reshape(np.array(values, np.float32) * 255, (3, 1, 1))
        for values in (captioner.preprocess.mean, captioner.preprocess.std)
    )
    encoder = captioner.model.encoder
    assert encoder.classifier is not None
    with torch.no_grad():
        maps = encoder.features(torch.from_numpy((pixels - shift) / scale))
        each = encoder.classifier(maps.permute(0, 2, 3, 1)).softmax(-1).numpy()
    expected = np.stack([each[..., 0] + each[..., 2], each[..., 3], each[..., 1]], 1)
    assert np.allclose(probs, expected, atol=0.03)  # of half precision, where the CPU has it


def test_a_file_for_training(
    tmp_path: Path, seeing: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes.write(tmp_path, train=0, val=6, size=(64, 64))
    captions, images = tmp_path / "captions_val.json", tmp_path / "images"
    next(images.iterdir()).unlink()
    checkpoint, output = tmp_path / "seeing.safetensors", tmp_path / "new" / "kinds.json"
    storage.save(seeing, checkpoint)
    arguments = [str(captions), str(images), "-o", str(output), "--checkpoint", str(checkpoint)]
    assert main([*arguments, "--also", str(tmp_path / "instances_val.json")]) == 0
    said = capsys.readouterr()
    assert "kinds on 5 of 6 photos" in said.out
    assert "no such file" in said.err
    found, drawn = boxes.read(output), boxes.read(tmp_path / "instances_val.json")
    assert len(found) == 5
    for name, things in found.items():
        assert set(drawn[name]) <= set(things)
        for kind, several in drawn[name].items():
            assert np.allclose(sorted(several), sorted(things[kind]), atol=1e-2)


def test_without_a_classifier(
    tmp_path: Path, tiny_checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes.write(tmp_path, train=0, val=1, size=(64, 64))
    checkpoint = tmp_path / "tiny.safetensors"
    storage.save(tiny_checkpoint, checkpoint)
    captions, output = tmp_path / "captions_val.json", tmp_path / "kinds.json"
    arguments = [str(captions), str(tmp_path / "images"), "-o", str(output)]
    assert main([*arguments, "--checkpoint", str(checkpoint)]) == 2
    assert capsys.readouterr().err == (
        "box_kinds.py: the checkpoint has no classifier with words for its kinds\n"
    )
    assert not output.exists()
