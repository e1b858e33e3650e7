"""EfficientNet-Lite2, which torchvision lacks: its EfficientNet without what small devices dread.

Tan & Le 2019 (EfficientNet), in the "Lite" form of the TensorFlow TPU models: no
squeeze-and-excitation, ReLU6 instead of SiLU, stem and head not widened. Width 1.1, depth 1.2,
77.5 % of ImageNet at the first guess. Parameter names are torchvision's: an identity keeps the
place of the squeeze-and-excitation in each block.
"""

from __future__ import annotations

from functools import partial

from torch import nn
from torchvision.models.efficientnet import EfficientNet, MBConvConfig
from torchvision.ops import SqueezeExcitation

_STAGES = (  # expansion, kernel, stride, channels in and out, layers
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 3),
    (6, 5, 2, 24, 48, 3),
    (6, 3, 2, 48, 88, 4),
    (6, 5, 1, 88, 120, 4),
    (6, 5, 2, 120, 208, 5),
    (6, 3, 1, 208, 352, 1),
)


def efficientnet_lite2() -> EfficientNet:
    """The network with random weights; `features` has nine children, `classifier` 1,000 classes."""
    model = EfficientNet(
        [MBConvConfig(*stage) for stage in _STAGES],
        dropout=0.3,
        stochastic_depth_prob=0.0,  # fine-tuning keeps every layer, as the statistics stand still
        norm_layer=partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01),
        last_channel=1280,
    )
    _lighten(model)
    return model


def _lighten(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, SqueezeExcitation):
            setattr(module, name, nn.Identity())
        elif isinstance(child, nn.SiLU):
            setattr(module, name, nn.ReLU6(inplace=True))
        else:
            _lighten(child)
