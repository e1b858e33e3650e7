"""What the tests of the command line share besides their fixtures."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from captioner.cli.results import Results


def noisy_picture(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((71, 53), Image.Resampling.BICUBIC)


def read_objects(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def names_in(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def one_error(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error; nothing on standard output."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("captioner: ")
    assert err.count("\n") == 1, err
    return err


def contents_of(here: Path) -> dict[str, bytes]:
    return {str(path.relative_to(here)): path.read_bytes() for path in here.rglob("*.*")}


def one_after_the_other(monkeypatch: pytest.MonkeyPatch, *lines: bytes) -> None:
    """Standard input that gives each line when the result of the one before was put."""
    reader, writer = os.pipe()
    monkeypatch.setattr(sys, "stdin", os.fdopen(reader))
    rest = list(lines)
    put = Results.put

    def note(self: Results, *values: Any) -> None:
        put(self, *values)
        if rest:
            os.write(writer, rest.pop(0))
            if not rest:
                os.close(writer)

    monkeypatch.setattr(Results, "put", note)
    os.write(writer, rest.pop(0))
