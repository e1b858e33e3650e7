"""One attention, five scores, held against NumPy, against torch's own and against each other."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from captioner.nn import architecture, scores
from captioner.nn.attention import Attended, Attention, Bottleneck, Heads
from captioner.nn.memory import Memory
from captioner.nn.query import Query
from captioner.nn.scores import SCORE_BUILDERS, Additive, Cosine, Covering, Dot, General, Location

K, M, N, D, SIZE = 5, 3, 7, 11, 13  # K memories, M queries of each
OTHER_QUERY = 17  # of the scores that compare unequal sizes
SCORES = tuple(SCORE_BUILDERS)
COMPARING = tuple(name for name in SCORES if name != "location")  # what lies at a position


def query_size(score: str) -> int:
    return OTHER_QUERY if score in ("additive", "general", "location") else D


def attention_of(score: str, seed: int = 1) -> Attention:
    torch.manual_seed(seed)
    return Attention(SCORE_BUILDERS[score](query_size(score), D, SIZE))


def queries_of(score: str, seed: int = 2) -> Tensor:
    return torch.randn(K, M, query_size(score), generator=torch.Generator().manual_seed(seed))


def values_of(positions: int = N, seed: int = 3) -> Tensor:
    return torch.randn(K, positions, D, generator=torch.Generator().manual_seed(seed))


def mask_of() -> Tensor:
    """Sentences of 7, 5, 1, 3 and 2 words, one with a hole."""
    mask = torch.arange(N) < torch.tensor([7, 5, 1, 3, 2]).unsqueeze(1)
    mask[1, 2] = False
    return mask


def attend(attention: Attention, queries: Tensor, memory: Memory) -> Attended:
    found: Attended = attention(Query(queries), attention.prepare(memory))
    return found


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
    assert attended.weights.shape == (K, M, 1, N)
    assert attended.context.shape == (K, M, D)
    assert attended.extras == {}
    assert bool((attended.weights >= 0).all())
    torch.testing.assert_close(attended.weights.sum(-1), torch.ones(K, M, 1))
    expected = np.einsum("kmn,knd->kmd", double(attended.weights[:, :, 0]), double(values))
    np.testing.assert_allclose(double(attended.context), expected, atol=1e-6)


@pytest.mark.parametrize("score", COMPARING)
def test_masked_positions_get_exactly_0_and_count_for_nothing(score: str) -> None:
    attention, queries = attention_of(score), queries_of(score)
    values, mask = values_of(), mask_of()
    attended = attend(attention, queries, Memory(values, mask))
    by_place = attended.weights[:, :, 0].transpose(1, 2)  # (K, N, M)
    assert bool((by_place[~mask] == 0).all())
    assert bool((by_place[mask] > 0).all())
    for row in range(K):
        alone = Memory(values[row : row + 1, mask[row]])
        expected = attend(attention, queries[row : row + 1], alone)
        torch.testing.assert_close(attended.weights[row][..., mask[row]], expected.weights[0])
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


@pytest.mark.parametrize("score", COMPARING)
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
        queries, values, values, attn_mask=mask.unsqueeze(1) if masked else None
    )
    torch.testing.assert_close(attended.context, expected)


def test_additive_is_the_loop_of_the_paper() -> None:
    rng = np.random.default_rng(4)
    sizes = {"W": (SIZE, OTHER_QUERY), "b": (SIZE,), "U": (SIZE, D), "v": (SIZE,)}
    hand = {name: rng.normal(size=size) for name, size in sizes.items()}
    queries, values = rng.normal(size=(K, M, OTHER_QUERY)), rng.normal(size=(K, N, D))
    energies = np.zeros((K, M, N))
    for k, m, j in np.ndindex(K, M, N):
        hidden = np.tanh(hand["W"] @ queries[k, m] + hand["b"] + hand["U"] @ values[k, j])
        energies[k, m, j] = hand["v"] @ hidden

    score = Additive(OTHER_QUERY, D, SIZE).double()
    names = {"query.weight": "W", "query.bias": "b", "key.weight": "U", "energy.weight": "v"}
    state = {name: torch.tensor(hand[letter]) for name, letter in names.items()}
    score.load_state_dict({**state, "energy.weight": state["energy.weight"].unsqueeze(0)})
    found = score(torch.tensor(queries), score.keys(torch.tensor(values)))
    np.testing.assert_allclose(double(found), energies, atol=1e-12)

    attended = attend(Attention(score), torch.tensor(queries), Memory(torch.tensor(values)))
    weights = softmax(energies)
    np.testing.assert_allclose(double(attended.weights[:, :, 0]), weights, atol=1e-6)
    context = np.einsum("kmn,knd->kmd", weights, values)
    np.testing.assert_allclose(double(attended.context), context, atol=1e-6)


@pytest.mark.parametrize("cached", [1, 2 * M * N * SIZE, 10**6])
def test_additive_a_few_memories_at_a_time_has_the_same_gradients(
    cached: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As finite differences say; one, two or all memories at once."""
    monkeypatch.setattr(scores, "_CACHED", cached)
    score = Additive(OTHER_QUERY, D, SIZE).double()
    queries = queries_of("additive").double().requires_grad_()
    keys = score.keys(values_of().double()).detach().requires_grad_()
    hidden = torch.tanh(score.query(queries).unsqueeze(2) + keys.unsqueeze(1))
    torch.testing.assert_close(score(queries, keys), score.energy(hidden).squeeze(-1))
    weight = score.energy.weight

    def energies(*given: Tensor) -> Tensor:
        found: Tensor = torch.func.functional_call(score, {"energy.weight": given[2]}, given[:2])
        return found

    assert torch.autograd.gradcheck(energies, (queries, keys, weight))
    assert score(queries[:, :0], keys).shape == (K, 0, N)
    assert score(queries[:0], keys[:0]).shape == (0, M, N)


