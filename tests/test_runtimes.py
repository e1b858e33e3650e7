from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

from captioner.captions.caption import Caption
from captioner.captions.checkpoint import Checkpoint
from captioner.captions.writer import Writer
from captioner.cli import doctor, main
from captioner.errors import ConfigError
from captioner.nn.architecture import ModelConfig
from captioner.nn.encoders import BACKBONES, ImageEncoder, build_features, fold_batch_norm
from captioner.nn.memory import Memory
from captioner.nn.model import CaptionModel, build_model
from captioner.options import RUNTIMES, SearchOptions
from captioner.pictures.preprocess import Preprocess
from captioner.prediction import Captioner
from captioner.runtimes import choice, layers, library
from captioner.runtimes.decoder import GraphDecoder
from captioner.runtimes.encoder import GraphEncoder
from captioner.search import Start, search
from captioner.settings import from_dict
from captioner.text import UNK
from tests.commands import noisy_picture

pytestmark = pytest.mark.skipif(
    not library.is_installed(), reason="there is no wheel of openvino for this machine"
)
SIDE = 64
PREPROCESS = Preprocess(SIDE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def _photos(count: int, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, SIDE, SIDE), generator=rng, dtype=torch.uint8)


def _model(encoder: ImageEncoder) -> CaptionModel:
    """An encoder with batch norms that have seen something, and weights that let signals pass."""
    torch.manual_seed(4)
    for module in encoder.features.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, std=0.1)
    encoder.eval().requires_grad_(False)
    encoder.features = fold_batch_norm(encoder.features)
    return CaptionModel(encoder, nn.Module())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", BACKBONES)
def test_a_graph_computes_what_the_encoder_does(name: str) -> None:
    lateral = name != "vgg16"
    encoder = ImageEncoder(build_features(name, 32), name, 13, lateral=lateral, classes=7)
    plain = choice.Torch(_model(encoder), PREPROCESS)
    graph = GraphEncoder(encoder, PREPROCESS, "f32", threads=1)
    photos = _photos(2)
    expected = plain.encode(photos)
    with torch.inference_mode():
        found = graph(photos)
    assert found.grid == expected.grid
    assert expected.values.std() > 0.1  # or nothing would be compared
    torch.testing.assert_close(found.values, expected.values, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.kinds, expected.kinds, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "settings", [{"stride": 16}, {"stride": 16, "stages": 4}, {"refine": 1, "heads": 2}], ids=str
)
def test_grids_of_all_kinds(settings: dict[str, int]) -> None:
    own = {"image_size": SIDE, "feature_size": 8, "weights": "random", **settings}
    torch.manual_seed(2)
    model = build_model(from_dict(ModelConfig, {"encoder": own}), 9)
    plain = choice.Torch(_model(model.encoder), PREPROCESS)
    graph = GraphEncoder(model.encoder, PREPROCESS, "f32", threads=1)
    expected = plain.encode(_photos(3))
    with torch.inference_mode():
        found = graph(_photos(3))
    assert found.grid == expected.grid
    torch.testing.assert_close(found.values, expected.values, rtol=1e-3, atol=1e-3)
    assert found.kinds is None


def test_half_as_many_bits_stay_within_the_promised_tolerance() -> None:
    """A hundredth of the features' spread on the mean, however the CPU multiplies."""
    encoder = ImageEncoder(build_features("resnet18", 32), "resnet18", 13)
    plain = choice.Torch(_model(encoder), PREPROCESS)
    graph = GraphEncoder(encoder, PREPROCESS, library.precision(), threads=1)
    expected = plain.encode(_photos(4)).values
    with torch.inference_mode():
        found = graph(_photos(4)).values
    assert (found - expected).abs().mean() < 0.05 * expected.std()


DECODERS: dict[str, dict[str, dict[str, object]]] = {
    "before": {"attention": {"score": "general", "query": "before"}},
    "after": {"attention": {"score": "general", "query": "after"}},
    "fed": {"attention": {"score": "general", "query": "after", "input_feeding": True}},
    "dot": {"attention": {"score": "dot"}, "decoder": {"hidden_size": 24, "gate": False}},
    "scaled": {
        "attention": {"score": "scaled_dot", "query": "after"},
        "decoder": {"hidden_size": 24},
    },
    "copying": {
        "attention": {"score": "general", "query": "after", "input_feeding": True},
        "copy": {"things": 3, "size": 5},
    },
}


