"""What a sentence's words look at in one another: the self-attention of a Transformer that reads.

Shapes: L layers, H heads, S words of the sentence and its end, P pieces of them and the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.errors import ConfigError
from captioner.pictures.drawings import save, suffix_of
from captioner.pictures.heatmap import HeatMap


@dataclass(frozen=True, eq=False)
class SelfAttention:
    """Which word looked at which, in each layer and each head."""

    words: tuple[str, ...]  # S - 1 words, and the end
    weights: NDArray[np.float32]  # (L, H, S, S): row looks at column; rows sum to 1

    def of(self, layer: int = 0, head: int = 0) -> NDArray[np.float32]:
        """One head's look, (S, S).

        Args:
            layer: from 1; 0: the mean of all.
            head: from 1; 0: the mean of all.

        Raises:
            ConfigError: there is no such layer or head.
        """
        chosen = self.weights
        for axis, (name, number) in enumerate((("layer", layer), ("head", head))):
            count = self.weights.shape[axis]
            if not 0 <= number <= count:
                raise ConfigError(
                    f"{name} is {number}; expected 1 to {count}, or 0 for the mean of all"
                )
            if number:
                chosen = np.take(chosen, [number - 1], axis)
        mean: NDArray[np.float32] = chosen.mean((0, 1))
        return mean

    def heatmap(self, layer: int = 0, head: int = 0) -> Image.Image:
        """`of`, drawn: what looks at the left, what is looked at on top."""
        return self.drawing(layer, head).picture()

    def drawing(self, layer: int = 0, head: int = 0) -> HeatMap:
        """`heatmap`, not drawn yet: `picture` gives pixels, `vectors` SVG or PDF."""
        return HeatMap(self.words, self.words, self.of(layer, head))

    def save(self, path: str | PathLike[str], layer: int = 0, head: int = 0) -> None:
        """Writes `heatmap` as a `.png`, or as an `.svg` or `.pdf`, in which text stays text.

        Raises:
            ConfigError: the suffix is another one, or there is no such layer or head.
            OSError: it cannot be written.
        """
        suffix_of(Path(path), "heat map")
        save(self.drawing(layer, head), Path(path))


def by_word(weights: NDArray[np.float32], owners: Sequence[int]) -> NDArray[np.float32]:
    """Of pieces (…, P, P) whole words (…, S, S): the mean of what looks, the sum of what is seen.

    Args:
        weights: of a piece at a piece, rows sum to 1.
        owners: the word of each piece, (P,), ascending from 0.
    """
    held = np.zeros((owners[-1] + 1, len(owners)), np.float32)  # (S, P)
    held[list(owners), np.arange(len(owners))] = 1
    merged: NDArray[np.float32] = (held / held.sum(1, keepdims=True)) @ weights @ held.T
    return merged
