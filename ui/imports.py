"""Captions and maps that were made elsewhere: a JSONL file of any model, opened for looking at.

The format is what `captioner caption --jsonl --maps` writes, in a wider reading for other models'
sake; `docs/maps-format.md` describes it. What comes in is somebody else's file: every field is
checked, sizes are limited, and a line that is wrong says why and stops no other.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import io
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.captions.caption import Caption
from captioner.errors import CaptionerError, DataError
from captioner.pictures.geometry import Geometry
from captioner.pictures.open import ImageSource, open_photo, original_size
from captioner.pictures.scale import SUM_TOLERANCE
from captioner.text import detokenise, half_character
from captioner.ui import LARGEST_FILE
from captioner.ui.exports import base_name
from captioner.words import Word

MOST_LINES = 1000
MOST_WORDS = 200
MOST_CELLS = 64  # along either side of the grid
MOST_OTHERS = 50  # alternatives of a word, other captions of a photo
LONGEST_TEXT = 10_000  # characters, a caption
LONGEST_WORD = 200
MOST_PIXELS = 1_000_000_000  # decoded for one import, all photos together
LONGEST_SECONDS = 60.0  # that one import may take
SIDE = 1024  # pixels of the longer side of a photo that is kept

_STEP_LINES, _STEP_PIXELS = 50, 32_000_000  # between two reports of the import's progress
_QUALITY = 90
_GREY = 128
_PHOTO = "data:image/"


@dataclass(frozen=True)
class Imported:
    """What a file held, as far as it has been read."""

    captions: tuple[Caption, ...]  # one a line; with its `error` where the line was wrong
    without_photo: int = 0  # captions that lie on an even grey, as nobody gave their photo
    rescaled: int = 0  # maps that did not sum to 1 and were divided by their sum
    total: int = 0  # lines of the file


def read(
    source: str | PathLike[str] | bytes, photos: Mapping[str, ImageSource] | None = None
) -> Imported:
    """Reads a JSONL file of captions with maps.

    Args:
        source: the file's path, or its bytes.
        photos: photos by their file names; a caption finds its own by the last part of its `file`,
            upper and lower case alike, unless it brings it along as a data URL in `photo`.

    Raises:
        DataError: it is no text in UTF-8, is too large, or holds no line.
    """
    *_, found = stream(source, photos)
    return found


def stream(
    source: str | PathLike[str] | bytes,
    photos: Mapping[str, ImageSource] | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Imported]:
    """As `read`, and tells now and then how far it has got; whoever stops asking stops the work.

    A photo is decoded once, however many lines it belongs to, and kept no larger than `SIDE`. Once
    the photos have taken `MOST_PIXELS`, or the import `LONGEST_SECONDS`, what is left is an error
    of its line.

    Args:
        source: as for `read`.
        photos: as for `read`.
        clock: seconds, of any beginning.

    Yields:
        All that has been read so far; the last is everything.

    Raises:
        DataError: as `read`.
    """
    given = _Photos({_key(name): photo for name, photo in (photos or {}).items()})
    lines, start = _lines(source), clock()
    captions: list[Caption] = []
    without_photo = rescaled = told_pixels = 0
    for number, text in lines:
        if clock() - start > LONGEST_SECONDS:
            late = f"line {number}: this import took {LONGEST_SECONDS:g} s already; split the file"
            captions.append(_failed(None, late))
            continue
        caption, lacking, changed = _line(number, text, given)
        captions.append(caption)
        without_photo, rescaled = without_photo + lacking, rescaled + changed
        if len(captions) % _STEP_LINES == 0 or given.pixels - told_pixels >= _STEP_PIXELS:
            told_pixels = given.pixels
            yield Imported(tuple(captions), without_photo, rescaled, len(lines))
    yield Imported(tuple(captions), without_photo, rescaled, len(lines))


class _Photos:
    """The photos of one import, each decoded once.

    Args:
        named: the uploaded ones, by their keys.
    """

    def __init__(self, named: Mapping[str, ImageSource]) -> None:
        self.named = named
        self.pixels = 0  # decoded so far
        self.kept: dict[object, tuple[ImageSource, tuple[int, int]]] = {}

    def shown(self, photo: ImageSource) -> tuple[ImageSource, tuple[int, int]]:
        """A photo that is quick to open, and its (width, height).

        Raises:
            ImageError: it is no photo.
            DataError: the photos before have taken all that one import may take.
        """
        key = hashlib.sha256(photo).digest() if isinstance(photo, bytes) else id(photo)
        if key not in self.kept:
            if self.pixels >= MOST_PIXELS:
                raise DataError(
                    f"the photos before this one have {self.pixels // 10**6} megapixels, at most "
                    f"{MOST_PIXELS // 10**6} are opened at once; split the file"
                )
            self.kept[key] = self._opened(photo)
        return self.kept[key]

    def _opened(self, photo: ImageSource) -> tuple[ImageSource, tuple[int, int]]:
        opened = open_photo(photo, side=SIDE)
        size = original_size(opened)
        self.pixels += opened.width * opened.height
        if max(size) <= SIDE:
            return photo, size
        opened.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        opened.info = {}
        opened.save(buffer, "JPEG", quality=_QUALITY)
        return buffer.getvalue(), opened.size


def _lines(source: str | PathLike[str] | bytes) -> list[tuple[int, str]]:
    """The numbered lines that hold something."""
    if isinstance(source, bytes):
        data = source[: LARGEST_FILE + 1]
    else:
        try:
            with Path(source).open("rb") as file:
                data = file.read(LARGEST_FILE + 1)
        except OSError as error:
            raise DataError(
                f"{base_name(str(source))} cannot be read ({error.strerror}); expected JSONL"
            ) from None
    if len(data) > LARGEST_FILE:
        raise DataError(
            f"the file is larger than {LARGEST_FILE >> 20} MB; split it, or write fewer digits"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"line {number} is no text in UTF-8; expected a JSONL file, one object a line"
        ) from None
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise DataError("the file holds no line; expected JSONL, one caption with its maps a line")
    if len(lines) > MOST_LINES:
        raise DataError(
            f"the file holds {len(lines)} lines, but at most {MOST_LINES} can be shown; split it"
        )
    return lines


def _line(number: int, text: str, photos: _Photos) -> tuple[Caption, bool, int]:
    """The caption of a line, whether it lacks a photo, and how many maps were rescaled."""
    values: dict[str, Any] = {}
    try:
        values = _object(text)
        return _caption(values, photos)
    except CaptionerError as error:
        file = values.get("file")
        name = base_name(_sendable(file))[:LONGEST_WORD] if isinstance(file, str) and file else None
        return _failed(name, f"line {number}: {error}"), False, 0


def _failed(file: str | None, error: str) -> Caption:
    return Caption("", (), 0.0, np.zeros((0, 0, 0), np.float32), file=file, error=error)


def _object(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise DataError("is nested too deeply; expected one plain JSON object") from None
    except json.JSONDecodeError as error:
        raise DataError(f"is no JSON ({error}); expected one object a line") from None
    except ValueError:  # Python reads no whole number of thousands of digits
        raise DataError(
            "holds a number of more digits than can be read; expected numbers such as 0.25"
        ) from None
    if not isinstance(values, dict):
        raise DataError(f"is {_shown(values)}; expected an object with words, grid and maps")
    return values


def _no_constant(name: str) -> float:
    raise DataError(f"is no JSON ({name} is no JSON number); expected one object a line")


def _caption(values: Mapping[str, Any], photos: _Photos) -> tuple[Caption, bool, int]:
    file = _sendable(_text(values, "file", LONGEST_TEXT))
    if values.get("error") is not None:  # a photo that failed where the file was made
        error = _sendable(_text(values, "error", LONGEST_TEXT))
        return _failed(base_name(file) or None, error), False, 0
    shape = _grid(values.get("grid"))
    found = _photo(values.get("photo"), photos.named.get(_key(file)))
    given = found is not None
    if found is None:
        size = (64 * shape[1], 64 * shape[0])
        photo: ImageSource = Image.new("RGB", size, (_GREY,) * 3)
    else:
        photo, size = photos.shown(found)
    geometry = Geometry(size, shape)
    sentences = [values, *_list(values.get("n_best") or [], "n_best", MOST_OTHERS)]
    captions, rescaled = [], 0
    for sentence in sentences:
        caption, changed = _sentence(sentence, shape, base_name(file) or None, photo, geometry)
        captions.append(caption)
        rescaled += changed
    best = dataclasses.replace(captions[0], n_best=tuple(captions[1:]))
    return best, not given, rescaled


def _sentence(
    values: Any, shape: tuple[int, int], file: str | None, photo: ImageSource, geometry: Geometry
) -> tuple[Caption, int]:
    """One sentence with its maps, and how many of them were rescaled."""
    if not isinstance(values, dict):
        raise DataError(f"n_best holds {_shown(values)}; expected objects with words and maps")
    words = tuple(
        _word(word, place)
        for place, word in enumerate(_list(values.get("words"), "words", MOST_WORDS), 1)
    )
    if not words:
        raise DataError("words is empty; expected at least one word with its map")
    maps, rescaled = _maps(values.get("maps"), len(words), shape)
    text = _text(values, "caption", LONGEST_TEXT) or detokenise([word.text for word in words])
    log_prob = _number(values.get("log_prob"), "log_prob")
    if log_prob is None:
        log_prob = sum(word.log_prob for word in words if word.log_prob is not None)
    return Caption(text, words, log_prob, maps, file, geometry, source=photo), rescaled


def _grid(value: Any) -> tuple[int, int]:
    sizes = value if isinstance(value, list) else []
    if len(sizes) != 2 or not all(_is_whole(n) and 1 <= n <= MOST_CELLS for n in sizes):
        raise DataError(
            f"grid is {_shown(value)}; expected [rows, columns], each from 1 to {MOST_CELLS}"
        )
    return sizes[0], sizes[1]


def _word(value: Any, place: int) -> Word:
    entry = {"word": value} if isinstance(value, str) else value
    if not isinstance(entry, dict):
        raise DataError(f"word {place} is {_shown(value)}; expected a text or an object")
    text = _text(entry, "word", LONGEST_WORD)
    if not text.strip():
        raise DataError(f"word {place} has no text; expected it in `word`")
    prob = _probability(entry.get("prob"), f"word {place}: prob")
    others = tuple(
        _alternative(other, place)
        for other in _list(entry.get("alternatives") or [], "alternatives", MOST_OTHERS)
    )
    log_prob = math.log(prob) if prob else None  # JSON has no word for minus infinity
    return Word(text, prob, log_prob, others, known=entry.get("unknown") is not True)


def _alternative(value: Any, place: int) -> tuple[str, float]:
    pair = value if isinstance(value, list) else []
    if len(pair) != 2 or not isinstance(pair[0], str) or len(pair[0]) > LONGEST_WORD:
        raise DataError(
            f"word {place}: an alternative is {_shown(value)}; expected [word, probability]"
        )
    prob = _probability(pair[1], f"word {place}: an alternative's probability")
    text = _checked(pair[0], f"word {place}: an alternative")
    return text, 0.0 if prob is None else prob


def _maps(value: Any, words: int, shape: tuple[int, int]) -> tuple[NDArray[np.float32], int]:
    """(T, h, w), each summing to 1, and how many did not before."""
    rows = _list(value, "maps", MOST_WORDS)
    if len(rows) != words:
        raise DataError(f"{words} words came with {len(rows)} maps; expected one map a word")
    maps = np.stack([_map(row, place, shape) for place, row in enumerate(rows, 1)])
    sums = maps.sum((1, 2), keepdims=True)
    changed = int((np.abs(sums - 1) > SUM_TOLERANCE).sum())
    return (maps / sums).astype(np.float32), changed


def _map(value: Any, place: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """(h, w) from h·w numbers, or from h rows of w."""
    rows = value if isinstance(value, list) else []
    if len(rows) == shape[0] and all(isinstance(row, list) for row in rows):
        if any(len(row) != shape[1] for row in rows):
            raise DataError(f"map {place} has rows of other lengths than {shape[1]}")
        rows = [number for row in rows for number in row]
    if len(rows) != shape[0] * shape[1]:
        raise DataError(
            f"map {place} holds {len(rows)} numbers, but a grid of {shape[0]}×{shape[1]} has "
            f"{shape[0] * shape[1]} cells"
        )
    if not all(_is_weight(number) for number in rows):
        raise DataError(f"map {place} holds something else than numbers from 0 up")
    weights = np.array(rows, dtype=np.float64).reshape(shape)
    with np.errstate(over="ignore"):
        total = float(weights.sum())
    if not 0 < total < math.inf:
        raise DataError(f"map {place} sums to {total:.3g}; expected 1, or any finite sum above 0")
    return weights


def _photo(embedded: Any, uploaded: ImageSource | None) -> ImageSource | None:
    """The caption's own photo, or the uploaded one of its name; None where there is neither."""
    if embedded is None:
        return uploaded
    head, _, body = embedded.partition(",") if isinstance(embedded, str) else ("", "", "")
    if not (head.startswith(_PHOTO) and head.endswith(";base64")):
        raise DataError("photo is no data URL; expected data:image/jpeg;base64,…")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        raise DataError("photo holds no base64; expected data:image/jpeg;base64,…") from None


