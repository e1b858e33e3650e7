"""How a caption shows itself in a notebook."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from captioner.captions.caption import Caption
from captioner.prediction import Captioner
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
