"""Pictures without maps: words that look at words, their places, and words that were drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from captioner.captions.captioner import Captioner
from captioner.nn.positions import sinusoids
from captioner.nn.transformer import TransformerDecoder
from captioner.pictures.blocks import BOLD, REGULAR, Block, Text, font, framed, stacked
from captioner.pictures.figures import lettering, painted, shade
from captioner.pictures.ink import INK, MUTED
from captioner.text import BOS, tokenise
from captioner.training.scheduled import mixed_inputs

from .rows import Asked

_FEATURES = 64  # of the positions that are drawn


def decoder_looks(captioner: Captioner, photo: Path, sentence: str) -> list[np.ndarray]:
    """Of each layer the self-attention over the words so far, (S, S), heads averaged.

    Row i is the step that says word i: it reads the start and the words before.
    """
    decoder = captioner.model.decoder
    assert isinstance(decoder, TransformerDecoder)
    kept: list[torch.Tensor] = []
    hooks = [
        layer.attention.register_forward_hook(lambda part, given, found: kept.append(found[1]))
        for layer in decoder.layers
    ]
    words = captioner.vocabulary.encode(tokenise(sentence))
    tokens = torch.tensor([[BOS, *words]])
    try:
        with torch.inference_mode():
            memory = captioner.look(photo).memory
            decoder.unroll(tokens, torch.tensor([tokens.shape[1]]), memory)
    finally:
        for hook in hooks:
            hook.remove()
    return [each.reshape(-1, *each.shape[-2:]).mean(0).numpy() for each in kept]


def word_looks(captioner: Captioner, photo: Path, sentence: str) -> Image.Image:
    """Each layer's masked self-attention: rows are words that are said, columns those read."""
    from matplotlib.figure import Figure

    looks = decoder_looks(captioner, photo, sentence)
    said = [*tokenise(sentence), "(end)"]
    read = ["(start)", *said[:-1]]
    figure = Figure(figsize=(4.4 * len(looks) + 0.6, 4.1))
    for number, (axes, weights) in enumerate(
        zip(figure.subplots(1, len(looks), squeeze=False)[0], looks, strict=True), 1
    ):
        axes.imshow(weights, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(read)), read, rotation=45, ha="left", **lettering(9))
        axes.set_yticks(range(len(said)), said if number == 1 else [], **lettering(9))
        axes.xaxis.tick_top()
        axes.tick_params(length=0, pad=2)
        axes.set_frame_on(False)
        axes.set_xlabel(f"layer {number}", **lettering(10, MUTED))
    figure.tight_layout()
    return painted(figure, 100)


def positions(sentence: str) -> Image.Image:
    """What the sentence's words have added for their places, 64 features each."""
    from matplotlib.figure import Figure

    words = tokenise(sentence)
    features = sinusoids(torch.arange(len(words)), _FEATURES).numpy()
    figure = Figure(figsize=(8.2, 3.0))
    axes = figure.add_axes((0, 0, 1, 1))
    drawn = axes.imshow(features, cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    axes.set_yticks(range(len(words)), words, **lettering(9.5))
    axes.set_xlabel(
        "feature: sine and cosine in turns, slower to the right", **lettering(9.5, MUTED)
    )
    axes.tick_params(length=0, labelsize=9, colors=shade(INK))
    axes.set_frame_on(False)
    bar = figure.colorbar(drawn, ax=axes, ticks=[-1, 0, 1], pad=0.02, aspect=14)
    bar.outline.set_visible(False)
    return painted(figure, 100)


def mixed(captioner: Captioner, asked: Asked) -> Image.Image:
    """Scheduled sampling: the sentence with some words that the model has drawn itself."""
    words = captioner.vocabulary
    memory = captioner.look(asked.source).memory
    given = words.encode(tokenise(asked.sentence))
    inputs = torch.tensor([[BOS, *given]])
    blocks = []
    for share in (0.0, 0.25, 0.5, 1.0):
        torch.manual_seed(0)  # the same places, and the same luck
        read = mixed_inputs(captioner.model.decoder, memory, inputs, share)[0, 1:].tolist()
        pairs = list(zip(words.decode(read), words.decode(given), strict=True))
        blocks.append(_words_line(f"{share:.0%}", pairs))
    return framed(stacked(blocks, 8), 14).painted()


def _words_line(label: str, pairs: Sequence[tuple[str, str]]) -> Block:
    """Words in a row; those that differ from the sentence's own in colour."""
    width, face, bold = 940, font(17, REGULAR), font(17, BOLD)
    marks = [Text(0, 20, label, MUTED, face)]
    x = 70.0
    for said, own in pairs:
        chosen, ink = (face, INK) if said == own else (bold, (190, 70, 20))
        marks.append(Text(x, 20, said, ink, chosen))
        x += chosen.getlength(said) + 9
    return Block(width, 26, tuple(marks))
