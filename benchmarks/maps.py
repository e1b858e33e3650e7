r"""Do the maps mean anything? What `captioner evaluate --maps` asks, at sizes that take minutes.

    python -m benchmarks.maps words --captions captions_val.json --images images -o runs/maps
    python -m benchmarks.maps pointing --captions captions_val.json --images images \
        --boxes person_boxes.json -o runs/maps
    python -m benchmarks.maps located … | controls … | inventions … | randomised … | carried …
    python -m benchmarks.maps seeds --other SECOND.safetensors --checkpoint FIRST.safetensors …
    python -m benchmarks.maps masking --source val.en --target val.de --to de

Each stage prints its table with its recipe and, with -o, writes it as JSON. `docs/maps.md` says
what came out.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from captioner import datasets, scenes
from captioner.captions.caption import Caption
from captioner.captions.captioner import Captioner
from captioner.datasets import Photo
from captioner.grounding import (
    carried,
    comparison,
    controls,
    inventions,
    marks,
    masking,
    pointing,
    regions,
    sentences,
)
from captioner.grounding.covering import Patches
from captioner.grounding.sentences import Asked
from captioner.grounding.synonyms import SYNONYMS, Namer, by_word, namer
from captioner.translations.pairs import read_pairs
from captioner.translations.recipe import PairSource
from captioner.translations.translator import Translator


def photos_of(typed: argparse.Namespace) -> list[Photo]:
    """The captioned photos, the first `--limit` of them."""
    photos = datasets.read_coco(typed.captions, typed.images)
    return photos[: typed.limit] if typed.limit else photos


def asked_of(typed: argparse.Namespace) -> list[Asked]:
    """The words that name something: with a region where there are boxes, else COCO's kinds."""
    if not typed.boxes:
        return sentences.ask(photos_of(typed), namer(SYNONYMS))
    found, marked = regions.read(typed.boxes), marks.read(typed.boxes)
    if marked:
        return marks.ask(photos_of(typed), marked, found)
    return sentences.ask(photos_of(typed), naming(found, typed.drawn), found)


def _loaded(typed: argparse.Namespace) -> Captioner:
    """The captioner of --checkpoint, which reads maps at --map-size."""
    return Captioner.load(typed.checkpoint, map_size=typed.map_size)


def naming(found: regions.Regions, drawn: bool) -> Namer:
    """How captions name the kinds of a file; the drawn world has words of its own."""
    if drawn:
        return by_word(scenes.kinds_of)
    return namer({kind for own in found.values() for kind in own})


def point(typed: argparse.Namespace) -> Any:
    """Pointing game and mass against four baselines, as published maps are judged."""
    captioner = _loaded(typed)
    return pointing.measure(sentences.explained(captioner, asked_of(typed)))


def randomise(typed: argparse.Namespace) -> Any:
    """The same with a part of the weights forgotten, and how alike the maps still are."""
    captioner = _loaded(typed)
    asked = sentences.sample(asked_of(typed), typed.photos, typed.words)
    own = [entry for entry in sentences.explained(captioner, asked) if not isinstance(entry, str)]
    found: dict[str, Any] = {"own": pointing.measure(own)}
    for part in controls.PARTS:
        other = controls.randomised(captioner, part)
        maps = [entry for entry in sentences.explained(other, asked) if not isinstance(entry, str)]
        found[part] = pointing.measure(maps)
        found[f"{part}, alike"] = controls.agreement(own, maps)
    return found


def seeds(typed: argparse.Namespace) -> Any:
    """How alike the maps are that two trainings of one recipe came to."""
    asked = asked_of(typed)
    one, other = [
        [entry for entry in sentences.explained(captioner, asked) if not isinstance(entry, str)]
        for captioner in (_loaded(typed), Captioner.load(typed.other, map_size=typed.map_size))
    ]
    found = {"one": pointing.measure(one), "other": pointing.measure(other)}
    return {**found, "alike": controls.agreement(one, other)}


def words(typed: argparse.Namespace) -> Any:
    """Attention beside gradient × input, Grad-CAM and occlusion; deletion and insertion."""
    asked = sentences.sample(asked_of(typed), typed.photos, typed.words)
    return comparison.compare(
        _loaded(typed),
        asked,
        patches=Patches(side=typed.side),
        shares=(0.05, 0.1, 0.2, 0.4),
        curves_of=typed.curves,
        second_fill=typed.second_fill,
        progress=_counter(len(asked)),
    )


def locate(typed: argparse.Namespace) -> Any:
    """Pointing alone, at difficult things: does another explanation know better where they are?"""
    captioner, asked = _loaded(typed), [difficult(e) for e in asked_of(typed)]
    return comparison.compare(
        captioner, [entry for entry in asked if entry.mentions], occlude=False
    )


