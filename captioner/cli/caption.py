"""`captioner caption`: photos in; lines, objects and sheets out."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.captions.alt_text import alt_text
from captioner.cli import flags
from captioner.cli.display import is_quiet, one_line
from captioner.cli.models import load_captioner, pick_device
from captioner.cli.results import STANDARD_OUTPUT, CaptionResults, texts_of
from captioner.cli.streams import standard_input
from captioner.errors import ConfigError
from captioner.resuming import WRITTEN

if TYPE_CHECKING:
    from captioner.captions.caption import Caption
    from captioner.captions.captioner import Captioner
    from captioner.options import SearchOptions
    from captioner.pictures.folders import Found
    from captioner.pictures.shards import Packed


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
  captioner caption site/ --alt-text --csv alt.csv
  captioner caption train/ --sidecar .txt --sidecar-prefix 'sks, '
  captioner caption archive/ --sidecar .xmp --dry-run

On a terminal, (unsure) behind a caption says that it is less likely than others to name what the
photo shows, if the checkpoint was calibrated; the objects of --jsonl say it by `unsure`.

A file that is no photo is told on standard error, the others go on, and the exit code is 1. So is
what lies in a folder and cannot be read: videos, pages and pictures of kinds that are not read,
folders without permission, pipes. Sheets that captioner drew are left out. Of a camera raw file the
preview in it is read, which is said.""",
    )
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="photos, folders (with all photos below, by name), patterns, tar archives, also "
        "compressed ones, or Parquet tables; `-` reads paths from standard input, one a line",
    )
    parser.add_argument(
        "--list",
        action="append",
        type=flags.file_name,
        metavar="FILE",
        help="photos that a file names: a path a line, or a CSV or JSON lines with a column of "
        "them (file, image, path, …)",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        type=flags.file_name,
        metavar="PATTERN",
        help="leave out what matches: a name, a folder or a path, such as thumbs or '*_edited.*'",
    )
    parser.add_argument(
        "--prefix",
        default="",
        metavar="TEXT",
        help="how every caption must begin, in words that the model knows; with --sidecar .txt, a "
        "tag such as 'sks, ' is put before the text instead, as by --sidecar-prefix",
    )
    flags.add_outputs(parser)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the FILE of --jsonl that a stopped run left, or a finished one that lacks "
        "photos; the other outputs then are whole, too",
    )
    _add_places(parser)
    parser.add_argument("--maps", action="store_true", help="put the maps into the objects too")
    flags.add_languages(parser)
    flags.add_model(parser)
    flags.add_runtime(parser)
    flags.add_map_size(parser)
    flags.add_loudness(parser)
    flags.add_speed(parser)
    parser.add_argument(
        "--time-limit",
        type=flags.number(0, 10**6),
        default=60.0,
        metavar="SECONDS",
        help="how long opening one photo may take; 0 waits for ever (default: 60)",
    )
    _add_engine(parser)
    flags.add_decoding(parser, omit=())
    parser.set_defaults(run=run)


def _add_places(parser: argparse.ArgumentParser) -> None:
    """Where captions go besides: tables, files beside the photos, the photos themselves."""
    group = parser.add_argument_group(
        "where captions go",
        "What a person wrote beside a photo or into it stays, unless you say --replace.",
    )
    group.add_argument(
        "--csv",
        type=flags.file_name,
        metavar="FILE",
        help="a table: file, caption, probability that it names the thing, unsure, error",
    )
    group.add_argument(
        "--write",
        action="append",
        type=flags.file_name,
        metavar="FILE",
        help="captions in any format of docs/formats.md, told by the name: metadata.jsonl for "
        "Hugging Face, captions_results.json for COCO's evaluation, …",
    )
    group.add_argument(
        "--sidecar",
        choices=(".txt", ".caption", ".xmp"),
        metavar="SUFFIX",
        help="write each caption beside its photo: .txt or .caption for those who train image "
        "generators, .xmp for image managers",
    )
    # `--prefix` is how the model begins its sentence; see `_check_prefix`.
    for where, end, more in (("before", "prefix", ()), ("behind", "suffix", ("--suffix",))):
        group.add_argument(
            f"--sidecar-{end}",
            *more,
            default="",
            metavar="TEXT",
            help=f"text {where} every caption of a .txt or .caption",
        )
    group.add_argument(
        "--output",
        type=flags.file_name,
        metavar="DIR",
        help="copies of the photos (JPEG, PNG, WebP, TIFF) with their captions inside, as XMP; "
        "the folders are mirrored and the pictures not compressed anew",
    )
    group.add_argument(
        "--in-place",
        action="store_true",
        help="put the captions into the photos themselves; pixels, time and permissions stay",
    )
    group.add_argument(
        "--replace", action="store_true", help="replace what people wrote there before, too"
    )
    group.add_argument(
        "--dry-run", action="store_true", help="list what would be written, and write nothing"
    )
    group.add_argument(
        "--alt-text",
        action="store_true",
        help="captions as alternative texts: 125 characters at most, no `image of`, and (unsure) "
        "behind those that somebody should look at",
    )


