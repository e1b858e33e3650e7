r"""Bird and water: does 'bird' point at the bird, and 'water' at the water around it?

    python -m benchmarks.birds --captions flickr8k/captions_val.json --images flickr8k/images \
        --captions everyday/captions_train.json --images everyday/images

Of given captions that name both, the map of each word is held against both things' boxes
(`data/boxes/birds-and-water.json`, where water is what lies around the birds' boxes): how often
its peak lies on the bird, on the water, or on neither, and how much of its weight. A map that only
follows what stands out on a photo points at the bird with both words; beside it stand the mean map
of the caption's words and the photo's centre. `--sheet FILE` draws the maps of one photo's two
words.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from captioner import datasets, intervals
from captioner.captions.captioner import Captioner
from captioner.datasets import Photo
from captioner.errors import DataError
from captioner.grounding import marks, pointing, regions, sentences
from captioner.grounding.regions import cover
from captioner.grounding.sentences import Asked, Shown
from captioner.intervals import Estimate
from captioner.pictures.blocks import (
    BOLD,
    REGULAR,
    beside,
    font,
    framed,
    paragraph,
    pictured,
    stacked,
)
from captioner.pictures.ink import INK, MUTED
from captioner.pictures.overlay import draw_overlay
from captioner.pictures.scale import shared_peak

BOXES = Path(__file__).parent.parent / "data" / "boxes" / "birds-and-water.json"
THINGS = ("bird", "water")
_COLUMNS = [f"{measure} on {thing}" for measure in ("peak", "weight") for thing in THINGS]


@dataclass(frozen=True)
class Birds:
    """Where maps of words for birds and for water lie, over the photos."""

    rows: dict[str, list[Estimate]]  # by map: peak on the bird, on the water, weight on either
    right: Estimate  # of photos where both words point at their own thing
    told: Estimate  # where the word for the bird has more weight on it than that for water has
    each: list[tuple[str, str, str]]  # photo, where 'bird' and where 'water' points
    recipe: str

    def __str__(self) -> str:
        """Tables (Markdown) in percent."""
        table = intervals.table(
            ["map", *_COLUMNS],
            {name: [value.shown(100, 0) for value in row] for name, row in self.rows.items()},
        )
        photos = intervals.table(
            ["photo", "'bird' points at", "'water' points at"],
            {photo: [bird, water] for photo, bird, water in self.each},
        )
        both = f"both words on their own things: {self.right.shown(100, 0)} % of photos"
        told = f"'bird' lies more on the bird than 'water' does: {self.told.shown(100, 0)} %"
        return "\n\n".join([table, f"{both}; {told}", photos, self.recipe])


def measure(entries: Sequence[tuple[Asked, Sequence[Shown]]], bootstrap: int) -> Birds:
    """Measures maps of sentences that hold a word for the bird and one for the water each."""
    maps: dict[str, list[np.ndarray]] = {}
    each, right, told = [], [], []
    for asked, [shown] in entries:
        grid = (shown.maps.shape[1], shown.maps.shape[2])
        covers = [cover(asked.regions[thing], grid) for thing in THINGS]
        words = {thing: shown.maps[_place(asked, thing)].ravel() for thing in THINGS}
        own = {f"'{thing}'": words[thing] for thing in THINGS}
        own["caption's mean"] = shown.maps.mean(0).ravel()
        own["centre"] = pointing.baselines(grid)["centre"]
        found = {}
        for name, weights in own.items():
            judged = [pointing.judge(weights[None], covered)[0] for covered in covers]
            found[name] = np.array([one[0] for one in judged] + [one[1] for one in judged])
            maps.setdefault(name, []).append(found[name])
        at = [_named(found[f"'{thing}'"]) for thing in THINGS]
        each.append((asked.photo.path.name, *at))
        right.append(float(tuple(at) == THINGS))
        told.append(float(found["'bird'"][2] > found["'water'"][2]))
    owners = np.arange(len(entries))
    table = np.concatenate([np.stack(maps[name]) for name in maps], 1)
    ends = np.array([right, told]).T
    every = intervals.means(np.concatenate([table, ends], 1), owners, bootstrap)
    rows = {name: every[4 * number : 4 * number + 4] for number, name in enumerate(maps)}
    recipe = (
        f"{len(entries)} photos, a given caption each | grid {grid[0]}×{grid[1]} | percent | 95 % "
        f"intervals, {bootstrap} resamples of the photos"
    )
    return Birds(rows, every[-2], every[-1], each, recipe)  # type: ignore[arg-type]


def _place(asked: Asked, thing: str) -> int:
    return next(each.place for each in asked.mentions if thing in each.kinds)


def _named(judged: np.ndarray) -> str:
    """Where a map's peak lies."""
    hits = [thing for thing, hit in zip(THINGS, judged[:2], strict=True) if hit > 0.5]
    return " and ".join(hits) or "neither"


def asked_of(photos: Sequence[Photo], boxes: str | Path = BOXES) -> list[Asked]:
    """The photos with boxes, and of their captions the one that names both things.

    Raises:
        DataError: none of the captions holds the marked words, or one lacks one of them.
    """
    asked = marks.ask(photos, marks.read(boxes), regions.read(boxes))
    asked = sentences.sample(asked, len(asked), len(THINGS))
    for entry in asked:
        kinds = {kind for mention in entry.mentions for kind in mention.kinds}
        if kinds != {*THINGS} or len(entry.sentences) != 1:
            raise DataError(
                f"{entry.photo.path.name}: its caption marks {', '.join(sorted(kinds))}; expected "
                f"one caption that marks {' and '.join(THINGS)}"
            )
    return asked


def sheet(asked: Asked, shown: Shown, side: int = 300) -> Image.Image:
    """One photo, its two words' maps, and the caption below them."""
    photo = Image.open(asked.photo.path).convert("RGB").resize((side, side))
    places = [_place(asked, thing) for thing in THINGS]
    peak = shared_peak(shown.maps)
    tiles = [stacked([pictured(photo), paragraph("photo", font(18, REGULAR), MUTED, side)], 6)]
    for place in places:
        picture = draw_overlay(photo, shown.maps[place], peak=peak)
        tiles.append(
            stacked(
                [pictured(picture), paragraph(shown.words[place], font(18, BOLD), INK, side)], 6
            )
        )
    row = beside(tiles, 10)
    text = paragraph(" ".join(shown.words), font(18, REGULAR), INK, row.width)
    return framed(stacked([row, text], 8), 14).painted()


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints, and draws where that is wanted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", help="left out: the weights that come along")
    parser.add_argument("--captions", action="append", required=True, help="COCO captions")
    parser.add_argument("--images", action="append", required=True, help="their photos")
    parser.add_argument("--boxes", default=BOXES)
    parser.add_argument("--bootstrap", type=int, default=2000)
    parser.add_argument("--sheet", type=Path, metavar="FILE.webp")
    parser.add_argument("--photo", help="for the sheet: a photo's file name")
    typed = parser.parse_args(arguments)
    photos = [
        photo
        for captions, images in zip(typed.captions, typed.images, strict=True)
        for photo in datasets.read_coco(captions, images)
    ]
    captioner = Captioner.load(typed.checkpoint)
    found = sentences.explained(captioner, asked_of(photos, typed.boxes))
    entries = [entry for entry in found if not isinstance(entry, str)]
    print(measure(entries, typed.bootstrap))
    if typed.sheet:
        [(asked, [shown])] = [e for e in entries if e[0].photo.path.name == typed.photo]
        sheet(asked, shown).save(typed.sheet, "WEBP", quality=84, method=6)


if __name__ == "__main__":
    main()
