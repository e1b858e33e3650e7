"""What Flickr8k and Flickr30k come in: token files, and the table with bars.

Source: Hodosh, Young and Hockenmaier 2013, "Framing Image Description as a Ranking Task"; Young et
al. 2014, "From Image Descriptions to Visual Denotations", as Kaggle hands it out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from captioner.errors import DataError
from captioner.formats.content import Content, lines, read_text, shown
from captioner.formats.entries import (
    Entry,
    Gathered,
    inner_name,
    one_line,
    own_name,
    plain,
    stripped,
)
from captioner.formats.places import located

_TOKEN_LINE = re.compile(r"([^\t]+)#([0-9]+)\t(.*)", re.DOTALL)
_ODD_ENDING = re.compile(r"\.[A-Za-z]+\.[0-9]+")


def is_tokens(content: Content) -> bool:
    """Whether its lines are `name.jpg#0`, a tab, a caption."""
    return not content.is_json and _TOKEN_LINE.fullmatch(content.first) is not None


def read_tokens(content: Content, split: str, images: Path | None) -> list[Entry]:
    """Reads a token file; with a split file its photos, in its order.

    Flickr8k.token.txt names one photo (`2258277193_586949ec62.jpg.1`) that its archive does not
    hold: a name with such an ending is left out unless the file is there.
    """
    path = content.path
    captions: dict[str, list[str]] = {}
    seen: dict[tuple[str, str], int] = {}
    taken: dict[str, str] = {}
    for number, line in lines(content.text):
        parts = _TOKEN_LINE.fullmatch(line)
        if not parts:
            raise DataError(
                f"{path}: line {number} is {shown(line)}, expected 'name.jpg#0', a tab and the "
                "caption (or another format of docs/formats.md)"
            )
        name, index, caption = parts.groups()
        if (name, index) in seen:
            raise DataError(
                f"{path}: line {number} gives {shown(f'{name}#{index}')} again, first on line "
                f"{seen[name, index]}"
            )
        seen[name, index] = number
        if name not in captions:
            captions[own_name(path, f"line {number}", name, taken)] = []
        captions[name].append(caption)
    names = list(captions)
    if split:
        names = _split_names(Path(split), path, captions)
    elif images is not None:
        names = [n for n in captions if not _ODD_ENDING.search(n) or _is_there(images, n)]
    return [Entry(name, tuple(stripped(captions[name]))) for name in names]


def _is_there(images: Path, name: str) -> bool:
    return os.path.isfile(located(images, name))  # noqa: PTH113  (Path.is_file may raise)


def _split_names(path: Path, tokens: Path, captions: dict[str, list[str]]) -> list[str]:
    """The names in a split file, in its order; every one of them has captions."""
    names: dict[str, int] = {}
    for number, line in lines(read_text(path)):
        name = line.strip()
        if name in names:
            raise DataError(
                f"{path}: line {number} names {shown(name)} again, first on line {names[name]}"
            )
        names[name] = number
    written = {plain(name): name for name in captions}  # "é" may be one character or two
    names = {written.get(plain(name), name): number for name, number in names.items()}
    unknown = [name for name in names if name not in captions]
    if unknown:
        raise DataError(
            f"{path}: {len(unknown)} of {len(names)} photos have no captions in {tokens}, first "
            f"{shown(unknown[0])} on line {names[unknown[0]]}: name two files of one data set"
        )
    if not names:
        raise DataError(
            f"{path}: names no photos, expected a list like '1000268201_693b08cb0e.jpg'"
        )
    return list(names)


def written_tokens(entries: Sequence[Entry]) -> str:
    """A token file."""
    return "".join(
        f"{entry.name}#{number}\t{one_line(caption)}\n"
        for entry in entries
        for number, caption in enumerate(entry.captions)
    )


BARS = "image_name| comment_number| comment"


def is_bars(content: Content) -> bool:
    """Whether it is the table of Flickr30k, `results.csv`."""
    return [cell.strip() for cell in content.first.split("|")] == BARS.split("| ")


def read_bars(content: Content, split: str, images: Path | None) -> list[Entry]:
    """Reads `results.csv`: `1000092795.jpg| 0| Two young guys …`, nothing quoted.

    Its one broken row, `2199200615.jpg| 4   A dog runs across the grass .`, lacks a bar; it is
    read as it was meant.
    """
    path = content.path
    found = Gathered()
    rows = lines(content.text)
    head = next(rows)[1]
    if [cell.strip() for cell in head.split("|")] != BARS.split("| "):
        raise DataError(f"{path}: begins with {shown(head)}, expected the heading {BARS!r}")
    for number, line in rows:
        cells = [cell.strip() for cell in line.split("|", 2)]
        if len(cells) == 2 and (broken := re.fullmatch(r"([0-9]+)\s+(.+)", cells[1])):
            cells[1:] = broken.groups()
            content.note(f"line {number} lacks a bar; read as caption {cells[1]} of {cells[0]}")
        if len(cells) != 3 or not cells[0]:
            raise DataError(
                f"{path}: line {number} is {shown(line)}, expected a photo, a number and a caption "
                "with bars between"
            )
        found.add(inner_name(path, f"line {number}", cells[0]), [cells[2]])
    return found.entries()


def written_bars(entries: Sequence[Entry]) -> str:
    """A table as Flickr30k's."""
    rows = [BARS]
    for entry in entries:
        if "|" in entry.name:
            raise DataError(
                f"{entry.name}: a bar in the name would part the row; rename the file, or choose "
                "another format"
            )
        rows += [f"{entry.name}| {i}| {one_line(c)}" for i, c in enumerate(entry.captions)]
    return "\n".join(rows) + "\n"
