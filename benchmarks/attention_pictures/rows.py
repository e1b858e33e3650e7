"""Rows of a picture: what one model did with the sentence.

Shapes: T words, S steps (the words and the end), L layers, H heads, N = h·w cells of the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from captioner.captions.captioner import Captioner
from captioner.captions.look import Look
from captioner.errors import ConfigError
from captioner.nn.distributions import Hard
from captioner.text import tokenise

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Asked:
    """What all pictures show: a photo, a sentence about it, some of its words."""

    photo: Image.Image
    source: Path
    sentence: str
    words: tuple[str, ...]
    spots: tuple[tuple[str, float, float], ...]  # places of the photo, x and y in shares of it

    @property
    def places(self) -> list[int]:
        """Of the words in the sentence."""
        said = tokenise(self.sentence)
        missing = [word for word in self.words if word not in said]
        if missing:
            raise ConfigError(
                f"the sentence {self.sentence!r} has no word {missing[0]!r}; its words are: "
                f"{', '.join(said)}"
            )
        return [said.index(word) for word in self.words]


@dataclass(frozen=True)
class Tile:
    """A map on the photo, and what its variant did besides."""

    weights: Map  # (h, w)
    note: str = ""
    window: tuple[float, float, float, float] | None = None  # left, top, right, bottom, in cells
    dots: tuple[tuple[float, float], ...] = ()  # x, y in cells
    peak: float | None = None  # the weight of full colour; None: six times the even one


@dataclass(frozen=True)
class Row:
    """A line of a picture."""

    title: str
    note: str
    tiles: list[Tile]


def plain(captioner: Captioner, asked: Asked, title: str) -> Row:
    """The map of each word, heads averaged, with windows, draws and shares where there are any."""
    look = captioner.look(asked.source)
    given = look.explain(asked.sentence)
    maps = [given.maps[place] for place in asked.places]
    if captioner.checkpoint.config.attention.score == "none":
        return Row(title, _said(look), [Tile(each) for each in maps])
    extras = {name: values[asked.places] for name, values in _extras(look, asked).items()}
    tiles = [
        Tile(
            each,
            _note({name: values[number] for name, values in extras.items()}),
            _window(captioner, extras.get("centre"), number),
            _dots(extras, number, each.shape),
        )
        for number, each in enumerate(maps)
    ]
    return Row(title, _said(look), tiles)


def _extras(look: Look, asked: Asked) -> dict[str, Map]:
    trace = look.trace(asked.sentence).trace
    found = dict(trace.extras)
    if trace.gates is not None:
        found["gate"] = trace.gates[:, None]
    return found


def _note(own: dict[str, Map]) -> str:
    """Shares (H,) of a step, heads averaged, a line each: two do not fit below a small map."""
    names = ("sentinel", "gate", "passed")
    return "\n".join(f"{name} {own[name].mean():.2f}" for name in names if name in own)


def _window(
    captioner: Captioner, centres: Map | None, number: int
) -> tuple[float, float, float, float] | None:
    if centres is None:
        return None
    row, column = centres[number, 0]
    radius = captioner.checkpoint.config.attention.local.radius
    return (column - radius, row - radius, column + radius + 1, row + radius + 1)


def _dots(extras: dict[str, Map], number: int, grid: Sequence[int]) -> tuple[tuple[float, float]]:
    found = []
    for centre in extras["centre"][number] if "centre" in extras else ():
        found.append((float(centre[1]) + 0.5, float(centre[0]) + 0.5))
    for glimpse in extras["glimpse"][number] if "glimpse" in extras else ():
        row, column = divmod(int(glimpse), grid[1])
        found.append((column + 0.5, row + 0.5))
    return tuple(found)  # type: ignore[return-value]


def _said(look: Look) -> str:
    """The model's own caption."""
    return f"“{look.caption(alternatives=0).text}”"


def each_head(captioner: Captioner, asked: Asked, title: str) -> list[Row]:
    """A row for each head, and layer where there are several."""
    look = captioner.look(asked.source)
    reading = look.trace(asked.sentence)
    weights = reading.trace.weights[asked.places]  # (words, L·H, N)
    heads = captioner.checkpoint.config.attention.heads
    rows = []
    for number in range(weights.shape[1]):
        layer, head = divmod(number, heads)
        several = weights.shape[1] > heads
        name = f"layer {layer + 1}, head {head + 1}" if several else f"head {head + 1}"
        tiles = [Tile(own.reshape(reading.grid)) for own in weights[:, number]]
        rows.append(Row(name, f"{title}: {_said(look)}" if not number else "", tiles))
    return rows


def drawn(captioner: Captioner, asked: Asked, title: str) -> Row:
    """Hard attention looks at one position a step: the map it is drawn from, and the draw."""
    hard = next(part for part in captioner.model.modules() if isinstance(part, Hard))
    before, hard.decode = hard.decode, "sample"
    try:
        return plain(captioner, asked, title)
    finally:
        hard.decode = before


def so_far(captioner: Captioner, asked: Asked) -> Row:
    """What the words before have looked at, all together; full colour at one whole look."""
    given = captioner.look(asked.source).explain(asked.sentence)
    sums = np.cumsum(given.maps, 0) - given.maps
    even = 1 / given.maps[0].size
    tiles = []
    for place in asked.places:
        share = sums[place] / max(sums[place].sum(), 1e-9) if place else np.full_like(sums[0], even)
        tiles.append(Tile(share, f"{place} looks"))
    return Row("looked at so far", "the sum of the words' maps before, over their number", tiles)


def cells_look(captioner: Captioner, asked: Asked) -> list[Row]:
    """Where cells of the grid look before anything is asked of them, layer by layer."""
    refine = captioner.model.encoder.refine
    assert refine is not None
    kept: list[Sequence[torch.Tensor]] = []
    hook = refine.stack.register_forward_hook(lambda module, given, found: kept.append(found[1]))
    try:
        look = captioner.look(asked.source)
    finally:
        hook.remove()
    rows, columns = look.geometry.grid
    cells = [(int(y * rows), int(x * columns)) for _, x, y in asked.spots]
    found = []
    for number, layer in enumerate(kept[0], 1):
        mean = layer[0].mean(0).numpy()  # (N, N), heads averaged
        tiles = [
            Tile(
                mean[row * columns + column].reshape(rows, columns),
                name if number == 1 else "",
                dots=((column + 0.5, row + 0.5),),
            )
            for (name, _, _), (row, column) in zip(asked.spots, cells, strict=True)
        ]
        note = "where a cell looks, heads averaged" if number == 1 else ""
        found.append(Row(f"layer {number}", note, tiles))
    return found
