from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from captioner import scenes
from captioner.boxes import POINTS, Box, covered, mask, naming, read
from captioner.errors import DataError
from captioner.grounding.synonyms import SYNONYMS, plural

checked = settings(max_examples=25, deadline=None, derandomize=True)

# Sixty-fourths are exact in binary: whether a point on an edge lies inside is not up to rounding.
shares = st.integers(0, 64).map(lambda number: number / 64)
boxes_of = st.lists(st.tuples(shares, shares, shares, shares), max_size=4)
grids = st.sampled_from([(1, 1), (3, 2), (2, 5), (4, 1)])


# ---- files ---------------------------------------------------------------------------------------


def instances() -> dict[str, Any]:
    return {
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
        "images": [
            {"id": 9, "file_name": "COCO_val2014_000000000042.jpg", "width": 200, "height": 100},
            {"id": 5, "file_name": "000000000007.jpg", "width": 10, "height": 10},
        ],
        "annotations": [
            {"image_id": 9, "category_id": 18, "bbox": [20, 10, 50, 40]},
            {"image_id": 9, "category_id": 1, "bbox": [0, 0, 200, 100], "iscrowd": 1},
            {"image_id": 9, "category_id": 18, "bbox": [100, 50, 10, 5]},
        ],
    }


def test_boxes_come_in_shares_of_the_photo(tmp_path: Path) -> None:
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(instances()))
    assert read(path) == {
        "42": {
            "dog": [(0.1, 0.1, 0.25, 0.4), (0.5, 0.5, 0.05, 0.05)],
            "person": [(0.0, 0.0, 1.0, 1.0)],
        },
        "7": {},
    }


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (("images", 0, "width"), 0, "ZeroDivisionError"),
        (("images", 0, "file_name"), None, "TypeError"),
        (("annotations", 0, "image_id"), 4, "KeyError: 4"),
        (("annotations", 0, "category_id"), 2, "KeyError: 2"),
        (("annotations", 0, "bbox"), [1, 2, 3], "ValueError"),
        (("annotations", 0, "bbox"), "here", "ValueError"),
        (("annotations",), None, "TypeError"),
        (("categories",), [{"id": 1}], "KeyError: 'name'"),
    ],
)
def test_files_that_are_no_instances(
    place: tuple[Any, ...], value: Any, reason: str, tmp_path: Path
) -> None:
    document: Any = instances()
    node = document
    for step in place[:-1]:
        node = node[step]
    node[place[-1]] = value
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=rf"no COCO instance file \({reason}.*expected 'images'"):
        read(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.json: no such file; expected a COCO instance file"):
        read(tmp_path / "none.json")
    (tmp_path / "cut.json").write_text('{"images": [')
    with pytest.raises(DataError, match=r"cut.json: broken JSON in line 1, .*get it again"):
        read(tmp_path / "cut.json")
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(DataError, match="no COCO instance file"):
        read(tmp_path / "list.json")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "the file is empty, expected JSON"),
        ("[" * 200_000, "JSON that no data set holds: lists and objects nested"),
        ('{"images": ' + "1" * 5000 + "}", "JSON that no data set holds: a number of thousands"),
        ('{"images": [], "images": []}', "an object gives 'images' twice"),
        ('{"id": 1}\n{"id": 2}\n', "JSON lines, a value on each line; expected one JSON document"),
        (json.dumps(instances()).replace("20, 10", "NaN, 10"), "a bbox of nan, 10, 50, 40"),
        (json.dumps(instances()).replace("20, 10", "1" + "0" * 400 + ", 10"), "OverflowError"),
        (
            json.dumps(instances()).replace('200, "h', "1" + "0" * 400 + ', "h'),
            "no COCO instance file",
        ),
        (b"\xff\xfe{\0x", "begins as UTF-16"),
    ],
)
def test_odd_json_is_told_in_one_line(content: str | bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "instances.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_windows_writes_other_codings(coding: str, tmp_path: Path) -> None:
    plain, path = tmp_path / "plain.json", tmp_path / "instances.json"
    plain.write_text(json.dumps(instances()))
    path.write_text(json.dumps(instances()), encoding=coding)
    assert read(path) == read(plain)


def test_ids_as_text_are_the_same_numbers(tmp_path: Path) -> None:
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(instances()))
    expected = read(path)
    document = instances()
    for annotation in document["annotations"]:
        annotation["image_id"] = f"{annotation['image_id']:06}"
    for category in document["categories"]:
        category["id"] = str(category["id"])
    path.write_text(json.dumps(document))
    assert read(path) == expected


# ---- words ---------------------------------------------------------------------------------------


def test_words_name_kinds_of_coco() -> None:
    names = naming(["person", "dog", "bus", "stop sign", "hot dog"])
    assert names("dog") == names("dogs") == ("dog",)
    assert names("buses") == ("bus",)
    assert names("man") == names("women") == names("people") == names("person") == ("person",)
    assert names("sign") == names("signs") == ("stop sign",)
    assert names("cat") == names("stop") == names("hot") == names("do") == ()
    assert naming(["dog"])("man") == ()


