"""Grounding: does the map of a noun lie on what the noun names?

The pointing game of Zhang et al. 2016, "Top-down Neural Attention by Excitation Backprop", §4.1,
and attention correctness (Liu et al. 2017, "Attention Correctness in Neural Image Captioning"): the
share of a map's weight that lies on the thing. The map of a word was computed before the word was
known; that of the step behind it is measured beside it where a model has one.

Four maps that have not read the word stand against it: a uniform one, a Gaussian at the centre, the
mean map of all of the photo's words, and the place where things of the named kind lie in the other
photos. What counts is the paired difference, over resampled photos.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioner import intervals
from captioner.errors import DataError
from captioner.grounding.regions import Cover, Grid, Region, cover
from captioner.grounding.sentences import Asked, Shown
from captioner.grounding.synonyms import Kinds
from captioner.intervals import Estimate
from captioner.options import RESAMPLES

BASELINES = ("uniform", "centre", "photo's mean", "kind's place")
MEASURES = ("pointing", "mass", "spread")
SIGMA = 0.25  # standard deviation of the centred Gaussian, in sides
LARGE = 0.25  # share of the photo from which on a thing is no longer difficult

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One kind of map over some of the words."""

    measures: Mapping[str, Estimate]  # by `MEASURES`
    ahead: Mapping[str, Estimate]  # the word's own map less this one, paired, by `MEASURES`


@dataclass(frozen=True)
class Part:
    """Some of the words that name something."""

    photos: int
    words: int
    rows: Mapping[str, Row]  # "word", perhaps "next word", and `BASELINES`
    reachable: Estimate  # some cell's centre lies on the thing: pointing comes to this at most


@dataclass(frozen=True)
class Pointing:
    """How well the maps of nouns lie on the things that they name."""

    whole: Part
    difficult: Part  # the named kind below a quarter of the photo, and another kind beside it
    kinds: Mapping[str, tuple[int, float, float]]  # words, pointing of the word's and centre's map
    left_out: tuple[str, ...]  # why photos are missing
    recipe: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "whole": _part_dict(self.whole),
            "difficult": _part_dict(self.difficult),
            "kinds": {
                kind: {"words": words, "pointing": own, "centre": centre}
                for kind, (words, own, centre) in self.kinds.items()
            },
            "left_out": list(self.left_out),
            "recipe": self.recipe,
        }

    def __str__(self) -> str:
        """A table (Markdown) in percent, and the recipe."""
        parts = {"all": self.whole, "difficult": self.difficult}
        rows = {
            name: [
                *(
                    part.rows[name].measures[measure].shown(100, 1)
                    for measure in ("pointing", "mass")
                    for part in parts.values()
                ),
                self.difficult.rows[name].ahead["pointing"].shown(100, 1),
                self.whole.rows[name].measures["spread"].shown(100, 1),
            ]
            for name in self.whole.rows
        }
        rows["word"][4] = ""
        heads = ["map", *(f"{m}, {name}" for m in ("pointing", "mass") for name in parts)]
        counts = ", ".join(
            f"{name} {part.words} words in {part.photos} photos (pointing at most "
            f"{part.reachable.shown(100, 1)})"
            for name, part in parts.items()
        )
        text = intervals.table([*heads, "word ahead, difficult", "spread"], rows)
        return f"{text}\n\n{counts} | {self.recipe}"


def measure(
    shown: Iterable[tuple[Asked, Sequence[Shown]] | str],
    *,
    bootstrap: int = RESAMPLES,
) -> Pointing:
    """Measures the maps of all words that name something with a region.

    Pointing: the centre of the map's largest cell lies on one of the things; of equal largest cells
    each counts for its share. Mass: the weight on them, a cell counting for the share of its 9×9
    points that lie there. Spread: exp(entropy) / N; 1 looks everywhere alike. Where all regions are
    of one kind, nothing is known of others, and the difficult part is that of the small ones alone.

    Args:
        shown: photos and the maps of their sentences, or why a photo is missing; see `sentences`.
        bootstrap: resamples of the photos for the intervals; 0 leaves them out.

    Raises:
        DataError: no photo can be read, or the maps have grids of several shapes.
    """
    entries: list[tuple[Asked, Sequence[Shown]]] = []
    left_out: list[str] = []
    for each in shown:
        if isinstance(each, str):
            left_out.append(each)
        else:
            entries.append(each)
    if not entries:
        first = f"; the first: {left_out[0]}" if left_out else ""
        raise DataError(f"none of {len(left_out)} photos can be read{first}")
    grid = _grid(entries)
    several = len({kind for asked, _ in entries for kind in asked.regions}) > 1
    words = _words(entries, grid, several)
    return Pointing(
        _part(words, np.ones(len(words.owners), bool), bootstrap),
        _part(words, words.difficult, bootstrap),
        _by_kind(words),
        tuple(left_out),
        _recipe(grid, entries, several, bootstrap),
    )


