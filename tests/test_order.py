"""A translator that reads a bag of words says the same of any order; another one does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.order import Found, main, measure, shuffled, table
from captioner.translation import Translator
from captioner.translations.pairs import Pair

pytest.importorskip("sacremoses")

PAIRS = [
    Pair("A dog runs over the log.", "Ein Hund läuft über den Stamm.", "en", "de"),
    Pair("I am a student.", "Ich bin Student.", "en", "de"),
]


def test_the_same_words_come_in_another_order() -> None:
    text = "A dog runs over the log."
    found = {shuffled(text, seed) for seed in range(20)}
    assert len(found) > 10
    for other in found:
        assert other.endswith(".")
        assert sorted(other[:-1].split()) == sorted(text[:-1].split())
    assert shuffled(text, 3) == shuffled(text, 3)


@given(st.text("aBcD ée,.!", max_size=60))
def test_no_word_is_lost(text: str) -> None:
    assert sorted("".join(shuffled(text, 1).split())) == sorted("".join(text.split()))


def test_both_orders_are_scored_and_compared(
    tiny_translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {PAIRS[0].source_text: PAIRS[1].source_text}  # what it reads in place of the first
    monkeypatch.setattr("benchmarks.order.shuffled", lambda text, seed: other.get(text, text))
    found = measure(tiny_translator, PAIRS, seed=1)
    assert found.ordered == pytest.approx(1)  # it knows them by heart
    assert found.shuffled < 0.9
    assert found.same == 0.5
    monkeypatch.setattr("benchmarks.order.shuffled", lambda text, seed: text)
    assert measure(tiny_translator, PAIRS, seed=1) == Found(found.ordered, found.ordered, 1.0)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_seeds_of_one_variant_are_one_row(
    translation_weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = table({"a": [Found(0.2, 0.1, 0.5), Found(0.4, 0.3, 1)]}).splitlines()
    assert cells(rows[-1]) == ["a", "2", "0.300", "0.200", "75%"]
    for language, texts in (
        ("en", [pair.source_text for pair in PAIRS]),
        ("de", [pair.target_text for pair in PAIRS]),
    ):
        (tmp_path / f"s.{language}").write_text("\n".join(texts) + "\n", encoding="utf-8")
    copies = [tmp_path / f"own-{number}.safetensors" for number in (1, 2)]
    for copy in copies:
        copy.write_bytes(Path(translation_weights).read_bytes())
    typed = ["--source", f"{tmp_path}/s.en", "--target", f"{tmp_path}/s.de", "--from", "en"]
    main([*map(str, copies), *typed, "--to", "de", "-o", f"{tmp_path}/order.md"])
    written = (tmp_path / "order.md").read_text(encoding="utf-8").splitlines()
    assert cells(written[-1])[:3] == ["own", "2", "1.000"]
    assert "own-2: 1.000" in capsys.readouterr().out
