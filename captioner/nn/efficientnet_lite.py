"""EfficientNet-Lite2, which torchvision lacks: its EfficientNet without what small devices dread.

Tan & Le 2019 (EfficientNet), in the "Lite" form of the TensorFlow TPU models: no
squeeze-and-excitation, ReLU6 instead of SiLU, stem and head not widened. Width 1.1, depth 1.2,
77.5 % of ImageNet at the first guess. Parameter names are torchvision's: an identity keeps the
place of the squeeze-and-excitation in each block. It is made of torch alone: torchvision takes a
second to import, which the shipped weights need not wait for.

Shapes: B photos, C and C' channels in and out, h×w maps.
"""

from __future__ import annotations

from torch import Tensor, nn

_STAGES = (  # expansion, kernel, stride, channels in and out, layers
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 3),
    (6, 5, 2, 24, 48, 3),
    (6, 3, 2, 48, 88, 4),
    (6, 5, 1, 88, 120, 4),
    (6, 5, 2, 120, 208, 5),
    (6, 3, 1, 208, 352, 1),
)
_FEATURES = 1280  # channels of the last map


class EfficientNetLite(nn.Module):
    """The network: `features` has nine children, `classifier` as many outputs as classes."""

    def __init__(self, classes: int = 1000) -> None:
        """Makes it with random weights.

        Args:
            classes: that it tells apart.
        """
        super().__init__()
        stages = [
            nn.Sequential(
                *(
                    InvertedResidual(
                        before if number == 0 else after,
                        after,
                        expansion,
                        kernel,
                        stride if number == 0 else 1,
                    )
                    for number in range(layers)
                )
            )
            for expansion, kernel, stride, before, after, layers in _STAGES
        ]
        first, last = _STAGES[0][3], _STAGES[-1][4]
        stem, head = _convolution(3, first, 3, stride=2), _convolution(last, _FEATURES, 1)
        self.features = nn.Sequential(stem, *stages, head)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Dropout(0.3, inplace=True), nn.Linear(_FEATURES, classes)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, photos: Tensor) -> Tensor:
        """Logits (B, classes) of normalised photos (B, 3, S, S)."""
        each: Tensor = self.classifier(self.avgpool(self.features(photos)).flatten(1))
        return each


class InvertedResidual(nn.Module):
    """Widen, look around in each channel by itself, narrow (Sandler et al. 2018, MobileNetV2).

    What came in is added where it fits. No layer is left out in training: fine-tuning keeps every
    one, as the statistics stand still.
    """

    def __init__(self, before: int, after: int, expansion: int, kernel: int, stride: int) -> None:
        """Makes the block.

        Args:
            before: channels in (C).
            after: channels out (C').
            expansion: how many times as many lie between.
            kernel: side of the depthwise convolution.
            stride: its step.
        """
        super().__init__()
        wide = expansion * before
        self.block = nn.Sequential(
            *([_convolution(before, wide, 1)] if expansion > 1 else []),
            _convolution(wide, wide, kernel, stride=stride, groups=wide),
            nn.Identity(),
            _convolution(wide, after, 1, activation=False),
        )
        self.adds = stride == 1 and before == after

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C', h', w') of maps (B, C, h, w)."""
        found: Tensor = self.block(maps)
        return found + maps if self.adds else found


def efficientnet_lite2() -> EfficientNetLite:
    """The network with random weights and ImageNet's 1,000 classes."""
    return EfficientNetLite()


def _convolution(
    before: int,
    after: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    activation: bool = True,
) -> nn.Sequential:
    """A convolution without a bias, its batch norm, and perhaps ReLU6."""
    parts: list[nn.Module] = [
        nn.Conv2d(before, after, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after, eps=1e-3, momentum=0.01),
    ]
    return nn.Sequential(*parts, *([nn.ReLU6(inplace=True)] if activation else []))
