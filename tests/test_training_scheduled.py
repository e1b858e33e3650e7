"""Scheduled sampling: how much of what is read is the model's own, and that it is its own."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from captioner.nn.memory import Memory
from captioner.nn.recurrent import RecurrentDecoder
from captioner.search import sayable
from captioner.text import BOS, EOS, PAD, UNK
from captioner.training.scheduled import mixed_inputs, own_share
from tests.miniature import FEATURES, captioning, steps, translating


@pytest.mark.parametrize("decay", ["linear", "exponential", "inverse_sigmoid"])
@pytest.mark.parametrize("last", [0.05, 0.25, 0.5, 0.9])
def test_the_share_falls_as_the_paper_says(decay: str, last: float) -> None:
    shares = [own_share(i / 20, last, decay) for i in range(21)]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(last, abs=1e-6)
    kept = [1 - share for share in shares]  # ε_i
    if decay == "linear":
        assert kept == pytest.approx([1 - last * i / 20 for i in range(21)])
    elif decay == "exponential":  # a constant factor from one to the next
        assert kept == pytest.approx([kept[1] ** i for i in range(21)])
    else:  # k / (k + exp(i / k)) for some k, which any place tells
        odds = [math.log(one / (1 - one)) for one in kept]  # log k − i / k
        slopes = [(odds[i + 1] - odds[i]) * 20 for i in range(20)]
        assert slopes == pytest.approx([slopes[0]] * 20, rel=1e-6)
        assert odds[0] == pytest.approx(math.log(-1 / slopes[0]), abs=1e-6)


def test_without_it_nothing_is_drawn() -> None:
    for decay in ("linear", "exponential", "inverse_sigmoid"):
        assert own_share(0.7, 0.0, decay) == 0


def drawn(share: float, seed: int = 1, **model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    trainer = captioning(model=model)
    batch = trainer.reader.batch()
    memory = trainer.model.encoder.read(batch.photos)
    torch.manual_seed(seed)
    found = mixed_inputs(trainer.model.decoder, memory, batch.inputs, share, batch.owners)
    assert trainer.model.decoder.training
    return found, batch.inputs


def test_no_share_changes_nothing_and_all_of_it_everything_that_can_be_said() -> None:
    found, inputs = drawn(0.0)
    assert torch.equal(found, inputs)
    found, inputs = drawn(1.0)
    assert bool((found[:, 0] == BOS).all())
    for token in (PAD, BOS, UNK, EOS):
        assert not bool((found[:, 1:] == token).any())
    assert not torch.equal(found, inputs)
    again, _ = drawn(1.0)
    assert torch.equal(again, found)
    assert not torch.equal(drawn(1.0, seed=2)[0], found)


def test_draws_follow_what_the_decoder_predicts_after_its_own_words() -> None:
    """Thousands of sentences about one memory: both words' frequencies, step by step."""
    decoder: RecurrentDecoder = captioning().model.decoder
    with torch.no_grad():
        decoder.embedding.weight.mul_(9)
    memory = Memory(torch.randn(1, 4, FEATURES, generator=torch.Generator().manual_seed(2)))
    many = 4000
    inputs = torch.full((many, 3), BOS)
    torch.manual_seed(3)
    owners = torch.zeros(many, dtype=torch.long)
    found = mixed_inputs(decoder, memory, inputs, 1.0, owners)
    decoder.eval()
    with torch.no_grad():
        ready, state = decoder.start(memory)
        step = decoder.step(torch.tensor([[BOS]]), state, ready)
        probs = sayable(step.logits[0, 0], (EOS,)).softmax(-1)
        shares = torch.bincount(found[:, 1], minlength=len(probs)) / many
        torch.testing.assert_close(shares, probs, atol=0.03, rtol=0)
        word = int(probs.argmax())
        step = decoder.step(torch.tensor([[word]]), step.state, ready)
        probs = sayable(step.logits[0, 0], (EOS,)).softmax(-1)
        behind = found[found[:, 1] == word, 2]
        assert len(behind) > 300
        shares = torch.bincount(behind, minlength=len(probs)) / len(behind)
        torch.testing.assert_close(shares, probs, atol=0.1, rtol=0)


@pytest.mark.parametrize("make", [captioning, translating])
def test_training_reads_more_of_its_own_words_as_the_phase_goes_on(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(phases=[{"scheduled_sampling": 0.9, "epochs": 1}])
    read = []
    unroll = trainer.model.decoder.unroll

    def told(inputs: torch.Tensor, *others: Any, **settings: Any) -> Any:
        read.append(inputs)
        return unroll(inputs, *others, **settings)

    monkeypatch.setattr(trainer.model.decoder, "unroll", told)
    batches = list(trainer.batches(0, 0))
    steps(trainer, len(batches))
    changed = [
        float((own != batch.inputs).float().mean())
        for own, batch in zip(read, batches, strict=True)
    ]
    assert changed[0] == 0
    assert changed[-1] > 0.2
