"""Files that captions go to: lines that outlive a stopped run, and sheets named after photos."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from captioner.errors import ConfigError

if TYPE_CHECKING:
    from captioner.prediction import Caption


class Sheets:
    """A folder of contact sheets, named after their photos."""

    def __init__(self, folder: str, grid: bool) -> None:
        self.folder, self.grid = Path(folder), grid
        self.taken: set[str] = set()
        self.folder.mkdir(parents=True, exist_ok=True)

    def draw(self, caption: Caption) -> Path:
        """Writes one sheet, whole or not at all, and says where."""
        path = self.folder / f"{self._name(Path(str(caption.file)))}.png"
        with whole(path) as partial:
            caption.sheet(grid=self.grid).save(partial, format="PNG")
        return path

    def _name(self, photo: Path) -> str:
        """`dog`; where another photo has that name, the folder's too: `holiday-dog`, `dog-2`."""
        folder = photo.parent.name
        candidates = chain(
            [photo.stem, f"{folder}-{photo.stem}"] if folder else [photo.stem],
            (f"{photo.stem}-{number}" for number in count(2)),
        )
        name = next(name for name in candidates if name.casefold() not in self.taken)
        self.taken.add(name.casefold())  # some file systems take Dog and dog for one
        return name


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, which takes its name when all is written, or vanishes."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def json_lines(path: Path) -> Iterator[Callable[[str], None]]:
    """Writes lines to `path`.partial as they come and gives the file its name at the end.

    A temporary file that is thrown away would lose hours of work at a Ctrl-C, and writing to `path`
    itself would leave half a file that looks whole. What stops the work gets a note that says where
    the lines are. A pipe or a device is written to as it is.

    Raises:
        ConfigError: `path` is a folder, or another run's lines are in `path`.partial.
    """
    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe, /dev/null
        with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield lambda text: _write_line(file, text)
        return
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; expected the name of a file, e.g. {path}/all.jsonl")
    partial = path.with_name(f"{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Half a character in a path (\udcff) comes out as JSON writes it.
        file = partial.open("x", encoding="utf-8", errors="backslashreplace")
    except FileExistsError:
        raise ConfigError(
            f"{partial} holds what a stopped run had written, or another one is writing; rename "
            "it or delete it first"
        ) from None
    try:
        with file:
            yield lambda text: _write_line(file, text)
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        if partial.stat().st_size:
            error.add_note(f"what was done so far is in {partial}")
        else:
            partial.unlink()
        raise


def _write_line(file: TextIO, text: str) -> None:
    file.write(f"{text}\n")
    file.flush()


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all, in a folder that is made where it lacks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
