"""One attention, five scores, held against NumPy, against torch's own and against each other."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from captioner.nn import architecture
from captioner.nn.attention import (
    SCORE_BUILDERS,
    Additive,
    Attended,
    Attention,
    Bottleneck,
    Cosine,
    Dot,
    General,
    Memory,
    MultiHead,
)

K, N, D, SIZE = 5, 7, 11, 13
OTHER_QUERY = 17  # of the scores that compare unequal sizes
SCORES = tuple(SCORE_BUILDERS)


def query_size(score: str) -> int:
    return OTHER_QUERY if score in ("additive", "general") else D


def attention_of(score: str, seed: int = 1) -> Attention:
    torch.manual_seed(seed)
    return Attention(SCORE_BUILDERS[score](query_size(score), D, SIZE))


def queries_of(score: str, seed: int = 2) -> Tensor:
    return torch.randn(K, query_size(score), generator=torch.Generator().manual_seed(seed))


def values_of(positions: int = N, seed: int = 3) -> Tensor:
    return torch.randn(K, positions, D, generator=torch.Generator().manual_seed(seed))


def mask_of() -> Tensor:
    """Sentences of 7, 5, 1, 3 and 2 words, one with a hole."""
    mask = torch.arange(N) < torch.tensor([7, 5, 1, 3, 2]).unsqueeze(1)
    mask[1, 2] = False
    return mask


def attend(attention: Attention, queries: Tensor, memory: Memory) -> Attended:
    return attention(queries, attention.prepare(memory))


def softmax(energies: np.ndarray) -> np.ndarray:
    raised = np.exp(energies - energies.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def double(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def test_the_scores_are_those_of_the_settings() -> None:
    assert SCORES == architecture.SCORES


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("score", SCORES)
def test_weights_sum_to_1_and_weigh_the_values(score: str, masked: bool) -> None:
    values, mask = values_of(), mask_of() if masked else None
    attended = attend(attention_of(score), queries_of(score), Memory(values, mask))
    assert attended.weights.shape == (K, 1, N)
    assert attended.context.shape == (K, D)
    assert attended.extras == {}
    assert bool((attended.weights >= 0).all())
    torch.testing.assert_close(attended.weights.sum(-1), torch.ones(K, 1))
    expected = np.einsum("kn,knd->kd", double(attended.weights[:, 0]), double(values))
    np.testing.assert_allclose(double(attended.context), expected, atol=1e-6)


@pytest.mark.parametrize("score", SCORES)
def test_masked_positions_get_exactly_0_and_count_for_nothing(score: str) -> None:
    attention, queries = attention_of(score), queries_of(score)
    values, mask = values_of(), mask_of()
    attended = attend(attention, queries, Memory(values, mask))
    assert bool((attended.weights[:, 0][~mask] == 0).all())
    assert bool((attended.weights[:, 0][mask] > 0).all())
    for row in range(K):
        alone = Memory(values[row : row + 1, mask[row]])
        expected = attend(attention, queries[row : row + 1], alone)
        torch.testing.assert_close(attended.weights[row, :, mask[row]], expected.weights[0])
        torch.testing.assert_close(attended.context[row], expected.context[0])


@pytest.mark.parametrize("score", SCORES)
def test_padding_changes_nothing(score: str) -> None:
    attention, queries = attention_of(score), queries_of(score)
    values, mask = values_of(), mask_of()
    padded = Memory(F.pad(values, (0, 0, 0, 6), value=1e3), F.pad(mask, (0, 6)))
    expected = attend(attention, queries, Memory(values, mask))
    attended = attend(attention, queries, padded)
    torch.testing.assert_close(attended.context, expected.context)
    torch.testing.assert_close(attended.weights, F.pad(expected.weights, (0, 6)))


@pytest.mark.parametrize("score", SCORES)
def test_a_memory_masked_everywhere_is_an_error(score: str) -> None:
    mask = mask_of()
    mask[1] = mask[3] = False
    with pytest.raises(ValueError, match=r"memories \[1, 3\] are masked everywhere; each needs"):
        attention_of(score).prepare(Memory(values_of(), mask))


@pytest.mark.parametrize("score", SCORES)
def test_permuting_the_memory_permutes_the_weights(score: str) -> None:
    attention, queries = attention_of(score), queries_of(score)
    values, mask = values_of(), mask_of()
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    expected = attend(attention, queries, Memory(values, mask))
    permuted = attend(attention, queries, Memory(values[:, order], mask[:, order]))
    torch.testing.assert_close(permuted.weights, expected.weights[..., order])
    torch.testing.assert_close(permuted.context, expected.context)


@pytest.mark.parametrize("masked", [False, True])
def test_scaled_dot_is_torchs_own(masked: bool) -> None:
    queries, values, mask = queries_of("scaled_dot"), values_of(), mask_of()
    attended = attend(attention_of("scaled_dot"), queries, Memory(values, mask if masked else None))
    expected = F.scaled_dot_product_attention(
        queries.unsqueeze(1), values, values, attn_mask=mask.unsqueeze(1) if masked else None
    )
    torch.testing.assert_close(attended.context, expected.squeeze(1))


def test_additive_is_the_loop_of_the_paper() -> None:
    rng = np.random.default_rng(4)
    sizes = {"W": (SIZE, OTHER_QUERY), "b": (SIZE,), "U": (SIZE, D), "v": (SIZE,)}
    hand = {name: rng.normal(size=size) for name, size in sizes.items()}
    queries, values = rng.normal(size=(K, OTHER_QUERY)), rng.normal(size=(K, N, D))
    energies = np.zeros((K, N))
    for k in range(K):
        for j in range(N):
            hidden = np.tanh(hand["W"] @ queries[k] + hand["b"] + hand["U"] @ values[k, j])
            energies[k, j] = hand["v"] @ hidden

    score = Additive(OTHER_QUERY, D, SIZE).double()
    names = {"query.weight": "W", "query.bias": "b", "key.weight": "U", "energy.weight": "v"}
    state = {name: torch.tensor(hand[letter]) for name, letter in names.items()}
    score.load_state_dict({**state, "energy.weight": state["energy.weight"].unsqueeze(0)})
    found = score(torch.tensor(queries), score.keys(torch.tensor(values)))
    np.testing.assert_allclose(double(found), energies, atol=1e-12)

    attended = attend(Attention(score), torch.tensor(queries), Memory(torch.tensor(values)))
    weights = softmax(energies)
    np.testing.assert_allclose(double(attended.weights[:, 0]), weights, atol=1e-6)
    context = np.einsum("kn,knd->kd", weights, values)
    np.testing.assert_allclose(double(attended.context), context, atol=1e-6)


def test_general_is_the_loop_of_the_paper() -> None:
    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(OTHER_QUERY, D))
    queries, values = rng.normal(size=(K, OTHER_QUERY)), rng.normal(size=(K, N, D))
    energies = np.array([[queries[k] @ matrix @ values[k, j] for j in range(N)] for k in range(K)])
    score = General(OTHER_QUERY, D).double()
    score.load_state_dict({"key.weight": torch.tensor(matrix)})
    found = score(torch.tensor(queries), score.keys(torch.tensor(values)))
    np.testing.assert_allclose(double(found), energies, atol=1e-12)


def test_general_with_the_identity_is_dot() -> None:
    general = General(D, D)
    general.load_state_dict({"key.weight": torch.eye(D)})
    queries, memory = queries_of("dot"), Memory(values_of(), mask_of())
    expected = attend(Attention(Dot(D, D)), queries, memory)
    attended = attend(Attention(general), queries, memory)
    torch.testing.assert_close(attended.weights, expected.weights)
    torch.testing.assert_close(attended.context, expected.context)


def test_scaled_dot_times_the_root_of_d_is_dot() -> None:
    queries, values = queries_of("dot"), values_of()
    dot, scaled = Dot(D, D), Dot(D, D, scaled=True)
    torch.testing.assert_close(scaled(queries, values) * math.sqrt(D), dot(queries, values))
    memory = Memory(values, mask_of())
    torch.testing.assert_close(
        attend(Attention(scaled), queries * math.sqrt(D), memory).weights,
        attend(Attention(dot), queries, memory).weights,
    )


def test_cosine_is_numpys_and_sees_no_lengths() -> None:
    queries, values = queries_of("cosine"), values_of()
    score = Cosine(D, D)
    tau = 3.7
    with torch.no_grad():
        score.temperature.fill_(tau)
    q, k = double(queries), double(values)
    dots = np.einsum("kd,knd->kn", q, k)
    energies = tau * dots / np.linalg.norm(q, axis=-1)[:, None] / np.linalg.norm(k, axis=-1)
    found = score(queries, score.keys(values))
    np.testing.assert_allclose(double(found), energies, atol=1e-5)
    lengths = torch.linspace(0.1, 9, K * N).view(K, N, 1)
    torch.testing.assert_close(score(queries * 29, score.keys(values * lengths)), found)


@pytest.mark.parametrize("score", SCORES)
def test_the_gradient_reaches_everything_but_the_padding(score: str) -> None:
    attention = attention_of(score)
    queries, values = queries_of(score).requires_grad_(), values_of().requires_grad_()
    mask = mask_of()
    # Contexts alone: the softmax would hide the score from a sum of weights.
    attend(attention, queries, Memory(values, mask)).context.square().sum().backward()
    for name, parameter in attention.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert bool((parameter.grad != 0).any()), name
    assert queries.grad is not None
    assert bool((queries.grad != 0).any(1)[mask.sum(1) > 1].all())
    assert values.grad is not None
    assert bool((values.grad[mask] != 0).any(-1).all())
    assert bool((values.grad[~mask] == 0).all())


@pytest.mark.parametrize("masked", [False, True])
def test_memory_selects_with_everything_it_has(masked: bool) -> None:
    memory = Memory(values_of(), mask_of() if masked else None, grid=(1, N))
    memory = attention_of("general").prepare(memory)
    assert memory.keys is not None
    assert len(memory) == K
    indices = torch.tensor([4, 0, 0])
    for chosen, selected in [
        (indices, memory.select(indices)),
        (slice(2), memory.select(slice(2))),
    ]:
        torch.testing.assert_close(selected.values, memory.values[chosen])
        assert selected.keys is not None
        torch.testing.assert_close(selected.keys, memory.keys[chosen])
        assert selected.grid == (1, N)
        assert len(selected) == len(memory.values[chosen])
        if memory.mask is None:
            assert selected.mask is None
        else:
            assert selected.mask is not None
            assert torch.equal(selected.mask, memory.mask[chosen])


def test_memory_mean_is_of_the_real_positions() -> None:
    values, mask = values_of(), mask_of()
    torch.testing.assert_close(Memory(values).mean(), values.mean(1))
    expected = torch.stack([values[k, mask[k]].mean(0) for k in range(K)])
    torch.testing.assert_close(Memory(values, mask).mean(), expected)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        ("dot", "dot compares equal sizes, not 17 with 11"),
        ("scaled_dot", "dot compares equal sizes, not 17 with 11"),
        ("cosine", "cosine compares equal sizes, not 17 with 11"),
    ],
)
def test_unequal_sizes_cannot_be_compared(score: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SCORE_BUILDERS[score](OTHER_QUERY, D, SIZE)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("score", SCORES)
def test_half_precision_still_sums_to_1(score: str, kind: torch.dtype) -> None:
    cells = 197  # enough that errors of one sign would add up
    attention = attention_of(score).to(kind)
    memory = Memory(values_of(cells).to(kind), torch.arange(cells).expand(K, -1) < 193)
    attended = attend(attention, queries_of(score).to(kind), memory)
    assert attended.weights.dtype == attended.context.dtype == kind
    sums = attended.weights.double().sum(-1)
    tolerance = {torch.bfloat16: 2**-7, torch.float16: 2**-10}[kind]
    torch.testing.assert_close(sums, torch.ones_like(sums), atol=tolerance, rtol=0)
    assert bool((attended.weights[..., 193:] == 0).all())


def test_large_energies_do_not_overflow() -> None:
    queries, values = queries_of("dot") * 1e4, values_of() * 1e4
    weights = attend(attention_of("dot"), queries, Memory(values)).weights
    torch.testing.assert_close(weights.sum(-1), torch.ones(K, 1))
    best = torch.einsum("kd,knd->kn", queries, values).argmax(-1)
    assert torch.equal(weights[:, 0].argmax(-1), best)


@pytest.mark.parametrize("score", SCORES)
def test_nothing_is_kept_between_two_calls(score: str) -> None:
    attention, queries = attention_of(score), queries_of(score)
    first, second = Memory(values_of(seed=6)), Memory(values_of(seed=7))
    prepared, other = attention.prepare(first), attention.prepare(second)
    expected = attention(queries, prepared).weights
    attention(queries, other)
    assert torch.equal(attention(queries, prepared).weights, expected)
    assert first.keys is None  # `prepare` gives a new memory


def test_an_unprepared_memory_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match=r"Attention\.prepare comes first"):
        attention_of("dot")(queries_of("dot"), Memory(values_of()))


def test_the_grid_changes_no_weights() -> None:
    attention, queries = attention_of("general"), queries_of("general")
    row = attention.prepare(Memory(values_of()))
    column = replace(row, grid=(N, 1))
    assert torch.equal(attention(queries, column).weights, attention(queries, row).weights)


HEADS, HEAD = 3, 5  # a head's features


def multi_head() -> tuple[MultiHead, torch.nn.MultiheadAttention]:
    """Ours and torch's own with the same weights."""
    torch.manual_seed(4)
    own = MultiHead(OTHER_QUERY, HEADS * HEAD, HEADS)
    theirs = torch.nn.MultiheadAttention(
        HEADS * HEAD, HEADS, batch_first=True, kdim=HEADS * HEAD, vdim=HEADS * HEAD
    )
    with torch.no_grad():
        theirs.in_proj_bias.zero_()
        weights = [torch.eye(HEADS * HEAD), own.key.weight, own.value.weight]
        theirs.in_proj_weight.copy_(torch.cat(weights))
        theirs.in_proj_bias.copy_(
            torch.cat([torch.zeros(HEADS * HEAD), own.key.bias, own.value.bias])
        )
        theirs.out_proj.weight.copy_(own.output.weight)
        theirs.out_proj.bias.copy_(own.output.bias)
    return own, theirs


