"""What a person's arguments stand for: photos, folders of photos, patterns.

Nothing here opens a photo; of a PNG file the head is read, to tell a sheet of our own from a photo.
What is found and cannot be opened is reported, and the rest goes on.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from captioner.errors import CaptionerError
from captioner.formats.places import SYSTEM_FOLDERS
from captioner.pictures.drawings import SUFFIXES as DRAWN_SUFFIXES
from captioner.pictures.drawings import is_drawing
from captioner.pictures.formats import PHOTO_SUFFIXES, UNREAD_SUFFIXES
from captioner.pictures.messages import printable
from captioner.pictures.shards import Packed, holds_photos, is_table, photos_in, rows_of

_EXPECTED = "expected files such as photo.jpg or photo.png"


@dataclass(frozen=True)
class Found:
    """One thing that an argument stands for."""

    path: str
    root: str = ""  # the folder that was named and that it lies in; "" where it was named itself
    problem: str | None = None  # why there is no photo to be opened
    drawn: bool = False  # a sheet of our own, which is left out
    member: Packed | None = None  # the photo, where it lies in an archive or a table

    @property
    def is_photo(self) -> bool:
        """Whether it is to be opened."""
        return self.problem is None and not self.drawn


def find_photos(arguments: Iterable[str]) -> Iterator[Found]:
    """The photos that a person's arguments name, in the order given and by name within each.

    A folder stands for the photos in it and below it; hidden folders and files and
    `SYSTEM_FOLDERS` are passed over, links to folders are not followed. A pattern (`*`, `?`, `[…]`,
    and `**` for folders at any depth) stands for the photos that match, and for the photos in the
    folders that match; where the pattern ends in a suffix of its own (`*.dat`), every matching file
    counts as a photo. A tar archive, compressed or not, or a Parquet table stands for the photos in
    it. Any other argument is kept as it is: if there is no such file, opening it says so. Nothing
    is dropped for being named twice.

    What folders and patterns bring along and what cannot be opened comes with its `problem`: a
    folder that cannot be listed, a picture of a kind that is not read, a pipe, a socket or a
    device. So does an argument that stands for nothing. Sheets that `outputs` drew are marked.

    Args:
        arguments: taken one by one, as they are needed.
    """
    for argument in arguments:
        if holds_photos(argument) and os.path.isfile(argument):  # noqa: PTH113
            nothing = "there is no photo in this archive"
            yield from _or_nothing(argument, nothing, _packed(argument))
        elif os.path.isdir(argument):  # noqa: PTH112  (Path("") is the current folder)
            yield from _or_nothing(argument, "there is no photo in this folder", _walked(argument))
        elif not os.path.lexists(argument) and glob.has_magic(argument):
            yield from _or_nothing(argument, "no photo matches this pattern", _matched(argument))
        else:
            yield Found(argument)


def _packed(archive: str) -> Iterator[Found]:
    try:
        for member in rows_of(archive) if is_table(archive) else photos_in(archive):
            yield Found(str(member), archive, member=member)
    except CaptionerError as error:
        yield Found(archive, problem=printable(str(error)))


def excluded(path: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern matches a path, its name, or the name of a folder on the way to it."""
    parts = Path(path).parts
    names = (path, Path(path).as_posix(), *parts)
    return any(fnmatch.fnmatch(n, p.rstrip("/")) for p in patterns for n in names)


def is_pipe(path: str | os.PathLike[str]) -> bool:
    """Whether there is a pipe at `path`, which can be read only once."""
    return _kind(Path(path)) == "a pipe"


def _or_nothing(argument: str, nothing: str, items: Iterator[Found]) -> Iterator[Found]:
    """The items; a problem where they hold neither a photo nor one already."""
    drawn, empty = 0, True
    for item in items:
        drawn += item.drawn
        empty = empty and item.drawn
        yield item
    if empty:
        own = f"; sheets that captioner drew are left out ({drawn})" if drawn else ""
        yield Found(argument, problem=f"{printable(argument)}: {nothing}, {_EXPECTED}{own}")


def _walked(folder: str, root: str | None = None) -> Iterator[Found]:
    """What is in a folder and below it, by name."""
    problems: list[Found] = []
    files = [
        Path(parent, name)
        for parent, _, names in _walk(folder, problems)
        for name in names
        if not name.startswith(".")
    ]
    yield from problems
    for path in sorted(files):
        if path.suffix.lower() in PHOTO_SUFFIXES | UNREAD_SUFFIXES.keys():
            yield _looked_at(path, folder if root is None else root)


