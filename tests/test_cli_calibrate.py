"""`captioner calibrate`, and what the commands print of captions that are unsure."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from captioner import calibration
from captioner import checkpoint as checkpoints
from captioner.checkpoint import Checkpoint
from captioner.cli import main
from captioner.confidence import Confidence, Regression
from captioner.prediction import Captioner

PHOTOS = 24

SURE = Confidence(
    Regression(0.5, {}),
    Regression(-0.25, {}),
    threshold=0.0,
    ece=0.0625,
    photos=97,
    unsure_photos=0.03125,
    empties=24,
    unsure_empties=0.984375,
    fitted="val/captions.json; beam 3",
)


@pytest.fixture
def here(
    tmp_path: Path,
    tiny_checkpoint: Checkpoint,
    tiny_captioner: Captioner,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder with tiny.safetensors and two files of photos; half are what their caption says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(calibration, "EMPTIES", 12)
    checkpoints.save(tiny_checkpoint, "tiny.safetensors", torch.float32)
    (tmp_path / "photos").mkdir()
    for number in range(PHOTOS):
        pixels = np.random.default_rng(number).integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((71, 53)).save(f"photos/{number}.png")
    said = [c.text for c in tiny_captioner.stream([f"photos/{n}.png" for n in range(PHOTOS)])]
    texts = [text if number % 2 else "A zebra." for number, text in enumerate(said)]
    _write("one.json", dict(enumerate(texts[:14])))
    _write("other.json", dict(enumerate(texts[14:], 14)))
    _write("common.json", {0: "a the over"})
    return tmp_path


def _write(name: str, texts: dict[int, str]) -> None:
    images = [{"id": number, "file_name": f"{number}.png"} for number in texts]
    notes = [
        {"id": 2 * number + again, "image_id": number, "caption": text}
        for number, text in texts.items()
        for again in (0, 1)
    ]
    Path(name).write_text(json.dumps({"images": images, "annotations": notes}))


def run(*typed: object, checkpoint: bool = True) -> int:
    own = ["--checkpoint", "tiny.safetensors"] if checkpoint else []
    return main(["calibrate", *own, "--device", "cpu", *map(str, typed)])


FILES = ("--captions", "one.json", "other.json", "--images", "photos", "photos")
COMMON = ("--common", "common.json")


def test_a_checkpoint_learns_how_sure_it_can_be(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*FILES, *COMMON) == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = checkpoints.load("tiny.safetensors").confidence
    assert found is not None
    assert (found.photos, found.empties) == (PHOTOS, 12)
    folder = here.name
    about = f"{folder}/one.json, {folder}/other.json; beam 3, length penalty 0.7"
    assert found.fitted == about
    captioner = Captioner.load("tiny.safetensors")
    captions = list(captioner.stream([f"photos/{number}.png" for number in range(PHOTOS)]))
    assert all(c.confidence == found.of(c.evidence) for c in captions)
    lines = out.splitlines()
    assert lines[0] == f"{PHOTOS} photos with key words; 50.0 % are named"
    error = f"expected calibration error: {found.ece:.3f} on these photos, in 5-fold cross-validati"
    assert lines[1].startswith(error)
    assert re.fullmatch(
        r"unsure: [\d.]+ % of these photos, [\d.]+ % of 12 pictures with nothing in them", lines[2]
    )
    assert lines[3].startswith("tiny.safetensors: captions below ")
    assert len(lines) == 4


def _untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """No photo may be captioned."""
    monkeypatch.delattr(Captioner, "stream")


def test_what_was_not_calibrated_is_not_measured_and_no_photo_captioned(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _untouched(monkeypatch)
    assert run(*FILES, *COMMON, "--measure") == 2
    told = "captioner: the checkpoint has no confidence to measure; calibrate it first\n"
    assert capsys.readouterr().err == told


def test_a_checkpoint_that_cannot_be_written_is_told_before_photos_are_captioned(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _untouched(monkeypatch)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert run(*FILES, *COMMON) == 2
    err = capsys.readouterr().err
    assert err.startswith("captioner: tiny.safetensors: cannot be written (no permission in its ")
    assert err.endswith("copy it, and name the copy\n")


def test_too_few_photos_are_told_before_one_is_captioned(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _untouched(monkeypatch)
    monkeypatch.setattr(Captioner, "load", lambda *_: pytest.fail("weights were loaded"))
    assert run(*FILES, *COMMON, "--limit", 3) == 2
    assert capsys.readouterr().err == (
        "captioner: 6 of 6 photos have a key word, one that stands in two of their captions and is "
        "none of the commonest; a calibration takes 20 such photos or more: give more photos\n"
    )


def test_measuring_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*FILES, *COMMON) == 0
    before = Path("tiny.safetensors").read_bytes()
    capsys.readouterr()
    assert run("--measure", "--captions", "other.json", "--images", "photos", *COMMON) == 0
    out = capsys.readouterr().out.splitlines()
    assert Path("tiny.safetensors").read_bytes() == before
    assert out[0] == "10 photos with key words; 50.0 % are named"
    captions = Captioner.load("tiny.safetensors").stream([f"photos/{n}.png" for n in range(14, 24)])
    chances = np.array([caption.confidence for caption in captions], float)
    error = calibration.calibration_error(chances, np.arange(14, 24) % 2 == 1)
    assert (
        out[1]
        == f"expected calibration error: {error:.3f} on these photos, as the checkpoint has it"
    )
    blank = calibration.empty_pictures(12, 64, seed=1)  # others than those of the calibration
    doubted = [caption.unsure for caption in Captioner.load("tiny.safetensors").stream(blank)]
    assert f"{100 * np.mean(doubted):.1f} % of 12 pictures with nothing in them" in out[2]
    assert len(out) == 3


def test_a_photo_that_is_gone_is_told_and_the_others_count(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("photos/3.png").unlink()
    assert run(*FILES, *COMMON) == 1
    out, err = capsys.readouterr()
    assert re.fullmatch(r"captioner: .*photos/3\.png: there is no such file; .*\n", err)
    assert out.startswith("23 photos with key words;")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            ("--captions", "one.json", "other.json", "--images", "photos"),
            "2 files of captions and 1 folders of photos; name a folder for each file",
        ),
        ((*FILES, "--limit", 0), "--limit is 0; expected 1 photo or more"),
        ((*FILES, *COMMON, "--limit", 3), r"6 of 6 photos have a key word.* give more photos"),
        ((*FILES, *COMMON, "--measure"), "no confidence to measure; calibrate it first"),
        ((*FILES, "--common", "gone.json"), "gone.json"),
    ],
)
def test_wrong_use_changes_nothing(
    typed: tuple[object, ...], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path("tiny.safetensors").read_bytes()
    assert run(*typed) == 2
    err = capsys.readouterr().err
    assert re.search(message, err)
    assert err.count("\n") == 1
    assert Path("tiny.safetensors").read_bytes() == before


def test_the_shipped_weights_are_not_changed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*FILES, checkpoint=False) == 2
    assert "calibrate changes a checkpoint; name it with --checkpoint" in capsys.readouterr().err


# What the other commands print


@pytest.fixture
def doubtful(here: Path, tiny_checkpoint: Checkpoint) -> Callable[[float], None]:
    """Makes tiny.safetensors doubt everything below a threshold."""

    def save(threshold: float) -> None:
        unsure = dataclasses.replace(SURE, threshold=threshold)
        checkpoint = dataclasses.replace(tiny_checkpoint, confidence=unsure)
        checkpoints.save(checkpoint, "tiny.safetensors", torch.float32)

    return save


def _captioned(*typed: str) -> int:
    own = ["--checkpoint", "tiny.safetensors", "--device", "cpu"]
    return main(["caption", "photos/1.png", "photos/2.png", *typed, *own])


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_doubt_is_printed_for_people_only(
    threshold: float,
    doubtful: Callable[[float], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doubtful(threshold)
    assert _captioned() == 0
    plain = capsys.readouterr().out
    assert "(unsure)" not in plain
    assert _captioned("--jsonl", "all.jsonl") == 0
    capsys.readouterr()
    rows = [json.loads(line) for line in Path("all.jsonl").read_text().splitlines()]
    assert [row["unsure"] for row in rows] == [threshold > 0] * 2
    chance = SURE.of({})
    assert [row["confidence"] for row in rows] == pytest.approx([chance] * 2, rel=1e-3)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert _captioned() == 0
    seen = capsys.readouterr().out
    marked = "".join(f"{line} (unsure)\n" for line in plain.splitlines())
    assert seen == (marked if threshold else plain)


def test_of_several_captions_the_best_is_marked(
    doubtful: Callable[[float], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doubtful(1.0)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert _captioned("--n-best", "2") == 0
    for line in capsys.readouterr().out.splitlines():
        _, best, other = line.split("\t")
        assert best.endswith(" (unsure)")
        assert not other.endswith(" (unsure)")


def test_describe_tells_the_confidence(
    doubtful: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    doubtful(0.25)
    assert main(["describe", "tiny.safetensors"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "confidence the chance that a caption names the thing; expected calibration" in told
    assert "Below 25.0 % a caption is unsure" in told
    assert main(["describe", "tiny.safetensors", "--json"]) == 0
    values: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert values["confidence"]["threshold"] == 0.25
