from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from captioner.checkpoint import Checkpoint
from captioner.datasets import Photo
from captioner.errors import ConfigError
from captioner.grounding import controls
from captioner.grounding.controls import PARTS, VARIANTS, agreement, losses, randomised, with_maps
from captioner.grounding.reading import read_sentences
from captioner.grounding.sentences import Asked, Shown, ask, explained
from captioner.grounding.synonyms import namer
from captioner.nn.memory import Memory
from captioner.prediction import Captioner
from tests.seeing import awake, seeing

SENTENCES = [[4, 5, 7, 9], [6, 5], [8, 9, 10]]


@pytest.fixture(scope="module")
def looking(tiny_checkpoint: Checkpoint) -> Captioner:
    return awake(tiny_checkpoint)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> list[Asked]:
    folder = tmp_path_factory.mktemp("photos")
    photos = []
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3)).astype(np.uint8)
        path = folder / f"{number}.png"
        Image.fromarray(pixels).resize((64, 64), Image.Resampling.NEAREST).save(path)
        photos.append(Photo(str(number), path, ("A dog jumps over the log.", "The red ball")))
    return ask(photos, namer({"dog"}))


@pytest.fixture
def memory() -> Memory:
    values = torch.rand(3, 4, 24, generator=torch.Generator().manual_seed(1))
    return Memory(values, grid=(2, 2))


def test_steps_are_the_unroll(looking: Captioner, memory: Memory) -> None:
    decoder = looking.model.decoder
    with torch.no_grad():
        expected = read_sentences(decoder, memory, SENTENCES, range(3)).log_probs
        found = controls.read_steps(decoder, memory, SENTENCES)
    for row, sentence in enumerate(SENTENCES):
        count = len(sentence)
        assert found[row, :count] == pytest.approx(expected[row, :count], abs=1e-5)


def test_own_maps_put_back_change_nothing(looking: Captioner, memory: Memory) -> None:
    decoder = looking.model.decoder
    with torch.no_grad():
        own = read_sentences(decoder, memory, SENTENCES, range(3)).maps
        plain = controls.read_steps(decoder, memory, SENTENCES)
        same = controls.read_steps(with_maps(decoder, own), memory, SENTENCES)
        even = controls.read_steps(
            with_maps(decoder, torch.full_like(own, 0.25)), memory, SENTENCES
        )
        again = controls.read_steps(decoder, memory, SENTENCES)
    for row, sentence in enumerate(SENTENCES):
        count = len(sentence)
        assert same[row, :count] == pytest.approx(plain[row, :count], abs=1e-5)
    assert (even - plain)[:, :2].abs().max() > 1e-4
    assert torch.equal(again, plain)  # the decoder itself was never touched


def test_looking_at_one_cell_is_having_only_that_cell(looking: Captioner, memory: Memory) -> None:
    """An oracle: a memory of the one cell, but for the first state, which sees all of it."""
    decoder = looking.model.decoder
    weights = torch.zeros(3, 9, 4)
    weights[..., 2] = 1
    with torch.no_grad():
        prepared, state = decoder.start(memory)
        alone, _ = decoder.start(dataclasses.replace(memory, values=memory.values[:, 2:3]))
        tokens = torch.full((3, 1), 1)
        expected = decoder.step(tokens, state, alone).logits
        found = with_maps(decoder, weights).step(tokens, state, prepared).logits
    assert found == pytest.approx(expected, abs=1e-5)


def test_what_cannot_be_replaced_is_said() -> None:
    with pytest.raises(ConfigError, match="this model's attention cannot be replaced; expected"):
        with_maps(seeing().decoder, torch.ones(1, 2, 24))


def test_without_a_photo_every_photo_is_the_same(looking: Captioner, memory: Memory) -> None:
    found = controls.blind(memory, memory)
    assert torch.equal(found.values[0], found.values[2])
    assert found.values[0, 0] == pytest.approx(memory.values.mean((0, 1)))


def test_what_words_lose(looking: Captioner, asked: list[Asked]) -> None:
    found = losses(looking, asked, bootstrap=30)
    assert tuple(found.every) == VARIANTS
    assert found.words == (4 * 9, 4)
    assert found.every_lost["own maps"].value == 0
    for variant in VARIANTS:
        gone = found.every["own maps"].value - found.every[variant].value
        assert found.every_lost[variant].value == pytest.approx(gone, abs=1e-6)
    own = [
        word.log_prob
        for entry in asked
        for text in entry.photo.captions
        for word in looking.explain(entry.photo.path, text).words
        if word.log_prob is not None
    ]
    assert found.every["own maps"].value == pytest.approx(np.mean(own), abs=1e-4)
    lines = str(found).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:7]] == list(VARIANTS)
    json.dumps(found.to_dict(), allow_nan=False)


def test_what_words_lose_to_language_alone(looking: Captioner, asked: list[Asked]) -> None:
    unseeing = randomised(looking, "decoder", seed=3)
    found = losses(looking, asked, unseeing=unseeing, bootstrap=0)
    assert tuple(found.every) == (*VARIANTS, controls.UNSEEING)
    path = asked[0].photo.path.parent / "mean.png"
    mean = tuple(round(255 * value) for value in looking.preprocess.mean)
    Image.new("RGB", (64, 64), mean).save(path)
    alone = [
        word.log_prob
        for entry in asked
        for text in entry.photo.captions
        for word in unseeing.explain(path, text).words
        if word.log_prob is not None
    ]
    assert found.every[controls.UNSEEING].value == pytest.approx(np.mean(alone), abs=2e-3)
    for variant in VARIANTS:  # a further reader changes nothing of the others
        assert found.every[variant] == losses(looking, asked, bootstrap=0).every[variant]


def test_randomised_parts(looking: Captioner) -> None:
    own = dict(looking.checkpoint.model.state_dict())
    for part in PARTS:
        other = dict(randomised(looking, part).checkpoint.model.state_dict())
        changed = {name for name in own if not torch.equal(own[name], other[name])}
        assert any("attention" in name for name in changed)
        assert any("embedding" in name for name in changed) == (part != "attention")
        assert any("encoder" in name for name in changed) == (part == "everything")
        again = dict(randomised(looking, part).checkpoint.model.state_dict())
        assert all(torch.equal(other[name], again[name]) for name in other)
    assert all(torch.equal(own[n], v) for n, v in looking.checkpoint.model.state_dict().items())
    with pytest.raises(ConfigError, match="no part is called 'nose'; expected one of attention"):
        randomised(looking, "nose")


def test_agreement(looking: Captioner, asked: list[Asked]) -> None:
    shown = [entry for entry in explained(looking, asked) if not isinstance(entry, str)]
    same = agreement(shown, shown, bootstrap=20)
    assert (same.correlation.value, same.peaks.value, same.words) == (1, 1, 4)
    photo = Photo("1", Path("1"), ("dog",))
    question = ask([photo], namer({"dog"}))[0]

    def one(rows: list[list[float]]) -> list[tuple[Asked, list[Shown]]]:
        return [(question, [Shown("1", ("dog",), np.array([rows], np.float32))])]

    turned = agreement(one([[4, 3, 2, 1]]), one([[1, 2, 3, 4]]), bootstrap=0)
    assert (turned.correlation.value, turned.peaks.value) == (-1, 0)
    assert agreement(one([[0, 9, 8]]), one([[9, 8, 0]]), bootstrap=0).peaks.value == 1
    assert "peaks in the same place" in str(turned)
