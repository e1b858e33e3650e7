"""How far a gradient reaches, held against differences of the loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from captioner.nn.architecture import TranslationConfig
from captioner.nn.model import TranslationModel, build_translation_model
from captioner.settings import from_dict
from captioner.studies.gradients import DISTANCES, by_distance, of_last_word
from captioner.text import EOS
from captioner.translations.pairs import Pair
from captioner.translations.translator import Translator

SOURCE, WORDS = [5, 9, 7, 5, 11], [4, 6, 8, 10]


def model_of(**changes: dict[str, Any]) -> TranslationModel:
    values: dict[str, dict[str, Any]] = {
        "encoder": {"hidden_size": 6, "heads": 3, "dropout": 0.0},
        "attention": {"input_feeding": False},
        "decoder": {"hidden_size": 12, "embedding_size": 7, "heads": 3, "dropout": 0.0},
    }
    values = {part: {**own, **changes.get(part, {})} for part, own in values.items()}
    torch.manual_seed(3)
    return build_translation_model(from_dict(TranslationConfig, values), 13).eval().double()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"attention": {"score": "none"}, "encoder": {"cell": "rnn"}},
        {"encoder": {"kind": "transformer"}, "decoder": {"kind": "transformer"}},
        {"encoder": {"tie_embeddings": False}},
    ],
    ids=str,
)
def test_lengths_are_those_of_the_losss_differences(changes: dict[str, Any]) -> None:
    model = model_of(**changes)
    found = of_last_word(model, SOURCE, WORDS)
    assert found.shape == (len(SOURCE),)
    embedding, tokens = model.encoder.embedding, torch.tensor([[*SOURCE, EOS]])
    before = embedding(tokens).detach().reshape(-1, 7)

    def loss(moved: torch.Tensor) -> float:
        calls = []

        def put(_: Any, __: Any, embedded: torch.Tensor) -> torch.Tensor:
            calls.append(embedded)
            return moved.view_as(embedded) if len(calls) == 1 else embedded

        hook = embedding.register_forward_hook(put)
        memory = model.encoder(tokens, torch.tensor([len(SOURCE) + 1]))
        given, length = torch.tensor([WORDS[:-1]]), torch.tensor([len(WORDS) - 1])
        logits = model.decoder.unroll(given, length, memory).padded_logits()[0, -1]
        hook.remove()
        return float(F.cross_entropy(logits.detach(), torch.tensor(WORDS[-1])))

    for place in (0, len(SOURCE) - 1):
        slopes = []
        for feature in range(7):
            step = torch.zeros_like(before)
            step[place, feature] = 1e-3
            slopes.append((loss(before + step) - loss(before - step)) / 2e-3)
        assert found[place] == pytest.approx(float(np.linalg.norm(slopes)), rel=5e-3, abs=1e-6)


def test_multiples_of_the_mean_are_told_from_the_sources_end(tiny_translator: Translator) -> None:
    pairs = [
        Pair("A dog runs over the log.", "Ein Hund läuft über den Stamm.", "en", "de"),
        Pair("I am a student.", "Ich bin Student.", "en", "de"),
    ]
    model = tiny_translator.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = by_distance(tiny_translator, pairs)
    assert found.shape == (DISTANCES,)
    known = found[np.isfinite(found)]
    longest = max(len(tiny_translator.subwords.encode(pair.source_text).ids) for pair in pairs)
    assert len(known) == min(longest, DISTANCES)
    assert bool((known > 0).all())
    [alone] = [by_distance(tiny_translator, pairs[1:])]
    assert np.nanmean(alone) == pytest.approx(1)  # whatever the loss, and however long it is
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not model.encoder.embedding._forward_hooks
