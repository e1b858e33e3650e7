"""Grounding: does the map of a noun point at what the noun names?

The pointing game of Zhang et al. 2016, "Top-down Neural Attention by Excitation Backprop", §4.1, on
given reference captions (teacher forcing), so that every model is asked about the same words. The
map of a word was computed before the word was known; the map of the step after it is therefore
measured too. Two baselines stand beside them: a Gaussian at the centre, and a uniform map.

Shapes: M mentions of a thing in a caption, B photos, K captions, T steps, H heads, N = h·w cells.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from captioner.boxes import POINTS, Things, mask
from captioner.captions.captioner import Captioner
from captioner.datasets import Photo
from captioner.errors import DataError, ImageError
from captioner.nn.encoders import normalise
from captioner.options import RESAMPLES
from captioner.pictures.open import open_photo
from captioner.text import BOS, tokenise

MAPS = ("word", "next word", "centre", "uniform")
MEASURES = ("pointing", "mass", "spread")
SIGMA = 0.25  # standard deviation of the centred Gaussian, in sides
LARGE = 0.25  # share of the photo from which on a thing is no longer difficult

_BATCH = 32  # photos at a time


@dataclass(frozen=True)
class Share:
    """A share, 0 to 1, of M mentions."""

    value: float  # nan where there was nothing to measure
    interval: tuple[float, float] | None = None  # 95 % bootstrap over photos (low, high)

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "–"
        between = (
            f" ({'–'.join(f'{100 * end:.1f}' for end in self.interval)})" if self.interval else ""
        )
        return f"{100 * self.value:.1f}{between}"


@dataclass(frozen=True)
class Part:
    """Some of the mentions."""

    photos: int
    mentions: int
    pointing: Mapping[str, Share]  # by `MAPS`: the peak cell's centre lies in a box
    mass: Mapping[str, Share]  # by `MAPS`: the map's weight in the boxes
    spread: Mapping[str, Share]  # by `MAPS`: exp(entropy) / N; 1 looks everywhere alike
    reachable: Share  # some cell's centre lies in a box: what pointing can come to at most


@dataclass(frozen=True)
class Grounding:
    """How well the maps of nouns cover the things that they name."""

    whole: Part
    difficult: Part  # boxes below a quarter of the photo, and a thing of another kind beside them
    left_out: tuple[str, ...]  # why photos are missing
    recipe: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a missing value is None, as JSON knows no nan."""
        return _plain(dataclasses.asdict(self))

    def __str__(self) -> str:
        """A table (Markdown) in percent, and the recipe."""
        parts = {"all": self.whole, "difficult": self.difficult}
        columns = {
            f"{measure}, {name}": getattr(part, measure)
            for measure in ("pointing", "mass")
            for name, part in parts.items()
        } | {"spread": self.whole.spread}
        heads = ["map", *columns]
        cells = [[name, *(str(column[name]) for column in columns.values())] for name in MAPS]
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        rows = [heads, ["-" * width for width in widths], *cells]
        lines = [
            "| " + " | ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) + " |"
            for row in rows
        ]
        counts = ", ".join(
            f"{name} {p.mentions} words in {p.photos} photos (pointing at most {p.reachable})"
            for name, p in parts.items()
        )
        return "\n".join([*lines, "", f"{counts} | {self.recipe}"])


def measure(
    captioner: Captioner,
    photos: Iterable[Photo],
    things: Mapping[str, Things],
    kinds_of: Callable[[str], Sequence[str]],
    *,
    bootstrap: int = RESAMPLES,
    progress: Callable[[int], object] = lambda photos: None,
) -> Grounding:
    """Measures the maps of all words that name something with a box, in the reference captions.

    Pointing: the centre of the map's largest cell lies in a box of what the word names; of equal
    largest cells each counts for its share. Mass: the weight in the boxes, a cell counting for the
    share of its 9×9 points that lie in one. Words that the vocabulary lacks are measured too.
    Where all boxes are of one kind, nothing is known of others, and the difficult part is that of
    the small boxes alone.

    Args:
        captioner: whose maps; heads are averaged.
        photos: with reference captions; those without a box for any of their words are passed over.
        things: boxes by `Photo.photo_id`, then by kind; see `boxes.read`.
        kinds_of: the kinds that a word (lower-cased) can name; none for words that are no nouns.
        bootstrap: resamples of the photos for the intervals; 0 leaves them out.
        progress: called with a number of photos when these are done.

    Raises:
        DataError: no caption names a thing that has a box, or none of the photos can be read.
    """
    asked = [entry for photo in photos if (entry := _asked(photo, things, kinds_of))]
    if not asked:
        raise DataError(
            f"no caption names a thing that has a box ({len(things)} photos have boxes); do the "
            "captions and the boxes belong to the same photos?"
        )
    several = len({kind for own in things.values() for kind in own}) > 1
    found: list[_Found] = []
    left_out: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(asked), _BATCH):
            batch = asked[start : start + _BATCH]
            opened = list(pool.map(lambda entry: _pixels(captioner, entry.photo), batch))
            left_out += [str(error) for error in opened if isinstance(error, ImageError)]
            pairs = list(zip(batch, opened, strict=True))
            good = [(entry, p) for entry, p in pairs if not isinstance(p, ImageError)]
            found += _measured(captioner, good, several) if good else []
            progress(len(batch))
    if not found:
        raise DataError(f"none of {len(asked)} photos can be read; the first: {left_out[0]}")
    return Grounding(
        _part([entry.values for entry in found], bootstrap),
        _part([entry.values[entry.difficult] for entry in found], bootstrap),
        tuple(left_out),
        _recipe(found[0].grid, asked, several, bootstrap),
    )