@pytest.mark.parametrize("masked", [False, True])
def test_multi_head_is_torchs_own(masked: bool) -> None:
    own, theirs = multi_head()
    queries, values = torch.randn(K, OTHER_QUERY), torch.randn(K, N, HEADS * HEAD)
    mask = mask_of() if masked else None
    found = own(queries, own.prepare(Memory(values, mask)))
    context, weights = theirs(
        own.query(queries).unsqueeze(1),  # torch's queries are of the memory's size
        values,
        values,
        key_padding_mask=None if mask is None else ~mask,
        average_attn_weights=False,
    )
    torch.testing.assert_close(found.context, context.squeeze(1))
    torch.testing.assert_close(found.weights, weights.squeeze(2))
    assert found.weights.shape == (K, HEADS, N)
    if mask is not None:
        assert (found.weights.transpose(1, 2)[~mask] == 0).all()


def test_the_heads_of_a_selected_memory_are_selected_too() -> None:
    own, _ = multi_head()
    memory = own.prepare(Memory(torch.randn(K, N, HEADS * HEAD), mask_of()))
    rows = torch.tensor([3, 0, 0])
    queries = torch.randn(3, OTHER_QUERY)
    found = own(queries, memory.select(rows))
    for query, row, context in zip(queries, rows.tolist(), found.context, strict=True):
        alone = own(query.unsqueeze(0), memory.select(torch.tensor([row])))
        torch.testing.assert_close(alone.context[0], context)


