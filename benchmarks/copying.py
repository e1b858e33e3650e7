r"""Can it say a word that no caption held? Copying, measured on kinds that training leaves out.

As Hendricks et al. 2016 ("Deep Compositional Captioning"), §4.1, and Yao et al. 2017 (LSTM-C),
§4.2, do: all photos whose captions say one of some kinds are left out of training; afterwards,
the captions of just these photos and of as many others tell for each kind how often it is named
where people named it (F1). The words come from the classifier alone.

    python -m benchmarks.copying prepare --captions A.json B.json -o runs/unseen
    captioner train RECIPE --data.train.0.captions runs/unseen/train_0.json … --model.copy.things 5
    python -m benchmarks.copying score --checkpoint BEST --captions runs/unseen/test_*.json \
        --images a/ b/
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from captioner import datasets
from captioner.captions.caption import Caption
from captioner.captions.captioner import Captioner
from captioner.captions.recipe import Source
from captioner.metrics import meteor
from captioner.text import tokenise

KINDS = ("bottle", "bus", "couch", "microwave", "pizza", "racket", "zebra")

_LETTERS = re.compile(r"[a-z]+")


def named(captions: Iterable[str], kinds: Sequence[str] = KINDS) -> set[str]:
    """The kinds that captions say, in the singular or the plural."""
    words = {word for caption in captions for word in _LETTERS.findall(caption.lower())}
    return {kind for kind in kinds if words & {kind, f"{kind}s", f"{kind}es"}}


def f1(said: Sequence[set[str]], meant: Sequence[set[str]], kind: str) -> float:
    """F1 of naming a kind, photo by photo; 0 where it is never said."""
    hits = sum(kind in s and kind in m for s, m in zip(said, meant, strict=True))
    told, there = sum(kind in s for s in said), sum(kind in m for m in meant)
    return 2 * hits / (told + there) if told + there else 0.0


def split(document: Mapping[str, Any], others: int, seed: int) -> tuple[Any, Any]:
    """A COCO captions file without the photos that name a kind, and what it is tested on.

    Args:
        document: COCO captions.
        others: photos that name no kind and are set apart, too.
        seed: of their draw.
    """
    captions: dict[Any, list[str]] = {}
    for entry in document["annotations"]:
        captions.setdefault(entry["image_id"], []).append(entry["caption"])
    kinds = {photo: named(own) for photo, own in captions.items()}
    plain = sorted(photo for photo, own in kinds.items() if not own)
    apart = set(random.Random(seed).sample(plain, min(others, len(plain) // 4)))
    apart |= {photo for photo, own in kinds.items() if own}
    return _part(document, set(captions) - apart), _part(document, apart)


def _part(document: Mapping[str, Any], photos: set[Any]) -> dict[str, Any]:
    return {
        "images": [image for image in document["images"] if image["id"] in photos],
        "annotations": [a for a in document["annotations"] if a["image_id"] in photos],
    }


def prepare(typed: argparse.Namespace) -> None:
    """Writes the training and the test captions of every file."""
    typed.output.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(typed.captions):
        parts = split(json.loads(path.read_text(encoding="utf-8")), typed.others, seed=number)
        for name, part in zip(("train", "test"), parts, strict=True):
            file = typed.output / f"{name}_{number}.json"
            file.write_text(json.dumps(part), encoding="utf-8")
            print(f"{file}: {len(part['images'])} photos, {len(part['annotations'])} captions")


def score(typed: argparse.Namespace) -> None:
    """Prints F1 of each kind, their mean, METEOR, and what was copied rightly."""
    captioner = Captioner.load(typed.checkpoint)
    photos = [
        photo
        for captions, images in zip(typed.captions, typed.images, strict=True)
        for photo in datasets.read(Source(captions=str(captions), images=str(images)))
    ]
    settings: dict[str, Any] = {"beam_size": 5, "length_penalty": 1.0, "repeats": False}
    found = list(captioner.stream([p.path for p in photos], alternatives=0, **settings))
    said = [named([caption.text]) for caption in found]
    meant = [named(photo.captions) for photo in photos]
    scores = {kind: f1(said, meant, kind) for kind in KINDS}
    for kind, value in scores.items():
        there = sum(kind in own for own in meant)
        print(
            f"{kind:<10} F1 {100 * value:5.1f}   said of {sum(kind in s for s in said):4} "
            f"photos, meant of {there}"
        )
    print(f"{'mean':<10} F1 {100 * sum(scores.values()) / len(scores):5.1f}")
    naming = [n for n, own in enumerate(meant) if own]
    tokens = [tokenise(found[n].text) for n in naming]
    value, _ = meteor(tokens, [[tokenise(c) for c in photos[n].captions] for n in naming])
    print(f"METEOR {100 * value:.1f} on the {len(naming)} photos that name one of them")
    right, copied = copied_rightly(found, [photo.captions for photo in photos])
    if copied:
        print(f"copied words: {copied}, said by a reference {100 * right / copied:.1f} %")


def copied_rightly(
    found: Sequence[Caption], references: Sequence[Sequence[str]]
) -> tuple[int, int]:
    """How many copied words a reference says, final s apart, and how many were copied."""
    right = copied = 0
    for caption, own in zip(found, references, strict=True):
        words = {w.removesuffix("s") for text in own for w in _LETTERS.findall(text.lower())}
        for word in caption.words:
            if word.copied:
                copied += 1
                right += word.text.lower().removesuffix("s") in words
    return right, copied


def main() -> None:
    """Prepares the data, or scores a checkpoint."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("prepare", help="cut the kinds out of captions files")
    one.add_argument("--captions", nargs="+", type=Path, required=True)
    one.add_argument("--others", type=int, default=150, help="photos without them, of each file")
    one.add_argument("-o", "--output", type=Path, required=True)
    one.set_defaults(run=prepare)
    two = commands.add_parser("score", help="caption the photos that were left out")
    two.add_argument("--checkpoint", required=True)
    two.add_argument("--captions", nargs="+", type=Path, required=True)
    two.add_argument("--images", nargs="+", type=Path, required=True, help="their folders")
    two.set_defaults(run=score)
    typed = parser.parse_args()
    typed.run(typed)


if __name__ == "__main__":
    main()
