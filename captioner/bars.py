"""Progress bars, on a terminal and in a notebook."""

from __future__ import annotations

import os
import sys
from typing import Any


def is_seen() -> bool:
    """Whether somebody sees a bar: on a terminal that can go back in a line, or in a notebook."""
    return in_notebook() or (sys.stderr.isatty() and os.environ.get("TERM") != "dumb")


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this; IPython on a terminal is a terminal."""
    interactive = sys.modules.get("IPython")  # not imported by us
    shell = None if interactive is None else interactive.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


def bar(**settings: Any) -> Any:
    """A bar of tqdm, the notebook's own where one runs this and can show it."""
    if in_notebook():
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    return tqdm(**settings)
