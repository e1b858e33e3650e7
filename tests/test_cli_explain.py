from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner.cli.display import percent
from captioner.cli.explain import word_table
from captioner.prediction import Caption, Captioner
from tests.commands import (
    one_after_the_other,
    one_error,
    read_objects,
)


def test_explain_reads_standard_input_as_it_comes(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [
        b"\xef\xbb\xbfa/cat.jpg\tThe cat jumps.\r\n",
        b"no tab\n",
        b"a/dog.png\tA dog.\n",
        b"gone.jpg\tA dog.",
    ]
    one_after_the_other(monkeypatch, *lines)  # each when the one before has its result
    options = ["--jsonl", "out.jsonl", "--overlay", "s"]
    assert typed("explain", "--input", "-", *options) == 1
    objects = read_objects(Path("out.jsonl"))
    assert [values["file"] for values in objects] == ["a/cat.jpg", None, "a/dog.png", "gone.jpg"]
    assert [values["sheet"] for values in objects] == ["s/a/cat.png", None, "s/a/dog.png", None]
    assert objects[1]["error"] == "line 2 is 'no tab'; expected a path, a tab and a sentence"
    assert "2 of 4 failed" in capsys.readouterr().err


def test_explain_needs_a_line_on_standard_input(
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert typed("explain", "--input", "-") == 2
    told = "captioner: -: no line; expected a path, a tab and a sentence\n"
    assert capsys.readouterr() == ("", told)


def test_explain_shows_a_table(
    typed: Callable[..., int],
    tiny_captioner: Captioner,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert typed("explain", "b/dog.png", "The zebra", "runs!", "--jsonl", "one.jsonl") == 0
    out, err = capsys.readouterr()
    caption = tiny_captioner.explain("b/dog.png", "The zebra runs!")
    lines = out.splitlines()
    assert lines[0].split("  ")[0] == "word"
    assert [line.split()[0] for line in lines[1:4]] == ["the", "zebra", "runs"]
    assert percent(caption.words[0].prob or 0) in lines[1]
    assert lines[2].split()[1] == "unknown"
    assert f"{caption.log_prob:.2f}" in lines[4]
    assert "the model does not know 'zebra'" in err
    (values,) = read_objects(Path("one.jsonl"))
    assert values == json.loads(json.dumps(caption.to_dict(maps=True)))
    assert values["words"][1]["unknown"] is True


def test_the_likeliest_other_word_is_another_word() -> None:
    from captioner.prediction import Word

    alternatives = (("dog", 0.9995), ("cat", 0.0004), (".", 0.0001))
    words = (
        Word("dog", 0.9995, -0.0005, alternatives),
        Word("cat", 0.0004, -7.8, alternatives[1:]),
        Word("a", 0.5, -0.7),
    )
    maps = np.full((3, 2, 2), 0.25, np.float32)
    rows = word_table(Caption("", words, -8.5, maps)).splitlines()
    assert rows[1].split("  ")[0] == "dog"
    assert "> 99.9 %  cat < 0.1 %" in rows[1]
    assert "< 0.1 %  (end) < 0.1 %" in rows[2]
    assert "50.0 %  –" in rows[3]
    assert rows[3].endswith("100.0 %")


def test_explain_draws_the_sheet_of_the_sentence(
    typed: Callable[..., int], tiny_captioner: Captioner, here: Path
) -> None:
    assert typed("explain", "b/dog.png", "A red ball.", "--overlay", "sheets") == 0
    expected = tiny_captioner.explain("b/dog.png", "A red ball.").sheet()
    assert Image.open("sheets/b/dog.png").tobytes() == expected.tobytes()


def test_explain_many_line_for_line(
    typed: Callable[..., int],
    tiny_captioner: Captioner,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("a/bad.jpg").write_text("no picture")
    lines = [
        "a/cat.jpg\tThe cat jumps.",
        "a/cat.jpg The cat jumps.",
        "a/cat.jpg\t...",
        "",
        "a/bad.jpg\tA dog.",
        "gone.jpg\t!",
        "a/dog.png\tA dog over a zebra",
    ]
    Path("pairs.tsv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    options = ["--jsonl", "out.jsonl", "--batch-size", 2]
    assert typed("explain", "--input", "pairs.tsv", *options) == 1
    out, err = capsys.readouterr()
    objects = read_objects(Path("out.jsonl"))
    assert [values["error"] is None for values in objects] == [True, *[False] * 5, True]
    alone = tiny_captioner.explain("a/cat.jpg", "The cat jumps.").to_dict(maps=True)
    assert objects[0]["maps"][2] == pytest.approx(alone["maps"][2], abs=1e-3)
    assert objects[0]["log_prob"] == pytest.approx(alone["log_prob"], abs=1e-2)
    assert objects[1]["error"].startswith("line 2 is 'a/cat.jpg The cat jumps.'; expected a path")
    assert objects[1]["file"] is None
    assert objects[2]["error"] == "the sentence '...' has no words; write what you see"
    assert objects[2]["file"] == "a/cat.jpg"
    assert objects[3]["error"].startswith("line 4 is ''; expected a path, a tab and a sentence")
    assert "a/bad.jpg" in objects[4]["error"]
    assert "gone.jpg: there is no such file" in objects[5]["error"]
    assert len(objects[6]["maps"]) == len(objects[6]["words"]) == 5
    assert [line.split("\t")[0] for line in out.splitlines()] == ["a/cat.jpg", "a/dog.png"]
    assert out.splitlines()[0].split("\t")[2] == "The cat jumps."
    assert "does not know 'zebra'" in err
    assert "5 of 7 failed" in err


def test_explain_scores_no_sentence_with_bytes_that_are_not_utf_8(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of it would be another sentence; a path may be of any bytes."""
    Path("pairs.tsv").write_bytes(
        b"a/cat.jpg\tA dog.\na/cat.jpg\tA caf\xe9 dog.\na/caf\xe9.jpg\tA dog.\n"
    )
    assert typed("explain", "--input", "pairs.tsv", "--jsonl", "out.jsonl") == 1
    good, broken, path = read_objects(Path("out.jsonl"))
    assert good["error"] is None
    assert broken["error"] == (
        "line 2: the sentence is not UTF-8 (byte 6: E9); save the file as UTF-8, from Latin-1 "
        "with: iconv -f latin1 -t utf-8"
    )
    assert (broken["file"], broken["words"]) == (None, [])
    assert "there is no such file" in path["error"]
    capsys.readouterr()
    assert typed("explain", "a/cat.jpg", "A caf\udce9 dog.") == 2
    assert "character 6 is no text (\\udce9: a byte that is not UTF-8" in one_error(capsys)


@pytest.mark.parametrize("command", ["explain --input pairs.tsv", "caption -"])
def test_files_of_lines_in_utf_16_are_said_to_be_that(
    command: str,
    typed: Callable[..., int],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = "a/cat.jpg\tA dog.\n".encode("utf-16")
    Path("pairs.tsv").write_bytes(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert typed(*command.split()) == 2
    told = "this is UTF-16 text; save it as UTF-8, with: iconv -f utf-16 -t utf-8"
    assert told in one_error(capsys)


def test_explain_one_bad_photo(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("explain", "gone.jpg", "A dog.") == 1
    assert "gone.jpg: there is no such file" in one_error(capsys)
    assert typed("explain", "a/cat.jpg", "?") == 1
    assert "the sentence '?' has no words" in one_error(capsys)
