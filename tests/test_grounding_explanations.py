from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from captioner.checkpoint import Checkpoint
from captioner.grounding import explanations
from captioner.grounding.covering import Words
from captioner.grounding.explanations import rank_correlation
from captioner.grounding.reading import read_sentences, word_log_prob
from captioner.nn.memory import Memory
from captioner.nn.model import CaptionModel
from captioner.search import force
from tests.seeing import CELL, DOG, awake, bright, seeing

WORDS = Words([[4, 5, 7], [6, 5], [8, 9, 10, 4]], [1, 0, 3], [1, 0, 1])


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Checkpoint) -> CaptionModel:
    return awake(tiny_checkpoint).model


@pytest.fixture(scope="module")
def grid(model: CaptionModel) -> torch.Tensor:
    torch.manual_seed(4)
    with torch.no_grad():
        return model.encoder.grid(torch.randn(2, 3, 64, 64))


@pytest.fixture(scope="module")
def memory(model: CaptionModel, grid: torch.Tensor) -> Memory:
    with torch.no_grad():
        return model.encoder.read(grid)


def told(model: CaptionModel, memory: Memory, words: Words = WORDS) -> torch.Tensor:
    with torch.no_grad():
        return word_log_prob(model.decoder, memory, words.tokens, words.places, words.owners)


def test_reading_is_forcing(model: CaptionModel, memory: Memory) -> None:
    """An oracle: the search's own teacher forcing."""
    reading = read_sentences(model.decoder, memory, WORDS.tokens, WORDS.owners)
    expected = force(model.decoder, memory, WORDS.tokens, WORDS.owners)
    for row, hypothesis in enumerate(expected):
        count = len(hypothesis.tokens)
        np.testing.assert_allclose(
            reading.log_probs[row, :count].detach(), hypothesis.log_probs, atol=1e-5
        )
        np.testing.assert_allclose(
            reading.maps[row, :count].detach(), hypothesis.weights.mean(1), atol=1e-5
        )
    alone = told(model, memory)
    assert alone == pytest.approx(reading.log_probs[[0, 1, 2], WORDS.places].detach(), abs=1e-5)


def test_gradient_times_input_by_finite_differences(model: CaptionModel, memory: Memory) -> None:
    """A cell's share is how fast log p moves when the cell's features are scaled."""
    found = explanations.gradients(model, memory, WORDS)["gradient × input"]
    step = 1e-2
    for cell in range(memory.values.shape[1]):
        ends = []
        for sign in (1, -1):
            values = memory.values.clone()
            values[:, cell] *= 1 + sign * step
            ends.append(told(model, replace(memory, values=values)))
        expected = (ends[0] - ends[1]) / (2 * step)
        assert found[:, cell] == pytest.approx(expected, abs=2e-3)


def test_grad_cam_by_finite_differences(model: CaptionModel, grid: torch.Tensor) -> None:
    """A channel's weight is how fast log p moves when all of the channel is raised, per cell."""
    cells, channels = grid.shape[1] * grid.shape[2], grid.shape[3]
    step, some = 0.004, range(0, channels, channels // 40)
    only = torch.zeros(channels)
    only[list(some)] = 1
    cut = grid * only  # few channels, or the differences would be thousands
    found = explanations.grad_cam(model, cut, WORDS)
    weights = torch.zeros(len(WORDS.places), channels)
    for channel in some:
        ends = []
        for sign in (1, -1):
            raised = cut.clone()
            raised[..., channel] += sign * step
            with torch.no_grad():
                ends.append(told(model, model.encoder.read(raised)))
        weights[:, channel] = (ends[0] - ends[1]) / (2 * step * cells)
    own = cut[torch.tensor(WORDS.owners)]
    expected = torch.einsum("mhwc,mc->mhw", own, weights).relu()
    np.testing.assert_allclose(found, expected, atol=0.02 * float(expected.max()))
    assert expected.max() > 0


def test_batches_of_words_do_not_matter(
    model: CaptionModel, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = explanations.gradients(model, memory, WORDS)
    monkeypatch.setattr(explanations, "_WORDS", 1)
    for name, each in explanations.gradients(model, memory, WORDS).items():
        assert each == pytest.approx(together[name], abs=1e-5)
        assert not each.requires_grad


def test_a_model_that_hangs_on_one_cell() -> None:
    one = seeing()
    words = Words([[6, DOG], [DOG]], [1, 0], [0, 1])
    memory = one.encoder(bright())
    own, following = explanations.attention(one, memory, words)
    assert own.argmax(1).tolist() == following.argmax(1).tolist() == [CELL, CELL]
    for maps in explanations.gradients(one, memory, words).values():
        assert maps.shape == (2, 24)
    signed = explanations.gradients(one, memory, words)["gradient × input"]
    assert signed.argmax(1).tolist() == [CELL, CELL]
    others = signed[:, [cell for cell in range(24) if cell != CELL]]
    assert (others < 0).all()  # they speak for "cat", which hangs on the mean
    assert torch.allclose(others, others[:, :1].expand_as(others))


def test_rank_correlation_is_spearmans() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 5, (6, 17)), rng.normal(size=(6, 17))
    found = rank_correlation(first, second)
    expected = [stats.spearmanr(a, b).statistic for a, b in zip(first, second, strict=True)]
    assert found == pytest.approx(expected)
    assert rank_correlation(second, second) == pytest.approx([1.0] * 6)
    assert np.isnan(rank_correlation(np.ones((1, 4)), second[:1, :4])).all()


def test_class_activations_come_to_the_logit(model: CaptionModel, grid: torch.Tensor) -> None:
    """A map's mean and the bias are the class's logit: Zhou et al. 2016, eq. 1 and 2."""
    torch.manual_seed(3)
    seeing = copy.deepcopy(model)
    seeing.encoder.classifier = nn.Linear(model.encoder.project.in_features, 3)
    with torch.no_grad():
        odds = seeing.encoder.recognise(grid)
    bias = seeing.encoder.classifier.bias.detach()
    alone = explanations.class_activation(seeing, grid, [1, 0, 1], [[2], [0], [1]])
    assert alone.shape == (3, *grid.shape[1:3])
    expected = odds[[1, 0, 1], [2, 0, 1]] - bias[[2, 0, 1]]
    np.testing.assert_allclose(alone.mean((1, 2)), expected, atol=1e-4)
    # Of several classes each counts for its share of their probability.
    share = float(odds[1, [1, 2]].softmax(-1)[0])
    [both] = explanations.class_activation(seeing, grid, [1], [[1, 2]])
    np.testing.assert_allclose(both, share * alone[2] + (1 - share) * alone[0], atol=1e-5)
