"""The encoder of a sentence with a photo beside it: two encoders, two memories.

Shapes: B sentences, S positions of a sentence, h×w×C a grid of the CNN's features, D features.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from captioner.nn.encoders import ImageEncoder
from captioner.nn.memory import Memory
from captioner.nn.sentences import SentenceEncoder, TransformerEncoder


class SightedEncoder(nn.Module):
    """A sentence's encoder, and the photo's, whose CNN stays as it came."""

    def __init__(self, sentence: SentenceEncoder | TransformerEncoder, photo: ImageEncoder) -> None:
        super().__init__()
        self.sentence, self.photo = sentence, photo

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
        return replace(memory, beside=replace(self.photo.read(grids), there=there))
