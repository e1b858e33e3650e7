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
_PANELS = 4  # in a row


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
    """The gradient by distance from the source's end; None where none was measured.

    A panel a variant, on the same axes: each seed's line, and 1, where distance means nothing.
    """
    known = {
        name: [each for run in own if (each := run.outcome.series.get("reach"))]
        for name, own in runs.items()
    }
    known = {name: reach for name, reach in known.items() if reach}
    if not known:
        return None
    from matplotlib.figure import Figure

    columns = min(_PANELS, len(known))
    rows = -(-len(known) // columns)
    height = 1.9 * rows
    figure = Figure(figsize=(2.75 * columns, height))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    figure.subplots_adjust(wspace=0.08, hspace=0.3)
    for axes, (variant, reach) in zip(panels.flat, known.items(), strict=False):
        for line in np.array(reach, float):
            axes.plot(np.arange(len(line)), line, color=_COLOURS[0], linewidth=1.3, alpha=0.8)
        axes.axhline(1, color=shade(MUTED), linewidth=0.8, linestyle=":")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_title(variant, fontsize=10.5, color=shade(INK), loc="left", pad=4)
        _bare(axes)
    for axes, above in zip(
        panels.flat[len(known) :], panels.flat[len(known) - columns :], strict=False
    ):
        axes.set_axis_off()
        above.tick_params(labelbottom=True)  # the lowest of its column
    said: dict[str, Any] = {"fontsize": 11, "color": shade(MUTED)}
    under = panels[-1, 0].get_position().y0 - 0.45 / height
    figure.text(0.5, under, "pieces from the source's end", ha="center", va="top", **said)
    figure.supylabel("gradient, times the sentence's mean", x=0.05, **said)
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


def _bare(axes: Any) -> None:
    axes.set_facecolor("none")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(shade(LINE))
    axes.grid(axis="y", color=shade(LINE), linewidth=0.8)
    axes.tick_params(which="both", length=0, pad=6, labelsize=10.5, labelcolor=shade(MUTED))


def _dress(axes: Any, across: str, up: str) -> None:
    _bare(axes)
    axes.set_xlabel(across, fontsize=11, color=shade(MUTED), labelpad=8)
    axes.set_ylabel(up, fontsize=11, color=shade(MUTED), labelpad=8)
    legend = axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.01), ncols=3, frameon=False, fontsize=10
    )
    for text in legend.get_texts():
        text.set_color(shade(INK))
