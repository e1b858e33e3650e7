from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from captioner import boxes, scenes
from captioner.errors import DataError
from captioner.grounding.regions import Region, cover, read


def write(path: Path, **annotation: Any) -> Path:
    document = {
        "images": [{"id": 1, "file_name": "000000000001.jpg", "width": 60, "height": 40}],
        "categories": [{"id": 7, "name": "dog"}],
        "annotations": [{"image_id": 1, "category_id": 7, "bbox": [15, 10, 30, 20], **annotation}],
    }
    path.write_text(json.dumps(document))
    return path


def only(path: Path) -> Region:
    return read(path)["1"]["dog"][0]


def test_a_box_covers_what_boxes_say(tmp_path: Path) -> None:
    region = only(write(tmp_path / "a.json"))
    assert region.box == (0.25, 0.25, 0.5, 0.5)
    found = cover([region], (5, 7))
    assert np.array_equal(found.share, boxes.covered([region.box], (5, 7)).ravel())
    assert found.area == pytest.approx(0.25, abs=0.03)
    assert found.centred.reshape(5, 7)[2, 3]


def test_a_polygon_around_the_box_is_the_box(tmp_path: Path) -> None:
    corners = [15, 10, 45, 10, 45, 30, 15, 30]
    region = only(write(tmp_path / "a.json", segmentation=[corners]))
    grid = (4, 6)
    difference = region.points(grid) ^ boxes.mask([region.box], grid)
    assert difference.mean() < 0.03  # the rim
    half = only(write(tmp_path / "a.json", segmentation=[[15, 10, 45, 10, 45, 20, 15, 20]]))
    assert cover([half], grid).area == pytest.approx(0.125, abs=0.02)


def test_run_lengths_are_the_mask_itself(tmp_path: Path) -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:30, 15:45] = np.random.default_rng(1).random((20, 30)) < 0.5
    region = only(write(tmp_path / "a.json", segmentation=scenes.run_lengths(mask)))
    assert region.pixels is not None
    assert np.array_equal(region.pixels, mask)
    assert cover([region], (4, 6)).area == pytest.approx(mask.mean(), abs=0.03)


def test_several_things_cover_together() -> None:
    one, other = Region((0, 0, 0.5, 1)), Region((0.5, 0, 0.5, 0.5))
    assert cover([one, other], (2, 2)).share.tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bbox": [1, 2, 3]}, "ValueError"),
        ({"bbox": [0, 0, "inf", 3]}, "a bbox of 0, 0, inf, 3"),
        ({"segmentation": [[1, 2, 3, 4]]}, "a polygon of 4 numbers"),
        ({"segmentation": {"size": [40, 60], "counts": "abc"}}, "compressed run lengths; write"),
        ({"segmentation": {"size": [40, 60], "counts": [3]}}, "run lengths of 3 pixels for a mask"),
        ({"category_id": 9}, "category_id 9"),
    ],
)
def test_what_is_no_instance_file(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "a.json", **changes)
    with pytest.raises(DataError, match="no COCO instance file") as error:
        read(path)
    assert message in str(error.value)
    assert "expected 'images'" in str(error.value)
