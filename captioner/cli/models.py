"""What the commands compute with: a device, a captioner and a translator with their weights."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from captioner.errors import ConfigError

if TYPE_CHECKING:
    from captioner.prediction import Captioner
    from captioner.translation import Translator


def load_captioner(arguments: argparse.Namespace) -> Captioner:
    """The captioner of --checkpoint, or the one that came along, with --translator, on --device.

    Raises:
        ConfigError: the device cannot be used.
        CheckpointError: the checkpoint cannot be read.
    """
    device = pick_device(arguments.device)
    from captioner.prediction import Captioner

    translator = None
    if getattr(arguments, "translator", None):
        from captioner.translation import Translator

        translator = Translator.load(arguments.translator, device)
    return Captioner.load(arguments.checkpoint, device, translator)


def load_translator(arguments: argparse.Namespace) -> Translator:
    """The translator of --checkpoint, or the one that came along, on --device.

    Raises:
        ConfigError: the device cannot be used.
        CheckpointError: the checkpoint cannot be read.
    """
    device = pick_device(arguments.device)
    from captioner.translation import Translator

    return Translator.load(arguments.checkpoint, device)


def pick_device(name: str) -> str:
    """The device to compute on; `auto` is a GPU where there is one.

    Raises:
        ConfigError: the device cannot be used.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ConfigError(f"--device {name} cannot be used here ({reason}); try cpu") from None
    return name
