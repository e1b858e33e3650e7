"""What a decoder is to those who use it: search, training and tracing know this and no more.

Shapes: B memories, M sentences of each, K sentences of all memories together, T words, W words of
all sentences together, N positions, D features, H heads, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from captioner.nn.attention import Attended
from captioner.nn.copying import Copied
from captioner.nn.memory import Memory
from captioner.nn.vocabulary import Compared


class State(Protocol):
    """What a decoder remembers between two words, of M sentences about each of B memories."""

    def select(self, indices: Tensor) -> Self:
        """Of each memory's sentences those at `indices` (B, K), which may repeat."""

    def of(self, memories: Tensor) -> Self:
        """All sentences about the memories at `memories` (K,)."""


S = TypeVar("S", bound=State)


@dataclass(frozen=True)
class Step(Generic[S]):
    """One word further."""

    logits: Tensor  # (B, M, V) of the next word
    attended: Attended  # what this step looked at
    state: S
    copied: Copied | None = None  # (B, M, S), where the decoder copies
    sayable: bool = False  # whether the logits are −∞ already for what no sentence holds


@dataclass(frozen=True)
class Probe(Generic[S]):
    """A step taken apart: what the attention was asked with, and what it made of it."""

    step: Step[S]
    query: Tensor  # (B, M, Q)
    energies: Tensor  # (B, M, H, N), before the distribution; −∞ where nothing can be looked at
    contents: Tensor  # (B, H, N, D / H), v_j that each head sums up
    context: Tensor  # (B, M, D) out of them; where several layers look, (B, M, L·D) side by side


@dataclass(frozen=True)
class Unrolled:
    """All steps of given sentences (teacher forcing)."""

    logits: PackedSequence  # (W, V), or (W, C) of what is compared; none for padding
    weights: Tensor  # (K, T, H, N), 0 beyond a sentence's end
    extras: Mapping[str, Tensor]  # the attention's by-products, (K, T, …) each
    copied: Copied | None = None  # (K, T, S), where the decoder copies

    def padded_logits(self) -> Tensor:
        """Logits (K, T, V), 0 beyond a sentence's end."""
        return pad_packed_sequence(self.logits, batch_first=True)[0]


class Stepwise(Protocol[S]):
    """What a search needs of a decoder: a word at a time.

    M sentences about one memory share it: no memory is copied for a beam or a second caption.
    """

    @property
    def vocabulary_size(self) -> int:
        """How many words it knows (V), the special tokens among them."""

    def start(self, memory: Memory) -> tuple[Memory, S]:
        """The memories made ready, and the state of one sentence of each before its first word.

        Raises:
            ValueError: a memory has no real position.
        """

    def step(self, tokens: Tensor, state: S, memory: Memory) -> Step[S]:
        """Reads the previous words (B, M) and predicts the next ones."""


class Decoder(Stepwise[S], Protocol[S]):
    """Writes sentences about memories, a word at a time or all of a given one."""

    training: bool

    def probe(self, tokens: Tensor, state: S, memory: Memory) -> Probe[S] | None:
        """A step with everything that is computed on the way; None where nothing is attended to."""

    def unroll(
        self,
        tokens: Tensor,
        lengths: Tensor,
        memory: Memory,
        owners: Tensor | None = None,
        compared: Compared | None = None,
    ) -> Unrolled:
        """Reads given sentences.

        Args:
            tokens: previous words, (K, T), each sentence from the start token on.
            lengths: of the sentences, (K,), on the CPU.
            memory: B memories, fresh from an encoder.
            owners: which of them each sentence is about, (K,), best on the CPU; left out, the k-th
                is about the k-th.
            compared: the words whose logits are wanted, in their order; left out, all.
        """

    def resize_vocabulary(self, size: int) -> None:
        """Makes room for new words behind the old ones, whose numbers and weights stay."""

    def train(self, mode: bool = True) -> Any:
        """Turns dropout on or off."""
