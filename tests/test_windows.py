"""Windows against the equations of Luong et al. 2015, in rows and on grids, in NumPy by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from captioner.nn.attention import Attended, Attention, Heads
from captioner.nn.memory import Memory
from captioner.nn.query import Query
from captioner.nn.scores import Dot, General
from captioner.nn.windows import Monotonic, Predictive, Windowed

K, M, N, D, Q = 5, 3, 7, 11, 13
ROWS, COLUMNS = 3, 5
CELLS = ROWS * COLUMNS
RADIUS = 2


def values_of(positions: int = N) -> Tensor:
    return torch.randn(K, positions, D, generator=torch.Generator().manual_seed(3))


def queries_of() -> Tensor:
    return torch.randn(K, M, Q, generator=torch.Generator().manual_seed(2))


def mask_of() -> Tensor:
    """Sentences of 7, 5, 1, 3 and 2 words, one with a hole."""
    mask = torch.arange(N) < torch.tensor([7, 5, 1, 3, 2]).unsqueeze(1)
    mask[1, 2] = False
    return mask


def grid_of() -> Memory:
    return Memory(values_of(CELLS), grid=(ROWS, COLUMNS))


def local(window: Monotonic | Predictive | None, seed: int = 1) -> Attention:
    torch.manual_seed(seed)
    return Attention(General(Q, D), window=window)


def attend(attention: Attention, memory: Memory, place: int = 0) -> Attended:
    found: Attended = attention(Query(queries_of(), place=place), attention.prepare(memory))
    return found


def double(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def energies_of(attention: Attention, memory: Memory) -> np.ndarray:
    """qᵀ W k_j, (K, M, N)."""
    matrix = double(attention.score.key.weight)
    return np.einsum("kmq,qd,knd->kmn", double(queries_of()), matrix, double(memory.values))


def softmax_within(energies: np.ndarray, inside: np.ndarray) -> np.ndarray:
    raised = np.where(inside, np.exp(energies - energies.max(-1, keepdims=True)), 0)
    return raised / raised.sum(-1, keepdims=True)


# ---- local-m: p_t = t ----------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 5, 6, 23])
def test_the_window_moves_on_with_the_words(place: int) -> None:
    attention, memory = local(Monotonic(RADIUS)), Memory(values_of())
    found = attend(attention, memory, place)
    inside = np.abs(np.arange(N) - min(place, N - 1)) <= RADIUS  # behind the end it stands still
    expected = softmax_within(energies_of(attention, memory), inside)
    np.testing.assert_allclose(double(found.weights[:, :, 0]), expected, atol=1e-6)
    assert bool((found.weights[..., ~inside] == 0).all())
    context = np.einsum("kmn,knd->kmd", expected, double(memory.values))
    np.testing.assert_allclose(double(found.context), context, atol=1e-5)
    assert found.extras.keys() == {"centre"}
    assert torch.equal(found.extras["centre"], torch.full((K, M, 1, 1), min(place, N - 1.0)))


@pytest.mark.parametrize("place", [0, 2, 9])
def test_only_real_positions_are_counted(place: int) -> None:
    """As if each sentence stood alone, without its padding and its holes."""
    attention, mask = local(Monotonic(1)), mask_of()
    found = attend(attention, Memory(values_of(), mask), place)
    for row in range(K):
        alone = Memory(values_of()[row : row + 1, mask[row]])
        query = Query(queries_of()[row : row + 1], place=place)
        expected = attention(query, attention.prepare(alone))
        torch.testing.assert_close(found.weights[row][..., mask[row]], expected.weights[0])
        torch.testing.assert_close(found.extras["centre"][row], expected.extras["centre"][0])
    assert bool((found.weights[:, :, 0].transpose(1, 2)[~mask] == 0).all())
    torch.testing.assert_close(found.weights.sum(-1), torch.ones(K, M, 1))


@pytest.mark.parametrize("place", [0, 4, 5, 8, 14, 99])
def test_on_a_grid_the_window_is_a_square(place: int) -> None:
    attention = local(Monotonic(1))
    found = attend(attention, grid_of(), place)
    row, column = divmod(min(place, CELLS - 1), COLUMNS)
    rows, columns = np.divmod(np.arange(CELLS), COLUMNS)
    inside = (np.abs(rows - row) <= 1) & (np.abs(columns - column) <= 1)
    expected = softmax_within(energies_of(attention, grid_of()), inside)
    np.testing.assert_allclose(double(found.weights[:, :, 0]), expected, atol=1e-6)
    assert torch.equal(found.extras["centre"][0, 0, 0], torch.tensor([row, column]).float())


@pytest.mark.parametrize("place", [0, 3])
def test_a_window_as_wide_as_the_memory_is_global(place: int) -> None:
    for memory in (Memory(values_of(), mask_of()), grid_of()):
        expected = attend(local(None), memory)
        found = attend(local(Monotonic(CELLS)), memory, place)
        assert torch.equal(found.weights, expected.weights)
        assert torch.equal(found.context, expected.context)


# ---- local-p: p = N·σ(vᵀ tanh(W q)) --------------------------------------------------------------


def predicted(window: Predictive, extents: np.ndarray) -> np.ndarray:
    """p (K, M, A) of the first head, counted from 1 as in the paper; extents (K, A) or (A,)."""
    hidden = np.tanh(double(queries_of()) @ double(window.hidden.weight).T)
    shares = 1 / (1 + np.exp(-(hidden @ double(window.centre.weight).T)))
    return shares * (extents if extents.ndim == 1 else extents[:, None])


def opinionated(window: Predictive) -> Predictive:
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in window.parameters():
            parameter.normal_()
    return window


@pytest.mark.parametrize("renormalise", [True, False])
def test_the_window_goes_where_it_predicts(renormalise: bool) -> None:
    window = opinionated(Predictive(Q, RADIUS, renormalise=renormalise))
    attention, memory, mask = local(window), Memory(values_of(), mask_of()), mask_of().numpy()
    found = attend(attention, memory)
    counts = mask.sum(1)
    centre = predicted(window, counts[:, None])[..., 0]  # (K, M), from 1
    places = mask.cumsum(1)  # j, from 1
    away = places[:, None] - centre[..., None]
    inside = mask[:, None] & (np.abs(away) <= RADIUS)
    assert inside.any(-1).all()
    aligned = softmax_within(energies_of(attention, memory), inside)
    sigma = RADIUS / 2
    scaled = aligned * np.exp(-(away**2) / (2 * sigma**2))  # eq. 10
    shares = scaled.sum(-1, keepdims=True)
    np.testing.assert_allclose(double(found.weights[:, :, 0]), scaled / shares, atol=1e-6)
    np.testing.assert_allclose(double(found.extras["centre"])[..., 0, 0], centre - 1, atol=1e-5)
    wanted = scaled / shares if renormalise else scaled
    context = np.einsum("kmn,knd->kmd", wanted, double(memory.values))
    np.testing.assert_allclose(double(found.context), context, atol=1e-5)
    if renormalise:
        assert found.extras.keys() == {"centre"}
    else:
        np.testing.assert_allclose(double(found.extras["passed"]), shares, atol=1e-6)


def test_on_a_grid_row_and_column_are_predicted() -> None:
    window = opinionated(Predictive(Q, 1, axes=2))
    attention = local(window)
    found = attend(attention, grid_of())
    centre = predicted(window, np.array([ROWS, COLUMNS]))  # (K, M, 2), from 1
    places = np.stack(np.divmod(np.arange(CELLS), COLUMNS), -1) + 1  # (CELLS, 2)
    away = places - centre[:, :, None]  # (K, M, CELLS, 2)
    inside = (np.abs(away) <= 1).all(-1)
    scaled = softmax_within(energies_of(attention, grid_of()), inside)
    scaled = scaled * np.exp(-(away**2).sum(-1) / (2 * 0.5**2))
    scaled /= scaled.sum(-1, keepdims=True)
    np.testing.assert_allclose(double(found.weights[:, :, 0]), scaled, atol=1e-5)
    np.testing.assert_allclose(double(found.extras["centre"])[:, :, 0], centre - 1, atol=1e-5)


@pytest.mark.parametrize("renormalise", [True, False])
def test_a_wide_window_under_a_flat_gaussian_is_global(renormalise: bool) -> None:
    for memory, axes in ((Memory(values_of(), mask_of()), 1), (grid_of(), 2)):
        window = Predictive(Q, CELLS, axes=axes, renormalise=renormalise, deviation=math.inf)
        expected = attend(local(None), memory)
        attention = local(None)
        attention.window = window
        found = attend(attention, memory)
        torch.testing.assert_close(found.weights, expected.weights)
        torch.testing.assert_close(found.context, expected.context)


@pytest.mark.parametrize("push", [-1e4, 1e4])
def test_no_window_is_ever_empty(push: float) -> None:
    """Even where the prediction runs into one end, and everything there but one cell is far."""
    for memory, axes in ((Memory(values_of(), mask_of()), 1), (grid_of(), 2)):
        window = Predictive(Q, 1, axes=axes)
        with torch.no_grad():
            window.hidden.weight.zero_()
            window.hidden.weight[:, 0] = 1
            window.centre.weight.fill_(push)
        attention = local(None)
        attention.window = window
        query = Query(torch.ones(K, M, Q))
        weights = attention(query, attention.prepare(memory)).weights
        torch.testing.assert_close(weights.sum(-1), torch.ones(K, M, 1))


@pytest.mark.parametrize("renormalise", [True, False])
def test_the_prediction_learns_as_finite_differences_say(renormalise: bool) -> None:
    torch.manual_seed(5)
    window = Predictive(Q, CELLS, axes=2, renormalise=renormalise, deviation=1.5).double()
    memory = Memory(values_of(CELLS).double(), grid=(ROWS, COLUMNS))
    energies = torch.randn(K, 1, M, CELLS).double().requires_grad_()

    def scaled(energies: Tensor, asked: Tensor, hidden: Tensor, centre: Tensor) -> Tensor:
        weights = {"hidden.weight": hidden, "centre.weight": centre}
        given = (energies, Query(asked), memory)
        found: Windowed = torch.func.functional_call(window, weights, given)
        weighed = found.energies.softmax(-1)
        return weighed if found.passed is None else weighed * found.passed.unsqueeze(-1)

    asked = queries_of().double().requires_grad_()
    given = (energies, asked, window.hidden.weight, window.centre.weight)
    assert torch.autograd.gradcheck(scaled, given, fast_mode=True)


def test_every_head_has_a_centre_of_its_own() -> None:
    torch.manual_seed(6)
    heads = Heads(3, Q, 15)
    window = opinionated(Predictive(Q, 1, heads=3, axes=2))
    attention = Attention(Dot(5, 5), heads=heads, window=window)
    memory = Memory(torch.randn(K, CELLS, 15), grid=(ROWS, COLUMNS))
    found = attend(attention, memory)
    assert found.weights.shape == (K, M, 3, CELLS)
    centres = found.extras["centre"]
    assert centres.shape == (K, M, 3, 2)
    assert len(centres[0, 0].unique(dim=0)) == 3
    rows, columns = np.divmod(np.arange(CELLS), COLUMNS)
    away = np.stack([rows, columns], -1) - double(centres)[..., None, :]  # (K, M, 3, CELLS, 2)
    far = (np.abs(away) > 1 + 1e-4).any(-1)
    assert (found.weights.detach().numpy()[far] == 0).all()


def test_a_grid_with_a_mask_has_no_windows() -> None:
    memory = Memory(values_of(CELLS), torch.ones(K, CELLS, dtype=torch.bool), (ROWS, COLUMNS))
    for window in (Monotonic(1), Predictive(Q, 1, axes=2)):
        with pytest.raises(ValueError, match="a grid with a mask has no windows"):
            attend(local(window), memory)
