"""What asks an attention.

Shapes: B memories, M queries of each, N positions, D features, Q query size, H heads, E size of a
word embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Query:
    """What asks: M queries of each of B memories."""

    hidden: Tensor  # (B, M, Q) the recurrent state
    word: Tensor | None = None  # (B, M, E) embedding of the previous word
    place: int = 0  # of the next word in the sentence, from 0
    cell: Tensor | None = None  # (B, M, Q) of an LSTM
    # Where the query comes after the recurrent step, what that step has started from:
    previous: Tensor | None = None  # (B, M, Q) the state before it
    fed: Tensor | None = None  # (B, M, D) the context that it read beside the word, if any
    covered: Tensor | None = None  # (B, M, H, N) what has been looked at, where a score asks for it
