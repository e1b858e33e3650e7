"""Where the maps of a captioning study's runs lie: asked of their weights, after they are trained.

It is no part of a run: what was trained stays as it is, and what was found lies beside it, by the
name of the run, and is not asked again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from captioner import datasets
from captioner.captions.captioner import Captioner
from captioner.checkpoint import Checkpoint
from captioner.errors import DataError
from captioner.grounding import pointing, report, sentences
from captioner.grounding.sentences import Asked
from captioner.outputs import write_text
from captioner.studies.config import Grounding, StudyConfig
from captioner.studies.runs import Run


def questions(grounding: Grounding) -> list[Asked]:
    """The nouns that are asked about; of each photo, only the captions that hold them.

    Raises:
        DataError: a file is missing or none, or no caption holds a noun that has a box.
    """
    photos = datasets.read_coco(grounding.captions, grounding.images)
    asked = report.questions(photos, grounding.boxes)
    every = max(len(entry.mentions) for entry in asked)
    return sentences.sample(asked, len(asked), every)


def added(
    config: StudyConfig,
    runs: Sequence[Run],
    device: torch.device,
    tell: Callable[[str], object] = print,
) -> list[Run]:
    """The runs, with what their maps point at among their measures.

    Args:
        config: the study; without `grounding.boxes`, nothing is asked.
        runs: that are finished.
        device: where to compute.
        tell: called with a line a run.

    Raises:
        DataError: see `questions`, or a file of results is damaged.
    """
    if not config.grounding.boxes:
        return list(runs)
    asked, files = questions(config.grounding), _digest(config.grounding)
    found = []
    for run in runs:
        place = Path(config.output) / f"{run.variant}-{run.seed}"
        kept, key = place.with_suffix(".grounding.json"), f"{run.key} {files}"
        measures = _kept(kept, key)
        if measures is None:
            measures = measured(Captioner(Checkpoint.load(f"{place}.safetensors"), device), asked)
            write_text(kept, json.dumps({"key": key, "measures": measures}) + "\n")
            tell(f"{run.variant} · seed {run.seed} · pointing {measures['pointing']:.3f}")
        outcome = replace(run.outcome, measures={**run.outcome.measures, **measures})
        found.append(replace(run, outcome=outcome))
    return found


def measured(captioner: Captioner, asked: Sequence[Asked]) -> dict[str, float]:
    """How often maps of nouns peak on their things, and their mass there."""
    found = pointing.measure(sentences.explained(captioner, asked), bootstrap=0)
    measures = {
        "pointing": found.whole.rows["word"].measures["pointing"].value,
        "pointing, difficult": found.difficult.rows["word"].measures["pointing"].value,
        "mass": found.whole.rows["word"].measures["mass"].value,
        "centre points": found.difficult.rows["centre"].measures["pointing"].value,
    }
    return {name: value for name, value in measures.items() if math.isfinite(value)}


def _digest(grounding: Grounding) -> str:
    digest = hashlib.sha256(str(Path(grounding.images).resolve()).encode())
    for path in (grounding.boxes, grounding.captions):
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()[:16]


def _kept(path: Path, key: str) -> dict[str, float] | None:
    """What was found of this run with these files; None where it has to be asked.

    Raises:
        DataError: the file is damaged.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        same = values["key"] == key
        measures = {str(name): float(value) for name, value in values["measures"].items()}
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path}: holds no measured maps ({error}); remove it to have them measured anew"
        ) from None
    return measures if same else None
