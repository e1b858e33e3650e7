"""A photo's encoder as a graph: pixels in, the cells of the memory out.

Shapes: B photos, S their side, N cells of D features on a grid of h×w, C channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from captioner.nn.encoders import ImageEncoder
from captioner.nn.memory import Memory
from captioner.pictures.preprocess import Preprocess
from captioner.runtimes.layers import array, converted, pointwise
from captioner.runtimes.library import compiled, openvino, operations
from captioner.runtimes.requests import Requests


class GraphEncoder:
    """An `ImageEncoder` and the normalising before it. Threads may share it."""

    def __init__(
        self,
        encoder: ImageEncoder,
        preprocess: Preprocess,
        number_type: str,
        threads: int,
        at_once: int = 1,
    ) -> None:
        """Builds and compiles the graph.

        Args:
            encoder: in evaluation mode, with batch norm folded.
            preprocess: of the photos.
            number_type: that products are computed in, `bf16` or `f32`.
            threads: that it may use.
            at_once: callers that share these threads.

        Raises:
            UnknownLayerError: the CNN has a layer that no node is known for.
        """
        self.encoder = encoder
        size = preprocess.size
        photos = operations().parameter([-1, 3, size, size], np.uint8, name="photos")
        coarse, fine = _maps(encoder, _normalised(photos, preprocess))
        places = _places(encoder, coarse, fine)  # (B, D, h, w)
        shape = places.get_output_partial_shape(0)
        self.grid = shape[2].get_length(), shape[3].get_length()
        results = [_cells(encoder, places)]
        if encoder.classifier is not None:
            axes = operations().constant(np.array([2, 3]))
            results.append(operations().reduce_mean(coarse, axes, keep_dims=False))  # (B, C)
        self.requests = Requests(compiled(results, [photos], number_type, threads, at_once))

    def __call__(self, photos: Tensor) -> Memory:
        """The memory of photos uint8 (B, 3, S, S), on the CPU."""
        given = openvino().Tensor(photos.numpy(), shared_memory=True)
        values, *means = self.requests.answer([given])
        kinds = None
        if self.encoder.classifier is not None:  # in single precision, as `recognise` says why
            kinds = self.encoder.classifier(means[0])
        if self.encoder.refine is not None:
            values = self.encoder.refine(values, self.grid)
        return Memory(values, grid=self.grid, kinds=kinds)


def _normalised(photos: Any, preprocess: Preprocess) -> Any:
    op = operations()
    shift, scale = (
        op.constant(np.array(values, np.float32).reshape(1, 3, 1, 1) * 255)
        for values in (preprocess.mean, preprocess.std)
    )
    return op.divide(op.subtract(op.convert(photos, "f32"), shift), scale)


def _maps(encoder: ImageEncoder, photos: Any) -> tuple[Any, Any]:
    """Nodes of the last feature map and, where a lateral connection reads it, of the one before."""
    if encoder.lateral is None:
        return converted(encoder.features, photos), None
    last = encoder.stage_starts[-1]
    fine = converted(encoder.features[:last], photos)
    return converted(encoder.features[last:], fine), fine


def _places(encoder: ImageEncoder, coarse: Any, fine: Any) -> Any:
    """Node (B, D, h, w) of the projected cells, as `ImageEncoder.read` computes them."""
    op = operations()
    places = pointwise(coarse, encoder.project)
    if encoder.lateral is None:
        return places
    enlarged = op.interpolate(
        places,
        op.constant(np.array([2.0, 2.0], np.float32)),
        mode="linear_onnx",
        shape_calculation_mode="scales",
        coordinate_transformation_mode="half_pixel",
        axes=op.constant(np.array([2, 3])),
    )
    return op.add(enlarged, pointwise(fine, encoder.lateral))


def _cells(encoder: ImageEncoder, places: Any) -> Any:
    """Node (B, N, D) of the memory's values."""
    op, norm = operations(), encoder.normalise
    rows = op.transpose(places, op.constant(np.array([0, 2, 3, 1])))
    size = norm.normalized_shape[0]
    cells = op.reshape(rows, op.constant(np.array([0, -1, size])), special_zero=True)
    axes = op.constant(np.array([-1]))
    centred = op.mvn(cells, axes, True, norm.eps, "inside_sqrt")
    scaled = op.multiply(centred, op.constant(array(norm.weight)))
    return op.relu(op.add(scaled, op.constant(array(norm.bias))))
