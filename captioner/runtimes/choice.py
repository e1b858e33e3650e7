"""Which runtime computes a captioner's photos, chosen by name and by what there is."""

from __future__ import annotations

import os
import threading
from typing import Any, Protocol

import torch
from torch import Tensor

from captioner.errors import ConfigError, shown
from captioner.nn.encoders import normalise
from captioner.nn.memory import Memory
from captioner.nn.model import CaptionModel
from captioner.options import RUNTIMES
from captioner.pictures.preprocess import Preprocess
from captioner.runtimes import library
from captioner.runtimes.encoder import GraphEncoder

PREFERRED = "openvino"  # what `auto` takes where it can


class Runtime(Protocol):
    """What computes a captioner's photos. Threads may share it."""

    name: str

    def encode(self, photos: Tensor) -> Memory:
        """The memory of photos uint8 (B, 3, S, S), on the model's device."""


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


class OpenVINO:
    """The model's encoder as a graph, built when the first photo comes."""

    def __init__(self, name: str, plain: Torch, *, required: bool) -> None:
        """Takes what is to be built.

        Args:
            name: `openvino`, in bfloat16 where the CPU has it, or `openvino-f32`.
            plain: the model, and what computes where no graph can.
            required: whether it is an error if there can be no graph.
        """
        self.name, self.plain, self.required = name, plain, required
        self.building = threading.Lock()
        self.process = os.getpid()
        self.encoder: GraphEncoder | None = None
        self.reason: str | None = None  # why there is no graph, once that is known

    @torch.inference_mode()
    def encode(self, photos: Tensor) -> Memory:
        """The memory of photos uint8 (B, 3, S, S), on the CPU.

        Raises:
            ConfigError: no graph can be built, and one is required.
        """
        # A forked child has the graph's threads no more, and would wait for them for ever.
        if self.reason is None and os.getpid() == self.process:
            with self.building:
                self._build()
        if self.encoder is None or os.getpid() != self.process:
            return self.plain.encode(photos)
        return self.encoder(photos)

    def _build(self) -> None:
        if self.encoder is not None or self.reason is not None:
            return
        try:
            number_type = library.precision() if self.name == "openvino" else "f32"
            threads = torch.get_num_threads()
            model, preprocess = self.plain.model, self.plain.preprocess
            self.encoder = GraphEncoder(model.encoder, preprocess, number_type, threads)
        except Exception as error:  # a foreign library on an unknown machine; torch can do it all
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            if self.required:
                raise ConfigError(
                    f"runtime {self.name} cannot compute this model here ({reason}); use torch"
                ) from error
            self.reason = reason


def choose(
    name: Any, model: CaptionModel, preprocess: Preprocess, device: torch.device
) -> Torch | OpenVINO:
    """The runtime of that name for a model on a device.

    Args:
        name: one of `RUNTIMES`.
        model: in evaluation mode, with batch norm folded.
        preprocess: of its photos.
        device: where it lies.

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
        return OpenVINO(PREFERRED, plain, required=False)
    if name == "torch":
        return plain
    if device.type != "cpu":
        raise ConfigError(f"runtime {name} computes on a CPU, not on {device}; use torch")
    if not usable:
        raise ConfigError(f"runtime {name} is not installed; pip install openvino, or use torch")
    return OpenVINO(name, plain, required=True)
