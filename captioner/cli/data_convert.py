"""`captioner data convert`: captions from any format into any other."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from captioner.cli import flags
from captioner.cli.display import one_line
from captioner.formats.registry import NAMES
from captioner.outputs import Guard, Kind, file_path

_CAPTIONS = Kind("file of captions", lambda path: False)  # nothing in one says whose it is


def add(topics: Any) -> None:
    """The flags."""
    parser = topics.add_parser(
        "convert",
        usage="captioner data convert SOURCE… --output FILE [options]",
        description="Reads captions in any format, puts them together and writes them in another.\n"
        "What the other format cannot hold is said. docs/formats.md lists the formats.",
        epilog="""\
examples:
  captioner data convert captions_val2017.json --output captions.csv
  captioner data convert results.csv --images flickr30k --output train --to folder
  captioner data convert train/ --output train/metadata.jsonl
  captioner data convert shard-0*.tar --photos photos --output photos/metadata.jsonl""",
    )
    parser.add_argument(
        "sources",
        nargs="+",
        type=flags.file_name,
        metavar="SOURCE",
        help="files, folders or archives of captions",
    )
    parser.add_argument(
        "--output",
        required=True,
        type=flags.file_name,
        metavar="FILE",
        help="file, folder or archive to write; its name tells the format, where --to does not",
    )
    parser.add_argument("--to", choices=NAMES, metavar="FORMAT", help=f"one of {', '.join(NAMES)}")
    parser.add_argument(
        "--from",
        dest="format",
        choices=("auto", *NAMES),
        default="auto",
        metavar="FORMAT",
        help="format of the sources (default: what is in them tells)",
    )
    parser.add_argument(
        "--images", type=flags.file_name, metavar="DIR", help="folder that holds the photos"
    )
    parser.add_argument(
        "--photos",
        type=flags.file_name,
        metavar="DIR",
        help="copy the photos into this folder; those of an archive are unpacked into it",
    )
    parser.add_argument(
        "--split", default="", metavar="NAME", help="only this part of the data set, such as val"
    )
    parser.add_argument(
        "--existing", action="store_true", help="leave out photos that are not in --images"
    )
    flags.add_overwrite(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Converts; returns 0."""
    from captioner.formats.conversion import Order, convert
    from captioner.formats.registry import of_output

    output = Path(arguments.output)
    to = of_output(output, arguments.to or "")
    if to.name != "folder":
        output = file_path(arguments.output, "--output")
        guard = Guard(arguments.sources, arguments.overwrite)
        guard.claim(output, _CAPTIONS, "--output")
    order = Order(
        sources=tuple(map(Path, arguments.sources)),
        output=output,
        to=to,
        format=arguments.format,
        images=Path(arguments.images) if arguments.images else None,
        photos=Path(arguments.photos) if arguments.photos else None,
        split=arguments.split,
        existing=arguments.existing,
        overwrite=arguments.overwrite,
    )
    outcome = convert(order)
    for note in outcome.notes:
        print(f"captioner: {one_line(note)}", file=sys.stderr)
    came = ", ".join(dict.fromkeys(each.title for each in outcome.came))
    print(
        one_line(
            f"{output}: {outcome.photos:,} photos, {outcome.captions:,} captions, "
            f"from {came} to {to.title}"
        )
    )
    return 0
