"""Who is in a scene, and where: nothing covers anything, and what is nearer is larger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random

import numpy as np

from captioner.scenes.colours import COLOURS, vary
from captioner.scenes.kinds import KIND_TABLE, KINDS
from captioner.scenes.people import PERSONS
from captioner.scenes.places import PLACES, Frame
from captioner.scenes.sketch import Bounds, Floats, Look, Point, Sketch

OUTLINE = 0.006  # half the width of an outline, in the frame's units
_GAP = 0.025  # kept free between two things
_DEEDS = {"holding": "balloon", "flying": "kite", "walking": "dog", "playing": "ball"}
_MAKE_UP: Mapping[tuple[int, ...], float] = {  # how many of each group, and how often
    (1,): 28, (2,): 6, (3,): 5, (1, 1): 34, (2, 1): 5, (1, 2): 5, (1, 1, 1): 17,
}  # fmt: skip


@dataclass(frozen=True)
class Group:
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
class Plan:
    """What is to be drawn: one to three things."""

    groups: tuple[Group, ...]
    deed: str = ""  # what the first group, a person, does with the second


@dataclass(frozen=True)
class Placed:
    """One thing, drawn and put into the frame."""

    group: Group
    sketch: Sketch
    at: Point  # where the sketch's (0, 0) lies, in the frame's units
    scale: float
    flip: bool

    def onto(self, points: Floats) -> Floats:
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
        (x, y), out = self.at, OUTLINE
        return x + left - out, y - high - out, x + right + out, y - low + out


def choose(rng: Random, place: str) -> Plan:
    """Chooses one to three things for a place."""
    kinds = PLACES[place].kinds.split()
    if place in ("grass", "snow", "beach", "street") and rng.random() < 0.2:
        return _shared(rng, place)
    counts = rng.choices(list(_MAKE_UP), list(_MAKE_UP.values()))[0]
    groups: list[Group] = []
    while len(groups) < len(counts):
        kind, count = rng.choice(kinds), counts[len(groups)]
        if count > 1 and not KIND_TABLE[kind].plural:
            continue
        group = _group(rng, place, kind, count)
        alone = not groups and group.zone == "sky"  # an empty ground makes a dull picture
        if not alone and not any(_confusable(group, other) for other in groups):
            groups.append(group)
    return Plan(tuple(sorted(groups, key=lambda g: (g.zone == "sky", KINDS.index(g.kind)))))


def _confusable(group: Group, other: Group) -> bool:
    """Whether a sentence about the one could be read as one about the other."""
    if group.kind != other.kind:
        return False
    return group.colour == other.colour or not KIND_TABLE[group.kind].plural


def _shared(rng: Random, place: str) -> Plan:
    """A person who does something with a second thing."""
    deed = rng.choice(list(_DEEDS))
    pose = "holding" if deed == "flying" else deed
    person = _group(rng, place, rng.choice(PERSONS), pose=pose)
    other = _group(rng, place, _DEEDS[deed], pose="walking" if deed == "walking" else "")
    if deed == "holding":
        other = replace(other, zone="ground")  # it is where its holder is
    return Plan((person, other), deed)


def _group(rng: Random, place: str, kind: str, count: int = 1, pose: str = "") -> Group:
    row, here = KIND_TABLE[kind], PLACES[place]
    sky, wet = row.sky.split(), row.water.split()
    poses = [p for p in row.poses.split() if p in sky or (p in wet) == (place == "water")]
    pose = pose or rng.choice(poses)
    zone = "sky" if pose in sky else "paper" if place == "paper" else "ground"
    lost = here.clash.split() if zone != "sky" and kind != "tree" else []
    colour = rng.choice([name for name in row.colours.split() if name not in lost])
    garment = ""
    if kind in PERSONS:
        dressed = kind in ("woman", "girl") and pose != "sitting" and rng.random() < 0.75
        garment = "dress" if dressed else "shirt"
    return Group(kind, colour, pose, zone, garment, count)


def arrange(rng: Random, plan: Plan, frame: Frame) -> list[Placed]:
    """Finds places where nothing covers anything, making all smaller as long as there are none."""
    things: list[tuple[Group, Sketch]] = []
    for group in plan.groups:
        for _ in range(group.count):
            tone = vary(rng, COLOURS[group.colour])
            look = Look(group.kind, tone, group.pose, group.garment)
            things.append((group, KIND_TABLE[group.kind].paint(rng, look)))
    shrink = (1.3, 1.15, 1.0)[len(things) - 1]
    placed: list[Placed] = []
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
    group: Group,
    sketch: Sketch,
    frame: Frame,
    shrink: float,
    near: tuple[str, Placed] | None,
) -> Placed:
    """A place drawn at random, which may be taken; `near` is a deed and the person who does it."""
    scale = shrink * rng.uniform(*KIND_TABLE[group.kind].scale)
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
    return Placed(group, sketch, (x, y), scale, flip)


def _free(spot: Placed, placed: Sequence[Placed], frame: Frame) -> bool:
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
