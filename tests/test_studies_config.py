"""What a study is asked for: the configs kept here, and what is refused before hours are spent."""

from __future__ import annotations

from pathlib import Path

import pytest

from captioner.cli.study_family import ABOUT
from captioner.errors import ConfigError
from captioner.studies.config import StudyConfig, Variant, read_study, typed

ROOT = Path(__file__).parent.parent
TEXT = """
title = "Cells"
recipe = "configs/family-translations.toml"
output = "runs/study"
documents = "docs/study"
seeds = [3, 5]
settings = ["model.decoder.gate=true"]

[[variants]]
name = "gru"
settings = ["model.decoder.cell=gru"]

[[variants]]
name = "lstm"
core = true
"""


@pytest.mark.parametrize("name", ABOUT)
def test_every_study_has_its_config_whose_recipes_are_valid(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    config = read_study(f"configs/study-{name}.toml")
    assert config.title
    for variant, seed in config.runs():
        assert config.recipe_of(variant, seed).seed == seed
    assert sum(variant.core for variant in config.variants) >= 2
    assert len(config.runs()) * config.minutes < 4 * 60  # minutes: what two cores finish


def test_core_variants_take_every_seed_and_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    path = tmp_path / "study.toml"
    path.write_text(TEXT)
    config = read_study(path, [("minutes", 0.5)])
    assert config.minutes == 0.5
    runs = [(variant.name, seed) for variant, seed in config.runs()]
    assert runs == [("lstm", 3), ("gru", 3), ("lstm", 5)]
    recipe = config.recipe_of(config.variants[0], 5)
    assert (recipe.seed, recipe.model.decoder.cell, recipe.model.decoder.gate) == (5, "gru", True)
    assert recipe.output == str(Path("runs/study/training"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cell=gru", "cell=sru", "variant gru: model.decoder.cell is 'sru'; expected one of"),
        ("decoder.cell", "decoder.cel", "variant gru: model.decoder.cel is no setting; did you"),
        (
            '"lstm"',
            '"gru"',
            "a study needs variants, each with a name of its own, and seeds; it ha",
        ),
        ("[3, 5]", "[]", "a study needs variants, each with a name of its own, and seeds; it has"),
        (
            '"lstm"',
            '"A B"',
            "a variant is called 'A B'; expected up to 100 small letters, digits, -",
        ),
        ('"lstm"', f'"{"a" * 101}"', "a variant is called 'aaa"),
        ("[3, 5]", "[3, 5, 3]", "seed 3 is there twice in [3, 5, 3]; the same run again tells no"),
        ("[3, 5]", "[3, -5]", "variant lstm: seed is -5; expected"),
        ("cell=gru", 'cell=gru", "seed = 9', "settings have 'seed = 9', but every run has its se"),
        ("gate=true", 'gate=true", "output=x', "settings have 'output=x', but every run has its "),
        ("title", "minutes = 1e308\ntitle", r"minutes is 1e\+308; expected at most 100,000"),
        ("title", "minutes = nan\ntitle", "minutes is nan; expected a finite number"),
        ("title", "minutes = inf\ntitle", "minutes is inf; expected a finite number"),
        ("title", "minutes = -1.0\ntitle", "minutes is -1.0; expected a number above 0"),
        ("gate=true", "gate", "'model.decoder.gate' sets nothing; expected a place and a value"),
        ('output = "runs/study"', "", "the study names no output; write one"),
        ("seeds", "seed", "seed is no setting; did you mean seeds"),
        ("title", "title =", "no TOML"),
    ],
)
def test_what_makes_no_study_is_told_at_once(
    old: str, new: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    path = tmp_path / "study.toml"
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        read_study(path)


def test_a_missing_file_and_variants_of_two_tasks_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError, match=r"^none.toml: no such file; expected a study \(.toml\)$"):
        read_study("none.toml")
    with pytest.raises(ConfigError, match=r"^warmup is 1\.0; expected a share between 0 and 1"):
        StudyConfig(recipe="r", output="o", documents="d", warmup=1.0, variants=(Variant("one"),))
    assert typed("a.b = c=d") == ("a.b", "c=d")
