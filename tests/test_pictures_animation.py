"""A moving picture of a sentence: a frame a word, each over its own map."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageChops

from captioner.errors import ConfigError
from captioner.pictures.animation import frames, gif, sentence

WORDS = ("a", "dog", "'s", "ball")


def _maps() -> np.ndarray:
    maps = np.full((len(WORDS), 2, 3), 0.02, np.float32)
    for row in range(len(WORDS)):
        maps[row, row % 2, row % 3] = 0.9
    return maps


def _difference(one: Image.Image, other: Image.Image) -> tuple[int, int, int, int] | None:
    return ImageChops.difference(one, other).getbbox()


@pytest.mark.parametrize("size", [(97, 53), (31, 211), (1203, 801)])
def test_every_word_has_a_frame_over_its_own_map(size: tuple[int, int]) -> None:
    photo = Image.effect_noise(size, 60).convert("RGB")
    pictures = frames(photo, WORDS, _maps(), width=120)
    assert len(pictures) == len(WORDS) + 1
    assert len({picture.size for picture in pictures}) == 1
    assert all(_difference(one, other) for one, other in pairwise(pictures))


def test_a_gif_holds_all_frames_and_goes_round() -> None:
    pictures = frames(Image.new("RGB", (64, 48), "olive"), WORDS, _maps(), width=120)
    with Image.open(io.BytesIO(gif(pictures))) as moving:
        assert (moving.format, moving.n_frames, moving.info["loop"]) == ("GIF", 5, 0)
        durations = []
        for frame in range(moving.n_frames):
            moving.seek(frame)
            durations.append(moving.info["duration"])
    assert durations[0] == max(durations)
    assert len(set(durations[1:])) == 1


def test_a_sentence_is_wrapped_and_one_word_of_it_lit() -> None:
    plain = sentence(WORDS, -1, 20, 300)
    for shown in range(len(WORDS)):
        assert _difference(plain.painted(), sentence(WORDS, shown, 20, 300).painted())
    assert sentence(WORDS, 9, 20, 300).marks == plain.marks
    assert sentence(WORDS * 9, -1, 20, 300).height > plain.height
    assert sentence((), -1, 20, 300).width == 300


def test_words_and_maps_must_match() -> None:
    with pytest.raises(ConfigError, match="3 words came with 4 maps: give each word its map"):
        frames(Image.new("RGB", (9, 9)), WORDS[:3], _maps())
    whole = frames(Image.new("RGB", (9, 9)), (), np.zeros((0, 2, 3), np.float32))
    assert len(whole) == 1
