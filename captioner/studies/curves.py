"""Figures of a comparison: scores by updates and by time, gradients by distance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from PIL import Image

from captioner.pictures.figures import painted, shade
from captioner.pictures.ink import INK, LINE, MUTED
from captioner.studies.budget import Point
from captioner.studies.runs import Run

# Told apart with every kind of colour blindness (Okabe and Ito 2008), and by their marks in grey.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#56544f", "#b8860b")
_MARKS = ("o", "s", "^", "D", "v", "P")


def curves(runs: dict[str, list[Run]]) -> Image.Image:
    """The mean score of each variant's seeds, against updates at the left, time at the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2))
    name = next(iter(runs.values()))[0].score
    for number, (label, of) in enumerate(_AXES.items()):
        axes = figure.add_axes((0.56 * number, 0, 0.44, 1))
        for (variant, own), style in zip(runs.items(), _styles(len(runs)), strict=True):
            count = min(len(run.curve) for run in own)
            x, y = (
                np.mean([[get(point) for point in run.curve[:count]] for run in own], 0)
                for get in (of, _score)
            )
            axes.plot(x, y, label=variant, **style)
        _dress(axes, label, name)
    return painted(figure)


def gradients(runs: dict[str, list[Run]]) -> Image.Image | None:
    """Shares of the gradient by distance from the source's end; None where none was measured."""
    known = {k: own for k, own in runs.items() if all("gradients" in r.outcome.series for r in own)}
    if not known:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2))
    axes = figure.add_axes((0, 0, 1, 1))
    for (variant, own), style in zip(known.items(), _styles(len(known)), strict=True):
        shares = np.array([run.outcome.series["gradients"] for run in own], float)
        axes.plot(np.arange(shares.shape[1]), shares.mean(0), label=variant, **style)
    axes.set_yscale("log")
    _dress(axes, "pieces from the source's end", "share of the last word's gradient")
    return painted(figure)


def _steps(point: Point) -> float:
    return point.steps


def _minutes(point: Point) -> float:
    return point.seconds / 60


def _score(point: Point) -> float:
    return point.score


_AXES: dict[str, Callable[[Point], float]] = {"updates": _steps, "minutes of training": _minutes}


def _styles(count: int) -> Sequence[dict[str, Any]]:
    looks = zip(cycle(_COLOURS), cycle(_MARKS), range(count), strict=False)
    return [
        {
            "color": colour,
            "marker": mark,
            "linestyle": "-" if number < len(_COLOURS) else "--",
            "linewidth": 1.8,
            "markersize": 5,
        }
        for colour, mark, number in looks
    ]


def _dress(axes: Any, across: str, up: str) -> None:
    axes.set_facecolor("none")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(shade(LINE))
    axes.grid(axis="y", color=shade(LINE), linewidth=0.8)
    axes.tick_params(length=0, pad=6, labelsize=10.5, labelcolor=shade(MUTED))
    axes.set_xlabel(across, fontsize=11, color=shade(MUTED), labelpad=8)
    axes.set_ylabel(up, fontsize=11, color=shade(MUTED), labelpad=8)
    legend = axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.01), ncols=3, frameon=False, fontsize=10
    )
    for text in legend.get_texts():
        text.set_color(shade(INK))
