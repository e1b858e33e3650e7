from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from captioner import checkpoint as checkpoints
from captioner.checkpoint import Checkpoint
from captioner.cli import main
from captioner.confidence import Confidence, Regression


def test_describe(weights: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", weights]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert weights in out
    assert "mobilenet_v2, stride 32: 64 × 64 pixels become 2 × 2 cells of 24 features" in out
    assert "vocabulary 12 words and 4 special tokens" in out
    assert "decoding beam 3, length penalty 0.7, at most 9 words" in out
    assert "licence for tests" in out
    assert main(["describe", weights, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values == json.loads(json.dumps(checkpoints.describe(weights)))


def test_describe_takes_the_flag_of_other_commands(
    weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["describe", weights]) == 0
    plain = capsys.readouterr().out
    assert main(["describe", "--checkpoint", weights]) == 0
    assert capsys.readouterr().out == plain
    assert main(["describe", "other.safetensors", "--checkpoint", weights]) == 2
    told = f"describe shows one checkpoint, but other.safetensors and {weights} are named; leave"
    assert told in capsys.readouterr().err
    assert main(["describe", ""]) == 2
    assert "the checkpoint's path is empty" in capsys.readouterr().err


def test_describe_the_shipped_weights(
    weights: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkpoints, "default_path", lambda: Path(weights))
    assert main(["describe"]) == 0
    assert weights in capsys.readouterr().out


def test_describe_tells_whether_damage_would_be_noticed(
    tiny_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tiny.safetensors"
    search = dataclasses.replace(tiny_checkpoint.search, repeats=False)
    checkpoints.save(dataclasses.replace(tiny_checkpoint, search=search), path)
    assert main(["describe", str(path)]) == 0
    out = capsys.readouterr().out
    assert "checksum" not in out
    assert "no content word twice" in " ".join(out.split())
    with safe_open(path, framework="pt") as file:
        metadata = {k: v for k, v in file.metadata().items() if k != "sha256"}
    save_file(load_file(path), path, metadata)
    assert main(["describe", str(path)]) == 0
    assert "none: written before files had one" in capsys.readouterr().out


def test_describe_tells_how_sure_captions_are(
    tiny_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sure = Confidence(
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
    path = tmp_path / "sure.safetensors"
    checkpoints.save(dataclasses.replace(tiny_checkpoint, confidence=sure), path)
    assert main(["describe", str(path)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "expected calibration error 0.062 on 97 photos, each left out of the fit" in told
    assert "Below 25.0 % a caption is unsure, as 3.1 % of them were and 98.4 % of 24" in told
    assert "(val/captions.json; beam 3)" in told
