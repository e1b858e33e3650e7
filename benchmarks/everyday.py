r"""How well a translator speaks everyday words: scores, wrong languages, speed, what it says.

    python data/prepare_everyday.py DIR -o runs/data/everyday
    pip install py3langid
    python -m benchmarks.everyday --checkpoint runs/everyday/best.safetensors \
        --against checkpoints/translate.safetensors -o runs/everyday/measured

In the output's folder: everyday.md, everyday.json, and the heat maps of the sentences that are
looked at. The wrong language is judged by py3langid, which decoding does not use.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioner.languages import Direction
from captioner.translations.evaluation import evaluate_translations
from captioner.translations.pairs import Pair, read_pairs
from captioner.translations.recipe import PairSource
from captioner.translations.translator import Translator

Judge = Callable[[str], str]  # a text → its language

LOOKED_AT = (  # source, from, to, what the textbook says
    ("I am a student.", "en", "fr", "Je suis étudiant."),
    ("Je suis étudiant.", "fr", "en", "I am a student."),
    ("We are eating bread.", "en", "es", "Estamos comiendo pan."),
    ("Today, Charles gave an apple to Bora.", "en", "ko", "오늘 찰스는 보라에게 사과를 주었다."),
)
READ, SEED = 10, 6  # sentences of a direction that a person reads, and the seed that draws them
JUDGED, WORDS = 200, 4  # sentences whose language is judged, and how long they are at least
TIMED = 100  # sentences of a direction whose time is taken


@dataclass(frozen=True)
class Test:
    """A set apart: everyday, captions or multi30k, of one direction."""

    kind: str
    direction: Direction
    pairs: list[Pair]

    @property
    def name(self) -> str:
        """As its files are called."""
        return f"{self.kind}.{'-'.join(self.direction)}"


def read_tests(folder: Path, spoken: Sequence[Direction]) -> list[Test]:
    """The tests of the directions that are spoken, in the order of their names."""
    tests = []
    for file in sorted(folder.glob("*.*-*.*")):
        kind, way, end = file.name.split(".")
        one, other = way.split("-")
        if end == one and (one, other) in spoken:
            target = str(file.with_name(f"{kind}.{way}.{other}"))
            source = PairSource(str(file), target, languages=(one, other))
            tests.append(Test(kind, (one, other), read_pairs(source)))
    return tests


def wrong_language(
    said: Iterable[str], sources: Iterable[str], language: str, judge: Judge
) -> tuple[list[str], int]:
    """Answers that a judge takes for another language, and how many were judged.

    The first answers to sentences of four words and more; shorter ones are anybody's guess.
    """
    long = [
        text for text, source in zip(said, sources, strict=True) if len(source.split()) >= WORDS
    ][:JUDGED]
    return [text for text in long if judge(text) != language], len(long)


def py3langid_judge(languages: Sequence[str]) -> Judge:
    """py3langid, which chooses among the languages of the checkpoint."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(list(languages))
    return lambda text: str(identifier.classify(text)[0])


def ratio_of_speeds(
    one: Translator, other: Translator, tests: Sequence[Test], rounds: int
) -> list[float]:
    """Sentences a second of one as a multiple of the other's, round by round, in turns.

    Processor time, so that what else the machine does does not count; on the same sentences of
    the directions that both speak.
    """

    def seconds(translator: Translator) -> float:
        began = time.process_time()
        for test in tests:
            source, target = test.direction
            texts = [pair.source_text for pair in test.pairs[:TIMED]]
            list(translator.stream(texts, to=target, source_language=source, alternatives=0))
        return time.process_time() - began

    seconds(one), seconds(other)  # what is slow the first time
    return [seconds(other) / seconds(one) for _ in range(rounds)]


