"""What is neither person nor animal: buildings, plants, vehicles, toys, sun and moon, shapes."""

from __future__ import annotations

import math
from random import Random

from captioner.scenes.colours import COLOURS, INK, RGB, darken, lighten, mix
from captioner.scenes.sketch import Look, Point, Sketch, arc, around

_ROOFS: tuple[RGB, ...] = ((150, 74, 62), (92, 84, 110), (112, 84, 70))
_GLASS: RGB = (190, 228, 246)
_WOOD: RGB = (134, 92, 62)
_LEAF: RGB = (92, 162, 78)


def house(rng: Random, look: Look) -> Sketch:
    """A house; its door is at the left, in the middle or at the right of two windows."""
    wall, sketch = look.colour, Sketch()
    roof = rng.choice([tone for tone in _ROOFS if math.dist(tone, wall) > 60])
    wide, high = rng.uniform(0.4, 0.48), rng.uniform(0.46, 0.54)
    sketch.box(0.16, high, 0.28, 0.95, darken(roof), 0.02)
    sketch.box(-wide, 0, wide, high + 0.05, wall, 0.02)
    sketch.box(-wide, 0, -wide + 0.12, high, darken(wall, 0.12), 0.02)
    sketch.box(-wide, 0, wide, 0.045, darken(wall, 0.3), 0.01)
    sketch.slab([(-wide - 0.1, high), (wide + 0.1, high), (0.0, 0.98)], 0.05, roof)
    sketch.slab([(-wide - 0.1, high), (-wide + 0.12, high), (0.0, 0.98)], 0.04, darken(roof, 0.15))
    sketch.disk((0, high + 0.14), 0.065, _GLASS)
    door = rng.choice([-0.24, 0.0, 0.24])
    sketch.box(door - 0.085, 0, door + 0.085, 0.3, darken(_WOOD, 0.1), 0.05)
    sketch.disk((door + 0.05, 0.14), 0.014, (250, 214, 110))
    frame = (255, 255, 255) if sum(wall) < 690 else (176, 160, 150)
    for x in sorted({-0.24, 0.0, 0.24} - {door}):
        sketch.box(x - 0.085, 0.19, x + 0.085, 0.37, frame, 0.02)
        sketch.box(x - 0.065, 0.21, x + 0.065, 0.35, _GLASS, 0.01)
        sketch.box(x - 0.008, 0.2, x + 0.008, 0.36, frame, 0.002)
        sketch.box(x - 0.07, 0.272, x + 0.07, 0.288, frame, 0.002)
    return sketch


def tree(rng: Random, look: Look) -> Sketch:
    """A tree with a round crown or, if it is green, perhaps a fir."""
    leaf, sketch = look.colour, Sketch()
    sketch.slab("-.07,0 .07,0 .045,.5 -.045,.5", 0.02, _WOOD)
    sketch.slab("-.07,0 -.02,0 -.015,.5 -.045,.5", 0.02, darken(_WOOD))
    green = leaf[1] > leaf[0]
    if green and rng.random() < 0.4:  # a fir; a blossoming or an autumn tree is round
        for i, width in enumerate((0.34, 0.28, 0.21)):
            low = 0.2 + i * 0.22
            tier = [(-width, low), (width, low), (0.0, low + 0.38)]
            sketch.slab(tier, 0.08, darken(leaf, 0.24 - 0.08 * i))
            shine = [(width * 0.1, low + 0.03), (width * 0.8, low + 0.03), (0.03, low + 0.31)]
            sketch.slab(shine, 0.06, darken(leaf, 0.16 - 0.08 * i))
        return sketch
    crown = [(-0.2, 0.5, 0.19), (0.2, 0.52, 0.19), (0.0, 0.56, 0.24), (0.02, 0.76, 0.22)]
    for x, y, r in crown:
        sketch.disk((x + rng.uniform(-0.03, 0.03), y), r + rng.uniform(0, 0.03), darken(leaf, 0.16))
    for x, y, r in crown[::-1]:
        sketch.disk((x * 0.9 + 0.03, y + 0.035), r * 0.78, leaf)
    for _ in range(5):
        x, y = rng.uniform(-0.18, 0.2), rng.uniform(0.5, 0.8)
        sketch.oval((x, y), 0.04, 0.026, lighten(leaf, 0.22), tilt=rng.uniform(0, 60))
    return sketch


