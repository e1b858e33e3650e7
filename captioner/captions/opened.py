"""A photo opened for the model: its pixels, or why there are none."""

from __future__ import annotations

import dataclasses
import io
import os
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.captions.caption import Caption
from captioner.captions.inputs import reason_against
from captioner.errors import CaptionerError, ImageError
from captioner.pictures.folders import is_pipe
from captioner.pictures.open import ImageSource, is_preview, open_sizes, original_size
from captioner.pictures.preprocess import Preprocess
from captioner.pictures.shards import Packed
from captioner.pipeline import Limit

PREVIEW = "a camera raw file, of which the preview in it was read, {} × {} pixels"
_LONGEST_PIPE = 2**29  # bytes; no photo that is opened has more


@dataclass(frozen=True)
class Opened:
    """One photo on its way: its pixels, or why there are none."""

    source: Any
    file: str | None
    size: tuple[int, int] = (0, 0)
    pixels: NDArray[np.uint8] | None = None
    error: str | None = None
    picture: Image.Image | None = None  # the photo at another size, where one is wanted
    enlarged: NDArray[np.uint8] | None = None  # pixels for finer maps, where these are wanted
    note: str | None = None  # what its owner should know of how it was read

    def checked(self, sentence: str) -> Opened:
        """Itself, or an error where the photo is fine but the sentence about it has no words."""
        if self.error is not None or (wrong := reason_against(sentence)) is None:
            return self
        return dataclasses.replace(self, error=wrong)

    def failed(self) -> Caption:
        """The caption that says so."""
        empty = np.zeros((0, 0, 0), np.float32)
        return Caption("", (), 0.0, empty, file=self.file, error=self.error, source=self.source)


def open_one(
    source: ImageSource,
    preprocess: Preprocess,
    side: int | None = None,
    closer: Preprocess | None = None,
) -> Opened:
    """The photo, or why there is none: whatever goes wrong with one is no matter of the others.

    Args:
        source: path, PIL image, array, bytes or binary file.
        preprocess: makes its pixels.
        side: the shorter side of the `picture` that is kept; left out, none is.
        closer: makes its `enlarged` pixels; left out, there are none.
    """
    file = fspath(source) if isinstance(source, (str, PathLike)) else None
    try:
        source = _kept(source)
        wanted = [preprocess.size, side, None if closer is None else closer.size]
        opened = iter(open_sizes(source, [each for each in wanted if each is not None]))
        photo = next(opened)
        picture = None if side is None else next(opened)
        enlarged = None if closer is None else closer.pixels(next(opened))
        size = original_size(photo)
        note = PREVIEW.format(*size) if is_preview(photo) else None
        return Opened(source, file, size, preprocess.pixels(photo), None, picture, enlarged, note)
    except CaptionerError as error:
        return Opened(source, file, error=str(error))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        message = f"{file or 'the given photo'}: cannot be opened ({reason})"
        return Opened(source, file, error=message)


class Opener:
    """Opens photos in threads, where no Ctrl-C arrives, and knows which may take their time."""

    def __init__(self, preprocess: Preprocess, closer: Preprocess | None = None) -> None:
        self.preprocess, self.closer = preprocess, closer
        self._pipes: set[str] = set()

    def open(self, source: ImageSource) -> Opened:
        """`open_one`; what else ends programs, as `sys.exit`, ends the work on one photo."""
        try:
            if (file := _file_of(source)) is not None and is_pipe(file):
                self._pipes.add(file)
            return open_one(source, self.preprocess, closer=self.closer)
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}".rstrip(": ")
            return _unopened(source, f"cannot be opened ({reason})")

    def limit(self, seconds: float) -> Limit[ImageSource, Opened]:
        """How long opening one may take; a pipe is waited for."""
        why = f"opening it took longer than {seconds:g} s, and it was given up"

        def late(source: ImageSource) -> Opened | None:
            return None if _file_of(source) in self._pipes else _unopened(source, why)

        return Limit(seconds, late)


def _file_of(source: ImageSource) -> str | None:
    return os.fsdecode(source) if isinstance(source, (str, PathLike)) else None


def _unopened(source: ImageSource, why: str) -> Opened:
    file = _file_of(source)
    return Opened(source, file, error=f"{file or 'the given photo'}: {why}")


def _kept(source: ImageSource) -> ImageSource:
    """The source; in the place of a pipe, which can be read only once, all that came from it."""
    if isinstance(source, Packed):
        inside = _Content(source.read())
        inside.name = fspath(source)
        return inside
    if not (isinstance(source, (str, PathLike)) and is_pipe(source)):
        return source
    with Path(source).open("rb") as pipe:
        content = _Content(pipe.read(_LONGEST_PIPE + 1))
    content.name = fspath(source)
    if content.getbuffer().nbytes > _LONGEST_PIPE:
        most = f"{_LONGEST_PIPE >> 20} MiB"
        raise ImageError(f"{content.name}: more than {most} came from this pipe; send one photo")
    return content


class _Content(io.BytesIO):
    """What came from a file of this name."""

    name: str
