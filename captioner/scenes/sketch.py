"""Sketches: polygons in a figure's own coordinates, and the strokes that make them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from captioner.scenes.colours import RGB, mix

Point = tuple[float, float]
Bounds = tuple[float, float, float, float]  # left, top, right, bottom
Floats = NDArray[np.float64]  # points, (P, 2)
Points = str | Sequence[Point]  # a string writes them as SVG does: "x,y x,y"


@dataclass(frozen=True)
class Look:
    """How one thing is to be drawn."""

    kind: str
    colour: RGB
    pose: str = ""
    garment: str = ""  # of a person: "shirt" or "dress"


@dataclass(frozen=True)
class Patch:
    """One polygon filled with one colour."""

    points: Floats  # (P, 2)
    colour: RGB


class Sketch:
    """A figure as a list of patches, the later ones on top.

    Figures stand on y = 0 and look up and to the right: x grows rightwards, y upwards, and a
    figure is about 1 high or wide. A background is a sketch too, with y downwards.
    """

    def __init__(self) -> None:
        self.patches: list[Patch] = []
        self.hold: Point = (0.0, 0.0)  # where a string is tied or held

    def shape(self, points: Points, colour: RGB) -> None:
        """A polygon with sharp corners."""
        self.patches.append(Patch(_array(points), colour))

    def oval(self, centre: Point, rx: float, ry: float, colour: RGB, tilt: float = 0) -> None:
        """An ellipse, turned by `tilt` degrees."""
        outline = np.array(arc((0, 0), rx, ry, 0, 360))
        cos, sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
        self.patches.append(Patch(outline @ np.array([[cos, sin], [-sin, cos]]) + centre, colour))

    def disk(self, centre: Point, radius: float, colour: RGB) -> None:
        """A circle."""
        self.oval(centre, radius, radius, colour)

    def limb(self, joints: Points, width: float, colour: RGB, end: float = 0) -> None:
        """A stroke with round ends through `joints`, as wide as `width`, narrowing to `end`."""
        line, end = _array(joints), end or width
        radii = np.linspace(width / 2, end / 2, len(line))
        for i in range(len(line) - 1):
            self._capsule(line[i], line[i + 1], float(radii[i]), float(radii[i + 1]), colour)

    def curl(self, joints: Points, width: float, colour: RGB, end: float = 0) -> None:
        """A `limb` that bends smoothly."""
        p = np.pad(_array(joints), ((1, 1), (0, 0)), mode="edge")
        curve = [
            _spline(p[i], p[i + 1], p[i + 2], p[i + 3], t)
            for i in range(len(p) - 3)
            for t in (0, 0.25, 0.5, 0.75)
        ]
        self.limb([(float(x), float(y)) for x, y in (*curve, p[-1])], width, colour, end)

    def _capsule(self, a: Floats, b: Floats, ra: float, rb: float, colour: RGB) -> None:
        """Two disks and what lies between their outer tangents."""
        (ax, ay), (bx, by) = a.tolist(), b.tolist()
        length = math.hypot(bx - ax, by - ay)
        if length <= abs(ra - rb):  # one disk swallows the other
            return self.disk((ax, ay) if ra > rb else (bx, by), max(ra, rb), colour)
        way = math.degrees(math.atan2(by - ay, bx - ax))
        side = math.degrees(math.acos((ra - rb) / length))
        far = arc((bx, by), rb, rb, way - side, way + side)
        self.shape(far + arc((ax, ay), ra, ra, way + side, way + 360 - side), colour)

    def blob(self, points: Points, colour: RGB) -> None:
        """A closed smooth curve through `points` (Catmull-Rom)."""
        p = _array(points)
        before, after, later = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
        curve = [_spline(before, p, after, later, t) for t in np.arange(0, 1, 0.125)]
        self.patches.append(Patch(np.stack(curve, axis=1).reshape(-1, 2), colour))

    def slab(self, points: Points, radius: float, colour: RGB) -> None:
        """A polygon whose corners are rounded off, `radius` from each."""
        p = _array(points)
        outline = []
        for last, corner, following in zip(np.roll(p, 1, 0), p, np.roll(p, -1, 0), strict=True):
            start, stop = (
                corner + (other - corner) * min(radius / max(math.dist(other, corner), 1e-9), 0.5)
                for other in (last, following)
            )
            outline += [
                start * (1 - t) ** 2 + corner * 2 * t * (1 - t) + stop * t**2
                for t in (0, 0.2, 0.4, 0.6, 0.8, 1)
            ]
        self.patches.append(Patch(np.stack(outline), colour))

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: RGB, round: float) -> None:
        """An upright rectangle with rounded corners."""
        self.slab([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], round, colour)

    def face(self, centre: Point, size: float, ground: RGB, ink: RGB = (48, 38, 52)) -> None:
        """Two eyes, two cheeks and a smile on `ground`; `size` is from the middle to an eye."""
        x, y = centre
        blush = mix(ground, (240, 104, 110), 0.5)
        for side in (-1, 1):
            self.oval((x + side * size, y), size * 0.27, size * 0.34, ink)
            self.oval((x + side * size * 1.45, y - size * 0.75), size * 0.4, size * 0.26, blush)
        smile = arc((x, y - size * 0.55), size * 0.55, size * 0.5, 205, 335)
        self.limb(smile, size * 0.24, ink)

    def bounds(self) -> Bounds:
        """Left, lowest, right and highest coordinate of all patches."""
        points = np.concatenate([patch.points for patch in self.patches])
        (left, low), (right, high) = points.min(axis=0), points.max(axis=0)
        return float(left), float(low), float(right), float(high)


def _array(points: Points) -> Floats:
    """Points as an array (P, 2)."""
    if isinstance(points, str):
        return np.array([point.split(",") for point in points.split()], dtype=np.float64)
    return np.array(points, dtype=np.float64)


def arc(centre: Point, rx: float, ry: float, start: float, stop: float) -> list[Point]:
    """Points on an ellipse from `start` to `stop`, in degrees against the clock (y upwards)."""
    steps = max(int(abs(stop - start) / 9), 2)
    turns = (math.radians(start + (stop - start) * i / steps) for i in range(steps + 1))
    return [(centre[0] + rx * math.cos(t), centre[1] + ry * math.sin(t)) for t in turns]


def around(centre: Point, size: float, points: str) -> list[Point]:
    """Points given around (0, 0) in units of `size`, moved to `centre`."""
    return [(centre[0] + x * size, centre[1] + y * size) for x, y in _array(points).tolist()]


def _spline(a: Floats, b: Floats, c: Floats, d: Floats, t: float) -> Floats:
    """A point between b (t = 0) and c (t = 1) of the Catmull-Rom curve through a, b, c, d."""
    bend = (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - 3 * c + d - a) * t**3
    return np.asarray(b + ((c - a) * t + bend) / 2)
