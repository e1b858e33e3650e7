"""The `captioner` command: parse, call the public function, show what it returned.

Only light modules are imported here, so that `captioner --help` answers at once; a command imports
what it needs when it runs. Exit codes: 0 done, 1 some photos or lines failed (or data have errors),
2 wrong use or nothing usable, 130 stopped by Ctrl-C, 141 the reader of the output went away.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import sys
import textwrap
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from captioner import config
from captioner.config import DataConfig, Recipe, SearchOptions, Source
from captioner.errors import CaptionerError, ConfigError

if TYPE_CHECKING:
    from captioner.audit import Finding
    from captioner.datasets import Photo
    from captioner.evaluation import Report
    from captioner.metrics import Score
    from captioner.prediction import Caption, Captioner

DONE, FAILURES, MISUSE, STOPPED, CLOSED = 0, 1, 2, 130, 141
METRICS = ("bleu", "rouge_l", "cider", "meteor")
BEAM_SIZES, LENGTH_PENALTIES = (1, 3, 5), (0.0, 0.5, 0.7, 1.0)  # what `evaluate --search` tries

ABOUT = "Captions photos and shows, for every word, where it looked."
COMMANDS = """\
commands:
  caption      write a sentence about photos, folders of photos, or a list of paths
  explain      what the model thinks of your sentence: how likely each word is, where it looks
  demo         caption a few photographs that came along with installed packages
  train        teach a model your own captioned photos, from one TOML file
  evaluate     score a checkpoint on captioned photos
  describe     what is in a checkpoint, where it comes from and how good it is
  data check   look for damaged photos, odd captions and leaks between splits

examples:
  captioner demo
  captioner caption photo.jpg holiday/ --overlay sheets
  captioner caption holiday/ --jsonl captions.jsonl --maps
  captioner explain photo.jpg "A dog jumps over a log."
  captioner train configs/caption.toml --output runs/mine

`captioner COMMAND --help` says more about each.
"""


def run() -> int:
    """The console script: `main` on this process's arguments and streams."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name need not be text that a terminal can show
            stream.reconfigure(errors="backslashreplace")
    code = main(sys.argv[1:])
    if code == CLOSED:  # or Python complains, on its way out, about what could not be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def main(arguments: Sequence[str]) -> int:
    """Runs one command.

    Args:
        arguments: as typed after `captioner`.

    Returns:
        The exit code; every error was told in one line on standard error.

    Raises:
        SystemExit: help was asked for and shown.
    """
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError as error:
        # Silent, as for every command in a pipe, unless something was left behind.
        return _told(error, "the output was cut", CLOSED) if _notes(error) else CLOSED
    except KeyboardInterrupt as stop:
        return _told(stop, "stopped", STOPPED)
    except CaptionerError as error:
        return _told(error, str(error), MISUSE)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "captioner"):
            raise
        name = {"PIL": "pillow", "skimage": "scikit-image"}.get(package, package)
        return _told(error, f"{package} is not installed; pip install {name}", MISUSE)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _told(error, f"{place}{error.strerror or error}", MISUSE)


def _run(arguments: Sequence[str]) -> int:
    own = list(arguments)
    settings: list[tuple[str, str]] = []
    if own[:1] == ["train"]:
        own, settings = _split_settings(own)
    parser = _parser()
    parsed = parser.parse_args(own)
    if parsed.version:
        import captioner

        print(f"captioner {captioner.__version__}")
        return DONE
    if parsed.command is None:
        parser.print_help(sys.stderr)
        return MISUSE
    parsed.settings = settings
    code: int = parsed.call(parsed)
    return code


def _told(error: BaseException, message: str, code: int) -> int:
    print(f"captioner: {'; '.join([message, *_notes(error)])}", file=sys.stderr)
    return code


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


# What can be typed.


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and shows its texts as they are written."""

    def __init__(self, **settings: Any) -> None:
        def shape(prog: str) -> argparse.HelpFormatter:
            return argparse.RawDescriptionHelpFormatter(prog, max_help_position=34, width=100)

        super().__init__(formatter_class=shape, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Raises what `main` shows."""
        raise ConfigError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="captioner", description=ABOUT, epilog=COMMANDS, usage="%(prog)s COMMAND")
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    commands = parser.add_subparsers(
        dest="command", prog="captioner", help=argparse.SUPPRESS, metavar="COMMAND"
    )
    for add in (_add_caption, _add_explain, _add_demo, _add_train, _add_evaluate, _add_describe):
        add(commands)
    _add_data(commands)
    return parser


def _add_caption(commands: Any) -> None:
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

