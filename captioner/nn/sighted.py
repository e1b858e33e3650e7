"""The encoder of a sentence with a photo beside it: two encoders, two memories.

Shapes: B sentences, S positions of a sentence, h×w×C a grid of the CNN's features, D features.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from captioner.nn.encoders import ImageEncoder
from captioner.nn.memory import Memory
from captioner.nn.sentences import SentenceEncoder, TransformerEncoder


class SightedEncoder(nn.Module):
    """A sentence's encoder, and the photo's, whose CNN stays as it came.

    A frozen CNN says from the first step on what is on a photo, and a sentence's encoder has to
    learn what its words mean: left alone, the decoder looks at the photo until nothing teaches the
    sentence's encoder any more. Photos hidden at random (ModDrop: Neverova, Wolf, Taylor, Nebout
    2016) make it read.

    Args:
        sentence: its encoder.
        photo: its encoder.
        hidden: share of the photos that are hidden in training, 0 to 1.
    """

    def __init__(
        self,
        sentence: SentenceEncoder | TransformerEncoder,
        photo: ImageEncoder,
        hidden: float = 0.0,
    ) -> None:
        super().__init__()
        self.sentence, self.photo, self.hidden = sentence, photo, hidden

    def forward(
        self,
        tokens: Tensor,
        lengths: Tensor,
        grids: Tensor | None = None,
        there: Tensor | None = None,
    ) -> Memory:
        """The memory of sentences (B, S), padded, with that of their photos beside it.

        Args:
            tokens: numbers of the words, the sentence's end included.
            lengths: of the sentences (B,), on the CPU.
            grids: what the CNN made of the photos, (B, h, w, C); left out, there are none.
            there: (B,) bool, False where a sentence has no photo, whatever its grid; left out, all
                have one.
        """
        memory: Memory = self.sentence(tokens, lengths)
        if grids is None:
            return memory
        if self.training and self.hidden:
            kept = torch.rand(len(grids), device=grids.device) >= self.hidden
            there = kept if there is None else there & kept
        return replace(memory, beside=replace(self.photo.read(grids), there=there))
