from __future__ import annotations

import json
from pathlib import Path

import pytest

from captioner.cli import main
from tests.commands import (
    noisy_picture,
)


@pytest.mark.parametrize(
    "arguments",
    [
        ["val=captions_val.json:images"],
        ["--captions", "captions_val.json", "--images", "images"],
        ["--config", "recipe.toml"],
        ["train=captions_val.json:images", "train=more.json:images"],
    ],
)
def test_data_check(data: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    source = 'captions = "captions_val.json"\nimages = "images"\n'
    Path("recipe.toml").write_text(f"[data]\nmin_count = 1\n[[data.train]]\n{source}")
    extra = {"images": [{"id": 1, "file_name": "x.png"}], "annotations": []}
    extra["annotations"] = [{"image_id": 1, "caption": "A cat runs."}]
    Path("more.json").write_text(json.dumps(extra))
    noisy_picture(99).save("images/x.png")
    assert main(["data", "check", *arguments]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("split")
    assert "\ngood to know\n" in out
    assert "    → " in out
    assert "errors" not in out
    assert err == ""
    if "--config" in arguments:
        assert "training" not in out.splitlines()[1]
        assert "words are among the 11 of train" in out  # the recipe's own min_count


def test_data_check_finds_errors(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("images/3.png").write_text("no picture")
    Path("images/4.png").unlink()
    splits = ["train=captions_val.json:images", "test=captions_val.json:images"]
    assert main(["data", "check", *splits, "--min-count", "1"]) == 1
    out = capsys.readouterr().out
    headings = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert headings[:1] == ["split  photos  captions  a photo"]
    order = [out.index(text) for text in ("\nerrors, ", "\nwarnings, ", "\ngood to know")]
    assert order == sorted(order)
    assert "  train: images/4.png: there is no such file\n" in out
    assert "  train, test: 0, 1, 2, 3, 4, …: 7 photo ids are in both" in out
    assert "    → take them out of train" in out


def test_data_check_says_which_format_it_saw(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("results.csv").write_text(
        "image_name| comment_number| comment\n0.png| 0| A dog .\n1.png| 4   A red cat .\n"
    )
    splits = ["train=captions_val.json:images", "more=results.csv:images", "--min-count", "1"]
    main(["data", "check", *splits])
    out = capsys.readouterr().out
    assert "  train: captions_val.json: read as COCO captions (coco)\n" in out
    assert "  more: results.csv: read as Flickr30k table (flickr30k)\n" in out
    assert "  more: results.csv: line 3 lacks a bar; read as caption 4 of 1.png\n" in out
    assert out.index("lacks a bar") < out.index("\ngood to know") < out.index("read as COCO")


def test_data_check_needs_no_folder_where_the_photos_lie(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("images/metadata.csv").write_text("file_name,text\n0.png,A dog\n1.png,A cat\n")
    assert main(["data", "check", "--captions", "images/metadata.csv", "--min-count", "1"]) == 0
    assert "(imagefolder)" in capsys.readouterr().out
    assert main(["data", "check", "--captions", "images", "--format", "coco"]) == 2
    assert "images/metadata.csv: broken JSON in line 1" in capsys.readouterr().err
