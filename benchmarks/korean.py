r"""Captions in Korean: written at once, or in English and then translated; which are better?

On photos apart from both, by chrF2 against what was written of each photo, with a paired bootstrap,
and by a person who reads some of each side without knowing which is which.

    python -m benchmarks.korean --direct runs/korean-captions/best.safetensors \
        --translator runs/everyday/best.safetensors --images DIR \
        --captions runs/data/everyday/korean-captions-test.json -o runs/korean-compared
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from captioner import datasets
from captioner.captions.captioner import Captioner
from captioner.captions.recipe import Source
from captioner.chrf import chrf_counts, chrf_values
from captioner.metrics import resample
from captioner.translations.translator import Translator

READ, SEED, RESAMPLES = 50, 6, 1000  # photos that a person reads, what draws them, of the bootstrap


def compare(
    one: Sequence[str], other: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """chrF2 of both sides, and how much better the first is, with an interval of 95 %.

    Args:
        one: a caption of each photo.
        other: the other side's.
        references: what was written of each.
    """
    counts = [
        np.array([chrf_counts(text, own) for text, own in zip(said, references, strict=True)])
        for said in (one, other)
    ]
    values = [float(chrf_values(own.sum(0))) for own in counts]
    drawn = [chrf_values(resample(own, RESAMPLES, seed=0)) for own in counts]  # the same photos
    low, high = np.quantile(drawn[0] - drawn[1], (0.025, 0.975)).tolist()
    return {
        "photos": len(one),
        "chrf2": values,
        "difference": values[0] - values[1],
        "interval": [low, high],
    }


def blind(
    names: Sequence[str], one: Sequence[str], other: Sequence[str]
) -> tuple[list[dict[str, str]], list[str]]:
    """Photos to be read, each with captions `a` and `b` in an order drawn anew, and the key.

    The key says of each photo which side `a` is: direct, translated.
    """
    rng = random.Random(SEED)
    chosen = sorted(rng.sample(range(len(names)), min(READ, len(names))))
    rows, key = [], []
    for number in chosen:
        turned = rng.random() < 0.5
        first, second = (other, one) if turned else (one, other)
        rows.append({"photo": names[number], "a": first[number], "b": second[number]})
        key.append("translated" if turned else "direct")
    return rows, key


def main() -> None:
    """Captions the photos in both ways and writes what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--direct", required=True, help="captioner that learned from Korean")
    parser.add_argument(
        "--captioner", help="captioner that speaks English; the one that came along"
    )
    parser.add_argument("--translator", required=True, help="from English to Korean")
    parser.add_argument("--captions", required=True, help="COCO captions in Korean")
    parser.add_argument("--images", required=True, help="folder that their names begin in")
    parser.add_argument("-o", "--output", type=Path, required=True)
    typed = parser.parse_args()
    photos = datasets.read(Source(captions=typed.captions, images=typed.images))
    paths = [photo.path for photo in photos]
    direct = [found.text for found in Captioner.load(typed.direct).stream(paths)]
    english = Captioner.load(typed.captioner) if typed.captioner else Captioner.load()
    written = [found.text for found in english.stream(paths)]
    stream = Translator.load(typed.translator).stream(written, to="ko", source_language="en")
    translated = [found.text for found in stream]
    found = compare(direct, translated, [photo.captions for photo in photos])
    rows, key = blind([path.name for path in paths], direct, translated)
    typed.output.mkdir(parents=True, exist_ok=True)
    for name, values in (("scores", found), ("blind", rows), ("key", key)):
        text = json.dumps(values, ensure_ascii=False, indent=1)
        (typed.output / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
    low, high = found["interval"]
    print(
        f"chrF2 direct {100 * found['chrf2'][0]:.1f}, translated {100 * found['chrf2'][1]:.1f}, "
        f"difference {100 * found['difference']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
    )


if __name__ == "__main__":
    main()