def flower(rng: Random, look: Look) -> Sketch:
    """A flower with five, six or eight petals."""
    sketch, bend = Sketch(), rng.uniform(-0.05, 0.05)
    head = (bend, 0.68)
    sketch.limb([(0, 0.02), (-bend, 0.35), head], 0.06, darken(_LEAF, 0.1))
    for side in (-1, 1):
        high = rng.uniform(0.12, 0.26)
        sketch.oval((side * 0.15, high + 0.06), 0.16, 0.06, _LEAF, tilt=side * 35)
    petals, turn = rng.choice([5, 6, 8]), rng.uniform(0, 72)
    for i in range(petals):
        angle = math.radians(turn + 360 * i / petals)
        at = (head[0] + 0.19 * math.cos(angle), head[1] + 0.19 * math.sin(angle))
        tone = look.colour if i % 2 else darken(look.colour, 0.08)
        sketch.oval(at, 0.15, 0.56 / petals + 0.03, tone, tilt=math.degrees(angle))
    middle = (120, 78, 52) if math.dist(look.colour, COLOURS["yellow"]) < 80 else (250, 210, 84)
    sketch.disk(head, 0.115, middle)
    sketch.disk((head[0] + 0.02, head[1] + 0.02), 0.07, lighten(middle, 0.25))
    return sketch


def car(rng: Random, look: Look) -> Sketch:
    """A car, seen from its side."""
    paint, sketch = look.colour, Sketch()
    roof = rng.uniform(0.5, 0.56)
    window = roof - 0.05
    sketch.slab([(-0.4, 0.28), (-0.27, roof), (0.1, roof), (0.28, 0.28)], 0.1, darken(paint, 0.1))
    rear = [(-0.32, 0.3), (-0.235, window), (-0.11, window), (-0.11, 0.3)]
    front = [(-0.06, 0.3), (-0.06, window), (0.085, window), (0.2, 0.3)]
    gleam = [(0.0, 0.3), (0.05, window), (0.08, window), (0.05, 0.3)]
    for pane, tone in ((rear, _GLASS), (front, _GLASS), (gleam, lighten(_GLASS, 0.6))):
        sketch.slab(pane, 0.02, tone)
    hull = [(-0.52, 0.09), (0.52, 0.09), (0.52, 0.26), (0.27, 0.33), (-0.48, 0.33)]
    sketch.slab(hull, 0.08, paint)
    sketch.slab("-.52,.09 .52,.09 .52,.15 -.52,.15", 0.04, darken(paint, 0.22))
    sketch.limb("-.085,.3 -.085,.17", 0.012, darken(paint, 0.3))
    sketch.limb("-.04,.26 .02,.26", 0.018, darken(paint, 0.35))
    sketch.oval((0.485, 0.235), 0.035, 0.035, (255, 236, 150))
    sketch.oval((-0.5, 0.245), 0.02, 0.035, (196, 44, 48))
    for x in (-0.29, 0.29):
        sketch.disk((x, 0.105), 0.105, (50, 48, 56))
        sketch.disk((x, 0.105), 0.055, (206, 210, 216))
        sketch.disk((x, 0.105), 0.022, (120, 124, 134))
    return sketch


