"""Copying: words of what a classifier saw on the photo go into the caption as they are.

CopyNet's mixture (Gu et al. 2016, §3.3) over the objects of a recogniser instead of the words of a
source sentence (LSTM-C: Yao et al. 2017; LSTM-P: Li et al. 2019). So a word can be said that no
training caption ever held.

Shapes: B photos, M captions of each, W words of all captions together, C classes, S things a photo,
E size of a word embedding, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.nn.memory import Memory, rows


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

    def prepare(self, memory: Memory, embedding: nn.Embedding) -> Memory:
        """The memory with its likeliest things, from its kinds' logits (B, C), and their keys.

        Their probabilities are the classifier's own business: captions do not change it.
        """
        assert memory.kinds is not None, "copying needs an encoder with a classifier"
        probs = memory.kinds.detach().float().softmax(-1)
        sums = probs.new_zeros(probs.shape[0], len(self.words)).index_add_(1, self.groups, probs)
        best, places = sums.topk(min(self.count, len(self.words)), dim=-1)
        things = self.words[places]  # (B, S)
        return replace(
            memory,
            things=things,
            thing_log_probs=best.clamp(min=1e-9).log(),
            thing_keys=self.key(F.embedding(things, embedding.weight)).float(),
        )

    def forward(
        self, logits: Tensor, deep: Tensor, memory: Memory, owners: Tensor | None = None
    ) -> tuple[Tensor, Copied]:
        """The logits with the things' scores taken in.

        Args:
            logits: of the vocabulary, (B, M, V); with owners, (W, V).
            deep: what they were made of, (B, M, E); with owners, (W, E).
            memory: B prepared memories.
            owners: which of them each of W words is about.
        """
        things, own, scores = self._compared(logits, deep, memory, owners)
        both = torch.logaddexp(own, scores).to(logits.dtype)
        return logits.scatter(-1, things, both), Copied(things, torch.sigmoid(scores - own))

    def into(self, logits: Tensor, deep: Tensor, memory: Memory) -> Copied:
        """Takes the things' scores into logits (B, M, V) as they lie; no gradient passes."""
        things, own, scores = self._compared(logits, deep, memory, None)
        logits.scatter_(-1, things, torch.logaddexp(own, scores).to(logits.dtype))
        return Copied(things, torch.sigmoid(scores - own))

    def _compared(
        self, logits: Tensor, deep: Tensor, memory: Memory, owners: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The things (…, S), what the vocabulary scores their words, and what copying does."""
        assert memory.things is not None
        assert memory.thing_log_probs is not None
        assert memory.thing_keys is not None
        asked = self.query(deep).float()  # (…, d + 2)
        match = _match(asked[..., :-2], memory.thing_keys, owners)  # (…, S)
        things, log_probs = memory.things, memory.thing_log_probs  # (B, S)
        if owners is None:
            things = things.unsqueeze(1).expand_as(match)
            log_probs = log_probs.unsqueeze(1)
        else:
            things, log_probs = rows(things, owners), rows(log_probs, owners)  # (W, S)
        scores = match + asked[..., -2:-1] * log_probs + asked[..., -1:]
        return things, logits.gather(-1, things).float(), scores


def _match(asked: Tensor, keys: Tensor, owners: Tensor | None) -> Tensor:
    """q·k / √d of queries (B, M, d) or (W, d) against keys (B, S, d)."""
    scale = keys.shape[-1] ** -0.5
    if owners is None:
        return torch.matmul(asked, keys.transpose(-1, -2)) * scale
    return (rows(keys, owners) * asked.unsqueeze(1)).sum(-1) * scale
