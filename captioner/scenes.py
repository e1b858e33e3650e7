"""A world that the project draws itself: flat pictures with captions, boxes and exact masks.

Every scene is one to three things before a background, drawn from polygons with Pillow at several
times its size and reduced; its five captions are read off what was drawn, so they are true, and
its masks are the pixels that the drawing covered, so a map can be judged against them. The idea of
drawn shapes with generated sentences is that of ShapeWorld (Kuhnle and Copestake, 2017) and CLEVR
(Johnson et al., 2017); the files follow the COCO formats (Lin et al., 2014).

The same seed, index and size give the same scene, however many others are drawn.
"""

from __future__ import annotations

import colorsys
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm

from captioner.errors import ConfigError, DataError

RGB = tuple[int, int, int]
Point = tuple[float, float]
Bounds = tuple[float, float, float, float]  # left, top, right, bottom
_Floats = NDArray[np.float64]
_Points = str | Sequence[Point]  # a string writes them as SVG does: "x,y x,y"

SMALLEST, LARGEST = 32, 2048  # sides of a picture, in pixels
ROOM = 500_000  # scenes a split can hold; validation's numbers start here

COLOURS: Mapping[str, RGB] = {
    "red": (226, 62, 58),
    "orange": (245, 138, 44),
    "yellow": (250, 206, 62),
    "green": (74, 166, 82),
    "blue": (50, 116, 214),
    "purple": (138, 84, 196),
    "pink": (245, 138, 180),
    "brown": (142, 92, 58),
    "black": (54, 52, 62),
    "white": (247, 245, 240),
    "grey": (152, 156, 166),
}


# ---- what a scene is -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)  # arrays have no truth value to compare by
class Thing:
    """One thing in a picture, and the pixels on which it can be seen."""

    kind: str  # one of KINDS
    colour: str  # one of COLOURS; of a person, the colour of the clothes
    box: tuple[int, int, int, int]  # x, y, width, height in pixels; bounds the mask exactly
    mask: NDArray[np.bool_]  # (H, W)


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture, five sentences that hold for it, and the things in it."""

    picture: Image.Image  # RGB
    captions: tuple[str, ...]
    things: tuple[Thing, ...]  # one to three
    background: str  # one of BACKGROUNDS


# ---- polygons ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Patch:
    """One polygon filled with one colour."""

    points: _Floats  # (P, 2)
    colour: RGB


def _mix(colour: RGB, other: RGB, share: float) -> RGB:
    """`colour` with `share` (0 to 1) of `other` in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def _dark(colour: RGB, share: float = 0.18) -> RGB:
    # Towards night blue, not black: shadows in flat drawings look dirty otherwise.
    return _mix(colour, (28, 20, 62), share)


def _light(colour: RGB, share: float = 0.3) -> RGB:
    return _mix(colour, (255, 255, 255), share)


def _vary(rng: Random, colour: RGB) -> RGB:
    """A neighbour of `colour` that still goes by its name."""
    hue, light, strength = colorsys.rgb_to_hls(*(part / 255 for part in colour))
    light = min(max(light + rng.uniform(-0.03, 0.03), 0), 1)
    red, green, blue = colorsys.hls_to_rgb((hue + rng.uniform(-0.012, 0.012)) % 1, light, strength)
    return round(red * 255), round(green * 255), round(blue * 255)


def _array(points: _Points) -> _Floats:
    """Points as an array (P, 2)."""
    if isinstance(points, str):
        return np.array([point.split(",") for point in points.split()], dtype=np.float64)
    return np.array(points, dtype=np.float64)


def _arc(centre: Point, rx: float, ry: float, start: float, stop: float) -> list[Point]:
    """Points on an ellipse from `start` to `stop`, in degrees against the clock (y upwards)."""
    steps = max(int(abs(stop - start) / 9), 2)
    turns = (math.radians(start + (stop - start) * i / steps) for i in range(steps + 1))
    return [(centre[0] + rx * math.cos(t), centre[1] + ry * math.sin(t)) for t in turns]


def _spline(a: _Floats, b: _Floats, c: _Floats, d: _Floats, t: float) -> _Floats:
    """A point between b (t = 0) and c (t = 1) of the Catmull-Rom curve through a, b, c, d."""
    bend = (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - 3 * c + d - a) * t**3
    return np.asarray(b + ((c - a) * t + bend) / 2)


class _Sketch:
    """A figure as a list of patches, the later ones on top.

    Figures stand on y = 0 and look up and to the right: x grows rightwards, y upwards, and a
    figure is about 1 high or wide. A background is a sketch too, with y downwards.
    """

    def __init__(self) -> None:
        self.patches: list[_Patch] = []
        self.hold: Point = (0.0, 0.0)  # where a string is tied or held

    def shape(self, points: _Points, colour: RGB) -> None:
        """A polygon with sharp corners."""
        self.patches.append(_Patch(_array(points), colour))

    def oval(self, centre: Point, rx: float, ry: float, colour: RGB, tilt: float = 0) -> None:
        """An ellipse, turned by `tilt` degrees."""
        around = np.array(_arc((0, 0), rx, ry, 0, 360))
        cos, sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
        self.patches.append(_Patch(around @ np.array([[cos, sin], [-sin, cos]]) + centre, colour))

    def disk(self, centre: Point, radius: float, colour: RGB) -> None:
        """A circle."""
        self.oval(centre, radius, radius, colour)

    def limb(self, joints: _Points, width: float, colour: RGB, end: float = 0) -> None:
        """A stroke with round ends through `joints`, as wide as `width`, narrowing to `end`."""
        line, end = _array(joints), end or width
        radii = np.linspace(width / 2, end / 2, len(line))
        for i in range(len(line) - 1):
            self._capsule(line[i], line[i + 1], float(radii[i]), float(radii[i + 1]), colour)

    def curl(self, joints: _Points, width: float, colour: RGB, end: float = 0) -> None:
        """A `limb` that bends smoothly."""
        p = np.pad(_array(joints), ((1, 1), (0, 0)), mode="edge")
        curve = [
            _spline(p[i], p[i + 1], p[i + 2], p[i + 3], t)
            for i in range(len(p) - 3)
            for t in (0, 0.25, 0.5, 0.75)
        ]
        self.limb([(float(x), float(y)) for x, y in (*curve, p[-1])], width, colour, end)

    def _capsule(self, a: _Floats, b: _Floats, ra: float, rb: float, colour: RGB) -> None:
        """Two disks and what lies between their outer tangents."""
        (ax, ay), (bx, by) = a.tolist(), b.tolist()
        length = math.hypot(bx - ax, by - ay)
        if length <= abs(ra - rb):  # one disk swallows the other
            return self.disk((ax, ay) if ra > rb else (bx, by), max(ra, rb), colour)
        way = math.degrees(math.atan2(by - ay, bx - ax))
        side = math.degrees(math.acos((ra - rb) / length))
        far = _arc((bx, by), rb, rb, way - side, way + side)
        self.shape(far + _arc((ax, ay), ra, ra, way + side, way + 360 - side), colour)

    def blob(self, points: _Points, colour: RGB) -> None:
        """A closed smooth curve through `points` (Catmull-Rom)."""
        p = _array(points)
        before, after, later = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
        curve = [_spline(before, p, after, later, t) for t in np.arange(0, 1, 0.125)]
        self.patches.append(_Patch(np.stack(curve, axis=1).reshape(-1, 2), colour))

    def slab(self, points: _Points, radius: float, colour: RGB) -> None:
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
        self.patches.append(_Patch(np.stack(outline), colour))

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: RGB, round: float) -> None:
        """An upright rectangle with rounded corners."""
        self.slab([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], round, colour)

    def face(self, centre: Point, size: float, ground: RGB, ink: RGB = (48, 38, 52)) -> None:
        """Two eyes, two cheeks and a smile on `ground`; `size` is from the middle to an eye."""
        x, y = centre
        blush = _mix(ground, (240, 104, 110), 0.5)
        for side in (-1, 1):
            self.oval((x + side * size, y), size * 0.27, size * 0.34, ink)
            self.oval((x + side * size * 1.45, y - size * 0.75), size * 0.4, size * 0.26, blush)
        smile = _arc((x, y - size * 0.55), size * 0.55, size * 0.5, 205, 335)
        self.limb(smile, size * 0.24, ink)

    def bounds(self) -> Bounds:
        """Left, lowest, right and highest coordinate of all patches."""
        points = np.concatenate([patch.points for patch in self.patches])
        (left, low), (right, high) = points.min(axis=0), points.max(axis=0)
        return float(left), float(low), float(right), float(high)


_BLUSH: RGB = (240, 132, 128)
_INK: RGB = (48, 40, 56)
_SKIN: tuple[RGB, ...] = ((255, 219, 186), (243, 194, 152), (214, 158, 112), (166, 110, 72))
_HAIR: tuple[RGB, ...] = ((58, 40, 36), (104, 62, 36), (168, 104, 52), (226, 178, 92))
_TROUSERS: tuple[RGB, ...] = ((62, 74, 112), (92, 84, 84), (74, 98, 132), (120, 98, 80))
_ROOFS: tuple[RGB, ...] = ((150, 74, 62), (92, 84, 110), (112, 84, 70))
_GLASS: RGB = (190, 228, 246)
_WOOD: RGB = (134, 92, 62)
_LEAF: RGB = (92, 162, 78)
_BEAK: RGB = (246, 166, 52)


# ---- people --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Look:
    """How one thing is to be drawn."""

    kind: str
    colour: RGB
    pose: str = ""
    garment: str = ""  # of a person: "shirt" or "dress"


@dataclass(frozen=True)
class _Stance:
    """Where a person's joints are: arms from the shoulders, legs from the hip, far side first."""

    arms: tuple[tuple[Point, Point], tuple[Point, Point]]  # (elbow, hand) twice
    legs: tuple[tuple[Point, Point], tuple[Point, Point]]  # (knee, foot) twice
    hip: float = 0.4
    lean: float = 0.0


_HANG = ((-0.08, -0.13), (-0.1, -0.26))
_STAND = (((-0.01, -0.2), (-0.015, -0.38)), ((0.01, -0.2), (0.015, -0.38)))
_STANCES: Mapping[str, _Stance] = {
    "standing": _Stance((_HANG, ((0.08, -0.13), (0.1, -0.26))), _STAND),
    "waving": _Stance((_HANG, ((0.14, -0.03), (0.19, 0.17))), _STAND),
    "holding": _Stance((_HANG, ((0.13, -0.05), (0.21, 0.1))), _STAND),
    "walking": _Stance(
        (((0.07, -0.14), (0.17, -0.21)), ((-0.1, -0.13), (-0.13, -0.27))),
        (((-0.03, -0.19), (-0.16, -0.34)), ((0.07, -0.19), (0.1, -0.38))),
        lean=0.02,
    ),
    "running": _Stance(
        (((0.1, -0.13), (0.23, -0.05)), ((-0.14, -0.1), (-0.19, -0.22))),
        (((-0.05, -0.19), (-0.25, -0.2)), ((0.15, -0.12), (0.16, -0.36))),
        lean=0.08,
    ),
    "playing": _Stance(
        (((0.13, -0.07), (0.24, -0.03)), ((-0.13, -0.09), (-0.23, -0.15))),
        (((0, -0.2), (-0.02, -0.38)), ((0.1, -0.16), (0.25, -0.26))),
        lean=-0.03,
    ),
    "jumping": _Stance(
        (((-0.13, 0.04), (-0.19, 0.21)), ((0.13, 0.04), (0.19, 0.21))),
        (((-0.09, -0.13), (-0.16, -0.27)), ((0.1, -0.1), (0.13, -0.27))),
        hip=0.49,
    ),
    "sitting": _Stance(
        (((-0.1, -0.13), (-0.16, -0.26)), ((0.09, -0.14), (0.19, -0.16))),
        (((0.13, 0.12), (0.24, -0.05)), ((0.18, 0.05), (0.32, -0.06))),
        hip=0.09,
    ),
}
_CHILDREN: tuple[str, ...] = ("boy", "girl")


