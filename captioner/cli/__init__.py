"""The `captioner` command: parse, call the public function, show what it returned.

A module a command, called as it is typed: `add` makes its flags, `run` takes what was typed and
returns how many photos or lines failed. `parser` puts them together, `flags` holds what they share.
Only light modules are imported here, so that `captioner --help` answers at once; a command imports
what it needs when it runs. Exit codes: 0 done, 1 some photos or lines failed (or data have errors),
2 wrong use or nothing usable, 130 stopped by Ctrl-C, 141 the reader of the output went away, 143
ended by SIGTERM (129 by SIGHUP), which is treated as Ctrl-C.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from types import FrameType

from captioner.atomic import FULL, naming
from captioner.cli.display import detail, is_verbose, one_line, speak
from captioner.cli.parser import in_place, make_parser
from captioner.cli.train import split_settings
from captioner.errors import CaptionerError

_OUTPUT = "standard output"
DONE, FAILURES, MISUSE, STOPPED, CLOSED = 0, 1, 2, 130, 141


class Terminated(KeyboardInterrupt):
    """A signal that asks to end, and is treated as Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


def run() -> int:
    """The console script: `main` on this process's arguments and streams."""
    open_closed()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name need not be text that a terminal can show
            stream.reconfigure(errors="backslashreplace")
    # Pillow's warnings about damaged metadata name no file; our own errors do.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    code = main(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # or Python complains, on its way out, about what could not be written
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code


def open_closed() -> None:
    """Takes closed streams for /dev/null; or the next files that are opened get their numbers.

    What a library then writes to standard error would end up in one of those files.
    """
    for number, (name, mode) in enumerate([("stdin", "r"), ("stdout", "w"), ("stderr", "w")]):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    """Raises `Terminated` where a signal asks to end, in the main thread, where signals arrive."""
    previous = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
            number = getattr(signal, name, None)
            # One that is ignored (nohup) or that somebody listens to already stays as it is.
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                previous[number] = signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)


def main(arguments: Sequence[str]) -> int:
    """Runs one command.

    Args:
        arguments: as typed after `captioner`.

    Returns:
        The exit code; every error was printed as one line on standard error.

    Raises:
        SystemExit: help was asked for and shown.
    """
    try:
        with _ending(), _written_out():
            return _run(arguments)
    except BrokenPipeError as error:
        # Silent, as for every command in a pipe, unless something was left behind.
        return _told(error, "the output was cut", CLOSED) if _notes(error) else CLOSED
    except KeyboardInterrupt as stop:
        return _told(stop, str(stop) or "stopped", _code(stop))
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
        advice = "; make room there, or choose another place" if error.errno in FULL else ""
        return _told(error, f"{place}{error.strerror or error}{advice}", MISUSE)


@contextlib.contextmanager
def _written_out() -> Iterator[None]:
    """Sees that what was printed is written when the command ends, or says why it is not."""
    with naming(_OUTPUT):  # all files that are written to have their own name in such an error
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):  # the first error counts
                sys.stdout.flush()
            raise
        sys.stdout.flush()


def _code(stop: BaseException) -> int:
    """128 and the signal's number, where what stopped the command or its cause knows it."""
    for error in (stop, stop.__cause__):
        number = getattr(error, "number", None)
        if number is not None:
            return 128 + int(number)
    return STOPPED


def _run(arguments: Sequence[str]) -> int:
    speak()
    own = in_place(arguments)
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
    parsed.parser = parser
    speak(quiet=getattr(parsed, "quiet", False), verbose=getattr(parsed, "verbose", False))
    began = time.perf_counter()
    failed = parsed.run(parsed)
    detail(f"took {time.perf_counter() - began:.1f} s")
    return FAILURES if failed else DONE


def _told(error: BaseException, message: str, code: int) -> int:
    with contextlib.suppress(OSError):  # nobody listens
        if is_verbose():
            traceback.print_exception(error)
        print(f"captioner: {one_line('; '.join([message, *_notes(error)]))}", file=sys.stderr)
    return code


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])
