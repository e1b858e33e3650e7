"""Scores: how well each position of a memory answers a query. They know nothing of heads.

Shapes: B memories, M queries of each, N positions, D features, Q query size; before the last two
dimensions there may be others, as of heads, if queries and keys have the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_CACHED = 2**19  # numbers that stay in a CPU's cache between two operations


class Additive(nn.Module):
    """e_j = vᵀ tanh(W q + U k_j): Bahdanau, Cho, Bengio 2015, appendix A.1.2."""

    compares: ClassVar[bool] = True  # whether it asks what lies at a position

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
        asked, weight = self.query(query), self.energy.weight[0]
        if asked.device.type == "cpu" and asked.dtype == keys.dtype == weight.dtype:
            flat = _AdditiveEnergies.apply(
                asked.flatten(0, -3).contiguous(), keys.flatten(0, -3), weight
            )
            found: Tensor = flat.unflatten(0, keys.shape[:-2])
            return found
        hidden = torch.tanh(asked.unsqueeze(-2) + keys.unsqueeze(-3))
        return self.energy(hidden).squeeze(-1)


class Covering(Additive):
    """e_j = vᵀ tanh(W q + U k_j + w c_j): See, Liu, Manning 2017, eq. 11, after Tu et al. 2016.

    c_j is how much position j has been looked at so far, the sum of its weights.
    """

    def __init__(self, query_size: int, value_size: int, size: int) -> None:
        super().__init__(query_size, value_size, size)
        self.covered = nn.Linear(1, size, bias=False)

    def forward(self, query: Tensor, keys: Tensor, covered: Tensor | None = None) -> Tensor:
        """Scores (B, M, N) by what each query has covered (B, M, N); left out, nothing."""
        if covered is None:
            return super().forward(query, keys)
        hidden = self.query(query).unsqueeze(-2) + keys.unsqueeze(-3)  # (B, M, N, size)
        hidden = torch.tanh(hidden + self.covered(covered.to(hidden.dtype).unsqueeze(-1)))
        return self.energy(hidden).squeeze(-1)


class _AdditiveEnergies(torch.autograd.Function):
    """vᵀ tanh(q + k) on a CPU in half the time: a few memories at once, gradients too.

    All sums q + k together, (B, M, N, size), would be written to memory and read again four times
    a step, and kept until the gradient is computed; those of a few memories stay in the cache, and
    are computed once more. It can be derived once.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, weight: Tensor) -> Tensor:
        """Scores (B, M, N) of queries (B, M, size) and keys (B, N, size), by weights (size,)."""
        ctx.save_for_backward(query, keys, weight)
        energies = query.new_empty(*query.shape[:2], keys.shape[1])
        for part in _parts(query, keys):
            energies[part] = torch.matmul(_hidden(query[part], keys[part]), weight)
        return energies

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of queries, keys and weights, in an order that no thread changes."""
        query, keys, weight = ctx.saved_tensors
        of_query, of_keys = torch.empty_like(query), torch.empty_like(keys)
        of_weight = torch.zeros_like(weight)
        for part in _parts(query, keys):
            hidden, gradient = _hidden(query[part], keys[part]), outer[0][part]
            of_weight += torch.mv(hidden.flatten(0, 2).T, gradient.flatten())
            # (1 − tanh²) g, which the weights scale when it has been summed.
            inner = hidden.square_().neg_().add_(1).mul_(gradient.unsqueeze(-1))
            torch.sum(inner, 2, out=of_query[part])
            torch.sum(inner, 1, out=of_keys[part])
        return of_query.mul_(weight), of_keys.mul_(weight), of_weight


def _parts(query: Tensor, keys: Tensor) -> Iterator[slice]:
    """As many memories at once as the cache holds, one at least."""
    each = query.shape[1] * keys.shape[1] * keys.shape[2]
    count = max(1, _CACHED // max(1, each))
    return (slice(first, first + count) for first in range(0, len(query), count))


def _hidden(query: Tensor, keys: Tensor) -> Tensor:
    return (query.unsqueeze(2) + keys.unsqueeze(1)).tanh_()  # (B, M, N, size)


class Dot(nn.Module):
    """e_j = q·k_j: Luong, Pham, Manning 2015, eq. 8; divided by √d: Vaswani et al. 2017, §3.2.1."""

    compares: ClassVar[bool] = True

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

    compares: ClassVar[bool] = True

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

    compares: ClassVar[bool] = True

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


class Location(nn.Module):
    """e = W q: Luong, Pham, Manning 2015, §3.1: where to look, whatever lies there.

    W has a row for each place, the first N of which a memory of N positions uses; behind them a
    longer memory is never looked at.
    """

    compares: ClassVar[bool] = False

    def __init__(self, query_size: int, places: int) -> None:
        super().__init__()
        self.place = nn.Linear(query_size, places, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """Nothing of each position but that it is there: (B, N, D) → (B, N, 0)."""
        return values[..., :0]

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores (B, M, N) of queries (B, M, Q), −∞ behind the last place."""
        positions, places = keys.shape[-2], self.place.out_features
        energies = F.linear(query, self.place.weight[:positions])
        return F.pad(energies, (0, max(0, positions - places)), value=-torch.inf)


Score = Additive | Dot | General | Cosine | Location

# Of the sizes of query, value and additive hidden layer, and, for location, the number of places.
SCORE_BUILDERS: Mapping[str, Callable[..., Score]] = {
    "additive": lambda query_size, value_size, size, *_: Additive(query_size, value_size, size),
    "dot": lambda query_size, value_size, *_: Dot(query_size, value_size),
    "scaled_dot": lambda query_size, value_size, *_: Dot(query_size, value_size, scaled=True),
    "general": lambda query_size, value_size, *_: General(query_size, value_size),
    "cosine": lambda query_size, value_size, *_: Cosine(query_size, value_size),
    "location": lambda query_size, value_size, size, places=128: Location(query_size, places),
}
