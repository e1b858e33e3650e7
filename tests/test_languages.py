"""Which languages a translator knows: counting, guessing by naive Bayes, and refusing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner.errors import CheckpointError, ConfigError
from captioner.languages import Direction, Languages
from captioner.text import UNK

V = 13  # subwords
DIRECTIONS = (("en", "de"), ("en", "fr"), ("fr", "en"))
SENTENCES = {
    "en": [(4, 5, 5, 6), (4, 7), (4, 5, 9)],
    "fr": [(9, 10, 10), (8, 9, 4, 10, 11)],
    "ko": [(12, 12, 12)],
}
SPOKEN = "it translates en → de, en → fr, fr → en"


def languages_of(directions: tuple[Direction, ...] = DIRECTIONS) -> Languages:
    return Languages.count(directions, SENTENCES, V)


def same(found: Languages, expected: Languages) -> None:
    assert found.directions == expected.directions
    assert found.names == expected.names
    assert found.counts.dtype == np.int64
    assert found.counts.tolist() == expected.counts.tolist()


def test_counting() -> None:
    found = languages_of()
    assert found.names == ("en", "fr", "ko")
    assert found.counts.shape == (3, V)
    for row, name in zip(found.counts, found.names, strict=True):
        every = [piece for sentence in SENTENCES[name] for piece in sentence]
        assert row.tolist() == [every.count(piece) for piece in range(V)]


def test_counting_takes_sentences_one_by_one_and_empty_ones() -> None:
    found = Languages.count(iter(DIRECTIONS), {"en": iter([(), (4, 4)]), "fr": iter([])}, V)
    assert found.directions == DIRECTIONS
    assert found.counts[0].tolist() == [2 if piece == 4 else 0 for piece in range(V)]
    assert not found.counts[1].any()


def test_sources_and_targets_come_in_order_and_once() -> None:
    assert languages_of().sources == ("en", "fr")
    assert languages_of().targets == ("de", "fr", "en")


def test_joining_adds_what_both_have_counted() -> None:
    more = Languages.count(
        [("cs", "en"), ("en", "fr")], {"cs": [(7, 8)], "en": [(4,)], "ko": [(11, 12)]}, V
    )
    joined = languages_of().joined(more)
    assert joined.directions == (*DIRECTIONS, ("cs", "en"))
    assert joined.names == ("en", "fr", "ko", "cs")
    both = {name: [*SENTENCES.get(name, []), *also] for name, also in (("en", [(4,)]),)}
    both |= {"fr": SENTENCES["fr"], "ko": [*SENTENCES["ko"], (11, 12)], "cs": [(7, 8)]}
    same(joined, Languages.count(joined.directions, both, V))
    same(languages_of(), Languages.count(DIRECTIONS, SENTENCES, V))  # and is left alone


# ---- checking ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "target"), [*DIRECTIONS, (None, "de"), (None, "en")])
def test_what_was_trained_is_taken(source: str | None, target: str) -> None:
    languages_of().check(source, target)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (None, "cs", f"this checkpoint does not translate into 'cs'; {SPOKEN}"),
        ("en", "cs", f"this checkpoint does not translate into 'cs'; {SPOKEN}"),
        ("fr", "de", f"this checkpoint does not translate 'fr' into 'de'; {SPOKEN}"),
        ("ko", "en", f"this checkpoint does not translate 'ko' into 'en'; {SPOKEN}"),
        (
            "de",
            "de",
            f"the sentences are in 'de' already; name another language: this checkpoint t"
            f"ranslates {SPOKEN.removeprefix('it translates ')}",
        ),
        ("", "de", f"this checkpoint does not translate '' into 'de'; {SPOKEN}"),
        (None, "DE", f"this checkpoint does not translate into 'DE'; {SPOKEN}"),
    ],
)
def test_what_was_not_trained_is_refused(source: str | None, target: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        languages_of().check(source, target)
    assert str(caught.value) == message


@pytest.mark.parametrize("wrong", [5, np.zeros(3), ["de"], b"de"])
def test_what_is_no_language_is_refused_whatever_it_is(wrong: Any) -> None:
    for pair in [(wrong, "de"), ("en", wrong)]:
        with pytest.raises(ConfigError, match=r"^the language is .*; expected its code: this chec"):
            languages_of().check(*pair)


# ---- guessing ------------------------------------------------------------------------------------


def chances(languages: Languages, pieces: list[int]) -> dict[str, float]:
    """log p(sentence | language), by hand."""
    found = {}
    for name, row in zip(languages.names, languages.counts.tolist(), strict=True):
        total = sum(row) + 0.5 * V
        found[name] = sum(math.log((row[piece] + 0.5) / total) for piece in pieces if piece != UNK)
    return found


@given(st.lists(st.integers(0, V - 1), max_size=17), st.sampled_from(["de", "fr", "en"]))
def test_the_guess_is_the_likeliest_that_is_translated(pieces: list[int], target: str) -> None:
    languages = languages_of()
    own = chances(languages, pieces)
    possible = {name: own[name] for name in own if (name, target) in DIRECTIONS}
    gap = max(own.values()) - max(possible.values())
    if abs(gap - math.log(1000)) < 1e-6:
        return
    if gap > math.log(1000):
        with pytest.raises(ConfigError, match="name the language if it is another"):
            languages.guess(pieces, target)
    else:
        guessed = languages.guess(pieces, target)
        assert possible[guessed] == pytest.approx(max(possible.values()))


def test_a_language_is_known_by_its_subwords() -> None:
    both = languages_of((("en", "de"), ("fr", "de")))
    assert both.guess((4, 5, 6), "de") == "en"
    assert both.guess((8, 9, 10), "de") == "fr"


def test_unknown_subwords_say_nothing() -> None:
    both = languages_of((("en", "de"), ("fr", "de")))
    assert both.guess((9, 10, *[UNK] * 99), "de") == both.guess((9, 10), "de") == "fr"


@pytest.mark.parametrize("pieces", [(), (UNK,), (UNK, UNK, UNK)])
def test_nothing_to_go_by_is_the_first_that_can_be(pieces: tuple[int, ...]) -> None:
    assert languages_of().guess(pieces, "de") == "en"
    assert languages_of().guess(pieces, "en") == "fr"


def test_a_little_doubt_is_for_what_can_be_translated() -> None:
    assert languages_of().guess((10,), "de") == "en"  # likelier French, but not a thousand times


def test_without_doubt_it_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        languages_of().guess((8, 10, 10, 11, 8, 10), "de")
    assert str(caught.value) == (
        "this looks like 'fr', which the checkpoint does not translate into 'de'; "
        f"{SPOKEN}; name the language if it is another"
    )
    with pytest.raises(ConfigError, match="this looks like 'ko', which the checkpoint does not"):
        languages_of().guess((12,) * 9, "de")


# ---- what an answer looks like -------------------------------------------------------------------


@given(st.lists(st.integers(0, V - 1), max_size=17), st.sampled_from(["en", "fr", "ko"]))
def test_an_answer_looks_like_another_language_if_that_is_ten_times_likelier(
    pieces: list[int], language: str
) -> None:
    own = chances(languages_of(), pieces)
    gap = max(own.values()) - own[language]
    if abs(gap - math.log(10)) < 1e-6:
        return
    found = languages_of().unlike(pieces, language)
    if gap > math.log(10):
        assert found is not None
        assert own[found] == pytest.approx(max(own.values()))
    else:
        assert found is None


def test_nothing_is_said_of_a_language_that_was_never_read() -> None:
    unread = Languages.count([("en", "de"), ("en", "ko")], {**SENTENCES, "ko": [], "de": []}, V)
    assert unread.unlike((9, 10, 10, 11), "ko") is None
    assert unread.unlike((9, 10, 10, 11), "cs") is None
    assert unread.unlike((9, 10, 10, 11, 10), "en") == "fr"  # and smoothing makes it no other
    assert unread.unlike((12, 12, 12, 12), "en") != "ko"
    assert unread.likeliest((4, 5, 5, 6, 4, 5, 5, 6, 4, 5)) == "en"


def test_the_likeliest_is_without_doubt_or_none() -> None:
    assert languages_of().likeliest((12,) * 9) == "ko"
    assert languages_of().likeliest((9,)) is None
    assert languages_of().likeliest(()) is None
    assert Languages.count([("en", "de")], {"en": [(4,)]}, V).likeliest((4,) * 9) is None


# ---- in a file -----------------------------------------------------------------------------------


def test_json_brings_it_back() -> None:
    values = json.loads(json.dumps(languages_of().to_dict()))
    same(Languages.from_dict(values, V), languages_of())


def test_what_it_becomes() -> None:
    values = Languages.count([("en", "de")], {"en": [(1, 2, 2)]}, 3).to_dict()
    assert values == {"directions": [["en", "de"]], "counts": {"en": [0, 1, 2]}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("directions"), "the languages are damaged: 'directions'"),
        (lambda v: v.pop("counts"), "the languages are damaged: 'counts'"),
        (lambda v: v.update(directions=[["en"]]), "the languages are damaged: not enough values"),
        (lambda v: v.update(directions=7), "the languages are damaged: "),
        (lambda v: v.update(counts=[[1] * V]), "the languages are damaged: "),
        (lambda v: v["counts"].update(en=["x"] * V), "the languages are damaged: invalid literal"),
        (lambda v: v["counts"].update(en=[math.nan] * V), "the languages are damaged: "),
        (lambda v: v["counts"].update(en=[10**30] * V), "the languages are damaged: "),
        (lambda v: v["counts"].update(en=[1] * (V - 1)), "the languages are damaged: "),
        (lambda v: v["counts"].update(en=[-1] * V), "their counts do not fit the subwords"),
        (lambda v: v.update(directions=[]), "their counts do not fit the subwords"),
        (lambda v: v.update(counts={}), "their counts do not fit the subwords"),
        (lambda v: v["counts"].pop("fr"), "a direction starts in an unknown one"),
    ],
)
def test_damaged_values(change: Callable[[dict[str, Any]], object], message: str) -> None:
    values = languages_of().to_dict()
    change(values)
    with pytest.raises(CheckpointError, match=message) as caught:
        Languages.from_dict(values, V)
    assert "\n" not in str(caught.value)


def test_counts_of_other_subwords() -> None:
    with pytest.raises(CheckpointError, match="their counts do not fit the subwords"):
        Languages.from_dict(languages_of().to_dict(), V + 1)


@pytest.mark.parametrize("values", [{}, [], "en", 7, None])
def test_values_that_are_none(values: Any) -> None:
    with pytest.raises(CheckpointError, match="the languages are damaged: "):
        Languages.from_dict(values, V)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        *(("DE", "de"), ("de", "de"), ("Ko", "ko"), ("xx", "xx"), ("", "")),
        *(("German", "de"), ("DEUTSCH", "de"), ("한국어", "ko"), ("Spanish", "Spanish")),
    ],
)
def test_a_language_is_read_by_its_code_or_name_in_any_case(name: str, code: str) -> None:
    assert languages_of().code(name) == code


def test_a_checkpoint_may_write_capitals() -> None:
    assert languages_of((("en", "zh-TW"),)).code("zh-tw") == "zh-TW"


def test_a_text_that_cannot_be_translated_as_asked_goes_where_it_can() -> None:
    found = languages_of()
    french, english, korean = [9, 10, 10] * 4, [4, 5, 5, 6] * 4, [12] * 8
    assert found.elsewhere(french, "de") == ("fr", "en")
    assert found.elsewhere(french, "en") is None  # which it can be
    assert found.elsewhere(english, "de") is None
    assert found.elsewhere(english, "en") == ("en", "de")  # the first of two
    assert found.elsewhere([10], "de") is None  # too little to be sure
    assert found.elsewhere(korean, "de") is None  # from which nothing is translated
