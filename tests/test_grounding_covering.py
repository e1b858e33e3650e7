from __future__ import annotations

import pytest
import torch

from captioner.checkpoint import Checkpoint
from captioner.grounding.covering import (
    FILLS,
    Patches,
    Words,
    covered_words,
    filled,
    hidden_cells,
    kept_pixels,
    occlusion,
)
from captioner.grounding.reading import word_log_prob
from captioner.prediction import Captioner
from tests.seeing import CAT, CELL, DOG, GRID, bright, seeing


def test_patches_slide_by_a_window() -> None:
    patches = Patches(4, 3)
    assert len(patches) == len(patches.kept) == 4
    assert patches.kept[1].tolist() == [[1, 0, 0, 0]] * 3 + [[1] * 4]
    assert len(Patches(7, 1)) == 49
    assert (1 - Patches(7, 1).kept).sum(0).tolist() == [[1] * 7] * 7


def test_what_lies_below_a_patch() -> None:
    patches = Patches(2, 1)
    maps = torch.arange(16.0).reshape(1, 4, 4)
    assert patches.weigh(maps).tolist() == [[2.5, 4.5, 10.5, 12.5]]
    assert Patches(2, 2).weigh(maps).tolist() == [[30.0]]
    assert Patches(4, 1).weigh(torch.ones(1, 2, 2)).tolist() == [[1.0] * 16]
    hurt = torch.tensor([[1.0, 2.0, 3.0, 5.0]])
    assert Patches(3, 2).spread(hurt).tolist() == [[[1, 1.5, 2], [2, 2.75, 3.5], [3, 4, 5]]]


def test_cells_and_their_pixels() -> None:
    kept = torch.tensor([[[1, 0], [0, 1]]])
    assert kept_pixels(kept, 4)[0, 0].tolist() == [
        [1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]
    ]  # fmt: skip


def test_what_covered_pixels_show() -> None:
    photos = torch.randn(2, 3, 32, 32) + 5
    assert not filled(photos, "mean").any()
    blurred = filled(photos, "blur")
    assert blurred.std() < photos.std() / 3
    assert blurred.mean() == pytest.approx(float(photos.mean()), abs=0.2)


def test_covering_nothing_changes_nothing(tiny_checkpoint: Checkpoint) -> None:
    model = Captioner(tiny_checkpoint).model
    photos = torch.randn(2, 3, 64, 64)
    words = Words([[4, 5], [6]], [1, 0], [1, 0])
    with torch.inference_mode():
        memory = model.encoder(photos)
        expected = word_log_prob(model.decoder, memory, words.tokens, words.places, words.owners)
        for fill in FILLS:
            found = covered_words(model, photos, torch.ones(2, 2, 2), [0, 1], words, fill)
            assert found == pytest.approx(expected, abs=1e-5)
        kept = torch.ones(2, 4, dtype=torch.bool)
        assert hidden_cells(model, memory, kept, words) == pytest.approx(expected, abs=1e-5)


def test_a_hidden_cell_is_hidden_from_its_word_alone() -> None:
    one = seeing()
    memory = one.encoder(bright())
    kept = torch.ones(3, 24, dtype=torch.bool)
    kept[1, CELL] = kept[2, 0] = False
    several = hidden_cells(one, memory, kept, Words([[DOG]] * 3, [0] * 3, [1, 1, 1]))
    assert several[1] < several[0] - 1
    assert several[2] == pytest.approx(float(several[0]), abs=0.2)


def test_occlusion_finds_the_cell_that_a_word_hangs_on() -> None:
    """By hand: the score of "dog" is six times the brightness of one cell, the others' 0."""
    one = seeing()
    photos = torch.ones(1, 3, 24, 24)
    words = Words([[6, DOG], [CAT]], [1, 0], [0, 0])
    found = occlusion(one, photos, words, Patches(12, 2))
    # cell (2, 1) of 4×6 lies over windows 6 to 8 (rows) and 2 to 3 (columns) of 12×12
    row, column = divmod(int(found[0].argmax()), 11)
    assert (row, column) in {(6, 2), (7, 2)}
    apart = Patches(12, 2).weigh(one_cell(CELL))[0] == 0
    assert found[0][apart].abs().max() < found[0].max() / 3
    assert found[1].max() < found[0].max()


def one_cell(cell: int) -> torch.Tensor:
    maps = torch.zeros(24)
    maps[cell] = 1
    return torch.nn.functional.interpolate(maps.reshape(1, 1, *GRID), size=(12, 12))[0]


def test_one_encoding_serves_all_words() -> None:
    """The words of a photo share its covered versions."""
    one, seen = seeing(), []
    forward = one.encoder.forward
    one.encoder.forward = lambda photos: seen.append(len(photos)) or forward(photos)
    words = Words([[DOG]] * 5, [0] * 5, [0, 0, 1, 1, 1])
    occlusion(one, bright(), words, Patches(3, 1))
    assert sum(seen) == 2 * (9 + 1)
