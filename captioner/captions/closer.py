"""Maps read again over the photo enlarged: the same sentence, the same weights, a finer grid.

A CNN knows no size, and an attention that compares features knows no place. Enlarged, a photo has
more cells, each of which sees less of what lies around a thing; the sentence, and how likely its
words are, stay those that were found at the model's own size.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from captioner.errors import ConfigError, shown
from captioner.nn.architecture import ModelConfig
from captioner.nn.decoder import Decoder
from captioner.nn.memory import Memory
from captioner.nn.model import CaptionModel
from captioner.pictures.preprocess import Preprocess
from captioner.runtimes.choice import Runtime, choose
from captioner.search import Hypothesis, force
from captioner.settings import as_int

LARGEST = 1024  # pixels: 64×64 cells, twenty times the work of the model's own 224


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
            f"map_size is {whole}, but this model's attention knows its {cells}×{cells} "
            "places by heart (score = location); leave map_size out"
        )
    return whole


class Closer:
    """What reads maps at another size than the model's own. Threads may share it."""

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
        self.runtime: Runtime = choose(runtime, model, self.preprocess, device, searches=False)

    def shared(self) -> Closer:
        """One for several batches at once, with the same model."""
        several = copy.copy(self)
        several.runtime = self.runtime.shared
        return several

    def encode(self, photos: Tensor) -> Memory:
        """The memory of photos uint8 (B, 3, S, S) at this size, on the model's device."""
        return self.runtime.encode(photos)

    @torch.inference_mode()
    def read(self, memory: Memory, found: Sequence[Sequence[Hypothesis]]) -> list[list[Hypothesis]]:
        """The hypotheses of B photos, with the maps that their sentences have here.

        Args:
            memory: of the photos at this size.
            found: of each photo.
        """
        owners = [photo for photo, several in enumerate(found) for _ in several]
        tokens = [one.tokens for several in found for one in several]
        again = iter(force(self.decoder, memory, tokens, owners, alternatives=1))
        return [
            [dataclasses.replace(one, weights=next(again).weights) for one in several]
            for several in found
        ]
