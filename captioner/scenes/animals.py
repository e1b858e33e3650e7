"""Animals: dogs, cats, birds and ducks."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from captioner.scenes.colours import BLUSH, INK, RGB, darken, lighten, mix
from captioner.scenes.sketch import Look, Point, Sketch, arc, around

_BEAK: RGB = (246, 166, 52)
_PAWS: Mapping[str, tuple[Point, Point]] = {  # of a dog: the near hind paw and the near fore paw
    "standing": ((-0.31, 0.04), (0.19, 0.04)),
    "walking": ((-0.4, 0.045), (0.3, 0.045)),
    "running": ((-0.52, 0.1), (0.42, 0.12)),
}


def dog(rng: Random, look: Look) -> Sketch:
    """A dog with a collar: sitting, standing, walking or running."""
    sketch = Sketch()
    if look.pose == "sitting":
        neck, head = _sitting_dog(sketch, look.colour)
    else:
        neck, head = _dog_on_its_feet(sketch, look.colour, look.pose)
    collar = rng.choice([(214, 70, 66), (70, 130, 200)])
    sketch.limb([(neck[0] - 0.09, neck[1] + 0.05), (neck[0] + 0.12, neck[1] - 0.05)], 0.055, collar)
    _dog_head(sketch, head, look.colour)
    sketch.hold = neck
    return sketch


def _dog_head(sketch: Sketch, at: Point, colour: RGB) -> None:
    x, y = at
    sketch.disk(at, 0.155, colour)
    sketch.oval((x + 0.13, y - 0.055), 0.115, 0.08, lighten(colour, 0.35))
    sketch.oval((x + 0.225, y - 0.02), 0.034, 0.028, INK)
    sketch.curl([(x + 0.2, y - 0.085), (x + 0.13, y - 0.1), (x + 0.08, y - 0.08)], 0.016, INK)
    _eye(sketch, (x + 0.055, y + 0.05), 0.026)
    sketch.blob(around(at, 1, "-.05,.15 -.14,.1 -.2,-.1 -.11,-.16 -.05,0"), darken(colour, 0.35))


def _sitting_dog(sketch: Sketch, colour: RGB) -> tuple[Point, Point]:
    """All but the head; returns where the neck and the head are."""
    paw = lighten(colour, 0.35)
    sketch.curl("-.2,.1 -.36,.1 -.44,.24", 0.07, colour, end=0.045)
    sketch.limb(".16,.36 .2,.05", 0.1, darken(colour, 0.2), end=0.08)
    sketch.limb("-.1,.2 .07,.46", 0.36, colour, end=0.24)
    sketch.oval((-0.1, 0.16), 0.19, 0.155, darken(colour, 0.09))
    sketch.oval((0.0, 0.04), 0.11, 0.045, paw)
    sketch.limb(".09,.36 .11,.05", 0.1, colour, end=0.08)
    sketch.oval((0.14, 0.04), 0.07, 0.04, paw)
    return (0.1, 0.54), (0.14, 0.71)


def _dog_on_its_feet(sketch: Sketch, colour: RGB, pose: str) -> tuple[Point, Point]:
    """All but the head; returns where the neck and the head are."""
    far, (hind, fore) = darken(colour, 0.2), _PAWS[pose]
    for (x, y), hip, dx in ((hind, -0.25, 0.09), (fore, 0.12, -0.07)):
        step = dx * (2.6 if pose == "walking" else 0.8)
        sketch.limb([(hip + dx, 0.32), (x + step, y + 0.02)], 0.12, far, end=0.075)
        sketch.oval((x + step + 0.02, y), 0.06, 0.035, far)
    tail = "-.36,.43 -.52,.5 -.66,.5" if pose == "running" else "-.36,.42 -.5,.5 -.55,.66"
    sketch.curl(tail, 0.08, colour, end=0.04)
    sketch.limb("-.26,.37 .17,.39", 0.28, colour, end=0.32)
    sketch.oval((-0.05, 0.29), 0.22, 0.06, lighten(colour, 0.2))
    sketch.limb(".2,.44 .33,.6", 0.24, colour, end=0.2)
    for (x, y), hip in ((hind, -0.29), (fore, 0.2)):
        sketch.limb([(hip, 0.34), (x, y + 0.02)], 0.15, colour, end=0.085)
        sketch.oval((x + 0.025, y), 0.065, 0.038, lighten(colour, 0.35))
    return (0.29, 0.52), (0.38, 0.66)


def cat(rng: Random, look: Look) -> Sketch:
    """A cat: sitting, lying asleep or walking."""
    sketch = Sketch()
    parts = {"sitting": _sitting_cat, "lying": _lying_cat, "walking": _walking_cat}
    head = parts[look.pose](
        sketch, look.colour, darken(look.colour, 0.25), lighten(look.colour, 0.4)
    )
    _cat_head(sketch, head, look.colour, awake=look.pose != "lying")
    return sketch


def _cat_head(sketch: Sketch, at: Point, colour: RGB, awake: bool) -> None:
    x, y = at
    line = mix(colour, (255, 255, 255) if sum(colour) < 240 else INK, 0.7)
    for side in (-1, 1):
        for size, tone in ((1.0, colour), (0.55, mix(colour, BLUSH, 0.6))):
            ear = around((0.12, 0.12), size, ".05,-.08 .04,.14 -.1,.02")
            sketch.slab([(x + side * dx, y + dy) for dx, dy in ear], 0.04 * size, tone)
    sketch.oval(at, 0.19, 0.16, colour)
    for dx in (-0.06, 0, 0.06):
        sketch.limb([(x + dx, y + 0.15), (x + dx * 0.8, y + 0.09)], 0.022, darken(colour, 0.3))
    sketch.oval((x, y - 0.06), 0.085, 0.06, lighten(colour, 0.4))
    for side in (-1, 1):
        eye = (x + side * 0.08, y + 0.02)
        if awake:
            sketch.oval(eye, 0.036, 0.044, (196, 220, 96))
            sketch.oval(eye, 0.016, 0.036, INK)
        else:
            sketch.limb(arc(eye, 0.035, 0.03, 190, 350), 0.016, line)
        for dy in (-0.03, -0.07):
            whisker = [(x + side * 0.1, y + dy), (x + side * 0.22, y + dy * 1.6 + 0.03)]
            sketch.limb(whisker, 0.009, line)
    sketch.oval((x, y - 0.035), 0.022, 0.016, (222, 106, 116))


def _sitting_cat(sketch: Sketch, colour: RGB, stripe: RGB, pale: RGB) -> Point:
    """All but the head; returns where that is."""
    sketch.curl("-.14,.07 -.3,.08 -.37,.2 -.33,.34", 0.08, stripe, end=0.06)
    sketch.blob("-.2,.03 -.17,.3 -.06,.5 .08,.5 .18,.28 .2,.03", colour)
    sketch.oval((0.0, 0.28), 0.085, 0.15, pale)
    for side in (-1, 1):
        sketch.limb([(side * 0.07, 0.25), (side * 0.07, 0.05)], 0.085, colour)
        sketch.oval((side * 0.075, 0.035), 0.065, 0.038, pale)
    return 0.0, 0.62


def _lying_cat(sketch: Sketch, colour: RGB, stripe: RGB, pale: RGB) -> Point:
    """All but the head; returns where that is."""
    sketch.curl("-.36,.1 -.5,.07 -.56,.16", 0.09, stripe, end=0.07)
    sketch.blob("-.46,.03 -.42,.26 -.12,.36 .22,.26 .34,.03", colour)
    for x in (-0.3, -0.19, -0.08):
        sketch.limb([(x, 0.31), (x - 0.02, 0.2)], 0.03, stripe)
    sketch.oval((0.12, 0.045), 0.09, 0.042, pale)
    return 0.27, 0.2


def _walking_cat(sketch: Sketch, colour: RGB, stripe: RGB, pale: RGB) -> Point:
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


def bird(rng: Random, look: Look) -> Sketch:
    """A bird: flying, or standing on its two legs."""
    colour, wing, sketch = look.colour, darken(look.colour, 0.25), Sketch()
    if look.pose == "flying":
        sketch.blob("-.28,.32 -.58,.4 -.6,.26 -.3,.2", wing)
        sketch.blob(".1,.36 .08,.62 -.06,.78 -.14,.62 -.12,.36", wing)
        sketch.blob("-.36,.27 -.05,.43 .25,.42 .3,.24 0,.12", colour)
        sketch.oval((0.02, 0.22), 0.19, 0.08, lighten(colour, 0.45))
        sketch.blob(
            ".07,.34 -.1,.62 -.32,.78 -.34,.56 -.16,.3",
            darken(colour, 0.12),
        )
        head = (0.3, 0.4)
    else:
        for x in (-0.04, 0.07):
            sketch.limb([(x, 0.2), (x, 0.02), (x + 0.07, 0.015)], 0.03, _BEAK)
        sketch.blob("-.22,.34 -.5,.46 -.52,.34 -.24,.22", wing)
        sketch.blob("-.3,.32 -.1,.48 .16,.56 .26,.34 .04,.14", colour)
        sketch.oval((0.1, 0.28), 0.13, 0.13, lighten(colour, 0.45))
        sketch.blob(".06,.42 -.12,.44 -.34,.32 -.16,.24 .02,.28", wing)
        head = (0.17, 0.58)
    sketch.shape(around(head, 1, ".13,.06 .3,-.01 .12,-.07"), _BEAK)
    sketch.disk(head, 0.165, colour)
    _eye(sketch, (head[0] + 0.06, head[1] + 0.03), 0.03)
    return sketch


def duck(rng: Random, look: Look) -> Sketch:
    """A duck, which shows its legs only when it stands."""
    colour, sketch = look.colour, Sketch()
    lift = 0.12 if look.pose == "standing" else 0.0
    for x in (-0.1, 0.08) if lift else ():
        sketch.limb([(x, 0.2), (x, 0.03)], 0.04, _BEAK)
        sketch.oval((x + 0.05, 0.022), 0.075, 0.024, _BEAK)
    hull = "-.46,.34 -.3,.08 .1,0 .34,.14 .3,.34 0,.32 -.3,.26"
    sketch.blob(around((0, lift), 1, hull), colour)
    sketch.limb([(0.2, 0.28 + lift), (0.24, 0.5 + lift)], 0.2, colour, end=0.18)
    feathers = "-.26,.22 -.08,.27 .16,.2 .02,.08 -.16,.1"
    sketch.blob(around((0, lift), 1, feathers), darken(colour, 0.16))
    head = (0.26, 0.54 + lift)
    sketch.blob(around(head, 1, ".1,.04 .32,-.01 .3,-.07 .1,-.07"), _BEAK)
    sketch.disk(head, 0.155, colour)
    _eye(sketch, (head[0] + 0.06, head[1] + 0.04), 0.028)
    return sketch


def _eye(sketch: Sketch, at: Point, size: float) -> None:
    sketch.disk(at, size * 1.45, (255, 255, 255))
    sketch.disk((at[0] + size * 0.2, at[1]), size, INK)
