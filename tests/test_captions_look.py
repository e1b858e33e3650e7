from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from captioner.captions.caption import Caption
from captioner.captions.captioner import Captioner
from captioner.captions.look import Look
from captioner.checkpoint import Checkpoint
from captioner.errors import ConfigError, ImageError
from captioner.nn.encoders import normalise
from captioner.tracing import trace
from captioner.translation import Translator


@pytest.fixture
def photo(picture: Image.Image, tmp_path: Path) -> Path:
    path = tmp_path / "a dog.png"
    picture.save(path)
    return path


@pytest.fixture
def look(tiny_captioner: Captioner, photo: Path) -> Look:
    return tiny_captioner.look(photo)


@pytest.fixture
def speaking(tiny_checkpoint: Checkpoint, tiny_translator: Translator) -> Captioner:
    return Captioner(tiny_checkpoint, translator=tiny_translator)


@pytest.fixture
def nothing_more(photo: Path, look: Look) -> Iterator[None]:
    """Neither the photo's file nor the encoder is there any more."""
    photo.unlink()

    def refuse(*_: Any) -> None:
        raise AssertionError("a photo is encoded once")

    hook = look.writer.model.encoder.register_forward_pre_hook(refuse)
    yield
    hook.remove()


def alike(one: Caption, other: Caption) -> None:
    assert one.to_dict(maps=True) == other.to_dict(maps=True)
    assert (one.geometry, one.source) == (other.geometry, other.source)