@dataclass(frozen=True)
class _Words:
    """All words that are asked about, M of them."""

    names: tuple[str, ...]  # of R kinds of maps
    values: Array  # (M, R, 3): `MEASURES`
    reachable: Array  # (M,)
    difficult: NDArray[np.bool_]  # (M,)
    owners: NDArray[np.int64]  # (M,)
    kinds: tuple[Kinds, ...]  # M


def _grid(entries: Sequence[tuple[Asked, Sequence[Shown]]]) -> Grid:
    grids = {each.maps.shape[1:] for _, own in entries for each in own}
    if len(grids) != 1:
        told = ", ".join("×".join(map(str, grid)) for grid in sorted(grids))
        raise DataError(f"the maps have grids of {told} cells; measure one model at a time")
    rows, columns = grids.pop()
    return rows, columns


def _words(entries: Sequence[tuple[Asked, Sequence[Shown]]], grid: Grid, several: bool) -> _Words:
    places = Places(
        {asked.photo.photo_id: asked.regions for asked, _ in entries if asked.regions}, grid
    )
    following = all(each.following is not None for _, own in entries for each in own)
    names = ("word", *(("next word",) if following else ()), *BASELINES)
    still = baselines(grid)
    values, reachable, difficult, owners, kinds = [], [], [], [], []
    for number, (asked, own) in enumerate(entries):
        mean = np.concatenate([each.maps for each in own]).mean(0).ravel()
        for mention in asked.mentions:
            sentence = own[mention.sentence]
            covered = places.cover(asked.photo.photo_id, mention.kinds)
            maps = [sentence.maps[mention.place].ravel()]
            if following and sentence.following is not None:
                maps.append(sentence.following[mention.place].ravel())
            prior = places.prior(asked.photo.photo_id, mention.kinds)
            maps += [still["uniform"], still["centre"], mean, prior]
            values.append(judge(np.stack(maps), covered))
            reachable.append(covered.centred.any())
            others = bool(asked.regions.keys() - mention.kinds) or not several
            difficult.append(covered.area < LARGE and others)
            owners.append(number)
            kinds.append(mention.kinds)
    return _Words(
        names,
        np.array(values),
        np.array(reachable, float),
        np.array(difficult),
        np.array(owners),
        tuple(kinds),
    )


def judge(maps: NDArray[Any], covered: Cover) -> Array:
    """Pointing, mass and spread (R, 3) of maps (R, N), each from 0 up, of one word."""
    maps = maps.astype(np.float64)
    maps = maps / maps.sum(1, keepdims=True)
    peaks = maps == maps.max(1, keepdims=True)
    pointing = (peaks & covered.centred).sum(1) / peaks.sum(1)
    mass = maps @ covered.share.astype(np.float64)
    entropy = -(maps * np.log(np.where(maps > 0, maps, 1))).sum(1)
    return np.stack([pointing, mass, np.exp(entropy) / maps.shape[1]], 1)


def baselines(grid: Grid) -> dict[str, Array]:
    """A uniform map and a Gaussian at the centre, (N,) each."""
    # Whole numerators, or rounding would prefer one of the equally central cells of an even grid.
    down, across = ((2 * np.arange(size) + 1 - size) / (2 * size) for size in grid)
    gaussian = np.exp(-(down[:, None] ** 2 + across**2) / (2 * SIGMA**2)).ravel()
    return {"uniform": np.ones(len(gaussian)) / len(gaussian), "centre": gaussian / gaussian.sum()}


