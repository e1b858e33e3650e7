"""The world's files: pictures, captions and instances in the COCO formats (Lin et al., 2014)."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm

from captioner.atomic import FULL, whole
from captioner.errors import ConfigError, DataError
from captioner.scenes.kinds import KIND_TABLE, KINDS
from captioner.scenes.world import Thing, check, draw

ROOM = 500_000  # scenes a split can hold; validation's numbers start here
_EDITION = 1  # raise it when a drawing or a sentence changes: pictures of another one are redrawn
_MAKER = "Scenes drawn by captioner"
_LICENCE = "https://www.apache.org/licenses/LICENSE-2.0"
_CHUNK = "captioner-scene"
_FIRST = {"train": 1, "val": ROOM + 1}  # each split's first scene: its first photo's number


@dataclass(frozen=True)
class Split:
    """What `write` put into one split."""

    name: str  # "train" or "val"
    photos: int
    captions: int
    things: int
    words: int  # different ones, in its captions


def write(
    folder: str | Path,
    *,
    train: int = 2000,
    val: int = 200,
    seed: int = 1,
    size: tuple[int, int] = (224, 224),
) -> tuple[Split, ...]:
    """Writes a training and a validation split in the COCO formats.

    `images/000001.png` and on, `captions_train.json`, `captions_val.json`, `instances_train.json`
    and `instances_val.json` come to lie in `folder`. Photo n shows scene n of the world `seed`;
    training has the numbers from 1, validation those from 500001, so that neither changes with the
    other's length. Masks are uncompressed run lengths (`iscrowd` is 0 all the same), and `colour`
    stands beside each thing's category.

    Every picture carries its own captions and things in a text chunk. A run that was interrupted
    therefore goes on where it stopped; the JSON files come last, each whole or not at all.

    Returns:
        What the two splits hold, training first.

    Raises:
        ConfigError: a number is out of range.
        DataError: the folder holds somebody else's annotations, or cannot be written to.
    """
    counts = {"train": train, "val": val}
    for name, count in counts.items():
        if not 0 <= count <= ROOM:
            raise ConfigError(f"{name} is {count}; give a number of scenes from 0 to {ROOM}")
    check(seed, 0, size)
    folder = Path(folder)
    try:
        _claim(folder, {name: _info(name, seed, size) for name in counts})
        return tuple(_write_split(folder, name, n, seed, size) for name, n in counts.items())
    except OSError as error:
        reason = error.strerror or error
        place = error.filename if error.errno in FULL else folder
        room = "make room there, or " if error.errno in FULL else ""
        raise DataError(
            f"cannot write scenes to {place or folder}: {reason}; {room}give another folder"
        ) from None


def _info(name: str, seed: int, size: tuple[int, int]) -> dict[str, str]:
    """What a split's files say about themselves."""
    description = f"{_MAKER}: seed {seed}, {size[0]}x{size[1]}, {name}"
    return {"description": description, "version": str(_EDITION)}


def _claim(folder: Path, infos: Mapping[str, Mapping[str, str]]) -> None:
    """Makes the folder; leaves other people's annotations alone and clears away outdated ones."""
    for name, info in infos.items():
        for path in (folder / f"captions_{name}.json", folder / f"instances_{name}.json"):
            found = _info_of(path) if path.exists() else info
            if not str(found.get("description")).startswith(_MAKER):
                raise DataError(f"{path} holds no drawn scenes; give an empty folder")
            if found != info:  # of pictures that are about to be drawn over
                path.unlink()
    (folder / "images").mkdir(parents=True, exist_ok=True)


def _info_of(path: Path) -> Mapping[str, str]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["info"])
    except (ValueError, KeyError, TypeError):
        return {}


def _write_split(folder: Path, name: str, count: int, seed: int, size: tuple[int, int]) -> Split:
    numbers = range(_FIRST[name], _FIRST[name] + count)
    progress = tqdm(numbers, desc=name, unit="scene", disable=None)  # None: only on a terminal
    records = {n: _record(folder / "images" / _file_name(n), seed, n, size) for n in progress}
    head: dict[str, Any] = {
        "info": _info(name, seed, size),
        "licenses": [{"id": 1, "name": "Apache-2.0", "url": _LICENCE}],
        "images": [
            {"id": n, "file_name": _file_name(n), "width": size[0], "height": size[1], "license": 1}
            for n in numbers
        ],
    }
    captions = [
        {"id": n * 5 + i, "image_id": n, "caption": text}
        for n, record in records.items()
        for i, text in enumerate(record["captions"])
    ]
    things = [
        {"id": n * 3 + i, "image_id": n, **thing}
        for n, record in records.items()
        for i, thing in enumerate(record["things"])
    ]
    instances = {**head, "annotations": things, "categories": _categories()}
    _write_json(folder / f"instances_{name}.json", instances)
    _write_json(folder / f"captions_{name}.json", {**head, "annotations": captions})
    words = {word.strip(",.").lower() for item in captions for word in item["caption"].split()}
    return Split(name, count, len(captions), len(things), len(words))


def _categories() -> list[dict[str, Any]]:
    return [
        {"id": i, "name": kind, "supercategory": row.group}
        for i, (kind, row) in enumerate(KIND_TABLE.items(), start=1)
    ]


def _record(path: Path, seed: int, number: int, size: tuple[int, int]) -> dict[str, Any]:
    """Captions and things of one scene: from its picture if that is there, else drawn."""
    recipe = {"edition": _EDITION, "seed": seed, "scene": number, "size": list(size)}
    record = _recorded(path)
    if record is not None and record["recipe"] == recipe:
        return record
    scene = draw(seed, number, size)
    record = {
        "recipe": recipe,
        "captions": list(scene.captions),
        "things": [_annotation(thing) for thing in scene.things],
    }
    note, data = PngInfo(), io.BytesIO()
    note.add_text(_CHUNK, json.dumps(record, separators=(",", ":")), zip=True)
    scene.picture.save(data, "PNG", pnginfo=note)
    _replace(path, data.getvalue())
    return record


def _recorded(path: Path) -> dict[str, Any] | None:
    """What a picture says about itself; None without a picture, or without a whole one."""
    try:
        with Image.open(path) as picture:
            text = picture.info.get(_CHUNK)
            picture.verify()
        if text is not None:
            return dict(json.loads(text))
    except (OSError, SyntaxError, ValueError):  # Pillow reports a damaged PNG as a SyntaxError
        return None
    raise DataError(f"{path} is not a drawn scene; give an empty folder")


def _annotation(thing: Thing) -> dict[str, Any]:
    """A thing as COCO's instances have it, all but the ids."""
    return {
        "category_id": KINDS.index(thing.kind) + 1,
        "bbox": list(thing.box),
        "area": int(thing.mask.sum()),
        "segmentation": run_lengths(thing.mask),
        "iscrowd": 0,
        "colour": thing.colour,
    }


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, list[int]]:
    """A mask (H, W) as COCO's uncompressed run lengths: column by column, from what is not it."""
    flat = np.concatenate([[False], mask.flatten(order="F")])
    turns = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], turns, [mask.size]]))
    return {"size": [int(side) for side in mask.shape], "counts": [int(run) for run in counts]}


def _file_name(number: int) -> str:
    return f"{number:06d}.png"


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    _replace(path, (json.dumps(content, separators=(",", ":")) + "\n").encode())


def _replace(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all."""
    with whole(path) as partial:
        partial.write_bytes(data)
