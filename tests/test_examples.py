from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from captioner import examples
from captioner.examples import EXAMPLES, Example
from captioner.pictures.open import open_photo


def _example(module: str, file: str = "photos/dog.jpg") -> Example:
    return Example("dog", module, "dogs", file, "somebody", "CC0-1.0")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed package that cannot be imported, with one file."""
    (tmp_path / "dogs_of_ours" / "photos").mkdir(parents=True)
    (tmp_path / "dogs_of_ours" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "dogs_of_ours" / "photos" / "dog.jpg").write_bytes(b"")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "dogs_of_ours"


def test_a_photo_is_found_without_importing_its_package(package: str, tmp_path: Path) -> None:
    assert _example(package).path == tmp_path / package / "photos" / "dog.jpg"
    assert package not in sys.modules


def test_what_is_not_there_is_none(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _example(package, "photos/cat.jpg").path is None
    assert _example("no_such_package_anywhere").path is None
    assert _example("errno").path is None  # a module without a folder
    monkeypatch.setitem(sys.modules, "bare_module", types.ModuleType("bare_module"))
    assert _example("bare_module").path is None


def test_found_keeps_the_order(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there, gone = _example(package), _example("no_such_package_anywhere")
    monkeypatch.setattr(examples, "EXAMPLES", (gone, there))
    assert list(examples.found()) == [(there, there.path)]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_says_whose_it_is(example: Example) -> None:
    assert example.credit
    assert example.licence
    if example.path is not None:
        assert min(open_photo(example.path).size) >= 224


def test_names_are_unique() -> None:
    assert len({example.name for example in EXAMPLES}) == len(EXAMPLES)
