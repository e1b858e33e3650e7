"""Recurrent cells, whose parameters are torch's own by name and order.

The word is read apart from the context, for all steps of a sentence at once.

Shapes: B memories, M sentences of each, I inputs, S state, G gates together (a multiple of S).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Cell(nn.Module):
    """What the cells have in common: two affine maps, of the input and of the state."""

    gates: ClassVar[int]  # G / S
    keeps_cell: ClassVar[bool] = False  # whether there is a second state beside the hidden one

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        width = self.gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(width, input_size))
        self.weight_hh = nn.Parameter(torch.empty(width, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(width))
        self.bias_hh = nn.Parameter(torch.empty(width))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def read_words(self, embedded: Tensor) -> Tensor:
        """What words (…, E), the first of the inputs, add to the gates: (…, G)."""
        return F.linear(embedded, self.weight_ih[:, : embedded.shape[-1]], self.bias_ih)

    def context_weight(self, words: int, inputs: Tensor) -> Tensor:
        """The part that reads what comes behind the E inputs of a word, as precise as `inputs`."""
        return self.weight_ih[:, words:].to(inputs.dtype)  # (G, D)

    def recur(self, state: Tensor) -> Tensor:
        """What the state (…, S) adds to the gates: (…, G)."""
        return F.linear(state, self.weight_hh, self.bias_hh)

    def forward(
        self, inputs: Tensor, hidden: Tensor, cell: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """The states after inputs (…, G) that have been read already."""
        raise NotImplementedError


class RNN(Cell):
    """h′ = tanh(W x + U h): Elman 1990."""

    gates = 1

    def forward(
        self, inputs: Tensor, hidden: Tensor, cell: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """The next hidden state (…, S)."""
        return torch.tanh(inputs + self.recur(hidden)), None


class GRU(Cell):
    """Cho et al. 2014, §2.3; the reset gate scales U h + b, as in torch."""

    gates = 3

    def forward(
        self, inputs: Tensor, hidden: Tensor, cell: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """The next hidden state (…, S)."""
        reset, update, new = inputs.chunk(3, -1)
        own_reset, own_update, own_new = self.recur(hidden).chunk(3, -1)
        keep = torch.sigmoid(update + own_update)
        fresh = torch.tanh(new + torch.sigmoid(reset + own_reset) * own_new)
        return fresh + keep * (hidden - fresh), None


class LSTM(Cell):
    """Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000."""

    gates = 4
    keeps_cell = True

    def forward(
        self, inputs: Tensor, hidden: Tensor, cell: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """The next hidden state and the next cell, (…, S) each."""
        assert cell is not None
        enter, forget, new, out = (inputs + self.recur(hidden)).chunk(4, -1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(new)
        return torch.sigmoid(out) * torch.tanh(cell), cell


CELLS: Mapping[str, type[Cell]] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
