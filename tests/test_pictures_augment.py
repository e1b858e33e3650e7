"""Training photos varied, and where things lie then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from captioner.pictures.augment import View
from captioner.recipes.photos import AugmentConfig
from tests.photographs import (
    checked,
    noise,
)

SIDES = st.integers(1, 13)


PIXELS = np.ascontiguousarray(noise(13, 17).transpose(2, 0, 1))  # (3, 13, 17)


def drawn(
    settings: AugmentConfig, pixels: np.ndarray = PIXELS, seed: int = 0, **options: Any
) -> np.ndarray:
    return View.draw(settings, np.random.default_rng(seed), **options).show(pixels)


@checked
@given(
    st.booleans(),
    st.floats(0.05, 1),
    st.floats(0, 0.9),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    hnp.arrays(np.uint8, st.tuples(st.just(3), SIDES, SIDES)),
)
def test_augment_keeps_the_shape_and_follows_the_rng(
    flip: bool, crop: float, jitter: float, seed: int, allowed: bool, pixels: np.ndarray
) -> None:
    settings, before = AugmentConfig(flip, crop, jitter), pixels.copy()
    changed = drawn(settings, pixels, seed, flip_allowed=allowed)
    assert changed.shape == pixels.shape
    assert changed.dtype == np.uint8
    assert changed.flags.c_contiguous
    assert not np.shares_memory(changed, pixels)
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(drawn(settings, pixels, seed, flip_allowed=allowed), changed)


def test_augment_draws_equally_often_whatever_it_does() -> None:
    states = []
    for changes, allowed in [
        (AugmentConfig(True, 0.7, 0.2), True),
        (AugmentConfig(True, 0.7, 0.2), False),
        (AugmentConfig(False, 1.0, 0.0), True),
    ]:
        rng = np.random.default_rng(7)
        View.draw(changes, rng, flip_allowed=allowed)
        states.append(rng.bit_generator.state)
    assert states[0] == states[1] == states[2]


def test_nothing_to_do_changes_nothing() -> None:
    np.testing.assert_array_equal(drawn(AugmentConfig(flip=False, crop=1.0, jitter=0.0)), PIXELS)
    for seed in range(20):
        np.testing.assert_array_equal(
            drawn(AugmentConfig(True, 1.0, 0.0), seed=seed, flip_allowed=False), PIXELS
        )


def test_every_second_photo_is_mirrored() -> None:
    mirrored = 0
    for seed in range(200):
        changed = drawn(AugmentConfig(flip=True, crop=1.0, jitter=0.0), seed=seed)
        mirrored += (changed == PIXELS[:, :, ::-1]).all()
        assert (changed == PIXELS).all() or (changed == PIXELS[:, :, ::-1]).all()
    assert 70 <= mirrored <= 130


def test_the_crop_keeps_its_share_and_its_aspect() -> None:
    down, across = np.mgrid[0:101, 0:101] * 2  # the colours tell where a pixel came from
    pixels = np.stack([across, down, np.zeros_like(down)]).astype(np.uint8)
    areas = []
    for seed in range(100):
        changed = drawn(AugmentConfig(flip=False, crop=0.3, jitter=0.0), pixels, seed).astype(float)
        width = (changed[0].mean(axis=0)[-11] - changed[0].mean(axis=0)[10]) / (
            2 * 80
        )  # 80 pixels apart
        height = (changed[1].mean(axis=1)[-11] - changed[1].mean(axis=1)[10]) / (2 * 80)
        areas.append(width * height)
        assert 0.74 <= width / height <= 1.36
        assert width <= 1.01
        assert height <= 1.01
    assert 0.28 <= min(areas) <= 0.4
    assert 0.9 <= max(areas) <= 1.01


def test_jitter_is_brightness_contrast_saturation() -> None:
    pixels = (PIXELS // 4 + 96).astype(
        np.uint8
    )  # far from black and white, so that nothing is clipped
    luma = np.array([0.299, 0.587, 0.114])[:, None, None]
    for seed in range(20):
        brightness, contrast, saturation = 1 + 0.2 * (
            2 * np.random.default_rng(seed).random(8)[5:] - 1
        )
        bright = pixels * brightness
        mean = (luma * bright).sum(axis=0).mean()
        hard = mean + contrast * (bright - mean)
        grey = (luma * hard).sum(axis=0)
        expected = grey + saturation * (hard - grey)
        assert np.abs(drawn(AugmentConfig(False, 1.0, 0.2), pixels, seed) - expected).max() <= 1.5


BACK, FRONT = (10, 200, 30), (240, 20, 160)
WIDE, HIGH = 67, 59  # of the pictures below


@st.composite
def rectangles(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """(x, y, width, height) in pixels of a 67×59 picture."""
    x, y = draw(st.integers(0, WIDE - 1)), draw(st.integers(0, HIGH - 1))
    return x, y, draw(st.integers(1, WIDE - x)), draw(st.integers(1, HIGH - y))


@settings(deadline=None, derandomize=True, max_examples=70)
@given(rectangles(), st.booleans(), st.booleans(), st.floats(0.1, 1), st.integers(0, 2**32 - 1))
def test_a_rectangle_is_found_where_its_view_says(
    rectangle: tuple[int, int, int, int], flip: bool, allowed: bool, crop: float, seed: int
) -> None:
    x, y, width, height = rectangle
    pixels = np.empty((3, HIGH, WIDE), np.uint8)
    pixels[:] = np.array(BACK, np.uint8)[:, None, None]
    pixels[:, y : y + height, x : x + width] = np.array(FRONT, np.uint8)[:, None, None]
    changes = AugmentConfig(flip=flip, crop=crop)
    shown = drawn(changes, pixels, seed, flip_allowed=allowed).astype(float)
    view = View.draw(changes, np.random.default_rng(seed), flip_allowed=allowed)
    placed = view.place((x / WIDE, y / HIGH, width / WIDE, height / HIGH))

    span = np.array(FRONT, float) - BACK
    front = ((shown - np.array(BACK)[:, None, None]) / span[:, None, None]).mean(0)  # (59, 67)
    across, down = (np.arange(size) + 0.5 for size in (WIDE, HIGH))
    zoom = 1 / (view.right - view.left), 1 / (view.bottom - view.top)
    blur_x, blur_y = (0.5 + 0.5 * z for z in zoom)  # two pixels of the photo mix over an edge
    # What touches the border from outside may be blurred into it too.
    left, top, wide, high = placed or (0.0, 0.0, 1.0, 1.0)
    rows = _between(down, top * HIGH, (top + high) * HIGH, blur_y)
    columns = _between(across, left * WIDE, (left + wide) * WIDE, blur_x)
    if placed is None:
        assert (front[rows][:, columns] < 0.02).all()
        return
    assert (front[rows][:, columns] > 0.98).all()
    assert (front[~_between(down, top * HIGH, (top + high) * HIGH, -blur_y)] < 0.02).all()
    assert (front[:, ~_between(across, left * WIDE, (left + wide) * WIDE, -blur_x)] < 0.02).all()


def _between(places: np.ndarray, first: float, last: float, apart: float) -> np.ndarray:
    """Which pixels lie between two edges, and by how much."""
    return (places > first + apart) & (places < last - apart)


WINDOW = (0.25, 0.5, 0.75, 1.0)  # left, top, right, bottom


@pytest.mark.parametrize(
    ("box", "upright", "mirrored"),
    [
        ((0.25, 0.5, 0.5, 0.5), (0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)),
        ((0.25, 0.625, 0.125, 0.25), (0.0, 0.25, 0.25, 0.5), (0.75, 0.25, 0.25, 0.5)),
        ((0.5, 0.75, 0.125, 0.125), (0.5, 0.5, 0.25, 0.25), (0.25, 0.5, 0.25, 0.25)),
        ((0.0, 0.0, 0.5, 0.75), (0.0, 0.0, 0.5, 0.5), (0.5, 0.0, 0.5, 0.5)),  # sticks out
        ((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)),  # on all sides
        ((0.0, 0.5, 0.25, 0.5), None, None),  # touches the left edge from outside
        ((0.25, 0.0, 0.5, 0.5), None, None),
        ((0.8, 0.6, 0.1, 0.1), None, None),
        ((0.4, 0.6, 0.0, 0.1), None, None),  # has no area
    ],
)
def test_boxes_in_a_window(
    box: tuple[float, ...], upright: tuple[float, ...] | None, mirrored: tuple[float, ...] | None
) -> None:
    assert View(*WINDOW).place(box) == upright
    assert View(*WINDOW, mirrored=True).place(box) == mirrored


def test_only_the_light_changes_where_there_is_no_crop() -> None:
    for seed in range(20):
        view = View.draw(AugmentConfig(jitter=0.3), np.random.default_rng(seed))
        light = {"brightness": view.brightness, "contrast": view.contrast}
        assert view == View(**light, saturation=view.saturation)
        assert all(0.7 <= factor <= 1.3 for factor in (*light.values(), view.saturation))
        seen = View.draw(AugmentConfig(True, 0.5), np.random.default_rng(seed), flip_allowed=False)
        assert not seen.mirrored


def test_a_view_is_the_same_however_often_it_is_applied() -> None:
    view = View.draw(AugmentConfig(True, 0.5, 0.3), np.random.default_rng(3))
    np.testing.assert_array_equal(view.show(PIXELS), view.show(PIXELS))


def test_a_seed_gives_the_views_that_it_always_gave() -> None:
    """A run that an older version began goes on with the same photos."""
    view = View.draw(AugmentConfig(True, 0.6, 0.2), np.random.default_rng((7, 2, 40)))
    assert view.mirrored
    assert (view.left, view.top) == pytest.approx((0.06046600352016394, 0.20175252468812832))
    assert (view.right, view.bottom) == pytest.approx((0.9747521748460432, 0.9897016339578351))
    assert view.brightness == pytest.approx(0.9520945655013942)
    assert view.contrast == pytest.approx(1.07181081865422)
    assert view.saturation == pytest.approx(0.9495963204628186)
