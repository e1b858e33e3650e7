"""Where results go: lines or objects on standard output, a file of objects; errors beside them."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from typing import Any, Self

from captioner.cli.display import one_line, progress_bar
from captioner.outputs import Guard, file_path, json_lines

_STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1")


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
        self.printed = jsonl in _STANDARD_OUTPUT
        self.jsonl = None
        if jsonl is not None and not self.printed:
            self.jsonl = file_path(jsonl, "--jsonl")
        self.unit, self.total, self.guard = unit, total, guard or Guard()
        self.count = self.failures = 0
        self.left_out = 0  # counted apart, as another thread may find what is left out
        self.stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.bar = self.stack.enter_context(progress_bar(self.total, self.unit))
        self.write = None
        if self.jsonl is not None:
            lines = json_lines(self.jsonl, self.guard, tell=self.tell)
            self.write = self.stack.enter_context(lines)
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
        self.bar.write(text, file=sys.stdout)
        sys.stdout.flush()

    def tell(self, text: str) -> None:
        """Says something on standard error."""
        self.bar.write(f"captioner: {one_line(text)}", file=sys.stderr)