@dataclass(frozen=True)
class _Asked:
    """A photo and the words that are asked about."""

    photo: Photo
    words: list[list[str]]  # of each caption
    mentions: list[tuple[int, int, frozenset[str]]]  # caption, place in it, kinds that it names
    things: Things


@dataclass(frozen=True)
class _Found:
    """What one photo's mentions came to."""

    values: NDArray[np.float64]  # (M, 13): `MEASURES` by `MAPS`, then whether it is reachable
    difficult: NDArray[np.bool_]  # (M,)
    grid: tuple[int, int]


def _asked(
    photo: Photo, things: Mapping[str, Things], kinds_of: Callable[[str], Sequence[str]]
) -> _Asked | None:
    own = things.get(photo.photo_id, {})
    words = [tokenise(caption) for caption in photo.captions]
    mentions = [
        (number, place, kinds)
        for number, sentence in enumerate(words)
        for place, word in enumerate(sentence)
        if (kinds := frozenset(kinds_of(word)) & own.keys())
    ]
    return _Asked(photo, words, mentions, own) if mentions else None


def _pixels(captioner: Captioner, photo: Photo) -> NDArray[np.uint8] | ImageError:
    try:
        preprocess = captioner.preprocess
        return preprocess.pixels(open_photo(photo.path, side=preprocess.size))
    except ImageError as error:
        return error


@torch.inference_mode()
def _measured(
    captioner: Captioner, good: Sequence[tuple[_Asked, NDArray[np.uint8]]], several: bool
) -> list[_Found]:
    asked, preprocess = [entry for entry, _ in good], captioner.preprocess
    pixels = torch.from_numpy(np.stack([picture for _, picture in good])).to(captioner.device)
    memory = captioner.model.encoder(normalise(pixels, preprocess.mean, preprocess.std))
    assert memory.grid is not None
    sentences = [[BOS, *captioner.vocabulary.encode(s)] for entry in asked for s in entry.words]
    counts = torch.tensor([len(entry.words) for entry in asked])
    unrolled = captioner.model.decoder(
        pad_sequence([torch.tensor(s) for s in sentences], batch_first=True).to(captioner.device),
        torch.tensor([len(sentence) for sentence in sentences]),
        memory,
        torch.arange(len(asked)).repeat_interleave(counts).to(captioner.device),
    )
    maps = unrolled.weights.float().mean(2).cpu()  # (K, T, N)
    firsts = (counts.cumsum(0) - counts).tolist()
    regions = [_regions(entry, memory.grid) for entry in asked]
    mentions = [
        (first + k, t) for first, e in zip(firsts, asked, strict=True) for k, t, _ in e.mentions
    ]
    rows, places = torch.tensor(mentions).unbind(1)  # (M,)
    covered, centred = (torch.cat([region[i] for region in regions]) for i in (0, 1))  # (M, N)
    both = torch.stack([maps[rows, places], maps[rows, places + 1]], 1)  # (M, 2, N)
    fixed = _baselines(memory.grid).expand(len(rows), -1, -1)  # (M, 2, N)
    values = _values(torch.cat([both, fixed], 1), covered, centred)
    sizes = [len(entry.mentions) for entry in asked]
    return [
        _Found(own.double().numpy(), _difficult(entry, area, several).numpy(), memory.grid)
        for entry, own, (_, _, area) in zip(asked, values.split(sizes), regions, strict=True)
    ]


