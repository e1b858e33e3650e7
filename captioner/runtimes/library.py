"""OpenVINO, where it is installed: imported late, and without a word to anybody."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from typing import Any

_TELEMETRY = "openvino_telemetry"


def is_installed() -> bool:
    """Whether the library can be found; it is not imported."""
    try:
        return importlib.util.find_spec("openvino") is not None
    except (ImportError, ValueError):  # a damaged installation, or a stand-in in sys.modules
        return False


@functools.cache
def openvino() -> Any:
    """The library.

    Importing it would tell a server on the internet that it was imported. It falls silent where its
    package for that is missing, so that package is hidden while it is imported.

    Raises:
        ImportError: it is not installed, or does not start.
    """
    hides = "openvino" not in sys.modules and _TELEMETRY not in sys.modules
    if hides:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        return importlib.import_module("openvino")
    finally:
        if hides:
            del sys.modules[_TELEMETRY]


@functools.cache
def operations() -> Any:
    """The functions that make a graph's nodes, of a set that stays as it is."""
    openvino()
    return importlib.import_module("openvino.opset13")


@functools.cache
def core() -> Any:
    """What compiles graphs for the CPU."""
    return openvino().Core()


@functools.cache
def precision() -> str:
    """What the CPU computes fastest: `bf16` where it multiplies bfloat16 itself, else `f32`."""
    able = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in able else "f32"


def compiled(
    results: list[Any], parameters: list[Any], number_type: str, threads: int, at_once: int = 1
) -> Any:
    """A graph, ready to be asked.

    Args:
        results: its last nodes.
        parameters: its first ones.
        number_type: that products are computed in, `bf16` or `f32`; sums are single precision.
        threads: that it may use.
        at_once: questions that share these threads.
    """
    model = openvino().Model(results, parameters)
    settings = {
        "INFERENCE_PRECISION_HINT": number_type,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": at_once,
        # A thread that is tied to a core waits there while another program has it.
        "ENABLE_CPU_PINNING": False,
    }
    return core().compile_model(model, "CPU", settings)
