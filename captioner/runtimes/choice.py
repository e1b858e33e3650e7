"""Which runtime computes a captioner's photos, chosen by name and by what there is."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from captioner.errors import ConfigError, shown
from captioner.nn.decoder import Stepwise
from captioner.nn.encoders import normalise
from captioner.nn.memory import Memory
from captioner.nn.model import CaptionModel
from captioner.options import RUNTIMES
from captioner.pictures.preprocess import Preprocess
from captioner.runtimes import library
from captioner.runtimes.decoder import GraphDecoder
from captioner.runtimes.encoder import GraphEncoder
from captioner.runtimes.layers import UnknownLayerError

PREFERRED = "openvino"  # what `auto` takes where it can
_AT_ONCE = 4  # batches at most that share a CPU: each takes memory


class Runtime(Protocol):
    """What computes a captioner's photos. Threads may share it."""

    name: str

    def encode(self, photos: Tensor) -> Memory:
        """The memory of photos uint8 (B, 3, S, S), on the model's device."""

    @property
    def decoder(self) -> Stepwise[Any]:
        """What a search asks."""

    @property
    def shared(self) -> Runtime:
        """What computes several batches at once best: as many as its `at_once`."""

    @property
    def at_once(self) -> int:
        """How many threads may compute a batch each, without being in one another's way."""


class Torch:
    """The model itself."""

    name = "torch"

    def __init__(self, model: CaptionModel, preprocess: Preprocess) -> None:
        self.model, self.preprocess = model, preprocess

    @torch.inference_mode()
    def encode(self, photos: Tensor) -> Memory:
        """The memory of photos uint8 (B, 3, S, S), on the model's device."""
        normalised = normalise(photos, self.preprocess.mean, self.preprocess.std)
        memory: Memory = self.model.encoder(normalised)
        return memory

    @property
    def decoder(self) -> Stepwise[Any]:
        """What a search asks."""
        return self.model.decoder

    @property
    def shared(self) -> Torch:
        """Itself: torch gives all threads to one batch."""
        return self

    @property
    def at_once(self) -> int:
        """One batch."""
        return 1


@dataclass(frozen=True)
class _Graphs:
    """What was built of a model."""

    encoder: GraphEncoder
    decoder: GraphDecoder | None  # of the kinds that are known


class OpenVINO:
    """The model's encoder and decoder as graphs, built when the first photo comes."""

    def __init__(
        self,
        name: str,
        plain: Torch,
        *,
        required: bool,
        searches: bool = True,
        streams: int = 1,
    ) -> None:
        """Takes what is to be built.

        Args:
            name: `openvino`, in bfloat16 where the CPU has it, or `openvino-f32`.
            plain: the model, and what computes where no graph can.
            required: whether it is an error if there can be no graph of the encoder.
            searches: whether a graph of the decoder is wanted, too.
            streams: batches computed at once, which share the threads.
        """
        self.name, self.plain, self.required, self.streams = name, plain, required, streams
        self.searches = searches
        self.building = threading.Lock()
        self.process = os.getpid()
        self.built: _Graphs | None = None
        self.reason: str | None = None  # why there are no graphs, once that is known

    @torch.inference_mode()
    def encode(self, photos: Tensor) -> Memory:
        """The memory of photos uint8 (B, 3, S, S), on the CPU.

        Raises:
            ConfigError: no graph can be built, and one is required.
        """
        graphs = self._graphs()
        return self.plain.encode(photos) if graphs is None else graphs.encoder(photos)

    @property
    def decoder(self) -> Stepwise[Any]:
        """What a search asks."""
        graphs = self._graphs()
        if graphs is None or graphs.decoder is None:
            return self.plain.decoder
        return graphs.decoder

    @property
    def at_once(self) -> int:
        """How many threads may compute a batch each: one, where torch has to."""
        graphs = self._graphs()
        return 1 if graphs is None or graphs.decoder is None else self.streams

    @functools.cached_property
    def shared(self) -> OpenVINO:
        """Graphs for several batches at once, each with its share of the threads.

        What many threads compute together waits for the slowest of them, a hundred times a batch,
        and nothing else is computed while Python chooses words.
        """
        streams = min(torch.get_num_threads(), _AT_ONCE)
        return OpenVINO(
            self.name, self.plain, required=self.required, searches=self.searches, streams=streams
        )

    def _graphs(self) -> _Graphs | None:
        # A forked child has the graphs' threads no more, and would wait for them for ever.
        if os.getpid() != self.process:
            return None
        with self.building:
            if self.built is None and self.reason is None:
                self._build()
            return self.built

    def _build(self) -> None:
        model, threads = self.plain.model, torch.get_num_threads()
        try:
            number_type = library.precision() if self.name == "openvino" else "f32"
            encoder = GraphEncoder(
                model.encoder, self.plain.preprocess, number_type, threads, self.streams
            )
        except Exception as error:  # a foreign library on an unknown machine; torch can do it all
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            if self.required:
                raise ConfigError(
                    f"runtime {self.name} cannot compute this model here ({reason}); use torch"
                ) from error
            self.reason = reason
            return
        decoder = None
        with contextlib.suppress(UnknownLayerError):
            if self.searches:
                decoder = GraphDecoder(model.decoder, number_type, threads, self.streams)
        self.built = _Graphs(encoder, decoder)


def choose(
    name: Any,
    model: CaptionModel,
    preprocess: Preprocess,
    device: torch.device,
    *,
    searches: bool = True,
) -> Torch | OpenVINO:
    """The runtime of that name for a model on a device.

    Args:
        name: one of `RUNTIMES`.
        model: in evaluation mode, with batch norm folded.
        preprocess: of its photos.
        device: where it lies.
        searches: whether sentences are searched for, or photos only encoded.

    Raises:
        ConfigError: there is no such runtime, or it cannot be used here.
    """
    if name not in RUNTIMES:
        raise ConfigError(f"runtime is {shown(name)}; expected {', '.join(RUNTIMES)}")
    plain = Torch(model, preprocess)
    usable = device.type == "cpu" and library.is_installed()
    if name == "auto":
        if not usable or PREFERRED == "torch":
            return plain
        return OpenVINO(PREFERRED, plain, required=False, searches=searches)
    if name == "torch":
        return plain
    if device.type != "cpu":
        raise ConfigError(f"runtime {name} computes on a CPU, not on {device}; use torch")
    if not usable:
        raise ConfigError(f"runtime {name} is not installed; pip install openvino, or use torch")
    return OpenVINO(name, plain, required=True, searches=searches)
