"""`captioner export`: a checkpoint as files that other programs compute."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from captioner.cli import flags
from captioner.errors import ConfigError


def add(commands: Any) -> None:
    """The flags."""
    parser = commands.add_parser(
        "export",
        usage="captioner export --onnx DIR [options]",
        description="Writes a captioner as ONNX files: encoder.onnx, from photos to the memory and "
        "the first\nstate; step.onnx, from a word to the scores of the next; and captioner.json, "
        "with the\nvocabulary and the names. Any number of photos and sentences goes through them.",
    )
    parser.add_argument(
        "--onnx",
        required=True,
        type=flags.file_name,
        metavar="DIR",
        help="folder to write to, which is made",
    )
    parser.add_argument(
        "--checkpoint",
        type=flags.file_name,
        metavar="FILE",
        help="weights to export (default: those that came along)",
    )
    flags.add_overwrite(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Exports; returns 0."""
    from captioner.captions.checkpoint import Checkpoint
    from captioner.export import FILES, export

    folder = Path(arguments.onnx)
    there = [name for name in FILES if (folder / name).exists()]
    if there and not arguments.overwrite:
        raise ConfigError(
            f"{folder / there[0]} is there already; choose another --onnx, or replace what is "
            "there with --overwrite"
        )
    checkpoint = Checkpoint.load(arguments.checkpoint)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--onnx {folder}: no folder can be made there ({error.strerror}); choose another"
        ) from error
    export(checkpoint, folder)
    print("\n".join(str(folder / name) for name in FILES))
    return 0
