"""The sentence's encoder: a recurrent network that reads in both directions.

Shapes: B sentences, S words or pieces of them, E embedding, D features, M words of all sentences.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from captioner.nn.memory import Memory


class SentenceEncoder(nn.Module):
    """A bidirectional LSTM or GRU whose states are a memory of S positions.

    Bahdanau, Cho, Bengio 2015, §3.2: the annotation of a word is the state of the direction that
    has read everything up to it, beside the state of the one that has read everything after it.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        network: nn.LSTM | nn.GRU,
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
