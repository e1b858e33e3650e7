"""Processes that tests start."""

from __future__ import annotations

import signal


def hear_signals() -> None:
    """For `preexec_fn`: a process that nohup started ignores some, and so would its children."""
    for name in ("SIGINT", "SIGHUP", "SIGTERM"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
