"""A CNN's layers as nodes of a graph.

torch.fx tells how the layers hang together; each kind has its node here. OpenVINO's own converter
would trace the CNN with what torch has deprecated, in about ten times as long: this way, no graph
needs to be kept on a disk.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.fx
from numpy.typing import NDArray
from torch import Tensor, nn

from captioner.runtimes.library import operations


class UnknownLayerError(Exception):
    """A layer that no node is known for."""


def array(weights: Tensor) -> NDArray[np.float32]:
    """Weights as a graph takes them."""
    return weights.detach().float().cpu().contiguous().numpy()


def converted(features: nn.Module, photos: Any) -> Any:
    """The node of feature maps (B, C, h, w), from that of photos (B, 3, S, S).

    Args:
        features: in evaluation mode, with batch norm folded.
        photos: what they see.

    Raises:
        UnknownLayerError: one of the layers is of no kind that is known here.
    """
    nodes: dict[torch.fx.Node, Any] = {}
    found: Any = None
    for step in torch.fx.symbolic_trace(features).graph.nodes:
        if step.op == "placeholder":
            nodes[step] = photos
            continue
        inputs = [nodes[argument] for argument in step.all_input_nodes]
        if step.op == "output":
            (found,) = inputs
        else:
            nodes[step] = _node(features, step, inputs)
    return found


def _node(features: nn.Module, step: torch.fx.Node, inputs: list[Any]) -> Any:
    if step.op == "call_module":
        layer = features.get_submodule(str(step.target))
        make = _LAYERS.get(type(layer))
        if make is not None:
            return make(layer, *inputs)
        raise UnknownLayerError(type(layer).__name__)
    make = _FUNCTIONS.get(step.target) or _NAMED.get(getattr(step.target, "__name__", ""))
    if step.op != "call_function" or make is None:
        raise UnknownLayerError(str(step.target))
    return make(*inputs)


def linear(values: Any, weight: Tensor, bias: Tensor | None = None) -> Any:
    """The node of W x + b over the last dimension."""
    op = operations()
    product = op.matmul(values, op.constant(array(weight)), False, True)
    return product if bias is None else op.add(product, op.constant(array(bias)))


def pointwise(maps: Any, layer: nn.Linear) -> Any:
    """The node of a linear layer over the channels of maps (B, C, h, w): (B, D, h, w)."""
    return _convolved(maps, layer.weight[..., None, None], layer.bias, (1, 1), (0, 0), (1, 1), 1)


def _convolution(layer: nn.Conv2d, maps: Any) -> Any:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise UnknownLayerError(f"Conv2d with padding {layer.padding} of {layer.padding_mode}")
    return _convolved(
        maps,
        layer.weight,
        layer.bias,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
    )


def _convolved(
    maps: Any,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> Any:
    op = operations()
    how = list(stride), list(padding), list(padding), list(dilation)
    if groups == 1:
        found = op.convolution(maps, op.constant(array(weight)), *how)
    else:
        grouped = weight.unflatten(0, (groups, -1))  # (G, C / G, C' / G, k, k)
        found = op.group_convolution(maps, op.constant(array(grouped)), *how)
    return found if bias is None else op.add(found, op.constant(array(bias.view(1, -1, 1, 1))))


def _pooling(layer: nn.MaxPool2d, maps: Any) -> Any:
    if layer.ceil_mode or layer.return_indices:
        raise UnknownLayerError("MaxPool2d with ceil_mode or return_indices")
    stride, dilation, padding, kernel = (
        list(value) if isinstance(value, tuple) else [value, value]
        for value in (layer.stride, layer.dilation, layer.padding, layer.kernel_size)
    )
    pooled = operations().max_pool(maps, stride, dilation, padding, padding, kernel)
    return pooled.output(0)


def _mean(layer: nn.AdaptiveAvgPool2d, maps: Any) -> Any:
    if layer.output_size not in (1, (1, 1)):
        raise UnknownLayerError(f"AdaptiveAvgPool2d to {layer.output_size}")
    op = operations()
    return op.reduce_mean(maps, op.constant(np.array([2, 3])), keep_dims=True)


def _by(name: str) -> Callable[..., Any]:
    """An activation that is one operation of this name."""
    return lambda layer, values: getattr(operations(), name)(values)


_LAYERS: Mapping[type[nn.Module], Callable[..., Any]] = {
    nn.Conv2d: _convolution,
    nn.MaxPool2d: _pooling,
    nn.AdaptiveAvgPool2d: _mean,
    nn.Identity: lambda layer, values: values,
    nn.Dropout: lambda layer, values: values,
    nn.ReLU: _by("relu"),
    nn.ReLU6: lambda layer, values: operations().clamp(values, 0.0, 6.0),
    nn.SiLU: _by("swish"),
    nn.Sigmoid: _by("sigmoid"),
    nn.Hardswish: _by("hswish"),
    nn.Hardsigmoid: _by("hsigmoid"),
}

_FUNCTIONS: Mapping[Any, Callable[..., Any]] = {
    operator.add: lambda *both: operations().add(*both),
    operator.iadd: lambda *both: operations().add(*both),
    operator.mul: lambda *both: operations().multiply(*both),
    torch.add: lambda *both: operations().add(*both),
}

_NAMED: Mapping[str, Callable[..., Any]] = {  # torchvision's: to name them needs no import of it
    "stochastic_depth": lambda values: values,  # drops in training only
}
