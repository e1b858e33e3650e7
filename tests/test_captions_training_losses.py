"""Training a captioner: what each loss adds to a step, and what it teaches."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from captioner import datasets, losses
from captioner.captions.training import CaptionTrainer
from captioner.errors import ConfigError
from captioner.metrics import CiderScorer
from captioner.nn.recognition import load_recogniser
from captioner.options import SearchOptions
from captioner.search import search
from captioner.text import EOS
from captioner.training import train
from tests.captioning import CELLS, FROZEN, KEPT, LEARNER, WHOLE, recipe, small_trainer, taught
from tests.captioning import photos as photos
from tests.captioning import teacher as teacher
from tests.captioning import uninterrupted as uninterrupted
from tests.captioning import world as world
from tests.runs import no_fsync as no_fsync


def test_the_penalty_is_added(world: Path, photos: list[datasets.Photo]) -> None:
    found = {}
    for weight in (0.0, 2.5):
        wanted = recipe(world, Path("unused"), training={"doubly_stochastic": weight})
        trainer = small_trainer(wanted, photos)
        trainer.model.eval()
        found[weight] = trainer.loss(next(trainer.reader.read(0)))
    assert found[0.0].keys() == {"loss", "cross_entropy"}
    assert found[0.0]["loss"] == found[0.0]["cross_entropy"] == found[2.5]["cross_entropy"]
    expected = found[2.5]["cross_entropy"] + 2.5 * found[2.5]["doubly_stochastic"]
    assert torch.equal(found[2.5]["loss"], expected)
    assert found[2.5]["doubly_stochastic"] > 0


def test_distillation_keeps_the_classifier_true(
    world: Path, teacher: dict[str, str], photos: list[datasets.Photo]
) -> None:
    """The CNN starts elsewhere than its teacher; with the loss it comes to answer alike."""
    found = {}
    for weight in (0.0, 2.0):
        phase = {**WHOLE, "learning_rate": 5e-3, "encoder_learning_rate": 1e-3}
        wanted = recipe(
            world,
            Path("unused"),
            teacher=teacher,
            training={"batch_size": 6, "weight_average": 0.0},
            phases=[{**phase, "distillation": weight}],
        )
        network = load_recogniser("mobilenet_v2", wanted.teacher)
        trainer = small_trainer(wanted, photos, teacher=network)
        (batch,) = trainer.reader.read(0)
        for _ in range(40):
            told = trainer.step(batch)
        pixels = trainer.normalised(batch)
        answers = trainer.model.encoder.recognise(trainer.model.encoder.grid(pixels))
        found[weight] = float(losses.distillation(answers, network(pixels)).detach())
        assert ("distillation" in told) == (weight > 0)
    assert found[2.0] < 0.5 * found[0.0]


def test_distillation_is_added_with_its_weight(
    world: Path, teacher: dict[str, str], photos: list[datasets.Photo]
) -> None:
    wanted = recipe(world, Path("unused"), teacher=teacher, phases=[{**KEPT, "distillation": 0.3}])
    network = load_recogniser("mobilenet_v2", wanted.teacher)
    trainer = small_trainer(wanted, photos, teacher=network)
    found = trainer.loss(next(trainer.reader.read(0)))
    expected = found["cross_entropy"] + 0.3 * found["distillation"]
    torch.testing.assert_close(found["loss"], expected)


def mass_in_boxes(trainer: CaptionTrainer) -> float:
    """How much of a noun's map lies in its boxes, by the word that names them."""
    (batch,) = trainer.reader.read(0)
    trainer.model.eval()
    with torch.no_grad():
        memory = trainer.model.encoder(trainer.normalised(batch))
        weights = trainer.model.decoder(batch.inputs, batch.lengths, memory, batch.owners).weights
    trainer.model.train()
    assert memory.grid == CELLS
    maps = [weights[row, place].mean(0) for row, place in batch.mentions.tolist()]
    assert len(maps) > 20
    return float((torch.stack(maps) * batch.regions).sum(1).mean())


def test_supervision_brings_a_nouns_map_into_its_box(
    world: Path, photos: list[datasets.Photo]
) -> None:
    found = {}
    for weight in (0.0, 1.0):
        trainer = taught(world, photos, weight)
        before = mass_in_boxes(trainer)
        (batch,) = trainer.reader.read(0)
        for _ in range(80):
            told = trainer.step(batch)
        found[weight] = mass_in_boxes(trainer)
        assert ("supervised_attention" in told) == (weight > 0)
    assert found[1.0] > 3 * max(before, found[0.0])


def test_supervision_is_added_with_its_weight(world: Path, photos: list[datasets.Photo]) -> None:
    trainer = taught(world, photos, 0.3)
    (batch,) = trainer.reader.read(0)
    found = trainer.loss(batch)
    expected = found["cross_entropy"] + 0.3 * found["supervised_attention"]
    torch.testing.assert_close(found["loss"], expected)
    no_boxes = dataclasses.replace(batch, mentions=batch.mentions[:0], regions=batch.regions[:0])
    trainer = taught(world, photos, 0.3)
    found = trainer.loss(no_boxes)
    assert torch.equal(found["loss"], found["cross_entropy"])


def test_supervision_without_boxes(world: Path, tmp_path: Path) -> None:
    wanted = recipe(world, tmp_path / "run", phases=[{**FROZEN, "attention_supervision": 0.2}])
    told = r"needs to know where things lie; .* boxes in \[\[data.train\]\], or --data.train.0.box"
    with pytest.raises(ConfigError, match=told):
        train(wanted)


KNOWING = {**WHOLE, "learning_rate": 4e-3, "epochs": 99}


