"""`captioner caption`: photos in; lines, objects and sheets out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from captioner.cli import flags
from captioner.cli.display import one_line
from captioner.cli.models import load_captioner
from captioner.cli.results import CaptionResults, texts_of
from captioner.cli.streams import standard_input
from captioner.errors import ConfigError

if TYPE_CHECKING:
    from captioner.captions.caption import Caption
    from captioner.pictures.folders import Found


def add(commands: Any) -> None:
    """The flags."""
    parser = commands.add_parser(
        "caption",
        usage="captioner caption PATH… [options]",
        description="Writes one line a photo: its path, a tab, its caption.",
        epilog="""\
examples:
  captioner caption photo.jpg
  captioner caption holiday/ 'more/**/*.png' --overlay sheets
  captioner caption holiday/ --jsonl captions.jsonl --maps --n-best 3
  find . -name '*.jpg' | captioner caption - --jsonl - | jq -r .caption

On a terminal, (unsure) behind a caption says that it is less likely than others to name what the
photo shows, if the checkpoint was calibrated; the objects of --jsonl say it by `unsure`.

A file that is no photo is told on standard error, the others go on, and the exit code is 1. So is
what lies in a folder and cannot be read: camera raw and other pictures of kinds that are not read,
folders without permission, pipes. Sheets that captioner drew are left out.""",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="photos, folders (with all photos below, by name) or patterns; `-` reads paths from "
        "standard input, one a line",
    )
    parser.add_argument("--prefix", default="", metavar="TEXT", help="how every caption must begin")
    flags.add_outputs(parser)
    parser.add_argument("--maps", action="store_true", help="put the maps into the objects too")
    flags.add_languages(parser)
    flags.add_model(parser)
    flags.add_speed(parser)
    flags.add_decoding(parser, omit=())
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Captions photos; returns how many failed."""
    flags.check_decoding(arguments)
    _check_outputs(arguments)
    from captioner.pictures.folders import find_photos

    watched = sys.stdout.isatty()

    def line(caption: Caption) -> str:
        texts = [text for one in (caption, *caption.n_best) for text in texts_of(one, watched)]
        return "\t".join(map(one_line, [str(caption.file), *texts]))

    streamed = "-" in arguments.paths
    items: Iterable[Found] = find_photos(_paths(arguments.paths))
    if not streamed:
        items = _any(list(items))
    total = None if streamed else _count(items)
    read = [] if streamed else [item.path for item in items if item.is_photo]
    with CaptionResults(arguments, line, total, read) as results:
        photos = results.expect(items) if streamed else list(results.expect(items))
        captioner = load_captioner(arguments)
        results.bar.reset()  # loading the weights says nothing about the time a photo takes
        stream = captioner.stream(
            photos,
            batch_size=arguments.batch_size,
            workers=arguments.workers,
            prefix=arguments.prefix,
            to=arguments.to,
            options=flags.decoding(arguments, captioner.options()),
        )
        for caption in stream:
            results.add(caption)
            if caption.translation is not None and caption.translation.warning:
                results.tell(f"{caption.file}: {caption.translation.warning}")
        if streamed and not results.count:
            raise ConfigError("standard input named no photo; expected one path a line")
    return results.failed


def _any(items: list[Found]) -> list[Found]:
    """The items.

    Raises:
        ImageError: none is a photo; what is wrong with all but the last is printed.
    """
    problems = [item.problem for item in items if item.problem is not None]
    if problems and not _count(items):
        from captioner.errors import ImageError

        for problem in problems[:-1]:
            print(f"captioner: {problem}", file=sys.stderr)
        raise ImageError(problems[-1])
    return items


def _count(items: Iterable[Found]) -> int:
    return sum(item.is_photo for item in items)


def _paths(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments, `-` replaced by the lines of standard input, as they come."""
    for argument in arguments:
        if argument == "-":
            for line in standard_input():
                path = os.fsdecode(line.removesuffix(b"\n").removesuffix(b"\r"))
                if path:
                    yield path
        else:
            yield argument


def _check_outputs(arguments: argparse.Namespace) -> None:
    if arguments.maps and not arguments.jsonl:
        raise ConfigError("--maps belongs to the objects of --jsonl; add --jsonl FILE")
    flags.check_languages(arguments)
    flags.check_grid(arguments)
