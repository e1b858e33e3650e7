"""A photo seen once by a frozen CNN, for whatever is then asked about it.

Shapes: h×w×C the CNN's grid, h'×w' the cells that can be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from captioner.nn.encoders import ImageEncoder, normalise
from captioner.pictures.geometry import Geometry
from captioner.pictures.open import ImageSource, open_photo, original_size
from captioner.pictures.preprocess import Preprocess


@dataclass(frozen=True, eq=False)
class Sight:
    """What a CNN made of one photo, and where its cells lie there."""

    grid: Tensor  # (h, w, C)
    geometry: Geometry  # of the h'×w' cells
    source: Any  # what was handed over as the photo

    @property
    def file(self) -> str | None:
        """The photo's name, where it came from a file."""
        return fspath(self.source) if isinstance(self.source, (str, PathLike)) else None

    def __repr__(self) -> str:
        height, width = self.geometry.grid
        photo = type(self.source).__name__ if self.file is None else repr(self.file)
        return f"<Sight of {photo}, {height}×{width} cells>"


@dataclass(frozen=True, eq=False)
class Eyes:
    """A photo's encoder with the preprocessing that belongs to it."""

    encoder: ImageEncoder
    preprocess: Preprocess

    @torch.inference_mode()
    def look(self, photo: ImageSource) -> Sight:
        """Opens a photo and sees it.

        Raises:
            ImageError: it is no readable photo.
        """
        opened = open_photo(photo, side=self.preprocess.size)
        device = self.encoder.project.weight.device
        pixels = torch.from_numpy(self.preprocess.pixels(opened)).unsqueeze(0).to(device)
        grid = self.encoder.grid(normalise(pixels, self.preprocess.mean, self.preprocess.std))
        return self.known(grid[0], original_size(opened), photo)

    @torch.inference_mode()
    def refinement(self, sight: Sight) -> NDArray[np.float32] | None:
        """What the cells looked at in one another, (L, H, N, N); None where no layer refines."""
        _, looks = self.encoder.look(sight.grid.unsqueeze(0))
        return torch.cat(list(looks)).float().cpu().numpy() if looks else None

    def known(self, grid: Tensor, size: tuple[int, int], source: Any) -> Sight:
        """What was seen before: a grid (h, w, C) of a photo of `size` (width, height)."""
        with torch.inference_mode():
            cells = self.encoder.read(grid.unsqueeze(0)).grid
        assert cells is not None
        return Sight(grid, Geometry(size, cells), source)