def _add_engine(parser: argparse.ArgumentParser) -> None:
    """On how many machines."""
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="local (default): this process; ray: actors of Ray, on the cluster of RAY_ADDRESS or "
        "on this machine (pip install 'captioner[ray]')",
    )
    parser.add_argument(
        "--actors",
        type=flags.whole(1, 10**5),
        metavar="N",
        help="with --engine ray: processes that hold the model (default: one for each GPU, or for "
        "every two cores)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Captions photos; returns how many failed."""
    flags.check_decoding(arguments)
    _check_outputs(arguments)
    from captioner.pictures.folders import find_photos

    watched = sys.stdout.isatty()

    def line(caption: Caption) -> str:
        texts = [text for one in (caption, *caption.n_best) for text in texts_of(one, watched)]
        if arguments.alt_text:
            texts[0] = alt_text(caption.text, unsure=caption.unsure)
        return "\t".join(map(one_line, [str(caption.file), *texts]))

    streamed = "-" in arguments.paths
    items: Iterable[Found] = _wanted(arguments, find_photos(_all_paths(arguments)))
    if not streamed:
        items = _any(list(items))
    total = None if streamed else _count(items)
    read = [] if streamed else [i.root if i.member else i.path for i in items if i.is_photo]
    read += arguments.list or []
    with CaptionResults(arguments, line, total, read) as results:
        photos = results.expect(items) if streamed else list(results.expect(items))
        if not streamed and not photos:  # all were done by an earlier run
            return results.failed
        captioner = load_captioner(arguments)
        options = flags.decoding(arguments, captioner.options())
        results.agree(_settings(arguments, options))
        # Loading the weights says nothing about the time a photo takes.
        results.bar.reset(None if isinstance(photos, Iterator) else len(photos))
        if isinstance(photos, list) and arguments.engine == "ray":
            _on_cluster(arguments, results, photos, captioner, options)
        else:
            _here(arguments, results, photos, captioner, options)
        if streamed and not results.count:
            raise ConfigError("standard input named no photo; expected one path a line")
    return results.failed


def _here(
    arguments: argparse.Namespace,
    results: CaptionResults,
    photos: Iterable[str | Packed],
    captioner: Captioner,
    options: SearchOptions,
) -> None:
    """Captions the photos in this process."""
    stream = captioner.stream(
        photos,
        batch_size=arguments.batch_size,
        workers=arguments.workers,
        prefix=arguments.prefix,
        to=arguments.to,
        options=options,
        numbers=iter(results.numbers.popleft, None),
        time_limit=arguments.time_limit or None,
    )
    for caption in stream:
        results.add(caption)
        if caption.translation is not None and caption.translation.warning:
            results.tell(f"{caption.file}: {caption.translation.warning}")


def _on_cluster(
    arguments: argparse.Namespace,
    results: CaptionResults,
    photos: list[str | Packed],
    captioner: Captioner,
    options: SearchOptions,
) -> None:
    """Has the photos captioned by Ray."""
    from captioner.captions import cluster
    from captioner.settings import to_dict

    # What is wrong is told here, once, and not by every actor.
    captioner.writer.request(
        options, prefix=arguments.prefix, to=arguments.to, batch_size=arguments.batch_size
    )
    job = cluster.Job(
        checkpoint=arguments.checkpoint and str(Path(arguments.checkpoint).absolute()),
        translator=arguments.translator and str(Path(arguments.translator).absolute()),
        device=pick_device(arguments.device),
        runtime=arguments.runtime,
        map_size=arguments.map_size,
        options=to_dict(options),
        prefix=arguments.prefix,
        to=arguments.to,
        maps=arguments.maps,
        batch_size=arguments.batch_size,
        workers=arguments.workers,
        time_limit=arguments.time_limit or None,
        actors=arguments.actors,
    )
    for values in cluster.captions(photos, list(results.numbers), job):
        results.add_object(values)


def _settings(arguments: argparse.Namespace, options: SearchOptions) -> dict[str, Any]:
    """What the captions depend on, as plain values: only with the same does --resume go on."""
    from captioner.settings import to_dict

    return {
        **to_dict(options),
        "checkpoint": _digest(arguments.checkpoint, "caption"),
        "translator": _digest(arguments.translator, "translate") if arguments.to else None,
        "to": arguments.to,
        "prefix": arguments.prefix,
        "maps": arguments.maps,
        "runtime": arguments.runtime,
        "map_size": arguments.map_size,
        WRITTEN: arguments.write or [],
    }


def _digest(checkpoint: str | None, task: str) -> str:
    """The beginning of the SHA-256 of a checkpoint's file."""
    from captioner.storage import default_path

    with Path(checkpoint or default_path(task)).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _all_paths(arguments: argparse.Namespace) -> Iterator[str]:
    """The paths that were typed, and those of lists.

    Raises:
        ConfigError: there are none.
    """
    from captioner.formats.lists import paths_in

    if not (arguments.paths or arguments.list):
        raise ConfigError("no photo is named; give a PATH, or --list FILE; see --help")
    yield from _paths(arguments.paths)
    for file in arguments.list or ():
        yield from paths_in(file)


def _wanted(arguments: argparse.Namespace, items: Iterable[Found]) -> Iterator[Found]:
    """What no --exclude matches; in a folder, copies that --output made before are no photos."""
    from captioner.pictures.folders import excluded

    copies = os.path.realpath(arguments.output) + os.sep if arguments.output else None
    for item in items:
        if excluded(item.path, arguments.exclude):
            continue
        if copies and item.root and os.path.realpath(item.path).startswith(copies):
            continue
        yield item


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


def _check_prefix(arguments: argparse.Namespace) -> None:
    """Tells the beginning of a sentence from a tag before it, which trainers call a prefix, too."""
    prefix, beside = arguments.prefix, arguments.sidecar in (".txt", ".caption")
    if prefix.rstrip().endswith((",", ";", ":", "|")):
        if not beside or arguments.sidecar_prefix:
            raise ConfigError(
                f"--prefix {prefix!r}: this is how the model begins its sentence, and no sentence "
                "begins with a tag; to put it before the text use --sidecar-prefix "
                f"{prefix!r} with --sidecar .txt"
            )
        arguments.sidecar_prefix, arguments.prefix = prefix, ""
    elif prefix and beside and not is_quiet():
        print(
            f"captioner: --prefix {prefix!r} begins the model's own sentences; what is only put "
            "before the texts is --sidecar-prefix",
            file=sys.stderr,
        )


def _check_outputs(arguments: argparse.Namespace) -> None:
    if arguments.resume and (arguments.jsonl is None or arguments.jsonl in STANDARD_OUTPUT):
        raise ConfigError(
            "--resume goes on behind the objects that an earlier run wrote; add the --jsonl FILE "
            "of that run"
        )
    if arguments.maps and not arguments.jsonl:
        raise ConfigError("--maps belongs to the objects of --jsonl; add --jsonl FILE")
    _check_prefix(arguments)
    flags.check_languages(arguments)
    flags.check_grid(arguments)
    _check_engine(arguments)
    if arguments.dry_run and not (arguments.sidecar or arguments.output or arguments.in_place):
        raise ConfigError(
            "--dry-run lists what --sidecar, --output and --in-place would write; add one of them"
        )
    written = {
        "--jsonl": arguments.jsonl,
        "--csv": arguments.csv,
        "--write": arguments.write,
        "--overlay": arguments.overlay,
    }
    if arguments.dry_run and (flag := next((f for f, value in written.items() if value), None)):
        raise ConfigError(f"--dry-run writes nothing, and {flag} does; leave one of them out")


def _check_engine(arguments: argparse.Namespace) -> None:
    """Refuses what actors on other machines cannot do."""
    if arguments.engine == "local":
        if arguments.actors:
            raise ConfigError("--actors belongs to --engine ray; add it")
        return
    beside = {
        "--overlay": arguments.overlay,
        "--sidecar": arguments.sidecar,
        "--output": arguments.output,
        "--in-place": arguments.in_place,
    }
    if flag := next((flag for flag, value in beside.items() if value), None):
        raise ConfigError(
            f"--engine ray writes --jsonl, --csv and --write; leave {flag} out, or run it on this "
            "machine"
        )
    if "-" in arguments.paths:
        raise ConfigError(
            "--engine ray takes photos that are known from the start; put the list into a file and "
            "name it with --list"
        )