@dataclass(frozen=True)
class _Body:
    """A person's measures and tones."""

    neck: Point
    hip: Point
    head: Point
    radius: float  # of the head
    size: float  # of the rest: 1, and less for a child, who is more head
    skin: RGB
    hair: RGB


def _body(rng: Random, look: _Look, stance: _Stance) -> _Body:
    child = look.kind in _CHILDREN
    size, radius, above = (0.84, 0.165, 0.15) if child else (1.0, 0.128, 0.125)
    hip = (0.0, stance.hip * size)
    neck = (stance.lean, hip[1] + 0.31 * size)
    skin = rng.choice(_SKIN)
    hair = rng.choice([tone for tone in _HAIR if math.dist(tone, skin) > 80])
    return _Body(neck, hip, (neck[0] * 1.5, neck[1] + above), radius, size, skin, hair)


def _person(rng: Random, look: _Look) -> _Sketch:
    stance, sketch = _STANCES[look.pose], _Sketch()
    body = _body(rng, look, stance)
    trousers = rng.choice([tone for tone in _TROUSERS if math.dist(tone, look.colour) > 60])
    (x, y), radius = body.head, body.radius
    _hair_behind(sketch, look.kind, body)
    _arm(sketch, body, stance, -1, look.colour)
    _legs(sketch, body, stance, trousers if look.garment == "shirt" else body.skin)
    _clothes(sketch, body, look)
    sketch.limb([body.neck, (x, y - radius * 0.6)], 0.07, _dark(body.skin, 0.1))
    sketch.disk(body.head, radius, body.skin)
    _hair_in_front(sketch, look.kind, body)
    sketch.face((x + radius * 0.14, y - radius * 0.08), radius * 0.38, body.skin)
    sketch.hold = _arm(sketch, body, stance, 1, look.colour)
    return sketch


def _arm(sketch: _Sketch, body: _Body, stance: _Stance, side: int, colour: RGB) -> Point:
    """The far (-1) or the near (1) arm; returns where its hand is."""
    sleeve, skin = (
        (_dark(colour), _dark(body.skin, 0.1)) if side < 0 else (_light(colour, 0.12), body.skin)
    )
    x, y = body.neck[0] + side * 0.075 * body.size, body.neck[1] - 0.03 * body.size
    reach = 1.1 if body.size < 1 else 1.0  # past a child's large head
    joints = stance.arms[0 if side < 0 else 1]
    elbow, hand = ((x + dx * reach, y + dy * body.size) for dx, dy in joints)
    sketch.limb([elbow, hand], 0.05, skin)
    sketch.disk(hand, 0.034, skin)
    sketch.limb([(x, y), elbow], 0.075, sleeve)
    return hand


def _legs(sketch: _Sketch, body: _Body, stance: _Stance, cloth: RGB) -> None:
    wide, (middle, high) = 0.045 * body.size, body.hip
    sketch.limb([(middle - wide, high), (middle + wide, high)], 0.085, cloth)
    for side, joints in zip((-1, 1), stance.legs, strict=True):
        x, y = middle + side * wide, high
        knee, foot = ((x + dx * body.size, y + dy * body.size) for dx, dy in joints)
        sketch.limb(
            [(x, y), knee, foot], 0.085, _dark(cloth, 0.14) if side < 0 else cloth, end=0.06
        )
        sketch.oval((foot[0] + 0.022, foot[1] - 0.002), 0.055, 0.03, _INK)


def _clothes(sketch: _Sketch, body: _Body, look: _Look) -> None:
    dress = look.garment == "dress"
    top, width = body.neck[1] + 0.005, 0.098 * body.size
    hem = body.hip[1] - (0.17 * body.size if dress else 0.03)
    flare = (0.185 if dress else 0.1) * body.size
    for edge, tone in (
        (1.0, look.colour),
        (-0.45, _dark(look.colour, 0.14)),
    ):  # all, then the shade
        (x0, _), (x1, _) = body.neck, body.hip
        upper = [(x0 - width, top), (x0 + width * edge, top)]
        lower = [(x1 + flare * edge, hem), (x1 - flare, hem)]
        sketch.slab(upper + lower, 0.05, tone)


def _around(centre: Point, size: float, points: str) -> list[Point]:
    """Points given around (0, 0) in units of `size`, moved to `centre`."""
    return [(centre[0] + x * size, centre[1] + y * size) for x, y in _array(points).tolist()]


def _hair_behind(sketch: _Sketch, kind: str, body: _Body) -> None:
    (x, y), radius = body.head, body.radius
    if kind == "woman":
        fall = "0,1.15 1.1,.3 1.05,-1.3 0,-.9 -1.15,-1.55 -1.2,.3"
        sketch.blob(_around(body.head, radius, fall), _dark(body.hair, 0.12))
    if kind == "girl":
        for side in (-1, 1):
            at = (x + side * radius * 1.22, y - radius * 0.1)
            sketch.oval(at, radius * 0.34, radius * 0.5, body.hair)


def _hair_in_front(sketch: _Sketch, kind: str, body: _Body) -> None:
    (x, y), radius = body.head, body.radius
    crown = _arc(body.head, radius * 1.07, radius * 1.09, 8, 172)
    parted = kind in ("woman", "girl")
    fringe = "-.62,.42 .05,.7 .75,.42" if parted else "-.85,.32 -.4,.5 .3,.36 .9,.5"
    sketch.shape(crown + _around(body.head, radius, fringe), body.hair)
    if kind == "boy":
        tuft = "-.3,.9 .1,1.35 .25,1.1 .6,1.22 .5,.85"
        sketch.blob(_around(body.head, radius, tuft), body.hair)
    if kind == "girl":
        for side in (-1, 1):
            sketch.disk((x + side * radius * 1.04, y + radius * 0.28), radius * 0.16, _BLUSH)


# ---- animals -------------------------------------------------------------------------------------


def _eye(sketch: _Sketch, at: Point, size: float) -> None:
    sketch.disk(at, size * 1.45, (255, 255, 255))
    sketch.disk((at[0] + size * 0.2, at[1]), size, _INK)


def _dog_head(sketch: _Sketch, at: Point, colour: RGB) -> None:
    x, y = at
    sketch.disk(at, 0.155, colour)
    sketch.oval((x + 0.13, y - 0.055), 0.115, 0.08, _light(colour, 0.35))
    sketch.oval((x + 0.225, y - 0.02), 0.034, 0.028, _INK)
    sketch.curl([(x + 0.2, y - 0.085), (x + 0.13, y - 0.1), (x + 0.08, y - 0.08)], 0.016, _INK)
    _eye(sketch, (x + 0.055, y + 0.05), 0.026)
    sketch.blob(_around(at, 1, "-.05,.15 -.14,.1 -.2,-.1 -.11,-.16 -.05,0"), _dark(colour, 0.35))


_PAWS: Mapping[str, tuple[Point, Point]] = {  # of a dog: the near hind paw and the near fore paw
    "standing": ((-0.31, 0.04), (0.19, 0.04)),
    "walking": ((-0.4, 0.045), (0.3, 0.045)),
    "running": ((-0.52, 0.1), (0.42, 0.12)),
}


def _dog(rng: Random, look: _Look) -> _Sketch:
    sketch = _Sketch()
    if look.pose == "sitting":
        neck, head = _sitting_dog(sketch, look.colour)
    else:
        neck, head = _dog_on_its_feet(sketch, look.colour, look.pose)
    collar = rng.choice([(214, 70, 66), (70, 130, 200)])
    sketch.limb([(neck[0] - 0.09, neck[1] + 0.05), (neck[0] + 0.12, neck[1] - 0.05)], 0.055, collar)
    _dog_head(sketch, head, look.colour)
    sketch.hold = neck
    return sketch


def _sitting_dog(sketch: _Sketch, colour: RGB) -> tuple[Point, Point]:
    """All but the head; returns where the neck and the head are."""
    paw = _light(colour, 0.35)
    sketch.curl("-.2,.1 -.36,.1 -.44,.24", 0.07, colour, end=0.045)
    sketch.limb(".16,.36 .2,.05", 0.1, _dark(colour, 0.2), end=0.08)
    sketch.limb("-.1,.2 .07,.46", 0.36, colour, end=0.24)
    sketch.oval((-0.1, 0.16), 0.19, 0.155, _dark(colour, 0.09))
    sketch.oval((0.0, 0.04), 0.11, 0.045, paw)
    sketch.limb(".09,.36 .11,.05", 0.1, colour, end=0.08)
    sketch.oval((0.14, 0.04), 0.07, 0.04, paw)
    return (0.1, 0.54), (0.14, 0.71)


def _dog_on_its_feet(sketch: _Sketch, colour: RGB, pose: str) -> tuple[Point, Point]:
    """All but the head; returns where the neck and the head are."""
    far, (hind, fore) = _dark(colour, 0.2), _PAWS[pose]
    for (x, y), hip, dx in ((hind, -0.25, 0.09), (fore, 0.12, -0.07)):
        step = dx * (2.6 if pose == "walking" else 0.8)
        sketch.limb([(hip + dx, 0.32), (x + step, y + 0.02)], 0.12, far, end=0.075)
        sketch.oval((x + step + 0.02, y), 0.06, 0.035, far)
    tail = "-.36,.43 -.52,.5 -.66,.5" if pose == "running" else "-.36,.42 -.5,.5 -.55,.66"
    sketch.curl(tail, 0.08, colour, end=0.04)
    sketch.limb("-.26,.37 .17,.39", 0.28, colour, end=0.32)
    sketch.oval((-0.05, 0.29), 0.22, 0.06, _light(colour, 0.2))
    sketch.limb(".2,.44 .33,.6", 0.24, colour, end=0.2)
    for (x, y), hip in ((hind, -0.29), (fore, 0.2)):
        sketch.limb([(hip, 0.34), (x, y + 0.02)], 0.15, colour, end=0.085)
        sketch.oval((x + 0.025, y), 0.065, 0.038, _light(colour, 0.35))
    return (0.29, 0.52), (0.38, 0.66)