def boat(rng: Random, look: Look) -> Sketch:
    """A sailing boat, or a steamer with a funnel."""
    paint, sketch = look.colour, Sketch()
    if look.pose == "sailing":
        sketch.limb(".02,.2 .02,.98", 0.03, _WOOD)
        sketch.blob("-.03,.3 -.42,.3 -.2,.6 -.03,.95 -.05,.6", paint)
        sketch.blob(".07,.3 .4,.3 .27,.52 .07,.84 .09,.56", (250, 246, 236))
    else:
        sketch.box(-0.26, 0.2, 0.14, 0.44, (250, 246, 236), 0.03)
        for x in (-0.17, -0.03):
            sketch.disk((x + 0.02, 0.33), 0.05, (96, 150, 190))
        sketch.box(-0.3, 0.42, 0.18, 0.47, paint, 0.02)
        sketch.box(-0.16, 0.46, -0.04, 0.64, darken(paint, 0.12), 0.02)
        sketch.box(-0.16, 0.56, -0.04, 0.6, (250, 246, 236), 0.01)
    sketch.slab("-.52,.24 .56,.24 .38,0 -.4,0", 0.07, paint)
    sketch.slab("-.43,.06 .42,.06 .38,0 -.4,0", 0.03, darken(paint, 0.25))
    sketch.box(-0.47, 0.165, 0.49, 0.19, lighten(paint, 0.75), 0.008)
    return sketch


def plane(rng: Random, look: Look) -> Sketch:
    """A plane with a row of windows."""
    paint, sketch = look.colour, Sketch()
    sketch.slab("-.1,.24 .1,.24 -.06,.5 -.16,.5", 0.03, darken(paint, 0.3))
    sketch.slab("-.5,.24 -.3,.24 -.46,.56 -.58,.56", 0.05, darken(paint, 0.15))
    sketch.blob("-.54,.27 -.2,.33 .3,.33 .54,.2 .3,.1 -.2,.12", paint)
    sketch.blob("-.3,.14 0,.17 .44,.16 .3,.1 -.15,.11", darken(paint, 0.15))
    sketch.slab(".34,.22 .34,.3 .4,.28 .47,.22", 0.02, _GLASS)
    for x in (-0.22, -0.1, 0.02, 0.14, 0.25):
        sketch.disk((x, 0.25), 0.028, _GLASS)
    sketch.slab("-.08,.18 .14,.18 -.12,-.04 -.24,-.04", 0.04, darken(paint, 0.3))
    return sketch


def ball(rng: Random, look: Look) -> Sketch:
    """A ball with a band around it."""
    sketch, middle = Sketch(), (0.0, 0.5)
    sketch.disk(middle, 0.5, darken(look.colour, 0.2))
    sketch.disk((0.035, 0.535), 0.45, look.colour)
    pale = lighten(look.colour, 0.72) if sum(look.colour) < 660 else (150, 190, 226)
    turn = math.radians(rng.uniform(-50, 10))
    cos, sin = math.cos(turn), math.sin(turn)
    # A band round the ball, seen a little from above: two arcs that meet at its edge.
    band = arc((0, 0), 0.485, 0.22, 180, 360) + arc((0, 0), 0.485, 0.03, 0, -180)
    sketch.shape([(x * cos - y * sin, x * sin + y * cos + 0.5) for x, y in band], pale)
    sketch.oval((0.19, 0.77), 0.1, 0.065, lighten(look.colour, 0.55), tilt=-38)
    return sketch


def balloon(rng: Random, look: Look) -> Sketch:
    """A balloon, without its string."""
    sketch = Sketch()
    sketch.slab("-.075,0 .075,0 0,.1", 0.02, darken(look.colour, 0.25))
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
    sketch.blob(shell, darken(look.colour, 0.16))
    sketch.blob([(x * 0.84 + 0.04, (y - 0.5) * 0.88 + 0.54) for x, y in shell], look.colour)
    sketch.oval((0.15, 0.78), 0.055, 0.11, lighten(look.colour, 0.6), tilt=25)
    return sketch


