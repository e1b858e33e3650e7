"""What is said about a picture: sentences that hold for it, and the nouns that they use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from captioner.scenes.kinds import KIND_TABLE, KINDS
from captioner.scenes.layout import Group, Placed, Plan
from captioner.scenes.people import CHILDREN, PERSONS
from captioner.scenes.places import PLACES
from captioner.scenes.sketch import Bounds

_CHILD_WORDS = ("child", "children")
_ANYONE_WORDS = ("person", "people")
_NUMBERS = ("", "a", "two", "three")
_ONLY = ("sun", "moon")
_DONE = {
    "holding": "holding",
    "flying": "flying",
    "walking": "walking with",
    "playing": "playing with",
}


def _words() -> dict[str, tuple[str, ...]]:
    words: dict[str, tuple[str, ...]] = {kind: (kind,) for kind in KINDS}
    words |= {row.plural: (kind,) for kind, row in KIND_TABLE.items() if row.plural}
    words |= dict.fromkeys(_CHILD_WORDS, CHILDREN)
    words |= dict.fromkeys((*_ANYONE_WORDS, "shirt"), PERSONS)
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

    group: Group
    place: str
    box: Bounds  # around all of it, in the frame's units
    rivals: tuple[str, ...]  # the kinds of the other groups

    @property
    def verb(self) -> str:
        return "is" if self.group.count == 1 else "are"

    def where(self, rng: Random) -> str:
        """Where it is: "on the grass", "in the sky"."""
        if self.group.zone == "sky":
            return "in the night sky" if self.place == "night" else "in the sky"
        return rng.choice(PLACES[self.place].phrases)

    def name(self, rng: Random, coloured: bool = True) -> str:
        """Its name: "a red ball", "two men in blue"; with the colour where it needs one."""
        group, row = self.group, KIND_TABLE[self.group.kind]
        coloured = coloured or group.kind in self.rivals
        number = "the" if group.kind in _ONLY and not coloured else _NUMBERS[group.count]
        noun = group.kind if group.count == 1 else row.plural
        if row.group == "person":
            noun = rng.choice(self._person_words())
            return f"{number} {noun}" + (f" {_dressed(rng, group)}" if coloured else "")
        colour = f"{group.colour} " if coloured else ""
        if number == "a" and (colour + noun)[0] in "aeiou":
            number = "an"
        return f"{number} {colour}{noun}"

    def _person_words(self) -> list[str]:
        """Nouns to choose from: "person" and "child" only where no second one could be meant."""
        kind, many = self.group.kind, self.group.count > 1
        words = [KIND_TABLE[kind].plural if many else kind] * 8
        if set(PERSONS) & set(self.rivals):
            return words
        if kind in CHILDREN:
            words += [_CHILD_WORDS[many]] * 2
        return [*words, _ANYONE_WORDS[many]]


def describe(rng: Random, plan: Plan, place: str, placed: Sequence[Placed]) -> tuple[str, ...]:
    """Five different sentences that hold for a picture, most of them about all that is there."""
    seen = _look(plan, place, placed)
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


def _look(plan: Plan, place: str, placed: Sequence[Placed]) -> list[_Seen]:
    """The groups of a plan, each with the box around all its things."""
    rest, seen = iter(placed), []
    for group in plan.groups:
        edges = list(zip(*(next(rest).bounds for _ in range(group.count)), strict=True))
        box = (min(edges[0]), min(edges[1]), max(edges[2]), max(edges[3]))
        rivals = tuple(other.kind for other in plan.groups if other is not group)
        seen.append(_Seen(group, place, box, rivals))
    return seen


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


def _dressed(rng: Random, group: Group) -> str:
    if group.count > 1:
        return f"{rng.choice(['in', 'wearing'])} {group.colour}"
    article = "an" if group.colour[0] in "aeiou" else "a"
    worn = f"{article} {group.colour} {group.garment}"
    return rng.choice([f"in {worn}", f"wearing {worn}", f"in {group.colour}"])


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
