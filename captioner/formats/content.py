"""What a file of captions holds: its text, its JSON, its lines; every complaint is one line.

A complaint names the file and the place in it, what came and what was expected.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from captioner.errors import DataError
from captioner.text import decoded


class Content:
    """A file of captions, read once however many formats look at it."""

    def __init__(self, path: str | Path, text: str | None = None) -> None:
        """Reads nothing yet, where no text is given."""
        self.path = Path(path)
        self.notes: list[str] = []  # what a reader mended or left out
        if text is not None:
            self.text = text

    @functools.cached_property
    def text(self) -> str:
        """All of it.

        Raises:
            DataError: the file is missing, empty or no text.
        """
        text = read_text(self.path)
        if not text.strip():
            raise DataError(f"{self.path}: the file is empty; expected captions: get it again")
        return text

    @functools.cached_property
    def document(self) -> Any:
        """The JSON that it is.

        Raises:
            DataError: it is not, or an object gives a key twice.
        """
        if self.is_json and self.objects is not None and len(self.objects) == 1:
            return self.objects[0][1]
        return parsed(self.path, self.text)

    @property
    def data_set(self) -> Any:
        """The JSON document that it is; None where it is none, or a value on each line."""
        if not self.is_json or (self.objects is not None and len(self.objects) > 1):
            return None
        return self.document

    @functools.cached_property
    def is_json(self) -> bool:
        """Whether it begins as a JSON document of captions does."""
        return self.text.lstrip()[:1] in ("{", "[")

    @functools.cached_property
    def first(self) -> str:
        """The first line that is not blank."""
        return next((line for _, line in lines(self.text)), "")

    @functools.cached_property
    def objects(self) -> list[tuple[int, dict[str, Any]]] | None:
        """The objects of JSON lines, with the numbers of their lines; None where it is no such.

        A broken line behind the first is no reason to take it for another kind of file.

        Raises:
            DataError: a line behind the first is no object.
        """
        if not self.text.lstrip().startswith("{"):
            return None
        found: list[tuple[int, dict[str, Any]]] = []
        for number, line in lines(self.text):
            try:
                value = json.loads(line, object_pairs_hook=_once(self.path))
            except RecursionError:
                return None
            except ValueError as error:
                if not found:
                    return None
                raise DataError(
                    f"{self.path}: line {number} is no JSON: {shown(line)}; expected an object on "
                    "every line: mend or remove that line"
                ) from error
            if type(value) is not dict:
                if not found:
                    return None
                raise DataError(
                    f"{self.path}: line {number} is {KINDS[type(value)]}, expected an object"
                )
            found.append((number, value))
        return found

    def note(self, text: str) -> None:
        """Keeps something that its owner should know."""
        self.notes.append(f"{self.path}: {text}")


def read_text(path: Path, expected: str = "captions or a list of photos") -> str:
    """The text of a file in any coding of Unicode.

    Raises:
        DataError: the file is missing or no text.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected {expected}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"{path}: cannot be read: {reason}") from None
    return decoded(content, str(path))


def read_json(path: str | Path, expected: str) -> Any:
    """What a JSON file holds; its text may be UTF-8 or UTF-16.

    Args:
        path: of the file.
        expected: what it should be, for the message where it is missing.

    Raises:
        DataError: the file is missing, empty or not JSON, or an object gives one key twice.
    """
    return parsed(Path(path), read_text(Path(path), expected))


def _once(path: Path) -> Any:
    """What makes an object of pairs, each key of which comes once."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        item = dict(pairs)
        if len(item) != len(pairs):
            twice = next(key for key, count in Counter(k for k, _ in pairs).items() if count > 1)
            raise DataError(
                f"{path}: an object gives {shown(twice)} twice, of which one would be lost: "
                "put both under one"
            )
        return item

    return once


def parsed(path: Path, text: str) -> Any:
    """The value of a JSON document.

    Raises:
        DataError: it is none; the message says where it breaks.
    """
    if not text.strip():
        raise DataError(f"{path}: the file is empty, expected JSON: get it again")
    try:
        return json.loads(text, object_pairs_hook=_once(path))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and _is_json(text[error.pos :].lstrip().partition("\n")[0]):
            raise DataError(
                f"{path}: JSON lines, a value on each line; expected one JSON document that holds "
                "them all, as COCO's 'images' and 'annotations' do"
            ) from None
        raise DataError(
            f"{path}: broken JSON in line {error.lineno}, column {error.colno}: {error.msg}; "
            "the file may be cut short: get it again"
        ) from None
    except RecursionError:
        raise DataError(
            f"{path}: JSON that no data set holds: lists and objects nested a thousand deep"
        ) from None
    except ValueError:  # what is left: a number of thousands of digits
        raise DataError(
            f"{path}: JSON that no data set holds: a number of thousands of digits"
        ) from None


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, counted from 1; cut at line feeds only, not at U+2028."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line


KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number with a point",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def field(path: Path, where: str, item: Any, key: str, *kinds: type) -> Any:
    """`item[key]`, which must be of one of the kinds exactly: true is no number."""
    if type(item) is not dict:
        raise DataError(f"{path}: {where} is {KINDS[type(item)]}, expected an object with {key!r}")
    if key not in item:
        raise DataError(f"{path}: {where} has no {key!r}, only {keys(item)}")
    value = item[key]
    if type(value) not in kinds:
        expected = " or ".join(KINDS[kind] for kind in kinds)
        given = f" ({shown(value)})" if isinstance(value, str | int | float) else ""
        raise DataError(
            f"{path}: {where}.{key} is {KINDS[type(value)]}{given}, expected {expected}"
        )
    if type(value) is str and not encodable(value):
        raise DataError(
            f"{path}: {where}.{key} is {shown(value)}, which holds half a character "
            "(a lone surrogate): mend that text"
        )
    return value


def encodable(text: str) -> bool:
    """Whether a text holds no half of a character."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def keys(item: Iterable[str]) -> str:
    """The first keys of an object, for a message."""
    return ", ".join(map(shown, list(item)[:5])) or "nothing"


def shown(value: object) -> str:
    """A value from a file, fit for a line of an error message."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= 60 else f"{text[:40]}…{text[-15:]}"