class Places:
    """Where things lie: of each photo the cells, of each kind the usual place in other photos."""

    def __init__(self, regions: Mapping[str, Mapping[str, Sequence[Region]]], grid: Grid) -> None:
        self.regions, self.grid = regions, grid
        self._covers: dict[tuple[str, Kinds], Cover] = {}
        own = {photo: {kind: cover(each, grid).share for kind, each in kinds.items() if each}
               for photo, kinds in regions.items()}  # fmt: skip
        self._shares = own
        self._sums: dict[str, Array] = {}
        for kinds in own.values():
            for kind, share in kinds.items():
                self._sums[kind] = self._sums.get(kind, 0) + share.astype(np.float64)

    def cover(self, photo: str, kinds: Kinds) -> Cover:
        """The cells of a photo that things of the kinds lie on."""
        key = (photo, kinds)
        if key not in self._covers:
            own = self.regions[photo]
            self._covers[key] = cover(
                [region for kind in sorted(kinds) for region in own.get(kind, ())], self.grid
            )
        return self._covers[key]

    def prior(self, photo: str, kinds: Kinds) -> Array:
        """Where things of the kinds lie in all photos but this one, (N,), sums to 1.

        Of kinds that no other photo holds it is where anything lies there, or else uniform.
        """
        for chosen in (kinds, self._sums.keys()):
            total = sum(
                (self._sums[k] - self._shares[photo].get(k, 0) for k in sorted(chosen)),
                np.zeros(self.grid[0] * self.grid[1]),
            )
            total = np.maximum(total, 0)
            if total.sum() > 1e-6:
                found: Array = total / total.sum()
                return found
        return np.full(len(total), 1 / len(total))


def _part(words: _Words, chosen: NDArray[np.bool_], bootstrap: int) -> Part:
    values, owners = words.values[chosen], words.owners[chosen]  # (M, R, 3)
    ahead = values[:, :1] - values
    count = len(words.names) * len(MEASURES)
    columns = np.concatenate(
        [values.reshape(-1, count), ahead.reshape(-1, count), words.reachable[chosen, None]], 1
    )
    found = intervals.means(columns, owners, bootstrap)
    rows = {}
    for number, name in enumerate(words.names):
        start = number * len(MEASURES)
        own, less = found[start : start + 3], found[count + start : count + start + 3]
        rows[name] = Row(
            dict(zip(MEASURES, own, strict=True)), dict(zip(MEASURES, less, strict=True))
        )
    return Part(len(np.unique(owners)), len(owners), rows, found[-1])


def _by_kind(words: _Words) -> dict[str, tuple[int, float, float]]:
    """Of each kind its words, and how often the word's map and the centre point at it."""
    centre = words.names.index("centre")
    hits: dict[str, list[tuple[float, float]]] = {}
    for kinds, values in zip(words.kinds, words.values, strict=True):
        for kind in kinds:
            hits.setdefault(kind, []).append((values[0, 0], values[centre, 0]))
    found = {kind: np.array(own) for kind, own in hits.items()}
    order = sorted(found, key=lambda kind: (-len(found[kind]), kind))
    return {kind: (len(found[kind]), *map(float, found[kind].mean(0))) for kind in order}  # type: ignore[misc]


def _recipe(
    grid: Grid, entries: Sequence[tuple[Asked, Sequence[Shown]]], several: bool, bootstrap: int
) -> str:
    others = ", another kind present" if several else ""
    return " | ".join(
        [
            f"{sum(len(asked.sentences) for asked, _ in entries)} given sentences",
            f"grid {grid[0]}×{grid[1]}",
            "pointing: centre of the peak cell on the thing",
            "mass: 9×9 points a cell",
            f"centre: Gaussian, σ = {SIGMA:g} sides",
            "kind's place: the kind's regions in the other photos",
            f"difficult: under {LARGE:.0%} of the photo{others}",
            f"bootstrap {bootstrap} over photos, paired, seed 0" if bootstrap else "no bootstrap",
        ]
    )


def _part_dict(part: Part) -> dict[str, Any]:
    return {
        "photos": part.photos,
        "words": part.words,
        "reachable": part.reachable.to_dict(),
        "maps": {
            name: {
                measure: row.measures[measure].to_dict()
                | {"word_ahead": row.ahead[measure].to_dict()}
                for measure in MEASURES
            }
            for name, row in part.rows.items()
        },
    }