def _cat_head(sketch: _Sketch, at: Point, colour: RGB, awake: bool) -> None:
    x, y = at
    line = _mix(colour, (255, 255, 255) if sum(colour) < 240 else _INK, 0.7)
    for side in (-1, 1):
        for size, tone in ((1.0, colour), (0.55, _mix(colour, _BLUSH, 0.6))):
            ear = _around((0.12, 0.12), size, ".05,-.08 .04,.14 -.1,.02")
            sketch.slab([(x + side * dx, y + dy) for dx, dy in ear], 0.04 * size, tone)
    sketch.oval(at, 0.19, 0.16, colour)
    for dx in (-0.06, 0, 0.06):
        sketch.limb([(x + dx, y + 0.15), (x + dx * 0.8, y + 0.09)], 0.022, _dark(colour, 0.3))
    sketch.oval((x, y - 0.06), 0.085, 0.06, _light(colour, 0.4))
    for side in (-1, 1):
        eye = (x + side * 0.08, y + 0.02)
        if awake:
            sketch.oval(eye, 0.036, 0.044, (196, 220, 96))
            sketch.oval(eye, 0.016, 0.036, _INK)
        else:
            sketch.limb(_arc(eye, 0.035, 0.03, 190, 350), 0.016, line)
        for dy in (-0.03, -0.07):
            whisker = [(x + side * 0.1, y + dy), (x + side * 0.22, y + dy * 1.6 + 0.03)]
            sketch.limb(whisker, 0.009, line)
    sketch.oval((x, y - 0.035), 0.022, 0.016, (222, 106, 116))


def _cat(rng: Random, look: _Look) -> _Sketch:
    sketch = _Sketch()
    parts = {"sitting": _sitting_cat, "lying": _lying_cat, "walking": _walking_cat}
    head = parts[look.pose](sketch, look.colour, _dark(look.colour, 0.25), _light(look.colour, 0.4))
    _cat_head(sketch, head, look.colour, awake=look.pose != "lying")
    return sketch


def _sitting_cat(sketch: _Sketch, colour: RGB, stripe: RGB, pale: RGB) -> Point:
    """All but the head; returns where that is."""
    sketch.curl("-.14,.07 -.3,.08 -.37,.2 -.33,.34", 0.08, stripe, end=0.06)
    sketch.blob("-.2,.03 -.17,.3 -.06,.5 .08,.5 .18,.28 .2,.03", colour)
    sketch.oval((0.0, 0.28), 0.085, 0.15, pale)
    for side in (-1, 1):
        sketch.limb([(side * 0.07, 0.25), (side * 0.07, 0.05)], 0.085, colour)
        sketch.oval((side * 0.075, 0.035), 0.065, 0.038, pale)
    return 0.0, 0.62


def _lying_cat(sketch: _Sketch, colour: RGB, stripe: RGB, pale: RGB) -> Point:
    """All but the head; returns where that is."""
    sketch.curl("-.36,.1 -.5,.07 -.56,.16", 0.09, stripe, end=0.07)
    sketch.blob("-.46,.03 -.42,.26 -.12,.36 .22,.26 .34,.03", colour)
    for x in (-0.3, -0.19, -0.08):
        sketch.limb([(x, 0.31), (x - 0.02, 0.2)], 0.03, stripe)
    sketch.oval((0.12, 0.045), 0.09, 0.042, pale)
    return 0.27, 0.2


def _walking_cat(sketch: _Sketch, colour: RGB, stripe: RGB, pale: RGB) -> Point:
    """All but the head; returns where that is."""
    sketch.curl("-.36,.36 -.5,.44 -.52,.6 -.43,.7", 0.075, stripe, end=0.06)
    for x, foot in ((-0.22, -0.15), (0.12, 0.05)):
        sketch.limb([(x, 0.28), (foot, 0.04)], 0.1, stripe, end=0.075)
    sketch.limb("-.26,.33 .18,.34", 0.25, colour)
    for x in (-0.2, -0.09, 0.02):
        sketch.limb([(x, 0.44), (x - 0.015, 0.35)], 0.03, stripe)
    for x, foot in ((-0.3, -0.35), (0.22, 0.3)):
        sketch.limb([(x, 0.28), (foot, 0.05)], 0.11, colour, end=0.08)
        sketch.oval((foot + 0.015, 0.035), 0.06, 0.036, pale)
    return 0.33, 0.52


def _bird(rng: Random, look: _Look) -> _Sketch:
    colour, wing, sketch = look.colour, _dark(look.colour, 0.25), _Sketch()
    if look.pose == "flying":
        sketch.blob("-.28,.32 -.58,.4 -.6,.26 -.3,.2", wing)
        sketch.blob(".1,.36 .08,.62 -.06,.78 -.14,.62 -.12,.36", wing)
        sketch.blob("-.36,.27 -.05,.43 .25,.42 .3,.24 0,.12", colour)
        sketch.oval((0.02, 0.22), 0.19, 0.08, _light(colour, 0.45))
        sketch.blob(
            ".07,.34 -.1,.62 -.32,.78 -.34,.56 -.16,.3",
            _dark(colour, 0.12),
        )
        head = (0.3, 0.4)
    else:
        for x in (-0.04, 0.07):
            sketch.limb([(x, 0.2), (x, 0.02), (x + 0.07, 0.015)], 0.03, _BEAK)
        sketch.blob("-.22,.34 -.5,.46 -.52,.34 -.24,.22", wing)
        sketch.blob("-.3,.32 -.1,.48 .16,.56 .26,.34 .04,.14", colour)
        sketch.oval((0.1, 0.28), 0.13, 0.13, _light(colour, 0.45))
        sketch.blob(".06,.42 -.12,.44 -.34,.32 -.16,.24 .02,.28", wing)
        head = (0.17, 0.58)
    sketch.shape(_around(head, 1, ".13,.06 .3,-.01 .12,-.07"), _BEAK)
    sketch.disk(head, 0.165, colour)
    _eye(sketch, (head[0] + 0.06, head[1] + 0.03), 0.03)
    return sketch


def _duck(rng: Random, look: _Look) -> _Sketch:
    colour, sketch = look.colour, _Sketch()
    lift = 0.12 if look.pose == "standing" else 0.0
    for x in (-0.1, 0.08) if lift else ():
        sketch.limb([(x, 0.2), (x, 0.03)], 0.04, _BEAK)
        sketch.oval((x + 0.05, 0.022), 0.075, 0.024, _BEAK)
    hull = "-.46,.34 -.3,.08 .1,0 .34,.14 .3,.34 0,.32 -.3,.26"
    sketch.blob(_around((0, lift), 1, hull), colour)
    sketch.limb([(0.2, 0.28 + lift), (0.24, 0.5 + lift)], 0.2, colour, end=0.18)
    feathers = "-.26,.22 -.08,.27 .16,.2 .02,.08 -.16,.1"
    sketch.blob(_around((0, lift), 1, feathers), _dark(colour, 0.16))
    head = (0.26, 0.54 + lift)
    sketch.blob(_around(head, 1, ".1,.04 .32,-.01 .3,-.07 .1,-.07"), _BEAK)
    sketch.disk(head, 0.155, colour)
    _eye(sketch, (head[0] + 0.06, head[1] + 0.04), 0.028)
    return sketch


# ---- what people have made, and what grows -------------------------------------------------------


def _house(rng: Random, look: _Look) -> _Sketch:
    wall, sketch = look.colour, _Sketch()
    roof = rng.choice([tone for tone in _ROOFS if math.dist(tone, wall) > 60])
    wide, high = rng.uniform(0.4, 0.48), rng.uniform(0.46, 0.54)
    sketch.box(0.16, high, 0.28, 0.95, _dark(roof), 0.02)
    sketch.box(-wide, 0, wide, high + 0.05, wall, 0.02)
    sketch.box(-wide, 0, -wide + 0.12, high, _dark(wall, 0.12), 0.02)
    sketch.box(-wide, 0, wide, 0.045, _dark(wall, 0.3), 0.01)
    sketch.slab([(-wide - 0.1, high), (wide + 0.1, high), (0.0, 0.98)], 0.05, roof)
    sketch.slab([(-wide - 0.1, high), (-wide + 0.12, high), (0.0, 0.98)], 0.04, _dark(roof, 0.15))
    sketch.disk((0, high + 0.14), 0.065, _GLASS)
    door = rng.choice([-0.24, 0.0, 0.24])
    sketch.box(door - 0.085, 0, door + 0.085, 0.3, _dark(_WOOD, 0.1), 0.05)
    sketch.disk((door + 0.05, 0.14), 0.014, (250, 214, 110))
    frame = (255, 255, 255) if sum(wall) < 690 else (176, 160, 150)
    for x in sorted({-0.24, 0.0, 0.24} - {door}):
        sketch.box(x - 0.085, 0.19, x + 0.085, 0.37, frame, 0.02)
        sketch.box(x - 0.065, 0.21, x + 0.065, 0.35, _GLASS, 0.01)
        sketch.box(x - 0.008, 0.2, x + 0.008, 0.36, frame, 0.002)
        sketch.box(x - 0.07, 0.272, x + 0.07, 0.288, frame, 0.002)
    return sketch


def _tree(rng: Random, look: _Look) -> _Sketch:
    leaf, sketch = look.colour, _Sketch()
    sketch.slab("-.07,0 .07,0 .045,.5 -.045,.5", 0.02, _WOOD)
    sketch.slab("-.07,0 -.02,0 -.015,.5 -.045,.5", 0.02, _dark(_WOOD))
    green = leaf[1] > leaf[0]
    if green and rng.random() < 0.4:  # a fir; a blossoming or an autumn tree is round
        for i, width in enumerate((0.34, 0.28, 0.21)):
            low = 0.2 + i * 0.22
            tier = [(-width, low), (width, low), (0.0, low + 0.38)]
            sketch.slab(tier, 0.08, _dark(leaf, 0.24 - 0.08 * i))
            shine = [(width * 0.1, low + 0.03), (width * 0.8, low + 0.03), (0.03, low + 0.31)]
            sketch.slab(shine, 0.06, _dark(leaf, 0.16 - 0.08 * i))
        return sketch
    crown = [(-0.2, 0.5, 0.19), (0.2, 0.52, 0.19), (0.0, 0.56, 0.24), (0.02, 0.76, 0.22)]
    for x, y, r in crown:
        sketch.disk((x + rng.uniform(-0.03, 0.03), y), r + rng.uniform(0, 0.03), _dark(leaf, 0.16))
    for x, y, r in crown[::-1]:
        sketch.disk((x * 0.9 + 0.03, y + 0.035), r * 0.78, leaf)
    for _ in range(5):
        x, y = rng.uniform(-0.18, 0.2), rng.uniform(0.5, 0.8)
        sketch.oval((x, y), 0.04, 0.026, _light(leaf, 0.22), tilt=rng.uniform(0, 60))
    return sketch


