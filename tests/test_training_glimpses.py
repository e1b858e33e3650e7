"""What hard attention adds to a loss, by hand, and a run that goes on with its baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from captioner import losses
from captioner.nn.memory import Memory
from captioner.training import state
from captioner.training.glimpses import BASELINE
from tests.miniature import captioning, state_of, steps, translating

HARD = {"kind": "hard", "hard": {"expected": 0.25, "reward": 0.7, "entropy": 0.03}}
TRAINERS = [captioning, translating]


def test_reinforce_by_hand() -> None:
    """Of the mean over words of log p: each sentence's share, its advantage, its draws."""
    lengths = torch.tensor([2, 5, 3])
    log_probs = torch.randn(3, 5, 2)
    advantages = torch.tensor([0.5, -1.25, 3.0])
    real = (torch.arange(5) < lengths.unsqueeze(1)).unsqueeze(-1)
    expected = 0.0
    for k in range(3):
        drawn = log_probs[k, : lengths[k]].double().sum().item()
        expected -= lengths[k].item() * advantages[k].item() * drawn / lengths.sum().item()
    found = losses.reinforce(log_probs * real, advantages, lengths)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_word_log_likelihoods_by_hand() -> None:
    lengths, targets = torch.tensor([2, 5, 3]), torch.randint(0, 7, (3, 5))
    logits = torch.randn(3, 5, 7)
    packed = pack_padded_sequence(logits, lengths, batch_first=True, enforce_sorted=False)
    found = losses.word_log_likelihoods(packed, targets)
    own = logits.double().numpy()
    own = own - np.log(np.exp(own).sum(-1, keepdims=True))
    for k, length in enumerate(lengths.tolist()):
        expected = np.mean([own[k, t, targets[k, t]] for t in range(length)])
        assert float(found[k]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("make", TRAINERS)
def test_the_loss_is_that_of_the_paper(make: Any) -> None:
    trainer = make(model={"attention": HARD})
    batch = next(trainer.batches(0, 0))
    trainer.kept[BASELINE] = torch.tensor(-2.0)
    torch.manual_seed(9)
    found = {name: float(value.detach()) for name, value in trainer.loss(batch).items()}
    torch.manual_seed(9)  # the same draws again
    decoder = trainer.model.decoder
    memory: Memory
    if make is captioning:
        memory, owners = trainer.model.encoder.read(batch.photos), batch.owners
    else:
        memory, owners = trainer.model.encoder(batch.sources, batch.source_lengths), None
    unrolled = decoder.unroll(batch.inputs, batch.lengths, memory, owners)
    log_probs = unrolled.padded_logits().detach().double().log_softmax(-1)
    said = log_probs.gather(-1, batch.targets.unsqueeze(-1)).squeeze(-1)
    lengths = batch.lengths.tolist()
    drawn, entropies, rewards = 0.0, 0.0, 0.0
    for k, length in enumerate(lengths):
        reward = float(said[k, :length].mean())
        choices = float(unrolled.extras["glimpse_log_prob"][k, :length].detach().sum())
        drawn -= length * (reward + 2.0) * choices
        entropies += float(unrolled.extras["glimpse_entropy"][k, :length].detach().sum())
        rewards += float(said[k, :length].sum())
    words = sum(lengths)
    assert found["glimpses"] == pytest.approx(drawn / words, rel=1e-4)
    assert found["glimpse_entropy"] == pytest.approx(entropies / words, rel=1e-4)
    wanted = found["cross_entropy"] + 0.7 * drawn / words - 0.03 * entropies / words
    assert found["loss"] == pytest.approx(wanted, rel=1e-4)
    assert float(trainer.kept[BASELINE]) == pytest.approx(-1.8 + 0.1 * rewards / words, rel=1e-4)


def test_the_baseline_starts_as_the_first_reward() -> None:
    trainer = translating(model={"attention": HARD})
    assert trainer.kept == {}
    (first,) = steps(trainer, 1)
    assert float(trainer.kept[BASELINE]) < 0
    assert float(first["glimpses"]) != 0


@pytest.mark.parametrize("make", TRAINERS)
def test_a_run_goes_on_with_its_baseline(make: Any, tmp_path: Path) -> None:
    whole = make(model={"attention": HARD})
    steps(whole, 2)
    begun = make(model={"attention": HARD})
    steps(begun, 1)
    state.save_state(begun, tmp_path / "begun")
    resumed = make(model={"attention": HARD})
    state.load_state(resumed, tmp_path / "begun")
    assert torch.equal(resumed.kept[BASELINE], begun.kept[BASELINE])
    steps(resumed, 1)
    expected, found = state_of(whole, tmp_path / "one"), state_of(resumed, tmp_path / "other")
    assert found.keys() == expected.keys()
    assert f"kept.{BASELINE}" in found
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, name)


@pytest.mark.parametrize("make", TRAINERS)
def test_the_score_learns_by_its_draws_alone(make: Any) -> None:
    """Without expectations nothing else reaches it: the bug that hard attention often has."""
    hard = {"kind": "hard", "hard": {"expected": 0.0, "entropy": 0.0}}
    for reward, learns in ((1.0, True), (0.0, False)):
        trainer = make(
            model={"attention": {**hard, "hard": {**hard["hard"], "reward": reward}}},
            training={"label_smoothing": 0.0},
        )
        trainer.kept[BASELINE] = torch.tensor(-5.0)
        trainer.loss(next(trainer.batches(0, 0)))["loss"].backward()
        parameters = list(trainer.model.decoder.attention.score.parameters())
        assert parameters
        moved = any(p.grad is not None and bool((p.grad != 0).any()) for p in parameters)
        assert moved == learns
