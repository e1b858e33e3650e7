from __future__ import annotations

from functools import partial

import torch
from torch import nn
from torchvision.models.efficientnet import EfficientNet, MBConvConfig
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


def test_it_is_torchvisions_without_what_small_devices_dread() -> None:
    """An oracle: torchvision's own EfficientNet, its squeezes taken out and its SiLU replaced."""
    stages = (
        (1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 3), (6, 5, 2, 24, 48, 3), (6, 3, 2, 48, 88, 4),
        (6, 5, 1, 88, 120, 4), (6, 5, 2, 120, 208, 5), (6, 3, 1, 208, 352, 1),
    )  # fmt: skip
    norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
    settings = [MBConvConfig(*stage) for stage in stages]
    theirs = EfficientNet(settings, 0.3, 0.0, norm_layer=norm, last_channel=1280)
    lighten(theirs)
    torch.manual_seed(1)
    ours = efficientnet_lite2()
    with torch.no_grad():
        for name, values in ours.state_dict().items():
            if name.endswith("running_mean"):
                values.normal_(0, 0.1)
    theirs.load_state_dict(ours.state_dict())
    photos = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        assert torch.allclose(ours.eval()(photos), theirs.eval()(photos), atol=1e-5)
    assert str(ours.features[0]).count("inplace=True") == 1  # in training, too, as little memory


def lighten(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, SqueezeExcitation):
            setattr(module, name, nn.Identity())
        elif isinstance(child, nn.SiLU):
            setattr(module, name, nn.ReLU6(inplace=True))
        else:
            lighten(child)