def _flower(rng: Random, look: _Look) -> _Sketch:
    sketch, bend = _Sketch(), rng.uniform(-0.05, 0.05)
    head = (bend, 0.68)
    sketch.limb([(0, 0.02), (-bend, 0.35), head], 0.06, _dark(_LEAF, 0.1))
    for side in (-1, 1):
        high = rng.uniform(0.12, 0.26)
        sketch.oval((side * 0.15, high + 0.06), 0.16, 0.06, _LEAF, tilt=side * 35)
    petals, turn = rng.choice([5, 6, 8]), rng.uniform(0, 72)
    for i in range(petals):
        angle = math.radians(turn + 360 * i / petals)
        at = (head[0] + 0.19 * math.cos(angle), head[1] + 0.19 * math.sin(angle))
        tone = look.colour if i % 2 else _dark(look.colour, 0.08)
        sketch.oval(at, 0.15, 0.56 / petals + 0.03, tone, tilt=math.degrees(angle))
    middle = (120, 78, 52) if math.dist(look.colour, COLOURS["yellow"]) < 80 else (250, 210, 84)
    sketch.disk(head, 0.115, middle)
    sketch.disk((head[0] + 0.02, head[1] + 0.02), 0.07, _light(middle, 0.25))
    return sketch


def _car(rng: Random, look: _Look) -> _Sketch:
    paint, sketch = look.colour, _Sketch()
    roof = rng.uniform(0.5, 0.56)
    window = roof - 0.05
    sketch.slab([(-0.4, 0.28), (-0.27, roof), (0.1, roof), (0.28, 0.28)], 0.1, _dark(paint, 0.1))
    rear = [(-0.32, 0.3), (-0.235, window), (-0.11, window), (-0.11, 0.3)]
    front = [(-0.06, 0.3), (-0.06, window), (0.085, window), (0.2, 0.3)]
    gleam = [(0.0, 0.3), (0.05, window), (0.08, window), (0.05, 0.3)]
    for pane, tone in ((rear, _GLASS), (front, _GLASS), (gleam, _light(_GLASS, 0.6))):
        sketch.slab(pane, 0.02, tone)
    hull = [(-0.52, 0.09), (0.52, 0.09), (0.52, 0.26), (0.27, 0.33), (-0.48, 0.33)]
    sketch.slab(hull, 0.08, paint)
    sketch.slab("-.52,.09 .52,.09 .52,.15 -.52,.15", 0.04, _dark(paint, 0.22))
    sketch.limb("-.085,.3 -.085,.17", 0.012, _dark(paint, 0.3))
    sketch.limb("-.04,.26 .02,.26", 0.018, _dark(paint, 0.35))
    sketch.oval((0.485, 0.235), 0.035, 0.035, (255, 236, 150))
    sketch.oval((-0.5, 0.245), 0.02, 0.035, (196, 44, 48))
    for x in (-0.29, 0.29):
        sketch.disk((x, 0.105), 0.105, (50, 48, 56))
        sketch.disk((x, 0.105), 0.055, (206, 210, 216))
        sketch.disk((x, 0.105), 0.022, (120, 124, 134))
    return sketch


def _ball(rng: Random, look: _Look) -> _Sketch:
    sketch, middle = _Sketch(), (0.0, 0.5)
    sketch.disk(middle, 0.5, _dark(look.colour, 0.2))
    sketch.disk((0.035, 0.535), 0.45, look.colour)
    pale = _light(look.colour, 0.72) if sum(look.colour) < 660 else (150, 190, 226)
    turn = math.radians(rng.uniform(-50, 10))
    cos, sin = math.cos(turn), math.sin(turn)
    # A band round the ball, seen a little from above: two arcs that meet at its edge.
    band = _arc((0, 0), 0.485, 0.22, 180, 360) + _arc((0, 0), 0.485, 0.03, 0, -180)
    sketch.shape([(x * cos - y * sin, x * sin + y * cos + 0.5) for x, y in band], pale)
    sketch.oval((0.19, 0.77), 0.1, 0.065, _light(look.colour, 0.55), tilt=-38)
    return sketch


def _boat(rng: Random, look: _Look) -> _Sketch:
    paint, sketch = look.colour, _Sketch()
    if look.pose == "sailing":
        sketch.limb(".02,.2 .02,.98", 0.03, _WOOD)
        sketch.blob("-.03,.3 -.42,.3 -.2,.6 -.03,.95 -.05,.6", paint)
        sketch.blob(".07,.3 .4,.3 .27,.52 .07,.84 .09,.56", (250, 246, 236))
    else:
        sketch.box(-0.26, 0.2, 0.14, 0.44, (250, 246, 236), 0.03)
        for x in (-0.17, -0.03):
            sketch.disk((x + 0.02, 0.33), 0.05, (96, 150, 190))
        sketch.box(-0.3, 0.42, 0.18, 0.47, paint, 0.02)
        sketch.box(-0.16, 0.46, -0.04, 0.64, _dark(paint, 0.12), 0.02)
        sketch.box(-0.16, 0.56, -0.04, 0.6, (250, 246, 236), 0.01)
    sketch.slab("-.52,.24 .56,.24 .38,0 -.4,0", 0.07, paint)
    sketch.slab("-.43,.06 .42,.06 .38,0 -.4,0", 0.03, _dark(paint, 0.25))
    sketch.box(-0.47, 0.165, 0.49, 0.19, _light(paint, 0.75), 0.008)
    return sketch


def _plane(rng: Random, look: _Look) -> _Sketch:
    paint, sketch = look.colour, _Sketch()
    sketch.slab("-.1,.24 .1,.24 -.06,.5 -.16,.5", 0.03, _dark(paint, 0.3))
    sketch.slab("-.5,.24 -.3,.24 -.46,.56 -.58,.56", 0.05, _dark(paint, 0.15))
    sketch.blob("-.54,.27 -.2,.33 .3,.33 .54,.2 .3,.1 -.2,.12", paint)
    sketch.blob("-.3,.14 0,.17 .44,.16 .3,.1 -.15,.11", _dark(paint, 0.15))
    sketch.slab(".34,.22 .34,.3 .4,.28 .47,.22", 0.02, _GLASS)
    for x in (-0.22, -0.1, 0.02, 0.14, 0.25):
        sketch.disk((x, 0.25), 0.028, _GLASS)
    sketch.slab("-.08,.18 .14,.18 -.12,-.04 -.24,-.04", 0.04, _dark(paint, 0.3))
    return sketch


# ---- what hangs in the sky -----------------------------------------------------------------------


def _sun(rng: Random, look: _Look) -> _Sketch:
    sketch, middle = _Sketch(), (0.0, 0.5)
    rays, turn = rng.choice([10, 12]), rng.uniform(0, 36)
    for i in range(rays):
        angle = math.radians(turn + 360 * i / rays)
        reach = 0.5 if i % 2 else 0.44
        near, far = ((r * math.cos(angle), 0.5 + r * math.sin(angle)) for r in (0.3, reach))
        sketch.limb([near, far], 0.1, _mix(look.colour, (250, 160, 40), 0.25), end=0.03)
    sketch.disk(middle, 0.33, look.colour)
    sketch.disk((0.02, 0.52), 0.28, _light(look.colour, 0.18))
    sketch.face((0.02, 0.53), 0.115, look.colour, (140, 76, 30))
    return sketch


def _crescent(back: float, front: float) -> list[Point]:
    """What two circles leave that cross in the same two horns; `back` and `front` are their x."""
    x, y = 0.32, 0.384  # the upper horn, from the middle; the lower one is its mirror image
    (outer, upper), (inner, lower) = (
        (math.hypot(x - c, y), math.degrees(math.atan2(y, x - c))) for c in (back, front)
    )
    hollow = _arc((front, 0.5), inner, inner, 360 - lower, lower)
    return _arc((back, 0.5), outer, outer, upper, 360 - upper) + hollow


def _moon(rng: Random, look: _Look) -> _Sketch:
    sketch = _Sketch()
    for back, tone in ((0.0, _dark(look.colour, 0.16)), (0.05, look.colour)):
        sketch.shape(_crescent(back, 0.2), tone)
    for x, y, r in ((-0.36, 0.62, 0.05), (-0.27, 0.3, 0.06), (-0.17, 0.8, 0.035)):
        sketch.disk((x, y), r, _dark(look.colour, 0.1))
    return sketch


def _balloon(rng: Random, look: _Look) -> _Sketch:
    sketch = _Sketch()
    sketch.slab("-.075,0 .075,0 0,.1", 0.02, _dark(look.colour, 0.25))
    shell = [
        (0, 0.06),
        (0.25, 0.3),
        (0.37, 0.62),
        (0.24, 0.92),
        (0, 1),
        (-0.24, 0.92),
        (-0.37, 0.62),
        (-0.25, 0.3),
    ]
    sketch.blob(shell, _dark(look.colour, 0.16))
    sketch.blob([(x * 0.84 + 0.04, (y - 0.5) * 0.88 + 0.54) for x, y in shell], look.colour)
    sketch.oval((0.15, 0.78), 0.055, 0.11, _light(look.colour, 0.6), tilt=25)
    return sketch


def _kite(rng: Random, look: _Look) -> _Sketch:
    sketch, pale = _Sketch(), _light(look.colour, 0.5)
    tail = [(0.0, 0.36), (-0.09, 0.27), (0.03, 0.18), (-0.08, 0.08), (-0.02, 0.0)]
    sketch.curl(tail, 0.022, _dark(look.colour, 0.2))
    for x, y in (tail[1], tail[3]):
        for side in (-1, 1):
            bow = [(x, y), (x + side * 0.1, y + 0.05), (x + side * 0.1, y - 0.05)]
            sketch.slab(bow, 0.02, look.colour)
    top, left, right, low, middle = (0, 1.0), (-0.3, 0.72), (0.3, 0.72), (0, 0.34), (0, 0.72)
    for end, plain, faded in ((top, left, right), (low, right, left)):
        sketch.shape([middle, end, plain], look.colour)
        sketch.shape([middle, end, faded], pale)
    sketch.limb([top, low], 0.022, _dark(look.colour, 0.35))
    sketch.limb([left, right], 0.022, _dark(look.colour, 0.35))
    sketch.hold = middle
    return sketch


# ---- shapes --------------------------------------------------------------------------------------


def _outline(kind: str) -> list[Point]:
    """The corners of a shape about one unit high around (0, 0)."""
    if kind == "star":
        spokes = [(math.radians(90 + 36 * i), 0.27 if i % 2 else 0.55) for i in range(10)]
        return [(r * math.cos(turn), r * math.sin(turn)) for turn, r in spokes]
    if kind == "heart":
        turns = [2 * math.pi * i / 40 for i in range(40)]
        return [(math.sin(t) ** 3 * 0.5, _heart_height(t) * 0.031 + 0.06) for t in turns]
    straight = {
        "square": "-.44,-.44 .44,-.44 .44,.44 -.44,.44",
        "triangle": "-.53,-.42 .53,-.42 0,.5",
    }
    if kind in straight:
        return _around((0, 0), 1, straight[kind])
    return _arc((0, 0), 0.48, 0.48, 0, 351)


def _heart_height(t: float) -> float:
    return 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)


def _plain(rng: Random, look: _Look) -> _Sketch:
    sketch, round_off = _Sketch(), 0.07 if look.kind in ("square", "triangle", "star") else 0.005
    for size, tone in ((1.0, _dark(look.colour, 0.16)), (0.86, look.colour)):
        corners = [(x * size, y * size + 0.5) for x, y in _outline(look.kind)]
        sketch.slab(corners, round_off, tone)
    ink = (235, 228, 220) if sum(look.colour) < 240 else _INK
    sketch.face((0, 0.42 if look.kind == "triangle" else 0.54), 0.1, look.colour, ink)
    return sketch


