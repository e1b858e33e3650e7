"""A recurrent decoder's step as a graph: words and states in, scores of the next words out.

The graph knows sentences as rows: of tensors with three dimensions, OpenVINO stores some with the
last two exchanged, and computes for three sentences at a time instead of hundreds of numbers.

Shapes: B memories, M sentences of each, R = B·M, N positions, D features, E embedding, S state,
V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from captioner.nn.attention import Attended, Attention
from captioner.nn.cells import LSTM
from captioner.nn.decoder import Step
from captioner.nn.distributions import Softmax
from captioner.nn.memory import Memory
from captioner.nn.recurrent import RecurrentDecoder, RecurrentState
from captioner.nn.scores import Dot, General
from captioner.nn.windows import Everywhere
from captioner.runtimes.layers import UnknownLayerError, array, linear
from captioner.runtimes.library import compiled, openvino, operations
from captioner.runtimes.requests import Requests
from captioner.text import NEVER


def check(decoder: Any) -> None:
    """Refuses a decoder whose step is no graph here.

    Raises:
        UnknownLayerError: it is no LSTM with one head of multiplicative attention.
    """
    known = isinstance(decoder, RecurrentDecoder) and type(decoder.cell) is LSTM
    if not known:
        raise UnknownLayerError(f"{type(decoder).__name__} without an LSTM")
    attention = decoder.attention
    parts = [attention]
    if type(attention) is Attention:
        parts = [attention.score, attention.window, attention.distribution]
        known = attention.heads == 1 and all(
            type(part) in kinds
            for part, kinds in zip(parts, ((General, Dot), (Everywhere,), (Softmax,)), strict=True)
        )
    if not known or type(attention) is not Attention:
        names = ", ".join(type(part).__name__ for part in parts)
        raise UnknownLayerError(f"attention of {names}")


class GraphDecoder:
    """What `captioner.search` asks of a decoder, for photos. Threads may share it."""

    def __init__(self, decoder: Any, number_type: str, threads: int, at_once: int = 1) -> None:
        """Builds and compiles the graph.

        Args:
            decoder: in evaluation mode.
            number_type: that products are computed in, `bf16` or `f32`.
            threads: that it may use.
            at_once: callers that share these threads.

        Raises:
            UnknownLayerError: the decoder is of no kind that is known here.
        """
        check(decoder)
        self.decoder, self.number_type = decoder, number_type
        inputs = _Inputs.of(decoder, number_type)
        results = _step(decoder, inputs)
        given = [node for node in vars(inputs).values() if node is not None]
        self.requests = Requests(compiled(results, given, number_type, threads, at_once))

    @property
    def vocabulary_size(self) -> int:
        """How many words it knows (V), the special tokens among them."""
        return self.decoder.vocabulary_size

    def start(self, memory: Memory) -> tuple[Memory, RecurrentState]:
        """The memories made ready, and the state of one sentence of each before its first word."""
        decoder = self.decoder
        first = memory.mean().unsqueeze(1)  # (B, 1, D)
        if decoder.copying is not None:
            memory = decoder.copying.prepare(memory, decoder.embedding)
        if self.number_type == "bf16":  # once, and not at every step
            memory = replace(memory, contents=memory.values.to(torch.bfloat16))
        assert decoder.initial_cell is not None, "it is an LSTM"
        hidden, cell = decoder.initial_hidden(first).tanh(), decoder.initial_cell(first).tanh()
        return memory, RecurrentState(hidden, cell, first if decoder.input_feeding else None)

    def step(self, tokens: Tensor, state: RecurrentState, memory: Memory) -> Step[RecurrentState]:
        """Reads the previous words (B, M) and predicts the next ones."""
        size = tokens.shape
        parts = [tokens.to(torch.int32), state.hidden, state.cell, state.context]
        rows = [_tensor(part.flatten(0, 1)) for part in parts if part is not None]
        found = self.requests.answer([*rows, self._contents(memory)])
        logits, weights, hidden, cell, context, deep, *gates = (
            part.unflatten(0, size) for part in found
        )
        fed = context if self.decoder.input_feeding else None
        attended = Attended(
            context, weights.unsqueeze(2), dict(zip(("gate",), gates, strict=False))
        )
        following = RecurrentState(hidden, cell, fed, state.place + 1)
        copied = None
        if self.decoder.copying is not None:
            copied = self.decoder.copying.into(logits, deep, memory)
        logits[..., list(NEVER)] = -torch.inf  # nobody else has them: nothing is copied for that
        return Step(logits, attended, following, copied, sayable=True)

    def _contents(self, memory: Memory) -> Any:
        if memory.contents is None:
            return _tensor(memory.values)
        bits = memory.contents.view(torch.int16).numpy()  # numpy knows no bfloat16
        return openvino().Tensor(bits, list(bits.shape), openvino().Type.bf16)


def _tensor(part: Tensor) -> Any:
    return openvino().Tensor(part.contiguous().numpy(), shared_memory=True)


@dataclass
class _Inputs:
    """Nodes of what a step reads."""

    tokens: Any  # (R,)
    hidden: Any  # (R, S)
    cell: Any  # (R, S)
    context: Any  # (R, D) of the previous step, where it is fed
    values: Any  # (B, N, D)

    @staticmethod
    def of(decoder: RecurrentDecoder, number_type: str) -> _Inputs:
        op, state = operations(), decoder.cell.hidden_size
        features = decoder.from_context.in_features
        context = None
        if decoder.input_feeding:
            context = op.parameter([-1, features], np.float32)
        kind = openvino().Type.bf16 if number_type == "bf16" else np.float32
        return _Inputs(
            op.parameter([-1], np.int32),
            op.parameter([-1, state], np.float32),
            op.parameter([-1, state], np.float32),
            context,
            op.parameter([-1, -1, features], kind),
        )


def _step(decoder: RecurrentDecoder, inputs: _Inputs) -> list[Any]:
    """Nodes of scores, weights, both states, the context, the deep output and perhaps the gate."""
    op = operations()
    table = op.constant(array(decoder.embedding.weight))
    word = op.gather(table, inputs.tokens, op.constant(np.int64(0)))  # (R, E)
    hidden, cell, context = inputs.hidden, inputs.cell, inputs.context
    if decoder.query == "before":
        weights, context, gates = _attended(decoder, hidden, inputs.values)
        hidden, cell = _recurred(decoder, [word, context], hidden, cell)
    else:
        read = [word] if context is None else [word, context]
        hidden, cell = _recurred(decoder, read, hidden, cell)
        weights, context, gates = _attended(decoder, hidden, inputs.values)
    deep = op.add(word, _affine(hidden, decoder.from_hidden))
    deep = op.tanh(op.add(deep, _affine(context, decoder.from_context)))
    logits = _affine(deep, decoder.output)
    return [logits, weights, hidden, cell, context, deep, *gates]


def _affine(values: Any, layer: torch.nn.Linear) -> Any:
    return linear(values, layer.weight, layer.bias)


def _recurred(
    decoder: RecurrentDecoder, read: list[Any], hidden: Any, cell: Any
) -> tuple[Any, Any]:
    """Both states behind an LSTM's step; all that it reads is one product."""
    op, own = operations(), decoder.cell
    weight = torch.cat([own.weight_ih, own.weight_hh], 1)
    inputs = op.concat([*read, hidden], 1)
    gates = linear(inputs, weight, own.bias_ih + own.bias_hh)
    split = op.split(gates, op.constant(np.int64(1)), 4)
    enter, forget, new, out = (split.output(number) for number in range(4))
    kept = op.multiply(op.sigmoid(forget), cell)
    cell = op.add(kept, op.multiply(op.sigmoid(enter), op.tanh(new)))
    return op.multiply(op.sigmoid(out), op.tanh(cell)), cell


