"""`captioner explain`: photos with your sentences in; what the model thinks of them out."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.cli import flags
from captioner.cli.display import columns, one_line, percent
from captioner.cli.models import load_captioner
from captioner.cli.results import CaptionResults
from captioner.cli.streams import check_text, descriptor, standard_input
from captioner.errors import ConfigError
from captioner.options import SearchOptions
from captioner.text import half_character, not_utf8

if TYPE_CHECKING:
    from captioner.captions.caption import Caption

Pair = tuple[str, str]  # a photo's path and a sentence about it


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
    flags.add_runtime(parser)
    flags.add_map_size(parser)
    flags.add_loudness(parser)
    flags.add_speed(parser)
    flags.add_fields(parser, SearchOptions, only=("alternatives",))
    parser.set_defaults(maps=True)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Shows what the model thinks of given sentences; returns how many pairs failed."""
    flags.check_grid(arguments)
    pairs = _Pairs(arguments)
    streamed = arguments.input == "-"
    known: list[Pair] = [] if streamed else list(pairs)
    if arguments.input and not streamed and not known:
        raise _nothing(arguments.input)
    line = _verdict if arguments.input else word_table
    read = [descriptor(arguments.input), *(path for path, _ in known)]
    with CaptionResults(arguments, line, None if streamed else len(known), read) as results:
        expected: Iterable[Pair] = results.expect_pairs(pairs if streamed else known, pairs.broken)
        if not streamed:
            expected = list(expected)
        captioner = load_captioner(arguments)
        results.bar.reset()  # loading the weights says nothing about the time a photo takes
        stream = captioner.stream_explained(
            expected,
            batch_size=arguments.batch_size,
            workers=arguments.workers,
            alternatives=arguments.alternatives,
        )
        for number, caption in enumerate(stream, 1):
            if number in pairs.broken:
                broken = pairs.broken.pop(number)
                caption = dataclasses.replace(caption, file=None, error=broken)
            _tell_unknown(caption, results)
            results.add(caption)
        if streamed and not results.count:
            raise _nothing(arguments.input)
    return results.failed


def _nothing(file: str) -> ConfigError:
    return ConfigError(f"{file}: no line; expected a path, a tab and a sentence")


class _Pairs:
    """The photos and sentences that were typed, or of a file's lines, read as they are needed."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Reads nothing yet.

        Args:
            arguments: as typed.

        Raises:
            ConfigError: they name no pair, or one in two ways.
        """
        if bool(arguments.input) == bool(arguments.photo and arguments.sentence):
            raise ConfigError(
                "explain takes a photo and a sentence, or many with --input FILE; see captioner "
                "explain --help"
            )
        self.file: str | None = arguments.input
        self.photo, self.sentence = arguments.photo, " ".join(arguments.sentence)
        self.broken: dict[int, str] = {}  # lines that hold no pair, with the reason
        if not self.file and (half := half_character(self.sentence)) is not None:
            raise ConfigError(f"{self.sentence!r}: {half}")

    def __iter__(self) -> Iterator[Pair]:
        """The pairs, one a line, also of a line that holds none.

        Raises:
            ConfigError: the whole file is UTF-16 or UTF-32.
        """
        if self.file is None:
            yield self.photo, self.sentence
            return
        with contextlib.ExitStack() as stack:
            lines = (
                standard_input()
                if self.file == "-"
                else stack.enter_context(Path(self.file).open("rb"))
            )
            for number, line in enumerate(lines, 1):
                if number == 1:
                    check_text(line, self.file)
                    line = line.removeprefix(codecs.BOM_UTF8)
                yield self._pair(number, line.removesuffix(b"\n").removesuffix(b"\r"))

    def _pair(self, number: int, line: bytes) -> Pair:
        """A path, which need not be UTF-8, and a sentence, which must."""
        text = line.decode("utf-8", errors="surrogateescape")
        path, tab, sentence = text.partition("\t")
        if not tab:
            self.broken[number] = (
                f"line {number} is {text!r}; expected a path, a tab and a sentence"
            )
        try:
            sentence.encode("utf-8", "surrogateescape").decode("utf-8")
        except UnicodeDecodeError as error:
            self.broken[number] = f"line {number}: the sentence is {not_utf8(error)}"
            sentence = ""  # nothing else is scored in its place
        return path, sentence


def word_table(caption: Caption) -> str:
    """The words below each other: probability, likeliest other word, spread of the map."""
    from captioner.pictures.scale import spread

    rows = [("word", "probability", "likeliest other", "spread of its map")]
    for word, share in zip(caption.words, spread(caption.maps).tolist(), strict=True):
        others = [(text, prob) for text, prob in word.alternatives if text != word.text]
        text, prob = others[0] if others else ("", 0.0)
        other = f"{'(end)' if text == '.' else text} {percent(prob)}" if text else "–"
        chance = "unknown" if word.prob is None else percent(word.prob)
        if word.copied:
            chance = f"copied, {chance}"
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
