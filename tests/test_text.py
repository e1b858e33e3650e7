from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner import boxes, datasets
from captioner.captions.recipe import Source
from captioner.errors import CaptionerError, CheckpointError, DataError
from captioner.recipes.files import read_recipe
from captioner.text import (
    BOS,
    EOS,
    PAD,
    SPECIALS,
    UNK,
    Vocabulary,
    decoded,
    detokenise,
    half_character,
    other_encoding,
    sentence_case,
    sentences,
    tokenise,
    unread,
)
from captioner.translations.pairs import read_pairs
from captioner.translations.recipe import PairSource


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("A brown dog runs .", "a brown dog runs"),
        ("The man's T-shirt isn't red.", "the man 's t-shirt is n't red"),
        ("man 's dog", "man 's dog"),
        ("They’re at 3:30, 1,000 people!", "they 're at 3:30 1,000 people"),
        ('"Stop" (sign)', "stop sign"),
        ("cannot", "can not"),
        ("Ein Hund läuft über die Straße", "ein hund läuft über die straße"),
        ("   ...  !?", ""),
        ("", ""),
        ("a हिन्दी में कुत्ता", "a हिन्दी में कुत्ता"),  # vowel signs belong to their letters,
        ("สวัสดีครับ ที่นี่", "สวัสดีครับ ที่นี่"),  # in nltk since 3.10
        ("كَلْبٌ بُنِّيٌّ", "كَلْبٌ بُنِّيٌّ"),
        ("x\u0301y e\u0301te\u0301", "x\u0301y été"),
        ("İstanbul'da IŞIK", "istanbul'da işik"),
        ("a do\u200bg\u2060 \ufeffsits", "a dog sits"),
        ("Stra\u00adße", "straße"),
        ("می\u200cروم", "می\u200cروم"),
        ("a\u00a0dog\u202fruns\x0cover\u2028the\x00log\r\n", "a dog runs over the log"),
    ],
)
def test_tokenise(sentence: str, words: str) -> None:
    assert tokenise(sentence) == words.split()


@given(st.text())
def test_tokenise_gives_clean_words_and_is_stable(sentence: str) -> None:
    words = tokenise(sentence)
    assert all(word and not word.isspace() and word == word.lower() for word in words)
    assert tokenise(" ".join(words)) == words


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("a dog runs", "A dog runs."),
        ("a man 's dog", "A man's dog."),
        ("it is n't red", "It isn't red."),
        ("über die straße", "Über die straße."),
        ("", ""),
    ],
)
def test_detokenise(words: str, sentence: str) -> None:
    assert detokenise(words.split()) == sentence


@given(st.lists(st.sampled_from(["a", "dog", "'s", "t-shirt", "is", "n't", "they", "'re"])))
def test_what_people_read_tokenises_back(words: list[str]) -> None:
    while words and (words[0][0] == "'" or words[0] == "n't"):
        words = words[1:]  # no sentence starts with half a word
    text = detokenise(words)
    assert "".join(tokenise(text)) == "".join(words)
    assert text == "" or (text[0] == text[0].upper() and text[-1] == ".")


def test_vocabulary_counts_orders_and_cuts() -> None:
    vocabulary = Vocabulary.build(["a dog", "a cat", "A dog .", "the end"], min_count=2)
    assert vocabulary.words == (*SPECIALS, "a", "dog")
    assert vocabulary.encode(["a", "dog", "cat"]) == [4, 5, UNK]
    assert vocabulary.decode([4, 5, EOS]) == ["a", "dog", "<eos>"]
    assert "dog" in vocabulary
    assert "cat" not in vocabulary
    assert len(vocabulary) == 6


def test_equal_counts_are_ordered_by_name() -> None:
    one = Vocabulary.build(["b a", "c"])
    other = Vocabulary.build(["c", "a b"])
    assert one == other
    assert hash(one) == hash(other)
    assert one.ordinary == ("a", "b", "c")


def test_special_tokens_cannot_be_written() -> None:
    vocabulary = Vocabulary(["a"])
    assert vocabulary.encode(["<eos>", "<pad>", "<bos>"]) == [UNK, UNK, UNK]
    assert "<eos>" not in vocabulary
    assert (PAD, BOS, EOS, UNK) == (0, 1, 2, 3)


