"""What an ImageNet network knows before it learns to caption: the kinds of things on a photo."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from captioner.errors import CheckpointError, DataError
from captioner.nn.encoders import BACKBONES, build_features, fold_batch_norm, load_pretrained
from captioner.recipes.photos import TeacherConfig


class Recogniser(nn.Module):
    """A CNN with its own classifier over the mean of its last grid; it only answers."""

    def __init__(self, features: nn.Sequential, classifier: nn.Linear) -> None:
        super().__init__()
        self.features = fold_batch_norm(features)
        self.classifier = classifier.requires_grad_(False)

    @torch.no_grad()
    def forward(self, photos: Tensor) -> Tensor:
        """Logits (B, classes) of normalised photos (B, 3, S, S)."""
        grid = self.features(photos.contiguous(memory_format=torch.channels_last))  # (B, C, h, w)
        each: Tensor = self.classifier(grid.mean((2, 3)))
        return each


def load_recogniser(name: str, teacher: TeacherConfig) -> Recogniser:
    """The untouched network of the backbone `name`.

    Raises:
        CheckpointError: a file is missing or does not fit, the ImageNet weights cannot be fetched,
            or the backbone's classifier is more than one layer.
    """
    features = build_features(name, stride=32)
    load_pretrained(features, name, teacher.features)
    weight, bias = _classifier(name, teacher)
    channels = BACKBONES[name].channels
    if weight.ndim != 2 or weight.shape[1] != channels or bias.shape != weight.shape[:1]:
        raise CheckpointError(
            f"{teacher.classifier or teacher.features}: the classifier's weights are "
            f"{tuple(weight.shape)} and its biases {tuple(bias.shape)}; expected (classes, "
            f"{channels}) and (classes,) for {name}"
        )
    classifier = nn.Linear(channels, len(weight))
    with torch.no_grad():
        classifier.weight.copy_(weight)
        classifier.bias.copy_(bias)
    return Recogniser(features, classifier)


def _classifier(name: str, teacher: TeacherConfig) -> tuple[Tensor, Tensor]:
    if teacher.classifier:
        path = Path(teacher.classifier)
        try:
            state = load_file(path)
            return state["classifier.weight"], state["classifier.bias"]
        except (OSError, SafetensorError, KeyError) as error:
            raise CheckpointError(
                f"{path}: no classifier can be read ({error}); expected a safetensors file with "
                "classifier.weight and classifier.bias"
            ) from error
    layer = BACKBONES[name].classifier
    if not layer:
        raise CheckpointError(
            f"the classifier of {name} is more than one layer over the mean of its grid; name a "
            "classifier's file, or choose another encoder"
        )
    import torchvision  # takes a second, and most captions need none of it

    weights = torchvision.models.get_model_weights(name).DEFAULT
    state = weights.get_state_dict(check_hash=True, weights_only=True)
    return state[f"{layer}.weight"], state[f"{layer}.bias"]


def read_kinds(path: str | Path, classes: int) -> tuple[str, ...]:
    """The everyday word of each class, from a JSON list of words or of objects with `word`.

    Raises:
        DataError: it is no such list, or not of that many classes.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: no words can be read ({error}); expected a JSON list") from error
    entries = document if isinstance(document, list) else []
    words = [entry.get("word") if isinstance(entry, dict) else entry for entry in entries]
    kinds = tuple(word for word in words if isinstance(word, str) and word)
    if len(kinds) != classes or len(entries) != classes:
        raise DataError(
            f"{path}: {len(kinds)} words in {len(entries)} entries; expected a list of {classes}, "
            "one for each class: words, or objects with `word`"
        )
    return kinds
