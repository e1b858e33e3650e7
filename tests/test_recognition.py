from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from captioner.errors import CheckpointError, DataError
from captioner.nn.efficientnet_lite import efficientnet_lite2
from captioner.nn.recognition import load_recogniser, read_kinds
from captioner.recipes.photos import TeacherConfig

CLASSES = 1000


def network(name: str) -> nn.Module:
    """The whole of an ImageNet network, with weights and statistics of our own."""
    torch.manual_seed(11)
    lite = name == "efficientnet_lite2"
    model = efficientnet_lite2() if lite else torchvision.models.get_model(name)
    generator = torch.Generator().manual_seed(13)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


def files(model: nn.Module, folder: Path, layer: str) -> TeacherConfig:
    state = model.state_dict()
    save_file({k: v for k, v in state.items() if not k.startswith(layer)}, folder / "cnn.st")
    last = {f"classifier.{part}": state[f"{layer}.{part}"] for part in ("weight", "bias")}
    save_file(last, folder / "classifier.st")
    (folder / "words.json").write_text(json.dumps([f"thing{n}" for n in range(CLASSES)]))
    return TeacherConfig(*(str(folder / f) for f in ("cnn.st", "classifier.st", "words.json")))


def pictures() -> Tensor:
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize(
    ("name", "layer"),
    [("efficientnet_lite2", "classifier.1"), ("mobilenet_v2", "classifier.1"), ("resnet18", "fc")],
)
def test_it_answers_as_the_whole_network(name: str, layer: str, tmp_path: Path) -> None:
    model = network(name)
    recogniser = load_recogniser(name, files(model, tmp_path, layer))
    with torch.no_grad():
        expected = model(pictures())
    torch.testing.assert_close(recogniser(pictures()), expected, rtol=1e-4, atol=1e-4)
    assert not [p for p in recogniser.parameters() if p.requires_grad]


def test_imagenets_own_classifier_comes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network("resnet18")
    weights = torchvision.models.get_model_weights("resnet18")
    monkeypatch.setattr(weights, "get_state_dict", lambda self, **_: model.state_dict())
    recogniser = load_recogniser("resnet18", TeacherConfig("imagenet", "", "words.json"))
    with torch.no_grad():
        expected = model(pictures())
    torch.testing.assert_close(recogniser(pictures()), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("tensors", "telling"),
    [
        ({"classifier.weight": torch.zeros(10, 7)}, "no classifier can be read"),
        (
            {"classifier.weight": torch.zeros(10, 7), "classifier.bias": torch.zeros(10)},
            r"the classifier's weights are \(10, 7\) and its biases \(10,\); expected "
            r"\(classes, 512\)",
        ),
        (
            {"classifier.weight": torch.zeros(10, 512), "classifier.bias": torch.zeros(9)},
            r"its biases \(9,\)",
        ),
    ],
)
def test_a_classifier_that_does_not_fit(
    tensors: dict[str, Tensor], telling: str, tmp_path: Path
) -> None:
    teacher = files(network("resnet18"), tmp_path, "fc")
    save_file(tensors, tmp_path / "classifier.st")
    with pytest.raises(CheckpointError, match=telling):
        load_recogniser("resnet18", teacher)


def test_a_classifier_of_several_layers_has_no_single_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("captioner.nn.recognition.load_pretrained", lambda *_: None)
    with pytest.raises(CheckpointError, match="mobilenet_v3_large is more than one layer"):
        load_recogniser("mobilenet_v3_large", TeacherConfig("imagenet", "", "words.json"))


def test_words_for_the_classes(tmp_path: Path) -> None:
    path = tmp_path / "words.json"
    path.write_text(json.dumps(["fish", {"class": "tench", "word": "fish"}, {"word": "lion"}]))
    assert read_kinds(path, 3) == ("fish", "fish", "lion")


@pytest.mark.parametrize("document", [["fish"], ["fish", 3], ["fish", ""], [{}, "fish"], {}, 7])
def test_anything_else_is_no_list_of_words(document: Any, tmp_path: Path) -> None:
    path = tmp_path / "words.json"
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"words in \d entries; expected a list of 2"):
        read_kinds(path, 2)
    path.write_bytes(b"\xff[")
    with pytest.raises(DataError, match="no words can be read"):
        read_kinds(path, 2)
