from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from captioner import checkpoint as checkpoints
from captioner.captions.checkpoint import Checkpoint
from captioner.cli import main
from captioner.errors import ConfigError
from captioner.export import FILES, export
from captioner.nn.architecture import ModelConfig
from captioner.nn.model import build_model
from captioner.pictures.preprocess import Preprocess
from captioner.runtimes.choice import Torch
from captioner.settings import from_dict
from captioner.text import BOS, Vocabulary
from tests.conftest import WORDS

SIDE = 64
PHOTOS, SENTENCES = 3, 2  # neither of them as many as it was exported with


def _checkpoint(decoder: dict[str, object]) -> Checkpoint:
    tables = {
        "encoder": {
            "name": "resnet18",
            "image_size": SIDE,
            "feature_size": 12,
            "weights": "random",
            "stride": 16,
            "lateral": True,
        },
        "attention": {"score": "general", "query": "after", "input_feeding": True},
        "decoder": {"hidden_size": 10, "embedding_size": 8, **decoder},
    }
    if decoder:
        tables["attention"] = {}
    torch.manual_seed(9)
    config = from_dict(ModelConfig, tables)
    model = build_model(config, len(Vocabulary(WORDS))).eval()
    return Checkpoint(model, config, Vocabulary(WORDS), Preprocess(SIDE))


def test_what_is_exported_computes_the_same(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime")
    pytest.importorskip("onnxscript", reason="pip install 'captioner[onnx]'")
    checkpoint = _checkpoint({})
    export(checkpoint, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    about = json.loads((tmp_path / "captioner.json").read_text())
    assert about["size"] == SIDE
    assert about["grid"] == [4, 4]
    assert about["vocabulary"] == list(checkpoint.vocabulary.words)
    encoder, step = (runtime.InferenceSession(str(tmp_path / name)) for name in FILES[:2])
    photos = torch.randint(0, 256, (PHOTOS, 3, SIDE, SIDE), dtype=torch.uint8)
    names = [output.name for output in encoder.get_outputs()]
    parts = dict(zip(names, encoder.run(None, {"photos": photos.numpy()}), strict=True))
    assert set(parts) == {*about["memory"], *about["state"]}

    decoder = checkpoint.model.decoder
    with torch.inference_mode():
        memory, state = decoder.start(Torch(checkpoint.model, checkpoint.preprocess).encode(photos))
        assert np.abs(parts["values"] - memory.values.numpy()).max() < 1e-4
        state = state.select(torch.zeros(PHOTOS, SENTENCES, dtype=torch.long))
        tokens = torch.tensor([[BOS, BOS], [4, 5], [9, 7]])
        given = {name: np.repeat(parts[name], SENTENCES, 1) for name in about["state"]}
        for _ in range(2):  # the state goes round
            expected = decoder.step(tokens, state, memory)
            inputs = {**{name: parts[name] for name in about["memory"]}, **given}
            outputs = [output.name for output in step.get_outputs()]
            asked = {"tokens": tokens.numpy(), **inputs}
            found = dict(zip(outputs, step.run(None, asked), strict=True))
            np.testing.assert_allclose(found["logits"], expected.logits, atol=1e-4)
            np.testing.assert_allclose(found["weights"], expected.attended.weights, atol=1e-5)
            given = {name: found[f"next_{name}"] for name in about["state"]}
            state = expected.state


def test_what_cannot_be_exported_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = _checkpoint({"kind": "transformer", "heads": 2, "layers": 1})
    with pytest.raises(ConfigError, match=r"^only recurrent decoders are exported"):
        export(checkpoint, tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / FILES[1]).write_text("somebody's")
    assert main(["export", "--onnx", str(tmp_path)]) == 2
    assert "step.onnx is there already; choose another --onnx" in capsys.readouterr().err
    file = tmp_path / FILES[1]
    weights = tmp_path / "tiny.safetensors"
    checkpoints.save(dataclasses.replace(_checkpoint({})), weights, torch.float32)
    command = ["export", "--checkpoint", str(weights), "--onnx", str(file / "below")]
    assert main(command) == 2
    assert "no folder can be made there" in capsys.readouterr().err
    assert file.read_text() == "somebody's"