def kite(rng: Random, look: Look) -> Sketch:
    """A kite with a tail of two bows."""
    sketch, pale = Sketch(), lighten(look.colour, 0.5)
    tail = [(0.0, 0.36), (-0.09, 0.27), (0.03, 0.18), (-0.08, 0.08), (-0.02, 0.0)]
    sketch.curl(tail, 0.022, darken(look.colour, 0.2))
    for x, y in (tail[1], tail[3]):
        for side in (-1, 1):
            bow = [(x, y), (x + side * 0.1, y + 0.05), (x + side * 0.1, y - 0.05)]
            sketch.slab(bow, 0.02, look.colour)
    top, left, right, low, middle = (0, 1.0), (-0.3, 0.72), (0.3, 0.72), (0, 0.34), (0, 0.72)
    for end, plain, faded in ((top, left, right), (low, right, left)):
        sketch.shape([middle, end, plain], look.colour)
        sketch.shape([middle, end, faded], pale)
    sketch.limb([top, low], 0.022, darken(look.colour, 0.35))
    sketch.limb([left, right], 0.022, darken(look.colour, 0.35))
    sketch.hold = middle
    return sketch


def sun(rng: Random, look: Look) -> Sketch:
    """A sun with rays and a face."""
    sketch, middle = Sketch(), (0.0, 0.5)
    rays, turn = rng.choice([10, 12]), rng.uniform(0, 36)
    for i in range(rays):
        angle = math.radians(turn + 360 * i / rays)
        reach = 0.5 if i % 2 else 0.44
        near, far = ((r * math.cos(angle), 0.5 + r * math.sin(angle)) for r in (0.3, reach))
        sketch.limb([near, far], 0.1, mix(look.colour, (250, 160, 40), 0.25), end=0.03)
    sketch.disk(middle, 0.33, look.colour)
    sketch.disk((0.02, 0.52), 0.28, lighten(look.colour, 0.18))
    sketch.face((0.02, 0.53), 0.115, look.colour, (140, 76, 30))
    return sketch


def moon(rng: Random, look: Look) -> Sketch:
    """A crescent with three craters."""
    sketch = Sketch()
    for back, tone in ((0.0, darken(look.colour, 0.16)), (0.05, look.colour)):
        sketch.shape(_crescent(back, 0.2), tone)
    for x, y, r in ((-0.36, 0.62, 0.05), (-0.27, 0.3, 0.06), (-0.17, 0.8, 0.035)):
        sketch.disk((x, y), r, darken(look.colour, 0.1))
    return sketch


def _crescent(back: float, front: float) -> list[Point]:
    """What two circles leave that cross in the same two horns; `back` and `front` are their x."""
    x, y = 0.32, 0.384  # the upper horn, from the middle; the lower one is its mirror image
    (outer, upper), (inner, lower) = (
        (math.hypot(x - c, y), math.degrees(math.atan2(y, x - c))) for c in (back, front)
    )
    hollow = arc((front, 0.5), inner, inner, 360 - lower, lower)
    return arc((back, 0.5), outer, outer, upper, 360 - upper) + hollow


def shape(rng: Random, look: Look) -> Sketch:
    """A circle, square, triangle, star or heart, with a face."""
    sketch, round_off = Sketch(), 0.07 if look.kind in ("square", "triangle", "star") else 0.005
    for size, tone in ((1.0, darken(look.colour, 0.16)), (0.86, look.colour)):
        corners = [(x * size, y * size + 0.5) for x, y in _outline(look.kind)]
        sketch.slab(corners, round_off, tone)
    ink = (235, 228, 220) if sum(look.colour) < 240 else INK
    sketch.face((0, 0.42 if look.kind == "triangle" else 0.54), 0.1, look.colour, ink)
    return sketch


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
        return around((0, 0), 1, straight[kind])
    return arc((0, 0), 0.48, 0.48, 0, 351)


def _heart_height(t: float) -> float:
    return 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