def test_heads_must_share_the_features_evenly() -> None:
    with pytest.raises(ValueError, match="4 heads cannot share 11 features evenly"):
        MultiHead(OTHER_QUERY, D, 4)


def test_a_memory_masked_everywhere_is_an_error_for_heads_too() -> None:
    own, _ = multi_head()
    with pytest.raises(ValueError, match=r"memories \[1\] are masked everywhere"):
        own.prepare(
            Memory(torch.randn(2, N, HEADS * HEAD), torch.tensor([[True], [False]]).expand(2, N))
        )


@pytest.mark.parametrize("heads", [1, HEADS])
def test_dropped_weights_change_the_context_alone(heads: int) -> None:
    size = HEADS * HEAD
    torch.manual_seed(6)
    module = (
        MultiHead(size, size, heads, 0.4) if heads > 1 else Attention(Dot(size, size), dropout=0.4)
    )
    memory = module.prepare(Memory(torch.randn(1, N, size)).select(torch.zeros(2000).long()))
    queries = torch.randn(1, size).expand(2000, size)
    drawn = module(queries, memory)
    whole = module.eval()(queries, memory)
    assert torch.equal(drawn.weights, whole.weights)
    assert torch.equal(module(queries, memory).context, whole.context)
    assert not torch.allclose(drawn.context, whole.context)
    # In the mean over many draws nothing is lost.
    error = drawn.context.std(0) / 2000**0.5
    assert ((drawn.context.mean(0) - whole.context[0]).abs() < 5 * error + 1e-6).all()


