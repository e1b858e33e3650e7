"""A captioner's maps beside other explanations of the same words, each asked the same questions.

For words of given sentences: does the map know where covering pixels hurts the word (rank
correlation with occlusion), does it lie on the thing (where regions are known), and does the word's
probability follow when the photo is covered or uncovered in the map's order?

Shapes: M words, N cells, V patches.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from captioner import intervals
from captioner.captions.captioner import Captioner
from captioner.captions.closer import agreed
from captioner.errors import DataError
from captioner.grounding import explanations
from captioner.grounding.covering import Patches, Words, occlusion
from captioner.grounding.faithfulness import SHARES, Curves, cell_curves, orders, pixel_curves
from captioner.grounding.pointing import baselines, judge
from captioner.grounding.reading import read_sentences
from captioner.grounding.regions import cover
from captioner.grounding.sentences import Asked, opened
from captioner.grounding.synonyms import namer
from captioner.intervals import Estimate
from captioner.options import RESAMPLES
from captioner.text import UNK

ATTENTION = "attention"
CLOSER = "attention, closer look"
OCCLUSION = "occlusion"
CAM = "class activation"
_AT_ONCE = 8  # photos
MEASURES = (
    "agreement",  # Spearman's correlation with occlusion
    "pointing",
    "deletion",  # areas under the curves, pixels covered
    "insertion",
    "hidden",  # the same with cells hidden from the attention
    "shown",
)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What each method's maps come to."""

    rows: Mapping[str, Mapping[str, Estimate]]  # by method, by `MEASURES`; what was not asked lacks
    ahead: Mapping[str, Mapping[str, Estimate]]  # the attention less this method, paired
    curves: Mapping[str, tuple[Curves, Curves | None]]  # mean curves (1, S + 2): pixels, cells
    words: int
    photos: int
    recipe: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""

        def plain(several: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Any]:
            return {n: {m: e.to_dict() for m, e in own.items()} for n, own in several.items()}

        return {
            "methods": plain(self.rows),
            "attention_ahead": plain(self.ahead),
            "curves": {
                name: {
                    level: {
                        "shares": list(curve.shares),
                        "deletion": curve.deletion[0].tolist(),
                        "insertion": curve.insertion[0].tolist(),
                    }
                    for level, curve in (("pixels", pixels), ("cells", cells))
                    if curve is not None
                }
                for name, (pixels, cells) in self.curves.items()
            },
            "words": self.words,
            "photos": self.photos,
            "recipe": self.recipe,
        }

    def __str__(self) -> str:
        """A table (Markdown) and the recipe."""
        asked = [m for m in MEASURES if any(m in own for own in self.rows.values())]
        rows = {
            name: [own[m].shown(1, 3) if m in own else "" for m in asked]
            for name, own in self.rows.items()
        }
        heads = {
            "agreement": "rank correlation with occlusion",
            "pointing": "pointing",
            "deletion": "pixels covered ↓",
            "insertion": "pixels uncovered ↑",
            "hidden": "cells hidden ↓",
            "shown": "cells shown ↑",
        }
        columns = [heads[m] for m in asked]
        if asked == ["pointing"]:
            columns.append("attention ahead, paired")
            for name, row in rows.items():
                row.append("" if name == ATTENTION else self.ahead[name]["pointing"].shown(1, 3))
        text = intervals.table(["map", *columns], rows)
        return f"{text}\n\n{self.words} words in {self.photos} photos | {self.recipe}"


