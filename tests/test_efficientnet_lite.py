from __future__ import annotations

import torch
from torch import nn
from torchvision.ops import SqueezeExcitation

from captioner.nn.efficientnet_lite import efficientnet_lite2


def test_the_published_size() -> None:
    """6.1 million parameters with the classifier (the TPU models' table), 4.8 without."""
    with torch.device("meta"):
        model = efficientnet_lite2()
    parts = [sum(p.numel() for p in part.parameters()) for part in (model, model.features)]
    assert parts == [6_092_072, 4_811_072]


def test_stages_halve_and_widen_as_published() -> None:
    features = efficientnet_lite2().eval().features
    found, x = [], torch.zeros(1, 3, 64, 96)
    with torch.no_grad():
        for child in features:
            x = child(x)
            found.append(tuple(x.shape[1:]))
    channels = (32, 16, 24, 48, 88, 120, 208, 352, 1280)
    halvings = (1, 1, 2, 3, 4, 4, 5, 5, 5)
    assert found == [
        (width, 64 >> halved, 96 >> halved)
        for width, halved in zip(channels, halvings, strict=True)
    ]


def test_light_parts_only() -> None:
    with torch.device("meta"):
        modules = list(efficientnet_lite2().modules())
    assert not [m for m in modules if isinstance(m, (nn.SiLU, nn.Sigmoid, SqueezeExcitation))]
    norms = [m for m in modules if isinstance(m, nn.BatchNorm2d)]
    assert {norm.eps for norm in norms} == {1e-3}
    assert sum(isinstance(m, nn.ReLU6) for m in modules) == 43  # stem, head, 1 + 2 · 20 in blocks


def test_names_are_torchvisions_with_a_gap_where_the_squeeze_was() -> None:
    with torch.device("meta"):
        names = set(efficientnet_lite2().state_dict())
    assert "features.0.0.weight" in names
    assert "features.1.0.block.0.0.weight" in names  # the first stage does not expand
    assert "features.1.0.block.2.0.weight" in names
    assert not [name for name in names if name.startswith("features.1.0.block.1.")]
    assert "features.2.0.block.3.1.running_var" in names
    assert "classifier.1.weight" in names
