from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from captioner import checkpoint as checkpoints
from captioner.captions import opened as openings
from captioner.captions.caption import Caption
from captioner.captions.captioner import Captioner
from captioner.checkpoint import Checkpoint
from captioner.errors import CheckpointError, ConfigError, ImageError
from captioner.nn.encoders import normalise
from captioner.options import SearchOptions
from captioner.search import search
from captioner.text import detokenise
from captioner.translations.translator import Translator


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = []
    for number in range(7):
        pixels = np.random.default_rng(number).integers(0, 256, (37, 41, 3), dtype=np.uint8)
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def same(one: Caption, other: Caption) -> None:
    assert one.text == other.text
    assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
    np.testing.assert_allclose(one.maps, other.maps, atol=1e-5)


def test_a_caption_is_what_the_search_found(
    tiny_captioner: Captioner, picture: Image.Image
) -> None:
    caption = tiny_captioner(picture, beam_size=2)
    checkpoint = tiny_captioner.checkpoint
    pixels = torch.from_numpy(checkpoint.preprocess.pixels(picture)).unsqueeze(0)
    mean, std = checkpoint.preprocess.mean, checkpoint.preprocess.std
    with torch.inference_mode():
        memory = checkpoint.model.encoder(normalise(pixels, mean, std))  # batch norm not folded
    options = dataclasses.replace(checkpoint.search, beam_size=2)
    found = search(checkpoint.model.decoder, memory, options)[0][0]
    words = checkpoint.vocabulary.decode(found.tokens)
    assert caption.text == detokenise(words)
    assert [word.text for word in caption.words] == words
    assert caption.log_prob == pytest.approx(found.log_prob, abs=1e-4)
    np.testing.assert_allclose(caption.maps.reshape(len(words), -1), found.weights[:, 0], atol=1e-5)
    assert caption.gates is not None
    assert caption.gates.shape == (len(words),)


def test_maps_words_and_probabilities(tiny_captioner: Captioner, picture: Image.Image) -> None:
    caption = tiny_captioner(picture)
    assert caption.maps.shape == (len(caption.words), 2, 2)
    np.testing.assert_allclose(caption.maps.sum((1, 2)), 1, atol=1e-6)
    assert caption.geometry is not None
    assert caption.geometry.photo == picture.size
    for word in caption.words:
        assert word.prob is not None
        assert word.log_prob is not None
        assert word.prob == pytest.approx(np.exp(word.log_prob))
        probs = [prob for _, prob in word.alternatives]
        assert len(probs) == 5
        assert probs == sorted(probs, reverse=True)
    known = sum(word.log_prob or 0 for word in caption.words)
    assert caption.log_prob < known  # the end counts too


@pytest.mark.parametrize("kind", ["str", "path", "bytes", "file", "picture", "array"])
def test_every_source_gives_the_same(
    tiny_captioner: Captioner, photos: list[Path], kind: str
) -> None:
    path = photos[0]
    with path.open("rb") as file:
        sources = {
            "str": str(path),
            "path": path,
            "bytes": path.read_bytes(),
            "file": io.BytesIO(file.read()),
            "picture": Image.open(path),
            "array": np.asarray(Image.open(path)),
        }
    caption = tiny_captioner(sources[kind])
    same(caption, tiny_captioner(path))
    assert caption.file == (str(path) if kind in ("str", "path") else None)
    assert caption.photo().size == (41, 37)


