"""Three cells, held against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from captioner.nn.cells import CELLS

B, M, E, D, S = 3, 2, 5, 7, 11
THEIRS = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}


@pytest.mark.parametrize("name", list(CELLS))
def test_a_cell_is_torchs_own(name: str) -> None:
    own, theirs = CELLS[name](E + D, S), THEIRS[name](E + D, S)
    own.load_state_dict(theirs.state_dict())
    words, contexts = torch.randn(B, M, E), torch.randn(B, M, D)
    hidden, cell = torch.randn(B, M, S), torch.randn(B, M, S)
    read = own.read_words(words)
    read = read + contexts @ own.context_weight(E, read).T
    found, kept = own(read, hidden, cell if own.keeps_cell else None)
    inputs = torch.cat([words, contexts], -1).flatten(0, 1)
    states = hidden.flatten(0, 1), cell.flatten(0, 1)
    assert own.keeps_cell == (name == "lstm")
    if own.keeps_cell:
        expected, expected_cell = theirs(inputs, states)
        assert kept is not None
        torch.testing.assert_close(kept.flatten(0, 1), expected_cell)
    else:
        expected = theirs(inputs, states[0])
        assert kept is None
    torch.testing.assert_close(found.flatten(0, 1), expected)


@pytest.mark.parametrize("name", list(CELLS))
def test_a_new_cell_starts_where_torchs_does(name: str) -> None:
    torch.manual_seed(3)
    own = CELLS[name](E, S).state_dict()
    torch.manual_seed(3)
    theirs = THEIRS[name](E, S).state_dict()
    assert list(own) == list(theirs)
    assert all(torch.equal(own[key], theirs[key]) for key in own)
