"""What the commands compute with: a device, a captioner and a translator with their weights."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from captioner.cli.display import detail

if TYPE_CHECKING:
    from captioner.captions.captioner import Captioner
    from captioner.translations.translator import Translator


def load_captioner(arguments: argparse.Namespace) -> Captioner:
    """The captioner of --checkpoint, or the one that came along, with --translator, on --device.

    Raises:
        ConfigError: the device, the runtime or the size of maps cannot be used.
        CheckpointError: the checkpoint cannot be read.
    """
    device = _chosen(arguments)
    from captioner.captions.captioner import Captioner

    translator = None
    if getattr(arguments, "translator", None):
        from captioner.translations.translator import Translator

        translator = Translator.load(arguments.translator, device)
    runtime = getattr(arguments, "runtime", "torch")
    size = getattr(arguments, "map_size", None)
    return Captioner.load(arguments.checkpoint, device, translator, runtime, size)


def load_translator(arguments: argparse.Namespace) -> Translator:
    """The translator of --checkpoint, or the one that came along, on --device.

    Raises:
        ConfigError: the device cannot be used.
        CheckpointError: the checkpoint cannot be read.
    """
    device = _chosen(arguments)
    from captioner.translations.translator import Translator

    return Translator.load(arguments.checkpoint, device)


def _chosen(arguments: argparse.Namespace) -> str:
    """The device of --device; with --verbose, it is said with the weights that come to it."""
    device = pick_device(arguments.device)
    named = (arguments.checkpoint, getattr(arguments, "translator", None))
    names = [Path(path).name for path in named if path]
    detail(f"{' and '.join(names) or 'the weights that came along'} on {device}")
    return device


def pick_device(name: str) -> str:
    """The device to compute on, as `devices.pick` finds it.

    Raises:
        ConfigError: the device cannot be used.
    """
    from captioner import devices

    return str(devices.pick(name))
