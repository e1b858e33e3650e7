"""The sentence's encoder: a recurrent network in both directions, or a Transformer.

Shapes: B sentences, S words or pieces of them, E embedding, D features, M words of all sentences,
L layers, H heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from captioner.nn.memory import Memory
from captioner.nn.positions import Positions
from captioner.nn.selfattention import Dropping, EncoderStack, LayerPlan, fitted, start_evenly


class SentenceEncoder(nn.Module):
    """A bidirectional LSTM, GRU or RNN whose states are a memory of S positions.

    Bahdanau, Cho, Bengio 2015, §3.2: the annotation of a word is the state of the direction that
    has read everything up to it, beside the state of the one that has read everything after it.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        network: nn.LSTM | nn.GRU | nn.RNN,
        *,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        """Takes finished parts.

        Args:
            embedding: of the vocabulary's words; may be the decoder's.
            network: bidirectional, with the batch first; D is twice its hidden size.
            dropout: share dropped of embeddings and of the memory.
            word_dropout: share of the words hidden whole (Gal & Ghahramani 2016, §4.2).
        """
        super().__init__()
        self.embedding, self.network = embedding, network
        self.dropout = nn.Dropout(dropout)
        self.word_dropout = nn.Dropout1d(word_dropout)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Memory:
        """The memory of sentences (B, S), padded.

        Its `summary` is where each direction has read everything: after the last word and, the
        other way, after the first.

        Args:
            tokens: numbers of the words, the sentence's end included.
            lengths: of the sentences (B,), on the CPU.
        """
        packed = pack_padded_sequence(tokens, lengths, batch_first=True, enforce_sorted=False)
        embedded = self.dropout(self.word_dropout(self.embedding(packed.data)))  # (M, E)
        states, last = self.network(packed._replace(data=embedded))
        values, _ = pad_packed_sequence(states, batch_first=True, total_length=tokens.shape[1])
        hidden = last[0] if isinstance(last, tuple) else last  # (2·layers, B, D/2)
        summary = torch.cat([hidden[-2], hidden[-1]], -1)
        places = torch.arange(tokens.shape[1], device=tokens.device)
        mask = places < lengths.to(tokens.device).unsqueeze(1)
        return Memory(self.dropout(values), mask, summary=self.dropout(summary))


class TransformerEncoder(nn.Module):
    """Words that look at one another, layer by layer, as a memory of positions (§3.1)."""

    def __init__(
        self,
        embedding: nn.Embedding,
        plan: LayerPlan,
        layers: int,
        *,
        positions: Positions | None,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
    ) -> None:
        """Takes finished parts.

        Args:
            embedding: of the vocabulary's words; may be the decoder's.
            plan: of the layers; its size is D.
            layers: how many.
            positions: of the words, (…, D); None: the sentence is a bag of words.
            dropout: share dropped of embeddings and of what each part of a layer gives.
            word_dropout: share of the words hidden whole.
        """
        super().__init__()
        self.embedding, self.positions = embedding, positions
        self.dropout, self.word_dropout = nn.Dropout(dropout), nn.Dropout1d(word_dropout)
        self.enter = fitted(embedding.embedding_dim, plan.size)
        start_evenly(self.enter)
        self.stack = EncoderStack(plan, layers, Dropping(self.dropout, nn.Dropout(0.0)))

    def forward(self, tokens: Tensor, lengths: Tensor) -> Memory:
        """The memory of sentences (B, S), padded; it has no sum but the mean.

        Args:
            tokens: numbers of the words, the sentence's end included.
            lengths: of the sentences (B,), on the CPU.
        """
        return self.look(tokens, lengths)[0]

    def look(self, tokens: Tensor, lengths: Tensor) -> tuple[Memory, Tensor]:
        """The memory, and what each word looked at: weights (B, L, H, S, S), rows sum to 1."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        real = places < lengths.to(tokens.device).unsqueeze(1)
        embedded = self.dropout(self.word_dropout(self.embedding(tokens)))
        values = self.enter(embedded * self.embedding.embedding_dim**0.5)
        if self.positions is not None:
            values = values + self.positions(places)
        values, weights = self.stack(values, real)
        values = values.masked_fill(~real.unsqueeze(-1), 0.0)
        return Memory(values, real), torch.stack(list(weights), 1)