def _attended(decoder: RecurrentDecoder, hidden: Any, values: Any) -> tuple[Any, Any, list[Any]]:
    """Weights (R, N), context (R, D) and the gate (R, 1), where there is one.

    qᵀ(W k) is (Wᵀq)ᵀk: a few queries are turned in the place of all positions, which then are
    their own keys.
    """
    op, score = operations(), decoder.attention.score
    if isinstance(score, General):
        asked = linear(hidden, score.key.weight.T)
    else:
        asked = op.multiply(hidden, op.constant(np.float32(cast(Dot, score).scale)))
    memories = op.gather(op.shape_of(values), op.constant([0]), op.constant(np.int64(0)))
    features = decoder.from_context.in_features
    several = op.concat([memories, op.constant(np.array([-1, features]))], 0)  # (B, M, D)
    kind = values.get_element_type()  # of both factors: converted, the values would be copied
    asked = op.convert(op.reshape(asked, several, special_zero=False), kind)
    energies = op.convert(op.matmul(asked, values, False, True), "f32")
    weights = op.softmax(energies, 2)
    context = op.matmul(op.convert(weights, kind), values, False, False)
    context = _rows(op.convert(context, "f32"), features)
    weights = op.reshape(
        weights, op.concat([op.constant(np.array([-1])), _positions(values)], 0), False
    )
    if decoder.gate is None:
        return weights, context, []
    gate = op.sigmoid(_affine(hidden, decoder.gate))
    return weights, op.multiply(context, gate), [gate]


def _rows(values: Any, size: int) -> Any:
    """Values (B, M, size) as rows (R, size)."""
    op = operations()
    return op.reshape(values, op.constant(np.array([-1, size])), special_zero=False)


def _positions(values: Any) -> Any:
    """The number of positions N, as a shape has it."""
    op = operations()
    return op.gather(op.shape_of(values), op.constant([1]), op.constant(np.int64(0)))
