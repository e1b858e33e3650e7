"""What the page gets of a step, whatever the attention's kind: plain values that JSON can hold."""

from __future__ import annotations

import json

import pytest
import torch

from captioner.tracing import trace
from captioner.ui import insides
from tests.test_kinds import EXTRAS, KINDS, decoder_of, memory_of


@pytest.mark.parametrize("name", KINDS)
def test_a_step_is_plain_values_with_the_kinds_own_moves(name: str) -> None:
    decoder, memory = decoder_of(name, "caption"), memory_of("caption").select(torch.tensor([0]))
    found = trace(decoder, memory, [9, 4], alternatives=2)
    own = {"looks": [[0, head] for head in range(1, found.scores.shape[1] + 1)]}
    view = insides.steps(found, ["a", "b"], [["c", "d"]] * 3, own)
    assert json.loads(json.dumps(view, allow_nan=False)) == view
    for step, scores in zip(view["steps"], found.scores, strict=True):
        assert step["extras"].keys() == EXTRAS.get(name, set())
        heads = len(scores)
        for moves in step["extras"].values():
            assert len(moves) == heads
        blind = [score is None for row in step["scores"] for score in row]
        assert blind == [bool(score) for score in (scores == -float("inf")).ravel()]
        assert any(blind) or name != "location"
