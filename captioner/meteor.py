"""METEOR 1.5 by its authors' Java program, and its value from the statistics that it gives.

Denkowski and Lavie 2014, "Meteor Universal".
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from captioner.errors import MetricError

# Parameters of METEOR 1.5 for English, task "rank", which the program takes by default.
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.20, 0.60, 0.75
_WEIGHTS = (1.0, 0.6, 0.8, 0.6)  # exact, stem, synonym, paraphrase


def line(tokens: Sequence[str]) -> str:
    """Words on one line, without the program's separator."""
    return " ".join(" ".join(tokens).replace("|||", " ").split())


def run(lines: Sequence[str]) -> list[str]:
    """Answers of the METEOR program to these lines; it has ended when this returns."""
    java, wrapper = shutil.which("java"), find_wrapper()
    if java is None or wrapper is None:
        missing = "a Java runtime" if java is None else "the package pycocoevalcap"
        raise MetricError(
            "METEOR 1.5 needs a Java runtime (`java` on the PATH) and the extra "
            f"`captioner[scores]`; missing here: {missing}."
        )
    # Java would otherwise read in the encoding of the terminal.
    command = [java, "-Dfile.encoding=UTF-8", "-Xmx2G", "-jar", "meteor-1.5.jar"]
    options = ["-", "-", "-stdio", "-l", "en", "-norm"]  # those of the COCO evaluation
    try:
        done = subprocess.run(
            command + options,
            cwd=wrapper.parent,
            input="".join(f"{one}\n" for one in lines),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise MetricError(f"METEOR 1.5 could not start {java}: {error}") from error
    answers = done.stdout.splitlines()
    if done.returncode or len(answers) != len(lines):
        complaint = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise MetricError(
            f"METEOR 1.5 answered {len(answers)} of {len(lines)} captions and ended with code "
            f"{done.returncode}; Java said: {complaint}"
        )
    return answers


def find_wrapper() -> Path | None:
    """Where pycocoevalcap keeps its METEOR module, beside which the program lies."""
    try:
        spec = find_spec("pycocoevalcap.meteor.meteor")
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin else None


def values(totals: np.ndarray, _photos: int) -> np.ndarray:
    """METEOR (..., 1) of summed statistics (..., 23), Denkowski and Lavie 2014, section 2.

    The columns are words and function words of caption and reference (4); for exact, stem, synonym
    and paraphrase matches the content words, then function words matched (4 × 4); chunks; words
    matched in caption and reference (2).
    """
    lengths, chunks, matched = totals[..., :2], totals[..., 20], totals[..., 21:]
    function = totals[..., 2:4]
    kinds = totals[..., 4:20].reshape(*totals.shape[:-1], 4, 2, 2)  # kind, content, side
    share = _DELTA * kinds[..., 0, :] + (1 - _DELTA) * kinds[..., 1, :]
    hits = np.einsum("...ks,k->...s", share, _WEIGHTS)
    whole = _DELTA * (lengths - function) + (1 - _DELTA) * function
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = np.moveaxis(hits / whole, -1, 0)
        mean = 1 / ((1 - _ALPHA) / precision + _ALPHA / recall)
        breaks = chunks / matched.mean(axis=-1)
    # Without a match both quotients are 0 / 0, and METEOR is 0.
    return np.nan_to_num(mean * (1 - _GAMMA * breaks**_BETA))[..., None]
