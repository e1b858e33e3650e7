"""Boxes for what captions name, from what a captioner's own classifier sees cell by cell.

Each photo is enlarged to twice what the captioner sees, so that the classifier (of ImageNet's
kinds) judges small things too, and asked of every cell what it shows. Where a caption names a kind
and some cell is sure enough of it, the cells that agree become its boxes. No person drew anything,
and nobody checked: they are for teaching attention, not for judging it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
if (ROOT / "captioner" / "grounding").is_dir():  # in a checkout: the package beside this script
    sys.path.insert(0, str(ROOT))

from captioner import boxes, datasets  # noqa: E402  (after the path above)
from captioner.bars import bar  # noqa: E402
from captioner.captions.captioner import Captioner  # noqa: E402
from captioner.datasets import Photo  # noqa: E402
from captioner.errors import CaptionerError, DataError, ImageError  # noqa: E402
from captioner.grounding.synonyms import namer  # noqa: E402
from captioner.nn.encoders import ImageEncoder, normalise  # noqa: E402
from captioner.outputs import write_text  # noqa: E402
from captioner.pictures.open import open_photo  # noqa: E402
from captioner.pictures.preprocess import Preprocess  # noqa: E402
from captioner.runtimes import layers, library  # noqa: E402
from captioner.text import tokenise  # noqa: E402

EXAMPLE = """\
example:
  python data/box_kinds.py runs/data/coco-part/captions_train.json runs/data/coco-part/images \\
    --also runs/data/coco-part/person_boxes.json -o runs/data/coco-part/kinds.json
"""
ENLARGED = 2  # times the side of the photos that the captioner sees
SURE = 0.3  # probability of a kind in some cell, from which on it is boxed
AGREE = 1 / 3  # of the surest cell's probability, from which on a cell belongs to a box
_AT_ONCE = 8  # photos


class Seeing:
    """What a captioner's classifier sees in every cell of an enlarged photo."""

    def __init__(self, captioner: Captioner, threads: int) -> None:
        """Builds what computes it.

        Raises:
            DataError: the checkpoint has no classifier whose kinds have words.
        """
        encoder = captioner.model.encoder
        kinds = captioner.checkpoint.kinds
        if encoder.classifier is None or not kinds:
            raise DataError("the checkpoint has no classifier with words for its kinds")
        self.preprocess = replace(captioner.preprocess, size=ENLARGED * captioner.preprocess.size)
        self.classifier = encoder.classifier
        self.words = sorted({*kinds})
        self.groups = torch.tensor([self.words.index(kind) for kind in kinds])
        self.maps = _maps(encoder, self.preprocess, threads)

    @torch.no_grad()
    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities (B, words, h, w) of photos (B, 3, S, S)."""
        coarse = self.maps(pixels).permute(0, 2, 3, 1)  # (B, h, w, C)
        probs = self.classifier(coarse).softmax(-1)
        sums = probs.new_zeros(*probs.shape[:-1], len(self.words))
        sums.index_add_(-1, self.groups, probs)
        each: NDArray[np.float32] = sums.permute(0, 3, 1, 2).numpy()
        return each


def _maps(
    encoder: ImageEncoder, preprocess: Preprocess, threads: int
) -> Callable[[NDArray[np.uint8]], Tensor]:
    """The CNN's last feature maps (B, C, h, w) of photos (B, 3, S, S), by a graph where one can."""
    mean, std = preprocess.mean, preprocess.std
    if not library.is_installed():
        return lambda pixels: encoder.features(normalise(torch.from_numpy(pixels), mean, std))
    side = preprocess.size
    photos = library.operations().parameter([-1, 3, side, side], np.float32, name="photos")
    found = layers.converted(encoder.features, photos)
    graph = library.compiled([found], [photos], library.precision(), threads)

    def computed(pixels: NDArray[np.uint8]) -> Tensor:
        given = normalise(torch.from_numpy(pixels), mean, std)
        return torch.from_numpy(graph([given.numpy()])[0])

    return computed


def boxed(probs: NDArray[np.float32]) -> list[boxes.Box]:
    """The boxes of one kind, from its probability in each cell (h, w); none where it is not seen.

    A box goes round cells that touch and of which each is sure enough, one of them surely.
    """
    rows, columns = probs.shape
    if probs.max() < SURE:
        return []
    left = {(int(y), int(x)) for y, x in np.argwhere(probs >= AGREE * probs.max())}
    found = []
    while left:
        front = [left.pop()]
        patch = []
        while front:
            y, x = front.pop()
            patch.append((y, x))
            near = {(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)} & left
            left -= near
            front += near
        if max(probs[cell] for cell in patch) >= SURE:
            (top, start), (bottom, end) = np.min(patch, 0), np.max(patch, 0) + 1
            width, height = (end - start) / columns, (bottom - top) / rows
            found.append((start / columns, top / rows, width, height))
    return sorted(found)


