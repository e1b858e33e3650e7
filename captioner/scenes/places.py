"""Places: their skies and grounds, who may stand there, and what captions call them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random

from captioner.scenes.colours import RGB, lighten, mix, vary
from captioner.scenes.sketch import Point, Sketch


@dataclass(frozen=True)
class Frame:
    """A picture's measures, with its shorter side as the unit and y downwards."""

    width: float
    height: float
    horizon: float  # 0 on paper, which has no sky


@dataclass(frozen=True)
class Place:
    """One row of the table of places."""

    often: float  # how often it is chosen
    skies: tuple[tuple[RGB, RGB], ...]  # colours at the upper edge and at the horizon
    paint: Callable[[Random, Sketch, Frame], None]
    phrases: tuple[str, ...]  # where, in a caption, things on its ground are
    kinds: str  # a kind that stands here twice comes twice as often
    clash: str  # colours that would be lost on its ground
    string: RGB = (250, 250, 250)  # a thin line's colour before it


def _grass(rng: Random, sketch: Sketch, frame: Frame) -> None:
    _clouds(rng, sketch, frame, (250, 252, 255))
    green = vary(rng, (146, 202, 104))
    _ridge(rng, sketch, frame, frame.horizon - 0.05, 0.05, mix(green, (150, 210, 200), 0.5))
    _ridge(rng, sketch, frame, frame.horizon, 0.03, green)
    near = (frame.horizon + frame.height) / 2
    _ridge(rng, sketch, frame, near, 0.05, mix(green, (112, 184, 84), 0.4))
    for x, y in _spots(rng, frame, frame.horizon + 0.06, 60):
        size = 0.008 + 0.016 * y / frame.height
        for lean in (-0.7, 0.0, 0.7):
            blade = [(x - size * 0.25, y), (x + size * 0.25, y), (x + lean * size, y - size)]
            sketch.shape(blade, mix(green, (70, 146, 70), 0.45))


def _snow(rng: Random, sketch: Sketch, frame: Frame) -> None:
    near = (frame.horizon + frame.height) / 2
    _ridge(rng, sketch, frame, frame.horizon - 0.07, 0.07, (208, 222, 240))
    _ridge(rng, sketch, frame, frame.horizon, 0.03, (228, 237, 248))
    _ridge(rng, sketch, frame, near, 0.05, (240, 245, 252))
    for x, y in _spots(rng, frame, 0, 45):
        colour = (255, 255, 255) if y < frame.horizon else (214, 226, 242)
        sketch.disk((x, y), rng.uniform(0.004, 0.009), colour)


def _beach(rng: Random, sketch: Sketch, frame: Frame) -> None:
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


def _water(rng: Random, sketch: Sketch, frame: Frame) -> None:
    _clouds(rng, sketch, frame, (252, 250, 250))
    sea = vary(rng, (58, 148, 204))
    _ridge(rng, sketch, frame, frame.horizon - 0.03, 0.03, mix(sea, (150, 200, 190), 0.6))
    depth = frame.height - frame.horizon
    for i in range(4):
        tone = mix(sea, (24, 92, 160), 0.16 * i)
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
        sketch.limb(wave, 0.006, mix(sea, (230, 246, 255), 0.45))


def _street(rng: Random, sketch: Sketch, frame: Frame) -> None:
    _clouds(rng, sketch, frame, (248, 248, 250))
    x = -0.05
    while x < frame.width:  # a skyline, far off
        wide, high = rng.uniform(0.09, 0.18), rng.uniform(0.08, 0.26)
        tone = mix((176, 190, 212), (198, 202, 216), rng.random())
        sketch.shape(_rectangle(x, frame.horizon - high, x + wide, frame.height), tone)
        for row in range(int(high / 0.05)):
            for column in range(int(wide / 0.045)):
                left, top = x + 0.015 + column * 0.045, frame.horizon - high + 0.02 + row * 0.05
                sketch.shape(_rectangle(left, top, left + 0.018, top + 0.024), lighten(tone, 0.4))
        x += wide + rng.choice([0, 0, 0.03])
    depth = frame.height - frame.horizon
    bands = ((0.0, (206, 204, 204)), (0.16, (174, 174, 180)), (0.19, (112, 114, 126)))
    for share, tone in bands:
        sketch.shape(_rectangle(0, frame.horizon + depth * share, frame.width, frame.height), tone)
    middle, x = frame.horizon + depth * 0.6, rng.uniform(-0.2, 0)
    while x < frame.width:
        sketch.shape(_rectangle(x, middle, x + 0.14, middle + 0.022), (240, 232, 206))
        x += 0.26


