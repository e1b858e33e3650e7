from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from captioner import boxes, scenes
from captioner.checkpoint import Checkpoint
from captioner.datasets import Photo, read_coco
from captioner.errors import DataError
from captioner.grounding.pointing import BASELINES, Places, baselines, judge, measure
from captioner.grounding.regions import Cover, Region
from captioner.grounding.regions import read as read_regions
from captioner.grounding.sentences import Asked, Mention, Shown, ask, explained
from captioner.grounding.synonyms import by_word
from captioner.prediction import Captioner
from captioner.text import tokenise
from tests.seeing import awake

LEFT, RIGHT = Region((0.0, 0.0, 0.5, 1.0)), Region((0.5, 0.0, 0.5, 1.0))
SMALL = Region((0.0, 0.0, 0.25, 0.5))
DOG, CAT = frozenset({"dog"}), frozenset({"cat"})


def entry(
    number: int, regions: dict[str, list[Region]], own: list[list[float]], kinds: frozenset[str]
) -> tuple[Asked, list[Shown]]:
    """A photo about which "a dog" is said, with the maps (2, 4) of both words on a 1×4 grid."""
    photo = Photo(str(number), Path(f"{number}.jpg"), ("a dog",))
    shown = Shown(str(number), ("a", "dog"), np.array(own, np.float32).reshape(2, 1, 4))
    return Asked(photo, (("a", "dog"),), (Mention(0, 1, kinds),), regions), [shown]


FIRST = entry(0, {"dog": [LEFT]}, [[0, 0, 0, 1], [0.6, 0.1, 0.1, 0.2]], DOG)
SECOND = entry(1, {"dog": [SMALL], "cat": [RIGHT]}, [[0, 0, 0, 1], [0.1, 0.5, 0.4, 0]], DOG)
THIRD = entry(2, {"dog": [RIGHT]}, [[0.25] * 4, [0.25] * 4], DOG)


def test_by_hand() -> None:
    found = measure([FIRST, SECOND, THIRD], bootstrap=0)
    rows = found.whole.rows
    assert tuple(rows) == ("word", *BASELINES)  # of a file, no map of the next step
    assert (found.whole.photos, found.whole.words) == (3, 3)
    # the second photo's dog fills half of the first cell's height
    assert rows["word"].measures["pointing"].value == pytest.approx((1 + 0 + 0.5) / 3)
    assert rows["word"].measures["mass"].value == pytest.approx(
        (0.7 + 0.1 * 4 / 9 + 0.5) / 3, abs=0.01
    )
    assert rows["uniform"].measures["pointing"].value == pytest.approx(
        (0.5 + 0.125 + 0.5) / 3, abs=0.1
    )
    # the photo's mean is that of both words: 0.3, .05, .05, .6 and .05, .25, .2, .5 and even
    assert rows["photo's mean"].measures["pointing"].value == pytest.approx((0 + 0 + 0.5) / 3)
    assert rows["word"].ahead["pointing"].value == 0
    ahead = rows["photo's mean"].ahead["pointing"].value
    assert ahead == pytest.approx(1 / 3)
    assert found.difficult.words == 1  # small, and a cat beside it
    assert found.kinds["dog"][:2] == (3, pytest.approx(0.5))


def test_a_kinds_place_is_that_in_the_other_photos() -> None:
    regions = {str(n): asked.regions for n, (asked, _) in enumerate((FIRST, SECOND, THIRD))}
    places = Places(regions, (1, 4))
    prior = places.prior("0", DOG)
    assert prior.sum() == pytest.approx(1)
    assert prior[2:] == pytest.approx([1 / (2 + 4 / 9)] * 2, abs=0.05)
    assert prior[1] == 0  # only the photo's own dog lies there
    # no other photo has a cat: where anything lies in the others
    assert places.prior("1", CAT) == pytest.approx([0.25] * 4)
    alone = Places({"0": {"dog": [LEFT]}}, (1, 4))
    assert alone.prior("0", DOG) == pytest.approx([0.25] * 4)


def test_equal_peaks_share_the_hit() -> None:
    covered = Cover(np.array([1, 0, 0.5, 0], np.float32), np.array([True, False, True, False]))
    values = judge(np.array([[2, 2, 0, 0], [1, 1, 1, 1], [0, 0, 0, 5]]), covered)
    assert values[:, 0] == pytest.approx([0.5, 0.5, 0])
    assert values[:, 1] == pytest.approx([0.5, 1.5 / 4, 0])
    assert values[:, 2] == pytest.approx([0.5, 1, 0.25])


