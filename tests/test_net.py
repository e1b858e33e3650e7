from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.net import differences, kept, surface
from benchmarks.net.__main__ import PARTS, main
from benchmarks.net.kept import Kept
from captioner import checkpoint as checkpoints
from captioner.checkpoint import Checkpoint
from captioner.prediction import Captioner
from captioner.translation import Translator

ROOT = Path(__file__).parent.parent
ENGLISH = ("A dog runs over the log.", "Two men are sleeping.", "Is the ball red?")
FRENCH = ("Je suis étudiant.", "Deux hommes dorment.", "Le ballon est-il rouge ?")


@pytest.fixture(scope="module")
def inputs(
    tiny_checkpoint: Checkpoint, translation_weights: str, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """Flags of `keep`: the tiny models, three photos, three sentences a language, and no model."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "photos").mkdir()
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 256, (7, 13, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels).resize((97, 53), Image.Resampling.BICUBIC)
        picture.save(folder / "photos" / f"{number}.png")
    checkpoints.save(tiny_checkpoint, folder / "tiny.safetensors", torch.float32)
    (folder / "strange.safetensors").write_bytes(b"no weights")
    (folder / "few.en").write_text("\n".join(ENGLISH), encoding="utf-8")
    (folder / "few.tsv").write_text("\n".join(f"-\t{text}" for text in FRENCH), encoding="utf-8")
    return [
        *("--photos", str(folder / "photos"), "--count", "3", "--rounds", "1"),
        *("--sentences", f"en={folder / 'few.en'}", f"fr={folder / 'few.tsv'}:2"),
        *("--checkpoint", str(folder / "tiny.safetensors"), str(folder / "strange.safetensors")),
        *("--translator", translation_weights),
    ]


@pytest.fixture(scope="module")
def file(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was kept of this code, by a process of its own, as of another environment."""
    path = tmp_path_factory.mktemp("kept") / "this.net"
    line = [sys.executable, "-m", "benchmarks.net", "keep", str(path), *inputs]
    ran = subprocess.run(
        [*line, "--python", sys.executable, "--only", *PARTS[:-1]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "net: strange left out: strange.safetensors: cut short or no safetensors" in ran.stderr
    return path


@pytest.fixture(scope="module")
def found(file: Path) -> Kept:
    return kept.read(file)


def test_all_parts_are_kept(found: Kept) -> None:
    assert found.about["code"] == str(ROOT / "captioner")
    assert tuple(found.parts) == PARTS[:-1]  # a page is started once, not twice
    assert found.about["photos"].startswith("3 (")
    assert found.about["sentences"].startswith("3 en, 3 fr (")


def test_captions_are_those_of_the_captioner(
    found: Kept, inputs: list[str], tiny_captioner: Captioner
) -> None:
    photos = [str(Path(inputs[1]) / f"{number}.png") for number in (0, 1, 3)]  # 3 of 5, spread
    said = list(tiny_captioner.stream(photos, n_best=3))
    kinds = found.parts["captions"]["tiny"]["kinds"]
    assert set(kinds) == {"best", "explained", "greedy", "sampled", "prefix", "translated"}
    weights = found.looks["captions/tiny/best"]
    expected = [one.maps.ravel() for caption in said for one in (caption, *caption.n_best)]
    np.testing.assert_allclose(weights, np.concatenate(expected), atol=1e-6)
    for caption, own in zip(said, kinds["best"], strict=True):
        assert (own["text"], own["words"]) == (caption.text, [w.text for w in caption.words])
        total = sum(own["log_probs"]) + own["end"]
        assert total == pytest.approx(caption.log_prob, abs=1e-5)
        assert len(own["n_best"]) == 2
    assert all(one["text"].startswith("A man") for one in kinds["prefix"])


def test_translations_go_in_all_directions(found: Kept, tiny_translator: Translator) -> None:
    kinds = found.parts["translations"]["translate"]["kinds"]
    ways = {kind.split()[0] for kind in kinds}
    assert ways == {"en-de", "en-fr", "fr-en"}
    for way in ways:
        source, to = way.split("-")
        texts = ENGLISH if source == "en" else FRENCH
        said = list(tiny_translator.stream(texts, to=to, source_language=source))
        assert [one["text"] for one in kinds[f"{way} best"]] == [one.text for one in said]
        assert [one["text"] for one in kinds[f"{way} explained"]] == [one.text for one in said]


def test_what_users_see_is_kept(found: Kept) -> None:
    helps = found.parts["help"]
    assert "--length-penalty" in helps["captioner caption"]
    assert "--iterations" in helps["captioner study alignment"]
    assert "--size" in helps["data/make_scenes.py"]
    assert "beam_size" in found.parts["names"]["SearchOptions"]["parameters"]
    outputs = found.parts["outputs"]
    assert outputs["fields"]["caption"]["error"] == ["null", "text"]
    assert outputs["fields"]["caption"]["words[].alternatives[][]"] == ["number", "text"]
    assert outputs["fields"]["caption --to"]["original.maps[][]"] == ["number"]
    assert "bleu.value" in outputs["scores"]["evaluate (pairs)"]
    assert outputs["tables"]["data check"].startswith("split ")
    assert "| word " in outputs["tables"]["evaluate --boxes"]
    assert outputs["errors"]["captioner fly"]["code"] == 2
    assert "scenes/instances_train.json" in outputs["scenes"]["files"]
    page = found.parts["page"]
    assert set(page["endpoints"]) >= {"/caption", "/caption_batch", "/explain", "/translate"}
    assert page["endpoints"]["/caption"]["parameters"]["n_best"]["default"] == 1
    assert page["fields"]["/caption"]["maps[][]"] == ["number"]
    assert page["errors"] == {}


def test_each_task_has_ten_losses_twice(found: Kept) -> None:
    runs = found.parts["losses"]
    assert set(runs) == {f"{t}, {k}" for t in ("caption", "translate") for k in ("steady", "drawn")}
    for run in runs.values():
        assert len(run["rows"]) == 10
        assert all(float(row["loss"]) == float(row["loss"]) for row in run["rows"])


def test_rates_stand_beside_a_yardstick(found: Kept) -> None:
    assert len(found.parts["rates"]) == 8  # one of each phase of a training
    assert all(len(row) == 2 and min(row) > 0 for r in found.parts["rates"].values() for row in r)


def test_a_code_equals_itself(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(file), str(file)]) == 0
    out = capsys.readouterr().out
    assert "| captions | tiny, all | 17 of 17 sentences the same (100.00%) | |" in out.replace(
        "|  |", "| |"
    )
    assert "| captions | strange | not before: strange.safetensors: cut short" in out
    assert "BEYOND" not in out


def changed(found: Kept, change: Callable[[Kept], object]) -> list[differences.Row]:
    """The rows beyond tolerances, after a change."""
    after = copy.deepcopy(found)
    change(after)
    return [row for row in differences.compare(found, after) if row.beyond]


def best(after: Kept) -> dict[str, Any]:
    own: dict[str, Any] = after.parts["captions"]["tiny"]["kinds"]["best"][1]
    return own


def test_log_probabilities_may_differ_by_rounding(found: Kept) -> None:
    def move(by: float) -> Callable[[Kept], object]:
        return lambda after: best(after).update(end=best(after)["end"] + by)

    assert changed(found, move(9e-5)) == []
    (row,) = changed(found, move(-2e-4))
    assert row.what == "tiny, best"
    assert "9 of 9 sentences the same; log p ±2.0e-04; attention ±0.0e+00" in row.found


def test_attention_of_the_right_sentence_is_compared(found: Kept) -> None:
    def move(after: Kept) -> None:
        after.looks["captions/tiny/best"][-1] += 0.5

    (row,) = changed(found, move)
    assert "log p ±0.0e+00; attention ±5.0e-01" in row.found


def test_two_of_a_thousand_sentences_may_be_others(found: Kept) -> None:
    sentence = {"text": "A dog.", "words": ["a", "dog"], "log_probs": [-1.0, -2.0], "end": -0.5}
    sentence |= {"alternatives": [[], []], "shape": [2, 1], "error": None, "n_best": []}
    many = Kept({"photos": "", "sentences": ""})
    kinds = {"best": [dict(sentence) for _ in range(1000)]}
    many.parts["captions"] = {"tiny": {"sha256": "", "kinds": kinds}}
    many.looks["captions/tiny/best"] = np.ones(2000, np.float32)

    def say(count: int) -> Callable[[Kept], object]:
        def change(after: Kept) -> None:
            for one in after.parts["captions"]["tiny"]["kinds"]["best"][:count]:
                one.update(text="A cat.", words=["a", "cat"])

        return change

    assert changed(many, say(2)) == []
    (row,) = changed(many, say(3))
    assert (row.what, row.found) == ("tiny, all", "997 of 1000 sentences the same (99.70%)")


def test_what_is_lost_is_too_much(found: Kept) -> None:
    def lose_flag(after: Kept) -> None:
        texts = after.parts["help"]
        texts["captioner caption"] = texts["captioner caption"].replace("--maps", "--charts")

    (row,) = changed(found, lose_flag)
    assert (row.what, row.found) == ("captioner caption", "1 LOST: --maps; 1 gained: --charts")
    assert any(line.startswith("+") and "--charts" in line for line in row.detail)

    (row,) = changed(found, lambda after: after.parts["outputs"]["fields"]["caption"].pop("grid"))
    assert (row.part, row.what, row.found) == ("fields", "caption", "1 LOST: grid")

    (row,) = changed(found, lambda after: after.parts["names"].pop("Captioner.explain"))
    assert row.found == "1 LOST: Captioner.explain"

    parameters = lambda after: after.parts["page"]["endpoints"]["/caption"]["parameters"]  # noqa: E731
    (row,) = changed(found, lambda after: parameters(after).pop("to"))
    assert (row.part, row.what, row.found) == ("page", "/caption", "1 LOST: to")

    (row,) = changed(found, lambda after: after.parts["captions"].pop("tiny"))
    assert (row.what, row.found) == ("tiny", "not after: not kept")


def test_what_is_gained_is_not(found: Kept) -> None:
    before = copy.deepcopy(found)
    before.parts["outputs"]["fields"]["caption"].pop("grid")
    before.parts["names"].pop("Word")
    before.parts["captions"]["tiny"] = {"skipped": "an unknown encoder"}
    rows = differences.compare(before, found)
    assert [row for row in rows if row.beyond] == []
    told = [row.found for row in rows]
    assert "1 gained: grid" in told
    assert "1 gained: Word" in told
    assert "not before: an unknown encoder" in told


def test_losses_must_stay_where_nothing_is_drawn(found: Kept) -> None:
    def move(run: str, by: float) -> Callable[[Kept], object]:
        def change(after: Kept) -> None:
            row = after.parts["losses"][run]["rows"][7]
            row["loss"] = str(float(row["loss"]) * by)

        return change

    assert changed(found, move("caption, steady", 1.0005)) == []
    (row,) = changed(found, move("caption, steady", 1.01))
    assert row.found == "10 losses, relative ±1.0e-02"
    assert changed(found, move("caption, drawn", 1.5)) == []


def test_scores_errors_and_types_that_change_are_told(found: Kept) -> None:
    def score(after: Kept) -> None:
        after.parts["outputs"]["scores"]["evaluate"]["bleu_1.value"] += 0.01

    (row,) = changed(found, score)
    assert (row.part, row.what) == ("scores", "evaluate")
    assert row.found.startswith("equal; ±1.0e-02 over ")

    (row,) = changed(
        found, lambda after: after.parts["outputs"]["errors"]["captioner fly"].update(code=1)
    )
    assert row.found == "exit 2 → 1"

    (row,) = changed(
        found, lambda after: after.parts["outputs"]["fields"]["caption"].update(file=["number"])
    )
    assert row.detail == ("file: ['text'] → ['number']",)


def test_other_photos_cannot_be_compared(
    found: Kept, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = dataclasses.replace(found, about={**found.about, "photos": "2 (abc)"})
    kept.write(other, tmp_path / "other.net")
    assert main(["compare", str(file), str(tmp_path / "other.net")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("net: the two were kept from other photos: 3 (")
    assert err.endswith("and 2 (abc); keep both with the same\n")


def test_fields_are_nested_with_all_their_types() -> None:
    values = [{"a": [{"b": 1}, {"b": None}], "c": True}, {"a": [], "d": {"e": "x"}}]
    assert surface.fields_of(values) == {
        "a": ["list"],
        "a[]": ["object"],
        "a[].b": ["null", "number"],
        "c": ["boolean"],
        "d": ["object"],
        "d.e": ["text"],
    }


def test_a_file_that_is_none_of_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.net").write_bytes(b"PK no")
    assert main(["compare", str(tmp_path / "x.net"), str(tmp_path / "x.net")]) == 2
    assert "x.net: `keep` did not write this (" in capsys.readouterr().err


def test_a_kept_file_is_not_replaced(
    file: Path, inputs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    size = file.stat().st_size
    assert main(["keep", str(file), *inputs]) == 2
    assert (
        capsys.readouterr().err
        == f"net: {file} is there; --overwrite replaces it, --add adds to it\n"
    )
    assert file.stat().st_size == size


def test_parts_are_added_to_those_of_the_same_code(
    found: Kept, inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = dataclasses.replace(found, parts={"names": {}, "help": {"x": "y"}}, looks={})
    kept.write(own, tmp_path / "own.net")
    assert main(["keep", str(tmp_path / "own.net"), *inputs, "--add", "--only", "names"]) == 0
    again = kept.read(tmp_path / "own.net")
    assert again.parts == {"names": found.parts["names"], "help": {"x": "y"}}

    kept.write(dataclasses.replace(own, about={**own.about, "commit": "0"}), tmp_path / "other.net")
    assert main(["keep", str(tmp_path / "other.net"), *inputs, "--add", "--only", "names"]) == 2
    assert "--add takes the same code with the same photos" in capsys.readouterr().err
    assert kept.read(tmp_path / "other.net").parts == own.parts