def _key(name: str) -> str:
    """What stays of a file's name on its way through an upload, which drops other signs."""
    return "".join(c for c in base_name(name).casefold() if c.isalnum() or c in "._-")


def _sendable(text: str) -> str:
    """A message about a file, with any lone surrogates in the file's name replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _text(values: Mapping[str, Any], name: str, longest: int) -> str:
    value = values.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > longest:
        raise DataError(
            f"{name} is {_shown(value)}; expected a text of at most {longest} characters"
        )
    return value if name in ("file", "error") else _checked(value, name)


def _checked(text: str, name: str) -> str:
    """A text without half of a character, which no answer could hold."""
    wrong = half_character(text)
    if wrong is not None:
        raise DataError(f"{name}: {wrong}")
    return text


def _list(value: Any, name: str, most: int) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > most:
        what = f"{len(value)} entries" if isinstance(value, list) else _shown(value)
        raise DataError(f"{name} is {what}; expected a list of at most {most}")
    return value


def _probability(value: Any, name: str) -> float | None:
    number = _number(value, name)
    if number is not None and not 0 <= number <= 1:
        raise DataError(f"{name} is {number:.4g}; expected a probability from 0 to 1, or null")
    return number


def _number(value: Any, name: str) -> float | None:
    if value is None:
        return None
    if not _is_number(value):
        raise DataError(f"{name} is {_shown(value)}; expected a number, or null")
    return float(value)


def _is_weight(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_number(value: Any) -> bool:
    # A whole number beyond a float's range is a number that nothing here can hold.
    return (isinstance(value, float) and math.isfinite(value)) or (
        _is_whole(value) and abs(value) < 2**63
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    """A value in a message: whole if it is short, else its kind and size."""
    if value is None:
        return "missing"
    if isinstance(value, (list, dict)):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:50]}… ({len(text)} characters)"
