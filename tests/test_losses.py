from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from captioner.losses import (
    coverage,
    cross_entropy,
    distillation,
    doubly_stochastic,
    leave_one_out,
    pack_like,
    r_drop,
    self_critical,
    supervised_attention,
)

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


MANY = 311  # words: several times the rows that are computed together, and a rest


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_value_and_gradient_are_torchs(smoothing: float, kind: torch.dtype) -> None:
    lengths = torch.tensor([MANY - 7, 7])
    targets = torch.randint(0, V, (2, MANY), generator=torch.Generator().manual_seed(7))
    found, expected = (drawn(2, MANY, V).mul(3).to(kind).requires_grad_() for _ in range(2))
    own = cross_entropy(packed(found, lengths), targets, smoothing)
    theirs = F.cross_entropy(
        packed(expected, lengths).data.float(),
        packed(targets, lengths).data,
        label_smoothing=smoothing,
    )
    torch.testing.assert_close(own, theirs)
    (2.5 * own).backward()  # as loss scaling and weights of several losses have it
    (2.5 * theirs).backward()
    assert found.grad is not None
    assert expected.grad is not None
    assert found.grad.dtype == kind
    exact = {"atol": 1e-8, "rtol": 1e-5} if kind == torch.float32 else {"atol": 1e-5, "rtol": 2e-2}
    torch.testing.assert_close(found.grad, expected.grad, **exact)


def test_large_logits_do_not_overflow() -> None:
    logits, targets = drawn(K, T, V).mul(1e4).requires_grad_(), targets_of()
    found = cross_entropy(packed(logits), targets, 0.1)
    expected = F.cross_entropy(
        packed(logits).data, pack_like(packed(logits), targets), label_smoothing=0.1
    )
    torch.testing.assert_close(found, expected)
    found.backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


# ---- two passes ----------------------------------------------------------------------------------


def divergence(one: np.ndarray, other: np.ndarray) -> float:
    """KL(one ‖ other) of two words' logits."""
    p, q = (np.exp(x - x.max()) / np.exp(x - x.max()).sum() for x in (one, other))
    return float((p * (np.log(p) - np.log(q))).sum())


def test_r_drop_is_the_papers_sum() -> None:
    first, second = drawn(K, T, V), drawn(K, T, V, seed=9)
    each = []
    for k in range(K):
        for t in range(int(LENGTHS[k])):
            one, other = first[k, t].double().numpy(), second[k, t].double().numpy()
            each.append((divergence(one, other) + divergence(other, one)) / 2)
    found = r_drop(packed(first), packed(second))
    np.testing.assert_allclose(float(found), np.mean(each), rtol=1e-5)
    torch.testing.assert_close(r_drop(packed(second), packed(first)), found)
    assert float(r_drop(packed(first), packed(first + 3))) == pytest.approx(0, abs=1e-6)


def test_r_drop_pulls_both_passes_together() -> None:
    first, second = (drawn(K, T, V, seed=seed).requires_grad_() for seed in (3, 9))
    before = r_drop(packed(first), packed(second))
    before.backward()
    assert first.grad is not None
    assert second.grad is not None
    assert not first.grad[torch.arange(T) >= LENGTHS.unsqueeze(1)].any()
    with torch.no_grad():
        for moved in (first, second):
            alone = [x - 5 * x.grad if x is moved else x for x in (first, second)]
            assert r_drop(*map(packed, alone)) < before


def test_r_drop_in_half_precision() -> None:
    first, second = (drawn(K, T, V, seed=seed).bfloat16() for seed in (3, 9))
    found = r_drop(packed(first), packed(second))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, r_drop(packed(first.float()), packed(second.float())))


# ---- words and positions -------------------------------------------------------------------------


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


