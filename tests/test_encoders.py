"""Eight CNNs, each cut into five stages, at two strides, folded, frozen and filled."""

from __future__ import annotations

import copy
import functools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from http.client import IncompleteRead
from itertools import pairwise
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.ops.misc import SqueezeExcitation
from torchvision.ops.stochastic_depth import StochasticDepth

from captioner.errors import CheckpointError
from captioner.nn import architecture
from captioner.nn.architecture import STAGES
from captioner.nn.encoders import (
    BACKBONES,
    ImageEncoder,
    build_features,
    fold_batch_norm,
    load_pretrained,
    normalise,
)

NAMES = tuple(BACKBONES)
WITH_BATCH_NORM = tuple(name for name in NAMES if name != "vgg16")
HEIGHT, WIDTH = 64, 96  # 2×3 cells at stride 32, 4×6 at stride 16
PHOTOS = torch.randn(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(23))


@functools.cache
def features_of(name: str, stride: int) -> nn.Sequential:
    """A CNN with weights and batch norm statistics of our own, the same at both strides."""
    if stride == 16:
        with torch.device("meta"):  # to draw VGG's unused classifier at random takes seconds
            features = build_features(name, 16)
        own = features_of(name, 32).state_dict()
        features.load_state_dict({key: own[key] for key in features.state_dict()}, assign=True)
        return features.eval()
    with torch.device("meta"):
        features = build_features(name, 32)
    features.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(NAMES.index(name))
    with torch.no_grad():
        for key, value in features.state_dict().items():
            value.copy_(_drawn(key, value, generator))
    return features.eval()


def _drawn(key: str, value: Tensor, generator: torch.Generator) -> Tensor:
    if not value.is_floating_point():
        return torch.zeros_like(value)
    drawn = torch.randn(value.shape, generator=generator)
    if value.dim() == 4:  # He et al. 2015, so that the last stage still sees differences
        return drawn * (2 / value[0].numel()) ** 0.5
    if key.endswith(("var", "weight")):
        return 0.8 + 0.1 * drawn.abs()
    return 0.2 * drawn


@functools.cache
def maps_of(name: str, stride: int) -> Tensor:
    with torch.no_grad():
        return features_of(name, stride)(PHOTOS)


@functools.cache
def sides_of(name: str, stride: int) -> list[int]:
    """Height of what goes into the CNN and of what comes out of each of its children."""
    sides, hooks = [HEIGHT], []
    features = features_of(name, stride)

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        sides.append(output.shape[2])

    for child in features:
        hooks.append(child.register_forward_hook(note))
    with torch.no_grad():
        features(PHOTOS[:1])
    for hook in hooks:
        hook.remove()
    return sides


@pytest.fixture(scope="module", autouse=True)
def _memory_is_given_back() -> Iterator[None]:
    yield
    for cached in (features_of, maps_of, sides_of):
        cached.cache_clear()


def small_encoder(name: str = "mobilenet_v2", dropout: float = 0.0) -> ImageEncoder:
    torch.manual_seed(29)
    return ImageEncoder(copy.deepcopy(features_of(name, 32)), name, 13, dropout)


