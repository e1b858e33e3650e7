"""From a plan to pixels: the canvas, and what is put on it in which order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from captioner.scenes.colours import RGB, darken
from captioner.scenes.layout import OUTLINE, Placed, Plan, arrange
from captioner.scenes.places import PLACES, Frame
from captioner.scenes.sketch import Floats, Point, Points, Sketch, arc


class Canvas:
    """A picture at several times its size, and which thing covers each of its pixels."""

    def __init__(self, size: tuple[int, int], sky: tuple[RGB, RGB], horizon: float) -> None:
        self.size = size
        self.fine = 4 if max(size) <= 512 else 2
        self.unit = min(size) * self.fine  # pixels to the frame's unit
        large = (size[0] * self.fine, size[1] * self.fine)
        self.picture = _gradient(large, sky, round(horizon * self.unit) or large[1])
        self.owner = Image.new("L", large)  # 0: nothing; i + 1: thing i
        self.shade = Image.new("L", large)
        self._paint, self._own = ImageDraw.Draw(self.picture), ImageDraw.Draw(self.owner)
        self._shade = ImageDraw.Draw(self.shade)

    def _pixels(self, points: Floats) -> list[float]:
        return [float(v) for v in (points * self.unit).reshape(-1)]

    def fill(self, sketch: Sketch) -> None:
        """A background, given in the frame's units."""
        for patch in sketch.patches:
            self._paint.polygon(self._pixels(patch.points), fill=patch.colour)

    def shadow(self, points: Floats) -> None:
        """A polygon, in the frame's units, that will be darker than what lies under it."""
        self._shade.polygon(self._pixels(points), fill=255)

    def settle(self, darkness: float) -> None:
        """Puts the shadows down; what is drawn later lies on them."""
        box = self.shade.getbbox()
        if box:
            mask = self.shade.crop(box).point(lambda value: value * darkness)
            self.picture.paste((26, 26, 66), box, mask)

    def string(self, points: Points, colour: RGB) -> None:
        """A thin line that belongs to nothing."""
        line = self._pixels(np.array(points))
        self._paint.line(line, fill=colour, width=max(round(0.006 * self.unit), 1), joint="curve")

    def draw(self, placed: Placed, number: int) -> None:
        """A thing: first all outlines, then all fillings, which leaves the outer line alone."""
        outlines = [placed.onto(patch.points) for patch in placed.sketch.patches]
        around = [math.radians(60 * i) for i in range(6)]
        brim = [(OUTLINE * math.cos(turn), OUTLINE * math.sin(turn)) for turn in around]
        for points, patch in zip(outlines, placed.sketch.patches, strict=True):
            for step in brim:
                self._polygon(points + step, darken(patch.colour, 0.45), number)
        for points, patch in zip(outlines, placed.sketch.patches, strict=True):
            self._polygon(points, patch.colour, number)

    def _polygon(self, points: Floats, colour: RGB, number: int) -> None:
        pixels = self._pixels(points)
        self._paint.polygon(pixels, fill=colour)
        self._own.polygon(pixels, fill=number + 1)

    def reduced(self) -> Image.Image:
        """The picture at its own size, each pixel the mean of those it stands for."""
        return self.picture.reduce(self.fine)

    def mask(self, number: int) -> NDArray[np.bool_]:
        """The pixels (H, W) at least half of which a thing covers."""
        lookup = [255 if value == number + 1 else 0 for value in range(256)]
        return np.asarray(self.owner.point(lookup).reduce(self.fine)) >= 128


def _gradient(size: tuple[int, int], sky: tuple[RGB, RGB], end: int) -> Image.Image:
    """From the first colour at the upper edge to the second one at row `end` and below."""
    share = np.minimum(np.arange(size[1]) / end, 1)[:, None]
    rows = np.array(sky[0]) * (1 - share) + np.array(sky[1]) * share  # (H, 3)
    column = Image.fromarray(rows.round().astype(np.uint8)[:, None, :])
    return column.resize(size, Image.Resampling.NEAREST)


def paint(
    rng: Random, plan: Plan, place: str, size: tuple[int, int]
) -> tuple[Canvas, list[Placed]]:
    """Draws a plan; the things come back in the order in which the plan names them."""
    here, short = PLACES[place], min(size)
    tall = size[1] / short
    horizon = 0.0 if place == "paper" else tall * rng.uniform(0.5, 0.6)
    frame = Frame(size[0] / short, tall, horizon)
    canvas = Canvas(size, rng.choice(here.skies), horizon)
    ground = Sketch()
    here.paint(rng, ground, frame)
    canvas.fill(ground)
    placed = arrange(rng, plan, frame)
    for thing in placed:
        _cast_shadow(canvas, thing)
    canvas.settle(0.16)
    for line in _strings(plan, placed):
        canvas.string(line, here.string)
    for number, thing in sorted(enumerate(placed), key=lambda item: item[1].at[1]):
        canvas.draw(thing, number)
    return canvas, placed


def _cast_shadow(canvas: Canvas, placed: Placed) -> None:
    left, _, right, bottom = placed.bounds
    if placed.group.zone == "paper":
        canvas.shadow(placed.onto(placed.sketch.patches[0].points) + np.array([0.012, 0.018]))
    elif placed.group.zone == "ground" and placed.group.kind != "balloon":
        ground = max(placed.at[1], bottom) - 0.008
        flat = arc(
            ((left + right) / 2, ground), (right - left) * 0.48, 0.05 * placed.scale + 0.008, 0, 360
        )
        canvas.shadow(np.array(flat))


def _strings(plan: Plan, placed: Sequence[Placed]) -> Iterator[list[Point]]:
    """Thin lines: a kite's, a leash, what hangs from balloons, the wind behind a car."""
    if plan.deed in ("holding", "flying", "walking"):
        yield _slack(placed[0].hold, placed[1].hold, 0.0 if plan.deed == "holding" else 0.05)
    for thing in placed:
        x, y = thing.at
        if thing.group.kind == "balloon" and plan.deed != "holding":
            yield [(x + 0.012 * math.sin(i / 3), y + 0.005 * i) for i in range(25)]
        if thing.group.doing == "driving":
            left, _, right, _ = thing.bounds
            back, way = (right, 1) if thing.flip else (left, -1)
            for high, long in ((0.42, 0.07), (0.27, 0.11), (0.13, 0.06)):
                level = y - high * thing.scale
                yield [(back + way * 0.02, level), (back + way * (0.02 + long), level)]


def _slack(start: Point, stop: Point, sag: float) -> list[Point]:
    """A string from `start` to `stop` that hangs down by `sag`."""
    steps = [i / 12 for i in range(13)]
    return [
        (
            start[0] + (stop[0] - start[0]) * t,
            start[1] + (stop[1] - start[1]) * t + 4 * sag * t * (1 - t),
        )
        for t in steps
    ]
