"""The value of the viewer of one step: everything that is computed for a word, as plain JSON.

The memory may be a photo's cells, a sentence's pieces, or both, one behind the other. Shapes:
S steps, H heads (of all layers that look), N positions, L layers and G heads of a self-attention.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioner.text import EOS, SPECIALS
from captioner.tracing import Trace
from captioner.ui.values import View, rounded, rows

STRIP = 64  # numbers of a vector that are drawn
LARGEST = 1_000_000  # numbers of a self-attention that are sent; of more, the mean of the heads
END = ""  # how the end of a sentence reads for the viewer of one step; a full stop is a word there


def steps(
    found: Trace,
    words: Sequence[str],
    names: Sequence[Sequence[str]],
    own: View,
    *,
    positions: Sequence[str] | None = None,
    cells: int = 0,
    among: NDArray[np.float32] | None = None,
    between: NDArray[np.float32] | None = None,
) -> View:
    """A trace as plain values, a step for each word and one for the end.

    Args:
        found: the trace.
        words: of the sentence.
        names: the likeliest next words of each step, best first.
        own: what the attention is, see `captioner.nn.family`.
        positions: of the memory, by name, where they are no cells of a photo.
        cells: of a photo, that lie behind those positions.
        among: what a photo's cells looked at in one another, (L, G, N, N).
        between: what the positions looked at in one another, (L, G, N, N).
    """
    said = [*words, END]
    moves = {name: one.reshape(*one.shape[:2], -1) for name, one in found.extras.items()}
    memory: View = {"lengths": rows(found.lengths), "vectors": vectors(found.contents)}
    if positions is not None:
        memory |= {"positions": list(positions), "cells": cells}
    for name, looks in (("among", among), ("between", between)):
        if looks is not None:
            memory[name] = self_attention(looks)
    return {
        "family": own,
        "words": said,
        "memories": [memory],
        "steps": [
            {
                "memory": 0,
                "read": words[number - 1] if number else "",
                "first": not number,
                "queries": _parts(found.queries[number], own),
                "scores": [_finite(row) for row in found.scores[number]],
                "weights": rows(found.weights[number]),
                "gate": None if found.gates is None else rounded(float(found.gates[number])),
                # What else the attention's own kind did: numbers of each head
                "extras": {name: rows(one[number]) for name, one in moves.items()},
                "contexts": _parts(found.contexts[number], own),
                "next": [
                    [END if name == SPECIALS[EOS] else name, rounded(prob)]
                    for name, prob in zip(names[number], found.probs[number], strict=True)
                ],
            }
            for number in range(len(said))
        ],
    }


def _parts(vector: NDArray[np.float32], own: View) -> list[View]:
    """The beginning of what each layer asked or found, its size and its length."""
    layers = len({layer for layer, _ in own["looks"]})
    return [
        {
            "first": [rounded(float(value)) for value in part[:STRIP]],
            "size": len(part),
            "length": rounded(float(np.linalg.norm(part))),
        }
        for part in np.split(vector, layers)
    ]


def vectors(contents: NDArray[np.float32]) -> View:
    """The beginnings of v_j (H, N, d), each number in two bytes.

    Returns:
        `bytes`, base64 of H·N·d' little-endian whole numbers from −32767 to 32767, which stand for
        ±`top`; `size`, which is d', and `of`, which is d.
    """
    shown = contents[..., :STRIP]
    top = float(np.abs(shown).max(initial=0.0)) or 1.0
    whole = np.rint(shown / top * 32767).astype("<i2")
    data = base64.b64encode(whole.tobytes()).decode("ascii")
    return {"bytes": data, "top": top, "size": shown.shape[-1], "of": contents.shape[-1]}


def self_attention(looks: NDArray[np.float32]) -> View:
    """What positions looked at in one another, (L, G, N, N), a byte each.

    Returns:
        `bytes`, base64 of L·G·N·N levels, 255 being `top`; `layers` and `heads`, of which there is
        one, the mean, where they would be too many to send.
    """
    kept = looks if looks.size <= LARGEST else looks.mean(1, keepdims=True)
    top = float(kept.max())
    levels = np.rint(kept / top * 255).astype(np.uint8)
    data = base64.b64encode(levels.tobytes()).decode("ascii")
    return {"bytes": data, "top": top, "layers": kept.shape[0], "heads": kept.shape[1]}


def one_after_another(inside: Sequence[View]) -> View:
    """The steps of several sentences, each over its own memory."""
    first = {key: value for key, value in inside[0].items() if key in ("family", "photo", "grid")}
    return {
        "photo": "",
        **first,
        "words": [word for view in inside for word in view["words"]],
        "memories": [memory for view in inside for memory in view["memories"]],
        "steps": [
            {**step, "memory": number}
            for number, view in enumerate(inside)
            for step in view["steps"]
        ],
    }


def _finite(values: NDArray[np.floating[Any]]) -> list[float | None]:
    """Numbers; None for a position that cannot be looked at."""
    return [rounded(float(value)) if np.isfinite(value) else None for value in values]
