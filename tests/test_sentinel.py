"""Adaptive attention against the equations of Lu et al. 2017, in NumPy by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from captioner.nn.attention import Attended, Attention, Heads
from captioner.nn.memory import Memory
from captioner.nn.query import Query
from captioner.nn.scores import SCORE_BUILDERS, Additive, Dot
from captioner.nn.sentinel import Adaptive

K, M, N, D, Q, SIZE, E = 5, 3, 7, 11, 13, 17, 19


def drawn(*shape: int, seed: int = 2) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mask_of() -> Tensor:
    return torch.arange(N) < torch.tensor([7, 5, 1, 3, 2]).unsqueeze(1)


def query_of(size: int = Q, fed: bool = False) -> Query:
    return Query(
        drawn(K, M, size),
        drawn(K, M, E, seed=3),
        cell=drawn(K, M, size, seed=4),
        previous=drawn(K, M, size, seed=5),
        fed=drawn(K, M, D, seed=6) if fed else None,
    )


def double(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def attend(attention: Attention, query: Query, memory: Memory) -> Attended:
    found: Attended = attention(query, attention.prepare(memory))
    return found


@pytest.mark.parametrize("fed", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_it_is_the_loop_of_the_paper(masked: bool, fed: bool) -> None:
    torch.manual_seed(1)
    own = Adaptive(Additive(Q, D, SIZE), query_size=Q, value_size=D, input_size=E + D * fed)
    values, query = drawn(K, N, D, seed=7), query_of(fed=fed)
    mask = mask_of() if masked else torch.ones(K, N, dtype=torch.bool)
    found = attend(own, query, Memory(values, mask if masked else None))

    w = {name: double(value) for name, value in own.state_dict().items()}
    asked = double(query.hidden)
    read = np.concatenate(
        [double(part) for part in (query.word, query.fed) if part is not None], -1
    )
    gate = sigmoid(
        read @ w["of_input.weight"].T
        + w["of_input.bias"]
        + double(query.previous) @ w["of_state.weight"].T
    )
    sentinel = gate * np.tanh(double(query.cell))  # eq. 9 and 10
    # eq. 6 and 12: w_hᵀ tanh(W_v v + W_g h) of the positions, w_hᵀ tanh(W_s s + W_g h) of it
    vector = w["score.energy.weight"][0]
    of_query = asked @ w["score.query.weight"].T + w["score.query.bias"]
    of_values = double(values) @ w["score.key.weight"].T
    of_sentinel = sentinel @ (w["score.key.weight"] @ w["sentinel_key.weight"]).T
    energies = np.tanh(of_query[:, :, None] + of_values[:, None]) @ vector  # (K, M, N)
    energies = np.where(mask.numpy()[:, None], energies, -np.inf)
    extended = np.concatenate([energies, (np.tanh(of_query + of_sentinel) @ vector)[..., None]], -1)
    raised = np.exp(extended - extended.max(-1, keepdims=True))
    shares = raised / raised.sum(-1, keepdims=True)  # α̂, (K, M, N + 1)
    beta = shares[..., -1:]
    np.testing.assert_allclose(double(found.extras["sentinel"]), beta, atol=1e-6)
    np.testing.assert_allclose(
        double(found.weights[:, :, 0]), shares[..., :-1] / (1 - beta), atol=1e-6
    )
    context = np.einsum("kmn,knd->kmd", shares[..., :-1], double(values))
    context += beta * (sentinel @ w["sentinel_value.weight"].T)  # eq. 11
    np.testing.assert_allclose(double(found.context), context, atol=1e-5)


@pytest.mark.parametrize("score", [name for name in SCORE_BUILDERS if name != "location"])
def test_of_one_size_the_sentinel_is_one_more_position(score: str) -> None:
    """Whoever scores: attention over a memory to which each query's own sentinel was added."""
    torch.manual_seed(1)
    inner = SCORE_BUILDERS[score](D, D, SIZE)
    own = Adaptive(inner, query_size=D, value_size=D, input_size=E)
    with torch.no_grad():
        own.sentinel_key.weight.copy_(torch.eye(D))
    values, query = drawn(K, N, D, seed=7), query_of(D)
    found = attend(own, query, Memory(values, mask_of()))
    sentinel = own.sentinel(query).detach()
    plain = Attention(inner)
    for number in range(M):
        extended = torch.cat([values, sentinel[:, number : number + 1]], 1)
        mask = torch.cat([mask_of(), torch.ones(K, 1, dtype=torch.bool)], 1)
        asked = Query(query.hidden[:, number : number + 1])
        expected = attend(plain, asked, Memory(extended, mask))
        torch.testing.assert_close(found.context[:, number], expected.context[:, 0])
        beta = expected.weights[:, 0, :, -1]
        torch.testing.assert_close(found.extras["sentinel"][:, number], beta)
        among = expected.weights[:, 0, :, :-1] / (1 - beta).unsqueeze(-1)
        torch.testing.assert_close(found.weights[:, number], among, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("heads", [1, 3])
def test_a_sentinel_of_minus_infinity_is_plain_attention(
    heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    size = 15
    parts = Heads(heads, Q, size) if heads > 1 else None
    score = Dot(5, 5) if heads > 1 else Additive(Q, size, SIZE)
    own = Adaptive(score, heads=parts, query_size=Q, value_size=size, input_size=E)
    torch.manual_seed(2)
    plain = Attention(score, heads=parts)
    plain.load_state_dict({k: v for k, v in own.state_dict().items() if k in plain.state_dict()})
    memory = Memory(drawn(K, N, size, seed=7), mask_of())
    expected = attend(plain, query_of(), memory)
    assert not torch.allclose(attend(own, query_of(), memory).context, expected.context)

    def nothing(query: Query, sentinel: Tensor) -> Tensor:
        return torch.full((K, heads, M), -torch.inf)

    monkeypatch.setattr(own, "_energy", nothing)
    found = attend(own, query_of(), memory)
    torch.testing.assert_close(found.context, expected.context)
    torch.testing.assert_close(found.weights, expected.weights)
    assert torch.equal(found.extras["sentinel"], torch.zeros(K, M, heads))


def test_the_gradient_reaches_every_part() -> None:
    torch.manual_seed(1)
    own = Adaptive(Dot(5, 5), heads=Heads(3, Q, 15), query_size=Q, value_size=15, input_size=E)
    found = attend(own, query_of(), Memory(drawn(K, N, 15, seed=7), mask_of()))
    assert found.extras["sentinel"].shape == (K, M, 3)
    found.context.square().sum().backward()
    for name, parameter in own.named_parameters():
        assert parameter.grad is not None, name
        assert bool((parameter.grad != 0).any()), name
