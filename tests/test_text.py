from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner.errors import CheckpointError
from captioner.text import (
    BOS,
    EOS,
    PAD,
    SPECIALS,
    UNK,
    Vocabulary,
    detokenise,
    sentences,
    tokenise,
)


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
        ("no capital. and on\nsecond line", ["no capital. and on", "second line"]),
        ("Dr. Who is 3.5 m tall, z. B. here.", ["Dr. Who is 3.5 m tall, z. B. here."]),
        ("“Run!” He ran. „Über ihm.“", ["“Run!”", "He ran.", "„Über ihm.“"]),
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
