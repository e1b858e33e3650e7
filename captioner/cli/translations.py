"""`captioner translate`: sentences in; lines, objects and a heat map out."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from captioner.cli.display import one_line
from captioner.cli.models import load_translator
from captioner.cli.results import Results
from captioner.cli.settings import check_decoding, descriptor, given
from captioner.config import SearchOptions
from captioner.errors import ConfigError
from captioner.outputs import DRAWING, Guard, draw

if TYPE_CHECKING:
    from captioner.translation import Translation


def translate(arguments: argparse.Namespace) -> int:
    """Translates a sentence or the lines of a file; returns how many failed."""
    check_decoding(arguments)
    typed = " ".join(arguments.sentence)
    file = "-" if typed == "-" else arguments.input
    _check_input(arguments, typed, file)
    lines = _Lines(file) if file else None
    languages: Counter[str] = Counter()
    guard = Guard([descriptor(file), arguments.checkpoint], arguments.overwrite)
    _check_drawing(arguments.alignment, guard)
    with Results(arguments.jsonl, "line", None if lines else 1, guard) as results:
        stream = load_translator(arguments).stream(
            lines or [typed],
            to=arguments.to,
            source_language=arguments.source_language,
            batch_size=arguments.batch_size,
            **given(arguments, SearchOptions),
        )
        for number, translation in enumerate(stream, 1):
            if lines and number in lines.broken:
                translation = dataclasses.replace(translation, error=lines.broken.pop(number))
            place = f"line {number}: " if lines else ""
            error = translation.error and place + translation.error
            results.put(translation.to_dict(), _line(translation), error)
            languages[translation.source_language] += translation.guessed
            if arguments.alignment and translation.error is None:
                _draw(translation, Path(arguments.alignment))
    read_as = [f"{name} ({count})" for name, count in languages.most_common() if count]
    if read_as:
        print(f"captioner: language guessed: {', '.join(read_as)}", file=sys.stderr)
    return results.failures


def _check_input(arguments: argparse.Namespace, typed: str, file: str | None) -> None:
    if bool(typed) == bool(arguments.input):
        raise ConfigError(
            "translate takes a sentence, `-` for standard input, or --input FILE; see captioner "
            "translate --help"
        )
    if arguments.alignment and file:
        raise ConfigError("--alignment draws one sentence; type it instead of naming a file")


def _line(translation: Translation) -> str:
    """The translation, and behind tabs the next best; always one line, which may be empty."""
    texts = [translation.text, *(other.text for other in translation.n_best)]
    return "\t".join(map(one_line, texts))


def _check_drawing(name: str | None, guard: Guard) -> None:
    """Refuses a place for the heat map where it must not go."""
    if name is None:
        return
    path = Path(name)
    if path.suffix.lower() not in ("", ".png"):
        raise ConfigError(
            f"--alignment {name}: the heat map is a PNG file; call it {path.with_suffix('.png')}"
        )
    guard.claim(path, DRAWING, "--alignment")


def _draw(translation: Translation, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(translation.heatmap(), path)


class _Lines:
    """The lines of a file or, for `-`, of standard input, read as they are needed."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.broken: dict[int, str] = {}  # lines that cannot be read, with the reason

    def __iter__(self) -> Iterator[str]:
        """The lines without their ends; an empty one for what is not UTF-8."""
        with sys.stdin.buffer if self.file == "-" else Path(self.file).open("rb") as stream:
            for number, line in enumerate(stream, 1):
                content = line.removesuffix(b"\n").removesuffix(b"\r")
                try:
                    yield content.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    self.broken[number] = (
                        f"not UTF-8 (byte {error.start + 1}); save the file as UTF-8"
                    )
                    yield ""
