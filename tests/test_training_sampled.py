"""Sampled softmax: what is compared, what stands for the rest, and what is learned by it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from captioner import losses
from captioner.errors import ConfigError
from captioner.nn.memory import Memory
from captioner.nn.vocabulary import Compared
from captioner.settings import from_dict
from captioner.training.sampled import compared_with
from captioner.translations.recipe import TranslationTrainingConfig
from captioner.translations.training import TranslationTrainer
from tests.miniature import captioning, steps, translating

V = 53
TARGETS = torch.tensor([[7, 3, 9, 1, 0], [3, 11, 52, 7, 1], [9, 9, 1, 0, 0]])
OWN = {0, 1, 3, 7, 9, 11, 52}
SAMPLED = {"batch_tokens": 60, "sampled_words": 20}


# ---- what is compared ----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 5, V - len(OWN) - 1, V - len(OWN), V, 10**9])
def test_targets_and_others_each_once(count: int) -> None:
    compared, places = compared_with(TARGETS, V, count)
    words = compared.words.tolist()
    assert len(words) == len(set(words)) == len(OWN) + min(count, V - len(OWN))
    assert set(words) >= OWN
    assert set(words) <= set(range(V))
    assert torch.equal(compared.words[places], TARGETS)
    stands_for = (V - len(OWN)) / min(count, V - len(OWN))
    for word, offset in zip(words, compared.offsets.tolist(), strict=True):
        expected = 0.0 if word in OWN else math.log(stands_for)
        assert offset == pytest.approx(expected, abs=1e-6)


def test_where_all_words_are_targets_none_is_drawn() -> None:
    compared, places = compared_with(torch.arange(V).view(1, V), V, 9)
    assert torch.equal(compared.words, torch.arange(V))
    assert torch.equal(places, torch.arange(V).view(1, V))
    assert not compared.offsets.any()


def test_the_expected_partition_function_is_the_vocabularys() -> None:
    torch.manual_seed(5)
    logits = 2 * torch.randn(V, dtype=torch.double)
    whole, found = float(logits.exp().sum()), []
    drawn = torch.zeros(V)
    for _ in range(1500):
        compared, _ = compared_with(TARGETS, V, 10)
        found.append(float((logits[compared.words] + compared.offsets).exp().sum()))
        drawn[compared.words] += 1 / 1500
    means = torch.tensor(found)
    assert float(means.std()) > 0.1 * whole  # one draw is far off, and the mean is not
    assert float(means.mean()) == pytest.approx(whole, abs=3 * float(means.std()) / 1500**0.5)
    others = [word for word in range(V) if word not in OWN]
    torch.testing.assert_close(
        drawn[others], torch.full((len(others),), 10 / len(others)), atol=0.05, rtol=0
    )


def test_the_draw_is_that_of_torchs_seed() -> None:
    def words(seed: int) -> list[int]:
        torch.manual_seed(seed)
        found: list[int] = compared_with(TARGETS, V, 10)[0].words.tolist()
        return found

    assert words(1) == words(1) != words(2)


# ---- a step of training --------------------------------------------------------------------------


def gradients(trainer: TranslationTrainer, batch: Any) -> dict[str, torch.Tensor]:
    """The loss's and its gradients, by name, without dropout."""
    trainer.model.zero_grad()
    trainer.model.eval()
    torch.manual_seed(11)
    found = trainer.loss(batch)
    found["loss"].backward()
    named = trainer.model.named_parameters()
    return {"loss": found["loss"].detach()} | {k: p.grad for k, p in named if p.grad is not None}