def test_streams_keep_the_order_whatever_the_batch(
    tiny_captioner: Captioner, photos: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    sources = [*photos[:3], bad, *photos[3:], tmp_path / "gone.png"]
    alone = [tiny_captioner(path) for path in photos]
    for batch_size in (1, 3, 32):
        captions = list(tiny_captioner.stream(sources, batch_size=batch_size))
        assert [caption.file for caption in captions] == [str(source) for source in sources]
        good = [caption for caption in captions if caption.error is None]
        for one, other in zip(good, alone, strict=True):
            same(one, other)
        errors = [caption.error for caption in captions if caption.error]
        assert "bad.jpg" in errors[0]
        assert "no such file" in errors[1]


def test_a_stream_reads_only_a_little_ahead(tiny_captioner: Captioner, photos: list[Path]) -> None:
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield photos[0]

    stream = tiny_captioner.stream(endless(), batch_size=2)
    next(stream)
    assert taken <= 6
    stream.close()


def test_a_stream_loses_nothing_when_its_source_breaks(
    tiny_captioner: Captioner, photos: list[Path]
) -> None:
    def source() -> Iterator[Path]:
        yield from photos * 2
        raise OSError("the list of photos ends here")

    done = []
    with pytest.raises(OSError, match="the list of photos ends here"):  # noqa: PT012
        for caption in tiny_captioner.stream(source(), batch_size=4):
            done.append(caption)
    assert [caption.file for caption in done] == [str(path) for path in photos * 2]
    explained = []
    with pytest.raises(OSError, match="the list of photos ends here"):  # noqa: PT012
        for caption in tiny_captioner.stream_explained((path, "a dog") for path in source()):
            explained.append(caption)
    assert [caption.file for caption in explained] == [str(path) for path in photos * 2]
    for one, path in zip(done, photos, strict=False):
        same(one, tiny_captioner(path))


def test_the_first_caption_comes_after_the_first_photo(
    tiny_captioner: Captioner, photos: list[Path]
) -> None:
    seen = threading.Event()

    def slow() -> Iterator[Path]:
        for photo in photos:
            yield photo
            assert seen.wait(60)  # until its caption was there
            seen.clear()

    files = []
    for caption in tiny_captioner.stream(slow()):
        files.append(caption.file)
        seen.set()
    assert files == [str(path) for path in photos]


@pytest.mark.parametrize("error", [OSError(5, "odd"), MemoryError(), RecursionError("deep")])
def test_an_error_of_one_photo_ends_nothing_whatever_its_class(
    tiny_captioner: Captioner,
    photos: list[Path],
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = openings.open_sizes

    def opened(source: Any, sides: Any) -> list[Image.Image]:
        if source == photos[1]:
            raise error
        return real(source, sides)

    monkeypatch.setattr(openings, "open_sizes", opened)
    captions = list(tiny_captioner.stream(photos[:3]))
    assert [caption.error is None for caption in captions] == [True, False, True]
    assert captions[1].file == str(photos[1])
    message = captions[1].error or ""
    assert message.startswith(f"{photos[1]}: cannot be opened ({type(error).__name__}")
    assert message.endswith(f"{error})".replace("()", ")"))


def test_a_pipe_is_read_once(tiny_captioner: Captioner, photos: list[Path], tmp_path: Path) -> None:
    for number, content in enumerate((photos[0].read_bytes(), b"no photo")):
        pipe = tmp_path / f"pipe{number}"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(content,), daemon=True)
        writer.start()
        (caption,) = tiny_captioner.stream([str(pipe)])
        writer.join(60)
        assert caption.file == str(pipe)
        if number:
            assert caption.error is not None
            assert caption.error.startswith(f"{pipe}: this is text, expected a photo")
        else:
            same(caption, tiny_captioner(photos[0]))
            assert caption.photo().size == (41, 37)
            assert caption.sheet().size == tiny_captioner(photos[0]).sheet().size


def test_a_pipe_that_never_ends_is_refused(
    tiny_captioner: Captioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openings, "_LONGEST_PIPE", 2**20)
    os.mkfifo(tmp_path / "pipe")

    def endless() -> None:
        with contextlib.suppress(BrokenPipeError), (tmp_path / "pipe").open("wb") as pipe:
            while True:
                pipe.write(bytes(2**16))

    threading.Thread(target=endless, daemon=True).start()
    (caption,) = tiny_captioner.stream([tmp_path / "pipe"])
    assert caption.error == f"{tmp_path}/pipe: more than 1 MiB came from this pipe; send one photo"


def test_samples_depend_on_the_seed_not_on_the_batch(
    tiny_captioner: Captioner, photos: list[Path]
) -> None:
    def said(seed: int, batch_size: int) -> list[str]:
        stream = tiny_captioner.stream(
            photos, batch_size=batch_size, sample=True, seed=seed, temperature=5.0
        )
        return [caption.text for caption in stream]

    assert said(1, 2) == said(1, 32)
    assert said(1, 32) != said(2, 32)


def test_n_best_comes_in_order(tiny_captioner: Captioner, picture: Image.Image) -> None:
    caption = tiny_captioner(picture, n_best=4)  # wider than the checkpoint's own beam
    assert len(caption.n_best) == 3
    texts = [caption.text, *(other.text for other in caption.n_best)]
    assert len(set(texts)) == 4
    penalty = tiny_captioner.checkpoint.search.length_penalty
    scores = [c.log_prob / (len(c.words) + 1) ** penalty for c in (caption, *caption.n_best)]
    assert scores == sorted(scores, reverse=True)


def test_a_prefix_is_kept(tiny_captioner: Captioner, picture: Image.Image) -> None:
    caption = tiny_captioner(picture, prefix="The red dog's")
    assert [word.text for word in caption.words[:4]] == ["the", "red", "dog", "'s"]
    assert caption.text.startswith("The red dog's")
    with pytest.raises(ConfigError, match=r"the prefix holds 'zebra', which the vocabulary of 12"):
        tiny_captioner(picture, prefix="a zebra")


def test_explaining_its_own_caption_changes_nothing(
    tiny_captioner: Captioner, picture: Image.Image
) -> None:
    caption = tiny_captioner(picture)
    explained = tiny_captioner.explain(picture, caption.text)
    same(caption, explained)
    assert [w.alternatives[0][0] for w in caption.words] == [
        w.alternatives[0][0] for w in explained.words
    ]


def test_unknown_words_keep_their_place(tiny_captioner: Captioner, picture: Image.Image) -> None:
    caption = tiny_captioner.explain(picture, "The zebra runs!")
    assert [word.text for word in caption.words] == ["the", "zebra", "runs"]
    assert [word.known for word in caption.words] == [True, False, True]
    assert caption.words[1].prob is None
    assert caption.words[1].log_prob is None
    assert len(caption.words[1].alternatives) == 5
    assert caption.maps.shape == (3, 2, 2)
    assert np.isfinite(caption.log_prob)
    values = caption.to_dict(maps=True)
    assert values["words"][1]["unknown"] is True
    assert values["words"][1]["prob"] is None
    assert caption.sheet().width > 100


def test_explaining_many(tiny_captioner: Captioner, photos: list[Path]) -> None:
    sentences = ["a dog", "the red cat runs", "a man jumps over the log"]
    pairs = list(zip(photos, sentences, strict=False))
    for batch_size in (1, 2):
        captions = list(tiny_captioner.stream_explained(pairs, batch_size=batch_size))
        for (photo, sentence), caption in zip(pairs, captions, strict=True):
            same(caption, tiny_captioner.explain(photo, sentence))


def test_a_sentence_needs_words(tiny_captioner: Captioner, picture: Image.Image) -> None:
    with pytest.raises(ConfigError, match=r"'\.\.\.' has no words; write what you see"):
        tiny_captioner.explain(picture, "...")


def test_overlay_by_word_and_by_place(tiny_captioner: Captioner, picture: Image.Image) -> None:
    caption = tiny_captioner.explain(picture, "a dog over a cat")
    assert caption.overlay("Dog").size == picture.size
    assert caption.overlay("dog").tobytes() == caption.overlay(1).tobytes()
    assert caption.overlay(-1).tobytes() == caption.overlay("cat").tobytes()
    assert caption.overlay("dog", grid=True).tobytes() != caption.overlay("dog").tobytes()
    with pytest.raises(ConfigError, match="no word 'horse'; its words are: a, dog, over, a, cat"):
        caption.overlay("horse")
    with pytest.raises(ConfigError, match="no word 5"):
        caption.overlay(5)


def test_to_dict_is_the_contract(tiny_captioner: Captioner, photos: list[Path]) -> None:
    caption = tiny_captioner(photos[0], n_best=2)
    values = json.loads(json.dumps(caption.to_dict(maps=True)))
    names = ["file", "caption", "words", "log_prob", "grid", "maps", "n_best", "error"]
    assert list(values) == names
    assert values["file"] == str(photos[0])
    assert values["caption"] == caption.text
    assert values["grid"] == [2, 2]
    assert values["error"] is None
    assert set(values["words"][0]) == {"word", "prob", "alternatives"}
    assert len(values["maps"]) == len(values["words"])
    for row in values["maps"]:
        assert len(row) == 4
        assert sum(row) == pytest.approx(1, abs=1e-3)
        assert all(number == float(f"{number:.4g}") for number in row)
    assert set(values["n_best"][0]) == {"caption", "words", "log_prob", "maps"}
    assert "maps" not in caption.to_dict()


def test_an_unreadable_photo_raises_alone(tiny_captioner: Captioner, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        tiny_captioner(tmp_path / "gone.jpg")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beams": 3}, "beams is no decoding option; expected alternatives, beam_size"),
        ({"beam_size": 0}, "beam_size is 0; expected a whole number from 1 to 100"),
        ({"prefix": "a " * 10}, "the prefix has 10 words, max_length is 9"),
    ],
)
def test_wrong_options(
    tiny_captioner: Captioner, picture: Image.Image, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny_captioner(picture, **settings)  # type: ignore[arg-type]


def test_options_start_from_the_checkpoint(tiny_captioner: Captioner) -> None:
    assert tiny_captioner.options() == tiny_captioner.checkpoint.search
    assert tiny_captioner.options(beam_size=None).beam_size == 3
    assert tiny_captioner.options(max_length=4) == SearchOptions(beam_size=3, max_length=4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; expected a whole number from 1 to 4096"),
        ({"batch_size": 10**30}, f"batch_size is {10**30}; expected a whole number from 1 to 4096"),
        ({"batch_size": "8"}, "batch_size is '8'; expected a whole number from 1 to 4096"),
        ({"batch_size": True}, "batch_size is True; expected a whole number from 1 to 4096"),
        ({"batch_size": 4.0}, "batch_size is 4.0; expected a whole number from 1 to 4096"),
        ({"workers": 0}, "workers is 0; expected a whole number from 1 to 64"),
        ({"workers": 10**9}, "workers is 1000000000; expected a whole number from 1 to 64"),
        ({"workers": None}, "workers is None; expected a whole number from 1 to 64"),
        (
            {"batch_size": 1000, "beam_size": 5},
            "batch_size 1000 times beam_size 5 is 5000 sentences at once, more than 4096; choose a "
            "batch_size of at most 819",
        ),
        (
            {"sample": True, "n_best": 2000},
            "batch_size 32 times n_best 2000 is 64000 sentences at once, more than 4096; choose a "
            "batch_size of at most 2",
        ),
        ({"prefix": None}, "the prefix is None; expected text"),
        ({"prefix": ["a"]}, "the prefix is ['a']; expected text"),
        ({"to": 5}, "the to is 5; expected text"),
        ({"beam_size": "3"}, "beam_size is '3'; expected a whole number from 1 to 100"),
        ({"n_best": "3"}, "n_best is '3'; expected a whole number from 1 to 4096"),
    ],
)
def test_streams_refuse_what_cannot_be(
    tiny_captioner: Captioner, photos: list[Path], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        next(tiny_captioner.stream(photos, **settings))
    assert str(caught.value) == message


def test_words_of_any_length_make_short_messages(
    tiny_captioner: Captioner, photos: list[Path]
) -> None:
    with pytest.raises(ConfigError) as prefixed:
        tiny_captioner(photos[0], prefix="x" * 5000)
    with pytest.raises(ConfigError) as drawn:
        tiny_captioner(photos[0]).overlay("x" * 5000)
    assert all(len(str(caught.value)) < 400 for caught in (prefixed, drawn))


def test_numbers_of_numpy_are_numbers(tiny_captioner: Captioner, photos: list[Path]) -> None:
    given = {"beam_size": np.int64(2), "length_penalty": np.float32(0.5), "max_length": np.uint8(5)}
    plain = {"beam_size": 2, "length_penalty": 0.5, "max_length": 5}
    found = tiny_captioner.stream(photos, batch_size=np.int32(3), workers=np.int8(1), **given)  # type: ignore[arg-type]
    for one, other in zip(found, tiny_captioner.stream(photos, **plain), strict=True):  # type: ignore[arg-type]
        same(one, other)


def test_one_photo_is_a_batch_of_one(tiny_captioner: Captioner, picture: Image.Image) -> None:
    caption = tiny_captioner(picture, sample=True, n_best=500, max_length=2)
    assert len(caption.n_best) == 499


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        ("photo.jpg", "stream takes many photos, and this is one str; put it in a list"),
        (Path("photo.jpg"), "stream takes many photos, and this is one PosixPath; put it"),
        (b"abc", "stream takes many photos, and this is one bytes; put it in a list"),
        (io.BytesIO(b"abc"), "stream takes many photos, and this is one BytesIO; put it"),
        (Image.new("RGB", (5, 7)), "stream takes many photos, and this is one Image; put it"),
        (
            torch.zeros(3, 5, 7),
            "stream takes many photos, and this is one Tensor; put",
        ),
        (np.zeros((5, 7, 3), np.uint8), "stream takes many photos, and this is one ndarray; put"),
        (None, "the photos are None; expected a list or another iterable"),
        (5, "the photos are 5; expected a list or another iterable"),
        ({"a.jpg": 1}, "the photos are {'a.jpg': 1}; expected a list or another iterable"),
    ],
)
def test_a_stream_wants_many(tiny_captioner: Captioner, photos: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        next(tiny_captioner.stream(photos))
    assert str(caught.value).startswith(message)


def test_a_row_of_arrays_is_many(tiny_captioner: Captioner) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (2, 37, 41, 3), dtype=np.uint8)
    for caption, one in zip(tiny_captioner.stream(pixels), pixels, strict=True):
        same(caption, tiny_captioner(one))