# ---- the kinds -----------------------------------------------------------------------------------

_BRIGHT = "red orange yellow green blue purple pink"
_CLOTHES = f"{_BRIGHT} white black grey"
_FUR = "brown black white grey"
_POSES = "standing waving walking running jumping sitting"


@dataclass(frozen=True)
class _Kind:
    """One row of the table of kinds; lists of names are strings with spaces."""

    group: str  # COCO's supercategory
    plural: str  # "" for what there is only one of
    paint: Callable[[Random, _Look], _Sketch]
    scale: tuple[float, float]  # the length of a sketch's unit as a share of the shorter side
    colours: str
    poses: str  # participles: what it looks like, and what captions say
    sky: str = ""  # the poses in which it is in the air
    water: str = ""  # the poses that need water


# fmt: off
_TABLE: Mapping[str, _Kind] = {
    "man": _Kind("person", "men", _person, (0.46, 0.58), _CLOTHES, _POSES),
    "woman": _Kind("person", "women", _person, (0.44, 0.56), _CLOTHES, _POSES),
    "boy": _Kind("person", "boys", _person, (0.34, 0.44), _CLOTHES, _POSES),
    "girl": _Kind("person", "girls", _person, (0.34, 0.44), _CLOTHES, _POSES),
    "dog": _Kind("animal", "dogs", _dog, (0.3, 0.42), _FUR, "standing walking running sitting"),
    "cat": _Kind("animal", "cats", _cat, (0.28, 0.38), f"{_FUR} orange", "walking sitting lying"),
    "bird": _Kind("animal", "birds", _bird, (0.2, 0.3), "red blue pink white brown black",
                  "flying standing", sky="flying"),
    "duck": _Kind("animal", "ducks", _duck, (0.24, 0.36), "yellow white brown grey",
                  "floating standing", water="floating"),
    "house": _Kind("building", "", _house, (0.42, 0.58), "red yellow blue white pink orange",
                   "standing"),
    "tree": _Kind("plant", "trees", _tree, (0.44, 0.62), "green orange pink", "growing"),
    "flower": _Kind("plant", "flowers", _flower, (0.22, 0.34),
                    "red orange yellow purple pink white blue", "growing"),
    "car": _Kind("vehicle", "cars", _car, (0.36, 0.5),
                 "red orange yellow green blue white black grey", "parked driving"),
    "boat": _Kind("vehicle", "boats", _boat, (0.32, 0.5),
                  "red orange yellow green white black brown", "sailing floating",
                  water="sailing floating"),
    "plane": _Kind("vehicle", "planes", _plane, (0.3, 0.4), "red orange yellow green white grey",
                   "flying", sky="flying"),
    "ball": _Kind("toy", "balls", _ball, (0.12, 0.2), f"{_BRIGHT} white black", "lying"),
    "balloon": _Kind("toy", "balloons", _balloon, (0.18, 0.26), _BRIGHT, "floating",
                     sky="floating"),
    "kite": _Kind("toy", "kites", _kite, (0.24, 0.34), _BRIGHT, "flying", sky="flying"),
    "sun": _Kind("sky", "", _sun, (0.2, 0.3), "yellow orange red", "shining", sky="shining"),
    "moon": _Kind("sky", "", _moon, (0.16, 0.24), "yellow white orange", "shining", sky="shining"),
    "circle": _Kind("shape", "circles", _plain, (0.2, 0.36), _CLOTHES, "drawn"),
    "square": _Kind("shape", "squares", _plain, (0.2, 0.36), _CLOTHES, "drawn"),
    "triangle": _Kind("shape", "triangles", _plain, (0.2, 0.36), _CLOTHES, "drawn"),
    "star": _Kind("shape", "stars", _plain, (0.2, 0.36), _CLOTHES, "drawn"),
    "heart": _Kind("shape", "hearts", _plain, (0.2, 0.36), _CLOTHES, "drawn"),
}
# fmt: on
KINDS: tuple[str, ...] = tuple(_TABLE)  # a COCO category's id is its place here, from 1


# ---- the places ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Frame:
    """A picture's measures, with its shorter side as the unit and y downwards."""

    width: float
    height: float
    horizon: float  # 0 on paper, which has no sky


def _ridge(
    rng: Random, sketch: _Sketch, frame: _Frame, y: float, swing: float, colour: RGB
) -> None:
    """Ground from a wavy line around `y` down to the lower edge."""
    waves = [(rng.uniform(1.5, 5), rng.uniform(0, 6.3), rng.uniform(0.3, 1)) for _ in range(2)]
    steps = max(int(frame.width * 40), 2)
    line = []
    for i in range(steps + 1):
        x = frame.width * i / steps
        line.append((x, y + swing * sum(a * math.sin(x * f + p) for f, p, a in waves) / 2))
    sketch.shape([*line, (frame.width, frame.height), (0, frame.height)], colour)


def _spots(rng: Random, frame: _Frame, top: float, density: float) -> Iterator[Point]:
    """Places below `top`, from far to near, `density` of them on a square of one unit."""
    count = int(density * frame.width * (frame.height - top))
    heights = sorted(rng.uniform(top, frame.height) for _ in range(count))
    yield from ((rng.uniform(0, frame.width), y) for y in heights)


def _clouds(rng: Random, sketch: _Sketch, frame: _Frame, colour: RGB) -> None:
    for _ in range(round(rng.uniform(1, 3) * frame.width)):
        x, y = rng.uniform(0, frame.width), rng.uniform(0.08, 0.75) * frame.horizon
        size = rng.uniform(0.06, 0.11)
        for dx, dy, r in ((-1.1, 0.1, 0.62), (0, -0.25, 0.9), (1.05, 0.05, 0.7)):
            sketch.oval((x + dx * size, y + dy * size), r * size, r * size * 0.8, colour)
        sketch.oval((x, y + size * 0.28), size * 1.9, size * 0.42, colour)


def _grass(rng: Random, sketch: _Sketch, frame: _Frame) -> None:
    _clouds(rng, sketch, frame, (250, 252, 255))
    green = _vary(rng, (146, 202, 104))
    _ridge(rng, sketch, frame, frame.horizon - 0.05, 0.05, _mix(green, (150, 210, 200), 0.5))
    _ridge(rng, sketch, frame, frame.horizon, 0.03, green)
    near = (frame.horizon + frame.height) / 2
    _ridge(rng, sketch, frame, near, 0.05, _mix(green, (112, 184, 84), 0.4))
    for x, y in _spots(rng, frame, frame.horizon + 0.06, 60):
        size = 0.008 + 0.016 * y / frame.height
        for lean in (-0.7, 0.0, 0.7):
            blade = [(x - size * 0.25, y), (x + size * 0.25, y), (x + lean * size, y - size)]
            sketch.shape(blade, _mix(green, (70, 146, 70), 0.45))


def _snow(rng: Random, sketch: _Sketch, frame: _Frame) -> None:
    near = (frame.horizon + frame.height) / 2
    _ridge(rng, sketch, frame, frame.horizon - 0.07, 0.07, (208, 222, 240))
    _ridge(rng, sketch, frame, frame.horizon, 0.03, (228, 237, 248))
    _ridge(rng, sketch, frame, near, 0.05, (240, 245, 252))
    for x, y in _spots(rng, frame, 0, 45):
        colour = (255, 255, 255) if y < frame.horizon else (214, 226, 242)
        sketch.disk((x, y), rng.uniform(0.004, 0.009), colour)


def _beach(rng: Random, sketch: _Sketch, frame: _Frame) -> None:
    _clouds(rng, sketch, frame, (252, 250, 246))
    shore = frame.horizon + 0.1 * (frame.height - frame.horizon)
    sketch.shape(_rectangle(0, frame.horizon - 0.06, frame.width, frame.height), (64, 160, 206))
    for x, y in _spots(rng, frame, frame.horizon - 0.05, 40):
        if y < shore:
            sketch.oval((x, y), rng.uniform(0.02, 0.05), 0.004, (126, 198, 226))
    _ridge(rng, sketch, frame, shore - 0.015, 0.02, (236, 246, 248))
    _ridge(rng, sketch, frame, shore + 0.012, 0.02, (228, 202, 146))
    _ridge(rng, sketch, frame, shore + 0.04, 0.02, (244, 221, 168))
    for x, y in _spots(rng, frame, shore + 0.08, 90):
        sketch.oval((x, y), 0.007, 0.004, (222, 192, 136))


def _water(rng: Random, sketch: _Sketch, frame: _Frame) -> None:
    _clouds(rng, sketch, frame, (252, 250, 250))
    sea = _vary(rng, (58, 148, 204))
    _ridge(rng, sketch, frame, frame.horizon - 0.03, 0.03, _mix(sea, (150, 200, 190), 0.6))
    depth = frame.height - frame.horizon
    for i in range(4):
        tone = _mix(sea, (24, 92, 160), 0.16 * i)
        top = frame.horizon + depth * (i / 4 + (0.02 if i else 0))
        sketch.shape(_rectangle(0, top, frame.width, frame.height), tone)
    for x, y in _spots(rng, frame, frame.horizon + 0.02, 55):
        wide = 0.02 + 0.03 * (y - frame.horizon) / depth
        wave = [
            (x - wide, y),
            (x - wide / 2, y - wide * 0.16),
            (x, y),
            (x + wide / 2, y - wide * 0.16),
            (x + wide, y),
        ]
        sketch.limb(wave, 0.006, _mix(sea, (230, 246, 255), 0.45))


def _street(rng: Random, sketch: _Sketch, frame: _Frame) -> None:
    _clouds(rng, sketch, frame, (248, 248, 250))
    x = -0.05
    while x < frame.width:  # a skyline, far off
        wide, high = rng.uniform(0.09, 0.18), rng.uniform(0.08, 0.26)
        tone = _mix((176, 190, 212), (198, 202, 216), rng.random())
        sketch.shape(_rectangle(x, frame.horizon - high, x + wide, frame.height), tone)
        for row in range(int(high / 0.05)):
            for column in range(int(wide / 0.045)):
                left, top = x + 0.015 + column * 0.045, frame.horizon - high + 0.02 + row * 0.05
                sketch.shape(_rectangle(left, top, left + 0.018, top + 0.024), _light(tone, 0.4))
        x += wide + rng.choice([0, 0, 0.03])
    depth = frame.height - frame.horizon
    bands = ((0.0, (206, 204, 204)), (0.16, (174, 174, 180)), (0.19, (112, 114, 126)))
    for share, tone in bands:
        sketch.shape(_rectangle(0, frame.horizon + depth * share, frame.width, frame.height), tone)
    middle, x = frame.horizon + depth * 0.6, rng.uniform(-0.2, 0)
    while x < frame.width:
        sketch.shape(_rectangle(x, middle, x + 0.14, middle + 0.022), (240, 232, 206))
        x += 0.26


