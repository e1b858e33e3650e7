"""Photographs that came along with installed packages, for a first try without a photo at hand.

They are used where they lie; nothing is copied or fetched. The packages themselves are not
imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class Example:
    """One photograph, the package it comes with, and its terms."""

    name: str  # what is on it
    module: str  # the package that holds it, as it is imported
    distribution: str  # the same package, as it is installed
    file: str  # inside the package
    credit: str  # who took it, or who gives it away
    licence: str
    wrong: str = ""  # what the weights that come along get wrong, so that nobody has to find out

    @property
    def path(self) -> Path | None:
        """Where the photograph lies; None where its package, or this version of it, lacks it."""
        try:
            spec = find_spec(self.module)
        except ValueError:  # a module put together by hand has no spec
            spec = None
        folders = spec.submodule_search_locations if spec is not None else None
        paths = (Path(folder) / self.file for folder in folders or ())
        return next((path for path in paths if path.is_file()), None)


def _gradio(name: str, file: str) -> Example:
    credit = "comes with Gradio, photographer not named"
    return Example(name, "gradio", "gradio", f"media_assets/images/{file}", credit, "Apache-2.0")


def _scikit_image(name: str, file: str, credit: str, licence: str, wrong: str = "") -> Example:
    return Example(name, "skimage", "scikit-image", f"data/{file}", credit, licence, wrong)


EXAMPLES = (
    _gradio("lion", "lion.jpg"),
    _gradio("cheetah", "cheetah1.jpg"),
    _gradio("tower", "tower.jpg"),
    _scikit_image("cat", "chelsea.png", "Stéfan van der Walt", "CC0-1.0", "the cat's eyes"),
    _scikit_image("coffee", "coffee.png", "Rachel Michetti", "CC0-1.0", "a cake for a cup"),
    _scikit_image(
        "astronaut", "astronaut.png", "NASA", "public domain", "who she is, and what is behind her"
    ),
)


def found() -> Iterator[tuple[Example, Path]]:
    """The examples that are there, each with its path."""
    for example in EXAMPLES:
        path = example.path
        if path is not None:
            yield example, path