def test_general_is_the_loop_of_the_paper() -> None:
    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(OTHER_QUERY, D))
    queries, values = rng.normal(size=(K, M, OTHER_QUERY)), rng.normal(size=(K, N, D))
    energies = np.zeros((K, M, N))
    for k, m, j in np.ndindex(K, M, N):
        energies[k, m, j] = queries[k, m] @ matrix @ values[k, j]
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
    dots = np.einsum("kmd,knd->kmn", q, k)
    energies = tau * dots / np.linalg.norm(q, axis=-1)[..., None]
    energies /= np.linalg.norm(k, axis=-1)[:, None]
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
    assert bool((queries.grad != 0).any(-1)[mask.sum(1) > 1].all())
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
    torch.testing.assert_close(weights.sum(-1), torch.ones(K, M, 1))
    best = torch.einsum("kmd,knd->kmn", queries, values).argmax(-1)
    assert torch.equal(weights[:, :, 0].argmax(-1), best)


@pytest.mark.parametrize("score", SCORES)
def test_nothing_is_kept_between_two_calls(score: str) -> None:
    attention, queries = attention_of(score), queries_of(score)
    first, second = Memory(values_of(seed=6)), Memory(values_of(seed=7))
    prepared, other = attention.prepare(first), attention.prepare(second)
    expected = attention(Query(queries), prepared).weights
    attention(Query(queries), other)
    assert torch.equal(attention(Query(queries), prepared).weights, expected)
    assert first.keys is None  # `prepare` gives a new memory


def test_an_unprepared_memory_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match=r"Attention\.prepare comes first"):
        attention_of("dot")(Query(queries_of("dot")), Memory(values_of()))


def test_the_grid_changes_no_weights() -> None:
    attention, queries = attention_of("general"), queries_of("general")
    row = attention.prepare(Memory(values_of()))
    column = replace(row, grid=(N, 1))
    found, expected = (attention(Query(queries), memory) for memory in (column, row))
    assert torch.equal(found.weights, expected.weights)


HEADS, HEAD = 3, 5  # a head's features


def heads_of(score: str, dropout: float = 0.0, seed: int = 4) -> Attention:
    torch.manual_seed(seed)
    heads = Heads(HEADS, OTHER_QUERY, HEADS * HEAD)
    return Attention(SCORE_BUILDERS[score](HEAD, HEAD, SIZE), heads=heads, dropout=dropout)


def multi_head() -> tuple[Attention, torch.nn.MultiheadAttention]:
    """Ours and torch's own with the same weights."""
    own = heads_of("scaled_dot")
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
    queries, values = torch.randn(K, M, OTHER_QUERY), torch.randn(K, N, HEADS * HEAD)
    mask = mask_of() if masked else None
    found = own(Query(queries), own.prepare(Memory(values, mask)))
    context, weights = theirs(
        own.query(queries),  # torch's queries are of the memory's size
        values,
        values,
        key_padding_mask=None if mask is None else ~mask,
        average_attn_weights=False,
    )
    torch.testing.assert_close(found.context, context)
    torch.testing.assert_close(found.weights, weights.transpose(1, 2))
    assert found.weights.shape == (K, M, HEADS, N)
    if mask is not None:
        assert (found.weights.permute(0, 3, 1, 2)[~mask] == 0).all()


