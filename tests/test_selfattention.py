"""Self-attention and its layers, held against torch's own with the same weights."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.nn.positions import build_grid_positions
from captioner.nn.selfattention import (
    BatchNorm,
    Dropping,
    EncoderLayer,
    EncoderStack,
    GridRefiner,
    LayerNorm,
    LayerPlan,
    SelfAttention,
    start_evenly,
)

B, T, S, H, INNER = 3, 7, 22, 2, 13
REAL = torch.arange(T) < torch.tensor([7, 2, 5]).unsqueeze(1)


def nothing_dropped() -> Dropping:
    return Dropping(nn.Dropout(0.0), nn.Dropout(0.0))


def drawn(*size: int, seed: int = 5) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def opinionated(module: nn.Module) -> nn.Module:
    """With biases and scales that are not what they start from."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return module.eval()


def attention_of() -> SelfAttention:
    torch.manual_seed(3)
    found = opinionated(SelfAttention(S, H, nn.Dropout(0.0)))
    assert isinstance(found, SelfAttention)
    return found


def torchs_attention(own: SelfAttention) -> nn.MultiheadAttention:
    other = nn.MultiheadAttention(S, own.heads, batch_first=True).eval()
    other.load_state_dict(
        {
            "in_proj_weight": own.project.weight,
            "in_proj_bias": own.project.bias,
            "out_proj.weight": own.output.weight,
            "out_proj.bias": own.output.bias,
        }
    )
    return other


@pytest.mark.parametrize("masked", [False, True])
def test_self_attention_is_torchs(masked: bool) -> None:
    own, values = attention_of(), drawn(B, T, S)
    real = REAL if masked else None
    found, weights, _ = own(values, None if real is None else real[:, None, None])
    expected, looked = torchs_attention(own)(
        values,
        values,
        values,
        key_padding_mask=None if real is None else ~real,
        average_attn_weights=False,
    )
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(weights, looked)
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, H, T))
    if real is not None:
        assert not weights.transpose(1, 3)[~real].any()