def differs(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> set[str]:
    return {key for key in first if not torch.equal(first[key], second[key])}


def children_from(features: nn.Sequential, first: int) -> set[str]:
    """Names of everything in the children from number `first` on."""
    kept = [name for name, _ in list(features.named_children())[first:]]
    return {key for key in features.state_dict() if key.split(".")[0] in kept}


def test_the_backbones_are_those_of_the_settings() -> None:
    assert NAMES == architecture.BACKBONES


@pytest.mark.parametrize("stride", [32, 16])
@pytest.mark.parametrize("name", NAMES)
def test_grid_and_channels(name: str, stride: int) -> None:
    channels = BACKBONES[name].channels
    assert maps_of(name, stride).shape == (2, channels, HEIGHT // stride, WIDTH // stride)


def halvings_of(name: str) -> list[int]:
    """The children that halve the resolution."""
    return [
        index for index, (old, new) in enumerate(pairwise(sides_of(name, 32))) if 2 * new == old
    ]


def starts_of(name: str) -> list[int]:
    """First child of each stage: the one that halves, or for VGG the one behind the pooling."""
    halvings = halvings_of(name)
    return [0, *(index + 1 for index in halvings[:-1])] if name == "vgg16" else halvings


@pytest.mark.parametrize("name", NAMES)
def test_stages_begin_where_the_resolution_halves(name: str) -> None:
    assert len(halvings_of(name)) == STAGES
    assert len(set(sides_of(name, 32))) == STAGES + 1  # nothing else changes it
    assert list(BACKBONES[name].stages) == starts_of(name)


@pytest.mark.parametrize("name", NAMES)
def test_stride_16_changes_the_last_stage_only(name: str) -> None:
    coarse, fine = sides_of(name, 32), sides_of(name, 16)
    last = BACKBONES[name].stages[-1]
    assert fine[: last + 1] == coarse[: last + 1]
    assert set(fine[last + 1 :]) == {HEIGHT // 16}


@pytest.mark.parametrize("name", WITH_BATCH_NORM)
def test_dilation_computes_the_same_features_at_more_places(name: str) -> None:
    coarse, fine = (_without_excitation(features_of(name, stride)) for stride in (32, 16))
    with torch.no_grad():
        expected, found = (features(PHOTOS.double()) for features in (coarse, fine))
    assert float(expected.std(0).mean()) > 1e-4  # or nothing would be compared
    torch.testing.assert_close(found[..., ::2, ::2], expected, rtol=1e-9, atol=1e-9)


def _without_excitation(features: nn.Sequential) -> nn.Sequential:
    """The CNN in float64 without squeeze-excitation, which averages over all places of a grid."""
    plain = copy.deepcopy(features).double()
    for module in list(plain.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, SqueezeExcitation):
                setattr(module, name, nn.Identity())
    return plain


def test_vgg_at_stride_16_ends_before_its_last_pooling() -> None:
    pooled = nn.functional.max_pool2d(maps_of("vgg16", 16), 2)
    torch.testing.assert_close(pooled, maps_of("vgg16", 32))


@pytest.mark.parametrize("name", NAMES)
def test_stride_16_is_real(name: str) -> None:
    coarse, fine = maps_of(name, 32)[0], maps_of(name, 16)[0]
    # Whatever is interpolated from 2×3 cells, linearly, spans six dimensions at most.
    assert _rank(coarse) == 6
    assert _rank(fine) == 24

    touched = PHOTOS[:1].clone()
    touched[..., 16:32, 32:48] += 1.0  # one cell's own pixels at stride 16
    with torch.no_grad():
        change = (features_of(name, 16)(touched)[0] - fine).norm(dim=0)  # (4, 6)
    block = change[0:2, 2:4].flatten()  # one cell at stride 32
    assert float(change[1, 2]) > 0
    assert len(set(block.tolist())) == 4
    assert float(block.max() / block.min()) > 1.01


def _rank(cells: Tensor) -> int:
    matrix = cells.flatten(1).double()
    return int(torch.linalg.matrix_rank(matrix, rtol=1e-5))


def assert_same_maps(found: Tensor, expected: Tensor) -> None:
    largest = float(expected.detach().abs().max())
    assert float((found - expected).detach().abs().max()) < 1e-4 * largest


@pytest.mark.parametrize("name", WITH_BATCH_NORM)
def test_folding_changes_the_speed_only(name: str) -> None:
    features = features_of(name, 32).requires_grad_(True)
    before = {key: value.clone() for key, value in features.state_dict().items()}
    folded = fold_batch_norm(features)
    with torch.no_grad():
        found = folded(PHOTOS)
    assert_same_maps(found, maps_of(name, 32))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())

    assert any(isinstance(module, nn.BatchNorm2d) for module in features.modules())
    assert all(parameter.requires_grad for parameter in features.parameters())
    assert not differs(before, features.state_dict())


def test_folding_a_cnn_in_training_leaves_it_in_training() -> None:
    features = copy.deepcopy(features_of("resnet18", 32)).train()
    folded = fold_batch_norm(features)
    assert all(module.training for module in features.modules())
    with torch.no_grad():
        assert_same_maps(folded(PHOTOS), maps_of("resnet18", 32))


def test_a_cnn_without_batch_norm_is_only_copied() -> None:
    features = features_of("vgg16", 16)
    with torch.no_grad():
        assert_same_maps(fold_batch_norm(features)(PHOTOS), maps_of("vgg16", 16))


@pytest.mark.parametrize("name", NAMES)
def test_fine_tuning_frees_the_stages_from_the_named_one_on(name: str) -> None:
    with torch.device("meta"):
        encoder = ImageEncoder(build_features(name, 32), name, 13)
    starts = [*starts_of(name), len(encoder.features)]
    for stage in (3, 0, 5, 1, 4, 2):
        encoder.fine_tune(stage)
        first = starts[stage - 1] if stage else len(encoder.features)
        behind = children_from(encoder.features, first)
        for key, parameter in encoder.features.named_parameters():
            assert parameter.requires_grad == (key in behind), (stage, key)
        for part in (encoder.project, encoder.normalise):
            assert all(parameter.requires_grad for parameter in part.parameters())


def test_a_resnets_parameters_belong_to_its_stages() -> None:
    """The same by torchvision's names, which do not number the children."""
    with torch.device("meta"):
        encoder = ImageEncoder(build_features("resnet18", 32), "resnet18", 13)
    parts = ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"]
    for stage, first in enumerate([6, 0, 2, 3, 4, 5]):
        encoder.fine_tune(stage)
        learning = {
            key.split(".")[0]
            for key, value in encoder.features.named_parameters()
            if value.requires_grad
        }
        assert learning == set(parts[first:])


@pytest.mark.parametrize("stage", [0, 4])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_training_step_moves_what_should_learn(stage: int, frozen: bool) -> None:
    encoder = small_encoder()
    encoder.train()
    encoder.fine_tune(stage, freeze_batch_norm=frozen)
    before = {key: value.clone() for key, value in encoder.features.state_dict().items()}
    optimizer = torch.optim.SGD(encoder.parameters(), lr=10.0)
    encoder(PHOTOS).values.square().sum().backward()
    optimizer.step()
    changed = differs(before, encoder.features.state_dict())

    first = starts_of("mobilenet_v2")[stage - 1] if stage else len(encoder.features)
    behind = children_from(encoder.features, first)
    statistics = {key for key in before if "running_" in key or key.endswith("_tracked")}
    parameters = {key for key, _ in encoder.features.named_parameters()} & behind
    assert changed & statistics == (set() if frozen else statistics & behind)
    assert changed - statistics == parameters
    for key, parameter in encoder.features.named_parameters():
        assert (parameter.grad is not None) == (key in parameters)
    assert encoder.project.weight.grad is not None


def test_modes_outlive_switching_back_and_forth() -> None:
    encoder = small_encoder(dropout=0.5)
    encoder.fine_tune(5, freeze_batch_norm=False)
    for _ in range(2):
        encoder.eval()
        assert not any(module.training for module in encoder.modules())
        encoder.train()
        assert encoder.dropout.training
        assert encoder.training
        first = starts_of("mobilenet_v2")[4]
        for index, child in enumerate(encoder.features):
            assert all(module.training == (index >= first) for module in child.modules())
    encoder.eval()
    encoder.fine_tune(1, freeze_batch_norm=False)  # must not wake an evaluating encoder
    assert not any(module.training for module in encoder.modules())


def test_a_frozen_cnn_drops_nothing_but_the_projection_still_does() -> None:
    with torch.device("meta"):
        encoder = ImageEncoder(build_features("efficientnet_b0", 32), "efficientnet_b0", 13, 0.5)
    encoder.train()
    encoder.fine_tune(0)
    depths = [m for m in encoder.features.modules() if isinstance(m, StochasticDepth)]
    assert len(depths) > 5
    assert not any(depth.training for depth in depths)
    assert encoder.dropout.training
    encoder.fine_tune(1)
    assert all(depth.training for depth in depths)
    norms = [m for m in encoder.features.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(norm.training for norm in norms)


def test_the_memory_is_the_grid_read_row_by_row() -> None:
    encoder = small_encoder().eval()
    with torch.no_grad():
        grid = encoder.grid(PHOTOS)
        memory = encoder(PHOTOS)
    assert grid.shape == (2, 2, 3, 1280)
    assert memory.grid == (2, 3)
    assert memory.mask is None
    assert memory.values.shape == (2, 6, 13)
    expected = encoder.features(PHOTOS)
    weight, bias = encoder.project.weight.double(), encoder.project.bias.double()
    for row in range(2):
        for column in range(3):
            assert_same_maps(grid[:, row, column], expected[..., row, column])
            cell = expected[..., row, column].double() @ weight.T + bias
            centred = cell - cell.mean(-1, keepdim=True)
            scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
            found = memory.values[:, row * 3 + column].double()
            torch.testing.assert_close(found, scaled.clamp(min=0), rtol=1e-3, atol=1e-3)


def test_a_cached_grid_in_half_precision_reads_as_well() -> None:
    encoder = small_encoder().eval()
    with torch.no_grad():
        grid = encoder.grid(PHOTOS)
        cached = encoder.read(grid.half())
        expected = encoder.read(grid)
    assert cached.values.dtype == torch.float32
    torch.testing.assert_close(cached.values, expected.values, rtol=1e-2, atol=1e-2)


# ---- the fourth stage beside the fifth -----------------------------------------------------------


def lateral_encoder(name: str = "mobilenet_v2", dropout: float = 0.0) -> ImageEncoder:
    torch.manual_seed(31)
    return ImageEncoder(copy.deepcopy(features_of(name, 32)), name, 13, dropout, lateral=True)


def enlarged(cells: np.ndarray) -> np.ndarray:
    """(h, w, D) at twice the resolution, linearly between the cells' centres."""
    height, width, _ = cells.shape

    def between(size: int) -> np.ndarray:
        weights = np.zeros((2 * size, size))
        for place in range(2 * size):
            at = min(max((place + 0.5) / 2 - 0.5, 0), size - 1)  # beyond the centres: the border's
            low = min(int(at), size - 2)
            weights[place, low], weights[place, low + 1] = 1 - (at - low), at - low
        return weights

    return np.einsum("ai,bj,ijd->abd", between(height), between(width), cells)


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_b0", "resnet18", "vgg16"])
def test_a_lateral_memory_is_the_two_stages_together(name: str) -> None:
    """Lin et al. 2017 by hand: both stages projected, the coarse one enlarged, and summed."""
    encoder, starts = lateral_encoder(name).eval(), BACKBONES[name].stages
    with torch.no_grad():
        memory = encoder(PHOTOS)
        fine = encoder.features[: starts[-1]](PHOTOS)
        coarse = encoder.features(PHOTOS)
    assert memory.grid == (4, 6)
    assert memory.mask is None
    assert memory.values.shape == (2, 24, 13)
    assert fine.shape[2:] == (4, 6)
    assert coarse.shape[2:] == (2, 3)
    weights = {key: value.detach().double().numpy() for key, value in encoder.named_parameters()}
    for photo in range(2):
        cells = coarse[photo].permute(1, 2, 0).double().numpy()
        top = enlarged(cells @ weights["project.weight"].T + weights["project.bias"])
        side = fine[photo].permute(1, 2, 0).double().numpy() @ weights["lateral.weight"].T
        assert min(top.std(), side.std()) > 0.01  # both count
        centred = top + side - (top + side).mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        expected = np.maximum(scaled, 0).reshape(24, 13)
        np.testing.assert_allclose(memory.values[photo].numpy(), expected, rtol=1e-3, atol=1e-3)


def test_a_packed_grid_reads_as_the_photos() -> None:
    encoder = lateral_encoder().eval()
    with torch.no_grad():
        grid, expected = encoder.grid(PHOTOS), encoder(PHOTOS)
        found, half = encoder.read(grid), encoder.read(grid.half())
    assert grid.shape == (2, 2, 3, 1280 + 4 * 96)
    assert found.grid == half.grid == expected.grid == (4, 6)
    assert torch.equal(found.values, expected.values)
    assert half.values.dtype == torch.float32
    torch.testing.assert_close(half.values, expected.values, rtol=1e-2, atol=1e-2)


def test_folding_leaves_a_lateral_memory() -> None:
    encoder = lateral_encoder().eval()
    with torch.no_grad():
        expected = encoder(PHOTOS).values
        encoder.features = fold_batch_norm(encoder.features)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in encoder.modules())
        torch.testing.assert_close(encoder(PHOTOS).values, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("stage", [0, 4, 5])
def test_fine_tuning_with_a_lateral_connection(stage: int) -> None:
    encoder = lateral_encoder()
    encoder.train()
    encoder.fine_tune(stage)
    encoder(PHOTOS).values.square().sum().backward()
    first = starts_of("mobilenet_v2")[stage - 1] if stage else len(encoder.features)
    behind = children_from(encoder.features, first)
    for key, parameter in encoder.features.named_parameters():
        assert (parameter.grad is not None and bool(parameter.grad.any())) == (key in behind), key
    assert encoder.lateral is not None
    for part in (encoder.project, encoder.lateral):
        assert part.weight.grad is not None
        assert part.weight.grad.any()


def test_the_fourth_stage_learns_through_both_connections() -> None:
    """Cut off from the fifth stage, it still learns; without the lateral one, it would not."""
    encoder = lateral_encoder()
    encoder.train()
    encoder.fine_tune(4)
    with torch.no_grad():
        encoder.project.weight.zero_()
    encoder(PHOTOS).values[..., :5].sum().backward()
    starts = starts_of("mobilenet_v2")
    names = {key: p.grad for key, p in encoder.features.named_parameters() if p.grad is not None}
    learned = {int(key.split(".")[0]) for key, grad in names.items() if grad.any()}
    assert learned == set(range(starts[3], starts[4]))


def test_dropout_is_for_training() -> None:
    encoder = small_encoder(dropout=0.5)
    encoder.fine_tune(0)
    grid = encoder.eval().grid(PHOTOS)
    calm = encoder.read(grid).values
    assert torch.equal(encoder.read(grid).values, calm)
    encoder.train()
    dropped = encoder.read(grid).values
    assert int((dropped == 0).sum()) > int((calm == 0).sum())
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], 2 * calm[kept])


def test_photos_are_normalised_as_torchvision_does() -> None:
    pixels = torch.randint(0, 256, (5, 3, 7, 7), generator=torch.Generator().manual_seed(31))
    pixels = pixels.to(torch.uint8)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    found = normalise(pixels, mean, std)
    by_hand = (pixels.double().numpy() / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(
        std, (3, 1, 1)
    )
    np.testing.assert_allclose(found.numpy(), by_hand, atol=1e-5)
    theirs = torchvision.transforms.Normalize(mean, std)(pixels.float() / 255)
    torch.testing.assert_close(found, theirs, rtol=1e-5, atol=1e-5)


def torchvision_state(name: str, classifier: bool = True) -> dict[str, Tensor]:
    """What torchvision's own file of this CNN holds, with weights of our own."""
    prefix = "features." if hasattr(_whole(name), "features") else ""
    state = {f"{prefix}{k}": v.clone() for k, v in features_of(name, 32).state_dict().items()}
    if classifier:
        state |= {
            key: torch.zeros(value.shape)
            for key, value in _whole(name).state_dict().items()
            if key not in state
        }
        assert state.keys() == _whole(name).state_dict().keys()
    return state


@functools.cache
def _whole(name: str) -> nn.Module:
    with torch.device("meta"):
        return torchvision.models.get_model(name, weights=None)


def assert_filled(features: nn.Sequential, name: str) -> None:
    expected = features_of(name, 32).state_dict()
    assert not differs(features.state_dict(), expected)


@pytest.mark.parametrize("classifier", [True, False])
@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18"])
def test_weights_come_from_a_file_with_torchvisions_names(
    tmp_path: Path, name: str, classifier: bool
) -> None:
    path = tmp_path / "cnn.safetensors"
    save_file(torchvision_state(name, classifier), path)
    for stride in (32, 16):
        features = build_features(name, stride)
        load_pretrained(features, name, str(path))
        assert_filled(features, name)


def test_a_file_may_lack_the_prefix_and_the_step_counts(tmp_path: Path) -> None:
    path = tmp_path / "features.safetensors"
    state = features_of("mobilenet_v2", 32).state_dict()
    save_file({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, path)
    features = build_features("mobilenet_v2", 32)
    load_pretrained(features, "mobilenet_v2", str(path))
    assert_filled(features, "mobilenet_v2")


def test_half_precision_weights_are_widened(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    state = torchvision_state("mobilenet_v2")
    save_file({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, path)
    features = build_features("mobilenet_v2", 32)
    load_pretrained(features, "mobilenet_v2", str(path))
    for key, value in features.state_dict().items():
        expected = state[f"features.{key}"]
        assert value.dtype == expected.dtype
        torch.testing.assert_close(value, expected.half().to(value.dtype))


@pytest.mark.parametrize("weights", ["random", "imagenet"])
def test_random_weights_stay(monkeypatch: pytest.MonkeyPatch, weights: str) -> None:
    features = build_features("mobilenet_v2", 32)
    before = {key: value.clone() for key, value in features.state_dict().items()}
    fetched = _fake_imagenet(monkeypatch, torchvision_state("mobilenet_v2"))
    load_pretrained(features, "mobilenet_v2", weights)
    if weights == "random":
        assert not differs(before, features.state_dict())
        assert fetched == []
    else:
        assert_filled(features, "mobilenet_v2")
        # Only tensors are unpickled, and only from the file whose hash torchvision knows.
        assert fetched == [("mobilenet_v2", {"check_hash": True, "weights_only": True})]


def _fake_imagenet(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Tensor] | Exception
) -> list[tuple[str, dict[str, bool]]]:
    asked = []

    class Weights:
        def __init__(self, name: str) -> None:
            self.name, self.DEFAULT = name, self

        def get_state_dict(self, **settings: bool) -> dict[str, Tensor]:
            asked.append((self.name, settings))
            if isinstance(answer, Exception):
                raise answer
            return answer

    monkeypatch.setattr(torchvision.models, "get_model_weights", Weights)
    return asked


@pytest.mark.parametrize(
    "failure",
    [
        URLError("no route to host"),
        RuntimeError('invalid hash value (expected "b0353104", got "…")'),
        IncompleteRead(b"", 13),
        EOFError("Ran out of input"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_imagenet_weights_that_cannot_be_fetched(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    _fake_imagenet(monkeypatch, failure)
    features = build_features("mobilenet_v2", 32)
    with pytest.raises(CheckpointError) as caught:
        load_pretrained(features, "mobilenet_v2", "imagenet")
    assert str(caught.value) == (
        f"torchvision's ImageNet weights for mobilenet_v2 could not be fetched ({failure}); give a "
        "local file: --model.encoder.weights FILE.safetensors"
    )


class _Trap:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (Path("sprung"),)


@pytest.mark.parametrize("trapped", [False, True])
def test_a_file_that_torchvision_fetched_earlier_cannot_execute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trapped: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = torchvision.models.get_model_weights("mobilenet_v2").DEFAULT.url
    path = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    state = torchvision_state("mobilenet_v2")
    torch.save({**state, "trap": _Trap()} if trapped else OrderedDict(state), path)
    features = build_features("mobilenet_v2", 32)
    if trapped:
        with pytest.raises(CheckpointError, match="could not be fetched") as caught:
            load_pretrained(features, "mobilenet_v2", "imagenet")
        assert "\n" not in str(caught.value)
        assert not Path("sprung").exists()
    else:
        load_pretrained(features, "mobilenet_v2", "imagenet")
        assert_filled(features, "mobilenet_v2")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "efficientnet_lite2"])
def test_torchvision_offers_imagenet_weights(name: str) -> None:
    assert torchvision.models.get_model_weights(name).DEFAULT.url.startswith("https://")


def test_torchvision_has_no_efficientnet_lite() -> None:
    with pytest.raises(CheckpointError, match="no ImageNet weights for efficientnet_lite2; give"):
        load_pretrained(build_features("efficientnet_lite2", 32), "efficientnet_lite2", "imagenet")


@pytest.mark.parametrize("lateral", [False, True])
def test_a_classifier_reads_the_mean_of_the_last_stage(lateral: bool) -> None:
    features = features_of("efficientnet_b0", 32)
    encoder = ImageEncoder(features, "efficientnet_b0", 23, lateral=lateral, classes=7).eval()
    assert encoder.classifier is not None
    with torch.no_grad():
        logits = encoder.recognise(encoder.grid(PHOTOS))
        expected = encoder.classifier(features(PHOTOS).mean((2, 3)))
    torch.testing.assert_close(logits, expected)
    assert logits.shape == (2, 7)
    assert ImageEncoder(features, "efficientnet_b0", 23).classifier is None


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "cnn.safetensors"
    with pytest.raises(CheckpointError) as caught:
        load_pretrained(nn.Sequential(), "resnet18", str(path))
    assert str(caught.value) == (
        f"{path}: no such file; expected imagenet, random, or a safetensors file of CNN weights"
    )


@pytest.mark.parametrize("content", [b"", b"a photo of a dog\n", b"PK\x03\x04" + bytes(97)])
def test_a_file_of_something_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cnn.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a readable safetensors file") as caught:
        load_pretrained(nn.Sequential(), "resnet18", str(path))
    assert str(caught.value).startswith(str(path))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_pretrained(nn.Sequential(), "resnet18", str(tmp_path))


def test_weights_of_another_cnn(tmp_path: Path) -> None:
    path = tmp_path / "cnn.safetensors"
    save_file(torchvision_state("resnet18"), path)
    features = build_features("mobilenet_v2", 32)
    missing = [k for k in features.state_dict() if not k.endswith("num_batches_tracked")]
    with pytest.raises(CheckpointError) as caught:
        load_pretrained(features, "mobilenet_v2", str(path))
    assert str(caught.value) == (
        f"{path}: no mobilenet_v2 weights: {len(missing)} parameters are missing and 0 of another "
        "shape, features.0.0.weight first; expected torchvision's parameter names"
    )


def test_weights_of_another_shape_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "cnn.safetensors"
    state = torchvision_state("resnet18")
    state["layer2.0.conv1.weight"] = torch.zeros(128, 64, 5, 5)
    state["layer4.1.bn2.bias"] = torch.zeros(511)
    save_file(state, path)
    features = build_features("resnet18", 32)
    before = {key: value.clone() for key, value in features.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_pretrained(features, "resnet18", str(path))
    assert str(caught.value) == (
        f"{path}: no resnet18 weights: 0 parameters are missing and 2 of another shape, "
        "layer2.0.conv1.weight first; expected torchvision's parameter names"
    )
    assert not differs(before, features.state_dict())