def compare(
    captioner: Captioner,
    asked: Sequence[Asked],
    *,
    patches: Patches | None = None,
    shares: Sequence[float] = SHARES,
    curves_of: int = 10**9,
    occlude: bool = True,
    second_fill: bool = False,
    bootstrap: int = RESAMPLES,
    seed: int = 0,
    progress: Callable[[int], object] = lambda photos: None,
) -> Comparison:
    """Asks a captioner's attention and other explanations the same questions about given words.

    Words that the vocabulary lacks have no probability and are passed over. The time goes into
    encoding covered photos: V + 1 for each photo, and about eight times twice the number of shares
    for each word that curves are drawn of.

    Args:
        captioner: whose words and maps.
        asked: photos with the words that are asked about; see `sentences.sample`.
        patches: of the occlusion.
        shares: of the photo that are covered in a map's order.
        curves_of: photos that curves are drawn of, the first ones.
        occlude: left out, only pointing is asked: no covered photo is encoded and no curve drawn.
        second_fill: occlude a second time by blur: how far do two occlusions agree?
        bootstrap: resamples of the photos.
        seed: of the random order.
        progress: called with a number of photos when these are done.

    Raises:
        DataError: no photo can be read, or no word is in the vocabulary.
    """
    patches = patches or Patches()
    values: list[dict[str, dict[str, NDArray[np.float64]]]] = []
    drawn: list[dict[str, tuple[Curves, Curves]]] = []
    owners: list[int] = []
    photos = 0
    closer = captioner.writer.closer
    larger: Iterable[Any] = itertools.repeat((None, None, None))
    if closer is not None:
        larger = opened(captioner, asked, _AT_ONCE, closer.preprocess)
    both = zip(opened(captioner, asked, _AT_ONCE), larger, strict=False)
    for (entries, pixels, lines), (_, enlarged, _) in both:
        words, kept = _words(captioner, entries)
        if words.places:
            batch = _Batch(captioner, entries, kept, pixels, words, enlarged)
            maps = batch.maps()
            found = batch.agreement(maps, patches, second_fill) if occlude else {}
            batch.point(maps, found)
            if occlude and photos < curves_of:
                drawn.append(batch.curves(maps, found, shares, seed + photos))
            values.append(found)
            owners += [photos + owner for owner in words.owners]
        photos += len(entries)
        progress(len(entries) + len(lines))
    if not values:
        raise DataError("no photo can be read, or no word that is asked about is in the vocabulary")
    rows, ahead = _summary(values, np.array(owners), bootstrap)
    side = captioner.preprocess.size * patches.side / patches.windows
    covering = [
        f"occlusion: {len(patches)} patches of {side:.0f} pixels, mean colour",
        "covered and hidden: area under the word's probability",
    ]
    recipe = " | ".join(
        [
            "words of given sentences",
            *(covering if occlude else []),
            f"bootstrap {bootstrap} over photos, seed 0" if bootstrap else "no bootstrap",
        ]
    )
    count = len(set(owners))
    return Comparison(rows, ahead, _mean_curves(drawn), len(owners), count, recipe)


def _words(captioner: Captioner, entries: Sequence[Asked]) -> tuple[Words, list[tuple[int, int]]]:
    """The words that the vocabulary has, and of each its photo and its number there."""
    words, kept = Words([], [], []), []
    for photo, entry in enumerate(entries):
        tokens = [captioner.vocabulary.encode(sentence) for sentence in entry.sentences]
        for number, mention in enumerate(entry.mentions):
            sentence = tokens[mention.sentence]
            if sentence[mention.place] != UNK:
                words.tokens.append(sentence)
                words.places.append(mention.place)
                words.owners.append(photo)
                kept.append((photo, number))
    return words, kept


def _classes(
    captioner: Captioner, entries: Sequence[Asked], kept: Sequence[tuple[int, int]]
) -> list[list[int]]:
    """Of each word the classes of the encoder's classifier that it names, by their words."""
    numbers: dict[str, list[int]] = {}
    for number, kind in enumerate(captioner.checkpoint.kinds):
        numbers.setdefault(kind, []).append(number)
    named = namer(numbers)
    found = []
    for photo, number in kept:
        mention = entries[photo].mentions[number]
        said = dict(named(entries[photo].sentences[mention.sentence]))
        kinds = sorted(said.get(mention.place, ()))
        found.append([each for kind in kinds for each in numbers[kind]])
    return found


