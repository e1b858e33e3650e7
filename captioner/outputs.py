"""Files that commands write: whole or not at all, never over an input, never over what is not ours.

What captioner drew says so inside the PNG file (`Software: captioner`); what it wrote is known by
its first line. Anything else that is there already stays, unless its owner says `--overwrite`.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO

from captioner.atomic import behind, digest, fitting, is_same, is_special, lock, naming, whole
from captioner.errors import ConfigError
from captioner.pictures.drawings import SOFTWARE, SUFFIXES, Drawing, is_drawing, save, texts_of
from captioner.resuming import LONGEST_LINE, Earlier, is_torn, mend

if TYPE_CHECKING:
    from PIL import Image

    from captioner.captions.caption import Caption

_FIRST_LINKS = 4096  # bytes of a file of alignments that are looked at
_LINKS = re.compile(rb"(?:\d+-\d+(?: \d+-\d+)*)?(?:\n(?:\d+-\d+(?: \d+-\d+)*)?)*[ \d-]*")
_CIRCLE = "is a link that leads back to itself"
_OBJECTS = tuple(
    frozenset(fields.split())
    for fields in (
        "file caption words log_prob grid error",  # caption, explain; evaluate, of photos
        "source translation error",  # translate; evaluate, of pairs
        "section source reference outputs",  # study
        "checkpoint decoding scores",  # evaluate
        "checkpoint pointing",  # evaluate, of a file of maps
        "sections systems bleu recipe",  # study
        "captioner runtime figures",  # bench
    )
)


@dataclass(frozen=True)
class Kind:
    """A kind of file that we write."""

    name: str
    is_ours: Callable[[Path], bool]  # whether a file that is there is one


def _is_json(path: Path) -> bool:
    """Whether the first line, or all of it, is an object of ours."""
    with path.open("rb") as file:
        text = file.readline(LONGEST_LINE)
        with contextlib.suppress(ValueError, RecursionError):
            if text.strip() == b"{":  # indented
                text += file.read(LONGEST_LINE)
            values = json.loads(text)
            return isinstance(values, dict) and any(o <= values.keys() for o in _OBJECTS)
    return False


_TABLES = (  # how the first line of a table begins, of `study length` and of the other studies
    b"# Translation by length of the source",
    b"<!-- Made by captioner study",
    b"variant,seed,score,value,",
)


def _is_table(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline(LONGEST_LINE).startswith(_TABLES)


def _is_links(path: Path) -> bool:
    """Whether its lines begin as those of `translate --alignment-format pharaoh` do."""
    with path.open("rb") as file:
        return _LINKS.fullmatch(file.read(_FIRST_LINKS)) is not None


DRAWING = Kind("picture", is_drawing)
LINKS = Kind("file of alignments", _is_links)
OBJECTS = Kind("file of objects", _is_json)
TABLE = Kind("table", _is_table)


class Guard:
    """Knows what a command reads, and refuses to write over it, or over what is not ours."""

    def __init__(
        self,
        inputs: Iterable[str | Path | int | None] = (),
        overwrite: bool = False,
        *,
        complete: bool = True,
    ) -> None:
        """Takes what is known from the start.

        Args:
            inputs: files that are read, or their descriptors; those that are not there and None
                do not matter.
            overwrite: files that are not ours may be replaced; inputs may not.
            complete: all inputs are noted before the first output takes its name; otherwise any
                file that is not ours may be one that is named later.
        """
        self.overwrite, self.complete = overwrite, complete
        self._inputs: dict[tuple[int, int], str] = {}
        self._outputs: dict[str, str] = {}
        for file in inputs:
            self.reads(file)

    def reads(self, file: str | Path | int | None) -> None:
        """Notes an input. By what it is and not by its name, which links may give to others."""
        if file is None:
            return
        with contextlib.suppress(OSError, ValueError):
            status = os.stat(file)  # noqa: PTH116  (it may be a descriptor)
            name = "standard input" if isinstance(file, int) else str(file)
            self._inputs.setdefault((status.st_dev, status.st_ino), name)

    def check(self, path: Path, kind: Kind, flag: str) -> None:
        """Refuses what must not be replaced.

        Args:
            path: where a file is to be written.
            kind: what is to be written.
            flag: by which the place was given.

        Raises:
            ConfigError: `path` is a folder, an input, a link that leads nowhere but to itself, a
                file that is not ours, or in a folder where nothing can be written.
        """
        try:
            status = path.stat()
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno == errno.ELOOP:
                raise ConfigError(f"{path} {_CIRCLE}; choose another {flag}") from error
            _check_folder(path, flag)
            return  # there is nothing, or writing says what is wrong
        if stat.S_ISDIR(status.st_mode):
            raise ConfigError(f"{path} is a folder; expected the name of a file for {flag}")
        if not stat.S_ISREG(status.st_mode):  # a pipe, /dev/null
            return
        read = self._inputs.get((status.st_dev, status.st_ino))
        if read is not None:
            as_named = "" if read == str(path) else f" ({read})"
            raise ConfigError(
                f"{path} is read by this very command{as_named}, and an output never replaces an "
                f"input; choose another {flag}"
            )
        if not (self.overwrite or status.st_size == 0 or _is_ours(path, kind)):
            raise ConfigError(
                f"{path} is there already and is no {kind.name} of captioner's; choose another "
                f"{flag}, or replace what is there with --overwrite"
            )
        _check_folder(path, flag)

    def claim(self, path: Path, kind: Kind, flag: str) -> None:
        """`check`, for an output of this command.

        Raises:
            ConfigError: as `check`, or another output of this command has that name.
        """
        self.check(path, kind, flag)
        if is_special(path):
            return
        key = os.path.realpath(path).casefold()  # some file systems take Dog and dog for one
        if key in self._outputs:
            raise ConfigError(
                f"{path} would be written twice, for {self._outputs[key]} and for {flag}; choose "
                f"another {flag}"
            )
        self._outputs[key] = flag


def _check_folder(path: Path, flag: str) -> None:
    """Refuses a file whose folder is none, or where nobody may write: before the work, not after.

    A folder that is not there yet is made in the nearest one above it that is.
    """
    try:
        folders = Path(os.path.abspath(behind(path))).parents  # noqa: PTH100
        above = next((folder for folder in folders if os.path.lexists(folder)), None)
        is_folder = above is not None and stat.S_ISDIR(above.stat().st_mode)
    except (OSError, ValueError):  # a name that no file has: opening it says so
        return
    if not is_folder:
        raise ConfigError(f"{above} is a file, and no folder for {path}; choose another {flag}")
    if above is not None and not os.access(above, os.W_OK):
        raise ConfigError(
            f"{path}: nothing can be written in {above} (no permission, or a disk that can only be "
            f"read); choose another {flag}"
        )


def _is_ours(path: Path, kind: Kind) -> bool:
    try:
        return kind.is_ours(path)
    except OSError:  # nobody may read it
        return False


class Sheets:
    """A folder of contact sheets, in which the folders of the photos are mirrored."""

    def __init__(
        self,
        folder: str,
        grid: bool,
        guard: Guard | None = None,
        *,
        flag: str = "--overlay",
        suffix: str = ".png",
    ) -> None:
        """Makes the folder.

        Args:
            folder: where the sheets go.
            grid: show bare cells instead of smoothed maps.
            guard: what must not be replaced.
            flag: by which the folder was given.
            suffix: of the sheets, one of `drawings.SUFFIXES`.

        Raises:
            ConfigError: nothing can be written there.
        """
        self.folder, self.grid, self.flag, self.suffix = Path(folder), grid, flag, suffix
        self.guard = guard or Guard()
        self.taken: set[str] = set()
        self.drawn: dict[str, int] = {}  # sheets by photo
        self.owners: dict[Path, str] = {}
        try:
            behind(self.folder).mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            what = _CIRCLE if os.path.islink(behind(self.folder)) else "is a file"  # noqa: PTH114
            raise ConfigError(f"{folder} {what}; {flag} takes a folder, choose another") from error
        if not os.access(self.folder, os.W_OK):
            raise ConfigError(f"{folder}: no permission to write there; choose another folder")

    def place(self, photo: str, root: str = "", *, name: str = "") -> Path:
        """Where the next sheet of a photo goes: `holiday/dog.jpg` has `holiday/dog.png`.

        That depends on the photo's own path alone, but where two would share a sheet: then the
        later one's has the photo's suffix in its name, or a number. Sheets that are there already
        say whose they are, and are replaced by those of the same photo only. While photos may still
        be named that nobody knows of, a file that is not ours may be one of them: it is passed by.

        Args:
            photo: its path.
            root: the folder that was named and that it lies in, if one was.
            name: how to call the sheet instead, without suffix.

        Raises:
            ConfigError: the place is taken by an input or a file that is not ours.
        """
        inside = Path(name) if name else mirrored(photo, root)
        owner = digest(name or _from(self.folder, photo))
        self.drawn[owner] = self.drawn.get(owner, 0) + 1
        number = f"-{self.drawn[owner]}" if self.drawn[owner] > 1 else ""
        free: list[tuple[Path, str | None]] = []
        for stem in _stems(inside):
            path = self.folder / inside.parent / f"{fitting(stem)}{number}{self.suffix}"
            # Some file systems take Dog and dog for one.
            if str(path).casefold() not in self.taken and not self._may_be_read(path):
                free.append((path, _owner(path)))
            if len(free) > 2 and any(whose in (None, owner) for _, whose in free):
                break
        # The one of an earlier run, which may have had another photo before this one.
        own = [path for path, whose in free if whose == owner]
        path = (own or [path for path, whose in free if whose is None])[0]
        self.taken.add(str(path).casefold())
        self.guard.claim(path, DRAWING, self.flag)
        self.owners[path] = owner
        return path

    def _may_be_read(self, path: Path) -> bool:
        """Whether something lies there that is no sheet, and that may yet be named as a photo."""
        if self.guard.complete or not os.path.lexists(path):
            return False
        return not (os.path.isfile(path) and is_drawing(path))  # noqa: PTH113  (which may raise)

    def draw(self, caption: Caption, place: Path | None = None) -> Path:
        """Writes one sheet, whole or not at all, and says where.

        Args:
            caption: of a photo.
            place: what `place` said; without it, it is asked now.
        """
        path = place or self.place(str(caption.file))
        _make_folder(path)
        pixels = self.suffix == SUFFIXES[0]
        drawing = (caption.sheet if pixels else caption.drawing)(grid=self.grid)
        self.guard.check(path, DRAWING, self.flag)  # much may have come there since
        draw(drawing, path, Photo=self.owners[path])
        return path


def mirrored(photo: str, root: str) -> Path:
    """The part of a photo's path that is mirrored.

    All of it below the current folder; of a photo elsewhere, what is below the folder that was
    named, with that folder's name; or else its own folder's name and its own.
    """
    path = os.path.abspath(photo)  # noqa: PTH100  (links stay as they are named)
    try:
        inside = Path(os.path.relpath(path))
    except ValueError:  # another drive
        inside = Path(os.pardir)
    if os.pardir not in inside.parts:
        return inside
    if root:
        top = Path(os.path.abspath(root))  # noqa: PTH100
        return Path(top.name) / os.path.relpath(path, top)
    return Path(*Path(path).parts[1:][-2:])


def _from(folder: Path, photo: str) -> str:
    """The way from the sheets to a photo, which stays the same where both are moved."""
    path = os.path.abspath(photo)  # noqa: PTH100
    try:
        return os.path.relpath(path, folder)
    except ValueError:  # another drive
        return path


def _stems(path: Path) -> Iterator[str]:
    stem = path.stem or "photo"
    yield stem
    yield path.name or stem  # `dog.jpg`, where there is a dog.png too
    yield from (f"{stem}-{number}" for number in count(2))


def _owner(path: Path) -> str | None:
    """Whose sheet there is; None where there is none that says so."""
    if is_special(path):
        return None
    try:
        texts = texts_of(path)
    except (OSError, ValueError):
        return None
    return texts.get("Photo") if texts.get("Software") == SOFTWARE else None


def draw(drawing: Drawing | Image.Image, path: Path, **texts: str) -> None:
    """Writes a drawing as a file that says who drew it, whole or not at all.

    Args:
        drawing: what to write; as SVG or PDF, where it can be and the name says so.
        path: where, in a folder that is there.
        texts: what it says besides, by keyword, each a word of ASCII.
    """
    save(drawing, path, **texts)


def _make_folder(path: Path) -> None:
    """Makes the folder of a file that is to be written, which a link may have elsewhere."""
    if not is_special(path):
        behind(path).parent.mkdir(parents=True, exist_ok=True)


def file_path(name: str, flag: str) -> Path:
    """The path of a file to be written.

    Raises:
        ConfigError: the name is that of a folder, there or not: `out/`, of which `Path` drops what
            its owner meant.
    """
    if name and os.path.basename(name) in ("", ".", ".."):  # noqa: PTH119
        raise ConfigError(f"{name} is a folder; expected the name of a file for {flag}")
    return Path(name)


@contextlib.contextmanager
def json_lines(
    path: Path,
    guard: Guard | None = None,
    *,
    flag: str = "--jsonl",
    kind: Kind = OBJECTS,
    tell: Callable[[str], object] = lambda text: None,
    earlier: Earlier | None = None,
) -> Iterator[Callable[[str], None]]:
    """Writes lines to `path`.partial as they come and gives the file its name at the end.

    A temporary file that is thrown away would lose hours of work at a Ctrl-C, and writing to `path`
    itself would leave half a file that looks whole. What stops the work gets a note that says where
    the lines are; the next run keeps them under a number and begins anew, or goes on behind them. A
    pipe or a device is written to as it is.

    Args:
        path: where the lines go.
        guard: what must not be replaced.
        flag: by which the path was given.
        kind: of what is written.
        tell: called with what its owner should know.
        earlier: notes the objects of a run that was stopped, or that ended, and new lines come
            behind those; left out, all begins anew.

    Raises:
        ConfigError: `path` must not be replaced, another run is writing there, or what is there
            cannot be gone on with.
        DataError: what is there has a line in its midst that is no object.
    """
    if is_special(path):
        with _closed(path.open("a", encoding="utf-8", errors="backslashreplace")) as special:
            yield lambda text: _write_line(special, text)
        return
    guard = guard or Guard()
    guard.claim(path, kind, flag)
    _make_folder(path)
    target = behind(path)
    partial = target.with_name(f"{target.name}.partial")
    begun = -1
    finished = earlier is not None and not partial.exists()
    if earlier is None:
        file = _new(partial, flag, tell, kind)
    else:
        file = _old(target, partial, flag, tell, kind)
    try:
        with _closed(file):
            if earlier is not None:
                _go_on(file, partial, earlier, tell)
            begun = partial.stat().st_size
            yield lambda text: _write_line(file, text)
            with naming(partial):
                os.fsync(file.fileno())
            guard.check(path, kind, flag)  # much may have come there since
            if not is_same(file, partial):
                raise ConfigError(f"{partial} was moved while it was written; look for it")
        partial.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):  # whatever it is, the first error counts
            size = partial.stat().st_size
            if not size:
                partial.unlink()
            elif finished and begun == size:  # nothing was added: the old file has its name again
                partial.replace(target)
            else:
                error.add_note(f"what was done so far is in {partial}")
        raise


@contextlib.contextmanager
def _closed(file: TextIO) -> Iterator[TextIO]:
    """The file; closing it writes what a full disk did not take, and fails once more."""
    try:
        yield file
    finally:
        with naming(file.name):
            file.close()


def _write_line(file: TextIO, text: str) -> None:
    with naming(file.name):
        file.write(f"{text}\n")
        file.flush()


def _new(partial: Path, flag: str, tell: Callable[[str], object], kind: Kind) -> TextIO:
    """An empty file that others see is being written; one of a stopped run makes room for it."""
    while True:
        try:
            # Half a character in a path (\udcff) comes out as JSON writes it.
            file: TextIO = partial.open("x", encoding="utf-8", errors="backslashreplace")
        except FileExistsError:
            _set_aside(partial, flag, tell, kind)
            continue
        if lock(file) and is_same(file, partial):
            return file
        file.close()  # another run took it for a stopped one's


def _old(
    target: Path, partial: Path, flag: str, tell: Callable[[str], object], kind: Kind
) -> TextIO:
    """What a stopped run left, or a finished one, to be gone on with; or else an empty file."""
    while True:
        if not os.path.lexists(partial):
            if not os.path.isfile(target):  # noqa: PTH113
                return _new(partial, flag, tell, kind)
            with contextlib.suppress(FileNotFoundError):  # another run was faster
                target.rename(partial)
            continue
        with contextlib.ExitStack() as stack:
            binary = stack.enter_context(_taken(partial, "r+b", flag, kind))
            if is_same(binary, partial):
                stack.pop_all()  # it stays open
                return io.TextIOWrapper(binary, encoding="utf-8", errors="backslashreplace")


def _go_on(file: TextIO, partial: Path, earlier: Earlier, tell: Callable[[str], object]) -> None:
    """Notes what is there, and puts the end of the file behind its last whole line."""
    if not isinstance(file.buffer, io.BufferedRandom):  # new, and empty
        return
    cut = mend(file.buffer, str(partial), earlier)
    if cut:
        tell(f"{partial}: its last line was torn ({cut} bytes) and is written anew")


def _taken(partial: Path, mode: str, flag: str, kind: Kind) -> IO[bytes]:
    """What a stopped run has left, open, and taken for this process.

    Raises:
        ConfigError: it is no file, another run is writing it, or it is somebody else's.
    """
    if not os.path.isfile(partial):  # noqa: PTH113  (that of Path may raise)
        raise ConfigError(f"{partial} is no file; choose another {flag}")
    file: IO[bytes] = partial.open(mode)
    try:
        if not lock(file):
            raise ConfigError(
                f"{partial} is being written by another run; let it end, or choose another {flag}"
            )
        if partial.stat().st_size and not (_is_ours(partial, kind) or is_torn(partial)):
            raise ConfigError(
                f"{partial} is there already and was not written by captioner; rename it, or "
                f"choose another {flag}"
            )
    except BaseException:
        file.close()
        raise
    return file


def _set_aside(partial: Path, flag: str, tell: Callable[[str], object], kind: Kind) -> None:
    """Renames what a stopped run left.

    Raises:
        ConfigError: it is no such thing.
    """
    with contextlib.suppress(FileNotFoundError), _taken(partial, "rb", flag, kind):
        if not partial.stat().st_size:
            partial.unlink()
            return
        kept = _numbered(partial)
        partial.rename(kept)
        tell(f"{kept} keeps what an earlier run had written before it was stopped")


def _numbered(partial: Path) -> Path:
    """The same name with the first number behind it that is free."""
    numbered = (partial.with_name(f"{partial.name}.{number}") for number in count(1))
    return next(path for path in numbered if not os.path.lexists(path))


def free_partial(path: Path, flag: str, kind: Kind, tell: Callable[[str], object]) -> Path:
    """Where a run that was stopped leaves what belongs into `path`: its name with `.partial`.

    What an earlier one left there is kept under a number, as that of `json_lines` is; where it is
    not ours, or nothing tells, the new one takes the number.

    Args:
        path: of the whole file.
        flag: by which it was given.
        kind: of what is written.
        tell: called with what its owner should know.
    """
    partial = path.with_name(f"{path.name}.partial")
    if os.path.lexists(partial):
        try:
            _set_aside(partial, flag, tell, kind)
        except ConfigError:
            return _numbered(partial)
    return partial


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all, in a folder that is made where it lacks."""
    _make_folder(path)
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
