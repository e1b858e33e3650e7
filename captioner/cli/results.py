"""Where results go: lines or objects on standard output, a file of objects; errors beside them."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import sys
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from captioner.atomic import FULL, behind, is_special, naming
from captioner.captions.alt_text import alt_text
from captioner.cli.display import is_quiet, one_line, progress_bar
from captioner.errors import CaptionerError
from captioner.outputs import Guard, Sheets, file_path, json_lines
from captioner.resuming import Earlier, check_note, note_settings, written_before

if TYPE_CHECKING:
    from captioner.beside import Beside, Change
    from captioner.captions.caption import Caption
    from captioner.cli.collected import Collected
    from captioner.pictures.folders import Found
    from captioner.pictures.shards import Packed

STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1")


def run_note(jsonl: Path) -> Path:
    """Where it is noted how a file of objects is made, for those who go on with it."""
    target = behind(jsonl)
    return target.with_name(f"{target.name}.run")


class Results:
    """Takes the results of a command, one after the other, and counts those that failed."""

    def __init__(
        self, jsonl: str | None, unit: str, total: int | None = None, guard: Guard | None = None
    ) -> None:
        """Opens nothing yet.

        Args:
            jsonl: file of objects; `-` is standard output, which then holds no lines.
            unit: what a result is about.
            total: how many there will be, where that is known.
            guard: what must not be replaced.

        Raises:
            ConfigError: `jsonl` names a folder.
        """
        self.printed = jsonl in STANDARD_OUTPUT
        self.jsonl = None
        if jsonl is not None and not self.printed:
            self.jsonl = file_path(jsonl, "--jsonl")
        self.unit, self.total, self.guard = unit, total, guard or Guard()
        self.count = self.failures = 0
        self.left_out = 0  # counted apart, as another thread may find what is left out
        self.earlier: Earlier | None = None  # where an earlier run is gone on with
        self.stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.bar = self.stack.enter_context(progress_bar(self.total, self.unit))
        self.write = None
        if self.jsonl is not None:
            lines = json_lines(self.jsonl, self.guard, tell=self.note, earlier=self.earlier)
            self.write = self.stack.enter_context(lines)
        if self.earlier is not None:
            self.count, self.failures = self.earlier.count, self.earlier.failed
        return self

    def __exit__(self, *error: Any) -> None:
        self.stack.__exit__(*error)
        if self.failed and self.count + self.left_out > 1 and error[0] is None:
            count = self.count + self.left_out
            print(f"captioner: {self.failed} of {count} failed, see above", file=sys.stderr)

    @property
    def failed(self) -> int:
        """How many failed, or were left out before they were tried."""
        return self.failures + self.left_out

    def put(self, values: Mapping[str, Any], line: str | None, error: str | None) -> None:
        """Puts one result wherever it was asked for.

        Args:
            values: the object.
            line: what is printed where objects are not; None for nothing.
            error: what went wrong.
        """
        if self.write or self.printed:
            text = json.dumps(values, ensure_ascii=False)
            if self.write:
                self.write(text)
            line = text if self.printed else line
        if line is not None:
            self.show(line)
        self.count += 1
        if error is not None:
            self.failures += 1
            self.tell(error)
        self.bar.update(1)

    def leave_out(self, problem: str) -> None:
        """Tells of something that there will be no result for."""
        self.left_out += 1
        self.tell(problem)

    def show(self, text: str) -> None:
        """Prints on standard output at once, above the progress bar."""
        with naming("standard output"):
            self.bar.write(text, file=sys.stdout)
            sys.stdout.flush()

    def tell(self, text: str) -> None:
        """Says something on standard error."""
        self.bar.write(f"captioner: {one_line(text)}", file=sys.stderr)

    def note(self, text: str) -> None:
        """The same, of what is no error and can be left out."""
        if not is_quiet():
            self.tell(text)


class CaptionResults(Results):
    """Captions as lines, objects and sheets."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        line: Callable[[Caption], str],
        total: int | None,
        read: Iterable[str | int | None],
    ) -> None:
        """Opens nothing yet.

        Args:
            arguments: as typed.
            line: what is printed of a caption.
            total: how many there will be, where that is known.
            read: what is known of the command's inputs.
        """
        weights = (arguments.checkpoint, getattr(arguments, "translator", None))
        guard = Guard([*weights, *read], arguments.overwrite, complete=total is not None)
        super().__init__(arguments.jsonl, "photo", total, guard)
        self.line = line
        self.maps: bool = arguments.maps
        self.alt_text: bool = getattr(arguments, "alt_text", False)
        self.overlay, self.grid = arguments.overlay, arguments.grid
        self.sheet_suffix = f".{arguments.sheet_format or 'png'}"
        self.roots: deque[str] = deque()  # the folders that were named, a caption each
        self.beside: Beside | None = None
        self.collected: Collected | None = None
        self.numbers: deque[int] = deque()  # of the photos that are captioned, among all of them
        self.settings: Mapping[str, Any] | None = None  # which are to be noted
        self.kept = False  # whether the note of them outlives the run
        if hasattr(arguments, "sidecar"):
            self._deliver(arguments)
        self.places: deque[Callable[[], Path] | None] = deque()  # of sheets, a caption each
        self.drawn = 0  # sheets that lie among the photos

    def _deliver(self, arguments: argparse.Namespace) -> None:
        """Prepares what `captioner caption` alone writes."""
        from captioner.beside import Beside, Wishes
        from captioner.cli.collected import Collected

        wishes = Wishes(
            sidecar=arguments.sidecar or "",
            prefix=arguments.sidecar_prefix,
            suffix=arguments.sidecar_suffix,
            output=arguments.output or "",
            in_place=arguments.in_place,
            replace=arguments.replace,
            dry_run=arguments.dry_run,
            alt_text=arguments.alt_text,
        )
        if wishes.any:
            self.beside = Beside(wishes, self.guard)
        noted = written_before(run_note(self.jsonl)) if arguments.resume and self.jsonl else ()
        kept = self.jsonl is not None
        self.collected = Collected(arguments, self.guard, noted, resumable=kept)
        if arguments.resume:
            self.earlier, self.kept = Earlier(self.collected.add_object), True

    def __enter__(self) -> Self:
        self.sheets = None
        if self.overlay:
            own = self.sheet_suffix
            self.sheets = Sheets(self.overlay, self.grid, self.guard, suffix=own)
        entered = super().__enter__()
        if self.collected is not None:
            self.stack.enter_context(self.collected)
        if self.count:
            self.note(
                f"goes on behind {self.count} that an earlier run did ({self.failures} failed)"
            )
        return entered

    def agree(self, settings: Mapping[str, Any]) -> None:
        """Sees that the objects which are there were made so; it is noted before the first new one.

        Raises:
            ConfigError: they were made in another way.
        """
        if self.jsonl is None or is_special(self.jsonl):
            return
        if self.count:
            check_note(run_note(self.jsonl), settings)
        else:
            self.settings = settings

    def __exit__(self, *error: Any) -> None:
        others = 0 if self.earlier is None else self.earlier.others
        if others and error[0] is None:
            self.note(f"{self.jsonl} keeps {others} of photos that this command does not name")
        if self.beside is not None and self.beside.kept and error[0] is None:
            one = self.beside.kept == 1
            texts = "text that was there stays" if one else "texts that were there stay"
            self.note(f"{self.beside.kept} {texts}; --replace replaces what people wrote")
        if self.drawn and error[0] is None:
            self.note(f"sheets that captioner drew are left out ({self.drawn})")
        super().__exit__(*error)
        if error[0] is None and self.jsonl is not None and not self.kept:
            run_note(self.jsonl).unlink(missing_ok=True)  # the file is whole, and explains itself

    def expect(self, items: Iterable[Found]) -> Iterator[str | Packed]:
        """The photos among the items; the others are reported, and no output will replace a photo.

        Where all items are there already, so are the places of their sheets, or an error.
        """
        number = -1
        for item in items:
            if item.problem is not None:
                self.leave_out(item.problem)
            elif item.drawn:
                self.drawn += 1
            else:
                number += 1
                self.guard.reads(item.root if item.member else item.path)
                if self.earlier is not None and self.earlier.take(item.path):
                    if self.sheets is not None:  # its place is taken
                        self.sheets.place(item.path, item.root)
                    continue
                self.numbers.append(number)
                self.roots.append(item.root)
                self._expect(item.path, item.root, now=isinstance(items, list))
                yield item.member or item.path

    def expect_pairs(
        self, pairs: Iterable[tuple[str, str]], broken: Container[int]
    ) -> Iterator[tuple[str, str]]:
        """The same for pairs of photos and sentences; the lines that hold none have no sheet."""
        for number, pair in enumerate(pairs, 1):
            if number in broken:
                self.places.append(None)
            else:
                self.guard.reads(pair[0])
                self._expect(pair[0], "", now=isinstance(pairs, list))
            yield pair

    def _expect(self, path: str, root: str, now: bool) -> None:
        if self.sheets is None:
            return
        find = functools.partial(self.sheets.place, path, root)
        found = find() if now else None
        self.places.append(find if found is None else lambda: found)

    def add(self, caption: Caption) -> None:
        """Puts one caption wherever it was asked for."""
        self._note()
        values, error = caption.to_dict(maps=self.maps), caption.error
        if self.sheets is not None:
            sheet, problem = self._drawn(caption, self.sheets)
            error = error or problem
            stated = values.pop("error")  # which stays the last
            values |= {"sheet": sheet, "error": stated}
        line = self.line(caption) if caption.error is None else None
        if self.collected is not None:
            self.collected.add(caption)
        changes, problem = self._delivered(caption)
        error = error or problem
        if self.beside is not None and self.beside.wishes.dry_run:
            line = "\n".join(map(_planned, changes)) or None
        self.put(values, line, error)
        if caption.note is not None:
            self.note(f"{caption.file}: {caption.note}")

    def _note(self) -> None:
        """Notes how the objects are made, before the first one."""
        if self.settings is not None and self.jsonl is not None:
            note_settings(run_note(self.jsonl), self.settings)
            self.settings = None

    def add_object(self, values: Mapping[str, Any]) -> None:
        """Puts one caption that another process has written, as `Caption.to_dict` makes it."""
        self._note()
        if self.collected is not None:
            self.collected.add_object(values)
        error, texts = values["error"], [values["caption"]]
        if "original" in values:
            texts.insert(0, values["original"]["caption"])
        if self.alt_text:
            texts[0] = alt_text(values["caption"], unsure=bool(values.get("unsure")))
        texts += [other["caption"] for other in values.get("n_best", ())]
        line = "\t".join(map(one_line, [values["file"], *texts])) if error is None else None
        self.put(values, line, error)
        if values.get("note"):
            self.note(f"{values['file']}: {values['note']}")
        if values.get("warning"):
            self.tell(f"{values['file']}: {values['warning']}")

    def _delivered(self, caption: Caption) -> tuple[list[Change], str | None]:
        """What was written beside the photo or into it, or why nothing was."""
        root = self.roots.popleft() if self.roots else ""
        if self.beside is None or caption.error is not None:
            return [], None
        try:
            return self.beside.deliver(caption, root), None
        except CaptionerError as error:
            return [], str(error)
        except OSError as error:
            if error.errno in FULL:  # so it is for all that follow; --resume does this one again
                raise
            place = error.filename2 or error.filename or caption.file
            return [], f"{place}: {error.strerror or error}"

    def _drawn(self, caption: Caption, sheets: Sheets) -> tuple[str | None, str | None]:
        """The sheet, or why there is none, whatever it is: the other photos go on."""
        place = self.places.popleft() if self.places else None
        if caption.error is not None:
            return None, None
        try:
            return str(sheets.draw(caption, place() if place else None)), None
        except CaptionerError as error:  # gone since it was captioned, or nowhere to draw it
            return None, str(error)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            named = f"{type(error).__name__}: {reason}".rstrip(": ")
            return None, f"{caption.file}: the sheet cannot be drawn ({named})"


def _planned(change: Change) -> str:
    """One line of --dry-run."""
    what = "would be written" if change.data is not None else "stays"
    return "\t".join(map(one_line, [str(change.path), what, change.text]))


def texts_of(caption: Caption, marked: bool) -> list[str]:
    """The caption, for people marked as unsure; before a translated one, the model's own."""
    text = f"{caption.text} (unsure)" if marked and caption.unsure else caption.text
    return [text] if caption.original is None else [caption.original.text, text]
