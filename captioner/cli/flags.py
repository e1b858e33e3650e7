"""Flags: how those of a settings dataclass are made, and those that several commands share.

A setting is explained once, where its dataclass defines it, so that the command line and the Python
interface cannot drift apart. Flags that one command alone has stand in that command's module.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import typing
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from captioner.errors import ConfigError, shown
from captioner.options import (
    PHOTOS_AT_ONCE,
    RESAMPLES,
    ROWS,
    RUNTIMES,
    THREADS,
    WORKERS,
    SearchOptions,
)
from captioner.translations.recipe import PairSource

if TYPE_CHECKING:
    from captioner.translations.pairs import Pair


def add_fields(parser: Any, cls: type, *, only: Sequence[str] = ()) -> None:
    """Adds flags made from a dataclass: `beam_size` is --beam-size. What is not typed is None.

    Args:
        parser: a parser, or a group of one.
        cls: with fields made by `settings.setting`.
        only: names of the fields wanted; all, where none is named.
    """
    hints = typing.get_type_hints(cls)
    for entry in dataclasses.fields(cls):
        if only and entry.name not in only:
            continue
        # A matter of output, not a checkpoint's choice: evaluation and training switch it off.
        default = entry.default if entry.name == "alternatives" else None
        flag, about = f"--{entry.name.replace('_', '-')}", help_of(entry, default)
        if hints[entry.name] is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=about)
            continue
        parser.add_argument(
            flag,
            type=_typed(entry, hints[entry.name]),
            default=default,
            metavar=metavar(entry),
            choices=entry.metadata["choices"] or None,
            help=about,
        )


def whole(low: int, high: int) -> Callable[[str], int]:
    """What reads a whole number from `low` to `high` as it is typed."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(
                f"{shown(text)} is no whole number from {low} to {high}"
            )
        return number

    return read


def number(low: float, high: float) -> Callable[[str], float]:
    """What reads a number from `low` to `high` as it is typed."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{shown(text)} is no number from {low:g} to {high:g}")
        return value

    return read


BATCH_SIZE, WORKER_COUNT = whole(1, ROWS), whole(1, WORKERS)
COUNT, LIMIT = whole(1, 10**9), whole(0, 10**9)  # the commands say what a limit of 0 cannot be
RESAMPLE_COUNT = whole(0, 1_000_000)


def add_bootstrap(parser: argparse.ArgumentParser) -> None:
    """How often the items of a score are drawn again for its interval."""
    parser.add_argument(
        "--bootstrap",
        type=RESAMPLE_COUNT,
        default=RESAMPLES,
        metavar="N",
        help=f"resamples for the 95 %% intervals; 0 leaves them out (default: {RESAMPLES})",
    )


def _typed(entry: dataclasses.Field[Any], kind: Any) -> Any:
    """What reads a setting's value; without limits of its own, whatever its type takes."""
    within = entry.metadata["within"]
    if kind is float:
        return number(*within) if within else number(-math.inf, math.inf)
    return whole(*within) if kind is int and within else kind


def help_of(entry: dataclasses.Field[Any], default: Any) -> str:
    """The help text of a setting, with its unit, its choices and its default."""
    text, unit, choices = (entry.metadata[name] for name in ("help", "unit", "choices"))
    if unit:
        text += f", in {unit}"
    if not all(str(choice) in text for choice in choices if isinstance(choice, str)):
        text += f": {', '.join(choices)}"
    if default not in (None, "", ()):
        shown = f"{default:g}" if isinstance(default, float) else str(default).lower()
        text += f" (default: {shown})"
    return str(text).replace("%", "%%")


def metavar(entry: dataclasses.Field[Any]) -> str:
    """What stands for a setting's value in the help, such as FILE or N."""
    named = {"captions": "FILE", "images": "DIR", "output": "DIR", "init": "FILE"}
    kinds = {"int": "N", "float": "X", "bool": "true|false"}
    return named.get(entry.name) or kinds.get(str(entry.type), "TEXT")


def given(arguments: argparse.Namespace, cls: type) -> dict[str, Any]:
    """What was typed of the fields of `cls`."""
    values = {f.name: getattr(arguments, f.name, None) for f in dataclasses.fields(cls)}
    return {name: value for name, value in values.items() if value is not None}


def decoding(arguments: argparse.Namespace, own: SearchOptions) -> SearchOptions:
    """How to decode: as the checkpoint has it, with what was typed put in.

    Raises:
        ConfigError: they do not go together.
    """
    return own.changed(**given(arguments, SearchOptions))


def check_decoding(arguments: argparse.Namespace) -> None:
    """Refuses what shapes random draws where none are asked for.

    Raises:
        ConfigError: --top-p or --temperature without --sample.
    """
    typed = [flag for flag in ("top_p", "temperature") if getattr(arguments, flag) is not None]
    if typed and not arguments.sample:
        flag = typed[0].replace("_", "-")
        raise ConfigError(f"--{flag} shapes random draws and does nothing here; add --sample")


def file_name(text: str) -> str:
    """A name as it is typed for a file or a folder.

    Raises:
        argparse.ArgumentTypeError: it is empty, as a variable that was never set.
    """
    if not text:
        raise argparse.ArgumentTypeError("expected a name, got an empty one")
    return text


def add_pair_files(parser: Any, *, required: bool) -> None:
    """What names sentence pairs, for a parser or a group of one."""
    parser.add_argument("--source", required=required, metavar="FILE", help="a sentence a line")
    parser.add_argument(
        "--target", required=required, metavar="FILE", help="their translations, line by line"
    )
    parser.add_argument(
        "--from",
        dest="source_language",
        type=str.lower,  # as the checkpoint reads it, and so that scores have one name
        required=required,
        metavar="LANGUAGE",
        help="such as en",
    )
    parser.add_argument(
        "--to", type=str.lower, required=required, metavar="LANGUAGE", help="such as de"
    )


