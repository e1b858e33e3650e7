r"""Does a translator use the order of the words? It reads the same words in another one.

    python -m benchmarks.order \
        runs/study-family-translations/{transformer,general-after}-?.safetensors \
        runs/study-positions/{sinusoid,none,none-in-decoder,none-in-encoder}-1.safetensors \
        --source runs/data/multi30k/val.en --target runs/data/multi30k/val.de \
        --from en --to de --count 100 -o docs/positions/order.md

A translator that reads a source as a bag of words says the same of both, whatever it scores; one
that uses the order loses what the order told it. The words between spaces are put in an order that
is drawn from the seed, letter by letter as they are, and what ends the sentence stays at its end.
Checkpoints that differ in the number behind their name alone, as a study's seeds do, are one row:
the mean over them.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from captioner import intervals
from captioner.outputs import write_text
from captioner.translations.evaluation import TranslationEvaluation
from captioner.translations.pairs import Pair, read_pairs
from captioner.translations.recipe import PairSource
from captioner.translations.translator import Translator

_END = re.compile(r"[.!?…]*$")  # what ends a sentence


@dataclass(frozen=True)
class Found:
    """What a translator made of both."""

    ordered: float  # BLEU
    shuffled: float
    same: float  # share of the sentences whose translation is the same, letter by letter


def shuffled(text: str, seed: int) -> str:
    """The words of a sentence in an order that is drawn for this sentence and seed."""
    end = _END.search(text)
    assert end is not None
    words = text[: end.start()].split()
    random.Random(f"{seed} {text}").shuffle(words)
    return " ".join(words) + end.group()


def measure(translator: Translator, pairs: Sequence[Pair], seed: int) -> Found:
    """BLEU of both, and how often what is said does not depend on the order."""
    others = [replace(pair, source_text=shuffled(pair.source_text, seed)) for pair in pairs]
    reports = [TranslationEvaluation(translator, each).run(bootstrap=0) for each in (pairs, others)]
    said = [[answer.text for answer in report.answers] for report in reports]
    same = float(np.mean([one == other for one, other in zip(*said, strict=True)]))
    ordered, mixed = (report.scores["bleu"].value for report in reports)
    return Found(ordered, mixed, same)


def table(found: dict[str, list[Found]]) -> str:
    """Markdown, a row a variant."""
    heads = ["translator", "seeds", "BLEU", "words in another order", "said alike"]
    rows = {
        name: [
            str(len(own)),
            *(f"{np.mean(v):.3f}" for v in ([f.ordered for f in own], [f.shuffled for f in own])),
            f"{np.mean([f.same for f in own]):.0%}",
        ]
        for name, own in found.items()
    }
    return intervals.table(heads, rows)


def main(arguments: list[str] | None = None) -> None:
    """Asks, prints the table, and writes it where that is wanted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoints", nargs="+", type=Path, metavar="FILE", help="translators")
    parser.add_argument("--source", required=True, metavar="FILE", help="sentences")
    parser.add_argument("--target", required=True, metavar="FILE", help="their translations")
    parser.add_argument("--from", dest="source_language", required=True, metavar="LANGUAGE")
    parser.add_argument("--to", dest="target_language", required=True, metavar="LANGUAGE")
    parser.add_argument("--count", type=int, default=200, help="of the first ones (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the other order (default: 0)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.md")
    typed = parser.parse_args(arguments)
    languages = (typed.source_language, typed.target_language)
    pairs = read_pairs(PairSource(source=typed.source, target=typed.target, languages=languages))
    found: dict[str, list[Found]] = {}
    for path in typed.checkpoints:
        own = measure(Translator.load(path), pairs[: typed.count], typed.seed)
        found.setdefault(re.sub(r"-\d+$", "", path.stem), []).append(own)
        print(f"{path.stem}: {own.ordered:.3f}, {own.shuffled:.3f}, {own.same:.0%}", flush=True)
    text = table(found)
    print(f"\n{text}")
    if typed.output:
        write_text(typed.output, f"# Words in another order\n\n{text}\n")


if __name__ == "__main__":
    main()
