"""The measures drawn: where maps point, what covering does, what a word loses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from captioner.grounding.comparison import Comparison
from captioner.grounding.controls import Losses
from captioner.grounding.pointing import Part, Pointing
from captioner.intervals import Estimate
from captioner.pictures.figures import lettering, painted, shade
from captioner.pictures.ink import INK, LINE, MUTED

# Told apart with every kind of colour blindness (Okabe and Ito 2008), and by their marks in grey.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#56544f", "#e69f00")
_MARKS = ("o", "s", "^", "D", "v", "P")


def draw_pointing(found: Pointing) -> Image.Image:
    """How often each map's peak lies on the thing, of all words and of the difficult ones."""
    parts: dict[str, Part] = {"all words": found.whole, "difficult": found.difficult}
    figure, axes = _figure(7, 3.4)
    names = list(found.whole.rows)
    for number, (label, part) in enumerate(parts.items()):
        values = [part.rows[name].measures["pointing"] for name in names]
        _dots(axes, np.arange(len(names)) + 0.16 * (2 * number - 1), values, number, label, 100)
    _names(axes, names)
    axes.set_xlim(0, 100)
    _axis(axes, "peak on the thing, %")
    _legend(axes)
    return painted(figure)


def draw_curves(found: Comparison) -> Image.Image:
    """The word's probability while its photo is covered, or uncovered, in the order of each map."""
    figure, panels = _figure(9, 3.6, 2)
    for axes, name in zip(panels, ("deletion", "insertion"), strict=True):
        for number, (label, (pixels, _)) in enumerate(found.curves.items()):
            axes.plot(
                100 * np.array(pixels.shares),
                getattr(pixels, name)[0],
                color=_COLOURS[number % len(_COLOURS)],
                marker=_MARKS[number % len(_MARKS)],
                markersize=4,
                linewidth=1.2,
                label=label,
            )
        axes.set_ylim(bottom=0)
        verb = "covered" if name == "deletion" else "uncovered"
        _axis(axes, f"pixels {verb} in the map's order, %")
        axes.set_ylabel("probability of the word", **lettering(9.5, MUTED))
    figure.tight_layout()  # before the legend of both, for which it would make one panel room
    _legend(panels[0])
    return painted(figure)


def draw_losses(found: Losses) -> Image.Image:
    """What words lose, in nats, when the maps or the photo are others."""
    figure, axes = _figure(7, 2.6)
    names = list(found.every)[1:]
    several: Mapping[str, Mapping[str, Estimate]] = {
        "words that name things": found.things_lost,
        "all words": found.every_lost,
    }
    for number, (label, own) in enumerate(several.items()):
        places = np.arange(len(names)) + 0.16 * (2 * number - 1)
        _dots(axes, places, [own[name] for name in names], number, label, 1)
    _names(axes, names)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    _axis(axes, "log probability lost, nats a word")
    _legend(axes)
    return painted(figure)


def _figure(wide: float, high: float, panels: int = 1) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(wide, high))
    return figure, figure.subplots(1, panels)


def _dots(
    axes: Any, places: Any, values: list[Estimate], number: int, label: str, scale: float
) -> None:
    centres = np.array([scale * value.value for value in values])
    ends = np.array([value.interval or (value.value, value.value) for value in values]) * scale
    spread = np.abs(ends.T - centres)
    axes.errorbar(
        centres,
        places,
        xerr=spread,
        fmt=_MARKS[number],
        color=_COLOURS[number],
        markersize=5,
        capsize=2,
        linewidth=1.2,
        label=label,
    )


def _names(axes: Any, names: list[str]) -> None:
    axes.set_yticks(np.arange(len(names)), names, **lettering(9.5))
    axes.invert_yaxis()


def _axis(axes: Any, label: str) -> None:
    axes.set_xlabel(label, **lettering(9.5, MUTED))
    axes.grid(color=shade(LINE), linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=shade(INK), labelsize=9)


def _legend(axes: Any) -> None:
    """Above the panel, where it lies over nothing that is drawn."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.01), ncols=len(_COLOURS), frameon=False, fontsize=9
    )