@pytest.mark.parametrize("score", SCORES)
def test_every_head_is_an_attention_of_its_own(score: str) -> None:
    """Each looks at its own projections as a single head would, with the score that all share."""
    own, mask = heads_of(score), mask_of()
    queries, values = torch.randn(K, M, OTHER_QUERY), torch.randn(K, N, HEADS * HEAD)
    found = own(Query(queries), own.prepare(Memory(values, mask)))
    alone, sums = Attention(own.score), []
    for head in range(HEADS):
        part = slice(head * HEAD, (head + 1) * HEAD)
        asked = queries @ own.query.weight[part].T + own.query.bias[part]
        keys = own.key(values)[..., part]
        expected = attend(alone, asked, Memory(keys, mask)).weights
        torch.testing.assert_close(found.weights[:, :, head : head + 1], expected)
        contents = values @ own.value.weight[part].T + own.value.bias[part]
        sums.append(torch.einsum("kmn,knd->kmd", expected[:, :, 0], contents))
    context = torch.cat(sums, -1) @ own.output.weight.T + own.output.bias
    torch.testing.assert_close(found.context, context)
    found.context.square().sum().backward()
    for name, parameter in own.named_parameters():
        assert parameter.grad is not None, name
        # A softmax does not feel what all positions have in common, such as a key's bias.
        if name != "key.bias" or score in ("additive", "cosine"):
            assert bool((parameter.grad != 0).any()), name


