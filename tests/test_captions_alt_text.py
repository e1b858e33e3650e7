from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner.captions.alt_text import LONGEST, alt_text


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A dog runs through the snow.", "A dog runs through the snow."),
        ("A close up of a cat on a bed.", "A cat on a bed."),
        ("An image of the dog.", "The dog."),
        ("a photo of two men", "Two men"),
        ("This is a picture of an old car.", "An old car."),
        ("A picture showing people at a table.", "People at a table."),
        ("A man taking a picture of a dog.", "A man taking a picture of a dog."),
        ("Photos of a wall.", "Photos of a wall."),
        ("A picture of", "A picture of"),
        ("", ""),
        ("  two\nlines ", "two lines"),
    ],
)
def test_alt_texts(caption: str, expected: str) -> None:
    assert alt_text(caption) == expected


def test_long_ones_are_cut_behind_a_word() -> None:
    long = "A dog " + "runs and " * 40
    text = alt_text(long)
    assert len(text) <= LONGEST
    assert text.endswith(("runs…", "and…"))


def test_unsure_ones_are_marked() -> None:
    assert alt_text("A dog.", unsure=True) == "A dog. (unsure)"
    assert alt_text("", unsure=True) == ""


@given(st.text(), st.booleans())
def test_none_is_too_long(caption: str, unsure: bool) -> None:
    text = alt_text(caption, unsure=unsure)
    assert len(text) <= LONGEST
    assert "\n" not in text
    assert bool(text) == bool(caption.split())
