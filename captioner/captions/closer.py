"""A closer look: maps of a finer grid, read from the photo enlarged when the sentence is written.

A CNN knows no size, and an attention that compares features knows no place. Enlarged, a photo has
more cells, each of which sees less of what lies around a thing. The sentence, and how likely its
words are, stay those that were found at the model's own size; it is read again (teacher forcing)
over the enlarged photo and over its mirror image, and the map of a word is where all three readings
looked: their geometric mean, as several scales and the mirror image are joined in segmentation
(test-time augmentation). What one of them saw in passing, the others do not confirm.

Shapes: B photos, T words, H heads, h×w cells of the model's own grid, h'×w' of the finer one.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from captioner.errors import ConfigError, shown
from captioner.nn.architecture import ModelConfig
from captioner.nn.decoder import Decoder
from captioner.nn.memory import Memory
from captioner.nn.model import CaptionModel
from captioner.options import PHOTOS_AT_ONCE
from captioner.pictures.preprocess import Preprocess
from captioner.runtimes.choice import Runtime, choose
from captioner.search import Hypothesis, force
from captioner.settings import as_int

LARGEST = 1024  # pixels: 64×64 cells, forty times the work of the model's own 224
_LEAST = 1e-6  # of a map's weight: what one reading says of a cell, a nought alone, is no veto


def check_map_size(config: ModelConfig, size: Any) -> int:
    """The side in pixels at which maps are read, where a model can read them there.

    Raises:
        ConfigError: it is no whole number, out of range or no multiple of the stride, or the
            model's attention knows only the grid that it was trained with.
    """
    own, step = config.encoder.image_size, 32 if config.encoder.lateral else config.encoder.stride
    whole = as_int(size)
    if whole is None or not own <= whole <= LARGEST or whole % step:
        example = min(2 * own, LARGEST) // step * step
        raise ConfigError(
            f"map_size is {shown(size)}; expected a multiple of {step} from {own}, the model's own "
            f"size in pixels, to {LARGEST}, such as {example}"
        )
    if config.attention.score == "location":
        cells = own // config.encoder.stride
        raise ConfigError(
            f"map_size is {whole}, but this model's attention knows its {cells}×{cells} places by "
            "heart (score = location); leave map_size out"
        )
    return whole


def agreed(own: Tensor, enlarged: Tensor, mirrored: Tensor) -> Tensor:
    """Where three readings of a sentence looked alike: their geometric mean, which sums to 1.

    Args:
        own: maps of the model's own size, (…, h, w).
        enlarged: of the enlarged photo, (…, h', w').
        mirrored: of its mirror image, (…, h', w'), as they lie there.
    """
    size = (enlarged.shape[-2], enlarged.shape[-1])
    flat = own.flatten(0, -3).unsqueeze(1)  # of no words, too
    smooth = F.interpolate(flat, size=size, mode="bilinear").reshape(enlarged.shape)
    logs = [
        (each / each.sum((-2, -1), keepdim=True) + _LEAST).log()
        for each in (smooth, enlarged, mirrored.flip(-1))
    ]
    mean = torch.stack(logs).mean(0).exp()
    return mean / mean.sum((-2, -1), keepdim=True)


class Closer:
    """What looks closer. Threads may share it."""

    def __init__(
        self,
        model: CaptionModel,
        preprocess: Preprocess,
        device: torch.device,
        runtime: str,
        size: int,
    ) -> None:
        """Takes what computes.

        Args:
            model: in evaluation mode, with batch norm folded.
            preprocess: of the photos, at the model's own size.
            device: where the model lies.
            runtime: that encodes, by name, see `runtimes.choice.choose`.
            size: side of the square in pixels, see `check_map_size`.

        Raises:
            ConfigError: the runtime cannot be used.
        """
        self.decoder: Decoder[Any] = model.decoder
        self.preprocess = dataclasses.replace(preprocess, size=size)
        # Pictures that take as much memory as a batch of the model's own size.
        self.at_once = max(1, PHOTOS_AT_ONCE * preprocess.size**2 // size**2)
        self.runtime: Runtime = choose(runtime, model, self.preprocess, device, searches=False)

    def shared(self) -> Closer:
        """One for several batches at once, with the same model."""
        several = copy.copy(self)
        several.runtime = self.runtime.shared
        return several

    def encode(self, photos: Tensor) -> Memory:
        """2·B memories of enlarged photos uint8 (B, 3, S, S) and, behind them, their mirror images.

        Pixels lie on the model's device, and so do the memories.
        """
        parts = torch.cat([photos, photos.flip(-1)]).split(self.at_once)
        found = [self.runtime.encode(part) for part in parts]
        kinds = [part.kinds for part in found if part.kinds is not None]
        return dataclasses.replace(
            found[0],
            values=torch.cat([part.values for part in found]),
            kinds=torch.cat(kinds) if kinds else None,
        )

    @torch.inference_mode()
    def read(
        self, memory: Memory, grid: tuple[int, int], found: Sequence[Sequence[Hypothesis]]
    ) -> list[list[Hypothesis]]:
        """The hypotheses of B photos, with their words' maps on the finer grid.

        Args:
            memory: what `encode` made of the photos.
            grid: (h, w) of the maps that were found.
            found: of each photo.
        """
        assert memory.grid is not None
        finer = memory.grid
        owners = [photo for photo, several in enumerate(found) for _ in several]
        tokens = [one.tokens for several in found for one in several]
        behind = [len(found) + owner for owner in owners]
        read = force(self.decoder, memory, tokens * 2, owners + behind, alternatives=1)
        again = iter(zip(read[: len(tokens)], read[len(tokens) :], strict=True))

        def joined(one: Hypothesis) -> Hypothesis:
            enlarged, mirrored = (_laid(each.weights, finer) for each in next(again))
            maps = agreed(_laid(one.weights, grid), enlarged, mirrored)
            return dataclasses.replace(one, weights=maps.flatten(-2).numpy())

        return [[joined(one) for one in several] for several in found]


def _laid(weights: NDArray[np.floating[Any]], grid: tuple[int, int]) -> Tensor:
    """Weights (T, H, N) on their grid, (T, H, h, w)."""
    return torch.from_numpy(weights).unflatten(-1, grid)
