"""Encoders: a photo becomes a `Memory` of h·w grid cells.

The CNNs are torchvision's own, cut before the classifier; parameter names stay torchvision's, so
that its weights load as they are.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.errors import CheckpointError
from captioner.nn.efficientnet_lite import efficientnet_lite2
from captioner.nn.memory import Memory
from captioner.nn.selfattention import GridRefiner


@dataclass(frozen=True)
class Backbone:
    """How a torchvision model is cut into five stages, each ending at half the resolution."""

    channels: int  # features of the last stage
    earlier_channels: int  # features of the stage before it
    stages: tuple[int, int, int, int, int]  # first child of each stage in `features`
    prefix: str = "features."  # of the parameters' names in torchvision's model
    classifier: str = "classifier.1"  # the last layer, where it is the only one over the mean


BACKBONES = {
    "mobilenet_v2": Backbone(1280, 96, (0, 2, 4, 7, 14)),
    "mobilenet_v3_large": Backbone(960, 112, (0, 2, 4, 7, 13), classifier=""),
    "efficientnet_b0": Backbone(1280, 112, (0, 2, 3, 4, 6)),
    "efficientnet_lite2": Backbone(1280, 120, (0, 2, 3, 4, 6)),
    "resnet18": Backbone(512, 256, (0, 3, 5, 6, 7), prefix="", classifier="fc"),
    "resnet50": Backbone(2048, 1024, (0, 3, 5, 6, 7), prefix="", classifier="fc"),
    "resnet101": Backbone(2048, 1024, (0, 3, 5, 6, 7), prefix="", classifier="fc"),
    "vgg16": Backbone(512, 512, (0, 5, 10, 17, 24), classifier=""),
}

_MAX_POOL_LAST = ("vgg16",)  # stages end, not begin, with the halving


def build_features(name: str, stride: int, stages: int = 5) -> nn.Sequential:
    """The convolutional part of torchvision's model `name`, with random weights.

    Stride 16 is real. With four stages the CNN ends there by itself. With all five, VGG ends before
    its last pooling, as in Xu et al. 2015; the others keep the last stage's resolution by dilation
    (Yu & Koltun 2016), which computes the stride-32 features at four times as many places, each
    still seeing as much around it as at stride 32.
    """
    model = _network(name)
    if hasattr(model, "features"):
        features = model.features
    else:  # a ResNet keeps its parts as attributes
        cut = ("avgpool", "fc")
        parts = [(part, module) for part, module in model.named_children() if part not in cut]
        features = nn.Sequential(OrderedDict(parts))
    if stages == 4:
        return features[: BACKBONES[name].stages[-1]]
    if stride == 16:
        if name in _MAX_POOL_LAST:
            return features[:-1]
        _dilate(features[BACKBONES[name].stages[-1] :])
    return features


def _network(name: str) -> Any:  # a module with parts that torch's types do not know
    if name == "efficientnet_lite2":
        return efficientnet_lite2()
    import torchvision  # takes a second, and the shipped weights need none of it

    return torchvision.models.get_model(name, weights=None)


def _dilate(stage: nn.Module) -> None:
    """Replaces the stage's halving by dilation 2 of every convolution that comes after it."""
    halved = False
    for module in stage.modules():  # in the order of computation
        if not isinstance(module, nn.Conv2d):
            continue
        if halved and module.kernel_size[0] > 1:  # a 1×1 convolution has no neighbours to spread
            module.dilation = (2, 2)
            module.padding = tuple(size - 1 for size in module.kernel_size)
        if module.stride == (2, 2):
            module.stride, halved = (1, 1), True


def load_pretrained(features: nn.Sequential, name: str, weights: str) -> None:
    """Fills `features` from torchvision's ImageNet weights or from a local safetensors file.

    Args:
        features: what `build_features` made.
        name: its torchvision name.
        weights: `imagenet`, `random` (nothing is done) or the path of a safetensors file with
            torchvision's parameter names.

    Raises:
        CheckpointError: the file is missing, is not safetensors, or lacks parameters; or the
            ImageNet weights cannot be fetched.
    """
    if weights == "random":
        return
    state = _imagenet(name) if weights == "imagenet" else _local(Path(weights))
    prefix = BACKBONES[name].prefix
    state = {key.removeprefix(prefix): value for key, value in state.items()}
    wanted = features.state_dict()
    missing = [key for key in wanted if key not in state and not key.endswith("_tracked")]
    wrong = [k for k in wanted if k in state and state[k].shape != wanted[k].shape]
    if missing or wrong:
        key = (missing + wrong)[0]
        raise CheckpointError(
            f"{weights}: no {name} weights: {len(missing)} parameters are missing and {len(wrong)} "
            f"of another shape, {prefix}{key} first; expected torchvision's parameter names"
        )
    features.load_state_dict({k: v for k, v in state.items() if k in wanted}, strict=False)


def _imagenet(name: str) -> dict[str, Tensor]:
    if name == "efficientnet_lite2":
        raise CheckpointError(
            "torchvision has no ImageNet weights for efficientnet_lite2; give a local file: "
            "--model.encoder.weights FILE.safetensors"
        )
    import torchvision

    best = torchvision.models.get_model_weights(name).DEFAULT
    try:
        # The file is a pickle: nothing but tensors may come out of it.
        return dict(best.get_state_dict(check_hash=True, weights_only=True))
    except Exception as error:  # a download and a damaged copy of it fail in many ways
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"torchvision's ImageNet weights for {name} could not be fetched ({reason}); give a "
            "local file: --model.encoder.weights FILE.safetensors"
        ) from error


