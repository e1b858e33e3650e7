"""Captions put together in one file at the end: a CSV, or any format of captions."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from captioner.beside import text_of
from captioner.captions.alt_text import alt_text
from captioner.errors import ConfigError
from captioner.formats import registry
from captioner.formats.entries import Gathered
from captioner.outputs import Guard, Kind, file_path, free_partial, write_text

if TYPE_CHECKING:
    from captioner.captions.caption import Caption

COLUMNS = ("file", "caption", "probability", "unsure", "error")


def _is_csv(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline(200).strip() == ",".join(COLUMNS).encode()


CSV = Kind("table", _is_csv)


class Collected:
    """Takes captions one by one and writes them, whole or not at all, when all are there.

    What stops the work in between gets a note that says where what was done is: FILE.partial; but
    where the objects of --jsonl are kept, which hold all of it.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        guard: Guard,
        noted: Sequence[str] = (),
        *,
        resumable: bool = False,
    ) -> None:
        """Refuses what cannot be written before any photo is captioned.

        Args:
            arguments: as typed.
            guard: what must not be replaced.
            noted: files that a run which is gone on with has written, or was to write.
            resumable: the objects of --jsonl, which hold all of it, are kept.

        Raises:
            ConfigError: a name is that of a folder or an input, or tells no format.
        """
        # Nothing in a file of captions says whose it is.
        captions = Kind("file of captions", lambda path: str(path) in noted)
        self.resumable = resumable
        self.alt_text: bool = arguments.alt_text
        self.rows: list[tuple[str, ...]] = []
        self.found = Gathered()
        self.said = 0
        self.files: list[tuple[Path, Kind, str, Callable[[Path], str]]] = []
        if arguments.csv:
            self._claim(arguments.csv, CSV, "--csv", guard, lambda path: self._csv())
        for name in arguments.write or ():
            form = registry.of_output(Path(name))
            if form.text is None:
                raise ConfigError(
                    f"--write {name}: a {form.title} takes copies of the photos; write a table or "
                    "metadata.jsonl, then use captioner data convert"
                )
            self._claim(name, captions, "--write", guard, self._captions)

    def _claim(
        self, name: str, kind: Kind, flag: str, guard: Guard, text: Callable[[Path], str]
    ) -> None:
        path = file_path(name, flag)
        guard.claim(path, kind, flag)
        self.files.append((path, kind, flag, text))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            for path, _, _, text in self.files:
                write_text(path, text(path))
            return
        for path, own, flag, text in self.files if self.rows and not self.resumable else ():
            with suppress(OSError):  # the first error counts
                partial = free_partial(path, flag, own, error.add_note)
                write_text(partial, text(path))
                error.add_note(f"what was done so far is in {partial}")

    def add(self, caption: Caption) -> None:
        """Takes one caption, or what is wrong with a photo."""
        if self.files:
            text = text_of(caption, self.alt_text) if caption.error is None else ""
            sure, unsure = caption.confidence, caption.unsure
            self._take(str(caption.file), text, sure, unsure, caption.error)

    def add_object(self, values: Mapping[str, Any]) -> None:
        """Takes one caption that an earlier run wrote, as `Caption.to_dict` makes it."""
        if self.files:
            text, sure = values["caption"], values.get("confidence")
            unsure, error = bool(values.get("unsure")), values["error"]
            if self.alt_text and error is None:
                text = alt_text(text, unsure=unsure)
            self._take(values["file"], text, sure, unsure, error)

    def _take(
        self, file: str, text: str, sure: float | None, unsure: bool | None, error: str | None
    ) -> None:
        known = error is None and sure is not None
        chance = f"{sure:.4f}" if known else ""
        self.rows.append((file, text, chance, ("yes" if unsure else "no") * known, error or ""))
        if error is None and text:
            self.found.add(file, [text])

    def _csv(self) -> str:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([COLUMNS, *self.rows])
        return buffer.getvalue()

    def _captions(self, path: Path) -> str:
        form = registry.of_output(path)
        entries = self.found.entries()
        if form.home:  # names are below the folder that it lies in
            entries = [entry.moved(path.parent) for entry in entries]
        return registry.text_of(entries, path, form)