def add_pairs(parser: argparse.ArgumentParser) -> None:
    """What names sentence pairs to be compared, and how many of them."""
    add_pair_files(parser, required=True)
    parser.add_argument("--limit", type=LIMIT, metavar="N", help="only the first N pairs")
    add_bootstrap(parser)


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Where captions go besides standard output."""
    parser.add_argument(
        "--jsonl",
        type=file_name,
        metavar="FILE",
        help="write an object a photo, in input order; `-` is standard output. FILE.partial grows "
        "line by line and takes the name FILE at the end",
    )
    parser.add_argument(
        "--overlay",
        type=file_name,
        metavar="DIR",
        help="draw a sheet a photo: every word over the place that it looked at. The folders of "
        "the photos are mirrored: holiday/dog.jpg has DIR/holiday/dog.png",
    )
    parser.add_argument(
        "--sheet-format",
        choices=("png", "svg", "pdf"),
        metavar="KIND",
        help="of the sheets: png (default), or svg or pdf, in which text stays text",
    )
    parser.add_argument(
        "--grid", action="store_true", help="show the real grid cells on the sheets, not smoothed"
    )
    add_overwrite(parser)


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Whether what is there already may be replaced."""
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace what is there already, even where captioner did not write it; what the "
        "command reads is never replaced",
    )


def add_languages(parser: argparse.ArgumentParser) -> None:
    """What captions are translated into, and by what."""
    parser.add_argument(
        "--to",
        metavar="LANGUAGE",
        help="translate the captions (de, fr, …): printed behind them, with maps of their own",
    )
    parser.add_argument(
        "--translator",
        type=file_name,
        metavar="FILE",
        help="weights that translate with --to (default: those that came along)",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """The weights, and where to compute."""
    parser.add_argument(
        "--checkpoint",
        type=file_name,
        metavar="FILE",
        help="weights to use (default: those that came along)",
    )
    add_device(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Where to compute."""
    parser.add_argument(
        "--device",
        default="auto",
        metavar="DEVICE",
        help="cpu, cuda, cuda:1, mps, …; auto (default) is a GPU where there is one",
    )


def add_runtime(parser: argparse.ArgumentParser) -> None:
    """What computes photos' features."""
    parser.add_argument(
        "--runtime",
        choices=RUNTIMES,
        default="auto",
        help="what computes photos' features on a CPU: openvino, in bfloat16 where the CPU has it; "
        "openvino-f32, as exact as torch; torch; auto (default) is the first that can be used",
    )


def add_map_size(parser: argparse.ArgumentParser) -> None:
    """At which size of the photo maps are read."""
    parser.add_argument(
        "--map-size",
        type=int,
        metavar="PIXELS",
        help="take a closer look: read each sentence again over the photo enlarged to this side, a "
        "multiple of 32; 448 gives 28×28 cells in the place of 14×14, which point better, for some "
        "seven times the time (default: the maps of the search)",
    )


def add_loudness(parser: argparse.ArgumentParser) -> None:
    """How much is said besides results and errors."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--quiet", action="store_true", help="no progress bar and no notes; errors are still told"
    )
    either.add_argument(
        "--verbose",
        action="store_true",
        help="say which weights are used where and how long it took, and of an error where in the "
        "code it came from",
    )


def add_speed(parser: argparse.ArgumentParser) -> None:
    """How many photos are read and computed at once."""
    parser.add_argument(
        "--batch-size",
        type=BATCH_SIZE,
        default=PHOTOS_AT_ONCE,
        metavar="N",
        help=f"photos computed together (default: {PHOTOS_AT_ONCE})",
    )
    parser.add_argument(
        "--workers",
        type=WORKER_COUNT,
        default=THREADS,
        metavar="N",
        help=f"threads that open photos (default: {THREADS})",
    )


def add_decoding(parser: argparse.ArgumentParser, omit: Sequence[str]) -> None:
    """The fields of `SearchOptions` as flags, but for those named in `omit`."""
    group = parser.add_argument_group(
        "decoding", "What has no default here is as the checkpoint has it (captioner describe)."
    )
    names = [entry.name for entry in dataclasses.fields(SearchOptions) if entry.name not in omit]
    add_fields(group, SearchOptions, only=names)


def check_languages(arguments: argparse.Namespace) -> None:
    """Refuses what says how to translate where nothing is translated."""
    if arguments.translator and not arguments.to:
        raise ConfigError("--translator belongs to --to; add --to LANGUAGE")


def check_grid(arguments: argparse.Namespace) -> None:
    """Refuses what says how to draw sheets where none are drawn."""
    if arguments.grid and not arguments.overlay:
        raise ConfigError("--grid belongs to the sheets of --overlay; add --overlay DIR")
    if arguments.sheet_format and not arguments.overlay:
        raise ConfigError("--sheet-format belongs to the sheets of --overlay; add --overlay DIR")


def pairs(arguments: argparse.Namespace) -> list[Pair]:
    """The sentence pairs that `add_pairs` names.

    Raises:
        ConfigError: --limit leaves none.
        DataError: the files are no pairs.
    """
    if arguments.limit is not None and arguments.limit < 1:
        raise ConfigError(f"--limit is {arguments.limit}; expected 1 pair or more")
    return read_pairs(arguments, arguments.source, arguments.target)[: arguments.limit]


def read_pairs(arguments: argparse.Namespace, source: str, target: str) -> list[Pair]:
    """The pairs of two files, in the languages that were typed."""
    files = PairSource(source, target, languages=(arguments.source_language, arguments.to))
    from captioner.translations.pairs import read_pairs

    return read_pairs(files)