def _local(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no such file; expected imagenet, random, or a safetensors file of CNN weights"
        ) from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Photos uint8 (B, 3, S, S) as the CNN takes them: each channel minus `mean`, over `std`."""
    shift, scale = (
        torch.tensor(values, device=pixels.device).view(3, 1, 1) * 255 for values in (mean, std)
    )
    return (pixels.float() - shift) / scale


class ImageEncoder(nn.Module):
    """A CNN whose last feature map, projected to D features a cell, is a memory of h·w positions.

    Xu et al. 2015, §3.1.1: "annotation vectors" of the places of a photo.
    """

    def __init__(
        self,
        features: nn.Sequential,
        name: str,
        feature_size: int,
        dropout: float = 0.0,
        stages: int = 5,
        lateral: bool = False,
        classes: int = 0,
        refine: GridRefiner | None = None,
    ) -> None:
        super().__init__()
        backbone = BACKBONES[name]
        self.features = features
        self.stage_starts = backbone.stages
        channels = backbone.channels if stages == 5 else backbone.earlier_channels
        self.project = nn.Linear(channels, feature_size)
        self.lateral = (
            nn.Linear(backbone.earlier_channels, feature_size, bias=False) if lateral else None
        )
        self.normalise = nn.LayerNorm(feature_size)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, classes) if classes else None
        self.refine = refine
        self.freeze_batch_norm = True

    def fine_tune(self, from_stage: int, freeze_batch_norm: bool = True) -> None:
        """Lets the CNN learn from stage `from_stage` (1 to 5) on; 0 freezes all of it."""
        first = self.stage_starts[from_stage - 1] if from_stage else len(self.features)
        for index, child in enumerate(self.features):
            child.requires_grad_(index >= first)
        self.freeze_batch_norm = freeze_batch_norm
        self.train(self.training)

    def train(self, mode: bool = True) -> ImageEncoder:
        """Training mode, in which frozen stages and frozen batch norms still only evaluate."""
        super().train(mode)
        for child in self.features:
            learns = any(parameter.requires_grad for parameter in child.parameters())
            for module in child.modules():
                if not learns or (self.freeze_batch_norm and isinstance(module, nn.BatchNorm2d)):
                    module.training = False
        return self

    def set_dropout(self, rate: float) -> None:
        """Sets the share of the cells' features dropped in training."""
        self.dropout.p = rate
        if self.refine is not None:
            self.refine.dropout.p = rate

    def grid(self, photos: Tensor) -> Tensor:
        """Feature maps (B, h, w, C) of normalised photos (B, 3, S, S).

        A lateral connection packs each cell's four cells of the fourth stage behind its own C.
        """
        photos = photos.contiguous(memory_format=torch.channels_last)
        if self.lateral is None:
            return self.features(photos).permute(0, 2, 3, 1)  # (B, h, w, C)
        last = self.stage_starts[-1]
        fine = self.features[:last](photos)  # (B, C', 2h, 2w)
        coarse = self.features[last:](fine)  # (B, C, h, w)
        return torch.cat([coarse, F.pixel_unshuffle(fine, 2)], 1).permute(0, 2, 3, 1)

    def read(self, grid: Tensor) -> Memory:
        """The memory of feature maps (B, h, w, C), computed or from a cache."""
        return self.look(grid)[0]

    def look(self, grid: Tensor) -> tuple[Memory, Sequence[Tensor]]:
        """The memory of feature maps (B, h, w, C), and what its cells looked at in one another.

        That is, of each layer that refines the grid, weights (B, H, N, N); of none, nothing.
        """
        cells = grid.to(self.project.weight.dtype)
        if self.lateral is None:
            places = self.project(cells)  # (B, h, w, D)
        else:
            coarse, fine = cells.split([self.project.in_features, 4 * self.lateral.in_features], -1)
            fine = F.pixel_shuffle(fine.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
            enlarged = F.interpolate(
                self.project(coarse).permute(0, 3, 1, 2), scale_factor=2.0, mode="bilinear"
            )
            places = enlarged.permute(0, 2, 3, 1) + self.lateral(fine)  # (B, 2h, 2w, D)
        values = self.dropout(self.normalise(places.flatten(1, 2)).relu())  # (B, N, D)
        kinds = None if self.classifier is None else self.recognise(grid)
        size = (places.shape[1], places.shape[2])
        looks: Sequence[Tensor] = ()
        if self.refine is not None:
            values, looks = self.refine.look(values, size)
        return Memory(values, grid=size, kinds=kinds), looks

    def recognise(self, grid: Tensor) -> Tensor:
        """Logits (B, classes) of the kinds of things on feature maps (B, h, w, C).

        The classifier reads the mean of the last stage's cells, as the CNN's own did on ImageNet.
        """
        assert self.classifier is not None
        coarse = grid[..., : self.classifier.in_features]
        # A thousand kinds lie close together: what half the bits would round away tells them apart.
        with torch.autocast(grid.device.type, enabled=False):
            mean = coarse.to(self.classifier.weight.dtype).mean((1, 2))
            each: Tensor = self.classifier(mean)
        return each

    def forward(self, photos: Tensor) -> Memory:
        """The memory of normalised photos (B, 3, S, S)."""
        return self.read(self.grid(photos))


def fold_batch_norm(features: nn.Sequential) -> nn.Sequential:
    """A copy of a CNN for evaluation only, each batch norm folded into the convolution before it.

    The function stays the same; on a CPU, MobileNetV2 takes about a third less time.
    """
    folded = copy.deepcopy(features).eval().requires_grad_(False)
    for module in folded.modules():
        children = list(module.named_children())
        for (_, first), (name, second) in pairwise(children):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                fused = torch.nn.utils.fusion.fuse_conv_bn_eval(first, second)
                first.weight, first.bias = fused.weight, fused.bias
                setattr(module, name, nn.Identity())
    return folded.to(memory_format=torch.channels_last)