def _night(rng: Random, sketch: Sketch, frame: Frame) -> None:
    for x, y in _spots(rng, Frame(frame.width, frame.horizon, 0), 0, 90):
        sketch.disk((x, y), rng.uniform(0.002, 0.006), (246, 240, 206))
    near = (frame.horizon + frame.height) / 2
    _ridge(rng, sketch, frame, frame.horizon - 0.06, 0.06, (44, 62, 92))
    _ridge(rng, sketch, frame, frame.horizon, 0.03, (56, 92, 92))
    _ridge(rng, sketch, frame, near, 0.05, (66, 106, 98))
    for x, y in _spots(rng, frame, frame.horizon + 0.06, 40):
        sketch.oval((x, y), 0.012, 0.004, (84, 126, 110))


def _paper(rng: Random, sketch: Sketch, frame: Frame) -> None:
    line, step = vary(rng, (206, 222, 236)), 0.09
    ways = ((False, frame.width, frame.height), (True, frame.height, frame.width))
    for level, along, across in ways:
        for i in range(1, int(along / step) + 1):
            ends = [(i * step, -0.1), (i * step, across + 0.1)]
            if level:
                ends = [(y, x) for x, y in ends]
            sketch.limb(ends, 0.004, line)


def _clouds(rng: Random, sketch: Sketch, frame: Frame, colour: RGB) -> None:
    for _ in range(round(rng.uniform(1, 3) * frame.width)):
        x, y = rng.uniform(0, frame.width), rng.uniform(0.08, 0.75) * frame.horizon
        size = rng.uniform(0.06, 0.11)
        for dx, dy, r in ((-1.1, 0.1, 0.62), (0, -0.25, 0.9), (1.05, 0.05, 0.7)):
            sketch.oval((x + dx * size, y + dy * size), r * size, r * size * 0.8, colour)
        sketch.oval((x, y + size * 0.28), size * 1.9, size * 0.42, colour)


def _ridge(rng: Random, sketch: Sketch, frame: Frame, y: float, swing: float, colour: RGB) -> None:
    """Ground from a wavy line around `y` down to the lower edge."""
    waves = [(rng.uniform(1.5, 5), rng.uniform(0, 6.3), rng.uniform(0.3, 1)) for _ in range(2)]
    steps = max(int(frame.width * 40), 2)
    line = []
    for i in range(steps + 1):
        x = frame.width * i / steps
        line.append((x, y + swing * sum(a * math.sin(x * f + p) for f, p, a in waves) / 2))
    sketch.shape([*line, (frame.width, frame.height), (0, frame.height)], colour)


def _spots(rng: Random, frame: Frame, top: float, density: float) -> Iterator[Point]:
    """Places below `top`, from far to near, `density` of them on a square of one unit."""
    count = int(density * frame.width * (frame.height - top))
    heights = sorted(rng.uniform(top, frame.height) for _ in range(count))
    yield from ((rng.uniform(0, frame.width), y) for y in heights)


def _rectangle(x0: float, y0: float, x1: float, y1: float) -> list[Point]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


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
_ANYWHERE = "man woman boy girl dog cat"
_AIRY = "sun sun bird balloon kite plane"

# fmt: off
PLACES: Mapping[str, Place] = {
    "grass": Place(5, _DAY, _grass, ("on the grass", "in a field", "in the grass"),
                   f"{_ANYWHERE} {_AIRY} bird duck house tree car ball flower flower", "green"),
    "snow": Place(3, _FROST, _snow, ("in the snow", "on the snow"),
                  f"{_ANYWHERE} {_AIRY} bird house tree car ball", "white", (128, 130, 156)),
    "beach": Place(3, (*_DAY, _DAWN), _beach, ("on the beach", "on the sand", "at the beach"),
                   f"{_ANYWHERE} {_AIRY} bird duck ball ball", "yellow orange", (128, 130, 156)),
    "water": Place(4, (*_DAY, _DAWN), _water, ("on the water", "in the water", "on the sea"),
                   f"{_AIRY} boat boat boat boat boat duck duck duck", "blue"),
    "street": Place(3, _DAY, _street, ("on the street", "in the street", "on the road"),
                    f"{_ANYWHERE} {_AIRY} car car car ball", "black grey"),
    "night": Place(3, _DUSK, _night, ("outside at night", "on the grass at night", "in the dark"),
                   f"{_ANYWHERE} house house tree car balloon plane" + " moon" * 8, "black brown",
                   (206, 206, 220)),
    "paper": Place(4, _CREAM, _paper, ("on paper", "on the paper", "on white paper"),
                   "circle square triangle star heart", "white"),
}
# fmt: on
BACKGROUNDS: tuple[str, ...] = tuple(PLACES)
