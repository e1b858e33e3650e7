"""A captioner as ONNX files, for whatever runs them: an encoder, and a step of the decoder.

Two files and what a search has to know beside them:

- `encoder.onnx`: photos, uint8 (B, 3, S, S), in; the memory's parts and the decoder's first state
  out.
- `step.onnx`: previous words (B, M), the state and the memory's parts in; scores of the next words,
  weights of the photo's cells and the next state out.
- `captioner.json`: the vocabulary, the size of the photos, the grid and the names of all tensors.

Shapes: B photos, M sentences of each, S a photo's side; both B and M may be any number.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from captioner import atomic
from captioner.captions.checkpoint import Checkpoint
from captioner.errors import ConfigError
from captioner.nn.encoders import fold_batch_norm, normalise
from captioner.nn.memory import Memory
from captioner.nn.recurrent import RecurrentDecoder, RecurrentState
from captioner.text import BOS, EOS, PAD, UNK

FILES = ("encoder.onnx", "step.onnx", "captioner.json")
_STATE = ("hidden", "cell", "context", "covered")


def export(checkpoint: Checkpoint, folder: Path) -> None:
    """Writes `FILES` into a folder that is there.

    Raises:
        ConfigError: the exporter is not installed, or the decoder is of another kind.
    """
    decoder = checkpoint.model.decoder
    if not isinstance(decoder, RecurrentDecoder):
        raise ConfigError(
            "only recurrent decoders are exported, and this one is a Transformer, whose state grows"
        )
    if decoder.attention.remembers:
        raise ConfigError("a decoder that covers the photo is not exported: its state grows")
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"exporting needs {error.name}; pip install 'captioner[onnx]'") from error
    encoder, step = Encoding(checkpoint), Stepping(checkpoint)
    photos = torch.zeros(2, 3, *[checkpoint.preprocess.size] * 2, dtype=torch.uint8)
    with contextlib.ExitStack() as whole, torch.no_grad():
        # All three or none: what an earlier export left stays until these are complete.
        paths = [whole.enter_context(atomic.whole(folder / name)) for name in FILES]
        parts = dict(zip(encoder.names, encoder(photos), strict=True))
        step.take(parts)
        _write(encoder, {"photos": photos}, encoder.names, paths[0])
        several = {
            name: part.expand(-1, 3, *part.shape[2:]).contiguous() if name in _STATE else part
            for name, part in parts.items()
        }
        tokens = torch.ones(2, 3, dtype=torch.long)
        _write(step, {"tokens": tokens, **several}, step.names, paths[1])
        about = json.dumps(_about(checkpoint, encoder, step), indent=2, ensure_ascii=False)
        paths[2].write_text(about + "\n", encoding="utf-8")


class Encoding(nn.Module):
    """Photos to the memory's parts, prepared, and the first state."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        model = copy.deepcopy(checkpoint.model).eval().requires_grad_(False)
        model.encoder.features = fold_batch_norm(model.encoder.features)
        self.model, self.preprocess = model, checkpoint.preprocess
        self.grid: tuple[int, int] | None = None
        with torch.no_grad():
            side = self.preprocess.size
            found = self._ready(torch.zeros(1, 3, side, side, dtype=torch.uint8))
        self.names = tuple(found)

    def forward(self, photos: Tensor) -> tuple[Tensor, ...]:
        """The parts in the order of their names."""
        return tuple(self._ready(photos).values())

    def _ready(self, photos: Tensor) -> dict[str, Tensor]:
        pixels = normalise(photos, self.preprocess.mean, self.preprocess.std)
        memory, state = self.model.decoder.start(self.model.encoder(pixels))
        self.grid = memory.grid
        parts = {field.name: getattr(memory, field.name) for field in fields(Memory)}
        parts.pop("kinds")  # what they are needed for has been made of them
        parts.update({name: getattr(state, name) for name in _STATE})
        return {name: part for name, part in parts.items() if isinstance(part, Tensor)}


class Stepping(nn.Module):
    """Previous words, the state and the memory to scores, weights and the next state."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.decoder: Any = copy.deepcopy(checkpoint.model.decoder).eval().requires_grad_(False)
        self.given: tuple[str, ...] = ()
        self.state: tuple[str, ...] = ()
        self.names: tuple[str, ...] = ()

    def take(self, parts: dict[str, Tensor]) -> None:
        """Learns what an encoder hands over."""
        self.given = tuple(parts)
        self.state = tuple(name for name in _STATE if name in parts)
        self.names = ("logits", "weights", *(f"next_{name}" for name in self.state))

    def forward(self, tokens: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, M, V), weights (B, M, H, N) and the parts of the next state."""
        named: dict[str, Any] = dict(zip(self.given, parts, strict=True))
        state = RecurrentState(**{name: named.pop(name) for name in self.state})
        memory = replace(Memory(named.pop("values")), **named)
        step = self.decoder.step(tokens, state, memory)
        following = (getattr(step.state, name) for name in self.state)
        return (step.logits, step.attended.weights, *following)


def _write(
    module: nn.Module, inputs: dict[str, Tensor], outputs: tuple[str, ...], path: Path
) -> None:
    photos, sentences = torch.export.Dim("photos"), torch.export.Dim("sentences")
    shapes = tuple(
        {0: photos, 1: sentences} if name in ("tokens", *_STATE) else {0: photos} for name in inputs
    )
    dynamic: Any = shapes
    if isinstance(module, Stepping):  # its further arguments are one, as torch sees it
        dynamic = (shapes[0], shapes[1:])
    with _quiet():
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dynamic,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        assert program is not None
        with atomic.naming(path):
            program.save(path, external_data=False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on its own parts."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _about(checkpoint: Checkpoint, encoder: Encoding, step: Stepping) -> dict[str, Any]:
    return {
        "size": checkpoint.preprocess.size,
        "grid": encoder.grid,
        "memory": [name for name in encoder.names if name not in _STATE],
        "state": list(step.state),
        "vocabulary": list(checkpoint.vocabulary.words),
        "special": {"pad": PAD, "start": BOS, "end": EOS, "unknown": UNK},
    }