A file that is no photo is told on standard error, the others go on, and the exit code is 1.""",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="photos, folders (with all photos below, by name) or patterns; `-` reads paths from "
        "standard input, one a line",
    )
    parser.add_argument("--prefix", default="", metavar="TEXT", help="how every caption must begin")
    _add_outputs(parser)
    parser.add_argument("--maps", action="store_true", help="put the maps into the objects too")
    _add_model(parser)
    _add_speed(parser)
    _add_decoding(parser, omit=())
    parser.set_defaults(call=_caption)


def _add_explain(commands: Any) -> None:
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
        metavar="FILE",
        help="many: a photo's path, a tab and a sentence on every line; `-` is standard input",
    )
    _add_outputs(parser)
    _add_model(parser)
    _add_speed(parser)
    _add_fields(parser, SearchOptions, only=("alternatives",))
    parser.set_defaults(call=_explain, maps=True)


def _add_demo(commands: Any) -> None:
    parser = commands.add_parser(
        "demo",
        usage="captioner demo [options]",
        description="Captions photographs that came along with installed packages (Gradio, "
        "scikit-image), and draws\na sheet for each: every word over the place that it looked at. "
        "Nothing is fetched.",
    )
    parser.add_argument(
        "--output",
        default="captioner-demo",
        metavar="DIR",
        help="folder for the sheets (default: ./captioner-demo)",
    )
    _add_model(parser)
    parser.set_defaults(call=_demo)


def _add_train(commands: Any) -> None:
    parser = commands.add_parser(
        "train",
        usage="captioner train CONFIG.toml [--KEY VALUE …] [--resume] [--device DEVICE]",
        description="Trains a model as a recipe says. The recipe is a TOML file; every setting "
        "below stands in it\nunder its name, or is typed here to replace what the file says.",
        epilog="""\
examples:
  captioner train configs/caption.toml
  captioner train configs/caption.toml --output runs/small --training.batch_size 16
  captioner train configs/caption.toml --init shipped --phases.0.epochs=3
  captioner train configs/caption.toml --resume

Ctrl-C saves after the current step; the same command with --resume goes on at that very step.""",
    )
    parser.add_argument("recipe", nargs="?", metavar="CONFIG.toml", help="the recipe")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    _add_device(parser)
    for title, about, settings in _setting_groups():
        group = parser.add_argument_group(title, about)
        for place, entry, default in settings:
            group.add_argument(f"--{place}", metavar=_metavar(entry), help=_help_of(entry, default))
    parser.set_defaults(call=_train)


def _add_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        usage="captioner evaluate --captions FILE --images DIR [options]",
        description="Captions the photos of a split and compares with what people wrote. Each "
        "score comes with its recipe,\nwithout which it cannot be compared.",
        epilog="""\
examples:
  captioner evaluate --captions captions_test.json --images images --output scores
  captioner evaluate --checkpoint runs/mine/best.safetensors --captions dataset_flickr8k.json \\
    --images images --split val --search --save-scores validation

Choose beam size and length penalty on validation photos (--search), then score the test photos.
METEOR is the Java program METEOR 1.5: it needs a Java runtime and pip install pycocoevalcap.""",
    )
    _add_fields(parser, Source, required=("captions", "images"))
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N photos")
    parser.add_argument(
        "--metrics",
        default=METRICS[:3],
        type=_metric_names,
        metavar="NAMES",
        help=f"scores, with commas between: {', '.join(METRICS)} (default: bleu,rouge_l,cider)",
    )
    parser.add_argument(
        "--bootstrap",
        type=int,
        default=1000,
        metavar="N",
        help="resamples for the 95 %% intervals; 0 leaves them out (default: 1000)",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="folder for scores.json, captions.jsonl and extremes.png: the worst, median and best "
        "photos",
    )
    parser.add_argument("--json", metavar="FILE", help="the scores as JSON; `-` is standard output")
    parser.add_argument(
        "--search",
        action="store_true",
        help=f"first try beam sizes {', '.join(map(str, BEAM_SIZES))} with length penalties "
        f"{', '.join(map(str, LENGTH_PENALTIES))} and take the best by CIDEr; only on validation",
    )
    parser.add_argument(
        "--save-scores",
        nargs="?",
        const="",
        metavar="NAME",
        help="write the scores into the checkpoint under this name (default: the split's or the "
        "file's), and make this decoding its own",
    )
    _add_model(parser)
    _add_speed(parser)
    _add_decoding(parser, omit=("n_best", "alternatives"))
    parser.set_defaults(call=_evaluate)


def _add_describe(commands: Any) -> None:
    parser = commands.add_parser(
        "describe",
        usage="captioner describe [CHECKPOINT] [--json]",
        description="Shows what is in a checkpoint, where it comes from and how it scored.",
    )
    parser.add_argument(
        "checkpoint", nargs="?", metavar="CHECKPOINT", help="default: the one that came along"
    )
    parser.add_argument(
        "--json", action="store_true", help="everything as JSON, the vocabulary too"
    )
    parser.set_defaults(call=_describe)


def _add_data(commands: Any) -> None:
    data = commands.add_parser("data", usage="captioner data check …", description="Looks at data.")
    topics = data.add_subparsers(
        dest="topic", prog="captioner data", required=True, metavar="check"
    )
    parser = topics.add_parser(
        "check",
        usage="captioner data check NAME=CAPTIONS:IMAGES[:SPLIT] … | --config CONFIG.toml\n"
        "       captioner data check --captions FILE --images DIR [--format F] [--split S]",
        description="Opens every photo, reads every caption and compares the splits; says what is "
        "wrong and what to do.\nThe exit code is 1 where something has to be mended.",
        epilog="""\