def _night(rng: Random, sketch: _Sketch, frame: _Frame) -> None:
    for x, y in _spots(rng, _Frame(frame.width, frame.horizon, 0), 0, 90):
        sketch.disk((x, y), rng.uniform(0.002, 0.006), (246, 240, 206))
    near = (frame.horizon + frame.height) / 2
    _ridge(rng, sketch, frame, frame.horizon - 0.06, 0.06, (44, 62, 92))
    _ridge(rng, sketch, frame, frame.horizon, 0.03, (56, 92, 92))
    _ridge(rng, sketch, frame, near, 0.05, (66, 106, 98))
    for x, y in _spots(rng, frame, frame.horizon + 0.06, 40):
        sketch.oval((x, y), 0.012, 0.004, (84, 126, 110))


def _paper(rng: Random, sketch: _Sketch, frame: _Frame) -> None:
    line, step = _vary(rng, (206, 222, 236)), 0.09
    for along, across in ((frame.width, frame.height), (frame.height, frame.width)):
        for i in range(1, int(along / step) + 1):
            ends = [(i * step, -0.1), (i * step, across + 0.1)]
            if along is frame.height:
                ends = [(y, x) for x, y in ends]
            sketch.limb(ends, 0.004, line)


def _rectangle(x0: float, y0: float, x1: float, y1: float) -> list[Point]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


@dataclass(frozen=True)
class _Place:
    """One row of the table of places."""

    often: float  # how often it is chosen
    skies: tuple[tuple[RGB, RGB], ...]  # colours at the upper edge and at the horizon
    paint: Callable[[Random, _Sketch, _Frame], None]
    phrases: tuple[str, ...]  # where, in a caption, things on its ground are
    kinds: str  # a kind that stands here twice comes twice as often
    clash: str  # colours that would be lost on its ground
    string: RGB = (250, 250, 250)  # a thin line's colour before it


_DAWN: tuple[RGB, RGB] = ((252, 182, 144), (255, 234, 194))
_DAY: tuple[tuple[RGB, RGB], ...] = (
    ((126, 196, 240), (222, 242, 250)),
    ((150, 206, 246), (250, 240, 226)),
)
_FROST: tuple[tuple[RGB, RGB], ...] = (
    ((186, 206, 230), (236, 240, 248)),
    ((150, 188, 226), (244, 232, 236)),
)
_DUSK: tuple[tuple[RGB, RGB], ...] = (((22, 28, 66), (70, 78, 128)), ((34, 24, 70), (108, 84, 134)))
_CREAM: tuple[tuple[RGB, RGB], ...] = (((252, 248, 236), (248, 242, 226)),)
_PERSONS: tuple[str, ...] = ("man", "woman", *_CHILDREN)
_ANYWHERE = "man woman boy girl dog cat"
_AIRY = "sun sun bird balloon kite plane"

# fmt: off
_PLACES: Mapping[str, _Place] = {
    "grass": _Place(5, _DAY, _grass, ("on the grass", "in a field", "in the grass"),
                    f"{_ANYWHERE} {_AIRY} bird duck house tree car ball flower flower", "green"),
    "snow": _Place(3, _FROST, _snow, ("in the snow", "on the snow"),
                   f"{_ANYWHERE} {_AIRY} bird house tree car ball", "white", (128, 130, 156)),
    "beach": _Place(3, (*_DAY, _DAWN), _beach, ("on the beach", "on the sand", "at the beach"),
                    f"{_ANYWHERE} {_AIRY} bird duck ball ball", "yellow orange", (128, 130, 156)),
    "water": _Place(4, (*_DAY, _DAWN), _water, ("on the water", "in the water", "on the sea"),
                    f"{_AIRY} boat boat boat boat boat duck duck duck", "blue"),
    "street": _Place(3, _DAY, _street, ("on the street", "in the street", "on the road"),
                     f"{_ANYWHERE} {_AIRY} car car car ball", "black grey"),
    "night": _Place(3, _DUSK, _night, ("outside at night", "on the grass at night", "in the dark"),
                    f"{_ANYWHERE} house house tree car balloon plane" + " moon" * 8, "black brown",
                    (206, 206, 220)),
    "paper": _Place(4, _CREAM, _paper, ("on paper", "on the paper", "on white paper"),
                    "circle square triangle star heart", "white"),
}
# fmt: on
BACKGROUNDS: tuple[str, ...] = tuple(_PLACES)


# ---- who is in a scene, and where ----------------------------------------------------------------


@dataclass(frozen=True)
class _Group:
    """One to three things of one kind, colour and pose."""

    kind: str
    colour: str
    pose: str
    zone: str  # "sky", "ground" or "paper"
    garment: str = ""
    count: int = 1

    @property
    def doing(self) -> str:
        """The participle for what it does by itself."""
        return "standing" if self.pose == "holding" else self.pose


@dataclass(frozen=True)
class _Plan:
    """What is to be drawn: one to three things."""

    groups: tuple[_Group, ...]
    deed: str = ""  # what the first group, a person, does with the second


@dataclass(frozen=True)
class _Placed:
    """One thing, drawn and put into the frame."""

    group: _Group
    sketch: _Sketch
    at: Point  # where the sketch's (0, 0) lies, in the frame's units
    scale: float
    flip: bool

    def onto(self, points: _Floats) -> _Floats:
        """Points of the sketch (P, 2) in the frame's units."""
        across = -self.scale if self.flip else self.scale
        return points * np.array([across, -self.scale]) + np.array(self.at)

    @property
    def hold(self) -> Point:
        """Where a string is tied or held, in the frame's units."""
        x, y = self.onto(np.array(self.sketch.hold))
        return float(x), float(y)

    @cached_property
    def bounds(self) -> Bounds:
        """Left, top, right and bottom in the frame's units, the outline included."""
        left, low, right, high = (edge * self.scale for edge in self.sketch.bounds())
        if self.flip:
            left, right = -right, -left
        (x, y), out = self.at, _LINE
        return x + left - out, y - high - out, x + right + out, y - low + out


_LINE = 0.006  # half the width of an outline
_GAP = 0.025  # kept free between two things
_DEEDS = {"holding": "balloon", "flying": "kite", "walking": "dog", "playing": "ball"}


def _group(rng: Random, place: str, kind: str, count: int = 1, pose: str = "") -> _Group:
    row, here = _TABLE[kind], _PLACES[place]
    sky, wet = row.sky.split(), row.water.split()
    poses = [p for p in row.poses.split() if p in sky or (p in wet) == (place == "water")]
    pose = pose or rng.choice(poses)
    zone = "sky" if pose in sky else "paper" if place == "paper" else "ground"
    lost = here.clash.split() if zone != "sky" and kind != "tree" else []
    colour = rng.choice([name for name in row.colours.split() if name not in lost])
    garment = ""
    if kind in _PERSONS:
        dressed = kind in ("woman", "girl") and pose != "sitting" and rng.random() < 0.75
        garment = "dress" if dressed else "shirt"
    return _Group(kind, colour, pose, zone, garment, count)


_MAKE_UP: Mapping[tuple[int, ...], float] = {  # how many of each group, and how often
    (1,): 28, (2,): 6, (3,): 5, (1, 1): 34, (2, 1): 5, (1, 2): 5, (1, 1, 1): 17,
}  # fmt: skip


def _plan(rng: Random, place: str) -> _Plan:
    """Chooses one to three things for a place."""
    kinds = _PLACES[place].kinds.split()
    if place in ("grass", "snow", "beach", "street") and rng.random() < 0.2:
        return _shared(rng, place)
    counts = rng.choices(list(_MAKE_UP), list(_MAKE_UP.values()))[0]
    groups: list[_Group] = []
    while len(groups) < len(counts):
        kind, count = rng.choice(kinds), counts[len(groups)]
        if count > 1 and not _TABLE[kind].plural:
            continue
        group = _group(rng, place, kind, count)
        alone = not groups and group.zone == "sky"  # an empty ground makes a dull picture
        if not alone and not any(_confusable(group, other) for other in groups):
            groups.append(group)
    return _Plan(tuple(sorted(groups, key=lambda g: (g.zone == "sky", KINDS.index(g.kind)))))


def _confusable(group: _Group, other: _Group) -> bool:
    """Whether a sentence about the one could be read as one about the other."""
    if group.kind != other.kind:
        return False
    return group.colour == other.colour or not _TABLE[group.kind].plural


def _shared(rng: Random, place: str) -> _Plan:
    """A person who does something with a second thing."""
    deed = rng.choice(list(_DEEDS))
    pose = "holding" if deed == "flying" else deed
    person = _group(rng, place, rng.choice(_PERSONS), pose=pose)
    other = _group(rng, place, _DEEDS[deed], pose="walking" if deed == "walking" else "")
    if deed == "holding":
        other = replace(other, zone="ground")  # it is where its holder is
    return _Plan((person, other), deed)


def _arrange(rng: Random, plan: _Plan, frame: _Frame) -> list[_Placed]:
    """Finds places where nothing covers anything, making all smaller as long as there are none."""
    things: list[tuple[_Group, _Sketch]] = []
    for group in plan.groups:
        for _ in range(group.count):
            tone = _vary(rng, COLOURS[group.colour])
            look = _Look(group.kind, tone, group.pose, group.garment)
            things.append((group, _TABLE[group.kind].paint(rng, look)))
    shrink = (1.3, 1.15, 1.0)[len(things) - 1]
    placed: list[_Placed] = []
    while len(placed) < len(things):
        placed = []
        for group, sketch in things:
            near = (plan.deed, placed[0]) if plan.deed and placed else None
            tries = (_spot(rng, group, sketch, frame, shrink, near) for _ in range(6))
            spot = next((spot for spot in tries if _free(spot, placed, frame)), None)
            if spot is None:
                shrink *= 0.98
                break
            placed.append(spot)
    return placed


def _spot(
    rng: Random,
    group: _Group,
    sketch: _Sketch,
    frame: _Frame,
    shrink: float,
    near: tuple[str, _Placed] | None,
) -> _Placed:
    """A place drawn at random, which may be taken; `near` is a deed and the person who does it."""
    scale = shrink * rng.uniform(*_TABLE[group.kind].scale)
    flip = rng.random() < 0.5
    x, depth = rng.uniform(0, frame.width), rng.random()
    y = rng.uniform(0, frame.horizon) if group.zone == "sky" else rng.uniform(0, frame.height)
    if group.zone == "ground":  # what is nearer is larger
        y = frame.horizon + (frame.height - frame.horizon) * (0.2 + 0.75 * depth)
        scale *= 0.85 + 0.25 * depth
    if near and near[0] == "holding":
        hand = near[1].hold
        x, y = hand[0] + rng.uniform(-0.04, 0.04), hand[1] - rng.uniform(0.1, 0.16) * shrink
    elif near and near[0] == "flying":  # on the side of the raised hand
        x = rng.uniform(near[1].hold[0], 0 if near[1].flip else frame.width)
    elif near:
        flip, way = near[1].flip, -1 if near[1].flip else 1
        left, _, right, _ = near[1].bounds
        reach = max(abs(edge) for edge in sketch.bounds()[::2]) * scale
        x = (left if flip else right) + way * (reach + _GAP + rng.uniform(0.02, 0.08))
        y = near[1].at[1] + rng.uniform(-0.01, 0.03)
    return _Placed(group, sketch, (x, y), scale, flip)


