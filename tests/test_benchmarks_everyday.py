"""benchmarks/everyday.py: what it measures of a translator of a few words."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import everyday
from captioner.translation import Translator

Phrases = dict[str, tuple[str, ...]]


@pytest.fixture
def tests(tmp_path: Path, phrases: Phrases) -> Path:
    """Two directions that are spoken, one with a further translation, and one that is not."""
    folder = tmp_path / "test"
    folder.mkdir()
    for kind, one, other in (("everyday", "en", "de"), ("captions", "fr", "en")):
        for end in (one, other):
            lines = list(phrases[end])
            lines[0] += "\tSonst etwas." if end == "de" else ""
            text = "".join(f"{line}\n" for line in lines)
            (folder / f"{kind}.{one}-{other}.{end}").write_text(text, encoding="utf-8")
    for end in ("en", "ko"):
        (folder / f"everyday.en-ko.{end}").write_text("a b c d\n", encoding="utf-8")
    return folder


def test_the_sets_of_what_is_spoken(tests: Path, tiny_translator: Translator) -> None:
    found = everyday.read_tests(tests, tiny_translator.languages.directions)
    assert [test.name for test in found] == ["captions.fr-en", "everyday.en-de"]
    assert found[1].pairs[0].references[1] == "Sonst etwas."


def test_everything_is_written(
    tests: Path,
    translation_weights: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    phrases: Phrases,
) -> None:
    pytest.importorskip("sacrebleu")
    output = tmp_path / "out"
    typed = ["--checkpoint", translation_weights, "--against", translation_weights, "--no-judge"]
    more = ["--tests", str(tests), "--rounds", "1", "-o", str(output)]
    monkeypatch.setattr(sys, "argv", ["everyday", *typed, *more])
    everyday.main()
    record = json.loads((output / "everyday.json").read_text(encoding="utf-8"))
    one, other = record["tests"]
    assert (one["test"], other["test"]) == ("captions.fr-en", "everyday.en-de")
    assert other["scores"]["sacrebleu"]["value"] == pytest.approx(1)
    assert "nrefs:var|case:mixed" in other["scores"]["sacrebleu"]["recipe"]
    assert len(other["read"]) == len(phrases["en"])
    assert len(record["speed"]) == 1  # how much is the clock's business
    assert [row["source"] for row in record["looked at"]] == [
        "I am a student.",
        "Je suis étudiant.",
    ]
    assert len(list(output.glob("heatmap-*.png"))) == 2
    text = (output / "everyday.md").read_text(encoding="utf-8")
    assert f"| everyday.en-de | {len(phrases['en'])} | 100.0 [" in text
    assert "- Je suis étudiant. → I am a student. (textbook: I am a student.)" in text


def test_the_language_of_long_sentences_is_judged() -> None:
    said = ["kurz", "eins zwei drei vier", "un deux trois quatre", *["ein"] * 300]
    sources = ["short", *["one two three four"] * 302]
    asked: list[str] = []

    def judge(text: str) -> str:
        asked.append(text)
        return "fr" if text.startswith("un") else "de"

    wrong, judged = everyday.wrong_language(said, sources, "de", judge)
    assert (wrong, judged) == (["un deux trois quatre"], everyday.JUDGED)
    assert asked == said[1 : everyday.JUDGED + 1]
