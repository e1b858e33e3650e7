"""Where the maps of finished runs lie: measured once, beside the runs, and told in their table."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from captioner import Captioner
from captioner import checkpoint as checkpoints
from captioner.checkpoint import Checkpoint
from captioner.cli import main
from captioner.errors import ConfigError, DataError
from captioner.grounding.marks import caption_hash
from captioner.studies.config import Grounding, StudyConfig, Variant, read_study
from captioner.studies.grounded import added, questions
from captioner.studies.summary import table
from tests.test_studies_runs import run_of

ROOT = Path(__file__).parent.parent
CAPTIONS = ("A cat jumps.", "A dog runs over the log.")
CPU = torch.device("cpu")


@pytest.fixture
def config(tmp_path: Path, tiny_checkpoint: Checkpoint) -> StudyConfig:
    """A photo whose dog fills its left half, and one run."""
    for name, content in (
        (
            "captions.json",
            {
                "images": [{"id": 1, "file_name": "1.png"}],
                "annotations": [
                    {"id": n, "image_id": 1, "caption": caption}
                    for n, caption in enumerate(CAPTIONS)
                ],
            },
        ),
        (
            "boxes.json",
            {
                "images": [{"id": 1, "file_name": "1.png", "width": 64, "height": 64}],
                "categories": [{"id": 1, "name": "dog"}],
                "annotations": [
                    {
                        "image_id": 1,
                        "category_id": 1,
                        "bbox": [0, 0, 32, 64],
                        "caption_hash": caption_hash(("a", "dog", "runs", "over", "the", "log")),
                        "word_index": 1,
                    }
                ],
            },
        ),
    ):
        (tmp_path / name).write_text(json.dumps(content))
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "1.png")
    checkpoints.save(tiny_checkpoint, tmp_path / "one-1.safetensors")
    grounding = Grounding(
        str(tmp_path / "boxes.json"), str(tmp_path / "captions.json"), str(tmp_path)
    )
    variants = (Variant("one", core=True),)
    return StudyConfig(
        "T", "r.toml", str(tmp_path), "d", seeds=(1,), variants=variants, grounding=grounding
    )


def test_maps_are_measured_once_and_told(config: StudyConfig, tmp_path: Path) -> None:
    run, told = run_of("one", 1, [1.0, 2.0]), list[str]()
    [found] = added(config, [run], CPU, told.append)
    own = {name: found.outcome.measures[name] for name in ("pointing", "mass")}
    assert found.outcome.measures["spread"] == run.outcome.measures["spread"]
    assert told == [f"one · seed 1 · pointing {own['pointing']:.3f}"]

    # An oracle: the word's map, and the two left cells of four.
    look = Captioner.load(tmp_path / "one-1.safetensors").look(tmp_path / "1.png")
    weights = look.explain(CAPTIONS[1]).maps[1]
    assert own["mass"] == pytest.approx(weights[:, 0].sum(), abs=1e-5)
    assert f"{own['mass']:.3f}" in table(config, [found], "captioner study x", "")

    # The second time nothing is computed: the weights may be gone.
    (tmp_path / "one-1.safetensors").rename(tmp_path / "gone")
    assert added(config, [run], CPU, told.append) == [found]
    assert len(told) == 1

    # A run that was trained anew is asked anew.
    (tmp_path / "gone").rename(tmp_path / "one-1.safetensors")
    added(config, [dataclasses.replace(run, key="other")], CPU, told.append)
    assert len(told) == 2
    (tmp_path / "one-1.grounding.json").write_text("[]")
    with pytest.raises(DataError, match=r"one-1\.grounding\.json: holds no measured maps .*; remo"):
        added(config, [run], CPU)


def test_captions_without_a_marked_noun_are_not_read(config: StudyConfig) -> None:
    [asked] = questions(config.grounding)
    assert asked.sentences == (("a", "dog", "runs", "over", "the", "log"),)
    assert [mention.place for mention in asked.mentions] == [1]


def test_without_boxes_nothing_is_asked(config: StudyConfig) -> None:
    runs = [run_of("one", 1, [1.0])]
    assert added(dataclasses.replace(config, grounding=Grounding()), runs, CPU) == runs


def test_what_lacks_is_told_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        ConfigError, match=r"grounding has boxes 'b', captions '', images 'i'; it n"
    ):
        Grounding("b", "", "i")
    monkeypatch.chdir(ROOT)
    text = (ROOT / "configs/study-family-captions.toml").read_text()
    path = tmp_path / "study.toml"
    path.write_text(text.replace("runs/data/coco-part", str(tmp_path / "none")))
    typed = ["study", "family-captions", "--config", str(path), "--output", str(tmp_path / "docs")]
    assert main([*typed, "--runs", str(tmp_path / "runs")]) == 2
    assert "captions_val.json" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    path.write_text(
        text.replace("family-captions.toml", "family-translations.toml").split("[[var")[0]
        + "[[variants]]\nname = 'a'\n"
    )
    with pytest.raises(
        ConfigError, match="grounding measures captioners, but the recipe is for tr"
    ):
        read_study(path)