def difficult(entry: Asked) -> Asked:
    """A photo with those of its words alone that name less than a quarter of it."""
    small = [
        mention
        for mention in entry.mentions
        if (own := [r for kind in mention.kinds for r in entry.regions.get(kind, ())])
        and regions.cover(own, (14, 14)).area < pointing.LARGE
    ]
    return dataclasses.replace(entry, mentions=tuple(small))


def control(typed: argparse.Namespace) -> Any:
    """What words lose with uniform maps, another photo's maps, another photo, and none."""
    asked = sentences.sample(asked_of(typed), typed.photos, typed.words)
    unseeing = Captioner.load(typed.other) if typed.other else None
    return controls.losses(_loaded(typed), asked, unseeing=unseeing)


def invent(typed: argparse.Namespace) -> Any:
    """Made-up words told from the others by probability, by map, and by both."""
    captioner, photos = _loaded(typed), photos_of(typed)
    kinds = {*SYNONYMS, *captioner.checkpoint.kinds}
    stream = captioner.stream([photo.path for photo in photos], alternatives=0, n_best=1)
    references = [photo.captions for photo in photos]
    said = inventions.said(stream, references, namer(kinds), _counter(len(photos)))
    return inventions.measure(said)


def carry(typed: argparse.Namespace) -> Any:
    """Whether the German word points where the English one does, and where the thing is."""
    captioner = _loaded(typed)
    asked = sentences.sample(asked_of(typed), typed.photos, typed.words)

    def captions() -> Iterator[tuple[Asked, list[Caption]]]:
        for entry in asked:
            look = captioner.look(entry.photo.path)
            told = [look.explain(" ".join(words), 1) for words in entry.sentences]
            yield entry, [captioner.translated(one, "de") for one in told]

    return carried.measure(captions())


def mask(typed: argparse.Namespace) -> Any:
    """What a translated word loses without the source word that its attention lies on."""
    files = PairSource(typed.source, typed.target, languages=("en", typed.to))
    pairs = read_pairs(files)[: typed.photos]
    texts = [(pair.source_text, pair.target_text) for pair in pairs]
    return masking.measure(
        Translator.load(typed.checkpoint),
        texts,
        to=typed.to,
        source_language="en",
        progress=_counter(len(texts)),
    )


def _counter(total: int) -> Callable[[int], object]:
    start, done = time.monotonic(), [0]

    def count(more: int) -> None:
        done[0] += more
        if done[0] % 10 < more:
            passed = time.monotonic() - start
            print(f"{done[0]}/{total} photos, {passed:.0f} s", file=sys.stderr, flush=True)

    return count


STAGES: dict[str, Callable[[argparse.Namespace], Any]] = {
    "pointing": point,
    "randomised": randomise,
    "seeds": seeds,
    "words": words,
    "located": locate,
    "controls": control,
    "inventions": invent,
    "carried": carry,
    "masking": mask,
}


def main(arguments: list[str] | None = None) -> None:
    """Runs a stage, prints what it found and keeps it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="left out: the weights that came along"
    )
    parser.add_argument(
        "--other",
        metavar="FILE",
        help="seeds: of another training; controls: of one that never saw photos",
    )
    parser.add_argument("--captions", metavar="FILE", help="COCO captions")
    parser.add_argument("--images", metavar="DIR", help="their photos")
    parser.add_argument("--boxes", metavar="FILE", help="COCO instances of these photos")
    parser.add_argument("--drawn", action="store_true", help="they are of the drawn world")
    parser.add_argument("--source", metavar="FILE", help="masking: English sentences")
    parser.add_argument("--target", metavar="FILE", help="masking: their translations")
    parser.add_argument("--to", default="de", help="masking: into this language (default: de)")
    parser.add_argument("--limit", type=int, help="only the first photos of the file")
    parser.add_argument("--map-size", type=int, help="pixels of the photo that maps are read from")
    parser.add_argument(
        "--photos", type=int, default=60, help="drawn for slow stages (default: 60)"
    )
    parser.add_argument("--words", type=int, default=1, help="of each of them (default: 1)")
    parser.add_argument("--side", type=int, default=3, help="of a patch, in sevenths (default: 3)")
    parser.add_argument("--curves", type=int, default=40, help="photos with curves (default: 40)")
    parser.add_argument("--second-fill", action="store_true", help="occlude by blur, too")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--name", help="of the result (default: the stage's)")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR")
    typed = parser.parse_args(arguments)
    if typed.stage == "seeds" and not (typed.checkpoint and typed.other):
        parser.error("seeds compares two trainings; name both: --checkpoint FILE --other FILE")
    torch.set_num_threads(typed.threads)
    found = STAGES[typed.stage](typed)
    several = found if isinstance(found, dict) else {"": found}
    for name, each in several.items():
        print(f"{name}\n{each}\n" if name else f"{each}\n")
    if typed.output:
        typed.output.mkdir(parents=True, exist_ok=True)
        path = typed.output / f"{typed.name or typed.stage}.json"
        plain = {name: each.to_dict() for name, each in several.items()}
        path.write_text(json.dumps(plain.get("", plain), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
