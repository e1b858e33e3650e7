"""People: where their joints are in each pose, and how they are drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from captioner.scenes.colours import BLUSH, INK, RGB, darken, lighten
from captioner.scenes.sketch import Look, Point, Sketch, arc, around

CHILDREN: tuple[str, ...] = ("boy", "girl")
PERSONS: tuple[str, ...] = ("man", "woman", *CHILDREN)  # kinds that `person` draws

_SKIN: tuple[RGB, ...] = ((255, 219, 186), (243, 194, 152), (214, 158, 112), (166, 110, 72))
_HAIR: tuple[RGB, ...] = ((58, 40, 36), (104, 62, 36), (168, 104, 52), (226, 178, 92))
_TROUSERS: tuple[RGB, ...] = ((62, 74, 112), (92, 84, 84), (74, 98, 132), (120, 98, 80))


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


def person(rng: Random, look: Look) -> Sketch:
    """Someone in one of the stances, drawn from the far arm to the near one."""
    stance, sketch = _STANCES[look.pose], Sketch()
    body = _body(rng, look, stance)
    trousers = rng.choice([tone for tone in _TROUSERS if math.dist(tone, look.colour) > 60])
    (x, y), radius = body.head, body.radius
    _hair_behind(sketch, look.kind, body)
    _arm(sketch, body, stance, -1, look.colour)
    _legs(sketch, body, stance, trousers if look.garment == "shirt" else body.skin)
    _clothes(sketch, body, look)
    sketch.limb([body.neck, (x, y - radius * 0.6)], 0.07, darken(body.skin, 0.1))
    sketch.disk(body.head, radius, body.skin)
    _hair_in_front(sketch, look.kind, body)
    sketch.face((x + radius * 0.14, y - radius * 0.08), radius * 0.38, body.skin)
    sketch.hold = _arm(sketch, body, stance, 1, look.colour)
    return sketch


def _body(rng: Random, look: Look, stance: _Stance) -> _Body:
    child = look.kind in CHILDREN
    size, radius, above = (0.84, 0.165, 0.15) if child else (1.0, 0.128, 0.125)
    hip = (0.0, stance.hip * size)
    neck = (stance.lean, hip[1] + 0.31 * size)
    skin = rng.choice(_SKIN)
    hair = rng.choice([tone for tone in _HAIR if math.dist(tone, skin) > 80])
    return _Body(neck, hip, (neck[0] * 1.5, neck[1] + above), radius, size, skin, hair)


def _arm(sketch: Sketch, body: _Body, stance: _Stance, side: int, colour: RGB) -> Point:
    """The far (-1) or the near (1) arm; returns where its hand is."""
    sleeve, skin = (
        (darken(colour), darken(body.skin, 0.1)) if side < 0 else (lighten(colour, 0.12), body.skin)
    )
    x, y = body.neck[0] + side * 0.075 * body.size, body.neck[1] - 0.03 * body.size
    reach = 1.1 if body.size < 1 else 1.0  # past a child's large head
    joints = stance.arms[0 if side < 0 else 1]
    elbow, hand = ((x + dx * reach, y + dy * body.size) for dx, dy in joints)
    sketch.limb([elbow, hand], 0.05, skin)
    sketch.disk(hand, 0.034, skin)
    sketch.limb([(x, y), elbow], 0.075, sleeve)
    return hand


def _legs(sketch: Sketch, body: _Body, stance: _Stance, cloth: RGB) -> None:
    wide, (middle, high) = 0.045 * body.size, body.hip
    sketch.limb([(middle - wide, high), (middle + wide, high)], 0.085, cloth)
    for side, joints in zip((-1, 1), stance.legs, strict=True):
        x, y = middle + side * wide, high
        knee, foot = ((x + dx * body.size, y + dy * body.size) for dx, dy in joints)
        sketch.limb(
            [(x, y), knee, foot], 0.085, darken(cloth, 0.14) if side < 0 else cloth, end=0.06
        )
        sketch.oval((foot[0] + 0.022, foot[1] - 0.002), 0.055, 0.03, INK)


def _clothes(sketch: Sketch, body: _Body, look: Look) -> None:
    dress = look.garment == "dress"
    top, width = body.neck[1] + 0.005, 0.098 * body.size
    hem = body.hip[1] - (0.17 * body.size if dress else 0.03)
    flare = (0.185 if dress else 0.1) * body.size
    for edge, tone in (
        (1.0, look.colour),
        (-0.45, darken(look.colour, 0.14)),
    ):  # all, then the shade
        (x0, _), (x1, _) = body.neck, body.hip
        upper = [(x0 - width, top), (x0 + width * edge, top)]
        lower = [(x1 + flare * edge, hem), (x1 - flare, hem)]
        sketch.slab(upper + lower, 0.05, tone)


def _hair_behind(sketch: Sketch, kind: str, body: _Body) -> None:
    (x, y), radius = body.head, body.radius
    if kind == "woman":
        fall = "0,1.15 1.1,.3 1.05,-1.3 0,-.9 -1.15,-1.55 -1.2,.3"
        sketch.blob(around(body.head, radius, fall), darken(body.hair, 0.12))
    if kind == "girl":
        for side in (-1, 1):
            at = (x + side * radius * 1.22, y - radius * 0.1)
            sketch.oval(at, radius * 0.34, radius * 0.5, body.hair)


def _hair_in_front(sketch: Sketch, kind: str, body: _Body) -> None:
    (x, y), radius = body.head, body.radius
    crown = arc(body.head, radius * 1.07, radius * 1.09, 8, 172)
    parted = kind in ("woman", "girl")
    fringe = "-.62,.42 .05,.7 .75,.42" if parted else "-.85,.32 -.4,.5 .3,.36 .9,.5"
    sketch.shape(crown + around(body.head, radius, fringe), body.hair)
    if kind == "boy":
        tuft = "-.3,.9 .1,1.35 .25,1.1 .6,1.22 .5,.85"
        sketch.blob(around(body.head, radius, tuft), body.hair)
    if kind == "girl":
        for side in (-1, 1):
            sketch.disk((x + side * radius * 1.04, y + radius * 0.28), radius * 0.16, BLUSH)
