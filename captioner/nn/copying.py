"""Copying: words of what a classifier saw on the photo go into the caption as they are.

CopyNet's mixture (Gu et al. 2016, §3.3) over the objects of a recogniser instead of the words of a
source sentence (LSTM-C: Yao et al. 2017; LSTM-P: Li et al. 2019). So a word can be said that no
training caption ever held.

Shapes: B photos, K captions of them, M words of all captions together, C classes, S things a photo,
E size of a word embedding, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.nn.attention import Memory, rows


@dataclass(frozen=True)
class Copied:
    """How much of the probability of each of the S words came from copying it."""

    tokens: Tensor  # (…, S)
    shares: Tensor  # (…, S), 0 to 1

    def of(self, words: Tensor) -> Tensor:
        """The share of each of the `words` (…), 0 where it is none of the things."""
        return (self.shares * (self.tokens == words.unsqueeze(-1))).sum(-1)


class Copying(nn.Module):
    """Lets the likeliest things compete with the vocabulary, each with a score of its own.

    The thing k scores q·W E[k] / √d + a log p_k + b, where E[k] is its word's embedding, p_k the
    classifier's probability, and q, a and b depend on what the decoder is about to say. One softmax
    takes in the vocabulary's scores and the things' (Gu et al. 2016, eq. 4 to 8): a word that is in
    both adds up the two.
    """

    def __init__(self, width: int, size: int, things: int, classes: int) -> None:
        """Makes the parts; `name_classes` has to tell the words before anything is copied.

        Args:
            width: of a word embedding and of the deep output (E).
            size: of the vectors that are compared (d).
            things: the likeliest that can be copied (S).
            classes: that the recogniser tells apart (C).
        """
        super().__init__()
        self.count = things
        self.query = nn.Linear(width, size + 2)
        self.key = nn.Linear(width, size, bias=False)
        # Not stored: the checkpoint's vocabulary and kinds say the same.
        self.register_buffer("words", torch.zeros(1, dtype=torch.long), persistent=False)
        self.register_buffer("groups", torch.zeros(classes, dtype=torch.long), persistent=False)
        self.words: Tensor  # (U,) tokens, each once
        self.groups: Tensor  # (C,) which of them is a class's word
        with torch.no_grad():
            # A new part says little: log p alone, a good way below the words that fit.
            self.query.weight.mul_(0.1)
            self.query.bias.zero_()
            self.query.bias[-2] = 1.0

    def name_classes(self, tokens: Sequence[int]) -> None:
        """Tells the words of the classes, in their order, (C,)."""
        device = self.query.weight.device
        if len(tokens) != len(self.groups):
            raise ValueError(f"{len(tokens)} words for {len(self.groups)} classes")
        words, groups = torch.tensor(list(tokens)).unique(return_inverse=True)
        self.words, self.groups = words.to(device), groups.to(device)

    def prepare(self, memory: Memory) -> Memory:
        """The memory with its likeliest things, from its kinds' logits (B, C).

        Their probabilities are the classifier's own business: captions do not change it.
        """
        assert memory.kinds is not None, "copying needs an encoder with a classifier"
        probs = memory.kinds.detach().float().softmax(-1)
        sums = probs.new_zeros(len(probs), len(self.words)).index_add_(1, self.groups, probs)
        best, places = sums.topk(min(self.count, len(self.words)), dim=-1)
        log_probs = best.clamp(min=1e-9).log()
        return replace(memory, things=self.words[places], thing_log_probs=log_probs)

    def forward(
        self,
        logits: Tensor,
        deep: Tensor,
        embedding: nn.Embedding,
        memory: Memory,
        owners: Tensor | None = None,
    ) -> tuple[Tensor, Copied]:
        """The logits with the things' scores taken in.

        Args:
            logits: of the vocabulary, (M, V).
            deep: what they were made of, (M, E).
            embedding: of the vocabulary.
            memory: K prepared memories.
            owners: which of them each row is about, (M,); left out, the m-th is about the m-th.
        """
        assert memory.things is not None
        assert memory.thing_log_probs is not None
        things, log_probs = memory.things, memory.thing_log_probs  # (K, S)
        keys = self.key(F.embedding(things, embedding.weight))  # (K, S, d)
        if owners is not None:
            things, log_probs, keys = (rows(part, owners) for part in (things, log_probs, keys))
        asked = self.query(deep).float()  # (M, d + 2)
        size = keys.shape[-1]
        match = (keys.float() * asked[:, None, :size]).sum(-1) * size**-0.5  # (M, S)
        scores = match + asked[:, -2:-1] * log_probs + asked[:, -1:]
        own = logits.gather(1, things).float()
        both = torch.logaddexp(own, scores).to(logits.dtype)
        return logits.scatter(1, things, both), Copied(things, torch.sigmoid(scores - own))
