"""Rows with a name and a caption: CSV, JSON lines, tabs; Hugging Face's `imagefolder`, Kaggle's.

Columns and keys go by what people call them; a caption may also stand in a list, `captions`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from captioner.errors import DataError
from captioner.formats.content import KINDS, Content, encodable, keys, lines, shown
from captioner.formats.entries import (
    Entry,
    Gathered,
    below,
    inner_name,
    of_split,
    one_line,
    plain_id,
)
from captioner.formats.places import SUFFIXES

NAMES = (
    *("file_name", "file", "filename", "image", "image_name", "image_path", "image_file"),
    *("img", "photo", "path", "file_path", "filepath"),
)
CAPTIONS = ("caption", "captions", "text", "sentence", "description", "comment", "alt_text", "alt")
IDS = ("image_id", "id", "photo_id")
_DELIMITERS = ",;\t|"
_LONGEST_CELL = 2**24  # characters; the standard library's own limit is 131,072


def _found(columns: Iterable[str], wanted: Sequence[str]) -> str | None:
    """The column that has one of the names, capitals and blanks apart."""
    by_name = {column.strip().lower().replace(" ", "_"): column for column in columns}
    return next((by_name[name] for name in wanted if name in by_name), None)


def _delimiter(head: str) -> str | None:
    """What parts the columns of a heading that has one for names or ids and one for captions."""
    for delimiter in _DELIMITERS:
        try:
            columns = next(csv.reader([head], delimiter=delimiter), [])
        except csv.Error:  # no text at all
            return None
        if _found(columns, (*NAMES, *IDS)) and _found(columns, CAPTIONS):
            return delimiter
    return None


def is_csv(content: Content) -> bool:
    """Whether its heading has a column of names and one of captions."""
    return not content.is_json and _delimiter(content.first) is not None


def is_kaggle(content: Content) -> bool:
    """Whether its heading is Kaggle's."""
    return content.first.strip() == "image,caption"


def read_csv(content: Content, split: str, images: Path | None) -> list[Entry]:
    """Reads a table, a caption a row.

    Where the caption is the last column, commas that nobody quoted belong to it.
    """
    delimiter = _delimiter(content.first)
    if delimiter is None:
        raise DataError(
            f"{content.path}: begins with {shown(content.first)}, expected a heading with a column "
            f"of names ({', '.join(NAMES[:5])}, …) and one of captions "
            f"({', '.join(CAPTIONS[:5])}, …)"
        )
    rows = _rows(content, delimiter)
    _, columns = next(rows)
    last = len(columns) - 1 if _found(columns[-1:], CAPTIONS) else None
    objects = []
    for number, cells in rows:
        if len(cells) > len(columns) and last is not None:
            cells[last:] = [delimiter.join(cells[last:])]
        if len(cells) != len(columns):
            raise DataError(
                f"{content.path}: line {number} has {len(cells)} columns, the heading "
                f"{len(columns)}: quote what holds {delimiter!r}, or mend that line"
            )
        objects.append((number, dict(zip(columns, cells, strict=True))))
    return _gathered(content, objects, split, images)


def column(content: Content, names: Sequence[str]) -> list[str]:
    """The values of one column of a table, without those that are empty.

    Raises:
        DataError: no column has one of the names.
    """
    for delimiter in _DELIMITERS:
        heading = next(csv.reader([content.first], delimiter=delimiter), [])
        wanted = _found(heading, names)
        if wanted is not None:
            place = heading.index(wanted)
            rows = list(_rows(content, delimiter))[1:]
            return [cells[place] for _, cells in rows if len(cells) > place and cells[place]]
    raise DataError(
        f"{content.path}: begins with {shown(content.first)}, expected a heading with a column of "
        f"paths ({', '.join(names[:5])}, …)"
    )


def column_of_objects(content: Content, names: Sequence[str]) -> list[str]:
    """The values of one key of JSON lines.

    Raises:
        DataError: an object has none, or it is no text.
    """
    found = []
    for number, item in content.objects or []:
        where, key = f"{content.path}: line {number}", _found(item, names)
        if key is None:
            raise DataError(
                f"{where} has no path, only {keys(item)}; expected one of {', '.join(names[:5])}, …"
            )
        found.append(_text(where, key, item[key]))
    return found


