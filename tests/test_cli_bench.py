from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from captioner import examples, speed
from captioner.cli import main
from captioner.prediction import Captioner

RATES = (
    "files opened",
    "photos encoded",
    "captions, greedy",
    "captions, beam 3",
    "captions, beam 5",
    "captions learned",
)
FEW = ("--count", 2, "--rounds", 1, "--batch-size", 2)


def test_a_table_and_json_of_every_part(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("bench", "a", "b", *FEW, "--json", "speed.json") == 0
    table = capsys.readouterr().out.splitlines()
    report = json.loads(Path("speed.json").read_text())
    figures = report["figures"]
    assert list(figures) == [*RATES, "one photo", "highest memory"]
    whole = figures["captions, beam 3"]["value"]
    for name in RATES:
        assert figures[name]["unit"] == "a second"
        assert figures[name]["value"] > 0
        assert figures[name]["ratio"] == pytest.approx(figures[name]["value"] / whole)
    assert figures["one photo"]["unit"] == "ms"
    assert figures["one photo"]["value"] > 0
    assert figures["highest memory"]["value"] > 50
    for line, name in zip(table[1:], figures, strict=False):
        assert line.startswith(name)
        assert f"{figures[name]['value']:.1f}" in line
    assert table[-1].startswith("2 photos in batches of 2, 2 threads that open them, torch on cpu")
    # Its own file may be replaced, a photo never.
    assert typed("bench", "a", *FEW, "--no-training", "--json", "speed.json") == 0
    assert "captions learned" not in json.loads(Path("speed.json").read_text())["figures"]
    capsys.readouterr()
    assert typed("bench", "a", *FEW, "--json", "a/cat.jpg", "--overwrite") == 2
    assert "a/cat.jpg" in capsys.readouterr().err


def test_the_demos_photographs_are_made_small(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[Path] = []

    def measure(captioner: Captioner, files: list[Path], **settings: object) -> list[speed.Figure]:
        assert settings == {"batch_size": 32, "workers": 2, "rounds": 3, "training": True}
        from PIL import Image

        seen.extend(files)
        assert {Image.open(file).size for file in files} == {(64, 64)}
        assert {Image.open(file).format for file in files} == {"JPEG"}
        return [speed.Figure("captions, beam 3", 12.0, "a second", 1.0)]

    monkeypatch.setattr(speed, "measure", measure)
    assert typed("bench", "--json", "-") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["figures"]["captions, beam 3"] == {"value": 12, "unit": "a second", "ratio": 1}
    assert len(seen) == report["photos"] == 128
    assert len(set(seen)) == len(list(examples.found()))
    assert not any(file.exists() for file in seen)  # nothing stays
    monkeypatch.setattr(examples, "found", lambda: iter(()))
    assert typed("bench") == 2
    assert capsys.readouterr().err == (
        "captioner: no photographs to measure with; name photos or a folder of photos\n"
    )


def test_what_cannot_be_measured_is_told(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken.jpg").write_bytes(b"no photo")
    assert typed("bench", "broken.jpg", *FEW) == 2
    assert "broken.jpg: " in capsys.readouterr().err
    Path("empty").mkdir()
    assert typed("bench", "empty", *FEW) == 2
    assert "empty" in capsys.readouterr().err
    assert main(["bench", "--rounds", "0"]) == 2
    assert "--rounds" in capsys.readouterr().err


def test_the_best_round_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {"captions, beam 3": iter([99.0, 4, 8, 5]), "one photo": iter([-9.0, -0.3, -0.2, -0.5])}
    parts = {name: (lambda own=own: next(own)) for name, own in rates.items()}
    monkeypatch.setattr(speed, "highest_memory", lambda: None)
    assert list(speed._figures(parts, 3)) == [  # the first time, in which things load, is left out
        speed.Figure("captions, beam 3", 8, "a second", 1),
        speed.Figure("one photo", 200, "ms"),
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="this system does not say")
def test_memory_is_told_in_bytes() -> None:
    before = speed.highest_memory()
    assert before is not None
    kept = bytearray(before + 2**26)
    after = speed.highest_memory()
    assert after is not None
    assert after - before > 2**25
    del kept
