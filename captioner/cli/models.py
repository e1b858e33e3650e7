"""What the commands compute with: a device, a captioner and a translator with their weights."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from captioner.captions.captioner import Captioner
    from captioner.translations.translator import Translator


def load_captioner(arguments: argparse.Namespace) -> Captioner:
    """The captioner of --checkpoint, or the one that came along, with --translator, on --device.

    Raises:
        ConfigError: the device cannot be used.
        CheckpointError: the checkpoint cannot be read.
    """
    device = pick_device(arguments.device)
    from captioner.captions.captioner import Captioner

    translator = None
    if getattr(arguments, "translator", None):
        from captioner.translations.translator import Translator

        translator = Translator.load(arguments.translator, device)
    return Captioner.load(arguments.checkpoint, device, translator)


def load_translator(arguments: argparse.Namespace) -> Translator:
    """The translator of --checkpoint, or the one that came along, on --device.

    Raises:
        ConfigError: the device cannot be used.
        CheckpointError: the checkpoint cannot be read.
    """
    device = pick_device(arguments.device)
    from captioner.translations.translator import Translator

    return Translator.load(arguments.checkpoint, device)


def pick_device(name: str) -> str:
    """The device to compute on, as `devices.pick` finds it.

    Raises:
        ConfigError: the device cannot be used.
    """
    from captioner import devices

    return str(devices.pick(name))