def _rows(content: Content, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold anything, with the numbers of their last lines."""
    previous = csv.field_size_limit(_LONGEST_CELL)
    try:
        reader = csv.reader(io.StringIO(content.text, newline=""), delimiter=delimiter)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(f"{content.path}: line {reader.line_num} is no CSV: {error}") from None
    finally:
        csv.field_size_limit(previous)


def is_objects(content: Content) -> bool:
    """Whether it is JSON lines with a name and a caption, or with an error in its place."""
    if not content.is_json or not content.objects:
        return False
    first = content.objects[0][1]
    return bool(_found(first, (*NAMES, *IDS)) and _found(first, CAPTIONS))


def read_objects(content: Content, split: str, images: Path | None) -> list[Entry]:
    """Reads JSON lines; an object that says why there is no caption is left out."""
    if content.objects is None:
        raise DataError(
            f"{content.path}: begins with {shown(content.first)}, expected an object on every line"
        )
    failed = [number for number, item in content.objects if item.get("error")]
    if failed:
        content.note(f"{len(failed):,} lines with an error instead of a caption are left out")
    good = [(number, item) for number, item in content.objects if not item.get("error")]
    return _gathered(content, good, split, images)


def _gathered(
    content: Content,
    objects: Iterable[tuple[int, Mapping[str, Any]]],
    split: str,
    images: Path | None,
) -> list[Entry]:
    """Objects of all kinds, put together by photo."""
    found = Gathered()
    for number, item in objects:
        where = f"{content.path}: line {number}"
        name_key, id_key = _found(item, NAMES), _found(item, IDS)
        caption_key = _found(item, CAPTIONS)
        if caption_key is None or (name_key is None and id_key is None):
            raise DataError(
                f"{where} has no {'caption' if caption_key is None else 'name'}, only {keys(item)}"
            )
        name = _text(where, name_key, item[name_key]) if name_key else ""
        if name_key:
            name = below(name.strip(), images)
            inner_name(content.path, f"line {number}", name)
        identity = item[id_key] if id_key else ""
        if type(identity) not in (int, str):
            raise DataError(
                f"{where}: {id_key} is {KINDS[type(identity)]}, expected a number or text"
            )
        if not name and not plain_id(identity):
            raise DataError(f"{where}: neither a name nor an id of a photo")
        own = item.get("split") or ""
        captions = item[caption_key]
        several = captions if type(captions) is list else [captions]
        found.add(
            name,
            [_text(where, caption_key, caption) for caption in several],
            identity=plain_id(identity),
            split=_text(where, "split", own),
        )
    return of_split(content.path, found.entries(), split)


def _text(where: str, key: str | None, value: Any) -> str:
    if type(value) is not str:
        raise DataError(f"{where}: {key} is {KINDS[type(value)]}, expected text")
    if not encodable(value):
        raise DataError(f"{where}: {key} holds half a character (a lone surrogate): mend that text")
    return value


def is_metadata(content: Content) -> bool:
    """Whether it is the `metadata` of an imagefolder."""
    if content.path.name in ("metadata.csv", "metadata.jsonl"):
        return is_csv(content) or is_objects(content)
    return is_objects(content) and "file_name" in (content.objects or [(0, {})])[0][1]


def read_metadata(content: Content, split: str, images: Path | None) -> list[Entry]:
    """Reads `metadata.csv` or `metadata.jsonl`; names are below its own folder."""
    if content.is_json:
        return read_objects(content, split, images)
    return read_csv(content, split, images)


def is_tabs(content: Content) -> bool:
    """Whether a line is a photo's name, a tab, a caption, as `captioner caption` prints it."""
    name, tab, _ = content.first.partition("\t")
    return bool(tab) and not content.is_json and Path(name).suffix.lower() in SUFFIXES


def read_tabs(content: Content, split: str, images: Path | None) -> list[Entry]:
    """Reads lines of a name, a tab and a caption; what stands behind another tab is passed over."""
    found = Gathered()
    for number, line in lines(content.text):
        name, tab, rest = line.partition("\t")
        if not tab:
            raise DataError(
                f"{content.path}: line {number} is {shown(line)}, expected a name, a tab, a caption"
            )
        name = inner_name(content.path, f"line {number}", below(name, images))
        found.add(name, [rest.partition("\t")[0]])
    return of_split(content.path, found.entries(), split)


def written_csv(entries: Sequence[Entry]) -> str:
    """A table of `file`, `caption` and, where there are any, `split`."""
    return _csv(("file", "caption"), entries)


def written_kaggle(entries: Sequence[Entry]) -> str:
    """A table as Kaggle's Flickr8k has it."""
    return _csv(("image", "caption"), [Entry(e.name, e.captions) for e in entries])


def _csv(columns: tuple[str, str], entries: Sequence[Entry]) -> str:
    split = any(entry.split for entry in entries)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((*columns, *(["split"] if split else [])))
    for entry in entries:
        for caption in entry.captions:
            writer.writerow((entry.name, caption, *([entry.split] if split else [])))
    return file.getvalue()


def written_objects(entries: Sequence[Entry]) -> str:
    """An object a caption, as `captioner caption --jsonl` begins its own."""
    return _lines(
        {
            "file": entry.name,
            "caption": caption,
            **({"image_id": entry.identity} if entry.identity else {}),
            **({"split": entry.split} if entry.split else {}),
        }
        for entry in entries
        for caption in entry.captions
    )


def written_metadata(entries: Sequence[Entry]) -> str:
    """An object a photo: `text`, or `captions` in all of them where a photo has several."""
    several = any(len(entry.captions) > 1 for entry in entries)
    return _lines(
        {
            "file_name": entry.name,
            **({"captions": list(entry.captions)} if several else {"text": entry.captions[0]}),
            **({"split": entry.split} if entry.split else {}),
        }
        for entry in entries
    )


def written_metadata_csv(entries: Sequence[Entry]) -> str:
    """A row a caption."""
    return _csv(("file_name", "text"), entries)


def _lines(objects: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in objects)


def written_tabs(entries: Sequence[Entry]) -> str:
    """A line a caption."""
    return "".join(f"{e.name}\t{one_line(c)}\n" for e in entries for c in e.captions)
