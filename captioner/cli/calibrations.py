"""`captioner calibrate`: validation photos in, how sure a caption can be into the checkpoint."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from captioner.cli.display import percent, progress_bar
from captioner.cli.models import load_captioner
from captioner.config import Source
from captioner.errors import ConfigError

if TYPE_CHECKING:
    from captioner.datasets import Photo


def calibrate(arguments: argparse.Namespace) -> int:
    """Calibrates a checkpoint, or measures how it is; returns how many photos were left out."""
    _check(arguments)
    from captioner import calibration, checkpoint

    photos = [
        photo
        for captions, images in zip(arguments.captions, arguments.images, strict=True)
        for photo in _read(arguments, captions, images)[: arguments.limit]
    ]
    captioner = load_captioner(arguments)
    with progress_bar(len(photos), "photo") as bar:
        judged = calibration.judge(
            captioner,
            photos,
            common=_common(arguments),
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
