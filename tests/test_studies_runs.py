"""A study from its config to its tables, at a size of seconds: made, kept, gone on with."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from captioner.checkpoint import TranslationCheckpoint
from captioner.cli import main, study_family
from captioner.errors import ConfigError, DataError
from captioner.studies.budget import Point
from captioner.studies.config import StudyConfig, Variant
from captioner.studies.runs import Run, load
from captioner.studies.subjects import Outcome, subject_of
from captioner.studies.summary import differences, interval, results, table
from captioner.training.folder import marked

pytest.importorskip("sacremoses")

RECIPE = """
task = "translate"
[data]
subwords = 80
byte_fallback = false
[[data.train]]
source = "one.en"
target = "one.de"
languages = ["en", "de"]
[[data.validation]]
source = "one.en"
target = "one.de"
languages = ["en", "de"]
[model.encoder]
hidden_size = 6
heads = 3
dropout = 0.0
[model.attention]
input_feeding = false
[model.decoder]
hidden_size = 12
embedding_size = 12
heads = 3
[search]
beam_size = 1
max_length = 5
alternatives = 0
"""
STUDY = """
title = "Tiny"
recipe = "recipe.toml"
output = "runs"
documents = "docs"
minutes = 0.002
points = 2
seeds = [1, 2]
items = 5
curve_items = 3
gradients = 3
[[variants]]
name = "gru"
core = true
settings = ["model.decoder.cell=gru"]
[[variants]]
name = "transformer"
core = true
settings = ["model.decoder.kind=transformer", "model.encoder.kind=transformer"]
[[variants]]
name = "dot"
settings = ["model.attention.score=dot"]
"""


@pytest.fixture
def study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phrases: dict[str, tuple[str, ...]]
) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("en", "de"):
        Path(f"one.{name}").write_text("".join(f"{text}\n" for text in phrases[name]))
    Path("recipe.toml").write_text(RECIPE)
    Path("study.toml").write_text(STUDY)
    return tmp_path


def run(*more: str) -> int:
    return main(
        ["study", "family-translations", "--config", "study.toml", *more, "--device", "cpu"]
    )


@pytest.mark.parametrize(
    ("place", "time", "kept"),
    [
        ("captioner.training.callbacks.Interrupt.on_step", 1, 0),
        ("captioner.studies.runs.write_text", 1, 0),  # behind a training
        ("captioner.studies.runs.write_text", 2, 1),
        ("captioner.studies.grounded.added", 1, 2),
    ],
)
def test_ctrl_c_keeps_the_runs_that_are_finished(
    study: Path,
    press: Callable[[str, int], None],
    capsys: pytest.CaptureFixture[str],
    place: str,
    time: int,
    kept: int,
) -> None:
    few = STUDY.rpartition("[[variants]]")[0].replace("[1, 2]", "[1]")
    Path("study.toml").write_text(few)
    press(place, time)
    assert run() == 130
    assert capsys.readouterr().err.splitlines() == [
        f"captioner: stopped; {kept} of 2 runs are kept in runs: the same command goes on"
    ]
    assert len(list(Path("runs").glob("*.json"))) == kept
    assert [path.name for path in study.rglob("*") if ".partial" in path.name] == []
    assert not Path("docs/table.md").exists()
    assert not Path("runs/run.lock").exists()


def test_a_study_is_made_written_and_gone_on_with(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    out = capsys.readouterr().out
    assert "5 runs of 0.002 minutes on cpu" in out
    assert "5/5 · transformer · seed 2 · BLEU" in out or "5/5 · gru · seed 2 · BLEU" in out
    files = sorted(path.name for path in Path("docs").iterdir())
    assert files == ["curves.png", "gradients.png", "results.csv", "table.md"]
    text = Path("docs/table.md").read_text()
    for part in (
        "# Tiny",
        "| variant | seeds | 0 to 1 | 2 to 5 | 6 to 11 | 12 to 23 |",
        "| gru − transformer | 2 |",
        "| dot | 1 |",
        "Tried once each",
        "captioner study family-translations --config study.toml",
        "- transformer: `model.decoder.kind=transformer model.encoder.kind=transformer`",
    ):
        assert part in text, text
    with Path("docs/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["variant"], row["seed"]) for row in rows] == [
        ("gru", "1"),
        ("transformer", "1"),
        ("dot", "1"),
        ("gru", "2"),
        ("transformer", "2"),
    ]
    kept = Path("runs/gru-1.json")
    found = load(kept)
    assert len(found.outcome.each) == 5
    assert len(found.outcome.said) == 5
    assert found.curve[-1].seconds >= 0.12
    held = TranslationCheckpoint.load("runs/transformer-2.safetensors")
    assert held.config.decoder.kind == "transformer"
    assert held.provenance["variant"] == "transformer"

    # What is there stays, wherever the folder lies; what was changed, or is lost, is made anew.
    stamps = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*.json")}
    Path("runs").rename("elsewhere")
    assert run("--runs", "elsewhere") == 0
    assert {path.stat().st_mtime_ns for path in Path("elsewhere").glob("*.json")} == {
        *stamps.values()
    }
    Path("elsewhere").rename("runs")
    Path("runs/dot-1.json").unlink()
    Path("study.toml").write_text(STUDY.replace("cell=gru", "cell=rnn"))
    assert run() == 0
    made = {p.name for p in Path("runs").glob("*.json") if stamps.get(p) != p.stat().st_mtime_ns}
    assert made == {"dot-1.json", "gru-1.json", "gru-2.json"}

    kept.write_text("{}")
    assert run() == 2
    assert "runs/gru-1.json: no run of a study" in capsys.readouterr().err


def test_wrong_seeds_and_studies_of_two_directions_are_told(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--seeds", "1,b") == 2
    assert "--seeds 1,b are no seeds; expected whole numbers: 1,2,3" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="gradients by distance are not made for recipes of tas"):
        subject_of("caption", None, None, 5, 3)
    with pytest.raises(ConfigError, match="this study is not made for recipes of task 'multi'"):
        subject_of("multi", None, None, 5)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--runs", "recipe.toml"), "runs recipe.toml cannot be made (File exists); choose anothe"),
        (("--runs", "recipe.toml/in"), "runs recipe.toml/in cannot be made (Not a directory); cho"),
        (("--output", "recipe.toml"), "recipe.toml is a file, and no folder for recipe.toml/tabl"),
        (("--seeds", "1,1"), "seed 1 is there twice in [1, 1]; the same run again tells nothing, "),
        (("--minutes", "1e308"), "minutes is 1e+308; expected at most 100,000"),
        (("--minutes", "nan"), "minutes is nan; expected a finite number"),
        (("--minutes", "-1"), "minutes is -1.0; expected a number above 0"),
    ],
)
def test_what_cannot_be_is_told_before_a_run_begins(
    more: tuple[str, ...], message: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(study.iterdir())
    assert run(*more) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert sorted(study.iterdir()) == before


def test_two_studies_are_not_made_in_one_folder(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(study_family, "_run", lambda *_: begun.append("one") or 0)
    with marked(Path("runs"), "--runs"):
        assert run() == 2
    assert capsys.readouterr().err == (
        "captioner: another run is at work in runs; let it end, or choose another --runs\n"
    )
    assert begun == []
    assert Path("runs/run.lock").exists()  # as a killed one leaves it, which holds nobody up
    assert run() == 0
    assert begun == ["one"]
    assert list(Path("runs").iterdir()) == []


def run_of(variant: str, seed: int, each: list[float]) -> Run:
    outcome = Outcome(float(np.mean(each)), each, 0.5, measures={"spread": 0.25})
    curve = (Point(3, 30.0, 2.0, 0.5), Point(6, 60.0, 1.0, 0.9))
    return Run(variant, seed, "CIDEr", "CIDEr-D of a photo", outcome, curve, 1234, ("a=b",), "k")


def test_pairs_are_compared_over_the_seeds_and_items_that_both_have() -> None:
    runs = {
        "one": [run_of("one", 1, [1.0, 2.0, 4.0]), run_of("one", 2, [1.0, 2.0, 4.0])],
        "other": [run_of("other", 2, [0.0, 1.0, 3.0]), run_of("other", 3, [9.0, 9.0, 9.0])],
    }
    [(first, second, value, seeds)] = differences(runs)
    assert (first, second, seeds) == ("one", "other", 1)
    assert value == pytest.approx((1.0, 1.0, 1.0))


def test_an_interval_is_as_wide_as_its_seeds_and_items_differ() -> None:
    rng = np.random.default_rng(0)
    items = rng.normal(size=(1, 400)).repeat(5, 0)
    value, low, high = interval(items)
    assert value == pytest.approx(items.mean())
    assert (high - low) / 2 == pytest.approx(1.96 / 20, rel=0.15)
    seeds = rng.normal(size=(400, 1)).repeat(7, 1)
    _, low, high = interval(seeds)
    assert (high - low) / 2 == pytest.approx(1.96 / 20, rel=0.15)


def test_tables_say_what_climbs_and_what_is_noise() -> None:
    variants = (Variant("one", core=True), Variant("two", core=True))
    config = StudyConfig("T", "r.toml", "o", "d", seeds=(1,), variants=variants)
    runs = [run_of("one", 1, [1.0, 2.0, 4.0]), run_of("two", 1, [2.0, 1.0, 4.0])]
    text = table(config, runs, "captioner study x", "Here.")
    assert "| one | 1 | 2.333 |" in text
    assert "| climbs |" in text
    _, low, high = interval(np.array([[-1.0, 1.0, 0.0]]))
    assert low < -0.5
    assert high > 0.5
    assert f"| one − two | 1 | +0.000 [{low:+.3f}, {high:+.3f}] | noise |" in text
    assert results(runs).splitlines()[1] == ("one,1,CIDEr,2.33333,0.25,0.5,10,6,1234,True,a=b")


def test_a_damaged_run_is_told(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    for text in ("", "{", json.dumps({"outcome": {}})):
        path.write_text(text)
        with pytest.raises(DataError, match=r"no run of a study .*; remove it to make it anew"):
            load(path)
