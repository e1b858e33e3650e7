"""Where things lie: the boxes of a COCO instance file, and the words for their categories.

They measure the grounding of maps (`maps`) and supervise attention (`losses`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioner.datasets import Id, finder, photo_id, read_json
from captioner.errors import DataError
from captioner.grounding.synonyms import SYNONYMS, plural

Box = tuple[float, float, float, float]
"""x, y, width and height in shares of the photo's sides: squashing a photo does not move them."""

Things = Mapping[str, Sequence[Box]]
"""The boxes in a photo by the kind of thing."""

POINTS = 9  # samples along a cell's side; odd, so that one of them is the cell's centre


def read(path: str | Path) -> dict[str, dict[str, list[Box]]]:
    """The boxes of a COCO instance file, by photo id and kind; see Lin et al. 2014.

    Raises:
        DataError: the file is missing, or not what the format promises.
    """
    document = read_json(path, "a COCO instance file")
    try:
        return _boxes(document)
    except (AttributeError, KeyError, TypeError, ArithmeticError, ValueError) as error:
        raise DataError(
            f"{path}: no COCO instance file ({type(error).__name__}: {error}); expected 'images' "
            "(id, file_name, width, height), 'annotations' (image_id, category_id, bbox) and "
            "'categories' (id, name)"
        ) from None


def _boxes(document: Any) -> dict[str, dict[str, list[Box]]]:
    kinds = {category["id"]: str(category["name"]) for category in document["categories"]}
    images = {image["id"]: image for image in document["images"]}
    find_kind, find_image = finder(kinds), finder(images)
    found: dict[str, dict[str, list[Box]]] = {photo_id(i["file_name"]): {} for i in images.values()}
    for annotation in document["annotations"]:
        image = images[_known(find_image, annotation["image_id"])]
        kind = kinds[_known(find_kind, annotation["category_id"])]
        wide, high = image["width"], image["height"]
        x, y, width, height = map(float, annotation["bbox"])
        box = (x / wide, y / high, width / wide, height / high)
        if not all(map(isfinite, box)):
            raise ValueError(f"a bbox of {x:g}, {y:g}, {width:g}, {height:g}")
        found[photo_id(image["file_name"])].setdefault(kind, []).append(box)
    return found


def _known(find: Callable[[Id], Id | None], identity: Id) -> Id:
    known = find(identity)
    if known is None:
        raise KeyError(identity)
    return known


# Of the synonyms, those that captions use for nothing else; plurals that no caption holds are out.
_NAMED = (
    "bike motorbike plane jet airliner puppy kitten pony calf cattle bull lamb sofa television "
    "cellphone doughnut fridge"
)
_NO_FORMS = frozenset(
    ["airliners", "babies", "cattles", "females", "males", "peoples", "persons", "skateboarders"]
)


def _forms(noun: str) -> tuple[str, ...]:
    """A noun and its plural."""
    return tuple(form for form in (noun, plural(noun)) if form not in _NO_FORMS)


def _further() -> dict[str, tuple[str, ...]]:
    """Further words for kinds, where a file has these."""
    kinds = {noun: kind for kind, nouns in SYNONYMS.items() for noun in nouns}
    words: dict[str, tuple[str, ...]] = {}
    for noun in _NAMED.split():
        also = ("motorcycle",) if noun == "bike" else ()
        words |= dict.fromkeys(_forms(noun), (kinds[noun], *also))
    words |= dict.fromkeys(("person", "people"), ("man", "woman", "boy", "girl"))  # told apart
    return words | dict.fromkeys((*_forms("child"), *_forms("kid")), ("boy", "girl"))


_ALSO = _further()
_PEOPLE = tuple(form for noun in SYNONYMS["person"] for form in _forms(noun))
_PLURALS = {"person": "people", "child": "children", "mouse": "mice", "sheep": "sheep"}


def naming(kinds: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """A function from a word to those of a file's categories (`kinds`) that it names.

    A category is named by its own name, by its plural and by the usual other words for it, such as
    those for people. One of several words ("wine glass") is named by its last word, unless another
    category has that name: a bear is no teddy bear.
    """
    kinds = sorted(kinds)
    known = set(kinds)
    words: dict[str, list[str]] = {}
    for kind in kinds:
        last = kind.rpartition(" ")[2]
        if last == kind or last not in known:
            for word in dict.fromkeys((last, *_plurals(last))):
                words.setdefault(word, []).append(kind)
    for word, named in _ALSO.items():
        held = [kind for kind in named if kind in known]
        if word not in words and held:
            words[word] = held
    if "person" in known:
        for word in _PEOPLE:
            words.setdefault(word, ["person"])
    found = {word: tuple(own) for word, own in words.items()}
    return lambda word: found.get(word, ())


def _plurals(word: str) -> tuple[str, ...]:
    """How captions may write more than one of it."""
    if word in _PLURALS:
        return (_PLURALS[word],)
    if word.endswith("man"):
        return (f"{word[:-3]}men",)
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return (f"{word[:-1]}ies",)
    if word in ("knife", "life", "wife"):
        return (f"{word[:-2]}ves",)
    return (f"{word}s", f"{word}es")


def mask(boxes: Sequence[Box], grid: tuple[int, int]) -> NDArray[np.bool_]:
    """Which of a photo's points (h·9, w·9) lie in one of the boxes."""
    y, x = ((np.arange(POINTS * size) + 0.5) / (POINTS * size) for size in grid)
    left, top, width, height = np.array(boxes, float).reshape(-1, 4).T[..., None]  # (boxes, 1) each
    across = (left <= x) & (x < left + width)  # (boxes, w·9)
    down = (top <= y) & (y < top + height)  # (boxes, h·9)
    return (down[:, :, None] & across[:, None, :]).any(0)


def covered(boxes: Sequence[Box], grid: tuple[int, int]) -> NDArray[np.float32]:
    """The share of each cell that lies in one of the boxes, (h, w)."""
    rows, columns = grid
    points = mask(boxes, grid).reshape(rows, POINTS, columns, POINTS)
    return points.mean((1, 3), dtype=np.float32)
