"""How a caption shows itself in a notebook, and shares a translation's attention out."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from captioner.captions.caption import Caption
from captioner.prediction import Captioner, word_shares
from captioner.translation import Translation
from captioner.words import Word


class _Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_a_notebook_shows_the_sheet_and_living_words(
    tiny_captioner: Captioner, picture: Image.Image
) -> None:
    caption = tiny_captioner(picture)
    png = caption._repr_png_()
    assert png is not None
    with Image.open(io.BytesIO(png)) as sheet:
        assert sheet.size == caption.sheet().size
    found = _Reader(caption._repr_html_()).found
    spans = [values for tag, values in found if tag == "span"]
    assert len(spans) == len(caption.words)
    for word, values in zip(caption.words, spans, strict=True):
        assert str(values["title"]).startswith(f"{100 * (word.prob or 0):.1f} %")
    (image,) = (values for tag, values in found if tag == "img")
    data = str(image["src"]).removeprefix("data:image/jpeg;base64,")
    with Image.open(io.BytesIO(base64.b64decode(data))) as sheet:
        assert (sheet.format, sheet.size) == ("JPEG", caption.sheet().size)
    assert "\n" not in repr(caption) + repr(tiny_captioner)
    assert repr(tiny_captioner).startswith("<Captioner on cpu, ")


def test_nothing_in_a_caption_is_markup() -> None:
    word = Word("<script>", None, None, (('"><b>', 0.5),), known=False)
    caption = Caption("<script>", (word,), 0.0, np.zeros((1, 2, 2), np.float32))
    assert caption._repr_png_() is None
    assert [tag for tag, _ in _Reader(caption._repr_html_()).found] == ["p", "span"]
    failed = Caption("", (), 0.0, np.zeros((0, 0, 0), np.float32), error="a<b>.jpg: it is empty")
    assert failed._repr_html_() == "<p>a&lt;b&gt;.jpg: it is empty</p>"


def aligned(source: tuple[str, ...], rows: np.ndarray) -> Translation:
    words = (Word("w", 1.0, 0.0),) * len(rows)
    return Translation("w", source, words, rows.astype(np.float32), np.zeros(len(rows)), 0.0)


@pytest.mark.parametrize(
    ("source", "words", "shares"),
    [
        (("A", "dog", "."), ("a", "dog"), [[1, 0], [0, 1], [0, 0]]),
        (("isn", "'", "t", "."), ("is", "n't"), [[2 / 3, 1 / 3], [0, 1], [0, 1], [0, 0]]),
        (("T", "-", "shirt"), ("t-shirt",), [[1], [1], [1]]),
        (("man", "'", "s"), ("man", "'s"), [[1, 0], [0, 1], [0, 1]]),
    ],
)
def test_words_cut_in_two_ways_share_their_letters(
    source: tuple[str, ...], words: tuple[str, ...], shares: list[list[float]]
) -> None:
    rows = np.random.default_rng(3).dirichlet(np.ones(len(source)), 5)
    found = word_shares(aligned(source, rows), words)
    expected = rows @ np.array(shares)
    np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True), atol=1e-6)


def test_a_word_that_looked_at_the_full_stop_alone_looks_everywhere() -> None:
    found = word_shares(aligned(("A", "dog", "."), np.array([[0.0, 0.0, 1.0]])), ("a", "dog"))
    np.testing.assert_allclose(found, 0.5)
