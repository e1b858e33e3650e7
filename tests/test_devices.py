from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from captioner import checkpoint as checkpoints
from captioner import devices, training
from captioner.captions.recipe import Recipe
from captioner.checkpoint import Checkpoint, TranslationCheckpoint
from captioner.errors import ConfigError
from captioner.prediction import Captioner
from captioner.translation import Translator

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def _refused(name: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        devices.pick(name)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_cpu_is_there() -> None:
    assert devices.pick("cpu") == torch.device("cpu")
    assert devices.pick(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_is_the_best(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert devices.pick("auto") == torch.device(expected)


@pytest.mark.parametrize("name", ["nonsense", "", "cuda:", "cuda:-1", "CPU", "cpu cpu", "x" * 999])
def test_what_is_no_device(name: str) -> None:
    assert len(_refused(name)) < 200


@pytest.mark.parametrize("name", [None, 0, True, ["cpu"], b"cpu", 2.5])
def test_what_is_no_name(name: Any) -> None:
    assert _refused(name) == f"device is {name!r}; expected auto, cpu, cuda, cuda:1, … or mps"


def test_a_device_without_numbers() -> None:
    assert _refused("meta").startswith("device meta holds no numbers and computes nothing; expect")


@pytest.mark.parametrize("name", ["cuda:99", "xpu", "hpu", "vulkan", "xla", "privateuseone"])
def test_what_this_machine_lacks(name: str) -> None:
    message = _refused(name)
    assert message.startswith(f"device {name} cannot be used here (")
    assert message.endswith("); try cpu")


@without_gpu
@pytest.mark.parametrize("name", ["cuda", "meta", "nonsense", None])
def test_every_door_asks_the_same(
    name: Any,
    tiny_checkpoint: Checkpoint,
    tiny_translation: TranslationCheckpoint,
    tmp_path: Path,
) -> None:
    message = _refused(name)
    recipe = Recipe(output=str(tmp_path / "run"))
    for call in (
        lambda: Captioner(tiny_checkpoint, name),
        lambda: Captioner.load(device=name),
        lambda: Captioner.load(tmp_path / "none.safetensors", name),  # before the file is read
        lambda: Translator(tiny_translation, name),
        lambda: Translator.load(device=name),
        lambda: checkpoints.load(tmp_path / "none.safetensors", name),
        lambda: checkpoints.load_translation(tmp_path / "none.safetensors", name),
        lambda: training.train(recipe, device=name),
    ):
        with pytest.raises(ConfigError) as caught:
            call()
        assert str(caught.value) == message
    assert not (tmp_path / "run").exists()


def test_auto_loads(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    checkpoints.save(tiny_checkpoint, path)
    assert Captioner.load(path, "auto").device.type in ("cuda", "mps", "cpu")
