"""Distributions: how energies become what is looked at. The third of attention's moves.

Shapes: B memories, M queries of each, N positions, H heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from captioner.nn.query import Query


@dataclass(frozen=True)
class Distributed:
    """How much each position is looked at."""

    weights: Tensor  # (B, H, M, N) the distribution, in single precision; rows sum to 1
    looked: Tensor  # (B, H, M, N) what the context is made of: the same, or one position each
    extras: Mapping[str, Tensor] = field(default_factory=dict)  # by-products, (B, M, …) each


class Softmax(nn.Module):
    """The distribution of soft attention: α_j = exp(e_j) / Σ_k exp(e_k)."""

    def forward(self, energies: Tensor, query: Query) -> Distributed:
        """Weights (B, H, M, N) of energies."""
        weights = energies.float().softmax(-1)
        return Distributed(weights, weights)


class Hard(nn.Module):
    """Hard attention: one position a step, drawn from α = softmax(e) (Xu et al. 2015, §4.1).

    Drawing has no gradient. Training therefore needs what the extras hold then, for
    `captioner.training.glimpses`: how likely each draw was, and the entropy of what it was drawn
    from.
    """

    def __init__(self, decode: str = "expectation", expected: float = 0.5) -> None:
        """Takes what is drawn and when.

        Args:
            decode: what a trained model looks at: `expectation`, all positions by their weights,
                as soft attention does; `argmax`, the likeliest; `sample`, one that is drawn.
            expected: share of the steps in training that look at the expectation instead of a draw
                (the paper's ½, there of photos).
        """
        super().__init__()
        self.decode, self.expected = decode, expected

    def forward(self, energies: Tensor, query: Query) -> Distributed:
        """Weights (B, H, M, N), and what is looked at.

        Extras: `glimpse` (B, M, H), the position that was looked at; in training, where it is −1
        if the expectation was looked at, also `glimpse_log_prob` and `glimpse_entropy` (B, M, H)
        with their gradients, the former 0 where nothing was drawn.
        """
        weights = energies.float().softmax(-1)
        if self.training:
            return self._explored(weights, energies.float().log_softmax(-1))
        if self.decode == "expectation":
            return Distributed(weights, weights)
        chosen = weights.argmax(-1) if self.decode == "argmax" else _drawn(weights, query.place)
        glimpse = chosen.to(weights).transpose(1, 2)
        return Distributed(weights, _only(chosen, weights), {"glimpse": glimpse})

    def _explored(self, weights: Tensor, log_weights: Tensor) -> Distributed:
        with torch.no_grad():
            # The first of N alarm clocks with these rates rings at j with probability α_j.
            times = torch.empty_like(weights).exponential_().clamp_(min=1e-30)
            chosen = (weights / times).argmax(-1)  # (B, H, M)
            expects = torch.rand_like(weights[..., 0]) < self.expected
            looked = _only(chosen, weights)
        log_prob = log_weights.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
        possible = log_weights.masked_fill(weights == 0, 0)  # 0 log 0 is 0
        extras = {
            "glimpse": chosen.masked_fill(expects, -1).to(weights),
            "glimpse_log_prob": log_prob.masked_fill(expects, 0),
            "glimpse_entropy": -(weights * possible).sum(-1),
        }
        looked = torch.where(expects.unsqueeze(-1), weights, looked)
        return Distributed(weights, looked, {k: v.transpose(1, 2) for k, v in extras.items()})


def _only(chosen: Tensor, weights: Tensor) -> Tensor:
    """1 at the chosen positions (B, H, M), 0 elsewhere: (B, H, M, N)."""
    return torch.zeros_like(weights).scatter_(-1, chosen.unsqueeze(-1), 1)


def _drawn(weights: Tensor, place: int) -> Tensor:
    """Positions (B, H, M) drawn from weights (B, H, M, N).

    The random numbers depend on the step and the head alone, so that no caption depends on its
    neighbours, and who reads one again looks where its writer looked.
    """
    heads = weights.shape[1]
    numbers = np.random.default_rng(place).random((1, heads, 1, 1))
    cumulated = weights.cumsum(-1)
    total = cumulated[..., -1:]
    drawn = torch.from_numpy(numbers).to(weights) * total
    drawn = torch.minimum(drawn, total.nextafter(torch.zeros_like(total)))
    # The first position behind which more than that has been seen: its weight is above 0.
    return (cumulated <= drawn).sum(-1)


Distribution = Softmax | Hard
