"""Subwords: cleaning, words, and that pieces give back what was written."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner.errors import CheckpointError, ConfigError, DataError
from captioner.subwords import BYTES, SPACE, Pieces, Subwords, clean, cut_words
from captioner.text import BOS, EOS, PAD, SPECIALS, UNK

SENTENCES = (
    "A brown dog runs through the snow.",
    "A brown dog and a red dog run.",
    "Ein brauner Hund läuft durch den Schnee.",
    "Ein Hund läuft über die Straße (schnell).",
    "L'homme n'est pas là, l'homme rit !",
    "Dva mladí muži jsou venku poblíž keřů.",
    "개가 눈 속을 달린다.",
)
LETTERS = "abdeghinoru äöüßéčřž .,!?'\"()-–„“’%&#01\t\u00a0\u200b\u00ad"
LANGUAGES = ("en", "de", "fr")
SIZE = 211


@pytest.fixture(scope="module")
def subwords() -> Subwords:
    return Subwords.train(
        [*SENTENCES, *SENTENCES, clean(LETTERS)], SIZE, LANGUAGES, byte_fallback=False
    )


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  A  dog.\t", "A dog."),
        ("Stra\u00adße", "Straße"),
        ("cafe\u0301", "café"),
        ("e\u200b\u0301", "é"),  # composed after the invisible is gone
        ("one\x00two\x07\x1bthree\u2028four\u0085five", "one two three four five"),
        ("Va\u202f!", "Va !"),
        ("\ufeffdog\u200e", "dog"),
        ("snow▁man", "snow_man"),
        ("half \ud83d", "half �"),
        ("👨\u200d👩", "👨\u200d👩"),
        ("", ""),
        ("\n\x00 ", ""),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.text(st.characters()))
def test_cleaned_text_is_clean(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert cleaned == " ".join(cleaned.split())
    assert not {unicodedata.category(c) for c in cleaned} & {"Cc", "Cs", "Zl", "Zp"}
    assert SPACE not in cleaned
    cleaned.encode()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("L'homme rit.", ["L'homme", "rit", "."]),
        ("'Tis the dogs' 'isn't'", ["'", "Tis", "the", "dogs", "'", "'", "isn't", "'"]),
        ("d’une mother-in-law", ["d’une", "mother-in-law"]),
        ("A T-shirt (red)…", ["A", "T-shirt", "(", "red", ")", "…"]),
        ("a--b -c d-", ["a", "-", "-", "b", "-", "c", "d", "-"]),
        ("no_one 1,5 %", ["no", "_", "one", "1", ",", "5", "%"]),
        ("I ❤\ufe0f dogs", ["I", "❤\ufe0f", "dogs"]),
        ("हिन्दी में", ["हिन्दी", "में"]),  # vowel signs are no letters
        ("x\u0301y", ["x\u0301y"]),
        ("", []),
    ],
)
def test_cut_words(text: str, words: list[str]) -> None:
    assert cut_words(text) == words


@pytest.mark.parametrize("sentence", SENTENCES)
def test_sentences_come_back(subwords: Subwords, sentence: str) -> None:
    pieces = subwords.encode(sentence)
    assert UNK not in pieces.ids
    assert subwords.decode(pieces.ids) == (sentence, pieces)
    assert list(pieces.words) == cut_words(sentence)


@given(st.text(LETTERS))
def test_known_characters_come_back(subwords: Subwords, text: str) -> None:
    pieces = subwords.encode(text)
    assert UNK not in pieces.ids
    assert subwords.decode(pieces.ids) == (clean(text), pieces)


@given(st.text(st.characters()))
def test_any_text_is_cut_into_words(subwords: Subwords, text: str) -> None:
    pieces = subwords.encode(text)
    assert list(pieces.words) == cut_words(clean(text))
    assert "".join(pieces.words) == clean(text).replace(" ", "")
    assert_owned(pieces)


@given(st.lists(st.integers(0, SIZE - 1)))
def test_whatever_a_model_says_can_be_read(subwords: Subwords, ids: list[int]) -> None:
    text, pieces = subwords.decode([number for number in ids if number < len(subwords)])
    assert list(pieces.words) == cut_words(text)
    assert_owned(pieces)


def assert_owned(pieces: Pieces) -> None:
    assert len(pieces.owners) == len(pieces.ids)
    assert list(pieces.owners) == sorted(pieces.owners)
    assert set(pieces.owners) == set(range(len(pieces.words)))


def test_words_of_a_sentence_have_pieces(subwords: Subwords) -> None:
    pieces = subwords.encode("Über l'Hund (schneeweiß)")
    assert pieces.words == ("Über", "l'Hund", "(", "schneeweiß", ")")
    for number, word in enumerate(pieces.words):
        owned = [i for i, owner in zip(pieces.ids, pieces.owners, strict=True) if owner == number]
        spelt = "".join(subwords.pieces[i] for i in owned)
        assert spelt.removeprefix(SPACE) == word or (word == "Über" and owned[1] == UNK)


def test_unknown_characters_are_one_piece_a_word(subwords: Subwords) -> None:
    pieces = subwords.encode("Hund 犬犬犬 ❤ d犬n")
    assert pieces.ids.count(UNK) == 3
    assert pieces.words == ("Hund", "犬犬犬", "❤", "d犬n")
    assert subwords.decode(pieces.ids)[0] == "Hund � � d�n"


@pytest.mark.parametrize("text", [*SPECIALS, "<2de>"])
def test_nobody_can_type_a_special_token(subwords: Subwords, text: str) -> None:
    ids = subwords.encode(text).ids
    assert subwords.starts == tuple(map(subwords.start, LANGUAGES))
    assert {PAD, BOS, EOS, *subwords.starts}.isdisjoint(ids)


def test_special_tokens_are_not_read(subwords: Subwords) -> None:
    pieces = subwords.encode("brown dog.")
    noisy = (subwords.start("de"), BOS, *pieces.ids, EOS, PAD, PAD)
    assert subwords.decode(noisy) == ("brown dog.", pieces)
    assert subwords.decode([EOS]) == ("", Pieces((), (), ()))


def test_lone_spaces_belong_to_the_next_word(subwords: Subwords) -> None:
    space, letter = subwords.pieces.index(SPACE), subwords.pieces.index("a")
    text, pieces = subwords.decode([letter, space, letter, letter, space])
    assert text == "a aa"
    assert pieces.owners == (0, 1, 1, 1, 1)
    assert subwords.decode([space]) == ("", Pieces((), (), ()))


def test_numbers_of_the_vocabulary(subwords: Subwords) -> None:
    assert len(subwords) == len(subwords.pieces) == len(set(subwords.pieces)) <= SIZE
    assert subwords.pieces[:7] == (*SPECIALS, "<2en>", "<2de>", "<2fr>")
    assert [subwords.start(language) for language in LANGUAGES] == [4, 5, 6]
    assert subwords.languages == LANGUAGES


def test_frequent_words_are_one_piece(subwords: Subwords) -> None:
    assert len(subwords.encode("Hund").ids) == 1
    assert len(subwords.encode("Dog").ids) > 1  # case is kept


def test_training_twice_gives_the_same(subwords: Subwords) -> None:
    again = Subwords.train(
        [*SENTENCES, *SENTENCES, clean(LETTERS)], SIZE, LANGUAGES, byte_fallback=False
    )
    assert again == subwords
    assert hash(again) == hash(subwords)
    assert again != Subwords.train(SENTENCES, SIZE, LANGUAGES, byte_fallback=False)


def test_characters_fill_half_the_vocabulary_at_most() -> None:
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 101)))
    subwords = Subwords.train([*SENTENCES * 5, many], 67, ["en"], byte_fallback=False)
    assert len(subwords) <= 67
    assert sum(len(piece) == 1 for piece in subwords.pieces) <= 33
    assert subwords.encode("dog").ids.count(UNK) == 0


def test_json_brings_it_back(subwords: Subwords) -> None:
    text = subwords.to_json()
    assert "\n" not in text
    again = Subwords.from_json(text)
    assert again == subwords
    assert again.languages == LANGUAGES
    assert again.encode(SENTENCES[3]) == subwords.encode(SENTENCES[3])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("merges"), "'merges'"),
        (lambda c: c["pieces"].append(c["pieces"][0]), "is there twice"),
        (lambda c: c["merges"].append("dog cat"), r"no pieces for the merge \('dog', 'cat'\)"),
        (lambda c: c["merges"].append("abc"), "damaged"),
        (lambda c: c["merges"].append(7), "damaged"),
        (lambda c: c["pieces"].append(7), "a piece is no text"),
        (lambda c: c["languages"].append("Deutsch"), "'Deutsch' is no language code"),
    ],
)
def test_damaged_json(subwords: Subwords, change: object, message: str) -> None:
    content = json.loads(subwords.to_json())
    change(content)  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=message):
        Subwords.from_json(json.dumps(content))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"languages": 7}'])
def test_not_the_json_of_subwords(text: str) -> None:
    with pytest.raises(CheckpointError, match="the subwords are damaged"):
        Subwords.from_json(text)


def test_a_language_that_is_not_spoken(subwords: Subwords) -> None:
    with pytest.raises(ConfigError, match="'ko' is no language of this model; it writes en, de, f"):
        subwords.start("ko")


@pytest.mark.parametrize(
    ("size", "languages", "message"),
    [
        (7, ["en", "de"], "7 subwords are too few: 6 are special tokens"),
        (99, ["en", "en"], "the language 'en' is there twice"),
        (99, ["<en>"], "'<en>' is no language code"),
    ],
)
def test_wrong_wishes(size: int, languages: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Subwords.train(SENTENCES, size, languages)


def test_nothing_to_learn_from() -> None:
    with pytest.raises(DataError, match="the texts hold no word"):
        Subwords.train(["", " \n"], 99, ["en"], byte_fallback=False)


# ---- bytes ---------------------------------------------------------------------------------------

ANY = st.text(st.characters(), max_size=23)


@pytest.fixture(scope="module")
def spelling() -> Subwords:
    """Subwords that spell what has no piece by its bytes."""
    return Subwords.train([*SENTENCES, *SENTENCES, clean(LETTERS)], SIZE + len(BYTES), LANGUAGES)


def test_bytes_come_first_and_count(spelling: Subwords, subwords: Subwords) -> None:
    assert spelling.pieces[7 : 7 + 256] == BYTES
    assert len(spelling) <= SIZE + 256
    assert set(spelling.pieces) - set(BYTES) == set(subwords.pieces)
    assert [spelling.pieces[n] for n in spelling.encode(SENTENCES[3]).ids] == [
        subwords.pieces[n] for n in subwords.encode(SENTENCES[3]).ids
    ]


@given(ANY | st.text("aé雪🐶\u0301\u200d<0xE3>▁' -.\n", max_size=23))
def test_every_text_comes_back(spelling: Subwords, text: str) -> None:
    pieces = spelling.encode(text)
    assert UNK not in pieces.ids
    assert spelling.decode(pieces.ids) == (clean(text), pieces)
    assert list(pieces.words) == cut_words(clean(text))


@given(st.lists(st.integers(0, SIZE + 200), max_size=23))
def test_whatever_a_model_writes_can_be_read(spelling: Subwords, ids: list[int]) -> None:
    """Bytes in any order: no error, one owner a piece, and words that make up the text."""
    text, pieces = spelling.decode([number for number in ids if number < len(spelling)])
    assert len(pieces.owners) == len(pieces.ids)
    assert sorted(pieces.owners) == list(pieces.owners)
    assert set(pieces.owners) == set(range(len(pieces.words)))
    assert "".join(pieces.words) == text.replace(" ", "")
    assert text == " ".join(text.split())
    text.encode()


@pytest.mark.parametrize(
    ("written", "text", "owners", "words"),
    [
        (b"\xe9\x9b\xaa", "雪", (0, 0, 0), ("雪",)),
        (b"\xe9\x9b", "�", (0, 0), ("�",)),  # cut short
        (b"\x9b\xaa\xff", "�", (0, 0, 0), ("�",)),  # never a beginning
        (b"\xe9\x9b\xc3\xa9", "�é", (0, 0, 1, 1), ("�", "é")),
        (b"\xc3\xa9\xe9", "é�", (0, 0, 1), ("é", "�")),
        (b"\xc0\xaf", "�", (0, 0), ("�",)),  # a second spelling of /
        (b"\xed\xa0\x80", "�", (0, 0, 0), ("�",)),  # half a character
        (b"\xf4\x90\x80\x80", "�", (0, 0, 0, 0), ("�",)),  # behind the last one
        (b"a\nb", "a�b", (0, 1, 2), ("a", "�", "b")),
        ("a▁b".encode(), "a�b", (0, 1, 1, 1, 2), ("a", "�", "b")),
        (b"", "", (), ()),
    ],
)
def test_bytes_as_they_read(
    spelling: Subwords, written: bytes, text: str, owners: tuple[int, ...], words: tuple[str, ...]
) -> None:
    first = spelling.pieces.index(BYTES[0])
    ids = tuple(first + byte for byte in written)
    assert spelling.decode(ids) == (text, Pieces(ids, owners, words))
    assert all(map(spelling.is_byte, ids))
    assert not spelling.is_byte(UNK)
    assert not spelling.is_byte(len(spelling) - 1)


def test_a_word_with_a_foreign_letter_stays_one_word(spelling: Subwords) -> None:
    pieces = spelling.encode("Hundÿ läuft")
    assert pieces.words == ("Hundÿ", "läuft")
    shown = [spelling.pieces[n] for n in pieces.ids[: pieces.owners.count(0)]]
    assert shown == ["▁Hund", "<0xC3>", "<0xBF>"]


def test_bytes_stay_in_the_file_and_older_files_have_none(
    spelling: Subwords, subwords: Subwords
) -> None:
    again = Subwords.from_json(spelling.to_json())
    assert again == spelling
    assert again.byte_fallback
    assert again.encode("雪").ids == spelling.encode("雪").ids
    assert "byte_fallback" not in json.loads(subwords.to_json())
    old = Subwords.from_json(subwords.to_json())
    assert not old.byte_fallback
    assert old.encode("雪").ids.count(UNK) == 1
    assert spelling != Subwords(spelling.pieces[7:], spelling.merges, LANGUAGES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["pieces"].remove("<0x41>"), "the bytes are not there, or out of order"),
        (lambda c: c["pieces"].reverse(), "the bytes are not there, or out of order"),
        (lambda c: c.update(byte_fallback="yes"), "byte_fallback is 'yes'"),
    ],
)
def test_damaged_bytes(spelling: Subwords, change: object, message: str) -> None:
    content = json.loads(spelling.to_json())
    change(content)  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=message):
        Subwords.from_json(json.dumps(content))


def test_too_few_for_bytes() -> None:
    with pytest.raises(ConfigError, match="99 subwords are too few: 5 are special tokens and 256 "):
        Subwords.train(SENTENCES, 99, ["en"])
