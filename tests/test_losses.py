from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from captioner.losses import cross_entropy, doubly_stochastic, pack_like

K, T, H, N, V = 5, 7, 2, 11, 13
LENGTHS = torch.tensor([4, 7, 1, 3, 7])


def drawn(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def targets_of(seed: int = 5) -> Tensor:
    return torch.randint(0, V, (K, T), generator=torch.Generator().manual_seed(seed))


def packed(padded: Tensor, lengths: Tensor = LENGTHS) -> PackedSequence:
    return pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_cross_entropy_is_torchs_over_the_real_words(smoothing: float) -> None:
    logits, targets = drawn(K, T, V), targets_of()
    found = cross_entropy(packed(logits), targets, smoothing)
    words = [(k, t) for k in range(K) for t in range(int(LENGTHS[k]))]
    apart = torch.stack([logits[place] for place in words])
    said = torch.stack([targets[place] for place in words])
    torch.testing.assert_close(found, F.cross_entropy(apart, said, label_smoothing=smoothing))

    log_probs = apart.double().numpy()
    log_probs = log_probs - np.log(np.exp(log_probs).sum(-1, keepdims=True))
    share = np.full((len(words), V), smoothing / V)
    share[np.arange(len(words)), said.numpy()] += 1 - smoothing
    np.testing.assert_allclose(float(found), -(share * log_probs).sum(-1).mean(), rtol=1e-6)


def test_what_lies_beyond_a_sentences_end_is_not_read() -> None:
    logits, targets = packed(drawn(K, T, V)), targets_of()
    expected = cross_entropy(logits, targets, 0.1)
    beyond = torch.arange(T) >= LENGTHS.unsqueeze(1)
    for rubbish in (0, V - 1, -100, 10**9):
        dirty = F.pad(targets.masked_fill(beyond, rubbish), (0, 3), value=rubbish)
        assert torch.equal(cross_entropy(logits, dirty, 0.1), expected)


def test_the_gradient_pulls_towards_the_targets() -> None:
    logits = drawn(K, T, V).requires_grad_()
    targets = targets_of()
    cross_entropy(packed(logits), targets).backward()
    assert logits.grad is not None
    real = torch.arange(T) < LENGTHS.unsqueeze(1)
    words = int(LENGTHS.sum())
    expected = (logits.softmax(-1) - F.one_hot(targets, V)) / words
    torch.testing.assert_close(logits.grad, expected.detach() * real.unsqueeze(-1))


def test_half_precision_logits_are_summed_in_full() -> None:
    logits, targets = drawn(K, T, V).bfloat16(), targets_of()
    found = cross_entropy(packed(logits), targets)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, cross_entropy(packed(logits.float()), targets))


@pytest.mark.parametrize("lengths", [[4, 7, 1, 3, 7], [7, 7, 7, 7, 7], [1, 2, 3, 4, 5], [5], [1]])
def test_packing_like_is_torchs_packing(lengths: list[int]) -> None:
    padded = torch.arange(len(lengths) * T).view(-1, T)
    expected = packed(padded, torch.tensor(lengths))
    assert torch.equal(pack_like(expected, padded), expected.data)


def test_packing_like_a_batch_that_was_sorted_already() -> None:
    padded = torch.arange(3 * T).view(3, T)
    expected = pack_padded_sequence(padded, torch.tensor([6, 4, 1]), batch_first=True)
    assert expected.sorted_indices is None
    assert torch.equal(pack_like(expected, padded), expected.data)


def maps() -> Tensor:
    """Weights (K, T, H, N) as a decoder gives them: rows sum to 1, or to 0 beyond the end."""
    weights = drawn(K, T, H, N).mul(2).softmax(-1)
    padded, _ = pad_packed_sequence(packed(weights), batch_first=True)
    return padded


def test_doubly_stochastic_is_the_papers_sum() -> None:
    weights = maps()
    each = []
    for k in range(K):
        for h in range(H):
            looked = [sum(float(weights[k, t, h, j]) for t in range(T)) for j in range(N)]
            each.append(sum((1 - total) ** 2 for total in looked))
    np.testing.assert_allclose(float(doubly_stochastic(weights)), np.mean(each), rtol=1e-5)


def test_doubly_stochastic_knows_no_padding() -> None:
    expected = doubly_stochastic(maps())
    torch.testing.assert_close(doubly_stochastic(F.pad(maps(), (0, 0, 0, 0, 0, 5))), expected)


def test_a_photo_looked_at_evenly_costs_nothing() -> None:
    even = torch.full((K, N, H, N), 1 / N)  # as many words as positions
    assert float(doubly_stochastic(even)) < 1e-10
    each_once = torch.eye(N).view(1, N, 1, N)
    assert float(doubly_stochastic(each_once)) == 0
    stare = torch.zeros(1, N, 1, N)
    stare[..., 0] = 1
    assert float(doubly_stochastic(stare)) == (N - 1) ** 2 + (N - 1)


def test_doubly_stochastic_pushes_where_too_little_was_looked() -> None:
    weights = maps().requires_grad_()
    doubly_stochastic(weights).backward()
    assert weights.grad is not None
    missing = 1 - weights.detach().sum(1, keepdim=True)
    torch.testing.assert_close(weights.grad, (-2 * missing / (K * H)).expand(K, T, H, N))