def test_what_nothing_can_look_at_is_not_missed() -> None:
    real = torch.arange(N) < torch.tensor([11, 3, 1, 7, 5]).unsqueeze(1)  # (K, N)
    energies = drawn(K, T, H, N).masked_fill(~real.view(K, 1, 1, N), -torch.inf)
    weights, _ = pad_packed_sequence(packed(energies.softmax(-1)), batch_first=True)
    alone = [doubly_stochastic(weights[k : k + 1, :, :, : int(real[k].sum())]) for k in range(K)]
    torch.testing.assert_close(doubly_stochastic(weights, real), torch.stack(alone).mean())
    longer = F.pad(weights, (0, 5)), F.pad(real, (0, 5))
    torch.testing.assert_close(doubly_stochastic(*longer), doubly_stochastic(weights, real))
    torch.testing.assert_close(
        doubly_stochastic(weights, torch.ones_like(real)), doubly_stochastic(weights)
    )


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


# ---- sentences that were drawn -------------------------------------------------------------------

ADVANTAGES = torch.tensor([0.7, -1.3, 0.0, 2.1, -0.4])


def test_self_critical_is_the_papers_sum() -> None:
    logits, targets = drawn(K, T, V), targets_of()
    each = []
    for k in range(K):
        for t in range(int(LENGTHS[k])):
            own = logits[k, t].double().numpy()
            log_prob = own[targets[k, t]] - np.log(np.exp(own).sum())
            each.append(-float(ADVANTAGES[k]) * log_prob)
    found = self_critical(packed(logits), targets, ADVANTAGES)
    np.testing.assert_allclose(float(found), np.mean(each), rtol=1e-5)


def test_the_self_critical_gradient_is_torchs() -> None:
    own, theirs = (drawn(K, T, V).requires_grad_() for _ in range(2))
    targets = targets_of()
    self_critical(packed(own), targets, ADVANTAGES).backward()
    within = torch.arange(T) < LENGTHS.unsqueeze(1)
    each = F.cross_entropy(theirs.flatten(0, 1), targets.flatten(), reduction="none").view(K, T)
    (ADVANTAGES.unsqueeze(1) * each)[within].mean().backward()
    torch.testing.assert_close(own.grad, theirs.grad)


def test_a_gradient_is_given_once() -> None:
    loss = cross_entropy(packed(drawn(K, T, V).requires_grad_()), targets_of())
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="gradient was asked for twice; compute it anew"):
        loss.backward()


def test_equal_advantages_are_cross_entropy() -> None:
    logits, targets = packed(drawn(K, T, V)), targets_of()
    found = self_critical(logits, targets, torch.full((K,), 1.7))
    torch.testing.assert_close(found, 1.7 * cross_entropy(logits, targets))


def test_drawn_sentences_end_where_they_end() -> None:
    logits, targets = packed(drawn(K, T, V)), targets_of()
    expected = self_critical(logits, targets, ADVANTAGES)
    beyond = torch.arange(T) >= LENGTHS.unsqueeze(1)
    for rubbish in (0, V - 1, 10**9):
        dirty = F.pad(targets.masked_fill(beyond, rubbish), (0, 3), value=rubbish)
        assert torch.equal(self_critical(logits, dirty, ADVANTAGES), expected)


def test_what_is_better_than_its_siblings_becomes_more_probable() -> None:
    logits, targets = drawn(K, T, V).requires_grad_(), targets_of()
    self_critical(packed(logits), targets, ADVANTAGES).backward()
    assert logits.grad is not None
    real = torch.arange(T) < LENGTHS.unsqueeze(1)
    with torch.no_grad():
        stepped = logits - 0.1 * logits.grad
        before, after = (
            (x.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1) * real).sum(1)
            for x in (logits, stepped)
        )
    assert torch.equal((after - before).sign(), ADVANTAGES.sign())
    assert not logits.grad[~real].any()
    likelihood = F.one_hot(targets, V) - logits.detach().softmax(-1)  # ∇ log p
    expected = -ADVANTAGES.view(-1, 1, 1) * likelihood * real.unsqueeze(-1) / LENGTHS.sum()
    torch.testing.assert_close(logits.grad, expected)


