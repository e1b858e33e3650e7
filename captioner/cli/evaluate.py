"""`captioner evaluate`: captioned photos or sentence pairs in, scores with their recipe out."""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.cli import flags
from captioner.cli.display import progress_bar
from captioner.cli.models import load_captioner, load_translator
from captioner.cli.scores import (
    BEAM_SIZES,
    LENGTH_PENALTIES,
    Outcome,
    best_decoding,
    keep,
    write_captions,
    write_translations,
)
from captioner.errors import ConfigError
from captioner.options import PHOTOS_AT_ONCE, RESAMPLES, SENTENCES_AT_ONCE, THREADS, SearchOptions
from captioner.outputs import DRAWING, OBJECTS, Guard, file_path, write_text
from captioner.recipes.captioning import Source
from captioner.recipes.translation import PairSource

if TYPE_CHECKING:
    from captioner.captions.captioner import Captioner
    from captioner.datasets import Photo

METRICS = ("bleu", "rouge_l", "cider", "meteor")

_FLAGS = {  # by attribute, what is only said of one of the two
    "photo": {
        name: f"--{name}"
        for name in ("captions", "images", "format", "split", "boxes", "metrics", "workers")
    },
    "pair": {"source": "--source", "target": "--target", "source_language": "--from", "to": "--to"},
}
_NEEDED = {"photo": ("--captions", "--images"), "pair": tuple(_FLAGS["pair"].values())}


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
    parser.add_argument(
        "--bootstrap",
        type=flags.RESAMPLE_COUNT,
        default=RESAMPLES,
        metavar="N",
        help=f"resamples for the 95 %% intervals; 0 leaves them out (default: {RESAMPLES})",
    )
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
    flags.add_decoding(parser, omit=("n_best", "alternatives"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Scores a checkpoint on a split or on sentence pairs; returns how many of them failed."""
    kind = _kind(arguments)
    _check(arguments, kind)
    with contextlib.ExitStack() as stack:
        if arguments.json == "-":  # whoever parses standard output wants nothing else there
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        outcome = _captions(arguments) if kind == "photo" else _translations(arguments)
        text = keep(arguments, outcome)
    if arguments.json == "-":
        print(text, end="")
    elif arguments.json:
        write_text(file_path(arguments.json, "--json"), text)
    return outcome.failures


def _kind(arguments: argparse.Namespace) -> str:
    """Whether photos or pairs are to be scored, by what was typed of either.

    Raises:
        ConfigError: neither, both, or not all that it takes.
    """
    typed = {
        kind: [flag for name, flag in flags.items() if getattr(arguments, name) is not None]
        for kind, flags in _FLAGS.items()
    }
    if all(typed.values()):
        raise ConfigError(
            f"{typed['photo'][0]} is about captioned photos and {typed['pair'][0]} about sentence "
            "pairs; evaluate scores one of the two at a time"
        )
    if not any(typed.values()):
        raise ConfigError(
            "evaluate takes captioned photos, --captions FILE --images DIR, or sentence pairs, "
            "--source FILE --target FILE --from LANGUAGE --to LANGUAGE; see captioner evaluate "
            "--help"
        )
    kind = next(kind for kind, flags in typed.items() if flags)
    missing = [flag for flag in _NEEDED[kind] if flag not in typed[kind]]
    if missing:
        raise ConfigError(
            f"the following arguments are required: {', '.join(missing)}, as {typed[kind][0]} is "
            "there; see captioner evaluate --help"
        )
    return kind


def _check(arguments: argparse.Namespace, kind: str) -> None:
    flags.check_decoding(arguments)
    if arguments.json:
        file_path(arguments.json, "--json")
    if arguments.limit is not None and arguments.limit < 1:
        raise ConfigError(f"--limit is {arguments.limit}; expected 1 {kind} or more")
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


def _check_outputs(
    arguments: argparse.Namespace, photos: Sequence[str | Path], names: Sequence[str]
) -> None:
    """Refuses to write over what is read, or over what is not ours.

    Args:
        arguments: as typed.
        photos: all of the data, not only those that are scored.
        names: of the files that go into --output besides the scores.

    Raises:
        ConfigError: something is in the way.
    """
    files = ("captions", "boxes", "split", "source", "target", "checkpoint")
    read = [getattr(arguments, name) for name in files]
    guard = Guard([*read, *photos], arguments.overwrite)
    if arguments.json and arguments.json != "-":
        guard.claim(Path(arguments.json), OBJECTS, "--json")
    for name in ("scores.json", *names) if arguments.output else ():
        kind = DRAWING if name.endswith(".png") else OBJECTS
        guard.claim(Path(arguments.output) / name, kind, "--output")


def _typed(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """What was typed of these; the rest is as `evaluation` has it."""
    values = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _captions(arguments: argparse.Namespace) -> Outcome:
    """Scores captions and shows how they did."""
    from captioner import datasets, evaluation

    photos = datasets.read(Source(**flags.given(arguments, Source)))
    _check_outputs(arguments, [photo.path for photo in photos], ("captions.jsonl", "extremes.png"))
    photos = photos[: arguments.limit]
    captioner = load_captioner(arguments)
    speed = _typed(arguments, "batch_size", "workers")
    options = flags.decoding(arguments, captioner.options(alternatives=0))
    if arguments.search:
        search = functools.partial(evaluation.search_decoding, captioner, photos, **speed)
        options = best_decoding(search, options, len(photos), "photo")
    names = {"names": arguments.metrics} if arguments.metrics else {}
    with progress_bar(len(photos), "photo") as bar:
        report = evaluation.evaluate(
            captioner,
            photos,
            bootstrap=arguments.bootstrap,
            progress=lambda: bar.update(1),
            **names,
            **speed,
            options=options,
        )
    _show(report.scores, report.left_out)
    if arguments.boxes:
        _print_grounding(captioner, photos, arguments.boxes, arguments.bootstrap)
    return Outcome(
        checkpoint=captioner.checkpoint,
        report=report,
        options=options.changed(alternatives=SearchOptions.alternatives),
        about={
            "captions": arguments.captions,
            "split": arguments.split or "",
            "photos": len(report.photos),
            "left_out": list(report.left_out),
        },
        name=arguments.save_scores or arguments.split or Path(arguments.captions).stem,
        failures=len(report.left_out),
        write=functools.partial(write_captions, report),
    )


def _translations(arguments: argparse.Namespace) -> Outcome:
    """Scores translations and shows how they did."""
    direction = (arguments.source_language, arguments.to)
    files = PairSource(arguments.source, arguments.target, languages=direction)
    from captioner import evaluation
    from captioner.pairs import read_pairs

    pairs = read_pairs(files)[: arguments.limit]
    _check_outputs(arguments, [], ("translations.jsonl",))
    translator = load_translator(arguments)
    speed = _typed(arguments, "batch_size")
    options = flags.decoding(arguments, translator.options(alternatives=0))
    if arguments.search:
        search = functools.partial(
            evaluation.search_translation_decoding, translator, pairs, **speed
        )
        options = best_decoding(search, options, len(pairs), "sentence")
    with progress_bar(len(pairs), "sentence") as bar:
        report = evaluation.evaluate_translations(
            translator,
            pairs,
            bootstrap=arguments.bootstrap,
            progress=lambda: bar.update(1),
            **speed,
            options=options,
        )
    failed = [
        f"{pair.source_text[:40]!r} counts as not translated: {translation.error}"
        for pair, translation in zip(pairs, report.translations, strict=True)
        if translation.error is not None
    ]
    _show(report.scores, failed)
    return Outcome(
        checkpoint=translator.checkpoint,
        report=report,
        options=options.changed(alternatives=SearchOptions.alternatives),
        about={
            "source": arguments.source,
            "target": arguments.target,
            "from": arguments.source_language,
            "to": arguments.to,
            "sentences": len(pairs),
            "failed": failed,
        },
        name=_direction_name(arguments.save_scores or Path(arguments.source).stem, direction),
        failures=len(failed),
        write=functools.partial(write_translations, report),
    )


def _direction_name(split: str, direction: tuple[str, str]) -> str:
    """`validation en-de`: a checkpoint keeps the scores of one split in many directions."""
    own = "-".join(direction)
    return split if split.endswith(own) else f"{split} {own}"


def _show(scores: Mapping[str, object], failed: Sequence[str]) -> None:
    for score in scores.values():
        print(score)
    for reason in failed:
        print(f"captioner: {reason}", file=sys.stderr)


def _print_grounding(
    captioner: Captioner, photos: Sequence[Photo], path: str, bootstrap: int
) -> None:
    """Shows how well the maps of nouns cover what they name, in percent."""
    from captioner import boxes, maps

    things = boxes.read(path)
    kinds_of = boxes.naming({kind for kinds in things.values() for kind in kinds})
    with progress_bar(len(photos), "photo") as bar:
        found = maps.measure(
            captioner, photos, things, kinds_of, bootstrap=bootstrap, progress=bar.update
        )
    print(f"\n{found}")


def _metric_names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in METRICS:
            raise argparse.ArgumentTypeError(
                f"no score is called {name!r}; expected {', '.join(METRICS)}, with commas between"
            )
    return names