@pytest.mark.parametrize("kind", ["recurrent", "transformer"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_with_all_words_drawn_it_is_the_full_cross_entropy(
    kind: str, tied: bool, smoothing: float
) -> None:
    own = {"batch_tokens": 60, "label_smoothing": smoothing}
    model = {
        "attention": {"input_feeding": kind == "recurrent"},
        "decoder": {"kind": kind, "tie_embeddings": tied},
    }
    full, sampled = (
        translating(model=model, training={**own, "sampled_words": count}) for count in (0, 10_000)
    )
    batch = next(full.batches(0, 0))
    expected, found = gradients(full, batch), gradients(sampled, batch)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-4, msg=name)


def test_the_loss_by_hand() -> None:
    trainer = translating(training={**SAMPLED, "label_smoothing": 0.2})
    trainer.model.eval()
    batch = next(trainer.batches(0, 0))
    size = trainer.model.decoder.vocabulary_size
    torch.manual_seed(11)
    found = trainer.loss(batch)["cross_entropy"].detach()
    torch.manual_seed(11)
    compared, places = compared_with(batch.targets, size, 20)
    logits = trainer.model(batch.sources, batch.source_lengths, batch.inputs, batch.lengths).logits
    own = (logits.data.detach()[:, compared.words] + compared.offsets).double()
    assert size > own.shape[1] > 20
    log_probs = own.log_softmax(-1)
    said = losses.pack_like(logits, places)
    wanted = torch.full_like(log_probs, 0.2 / own.shape[1])
    wanted[torch.arange(len(said)), said] += 0.8
    assert float(found) == pytest.approx(float(-(wanted * log_probs).sum(-1).mean()), rel=1e-5)


def test_words_that_are_not_compared_have_no_gradient() -> None:
    trainer = translating(
        model={"decoder": {"tie_embeddings": False}}, training={**SAMPLED, "sampled_words": 3}
    )
    batch = next(trainer.batches(0, 0))
    gradients(trainer, batch)
    torch.manual_seed(11)
    compared, _ = compared_with(batch.targets, trainer.model.decoder.vocabulary_size, 3)
    rows = trainer.model.decoder.output.weight.grad
    assert rows is not None
    assert set(rows.any(1).nonzero().flatten().tolist()) == set(compared.words.tolist())


@pytest.mark.parametrize(
    ("phase", "whole"),
    [
        ({}, False),
        ({"r_drop": 0.5}, True),
        ({"self_critical": 0.5, "samples": 2}, False),
        ({"scheduled_sampling": 0.5}, False),
    ],
)
def test_r_drop_alone_compares_all(phase: dict[str, Any], whole: bool) -> None:
    trainer = translating(training=SAMPLED, phases=[phase])
    unroll, sizes = trainer.model.decoder.unroll, []

    def watched(*arguments: Any, **named: Any) -> Any:
        found = unroll(*arguments, **named)
        sizes.append(found.logits.data.shape[1])
        return found

    trainer.model.decoder.unroll = watched  # type: ignore[method-assign]
    (found,) = steps(trainer, 1)
    assert math.isfinite(float(found["loss"]))
    size = trainer.model.decoder.vocabulary_size
    assert (sizes[0] == size) == whole
    assert set(sizes[1:]) <= {size}  # R-Drop's second pass, and what is drawn to be judged


def test_hard_attention_is_rewarded_for_what_is_compared() -> None:
    trainer = translating(training=SAMPLED, model={"attention": {"kind": "hard"}})
    for found in steps(trainer, 2):
        assert math.isfinite(float(found["glimpses"]))


def test_it_learns() -> None:
    """The full cross-entropy falls as far as by training on it."""
    after = {}
    for count in (0, 20):
        trainer = translating(
            model={"encoder": {"dropout": 0.0}, "decoder": {"dropout": 0.0}},
            training={"batch_tokens": 60, "sampled_words": count, "label_smoothing": 0.0},
            phases=[{"learning_rate": 3e-2, "warmup": 0.0, "schedule": "constant"}],
        )
        batches = list(trainer.batches(0, 0))
        before = full(trainer, batches)
        for step in range(25):
            trainer.progress.position.step = step
            trainer.step(batches[step % len(batches)])
        after[count] = full(trainer, batches)
        assert after[count] < 0.5 * before
    assert after[20] < 1.1 * after[0]


def full(trainer: TranslationTrainer, batches: list[Any]) -> float:
    """The cross-entropy among all words."""
    trainer.model.eval()
    with torch.no_grad():
        found = [
            losses.cross_entropy(
                trainer.model(b.sources, b.source_lengths, b.inputs, b.lengths).logits, b.targets
            )
            for b in batches
        ]
    trainer.model.train()
    return float(torch.stack(found).mean())


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [-1, 1_000_001, 10**400])
def test_counts_that_cannot_be(count: int) -> None:
    with pytest.raises(ConfigError, match="expected 0 or more, and at most 1,000,000") as caught:
        from_dict(TranslationTrainingConfig, {"sampled_words": count})
    assert str(caught.value).startswith("sampled_words is ")
    assert "\n" not in str(caught.value)


def test_what_copies_compares_all() -> None:
    trainer = captioning()
    decoder = trainer.model.decoder
    decoder.add_copying(4, 2, 3)
    compared = Compared(torch.arange(3), torch.zeros(3))
    with pytest.raises(ValueError, match="a decoder that copies compares all words"):
        decoder._read_out(torch.zeros(2, 7), Memory(torch.zeros(1, 4, 15)), None, compared)