def _free(spot: _Placed, placed: Sequence[_Placed], frame: _Frame) -> bool:
    """Whether a thing lies within the frame and apart from all the others."""
    left, top, right, bottom = spot.bounds
    edge = 0.015
    if left < edge or top < edge or right > frame.width - edge or bottom > frame.height - edge:
        return False
    if spot.group.zone == "sky" and bottom > frame.horizon:
        return False
    for x0, y0, x1, y1 in (other.bounds for other in placed):
        if left < x1 + _GAP and x0 < right + _GAP and top < y1 + _GAP and y0 < bottom + _GAP:
            return False
    return True


# ---- drawing it ----------------------------------------------------------------------------------


class _Canvas:
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

    def _pixels(self, points: _Floats) -> list[float]:
        return [float(v) for v in (points * self.unit).reshape(-1)]

    def fill(self, sketch: _Sketch) -> None:
        """A background, given in the frame's units."""
        for patch in sketch.patches:
            self._paint.polygon(self._pixels(patch.points), fill=patch.colour)

    def shadow(self, points: _Floats) -> None:
        """A polygon, in the frame's units, that will be darker than what lies under it."""
        self._shade.polygon(self._pixels(points), fill=255)

    def settle(self, darkness: float) -> None:
        """Puts the shadows down; what is drawn later lies on them."""
        box = self.shade.getbbox()
        if box:
            mask = self.shade.crop(box).point(lambda value: value * darkness)
            self.picture.paste((26, 26, 66), box, mask)

    def string(self, points: _Points, colour: RGB) -> None:
        """A thin line that belongs to nothing."""
        line = self._pixels(np.array(points))
        self._paint.line(line, fill=colour, width=max(round(0.006 * self.unit), 1), joint="curve")

    def draw(self, placed: _Placed, number: int) -> None:
        """A thing: first all outlines, then all fillings, which leaves the outer line alone."""
        outlines = [placed.onto(patch.points) for patch in placed.sketch.patches]
        around = [math.radians(60 * i) for i in range(6)]
        brim = [(_LINE * math.cos(turn), _LINE * math.sin(turn)) for turn in around]
        for points, patch in zip(outlines, placed.sketch.patches, strict=True):
            for step in brim:
                self._polygon(points + step, _dark(patch.colour, 0.45), number)
        for points, patch in zip(outlines, placed.sketch.patches, strict=True):
            self._polygon(points, patch.colour, number)

    def _polygon(self, points: _Floats, colour: RGB, number: int) -> None:
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


def _cast_shadow(canvas: _Canvas, placed: _Placed) -> None:
    left, _, right, bottom = placed.bounds
    if placed.group.zone == "paper":
        canvas.shadow(placed.onto(placed.sketch.patches[0].points) + np.array([0.012, 0.018]))
    elif placed.group.zone == "ground" and placed.group.kind != "balloon":
        ground = max(placed.at[1], bottom) - 0.008
        flat = _arc(
            ((left + right) / 2, ground), (right - left) * 0.48, 0.05 * placed.scale + 0.008, 0, 360
        )
        canvas.shadow(np.array(flat))


def _strings(plan: _Plan, placed: Sequence[_Placed]) -> Iterator[list[Point]]:
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


def _draw(
    rng: Random, plan: _Plan, place: str, size: tuple[int, int]
) -> tuple[_Canvas, list[_Placed]]:
    """Draws a plan; the things come back in the order in which the plan names them."""
    here, short = _PLACES[place], min(size)
    tall = size[1] / short
    horizon = 0.0 if place == "paper" else tall * rng.uniform(0.5, 0.6)
    frame = _Frame(size[0] / short, tall, horizon)
    canvas = _Canvas(size, rng.choice(here.skies), horizon)
    ground = _Sketch()
    here.paint(rng, ground, frame)
    canvas.fill(ground)
    placed = _arrange(rng, plan, frame)
    for thing in placed:
        _cast_shadow(canvas, thing)
    canvas.settle(0.16)
    for line in _strings(plan, placed):
        canvas.string(line, here.string)
    for number, thing in sorted(enumerate(placed), key=lambda item: item[1].at[1]):
        canvas.draw(thing, number)
    return canvas, placed


# ---- what is said about it -----------------------------------------------------------------------

_CHILD_WORDS = ("child", "children")
_ANYONE_WORDS = ("person", "people")
_NUMBERS = ("", "a", "two", "three")
_ONLY = ("sun", "moon")


def _words() -> dict[str, tuple[str, ...]]:
    words: dict[str, tuple[str, ...]] = {kind: (kind,) for kind in KINDS}
    words |= {row.plural: (kind,) for kind, row in _TABLE.items() if row.plural}
    words |= dict.fromkeys(_CHILD_WORDS, _CHILDREN)
    words |= dict.fromkeys((*_ANYONE_WORDS, "shirt"), _PERSONS)
    return words | {"dress": ("woman", "girl")}


NOUNS: Mapping[str, tuple[str, ...]] = _words()


def kinds_of(word: str) -> tuple[str, ...]:
    """The kinds that a caption's word can name: "dogs" a dog, "child" a boy or a girl.

    Clothes name whoever wears them; a word that names no thing ("left", "grass") has no kinds.
    """
    return NOUNS.get(word.lower(), ())


@dataclass(frozen=True)
class _Seen:
    """A group as it turned out in the picture; what is said about it is judged by its box."""

    group: _Group
    place: str
    box: Bounds  # around all of it, in the frame's units
    solitary: bool  # no other group is of its kind

    @property
    def verb(self) -> str:
        return "is" if self.group.count == 1 else "are"

    def where(self, rng: Random) -> str:
        """Where it is: "on the grass", "in the sky"."""
        if self.group.zone == "sky":
            return "in the night sky" if self.place == "night" else "in the sky"
        return rng.choice(_PLACES[self.place].phrases)

    def name(self, rng: Random, coloured: bool = True) -> str:
        """Its name: "a red ball", "two men in blue"; with the colour where it needs one."""
        group, row = self.group, _TABLE[self.group.kind]
        coloured = coloured or not self.solitary
        number = "the" if group.kind in _ONLY and not coloured else _NUMBERS[group.count]
        noun = group.kind if group.count == 1 else row.plural
        if row.group == "person":
            noun = rng.choice(_person_words(group))
            return f"{number} {noun}" + (f" {_dressed(rng, group)}" if coloured else "")
        colour = f"{group.colour} " if coloured else ""
        if number == "a" and (colour + noun)[0] in "aeiou":
            number = "an"
        return f"{number} {colour}{noun}"


def _person_words(group: _Group) -> list[str]:
    many = group.count > 1
    words = [_TABLE[group.kind].plural if many else group.kind] * 8
    if group.kind in _CHILDREN:
        words += [_CHILD_WORDS[many]] * 2
    return [*words, _ANYONE_WORDS[many]]


def _dressed(rng: Random, group: _Group) -> str:
    if group.count > 1:
        return f"{rng.choice(['in', 'wearing'])} {group.colour}"
    article = "an" if group.colour[0] in "aeiou" else "a"
    worn = f"{article} {group.colour} {group.garment}"
    return rng.choice([f"in {worn}", f"wearing {worn}", f"in {group.colour}"])


def _relation(a: _Seen, b: _Seen) -> tuple[str, ...]:
    """How a lies as seen from b: the phrases that hold, none where it is not plain to see."""
    (left, top, right, bottom), (x0, y0, x1, y1) = a.box, b.box
    across, down = (left + right - x0 - x1) / 2, (top + bottom - y0 - y1) / 2
    level = a.group.zone == b.group.zone == "ground"
    if (right <= x0 or x1 <= left) and (level or abs(across) >= abs(down)):
        return ("to the left of",) if across < 0 else ("to the right of",)
    if (bottom <= y0 or y1 <= top) and not level and abs(down) > abs(across):
        return ("above", "over") if down < 0 else ("below", "under")
    return ()


def _near(a: _Seen, b: _Seen) -> bool:
    (left, top, right, bottom), (x0, y0, x1, y1) = a.box, b.box
    apart = max(left - x1, x0 - right), max(top - y1, y0 - bottom)
    return a.group.zone == b.group.zone and max(apart) < 0.15


def _between(a: _Seen, b: _Seen, c: _Seen) -> bool:
    """Whether a, on the same ground, has b on its one side and c on its other."""
    sides = {_relation(a, other) for other in (b, c)}
    same = a.group.zone == b.group.zone == c.group.zone == "ground"
    return same and sides == {("to the left of",), ("to the right of",)}


def _about_one(rng: Random, a: _Seen) -> list[str]:
    there = "there is" if a.group.count == 1 else "there are"
    doing = a.group.doing
    return [
        f"{a.name(rng)} {doing} {a.where(rng)}",
        f"{a.name(rng)} {a.verb} {doing} {a.where(rng)}",
        f"{there} {a.name(rng)} {a.where(rng)}",
        f"{there} {a.name(rng)} {doing} {a.where(rng)}",
        f"{a.name(rng)} {a.verb} {a.where(rng)}",
        f"{a.name(rng)} {a.where(rng)}",
        f"a picture of {a.name(rng)} {a.where(rng)}",
    ]


def _about_two(rng: Random, a: _Seen, b: _Seen) -> list[str]:
    first, doing, where = a.name, a.group.doing, a.where
    apart = a.group.zone != b.group.zone

    def second() -> str:
        return b.name(rng, coloured=rng.random() < 0.75)

    said = []
    for phrase in _relation(a, b):
        said += [
            f"{first(rng)} {phrase} {second()}",
            f"{first(rng)} {a.verb} {phrase} {second()}",
            f"{first(rng)} {doing} {phrase} {second()}",
            f"{first(rng)} {a.verb} {doing} {phrase} {second()}"
            + ("" if apart else f" {where(rng)}"),
        ]
    if apart:
        said += [f"{first(rng)} {where(rng)} and {second()} {b.where(rng)}"]
        said += [f"{first(rng)} {doing} {where(rng)} with {second()} {b.where(rng)}"]
        return said
    said += [f"{first(rng)} and {second()} {where(rng)}"]
    said += [f"{first(rng)} with {second()} {where(rng)}"]
    if _near(a, b):
        said += [f"{first(rng)} {doing} {near} {second()}" for near in ("next to", "near")]
        said += [f"{first(rng)} {a.verb} next to {second()} {where(rng)}"]
    return said


_DONE = {
    "holding": "holding",
    "flying": "flying",
    "walking": "walking with",
    "playing": "playing with",
}


def _about_deed(rng: Random, deed: str, a: _Seen, b: _Seen) -> list[str]:
    does = _DONE[deed]
    return [
        f"{a.name(rng)} {does} {b.name(rng)}",
        f"{a.name(rng)} is {does} {b.name(rng)}",
        f"{a.name(rng)} is {does} {b.name(rng)} {a.where(rng)}",
        f"{a.name(rng)} {does} {b.name(rng, coloured=False)} {a.where(rng)}",
        f"there is {a.name(rng)} {does} {b.name(rng)}",
    ]


