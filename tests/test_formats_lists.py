from __future__ import annotations

from pathlib import Path

import pytest

from captioner.errors import DataError
from captioner.formats.lists import paths_in


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "a b.jpg\r\n\nc.png\n"),
        ("list", "\ufeffa b.jpg\nc.png"),
        ("list.csv", "year,file\n1999,a b.jpg\n,c.png\n,\n"),
        ("list.tsv", "Path\tx\na b.jpg\t1\nc.png\t2\n"),
        ("list.jsonl", '{"image": "a b.jpg"}\n{"image": "c.png", "error": "x"}\n'),
    ],
)
def test_paths(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert paths_in(tmp_path / name) == ["a b.jpg", "c.png"]


def test_a_path_counts_from_here_or_from_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("sub/one.jpg", "sub/two.jpg", "two.jpg"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    Path("sub/list.txt").write_text(f"one.jpg\ntwo.jpg\ngone.jpg\n{tmp_path}/two.jpg\n")
    assert paths_in("sub/list.txt") == [
        *("sub/one.jpg", "two.jpg", "gone.jpg", f"{tmp_path}/two.jpg")
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.csv", "a.jpg\nb.jpg\n", ": begins with 'a.jpg', expected a heading with a column of"),
        ("l.csv", "file\n\n", ": names no photo; expected a path a line, or a column of paths"),
        ("l.jsonl", '{"x": 1}\n', ": line 1 has no path, only 'x'; expected one of file_name, fil"),
        ("l.jsonl", '{"file": 1}\n', ": line 1: file is a whole number, expected text"),
        ("l.txt", "a\0b\n", ": is no text; expected a path a line, not"),
        ("l.txt", " \n", ": the file is empty; expected captions: get it again"),
    ],
)
def test_what_is_no_list(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as error:
        paths_in(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}{message}")
