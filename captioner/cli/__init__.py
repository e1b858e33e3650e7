"""The `captioner` command: parse, call the public function, show what it returned.

`parser` is everything that can be typed; the other modules run it, each a kind of command. Only
light modules are imported here, so that `captioner --help` answers at once; a command imports
what it needs when it runs. Exit codes: 0 done, 1 some photos or lines failed (or data have errors),
2 wrong use or nothing usable, 130 stopped by Ctrl-C, 141 the reader of the output went away.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from captioner.cli import (
    audits,
    captions,
    descriptions,
    evaluations,
    pages,
    recipes,
    studies,
    translations,
)
from captioner.cli.display import one_line
from captioner.cli.parser import make_parser
from captioner.cli.settings import split_settings
from captioner.errors import CaptionerError

DONE, FAILURES, MISUSE, STOPPED, CLOSED = 0, 1, 2, 130, 141

_COMMANDS = {  # each takes what was typed and returns how many photos or lines failed
    "caption": captions.caption,
    "explain": captions.explain,
    "translate": translations.translate,
    "demo": captions.demo,
    "ui": pages.ui,
    "train": recipes.train,
    "evaluate": evaluations.evaluate,
    "describe": descriptions.describe,
    "data": audits.check,
    "study": studies.study,
}


def run() -> int:
    """The console script: `main` on this process's arguments and streams."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name need not be text that a terminal can show
            stream.reconfigure(errors="backslashreplace")
    code = main(sys.argv[1:])
    if code == CLOSED:  # or Python complains, on its way out, about what could not be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def main(arguments: Sequence[str]) -> int:
    """Runs one command.

    Args:
        arguments: as typed after `captioner`.

    Returns:
        The exit code; every error was told in one line on standard error.

    Raises:
        SystemExit: help was asked for and shown.
    """
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError as error:
        # Silent, as for every command in a pipe, unless something was left behind.
        return _told(error, "the output was cut", CLOSED) if _notes(error) else CLOSED
    except KeyboardInterrupt as stop:
        return _told(stop, str(stop) or "stopped", STOPPED)
    except CaptionerError as error:
        return _told(error, str(error), MISUSE)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "captioner"):
            raise
        name = {"PIL": "pillow", "skimage": "scikit-image"}.get(package, package)
        return _told(error, f"{package} is not installed; pip install {name}", MISUSE)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _told(error, f"{place}{error.strerror or error}", MISUSE)


def _run(arguments: Sequence[str]) -> int:
    own = list(arguments)
    settings: list[tuple[str, str]] = []
    if own[:1] == ["train"]:
        own, settings = split_settings(own)
    parser = make_parser()
    parsed = parser.parse_args(own)
    if parsed.version:
        import captioner

        print(f"captioner {captioner.__version__}")
        return DONE
    if parsed.command is None:
        parser.print_help(sys.stderr)
        return MISUSE
    parsed.settings, parsed.typed = settings, ["captioner", *arguments]
    return FAILURES if _COMMANDS[parsed.command](parsed) else DONE


def _told(error: BaseException, message: str, code: int) -> int:
    print(f"captioner: {one_line('; '.join([message, *_notes(error)]))}", file=sys.stderr)
    return code


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])