def _walk(folder: str, problems: list[Found]) -> Iterator[tuple[str, list[str], list[str]]]:
    """`os.walk` without hidden folders and those of systems; `problems` grows."""

    def note(error: OSError) -> None:
        problems.append(_closed(str(error.filename), "listed", error))

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = [n for n in folders if not n.startswith(".") and n not in SYSTEM_FOLDERS]
        yield parent, folders, files


def _closed(folder: str, how: str, error: OSError) -> Found:
    reason = error.strerror or type(error).__name__
    problem = f"{printable(folder)}: left out, as it cannot be {how} ({reason})"
    return Found(folder, problem=problem)


def _matched(pattern: str) -> Iterator[Found]:
    """What a pattern matches, by name, and what is in the folders that it matches."""
    problems: list[Found] = []
    suffix = Path(pattern).suffix
    takes_all = bool(suffix) and not glob.has_magic(suffix)
    found = sorted(set(_globbed(Path(pattern), problems)))
    seen = [match for match in found if _is_seen(match, problems)]
    yield from dict.fromkeys(problems)
    for match in seen:
        if not os.path.isdir(match):  # noqa: PTH112  (that of Path may raise)
            known = match.suffix.lower() in PHOTO_SUFFIXES | UNREAD_SUFFIXES.keys()
            if takes_all or known:
                yield _looked_at(match, "", any_suffix=takes_all)
        elif "**" not in Path(pattern).parts:  # which has matched the files below the folder, too
            yield from _walked(str(match))


def _is_seen(match: Path, problems: list[Found]) -> bool:
    """Whether what lies there can be examined; a folder may be listed that cannot be searched."""
    try:
        os.stat(match)  # noqa: PTH116  (as os.path does)
    except PermissionError as error:
        if os.path.islink(match):  # noqa: PTH114  (to what nobody may see; opening says so)
            return True
        problems.append(_closed(str(match.parent), "searched", error))
        return False
    except (OSError, ValueError):  # opening it says what is wrong
        pass
    return True


def _note_closed(pattern: Path, problems: list[Found]) -> None:
    """Notes the folders that `glob` passes over in silence, as they cannot be listed or searched.

    A part that is a name is looked for in every folder that the parts before it match; one that is
    a pattern takes their lists.
    """
    for place, part in enumerate(pattern.parts):
        listed = glob.has_magic(part)
        for folder in glob.glob(str(Path(*pattern.parts[:place]))):  # noqa: PTH207
            try:
                os.scandir(folder).close() if listed else os.lstat(Path(folder, part))
            except PermissionError as error:
                problems.append(_closed(folder, "listed" if listed else "searched", error))
            except OSError as error:
                if listed and not isinstance(error, (FileNotFoundError, NotADirectoryError)):
                    problems.append(_closed(folder, "listed", error))


def _globbed(pattern: Path, problems: list[Found]) -> Iterator[Path]:
    """The paths that match; `**` follows no links to folders, which may lead in circles."""
    named = set(pattern.parts)

    def wanted(path: str | Path) -> bool:
        return not (SYSTEM_FOLDERS & set(Path(path).parts)) - named

    if "**" not in pattern.parts:
        _note_closed(pattern, problems)
        yield from map(Path, filter(wanted, glob.glob(str(pattern))))  # noqa: PTH207
        return
    place = pattern.parts.index("**")
    before, rest = Path(*pattern.parts[:place]), pattern.parts[place + 1 :]
    tops = [str(before)] if not pattern.parts[:place] else glob.glob(str(before))  # noqa: PTH207
    for top in filter(wanted, tops):
        for parent, folders, files in _walk(top, problems):
            if rest:
                yield from _globbed(Path(glob.escape(parent), *rest), problems)
            else:
                yield from (Path(parent, n) for n in (*folders, *files) if not n.startswith("."))


def _looked_at(path: Path, root: str, *, any_suffix: bool = False) -> Found:
    """One file that a folder or a pattern brought along."""
    name, suffix = str(path), path.suffix.lower()
    kind = _kind(path)
    if kind:
        problem = f"{printable(name)}: left out, as it is {kind}; expected a file"
        return Found(name, root, problem)
    drawn = suffix in DRAWN_SUFFIXES and is_drawing(path)
    if suffix in UNREAD_SUFFIXES and not any_suffix and not drawn:
        return Found(name, root, f"{printable(name)}: left out; {UNREAD_SUFFIXES[suffix]}")
    return Found(name, root, drawn=drawn)


_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def _kind(path: Path) -> str:
    """What lies there where it is neither a file nor a folder."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # opening it says what is wrong
        return ""
    return next((name for fits, name in _KINDS if fits(mode)), "")
