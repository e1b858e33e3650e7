"""What a captioner is given, and what it refuses before any photo is opened."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from os import PathLike, fspath
from typing import Any

import numpy as np
from PIL import Image

from captioner.errors import ConfigError, ImageError, shown
from captioner.pictures.folders import find_photos
from captioner.pictures.open import ImageSource
from captioner.pictures.shards import holds_photos
from captioner.text import half_character, tokenise


def reason_against(sentence: str) -> str | None:
    """Why a sentence cannot be explained."""
    if not isinstance(sentence, str):
        return f"the sentence is {shown(sentence)}; expected text"
    if (half := half_character(sentence)) is not None:
        return f"in the sentence, {half}"
    return None if tokenise(sentence) else _wordless(sentence)


def check_sentence(sentence: str) -> None:
    """Refuses what cannot be explained."""
    if (wrong := reason_against(sentence)) is not None:
        raise ConfigError(wrong)


def check_photo(photo: Any) -> None:
    """Refuses what holds photos; whether anything else is a photo is seen when it is opened."""
    if isinstance(photo, (list, tuple, set, frozenset, dict, Generator)):
        raise ImageError(
            f"got {type(photo).__name__}; expected one photo: a path, a PIL image, an array, bytes "
            "or a binary file; many go to captioner.stream([photo, photo])"
        )


def check_photos(photos: Any) -> Iterable[ImageSource]:
    """The photos, those of a folder or an archive by its path; refuses one where many are wanted.

    A path is a row of letters, a file one of lines, a tensor one of rows.
    """
    if isinstance(photos, (str, PathLike)) and _holds_photos(photos):
        return [
            item.member or item.path for item in find_photos([fspath(photos)]) if not item.drawn
        ]
    one = isinstance(photos, (str, bytes, bytearray, memoryview, PathLike, Image.Image))
    is_array = isinstance(photos, np.ndarray) or hasattr(photos, "detach")
    if one or hasattr(photos, "read") or (is_array and photos.ndim < 4):
        raise ConfigError(
            f"stream takes many photos, and this is one {type(photos).__name__}; put it in a list, "
            "stream([photo]), or call captioner(photo)"
        )
    if isinstance(photos, dict) or not isinstance(photos, Iterable):
        raise ConfigError(f"the photos are {shown(photos)}; expected a list or another iterable")
    return photos


def _holds_photos(path: str | PathLike[str]) -> bool:
    """Whether a path is that of a folder or of an archive."""
    name = os.fsdecode(path)
    archive = holds_photos(name) and os.path.isfile(name)  # noqa: PTH113
    return archive or os.path.isdir(name)  # noqa: PTH112  (that of Path may raise)


def check_pairs(pairs: Any) -> Iterator[tuple[ImageSource, str]]:
    """The pairs; refuses what is no (photo, sentence)."""
    if isinstance(pairs, (str, bytes, dict)) or not isinstance(pairs, Iterable):
        raise ConfigError(f"the pairs are {shown(pairs)}; expected (photo, sentence) pairs")
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ConfigError(f"a pair is {shown(pair)}; expected (photo, sentence)")
        yield pair[0], pair[1]


def check_text(name: str, text: Any) -> None:
    """Refuses what is no text."""
    if not isinstance(text, str):
        raise ConfigError(f"the {name} is {shown(text)}; expected text")


def _wordless(sentence: str) -> str:
    return f"the sentence {sentence!r} has no words; write what you see"