@pytest.mark.parametrize(
    ("word", "kinds"),
    [
        ("men", ("man",)),
        ("women", ("woman",)),
        ("boys", ("boy",)),
        ("people", ("boy", "man", "woman")),
        ("child", ("boy",)),
        ("knives", ("knife",)),
        ("mice", ("mouse",)),
        ("sheep", ("sheep",)),
        ("butterflies", ("butterfly",)),
        ("boxes", ("box",)),
        ("glasses", ("wine glass",)),
        ("bears", ("bear",)),  # and no teddy bear
        ("phone", ("cell phone",)),
        ("cellphones", ("cell phone",)),
        ("bike", ("bicycle", "motorcycle")),
        ("players", ()),
    ],
)
def test_files_of_any_kinds(word: str, kinds: tuple[str, ...]) -> None:
    held = (
        "man woman boy knife mouse sheep butterfly box bear bicycle motorcycle,wine glass,teddy "
        "bear,cell phone"
    )
    first, *others = held.split(",")
    assert sorted(naming([*first.split(), *others])(word)) == sorted(kinds)


def test_the_further_words_are_a_selection_of_the_synonyms() -> None:
    """Written out, so that a synonym more does not change what boxes are taught on."""
    people = (
        "adult adults baby boy boys child children female girl girls guy guys kid kids ladies lady "
        "man male men people person player players rider riders skateboarder skier skiers surfer "
        "surfers woman women"
    )
    held = (
        "bike bikes: bicycle motorcycle, motorbike motorbikes: motorcycle, plane planes jet jets "
        "airliner: airplane, puppy puppies: dog, kitten kittens: cat, pony ponies: horse, calf "
        "calves cattle bull bulls: cow, lamb lambs: sheep, sofa sofas: couch, television "
        "televisions: tv, cellphone cellphones: cell-phone, doughnut doughnuts: donut, fridge "
        "fridges: refrigerator"
    )
    expected = {word: {"person"} for word in people.split()}
    for line in held.split(", "):
        words, _, kinds = line.partition(": ")
        named = {kind.replace("-", " ") for kind in kinds.split()}
        expected |= dict.fromkeys(words.split(), named)
    names = naming(SYNONYMS)
    every = {form for noun in sum(SYNONYMS.values(), ()) for form in (noun, plural(noun))}
    own = {form for kind in SYNONYMS for form in (kind.split()[-1], plural(kind).split()[-1])}
    found = {word: set(names(word)) for word in every - own if names(word)}
    assert found == {word: kinds for word, kinds in expected.items() if word not in own}
    apart = naming(["man", "woman", "boy", "girl"])
    assert set(apart("people")) == {"man", "woman", "boy", "girl"}
    assert [set(apart(word)) for word in ("child", "children", "kid", "kids")] == [
        {"boy", "girl"}
    ] * 4


def test_the_drawn_worlds_words_name_its_kinds() -> None:
    """As the drawn world itself says, clothes and all that is worn apart."""
    names = naming(scenes.KINDS)
    for word, kinds in scenes.NOUNS.items():
        if word not in ("shirt", "dress"):
            assert set(names(word)) == set(kinds), word


# ---- regions -------------------------------------------------------------------------------------


def lies_in(boxes: list[Box], y: float, x: float) -> bool:
    return any(a <= x < a + wide and b <= y < b + high for a, b, wide, high in boxes)


@checked
@given(boxes_of, grids)
def test_masks_against_a_loop(boxes: list[Box], grid: tuple[int, int]) -> None:
    rows, columns = (POINTS * size for size in grid)
    expected = [
        [lies_in(boxes, (i + 0.5) / rows, (j + 0.5) / columns) for j in range(columns)]
        for i in range(rows)
    ]
    assert mask(boxes, grid).tolist() == expected


@checked
@given(boxes_of, grids)
@example([], (3, 2))
def test_covered_shares_against_a_loop(boxes: list[Box], grid: tuple[int, int]) -> None:
    rows, columns = grid
    found = covered(boxes, grid)
    assert found.shape == grid
    assert found.dtype == np.float32
    for row in range(rows):
        for column in range(columns):
            inside = sum(
                lies_in(
                    boxes,
                    (row + (i + 0.5) / POINTS) / rows,
                    (column + (j + 0.5) / POINTS) / columns,
                )
                for i in range(POINTS)
                for j in range(POINTS)
            )
            assert found[row, column] == pytest.approx(inside / POINTS**2)


@checked
@given(st.tuples(shares, shares, shares, shares), grids)
def test_one_boxs_shares_are_its_area(box: Box, grid: tuple[int, int]) -> None:
    """Up to what lies between two points; boxes that stick out count inside the photo."""
    x, y, width, height = box
    inside = (min(x + width, 1) - x) * (min(y + height, 1) - y)
    found = covered([box], grid)
    rows, columns = grid
    apart = 1 / (POINTS * rows) + 1 / (POINTS * columns)
    assert float(found.mean()) == pytest.approx(inside, abs=apart)
    assert (found >= 0).all()
    assert (found <= 1).all()


def test_the_whole_photo_and_one_cell_and_overlaps() -> None:
    assert (covered([(0.0, 0.0, 1.0, 1.0)], (5, 7)) == 1).all()
    cell = covered([(0.25, 0.5, 0.25, 0.5)], (2, 4))
    assert cell.tolist() == [[0, 0, 0, 0], [0, 1, 0, 0]]
    twice = covered([(0.25, 0.5, 0.25, 0.5), (0.25, 0.5, 0.25, 0.25)], (2, 4))
    assert np.array_equal(twice, cell)  # what two boxes share counts once
    assert not covered([(1.0, 0.0, 0.5, 1.0)], (3, 3)).any()
