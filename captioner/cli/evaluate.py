"""`captioner evaluate`: captioned photos or sentence pairs in, scores with their recipe out."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from captioner.captions.recipe import Source
from captioner.cli import flags
from captioner.cli.display import progress_bar
from captioner.cli.scored import KINDS, Scored
from captioner.cli.scores import (
    BEAM_SIZES,
    LENGTH_PENALTIES,
    SCORES,
    Outcome,
    best_decoding,
    keep,
)
from captioner.errors import ConfigError
from captioner.options import PHOTOS_AT_ONCE, SENTENCES_AT_ONCE, THREADS, SearchOptions
from captioner.outputs import DRAWING, OBJECTS, Guard, file_path, write_text

METRICS = ("bleu", "rouge_l", "cider", "meteor")


def add(commands: Any) -> None:
    """The flags."""
    parser = commands.add_parser(
        "evaluate",
        usage="captioner evaluate --captions FILE --images DIR [options]\n"
        "       captioner evaluate --source FILE --target FILE --from LANGUAGE --to LANGUAGE "
        "[options]",
        description="Captions the photos of a split, or translates the sentences of a file, and "
        "compares with what people\nwrote. Each score comes with its recipe, without which it "
        "cannot be compared.",
        epilog="""\
examples:
  captioner evaluate --captions captions_test.json --images images --output scores
  captioner evaluate --checkpoint runs/mine/best.safetensors --captions dataset_flickr8k.json \\
    --images images --split val --search --save-scores validation
  captioner evaluate --captions captions_val.json --images images --boxes instances_val.json \\
    --maps --output scores
  captioner evaluate --maps theirs.jsonl --boxes instances_val.json
  captioner evaluate --checkpoint runs/translate/best.safetensors --source val.en \\
    --target val.de --from en --to de --search --save-scores validation

Choose beam size and length penalty on validation data (--search), then score the test data. A
checkpoint has one decoding for all it does: that of the scores kept last.
METEOR is the Java program METEOR 1.5: it needs a Java runtime and pip install pycocoevalcap.""",
    )
    photos = parser.add_argument_group("captioned photos")
    flags.add_fields(photos, Source)
    photos.add_argument(
        "--metrics",
        type=_metric_names,
        metavar="NAMES",
        help=f"scores, with commas between: {', '.join(METRICS)} (default: bleu,rouge_l,cider)",
    )
    photos.add_argument(
        "--maps",
        type=flags.file_name,
        nargs="?",
        const=True,
        metavar="FILE",
        help="ask what the maps mean, too: do they lie on the named things (with --boxes), do "
        "words hang on them, do they tell made-up things; takes minutes. With a JSONL file of any "
        "model's maps: only whether they lie on the things of --boxes, and no captioner is used",
    )
    photos.add_argument(
        "--workers",
        type=flags.WORKER_COUNT,
        metavar="N",
        help=f"threads that open photos (default: {THREADS})",
    )
    pairs = parser.add_argument_group(
        "sentence pairs",
        "Scores: BLEU of lower-cased Moses tokens, BLEU and chrF as sacreBLEU computes them.",
    )
    flags.add_pair_files(pairs, required=False)
    pairs.add_argument(
        "--photo-names",
        type=flags.file_name,
        metavar="FILE",
        help="of a checkpoint that looks at photos: the name of a pair's photo a line",
    )
    pairs.add_argument(
        "--photo-folder", type=flags.file_name, metavar="DIR", help="where these photos lie"
    )
    pairs.add_argument(
        "--photos",
        choices=("own", "wrong", "none"),
        help="what is in view of each sentence: its photo (the default), another one, none",
    )
    parser.add_argument(
        "--batch-size",
        type=flags.BATCH_SIZE,
        metavar="N",
        help=f"photos or sentences computed together (default: {PHOTOS_AT_ONCE} photos, "
        f"{SENTENCES_AT_ONCE} sentences)",
    )
    parser.add_argument(
        "--limit", type=flags.LIMIT, metavar="N", help="only the first N photos or pairs"
    )
    flags.add_bootstrap(parser)
    parser.add_argument(
        "--output",
        type=flags.file_name,
        metavar="DIR",
        help="folder for scores.json and captions.jsonl or translations.jsonl, each with its own "
        "score; of photos, extremes.png too: the worst, median and best",
    )
    parser.add_argument(
        "--json",
        type=flags.file_name,
        metavar="FILE",
        help="the scores as JSON; `-` is standard output",
    )
    flags.add_overwrite(parser)
    parser.add_argument(
        "--search",
        action="store_true",
        help=f"first try beam sizes {', '.join(map(str, BEAM_SIZES))} with length penalties "
        f"{', '.join(map(str, LENGTH_PENALTIES))} and take the best by CIDEr or BLEU; only on "
        "validation data",
    )
    parser.add_argument(
        "--save-scores",
        nargs="?",
        const="",
        metavar="NAME",
        help="write the scores into the checkpoint under this name (default: the split's or the "
        "file's; of pairs, the direction comes behind it), and make this decoding its own",
    )
    flags.add_model(parser)
    flags.add_runtime(parser)
    flags.add_map_size(parser)
    flags.add_loudness(parser)
    flags.add_decoding(parser, omit=("n_best", "alternatives"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Scores a checkpoint on a split or on sentence pairs; returns how many of them failed."""
    if isinstance(arguments.maps, str):  # a file of maps; without one, a captioner's own
        from captioner.cli import maps

        return maps.of_file(arguments)
    kind = _kind(arguments)
    _check(arguments, kind)
    with contextlib.ExitStack() as stack:
        if arguments.json == "-":  # whoever parses standard output wants nothing else there
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        outcome = _scored(arguments, kind)
        text = keep(arguments, outcome)
    if arguments.json == "-":
        print(text, end="")
    elif arguments.json:
        write_text(file_path(arguments.json, "--json"), text)
    return len(outcome.report.failures)


