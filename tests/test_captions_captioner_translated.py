"""Captions in another language."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from captioner import storage
from captioner.checkpoint import Checkpoint
from captioner.errors import ConfigError, ImageError
from captioner.prediction import Captioner
from captioner.translation import Translation, Translator
from tests.translating import (
    same,
    tempted,
)


@pytest.fixture(scope="module")
def polyglot(tiny_checkpoint: Checkpoint, tiny_translator: Translator) -> Captioner:
    return Captioner(tiny_checkpoint, translator=tiny_translator)


KNOWN = {"prefix": "a dog runs over the log", "max_length": 6}  # a caption that can be translated


def test_a_caption_says_the_same_in_another_language(
    polyglot: Captioner, tiny_translator: Translator, picture: Image.Image
) -> None:
    plain = polyglot(picture, **KNOWN)
    caption = polyglot(picture, to="de", **KNOWN)
    assert plain.text == "A dog runs over the log."
    assert caption.text == "Ein Hund läuft über den Stamm."
    assert caption.original is not None
    assert caption.original.text == plain.text
    np.testing.assert_allclose(caption.original.maps, plain.maps, atol=1e-6)
    assert caption.translation is not None
    same(caption.translation, tiny_translator(plain.text, to="de", source_language="en"))
    assert caption.words == caption.translation.words
    assert caption.log_prob == caption.translation.log_prob
    assert caption.geometry == plain.geometry
    assert caption.gates is None


def test_maps_are_the_product_of_the_two_attentions(
    polyglot: Captioner, picture: Image.Image
) -> None:
    caption = polyglot(picture, to="de", **KNOWN)
    assert caption.original is not None
    assert caption.translation is not None
    english = [word.text for word in caption.original.words]
    assert english == ["a", "dog", "runs", "over", "the", "log"]
    assert caption.translation.source_words == ("A", "dog", "runs", "over", "the", "log", ".")
    for word, found in enumerate(caption.maps):
        row = caption.translation.alignment[word, :-1].astype(float)  # nothing on the full stop
        shares = row / row.sum()
        parts = zip(shares, caption.original.maps, strict=True)
        np.testing.assert_allclose(found, sum(share * own for share, own in parts), atol=1e-5)
    assert caption.maps.shape == (len(caption.words), 2, 2)
    np.testing.assert_allclose(caption.maps.sum((1, 2)), 1, atol=1e-5)


def test_overlay_and_sheet_know_the_new_words(polyglot: Captioner, picture: Image.Image) -> None:
    caption = polyglot(picture, to="de", **KNOWN)
    assert caption.overlay("Hund").size == picture.size
    assert caption.overlay("hund").tobytes() == caption.overlay(1).tobytes()
    assert caption.sheet().width > 100
    with pytest.raises(ConfigError, match="no word 'dog'; its words are: Ein, Hund, läuft"):
        caption.overlay("dog")


def test_several_captions_are_translated_each(polyglot: Captioner, picture: Image.Image) -> None:
    caption = polyglot(picture, to="fr", n_best=3)
    plain = polyglot(picture, n_best=3)
    every = (caption, *caption.n_best)
    assert len(every) == 3
    for one, other in zip(every, (plain, *plain.n_best), strict=True):
        assert one.original is not None
        assert one.original.text == other.text
        assert one.translation is not None
        assert one.translation.target_language == "fr"
        assert one.maps.shape == (len(one.words), 2, 2)
        np.testing.assert_allclose(one.maps.sum((1, 2)), 1, atol=1e-5)


def test_translated_captions_as_json(polyglot: Captioner, picture: Image.Image) -> None:
    caption = polyglot(picture, to="de", **KNOWN)
    values = json.loads(json.dumps(caption.to_dict(maps=True)))
    names = ["file", "caption", "words", "log_prob", "grid", "maps", "original"]
    names += ["from", "to", "source_words", "alignment", "warning"]
    assert list(values) == [*names, "error"]
    assert values["warning"] is None
    assert values["caption"] == caption.text
    assert values["original"]["caption"] == "A dog runs over the log."
    assert len(values["maps"]) == len(values["words"]) == len(values["alignment"])
    assert len(values["original"]["maps"]) == 6
    assert (values["from"], values["to"]) == ("en", "de")


def test_a_photo_that_cannot_be_read_stays_in_its_place(
    polyglot: Captioner, picture: Image.Image
) -> None:
    found = list(polyglot.stream([picture, "none.jpg", picture], to="de", **KNOWN))
    assert [one.text for one in found] == [
        "Ein Hund läuft über den Stamm.",
        "",
        "Ein Hund läuft über den Stamm.",
    ]
    assert found[1].error is not None
    assert "no such file" in found[1].error
    with pytest.raises(ImageError, match="no such file"):
        polyglot("none.jpg", to="de")


@pytest.mark.parametrize("photo", ["none.jpg", "picture"])
def test_captions_are_not_translated_into_their_own_language(
    polyglot: Captioner, picture: Image.Image, photo: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        polyglot(picture if photo == "picture" else photo, to="en")
    assert str(caught.value) == (
        "the captions are in 'en' already; leave the language out, or name another to translate "
        "them into: de, fr"
    )


def test_a_doubtful_translation_of_a_caption_says_so(
    tiny_checkpoint: Checkpoint, tiny_translator: Translator, picture: Image.Image
) -> None:
    captioner = Captioner(tiny_checkpoint, translator=tempted(tiny_translator, "de"))
    warning = captioner(picture, to="de", **KNOWN).to_dict()["warning"]
    assert warning.startswith("the answer looks like 'fr', not 'de'")


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        (
            "caf\udce9",
            r"in the sentence, character 4 is no text \(\\udce9: a byte that is not UTF-8",
        ),
        (None, "the sentence is None; expected text"),
        ("...", "the sentence '...' has no words; write what you see"),
    ],
)
def test_sentences_that_cannot_be_explained(
    polyglot: Captioner, picture: Image.Image, sentence: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        polyglot.explain(picture, sentence)
    [found, other] = polyglot.stream_explained([(picture, sentence), (picture, "a dog")])
    assert found.error is not None
    assert other.error is None


def test_a_language_that_is_not_spoken_is_told_before_anything_is_done(
    polyglot: Captioner,
) -> None:
    with pytest.raises(ConfigError, match="this checkpoint does not translate into 'cs'"):
        polyglot("none.jpg", to="cs")


def test_a_caption_that_cannot_be_translated_says_so(
    polyglot: Captioner, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Translator, lines: list[str], **_: Any) -> Iterator[Translation]:
        return (
            Translation("", (), (), np.zeros((0, 0), np.float32), np.zeros(0), 0.0, error="no")
            for _ in lines
        )

    monkeypatch.setattr(Translator, "stream", failing)
    [found] = polyglot.stream([picture], to="de", **KNOWN)
    assert found.error == "the caption: no"
    assert found.maps.shape == (0, 2, 2)
    assert found.original is not None
    assert found.original.error is None


def test_translators_come_when_they_are_needed(
    tiny_checkpoint: Checkpoint,
    translation_weights: str,
    picture: Image.Image,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def shipped(task: str) -> str:
        asked.append(task)
        return translation_weights

    monkeypatch.setattr(storage, "default_path", shipped)
    captioner = Captioner(tiny_checkpoint)
    captioner(picture)
    assert asked == []
    assert captioner(picture, to="de", **KNOWN).text == "Ein Hund läuft über den Stamm."
    assert captioner.translator is captioner.translator
    assert asked == ["translate"]
