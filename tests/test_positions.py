"""Positions as features, held against the paper's formula in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from captioner.nn.positions import (
    PLACES,
    GridPositions,
    Learned,
    Sinusoid,
    build_grid_positions,
    build_positions,
    sinusoids,
)


def by_formula(places: int, size: int) -> np.ndarray:
    """PE(pos, 2i) = sin(pos / 10000^(2i/d)), cos for 2i + 1, a number at a time."""
    found = np.zeros((places, size))
    for place in range(places):
        for i in range(size):
            angle = place / 10000 ** (2 * (i // 2) / size)
            found[place, i] = np.sin(angle) if i % 2 == 0 else np.cos(angle)
    return found


@pytest.mark.parametrize("size", [1, 2, 7, 16])
def test_sinusoids_are_the_papers(size: int) -> None:
    found = Sinusoid(size)(torch.arange(101))
    assert found.shape == (101, size)
    np.testing.assert_allclose(found.numpy(), by_formula(101, size), atol=1e-5)


def test_a_shift_is_a_rotation_of_each_wave() -> None:
    """§3.5: PE(p + k) is a linear function of PE(p), the same for all p."""
    waves = sinusoids(torch.arange(60), 8).double().view(60, 4, 2).numpy()  # sine, cosine
    sine, cosine = waves[5].T
    turn = np.stack([np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)], 1)  # (4, 2, 2)
    np.testing.assert_allclose(np.einsum("wij,pwj->pwi", turn, waves[:-5]), waves[5:], atol=1e-5)


def test_learned_positions_are_a_table_whose_last_row_serves_all_behind_it() -> None:
    learned = Learned(5)
    places = torch.tensor([[0, 3], [PLACES - 1, PLACES + 7]])
    found = learned(places)
    assert torch.equal(found[0], learned.table.weight[[0, 3]])
    assert torch.equal(found[1, 0], learned.table.weight[-1])
    assert torch.equal(found[1, 1], learned.table.weight[-1])


@pytest.mark.parametrize("kind", ["sinusoid", "learned"])
@pytest.mark.parametrize("size", [7, 8])
def test_half_of_a_cells_features_tell_its_row_half_its_column(kind: str, size: int) -> None:
    positions = build_grid_positions(kind, size)
    assert isinstance(positions, GridPositions)
    found = positions((3, 5), torch.device("cpu")).view(3, 5, size)
    half = size // 2
    for row in range(3):
        for column in range(5):
            cell = found[row, column]
            assert torch.equal(cell[:half], positions.rows(torch.tensor(row)))
            assert torch.equal(cell[half:], positions.columns(torch.tensor(column)))
    assert len(found.flatten(0, 1).unique(dim=0)) == 15


def test_none_are_none() -> None:
    assert build_positions("none", 8) is None
    assert build_grid_positions("none", 8) is None
