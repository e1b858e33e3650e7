"""`captioner translate` over tables and objects, and alignments in files."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from captioner.cli import main
from captioner.cli.texts import Lines, Objects, Table
from captioner.errors import ConfigError
from captioner.translation import Translator

Typed = Callable[..., int]
DOG, MEN = "A brown dog runs through the snow.", "Two men are sitting on a bench."


@pytest.fixture
def typed(translation_weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Runs `translate` from English to German with the tiny weights, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> int:
        own = ["--checkpoint", translation_weights, "--device", "cpu", "--from", "en", "--to", "de"]
        return main(["translate", *map(str, arguments), *own])

    return run


@pytest.fixture
def german(tiny_translator: Translator) -> Callable[[str], str]:
    return lambda text: tiny_translator(text, to="de", source_language="en").text


def test_every_row_comes_out_as_it_was(
    typed: Typed, german: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f'1\t{DOG}\t "x" ', f"02\t{MEN}\tä\r", "3\t\t", f"\t{DOG}\t\t"]
    Path("in.tsv").write_bytes("\n".join(rows).encode() + b"\n")
    assert typed("--input", "in.tsv", "--tsv", 2) == 0
    out, err = capsys.readouterr()
    dog, men = german(DOG), german(MEN)
    assert out == (f'1\t{DOG}\t "x" \t{dog}\n02\t{MEN}\tä\t{men}\r\n3\t\t\t\n\t{DOG}\t\t\t{dog}\n')
    assert err == ""
    cut = [row.rpartition("\t")[0] for row in out.replace("\r", "").split("\n")[:-1]]
    assert cut == [row.removesuffix("\r") for row in rows]


def test_a_column_has_a_name(
    typed: Typed,
    german: Callable[[str], str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = f"id\tenglish\n7\t{DOG}\n".encode()
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf" + table), "utf-8")
    )
    assert typed("-", "--tsv", "english") == 0
    assert capsys.readouterr().out == f"id\tenglish\tde\n7\t{DOG}\t{german(DOG)}\n"
    Path("empty.tsv").write_text("id\tenglish\n")
    assert typed("--input", "empty.tsv", "--tsv", "english") == 0
    assert capsys.readouterr().out == "id\tenglish\tde\n"
    assert typed("--input", "empty.tsv", "--tsv", "german") == 2
    assert capsys.readouterr().err == (
        "captioner: empty.tsv: no column is called 'german' in the first row, which has 'id', "
        "'english'; name one of them, or its number\n"
    )


def test_rows_that_cannot_be_translated_stay_in_their_place(
    typed: Typed, german: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    content = f"a\t{DOG}\nshort\n\n".encode() + b"\xff\tx\n" + f"b\t{MEN}".encode()
    Path("in.tsv").write_bytes(content)
    assert typed("--input", "in.tsv", "--tsv", "2") == 1
    out, err = capsys.readouterr()
    assert out.split("\n") == [
        f"a\t{DOG}\t{german(DOG)}",
        "short\t",
        "\t",
        "�\tx\t",
        f"b\t{MEN}\t{german(MEN)}",
        "",
    ]
    assert "line 2: has 1 column, and --tsv names column 2\n" in err
    assert "line 4: not UTF-8 (byte 1: FF)" in err
    assert "2 of 5 failed" in err


def test_objects_are_read_by_a_key(
    typed: Typed, german: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"file": "a.jpg", "caption": DOG},
        {"file": "b"},
        {"caption": None},
        [1],
        {"caption": MEN},
    ]
    lines = [*map(json.dumps, rows), "no object", ""]
    Path("in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert typed("--input", "in.jsonl", "--objects", "caption", "--jsonl", "out.jsonl") == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == [german(DOG), "", "", "", german(MEN), ""]
    for told in (
        "line 2: no object with 'caption': it has 'file'\n",
        "line 3: 'caption' is null; expected a text\n",
        "line 4: no object with 'caption': it is none\n",
        "line 6: is no JSON object; --objects reads one a line\n",
    ):
        assert told in err
    made = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [each["source"] for each in made] == [DOG, "", "", "", MEN, ""]
    assert [bool(each["error"]) for each in made] == [False, True, True, True, False, True]


def test_what_was_written_can_be_read_again(
    typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in.txt").write_text(f"{DOG}\n{MEN}\n")
    assert typed("--input", "in.txt", "--jsonl", "out.jsonl") == 0
    first = capsys.readouterr().out
    assert typed("--input", "out.jsonl", "--objects", "source") == 0
    assert capsys.readouterr().out == first


def test_alignments_in_a_file(
    typed: Typed, tiny_translator: Translator, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in.txt").write_text(f"{DOG}\n\n{MEN}\n")
    flags = ("--input", "in.txt", "--alignment", "links.txt", "--alignment-format", "pharaoh")
    for _ in range(2):  # its own file is replaced
        assert typed(*flags) == 0
        capsys.readouterr()
        found = [tiny_translator(t, to="de", source_language="en") for t in (DOG, "", MEN)]
        assert Path("links.txt").read_text() == "".join(f"{one.pharaoh()}\n" for one in found)
    assert Path("links.txt").read_text().startswith("0-0 ")
    Path("links.txt").write_text("Dear diary, 1-2\n")
    assert typed(*flags) == 2
    assert capsys.readouterr().err == (
        "captioner: links.txt is there already and is no file of alignments of captioner's; choose "
        "another --alignment, or replace what is there with --overwrite\n"
    )
    assert typed("--input", "in.txt", "--alignment", "in.txt", *flags[4:]) == 2
    assert "in.txt is read by this very command" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["A dog.", "--tsv", "1"], "--tsv reads a file: name it with --input FILE, or `-`"),
        (["A dog.", "--objects", "x"], "--objects reads a file: name it with --input FILE"),
        (["--input", "x", "--tsv", "0"], "--tsv counts columns from 1; 0 is none"),
        (["A dog.", "--alignment-format", "pharaoh"], "says how --alignment FILE is written; name"),
        (["-", "--alignment", "x.png"], "; --alignment-format pharaoh takes many"),
    ],
)
def test_flags_that_contradict_each_other(
    flags: list[str], message: str, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(*flags) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"a\tb\nc\n")
    for kind, first in ((Lines(str(tmp_path / "in")), 1), (Table(str(tmp_path / "in"), "a"), 2)):
        list(kind)
        assert [number for number, _ in kind.read] == list(range(first, 3))
    (tmp_path / "in").write_bytes(b"")
    with pytest.raises(ConfigError, match="in the first row, which has ''"):
        list(Table(str(tmp_path / "in"), "a"))
    assert list(Objects(str(tmp_path / "in"), "a")) == []
