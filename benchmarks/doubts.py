"""How often an answer gets a warning: in another language than the wanted one, and in it.

    python -m benchmarks.doubts --to de de=eng-deu.tsv fr=eng-fra.tsv

Each file holds English sentences and, behind a tab, their translations into the language before the
`=`. People's sentences of known languages stand in for the answer: those in the wanted language
should get no warning, the others and the English ones should. The last line is about real answers.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from captioner.translations.translator import Translator

ENGLISH = "en"


def main() -> None:
    """Prints a line for each language that an answer may be in."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", metavar="LANGUAGE=FILE.tsv")
    parser.add_argument("--to", required=True, metavar="LANGUAGE", help="that was asked for")
    parser.add_argument("--checkpoint", metavar="FILE")
    parser.add_argument("--words", type=int, nargs=2, default=(3, 8), metavar="N", help="of each")
    parser.add_argument("--pairs", type=int, default=2000, metavar="N", help="drawn of each file")
    parser.add_argument(
        "--answers", type=int, default=200, metavar="N", help="sentences translated"
    )
    typed = parser.parse_args()
    translator = Translator.load(typed.checkpoint)
    sets = {}
    for file in typed.files:
        language, _, path = file.partition("=")
        sets[language] = drawn(Path(path), typed.words, typed.pairs)
    english = [source for source, _ in next(iter(sets.values()))]
    sets[ENGLISH] = [(source, source) for source in english]
    for language, pairs in sets.items():
        told = sum(doubted(translator, *pair, typed.to) for pair in pairs)
        print(f"wanted {typed.to}, is {language}: told {told} of {len(pairs)}")
    answers = translator.stream(
        english[: typed.answers], to=typed.to, source_language=ENGLISH, alternatives=0
    )
    told = sum(answer.warning is not None for answer in answers)
    print(f"wanted {typed.to}, translated: told {told} of {min(typed.answers, len(english))}")


def drawn(path: Path, words: tuple[int, int], count: int) -> list[tuple[str, str]]:
    """Pairs of sentences with so many words on both sides."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [(one, other) for one, other, *_ in (line.split("\t") for line in lines)]
    kept = [p for p in pairs if all(words[0] <= len(text.split()) <= words[1] for text in p)]
    random.Random(5).shuffle(kept)
    return kept[:count]


def doubted(translator: Translator, source: str, answer: str, to: str) -> bool:
    """Whether an answer to an English sentence would get a warning."""
    line = translator.reader.read(source, to, ENGLISH)
    return (
        translator.reader.answer_warning(line, translator.subwords.encode(answer), to) is not None
    )


if __name__ == "__main__":
    main()
