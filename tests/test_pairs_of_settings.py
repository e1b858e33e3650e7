"""Every two settings of the family together: two steps of training and a sentence, or a refusal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
import torch

from captioner.errors import ConfigError
from captioner.options import SearchOptions
from captioner.search import search
from tests.miniature import captioning, steps, translating

# By dotted place, values besides the plainest; those that only differ in a number stand below.
SETTINGS: dict[str, list[Any]] = {
    "model.attention.score": ["none", "dot", "general", "location"],
    "model.attention.kind": ["hard", "local_m", "local_p", "sentinel"],
    "model.attention.query": ["after"],
    "model.attention.input_feeding": [True],
    "model.attention.heads": [3],
    "model.attention.coverage": [True],
    "model.attention.hard.decode": ["sample"],
    "model.attention.local.renormalise": [False],
    "model.decoder.cell": ["gru"],
    "model.decoder.gate": [False],
    "model.decoder.kind": ["transformer"],
    "phases.attention_supervision": [0.5],
    "phases.supervised_by": ["squares"],
    "phases.coverage": [0.5],
    "phases.scheduled_sampling": [0.9],
    "phases.self_critical": [0.5],
}
ALONE: dict[str, list[Any]] = {
    "model.attention.score": ["scaled_dot", "cosine"],
    "model.attention.hard.decode": ["argmax"],
    "model.decoder.cell": ["rnn"],
    "phases.supervised_by": ["cross_entropy"],
}
PLAIN = {  # of either task, so that one setting at a time is another one
    "model.attention.score": "additive",
    "model.attention.query": "before",
    "model.attention.input_feeding": False,
}
IN_COMPANY = {  # what lets a setting be combined; alone, it shows that it is refused without
    "attention.kind": ("model.attention.query", "after"),  # the sentinel
    "input_feeding": ("model.attention.query", "after"),
}
NEEDS = {  # what makes a setting count
    "hard.decode": ("model.attention.kind", "hard"),
    "local.renormalise": ("model.attention.kind", "local_p"),
    "supervised_by": ("phases.attention_supervision", 0.5),
}
REFUSALS = (  # the beginnings of all lines that a recipe may be refused with
    "attention.heads is 3, but with attention.score none",
    "attention.kind is ",
    "attention.score none is the bottleneck of a recurrent decoder",
    "attention.input_feeding brings the last context into a recurrent step",
    "attention has kind ",
    "attention.kind local_m compares",
    "attention.kind local_p compares",
    "attention.kind sentinel compares",
    "attention.kind sentinel is made by the recurrent step",
    "attention.kind sentinel is made from an LSTM's cell",
    "attention.coverage is a part of the additive score",
    "attention.input_feeding brings the previous context",
    "phases.0.attention_supervision is 0.5, but with model.attention.score none",
    "phases.0.coverage is 0.5, but with model.attention.score none",
)


def pairs() -> Iterator[dict[str, Any]]:
    """The values of every two settings, and of every one."""
    singles, others = (
        [(place, value) for place, values in table.items() for value in values]
        for table in (SETTINGS, ALONE)
    )
    for chosen in [*combinations(singles, 2), *((one,) for one in singles + others)]:
        if len({place for place, _ in chosen}) < len(chosen):
            continue
        values = dict(PLAIN)
        for place, _ in chosen:
            for name, (other, needed) in (NEEDS | (IN_COMPANY if len(chosen) > 1 else {})).items():
                if place.endswith(name):
                    values[other] = needed
        values |= dict(chosen)
        yield values


def tables(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"phases": [{"samples": 2}]}
    for place, value in values.items():
        first, *between, last = place.split(".")
        table = found["phases"][0] if first == "phases" else found.setdefault(first, {})
        for name in between:
            table = table.setdefault(name, {})
        table[last] = value
    return found


def made(make: Any, values: dict[str, Any]) -> Any:
    """The trainer, or why there is none."""
    try:
        return make(**tables(values))
    except ConfigError as error:
        return str(error)


class _Even:
    """A judge to whom the first word matters."""

    def __call__(self, said: Any, *_: Any) -> Any:
        rewards = torch.tensor([float(len(words) % 3) for words in said]).numpy()
        return lambda: rewards


def test_any_two_settings_train_and_write_or_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("captioner.captions.training.CaptionTrainer.judge", _Even())
    refused: set[str] = set()
    trained = 0
    for number, values in enumerate(pairs()):
        make = (captioning, translating)[number % 2]  # by turns: both would take twice as long
        trainer = made(make, values)
        if isinstance(trainer, str):
            line = next((line for line in REFUSALS if trainer.startswith(line)), None)
            assert line is not None, (values, trainer)
            assert "\n" not in trainer
            refused.add(line)
            continue
        for found in steps(trainer, 2):
            assert math.isfinite(float(found["loss"])), values
        decoder, batch = trainer.model.decoder.eval(), next(trainer.batches(0, 0))
        with torch.no_grad():
            if make is captioning:
                memory = trainer.model.encoder.read(batch.photos[:1])
            else:
                memory = trainer.model.encoder(batch.sources[:1], batch.source_lengths[:1])
            ((said,),) = search(decoder, memory, SearchOptions(beam_size=2, max_length=2))
        torch.testing.assert_close(
            torch.from_numpy(said.weights).sum(-1), torch.ones(said.weights.shape[:-1])
        )
        trained += 1
    assert refused == set(REFUSALS)  # each line is there for a reason
    assert trained > 150
