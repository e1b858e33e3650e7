"""`captioner demo`: photographs that came along with installed packages in, sheets out."""

from __future__ import annotations

import argparse
import sys
from itertools import groupby
from typing import Any

from captioner.cli import flags
from captioner.cli.display import one_line
from captioner.cli.models import load_captioner
from captioner.cli.results import texts_of
from captioner.errors import ConfigError
from captioner.outputs import Guard, Sheets


def add(commands: Any) -> None:
    """The flags."""
    parser = commands.add_parser(
        "demo",
        usage="captioner demo [options]",
        description="Captions photographs that came along with installed packages (Gradio, "
        "scikit-image), and draws\na sheet for each: every word over the place that it looked at. "
        "Nothing is fetched.",
    )
    parser.add_argument(
        "--output",
        type=flags.file_name,
        default="captioner-demo",
        metavar="DIR",
        help="folder for the sheets (default: ./captioner-demo)",
    )
    flags.add_overwrite(parser)
    flags.add_languages(parser)
    flags.add_model(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Captions the photographs that installed packages brought; returns 0, as none may fail."""
    flags.check_languages(arguments)
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
    guard = Guard([path for _, path in examples], arguments.overwrite)
    sheets = Sheets(arguments.output, False, guard, flag="--output")
    places = [sheets.place(str(path), name=example.name) for example, path in examples]
    captioner = load_captioner(arguments)
    for (example, path), place in zip(examples, places, strict=True):
        caption = captioner(path, to=arguments.to)
        print(f"{example.name}: {one_line(' – '.join(texts_of(caption, marked=True)))}")
        if example.wrong and arguments.checkpoint is None:
            print(f"  it gets this one wrong: {example.wrong}")
        print(f"  {path} ({example.credit}; {example.licence})")
        print(f"  {sheets.draw(caption, place)}", flush=True)
    print("\nEach sheet shows every word over the place that it looked at. Your own photos:")
    print("  captioner caption PHOTO… --overlay sheets")
    return 0
