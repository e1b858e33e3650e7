"""What tests of translators share: phrases, odd texts, and the decoder's own steps."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

from captioner.subwords import Pieces
from captioner.text import BOS, EOS, PAD, UNK
from captioner.translation import Translation, Translator

Phrases = dict[str, tuple[str, ...]]


NEW = "The students' red snowball jumps!"  # words of several pieces, never seen together


def same(one: Translation, other: Translation) -> None:
    assert one.text == other.text
    assert one.source_words == other.source_words
    assert [word.text for word in one.words] == [word.text for word in other.words]
    assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
    np.testing.assert_allclose(one.alignment, other.alignment, atol=1e-5)
    np.testing.assert_allclose(one.end_mass, other.end_mass, atol=1e-5)
    for word, match in zip(one.words, other.words, strict=True):
        assert word.prob == pytest.approx(match.prob, abs=1e-5)
    assert one.error == other.error
    names = ("source", "source_language", "target_language", "guessed")
    assert [getattr(one, name) for name in names] == [getattr(other, name) for name in names]


def with_ends(translator: Translator, bias: float) -> Translator:
    """The translator with another mind about where sentences end."""
    checkpoint = copy.deepcopy(translator.checkpoint)
    with torch.no_grad():
        checkpoint.model.decoder.output.bias[EOS] += bias
    return Translator(checkpoint)


@dataclasses.dataclass
class Stepped:
    """A translation, piece by piece."""

    log_probs: list[float]  # (P,)
    end_log_prob: float
    weights: list[np.ndarray]  # (P, N)


def stepped(translator: Translator, source: str, target: str, to: str) -> Stepped:
    """The decoder's steps over given pieces, the forbidden tokens taken out in NumPy."""
    subwords, decoder = translator.subwords, translator.model.decoder
    pieces = torch.tensor([[*subwords.encode(source).ids, EOS]])
    with torch.inference_mode():
        memory = translator.model.encoder(pieces, torch.tensor([pieces.shape[1]]))
        memory, state = decoder.start(memory)
        read, log_probs, weights = subwords.start(to), [], []
        for wanted in (*subwords.encode(target).ids, EOS):
            step = decoder.step(torch.tensor([[read]]), state, memory)
            logits = step.logits[0, 0].double().numpy()
            logits[[PAD, BOS, UNK, *map(subwords.start, subwords.languages)]] = -np.inf
            log_probs.append(float(logits[wanted] - np.log(np.exp(logits).sum())))
            weights.append(step.attended.weights[0, 0, 0].double().numpy())
            read, state = wanted, step.state
    return Stepped(log_probs[:-1], log_probs[-1], weights[:-1])


def merged(weights: list[np.ndarray], source: Pieces, target: Pieces) -> np.ndarray:
    """(T, S + 1) by loops: sums over a source word's pieces, the mean over a target word's."""
    table = np.zeros((len(target.words), len(source.words) + 1))
    for word in range(len(target.words)):
        own = [place for place, owner in enumerate(target.owners) if owner == word]
        for place in own:
            for position, owner in enumerate([*source.owners, len(source.words)]):
                table[word, owner] += weights[place][position] / len(own)
    return table


def check_steps(translator: Translator, found: Translation, to: str) -> None:
    """Everything that the translation claims, from the steps that wrote it."""
    subwords = translator.subwords
    steps = stepped(translator, found.source, found.text, to)
    source, target = subwords.encode(found.source), subwords.encode(found.text)
    assert found.words
    assert tuple(word.text for word in found.words) == target.words
    expected = merged(steps.weights, source, target)
    np.testing.assert_allclose(expected.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(found.end_mass, expected[:, -1], atol=1e-5)
    rows = expected[:, :-1] / expected[:, :-1].sum(1, keepdims=True)
    np.testing.assert_allclose(found.alignment, rows, atol=1e-4)
    for number, word in enumerate(found.words):
        own = [steps.log_probs[p] for p, owner in enumerate(target.owners) if owner == number]
        assert word.log_prob == pytest.approx(sum(own), abs=1e-4)
    total = sum(steps.log_probs) + steps.end_log_prob
    assert found.log_prob == pytest.approx(total, abs=1e-4)
    said = sum(word.log_prob or 0.0 for word in found.words)
    assert found.log_prob == pytest.approx(said + steps.end_log_prob, abs=1e-4)


ODD = {
    "empty": "",
    "spaces": " \t\u00a0\u3000 ",
    "control": "\x00\x07\x1b\u200b\u202e",
    "long": "dog " * 500,
    "script": "雪の中を犬が走る。",
    "emoji": "🐶🐶 🐱",
    "surrogate": "\ud800",
    "mixed": "A dog 🐶 runs\x00 over\nthe 雪 log.",
    "other": "Zwei Männer schlafen. Ich bin Student. Ist der Ball rot?",
    "word": "dog" * 80,
    "many": "a.b" * 250,
    "tag": "<2de> <pad> A dog.",
}


def tempted(translator: Translator, to: str) -> Translator:
    """The translator, with the start of French wherever it should start in `to`."""
    checkpoint = copy.deepcopy(translator.checkpoint)
    with torch.no_grad():
        rows = checkpoint.model.decoder.embedding.weight
        rows[checkpoint.subwords.start(to)] = rows[checkpoint.subwords.start("fr")]
    return Translator(checkpoint)