def measure(test: Test, translator: Translator, judge: Judge | None) -> dict[str, Any]:
    """Scores, wrong languages and sentences to read of one direction."""
    report = evaluate_translations(translator, test.pairs)
    said = [found.text for found in report.translations]
    sources = [pair.source_text for pair in test.pairs]
    found: dict[str, Any] = {
        "test": test.name,
        "sentences": len(said),
        "scores": {name: score.to_dict() for name, score in report.scores.items()},
        "warned": sum(one.warning is not None for one in report.translations),
        "read": [
            {
                "source": test.pairs[n].source_text,
                "references": list(test.pairs[n].references),
                "translation": said[n],
                "warning": report.translations[n].warning,
            }
            for n in sorted(random.Random(SEED).sample(range(len(said)), min(READ, len(said))))
        ],
    }
    if judge is not None:
        wrong, judged = wrong_language(said, sources, test.direction[1], judge)
        found |= {"judged": judged, "wrong language": wrong}
    return found


def looked_at(translator: Translator, output: Path) -> list[dict[str, Any]]:
    """The sentences that are looked at, each with its heat map in the folder."""
    found = []
    for number, (text, one, other, textbook) in enumerate(LOOKED_AT, 1):
        if (one, other) not in translator.languages.directions:
            continue
        said = translator(text, to=other, source_language=one)
        said.heatmap().save(output / f"heatmap-{number}-{one}-{other}.png")
        found.append(
            {
                "source": text,
                "translation": said.text,
                "textbook": textbook,
                "warning": said.warning,
                "alignment": said.pharaoh(),
            }
        )
    return found


def table(record: Mapping[str, Any]) -> str:
    """What was measured, in Markdown."""
    lines = ["| test | sentences | BLEU, Moses | sacreBLEU | chrF2 | wrong language | warned |"]
    lines.append("|---|---|---|---|---|---|---|")
    for one in record["tests"]:
        scores = " | ".join(map(_shown, one["scores"].values()))
        wrong = f"{len(one['wrong language'])} of {one['judged']}" if "judged" in one else ""
        lines.append(
            f"| {one['test']} | {one['sentences']} | {scores} | {wrong} | {one['warned']} |"
        )
    recipes = {s["recipe"] for one in record["tests"] for s in one["scores"].values()}
    lines += ["", "Signatures:", "", *(f"- {recipe}" for recipe in sorted(recipes))]
    if record["speed"]:
        rounds = ", ".join(f"{ratio:.2f}" for ratio in record["speed"])
        lines += ["", f"Sentences a second as a multiple of the other checkpoint's: {rounds}"]
    lines += ["", "## Sentences that are looked at", ""]
    for one in record["looked at"]:
        lines.append(f"- {one['source']} → {one['translation']} (textbook: {one['textbook']})")
    for one in record["tests"]:
        lines += ["", f"## {one['test']}", ""]
        for row in one["read"]:
            lines.append(f"- {row['source']} → {row['translation']} ({row['references'][0]})")
    return "\n".join(lines) + "\n"


def _shown(score: Mapping[str, Any]) -> str:
    if score["value"] is None:
        return "–"
    low, high = score["interval"]
    return f"{100 * score['value']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def main() -> None:
    """Measures, and writes what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--against", help="checkpoint whose speed is compared")
    parser.add_argument("--tests", type=Path, default=Path("runs/data/everyday/test"))
    parser.add_argument("--only", help="tests whose names begin so, such as everyday.en-")
    parser.add_argument("--rounds", type=int, default=3, help="of the comparison of speeds")
    parser.add_argument("--no-judge", action="store_true", help="without py3langid")
    parser.add_argument("-o", "--output", type=Path, required=True)
    typed = parser.parse_args()
    translator = Translator.load(typed.checkpoint)
    judge = None if typed.no_judge else py3langid_judge(translator.languages.names)
    tests = read_tests(typed.tests, translator.languages.directions)
    tests = [test for test in tests if test.name.startswith(typed.only or "")]
    typed.output.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"tests": [], "speed": [], "looked at": []}
    for test in tests:
        record["tests"].append(measure(test, translator, judge))
        print(table({**record, "tests": record["tests"][-1:]}).splitlines()[2])
    record["looked at"] = looked_at(translator, typed.output)
    if typed.against:
        other = Translator.load(typed.against)
        both = [test for test in tests if test.direction in other.languages.directions]
        record["speed"] = ratio_of_speeds(translator, other, both, typed.rounds)
    (typed.output / "everyday.json").write_text(
        json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    (typed.output / "everyday.md").write_text(table(record), encoding="utf-8")


if __name__ == "__main__":
    main()
