"""Scores: how well each position of a memory answers a query. They know nothing of heads.

Shapes: B memories, M queries of each, N positions, D features, Q query size; before the last two
dimensions there may be others, as of heads, if queries and keys have the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Additive(nn.Module):
    """e_j = vᵀ tanh(W q + U k_j): Bahdanau, Cho, Bengio 2015, appendix A.1.2."""

    def __init__(self, query_size: int, value_size: int, size: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, size)
        self.key = nn.Linear(value_size, size, bias=False)
        self.energy = nn.Linear(size, 1, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """U k_j, which does not depend on the query: (B, N, D) → (B, N, size)."""
        return self.key(values)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores (B, M, N) of queries (B, M, Q) against keys (B, N, size)."""
        hidden = torch.tanh(self.query(query).unsqueeze(-2) + keys.unsqueeze(-3))
        return self.energy(hidden).squeeze(-1)


class Dot(nn.Module):
    """e_j = q·k_j: Luong, Pham, Manning 2015, eq. 8; divided by √d: Vaswani et al. 2017, §3.2.1."""

    def __init__(self, query_size: int, value_size: int, scaled: bool = False) -> None:
        super().__init__()
        if query_size != value_size:
            raise ValueError(f"dot compares equal sizes, not {query_size} with {value_size}")
        self.scale = query_size**-0.5 if scaled else 1.0

    def keys(self, values: Tensor) -> Tensor:
        """The values themselves, (B, N, D)."""
        return values

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores (B, M, N) of queries (B, M, D) against keys (B, N, D)."""
        return torch.matmul(query, keys.transpose(-1, -2)) * self.scale


class General(nn.Module):
    """e_j = qᵀ W k_j: Luong, Pham, Manning 2015, eq. 8."""

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__()
        self.key = nn.Linear(value_size, query_size, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """W k_j, which does not depend on the query: (B, N, D) → (B, N, Q)."""
        return self.key(values)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores (B, M, N) of queries (B, M, Q) against keys (B, N, Q)."""
        return torch.matmul(query, keys.transpose(-1, -2))


class Cosine(nn.Module):
    """e_j = τ q·k_j / (‖q‖‖k_j‖) with a learned τ: the angle counts, not the length."""

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__()
        if query_size != value_size:
            raise ValueError(f"cosine compares equal sizes, not {query_size} with {value_size}")
        # A softmax of cosines alone could never be sharper than e² : 1 between two positions.
        self.temperature = nn.Parameter(torch.tensor(10.0))

    def keys(self, values: Tensor) -> Tensor:
        """Values of length 1, (B, N, D)."""
        return F.normalize(values, dim=-1)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores (B, M, N) of queries (B, M, D) against keys (B, N, D)."""
        unit = F.normalize(query, dim=-1)
        return torch.matmul(unit, keys.transpose(-1, -2)) * self.temperature


Score = Additive | Dot | General | Cosine

SCORE_BUILDERS: Mapping[str, Callable[[int, int, int], Score]] = {
    "additive": Additive,
    "dot": lambda query_size, value_size, _: Dot(query_size, value_size),
    "scaled_dot": lambda query_size, value_size, _: Dot(query_size, value_size, scaled=True),
    "general": lambda query_size, value_size, _: General(query_size, value_size),
    "cosine": lambda query_size, value_size, _: Cosine(query_size, value_size),
}
