"""`captioner caption`, `explain` and `demo`: captions in, lines, objects and sheets out."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Self

from captioner.cli.display import columns, one_line, percent
from captioner.cli.models import load_captioner
from captioner.cli.results import Results
from captioner.cli.settings import check_decoding, given
from captioner.config import SearchOptions
from captioner.errors import CaptionerError, ConfigError
from captioner.outputs import Sheets

if TYPE_CHECKING:
    from captioner.prediction import Caption


def caption(arguments: argparse.Namespace) -> int:
    """Captions photos; returns how many failed."""
    check_decoding(arguments)
    _check_outputs(arguments)
    from captioner.images import find_photos

    photos = find_photos(_paths(arguments.paths))

    def line(caption: Caption) -> str:
        texts = [text for one in (caption, *caption.n_best) for text in _texts(one)]
        return "\t".join(map(one_line, [str(caption.file), *texts]))

    with _Results(arguments, line, len(photos)) as results:
        captioner = load_captioner(arguments)
        results.bar.reset()  # loading the weights says nothing about the time a photo takes
        stream = captioner.stream(
            photos,
            batch_size=arguments.batch_size,
            workers=arguments.workers,
            prefix=arguments.prefix,
            to=arguments.to,
            **given(arguments, SearchOptions),
        )
        for caption in stream:
            results.add(caption)
    return results.failures


def _texts(caption: Caption) -> list[str]:
    """The caption; before a translated one, the model's own."""
    return [caption.text] if caption.original is None else [caption.original.text, caption.text]


def _paths(arguments: Sequence[str]) -> list[str]:
    """The arguments, `-` replaced by the lines of standard input."""
    paths = [p for a in arguments for p in (filter(None, _lines(a)) if a == "-" else [a])]
    if not paths:
        raise ConfigError("standard input named no photo; expected one path a line")
    return paths


def _lines(file: str) -> list[str]:
    """The lines of a text file or, for `-`, of standard input; a path need not be UTF-8."""
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    text = data.decode("utf-8-sig", errors="surrogateescape")
    lines = text.replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def _check_outputs(arguments: argparse.Namespace) -> None:
    if arguments.maps and not arguments.jsonl:
        raise ConfigError("--maps belongs to the objects of --jsonl; add --jsonl FILE")
    _check_languages(arguments)
    _check_grid(arguments)


def _check_languages(arguments: argparse.Namespace) -> None:
    if arguments.translator and not arguments.to:
        raise ConfigError("--translator belongs to --to; add --to LANGUAGE")


def _check_grid(arguments: argparse.Namespace) -> None:
    if arguments.grid and not arguments.overlay:
        raise ConfigError("--grid belongs to the sheets of --overlay; add --overlay DIR")


def explain(arguments: argparse.Namespace) -> int:
    """Shows what the model thinks of given sentences; returns how many pairs failed."""
    _check_grid(arguments)
    pairs, broken = _pairs(arguments)
    line = _verdict if arguments.input else _word_table
    with _Results(arguments, line, len(pairs)) as results:
        captioner = load_captioner(arguments)
        results.bar.reset()  # loading the weights says nothing about the time a photo takes
        stream = captioner.stream_explained(
            pairs,
            batch_size=arguments.batch_size,
            workers=arguments.workers,
            alternatives=arguments.alternatives,
        )
        for number, caption in enumerate(stream, 1):
            if number in broken:
                caption = dataclasses.replace(caption, file=None, error=broken[number])
            _tell_unknown(caption, results)
            results.add(caption)
    return results.failures