def test_the_centre_is_in_the_middle() -> None:
    centre = baselines((5, 7))["centre"].reshape(5, 7)
    assert np.unravel_index(centre.argmax(), (5, 7)) == (2, 3)
    assert np.allclose(centre, centre[::-1, ::-1])
    even = baselines((4, 4))["centre"]
    assert (even == even.max()).sum() == 4


def test_the_drawn_world_by_an_oracle(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    """The same numbers from what the outer tier shows, word by word, and from boxes alone."""
    scenes.write(tmp_path, train=0, val=3, size=(64, 48))
    photos = read_coco(tmp_path / "captions_val.json", tmp_path / "images")
    things, looking = boxes.read(tmp_path / "instances_val.json"), awake(tiny_checkpoint)
    pointing, mass = [], []
    for photo in photos:
        own = things[photo.photo_id]
        for text in photo.captions:
            maps = looking.explain(photo.path, text).maps
            for place, word in enumerate(tokenise(text)):
                named = [box for kind in scenes.kinds_of(word) for box in own.get(kind, ())]
                if named:
                    inside = boxes.mask(named, (2, 2)).reshape(2, 9, 2, 9)
                    pointing.append(inside[:, 4, :, 4].ravel()[maps[place].argmax()])
                    mass.append((inside.mean((1, 3)) * maps[place]).sum())
    only_boxes = {
        photo: {kind: [Region(box) for box in own] for kind, own in kinds.items()}
        for photo, kinds in things.items()
    }
    asked = ask(photos, by_word(scenes.kinds_of), only_boxes)
    found = measure(explained(looking, asked), bootstrap=0).whole
    assert found.words == len(mass)
    assert found.rows["word"].measures["mass"].value == pytest.approx(np.mean(mass), abs=1e-5)
    assert found.rows["word"].measures["pointing"].value == pytest.approx(np.mean(pointing))
    assert tuple(found.rows)[:2] == ("word", "next word")


def test_masks_are_stricter_than_boxes(tiny_captioner: Captioner, tmp_path: Path) -> None:
    scenes.write(tmp_path, train=0, val=4, size=(64, 48))
    photos = read_coco(tmp_path / "captions_val.json", tmp_path / "images")
    regions = read_regions(tmp_path / "instances_val.json")
    found = measure(explained(tiny_captioner, ask(photos, by_word(scenes.kinds_of), regions)))
    assert found.whole.rows["uniform"].measures["mass"].value > 0
    for kinds in regions.values():
        for own in kinds.values():
            for region in own:
                mask = region.points((6, 8))
                assert mask.sum() <= Region(region.box).points((6, 8)).sum() + 2


def test_intervals_are_paired() -> None:
    found = measure([FIRST, SECOND, THIRD], bootstrap=300)
    for part in (found.whole, found.difficult):
        for row in part.rows.values():
            for estimate in (*row.measures.values(), *row.ahead.values()):
                assert estimate.interval is not None
                assert estimate.interval[0] - 1e-9 <= estimate.value <= estimate.interval[1] + 1e-9
    assert found.whole.rows["word"].ahead["mass"].interval == (0, 0)
    assert found == measure([FIRST, SECOND, THIRD], bootstrap=300)


def test_what_is_shown() -> None:
    found = measure([FIRST, SECOND, "photo 3 cannot be opened", THIRD], bootstrap=9)
    assert found.left_out == ("photo 3 cannot be opened",)
    lines = str(found).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:7]] == ["word", *BASELINES]
    assert lines[-1].startswith("all 3 words in 3 photos (pointing at most 66.7")
    assert "under 25% of the photo, another kind present" in lines[-1]
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["whole"]["maps"]["centre"]["pointing"]["word_ahead"]["value"] is not None
    alone = measure([FIRST], bootstrap=9)
    assert alone.difficult.words == 0
    assert math.isnan(alone.difficult.rows["word"].measures["mass"].value)
    assert "–" in str(alone)
    json.dumps(alone.to_dict(), allow_nan=False)


def test_what_cannot_be_measured() -> None:
    with pytest.raises(DataError, match="none of 1 photos can be read; the first: gone"):
        measure(["gone"])
    wide = Shown("1", ("a", "dog"), np.ones((2, 2, 2), np.float32) / 4)
    with pytest.raises(DataError, match="grids of 1×4, 2×2 cells; measure one model at a time"):
        measure([FIRST, (SECOND[0], [wide])])