class _Batch:
    """Some photos and the words that are asked about them."""

    def __init__(
        self,
        captioner: Captioner,
        entries: Sequence[Asked],
        kept: Sequence[tuple[int, int]],
        pixels: Tensor,
        words: Words,
        enlarged: Tensor | None = None,
    ) -> None:
        self.model, self.pixels, self.words = captioner.model, pixels, words
        self.enlarged = enlarged  # pixels of a closer look
        self.entries, self.kept = entries, kept
        with torch.no_grad():
            self.cnn = self.model.encoder.grid(pixels)
            self.memory = self.model.encoder.read(self.cnn)
        assert self.memory.grid is not None
        self.grid = self.memory.grid
        self.encode = captioner.vocabulary.encode
        self.classes = _classes(captioner, entries, kept)

    def maps(self) -> dict[str, Tensor]:
        """Maps (M, h, w) of every method, on the attention's grid but for the CNN's own."""
        with torch.no_grad():
            own, following = explanations.attention(self.model, self.memory, self.words)
            mean = self._mean()
        found = {ATTENTION: own, "attention, next step": following}
        found |= explanations.gradients(self.model, self.memory, self.words)
        found = {name: each.unflatten(1, self.grid) for name, each in found.items()}
        if self.enlarged is not None:
            found[CLOSER] = self._looked_closer(found[ATTENTION], self.enlarged)
        found["Grad-CAM"] = explanations.grad_cam(self.model, self.cnn, self.words)
        if any(self.classes):
            found[CAM] = self._class_activation()
        found["photo's mean map"] = mean.unflatten(1, self.grid)
        centre = torch.from_numpy(baselines(self.grid)["centre"]).float()
        found["centre"] = centre.unflatten(0, self.grid).expand(len(own), -1, -1)
        return found

    @torch.no_grad()
    def _looked_closer(self, own: Tensor, enlarged: Tensor) -> Tensor:
        """Maps (M, h', w') of a closer look, as captions show them."""
        memory = self.model.encoder(torch.cat([enlarged, enlarged.flip(-1)]))
        assert memory.grid is not None
        words, count = self.words, len(enlarged)
        behind = [count + owner for owner in words.owners]
        twice = Words(words.tokens * 2, words.places * 2, words.owners + behind)
        read, _ = explanations.attention(self.model, memory, twice)
        return agreed(own, *read.unflatten(1, memory.grid).split(len(own)))

    def _class_activation(self) -> Tensor:
        """Maps (M, h, w) of the classifier's kinds; nan where a word names none of them."""
        found = torch.full((len(self.classes), *self.cnn.shape[1:3]), torch.nan)
        named = [row for row, own in enumerate(self.classes) if own]
        found[named] = explanations.class_activation(
            self.model,
            self.cnn,
            [self.words.owners[row] for row in named],
            [self.classes[row] for row in named],
        )
        return found

    def _mean(self) -> Tensor:
        """The mean map (M, N) of all words of the photo's sentences that are asked about."""
        owners = [n for n, entry in enumerate(self.entries) for _ in entry.sentences]
        words = [self.encode(s) for entry in self.entries for s in entry.sentences]
        maps = read_sentences(self.model.decoder, self.memory, words, owners).maps.cpu()
        sums = torch.zeros(len(self.entries), maps.shape[-1])
        for row, (owner, sentence) in enumerate(zip(owners, words, strict=True)):
            sums[owner] += maps[row, : len(sentence)].sum(0)
        mean = sums / sums.sum(1, keepdim=True)
        return mean[torch.tensor(self.words.owners)]

    @torch.no_grad()
    def agreement(
        self, maps: dict[str, Tensor], patches: Patches, second_fill: bool
    ) -> dict[str, dict[str, NDArray[np.float64]]]:
        """Rank correlations with occlusion, whose own map joins the others."""
        hurt = occlusion(self.model, self.pixels, self.words, patches)  # (M, V)
        found = {
            name: {
                "agreement": explanations.rank_correlation(
                    patches.weigh(each).numpy(), hurt.numpy()
                )
            }
            for name, each in maps.items()
        }
        if second_fill:
            other = occlusion(self.model, self.pixels, self.words, patches, "blur")
            found["occlusion by blur"] = {
                "agreement": explanations.rank_correlation(other.numpy(), hurt.numpy())
            }
        maps[OCCLUSION] = patches.spread(hurt)
        found[OCCLUSION] = {}
        return found

    def point(
        self, maps: Mapping[str, Tensor], found: dict[str, dict[str, NDArray[np.float64]]]
    ) -> None:
        """Adds pointing, of words whose thing has a region."""
        if not any(entry.regions for entry in self.entries):
            return
        covers = []
        for photo, number in self.kept:
            entry = self.entries[photo]
            kinds = entry.mentions[number].kinds
            regions = [r for kind in sorted(kinds) for r in entry.regions.get(kind, ())]
            covers.append(cover(regions, self.grid) if regions else None)
        for name, each in maps.items():
            on_cells = _on_grid(each, self.grid).numpy()
            raised = on_cells - on_cells.min(1, keepdims=True) + 1e-12  # of gradients' signs
            own = found.setdefault(name, {})
            own["pointing"] = np.array(
                [
                    judge(each_map[None], covered)[0, 0]
                    if covered is not None and np.isfinite(each_map).all()
                    else np.nan
                    for each_map, covered in zip(raised, covers, strict=True)
                ]
            )

    @torch.no_grad()
    def curves(
        self,
        maps: Mapping[str, Tensor],
        found: dict[str, dict[str, NDArray[np.float64]]],
        shares: Sequence[float],
        seed: int,
    ) -> dict[str, tuple[Curves, Curves]]:
        """Curves in the order of some of the maps, and the areas below them."""
        names = (ATTENTION, "Grad-CAM", "centre", OCCLUSION)
        chosen = {name: _on_grid(maps[name], self.grid) for name in names}
        drawn = {}
        for name, places in orders(chosen, seed).items():
            pixels = pixel_curves(
                self.model, self.pixels, self.words, places, self.grid, shares=shares
            )
            cells = cell_curves(self.model, self.memory, self.words, places, shares=shares)
            own = found.setdefault(name, {})
            own["deletion"], own["insertion"] = pixels.areas()
            own["hidden"], own["shown"] = cells.areas()
            drawn[name] = (pixels, cells)
        return drawn


