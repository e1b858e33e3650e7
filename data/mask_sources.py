"""Writes a file of English sentences once more, their colours and visible nouns masked.

    python data/mask_sources.py runs/data/multi30k/seen/train.en

writes runs/data/multi30k/seen/train.masked.en, line n of line n: what `captioner study multimodal`
trains with beside the sentences themselves, so that a masked word is nothing new to it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from captioner.errors import CaptionerError, DataError
from captioner.outputs import write_text
from captioner.studies.masked import mask
from captioner.text import decoded


def write_masked(path: Path) -> tuple[Path, int, int]:
    """Writes the masked lines beside a file: where, how many lines, how many masked words.

    Raises:
        DataError: the file is missing, or no UTF-8 text.
    """
    try:
        text = decoded(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected sentences") from None
    masked = [mask(line) for line in text.splitlines()]
    output = path.with_name(f"{path.stem}.masked{path.suffix}")
    write_text(output, "".join(f"{each.text}\n" for each in masked))
    return output, len(masked), sum(len(each.words) for each in masked)


def main(arguments: Sequence[str] | None = None) -> int:
    """Masks the files; returns 0, or 1 after an error."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a sentence a line")
    try:
        for path in parser.parse_args(arguments).files:
            output, lines, words = write_masked(path)
            print(f"{output}: {lines:,} lines, {words:,} masked words")
    except CaptionerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
