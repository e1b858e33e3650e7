from __future__ import annotations

import numpy as np
import pytest
import torch

from captioner.errors import ConfigError
from captioner.nn.architecture import ModelConfig
from captioner.nn.attention import Bottleneck
from captioner.nn.memory import Memory
from captioner.nn.model import build_model
from captioner.nn.recurrent import RecurrentDecoder
from captioner.search import Start, force
from captioner.settings import from_dict
from captioner.tracing import trace

WORDS, CELLS, FEATURES, HIDDEN = 23, 7, 11, 13


def _decoder(**attention: object) -> RecurrentDecoder:
    torch.manual_seed(2)
    settings = {
        "encoder": {"image_size": 64, "feature_size": FEATURES, "weights": "random"},
        "attention": {"size": 5, **attention},
        "decoder": {"hidden_size": HIDDEN, "embedding_size": HIDDEN},
    }
    decoder = build_model(from_dict(ModelConfig, settings), WORDS).decoder.eval()
    with torch.no_grad():
        decoder.embedding.weight.mul_(5)
    return decoder


@pytest.fixture(scope="module", params=[{}, {"query": "after"}, {"score": "general"}], ids=str)
def decoder(request: pytest.FixtureRequest) -> RecurrentDecoder:
    return _decoder(**request.param)


@pytest.fixture(scope="module")
def memory() -> Memory:
    values = torch.randn(1, CELLS, FEATURES, generator=torch.Generator().manual_seed(3))
    return Memory(values, grid=(1, CELLS))


def test_the_softmax_of_the_scores_is_the_weights(
    decoder: RecurrentDecoder, memory: Memory
) -> None:
    found = trace(decoder, memory, [9, 4, 17])
    powers = np.exp(found.scores - found.scores.max(-1, keepdims=True))
    np.testing.assert_allclose(powers / powers.sum(-1, keepdims=True), found.weights, atol=1e-6)
    assert found.queries.shape == (4, HIDDEN)
    assert found.weights.shape == (4, 1, CELLS)


def test_the_weighted_sum_times_the_gate_is_the_context(
    decoder: RecurrentDecoder, memory: Memory
) -> None:
    found = trace(decoder, memory, [9, 4])
    assert found.gates is not None
    expected = found.gates[:, None] * (found.weights[:, 0] @ memory.values[0].numpy())
    np.testing.assert_allclose(expected, found.contexts, atol=1e-5)
    np.testing.assert_allclose(found.lengths, memory.values.norm(dim=-1).numpy(), rtol=1e-6)


def test_every_head_has_its_own_scores_and_values(memory: Memory) -> None:
    decoder = _decoder(heads=11, score="scaled_dot")
    found = trace(decoder, memory, [9, 4])
    powers = np.exp(found.scores - found.scores.max(-1, keepdims=True))
    np.testing.assert_allclose(powers / powers.sum(-1, keepdims=True), found.weights, atol=1e-6)
    assert found.weights.shape == (3, 11, CELLS)
    assert not np.allclose(found.weights[:, 0], found.weights[:, 1])
    contents = decoder.attention.prepare(memory).contents
    assert contents is not None
    np.testing.assert_allclose(found.lengths, contents[0].norm(dim=-1).detach(), rtol=1e-5)
    sums = torch.einsum("shn,hnd->shd", torch.from_numpy(found.weights), contents[0]).flatten(1)
    assert found.gates is not None
    expected = decoder.attention.output(sums).detach().numpy() * found.gates[:, None]
    np.testing.assert_allclose(expected, found.contexts, atol=1e-5)


def test_it_says_what_forcing_says(decoder: RecurrentDecoder, memory: Memory) -> None:
    found = trace(decoder, memory, [9, 4, 17], alternatives=3)
    (forced,) = force(decoder, memory, [[9, 4, 17]], alternatives=3)
    np.testing.assert_array_equal(found.tokens[:-1], forced.alternatives)
    np.testing.assert_allclose(found.probs[:-1], forced.alternative_probs, rtol=1e-5)
    np.testing.assert_allclose(found.weights[:-1], forced.weights, atol=1e-6)


def test_a_masked_place_scores_nothing(memory: Memory) -> None:
    mask = torch.ones(1, CELLS, dtype=torch.bool)
    mask[0, 2] = False
    found = trace(_decoder(), Memory(memory.values, mask=mask), [9])
    assert (found.scores[..., 2] == -np.inf).all()
    assert (found.weights[..., 2] == 0).all()


def test_another_start_and_what_may_never_follow(memory: Memory) -> None:
    found = trace(_decoder(), memory, [9], start=Start(7, never=[5, 6]), alternatives=WORDS)
    assert not {5, 6} & set(found.tokens.ravel().tolist())
    assert not np.allclose(found.probs[0, 0], trace(_decoder(), memory, [9]).probs[0, 0])


def test_a_model_without_scores_is_told_apart(memory: Memory) -> None:
    decoder = _decoder()
    decoder.attention = Bottleneck(every_step=False)
    with pytest.raises(ConfigError, match="no attention, so there is no step to look inside"):
        trace(decoder, memory, [9])