# ---- no attention --------------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("every_step", [False, True])
def test_the_bottleneck_passes_the_sum_or_nothing(every_step: bool, masked: bool) -> None:
    own, mask = Bottleneck(every_step), mask_of() if masked else None
    summary = torch.randn(K, D, generator=torch.Generator().manual_seed(8))
    ready = own.prepare(Memory(values_of(), mask, summary=summary))
    assert torch.equal(own.first(ready), summary)
    attended = own(queries_of("general"), ready)
    assert torch.equal(attended.context, summary if every_step else torch.zeros(K, D))
    assert attended.extras == {}
    real = torch.ones(K, N) if mask is None else mask.float()
    assert torch.equal(attended.weights, (real / real.sum(1, keepdim=True)).unsqueeze(1))
    other = own(
        queries_of("general", seed=9), own.prepare(replace(ready, values=values_of(seed=9)))
    )
    assert torch.equal(other.context, attended.context)
    assert torch.equal(other.weights, attended.weights)
    assert not list(own.parameters())


def test_without_a_sum_the_bottleneck_takes_the_mean() -> None:
    own, memory = Bottleneck(every_step=True), Memory(values_of(), mask_of())
    torch.testing.assert_close(own.first(memory), memory.mean())
    ready = own.prepare(memory)
    torch.testing.assert_close(own(queries_of("general"), ready).context, memory.mean())
    assert memory.summary is None  # `prepare` gives a new memory


def test_the_sum_of_a_selected_memory_is_selected_too() -> None:
    own = Bottleneck(every_step=True)
    ready = own.prepare(Memory(values_of(), mask_of()))
    rows = torch.tensor([3, 0, 0])
    found = own(queries_of("general")[:3], ready.select(rows))
    assert torch.equal(found.context, own.first(ready)[rows])


def test_a_memory_masked_everywhere_is_an_error_without_attention_too() -> None:
    mask = mask_of()
    mask[4] = False
    with pytest.raises(ValueError, match=r"memories \[4\] are masked everywhere; each needs one"):
        Bottleneck(every_step=False).prepare(Memory(values_of(), mask))
