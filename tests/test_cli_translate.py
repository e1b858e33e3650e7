"""`captioner translate`, captions in another language and the training of a translator."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from captioner import checkpoint as checkpoints
from captioner import training
from captioner.checkpoint import Checkpoint
from captioner.cli import main
from captioner.cli.flags import help_of
from captioner.cli.parser import make_parser
from captioner.options import SearchOptions
from captioner.settings import groups, override
from captioner.translation import Translation, Translator
from captioner.translations.recipe import TranslationRecipe

Phrases = dict[str, tuple[str, ...]]
Typed = Callable[..., int]


@pytest.fixture
def typed(
    translation_weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Runs `translate` with the tiny weights on the CPU, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> int:
        own = ["--checkpoint", translation_weights, "--device", "cpu"]
        return main(["translate", *map(str, arguments), *own])

    return run


def _objects(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def _piped(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), "utf-8"))


GUESSED = "language guessed from the words:"

# One sentence.


def test_a_sentence(typed: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("--to", "de", "A brown dog runs through the snow.") == 0
    out, err = capsys.readouterr()
    assert out == "Ein brauner Hund läuft durch den Schnee.\n"
    assert err == f"captioner: {GUESSED} en (1 text); if it is another, name it with --from\n"


def test_the_other_way_round(typed: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("--from", "fr", "--to", "en", "Je", "suis", "étudiant.") == 0  # without quotes
    assert capsys.readouterr() == ("I am a student.\n", "")


def test_the_next_best_stand_behind_tabs(
    typed: Typed, tiny_translator: Translator, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "The students' red snowball jumps!"
    assert typed("--to", "de", "--n-best", "3", "--beam-size", "4", text) == 0
    found = tiny_translator(text, to="de", n_best=3, beam_size=4)
    texts = [found.text, *(other.text for other in found.n_best)]
    assert len(set(texts)) == 3
    assert capsys.readouterr().out == "\t".join(texts) + "\n"


def test_an_object(typed: Typed, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("--to", "de", "Two men are sleeping.", "--jsonl", "-", "--alternatives", "2") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["source"] == "Two men are sleeping."
    assert values["source_words"] == ["Two", "men", "are", "sleeping", "."]
    assert values["translation"] == "Zwei Männer schlafen."
    assert [word["word"] for word in values["words"]] == ["Zwei", "Männer", "schlafen", "."]
    assert all(len(word["alternatives"]) == 2 for word in values["words"])
    assert np.array(values["alignment"]).shape == (4, 5)
    assert np.allclose(np.sum(values["alignment"], 1), 1, atol=1e-3)
    assert values["log_prob"] < 0
    assert (values["from"], values["guessed"], values["to"]) == ("en", True, "de")
    assert values["error"] is None


def test_the_alignment_is_drawn(
    typed: Typed, tiny_translator: Translator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("--to", "de", "I am a student.", "--alignment", "out/map.png") == 0
    assert capsys.readouterr().out == "Ich bin Student.\n"
    with Image.open("out/map.png") as drawn:
        assert drawn.format == "PNG"
        expected = tiny_translator("I am a student.", to="de").heatmap()
        assert drawn.size == expected.size
        assert np.asarray(drawn).tobytes() == np.asarray(expected).tobytes()
    assert [path.name for path in Path("out").iterdir()] == ["map.png"]


def test_what_cannot_be_translated_is_not_drawn(
    typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("--to", "de", "雪", "--alignment", "map.png") == 1
    out, err = capsys.readouterr()
    assert out == "\n"
    assert err.startswith("captioner: nothing of this can be read: not one of its letters")
    assert err.count("\n") == 1
    assert not Path("map.png").exists()
    assert typed("--to", "de", " ", "--alignment", "map.png") == 2
    out, err = capsys.readouterr()
    assert err == "captioner: ' ' is blank; expected a sentence to translate\n"
    assert not Path("map.png").exists()


# Many.

LINES = (
    b"A dog runs over the log.\r\n",
    b"\n",
    b"a caf\xe9\n",
    b"Is the ball red?\n",
    b"dog " * 500 + b"\n",
    "🐶\n".encode(),
    b"\x00\x07\n",
    b"I am a student.",
)


NOT_UTF8 = (
    "not UTF-8 (byte 6: E9); save the file as UTF-8, from Latin-1 with: iconv -f latin1 -t utf-8"
)


def _check_lines(out: str, err: str) -> None:
    said = ["Ein Hund läuft über den Stamm.", "", "", "Ist der Ball rot?", "", "🐶", "", None]
    said[-1] = "Ich bin Student."
    assert out == "\n".join(map(str, said)) + "\n"
    told = err.splitlines()
    assert told[0] == f"captioner: line 3: {NOT_UTF8}"
    assert told[1].startswith("captioner: line 5: 500 words in 500 pieces are too long for one")
    assert told[2:] == [
        "captioner: line 6: '🐶' has no words to translate; it stays as it is",
        "captioner: 2 of 8 failed, see above",
        f"captioner: {GUESSED} en (3 texts); if it is another, name it with --from",
    ]


@pytest.mark.parametrize("batch_size", [1, 64])
def test_a_file_line_for_line(
    batch_size: int, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("lines.txt").write_bytes(b"".join(LINES))
    options = ["--jsonl", "out/all.jsonl", "--batch-size", batch_size]
    assert typed("--to", "de", "--input", "lines.txt", *options) == 1
    _check_lines(*capsys.readouterr())
    objects = _objects("out/all.jsonl")
    assert len(objects) == len(LINES)
    assert [bool(values["error"]) for values in objects] == [
        number in (3, 5) for number in range(1, 9)
    ]
    assert objects[2]["error"] == NOT_UTF8
    assert [bool(values["warning"]) for values in objects] == [n == 6 for n in range(1, 9)]
    assert objects[6]["source"] == "\x00\x07"
    assert objects[0]["source"] == "A dog runs over the log."
    assert [path.name for path in Path("out").iterdir()] == ["all.jsonl"]


def test_standard_input(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _piped(monkeypatch, b"".join(LINES))
    assert typed("--to", "de", "-") == 1
    _check_lines(*capsys.readouterr())
    _piped(monkeypatch, b"")
    assert typed("--to", "de", "-") == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("file", ["-", "photo.jpg"])
def test_a_photo_is_no_text(
    file: str, typed: Typed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\n\xe9\n" * 9
    Path("photo.jpg").write_bytes(content)
    _piped(monkeypatch, content)
    assert typed("--to", "de", *(["-"] if file == "-" else ["--input", file])) == 2
    name = "standard input" if file == "-" else file
    told = f"captioner: {name}: this is no text but a picture or other data; give a text file\n"
    assert capsys.readouterr() == ("", told)


def test_a_mark_at_the_beginning_of_a_file_is_none_of_the_sentence(
    typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("lines.txt").write_bytes("\ufeffIs the ball red?\n".encode())
    assert typed("--to", "fr", "--input", "lines.txt", "--jsonl", "-", "--from", "en") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["source"] == "Is the ball red?"
    assert values["translation"] == "Le ballon est-il rouge ?"
    assert not values["guessed"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_said_to_be_that(
    encoding: str,
    typed: Typed,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = "A dog.\nA cat.\n".encode(encoding)
    Path("lines.txt").write_bytes(content)
    name = encoding[:6]
    told = f"this is {name.upper()} text; save it as UTF-8, with: iconv -f {name} -t utf-8\n"
    assert typed("--to", "de", "--input", "lines.txt") == 2
    assert capsys.readouterr() == ("", f"captioner: lines.txt: {told}")
    _piped(monkeypatch, content)
    assert typed("--to", "de", "-") == 2
    assert capsys.readouterr() == ("", f"captioner: standard input: {told}")


# Texts, and answers that are not to be relied on.


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["Two men are sleeping."], ["Zwei Männer schlafen."]),
        (["Two", "men", "are", "sleeping."], ["Zwei Männer schlafen."]),
        (
            ["Two men are sleeping.", "I am a student."],
            ["Zwei Männer schlafen.", "Ich bin Student."],
        ),
        (
            ["Two men are sleeping", "Is the ball red?"],
            ["Zwei Männer schlafen.", "Ist der Ball rot?"],
        ),
        (["Two men are sleeping. I am a student."], ["Zwei Männer schlafen. Ich bin Student."]),
    ],
)
def test_texts_as_they_are_typed(
    arguments: list[str], texts: list[str], typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("--to", "de", "--from", "en", *arguments, "--jsonl", "all.jsonl") == 0
    out, err = capsys.readouterr()
    assert [line.rstrip(".") for line in out.splitlines()] == [text.rstrip(".") for text in texts]
    assert err == ""
    assert len(_objects("all.jsonl")) == len(texts)


FRENCH = (
    "the answer looks like 'fr', not 'de': these weights have learned too little of such "
    "sentences; do not rely on it"
)


def _in_french(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, translators start French sentences instead of German ones."""
    start = Translator.start
    monkeypatch.setattr(Translator, "start", lambda self, to: start(self, "fr"))


