"""Every kind of attention through search, teacher forcing, tracing and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from captioner import checkpoint as checkpoints
from captioner.cli import main
from captioner.nn.memory import Memory
from captioner.nn.recurrent import RecurrentDecoder
from captioner.options import SearchOptions
from captioner.search import Hypothesis, force, search
from captioner.tracing import trace
from captioner.translation import Translator
from tests.miniature import FEATURES, captioning, translating

AFTER = {"query": "after"}
KINDS: dict[str, dict[str, Any]] = {
    "location": {"score": "location"},
    "coverage": {"score": "additive", "coverage": True},
    "coverage, after": {"score": "additive", "coverage": True, **AFTER, "heads": 3},
    "hard": {"kind": "hard"},
    "hard argmax": {"kind": "hard", "hard": {"decode": "argmax"}},
    "hard sample": {"kind": "hard", "hard": {"decode": "sample"}, "heads": 3},
    "local_m": {"kind": "local_m", "local": {"radius": 1}},
    "local_p": {"kind": "local_p", "local": {"radius": 1}, "heads": 3},
    "local_p of the paper": {"kind": "local_p", "local": {"renormalise": False}, **AFTER},
    "sentinel": {"kind": "sentinel", **AFTER},
    "sentinel, fed": {"kind": "sentinel", **AFTER, "input_feeding": True, "heads": 3},
}
EXTRAS = {
    "hard argmax": {"glimpse"},
    "hard sample": {"glimpse"},
    "local_m": {"centre"},
    "local_p": {"centre"},
    "local_p of the paper": {"centre", "passed"},
    "sentinel": {"sentinel"},
    "sentinel, fed": {"sentinel"},
}
every_kind = pytest.mark.parametrize("name", KINDS)
OPTIONS = SearchOptions(beam_size=3, n_best=3, max_length=6, alternatives=2)


def decoder_of(name: str, task: str) -> RecurrentDecoder:
    settings = KINDS[name]
    if task == "caption":
        decoder = captioning(model={"attention": settings}).model.decoder
    else:
        own = settings if "query" in settings else {"input_feeding": False, **settings}
        decoder = translating(model={"attention": own}).model.decoder
    with torch.no_grad():  # from nearly indifferent to opinionated
        for parameter in decoder.parameters():
            parameter.mul_(3)
    return decoder.eval()


def memory_of(task: str) -> Memory:
    generator = torch.Generator().manual_seed(5)
    if task == "caption":
        return Memory(torch.randn(2, 6, FEATURES, generator=generator), grid=(2, 3))
    mask = torch.arange(7) < torch.tensor([[7], [4]])
    return Memory(torch.randn(2, 7, 30, generator=generator), mask)


def columns(found: Hypothesis) -> dict[str, np.ndarray]:
    return {"log_probs": found.log_probs, "weights": found.weights, **found.extras}


@pytest.mark.parametrize("task", ["caption", "translate"])
@every_kind
def test_reading_a_sentence_again_is_what_its_search_saw(name: str, task: str) -> None:
    decoder = decoder_of(name, task)
    with torch.no_grad():
        written = search(decoder, memory_of(task), OPTIONS)
        for row, hypotheses in enumerate(written):
            memory = memory_of(task).select(torch.tensor([row]))
            read = force(decoder, memory, [h.tokens for h in hypotheses], [0] * len(hypotheses))
            for one, other in zip(hypotheses, read, strict=True):
                assert columns(one).keys() == columns(other).keys()
                for key, value in columns(one).items():
                    np.testing.assert_allclose(value, columns(other)[key], atol=1e-4, err_msg=key)
                np.testing.assert_allclose(one.weights.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("task", ["caption", "translate"])
@every_kind
def test_a_trace_tells_what_the_kind_did(name: str, task: str) -> None:
    decoder, memory = decoder_of(name, task), memory_of(task).select(torch.tensor([0]))
    found = trace(decoder, memory, [9, 4, 11])
    (forced,) = force(decoder, memory, [[9, 4, 11]])
    assert found.extras.keys() == EXTRAS.get(name, set())
    for key, value in found.extras.items():
        assert len(value) == 4  # of the words and the end
        np.testing.assert_allclose(value[:-1], forced.extras[key], atol=1e-5)
    powers = np.exp(found.scores - found.scores.max(-1, keepdims=True))
    np.testing.assert_allclose(powers / powers.sum(-1, keepdims=True), found.weights, atol=1e-5)


@every_kind
def test_a_checkpoint_brings_its_kind_along(name: str, tmp_path: Path) -> None:
    made = translating(model={"attention": {"input_feeding": False, **KINDS[name]}}).checkpoint
    text = "A dog runs over the log."
    checkpoints.save(made, tmp_path / "made.safetensors", torch.float32)
    expected = Translator(made)(text, to="de", source_language="en")
    found = Translator.load(tmp_path / "made.safetensors")(text, to="de", source_language="en")
    assert found.text == expected.text
    np.testing.assert_array_equal(found.alignment, expected.alignment)


SAID = {
    "location": "attention location score, asked after the recurrent step",
    "hard argmax": "hard, decoding by argmax; general score, asked after",
    "coverage, after": "attention additive score of size 6 with coverage in 3 heads, asked after",
    "local_m": "local, 1 around a centre that moves with the words; general score, asked",
    "local_p": "local, 1 around a centre that is predicted; general score in 3 heads, asked after",
    "local_p of the paper": "local, 3 around a centre that is predicted, not renormalised; general",
    "sentinel": "adaptive, with a sentinel; general score, asked after",
}


@pytest.mark.parametrize("name", SAID)
def test_describe_says_it(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = translating(model={"attention": {"input_feeding": False, **KINDS[name]}}).checkpoint
    checkpoints.save(made, tmp_path / "made.safetensors")
    assert main(["describe", str(tmp_path / "made.safetensors")]) == 0
    assert SAID[name] in " ".join(capsys.readouterr().out.split())