def _values(maps: Tensor, covered: Tensor, centred: Tensor) -> Tensor:
    """Measures (M, 13) of maps (M, 4, N), given each cell's covered share and centre (M, N)."""
    maps = maps / maps.sum(-1, keepdim=True)
    peaks = (maps == maps.amax(-1, keepdim=True)).float()
    pointing = (peaks * centred.unsqueeze(1)).sum(-1) / peaks.sum(-1)  # (M, 4)
    mass = (maps * covered.unsqueeze(1)).sum(-1)
    spread = torch.special.entr(maps).sum(-1).exp() / maps.shape[-1]
    return torch.cat([pointing, mass, spread, centred.amax(-1, keepdim=True)], -1)


def _baselines(grid: tuple[int, int]) -> Tensor:
    """A centred Gaussian and a uniform map, (2, N)."""
    # Whole numerators, or rounding would prefer one of the equally central cells of an even grid.
    down, across = ((2 * torch.arange(size) + 1 - size) / (2 * size) for size in grid)
    gaussian = torch.exp(-(down.square()[:, None] + across.square()) / (2 * SIGMA**2))  # (h, w)
    return torch.stack([gaussian.flatten(), torch.ones(gaussian.numel())])


def _regions(asked: _Asked, grid: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Of each mention the cells' covered shares and centres (M, N), and the covered area (M,)."""
    rows, columns = grid
    named = [[box for kind in kinds for box in asked.things[kind]] for *_, kinds in asked.mentions]
    masks = torch.from_numpy(np.stack([mask(boxes, grid) for boxes in named]))  # (M, h·9, w·9)
    points = masks.reshape(-1, rows, POINTS, columns, POINTS)  # (M, h, 9, w, 9)
    covered = points.float().mean((2, 4)).flatten(1)
    centred = points[:, :, POINTS // 2, :, POINTS // 2].float().flatten(1)
    return covered, centred, covered.mean(1)


def _difficult(asked: _Asked, area: Tensor, several: bool) -> Tensor:
    """Whether boxes of this area (M,) are small, and a thing of another kind is there, (M,)."""
    others = [bool(asked.things.keys() - kinds) or not several for *_, kinds in asked.mentions]
    return (area < LARGE) & torch.tensor(others)


def _part(values: Sequence[NDArray[np.float64]], bootstrap: int) -> Part:
    """Means over all mentions, with intervals from resampled photos."""
    kept = [own for own in values if len(own)]
    shares = [Share(math.nan)] * (len(MEASURES) * len(MAPS) + 1)
    if kept:
        shares = _shares(np.array([[len(own), *own.sum(0)] for own in kept]), bootstrap)
    rows = (shares[start : start + len(MAPS)] for start in range(0, len(shares) - 1, len(MAPS)))
    pointing, mass, spread = (dict(zip(MAPS, row, strict=True)) for row in rows)
    return Part(len(kept), sum(map(len, kept)), pointing, mass, spread, shares[-1])


def _shares(sums: NDArray[np.float64], bootstrap: int) -> list[Share]:
    """Means and their intervals from each photo's number of mentions and sums (P, 14)."""
    means = sums[:, 1:].sum(0) / sums[:, 0].sum()
    if not bootstrap:
        return [Share(value) for value in means.tolist()]
    chance = np.full(len(sums), 1 / len(sums))
    rng = np.random.default_rng(0)
    drawn = np.array([rng.multinomial(len(sums), chance) @ sums for _ in range(bootstrap)])
    ends = np.percentile(drawn[:, 1:] / drawn[:, :1], (2.5, 97.5), axis=0)  # (2, 13)
    return [
        Share(value, (low, high))
        for value, low, high in zip(means.tolist(), *ends.tolist(), strict=True)
    ]


def _recipe(grid: tuple[int, int], asked: Sequence[_Asked], several: bool, bootstrap: int) -> str:
    others = ", another kind present" if several else ""
    return " | ".join(
        [
            f"teacher-forced on {sum(len(entry.words) for entry in asked)} reference captions",
            f"grid {grid[0]}×{grid[1]}",
            "pointing: centre of the peak cell in a box",
            f"mass: {POINTS}×{POINTS} points a cell",
            f"centre: Gaussian, σ = {SIGMA:g} sides",
            f"difficult: boxes under {LARGE:.0%} of the photo{others}",
            f"bootstrap {bootstrap} over photos, seed 0" if bootstrap else "no bootstrap",
        ]
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
