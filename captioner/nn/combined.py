"""Attention over two memories at once: a sentence and the photo that lies beside it.

Libovický & Helcl 2017, "Attention Strategies for Multi-Source Sequence-to-Sequence Learning". To
the decoder and the search, either strategy is an attention as any other: the positions of both
memories stand side by side, first the sentence's, then the photo's cells, and the weights over all
of them sum to 1. What lies on the photo is its share.

The photo's encoder projects its cells to the sentence's number of features; where there is no
photo, both strategies are the sentence's plain attention.

Shapes: B memories, M queries of each, S positions of the sentence, N of the photo, D features,
H heads, Q query size.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from captioner.nn.attention import Attended, Attention, Query
from captioner.nn.memory import Memory

PHOTO_SHARE = "photo_share"  # the by-product: (B, M, 1), 0 to 1


class Flat(nn.Module):
    """One softmax over the positions of both memories (§3.2): they compete as one would."""

    remembers = False  # what has been looked at before

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention

    def prepare(self, memory: Memory) -> Memory:
        """Both memories in a row, with keys and contents.

        Raises:
            ValueError: a sentence has no real position.
        """
        return self.attention.prepare(_in_a_row(memory))

    def first(self, memory: Memory) -> Tensor:
        """What the decoder's first state is made from, (B, D)."""
        return _means(memory)

    def forward(self, query: Query, memory: Memory) -> Attended:
        """Attends with M queries to each of B prepared memories."""
        attended: Attended = self.attention(query, memory)
        cells = _cells(memory)
        first = memory.values.shape[1] - cells
        of_photo = attended.weights[..., first : first + cells].sum(-1)  # (B, M, H)
        extras = {**attended.extras, PHOTO_SHARE: of_photo.mean(-1, keepdim=True)}
        return replace(attended, extras=extras)

    def energies(self, query: Query, memory: Memory) -> Tensor:
        """Scores (B, H, M, S + N), −∞ where nothing can be looked at."""
        return self.attention.energies(query, memory)

    def contents(self, memory: Memory) -> Tensor:
        """v_j that each head sums up, (B, H, S + N, D / H)."""
        return self.attention.contents(memory)

    def set_dropout(self, rate: float) -> None:
        """Sets the share of the weights dropped in training."""
        self.attention.set_dropout(rate)


class Hierarchical(nn.Module):
    """An attention a memory, and one more over what the two have found (§3.3).

    e⁽ᵏ⁾ = vᵀ tanh(W s + U⁽ᵏ⁾ c⁽ᵏ⁾), β = softmax(e), c = Σ_k β⁽ᵏ⁾ c⁽ᵏ⁾: the second softmax decides
    between sentence and photo, however many positions each of them has.
    """

    remembers = False

    def __init__(
        self, sentence: Attention, photo: Attention, query_size: int, value_size: int, size: int
    ) -> None:
        """Takes finished attentions.

        Args:
            sentence: over its positions.
            photo: over its cells, with as many heads.
            query_size: Q.
            value_size: D.
            size: of the hidden layer by which the two contexts are compared.
        """
        super().__init__()
        self.sentence, self.photo = sentence, photo
        self.query = nn.Linear(query_size, size)  # W
        self.contexts = nn.ModuleList(nn.Linear(value_size, size, bias=False) for _ in range(2))
        self.energy = nn.Linear(size, 1, bias=False)  # v

    def prepare(self, memory: Memory) -> Memory:
        """Both memories with keys and contents.

        Raises:
            ValueError: a sentence has no real position.
        """
        beside = memory.beside and self.photo.prepare(memory.beside)
        return replace(self.sentence.prepare(memory), beside=beside)

    def first(self, memory: Memory) -> Tensor:
        """What the decoder's first state is made from, (B, D)."""
        return _means(memory)

    def forward(self, query: Query, memory: Memory) -> Attended:
        """Attends with M queries to each of B prepared memories."""
        said: Attended = self.sentence(query, memory)
        if memory.beside is None:
            nothing = torch.zeros_like(said.context[..., :1])
            return replace(said, extras={**said.extras, PHOTO_SHARE: nothing})
        seen: Attended = self.photo(query, memory.beside)
        shares = self._shares(query, said.context, seen.context, memory.beside)  # (B, M, 2)
        of_sentence, of_photo = shares.to(said.context.dtype).split(1, -1)
        weights = [
            found.weights * share.unsqueeze(-1)
            for found, share in ((said, of_sentence), (seen, of_photo))
        ]
        return Attended(
            said.context * of_sentence + seen.context * of_photo,
            torch.cat(weights, -1),
            {**_named(seen), **said.extras, PHOTO_SHARE: of_photo},
        )

    def _shares(self, query: Query, said: Tensor, seen: Tensor, photo: Memory) -> Tensor:
        asked = self.query(query.hidden)  # (B, M, size)
        energies = torch.cat(
            [
                self.energy(torch.tanh(asked + project(context)))
                for project, context in zip(self.contexts, (said, seen), strict=True)
            ],
            -1,
        ).float()
        if photo.there is not None:
            only = torch.stack([torch.ones_like(photo.there), photo.there], -1)  # (B, 2)
            energies = energies.masked_fill(~only.unsqueeze(1), -torch.inf)
        return energies.softmax(-1)

    def energies(self, query: Query, memory: Memory) -> Tensor:
        """Scores (B, H, M, S + N) of both attentions, each before a softmax of its own."""
        energies = self.sentence.energies(query, memory)
        if memory.beside is None:
            return energies
        of_photo = self.photo.energies(query, memory.beside)
        if memory.beside.there is not None:
            missing = ~memory.beside.there[:, None, None, None]
            of_photo = of_photo.masked_fill(missing, -torch.inf)
        return torch.cat([energies, of_photo], -1)

    def contents(self, memory: Memory) -> Tensor:
        """v_j that each head sums up, (B, H, S + N, D / H)."""
        parts = [self.sentence.contents(memory)]
        if memory.beside is not None:
            parts.append(self.photo.contents(memory.beside))
        return torch.cat(parts, 2)

    def set_dropout(self, rate: float) -> None:
        """Sets the share of the weights dropped in training, of both."""
        self.sentence.set_dropout(rate)
        self.photo.set_dropout(rate)


Combined = Flat | Hierarchical


def _in_a_row(memory: Memory) -> Memory:
    """The sentence's positions and the photo's cells as one memory."""
    photo = memory.beside
    if photo is None:
        return memory
    masks = [
        torch.ones(one.values.shape[:2], dtype=torch.bool, device=memory.device)
        if one.mask is None
        else one.mask
        for one in (memory, photo)
    ]
    if photo.there is not None:
        masks[1] = masks[1] & photo.there.unsqueeze(1)
    values = torch.cat([memory.values, photo.values], 1)
    return replace(memory, values=values, mask=torch.cat(masks, 1))


def _cells(memory: Memory) -> int:
    """N, 0 without a photo."""
    return 0 if memory.beside is None else memory.beside.values.shape[1]


def _means(memory: Memory) -> Tensor:
    """The sentence's mean, and the photo's on top of it, (B, D).

    A projection of the sum is one of the two side by side, as the photo's cells have been projected
    by themselves before.
    """
    mean, photo = memory.mean(), memory.beside
    if photo is None:
        return mean
    seen = photo.mean()
    return mean + (seen if photo.there is None else seen * photo.there.unsqueeze(1).to(seen.dtype))


def _named(seen: Attended) -> dict[str, Tensor]:
    """By-products of the photo's attention, by names that the sentence's do not have."""
    return {f"photo_{name}": value for name, value in seen.extras.items()}
