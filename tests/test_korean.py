"""Captions in Korean: particles belong to their nouns, spaces and endings are as people write."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner import checkpoint as checkpoints
from captioner.checkpoint import Checkpoint
from captioner.cli import main
from captioner.prediction import Captioner
from captioner.subwords import cut_words
from captioner.translation import Translator
from tests import bilingual

NOUNS = {"dog": "개가", "cat": "고양이가", "man": "남자가"}  # with the particle of the subject
VERBS = {"runs": "달린다", "sits": "앉아 있다"}
ENGLISH, KOREAN = "brown cat runs.", "갈색 고양이가 달린다."


@pytest.fixture(scope="module")
def korean() -> Translator:
    """English to Korean; words stand at the same places."""
    pairs = itertools.product(NOUNS.items(), VERBS.items())
    both = [((one, two), (three, four)) for (one, three), (two, four) in pairs]
    english = [f"brown {noun} {verb}." for (noun, verb), _ in both]
    others = [f"갈색 {noun} {verb}." for _, (noun, verb) in both]
    return Translator(bilingual.made(english, others, "ko"))


def test_a_particle_looks_where_its_noun_does(korean: Translator) -> None:
    found = korean(ENGLISH, to="ko")
    assert found.text == KOREAN
    assert [word.text for word in found.words] == ["갈색", "고양이가", "달린다", "."]
    assert found.source_words == ("brown", "cat", "runs", ".")
    assert found.alignment.argmax(1).tolist() == [0, 1, 2, 3]
    assert found.pharaoh() == "0-0 1-1 2-2"
    assert found.heatmap().width > 100


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("고양이가 의자에 앉아 있다.", ["고양이가", "의자에", "앉아", "있다", "."]),
        ("오늘, 찰스는 웃는다!", ["오늘", ",", "찰스는", "웃는다", "!"]),
        ("TV를 보는 3명의 남자", ["TV를", "보는", "3명의", "남자"]),
        ("'호두'는 개다.", ["'", "호두'는", "개다", "."]),
    ],
)
def test_words_are_what_korean_parts_by_spaces(text: str, words: list[str]) -> None:
    assert cut_words(text) == words


def test_a_caption_in_korean_lights_the_photo(
    korean: Translator, tiny_checkpoint: Checkpoint, picture: Image.Image
) -> None:
    captioner = Captioner(tiny_checkpoint, translator=korean)
    caption = captioner(picture, to="ko", prefix="a dog runs", max_length=3)
    assert caption.original is not None
    assert caption.translation is not None
    assert [word.text for word in caption.words if word.text.endswith("가")]
    np.testing.assert_allclose(caption.maps.sum((1, 2)), 1, atol=1e-4)
    assert caption.sheet().width > 100


def test_the_command_speaks_korean(
    korean: Translator,
    weights: str,
    tmp_path: Path,
    picture: Image.Image,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "korean.safetensors"
    checkpoints.save(korean.checkpoint, path)
    picture.save(tmp_path / "photo.png")
    own = ["--checkpoint", weights, "--translator", str(path), "--to", "ko", "--device", "cpu"]
    assert main(["caption", str(tmp_path / "photo.png"), *own]) == 0
    _, english, said = capsys.readouterr().out.rstrip("\n").split("\t")
    assert english.isascii()
    assert any("가" <= letter <= "힣" for letter in said)