def test_extended_keeps_the_old_numbers() -> None:
    old = Vocabulary(["dog", "a"])
    new = old.extended(["a zebra", "a zebra and a dog"])
    assert new.ordinary == ("dog", "a", "zebra", "and")
    assert new.encode(["dog", "a"]) == old.encode(["dog", "a"])
    assert old.extended([]) == old


def test_a_word_stands_once() -> None:
    with pytest.raises(CheckpointError, match="lists 'a' twice"):
        Vocabulary(["a", "b", "a"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n ", []),
        ("A dog runs.", ["A dog runs."]),
        ("A dog runs. Two cats sleep!  Why?", ["A dog runs.", "Two cats sleep!", "Why?"]),
        ("A capital. and on\nsecond line", ["A capital. and on", "second line"]),
        ("Dr. Who is 3.5 m tall, z. B. here.", ["Dr. Who is 3.5 m tall, z. B. here."]),
        ("“Run!” He ran. „Über ihm.“", ["“Run!”", "He ran.", "„Über ihm.“"]),
        ("Mr. Smith runs. He is 3.5 m tall.", ["Mr. Smith runs.", "He is 3.5 m tall."]),
        ("See e.g. Tom. The U.S. army came.", ["See e.g. Tom.", "The U.S. army came."]),
        ("Tom said no. He ran. No. 5 won.", ["Tom said no.", "He ran.", "No. 5 won."]),
        ("So am I. You too.", ["So am I.", "You too."]),
        ("A dog. 3 cats. 1. 2. 3.", ["A dog.", "3 cats. 1. 2. 3."]),
        ("Am 3. Mai kam er. Gut so.", ["Am 3. Mai kam er.", "Gut so."]),
        ("Wait... what? Yes... No?! OK.", ["Wait... what?", "Yes...", "No?!", "OK."]),
        ("Run! ... He ran. !!!", ["Run! ...", "He ran. !!!"]),
        (
            'He said "Run!" and left. "Oh." He ran.',
            ['He said "Run!" and left.', '"Oh."', "He ran."],
        ),
        ("« Cours ! » Il court.", ["« Cours ! »", "Il court."]),
        ("»Lauf!« Er lief. (Sie nicht.) Oder?", ["»Lauf!«", "Er lief.", "(Sie nicht.)", "Oder?"]),
        ("– Hi. – Hello there.", ["– Hi.", "– Hello there."]),
        ("a dog runs. i sleep! why? yes", ["a dog runs.", "i sleep!", "why?", "yes"]),
        ("a dog, a cat etc. run e.g. here", ["a dog, a cat etc. run e.g. here"]),
        ("개가 달린다. 고양이가 잔다.", ["개가 달린다.", "고양이가 잔다."]),
        ("我是学生。他也是！好吗？", ["我是学生。", "他也是！", "好吗？"]),
        ("वह दौड़ता है। वह सोता है।", ["वह दौड़ता है।", "वह सोता है।"]),
        ("Он бежит. Она спит.", ["Он бежит.", "Она спит."]),
        ("One\x0cTwo\u2028Three\r\nFour", ["One", "Two", "Three", "Four"]),
        ("www.a.org is up. Ok.", ["www.a.org is up.", "Ok."]),
        ("... !!", ["... !!"]),
    ],
)
def test_a_text_falls_into_its_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text())
def test_no_letter_is_lost_between_sentences(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def test_joined_words_stand_behind_the_old_ones_once_each() -> None:
    old = Vocabulary(["a", "dog"])
    new = old.joined(["lion", "dog", "lion", "tench"])
    assert new.ordinary == ("a", "dog", "lion", "tench")
    assert old.joined(["dog"]) == old


@given(st.text("aA.!?…。 »\"'-3\n", max_size=30))
def test_a_sentence_is_one_sentence(text: str) -> None:
    for sentence in sentences(text):
        assert sentences(sentence) == [sentence]


def test_a_long_text_takes_no_longer_than_its_length() -> None:
    """A quadratic search would take minutes."""
    assert len(sentences("A dog runs. " * 20_000)) == 20_000
    assert len(sentences("a" * 100_000 + ". B" + " ." * 50_000)) == 2


@pytest.mark.parametrize(
    ("text", "cased"),
    [
        ("A DOG RUNS!", "A dog runs!"),
        ('"STOP!" I SAID.', '"Stop!" i said.'),
        ("İSTANBUL", "Istanbul"),
        ("3 DOGS", "3 dogs"),
        ("ÜBER ALLES", "Über alles"),
        ("A Dog Runs", "A Dog Runs"),
        ("NASA is up", "NASA is up"),
        ("...", "..."),
        ("개", "개"),
        ("", ""),
    ],
)
def test_capitals_alone_are_read_as_people_write(text: str, cased: str) -> None:
    assert sentence_case(text) == cased
    assert sentence_case(cased) == cased


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"A dog.\n", None),
        ("é雪".encode(), None),
        (b"", None),
        (b"\x00\x07\n", None),
        (b"\x00" * 3 + b"a dog runs over the log", None),
        ("\ufeffA dog.".encode(), None),
        ("A dog.\n".encode("utf-16"), "UTF-16"),
        ("A dog.\n".encode("utf-16-le"), "UTF-16"),
        ("A dog.\n".encode("utf-16-be"), "UTF-16"),
        ("A dog.\n".encode("utf-32"), "UTF-32"),
    ],
)
def test_files_in_another_encoding(content: bytes, encoding: str | None) -> None:
    assert other_encoding(content) == encoding
    assert "\ufeff" not in decoded(content, "f.txt")
    if encoding is not None:
        assert decoded(content, "f.txt") == "A dog.\n"
        with pytest.raises(DataError, match=rf"f.txt: begins as {encoding}.* may be cut short"):
            decoded(content[:-1], "f.txt")


