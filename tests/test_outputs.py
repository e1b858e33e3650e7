from __future__ import annotations

from pathlib import Path

import pytest

from captioner.errors import ConfigError
from captioner.outputs import json_lines, whole, write_text


def _inside(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_lines_grow_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    path.write_text("older\n")
    with json_lines(path) as write:
        write("one")
        assert _inside(tmp_path) == {"all.jsonl": "older\n", "all.jsonl.partial": "one\n"}
        write("two")
    assert _inside(tmp_path) == {"all.jsonl": "one\ntwo\n"}


def test_what_stops_the_work_says_where_the_lines_are(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"

    def interrupted() -> None:
        with json_lines(path) as write:
            write("one")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stop:
        interrupted()
    assert stop.value.__notes__ == [f"what was done so far is in {path}.partial"]
    with pytest.raises(ConfigError, match="holds what a stopped run had written"):
        json_lines(path).__enter__()
    assert _inside(tmp_path) == {"all.jsonl.partial": "one\n"}


def test_a_run_without_a_line_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), json_lines(tmp_path / "all.jsonl"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "one.txt"
    write_text(path, "half a character: \udcff")
    assert _inside(path.parent) == {"one.txt": "half a character: \\udcff"}

    def fail() -> None:
        with whole(path) as partial:
            partial.write_text("half")
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011  (the very one)
        fail()
    assert _inside(path.parent) == {"one.txt": "half a character: \\udcff"}