def test_a_typed_text_with_a_doubtful_answer_exits_1(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _in_french(monkeypatch)
    assert typed("--to", "de", "--from", "en", "I am a student.") == 1
    assert capsys.readouterr() == ("Je suis étudiant.\n", f"captioner: {FRENCH}\n")
    assert typed("--to", "de", "--from", "en", "I am a student.", "--jsonl", "-") == 1
    assert json.loads(capsys.readouterr().out)["warning"] == FRENCH
    assert typed("--to", "fr", "--from", "en", "I am a student.") == 0


def test_doubtful_lines_keep_their_output_and_fail_nothing(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _in_french(monkeypatch)
    lines = b"I am a student.\n\n....\nIs the ball red?\n"
    Path("lines.txt").write_bytes(lines)
    out = "Je suis étudiant.\n\n....\nLe ballon est-il rouge ?\n"
    err = (
        f"captioner: line 1: {FRENCH}\n"
        "captioner: line 3: '....' has no words to translate; it stays as it is\n"
        f"captioner: line 4: {FRENCH}\n"
    )
    options = ["--to", "de", "--from", "en"]
    assert typed(*options, "--input", "lines.txt", "--jsonl", "all.jsonl") == 0
    assert capsys.readouterr() == (out, err)
    assert [bool(values["warning"]) for values in _objects("all.jsonl")] == [
        True,
        False,
        True,
        True,
    ]
    assert not any(values["error"] for values in _objects("all.jsonl"))
    _piped(monkeypatch, lines)
    assert typed(*options, "-") == 0
    assert capsys.readouterr() == (out, err)


def test_flags_reach_the_search(
    typed: Typed, tiny_translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def stream(self: Translator, lines: list[str], **settings: Any) -> Iterator[Translation]:
        seen.update(settings, lines=lines)
        return iter(())

    monkeypatch.setattr(Translator, "stream", stream)
    flags = "--beam-size 4 --length-penalty 0 --sample --top-p 0.5 --temperature 2 --seed 11"
    assert typed("--to", "de", *flags.split(), "--n-best", 3, "--batch-size", 13, "A dog.") == 0
    assert seen == {
        "lines": ["A dog."],
        "to": "de",
        "source_language": None,
        "photos": None,
        "options": SearchOptions(
            beam_size=4,
            length_penalty=0.0,
            max_length=tiny_translator.options().max_length,
            n_best=3,
            sample=True,
            top_p=0.5,
            temperature=2.0,
            seed=11,
            alternatives=5,
        ),
        "batch_size": 13,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["A dog."], "the following arguments are required: --to"),
        (["--to", "de"], "translate takes a sentence, `-` for standard input, or --input FILE"),
        (["--to", "de", ""], "translate takes a sentence, `-` for standard input, or --input FILE"),
        (["--to", "de", "A dog.", "--input", "x"], "translate takes a sentence, `-` for standard"),
        (["--to", "de", "-", "--input", "x"], "translate takes a sentence, `-` for standard"),
        (["--to", "de", "-", "--alignment", "m.png"], "--alignment draws one sentence; type it in"),
        (
            ["--to", "de", "--input", "x", "--alignment", "m"],
            "--alignment draws one sentence; type",
        ),
        (["--to", "de", "--input", "no.txt"], "no.txt: No such file or directory"),
        (["--to", "de", "--input", "."], ".: Is a directory"),
        (
            ["--to", "cs", "A dog."],
            "this checkpoint does not translate into 'cs'; it translates en",
        ),
        (["--to", "de", "--from", "fr", "Un"], "does not translate 'fr' into 'de'; it translates"),
        (["--to", "de", "--from", "de", "A"], "the sentences are in 'de' already; name another"),
        (["--to", "de", "...."], "'....' has no words to translate; write a sentence"),
        (["--to", "de", "A dog.", "?!"], "'?!' has no words to translate; write a sentence"),
        (["--to", "de", "A caf\udce9."], "character 6 is no text (\\udce9: a byte that is not UTF"),
        (["--to", "de", "A b.", "C d.", "--alignment", "m"], "draws one text, but 2 were typed"),
        (["--to", "de", "A dog.", "--top-p", "0.5"], "--top-p shapes random draws"),
        (
            ["--to", "de", "A dog.", "--beam-size", "0"],
            "--beam-size: '0' is no whole number from 1",
        ),
        (
            ["--to", "de", "A dog.", "--batch-size", "0"],
            "--batch-size: '0' is no whole number from",
        ),
        (["--to", "de", "A dog.", "--jsonl", "."], ". is a folder; expected the name of a file"),
    ],
)
def test_misuse_is_told_in_one_line(
    arguments: list[str], message: str, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("captioner: ")
    assert err.count("\n") == 1, err
    assert message in err
    assert list(Path().iterdir()) == []


def test_checkpoints_that_do_not_translate(
    tiny_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints.save(tiny_checkpoint, tmp_path / "caption.safetensors")
    for name, message in (
        ("none.safetensors", "no such file; expected a captioner checkpoint"),
        ("caption.safetensors", "a checkpoint for 'caption'; expected one for 'translate'"),
    ):
        own = ["--checkpoint", str(tmp_path / name), "--device", "cpu"]
        assert main(["translate", "--to", "de", "A dog.", *own]) == 2
        assert message in capsys.readouterr().err


def test_ctrl_c_keeps_what_was_done(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = Translator.stream

    def cut(self: Translator, *arguments: Any, **settings: Any) -> Iterator[Translation]:
        yield next(stream(self, *arguments, **settings))
        raise KeyboardInterrupt

    monkeypatch.setattr(Translator, "stream", cut)
    Path("lines.txt").write_text("I am a student.\nIs the ball red?\n")
    assert typed("--to", "de", "--input", "lines.txt", "--jsonl", "all.jsonl") == 130
    out, err = capsys.readouterr()
    assert out == "Ich bin Student.\n"
    assert "stopped; what was done so far is in all.jsonl.partial" in err
    assert [values["translation"] for values in _objects("all.jsonl.partial")] == [
        "Ich bin Student."
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "in.txt", "--jsonl", "in.txt"], "in.txt is read by this very command"),
        (["--input", "in.txt", "--jsonl", "link"], "link is read by this very command (in.txt)"),
        (["-", "--jsonl", "in.txt"], "in.txt is read by this very command (standard input)"),
        (["A dog.", "--jsonl", "notes"], "notes is there already and is no file of objects"),
        (["A dog.", "--alignment", "notes.png"], "notes.png is there already and is no picture of"),
        (
            ["A dog.", "--alignment", "h.jpg"],
            "h.jpg: the heat map is a PNG, SVG or PDF file; call it h.png",
        ),
        (["A dog.", "--alignment", "x.png", "--jsonl", "x.png"], "x.png would be written twice"),
        (["A dog.", "--alignment", ""], "argument --alignment: expected a name, got an empty one"),
        (["A dog.", "--jsonl", ""], "argument --jsonl: expected a name, got an empty one"),
    ],
)
def test_outputs_replace_nothing_of_anybody_else(
    typed: Typed,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("in.txt", "notes", "notes.png"):
        Path(name).write_text("A dog.\n")
    Path("link").symlink_to("in.txt")
    with Path("in.txt").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert typed("--to", "de", *arguments) == 2
        assert message in capsys.readouterr().err
        if "read by" in message:
            assert typed("--to", "de", *arguments, "--overwrite") == 2
            assert message in capsys.readouterr().err
    for name in ("in.txt", "notes", "notes.png"):
        assert Path(name).read_text() == "A dog.\n"
    assert len(list(Path().iterdir())) == 4


def test_an_earlier_heat_map_is_replaced(typed: Typed) -> None:
    for text in ("I am a student.", "Two men are sleeping."):
        assert typed("--to", "de", text, "--alignment", "map.png") == 0
    Path("map.png").write_text("not ours")
    assert typed("--to", "de", "I am a student.", "--alignment", "map.png", "--overwrite") == 0
    assert Image.open("map.png").info["Software"] == "captioner"


def test_examples_in_the_help_are_valid(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["translate", "--help"])
    text = capsys.readouterr().out
    lines = [line.split("|") for line in text.splitlines() if line.startswith("  captioner ")]
    assert len(lines) >= 4
    for line in lines:
        for part in line:
            words = [word.strip("'\"") for word in part.partition(">")[0].split()]
            if words[0] == "captioner":
                assert make_parser().parse_args(words[1:]).command == words[1]


# Captions in another language.


@pytest.fixture
def captioned(
    tiny_checkpoint: Checkpoint,
    translation_weights: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    picture: Image.Image,
) -> Callable[..., int]:
    """Runs `caption` on one photo that is captioned with a sentence that can be translated."""
    monkeypatch.chdir(tmp_path)
    picture.save("dog.png")
    checkpoints.save(tiny_checkpoint, "caption.safetensors")

    def run(*arguments: str) -> int:
        own = ["--checkpoint", "caption.safetensors", "--device", "cpu"]
        known = ["--prefix", "a dog runs over the log", "--max-length", "6"]
        return main(["caption", "dog.png", *arguments, *known, *own])

    return run


def test_a_caption_and_its_translation(
    captioned: Typed, translation_weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--to", "de", "--translator", translation_weights]
    assert captioned(*options, "--jsonl", "all.jsonl", "--maps", "--overlay", "sheets") == 0
    assert capsys.readouterr().out == (
        "dog.png\tA dog runs over the log.\tEin Hund läuft über den Stamm.\n"
    )
    [values] = _objects("all.jsonl")
    assert values["caption"] == "Ein Hund läuft über den Stamm."
    assert values["original"]["caption"] == "A dog runs over the log."
    assert len(values["maps"]) == len(values["words"]) == 7
    assert all(sum(row) == pytest.approx(1, abs=1e-3) for row in values["maps"])
    assert np.array(values["alignment"]).shape == (7, 7)
    assert Path("sheets/dog.png").exists()


def test_a_doubtful_translation_of_a_caption_is_said(
    captioned: Typed,
    translation_weights: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _in_french(monkeypatch)
    assert captioned("--to", "de", "--translator", translation_weights) == 0
    assert capsys.readouterr().err == f"captioner: dog.png: {FRENCH}\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "cs", "--translator", "WEIGHTS"], "does not translate into 'cs'; it translates"),
        (["--to", "en", "--translator", "WEIGHTS"], "the captions are in 'en' already; leave the"),
        (["--translator", "WEIGHTS"], "--translator belongs to --to; add --to LANGUAGE"),
        (["--to", "de", "--translator", "none.safetensors"], "none.safetensors: no such file"),
        (
            ["--to", "de", "--translator", "caption.safetensors"],
            "a checkpoint for 'caption'; expected one for 'translate'",
        ),
    ],
)
def test_translators_that_do_not_fit(
    options: list[str],
    message: str,
    captioned: Typed,
    translation_weights: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert captioned(*(option.replace("WEIGHTS", translation_weights) for option in options)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


# Training.


@pytest.fixture
def corpus(phrases: Phrases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with sentences in two languages and a recipe."""
    monkeypatch.chdir(tmp_path)
    for language in ("en", "de"):
        Path(f"train.{language}").write_text("\n".join(phrases[language]), encoding="utf-8")
    Path("recipe.toml").write_text(
        """
task = "translate"
output = "somewhere"
seed = 3
[data]
subwords = 150
byte_fallback = false
[[data.train]]
source = "train.en"
target = "train.de"
languages = ["en", "de"]
[[data.validation]]
source = "train.en"
target = "train.de"
languages = ["en", "de"]
[search]
max_length = 5
[[phases]]
epochs = 9
"""
    )
    return tmp_path


SMALL = (
    "--model.encoder.hidden_size",
    "7",
    "--model.decoder.hidden_size=14",
    "--model.decoder.embedding_size=13",
)


def test_train_from_the_recipe_to_the_next_command(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--output", "runs/mine", "--phases.0.epochs", "1", "--training.batch-tokens=150"]
    arguments = ["train", *flags, "recipe.toml", "--device", "cpu", *SMALL]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    best = "runs/mine/best.safetensors"
    assert "training on cpu; everything goes to runs/mine/" in out
    assert f"best checkpoint: {best}" in out
    assert "scores on validation:\n  bleu " in out
    assert f"captioner translate --checkpoint {best} --to de SENTENCE" in out
    made = checkpoints.describe(best)["provenance"]["recipe"]
    assert made["phases"][0]["epochs"] == 1
    assert made["training"]["batch_tokens"] == 150
    assert made["search"]["max_length"] == 5
    assert made["search"]["alternatives"] == 0
    assert main(arguments) == 2
    assert "runs/mine holds a run already; go on with --resume" in capsys.readouterr().err
    assert main(["describe", best]) == 0
    assert "en" in capsys.readouterr().out
    assert main(["translate", "--checkpoint", best, "--to", "de", "--device", "cpu", "A dog."]) == 0
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--training.batch_size", "3"],
            "training.batch_size is no setting; did you mean batch_to",
        ),
        (["--batch-tokens", "3"], "did you mean --training.batch_tokens?"),
        (["--data.validation.0.source", "no.en"], "no.en: no such file; expected sentences, one a"),
        (["--data.train.0.target", "recipe.toml"], "train.en has 7 lines and recipe.toml"),
        (["--model.attention.heads", "3"], "attention.heads is 3, which do not share encoder.feat"),
        (["--task", "caption"], "data.subwords is no setting"),
        (["--task", "translation"], "task is 'translation'; expected one of caption, translate"),
        (["--resume"], "somewhere: nothing to resume"),
    ],
)
def test_recipes_that_cannot_be(
    arguments: list[str], message: str, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "recipe.toml", "--device", "cpu", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_every_setting_of_a_translators_recipe_can_be_typed() -> None:
    kinds = {"bool": "true", "int": "2", "float": "0.5", "str": "", "tuple[int, ...]": "2"}
    for _, _, settings in groups(TranslationRecipe):
        for place, entry, default in settings:
            values: dict[str, Any] = {}
            wanted = entry.metadata["choices"] or [kinds.get(str(entry.type), "en")]
            override(values, place, str(wanted[0]), TranslationRecipe)
            assert list(values) == [place.partition(".")[0]]
            assert help_of(entry, default)
    places = {place for _, _, settings in groups(TranslationRecipe) for place, *_ in settings}
    assert places >= {"training.batch_tokens", "data.train.0.languages.0", "phases.0.r_drop"}


def test_settings_make_a_recipe_of_either_task(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Any] = []

    def train(recipe: Any, **_: Any) -> Path:
        seen.append(recipe)
        raise training.Interrupted("stopped and saved")

    monkeypatch.setattr(training, "train", train)
    typed = ["--task", "translate", "--output=x", "--training.batch_tokens", "99"]
    assert main(["train", "--device", "cpu", *typed]) == 130
    default = TranslationRecipe(output="x")
    changed = dataclasses.replace(default.training, batch_tokens=99)
    assert seen == [dataclasses.replace(default, training=changed)]
    capsys.readouterr()


@pytest.mark.parametrize("text", [" ", "\t", "\n \n"])
def test_blanks_are_no_sentence(
    text: str, typed: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("--to", "de", text) == 2
    told = f"captioner: {text!r} is blank; expected a sentence to translate\n"
    assert capsys.readouterr() == ("", told)


def test_a_drawing_goes_into_a_file_and_into_no_folder(
    typed: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("--to", "de", "A dog runs.", "--alignment", "out/") == 2
    told = "captioner: out/ is a folder; expected the name of a file for --alignment\n"
    assert capsys.readouterr() == ("", told)
    assert not Path("out").exists()


def test_languages_are_read_without_regard_to_case(
    typed: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for to, source in (("de", "en"), ("DE", "En"), ("German", "english")):
        assert typed("--to", to, "--from", source, "--jsonl", "-", "A dog runs.") == 0
        said.append(json.loads(capsys.readouterr().out))
    assert said[0] == said[1] == said[2]
    assert (said[1]["from"], said[1]["to"]) == ("en", "de")