def judged(world: Path, photos: list[datasets.Photo], *phases: dict[str, Any]) -> CaptionTrainer:
    """A trainer of one batch, with one caption for each photo."""
    wanted = recipe(
        world,
        Path("unused"),
        **{**LEARNER, "training": {**LEARNER["training"], "weight_average": 0.0}},
        phases=list(phases),
    )
    one_each = [dataclasses.replace(photo, captions=photo.captions[:1]) for photo in photos]
    return small_trainer(wanted, one_each)


def test_self_critical_steps_raise_the_reward(world: Path, photos: list[datasets.Photo]) -> None:
    """Of a decoder that knows half of it, about photos that do not change."""
    frozen = {"warmup": 0.0, "schedule": "constant"}
    critical = {**frozen, "learning_rate": 3e-3, "self_critical": 1.0, "samples": 40}
    trainer = judged(world, photos, {**frozen, "learning_rate": 4e-3, "epochs": 99}, critical)
    (batch,) = trainer.reader.read(0)
    for _ in range(30):
        trainer.step(batch)
    trainer.enter(trainer.recipe.phases[1])
    rewards = []
    for _ in range(60):
        found = trainer.step(batch)
        trainer.progress.position.total_steps += 1
        assert all(math.isfinite(float(value)) for value in found.values())
        assert torch.equal(found["loss"], found["self_critical"])
        rewards.append(float(found["reward"]))
    assert sum(rewards[-8:]) > 1.2 * sum(rewards[:8]) > 0


def test_the_reward_reaches_decoder_and_encoder(world: Path, photos: list[datasets.Photo]) -> None:
    trainer = judged(world, photos, KNOWING, {**KNOWING, "self_critical": 1.0, "samples": 3})
    (batch,) = trainer.reader.read(0)
    for _ in range(10):
        trainer.step(batch)
    trainer.enter(trainer.recipe.phases[1])
    found = trainer.loss(batch)
    assert found["reward"] > 0
    found["loss"].backward()
    for name, parameter in trainer.model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
    for module in (
        trainer.model.decoder.embedding,
        trainer.model.decoder.attention.score.query,
        trainer.model.encoder.project,
        trainer.model.encoder.features[0][0],
    ):
        assert bool(module.weight.grad.any())
    assert trainer.model.decoder.training  # drawing does not leave it evaluating


@pytest.mark.parametrize("max_length", [20, 4])
def test_the_self_critical_loss_by_hand(
    max_length: int, world: Path, photos: list[datasets.Photo]
) -> None:
    """Drawn, judged and weighed one by one, by the probabilities that the search itself reports.

    The decoder has its dropout, which neither drawing nor scoring may feel; of four words, most
    captions are cut, and an end that was forced is neither said nor made likelier.
    """
    critical = {"self_critical": 0.4, "samples": 3, "max_length": max_length}
    trainer = judged(world, photos, KNOWING, {**KNOWING, **critical})
    (batch,) = trainer.reader.read(0)
    for _ in range(25):
        trainer.step(batch)
    trainer.enter(trainer.recipe.phases[1])
    trainer.progress.position.total_steps = 7
    decoder, words = trainer.model.decoder, trainer.checkpoint.vocabulary.words
    trainer.model.eval()  # or batch norm would see another batch
    decoder.train()
    decoder.dropout.p, decoder.attention.dropout.p, decoder.word_dropout.p = 0.5, 0.3, 0.2
    found = trainer.loss(batch)
    assert decoder.training
    assert decoder.dropout.p == 0.5
    decoder.eval()
    with torch.no_grad():
        memory = trainer.model.encoder(trainer.normalised(batch))
    drawing = SearchOptions(
        sample=True, top_p=1.0, n_best=3, max_length=max_length, alternatives=0, seed=3
    )
    drawn = search(decoder, memory, drawing, indices=range(7 * 6, 8 * 6))
    own_words = [
        [[words[t] for t in [*caption, EOS]] for caption in own] for own in trainer.reader.sentences
    ]
    scorer, terms, all_rewards, cut = CiderScorer(own_words), [], [], 0
    for photo, hypotheses in enumerate(drawn):
        said = []
        for one in hypotheses:
            ended = len(one.tokens) < max_length
            cut += not ended
            said.append([words[token] for token in one.tokens] + ["<eos>"] * ended)
        rewards = scorer.score(said, [int(batch.numbers[photo])] * 3)
        all_rewards.extend(rewards)
        for place, one in enumerate(hypotheses):
            advantage = rewards[place] - np.delete(rewards, place).mean()
            ends = [one.end_log_prob] if len(one.tokens) < max_length else []
            terms += [-advantage * value for value in [*one.log_probs, *ends]]
    assert (cut > 5) == (max_length == 4)
    assert np.std(all_rewards) > 0.05
    assert float(found["reward"]) == pytest.approx(np.mean(all_rewards))
    critical_loss = float(found["self_critical"].detach())
    assert critical_loss == pytest.approx(np.mean(terms), rel=1e-3, abs=1e-5)
    expected = 0.6 * found["cross_entropy"] + 0.4 * found["self_critical"]
    torch.testing.assert_close(found["loss"], expected)


def test_draws_belong_to_the_step(world: Path, photos: list[datasets.Photo]) -> None:
    trainer = judged(world, photos, KNOWING, {**KNOWING, "self_critical": 1.0, "samples": 2})
    (batch,) = trainer.reader.read(0)
    trainer.enter(trainer.recipe.phases[1])
    trainer.model.eval()
    losses = []
    for steps in (3, 4, 3):
        trainer.progress.position.total_steps = steps
        torch.manual_seed(steps + len(losses))  # draws do not depend on what was drawn before
        with torch.no_grad():
            memory = trainer.model.encoder(trainer.normalised(batch))
            losses.append(trainer.draws(batch, memory).loss().item())
    assert losses[0] == losses[2]
