"""The layers between words and features that every decoder has: words in, words out.

Shapes: E embedding, V vocabulary, W words of all sentences together, C words that are compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.nn.copying import Copied, Copying
from captioner.nn.memory import Memory, rows


@dataclass(frozen=True)
class Compared:
    """The words among which one is chosen, where these are not the whole vocabulary."""

    words: Tensor  # (C,), each once
    offsets: Tensor  # (C,), what is added to the logit of each


class WordLayers(nn.Module):
    """What a decoder reads words with and says them with; its vocabulary can grow."""

    embedding: nn.Embedding  # (V, E)
    output: nn.Linear  # E → V, which may share the embedding's matrix
    dropout: nn.Dropout  # of embeddings and of the deep output
    word_dropout: nn.Dropout1d  # of previous words, whole
    copying: Copying | None

    @property
    def vocabulary_size(self) -> int:
        """How many words it knows (V), the special tokens among them."""
        return self.embedding.num_embeddings

    @torch.no_grad()
    def resize_vocabulary(self, size: int) -> None:
        """Makes room for new words behind the old ones, whose numbers and weights stay.

        A new word starts at the mean of the old embeddings: rare and neutral, until it is learned.
        """
        old, output = self.embedding, self.output
        added = size - old.num_embeddings
        embedding = nn.Embedding(size, old.embedding_dim).to(old.weight)
        embedding.weight.copy_(_grown(old.weight, added))
        new_output = nn.Linear(output.in_features, size).to(old.weight)
        new_output.bias.copy_(_grown(output.bias, added))
        if output.weight is old.weight:
            new_output.weight = embedding.weight
        else:
            new_output.weight.copy_(_grown(output.weight, added))
        self.embedding, self.output = embedding, new_output

    def add_copying(self, size: int, things: int, classes: int) -> None:
        """Lets it copy the words of recognised things; sizes as in `Copying`."""
        self.copying = Copying(self.embedding.embedding_dim, size, things, classes)

    def _embed(self, tokens: Tensor) -> Tensor:
        """Embeddings (…, E) of tokens (…,), of one or two dimensions."""
        embedded: Tensor = self.dropout(self.word_dropout(self.embedding(tokens)))
        return embedded

    def _read_out(
        self,
        deep: Tensor,
        memory: Memory,
        owners: Tensor | None = None,
        compared: Compared | None = None,
    ) -> tuple[Tensor, Copied | None]:
        """Logits (…, V), what is copied taken in; `owners` (W,) tells the memory of each row.

        Those of the words that are `compared` (…, C), where not all are.

        Raises:
            ValueError: what is copied may not be among the words that are compared.
        """
        deep = self.dropout(deep)
        if compared is not None:
            if self.copying is not None:
                raise ValueError("a decoder that copies compares all words")
            bias = rows(self.output.bias, compared.words) + compared.offsets
            return F.linear(deep, rows(self.output.weight, compared.words), bias), None
        logits = self.output(deep)
        if self.copying is None:
            return logits, None
        both: tuple[Tensor, Copied] = self.copying(logits, deep, memory, owners)
        return both


def _grown(old: Tensor, added: int) -> Tensor:
    return torch.cat([old, old.mean(0, keepdim=True).expand(added, *old.shape[1:])])
