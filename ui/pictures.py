"""The page's examples: photographs that came along with packages, and scenes the project draws."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from captioner import examples as photographs
from captioner import scenes
from captioner.errors import ConfigError, ImageError
from captioner.pictures.open import open_photo
from captioner.ui import assets
from captioner.ui.uploads import PUBLIC
from captioner.ui.values import data_url

THUMBNAIL = 128  # pixels
PHOTOGRAPHS = ("lion", "cheetah", "tower", "cat")  # what the weights that come along can name
SCENE = 24  # index of a drawn scene, of which they cannot: they learned from photographs


@dataclass(frozen=True)
class Picture:
    """One example."""

    key: str  # in a link to it
    names: Mapping[str, str]  # by language
    credit: str
    path: Path
    fails: bool = False  # shown as one that the weights cannot describe


class Examples:
    """Pictures to start with, found once."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self.pictures = tuple(pictures)

    def value(self) -> dict[str, Any]:
        """The strip's value: a thumbnail, a name and a credit each."""
        return {
            "pictures": [
                {
                    "key": picture.key,
                    "names": dict(picture.names),
                    "fails": picture.fails,
                    "credit": picture.credit,
                    "thumbnail": _thumbnail(picture.path),
                }
                for picture in self.pictures
            ]
        }

    def paths(self) -> list[str]:
        """Where all of them lie."""
        return [str(picture.path) for picture in self.pictures]

    def about(self, path: object) -> dict[str, str]:
        """What a viewer is told of an example: its key and its credit; nothing of another photo."""
        found = (picture for picture in self.pictures if str(picture.path) == path)
        return next(({"example": one.key, "credit": one.credit} for one in found), {})

    def public(self, index: int, folder: Path) -> str:
        """What visitors call an example that lies in the page's own folder."""
        return f"{PUBLIC}/{self.pictures[index].path.relative_to(folder).as_posix()}"

    def path(self, index: object) -> str:
        """Where an example lies.

        Raises:
            ConfigError: there is no such example.
        """
        if not isinstance(index, int) or not 0 <= index < len(self.pictures):
            raise ConfigError(f"there is no example {index!r}; choose one of the pictures")
        return str(self.pictures[index].path)


def examples(folder: Path | None = None) -> Examples:
    """The photographs that are there, then a drawn scene, in a folder of their own.

    Args:
        folder: where to make that folder; left out, it goes at the end of the process.
    """
    own = Path(tempfile.mkdtemp(prefix="examples-", dir=folder))
    if folder is None:
        atexit.register(shutil.rmtree, own, ignore_errors=True)
    there = {example.name: (example, path) for example, path in photographs.found()}
    found = [_photograph(*there[name], own) for name in PHOTOGRAPHS if name in there]
    return Examples([*(picture for picture in found if picture is not None), _drawn(own)])


def _photograph(example: photographs.Example, path: Path, folder: Path) -> Picture | None:
    """An example in the folder; the packages' own folders are none of a visitor's business."""
    try:
        open_photo(path, side=THUMBNAIL)
        copied = Path(shutil.copyfile(path, folder / f"{example.name}{path.suffix}"))
    except (ImageError, OSError):  # another version of the package may hold what we cannot open
        return None
    credit = f"{example.name}: {example.credit}, {example.licence}"
    if example.wrong:
        credit += f". The weights that come along get this one wrong: {example.wrong}"
    return Picture(example.name, _names(example.name), credit, copied)


def _names(key: str) -> dict[str, str]:
    """What an example is called, by language."""
    return {
        language: parts["examples"].get(key, key) for language, parts in assets.strings().items()
    }


def _drawn(folder: Path) -> Picture:
    scene = scenes.draw(1, SCENE, (384, 384))
    path = folder / "scene.png"
    scene.picture.save(path)
    return Picture("scene", _names("scene"), scene.captions[0], path, fails=True)


def _thumbnail(path: Path) -> str:
    photo = open_photo(path, side=THUMBNAIL)
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    square = photo.crop((left, top, left + side, top + side))
    return data_url(square.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS))
