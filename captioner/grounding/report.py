"""All that is asked of a captioner's maps in one go, at sizes that a few minutes can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from captioner import scenes
from captioner.captions.captioner import Captioner
from captioner.datasets import Photo
from captioner.errors import DataError
from captioner.grounding import comparison, controls, figures, inventions, marks, pointing
from captioner.grounding import regions as areas
from captioner.grounding.comparison import Comparison
from captioner.grounding.controls import Losses
from captioner.grounding.inventions import Inventions
from captioner.grounding.pointing import Pointing
from captioner.grounding.sentences import (
    Asked,
    Shown,
    ask,
    ask_shown,
    explained,
    known,
    read_maps,
    sample,
)
from captioner.grounding.synonyms import SYNONYMS, Namer, by_word, namer
from captioner.options import RESAMPLES

PHOTOS = 40
"""Of so many photos a word each is compared with its pixels covered: a minute or two on a CPU."""

FIGURES = ("maps-pointing.png", "maps-curves.png", "maps-losses.png")


@dataclass(frozen=True)
class Maps:
    """What was found about a captioner's maps; what could not be asked is None."""

    pointing: Pointing | None  # where boxes or masks are known
    comparison: Comparison | None
    losses: Losses | None
    inventions: Inventions | None
    notes: tuple[str, ...]  # why something was not asked

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        names = ("pointing", "comparison", "losses", "inventions")
        parts = {name: getattr(self, name) for name in names}
        found = {name: None if part is None else part.to_dict() for name, part in parts.items()}
        return {**found, "notes": list(self.notes)}

    def __str__(self) -> str:
        """Tables (Markdown), each below its question."""
        asked = {
            "Do maps lie on what their words name? (percent)": self.pointing,
            "Do words hang on what their maps show?": self.comparison,
            "What is left with other maps, and without the photo?": self.losses,
            "Do maps tell made-up things?": self.inventions,
        }
        parts = [f"{question}\n\n{part}" for question, part in asked.items() if part is not None]
        return "\n\n".join([*parts, *self.notes])

    def draw(self) -> dict[str, Image.Image]:
        """The figures by their file names, `FIGURES`; those of what was not asked lack."""
        found = {}
        if self.pointing is not None:
            found[FIGURES[0]] = figures.draw_pointing(self.pointing)
        if self.comparison is not None:
            found[FIGURES[1]] = figures.draw_curves(self.comparison)
        if self.losses is not None:
            found[FIGURES[2]] = figures.draw_losses(self.losses)
        return found


def examine(
    captioner: Captioner,
    photos: Sequence[Photo],
    boxes: str | Path | None = None,
    *,
    sampled: int = PHOTOS,
    bootstrap: int = RESAMPLES,
    progress: Callable[[int], object] = lambda photos: None,
) -> Maps:
    """Asks everything that can be asked of a captioner's maps of given captions.

    Args:
        captioner: whose maps.
        photos: with given captions.
        boxes: a COCO instance file of these photos; without one, nothing is known of where things
            lie, and only words for COCO's kinds are asked about.
        sampled: photos whose pixels are covered, a word of each.
        bootstrap: resamples of the photos for the intervals; 0 leaves them out.
        progress: called with a number of photos when they are done for one of the questions.

    Raises:
        DataError: no caption names a thing that can be asked about, or no photo can be read.
    """
    asked = questions(photos, boxes)
    found = None
    if boxes is not None:
        found = pointing.measure(explained(captioner, asked), bootstrap=bootstrap)
        progress(len(asked))
    notes: list[str] = []
    told = known(asked, captioner.vocabulary)
    compared = lost = None
    if told:
        few = sample(told, sampled, 1)
        compared = comparison.compare(captioner, few, bootstrap=bootstrap, progress=progress)
    else:
        notes.append("other explanations: not asked, the vocabulary has none of the words")
    if len(asked) > 1:
        lost = controls.losses(captioner, sample(asked, 4 * sampled, 4), bootstrap=bootstrap)
    else:
        notes.append("another photo's maps: not asked, there is one photo only")
    made_up = None
    try:
        made_up = inventions.measure(_said(captioner, photos, progress), bootstrap=bootstrap)
    except DataError as error:
        notes.append(f"made-up things: {error}")
    return Maps(found, compared, lost, made_up, tuple(notes))


def _said(
    captioner: Captioner, photos: Sequence[Photo], progress: Callable[[int], object]
) -> list[inventions.Said]:
    """The words for things of the captioner's own captions."""
    kinds = {*SYNONYMS, *captioner.checkpoint.kinds}
    stream = captioner.stream([photo.path for photo in photos], alternatives=0, n_best=1)
    return inventions.said(stream, [photo.captions for photo in photos], namer(kinds), progress)


def work(photos: int, boxes: bool, sampled: int = PHOTOS) -> int:
    """How many photos `examine` tells its progress of, at most."""
    return (1 + boxes) * photos + min(sampled, photos)


def questions(photos: Sequence[Photo], boxes: str | Path | None) -> list[Asked]:
    """The words that are asked about: those that were marked with the boxes, or that name a kind.

    Raises:
        DataError: there is none, or the file of boxes is none.
    """
    if boxes is None:
        return ask(photos, namer(SYNONYMS))
    regions, marked = areas.read(boxes), marks.read(boxes)
    if marked:
        return marks.ask(photos, marked, regions)
    return ask(photos, naming(regions), regions)


def naming(regions: areas.Regions) -> Namer:
    """How captions name the kinds of a file: the drawn world's by its own words, else COCO's."""
    kinds = {kind for own in regions.values() for kind in own}
    if kinds and kinds <= set(scenes.KINDS) and not kinds <= set(SYNONYMS):
        return by_word(scenes.kinds_of)
    return namer(kinds)


def examine_file(maps: str | Path, boxes: str | Path, *, bootstrap: int = RESAMPLES) -> Pointing:
    """How well the maps of a JSONL file, of any model, lie on what their words name.

    Raises:
        DataError: a file is none, or no sentence names a thing that has a box.
    """
    shown, wrong = read_maps(maps)
    regions = areas.read(boxes)
    entries: list[tuple[Asked, Sequence[Shown]] | str] = [*wrong]
    entries += ask_shown(shown, naming(regions), regions)
    return pointing.measure(entries, bootstrap=bootstrap)