def _about_three(rng: Random, a: _Seen, b: _Seen, c: _Seen) -> list[str]:
    names = [a.name(rng), b.name(rng), c.name(rng, coloured=rng.random() < 0.75)]
    if a.group.zone != b.group.zone:  # one on the ground, two in the sky
        said = [f"{names[0]} {a.where(rng)} with {names[1]} and {names[2]} {b.where(rng)}"]
    elif b.group.zone != c.group.zone:
        said = [f"{names[0]} and {names[1]} {a.where(rng)} with {names[2]} {c.where(rng)}"]
    else:
        said = [f"{names[0]}, {names[1]} and {names[2]} {a.where(rng)}"]
    said += [f"{names[0]} with {names[1]} and {names[2]}"]
    for x, y, z in ((a, b, c), (b, a, c), (c, a, b)):
        if _between(x, y, z):
            said += [f"{x.name(rng)} {x.verb} between {y.name(rng)} and {z.name(rng)}"] * 2
    return said


def _captions(rng: Random, plan: _Plan, seen: Sequence[_Seen]) -> tuple[str, ...]:
    """Five different sentences, most of them about all that is there."""
    order = rng.sample(seen, len(seen))
    single = [text for item in seen for text in _about_one(rng, item)]
    if plan.deed:
        wanted = [(3, _about_deed(rng, plan.deed, *seen)), (1, _about_two(rng, *seen))]
        single = _about_one(rng, seen[0])
    elif len(seen) == 3:
        pairs = _about_two(rng, order[0], order[1]) + _about_two(rng, order[2], order[0])
        wanted = [(2, _about_three(rng, *seen)), (2, pairs)]
    elif len(seen) == 2:
        wanted = [(3, _about_two(rng, *seen)), (1, _about_two(rng, *seen[::-1]))]
    else:
        wanted = []
    chosen: list[str] = []
    for count, pool in [*wanted, (5, single)]:
        fresh = [text for text in dict.fromkeys(pool) if text not in chosen]
        chosen += rng.sample(fresh, min(count, len(fresh), 5 - len(chosen)))
    return tuple(_sentence(text) for text in chosen)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


# ---- scenes --------------------------------------------------------------------------------------


def draw(seed: int, index: int, size: tuple[int, int] = (224, 224)) -> Scene:
    """Draws scene `index` of the world `seed`.

    Args:
        seed: which world, from 0.
        index: which of its scenes, from 0; each can be drawn without the others.
        size: width and height in pixels, each from 32 to 2048. Sizes with the same proportions
            show the same drawing and have the same captions.

    Returns:
        The picture, its captions, and its things with their boxes and masks.

    Raises:
        ConfigError: a number is out of range.
    """
    _check(seed, index, size)
    rng = Random(f"{seed}/{index}")  # hashed by SHA-512, so neighbours have nothing in common
    place = rng.choices(BACKGROUNDS, [row.often for row in _PLACES.values()])[0]
    plan = _plan(rng, place)
    canvas, placed = _draw(rng, plan, place, size)
    masks = [canvas.mask(number) for number in range(len(placed))]
    things = tuple(
        Thing(item.group.kind, item.group.colour, _box(mask), mask)
        for item, mask in zip(placed, masks, strict=True)
    )
    captions = _captions(rng, plan, _look(plan, place, placed))
    return Scene(canvas.reduced(), captions, things, place)


def _check(seed: int, index: int, size: tuple[int, int]) -> None:
    for name, number in (("seed", seed), ("index", index)):
        if number < 0:
            raise ConfigError(f"{name} is {number}; give a number from 0 upwards")
    if len(size) != 2 or not all(SMALLEST <= side <= LARGEST for side in size):
        raise ConfigError(
            f"size is {size}; give a width and a height of {SMALLEST} to {LARGEST} pixels"
        )


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """x, y, width and height of the smallest box around a mask (H, W) that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y


def _look(plan: _Plan, place: str, placed: Sequence[_Placed]) -> list[_Seen]:
    """The groups of a plan, each with the box around all its things."""
    rest, kinds, seen = iter(placed), [group.kind for group in plan.groups], []
    for group in plan.groups:
        edges = list(zip(*(next(rest).bounds for _ in range(group.count)), strict=True))
        box = (min(edges[0]), min(edges[1]), max(edges[2]), max(edges[3]))
        seen.append(_Seen(group, place, box, kinds.count(group.kind) == 1))
    return seen


# ---- files ---------------------------------------------------------------------------------------

_EDITION = 1  # raise it when a drawing or a sentence changes: pictures of another one are redrawn
_MAKER = "Scenes drawn by captioner"
_FIRST = {
    "train": 1,
    "val": ROOM + 1,
}  # each split's first scene, which is its first photo's number


@dataclass(frozen=True)
class Split:
    """What `write` put into one split."""

    name: str  # "train" or "val"
    photos: int
    captions: int
    things: int
    words: int  # different ones, in its captions


def write(
    folder: str | Path,
    *,
    train: int = 2000,
    val: int = 200,
    seed: int = 1,
    size: tuple[int, int] = (224, 224),
) -> tuple[Split, ...]:
    """Writes a training and a validation split in the COCO formats.

    `images/000001.png` and on, `captions_train.json`, `captions_val.json`, `instances_train.json`
    and `instances_val.json` come to lie in `folder`. Photo n shows scene n of the world `seed`;
    training has the numbers from 1, validation those from 500001, so that neither changes with the
    other's length. Masks are uncompressed run lengths (`iscrowd` is 0 all the same), and `colour`
    stands beside each thing's category.

    Every picture carries its own captions and things in a text chunk. A run that was interrupted
    therefore goes on where it stopped; the JSON files come last, each whole or not at all.

    Returns:
        What the two splits hold, training first.

    Raises:
        ConfigError: a number is out of range.
        DataError: the folder holds somebody else's annotations, or cannot be written to.
    """
    counts = {"train": train, "val": val}
    for name, count in counts.items():
        if not 0 <= count <= ROOM:
            raise ConfigError(f"{name} is {count}; give a number of scenes from 0 to {ROOM}")
    _check(seed, 0, size)
    folder = Path(folder)
    try:
        _claim(folder, {name: _info(name, seed, size) for name in counts})
        return tuple(_write_split(folder, name, n, seed, size) for name, n in counts.items())
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"cannot write scenes to {folder}: {reason}; give another folder") from None


def _info(name: str, seed: int, size: tuple[int, int]) -> dict[str, str]:
    """What a split's files say about themselves."""
    description = f"{_MAKER}: seed {seed}, {size[0]}x{size[1]}, {name}"
    return {"description": description, "version": str(_EDITION)}


def _claim(folder: Path, infos: Mapping[str, Mapping[str, str]]) -> None:
    """Makes the folder; leaves other people's annotations alone and clears away outdated ones."""
    for name, info in infos.items():
        for path in (folder / f"captions_{name}.json", folder / f"instances_{name}.json"):
            found = _info_of(path) if path.exists() else info
            if not str(found.get("description")).startswith(_MAKER):
                raise DataError(f"{path} holds no drawn scenes; give an empty folder")
            if found != info:  # of pictures that are about to be drawn over
                path.unlink()
    (folder / "images").mkdir(parents=True, exist_ok=True)


def _info_of(path: Path) -> Mapping[str, str]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["info"])
    except (ValueError, KeyError, TypeError):
        return {}


def _write_split(folder: Path, name: str, count: int, seed: int, size: tuple[int, int]) -> Split:
    numbers = range(_FIRST[name], _FIRST[name] + count)
    progress = tqdm(numbers, desc=name, unit="scene", disable=None)  # None: only on a terminal
    records = {n: _record(folder / "images" / _file_name(n), seed, n, size) for n in progress}
    head: dict[str, Any] = {
        "info": _info(name, seed, size),
        "licenses": [{"id": 1, "name": "Apache-2.0", "url": _LICENCE}],
        "images": [
            {"id": n, "file_name": _file_name(n), "width": size[0], "height": size[1], "license": 1}
            for n in numbers
        ],
    }
    captions = [
        {"id": n * 5 + i, "image_id": n, "caption": text}
        for n, record in records.items()
        for i, text in enumerate(record["captions"])
    ]
    things = [
        {"id": n * 3 + i, "image_id": n, **thing}
        for n, record in records.items()
        for i, thing in enumerate(record["things"])
    ]
    instances = {**head, "annotations": things, "categories": _categories()}
    _write_json(folder / f"instances_{name}.json", instances)
    _write_json(folder / f"captions_{name}.json", {**head, "annotations": captions})
    words = {word.strip(",.").lower() for item in captions for word in item["caption"].split()}
    return Split(name, count, len(captions), len(things), len(words))


def _categories() -> list[dict[str, Any]]:
    return [
        {"id": i, "name": kind, "supercategory": row.group}
        for i, (kind, row) in enumerate(_TABLE.items(), start=1)
    ]


_LICENCE = "https://www.apache.org/licenses/LICENSE-2.0"


def _file_name(number: int) -> str:
    return f"{number:06d}.png"


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    _replace(path, (json.dumps(content, separators=(",", ":")) + "\n").encode())


def _record(path: Path, seed: int, number: int, size: tuple[int, int]) -> dict[str, Any]:
    """Captions and things of one scene: from its picture if that is there, else drawn."""
    recipe = {"edition": _EDITION, "seed": seed, "scene": number, "size": list(size)}
    record = _recorded(path)
    if record is not None and record["recipe"] == recipe:
        return record
    scene = draw(seed, number, size)
    record = {
        "recipe": recipe,
        "captions": list(scene.captions),
        "things": [_annotation(thing) for thing in scene.things],
    }
    note, data = PngInfo(), io.BytesIO()
    note.add_text(_CHUNK, json.dumps(record, separators=(",", ":")), zip=True)
    scene.picture.save(data, "PNG", pnginfo=note)
    _replace(path, data.getvalue())
    return record


_CHUNK = "captioner-scene"


def _recorded(path: Path) -> dict[str, Any] | None:
    """What a picture says about itself; None without a picture, or without a whole one."""
    try:
        with Image.open(path) as picture:
            text = picture.info.get(_CHUNK)
            picture.verify()
        if text is not None:
            return dict(json.loads(text))
    except (OSError, SyntaxError, ValueError):  # Pillow reports a damaged PNG as a SyntaxError
        return None
    raise DataError(f"{path} is not a drawn scene; give an empty folder")


def _annotation(thing: Thing) -> dict[str, Any]:
    """A thing as COCO's instances have it, all but the ids."""
    return {
        "category_id": KINDS.index(thing.kind) + 1,
        "bbox": list(thing.box),
        "area": int(thing.mask.sum()),
        "segmentation": run_lengths(thing.mask),
        "iscrowd": 0,
        "colour": thing.colour,
    }


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, list[int]]:
    """A mask (H, W) as COCO's uncompressed run lengths: column by column, from what is not it."""
    flat = np.concatenate([[False], mask.flatten(order="F")])
    turns = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], turns, [mask.size]]))
    return {"size": [int(side) for side in mask.shape], "counts": [int(run) for run in counts]}


def _replace(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