def test_a_stream_goes_on_behind_what_is_no_photo(
    tiny_captioner: Captioner, photos: list[Path]
) -> None:
    odd: list[Any] = [photos[0], None, 5, ["a"], torch.zeros(5, 7, 5), photos[1]]
    captions = list(tiny_captioner.stream(odd))
    assert [caption.error is None for caption in captions] == [True, *[False] * 4, True]
    assert all("expected" in str(caption.error) for caption in captions[1:5])


@pytest.mark.parametrize("photo", [["a.jpg", "b.jpg"], ("a.jpg",), {"a.jpg"}, {}, (x for x in "a")])
def test_a_call_wants_one(tiny_captioner: Captioner, photo: Any) -> None:
    kind = type(photo).__name__
    for call in (tiny_captioner, lambda photo: tiny_captioner.explain(photo, "a dog")):
        with pytest.raises(ImageError, match=rf"got {kind}; expected one photo: .*\.stream\("):
            call(photo)


@pytest.mark.parametrize("photo", [None, 5, 2.5, object()])
def test_a_call_wants_a_photo(tiny_captioner: Captioner, photo: Any) -> None:
    with pytest.raises(ImageError, match=r"got .*; expected a path"):
        tiny_captioner(photo)


def test_explaining_wants_text(tiny_captioner: Captioner, picture: Image.Image) -> None:
    for sentence in (None, 5, ["a dog"], b"a dog"):
        with pytest.raises(ConfigError, match=r"the sentence is .*; expected text"):
            tiny_captioner.explain(picture, sentence)  # type: ignore[arg-type]
    for alternatives in (-1, "5", 2.5, True):
        with pytest.raises(ConfigError, match=r"alternatives is .*; expected a whole number fr"):
            tiny_captioner.explain(picture, "a dog", alternatives)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ("a dog", "the pairs are 'a dog'; expected (photo, sentence) pairs"),
        (None, "the pairs are None; expected (photo, sentence) pairs"),
        (["ab"], "a pair is 'ab'; expected (photo, sentence)"),
        ([("a.jpg",)], "a pair is ('a.jpg',); expected (photo, sentence)"),
    ],
)
def test_explaining_wants_pairs(tiny_captioner: Captioner, pairs: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        next(tiny_captioner.stream_explained(pairs))
    assert str(caught.value) == message


def test_explaining_goes_on_behind_what_is_no_text(
    tiny_captioner: Captioner, photos: list[Path]
) -> None:
    pairs: list[Any] = [(photos[0], 5), (photos[0], "a dog")]
    wrong, right = tiny_captioner.stream_explained(pairs)
    assert wrong.error == "the sentence is 5; expected text"
    assert right.error is None


def test_what_a_shell_shows_is_short(tiny_captioner: Captioner, photos: list[Path]) -> None:
    caption = tiny_captioner(photos[0], n_best=3)
    shown = repr(caption)
    assert shown.startswith(f"<Caption {caption.text!r} of '")
    assert shown.endswith(f", maps {len(caption.words)}×2×2>")
    failed = next(tiny_captioner.stream(["gone.png"]))
    assert repr(failed).startswith("<Caption of 'gone.png': 'gone.png: there is no such file")
    long = dataclasses.replace(caption, text="word " * 500, file="x" * 500, n_best=(caption,) * 9)
    for one in (caption, failed, long):
        assert len(repr(one)) < 200
        assert "\n" not in repr(one)


def test_a_gpu_is_not_shared_with_forked_children(tiny_checkpoint: Checkpoint) -> None:
    captioner = Captioner(tiny_checkpoint)
    captioner.writer.process += 1
    next(captioner.stream([np.zeros((5, 7, 3), np.uint8)]))  # on a CPU it may be
    look = captioner.look(np.zeros((5, 7, 3), np.uint8))
    captioner.writer.device = torch.device("cuda")
    photo = np.zeros((5, 7, 3), np.uint8)
    for ask in (
        lambda: next(captioner.stream([photo])),
        lambda: captioner(photo),
        lambda: captioner.explain(photo, "a dog"),
        lambda: captioner.look(photo),
        lambda: look.caption(),
        lambda: look.explain("a dog"),
        lambda: look.trace("a dog"),
        lambda: next(look.steps()),
    ):
        with pytest.raises(ConfigError, match=r"forked after the model was loaded on cuda.*spawn"):
            ask()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_captions(photos: list[Path], tmp_path: Path) -> None:
    """With the shipped model, whose operations are large enough for several threads."""
    code = """
import os, sys, time
from captioner import Captioner
captioner = Captioner.load()
text = captioner(sys.argv[1]).text
child = os.fork()
if not child:
    os._exit(0 if captioner(sys.argv[1]).text == text else 3)
print(child, flush=True)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", code, str(photos[0])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    try:
        assert process.wait(timeout=120) == 0
    except subprocess.TimeoutExpired:
        assert process.stdout is not None
        os.kill(int(process.stdout.readline()), signal.SIGKILL)
        process.wait()
        pytest.fail("the child waits for threads that it does not have")
    finally:
        process.kill()


def test_load(tiny_checkpoint: Checkpoint, picture: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    checkpoints.save(tiny_checkpoint, path, torch.float32)
    same(Captioner.load(path)(picture), Captioner(tiny_checkpoint)(picture))
    with pytest.raises(CheckpointError, match="no such file"):
        Captioner.load(tmp_path / "none.safetensors")


def test_the_checkpoint_stays_as_it_was(tiny_checkpoint: Checkpoint) -> None:
    before = {k: v.clone() for k, v in tiny_checkpoint.model.state_dict().items()}
    Captioner(tiny_checkpoint)
    after = tiny_checkpoint.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(("kind", "size"), [("JPEG", (9248, 6936)), ("HEIF", (96, 62))])
def test_maps_lie_on_the_turned_photos_of_telephones(
    tiny_captioner: Captioner, tmp_path: Path, kind: str, size: tuple[int, int]
) -> None:
    """One of 64.1 megapixels is opened at half its size, one of an iPhone by another library."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "IMG_1.jpg"
    stored = Image.new("L", size, 128)
    if kind == "HEIF":
        heif = pytest.importorskip("pillow_heif")
        heif.from_pillow(stored).save(path, exif=exif.tobytes())
    else:
        stored.save(path, exif=exif)
    caption = tiny_captioner(path)
    assert caption.geometry is not None
    assert caption.geometry.photo == size[::-1]
    shrunk = 2 if kind == "JPEG" else 1
    assert caption.photo().size == (size[1] // shrunk, size[0] // shrunk)
    assert caption.overlay(0).size == caption.photo().size
    assert caption.sheet().width > 0


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("😀", "the prefix holds '😀', which the vocabulary of 12 words lacks; choose other words"),
        ("a dog 👍🏽", "the prefix holds '👍🏽', which the vocabulary of 12 words lacks"),
        (
            "a dogg",
            "the prefix holds 'dogg', which the vocabulary of 12 words lacks; choose other words "
            "(the vocabulary has 'dog')",
        ),
        ("...", "the prefix '...' has no words; write how the caption begins"),
        ("\u200b", "the prefix '\\u200b' has no words; write how the caption begins"),
    ],
)
def test_a_prefix_is_said_or_refused(
    tiny_captioner: Captioner, picture: Image.Image, prefix: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        tiny_captioner(picture, prefix=prefix)
    assert str(caught.value).startswith(message)


def test_options_travel_whole(tiny_captioner: Captioner, picture: Image.Image) -> None:
    own = tiny_captioner.checkpoint.search
    assert tiny_captioner.options() == own
    whole = SearchOptions(beam_size=2, length_penalty=0.2, max_length=5, n_best=2, alternatives=1)
    assert tiny_captioner.options(whole, max_length=4).max_length == 4
    keywords = dataclasses.asdict(whole)
    by_options = tiny_captioner(picture, options=whole)
    by_keywords = tiny_captioner(picture, **keywords)
    assert by_options.to_dict(maps=True) == by_keywords.to_dict(maps=True)
    assert len(by_options.n_best) == 1
    shorter = tiny_captioner(picture, options=whole, max_length=1)
    assert len(shorter.words) == 1
    assert len(shorter.n_best) == 1


@pytest.mark.parametrize("given", [None, "best.safetensors", 5])
def test_what_is_no_checkpoint_is_no_captioner(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"^the checkpoint is .*Captioner\.load\(path\) reads"):
        Captioner(given)


@pytest.mark.parametrize("given", [None, "A dog."])
def test_only_captions_are_translated(tiny_captioner: Captioner, given: Any) -> None:
    with pytest.raises(ConfigError, match=r"^the caption is .*; expected a Caption"):
        tiny_captioner.translated(given, to="de")


def test_a_failed_caption_says_why_it_cannot_be_drawn(tiny_captioner: Captioner) -> None:
    [failed] = tiny_captioner.stream(["nowhere.jpg"])
    for draw in (lambda: failed.overlay(0), failed.sheet):
        with pytest.raises(ConfigError, match=r"^there is no caption to draw: nowhere\.jpg: there"):
            draw()


@pytest.mark.parametrize("translator", [5, "translate.safetensors", object])
def test_what_does_not_translate_is_refused_at_once(
    tiny_checkpoint: Checkpoint, translator: Any
) -> None:
    with pytest.raises(
        ConfigError, match=r"the translator is .*; expected a Translator, as Transl"
    ):
        Captioner(tiny_checkpoint, translator=translator)
    with pytest.raises(
        ConfigError, match=r"the translator is .*; expected a Translator, as Transl"
    ):
        Captioner.load("no such file", translator=translator)


@pytest.mark.parametrize("seconds", [0, -1, "5", True, float("nan"), float("inf")])
def test_what_is_no_time_is_refused(tiny_captioner: Captioner, seconds: Any) -> None:
    with pytest.raises(ConfigError, match=r"time_limit is .*; expected seconds, above 0, or None"):
        next(tiny_captioner.stream(["a.jpg"], time_limit=seconds))


@pytest.mark.parametrize("numbers", [5, [], [-1], ["1"], [0.5]])
def test_numbers_that_count_no_photo_are_refused(
    tiny_captioner: Captioner, picture: Image.Image, numbers: Any
) -> None:
    with pytest.raises(ConfigError, match="the photos' numbers are"):
        next(tiny_captioner.stream([picture], numbers=numbers))


def _in_another_process(sent: bytes, photo: str) -> tuple[str, str, str]:
    captioner = pickle.loads(sent)
    return captioner(photo).text, captioner.writer.runtime.name, str(captioner.device)


def test_a_captioner_goes_to_other_processes(
    tiny_checkpoint: Checkpoint, tiny_translator: Translator, photos: list[Path]
) -> None:
    """What it has computed with before (threads, locks, graphs) stays behind."""
    captioner = Captioner(tiny_checkpoint, translator=tiny_translator, runtime="torch")
    found = captioner(photos[0], to="de")
    sent = pickle.dumps(captioner)
    copied = pickle.loads(sent)
    same(found, copied(photos[0], to="de"))
    assert copied.checkpoint.provenance == tiny_checkpoint.provenance
    assert (
        copied.translator("A dog runs.", to="de").text
        == tiny_translator("A dog runs.", to="de").text
    )
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(_in_another_process, sent, str(photos[0])).result()
    assert there == (captioner(photos[0]).text, "torch", "cpu")


def test_a_captioner_that_was_not_asked_to_translate_sends_no_translator(
    tiny_checkpoint: Checkpoint, tiny_captioner: Captioner, photos: list[Path]
) -> None:
    tiny_captioner(photos[0])
    copied = pickle.loads(pickle.dumps(tiny_captioner))
    assert copied.writer.interpreter.given is None
    same(tiny_captioner(photos[0]), copied(photos[0]))