def test_what_is_remembered_is_as_what_is_computed() -> None:
    """A causal sequence at once, word by word, and in two halves."""
    own, values = attention_of(), drawn(B, T, S)
    causal = torch.ones(T, T, dtype=torch.bool).tril()
    expected, weights, held = own(values, causal)
    masked, looked = torchs_attention(own)(
        values, values, values, attn_mask=~causal, average_attn_weights=False
    )
    torch.testing.assert_close(expected, masked)
    torch.testing.assert_close(weights, looked)
    assert held.shape == (B, 2, H, T, S // H)
    for cut in ([1] * T, [3, 4], [6, 1]):
        past, found, first = None, [], 0
        for count in cut:
            part = slice(first, first + count)
            gathered, own_weights, past = own(values[:, part], causal[part, : part.stop], past)
            torch.testing.assert_close(own_weights, weights[:, :, part, : part.stop])
            found.append(gathered)
            first += count
        torch.testing.assert_close(torch.cat(found, 1), expected)
        torch.testing.assert_close(past, held)


def test_without_positions_a_permutation_permutes() -> None:
    own, values = attention_of(), drawn(B, T, S)
    order = torch.randperm(T, generator=torch.Generator().manual_seed(1))
    found, weights, _ = own(values[:, order])
    expected, straight, _ = own(values)
    torch.testing.assert_close(found, expected[:, order])
    torch.testing.assert_close(weights, straight[:, :, order][..., order])


def test_heads_share_their_size_evenly() -> None:
    with pytest.raises(ValueError, match="3 heads cannot share 22 features evenly"):
        SelfAttention(S, 3, nn.Dropout(0.0))


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_layer_is_torchs(norm_first: bool) -> None:
    torch.manual_seed(3)
    own = EncoderLayer(LayerPlan(S, H, INNER, norm_first=norm_first), nothing_dropped())
    opinionated(own)
    other = nn.TransformerEncoderLayer(
        S, H, INNER, dropout=0.0, batch_first=True, norm_first=norm_first
    )
    state = {f"self_attn.{k}": v for k, v in torchs_attention(own.attention).state_dict().items()}
    for name, part in (
        ("linear1", own.feed.enter),
        ("linear2", own.feed.leave),
        ("norm1", own.around[0].norm),
        ("norm2", own.around[1].norm),
    ):
        state |= {f"{name}.{k}": v for k, v in part.state_dict().items()}
    other.load_state_dict(state)
    values = drawn(B, T, S)
    other.train()  # in evaluation torch takes a shortcut that drops padded rows; nothing is dropped
    expected = other(values, src_key_padding_mask=~REAL)
    torch.testing.assert_close(own(values, REAL)[0], expected)


@pytest.mark.parametrize(("norm_first", "residual"), list(product([True, False], repeat=2)))
def test_norm_and_residual_stand_where_they_are_said_to(norm_first: bool, residual: bool) -> None:
    """x + f(LN(x)) or LN(x + f(x)), and without the residual connection f alone."""
    torch.manual_seed(3)
    plan = LayerPlan(S, H, INNER, norm_first=norm_first, residual=residual)
    own = EncoderLayer(plan, nothing_dropped())
    opinionated(own)

    def part(number: int, values: Tensor) -> Tensor:
        return own.attention(values)[0] if number == 0 else own.feed(values)

    expected = values = drawn(B, T, S)
    for number, around in enumerate(own.around):
        norm = around.norm
        assert isinstance(norm, LayerNorm)

        def normed(x: Tensor, norm: LayerNorm = norm) -> Tensor:
            return F.layer_norm(x, (S,), norm.weight, norm.bias)

        found = part(number, normed(expected) if norm_first else expected)
        found = expected + found if residual else found
        expected = found if norm_first else normed(found)
    torch.testing.assert_close(own(values)[0], expected)


def test_batch_norm_is_over_the_real_places_alone() -> None:
    norm = BatchNorm(S)
    values = drawn(B, T, S) * 3 + 1
    dirty = torch.where(REAL.unsqueeze(-1), values, torch.tensor(1e6))
    found = norm(dirty, REAL)
    real = values[REAL]
    expected = (real - real.mean(0)) / (real.var(0, unbiased=False) + norm.eps).sqrt()
    torch.testing.assert_close(found[REAL], expected, rtol=1e-4, atol=1e-5)
    assert not found[~REAL].any()
    torch.testing.assert_close(norm.running_mean, 0.1 * real.mean(0))
    everywhere = BatchNorm(S)(values)
    torch.testing.assert_close(everywhere.flatten(0, 1).mean(0), torch.zeros(S), atol=1e-5, rtol=0)
    norm.eval()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scaled = (values - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(norm(values, REAL), scaled)


def test_a_single_word_takes_what_batch_norm_has_seen_before() -> None:
    norm = BatchNorm(S)
    norm(drawn(B, T, S) * 2)
    assert norm.running_mean is not None
    before, single = norm.running_mean.clone(), drawn(1, 1, S)
    found = norm(single)
    torch.testing.assert_close(norm.running_mean, before)
    torch.testing.assert_close(found, norm.eval()(single))


def test_only_batch_norm_tells_a_sentence_of_its_neighbours() -> None:
    for norm in ("layer", "batch", "none"):
        torch.manual_seed(3)
        stack = EncoderStack(LayerPlan(S, H, INNER, norm=norm), 2, nothing_dropped()).train()
        values = drawn(B, T, S)
        alone = stack(values[:1], REAL[:1])[0]
        together = stack(values, REAL)[0][:1]
        assert torch.allclose(alone, together, atol=1e-5) == (norm != "batch")


def test_a_stack_ends_with_a_norm_where_its_layers_begin_with_one() -> None:
    for norm_first in (True, False):
        torch.manual_seed(3)
        stack = EncoderStack(LayerPlan(S, H, INNER, norm_first=norm_first), 2, nothing_dropped())
        found, weights = stack(drawn(B, T, S), REAL)
        assert len(weights) == 2
        assert all(each.shape == (B, H, T, T) for each in weights)
        torch.testing.assert_close(found.mean(-1), torch.zeros(B, T), atol=1e-5, rtol=0)
        assert sum(isinstance(part, LayerNorm) for part in stack.modules()) == 4 + norm_first


def test_matrices_start_as_torchs_do() -> None:
    torch.manual_seed(3)
    attention = SelfAttention(64, 4, nn.Dropout(0.0))
    start_evenly(attention)
    limit = (6 / 128) ** 0.5  # Glorot & Bengio 2010, of each of the three matrices by itself
    for matrix in attention.project.weight.chunk(3):
        assert 0.95 * limit < float(matrix.detach().abs().max()) <= limit
    assert not attention.project.bias.any()
    assert not attention.output.bias.any()


def test_a_grid_is_refined_by_its_cells_and_their_places() -> None:
    torch.manual_seed(3)
    plan = LayerPlan(S, H, INNER)
    refiner = GridRefiner(plan, 1, build_grid_positions("sinusoid", S)).eval()
    values = drawn(B, 15, S)
    found, [weights] = refiner.look(values, (3, 5))
    positions = refiner.positions
    assert positions is not None
    expected, _ = refiner.stack(values + positions((3, 5), values.device))
    torch.testing.assert_close(found, expected)
    assert weights.shape == (B, H, 15, 15)
    order = torch.randperm(15, generator=torch.Generator().manual_seed(1))
    assert not torch.allclose(refiner(values[:, order], (3, 5)), found[:, order], atol=1e-3)
    blind = GridRefiner(plan, 1, None).eval()
    torch.testing.assert_close(blind(values[:, order], (3, 5)), blind(values, (3, 5))[:, order])
