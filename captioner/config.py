"""The old name of what is now `options`, `nn.architecture`, `settings` and the tasks' recipes."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

_HOMES = (
    *("settings", "options", "nn.architecture"),
    *("recipes.photos", "captions.recipe", "translations.recipe"),
)


def __getattr__(name: str) -> Any:
    for home in _HOMES if not name.startswith("_") else ():
        module = importlib.import_module(f"captioner.{home}")
        if name in vars(module):
            about = f"captioner.config is no more; import {name} from captioner.{home}"
            warnings.warn(about, DeprecationWarning, stacklevel=2)
            return getattr(module, name)
    raise AttributeError(f"module 'captioner.config' has no attribute {name!r}")
