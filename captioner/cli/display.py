"""What the commands show alike: progress, notes, columns, shares, scores.

How much is said is decided here (`speak`). Nothing is printed in colours; what else steers a
terminal, a progress bar, goes only to one that can be steered and only where somebody watches.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from unicodedata import category

from captioner import bars

_quiet = _verbose = False  # as the command that runs was typed
_LOGGER = logging.getLogger("captioner")


class _Details(logging.Handler):
    """Shows what modules log for those who want to know more."""

    def emit(self, record: logging.LogRecord) -> None:
        """Shows one line, as all others are shown."""
        _tell(record.getMessage())


_DETAILS = _Details()


def speak(*, quiet: bool = False, verbose: bool = False) -> None:
    """Decides how much this command says: no bars and notes, or what it does and how long it took.

    What a command is for, its errors and its warnings are said in any case.
    """
    global _quiet, _verbose
    _quiet, _verbose = quiet, verbose
    _LOGGER.removeHandler(_DETAILS)
    _LOGGER.setLevel(logging.NOTSET)
    if verbose:
        _LOGGER.addHandler(_DETAILS)
        _LOGGER.setLevel(logging.INFO)


def is_quiet() -> bool:
    """Whether --quiet was typed."""
    return _quiet


def is_verbose() -> bool:
    """Whether --verbose was typed."""
    return _verbose


def detail(text: str) -> None:
    """Says on standard error what only --verbose wants to know, above a progress bar."""
    if _verbose:
        _tell(text)


def _tell(text: str) -> None:
    from tqdm import tqdm

    tqdm.write(f"captioner: {one_line(text)}", file=sys.stderr)


def is_watched() -> bool:
    """Whether progress is shown: where somebody sees it, and not with --quiet."""
    return not _quiet and bars.is_seen()


def progress_bar(total: int | None, unit: str) -> Any:
    """A progress bar on standard error, where somebody watches and has to wait."""
    hidden = (total is not None and total < 2) or not is_watched()
    return bars.bar(total=total, unit=unit, disable=hidden, leave=False, dynamic_ncols=True)


def columns(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows as aligned lines; the columns numbered in `right` end flush."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, strict=True)
        line = (c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(cells))
        lines.append("  ".join(line).rstrip())
    return "\n".join(lines)


def percent(share: float) -> str:
    """A share as a percentage that never rounds to impossible or to certain."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if 0.999 < share < 1 else f"{100 * share:.1f} %"


def one_line(text: str) -> str:
    """A text without what would break a line of output, or a terminal: escaped, as Python does."""
    return "".join(ascii(c)[1:-1] if _steers(c) else c for c in text)


def _steers(character: str) -> bool:
    """Whether it moves a terminal's cursor, breaks the line or turns the direction of reading.

    Joiners and blanks of all widths are letters' business, and lone surrogates those of the
    stream, which knows the bytes that they stand for.
    """
    return category(character) in ("Cc", "Zl", "Zp") or character in _DIRECTIONS


_DIRECTIONS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def print_scores(provenance: Mapping[str, Any]) -> None:
    """Prints the scores that a checkpoint keeps, split by split."""
    for line in list(score_lines(provenance)):
        print(line)


def score_lines(provenance: Mapping[str, Any]) -> Iterator[str]:
    """The scores that a checkpoint keeps, split by split."""
    from captioner.metrics import Score

    for split, scores in provenance.get("scores", {}).items():
        yield one_line(f"scores on {split}:")
        for name, entry in scores.items():  # `bleu_en_de` is the name of a BLEU
            value = float("nan") if entry["value"] is None else entry["value"]
            yield one_line(f"  {Score(**{**entry, 'name': name, 'value': value})}")
