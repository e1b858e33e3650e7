"""Where results go: lines or objects on standard output, a file of objects; errors beside them."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from captioner.cli.display import one_line, progress_bar
from captioner.outputs import json_lines


class Results:
    """Takes the results of a command, one after the other, and counts those that failed."""

    def __init__(self, jsonl: str | None, unit: str, total: int | None = None) -> None:
        """Opens nothing yet.

        Args:
            jsonl: file of objects; `-` is standard output, which then holds no lines.
            unit: what a result is about.
            total: how many there will be, where that is known.
        """
        self.printed = jsonl == "-"
        self.jsonl = Path(jsonl) if jsonl and not self.printed else None
        self.unit, self.total = unit, total
        self.count = self.failures = 0
        self.stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.bar = self.stack.enter_context(progress_bar(self.total, self.unit))
        self.write = self.stack.enter_context(json_lines(self.jsonl)) if self.jsonl else None
        return self

    def __exit__(self, *error: Any) -> None:
        self.stack.__exit__(*error)
        if self.failures and self.count > 1 and error[0] is None:
            print(f"captioner: {self.failures} of {self.count} failed, see above", file=sys.stderr)

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

    def show(self, text: str) -> None:
        """Prints on standard output at once, above the progress bar."""
        self.bar.write(text, file=sys.stdout)
        sys.stdout.flush()

    def tell(self, text: str) -> None:
        """Says something on standard error."""
        self.bar.write(f"captioner: {one_line(text)}", file=sys.stderr)