def test_drawn_sentences_in_half_precision() -> None:
    logits, targets = drawn(K, T, V).bfloat16(), targets_of()
    found = self_critical(packed(logits), targets, ADVANTAGES)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, self_critical(packed(logits.float()), targets, ADVANTAGES))


@pytest.mark.parametrize("count", [2, 3, 7])
def test_each_is_judged_by_the_others(count: int) -> None:
    rewards = drawn(K, count)
    found = leave_one_out(rewards)
    values = rewards.double().numpy()
    expected = [
        [values[b, i] - np.delete(values[b], i).mean() for i in range(count)] for b in range(K)
    ]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(1).numpy(), 0, atol=1e-5)
    torch.testing.assert_close(leave_one_out(rewards + 5), found)
    assert not leave_one_out(torch.full((K, count), 0.5)).any()  # nothing is better than another


# ---- maps that are taught ------------------------------------------------------------------------

MENTIONS = torch.tensor([[1, 6], [0, 0], [3, 2], [1, 6]])


def regions_of() -> Tensor:
    return drawn(len(MENTIONS), N, seed=11).sigmoid()


def test_supervised_attention_is_the_mass_in_the_regions() -> None:
    weights, regions = maps(), regions_of()
    each = []
    for (sentence, place), region in zip(MENTIONS.tolist(), regions.tolist(), strict=True):
        mass = 0.0
        for h in range(H):
            own = weights[sentence, place, h].double().tolist()
            mass += sum(share * looked for share, looked in zip(region, own, strict=True)) / H
        each.append(-np.log(mass + 1e-6))
    found = supervised_attention(weights, MENTIONS, regions)
    np.testing.assert_allclose(float(found), np.mean(each), rtol=1e-5)


def test_enough_mass_costs_nothing_more() -> None:
    weights, regions = maps().requires_grad_(), regions_of()
    mass = (weights[MENTIONS[:, 0], MENTIONS[:, 1]].mean(1) * regions).sum(-1).detach()
    enough = float(mass.mean())  # between them
    found = supervised_attention(weights, MENTIONS, regions, enough)
    expected = np.maximum(0, np.log(enough) - np.log(mass.numpy() + 1e-6)).mean()
    np.testing.assert_allclose(float(found.detach()), expected, rtol=1e-5)
    found.backward()
    assert weights.grad is not None
    for (sentence, place), own in zip(MENTIONS.tolist(), mass.tolist(), strict=True):
        assert bool(weights.grad[sentence, place].any()) == (own < enough)


def test_only_the_mentioned_words_are_taught() -> None:
    weights = maps().requires_grad_()
    supervised_attention(weights, MENTIONS, regions_of()).backward()
    assert weights.grad is not None
    taught = torch.zeros(K, T, dtype=torch.bool)
    taught[MENTIONS[:, 0], MENTIONS[:, 1]] = True
    assert not weights.grad[~taught].any()
    assert (weights.grad[taught] < 0).all()  # more mass on what is covered costs less
    longer = F.pad(maps(), (0, 0, 0, 0, 0, 5))
    assert torch.equal(
        supervised_attention(longer, MENTIONS, regions_of()),
        supervised_attention(maps(), MENTIONS, regions_of()),
    )


def test_a_map_inside_its_region_costs_nothing_and_one_outside_stays_finite() -> None:
    weights = torch.zeros(1, 1, H, N)
    weights[..., 3] = 1
    region = torch.zeros(1, N)
    region[0, 2:5] = 1
    mention = torch.tensor([[0, 0]])
    assert float(supervised_attention(weights, mention, region)) == pytest.approx(0, abs=1e-5)
    outside = supervised_attention(weights, mention, 1 - region)
    np.testing.assert_allclose(float(outside), -np.log(1e-6), rtol=1e-5)
    energies = torch.zeros(N, requires_grad=True)
    even = energies.softmax(-1).expand(1, 1, H, N)
    supervised_attention(even, mention, region).backward()
    assert energies.grad is not None
    assert torch.equal(energies.grad < 0, region[0] > 0)  # descending raises what is covered