def _built(tables: dict[str, dict[str, object]]) -> CaptionModel:
    """A decoder that has opinions, on memories of 24 features."""
    classes = 7 if "copy" in tables else 0
    own = {
        "encoder": {"image_size": SIDE, "feature_size": 24, "weights": "random"},
        "attention": {"size": 16, **tables.get("attention", {})},
        "decoder": {"hidden_size": 20, "embedding_size": 12, **tables.get("decoder", {})},
        "copy": tables.get("copy", {}),
    }
    own["encoder"]["classes"] = classes
    torch.manual_seed(6)
    model = build_model(from_dict(ModelConfig, own), 300)
    with torch.no_grad():
        model.decoder.embedding.weight.mul_(4)
    if classes:
        model.name_classes([5, 9, 5, 200, 31, 77, 8])
    return model.eval().requires_grad_(False)


def _memory(count: int, classes: int = 7) -> Memory:
    rng = torch.Generator().manual_seed(3)
    values = torch.randn(count, 9, 24, generator=rng)
    return Memory(values, grid=(3, 3), kinds=3 * torch.randn(count, classes, generator=rng))


@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize(
    "options", [{"beam_size": 3, "n_best": 2}, {"sample": True, "n_best": 2}], ids=str
)
def test_a_search_finds_the_same_through_a_graph(kind: str, options: dict[str, int]) -> None:
    decoder = _built(DECODERS[kind]).decoder
    graph = GraphDecoder(decoder, "f32", threads=1)
    wanted = SearchOptions(max_length=7, **options)
    start = Start(once=(5, 6, 7, 8, 9))
    expected = search(decoder, _memory(10), wanted, prefix=(11,), start=start)
    found = search(graph, _memory(10), wanted, prefix=(11,), start=start)
    for one, other in zip(chain(*found), chain(*expected), strict=True):
        assert one.tokens == other.tokens
        for name in ("log_probs", "weights", "alternative_probs"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-4)
        assert one.alternatives.tolist() == other.alternatives.tolist()
        assert one.extras.keys() == other.extras.keys()
        for name, values in one.extras.items():
            np.testing.assert_allclose(values, other.extras[name], atol=1e-4)


@pytest.mark.parametrize("kind", ["before", "copying"])
def test_a_step_with_half_as_many_bits(kind: str) -> None:
    decoder = _built(DECODERS[kind]).decoder
    graph = GraphDecoder(decoder, library.precision(), threads=1)
    tokens = torch.tensor([[4, 9], [100, 299]])
    logits = []
    for each in (decoder, graph):
        with torch.inference_mode():
            memory, state = each.start(_memory(2))
            state = state.select(torch.zeros(2, 2, dtype=torch.long))
            state = each.step(tokens, state, memory).state
            logits.append(each.step(tokens.flip(1), state, memory).logits[..., UNK + 1 :])
    assert logits[0].std() > 0.5
    assert (logits[1] - logits[0]).abs().mean() < 0.03 * logits[0].std()


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({"decoder": {"kind": "transformer"}}, "TransformerDecoder without an LSTM"),
        ({"decoder": {"cell": "gru"}}, "RecurrentDecoder without an LSTM"),
        ({"attention": {"score": "additive"}}, "attention of Additive, Everywhere, Softmax"),
        (
            {"attention": {"score": "general", "kind": "hard"}},
            "attention of General, Everywhere, Hard",
        ),
        ({"attention": {"score": "none"}}, "attention of Bottleneck"),
        (
            {"attention": {"score": "general", "query": "after", "kind": "sentinel"}},
            "attention of Adaptive",
        ),
    ],
    ids=str,
)
def test_decoders_that_are_no_graph_are_named(
    tables: dict[str, dict[str, object]], reason: str
) -> None:
    with pytest.raises(layers.UnknownLayerError, match=f"^{reason}$"):
        GraphDecoder(_built(tables).decoder, "f32", threads=1)


