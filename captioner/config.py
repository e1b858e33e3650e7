"""The old name of `captioner.settings`."""

from captioner.settings import *  # noqa: F403
