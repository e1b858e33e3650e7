"""All that the net takes of captioner and cannot reach by `import captioner` alone.

Where a landing moves something that is used here, this is the one place to mend.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import io
import os
import re
import runpy
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHIPPED = "shipped"  # what stands for the weights that come along
_READY = 120.0  # seconds that a page may take to be there


def package() -> Path:
    """The folder of the captioner that is looked at."""
    import captioner

    return Path(captioner.__file__ or "").parent


def weights(name: str, task: str = "caption") -> Path:
    """The file of a checkpoint."""
    if name != SHIPPED:
        return Path(name)
    import captioner  # noqa: F401  (makes captioner.checkpoints known in a checkout)

    return Path(str(importlib.resources.files("captioner.checkpoints") / f"{task}.safetensors"))


def directions(translator: Any) -> list[tuple[str, str]]:
    """The (source, target) languages that a translator knows."""
    return [(source, target) for source, target in translator.languages.directions]


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


def command(arguments: Sequence[str | int | Path], folder: Path) -> Ran:
    """Runs `python -m captioner` in this process, so that torch is imported once, in a folder."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv, Path.cwd()
    sys.argv = ["captioner", *map(str, arguments)]
    os.chdir(folder)
    code: Any = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            runpy.run_module("captioner", run_name="__main__")
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv = before[0]
        os.chdir(before[1])
    return Ran(
        code if isinstance(code, int) else int(code is not None), out.getvalue(), err.getvalue()
    )


def script(path: Path, arguments: Sequence[str | int | Path], folder: Path) -> Ran:
    """Runs a script of the code's own in a folder."""
    found = subprocess.run(
        [sys.executable, str(path), *map(str, arguments)],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(found.returncode, found.stdout, found.stderr)


def _environment() -> dict[str, str]:
    # In another folder, Python would import the captioner that is installed, which may be another.
    return {**os.environ, "PYTHONPATH": str(package().parent), "GRADIO_ANALYTICS_ENABLED": "False"}


@contextlib.contextmanager
def serving(arguments: Sequence[str | int | Path]) -> Iterator[str]:
    """The address of `captioner ui`, a process of its own, stopped at the end.

    Raises:
        RuntimeError: it ended before it served; the message holds what it said.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        line = [sys.executable, "-m", "captioner", "ui", "--port", str(port), *map(str, arguments)]
        uploads = {"GRADIO_TEMP_DIR": str(Path(folder) / "uploads")}
        process = subprocess.Popen(
            line, cwd=folder, stdout=log, stderr=log, env={**_environment(), **uploads}
        )
        try:
            if not _answers(address, process):
                log.seek(0)
                raise RuntimeError(f"captioner ui did not start: {log.read()}")
            yield address
        finally:
            process.terminate()
            process.wait()


def _answers(address: str, process: subprocess.Popen[bytes]) -> bool:
    import httpx

    until = time.monotonic() + _READY
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{address}/healthz", trust_env=False).status_code == 200:
                return True
        time.sleep(0.1)
    return False


def commit(folder: Path) -> str:
    """The commit of a checkout, with a plus where files differ from it; else empty."""

    def git(*arguments: str) -> str:
        found = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
        return found.stdout.strip() if found.returncode == 0 else ""

    changed = re.search(r"\S", git("status", "--porcelain", "--untracked-files=no"))
    return git("rev-parse", "--short=7", "HEAD") + ("+" if changed else "")
