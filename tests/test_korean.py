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
from captioner.subwords import Subwords, cut_words
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
        ('"톰"은 갔다.', ['"', '톰"은', "갔다", "."]),
        ("“보라”에게 공(빨강)을", ["“", "보라”에게", "공", "(", "빨강)을"]),
        ('"톰" 은 "가자."라고', ['"', "톰", '"', "은", '"', "가자", ".", '"', "라고"]),
        ('그는 "톰을 봤다', ["그는", '"', "톰을", "봤다"]),  # an opening quote
        ('The "dog"s', ["The", '"', "dog", '"', "s"]),
    ],
)
def test_words_are_what_korean_parts_by_spaces(text: str, words: list[str]) -> None:
    assert cut_words(text) == words


@pytest.mark.parametrize("bytes_too", [False, True])
def test_a_particle_behind_a_quote_belongs_to_its_noun(bytes_too: bool) -> None:
    """In what is shown and linked alone: the pieces of a text are those of its parts."""
    quoted = '"고양이"가 달린다.'
    subwords = Subwords.train([quoted, KOREAN], 320, ["en", "ko"], byte_fallback=bytes_too)
    pieces = subwords.encode(quoted)
    assert pieces.words == ('"', '고양이"가', "달린다", ".")
    assert subwords.decode(pieces.ids) == (quoted, pieces)
    held = ["".join(subwords.pieces[n] for n, own in zip(pieces.ids, pieces.owners, strict=True)
                    if own == word) for word in range(4)]  # fmt: skip
    assert held == ['▁"', '고양이"가', "▁달린다", "."]


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
