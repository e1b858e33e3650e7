"""Where to compute: the one place that turns a device's name into a device that works."""

from __future__ import annotations

import os

import torch

from captioner.errors import ConfigError, shown

_KNOWN = "expected auto, cpu, cuda, cuda:1, … or mps"


def pick(name: str | torch.device) -> torch.device:
    """The device of that name, tried out.

    Args:
        name: as torch names it; `auto` is a CUDA GPU where there is one, else Apple's (`mps`), else
            the CPU.

    Raises:
        ConfigError: there is no such device here, or nothing can be computed on it.
    """
    if not isinstance(name, (str, torch.device)):
        raise ConfigError(f"device is {shown(name)}; {_KNOWN}")
    _survive_forks()
    if name == "auto":
        return torch.device(_best())
    try:
        device = torch.device(name)
    except (RuntimeError, ValueError):
        raise ConfigError(f"device is {shown(name)}; {_KNOWN}") from None
    if device.type == "meta":
        raise ConfigError(f"device meta holds no numbers and computes nothing; {_KNOWN}")
    try:
        torch.ones(1, device=device).sum().item()  # the driver may be there, and the kernels not
    except Exception as error:  # every kind of device has errors of its own
        reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
        raise ConfigError(f"device {name} cannot be used here ({reason}); try cpu") from None
    return device


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _survive_forks() -> None:
    """Lets forked children compute; only once, and only where something is computed at all.

    A child has one thread and yet OpenMP's memory of several: the first operation that they would
    share waits for them for ever. With one thread there is nothing to wait for.
    """
    global _prepared
    if not _prepared and hasattr(os, "register_at_fork"):  # Windows does not fork
        os.register_at_fork(after_in_child=_compute_alone)
    _prepared = True


_prepared = False


def _compute_alone() -> None:
    torch.set_num_threads(1)


def check_process(device: torch.device, process: int) -> None:
    """Refuses a GPU that another process opened: a forked child cannot use it.

    Args:
        device: where the model lies.
        process: id of the one that put it there.

    Raises:
        ConfigError: this is another process, and the device is no CPU.
    """
    if device.type != "cpu" and process != os.getpid():
        raise ConfigError(
            f"this process was forked after the model was loaded on {device}, which cannot be "
            'shared; start it with multiprocessing.get_context("spawn"), or load the model in it'
        )
