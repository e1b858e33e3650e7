"""Ten training losses of each task, twice: with nothing drawn at random, and as one trains.

Each run is one command on a recipe that is written here. With every photo in one batch and every
dropout at 0, nothing is drawn, and the losses follow from the weights, the gradients and the
optimiser alone: they must stay. Where dropout, augmentation and samples are drawn, a rebuild may
draw in another order, and the losses tell no more than that they are of the same size.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import reach, surface

PHOTOS = 8
_SHARED = """
output = "run"
init = "start.safetensors"
seed = 1
[search]
beam_size = 1
"""
_CAPTIONS = """
[data]
min_count = 1000  # no new words, whose rows would be drawn
[[data.train]]
captions = "captions.json"
images = "images"
boxes = "boxes.json"
[[data.validation]]
captions = "few.json"
images = "images"
[training]
batch_size = {batch}
precision = "float32"
weight_average = 0.9
"""
_PAIRS = """
[[data.train]]
source = "one.txt"
target = "two.txt"
languages = ["{source}", "{to}"]
[[data.validation]]
source = "one.txt"
target = "two.txt"
languages = ["{source}", "{to}"]
[training]
batch_tokens = 8000
precision = "float32"
weight_average = 0.9
"""
_PHASES = {
    ("caption", "steady"): """
[[phases]]
name = "frozen"
epochs = 4
[[phases]]
name = "fine-tuned"
epochs = 3
fine_tune_from = 4
[[phases]]
name = "supervised"
epochs = 3
attention_supervision = 1.0
""",
    ("caption", "drawn"): """
[[phases]]
name = "augmented"
epochs = 5
fine_tune_from = 5
augment = { flip = true, crop = 0.7, jitter = 0.2 }
[[phases]]
name = "self-critical"
epochs = 5
self_critical = 0.5
samples = 3
""",
    ("translate", "steady"): """
[[phases]]
name = "plain"
epochs = 10
learning_rate = 5e-4
""",
    ("translate", "drawn"): """
[[phases]]
name = "dropout"
epochs = 5
learning_rate = 5e-4
[[phases]]
name = "self-critical"
epochs = 5
self_critical = 0.5
samples = 3
learning_rate = 5e-4
""",
}
_SPEED = """
[[phases]]
name = "frozen"
epochs = 1
[[phases]]
name = "fine-tuned"
epochs = 1
fine_tune_from = 4
"""
_MEMORY = "/dev/shm"  # a run saves a few hundred megabytes after each epoch, here after each step
_DROPOUTS = {"dropout", "word_dropout"}


def losses(
    photos: Sequence[Path], checkpoint: Path, translator: Path, ways: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """The rows of each run's log.

    Args:
        photos: two or more.
        checkpoint: that captions start from.
        translator: that translations start from.
        ways: the languages that it translates between.
    """
    (source, to), *_ = ways
    found = {}
    for (task, kind), phases in _PHASES.items():
        start = checkpoint if task == "caption" else translator
        data = (
            _CAPTIONS.format(batch=PHOTOS)
            if task == "caption"
            else _PAIRS.format(source=source, to=to)
        )
        found[f"{task}, {kind}"] = _run(
            f'task = "{task}"{_SHARED}{data}{phases}', photos[:PHOTOS], start, kind == "steady"
        )
    return found


def captions_a_second(photos: Sequence[Path], checkpoint: Path) -> dict[str, float]:
    """How many captions a second each phase learns from, by the log's seconds of an epoch."""
    recipe = f'task = "caption"{_SHARED}{_CAPTIONS.format(batch=16)}{_SPEED}'
    found = _run(recipe, photos, checkpoint, steady=False)
    if "error" in found:
        return {}
    captions = 2 * len(photos)
    return {
        f"training captions, {row['phase']}": captions / max(float(row["seconds"]), 0.05)
        for row in found["rows"]
    }


def _run(recipe: str, photos: Sequence[Path], start: Path, steady: bool) -> dict[str, Any]:
    memory = _MEMORY if Path(_MEMORY).is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        folder = Path(name)
        surface.world(photos, folder)
        _copy(start, folder / "start.safetensors", steady)
        (folder / "recipe.toml").write_text(recipe, encoding="utf-8")
        ran = reach.command(["train", "recipe.toml", "--device", "cpu"], folder)
        if ran.code:
            return {"error": ran.err.strip().splitlines()[-1]}
        return {"rows": surface.rows(folder / "run" / "log.csv")}


def _copy(checkpoint: Path, copy: Path, steady: bool) -> None:
    """Copies a checkpoint; a steady one has no dropout, and no checksum, which would be wrong."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(checkpoint, framework="pt") as file:
        metadata = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if steady:
        metadata["config"] = json.dumps(_without_dropout(json.loads(metadata["config"])))
        metadata.pop("sha256", None)
    save_file(tensors, copy, metadata)


def _without_dropout(settings: Any) -> Any:
    if not isinstance(settings, dict):
        return settings
    return {
        name: 0.0 if name in _DROPOUTS else _without_dropout(value)
        for name, value in settings.items()
    }
