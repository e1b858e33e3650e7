"""`captioner evaluate --maps`, and --boxes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from captioner.cli import main
from captioner.grounding import report
from captioner.grounding.report import FIGURES
from tests.commands import one_error


@pytest.fixture
def boxed(data: Path) -> Path:
    """The seven photos with a dog and a man each, in the COCO instance format."""
    images = json.loads((data / "captions_val.json").read_text())["images"]
    document = {
        "images": [image | {"width": 8, "height": 8} for image in images],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "man"}],
        "annotations": [
            {"image_id": image["id"], "category_id": 1 + n, "bbox": [4 * n, 0, 4, 8]}
            for image in images
            for n in range(2)
        ],
    }
    path = data / "boxes.json"
    path.write_text(json.dumps(document))
    return path


PHOTOS = ("--captions", "captions_val.json", "--images", "images", "--bootstrap", "5")


def theirs(folder: Path) -> Path:
    """A file of maps that look at the left half, where the dogs are."""
    maps = np.array([[0.25, 0.25, 0.25, 0.25], [0.5, 0, 0.5, 0]]).tolist()
    lines = [
        json.dumps({"file": f"{n}.png", "words": ["a", word], "grid": [2, 2], "maps": maps})
        for n, word in enumerate(["dog", "dog", "man"])
    ]
    path = folder / "theirs.jsonl"
    path.write_text("\n".join([*lines, "{}"]))
    return path


@pytest.mark.parametrize("with_maps", [(), ("--maps",)])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("captions_val.json", "no COCO instance file (KeyError: 'categories')"),
        ("images/1.png", "not UTF-8 text"),
        ("nowhere.json", "nowhere.json: "),
        ("others.json", "no caption of 7 photos names a thing that has a region (1 photos have so"),
    ],
)
def test_boxes_of_no_use_are_told_before_photos_are_captioned(
    name: str,
    told: str,
    with_maps: tuple[str, ...],
    typed: Callable[..., int],
    boxed: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = {"id": 1, "file_name": "elsewhere.png", "width": 8, "height": 8}
    thing = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 8]}
    kinds = [{"id": 1, "name": "dog"}]
    document = {"images": [image], "categories": kinds, "annotations": [thing]}
    Path("others.json").write_text(json.dumps(document))
    assert typed("evaluate", *PHOTOS, "--boxes", name, *with_maps) == 2
    assert told in one_error(capsys)  # and no score on standard output


def test_boxes_alone_give_the_pointing_game(
    typed: Callable[..., int], boxed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("evaluate", *PHOTOS, "--boxes", "boxes.json", "--json", "out.json") == 0
    out = capsys.readouterr().out
    assert "| kind's place |" in out
    record = json.loads(Path("out.json").read_text())
    assert record["pointing"]["whole"]["photos"] == 7
    assert set(record["pointing"]["kinds"]) == {"dog", "man"}


def test_maps_are_told_kept_and_drawn(
    typed: Callable[..., int],
    boxed: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report, "PHOTOS", 2)
    flags = ("--boxes", "boxes.json", "--maps", "--output", "out")
    code = typed("evaluate", *PHOTOS, *flags)
    out, err = capsys.readouterr()
    assert code == 0, err
    assert "Do words hang on what their maps show?" in out
    assert out.endswith(
        "out/: scores.json, captions.jsonl, extremes.png, "
        "maps-pointing.png, maps-curves.png, maps-losses.png\n"
    )
    record = json.loads(Path("out/scores.json").read_text())
    assert record["maps"]["comparison"]["photos"] == 2
    for name in FIGURES:
        assert (Path("out") / name).stat().st_size > 1000


def test_maps_of_another_model(boxed: Path, capsys: pytest.CaptureFixture[str], here: Path) -> None:
    theirs(here)
    flags = ["evaluate", "--maps", "theirs.jsonl", "--boxes", "boxes.json", "--bootstrap", "0"]
    assert main([*flags, "--output", "out", "--json", "-"]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["checkpoint"] == "theirs.jsonl"
    pointing = found["pointing"]["whole"]["maps"]["word"]["pointing"]["value"]
    assert pointing == pytest.approx(2 / 3)  # the man is at the right
    assert "theirs.jsonl: line 4: lacks 'words'" in err
    assert json.loads(Path("out/maps.json").read_text()) == found
    assert Path("out/maps-pointing.png").exists()
    assert main([*flags, "--output", "out"]) == 1  # its own files may be written over


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--maps", "theirs.jsonl"], "takes --boxes FILE, COCO instances of the same photos"),
        (
            ["--maps", "theirs.jsonl", "--captions", "captions_val.json"],
            "is a file of maps and --captions is about a captioner; leave --captions out",
        ),
        (
            ["--maps", "theirs.jsonl", "--boxes", "boxes.json", "--json", "boxes.json"],
            "boxes.json",
        ),
        (["--maps", "gone.jsonl", "--boxes", "boxes.json"], "gone.jsonl: cannot be read"),
    ],
)
def test_misuse_is_told_in_one_line(
    boxed: Path, here: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    theirs(here)
    before = Path("boxes.json").read_bytes()
    assert main(["evaluate", *flags]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
    assert Path("boxes.json").read_bytes() == before