def seen(
    photos: Sequence[Photo], seeing: Seeing, tell: Callable[[str], object]
) -> Iterator[tuple[Photo, dict[str, list[boxes.Box]]]]:
    """Each photo with the boxes of the kinds that its captions name."""
    named = namer(seeing.words)
    numbers = {word: number for number, word in enumerate(seeing.words)}

    def pixels(photo: Photo) -> NDArray[np.uint8] | None:
        try:
            picture = open_photo(photo.path, side=seeing.preprocess.size)
        except ImageError as error:
            tell(str(error))
            return None
        return seeing.preprocess.pixels(picture)

    with bar(total=len(photos), desc="boxes", unit="photo", disable=None) as progress:
        for start in range(0, len(photos), _AT_ONCE):
            batch = photos[start : start + _AT_ONCE]
            opened = [(photo, own) for photo in batch if (own := pixels(photo)) is not None]
            several = seeing(np.stack([own for _, own in opened])) if opened else ()
            for (photo, _), probs in zip(opened, several, strict=True):
                said = (tokenise(caption) for caption in photo.captions)
                kinds = {kind for words in said for _, own in named(words) for kind in own}
                each = {kind: boxed(probs[numbers[kind]]) for kind in sorted(kinds)}
                yield photo, {kind: own for kind, own in each.items() if own}
            progress.update(len(batch))


def document(
    found: Sequence[tuple[Photo, Mapping[str, Sequence[boxes.Box]]]], side: int
) -> dict[str, Any]:
    """COCO's instance format; its pixels are those of the squashed photo."""
    kinds = sorted({kind for _, things in found for kind in things})
    numbers = {kind: number for number, kind in enumerate(kinds, 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image, (photo, things) in enumerate(found, 1):
        images.append({"id": image, "file_name": photo.path.name, "width": side, "height": side})
        for kind, several in things.items():
            for box in several:
                corners = [round(side * value, 1) for value in box]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image,
                        "category_id": numbers[kind],
                        "bbox": corners,
                        "area": round(corners[2] * corners[3], 1),
                        "iscrowd": 0,
                    }
                )
    return {
        "info": {"description": "boxes of what captions name, by a classifier, cell by cell"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": kind} for kind, number in numbers.items()],
    }


def merged(
    things: Mapping[str, Sequence[boxes.Box]], drawn: Mapping[str, Sequence[boxes.Box]]
) -> dict[str, list[boxes.Box]]:
    """The boxes of both; of a kind that somebody drew, those alone."""
    return {kind: list(own) for kind, own in {**things, **drawn}.items()}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("captions", type=Path, help="COCO captions")
    parser.add_argument("images", type=Path, help="folder of their photos")
    parser.add_argument("-o", "--output", type=Path, required=True, help="file to write to")
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="left out: the weights that came along"
    )
    parser.add_argument(
        "--also",
        type=Path,
        metavar="FILE",
        help="boxes that people drew (COCO instances) go in too",
    )
    parser.add_argument("--threads", type=int, default=1, help="to compute with (default: 1)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Writes the file; returns 0, or 2 where the input is not what it should be."""
    typed = parse(arguments)
    torch.set_num_threads(typed.threads)
    try:
        photos = datasets.read_coco(typed.captions, typed.images)
        drawn = boxes.read(typed.also) if typed.also else {}
        seeing = Seeing(Captioner.load(typed.checkpoint), typed.threads)
        found = [
            (photo, merged(things, drawn.get(photo.photo_id, {})))
            for photo, things in seen(photos, seeing, lambda line: print(line, file=sys.stderr))
        ]
        made = document(found, seeing.preprocess.size)
        write_text(typed.output, json.dumps(made, ensure_ascii=False) + "\n")
    except CaptionerError as error:
        print(f"box_kinds.py: {error}", file=sys.stderr)
        return 2
    print(
        f"{typed.output}: {len(made['annotations'])} boxes of {len(made['categories'])} kinds on "
        f"{sum(bool(things) for _, things in found)} of {len(photos)} photos"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