examples:
  captioner data check --config configs/caption.toml
  captioner data check --captions captions_train.json --images images
  captioner data check train=captions_train.json:images test=captions_test.json:images
  captioner data check train=dataset_coco.json:coco:train+restval val=dataset_coco.json:coco:val""",
    )
    parser.add_argument(
        "splits",
        nargs="*",
        metavar="NAME=CAPTIONS:IMAGES[:SPLIT]",
        help="a split: its name, its captions file, its folder of photos, its name in the file",
    )
    parser.add_argument("--config", metavar="CONFIG.toml", help="the data of a training recipe")
    _add_fields(parser, Source)
    parser.add_argument(
        "--min-count",
        type=int,
        metavar="N",
        help="words met fewer times in the training captions count as unknown (default: the "
        f"recipe's, or {DataConfig.min_count})",
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=10,
        metavar="N",
        help="findings of one kind that are told apart in a split (default: 10)",
    )
    parser.set_defaults(call=_check_data)


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--jsonl",
        metavar="FILE",
        help="write an object a photo, in input order; `-` is standard output. FILE.partial grows "
        "line by line and takes the name FILE at the end",
    )
    parser.add_argument(
        "--overlay",
        metavar="DIR",
        help="draw a sheet a photo, named after it: every word over the place that it looked at",
    )
    parser.add_argument(
        "--grid", action="store_true", help="show the real grid cells on the sheets, not smoothed"
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="weights to use (default: those that came along)"
    )
    _add_device(parser)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        default="auto",
        metavar="DEVICE",
        help="cpu, cuda, cuda:1, …; auto (default) is a GPU where there is one",
    )


def _add_speed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch-size",
        type=int,
        default=32,
        metavar="N",
        help="photos computed together (default: 32)",
    )
    parser.add_argument(
        "--workers", type=int, default=2, metavar="N", help="threads that open photos (default: 2)"
    )


def _add_decoding(parser: argparse.ArgumentParser, omit: Sequence[str]) -> None:
    group = parser.add_argument_group(
        "decoding", "What has no default here is as the checkpoint has it (captioner describe)."
    )
    names = [entry.name for entry in dataclasses.fields(SearchOptions) if entry.name not in omit]
    _add_fields(group, SearchOptions, only=names)


def _add_fields(
    parser: Any, cls: type, *, only: Sequence[str] = (), required: Sequence[str] = ()
) -> None:
    """Flags made from a dataclass: `beam_size` is --beam-size. What is not typed is None."""
    hints = typing.get_type_hints(cls)
    for entry in dataclasses.fields(cls):
        if only and entry.name not in only:
            continue
        # How much is told is no matter of decoding: evaluation and training switch it off.
        default = entry.default if entry.name == "alternatives" else None
        flag, about = f"--{entry.name.replace('_', '-')}", _help_of(entry, default)
        if hints[entry.name] is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=about)
            continue
        parser.add_argument(
            flag,
            type=hints[entry.name],
            required=entry.name in required,
            default=default,
            metavar=_metavar(entry),
            choices=entry.metadata["choices"] or None,
            help=about,
        )


def _help_of(entry: dataclasses.Field[Any], default: Any) -> str:
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


def _metavar(entry: dataclasses.Field[Any]) -> str:
    named = {"captions": "FILE", "images": "DIR", "output": "DIR", "init": "FILE"}
    kinds = {"int": "N", "float": "X", "bool": "true|false"}
    return named.get(entry.name) or kinds.get(str(entry.type), "TEXT")


def _given(arguments: argparse.Namespace, cls: type) -> dict[str, Any]:
    """What was typed of the fields of `cls`."""
    values = {f.name: getattr(arguments, f.name, None) for f in dataclasses.fields(cls)}
    return {name: value for name, value in values.items() if value is not None}


def _metric_names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in METRICS:
            raise argparse.ArgumentTypeError(
                f"no score is called {name!r}; expected {', '.join(METRICS)}, with commas between"
            )
    return names


# caption, explain, demo: captions in, lines, objects and sheets out.


def _caption(arguments: argparse.Namespace) -> int:
    _check_decoding(arguments)
    _check_outputs(arguments)
    from captioner.images import find_photos

    photos = find_photos(_paths(arguments.paths))

    def line(caption: Caption) -> str:
        texts = [caption.text, *(other.text for other in caption.n_best)]
        return "\t".join([_one_line(str(caption.file)), *texts])

    with _Results(arguments, line, len(photos)) as results:
        captioner = _captioner(arguments)
        results.bar.reset()  # loading the weights says nothing about the time a photo takes
        stream = captioner.stream(
            photos,
            batch_size=arguments.batch_size,
            workers=arguments.workers,
            prefix=arguments.prefix,
            **_given(arguments, SearchOptions),
        )
        for caption in stream:
            results.add(caption)
    return results.code


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


def _check_decoding(arguments: argparse.Namespace) -> None:
    typed = [flag for flag in ("top_p", "temperature") if getattr(arguments, flag) is not None]
    if typed and not arguments.sample:
        flag = typed[0].replace("_", "-")
        raise ConfigError(f"--{flag} shapes random draws and does nothing here; add --sample")


def _check_outputs(arguments: argparse.Namespace) -> None:
    if arguments.maps and not arguments.jsonl:
        raise ConfigError("--maps belongs to the objects of --jsonl; add --jsonl FILE")
    _check_grid(arguments)


def _check_grid(arguments: argparse.Namespace) -> None:
    if arguments.grid and not arguments.overlay:
        raise ConfigError("--grid belongs to the sheets of --overlay; add --overlay DIR")


def _explain(arguments: argparse.Namespace) -> int:
    _check_grid(arguments)
    pairs, broken = _pairs(arguments)
    line = _verdict if arguments.input else _word_table
    with _Results(arguments, line, len(pairs)) as results:
        captioner = _captioner(arguments)
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
    return results.code


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
        other = f"{'(end)' if text == '.' else text} {_percent(prob)}" if text else "–"
        chance = "unknown" if word.prob is None else _percent(word.prob)
        rows.append((word.text, chance, other, _percent(share)))
    end = f"log probability of the sentence, its end included: {caption.log_prob:.2f}"
    return f"{_columns(rows, right=(1, 3))}\n{end}"


def _verdict(caption: Caption) -> str:
    return f"{_one_line(str(caption.file))}\t{caption.log_prob:.4g}\t{caption.text}"


def _tell_unknown(caption: Caption, results: _Results) -> None:
    unknown = [word.text for word in caption.words if not word.known]
    if unknown:
        results.tell(
            f"{caption.file}: the model does not know {', '.join(map(repr, unknown))}; an unknown "
            "word keeps its place and its map, but has no probability"
        )


def _demo(arguments: argparse.Namespace) -> int:
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
    captioner = _captioner(arguments)
    sheets = _Sheets(arguments.output, grid=False)
    for example, path in examples:
        caption = captioner(path)
        print(f"{example.name}: {caption.text}")
        print(f"  {path} ({example.credit}; {example.licence})")
        print(f"  {sheets.draw(caption)}", flush=True)
    print("\nEach sheet shows every word over the place that it looked at. Your own photos:")
    print("  captioner caption PHOTO… --overlay sheets")
    return DONE


class _Results:
    """Where captions go: lines or objects on standard output, a file of objects, sheets."""

    def __init__(
        self, arguments: argparse.Namespace, line: Callable[[Caption], str], total: int
    ) -> None:
        self.line = line
        self.total = total
        self.maps: bool = arguments.maps
        self.printed = arguments.jsonl == "-"
        self.jsonl = Path(arguments.jsonl) if arguments.jsonl and not self.printed else None
        self.overlay, self.grid = arguments.overlay, arguments.grid
        self.failures = 0
        self.stack = contextlib.ExitStack()

    def __enter__(self) -> _Results:
        self.sheets = _Sheets(self.overlay, self.grid) if self.overlay else None
        self.bar = self.stack.enter_context(_bar(self.total, "photo"))
        self.write = self.stack.enter_context(_json_lines(self.jsonl)) if self.jsonl else None
        return self

    def __exit__(self, *error: Any) -> None:
        self.stack.__exit__(*error)
        if self.failures and self.total > 1 and error[0] is None:
            print(f"captioner: {self.failures} of {self.total} failed, see above", file=sys.stderr)

    @property
    def code(self) -> int:
        """The exit code."""
        return FAILURES if self.failures else DONE

    def add(self, caption: Caption) -> None:
        """Puts one caption wherever it was asked for."""
        error = caption.error
        if error is None and self.sheets:
            try:
                self.sheets.draw(caption)
            except CaptionerError as problem:  # gone since it was captioned
                error = str(problem)
        if self.write or self.printed:
            text = json.dumps(caption.to_dict(maps=self.maps), ensure_ascii=False)
            if self.write:
                self.write(text)
        if self.printed:
            self.show(text)
        elif caption.error is None:
            self.show(self.line(caption))
        if error is not None:
            self.failures += 1
            self.tell(error)
        self.bar.update(1)

    def show(self, text: str) -> None:
        """Prints on standard output at once, above the progress bar."""
        self.bar.write(text, file=sys.stdout)
        sys.stdout.flush()

    def tell(self, text: str) -> None:
        """Says something on standard error."""
        self.bar.write(f"captioner: {text}", file=sys.stderr)


class _Sheets:
    """A folder of contact sheets, named after their photos."""

    def __init__(self, folder: str, grid: bool) -> None:
        self.folder, self.grid = Path(folder), grid
        self.taken: set[str] = set()
        self.folder.mkdir(parents=True, exist_ok=True)

    def draw(self, caption: Caption) -> Path:
        """Writes one sheet, whole or not at all, and says where."""
        path = self.folder / f"{self._name(Path(str(caption.file)))}.png"
        with _whole(path) as partial:
            caption.sheet(grid=self.grid).save(partial, format="PNG")
        return path

    def _name(self, photo: Path) -> str:
        """`dog`; where another photo has that name, the folder's too: `holiday-dog`, `dog-2`."""
        candidates = chain(
            [photo.stem, f"{photo.parent.name}-{photo.stem}"],
            (f"{photo.stem}-{number}" for number in count(2)),
        )
        name = next(name for name in candidates if name.casefold() not in self.taken)
        self.taken.add(name.casefold())  # some file systems take Dog and dog for one
        return name


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, which takes its name when all is written."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _json_lines(path: Path) -> Iterator[Callable[[str], None]]:
    """Writes lines to `path`.partial as they come and gives the file its name at the end.

    A temporary file that is thrown away would lose hours of work at a Ctrl-C, and writing to `path`
    itself would leave half a file that looks whole.
    """
    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe, /dev/null
        with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield lambda text: _write_line(file, text)
        return
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; expected the name of a file, e.g. {path}/all.jsonl")
    partial = path.with_name(f"{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Half a character in a path (\udcff) comes out as JSON writes it.
        file = partial.open("x", encoding="utf-8", errors="backslashreplace")
    except FileExistsError:
        raise ConfigError(
            f"{partial} holds what a stopped run had written, or another one is writing; rename "
            "it or delete it first"
        ) from None
    try:
        with file:
            yield lambda text: _write_line(file, text)
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        if partial.stat().st_size:
            error.add_note(f"what was done so far is in {partial}")
        else:
            partial.unlink()
        raise


def _write_line(file: TextIO, text: str) -> None:
    file.write(f"{text}\n")
    file.flush()


# train


def _split_settings(arguments: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Parts `train`'s arguments into its own and the recipe's: (--training.batch_size, 16)."""
    own: list[str] = []
    settings = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if not name.startswith("--") or name in ("--help", "--resume", "--device"):
            own.append(argument)
            continue
        if not equals:
            following = next(rest, None)
            if following is None or following.startswith("--"):
                raise ConfigError(f"{name} needs a value: {name} VALUE; see captioner train --help")
            value = following
        settings.append((name.removeprefix("--").replace("-", "_"), value))
    return own, settings


def _read_recipe(path: str | None, settings: Iterable[tuple[str, str]] = ()) -> Recipe:
    import tomllib

    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"{path}: no such file; expected a recipe (.toml)") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: no TOML: {error}") from None
    for place, text in settings:
        _check_place(place)
        config.override(values, place, text)
    return config.from_dict(Recipe, values)


def _check_place(place: str) -> None:
    """Helps where a setting was typed without its table: `batch_size`."""
    if "." in place or place in {entry.name for entry in dataclasses.fields(Recipe)}:
        return
    places = [dotted for _, _, settings in _setting_groups() for dotted, _, _ in settings]
    alike = [f"--{dotted}" for dotted in places if dotted.rpartition(".")[2] == place]
    if alike:
        raise ConfigError(f"{place} is no setting by itself; did you mean {' or '.join(alike)}?")


def _train(arguments: argparse.Namespace) -> int:
    recipe = _read_recipe(arguments.recipe, arguments.settings)
    device = _device(arguments.device)
    from captioner import checkpoint, training

    folder = Path(recipe.output)
    print(f"training on {device}; everything goes to {folder}/: best.safetensors, log.csv, …")
    print(f"watch it: tensorboard --logdir {folder}", flush=True)
    try:
        best = training.train(recipe, resume=arguments.resume, device=device)
    except training.Interrupted as stop:
        return _told(stop, str(stop), STOPPED)
    print(f"\nbest checkpoint: {best}")
    _print_scores(checkpoint.describe(best)["provenance"])
    source = (recipe.data.validation or recipe.data.train)[0]
    print(f"""
what to do with it:
  captioner caption --checkpoint {best} --overlay sheets PHOTO…
  captioner evaluate --checkpoint {best} --captions {source.captions} --images {source.images}
  captioner describe {best}""")
    return DONE


_Setting = tuple[str, dataclasses.Field[Any], Any]


def _setting_groups() -> Iterator[tuple[str, str, list[_Setting]]]:
    """The recipe's settings by table: heading, what it is about, (dotted place, field, default)."""
    groups: dict[str, tuple[str, list[_Setting]]] = {}

    def walk(cls: Any, values: Any, place: str, table: str, about: str) -> None:
        hints = typing.get_type_hints(cls)
        own = groups.setdefault(table, (about, []))[1]
        for entry in dataclasses.fields(cls):
            kind, dotted = hints[entry.name], f"{place}{entry.name}"
            default: Any = entry.default if values is None else getattr(values, entry.name)
            heading, text = f"{table.strip('[]')}.{entry.name}".strip("."), entry.metadata["help"]
            if dataclasses.is_dataclass(kind):
                walk(kind, default, f"{dotted}.", heading, text)
            elif typing.get_origin(kind) is tuple:
                first = default[0] if default else None
                walk(typing.get_args(kind)[0], first, f"{dotted}.0.", f"[{heading}]", text)
            else:
                own.append((dotted, entry, default))

    walk(Recipe, Recipe(), "", "", "")
    for table, (about, settings) in groups.items():
        if settings:
            many = "; .1., .2., … for more of them" if table.startswith("[") else ""
            yield (f"[{table}]" if table else "recipe", about + many, settings)


# evaluate


def _evaluate(arguments: argparse.Namespace) -> int:
    _check_evaluation(arguments)
    with contextlib.ExitStack() as stack:
        if arguments.json == "-":  # whoever parses standard output wants nothing else there
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        text, failures = _evaluated(arguments)
    if arguments.json == "-":
        print(text, end="")
    elif arguments.json:
        _write_text(Path(arguments.json), text)
    return FAILURES if failures else DONE


def _evaluated(arguments: argparse.Namespace) -> tuple[str, int]:
    """The evaluation as JSON, and how many photos could not be read; the rest is shown."""
    from captioner import datasets
    from captioner.evaluation import evaluate

    photos = datasets.read(Source(**_given(arguments, Source)))[: arguments.limit]
    captioner = _captioner(arguments)
    speed: dict[str, Any] = {"batch_size": arguments.batch_size, "workers": arguments.workers}
    settings = _given(arguments, SearchOptions)
    if arguments.search:
        settings |= _search_decoding(captioner, photos, speed, settings)
    with _bar(len(photos), "photo") as bar:
        report = evaluate(
            captioner,
            photos,
            names=arguments.metrics,
            bootstrap=arguments.bootstrap,
            progress=lambda: bar.update(1),
            **speed,
            **settings,
        )
    for score in report.scores.values():
        print(score)
    for reason in report.left_out:
        print(f"captioner: {reason}", file=sys.stderr)
    options = captioner.options(**settings, alternatives=SearchOptions.alternatives)
    return _keep_evaluation(arguments, captioner, report, options), len(report.left_out)


def _check_evaluation(arguments: argparse.Namespace) -> None:
    _check_decoding(arguments)
    if arguments.limit is not None and arguments.limit < 1:
        raise ConfigError(f"--limit is {arguments.limit}; expected 1 photo or more")
    if arguments.save_scores is not None and not arguments.checkpoint:
        raise ConfigError("--save-scores changes a checkpoint; name it with --checkpoint FILE")
    typed = [
        name
        for name in ("beam_size", "length_penalty", "sample")
        if getattr(arguments, name) is not None
    ]
    if arguments.search and typed:
        flag = typed[0].replace("_", "-")
        raise ConfigError(f"--search finds beam size and length penalty itself; leave --{flag} out")


def _search_decoding(
    captioner: Captioner,
    photos: Sequence[Photo],
    speed: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Shows how each beam size and length penalty scores; the best by CIDEr comes back.

    A beam finds the same sentences whatever the penalty, which only ranks them at the end: one
    search a beam size is enough.
    """
    rows = [("beam", "length penalty", "CIDEr", "BLEU-4")]
    tried: list[tuple[float, dict[str, Any]]] = []
    for beam_size in BEAM_SIZES:
        found = _all_sentences(captioner, photos, speed, {**settings, "beam_size": beam_size})
        for penalty in LENGTH_PENALTIES if beam_size > 1 else (None,):
            scores = _ranked_scores(found, penalty or 0.0)
            cider, bleu = scores["cider"].value, scores["bleu_4"].value
            shown = "–" if penalty is None else f"{penalty:g}"
            rows.append((str(beam_size), shown, f"{cider:.4f}", f"{bleu:.4f}"))
            chosen = {"beam_size": beam_size, "length_penalty": penalty}
            tried.append((cider, {k: v for k, v in chosen.items() if v is not None}))
    best = max(tried, key=lambda entry: entry[0])[1]
    print(_columns(rows, right=(0, 1, 2, 3)))
    print(f"best by CIDEr: {', '.join(f'{k} {v:g}'.replace('_', ' ') for k, v in best.items())}")
    print("chosen on these very photos: for scores to be compared, take others\n", flush=True)
    return best


_Sentences = list[tuple["Photo", list[tuple[str, float, int]]]]  # text, log p, words and the end


def _all_sentences(
    captioner: Captioner,
    photos: Sequence[Photo],
    speed: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> _Sentences:
    """For every readable photo, all sentences that the beam found."""
    paths = [photo.path for photo in photos]
    beam_size = settings["beam_size"]
    own = {**settings, "n_best": beam_size, "alternatives": 0}
    with _bar(len(photos), f"photo, beam {beam_size}") as bar:
        found: _Sentences = []
        for photo, caption in zip(photos, captioner.stream(paths, **speed, **own), strict=True):
            bar.update(1)
            if caption.error is None:
                every = (caption, *caption.n_best)
                found.append((photo, [(c.text, c.log_prob, len(c.words) + 1) for c in every]))
    return found


def _ranked_scores(found: _Sentences, length_penalty: float) -> dict[str, Score]:
    """Scores of the sentences that `length_penalty` ranks first."""
    from captioner import metrics

    said = [
        max(sentences, key=lambda entry: entry[1] / entry[2] ** length_penalty)[0]
        for _, sentences in found
    ]
    written = [photo.captions for photo, _ in found]
    return metrics.score(said, written, names=("bleu", "cider"), bootstrap=0)


def _keep_evaluation(
    arguments: argparse.Namespace, captioner: Captioner, report: Report, options: SearchOptions
) -> str:
    """Writes what was found wherever it was asked for; it comes back as JSON."""
    record = {
        "checkpoint": arguments.checkpoint or "shipped",
        "captions": arguments.captions,
        "split": arguments.split or "",
        "photos": len(report.photos),
        "left_out": list(report.left_out),
        "decoding": config.to_dict(options),
        "scores": report.to_dict(),
    }
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    if arguments.output:
        _write_evaluation(Path(arguments.output), report, text)
    if arguments.save_scores is not None:
        name = arguments.save_scores or arguments.split or Path(arguments.captions).stem
        _save_scores(Path(arguments.checkpoint), captioner, name, report, options)
    return text


def _write_evaluation(folder: Path, report: Report, scores: str) -> None:
    from captioner.evaluation import draw_extremes

    _write_text(folder / "scores.json", scores)
    _write_text(folder / "captions.jsonl", "".join(_judged(report)))
    with _whole(folder / "extremes.png") as partial:
        draw_extremes(report).save(partial, format="PNG")
    print(f"{folder}/: scores.json, captions.jsonl, extremes.png")


def _judged(report: Report) -> Iterator[str]:
    """A line of JSON a photo: its caption, its own CIDEr, what people wrote."""
    judged = zip(report.captions, report.photo_cider.tolist(), report.photos, strict=True)
    for caption, cider, photo in judged:
        values = {**caption.to_dict(), "cider": round(cider, 4), "references": photo.captions}
        yield json.dumps(values, ensure_ascii=False) + "\n"


def _save_scores(
    path: Path, captioner: Captioner, name: str, report: Report, options: SearchOptions
) -> None:
    """Rewrites the checkpoint with its scores, and with the decoding that they hold for."""
    import torch

    from captioner import checkpoint as checkpoints

    old = captioner.checkpoint
    scores = {**_scores_by_split(old.provenance), name: report.to_dict()}
    provenance = {**old.provenance, "scores": scores}
    values = old.model.cpu().state_dict().values()
    # As a rule weights are stored in half precision; others must not lose their digits here.
    half = all(torch.equal(v, v.half().float()) for v in values if v.dtype == torch.float32)
    checkpoints.save(
        dataclasses.replace(old, search=options, provenance=provenance),
        path,
        torch.float16 if half else torch.float32,
    )
    print(f"{path}: scores kept as {name!r}; its own decoding is the one scored here")


def _scores_by_split(provenance: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Scores by the name of their split; training leaves those of its validation photos bare."""
    scores = provenance.get("scores", {})
    bare = {name: entry for name, entry in scores.items() if "recipe" in entry}
    named = {name: entry for name, entry in scores.items() if "recipe" not in entry}
    return {"validation": bare, **named} if bare else named


def _print_scores(provenance: Mapping[str, Any]) -> None:
    from captioner.metrics import Score

    for split, scores in _scores_by_split(provenance).items():
        print(f"scores on {split}:")
        for entry in scores.values():
            value = float("nan") if entry["value"] is None else entry["value"]
            print(f"  {Score(**{**entry, 'value': value})}")


# describe


def _describe(arguments: argparse.Namespace) -> int:
    from captioner import checkpoint

    header = checkpoint.describe(arguments.checkpoint or checkpoint.default_path())
    if arguments.json:
        print(json.dumps(header, indent=2, ensure_ascii=False))
        return DONE
    for label, text in (*_what_it_is(header), *_where_it_is_from(header["provenance"])):
        indent = " " * 14
        print(textwrap.fill(text, 100, initial_indent=f"{label:14}", subsequent_indent=indent))
    _print_scores(header["provenance"])
    return DONE


def _what_it_is(header: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    encoder, attention, decoder = (header["config"][k] for k in ("encoder", "attention", "decoder"))
    side, cells = encoder["image_size"], encoder["image_size"] // encoder["stride"]
    preprocess, search = header["preprocess"], header["search"]
    gate = ", gated context" if decoder["gate"] else ""
    tied = ", one matrix for words in and out" if decoder["tie_embeddings"] else ""
    yield "file", f"{header['file']}, {header['bytes'] / 1e6:.1f} MB, format {header['format']}"
    yield "task", "photo to caption" if header["task"] == "caption" else header["task"]
    yield (
        "encoder",
        f"{encoder['name']}, stride {encoder['stride']}: {side} × {side} pixels become {cells} × "
        f"{cells} cells of {encoder['feature_size']} features",
    )
    yield (
        "attention",
        f"{attention['score']} score of size {attention['size']}, asked {attention['query']} the "
        "recurrent step",
    )
    yield (
        "decoder",
        f"{decoder['cell'].upper()} of size {decoder['hidden_size']}, word embeddings of "
        f"{decoder['embedding_size']}{gate}{tied}",
    )
    yield "parameters", f"{header['parameters']:,}"
    yield "vocabulary", f"{len(header['vocabulary']) - 4:,} words and 4 special tokens"
    yield (
        "preprocessing",
        f"squashed to {preprocess['size']} × {preprocess['size']} pixels, mean "
        f"{preprocess['mean']}, standard deviation {preprocess['std']}",
    )
    yield (
        "decoding",
        f"beam {search['beam_size']}, length penalty {search['length_penalty']:g}, at most "
        f"{search['max_length']} words",
    )


def _where_it_is_from(provenance: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    recipe = provenance.get("recipe", {})
    if recipe:
        sources = ", ".join(source["captions"] for source in recipe["data"]["train"])
        counts = f"{provenance['photos']:,} photos with {provenance['captions']:,} captions"
        yield "trained on", f"{counts}: {sources}"
        phases = ", ".join(f"{p['name'] or 'one phase'} {p['epochs']}" for p in recipe["phases"])
        place = f"{provenance['phase'] or 'its phase'}, epoch {provenance['epoch']}"
        yield "epochs", f"{phases}; best on validation, and so kept: {place}"
    if provenance.get("licence"):
        yield "licence", provenance["licence"]
    if "started_from" in provenance:
        start = provenance["started_from"]
        yield "started from", f"{start['checkpoint']} of {start.get('created', 'unknown date')}"
    if "created" in provenance:
        versions = ", ".join(f"{k} {v}" for k, v in provenance.get("versions", {}).items())
        yield "created", f"{provenance['created']}, with {versions}"


# data check


def _check_data(arguments: argparse.Namespace) -> int:
    from captioner import audit, datasets

    sources, min_count = _named_sources(arguments)
    splits = {
        name: [photo for source in several for photo in datasets.read(source)]
        for name, several in sources.items()
    }
    with _bar(2, "entry") as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        findings = audit.audit(splits, min_count=min_count, progress=advance, limit=arguments.limit)
    print(audit.table(audit.summary(splits)))
    _print_findings(findings)
    return FAILURES if any(finding.severity == "error" for finding in findings) else DONE


def _named_sources(arguments: argparse.Namespace) -> tuple[dict[str, tuple[Source, ...]], int]:
    """What to look at, by name of the split, and the count below which words are unknown."""
    single = _given(arguments, Source)
    if sum(map(bool, (arguments.splits, arguments.config, single))) != 1:
        raise ConfigError(
            "name the data in one of three ways: --config CONFIG.toml, --captions FILE --images "
            "DIR, or NAME=CAPTIONS:IMAGES for each split"
        )
    min_count = arguments.min_count or DataConfig.min_count
    if arguments.config:
        data = _read_recipe(arguments.config).data
        named = {"train": data.train, "validation": data.validation}
        found = {name: sources for name, sources in named.items() if sources}
        return found, arguments.min_count or data.min_count
    if single:
        return {single.get("split", "data"): (Source(**single),)}, min_count
    splits: dict[str, tuple[Source, ...]] = {}
    for text in arguments.splits:
        name, source = _split_source(text)
        splits[name] = (*splits.get(name, ()), source)
    return splits, min_count


def _split_source(text: str) -> tuple[str, Source]:
    name, _, rest = text.partition("=")
    parts = rest.split(":")
    if not name or len(parts) not in (2, 3) or not all(parts):
        raise ConfigError(
            f"{text!r} names no split; expected NAME=CAPTIONS:IMAGES or NAME=CAPTIONS:IMAGES:SPLIT "
            "(paths with a colon go into --captions and --images)"
        )
    return name, Source(parts[0], parts[1], split="".join(parts[2:]))


def _print_findings(findings: Sequence[Finding]) -> None:
    headings = {
        "error": "errors, to be mended before training",
        "warning": "warnings, worth a look",
        "info": "good to know",
    }
    for severity, several in groupby(findings, lambda finding: finding.severity):
        print(f"\n{headings[severity]}")
        for remedy, alike in groupby(several, lambda finding: finding.remedy):
            for finding in alike:
                print(f"  {finding.split}: {finding.subject}: {finding.message}")
            print(f"    → {remedy}")


# What several commands share.


def _captioner(arguments: argparse.Namespace) -> Captioner:
    device = _device(arguments.device)
    from captioner.prediction import Captioner

    return Captioner.load(arguments.checkpoint, device)


def _device(name: str) -> str:
    """The device to compute on; `auto` is a GPU where there is one."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ConfigError(f"--device {name} cannot be used here ({reason}); try cpu") from None
    return name


def _bar(total: int, unit: str) -> Any:
    """A progress bar on standard error, where somebody watches and has to wait."""
    from tqdm import tqdm

    hidden = total < 2 or not sys.stderr.isatty()
    return tqdm(total=total, unit=unit, disable=hidden, leave=False, dynamic_ncols=True)


def _columns(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows as aligned lines; the columns numbered in `right` end flush."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, strict=True)
        line = (c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(cells))
        lines.append("  ".join(line).rstrip())
    return "\n".join(lines)


def _percent(share: float) -> str:
    """A share as a percentage that never rounds to impossible or to certain."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if 0.999 < share < 1 else f"{100 * share:.1f} %"


def _one_line(text: str) -> str:
    """A path without what would break a line of output, or a terminal."""
    return "".join(
        c if c.isprintable() or "\ud800" <= c <= "\udfff" else ascii(c)[1:-1] for c in text
    )


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _whole(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
