"""`captioner calibrate`: validation photos in, how sure a caption can be into the checkpoint."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.captions.recipe import Source
from captioner.cli import flags
from captioner.cli.display import percent, progress_bar
from captioner.cli.models import load_captioner
from captioner.errors import ConfigError

if TYPE_CHECKING:
    from captioner.datasets import Photo


def add(commands: Any) -> None:
    """The flags."""
    parser = commands.add_parser(
        "calibrate",
        usage="captioner calibrate --checkpoint FILE --captions FILE… --images DIR… [options]",
        description="Captions validation photos, and pictures with nothing in them, as the "
        "checkpoint decodes; learns how\nlikely a caption is to name the thing, that is, to say "
        "a word that two of the photo's captions hold\nand that is not among the commonest; and "
        "writes that into the checkpoint. From then on each caption\ncomes with its "
        "confidence, and one below a threshold is marked unsure: nearly all of the pictures\nwith "
        "nothing in them, and a tenth of these photos at most.",
        epilog="""\
examples:
  captioner calibrate --checkpoint runs/mine/best.safetensors --captions captions_val.json \\
    --images images --common captions_train.json
  captioner calibrate --measure --captions captions_test.json --images images

Choose the decoding first (captioner evaluate --search --save-scores): confidence is about captions
that are found so. Take a few hundred photos or more that the weights were not trained on.""",
    )
    parser.add_argument(
        "--captions",
        nargs="+",
        required=True,
        metavar="FILE",
        help="captions in any format of docs/formats.md (COCO JSON, CSV, …)",
    )
    parser.add_argument(
        "--images", nargs="+", required=True, metavar="DIR", help="the photos' folder for each"
    )
    flags.add_fields(parser, Source, only=("format", "split"))
    parser.add_argument(
        "--common",
        metavar="FILE",
        help="captions whose commonest words tell little, such as the training captions (default: "
        "those of --captions)",
    )
    parser.add_argument(
        "--limit", type=flags.LIMIT, metavar="N", help="only the first N photos of each file"
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="only measure how well the checkpoint's own confidence does on these photos",
    )
    flags.add_model(parser)
    flags.add_runtime(parser)
    flags.add_loudness(parser)
    flags.add_speed(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Calibrates a checkpoint, or measures how it is; returns how many photos were left out."""
    _check(arguments)
    from captioner import calibration, checkpoint, storage

    photos = [
        photo
        for captions, images in zip(arguments.captions, arguments.images, strict=True)
        for photo in _read(arguments, captions, images)[: arguments.limit]
    ]
    common = _common(arguments)
    if not arguments.measure:  # what cannot be enough is told now, not when all are captioned
        calibration.with_key_words(photos, common, 2 * calibration.FEWEST)
    captioner = load_captioner(arguments)
    if arguments.measure:
        calibration.check_calibrated(captioner)
    else:
        storage.check_writable(arguments.checkpoint)
    with progress_bar(len(photos), "photo") as bar:
        judged = calibration.judge(
            captioner,
            photos,
            common=common,
            batch_size=arguments.batch_size,
            workers=arguments.workers,
            progress=lambda: bar.update(1),
        )
    seed = 1 if arguments.measure else 0  # no confidence is measured by what it was fitted on
    empties = calibration.judge_empties(
        captioner, calibration.EMPTIES, seed, batch_size=arguments.batch_size
    )
    for reason in judged.left_out:
        print(f"captioner: {reason}", file=sys.stderr)
    if arguments.measure:
        error, unsure, unsure_empties = calibration.measure(captioner, judged, empties)
        told = "as the checkpoint has it"
    else:
        found = calibration.calibrate(captioner, judged, empties, _about(arguments.captions))
        error, unsure, unsure_empties = found.ece, found.unsure_photos, found.unsure_empties
        told = f"in {calibration.FOLDS}-fold cross-validation"
    count = len(judged.hits)
    print(f"{count} photos with key words; {percent(sum(judged.hits) / count)} are named")
    print(f"expected calibration error: {error:.3f} on these photos, {told}")
    print(
        f"unsure: {percent(unsure)} of these photos, {percent(unsure_empties)} of "
        f"{len(empties.hits)} pictures with nothing in them"
    )
    if not arguments.measure:
        checkpoint.save_confidence(arguments.checkpoint, captioner.checkpoint, found)
        print(f"{arguments.checkpoint}: captions below {percent(found.threshold)} are unsure")
    return len(judged.left_out)


def _check(arguments: argparse.Namespace) -> None:
    if not arguments.measure and not arguments.checkpoint:
        raise ConfigError("calibrate changes a checkpoint; name it with --checkpoint FILE")
    counts = len(arguments.captions), len(arguments.images)
    if counts[0] != counts[1]:
        raise ConfigError(
            f"{counts[0]} files of captions and {counts[1]} folders of photos; name a folder for "
            "each file, in the same order"
        )
    if arguments.limit is not None and arguments.limit < 1:
        raise ConfigError(f"--limit is {arguments.limit}; expected 1 photo or more")


def _read(arguments: argparse.Namespace, captions: str, images: str) -> list[Photo]:
    from captioner import datasets

    told = {"format": arguments.format, "split": arguments.split}
    settings = {name: value for name, value in told.items() if value is not None}
    return datasets.read(Source(captions=captions, images=images, **settings))


def _common(arguments: argparse.Namespace) -> set[str] | None:
    """The words that tell nothing, by the captions of --common."""
    if arguments.common is None:
        return None
    from captioner.naming import common_words

    folder = str(Path(arguments.common).parent)  # its photos are not looked at
    photos = _read(arguments, arguments.common, folder)
    return common_words(caption for photo in photos for caption in photo.captions)


def _about(captions: list[str]) -> str:
    """The files by name and folder, which says enough and keeps where they lie out of a file."""
    return ", ".join("/".join(Path(file).absolute().parts[-2:]) for file in captions)
