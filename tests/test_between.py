"""benchmarks/between.py: a checkpoint between two others."""

from __future__ import annotations

import copy
import dataclasses
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import between
from captioner import storage
from captioner.captions.checkpoint import Checkpoint, build_model
from captioner.errors import CheckpointError
from captioner.text import Vocabulary


@pytest.fixture(scope="module")
def other(tiny_checkpoint: Checkpoint) -> Checkpoint:
    """Another captioner of the same shape, whose words stand otherwise, with one more."""
    words = [*tiny_checkpoint.vocabulary.ordinary[::-1], "zeppelin"]
    torch.manual_seed(6)
    vocabulary = Vocabulary(words)
    model = build_model(tiny_checkpoint.config, len(vocabulary)).eval()
    return dataclasses.replace(tiny_checkpoint, model=model, vocabulary=vocabulary)


def rows(checkpoint: Checkpoint, name: str) -> dict[str, torch.Tensor]:
    value = checkpoint.model.state_dict()[name]
    return dict(zip(checkpoint.vocabulary.words, value, strict=True))


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_every_weight_lies_between(
    tiny_checkpoint: Checkpoint, other: Checkpoint, share: float
) -> None:
    before = copy.deepcopy(other.model.state_dict())
    found = between.between(tiny_checkpoint, other, share)
    one, two = tiny_checkpoint.model.state_dict(), other.model.state_dict()
    for name, value in found.model.state_dict().items():
        torch.testing.assert_close(two[name], before[name], msg="the second itself has changed")
        if name not in between.OF_WORDS and value.is_floating_point():
            torch.testing.assert_close(value, (1 - share) * one[name] + share * two[name])
    for name in between.OF_WORDS:
        first, second = rows(tiny_checkpoint, name), rows(other, name)
        for word, row in rows(found, name).items():
            own = first.get(word, second[word])  # what the first never learned stays the second's
            torch.testing.assert_close(row, (1 - share) * own + share * second[word])


def test_what_holds_for_one_of_the_two_is_not_kept(
    tiny_checkpoint: Checkpoint, other: Checkpoint
) -> None:
    found = between.between(tiny_checkpoint, other, 0.5)
    assert found.confidence is None
    assert "scores" not in found.provenance
    assert found.provenance["between"]["share"] == 0.5
    assert found.provenance["between"]["first"] == tiny_checkpoint.provenance


def test_other_models_are_refused(tiny_checkpoint: Checkpoint, other: Checkpoint) -> None:
    changed = dataclasses.replace(
        other.config, attention=dataclasses.replace(other.config.attention, size=12)
    )
    with pytest.raises(CheckpointError, match="different models; nothing lies between"):
        between.between(tiny_checkpoint, dataclasses.replace(other, config=changed), 0.5)


def test_the_file_between_captions(
    tiny_checkpoint: Checkpoint,
    other: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = [str(tmp_path / f"{name}.safetensors") for name in ("one", "two", "out")]
    for checkpoint, name in zip((tiny_checkpoint, other), names, strict=False):
        storage.save(checkpoint, name)
    monkeypatch.setattr(sys, "argv", ["between", *names[:2], "-o", names[2], "--share", "0.3"])
    between.main()
    wanted = between.between(tiny_checkpoint, other, 0.3).model.state_dict()
    for name, value in Checkpoint.load(names[2]).model.state_dict().items():
        torch.testing.assert_close(value, wanted[name], atol=2e-3, rtol=2e-3)  # float16
    with pytest.raises(SystemExit):  # an output is never written over
        between.main()
    assert f"{names[2]} is there already; name a new file" in capsys.readouterr().err
