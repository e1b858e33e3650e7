"""Attention over a sentence and a photo: held against loops in NumPy, and against one memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from captioner.errors import ConfigError
from captioner.nn.architecture import SCORES, CombinedAttentionConfig, MultimodalConfig
from captioner.nn.attention import Attended, Attention, Query
from captioner.nn.combined import PHOTO_SHARE, Combined, Flat, Hierarchical
from captioner.nn.memory import Memory
from captioner.nn.model import (
    Dropouts,
    MultimodalModel,
    build_attention,
    build_multimodal_model,
)
from captioner.nn.scores import Additive
from captioner.options import SearchOptions
from captioner.search import Start, force, search
from captioner.settings import from_dict
from captioner.tracing import trace

B, M, S, N, D, V = 3, 2, 5, 4, 6, 17
SIZE = 7  # of the additive score
COMBINATIONS = ("flat", "hierarchical")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(3)


def combined(name: str, score: str = "additive", heads: int = 1) -> Combined:
    settings = CombinedAttentionConfig(
        score=score, combination=name, heads=heads, size=SIZE * heads, query="after"
    )
    found = build_attention(settings, D, D, D, None)
    assert isinstance(found, (Flat, Hierarchical))
    return found


def memories(there: Tensor | None = None) -> Memory:
    mask = torch.arange(S) < torch.tensor([[5], [3], [2]])
    photo = Memory(torch.randn(B, N, D), grid=(2, 2), there=there)
    return Memory(torch.randn(B, S, D), mask, beside=photo)


def asked() -> Query:
    return Query(torch.randn(B, M, D))


def attend(attention: Combined | Attention, query: Query, memory: Memory) -> Attended:
    found: Attended = attention(query, attention.prepare(memory))
    return found


def array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def softmax(energies: np.ndarray) -> np.ndarray:
    powers = np.exp(energies - energies.max())
    return powers / powers.sum()


def energy(score: Additive, query: np.ndarray, value: np.ndarray) -> float:
    """vᵀ tanh(W q + U k), of one query and one position."""
    asked = array(score.query.weight) @ query + array(score.query.bias)
    return float(array(score.energy.weight)[0] @ np.tanh(asked + array(score.key.weight) @ value))


def test_flat_is_one_softmax_over_both() -> None:
    attention, memory, query = combined("flat"), memories(), asked()
    assert isinstance(attention, Flat)
    assert isinstance(attention.attention.score, Additive)
    found = attend(attention, query, memory)
    assert memory.mask is not None
    assert memory.beside is not None
    for b in range(B):
        real = int(memory.mask[b].sum())
        values = np.concatenate([array(memory.values[b, :real]), array(memory.beside.values[b])])
        for m in range(M):
            asks = array(query.hidden[b, m])
            weights = softmax(
                np.array([energy(attention.attention.score, asks, value) for value in values])
            )
            seen = array(found.weights[b, m, 0])
            np.testing.assert_allclose(seen[:real], weights[:real], atol=1e-6)
            np.testing.assert_array_equal(seen[real:S], 0)
            np.testing.assert_allclose(seen[S:], weights[real:], atol=1e-6)
            np.testing.assert_allclose(array(found.context[b, m]), weights @ values, atol=1e-6)
            share = array(found.extras[PHOTO_SHARE][b, m])
            np.testing.assert_allclose(share, weights[real:].sum(), atol=1e-6)


def test_hierarchical_weighs_what_two_attentions_found() -> None:
    attention, memory, query = combined("hierarchical"), memories(), asked()
    assert isinstance(attention, Hierarchical)
    assert memory.mask is not None
    assert memory.beside is not None
    found = attend(attention, query, memory)
    of_context = [array(each.weight) for each in attention.contexts]  # type: ignore[arg-type]
    for b in range(B):
        real = int(memory.mask[b].sum())
        parts = array(memory.values[b, :real]), array(memory.beside.values[b])
        for m in range(M):
            asks = array(query.hidden[b, m])
            weights, contexts, energies = [], [], []
            scores = attention.sentence.score, attention.photo.score
            for values, score, project in zip(parts, scores, of_context, strict=True):
                assert isinstance(score, Additive)
                weights.append(softmax(np.array([energy(score, asks, one) for one in values])))
                contexts.append(weights[-1] @ values)
                hidden = array(attention.query.weight) @ asks + array(attention.query.bias)
                hidden = np.tanh(hidden + project @ contexts[-1])
                energies.append(float(array(attention.energy.weight)[0] @ hidden))
            shares = softmax(np.array(energies))
            seen = array(found.weights[b, m, 0])
            np.testing.assert_allclose(seen[:real], shares[0] * weights[0], atol=1e-6)
            np.testing.assert_array_equal(seen[real:S], 0)
            np.testing.assert_allclose(seen[S:], shares[1] * weights[1], atol=1e-6)
            context = shares[0] * contexts[0] + shares[1] * contexts[1]
            np.testing.assert_allclose(array(found.context[b, m]), context, atol=1e-6)
            np.testing.assert_allclose(
                array(found.extras[PHOTO_SHARE][b, m]), shares[1:], atol=1e-6
            )


@pytest.mark.parametrize("name", COMBINATIONS)
@pytest.mark.parametrize("score", [score for score in SCORES if score != "location"])
@pytest.mark.parametrize("heads", [1, 2])
def test_shares_of_both_sum_to_one(name: str, score: str, heads: int) -> None:
    attention = combined(name, score, heads)
    memory = memories(torch.tensor([True, False, True]))
    found = attend(attention, asked(), memory)
    assert found.weights.shape == (B, M, heads, S + N)
    torch.testing.assert_close(found.weights.sum(-1), torch.ones(B, M, heads))
    assert not found.weights[1, ..., 3:].any()  # its padding, and the photo that is not there
    assert not found.extras[PHOTO_SHARE][1].any()
    shares = found.weights[..., S:].sum(-1).mean(-1, keepdim=True)
    torch.testing.assert_close(found.extras[PHOTO_SHARE], shares)
    assert bool(((shares[0] > 0) & (shares[0] < 1)).all())
    ready = attention.prepare(memory)
    assert attention.contents(ready).shape[:3] == (B, heads, S + N)
    energies = attention.energies(asked(), ready)
    assert energies.shape == (B, heads, M, S + N)
    assert bool((energies[1, ..., 3:] == -torch.inf).all())


@pytest.mark.parametrize("name", COMBINATIONS)
@pytest.mark.parametrize("heads", [1, 2])
def test_without_its_photo_a_sentence_is_attended_to_as_if_alone(name: str, heads: int) -> None:
    """A photo that is not there, one that is masked, and the plain attention say the same."""
    attention, query = combined(name, heads=heads), asked()
    blind = memories(torch.zeros(B, dtype=torch.bool))
    alone = replace(blind, beside=None)
    plain = attention.attention if isinstance(attention, Flat) else attention.sentence
    wanted = attend(plain, query, alone)
    for memory in (blind, alone):
        found = attend(attention, query, memory)
        torch.testing.assert_close(found.context, wanted.context)
        torch.testing.assert_close(found.weights[..., :S], wanted.weights)
        assert not found.weights[..., S:].any()
        assert not found.extras[PHOTO_SHARE].any()
        torch.testing.assert_close(attention.first(memory), plain.first(alone))


def test_what_is_seen_reaches_the_first_state_and_learns() -> None:
    for name in COMBINATIONS:
        attention, memory = combined(name), memories()
        assert memory.beside is not None
        wanted = memory.mean() + memory.beside.values.mean(1)
        torch.testing.assert_close(attention.first(memory), wanted)
        attend(attention, asked(), memory).context.square().sum().backward()
        idle = [n for n, p in attention.named_parameters() if p.grad is None or not p.grad.any()]
        assert idle == []


def model(name: str, **attention: object) -> MultimodalModel:
    settings = from_dict(
        MultimodalConfig,
        {
            "photo": {"image_size": 32, "feature_size": 8, "weights": "random"},
            "encoder": {"hidden_size": 4},
            "attention": {"combination": name, "size": 8, **attention},
            "decoder": {"hidden_size": 8, "embedding_size": 8},
        },
    )
    return build_multimodal_model(settings, V).eval()


@pytest.mark.parametrize("name", COMBINATIONS)
@pytest.mark.parametrize("query", [{"query": "before", "input_feeding": False}, {}])
def test_search_forcing_and_tracing_know_nothing_of_it(name: str, query: dict[str, object]) -> None:
    """The three agree on every number, and so do several sentences of one memory."""
    made = model(name, **query)
    tokens, lengths = torch.randint(4, V, (2, 4)), torch.tensor([4, 3])
    grids = torch.randn(2, 2, 3, made.encoder.photo.project.in_features)
    there = torch.tensor([True, False])
    with torch.inference_mode():
        memory = made.encoder(tokens, lengths, grids, there)
    options = SearchOptions(beam_size=3, n_best=2, max_length=6, alternatives=2)
    found = search(made.decoder, memory, options, start=Start(4))
    for number, several in enumerate(found):
        for sentence in several:
            share = sentence.extras[PHOTO_SHARE][:, 0]
            np.testing.assert_allclose(sentence.weights[:, 0, 4:].sum(-1), share, atol=1e-6)
            np.testing.assert_allclose(sentence.weights.sum(-1), 1, atol=1e-6)
            assert bool((share > 0).all()) is (number == 0)
        said = [sentence.tokens for sentence in several]
        forced = force(made.decoder, memory, said, [number] * len(said), start=Start(4))
        one = memory.select(torch.tensor([number]))
        for sentence, again in zip(several, forced, strict=True):
            np.testing.assert_allclose(again.log_prob, sentence.log_prob, rtol=1e-4)
            np.testing.assert_allclose(again.weights, sentence.weights, atol=1e-5)
            taken = trace(made.decoder, one, sentence.tokens, start=Start(4))
            np.testing.assert_allclose(taken.weights[:-1], sentence.weights, atol=1e-5)
            assert taken.scores.shape[-1] == taken.lengths.shape[-1] == 4 + 6


def test_the_cnn_does_not_learn_and_the_rest_does() -> None:
    made = model("flat")
    learns = {name for name, each in made.named_parameters() if each.requires_grad}
    assert not [name for name in learns if name.startswith("encoder.photo.features")]
    assert {"encoder.photo.project.weight", "encoder.sentence.embedding.weight"} <= learns


def test_hidden_photos_are_none_at_all_and_only_in_training() -> None:
    made = model("hierarchical")
    count = 400
    tokens, lengths = torch.randint(4, V, (count, 4)), torch.full((count,), 4)
    grids = torch.randn(count, 2, 3, made.encoder.photo.project.in_features)
    unreadable = torch.arange(count) < 40
    made.set_dropouts(Dropouts(0.0, 0.0, 0.0, 0.0, 0.0, photos=0.25))

    def there(given: Tensor | None = None) -> Tensor | None:
        beside = made.encoder(tokens, lengths, grids, given).beside
        assert beside is not None
        found: Tensor | None = beside.there
        return found

    assert there() is None  # in evaluation mode
    made.train()
    first, again = there(), there()
    assert first is not None
    assert again is not None
    assert 60 < int((~first).sum()) < 140  # of 400 a quarter
    assert not torch.equal(first, again)
    among = there(~unreadable)
    assert among is not None
    assert not among[:40].any()
    assert 0 < int((~among[40:]).sum()) < 180
    made.set_dropouts(Dropouts(0.0, 0.0, 0.0, 0.0, 0.0))
    assert there() is None
    assert made.encoder(tokens, lengths).beside is None


def test_a_model_hides_photos_as_its_settings_say() -> None:
    values = {"photo_dropout": 0.5, "photo": {"feature_size": 12}, "encoder": {"hidden_size": 6}}
    made = build_multimodal_model(from_dict(MultimodalConfig, values), V)
    assert made.encoder.hidden == 0.5
    assert Dropouts.of(from_dict(MultimodalConfig, values)).photos == 0.5
    with pytest.raises(ConfigError, match=r"photo_dropout is 1\.0; expected a share from 0 to bel"):
        from_dict(MultimodalConfig, {**values, "photo_dropout": 1.0})
