"""Adaptive attention: a step may look at what the decoder knows already, instead of the memory.

Shapes: B memories, M queries of each, N positions, D features, Q query size, H heads, X inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from captioner.nn.attention import Attended, Attention, Heads
from captioner.nn.memory import Memory
from captioner.nn.query import Query
from captioner.nn.scores import Score


class Adaptive(Attention):
    """Attention with a visual sentinel: Lu, Xiong, Parikh, Socher 2017, §2.2 and 2.3.

    s_t = σ(W_x x_t + W_h h_{t−1}) ⊙ tanh(m_t), with the cell m_t of an LSTM, competes with the
    memory's positions as one more of them; β_t is its weight, and the context is
    β_t s_t + (1 − β_t) c_t. Scores of other forms than the paper's see s_t through a map of its
    own, as there.
    """

    def __init__(
        self,
        score: Score,
        *,
        query_size: int,
        value_size: int,
        input_size: int,
        heads: Heads | None = None,
        dropout: float = 0.0,
    ) -> None:
        """Takes the parts of an attention, and the sizes of what the sentinel is made from.

        Args:
            score: of a query and a position, the sentinel among them.
            query_size: Q, of the state and of the cell.
            value_size: D.
            input_size: X, of what the recurrent step has read.
            heads: sizes of the heads; each has a β of its own.
            dropout: share of the weights dropped from what the context sums.
        """
        super().__init__(score, heads=heads, dropout=dropout)
        self.of_input = nn.Linear(input_size, query_size)
        self.of_state = nn.Linear(query_size, query_size, bias=False)
        self.sentinel_key = nn.Linear(query_size, value_size, bias=False)
        # As in the paper, where the two are of one size, the sentinel is looked at as it is.
        same = query_size == value_size
        self.sentinel_value = (
            nn.Identity() if same else nn.Linear(query_size, value_size, bias=False)
        )

    def sentinel(self, query: Query) -> Tensor:
        """s_t (B, M, Q)."""
        assert query.word is not None
        assert query.cell is not None
        assert query.previous is not None
        read = query.word if query.fed is None else torch.cat([query.word, query.fed], -1)
        gate = torch.sigmoid(self.of_input(read) + self.of_state(query.previous))
        return gate * torch.tanh(query.cell)

    def forward(self, query: Query, memory: Memory) -> Attended:
        """Attends; the weights are those among the memory's positions.

        Extras: `sentinel` (B, M, H), β: how little of the memory was needed.
        """
        assert memory.contents is not None, "Attention.prepare comes first"
        own = self.sentinel(query)
        windowed = self.windowed(query, memory)
        among = self.distribution(windowed.energies, query)
        everything = windowed.energies.float().logsumexp(-1)  # (B, H, M)
        share = torch.sigmoid(self._energy(query, own).float() - everything)
        content = self._split(self.value(self.sentinel_value(own)))  # (B, H, M, D / H)
        looked = self.dropout(torch.cat([share.unsqueeze(-1), _less(share, among.looked)], -1))
        looked = looked.to(memory.contents.dtype)
        sums = torch.matmul(looked[..., 1:], memory.contents) + looked[..., :1] * content
        extras = {"sentinel": share.transpose(1, 2), **among.extras, **windowed.extras}
        return Attended(self._joined(sums), self._seen(among.weights, memory), extras)

    def _energy(self, query: Query, sentinel: Tensor) -> Tensor:
        """The sentinel's own score (B, H, M): each query has one, whose only key it is."""
        asked = self._split(self.query(query.hidden)).unsqueeze(-2)  # (B, H, M, 1, ·)
        keys = self._split(self.key(self.sentinel_key(sentinel)))  # (B, H, M, D / H)
        energies: Tensor = self.score(asked, self.score.keys(keys).unsqueeze(-2))
        return energies.flatten(-3)


def _less(share: Tensor, weights: Tensor) -> Tensor:
    """(1 − β) α, (B, H, M, N)."""
    return (1 - share).unsqueeze(-1) * weights
