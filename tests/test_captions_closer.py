from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from captioner.captions.captioner import Captioner
from captioner.captions.closer import agreed, check_map_size
from captioner.checkpoint import Checkpoint
from captioner.datasets import Photo
from captioner.errors import ConfigError
from captioner.grounding.sentences import Asked, Mention, explained
from captioner.nn.architecture import AttentionConfig, EncoderConfig, ModelConfig
from captioner.nn.encoders import normalise
from captioner.pictures.open import open_photo
from captioner.search import force
from captioner.translation import Translator
from tests.commands import one_error, read_objects


@pytest.fixture(scope="module")
def closer(tiny_checkpoint: Checkpoint) -> Captioner:
    """Its photos have 2×2 cells at 64 pixels, 4×4 at 128."""
    return Captioner(tiny_checkpoint, map_size=128)


@pytest.fixture
def photos(here: Path) -> list[Path]:
    return sorted(here.rglob("*.*"))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_readings_that_agree_are_their_own_mean(seed: int) -> None:
    one = torch.from_numpy(np.random.default_rng(seed).dirichlet(np.ones(12), 2)).reshape(2, 3, 4)
    torch.testing.assert_close(agreed(one, one, one.flip(-1)), one, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(
        agreed(3 * one, one, 2 * one.flip(-1)), agreed(one, one, one.flip(-1))
    )


def test_a_sentence_without_words_has_no_maps() -> None:
    assert agreed(*(torch.zeros(0, 1, side, side) for side in (2, 4, 4))).shape == (0, 1, 4, 4)


def test_many_photos_are_encoded_a_few_at_a_time(
    tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, photos: list[Path]
) -> None:
    closer = Captioner(tiny_checkpoint, map_size=128)
    whole = [caption.maps for caption in closer.stream(photos)]
    reader = closer.writer.closer
    assert reader is not None
    assert reader.at_once == 8  # 32 photos of 64 pixels
    sizes = []
    encode = reader.runtime.encode

    def counted(pictures: torch.Tensor) -> Any:
        sizes.append(len(pictures))
        return encode(pictures)

    monkeypatch.setattr(reader, "at_once", 2)
    monkeypatch.setattr(reader.runtime, "encode", counted)
    for one, caption in zip(whole, closer.stream(photos), strict=True):
        np.testing.assert_allclose(caption.maps, one, atol=1e-6)
    assert sizes == [2, 2, 2]  # three photos and their mirror images


def test_what_one_reading_saw_alone_is_lost() -> None:
    own = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
    enlarged = torch.zeros(1, 4, 4)
    enlarged[0, 0, 3], enlarged[0, 3, 0] = 0.5, 0.5  # above on the right, and astray
    mirrored = torch.zeros(1, 4, 4)
    mirrored[0, 0, 0] = 1.0  # where above on the right lies in a mirror
    found = agreed(own, enlarged, mirrored)
    assert found.sum() == pytest.approx(1)
    assert found[0, 0, 3] > 0.9
    assert found[0, 3, 0] < 1e-3


def test_the_sentence_stays_and_its_maps_get_finer(
    closer: Captioner, tiny_captioner: Captioner, picture: Image.Image
) -> None:
    found, plain = closer(picture, n_best=2), tiny_captioner(picture, n_best=2)
    for one, other in zip((found, *found.n_best), (plain, *plain.n_best), strict=True):
        assert (one.text, one.words, one.log_prob) == (other.text, other.words, other.log_prob)
        assert one.geometry is not None
        assert one.geometry.grid == (4, 4)
        assert one.maps.shape == (len(other.words), 4, 4)
        np.testing.assert_allclose(one.maps.sum((1, 2)), 1, rtol=1e-5)


def test_finer_maps_are_three_readings_joined(
    closer: Captioner, tiny_captioner: Captioner, picture: Image.Image
) -> None:
    """An oracle: CNN and decoder before the photo at 128 pixels and its mirror image, in numpy."""
    preprocess, model = dataclasses.replace(closer.preprocess, size=128), closer.model
    found, plain = closer(picture), tiny_captioner(picture)
    tokens = closer.vocabulary.encode(word.text for word in found.words)
    pixels = preprocess.pixels(open_photo(picture, side=128))
    logs = [np.log(_enlarged(plain.maps) + 1e-6)]
    for turn in (1, -1):
        seen = torch.from_numpy(pixels[:, :, ::turn].copy()).unsqueeze(0)
        with torch.inference_mode():
            memory = model.encoder(normalise(seen, preprocess.mean, preprocess.std))
            [read] = force(model.decoder, memory, [tokens])
        maps = read.weights.mean(1).reshape(-1, 4, 4)[:, :, ::turn]
        logs.append(np.log(maps / maps.sum((1, 2), keepdims=True) + 1e-6))
    wanted = np.exp(np.mean(logs, 0))
    wanted /= wanted.sum((1, 2), keepdims=True)
    np.testing.assert_allclose(found.maps, wanted, atol=1e-6)


def _enlarged(maps: np.ndarray) -> np.ndarray:
    """Maps (T, 2, 2) as (T, 4, 4), linear between the cells' centres, summing to 1."""
    way = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    smooth = way @ maps @ way.T
    return np.asarray(smooth / smooth.sum((1, 2), keepdims=True))


def test_one_photo_many_and_a_look_agree(closer: Captioner, photos: list[Path]) -> None:
    for photo, found in zip(photos, closer.stream(photos, batch_size=2), strict=True):
        for one in (closer(photo), closer.look(photo)()):
            assert one.text == found.text
            np.testing.assert_allclose(one.maps, found.maps, atol=1e-6)


def test_your_own_sentence_is_read_closer_too(closer: Captioner, photos: list[Path]) -> None:
    pairs = [(photo, "a dog") for photo in photos[:3]]
    for (photo, sentence), found in zip(pairs, closer.stream_explained(pairs), strict=True):
        one = closer.look(photo).explain(sentence)
        assert one.maps.shape == found.maps.shape == (2, 4, 4)
        np.testing.assert_allclose(one.maps, found.maps, atol=1e-6)


def test_a_look_is_asked_without_opening_the_photo_again(
    closer: Captioner, picture: Image.Image, tmp_path: Path
) -> None:
    picture.save(path := tmp_path / "a dog.png")
    look = closer.look(path)
    path.unlink()
    assert look().maps.shape[1:] == look.explain("a dog").maps.shape[1:] == (4, 4)
    assert look.map_grid == (4, 4)
    assert look.geometry.grid == (2, 2)  # of what the words were found by


def test_translated_words_point_on_the_finer_grid(
    tiny_checkpoint: Checkpoint, tiny_translator: Translator, picture: Image.Image
) -> None:
    speaking = Captioner(tiny_checkpoint, translator=tiny_translator, map_size=128)
    assert speaking(picture, to="de").maps.shape[1:] == (4, 4)


def test_what_is_measured_is_what_is_shown(closer: Captioner, photos: list[Path]) -> None:
    asked = Asked(Photo("1", photos[0], ("a dog",)), (("a", "dog"),), (), {})
    asked = dataclasses.replace(asked, mentions=(Mention(0, 1, frozenset({"dog"})),))
    [found] = explained(closer, [asked])
    assert not isinstance(found, str)
    [shown] = found[1]
    np.testing.assert_allclose(shown.maps, closer.explain(photos[0], "a dog").maps, atol=1e-6)


def test_other_processes_read_at_the_same_size(closer: Captioner, picture: Image.Image) -> None:
    again = pickle.loads(pickle.dumps(closer))
    assert again.map_size == 128
    np.testing.assert_array_equal(again(picture).maps, closer(picture).maps)


def test_graphs_read_the_same_maps(
    tiny_checkpoint: Checkpoint, closer: Captioner, photos: list[Path]
) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    graphs = Captioner(tiny_checkpoint, runtime="openvino-f32", map_size=128)
    found = list(graphs.stream(photos, batch_size=2))
    for one, other in zip(found, closer.stream(photos), strict=True):
        assert one.text == other.text
        np.testing.assert_allclose(one.maps, other.maps, atol=1e-4)


WRONG = "expected a multiple of 32 from 64, the model's own size in pixels, to 1024, such as 128"


@pytest.mark.parametrize(
    ("size", "shown"), [(100, "100"), (32, "32"), (2048, "2048"), ("128", "'128'"), (True, "True")]
)
def test_other_sizes_are_refused(tiny_checkpoint: Checkpoint, size: Any, shown: str) -> None:
    with pytest.raises(ConfigError, match=f"^map_size is {shown}; {WRONG}$"):
        Captioner(tiny_checkpoint, map_size=size)


def test_a_pyramid_needs_its_last_stages_stride() -> None:
    encoder = EncoderConfig("efficientnet_lite2", stride=16, lateral=True, weights="random")
    config = ModelConfig(encoder=encoder)
    assert check_map_size(config, 448) == 448
    with pytest.raises(ConfigError, match=r"^map_size is 240; expected a multiple of 32 from 224"):
        check_map_size(config, 240)


def test_places_known_by_heart_are_no_places_of_another_grid() -> None:
    config = ModelConfig(attention=AttentionConfig(score="location"))
    with pytest.raises(ConfigError, match=r"attention knows its 7×7 places by heart"):
        check_map_size(config, 448)


def test_on_the_command_line(
    typed: Callable[..., int], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["caption", "a", "--maps", "--jsonl", "out.jsonl"]
    assert typed(*wanted, "--map-size", "128") == 0
    found = read_objects(Path("out.jsonl"))
    assert found
    assert all(values["grid"] == [4, 4] for values in found)
    capsys.readouterr()
    assert typed(*wanted, "--map-size", "100", "--overwrite") == 2
    assert one_error(capsys) == f"captioner: map_size is 100; {WRONG}\n"