def _pairs(arguments: argparse.Namespace) -> tuple[list[tuple[str, str]], dict[int, str]]:
    """The photos and sentences, a pair a line, and what is wrong with the lines that hold none."""
    if bool(arguments.input) == bool(arguments.photo and arguments.sentence):
        raise ConfigError(
            "explain takes a photo and a sentence, or many with --input FILE; see captioner "
            "explain --help"
        )
    if not arguments.input:
        return [(arguments.photo, " ".join(arguments.sentence))], {}
    lines = _lines(arguments.input)
    if not lines:
        raise ConfigError(f"{arguments.input}: no line; expected a path, a tab and a sentence")
    broken = {
        number: f"line {number} is {line!r}; expected a path, a tab and a sentence"
        for number, line in enumerate(lines, 1)
        if "\t" not in line
    }
    return [(path, text) for path, _, text in (line.partition("\t") for line in lines)], broken


def _word_table(caption: Caption) -> str:
    """The words below each other: probability, likeliest other word, spread of the map."""
    from captioner.render import spread

    rows = [("word", "probability", "likeliest other", "spread of its map")]
    for word, share in zip(caption.words, spread(caption.maps).tolist(), strict=True):
        others = [(text, prob) for text, prob in word.alternatives if text != word.text]
        text, prob = others[0] if others else ("", 0.0)
        other = f"{'(end)' if text == '.' else text} {percent(prob)}" if text else "–"
        chance = "unknown" if word.prob is None else percent(word.prob)
        rows.append((one_line(word.text), chance, one_line(other), percent(share)))
    end = f"log probability of the sentence, its end included: {caption.log_prob:.2f}"
    return f"{columns(rows, right=(1, 3))}\n{end}"


def _verdict(caption: Caption) -> str:
    return f"{one_line(str(caption.file))}\t{caption.log_prob:.4g}\t{one_line(caption.text)}"


def _tell_unknown(caption: Caption, results: _Results) -> None:
    unknown = [word.text for word in caption.words if not word.known]
    if unknown:
        results.tell(
            f"{caption.file}: the model does not know {', '.join(map(repr, unknown))}; an unknown "
            "word keeps its place and its map, but has no probability"
        )


def demo(arguments: argparse.Namespace) -> int:
    """Captions the photographs that installed packages brought; returns 0, as none may fail."""
    _check_languages(arguments)
    from captioner.examples import EXAMPLES, found

    examples = list(found())
    there = {example for example, _ in examples}
    for package, lacking in groupby(EXAMPLES, lambda example: example.distribution):
        names = [example.name for example in lacking if example not in there]
        if names:
            print(f"left out: {', '.join(names)} (pip install {package})", file=sys.stderr)
    if not examples:
        raise ConfigError(
            "no photographs for the demo; pip install gradio scikit-image, or caption a photo of "
            "yours: captioner caption PHOTO"
        )
    captioner = load_captioner(arguments)
    sheets = Sheets(arguments.output, grid=False)
    for example, path in examples:
        caption = captioner(path, to=arguments.to)
        print(f"{example.name}: {one_line(' – '.join(_texts(caption)))}")
        print(f"  {path} ({example.credit}; {example.licence})")
        print(f"  {sheets.draw(caption)}", flush=True)
    print("\nEach sheet shows every word over the place that it looked at. Your own photos:")
    print("  captioner caption PHOTO… --overlay sheets")
    return 0


class _Results(Results):
    """Captions as lines, objects and sheets."""

    def __init__(
        self, arguments: argparse.Namespace, line: Callable[[Caption], str], total: int
    ) -> None:
        super().__init__(arguments.jsonl, "photo", total)
        self.line = line
        self.maps: bool = arguments.maps
        self.overlay, self.grid = arguments.overlay, arguments.grid

    def __enter__(self) -> Self:
        self.sheets = Sheets(self.overlay, self.grid) if self.overlay else None
        return super().__enter__()

    def add(self, caption: Caption) -> None:
        """Puts one caption wherever it was asked for."""
        error = caption.error
        if error is None and self.sheets:
            try:
                self.sheets.draw(caption)
            except CaptionerError as problem:  # gone since it was captioned
                error = str(problem)
        line = self.line(caption) if caption.error is None else None
        self.put(caption.to_dict(maps=self.maps), line, error)