def test_a_look_holds_what_the_encoder_made(look: Look, photo: Path, picture: Image.Image) -> None:
    checkpoint = look.writer
    pixels = torch.from_numpy(checkpoint.preprocess.pixels(picture)).unsqueeze(0)
    mean, std = checkpoint.preprocess.mean, checkpoint.preprocess.std
    with torch.inference_mode():
        memory = checkpoint.model.encoder(normalise(pixels, mean, std))
    torch.testing.assert_close(look.memory.values, memory.values)
    assert (look.geometry.photo, look.geometry.grid) == ((97, 53), (2, 2))
    assert (look.file, look.source, look.picture) == (str(photo), photo, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        look.memory = memory  # type: ignore[misc]
    assert str(photo) in repr(look)


@pytest.mark.usefixtures("nothing_more")
def test_a_look_answers_without_its_photo(look: Look) -> None:
    assert look.caption().words
    assert look(beam_size=2, n_best=2).n_best
    assert look.explain("the red dog").words
    assert list(look.steps(beam_size=1))
    assert look.trace("the red dog").words == ("the", "red", "dog")


@pytest.mark.parametrize(
    "settings",
    [{}, {"prefix": "the red"}, {"n_best": 4}, {"sample": True, "seed": 3}, {"max_length": 2}],
)
def test_a_look_says_what_its_captioner_says(
    tiny_captioner: Captioner, look: Look, photo: Path, settings: dict[str, Any]
) -> None:
    alike(look.caption(**settings), tiny_captioner(photo, **settings))
    (streamed,) = tiny_captioner.stream([photo], **settings)
    alike(look.caption(**settings), streamed)
    whole = dataclasses.replace(tiny_captioner.options(), beam_size=2)
    alike(look(options=whole), tiny_captioner(photo, options=whole))


def test_a_look_explains_what_its_captioner_explains(
    tiny_captioner: Captioner, look: Look, photo: Path
) -> None:
    sentence = "The zebra runs over a log."
    alike(look.explain(sentence), tiny_captioner.explain(photo, sentence))
    assert len(look.explain(sentence, 2).words[0].alternatives) == 2


@pytest.mark.parametrize("how", [{"beam_size": 1}, {"sample": True, "seed": 5, "top_p": 1.0}])
def test_steps_grow_into_the_caption(look: Look, how: dict[str, Any]) -> None:
    *growing, last = look.steps(**how)
    alike(last, look.caption(**how))
    texts = [word.text for word in last.words]
    assert [[w.text for w in c.words] for c in growing] == [
        texts[:count] for count in range(1, len(texts) + 1)
    ]
    for count, caption in enumerate(growing, 1):
        # Independently: the same words, explained; all but what the end adds.
        explained = look.explain(" ".join(texts[:count]))
        np.testing.assert_allclose(caption.maps, explained.maps, atol=1e-5)
        assert caption.log_prob == pytest.approx(
            sum(word.log_prob or 0 for word in explained.words), abs=1e-4
        )
        assert caption.gates is not None
        assert len(caption.gates) == count


def test_steps_begin_behind_the_prefix(look: Look) -> None:
    *growing, last = look.steps(prefix="the red dog's", beam_size=1, max_length=7)
    assert [len(caption.words) for caption in growing] == list(range(5, len(last.words) + 1))
    assert all(caption.text.startswith("The red dog's") for caption in growing)
    with pytest.raises(ConfigError, match="the prefix has 4 words, max_length is 2"):
        next(look.steps(prefix="the red dog's", max_length=2))


def test_a_beam_comes_at_once(look: Look) -> None:
    (only,) = look.steps(beam_size=3)
    alike(only, look.caption(beam_size=3))


@pytest.mark.parametrize("repeats", [True, False])
def test_steps_search_once(look: Look, monkeypatch: pytest.MonkeyPatch, repeats: bool) -> None:
    steps = 0
    decoder = look.writer.model.decoder
    real = type(decoder).step

    def counted(self: Any, *arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        return real(self, *arguments)

    monkeypatch.setattr(type(decoder), "step", counted)
    *growing, last = look.steps(beam_size=1, max_length=9, repeats=repeats)
    assert steps == len(last.words) + 1
    assert len(growing) == len(last.words)


def test_a_trace_is_that_of_tracing(look: Look) -> None:
    found = look.trace("The zebra runs.", alternatives=3)
    vocabulary = look.writer.vocabulary
    tokens = vocabulary.encode(["the", "zebra", "runs"])
    expected = trace(look.writer.model.decoder, look.memory, tokens, alternatives=3)
    assert found.words == ("the", "zebra", "runs")
    assert found.grid == (2, 2)
    for name in ("queries", "scores", "weights", "contexts", "probs"):
        np.testing.assert_allclose(getattr(found.trace, name), getattr(expected, name))
    assert [len(row) for row in found.following] == [3, 3, 3, 3]
    explained = look.explain("The zebra runs.", 3)
    for row, word in zip(found.following, explained.words, strict=False):
        assert [name.replace("<eos>", ".") for name in row] == [w for w, _ in word.alternatives]


@pytest.mark.parametrize("sentence", ["...", "", "\ud800", None, 5])
def test_a_sentence_without_words_is_refused(look: Look, sentence: Any) -> None:
    for ask in (look.explain, look.trace):
        with pytest.raises(ConfigError, match=r"the sentence|in the sentence"):
            ask(sentence)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beams": 3}, "beams is no decoding option; expected"),
        ({"beam_size": 0}, "beam_size is 0; expected a whole number from 1 to 100"),
        ({"prefix": "a zebra"}, "the prefix holds 'zebra', which the vocabulary of 12 words lacks"),
        ({"prefix": 5}, "the prefix is 5; expected text"),
        ({"to": 5}, "the to is 5; expected text"),
    ],
)
def test_what_cannot_be_is_refused_before_the_photo_is_opened(
    tiny_captioner: Captioner, look: Look, settings: dict[str, Any], message: str
) -> None:
    for ask in (look.caption, lambda **given: tiny_captioner("gone.jpg", **given)):
        with pytest.raises(ConfigError) as caught:
            ask(**settings)
        assert str(caught.value).startswith(message)


def test_no_photo_is_no_look(tiny_captioner: Captioner, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.jpg: there is no such file"):
        tiny_captioner.look(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match="got list; expected one photo"):
        tiny_captioner.look(["a.jpg"])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="side: got 0, expected at least 1 pixel"):
        tiny_captioner.look(Image.new("RGB", (5, 7)), side=0)