@pytest.mark.parametrize("heads", [1, HEADS])
@pytest.mark.parametrize("score", SCORES)
def test_queries_of_one_memory_are_those_of_as_many_copies(score: str, heads: int) -> None:
    torch.manual_seed(5)
    size = HEADS * HEAD
    parts = Heads(heads, size, size) if heads > 1 else None
    own = Attention(SCORE_BUILDERS[score](size // heads, size // heads, SIZE), heads=parts)
    queries, memory = torch.randn(K, M, size), Memory(torch.randn(K, N, size), mask_of())
    found = attend(own, queries, memory)
    copies = memory.select(torch.arange(K).repeat_interleave(M))
    expected = attend(own, queries.view(K * M, 1, size), copies)
    torch.testing.assert_close(found.context.view(K * M, 1, size), expected.context)
    torch.testing.assert_close(found.weights.reshape(K * M, 1, heads, N), expected.weights)


@pytest.mark.parametrize("score", SCORES)
def test_no_memory_is_copied_for_its_queries(score: str) -> None:
    attention = attention_of(score)
    ready = attention.prepare(Memory(values_of()))
    assert ready.contents is not None
    assert ready.contents.data_ptr() == ready.values.data_ptr()
    assert ready.first(K) is ready
    assert ready.first(2).values.data_ptr() == ready.values.data_ptr()


def test_the_heads_of_a_selected_memory_are_selected_too() -> None:
    own, _ = multi_head()
    memory = own.prepare(Memory(torch.randn(K, N, HEADS * HEAD), mask_of()))
    rows = torch.tensor([3, 0, 0])
    queries = torch.randn(3, M, OTHER_QUERY)
    found = own(Query(queries), memory.select(rows))
    for query, row, context in zip(queries, rows.tolist(), found.context, strict=True):
        alone = own(Query(query.unsqueeze(0)), memory.select(torch.tensor([row])))
        torch.testing.assert_close(alone.context[0], context)


def test_heads_must_share_the_features_evenly() -> None:
    with pytest.raises(ValueError, match="4 heads cannot share 11 features evenly"):
        Heads(4, OTHER_QUERY, D)


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
    parts = Heads(heads, size, size) if heads > 1 else None
    module = Attention(Dot(size // heads, size // heads), heads=parts, dropout=0.4)
    memory = module.prepare(Memory(torch.randn(1, N, size)))
    queries = Query(torch.randn(1, 1, size).expand(1, 2000, size))
    drawn = module(queries, memory)
    whole = module.eval()(queries, memory)
    assert torch.equal(drawn.weights, whole.weights)
    assert torch.equal(module(queries, memory).context, whole.context)
    assert not torch.allclose(drawn.context, whole.context)
    # In the mean over many draws nothing is lost.
    error = drawn.context.std(1) / 2000**0.5
    assert ((drawn.context.mean(1) - whole.context[:, 0]).abs() < 5 * error + 1e-6).all()


# ---- coverage and location -----------------------------------------------------------------------


def test_what_has_been_looked_at_enters_the_additive_score() -> None:
    """See et al. 2017, eq. 11, as a loop."""
    rng = np.random.default_rng(6)
    torch.manual_seed(2)
    score = Covering(OTHER_QUERY, D, SIZE).double()
    queries, values = rng.normal(size=(K, M, OTHER_QUERY)), rng.normal(size=(K, N, D))
    covered = rng.random((K, M, N))
    w = {name: double(value) for name, value in score.state_dict().items()}
    energies = np.zeros((K, M, N))
    for k, m, j in np.ndindex(K, M, N):
        hidden = w["query.weight"] @ queries[k, m] + w["query.bias"]
        hidden += w["key.weight"] @ values[k, j] + w["covered.weight"][:, 0] * covered[k, m, j]
        energies[k, m, j] = w["energy.weight"][0] @ np.tanh(hidden)
    keys = score.keys(torch.tensor(values))
    found = score(torch.tensor(queries), keys, torch.tensor(covered))
    np.testing.assert_allclose(double(found), energies, atol=1e-12)
    nothing = score(torch.tensor(queries), keys, torch.zeros(K, M, N).double())
    torch.testing.assert_close(score(torch.tensor(queries), keys), nothing)


def test_location_asks_for_the_place_alone() -> None:
    """softmax(W q), cut to N places (Luong et al. 2015, eq. 8)."""
    attention, queries = attention_of("location"), queries_of("location")
    found = attend(attention, queries, Memory(values_of()))
    matrix = double(attention.score.place.weight)[:N]
    expected = softmax(double(queries) @ matrix.T)
    np.testing.assert_allclose(double(found.weights[:, :, 0]), expected, atol=1e-6)
    other = attend(attention, queries, Memory(values_of(seed=9)))
    assert torch.equal(other.weights, found.weights)  # whatever lies there


def test_behind_the_last_place_nothing_is_looked_at() -> None:
    torch.manual_seed(1)
    attention, queries = Attention(Location(OTHER_QUERY, 5)), queries_of("location")
    found = attend(attention, queries, Memory(values_of()))
    expected = attend(attention, queries, Memory(values_of()[:, :5]))
    torch.testing.assert_close(found.weights, F.pad(expected.weights, (0, 2)))
    torch.testing.assert_close(found.context, expected.context)


# ---- no attention --------------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("every_step", [False, True])
def test_the_bottleneck_passes_the_sum_or_nothing(every_step: bool, masked: bool) -> None:
    own, mask = Bottleneck(every_step), mask_of() if masked else None
    summary = torch.randn(K, D, generator=torch.Generator().manual_seed(8))
    ready = own.prepare(Memory(values_of(), mask, summary=summary))
    assert torch.equal(own.first(ready), summary)
    attended = own(Query(queries_of("general")), ready)
    assert torch.equal(
        attended.context, (summary if every_step else torch.zeros(K, D))[:, None].expand(K, M, D)
    )
    assert attended.extras == {}
    real = torch.ones(K, N) if mask is None else mask.float()
    even = real / real.sum(1, keepdim=True)
    assert torch.equal(attended.weights, even[:, None, None].expand(K, M, 1, N))
    other = own(
        Query(queries_of("general", seed=9)), own.prepare(replace(ready, values=values_of(seed=9)))
    )
    assert torch.equal(other.context, attended.context)
    assert torch.equal(other.weights, attended.weights)
    assert not list(own.parameters())


def test_without_a_sum_the_bottleneck_takes_the_mean() -> None:
    own, memory = Bottleneck(every_step=True), Memory(values_of(), mask_of())
    torch.testing.assert_close(own.first(memory), memory.mean())
    ready = own.prepare(memory)
    found = own(Query(queries_of("general")), ready).context
    torch.testing.assert_close(found, memory.mean()[:, None].expand(K, M, D))
    assert memory.summary is None  # `prepare` gives a new memory


def test_the_sum_of_a_selected_memory_is_selected_too() -> None:
    own = Bottleneck(every_step=True)
    ready = own.prepare(Memory(values_of(), mask_of()))
    rows = torch.tensor([3, 0, 0])
    found = own(Query(queries_of("general")[:3]), ready.select(rows))
    assert torch.equal(found.context[:, 1], own.first(ready)[rows])


def test_a_memory_masked_everywhere_is_an_error_without_attention_too() -> None:
    mask = mask_of()
    mask[4] = False
    with pytest.raises(ValueError, match=r"memories \[4\] are masked everywhere; each needs one"):
        Bottleneck(every_step=False).prepare(Memory(values_of(), mask))
