"""The kinds of things: of each its plural, painter, size, colours and poses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from captioner.scenes.animals import bird, cat, dog, duck
from captioner.scenes.objects import (
    ball,
    balloon,
    boat,
    car,
    flower,
    house,
    kite,
    moon,
    plane,
    shape,
    sun,
    tree,
)
from captioner.scenes.people import person
from captioner.scenes.sketch import Look, Sketch


@dataclass(frozen=True)
class Kind:
    """One row of the table of kinds; lists of names are strings with spaces."""

    group: str  # COCO's supercategory
    plural: str  # "" for what there is only one of
    paint: Callable[[Random, Look], Sketch]
    scale: tuple[float, float]  # the length of a sketch's unit as a share of the shorter side
    colours: str
    poses: str  # participles: what it looks like, and what captions say
    sky: str = ""  # the poses in which it is in the air
    water: str = ""  # the poses that need water


_BRIGHT = "red orange yellow green blue purple pink"
_CLOTHES = f"{_BRIGHT} white black grey"
_FUR = "brown black white grey"
_POSES = "standing waving walking running jumping sitting"

# fmt: off
KIND_TABLE: Mapping[str, Kind] = {
    "man": Kind("person", "men", person, (0.46, 0.58), _CLOTHES, _POSES),
    "woman": Kind("person", "women", person, (0.44, 0.56), _CLOTHES, _POSES),
    "boy": Kind("person", "boys", person, (0.34, 0.44), _CLOTHES, _POSES),
    "girl": Kind("person", "girls", person, (0.34, 0.44), _CLOTHES, _POSES),
    "dog": Kind("animal", "dogs", dog, (0.3, 0.42), _FUR, "standing walking running sitting"),
    "cat": Kind("animal", "cats", cat, (0.28, 0.38), f"{_FUR} orange", "walking sitting lying"),
    "bird": Kind("animal", "birds", bird, (0.2, 0.3), "red blue pink white brown black",
                 "flying standing", sky="flying"),
    "duck": Kind("animal", "ducks", duck, (0.24, 0.36), "yellow white brown grey",
                 "floating standing", water="floating"),
    "house": Kind("building", "", house, (0.42, 0.58), "red yellow blue white pink orange",
                  "standing"),
    "tree": Kind("plant", "trees", tree, (0.44, 0.62), "green orange pink", "growing"),
    "flower": Kind("plant", "flowers", flower, (0.22, 0.34),
                   "red orange yellow purple pink white blue", "growing"),
    "car": Kind("vehicle", "cars", car, (0.36, 0.5),
                "red orange yellow green blue white black grey", "parked driving"),
    "boat": Kind("vehicle", "boats", boat, (0.32, 0.5),
                 "red orange yellow green white black brown", "sailing floating",
                 water="sailing floating"),
    "plane": Kind("vehicle", "planes", plane, (0.3, 0.4), "red orange yellow green white grey",
                  "flying", sky="flying"),
    "ball": Kind("toy", "balls", ball, (0.12, 0.2), f"{_BRIGHT} white black", "lying"),
    "balloon": Kind("toy", "balloons", balloon, (0.18, 0.26), _BRIGHT, "floating",
                    sky="floating"),
    "kite": Kind("toy", "kites", kite, (0.24, 0.34), _BRIGHT, "flying", sky="flying"),
    "sun": Kind("sky", "", sun, (0.2, 0.3), "yellow orange red", "shining", sky="shining"),
    "moon": Kind("sky", "", moon, (0.16, 0.24), "yellow white orange", "shining", sky="shining"),
    "circle": Kind("shape", "circles", shape, (0.2, 0.36), _CLOTHES, "drawn"),
    "square": Kind("shape", "squares", shape, (0.2, 0.36), _CLOTHES, "drawn"),
    "triangle": Kind("shape", "triangles", shape, (0.2, 0.36), _CLOTHES, "drawn"),
    "star": Kind("shape", "stars", shape, (0.2, 0.36), _CLOTHES, "drawn"),
    "heart": Kind("shape", "hearts", shape, (0.2, 0.36), _CLOTHES, "drawn"),
}
# fmt: on
KINDS: tuple[str, ...] = tuple(KIND_TABLE)  # a COCO category's id is its place here, from 1