def test_without_mentions_nothing_is_taught() -> None:
    weights = maps().requires_grad_()
    none = supervised_attention(weights, torch.zeros(0, 2, dtype=torch.long), torch.zeros(0, N))
    assert none.item() == 0
    none.backward()
    assert weights.grad is not None
    assert not weights.grad.any()


# ---- a teacher's answers -------------------------------------------------------------------------


def test_distillation_is_the_divergence_from_the_teacher() -> None:
    answers, wanted = 3 * drawn(K, V), 3 * drawn(K, V, seed=7)
    p, q = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (answers.numpy(), wanted.numpy()))
    expected = float((q * np.log(q / p)).sum(1).mean())
    assert float(distillation(answers, wanted)) == pytest.approx(expected, rel=1e-5)


def test_who_answers_as_the_teacher_has_nothing_to_learn() -> None:
    answers = (5 * drawn(K, V)).requires_grad_()
    loss = distillation(answers, answers.detach() + 3.0)  # a shift of all logits is no difference
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert answers.grad is not None
    assert answers.grad.abs().max() < 1e-6


def test_distillation_in_half_precision_is_summed_in_full() -> None:
    answers, wanted = drawn(K, V), drawn(K, V, seed=7)
    full = distillation(answers.half().float(), wanted.half().float())
    assert torch.equal(distillation(answers.half(), wanted.half()), full)


# ---- where attention should look, and not look again ---------------------------------------------


def test_maps_against_even_maps_by_numpy() -> None:
    rng = np.random.default_rng(3)
    weights = rng.dirichlet(np.ones(7), (3, 5, 2))  # (K, T, H, N)
    mentions = np.array([[0, 2], [2, 4], [2, 0], [1, 1]])
    regions = (rng.random((4, 7)) < 0.4) * rng.random((4, 7))
    regions[:, 3] = 0.5  # none is empty
    given = (torch.tensor(weights), torch.tensor(mentions), torch.tensor(regions))
    entropy = squares = 0.0
    for (k, t), region in zip(mentions, regions, strict=True):
        own, wanted = weights[k, t].mean(0), region / region.sum()
        entropy -= (wanted * np.log(own + 1e-6)).sum() / 4
        squares += ((wanted - own) ** 2).sum() / 8
    found = supervised_attention(*given, by="cross_entropy")
    assert float(found) == pytest.approx(entropy, rel=1e-5)
    found = supervised_attention(*given, by="squares")
    assert float(found) == pytest.approx(squares, rel=1e-5)


def test_coverage_is_the_loop_of_the_paper() -> None:
    rng = np.random.default_rng(4)
    lengths = [2, 5, 3]
    weights = rng.dirichlet(np.ones(7), (3, 5, 2))
    expected = 0.0
    for k, length in enumerate(lengths):
        weights[k, length:] = 0
        for h in range(2):
            covered = np.zeros(7)
            for t in range(length):
                expected += np.minimum(weights[k, t, h], covered).sum() / 2
                covered += weights[k, t, h]
    found = coverage(torch.tensor(weights), torch.tensor(lengths))
    assert float(found) == pytest.approx(expected / sum(lengths), rel=1e-5)
    padded = torch.nn.functional.pad(torch.tensor(weights), (0, 3, 0, 0, 0, 4))
    assert float(coverage(padded, torch.tensor(lengths))) == pytest.approx(float(found))


def test_looking_elsewhere_each_time_costs_nothing() -> None:
    weights = torch.eye(5).view(1, 5, 1, 5)
    assert float(coverage(weights, torch.tensor([5]))) == 0
    again = weights[:, [0, 0, 1, 1, 2]]
    assert float(coverage(again, torch.tensor([5]))) == pytest.approx(2 / 5)