def test_bytes_that_are_not_utf_8_are_named() -> None:
    with pytest.raises(DataError, match=r"f.txt: line 2 is not UTF-8 text \(byte 10\): save it as"):
        decoded(b"A dog.\ncaf\xe9\n", "f.txt")
    assert half_character("A café 🐶") is None
    told = half_character(os.fsdecode(b"caf\xe9"))
    assert told is not None
    assert told.startswith("character 4 is no text (\\udce9: a byte that is not UTF-8, or half of")


def test_nltk_is_one_that_keeps_words_whole() -> None:
    """The tokeniser of 3.9.1 cuts the words of three scripts: `test_tokenise` fails with it."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
    [wanted] = [name for name in project["project"]["dependencies"] if name.startswith("nltk")]
    assert wanted == "nltk>=3.10"


def test_every_reader_of_text_says_what_encoding_it_found(tmp_path: Path) -> None:
    file = tmp_path / "text"
    content = ('{"a": "b"}\n' * 3).encode("utf-16")
    file.write_bytes(content[:-1])
    told = (
        f"begins as UTF-16-LE does, but byte {len(content) - 2} is not: the file may be cut "
        "short: get it again"
    )
    pair = PairSource(str(file), str(file), languages=("en", "de"))
    readers: list[Callable[[], object]] = [
        lambda: read_pairs(pair),
        lambda: boxes.read(file),
        lambda: datasets.read(Source(str(file), str(tmp_path))),
        lambda: read_recipe(str(file), []),
    ]
    for read in readers:
        with pytest.raises(CaptionerError) as caught:
            read()
        assert str(caught.value) == f"{file}: {told}"


def test_a_recipe_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("seed = 3\n", encoding="utf-8-sig")
    assert read_recipe(str(file), []).seed == 3


@pytest.mark.parametrize(
    ("sentence", "signs"),
    [
        ("A man, sitting – on a bench!", []),
        ("a 😀 dog", ["😀"]),
        ("a + b\u200b = $", ["+", "=", "$"]),
        ("\u200b ... –", []),
    ],
)
def test_signs_that_are_no_words(sentence: str, signs: list[str]) -> None:
    assert unread(sentence) == signs


def test_words_are_found_without_what_takes_seconds_to_import() -> None:
    code = (
        "import sys; from captioner.text import tokenise; print(tokenise('A t-shirt.')); "
        "sys.exit(bool({'nltk', 'scipy', 'torch'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "['a', 't-shirt']\n"
