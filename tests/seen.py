"""A world in which the photo alone tells the colour, and a translator that has learned it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from captioner.multimodal.recipe import MultimodalRecipe
from captioner.settings import from_dict
from captioner.training import train

TIMES = 10  # that each pair stands among the training pairs
NOUNS = {"ball": "Ball", "dog": "Hund", "cup": "Krug"}
COLOURS = {"red": ("roter", (230, 20, 20)), "blue": ("blauer", (20, 20, 230))}
PAIRS = [  # source, target, photo: line n of the files
    (f"A {noun}.", f"Ein {word} {other}.", f"{colour}.png")
    for noun, other in NOUNS.items()
    for colour, (word, _) in COLOURS.items()
]


def write(folder: Path) -> Path:
    """Photos and aligned files."""
    for colour, (_, pixel) in COLOURS.items():
        Image.new("RGB", (40, 30), pixel).save(folder / f"{colour}.png")
    for place, ending in enumerate(("en", "de", "images.txt")):
        lines = "".join(f"{pair[place]}\n" for pair in PAIRS)
        (folder / f"val.{ending}").write_text(lines, encoding="utf-8")
        (folder / f"train.{ending}").write_text(lines * TIMES, encoding="utf-8")
    return folder


def recipe(world: Path, output: Path, **changes: Any) -> MultimodalRecipe:
    """Six pairs, each ten times: two steps an epoch."""
    source, judged = (
        {
            "source": str(world / f"{split}.en"),
            "target": str(world / f"{split}.de"),
            "photos": str(world / f"{split}.images.txt"),
            "images": str(world),
            "languages": ["en", "de"],
        }
        for split in ("train", "val")
    )
    values: dict[str, Any] = {
        "output": str(output),
        "seed": 5,
        "data": {"train": [source], "validation": [judged], "subwords": 330},
        "model": {
            "photo": {
                "name": "resnet18",
                "stages": 4,
                "stride": 16,
                "image_size": 32,
                "feature_size": 32,
                "weights": "random",
            },
            "encoder": {"hidden_size": 16, "dropout": 0.0},
            "attention": {
                "score": "additive",
                "query": "before",
                "input_feeding": False,
                "size": 16,
            },
            "decoder": {"hidden_size": 64, "embedding_size": 64, "dropout": 0.0},
        },
        "training": {
            "batch_tokens": 400,
            "save_steps": 0,
            "weight_average": 0.0,
            "label_smoothing": 0.0,
            "validate_every": 80,
        },
        "search": {"beam_size": 2, "max_length": 20, "alternatives": 2},
        "phases": [{"epochs": 80, "learning_rate": 5e-3}],
    }
    for name, value in changes.items():
        old = values.get(name)
        values[name] = {**old, **value} if isinstance(old, dict) else value
    return from_dict(MultimodalRecipe, values)


@pytest.fixture(scope="session")
def seen_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("seen"))


@pytest.fixture(scope="session")
def seen_weights(seen_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a translator that has learned the world by heart."""
    return train(recipe(seen_world, tmp_path_factory.mktemp("run") / "seen"))
