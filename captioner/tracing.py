"""One step at a time, with everything that is computed on the way: for looking inside.

Shapes: S steps (the words and the end), H heads, N positions of the memory, Q query, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from captioner.errors import ConfigError
from captioner.nn.attention import Bottleneck, Memory
from captioner.nn.decoder import Decoder, State, Step
from captioner.search import Start, word_log_probs


@dataclass(frozen=True, eq=False)
class Trace:
    """What the decoder computed while it wrote (or read) one sentence, step by step."""

    queries: NDArray[np.float32]  # (S, Q), what the attention was asked with
    scores: NDArray[np.float32]  # (S, H, N), before the softmax; -inf where masked
    weights: NDArray[np.float32]  # (S, H, N), after it
    lengths: NDArray[np.float32]  # (H, N), ‖v_j‖ of the values that each head sums up
    contexts: NDArray[np.float32]  # (S, D), the heads' sums together, gated where there is a gate
    gates: NDArray[np.float32] | None  # (S,), 0 to 1
    tokens: NDArray[np.int64]  # (S, A), the likeliest next words, best first
    probs: NDArray[np.float32]  # (S, A)


@torch.inference_mode()
def trace(
    decoder: Decoder,
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
    attention = decoder.attention
    if isinstance(attention, Bottleneck):
        raise ConfigError("this model has no attention, so there is no step to look inside of")
    memory, state = decoder.start(memory)
    first = int(start.column(1, memory.values.device))
    steps: list[tuple[torch.Tensor, torch.Tensor, Step]] = []
    for token in (first, *tokens):
        read = torch.tensor([token], device=memory.values.device)
        step = decoder.step(read, state, memory)
        query = _query(decoder, state, step)
        steps.append((query, attention.energies(query, memory), step))  # (1, H, N)
        state = step.state
    return _collected(memory, steps, start, alternatives)


def _query(decoder: Decoder, before: State, step: Step) -> torch.Tensor:
    """The state that asks: the one before the recurrent step (Bahdanau), or after it (Luong)."""
    return before.hidden if decoder.query == "before" else step.state.hidden


def _collected(
    memory: Memory,
    steps: Sequence[tuple[torch.Tensor, torch.Tensor, Step]],
    start: Start,
    alternatives: int,
) -> Trace:
    logits = torch.cat([step.logits for _, _, step in steps])
    log_probs = word_log_probs(logits, start.never)  # (S, V)
    count = int(log_probs[0].isfinite().sum())
    best, tokens = log_probs.topk(min(alternatives, count), dim=-1)
    gates = [step.attended.extras.get("gate") for _, _, step in steps]
    known = [gate for gate in gates if gate is not None]
    return Trace(
        queries=_array([query for query, _, _ in steps]),
        scores=_array([energies for _, energies, _ in steps]),
        weights=_array([step.attended.weights for _, _, step in steps]),
        lengths=_summed(memory).norm(dim=-1).float().cpu().numpy(),
        contexts=_array([step.attended.context for _, _, step in steps]),
        gates=_array(known)[:, 0] if known else None,
        tokens=tokens.cpu().numpy(),
        probs=best.exp().float().cpu().numpy(),
    )


def _summed(memory: Memory) -> torch.Tensor:
    """What the heads sum up: the values themselves, or each head's own projection, (H, N, ·)."""
    return memory.values if memory.contents is None else memory.contents[0]


def _array(parts: Sequence[torch.Tensor]) -> NDArray[np.float32]:
    stacked: NDArray[np.float32] = torch.cat(list(parts)).float().cpu().numpy()
    return stacked
