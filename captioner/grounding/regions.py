"""Where things lie: boxes, polygons, run lengths of a COCO instance file, and the cells below.

Shapes: h×w the grid of N cells, P = 9 sample points along a cell's side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from captioner.boxes import POINTS, Box, mask
from captioner.datasets import finder, photo_id, read_json
from captioner.errors import DataError

Grid = tuple[int, int]
Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Region:
    """One thing's place, in shares of the photo's sides, so that squashing does not move it."""

    box: Box
    polygons: tuple[NDArray[np.float64], ...] = ()  # corners (C, 2) of each, x before y
    pixels: NDArray[np.bool_] | None = None  # (H, W) of the photo, where run lengths tell them

    def points(self, grid: Grid) -> NDArray[np.bool_]:
        """Which of the photo's points (h·9, w·9) lie on the thing, by its mask or else its box."""
        rows, columns = (POINTS * size for size in grid)
        if self.pixels is not None:
            high, wide = self.pixels.shape
            y, x = (
                ((np.arange(count) + 0.5) * size / count).astype(int)
                for count, size in ((rows, high), (columns, wide))
            )
            sampled: NDArray[np.bool_] = self.pixels[np.ix_(y, x)]
            return sampled
        if self.polygons:
            canvas = Image.new("1", (columns, rows))
            draw = ImageDraw.Draw(canvas)
            for corners in self.polygons:  # a point's centre lies half a pixel on
                placed = corners * (columns, rows) - 0.5
                draw.polygon([tuple(corner) for corner in placed.tolist()], fill=1)
            return np.asarray(canvas, dtype=bool)
        return mask([self.box], grid)


Regions = Mapping[str, Mapping[str, Sequence[Region]]]
"""By `Photo.photo_id`, then by kind."""


@dataclass(frozen=True)
class Cover:
    """How the cells of a grid lie to some things of one photo."""

    share: Array  # (N,) of each cell's points, how many lie on one of them, 0 to 1
    centred: NDArray[np.bool_]  # (N,) whether the cell's centre does

    @property
    def area(self) -> float:
        """Share of the photo that they take."""
        return float(self.share.mean())


def cover(regions: Sequence[Region], grid: Grid) -> Cover:
    """The cells of a grid that the things lie on, one of them at least."""
    rows, columns = grid
    points = np.any([region.points(grid) for region in regions], axis=0)
    points = points.reshape(rows, POINTS, columns, POINTS)
    share = points.mean((1, 3), dtype=np.float32).ravel()
    return Cover(share, points[:, POINTS // 2, :, POINTS // 2].ravel())


def read(path: str | Path) -> dict[str, dict[str, list[Region]]]:
    """The things of a COCO instance file, by photo id and kind; see Lin et al. 2014.

    Every photo of the file is there, with no kinds where nothing was annotated. Of a thing with a
    `segmentation`, polygons or uncompressed run lengths, the mask counts; of others the box. A
    crowd's mask counts like any other.

    Raises:
        DataError: the file is missing, or not what the format promises.
    """
    document = read_json(path, "a COCO instance file")
    try:
        return _regions(document)
    except (AttributeError, KeyError, TypeError, ArithmeticError, ValueError, IndexError) as error:
        raise DataError(
            f"{path}: no COCO instance file ({type(error).__name__}: {error}); expected 'images' "
            "(id, file_name, width, height), 'annotations' (image_id, category_id, bbox, perhaps "
            "segmentation: polygons or uncompressed run lengths) and 'categories' (id, name)"
        ) from None


def _regions(document: Any) -> dict[str, dict[str, list[Region]]]:
    kinds = {category["id"]: str(category["name"]) for category in document["categories"]}
    images = {image["id"]: image for image in document["images"]}
    find_kind, find_image = finder(kinds), finder(images)
    found: dict[str, dict[str, list[Region]]] = {
        photo_id(image["file_name"]): {} for image in images.values()
    }
    for annotation in document["annotations"]:
        image_id = find_image(annotation["image_id"])
        kind_id = find_kind(annotation["category_id"])
        if image_id is None or kind_id is None:
            missing = "image_id" if image_id is None else "category_id"
            raise KeyError(f"{missing} {annotation[missing]}")
        image = images[image_id]
        region = _region(annotation, float(image["width"]), float(image["height"]))
        found[photo_id(image["file_name"])].setdefault(kinds[kind_id], []).append(region)
    return found


def _region(annotation: Any, wide: float, high: float) -> Region:
    x, y, width, height = map(float, annotation["bbox"])
    box = (x / wide, y / high, width / wide, height / high)
    if not all(map(isfinite, box)):
        raise ValueError(f"a bbox of {x:g}, {y:g}, {width:g}, {height:g}")
    shape = annotation.get("segmentation")
    if isinstance(shape, dict):
        return Region(box, pixels=_decoded(shape))
    polygons = tuple(_polygon(each, wide, high) for each in shape or ())
    return Region(box, polygons)


def _polygon(numbers: Any, wide: float, high: float) -> NDArray[np.float64]:
    corners = np.array(numbers, float).reshape(-1, 2) / (wide, high)
    if len(corners) < 3 or not np.isfinite(corners).all():
        raise ValueError(f"a polygon of {np.size(numbers)} numbers")
    return corners


def _decoded(shape: Any) -> NDArray[np.bool_]:
    """A mask (H, W) of COCO's run lengths: column by column, from what is not the thing."""
    high, wide = map(int, shape["size"])
    if isinstance(shape["counts"], (str, bytes)):
        raise ValueError(
            "compressed run lengths; write them uncompressed, as a list, or as polygons"
        )
    counts = np.array(shape["counts"], dtype=np.int64)
    if (counts < 0).any() or counts.sum() != high * wide:
        raise ValueError(f"run lengths of {counts.sum()} pixels for a mask of {wide}×{high}")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(wide, high).T
