"""Captions photos and shows, for every word, where it looked.

    from captioner import Captioner

    captioner = Captioner.load()            # the weights that came along
    caption = captioner("photo.jpg")        # a path, a PIL image, an array, bytes, a file
    print(caption.text, caption.words[1], caption.maps[1])
    caption.sheet().save("sheet.png")       # every word over the place that it looked at

Names are loaded on first use: importing this package imports neither torch nor anything else that
is slow.

OpenMP's threads are told to sleep while they wait for one another, unless the environment says
something about that already, or torch was imported first.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from captioner.captions.caption import Caption
    from captioner.captions.captioner import Captioner
    from captioner.captions.evaluation import evaluate
    from captioner.captions.recipe import Recipe, Source
    from captioner.checkpoint import Checkpoint
    from captioner.checkpoint import describe as describe_checkpoint
    from captioner.checkpoint import load as load_checkpoint
    from captioner.checkpoint import save as save_checkpoint
    from captioner.errors import (
        CaptionerError,
        CheckpointError,
        ConfigError,
        DataError,
        ImageError,
        MetricError,
    )
    from captioner.nn.architecture import ModelConfig
    from captioner.options import SearchOptions
    from captioner.training import train
    from captioner.translations.evaluation import evaluate_translations
    from captioner.translations.translation import Translation
    from captioner.translations.translator import Translator
    from captioner.words import Word

    __version__: str

__all__ = [
    "Caption",
    "Captioner",
    "CaptionerError",
    "Checkpoint",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "ImageError",
    "MetricError",
    "ModelConfig",
    "Recipe",
    "SearchOptions",
    "Source",
    "Translation",
    "Translator",
    "Word",
    "__version__",
    "describe_checkpoint",
    "evaluate",
    "evaluate_translations",
    "load_checkpoint",
    "save_checkpoint",
    "train",
]

_HOMES = {
    "checkpoint": ("Checkpoint", "describe_checkpoint", "load_checkpoint", "save_checkpoint"),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "captions.evaluation": ("evaluate",),
    "translations.evaluation": ("evaluate_translations",),
    "nn.architecture": ("ModelConfig",),
    "options": ("SearchOptions",),
    "captions.caption": ("Caption",),
    "captions.captioner": ("Captioner",),
    "captions.recipe": ("Recipe", "Source"),
    "training": ("train",),
    "translations.translation": ("Translation",),
    "translations.translator": ("Translator",),
    "words": ("Word",),
}
_PROJECT = Path(__file__).parent.parent / "pyproject.toml"

# In a checkout, the folders of the sub-packages `ui` and `checkpoints` lie beside this one. A plain
# installation puts them inside, but Python started in the checkout imports this copy.
if _PROJECT.is_file():
    __path__.append(str(_PROJECT.parent))

# A caption is thousands of tiny operations, each with a barrier where torch's threads spin until
# all are there. Where another program has a core, they spin for one that does not run: up to fifty
# times as long. Asleep, they cost a few milliseconds on an idle machine (benchmarks/threads.py).
# OpenMP reads this once, when torch is first imported.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _version()
    else:
        home = next((module for module, names in _HOMES.items() if name in names), None)
        if home is None:
            raise AttributeError(f"module 'captioner' has no attribute {name!r}")
        module = importlib.import_module(f"captioner.{home}")
        value = getattr(module, name.removesuffix("_checkpoint"))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    """That of the code beside this file: in a checkout, another version may be installed too."""
    import tomllib
    from importlib import metadata

    if _PROJECT.is_file():
        return str(tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]["version"])
    try:
        return metadata.version("captioner")
    except metadata.PackageNotFoundError:  # the folder was copied somewhere by hand
        return "unknown"