def test_layers_that_a_graph_lacks_are_named() -> None:
    for layer in (nn.Softshrink(), nn.Conv2d(3, 3, 1, padding_mode="reflect", padding=0)):
        photos = library.operations().parameter([-1, 3, 8, 8], np.float32)
        with pytest.raises(layers.UnknownLayerError, match=type(layer).__name__):
            layers.converted(nn.Sequential(layer), photos)
    for layer in (nn.MaxPool2d(2, ceil_mode=True), nn.AdaptiveAvgPool2d(2)):
        with pytest.raises(layers.UnknownLayerError, match=type(layer).__name__):
            layers.converted(nn.Sequential(layer), photos)
    assert layers.converted(nn.Sequential(StochasticDepth(0.5, "row")).eval(), photos) is photos


def _encoder(features: nn.Sequential) -> ImageEncoder:
    return ImageEncoder(features, "resnet18", 5).eval().requires_grad_(False)


def test_what_no_graph_can_do_is_done_by_torch_or_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choice, "PREFERRED", "openvino")
    odd = nn.Sequential(nn.Conv2d(3, 512, 1, 32), nn.Softshrink())
    model = CaptionModel(_encoder(odd), nn.Module())  # type: ignore[arg-type]
    cpu = torch.device("cpu")
    auto = choice.choose("auto", model, PREPROCESS, cpu)
    found = auto.encode(_photos(1)).values
    assert found.equal(choice.Torch(model, PREPROCESS).encode(_photos(1)).values)
    assert isinstance(auto, choice.OpenVINO)
    assert auto.reason == "UnknownLayerError: Softshrink"
    wanted = choice.choose("openvino", model, PREPROCESS, cpu)
    with pytest.raises(
        ConfigError,
        match=r"^runtime openvino cannot compute this model here "
        r"\(UnknownLayerError: Softshrink\); use torch$",
    ):
        wanted.encode(_photos(1))


