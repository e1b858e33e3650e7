"""`captioner explain`: photos with your sentences in; what the model thinks of them out."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.cli import flags
from captioner.cli.display import columns, one_line, percent
from captioner.cli.models import load_captioner
from captioner.cli.results import CaptionResults
from captioner.cli.streams import check_text, descriptor
from captioner.errors import ConfigError
from captioner.options import SearchOptions
from captioner.text import half_character, not_utf8

if TYPE_CHECKING:
    from captioner.prediction import Caption


def add(commands: Any) -> None:
    """The flags."""
    parser = commands.add_parser(
        "explain",
        usage="captioner explain PHOTO SENTENCE [options]\n"
        "       captioner explain --input PAIRS.tsv --jsonl FILE [options]",
        description="Shows what the model thinks of your sentence about a photo: for every word "
        "how likely it is after\nthose before it, the likeliest other word there, and over how "
        "much of the photo its map is spread.",
        epilog="""\
examples:
  captioner explain photo.jpg "A dog jumps over a log."
  captioner explain photo.jpg "A cat jumps over a log." --overlay sheets
  captioner explain --input pairs.tsv --jsonl explained.jsonl""",
    )
    parser.add_argument("photo", nargs="?", metavar="PHOTO", help="one photo")
    parser.add_argument("sentence", nargs="*", metavar="SENTENCE", help="what you say about it")
    parser.add_argument(
        "--input",
        type=flags.file_name,
        metavar="FILE",
        help="many: a photo's path, a tab and a sentence on every line; `-` is standard input",
    )
    flags.add_outputs(parser)
    flags.add_model(parser)
    flags.add_speed(parser)
    flags.add_fields(parser, SearchOptions, only=("alternatives",))
    parser.set_defaults(maps=True)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Shows what the model thinks of given sentences; returns how many pairs failed."""
    flags.check_grid(arguments)
    pairs, broken = _pairs(arguments)
    line = _verdict if arguments.input else _word_table
    read = [descriptor(arguments.input), *(path for path, _ in pairs)]
    with CaptionResults(arguments, line, len(pairs), read) as results:
        results.expect_pairs(pairs, broken)
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
    return results.failed


def _pairs(arguments: argparse.Namespace) -> tuple[list[tuple[str, str]], dict[int, str]]:
    """The photos and sentences, a pair a line, and what is wrong with the lines that hold none."""
    if bool(arguments.input) == bool(arguments.photo and arguments.sentence):
        raise ConfigError(
            "explain takes a photo and a sentence, or many with --input FILE; see captioner "
            "explain --help"
        )
    if not arguments.input:
        sentence = " ".join(arguments.sentence)
        if (half := half_character(sentence)) is not None:
            raise ConfigError(f"{sentence!r}: {half}")
        return [(arguments.photo, sentence)], {}
    lines = _lines(arguments.input)
    if not lines:
        raise ConfigError(f"{arguments.input}: no line; expected a path, a tab and a sentence")
    broken = {
        number: f"line {number} is {line!r}; expected a path, a tab and a sentence"
        for number, line in enumerate(lines, 1)
        if "\t" not in line
    }
    pairs = []
    for number, line in enumerate(lines, 1):
        path, _, text = line.partition("\t")
        try:
            text.encode("utf-8", "surrogateescape").decode("utf-8")
        except UnicodeDecodeError as error:
            broken[number] = f"line {number}: the sentence is {not_utf8(error)}"
            text = ""  # nothing else is scored in its place
        pairs.append((path, text))
    return pairs, broken


def _lines(file: str) -> list[str]:
    """The lines of a text file or, for `-`, of standard input; a path need not be UTF-8.

    Raises:
        ConfigError: the whole file is UTF-16 or UTF-32.
    """
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    check_text(data.partition(b"\n")[0], "standard input" if file == "-" else file)
    text = data.decode("utf-8-sig", errors="surrogateescape")
    lines = text.replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


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


def _tell_unknown(caption: Caption, results: CaptionResults) -> None:
    unknown = [word.text for word in caption.words if not word.known]
    if unknown:
        results.tell(
            f"{caption.file}: the model does not know {', '.join(map(repr, unknown))}; an unknown "
            "word keeps its place and its map, but has no probability"
        )