def _scored(arguments: argparse.Namespace, kind: Scored) -> Outcome:
    """Scores what was named and shows how it did."""
    items = kind.read(arguments)
    _check_outputs(arguments, kind, items)
    kind.check(arguments, items[: arguments.limit])
    judged = kind.evaluation(arguments, items[: arguments.limit])
    options = flags.decoding(arguments, judged.model.options(alternatives=0))
    if arguments.search:
        options = best_decoding(judged, options)
    with progress_bar(len(judged.items), judged.unit) as bar:
        report = judged.run(options, bootstrap=arguments.bootstrap, progress=lambda: bar.update(1))
    for score in report.scores.values():
        print(score)
    for reason in report.failures:
        print(f"captioner: {reason}", file=sys.stderr)
    besides = kind.show(arguments, judged)
    options = options.changed(alternatives=SearchOptions.alternatives)
    return Outcome(kind, judged.model.checkpoint, report, options, besides)


def _kind(arguments: argparse.Namespace) -> Scored:
    """What is to be scored, by what was typed of either kind.

    Raises:
        ConfigError: neither, both, or not all that it takes.
    """
    typed = {
        kind: [flag for name, flag in kind.flags.items() if getattr(arguments, name) is not None]
        for kind in KINDS
    }
    found = [(kind, flags[0]) for kind, flags in typed.items() if flags]
    if len(found) > 1:
        (_, photo), (_, pair) = found
        raise ConfigError(
            f"{photo} is about captioned photos and {pair} about sentence "
            "pairs; evaluate scores one of the two at a time"
        )
    if not found:
        raise ConfigError(
            "evaluate takes captioned photos, --captions FILE --images DIR, or sentence pairs, "
            "--source FILE --target FILE --from LANGUAGE --to LANGUAGE; see captioner evaluate "
            "--help"
        )
    [(kind, first)] = found
    missing = [flag for flag in kind.needed if flag not in typed[kind]]
    if missing:
        raise ConfigError(
            f"the following arguments are required: {', '.join(missing)}, as {first} is "
            "there; see captioner evaluate --help"
        )
    return kind


def _check(arguments: argparse.Namespace, kind: Scored) -> None:
    flags.check_decoding(arguments)
    if arguments.json:
        file_path(arguments.json, "--json")
    if arguments.limit is not None and arguments.limit < 1:
        raise ConfigError(f"--limit is {arguments.limit}; expected 1 {kind.item} or more")
    if arguments.save_scores is not None and not arguments.checkpoint:
        raise ConfigError("--save-scores changes a checkpoint; name it with --checkpoint FILE")
    if arguments.save_scores is not None:
        from captioner.storage import check_writable

        check_writable(arguments.checkpoint)
    typed = [
        name
        for name in ("beam_size", "length_penalty", "sample")
        if getattr(arguments, name) is not None
    ]
    if arguments.search and typed:
        flag = typed[0].replace("_", "-")
        raise ConfigError(f"--search finds beam size and length penalty itself; leave --{flag} out")


def _check_outputs(arguments: argparse.Namespace, kind: Scored, items: Sequence[Any]) -> None:
    """Refuses to write over what is read, or over what is not ours.

    Args:
        arguments: as typed.
        kind: what is scored.
        items: all of the data, not only those that are scored.

    Raises:
        ConfigError: something is in the way.
    """
    files = ("captions", "boxes", "split", "source", "target", "photo_names", "checkpoint")
    read = [getattr(arguments, name) for name in files]
    guard = Guard([*read, *kind.inputs(items)], arguments.overwrite)
    if arguments.json and arguments.json != "-":
        guard.claim(Path(arguments.json), OBJECTS, "--json")
    names = (SCORES, kind.answers, *kind.drawn, *kind.further(arguments))
    for name in names if arguments.output else ():
        content = DRAWING if name.endswith(".png") else OBJECTS
        guard.claim(Path(arguments.output) / name, content, "--output")


def _metric_names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in METRICS:
            raise argparse.ArgumentTypeError(
                f"no score is called {name!r}; expected {', '.join(METRICS)}, with commas between"
            )
    return names
