"""Translators with a photo in view and without one, side by side, at a size of seconds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from captioner.cli import main
from captioner.errors import ConfigError
from captioner.multimodal.pairs import photos_of
from captioner.studies.config import StudyConfig, Variant, read_study
from captioner.studies.runs import Run, load
from captioner.studies.subjects import Outcome, subject_of
from captioner.studies.summary import differences, table
from captioner.tasks import MULTIMODAL
from captioner.translation import Translator
from tests import seen
from tests.test_studies_runs import run_of

pytest.importorskip("sacremoses")

TEXT = """
task = "translate"
[data]
subwords = 330
[[data.train]]
source = "train.en"
target = "train.de"
languages = ["en", "de"]
[[data.validation]]
source = "val.en"
target = "val.de"
languages = ["en", "de"]
[model.encoder]
hidden_size = 16
[model.attention]
score = "additive"
query = "before"
input_feeding = false
size = 16
[model.decoder]
hidden_size = 64
embedding_size = 64
[search]
beam_size = 1
max_length = 5
alternatives = 0
"""
PHOTO = """
[model.photo]
name = "resnet18"
stages = 4
stride = 16
image_size = 32
feature_size = 32
weights = "random"
"""
STUDY = """
title = "Tiny"
recipe = "seen.toml"
output = "runs"
documents = "docs"
minutes = 0.002
points = 2
seeds = [1]
items = 6
curve_items = 3
masked = true
[[variants]]
name = "text-only"
recipe = "text.toml"
core = true
[[variants]]
name = "flat"
core = true
settings = ["model.attention.combination=flat"]
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    seen.write(tmp_path)
    Path("text.toml").write_text(TEXT)
    text = TEXT.replace('"translate"', '"multimodal"') + PHOTO
    for split in ("train", "val"):
        own = f'photos = "{split}.images.txt"\nimages = "."\n'
        text = text.replace(f'source = "{split}.en"\n', f'source = "{split}.en"\n{own}')
    Path("seen.toml").write_text(text)
    Path("study.toml").write_text(STUDY)
    return tmp_path


def test_a_study_with_photos_and_without(study: Path) -> None:
    typed = ["study", "multimodal", "--config", "study.toml", "--device", "cpu"]
    assert main(typed) == 0
    text, flat = load(Path("runs/text-only-1.json")), load(Path("runs/flat-1.json"))
    assert set(text.outcome.conditions) == {"masked words said"}
    assert set(flat.outcome.conditions) == {
        "chrF: a wrong photo",
        "chrF: no photo",
        "masked words said",
        "masked words said: a wrong photo",
    }
    assert {len(values) for name, values in flat.outcome.conditions.items() if "chrF" in name} == {
        6
    }
    # Balls and dogs are asked for, cups are no visible words.
    assert len(flat.outcome.conditions["masked words said"]) == 4
    assert set(flat.outcome.measures) == {
        "chrf",
        "BLEU, ≤ 8 words",
        "BLEU, a wrong photo",
        "BLEU, no photo",
        "BLEU, masked",
        "BLEU, masked, a wrong photo",
    }
    written = Path("docs/table.md").read_text()
    for part in (
        "## Under other conditions",
        "| chrF: a wrong photo | flat | 1 |",
        "| masked words said | text-only | 1 |",
        "| masked words said | text-only − flat | 1 |",
    ):
        assert part in written, written

    Path("study.toml").write_text(STUDY.replace("masked = true", "masked = false"))
    assert main([*typed, "--overwrite"]) == 0
    assert set(load(Path("runs/text-only-1.json")).outcome.conditions) == set()


def test_a_wrong_photo_tells_a_wrong_colour(seen_world: Path, seen_weights: Path) -> None:
    recipe = seen.recipe(seen_world, Path("none"))
    from captioner import tasks

    data = tasks.of(recipe).read(recipe)
    subject = subject_of(MULTIMODAL, data, recipe, 6, masks=False)
    outcome = subject.whole(Translator.load(seen_weights))
    assert outcome.measures["BLEU, a wrong photo"] < outcome.score
    lost = np.array(outcome.each) - outcome.conditions["chrF: a wrong photo"]
    assert lost.min() > 0  # every sentence has its colour from its photo
    assert len(photos_of(subject.pairs)) == 2  # type: ignore[attr-defined]


def test_conditions_are_held_against_what_they_are_conditions_of() -> None:
    def of(variant: str, asked: float, wrong: float) -> Run:
        run = run_of(variant, 1, [1.0, 2.0, 4.0])
        run.outcome.conditions.update(
            {
                "chrF: a wrong photo": [0.5, 1.5, 3.5],
                "said": [asked, asked],
                "said: a wrong photo": [wrong, wrong],
            }
        )
        return run

    runs = {"one": [of("one", 0.75, 0.5)], "two": [of("two", 0.25, 0.25)]}
    [(_, _, value, _)] = differences(runs, "said")
    assert value == pytest.approx((0.5, 0.5, 0.5))
    assert differences(runs, "not asked") == []
    variants = (Variant("one", core=True), Variant("two", core=True))
    config = StudyConfig("T", "r.toml", "o", "d", seeds=(1,), variants=variants)
    text = table(config, [run for own in runs.values() for run in own], "captioner study x", "")
    assert (
        "| chrF: a wrong photo | one | 1 | 1.833 [0.500, 3.500] | +0.500 [+0.500, +0.500] |" in text
    )
    assert (
        "| said: a wrong photo | one | 1 | 0.500 [0.500, 0.500] | +0.250 [+0.250, +0.250] |" in text
    )
    assert (
        "| said: a wrong photo | two | 1 | 0.250 [0.250, 0.250] | +0.000 [+0.000, +0.000] | noise"
        in text
    )
    assert "| said | one − two | 1 | +0.500 [+0.500, +0.500] |" in text


def test_old_runs_and_keys_stay_what_they_were(study: Path) -> None:
    """A run that was made before there were conditions is read; its key is the same."""
    from captioner.studies.runs import _key

    assert Outcome(1.0, [1.0], 0.5).conditions == {}
    config = read_study("study.toml")
    recipe = config.recipe_of(config.variants[0], 1)
    assert _key(config, recipe) != _key(read_study("study.toml", [("masked", False)]), recipe)


def test_a_run_over_other_items_is_another_run(study: Path) -> None:
    """The first seed sets the items aside: a run of it knows which were not learned."""
    from captioner.studies.runs import _key

    config = read_study("study.toml")
    recipe = config.recipe_of(config.variants[0], 4)
    keys = {
        tuple(seeds): _key(dataclasses.replace(config, seeds=tuple(seeds)), recipe)
        for seeds in ([1, 4], [1, 2, 4], [4], [4, 5])
    }
    assert keys[1, 4] == keys[1, 2, 4]
    assert keys[4,] == keys[4, 5] != keys[1, 4]


def test_captions_have_no_masked_words() -> None:
    with pytest.raises(ConfigError, match="this study is not made for recipes of task 'caption'"):
        subject_of("caption", None, None, 5, masks=True)
