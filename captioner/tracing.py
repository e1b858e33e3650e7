"""One step at a time, with everything that is computed on the way: for looking inside.

Shapes: S steps (the words and the end), H heads, N positions of the memory, Q query, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from captioner.errors import ConfigError
from captioner.nn.decoder import Decoder, Probe
from captioner.nn.memory import Memory
from captioner.search import Start, word_log_probs


@dataclass(frozen=True, eq=False)
class Trace:
    """What the decoder computed while it wrote (or read) one sentence, step by step."""

    queries: NDArray[np.float32]  # (S, Q), what the attention was asked with; where several layers
    # ask, (S, L·Q) side by side
    scores: NDArray[np.float32]  # (S, H, N), before the softmax; -inf where masked
    weights: NDArray[np.float32]  # (S, H, N), after it
    contents: NDArray[np.float32]  # (H, N, d), the values v_j that each head sums up
    contexts: NDArray[np.float32]  # (S, D), the heads' sums together, gated where there is a gate;
    # of several layers (S, L·D)
    gates: NDArray[np.float32] | None  # (S,), 0 to 1
    tokens: NDArray[np.int64]  # (S, A), the likeliest next words, best first
    probs: NDArray[np.float32]  # (S, A)
    # What else an attention's own kind says of each step: sentinel (S, H), its share beside the
    # memory; centre (S, H, 1 or 2) of the window, from 0, and passed (S, H), the share of the sum
    # under it; glimpse (S, H), the one position that was looked at; photo_share (S, 1)
    extras: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def lengths(self) -> NDArray[np.float32]:
        """‖v_j‖ of the values that each head sums up, (H, N)."""
        lengths: NDArray[np.float32] = np.linalg.norm(self.contents, axis=-1)
        return lengths


@torch.inference_mode()
def trace(
    decoder: Decoder[Any],
    memory: Memory,
    tokens: Sequence[int],
    *,
    start: Start = Start(),  # noqa: B008  (frozen)
    alternatives: int = 8,
) -> Trace:
    """Runs a decoder over one sentence and keeps every step's numbers.

    Args:
        decoder: in evaluation mode.
        memory: one memory, fresh from an encoder.
        tokens: the sentence without start and end.
        start: what stands before the first word.
        alternatives: how many of the likeliest next words to keep.

    Raises:
        ConfigError: the model attends to nothing, so there are no scores to show.
    """
    memory, state = decoder.start(memory)
    first = int(start.column(1, memory.device))
    probes: list[Probe[Any]] = []
    for token in (first, *tokens):
        probe = decoder.probe(torch.tensor([[token]], device=memory.device), state, memory)
        if probe is None:
            raise ConfigError("this model has no attention, so there is no step to look inside of")
        probes.append(probe)
        state = probe.step.state
    return _collected(probes, start, alternatives)


def _collected(probes: Sequence[Probe[Any]], start: Start, alternatives: int) -> Trace:
    steps = [probe.step for probe in probes]
    logits = torch.cat([step.logits[0] for step in steps])
    log_probs = word_log_probs(logits, start.never)  # (S, V)
    count = int(log_probs[0].isfinite().sum())
    best, tokens = log_probs.topk(min(alternatives, count), dim=-1)
    gates = [step.attended.extras.get("gate") for step in steps]
    known = [gate for gate in gates if gate is not None]
    return Trace(
        queries=_array([probe.query for probe in probes]),
        scores=_array([probe.energies for probe in probes]),
        weights=_array([step.attended.weights for step in steps]),
        contents=probes[0].contents[0].float().cpu().numpy(),
        contexts=_array([probe.context for probe in probes]),
        gates=_array(known)[:, 0] if known else None,
        tokens=tokens.cpu().numpy(),
        probs=best.exp().float().cpu().numpy(),
        extras={
            name: _array([step.attended.extras[name] for step in steps])
            for name in steps[0].attended.extras
            if name != "gate"
        },
    )


def _array(parts: Sequence[torch.Tensor]) -> NDArray[np.float32]:
    """Of each step's (1, 1, …), all together, (S, …)."""
    stacked: NDArray[np.float32] = torch.cat([part[0] for part in parts]).float().cpu().numpy()
    return stacked
