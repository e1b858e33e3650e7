"""Arrays and tensors as pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.errors import ImageError
from captioner.pictures.depth import eight_bits
from captioner.pictures.sizes import check_size

_SHAPES = "expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"


def from_array(array: NDArray[Any], name: str) -> Image.Image:
    """An array (H, W) or (H, W, 1|3|4) as a picture of mode L, RGB or RGBA."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        hint = "; channels come last: array.transpose(1, 2, 0)" if first else ""
        raise ImageError(f"{name}: wrong shape, {_SHAPES}{hint}")
    check_size((array.shape[1], array.shape[0]), name)
    kind, bits = array.dtype.kind, 8 * array.dtype.itemsize
    if kind == "f":
        _check_floats(array, name)
    elif kind != "b" and (kind, bits) not in (("u", 8), ("u", 16)):
        raise ImageError(f"{name}: wrong type, expected uint8, uint16, bool or floats in [0, 1]")
    if (kind, bits) != ("u", 8):
        array = eight_bits(array, 65535 if kind == "u" else 1)
    return Image.fromarray(np.ascontiguousarray(array))


def from_tensor(tensor: Any, name: str) -> Image.Image:
    """A tensor (3, H, W), as torchvision has them, (H, W, 3) or (H, W) as a picture."""
    tensor = tensor.detach().cpu()
    floats = tensor.is_floating_point() and tensor.element_size() < 4  # bfloat16 among them
    array = (tensor.float() if floats else tensor).numpy()
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        if array.shape[2] in (1, 3, 4):
            raise ImageError(
                f"{name}: either its first or its last side may be the channels; give an array"
                " (H, W, 3): tensor.permute(1, 2, 0).numpy()"
            )
        array = array.transpose(1, 2, 0)
    return from_array(array, name)


def _check_floats(array: NDArray[Any], name: str) -> None:
    if not np.isfinite(array).all():
        raise ImageError(f"{name}: holds NaN or infinite values, expected floats in [0, 1]")
    low, high = float(array.min()), float(array.max())
    if low < -1e-3 or high > 1.001:  # what resizing in floats may add is forgiven
        raise ImageError(
            f"{name}: values from {low:g} to {high:g}, expected floats in [0, 1];"
            " scale or clip them, or give uint8"
        )