def test_the_picture_is_kept_where_it_is_asked_for(
    tiny_captioner: Captioner, tmp_path: Path
) -> None:
    from captioner.pictures.open import open_photo

    pixels = np.random.default_rng(2).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((1700, 1300)).save(buffer, "JPEG")
    found = tiny_captioner.look(buffer, side=300)
    assert found.picture is not None
    assert found.picture.tobytes() == open_photo(buffer, side=300).tobytes()
    alike(
        dataclasses.replace(found(), source=None),
        dataclasses.replace(tiny_captioner(buffer), source=None),
    )


def test_a_painted_photo_is_another_look(
    tiny_captioner: Captioner, look: Look, picture: Image.Image
) -> None:
    before = look.caption()
    painted = picture.copy()
    painted.paste((128, 128, 128), (0, 0, 60, 53))
    other = tiny_captioner.look(painted)
    assert not torch.equal(other.memory.values, look.memory.values)
    alike(look.caption(), before)


def test_threads_share_a_look(look: Look) -> None:
    sentences = ["a dog runs", "the red cat", "a man jumps over the log"]
    alone = [look.explain(sentence).to_dict(maps=True) for sentence in sentences]
    with ThreadPoolExecutor(4) as pool:
        many = list(pool.map(lambda s: look.explain(s).to_dict(maps=True), sentences * 8))
        captions = list(pool.map(lambda _: look.caption().text, range(8)))
    assert many == alone * 8
    assert set(captions) == {look.caption().text}


def test_what_was_found_is_translated_without_another_search(
    speaking: Captioner, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = speaking(photo, to="de", n_best=2)
    found = speaking(photo, n_best=2)
    photo.unlink()
    from captioner.captions import writer

    monkeypatch.setattr(writer, "search", None)
    translated = speaking.translated(found, "de")
    alike(translated, at_once)
    assert translated.original is found
    again = speaking.translated(translated, "fr")
    assert again.original is found
    assert again.translation is not None
    assert again.translation.target_language == "fr"


def test_a_look_translates(speaking: Captioner, photo: Path) -> None:
    alike(speaking.look(photo).caption(to="de"), speaking(photo, to="de"))
    with pytest.raises(ConfigError, match="the captions are in 'en' already"):
        speaking.look(photo).caption(to="en")


def test_what_was_not_found_is_not_translated(speaking: Captioner) -> None:
    (failed,) = speaking.stream(["gone.png"])
    with pytest.raises(ConfigError, match=r"there is no caption to translate: gone\.png: there is"):
        speaking.translated(failed, "de")


@pytest.mark.parametrize("count", [-1, None, "8", 2.5, True])
def test_alternatives_are_checked_by_all_that_take_them(
    tiny_captioner: Captioner, look: Look, photo: Path, count: Any
) -> None:
    for ask in (
        look.explain,
        look.trace,
        lambda text, n: tiny_captioner.explain(photo, text, n),
        lambda text, n: list(tiny_captioner.stream_explained([(photo, text)], alternatives=n)),
    ):
        with pytest.raises(ConfigError, match=r"^alternatives is .*; expected a whole number from"):
            ask("the red dog", count)


@pytest.mark.parametrize("options", [{"beam_size": 2}, 5, "greedy"])
def test_options_that_are_none_are_refused(look: Look, options: Any) -> None:
    with pytest.raises(ConfigError, match=r"^the options are .*; expected SearchOptions, or give"):
        look.caption(options=options)


@pytest.mark.parametrize("side", ["x", 2.5, float("nan"), True, 0])
def test_a_side_is_whole_pixels(tiny_captioner: Captioner, photo: Path, side: Any) -> None:
    with pytest.raises(ConfigError, match=r"^side: got .*, expected at least 1 pixel"):
        tiny_captioner.look(photo, side=side)


def test_a_look_and_a_reading_are_short_to_read(look: Look, photo: Path) -> None:
    assert repr(look) == f"<Look at {str(photo)!r}, 2×2 cells>"
    assert repr(look.trace("the red dog")) == "<Reading of 'the red dog', 4 steps>"
