from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from captioner import examples, storage
from captioner.cli import main
from captioner.examples import Example
from tests.commands import (
    names_in,
    noisy_picture,
)


def test_demo_shows_what_is_there(
    typed: Callable[..., int],
    here: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    packages = tmp_path_factory.mktemp("packages")
    (packages / "zoo_of_ours").mkdir()
    noisy_picture(3).save(packages / "zoo_of_ours" / "lion.png")
    monkeypatch.syspath_prepend(str(packages))
    there = Example("lion", "zoo_of_ours", "zoo", "lion.png", "A. Keeper", "CC0-1.0")
    gone = Example("tower", "no_such_package_anywhere", "towers", "tower.png", "B", "CC0-1.0")
    monkeypatch.setattr(examples, "EXAMPLES", (there, gone))
    assert typed("demo") == 0
    out, err = capsys.readouterr()
    assert out.startswith("lion: ")
    assert "(A. Keeper; CC0-1.0)" in out
    assert "captioner-demo/lion.png" in out
    assert err == "left out: tower (pip install towers)\n"
    assert names_in("captioner-demo") == ["lion.png"]
    monkeypatch.setattr(examples, "EXAMPLES", (gone,))
    assert typed("demo", "--output", "other") == 2
    assert "no photographs for the demo; pip install" in capsys.readouterr().err
    assert not Path("other").exists()


def test_demo_names_what_the_shipped_weights_get_wrong(
    typed: Callable[..., int],
    weights: str,
    here: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    packages = tmp_path_factory.mktemp("packages")
    (packages / "zoo_of_errors").mkdir()
    noisy_picture(3).save(packages / "zoo_of_errors" / "cup.png")
    monkeypatch.syspath_prepend(str(packages))
    cup = Example("cup", "zoo_of_errors", "zoo", "cup.png", "A. Keeper", "CC0-1.0", "a cake")
    monkeypatch.setattr(examples, "EXAMPLES", (cup,))
    assert typed("demo") == 0
    assert "wrong" not in capsys.readouterr().out  # other weights have faults of their own
    monkeypatch.setattr(storage, "default_path", lambda *_: Path(weights))
    assert main(["demo", "--output", "shipped"]) == 0
    assert "\n  it gets this one wrong: a cake\n" in capsys.readouterr().out