def test_runtimes_that_cannot_be_are_refused(
    tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ", ".join(RUNTIMES)
    with pytest.raises(ConfigError, match=f"^runtime is 'onnx'; expected {expected}$"):
        Captioner(tiny_checkpoint, runtime="onnx")
    with pytest.raises(ConfigError, match=r"^runtime is \[\]; expected"):
        Captioner(tiny_checkpoint, runtime=[])  # type: ignore[arg-type]
    cuda = torch.device("cuda:1")
    model = tiny_checkpoint.model
    with pytest.raises(
        ConfigError, match=r"^runtime openvino computes on a CPU, not on cuda:1; use torch$"
    ):
        choice.choose("openvino", model, PREPROCESS, cuda)
    assert choice.choose("auto", model, PREPROCESS, cuda).name == "torch"
    monkeypatch.setattr(library, "is_installed", lambda: False)
    assert Captioner(tiny_checkpoint).writer.runtime.name == "torch"
    with pytest.raises(
        ConfigError,
        match=r"^runtime openvino-f32 is not installed; pip install openvino, or use torch$",
    ):
        Captioner(tiny_checkpoint, runtime="openvino-f32")


def test_captions_are_the_same_and_threads_share_the_graph(
    tiny_checkpoint: Checkpoint, tiny_captioner: Captioner
) -> None:
    captioner = Captioner(tiny_checkpoint, runtime="openvino-f32")
    rng = np.random.default_rng(1)
    photos = [rng.integers(0, 256, (40, 50, 3), np.uint8) for _ in range(8)]
    expected = list(tiny_captioner.stream(photos))
    found: dict[int, list[str]] = {}

    def run(number: int) -> None:
        found[number] = [c.text for c in captioner.stream(photos, batch_size=1 + number)]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = [caption.text for caption in expected]
    assert list(found.values()) == [texts, texts, texts]
    own = captioner(photos[0])
    assert own.log_prob == pytest.approx(expected[0].log_prob, abs=1e-3)
    assert own.maps == pytest.approx(expected[0].maps, abs=1e-4)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_computes_without_the_graph(weights: str, tmp_path: Path) -> None:
    """Its threads stayed behind, and waiting for them would never end."""
    code = f"""
import os, sys
import numpy as np
from captioner import Captioner
captioner = Captioner.load({weights!r}, runtime="openvino-f32")
photo = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
text = captioner(photo).text
if os.fork() == 0:
    os._exit(0 if captioner(photo).text == text else 1)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_importing_the_library_calls_nobody() -> None:
    code = """
import socket, sys, threading
called = []
def refuse(*arguments, **named):
    called.append(arguments)
    raise OSError("no network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from captioner.runtimes import library
library.precision()
for thread in threading.enumerate():
    if thread is not threading.current_thread() and not thread.daemon:
        thread.join()
assert "openvino_telemetry" not in sys.modules, "it could be asked to send something"
assert not called, called
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_flag_and_what_doctor_says(
    weights: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["caption", "b/dog.png", "--checkpoint", weights, "--device", "cpu"]
    texts = []
    for runtime in ("torch", "openvino-f32"):
        assert main([*command, "--runtime", runtime]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert main([*command, "--runtime", "gpu"]) == 2
    assert "argument --runtime: invalid choice: 'gpu'" in capsys.readouterr().err
    [found] = doctor._runtimes()
    kind = {"bf16": "bfloat16", "f32": "float32"}[library.precision()]
    assert found.value == f"openvino, which computes in {kind} on this CPU"
    monkeypatch.setattr(library, "precision", lambda: 1 / 0)
    [found] = doctor._runtimes()
    assert found.value == (
        "torch, for openvino does not start (ZeroDivisionError: division by zero)"
    )
    monkeypatch.setattr(library, "is_installed", lambda: False)
    [found] = doctor._runtimes()
    assert found.value == "torch, for openvino is not installed"


@pytest.mark.parametrize("sample", [False, True])
def test_batches_computed_at_once_give_the_same_captions(
    tiny_captioner: Captioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: bool
) -> None:
    many = [tmp_path / f"{number}.png" for number in range(8)]
    for number, path in enumerate(many):
        if number != 3:
            noisy_picture(number).save(path)
    settings = {"batch_size": 3, "sample": sample, "max_length": 4}
    expected = list(tiny_captioner.stream(iter(many), **settings))  # one batch after the other
    threads = set()
    write = Writer.write

    def watched(*arguments: Any) -> list[Caption]:
        threads.add(threading.current_thread())
        return write(*arguments)

    monkeypatch.setattr(Writer, "write", watched)
    monkeypatch.setattr(Writer, "at_once", lambda *_: 2)
    found = list(tiny_captioner.stream(many, **settings))
    assert threading.current_thread() not in threads
    assert found[3].error is not None
    assert [one.error for one in found] == [one.error for one in expected]
    assert [one.text for one in found] == [one.text for one in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.maps, other.maps, atol=1e-6)
    with pytest.raises(ConfigError, match=r"^the photos' numbers are \[6\]; expected 2 whole"):
        list(tiny_captioner.stream(many, **settings, numbers=range(7)))


def test_as_many_batches_at_once_as_there_are_threads_for_graphs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[tuple[int, int]] = []

    class Graph:
        def __init__(self, own: Any, *arguments: Any) -> None:
            built.append(arguments[-2:])

    monkeypatch.setattr(choice, "GraphEncoder", Graph)
    monkeypatch.setattr(choice, "GraphDecoder", Graph)
    for threads, at_once in ((1, 1), (2, 2), (16, 4)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        runtime = choice.choose("openvino", _built({}), PREPROCESS, torch.device("cpu"))
        assert runtime.shared.at_once == at_once
        assert runtime.shared is runtime.shared
        assert set(built) == {(threads, at_once)}  # one batch alone has built nothing yet
        assert runtime.at_once == 1
        built.clear()

    def unknown(*_: Any) -> None:
        raise layers.UnknownLayerError("additive")

    monkeypatch.setattr(choice, "GraphDecoder", unknown)
    runtime = choice.choose("openvino", _built({}), PREPROCESS, torch.device("cpu"))
    assert runtime.shared.at_once == 1  # torch takes all threads for one batch
    plain = choice.choose("torch", _built({}), PREPROCESS, torch.device("cpu"))
    assert plain.shared.at_once == 1


def test_two_threads_share_a_graph_that_two_may_ask() -> None:
    decoder = _built(DECODERS["copying"]).decoder
    graph = GraphDecoder(decoder, "f32", threads=2, at_once=2)
    wanted = SearchOptions(max_length=5)
    expected = [search(graph, _memory(count), wanted) for count in (3, 9)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda count: search(graph, _memory(count), wanted), (3, 9) * 4))
    for number, own in enumerate(found):
        for one, other in zip(chain(*own), chain(*expected[number % 2]), strict=True):
            assert one.tokens == other.tokens
            np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-5)
