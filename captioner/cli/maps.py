"""What `captioner evaluate` tells of maps: with --boxes, with --maps, and of a file of maps."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.cli.besides import Besides
from captioner.cli.display import progress_bar
from captioner.errors import ConfigError
from captioner.outputs import OBJECTS, Guard, draw, file_path, write_text

if TYPE_CHECKING:
    from captioner.scoring import Evaluation

_FILE, _FIGURE = "maps.json", "maps-pointing.png"  # in --output, of a file of maps
_OTHERS = ("captions", "images", "split", "metrics", "checkpoint", "save_scores")


def show(arguments: argparse.Namespace, judged: Evaluation[Any, Any, Any]) -> Besides:
    """Measures a captioner's maps on the photos that were scored, and prints what came out."""
    from captioner.grounding import pointing, report, sentences

    photos, bootstrap = judged.items, arguments.bootstrap
    if arguments.maps is None:
        asked = report.questions(photos, arguments.boxes)
        with progress_bar(len(asked), "photo") as bar:
            shown = sentences.explained(judged.model, asked, progress=bar.update)
            pointed = pointing.measure(shown, bootstrap=bootstrap)
        print(f"\n{pointed}")
        return Besides({"pointing": pointed.to_dict()})
    sampled = report.PHOTOS
    with progress_bar(report.work(len(photos), bool(arguments.boxes), sampled), "photo") as bar:
        found = report.examine(
            judged.model,
            photos,
            arguments.boxes or None,
            sampled=sampled,
            bootstrap=bootstrap,
            progress=bar.update,
        )
    print(f"\n{found}")
    return Besides({"maps": found.to_dict()}, found.draw() if arguments.output else {})


def of_file(arguments: argparse.Namespace) -> int:
    """Measures the maps of a JSONL file; returns how many of its lines were passed over.

    Raises:
        ConfigError: --boxes is missing, or flags are there that are about a captioner.
    """
    typed = [name for name in _OTHERS if getattr(arguments, name, None) is not None]
    if typed:
        flag = typed[0].replace("_", "-")
        raise ConfigError(
            f"--maps {arguments.maps} is a file of maps and --{flag} is about a captioner; leave "
            f"--{flag} out, or --maps without a file"
        )
    if not arguments.boxes:
        raise ConfigError(
            f"--maps {arguments.maps} takes --boxes FILE, COCO instances of the same photos: where "
            "the things lie"
        )
    _claim(arguments)
    from captioner.grounding import figures, report

    with contextlib.ExitStack() as stack:
        if arguments.json == "-":
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        found = report.examine_file(arguments.maps, arguments.boxes, bootstrap=arguments.bootstrap)
        print(found)
        for line in found.left_out:
            print(f"captioner: {line}", file=sys.stderr)
    record = {"checkpoint": arguments.maps, "pointing": found.to_dict()}
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    if arguments.output:
        folder = Path(arguments.output)
        write_text(folder / _FILE, text)
        draw(figures.draw_pointing(found), folder / _FIGURE)
    if arguments.json == "-":
        print(text, end="")
    elif arguments.json:
        write_text(file_path(arguments.json, "--json"), text)
    return len(found.left_out)


def _claim(arguments: argparse.Namespace) -> None:
    """Refuses to write over what is read, or over what is not ours."""
    from captioner.outputs import DRAWING

    guard = Guard([arguments.maps, arguments.boxes], arguments.overwrite)
    if arguments.json and arguments.json != "-":
        guard.claim(file_path(arguments.json, "--json"), OBJECTS, "--json")
    if arguments.output:
        guard.claim(Path(arguments.output) / _FILE, OBJECTS, "--output")
        guard.claim(Path(arguments.output) / _FIGURE, DRAWING, "--output")
