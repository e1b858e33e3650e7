"""`captioner bench`: how fast captioner is on this machine, part by part."""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.cli import flags
from captioner.cli.display import columns
from captioner.cli.models import load_captioner
from captioner.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from captioner.captions.captioner import Captioner
    from captioner.speed import Figure


def add(commands: Any) -> None:
    """The flags."""
    parser = commands.add_parser(
        "bench",
        usage="captioner bench [PATH…] [options]",
        description="""\
Measures, in turns and in one run, how fast photos are opened, encoded and captioned, and how fast a
model learns. The ratios, to captions with a beam of three, can be compared between machines and
versions; the rates say as much about what else the machine did. Without a PATH, the photographs of
`captioner demo` are used, made as small as the model sees them.""",
        epilog="""\
examples:
  captioner bench
  captioner bench holiday/ --count 64 --runtime torch --json speed.json""",
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", help="photos or folders of photos")
    count = {"type": flags.COUNT, "metavar": "N"}
    parser.add_argument(
        "--count",
        default=128,
        help="photos captioned in a round; where there are fewer, they are taken again "
        "(default: 128)",
        **count,
    )
    parser.add_argument(
        "--rounds",
        default=3,
        help="how often everything is measured; the best counts (default: 3)",
        **count,
    )
    parser.add_argument(
        "--no-training", action="store_true", help="leave training out, which takes longest"
    )
    parser.add_argument(
        "--json",
        type=flags.file_name,
        metavar="FILE",
        help="the same as JSON; `-` is standard output",
    )
    flags.add_overwrite(parser)
    flags.add_model(parser)
    flags.add_runtime(parser)
    flags.add_speed(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the table; returns 0."""
    from captioner.outputs import OBJECTS, Guard, file_path, write_text

    paths = _photos(arguments.paths)
    guard = Guard(paths, arguments.overwrite)
    if arguments.json not in (None, "-"):
        guard.claim(file_path(arguments.json, "--json"), OBJECTS, "--json")
    captioner = load_captioner(arguments)
    with tempfile.TemporaryDirectory() as folder:
        files = paths or _small(captioner, Path(folder))
        files = list(itertools.islice(itertools.cycle(files), arguments.count))
        figures = _measured(captioner, files, arguments)
    report = _report(captioner, figures, arguments)
    text = json.dumps(report, indent=2, ensure_ascii=False)
    if arguments.json == "-":
        print(text)
        return 0
    print(_table(report, figures))
    if arguments.json:
        write_text(file_path(arguments.json, "--json"), text + "\n")
    return 0


def _photos(arguments: Sequence[str]) -> list[Path]:
    """The photos that were named.

    Raises:
        ImageError: there are none where some were named.
    """
    from captioner.pictures.folders import find_photos

    found = list(find_photos(arguments))
    paths = [Path(item.path) for item in found if item.is_photo and item.member is None]
    if arguments and not paths:
        problem = next((item.problem for item in found if item.problem), None)
        raise ImageError(problem or "no photo is named; give photos or folders of photos")
    return paths


def _small(captioner: Captioner, folder: Path) -> list[Path]:
    """The demo's photographs as JPEG files of the size that the model sees.

    Raises:
        ConfigError: there are none.
    """
    from captioner.examples import found
    from captioner.pictures.open import open_photo

    size = captioner.preprocess.size
    paths = []
    for number, (_, path) in enumerate(found()):
        paths.append(folder / f"{number}.jpg")
        open_photo(path, side=size).resize((size, size)).save(paths[-1], quality=90)
    if not paths:
        raise ConfigError("no photographs to measure with; name photos or a folder of photos")
    return paths


def _measured(
    captioner: Captioner, files: Sequence[Path], arguments: argparse.Namespace
) -> list[Figure]:
    from captioner.speed import measure

    return list(
        measure(
            captioner,
            files,
            batch_size=arguments.batch_size,
            workers=arguments.workers,
            rounds=arguments.rounds,
            training=not arguments.no_training,
        )
    )


def _report(
    captioner: Captioner, figures: Sequence[Figure], arguments: argparse.Namespace
) -> dict[str, Any]:
    import torch

    import captioner as package

    return {
        "captioner": package.__version__,
        "torch": torch.__version__,
        "runtime": captioner.writer.runtime.name,
        "device": str(captioner.device),
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "photos": arguments.count,
        "batch_size": arguments.batch_size,
        "workers": arguments.workers,
        "rounds": arguments.rounds,
        "figures": {
            figure.name: {"value": figure.value, "unit": figure.unit, "ratio": figure.ratio}
            for figure in figures
        },
    }


def _table(report: dict[str, Any], figures: Sequence[Figure]) -> str:
    rows = [["", "", "", "to beam 3"]]
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        rows.append([figure.name, f"{figure.value:.1f}", figure.unit, ratio])
    about = (
        f"{report['photos']} photos in batches of {report['batch_size']}, {report['workers']} "
        f"threads that open them, {report['runtime']} on {report['device']} with "
        f"{report['threads']} threads, best of {report['rounds']}"
    )
    return f"{columns(rows, right=(1, 3))}\n{about}"
