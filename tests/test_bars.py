from __future__ import annotations

import sys
import types

import pytest

from captioner import bars
from captioner.cli import display


def _kernel(monkeypatch: pytest.MonkeyPatch, config: dict[str, object] | None) -> None:
    shell = None if config is None else types.SimpleNamespace(config=config)
    module = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", module)


@pytest.mark.parametrize(
    ("config", "notebook"), [(None, False), ({}, False), ({"IPKernelApp": 1}, True)]
)
def test_a_notebook_is_told_from_a_terminal(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, object] | None, notebook: bool
) -> None:
    _kernel(monkeypatch, config)
    assert bars.in_notebook() is notebook
    assert bars.is_seen() is notebook  # standard error is no terminal here


def test_bars_are_those_of_the_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    own = types.SimpleNamespace(tqdm=lambda **settings: settings)
    monkeypatch.setitem(sys.modules, "tqdm.auto", own)
    assert type(bars.bar(total=3, disable=True)).__module__ == "tqdm.std"
    _kernel(monkeypatch, {"IPKernelApp": {}})
    shown = display.progress_bar(7, "photo")
    assert (shown["total"], shown["disable"]) == (7, False)
    display.speak(quiet=True)
    try:
        assert display.progress_bar(7, "photo")["disable"]
    finally:
        display.speak()


def test_without_ipython_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not bars.in_notebook()
    assert "IPython" not in sys.modules
