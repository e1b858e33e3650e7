"""The resume state: everything that going on at the very step needs, in one safetensors file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from captioner import settings, storage
from captioner.errors import CheckpointError
from captioner.training.loop import Position, Progress, Trainer

_STATE = "captioner resume state"
_FREE = ("output", "licence", "training.workers", "training.save_steps")  # no weight knows of them


def save_state(trainer: Trainer, path: Path) -> None:
    """Writes everything that going on needs: weights, their average, moments, place, history."""
    trainer.look()
    tensors = {f"model.{k}": v for k, v in trainer.model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in trainer.average.state_dict().items()}
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    for parameter, state in trainer.optimizer.state.items():
        tensors |= {f"optimizer.{names[id(parameter)]}.{k}": v for k, v in state.items()}
    tensors |= {f"kept.{k}": v for k, v in trainer.kept.items()}
    # Tied tensors would be refused as shared memory; a copy costs less than a rule about them.
    copies = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }
    metadata = {
        "format": json.dumps(_STATE),
        "recipe": json.dumps(settings.to_dict(trainer.recipe)),
        "progress": json.dumps(dataclasses.asdict(trainer.progress)),
        "scaler": json.dumps(trainer.scaler.state_dict()),
        "data": json.dumps(trainer.data_digest),
    }
    storage.write_tensors(copies, metadata, path)


def load_state(trainer: Trainer, path: Path) -> None:
    """Puts a trainer where `save_state` found it.

    Raises:
        CheckpointError: the file is missing, damaged, or of another recipe or other data.
    """
    try:
        with safe_open(path, framework="pt") as file:
            texts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = {key: json.loads(value) for key, value in texts.items()}
        if metadata["format"] != _STATE:
            raise KeyError("format")
        values = metadata["progress"]
        progress = Progress(**{**values, "position": Position(**values["position"])})
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: no resume state, or a damaged one ({error}); start anew in another --output"
        ) from error
    storage.check_whole(path, tensors, texts)
    try:
        _put(trainer, metadata, progress, tensors, path)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"{path}: the resume state contradicts itself ({reason}); start anew in another "
            "--output"
        ) from error


def _put(
    trainer: Trainer,
    metadata: Mapping[str, Any],
    progress: Progress,
    tensors: dict[str, Tensor],
    path: Path,
) -> None:
    _check_same(metadata["recipe"], trainer.recipe, path)
    if metadata.get("data") != trainer.data_digest:
        raise CheckpointError(
            f"{path}: the training data are not those of the interrupted run; put "
            "them back, or start anew in another --output"
        )
    trainer.progress = progress
    trainer.enter(trainer.recipe.phases[trainer.progress.position.phase])
    trainer.model.load_state_dict(_under("model.", tensors))
    trainer.average.load_state_dict(_under("average.", tensors))
    kept = _under("kept.", tensors)
    trainer.kept = {name: value.to(trainer.device) for name, value in kept.items()}
    moments = _under("optimizer.", tensors)
    for name, parameter in trainer.model.named_parameters():
        own = _under(f"{name}.", moments)
        if own:
            trainer.optimizer.state[parameter] = {
                k: beside(parameter, v, count=k == "step") for k, v in own.items()
            }
    if metadata["scaler"]:
        trainer.scaler.load_state_dict(metadata["scaler"])


def beside(parameter: Tensor, values: Tensor, *, count: bool) -> Tensor:
    """What the optimiser keeps of a parameter, where it looks for it: on the parameter's device.

    The fused optimiser counts its steps there too. Moments come in the parameter's memory format:
    in another one, sums may round differently.
    """
    if count:
        return values.to(parameter.device)
    return torch.empty_like(parameter, dtype=values.dtype).copy_(values)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _check_same(saved: Mapping[str, Any], given: Any, path: Path) -> None:
    """A run goes on under its own recipe, to which phases may have been added at the end."""
    # Read and written again, since settings that did not exist then have their defaults now.
    old = settings.to_dict(settings.from_dict(type(given), saved))
    new = settings.to_dict(given)
    new["phases"] = new["phases"][: max(1, len(old["phases"]))]
    before, now = settings.flat(old), settings.flat(new)
    changed = [k for k in {**before, **now} if before.get(k) != now.get(k) and k not in _FREE]
    if changed:
        name = changed[0]
        raise CheckpointError(
            f"{path}: the interrupted run had {name} = {before.get(name)!r}, the recipe now has "
            f"{now.get(name)!r}; resume with the old recipe (phases may be added behind its own), "
            "or start anew in another --output"
        )
