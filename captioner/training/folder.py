"""The folder of a run: one process at a time writes there, and it is always gone on with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from captioner.atomic import is_same, lock, swept
from captioner.errors import CheckpointError, ConfigError
from captioner.training.callbacks import STATE_FILE

MARK = "run.lock"  # is there while a run is at work, and where one was killed
_FILES = (STATE_FILE, "best.safetensors", "last.safetensors", "log.csv")


@contextlib.contextmanager
def claimed(folder: Path, resume: bool) -> Iterator[bool]:
    """Takes the folder of a run, which must not write over another one's files.

    Where a run was killed before it had saved its state, there is a mark and nothing to go on from:
    with `resume`, it then begins at its beginning.

    Args:
        folder: made where it is not there.
        resume: a run shall go on.

    Yields:
        Whether a state is there to go on from.

    Raises:
        CheckpointError: there is nothing to go on with.
        ConfigError: the folder holds a run already, another process is at work there, or it cannot
            be made.
    """
    _check(folder, resume, killed=(folder / MARK).exists())
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    with marked(folder, "--output") as mark:
        try:
            swept(folder)
            yield resume and (folder / STATE_FILE).exists()
        finally:
            held = [name for name in _FILES if (folder / name).exists()]
            if not held or STATE_FILE in held:  # or else only the mark says that it may begin anew
                mark.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # something was written: it stays
                for each in made:
                    each.rmdir()


@contextlib.contextmanager
def marked(folder: Path, flag: str) -> Iterator[Path]:
    """Takes a folder for this process, by a file in it that is locked: it may have been left there.

    Args:
        folder: made where it is not there.
        flag: by which it was given.

    Yields:
        The file, which whoever has taken the folder may remove.

    Raises:
        ConfigError: another process is at work there, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _marked(folder / MARK, flag)
    except OSError as error:
        raise ConfigError(
            f"{flag.strip('-')} {folder} cannot be made ({error.strerror}); choose another {flag}"
        ) from error
    with file:
        yield folder / MARK


def _check(folder: Path, resume: bool, *, killed: bool) -> None:
    held = [name for name in _FILES if (folder / name).exists()]
    if resume and not killed and STATE_FILE not in held:
        raise CheckpointError(
            f"{folder}: nothing to resume; leave --resume out, or name the --output of the run"
        )
    if held and not resume:
        raise ConfigError(
            f"{folder} holds a run already; go on with --resume, or choose another --output"
        )


def _marked(mark: Path, flag: str) -> IO[bytes]:
    """The mark, taken for this process until it is closed.

    Raises:
        ConfigError: another process has it.
    """
    while True:
        file = mark.open("ab")
        if not lock(file):
            file.close()
            raise ConfigError(
                f"another run is at work in {mark.parent}; let it end, or choose another {flag}"
            )
        if is_same(file, mark):
            return file
        file.close()  # a run that ended just now has removed it
