"""`captioner evaluate` on sentence pairs; on photos it is tested in test_cli.py."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from captioner import checkpoint as checkpoints
from captioner import metrics, storage
from captioner.captions.evaluation import CaptionEvaluation
from captioner.checkpoint import Checkpoint
from captioner.cli import main
from captioner.options import SearchOptions
from captioner.prediction import Captioner
from captioner.scoring import decoding
from captioner.translation import Translator
from captioner.translations.evaluation import TranslationEvaluation
from captioner.trials import Trial
from tests.commands import (
    names_in,
    read_objects,
)

pytest.importorskip("sacremoses")
pytest.importorskip("sacrebleu")

NAMES = ["bleu", "sacrebleu", "chrf"]
OWN_WORDS = ("A dog runs through the snow.", "Two men jump.", "The red ball is a table!")
GERMAN = ("Ein Hund läuft durch den Schnee.", "Zwei Männer springen.", "Der Ball ist ein Tisch!")


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phrases: dict[str, tuple[str, ...]]
) -> Path:
    """The current folder, with the known sentences and a few of their words in another order."""
    for language, several in phrases.items():
        (tmp_path / f"val.{language}").write_text("\n".join(several) + "\n", encoding="utf-8")
    for language, several in (("en", OWN_WORDS), ("de", GERMAN)):
        (tmp_path / f"test.{language}").write_text("\n".join(several) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def of_pairs(here: Path, translation_weights: str) -> Callable[..., int]:
    """Runs `evaluate` with the tiny translator; its file is `tiny.safetensors`."""
    shutil.copy(translation_weights, "tiny.safetensors")

    def run(*arguments: object, split: str = "test", to: str = "de") -> int:
        files = ["--source", f"{split}.en", "--target", f"{split}.{to}", "--from", "en", "--to", to]
        own = ["--checkpoint", "tiny.safetensors", "--device", "cpu"]
        return main(["evaluate", *files, *map(str, arguments), *own])

    return run


def _rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def test_scores_are_those_of_the_translations(
    of_pairs: Callable[..., int], tiny_translator: Translator, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--bootstrap", 7, "--output", "out", "--beam-size", 2, "--json", "scores.json"]
    assert of_pairs(*flags) == 0
    stream = tiny_translator.stream(OWN_WORDS, to="de", source_language="en", beam_size=2)
    said = [translation.text for translation in stream]
    recipe = decoding(tiny_translator.options(beam_size=2))
    expected = metrics.score_translations(said, GERMAN, "de", bootstrap=7, decoding=recipe)
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        *map(str, expected.values()),
        "out/: scores.json, translations.jsonl",
    ]
    assert err == ""
    record = json.loads(Path("out/scores.json").read_text())
    assert record["scores"] == json.loads(
        json.dumps({name: score.to_dict() for name, score in expected.items()})
    )
    assert list(record["scores"]) == NAMES
    about = {"source": "test.en", "target": "test.de", "from": "en", "to": "de"}
    assert {name: record[name] for name in about} == about
    assert (record["sentences"], record["failed"]) == (3, [])
    assert record["decoding"]["beam_size"] == 2
    assert json.loads(Path("scores.json").read_text()) == record
    rows = _rows("out/translations.jsonl")
    assert [list(row) for row in rows] == [
        ["source", "reference", "translation", "chrf", "error"]
    ] * 3
    assert [row["source"] for row in rows] == list(OWN_WORDS)
    assert [row["reference"] for row in rows] == list(GERMAN)
    assert [row["translation"] for row in rows] == said
    for row in rows:
        own = metrics.chrf([row["translation"]], [row["reference"]])[0]
        assert row["chrf"] == pytest.approx(own, abs=1e-4)
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "scores.json",
        "translations.jsonl",
    ]


def test_a_line_of_the_target_may_hold_several_references(
    of_pairs: Callable[..., int], tiny_translator: Translator, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = tiny_translator.stream(OWN_WORDS, to="de", source_language="en")
    said = [translation.text for translation in stream]
    lines = [f"Etwas anderes.\t{text}" for text in said[:2]] + list(GERMAN[2:])
    Path("test.de").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert of_pairs("--output", "out") == 0
    assert "nrefs:var|case:mixed" in capsys.readouterr().out
    rows = _rows("out/translations.jsonl")
    assert rows[0]["references"] == ["Etwas anderes.", said[0]]
    assert [row["chrf"] for row in rows[:2]] == [1, 1]
    assert "references" not in rows[2]


def test_only_the_first_pairs(
    of_pairs: Callable[..., int], tiny_translator: Translator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert of_pairs("--limit", 5, "--bootstrap", 0, split="val") == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in out] == [[name, "1.0000"] for name in NAMES]
    own = decoding(tiny_translator.options())
    assert all(line.endswith(f" | N 5 | no bootstrap | {own})") for line in out)


def test_what_fails_is_told_and_counts_as_empty(
    of_pairs: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("test.en").write_text("\n".join([OWN_WORDS[0], "ЖЖЖ", OWN_WORDS[2]]), encoding="utf-8")
    assert of_pairs("--bootstrap", 0, "--json", "-", "--output", "out") == 1
    out, err = capsys.readouterr()
    record = json.loads(out)
    (failed,) = record["failed"]
    assert failed.startswith("'ЖЖЖ' counts as not translated: nothing of this can be read")
    assert f"captioner: {failed}\n" in err
    assert record["sentences"] == 3
    row = _rows("out/translations.jsonl")[1]
    assert (row["translation"], row["chrf"]) == ("", 0.0)
    assert row["error"].startswith("nothing of this can be read")
    said = [row["translation"] for row in _rows("out/translations.jsonl")]
    expected = metrics.score_translations(said, GERMAN, "de", bootstrap=0)["bleu"]
    assert record["scores"]["bleu"]["value"] == expected.value


def test_scores_of_several_directions_add_up(
    of_pairs: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    old = checkpoints.describe("tiny.safetensors")
    first = ["--beam-size", 2, "--length-penalty", 1, "--bootstrap", 0]
    assert of_pairs(*first, "--save-scores", "validation", split="val") == 0
    told = "tiny.safetensors: scores kept as 'validation en-de'; its own decoding is the one scored"
    assert told in capsys.readouterr().out
    assert of_pairs("--bootstrap", 0, "--save-scores", split="val", to="fr") == 0
    assert of_pairs("--bootstrap", 0, "--limit", 2, "--save-scores", "my en-de") == 0
    header = checkpoints.describe("tiny.safetensors")
    kept = header["provenance"]["scores"]
    assert list(kept) == ["validation en-de", "val en-fr", "my en-de"]
    for scores in kept.values():
        assert list(scores) == NAMES
        assert all(s["recipe"].endswith("beam 2, length penalty 1") for s in scores.values())
    assert header["search"]["beam_size"] == 2  # that of the first is its own from then on
    assert header["search"]["alternatives"] == SearchOptions.alternatives
    same = ("languages", "subwords", "config", "parameters", "task")
    assert {name: header[name] for name in same} == {name: old[name] for name in same}
    loaded = Translator.load("tiny.safetensors")
    assert loaded("I am a student.", to="de").text == "Ich bin Student."
    capsys.readouterr()
    assert main(["describe", "tiny.safetensors"]) == 0
    out = capsys.readouterr().out
    assert "scores on validation en-de:\n  bleu 1.0000 (BLEU-4, corpus | " in out
    assert "scores on val en-fr:\n  bleu 1.0000 (BLEU-4, corpus | " in out


def test_describe_shows_what_a_translator_is(
    of_pairs: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    score = {"name": "bleu", "value": 0.25, "interval": None, "recipe": "in training"}
    judged = checkpoints.load_translation("tiny.safetensors")
    scores = {"bleu": score, "bleu_en_de": score}
    checkpoints.save_scores("tiny.safetensors", judged, "validation", scores, judged.search)
    assert main(["describe", "tiny.safetensors"]) == 0
    out = capsys.readouterr().out
    assert "scores on validation:\n  bleu 0.2500 (in tr" in out
    assert "\n  bleu_en_de 0.2500 (in training)\n" in out  # and no second `bleu`
    shown = " ".join(out.split())
    for text in (
        "task sentence to translation",
        "languages en → de, en → fr, fr → en",
        "encoder bidirectional LSTM: a piece of a word becomes 64 features",
        "attention general score, asked after the recurrent step, its last context fed back",
        "pieces of words for all languages, 4 special tokens and 3 that start a language",
        f"decoding {decoding(judged.search)}, at most {judged.search.max_length} pieces",
        "licence for tests",
    ):
        assert text in shown


def test_search_takes_the_best_by_bleu(
    of_pairs: Callable[..., int],
    tiny_translator: Translator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: dict[str, Any] = {}
    trials = (
        Trial(1, None, {"bleu": 0.25, "chrf": 0.75}),
        Trial(5, 0.0, {"bleu": 0.5, "chrf": 0.25}),
    )

    def search(
        self: TranslationEvaluation, options: SearchOptions, **settings: Any
    ) -> tuple[Trial, ...]:
        seen.update(settings, options=options, pairs=len(self.items), batch_size=self.batch_size)
        return trials

    monkeypatch.setattr(TranslationEvaluation, "search", search)
    assert of_pairs("--search", "--bootstrap", 0, "--max-length", 31, "--batch-size", 2) == 0
    del seen["progress"]
    assert seen == {
        "pairs": 3,
        "beam_sizes": (1, 3, 5),
        "length_penalties": (0.0, 0.5, 0.7, 1.0),
        "batch_size": 2,
        "options": tiny_translator.options(max_length=31, alternatives=0),
    }
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["beam", "length", "penalty", "BLEU", "chrF"],
        ["1", "–", "0.2500", "0.7500"],
        ["5", "0", "0.5000", "0.2500"],
    ]
    assert lines[3] == "best by BLEU: beam size 5, length penalty 0"
    assert lines[4] == "chosen on these very sentences: for scores to be compared, take others"
    assert [line.split()[0] for line in lines[6:]] == NAMES
    assert all(line.endswith("beam 5, length penalty 0)") for line in lines[6:])


def test_a_search_from_end_to_end(
    of_pairs: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert of_pairs("--search", "--bootstrap", 0, "--save-scores", "validation") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 1 + 2 * 4 + 3 + 3 + 1
    values = {row.split()[2] for row in lines[1:10]}
    assert f"bleu {max(values, key=float)} " in lines[13]
    chosen = checkpoints.describe("tiny.safetensors")["search"]
    assert f"best by BLEU: beam size {chosen['beam_size']}" in lines[10]


class _Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_progress_bar(
    of_pairs: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert of_pairs("--bootstrap", 0) == 0
    assert "0/3" in terminal.getvalue()
    assert "sentence" in terminal.getvalue()
    assert capsys.readouterr().out.count("\n") == 3


def test_ctrl_c_leaves_nothing_half_written(
    of_pairs: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before, files = Path("tiny.safetensors").read_bytes(), sorted(Path().iterdir())
    stream = Translator.stream

    def stopped(*arguments: Any, **settings: Any) -> Any:
        found = stream(*arguments, **settings)
        yield next(found)
        raise KeyboardInterrupt

    monkeypatch.setattr(Translator, "stream", stopped)
    assert of_pairs("--output", "out", "--save-scores", "--json", "scores.json") == 130
    assert capsys.readouterr().err == "captioner: stopped\n"
    assert Path("tiny.safetensors").read_bytes() == before
    assert sorted(Path().iterdir()) == files


PAIRS = ["--source", "val.en", "--target", "val.de", "--from", "en", "--to", "de"]
PHOTOS = ["--captions", "c.json", "--images", "photos"]
ONE = "evaluate scores one of the two at a time"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "evaluate takes captioned photos, --captions FILE --images DIR, or sentence pairs, "),
        (["--limit", "3"], "evaluate takes captioned photos"),
        (PAIRS[:-2], "the following arguments are required: --to, as --source is there; see"),
        (
            ["--to", "de"],
            "the following arguments are required: --source, --target, --from, as --to is there",
        ),
        (
            ["--workers", "3"],
            "the following arguments are required: --captions, --images, as --workers is there",
        ),
        (
            [*PAIRS, *PHOTOS],
            f"--captions is about captioned photos and --source about sentence pairs; {ONE}",
        ),
        (
            [*PAIRS, "--metrics", "bleu"],
            f"--metrics is about captioned photos and --source about sentence pairs; {ONE}",
        ),
        (
            [*PHOTOS, "--from", "en"],
            f"--captions is about captioned photos and --from about sentence pairs; {ONE}",
        ),
        ([*PAIRS, "--limit", "0"], "--limit is 0; expected 1 pair or more"),
        ([*PHOTOS, "--limit", "0"], "--limit is 0; expected 1 photo or more"),
        ([*PAIRS, "--bootstrap", "-1"], "argument --bootstrap: '-1' is no whole number from 0"),
        (
            [*PAIRS, "--save-scores"],
            "--save-scores changes a checkpoint; name it with --checkpoint FILE",
        ),
        (
            [*PAIRS, "--search", "--length-penalty", "1"],
            "--search finds beam size and length penalty itself; leave --length-penalty out",
        ),
        ([*PAIRS, "--top-p", "0.5"], "--top-p shapes random draws and does nothing here; add"),
        ([*PAIRS[:-1], "en"], "languages is ['en', 'en']; expected the codes of the two languages"),
        (["--source", "no.en", *PAIRS[2:]], "no.en: no such file; expected sentences, one a line"),
        (
            [*PAIRS[:2], "--target", "test.de", *PAIRS[4:]],
            "val.en has 7 lines and test.de 3: line n of one must be the translation of line n",
        ),
        (["--source", "latin", "--target", "latin", *PAIRS[4:]], "latin: line 1 is not UTF-8 text"),
        (["--source", "empty", "--target", "empty", *PAIRS[4:]], "empty: holds no pair of sent"),
        ([*PAIRS, "--checkpoint", "no.safetensors"], "no.safetensors: no such file; expected a"),
        ([*PAIRS, "--checkpoint", "val.en"], "val.en: cut short or no safetensors file"),
    ],
)
def test_misuse_is_told_in_one_line(
    arguments: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("latin").write_bytes(b"\xe9t\xe9\n")
    Path("empty").write_text("\n")
    before = sorted(here.iterdir())
    assert main(["evaluate", *arguments, "--device", "cpu", "--output", "out"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"captioner: {message}")
    assert err.count("\n") == 1, err
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--to", "fr", "--from", "de"], "this checkpoint does not translate 'de' into 'fr'; it"),
        (["--to", "cs"], "this checkpoint does not translate into 'cs'; it translates en → de, "),
        (["--batch-size", 0], "argument --batch-size: '0' is no whole number from 1 to 4096"),
        (["--search", "--batch-size", 0], "argument --batch-size: '0' is no whole number from 1"),
    ],
)
def test_a_translator_says_what_it_cannot_do(
    more: list[object],
    message: str,
    of_pairs: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert of_pairs(*more) == 2  # what is of_pairs last counts
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"captioner: {message}")
    assert err.count("\n") == 1, err


def test_a_captioner_is_no_translator(
    here: Path, tiny_checkpoint: checkpoints.Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints.save(tiny_checkpoint, here / "caption.safetensors")
    own = ["--checkpoint", "caption.safetensors", "--device", "cpu"]
    assert main(["evaluate", *PAIRS, *own]) == 2
    assert capsys.readouterr().err == (
        "captioner: caption.safetensors: a checkpoint for 'caption'; expected one for 'translate' "
        "or 'multimodal'\n"
    )


def test_without_a_checkpoint_the_shipped_translator_is_scored(
    of_pairs: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = []

    def shipped(task: str) -> Path:
        asked.append(task)
        return Path("tiny.safetensors")

    monkeypatch.setattr(storage, "default_path", shipped)
    assert main(["evaluate", *PAIRS, "--bootstrap", "0", "--json", "-", "--device", "cpu"]) == 0
    assert asked == [checkpoints.TRANSLATE]
    out, err = capsys.readouterr()
    assert json.loads(out)["checkpoint"] == "shipped"
    assert err.startswith("bleu 1.0000 ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json", "test.en"], "test.en is read by this very command"),
        (["--json", "tiny.safetensors"], "tiny.safetensors is read by this very command"),
        (["--json", "notes"], "notes is there already and is no file of objects of captioner's"),
        (["--output", "out"], "out/translations.jsonl is there already and is no file of objects"),
        (["--json", "o/scores.json", "--output", "o"], "o/scores.json would be written twice"),
    ],
)
def test_outputs_replace_nothing_of_anybody_else(
    of_pairs: Callable[..., int],
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("out").mkdir()
    for name in ("notes", "out/translations.jsonl"):
        Path(name).write_text("mine")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert of_pairs(*arguments) == 2
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("name", ["out/", "..", "out/."])
def test_json_goes_into_a_file_and_into_no_folder(
    name: str, of_pairs: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert of_pairs("--json", name) == 2
    told = f"captioner: {name} is a folder; expected the name of a file for --json\n"
    assert capsys.readouterr() == ("", told)
    assert not Path("out").exists()


def test_languages_are_read_without_regard_to_case(
    of_pairs: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--source", "test.en", "--target", "test.de", "--bootstrap", "0", "--json", "-"]
    own = ["--checkpoint", "tiny.safetensors", "--device", "cpu"]
    assert main(["evaluate", *files, "--from", "EN", "--to", "De", *own]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["from"], shown["to"]) == ("en", "de")


# Captioned photos


SPLIT = ("--captions", "captions_val.json", "--images", "images")


def test_evaluate(
    typed: Callable[..., int],
    data: Path,
    weights: str,
    tiny_captioner: Captioner,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert typed("evaluate", *SPLIT, "--bootstrap", 7, "--output", "out", "--beam-size", 2) == 0
    out = capsys.readouterr().out.splitlines()
    names = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"]
    assert [line.split()[0] for line in out[:6]] == names
    assert all("beam 2, length penalty 0.7" in line and "N 7" in line for line in out[:6])
    assert names_in("out") == ["captions.jsonl", "extremes.png", "scores.json"]
    record = json.loads(Path("out/scores.json").read_text())
    assert list(record["scores"]) == names
    assert record["photos"] == 7
    assert record["decoding"]["beam_size"] == 2
    rows = read_objects(Path("out/captions.jsonl"))
    assert [row["file"] for row in rows] == [f"images/{number}.png" for number in range(7)]
    assert rows[0]["caption"] == tiny_captioner("images/0.png", beam_size=2).text
    assert len(rows[0]["references"]) == 5
    mean = sum(row["cider"] for row in rows) / 7
    assert record["scores"]["cider"]["value"] == pytest.approx(mean, abs=1e-3)
    assert Image.open("out/extremes.png").width > 700


def test_evaluate_as_json(
    typed: Callable[..., int], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("images/2.png").write_text("no picture")
    flags = ["--metrics", "bleu,cider", "--bootstrap", 0, "--limit", 5]
    assert typed("evaluate", *SPLIT, *flags, "--json", "-") == 1
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert record["photos"] == 4
    assert "images/2.png" in record["left_out"][0]
    assert "images/2.png" in err
    assert set(record["scores"]) == {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider"}
    assert typed("evaluate", *SPLIT, *flags, "--json", "out/scores.json") == 1
    assert json.loads(Path("out/scores.json").read_text()) == record


def test_search_takes_the_best_by_cider(
    typed: Callable[..., int],
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_checkpoint: Checkpoint,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: dict[str, Any] = {}
    trials = (
        Trial(1, None, {"cider": 0.25, "bleu_4": 0.5}),
        Trial(3, 0.0, {"cider": 0.75, "bleu_4": 0.125}),
        Trial(3, 1.0, {"cider": 0.5, "bleu_4": 0.0625}),
    )

    def search(
        self: CaptionEvaluation, options: SearchOptions, **settings: Any
    ) -> tuple[Trial, ...]:
        seen.update(settings, options=options, photos=len(self.items), workers=self.workers)
        return trials

    monkeypatch.setattr(CaptionEvaluation, "search", search)
    flags = ["--search", "--bootstrap", 0, "--max-length", 7, "--workers", 3]
    assert typed("evaluate", *SPLIT, *flags) == 0
    del seen["progress"]
    own = tiny_checkpoint.search.changed(max_length=7, alternatives=0)
    assert seen == {
        "photos": 7,
        "beam_sizes": (1, 3, 5),
        "length_penalties": (0.0, 0.5, 0.7, 1.0),
        "workers": 3,
        "options": own,
    }
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:4]] == [
        ["1", "–", "0.2500", "0.5000"],
        ["3", "0", "0.7500", "0.1250"],
        ["3", "1", "0.5000", "0.0625"],
    ]
    assert lines[4] == "best by CIDEr: beam size 3, length penalty 0"
    assert "chosen on these very photos" in lines[5]
    assert len(lines[7:]) == 6
    assert all(line.endswith("beam 3, length penalty 0)") for line in lines[7:])


def test_scores_are_kept_in_the_checkpoint(
    data: Path,
    weights: str,
    tiny_checkpoint: Checkpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "mine.safetensors"
    first = {"cider": {"name": "cider", "value": 0.5, "interval": None, "recipe": "in training"}}
    provenance = {"licence": "for tests", "scores": {"validation": first}}
    search = dataclasses.replace(tiny_checkpoint.search, alternatives=0)
    old = dataclasses.replace(tiny_checkpoint, provenance=provenance, search=search)
    checkpoints.save(old, path)
    own = ["--checkpoint", str(path), "--device", "cpu", "--bootstrap", "0"]
    flags = ["--beam-size", "2", "--length-penalty", "1", "--save-scores"]
    assert main(["evaluate", *SPLIT, *own, *flags]) == 0
    assert main(["evaluate", *SPLIT, *own, "--save-scores", "test photos"]) == 0
    header = checkpoints.describe(path)
    assert list(header["provenance"]["scores"]) == ["validation", "captions_val", "test photos"]
    assert header["provenance"]["scores"]["validation"] == first
    kept = header["provenance"]["scores"]["captions_val"]
    assert "beam 2, length penalty 1" in kept["cider"]["recipe"]
    assert kept == header["provenance"]["scores"]["test photos"]  # beam 2 is its own now
    assert header["provenance"]["licence"] == "for tests"
    assert header["search"]["beam_size"] == 2
    assert header["search"]["alternatives"] == SearchOptions.alternatives
    capsys.readouterr()
    assert main(["describe", str(path)]) == 0
    out = capsys.readouterr().out
    assert "scores on validation:\n  cider 0.5000 (in training)" in out
    assert "scores on test photos:\n  bleu_1 " in out