def _on_grid(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """Maps (M, h', w') on a grid, (M, N)."""
    if maps.shape[1:] == grid:
        return maps.flatten(1)
    return F.interpolate(maps.unsqueeze(1), size=grid, mode="bilinear").flatten(1)


def _summary(
    values: Sequence[Mapping[str, Mapping[str, NDArray[np.float64]]]],
    owners: NDArray[np.int64],
    bootstrap: int,
) -> tuple[dict[str, dict[str, Estimate]], dict[str, dict[str, Estimate]]]:
    names = list(dict.fromkeys(name for batch in values for name in batch))
    sizes = [len(next(iter(batch[ATTENTION].values()))) for batch in values]
    keys = [
        (name, measure)
        for name in names
        for measure in MEASURES
        if any(measure in batch.get(name, {}) for batch in values)
    ]

    def column(name: str, measure: str) -> NDArray[np.float64]:
        return np.concatenate(
            [
                batch.get(name, {}).get(measure, np.full(size, np.nan))
                for batch, size in zip(values, sizes, strict=True)
            ]
        )

    columns = {key: column(*key) for key in keys}
    # The attention has every measure that another method has.
    less = {key: columns[ATTENTION, key[1]] - own for key, own in columns.items()}
    table = np.stack([*columns.values(), *less.values()], 1)
    found = intervals.means(table, owners, bootstrap)
    rows: dict[str, dict[str, Estimate]] = {name: {} for name in names}
    ahead: dict[str, dict[str, Estimate]] = {name: {} for name in names}
    for place, (name, measure) in enumerate(keys):
        rows[name][measure] = found[place]
        ahead[name][measure] = found[len(keys) + place]
    return rows, ahead


def _mean_curves(
    drawn: Sequence[Mapping[str, tuple[Curves, Curves]]],
) -> dict[str, tuple[Curves, Curves | None]]:
    if not drawn:
        return {}

    def mean(curves: Sequence[Curves]) -> Curves:
        return Curves(
            curves[0].shares,
            np.concatenate([c.deletion for c in curves]).mean(0, keepdims=True),
            np.concatenate([c.insertion for c in curves]).mean(0, keepdims=True),
        )

    return {
        name: (mean([b[name][0] for b in drawn]), mean([b[name][1] for b in drawn]))
        for name in drawn[0]
    }
