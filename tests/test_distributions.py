"""Hard attention: what is drawn, what decoding looks at, and what its gradient is in the mean."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from captioner.nn.attention import Attended, Attention
from captioner.nn.distributions import Hard
from captioner.nn.memory import Memory
from captioner.nn.query import Query
from captioner.nn.scores import General

K, M, N, D, Q = 5, 3, 7, 11, 13


def attention_of(decode: str = "expectation", expected: float = 0.0) -> Attention:
    torch.manual_seed(1)
    return Attention(General(Q, D), distribution=Hard(decode, expected))


def queries_of(many: int = M) -> Tensor:
    return torch.randn(K, many, Q, generator=torch.Generator().manual_seed(2))


def memory_of() -> Memory:
    values = torch.randn(K, N, D, generator=torch.Generator().manual_seed(3))
    return Memory(values, torch.arange(N) < torch.tensor([7, 5, 1, 3, 2]).unsqueeze(1))


def attend(attention: Attention, place: int = 0) -> Attended:
    found: Attended = attention(Query(queries_of(), place=place), attention.prepare(memory_of()))
    return found


def soft() -> Attended:
    torch.manual_seed(1)
    return attend(Attention(General(Q, D)))


def at(positions: Tensor) -> Tensor:
    """Values at the first head's positions (K, M, 1): (K, M, D)."""
    return torch.stack(
        [memory_of().values[k, positions[k, :, 0].long()] for k in range(len(positions))]
    )


def test_decoding_by_expectation_is_soft_attention() -> None:
    found, expected = attend(attention_of().eval()), soft()
    assert torch.equal(found.weights, expected.weights)
    assert torch.equal(found.context, expected.context)
    assert found.extras == {}


def test_decoding_by_argmax_looks_at_the_likeliest() -> None:
    found, expected = attend(attention_of("argmax").eval()), soft()
    assert torch.equal(found.weights, expected.weights)  # the map stays what it was drawn from
    assert torch.equal(found.extras["glimpse"], expected.weights.argmax(-1).float())
    torch.testing.assert_close(found.context, at(found.extras["glimpse"]))


def test_decoding_by_sampling_looks_at_what_was_drawn() -> None:
    attention = attention_of("sample").eval()
    found = attend(attention, place=4)
    glimpse = found.extras["glimpse"]
    torch.testing.assert_close(found.context, at(glimpse))
    assert torch.equal(attend(attention, place=4).context, found.context)  # read again
    one = attention(
        Query(queries_of()[1:2], place=4), attention.prepare(memory_of().select(slice(1, 2)))
    )
    assert torch.equal(one.extras["glimpse"][0], glimpse[1])  # whoever stands beside it
    seen = torch.stack([attend(attention, place).extras["glimpse"] for place in range(3000)])
    shares = torch.stack([(seen[..., 0] == place).float().mean(0) for place in range(N)], -1)
    assert bool((shares[~memory_of().mask.unsqueeze(1).expand(K, M, N)] == 0).all())
    torch.testing.assert_close(shares, found.weights[:, :, 0], atol=0.04, rtol=0)


def test_training_draws_by_the_weights() -> None:
    attention = attention_of()
    torch.manual_seed(4)
    memory, query = attention.prepare(memory_of()), Query(queries_of(1).expand(K, 4000, Q))
    found = attention(query, memory)
    glimpse = found.extras["glimpse"][..., 0]
    shares = torch.stack([(glimpse == place).float().mean(1) for place in range(N)], -1)
    torch.testing.assert_close(shares, found.weights[:, 0, 0], atol=0.04, rtol=0)
    log_weights = found.weights[:, 0, 0].log()
    drawn = log_weights.gather(-1, glimpse.long())
    torch.testing.assert_close(found.extras["glimpse_log_prob"][..., 0], drawn)
    weights = found.weights.detach().double().numpy()[:, 0, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nansum(weights * np.log(weights), -1)
    np.testing.assert_allclose(
        found.extras["glimpse_entropy"][:, 0, 0].detach().numpy(), entropy, atol=1e-5
    )


@pytest.mark.parametrize("expected", [0.0, 0.5, 1.0])
def test_a_share_of_the_steps_looks_at_the_expectation(expected: float) -> None:
    attention = attention_of(expected=expected)
    torch.manual_seed(4)
    memory, query = attention.prepare(memory_of()), Query(queries_of(1).expand(K, 500, Q))
    found = attention(query, memory)
    expects = found.extras["glimpse"][..., 0] == -1
    assert abs(float(expects.float().mean()) - expected) < 0.05
    assert bool((found.extras["glimpse_log_prob"][..., 0][expects] == 0).all())
    whole = attention.eval()(query, memory).context
    torch.testing.assert_close(found.context[expects], whole[expects])
    for row in (0, 3):
        own = ~expects[row]
        looked = memory.values[row, found.extras["glimpse"][row, own, 0].long()]
        torch.testing.assert_close(found.context[row, own], looked)


def test_the_mean_gradient_of_draws_is_that_of_the_exact_expectation() -> None:
    """E over both steps' positions of a reward that only both together tell; all 49 are summed."""
    torch.manual_seed(6)
    attention = Attention(General(Q, D), distribution=Hard(expected=0.0))
    values, queries = torch.randn(1, N, D), torch.randn(1, 2, Q)
    rewards = torch.randn(N, N)  # by what the two steps look at
    memory = attention.prepare(Memory(values))
    weights = attention(Query(queries), memory).weights[0, :, 0]  # (2, N)
    exact = sum(
        weights[0, one] * weights[1, other] * rewards[one, other]
        for one, other in product(range(N), range(N))
    )
    (wanted,) = torch.autograd.grad(exact, attention.score.key.weight)

    draws = 60_000
    memory = attention.prepare(Memory(values))
    found = attention(Query(queries.repeat_interleave(draws, 1)), memory)
    glimpse = found.extras["glimpse"][0, :, 0].long().view(2, draws)
    log_probs = found.extras["glimpse_log_prob"][0, :, 0].view(2, draws).sum(0)
    advantages = rewards[glimpse[0], glimpse[1]] - 0.3  # any baseline
    (estimate,) = torch.autograd.grad((advantages * log_probs).mean(), attention.score.key.weight)
    error = (estimate - wanted).norm() / wanted.norm()
    assert float(error) < 0.05
    assert float(wanted.norm()) > 0.1


def test_the_entropy_has_a_gradient_where_weights_are_0() -> None:
    attention = attention_of()
    queries = (queries_of() * 1e3).requires_grad_()
    found = attention(Query(queries), attention.prepare(memory_of()))
    assert bool((found.weights == 0).any())
    (found.extras["glimpse_entropy"].sum() + found.extras["glimpse_log_prob"].sum()).backward()
    assert queries.grad is not None
    assert bool(queries.grad.isfinite().all())
