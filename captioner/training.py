"""Training: the loop, and around it what watches, saves and stops it.

A run's folder holds `best.safetensors` (the averaged weights with the highest validation CIDEr),
`last.safetensors`, `resume.safetensors` (everything needed to go on at the very step), `log.csv`
and TensorBoard's event files.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import datetime
import hashlib
import json
import logging
import math
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any, cast

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from captioner import checkpoint as checkpoints
from captioner import config, datasets, losses
from captioner.batches import Batch, BatchReader, cache_grids
from captioner.checkpoint import Checkpoint
from captioner.config import DataConfig, PhaseConfig, Recipe, SearchOptions
from captioner.datasets import Photo
from captioner.errors import CheckpointError, ConfigError, DataError
from captioner.evaluation import evaluate
from captioner.images import Preprocess
from captioner.metrics import Score
from captioner.nn.encoders import load_pretrained, normalise
from captioner.nn.model import CaptionModel, build_model
from captioner.prediction import Captioner
from captioner.text import Vocabulary

_LOG = logging.getLogger(__name__)
_STATE = "captioner resume state"
_FREE = ("output", "licence", "training.workers", "training.save_steps")  # no weight knows of them


class Interrupted(Exception):  # noqa: N818  (a wish, not an error)
    """Ctrl-C: everything is saved, and the message says how to go on."""


@dataclass
class Position:
    """Where a run stands: the next thing to do."""

    phase: int = 0
    epoch: int = 0  # of the phase
    step: int = 0  # of the epoch; at its end, the epoch is still to be validated
    total_steps: int = 0  # of all phases, for the logs


@dataclass
class Progress:
    """What a run has found so far."""

    position: Position = field(default_factory=Position)
    history: list[dict[str, Any]] = field(default_factory=list)  # one entry an epoch
    best_cider: float = -math.inf
    stale_epochs: int = 0  # since the best, in this phase
    loss_sum: float = 0.0  # over the steps of this epoch
    seconds: float = 0.0  # spent in this epoch, interruptions not counted


class Callback:
    """What happens around the loop; every method may be left out."""

    def on_phase(self, trainer: Trainer, phase: PhaseConfig) -> None:
        """Before the first step of a phase, also after a resume."""

    def on_step(self, trainer: Trainer, losses: dict[str, Tensor]) -> None:
        """After every step."""

    def on_epoch(self, trainer: Trainer, entry: dict[str, Any]) -> None:
        """After the last step of an epoch; `entry` is its line of the log, to be added to."""

    def after_epoch(self, trainer: Trainer) -> None:
        """When the epoch is logged and the position stands at the next one."""

    def close(self, trainer: Trainer) -> None:
        """When the run ends, is interrupted or fails."""


class Trainer:
    """Steps through batches. What makes it a captioner's is `loss`; the rest hangs on callbacks."""

    def __init__(
        self,
        recipe: Recipe,
        checkpoint: Checkpoint,
        reader: BatchReader,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.recipe = recipe
        self.checkpoint = checkpoint
        self.model: CaptionModel = checkpoint.model
        self.reader = reader
        self.callbacks = callbacks
        self.device = next(self.model.parameters()).device
        self.precision = _precision(recipe.training.precision, self.device)
        self.progress = Progress()
        self.grids: NDArray[np.float16] | None = None
        self.average = AveragedModel(
            self.model, multi_avg_fn=self._average_weights, use_buffers=True
        )
        self.enter(recipe.phases[0])

    def enter(self, phase: PhaseConfig) -> None:
        """Readies the model and a new optimiser for a phase."""
        self.phase = phase
        self.model.train()
        self.model.encoder.fine_tune(phase.fine_tune_from, phase.batch_norm == "frozen")
        groups = _parameter_groups(self.model, phase, self.recipe.training.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-8)
        half = self.precision == torch.float16
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)

    def fit(self) -> None:
        """Runs what is left of all phases."""
        position = self.progress.position
        for number in range(position.phase, len(self.recipe.phases)):
            phase = self.recipe.phases[number]
            if position.phase != number:
                position.phase, position.epoch, self.progress.stale_epochs = number, 0, 0
                self.enter(phase)
            if self._is_over():  # where a resumed run stands behind its phase's last epoch
                continue
            self._each("on_phase", phase)
            while not self._is_over():
                self._epoch(phase)

    def _epoch(self, phase: PhaseConfig) -> None:
        position, progress = self.progress.position, self.progress
        began = time.perf_counter() - progress.seconds
        epoch_number = sum(p.epochs for p in self.recipe.phases[: position.phase]) + position.epoch
        for batch in self.reader.read(epoch_number, position.step, phase.augment, self.grids):
            found = self.step(batch.to(self.device))
            progress.loss_sum += float(found["loss"])
            progress.seconds = time.perf_counter() - began
            position.step += 1
            position.total_steps += 1
            self._each("on_step", found)
        entry = {
            "phase": phase.name or f"phase {position.phase + 1}",
            "epoch": position.epoch + 1,
            "step": position.total_steps,
            "loss": progress.loss_sum / max(position.step, 1),
        }
        self._each("on_epoch", entry)
        progress.history.append(entry)
        position.epoch, position.step = position.epoch + 1, 0
        progress.loss_sum = progress.seconds = 0.0
        self._each("after_epoch")

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One gradient step on a batch.

        Raises:
            ConfigError: the loss or its gradient is not finite.
        """
        position = self.progress.position
        # Dropout depends on the place in the run, not on what was drawn before: resuming is exact.
        key = (self.recipe.seed, position.phase, position.epoch, position.step)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
        rate = _rate(self.phase, position, len(self.reader))
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        with torch.autocast(
            self.device.type, self.precision, enabled=self.precision != torch.float32
        ):
            found = self.loss(batch)
        self.scaler.scale(found["loss"]).backward()
        self.scaler.unscale_(self.optimizer)
        limit = self.recipe.training.gradient_clip or math.inf
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        self._check_finite(float(found["loss"].detach()), float(norm))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update_parameters(self.model)
        return {**{k: v.detach() for k, v in found.items()}, "gradient_norm": norm.detach()}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy, and the doubly stochastic penalty where it is asked for."""
        settings, encoder = self.recipe.training, self.model.encoder
        if batch.photos.dtype == torch.uint8:
            preprocess = self.checkpoint.preprocess
            memory = encoder(normalise(batch.photos, preprocess.mean, preprocess.std))
        else:
            memory = encoder.read(batch.photos)
        unrolled = self.model.decoder(batch.inputs, batch.lengths, memory, batch.owners)
        found = {
            "cross_entropy": losses.cross_entropy(
                unrolled.logits, batch.targets, settings.label_smoothing
            )
        }
        if settings.doubly_stochastic:
            found["doubly_stochastic"] = losses.doubly_stochastic(unrolled.weights)
        total = found["cross_entropy"]
        if settings.doubly_stochastic:
            total = total + settings.doubly_stochastic * found["doubly_stochastic"]
        return {"loss": total, **found}

    @cached_property
    def data_digest(self) -> str:
        """What the batches depend on besides the recipe: the photos, their captions, the words."""
        names = [photo.photo_id for photo in self.reader.photos]
        content = [self.checkpoint.vocabulary.words, names, self.reader.sentences]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def averaged(self, **provenance: Any) -> Checkpoint:
        """The checkpoint with the moving average of the weights."""
        average = cast(CaptionModel, self.average.module)
        model = average if self.recipe.training.weight_average else self.model
        merged = {**self.checkpoint.provenance, **provenance}
        return dataclasses.replace(self.checkpoint, model=model, provenance=merged)

    def _average_weights(
        self,
        averages: tuple[Tensor, ...] | list[Tensor],
        values: tuple[Tensor, ...] | list[Tensor],
        count: Tensor | int,
    ) -> None:
        # A short memory at first, or the random start would weigh on the average for epochs.
        decay = min(self.recipe.training.weight_average, (1 + int(count)) / (10 + int(count)))
        if averages[0].is_floating_point():  # each call brings tensors of one type
            torch._foreach_lerp_(list(averages), list(values), 1 - decay)

    def _is_over(self) -> bool:
        patience = self.recipe.training.patience
        stale = bool(patience) and self.progress.stale_epochs >= patience
        return stale or self.progress.position.epoch >= self.phase.epochs

    def _check_finite(self, loss: float, norm: float) -> None:
        # Loss scaling finds its scale by gradients that overflow; such steps are not taken.
        if math.isfinite(loss) and (self.scaler.is_enabled() or math.isfinite(norm)):
            return
        position = self.progress.position
        raise ConfigError(
            f"phase {position.phase + 1}, epoch {position.epoch + 1}, step {position.step + 1}: "
            f"the loss is {loss:g} and its gradient's norm {norm:g}, so training cannot go on; "
            f"lower the phase's learning rates and start anew (what was saved before stays in "
            f"{self.recipe.output})"
        )

    def _each(self, event: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self, *arguments)


def _precision(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def _parameter_groups(
    model: CaptionModel, phase: PhaseConfig, weight_decay: float
) -> list[dict[str, Any]]:
    """The CNN and the rest, matrices and the rest of these: four groups with their peak rates."""
    cnn = {id(parameter) for parameter in model.encoder.features.parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups.setdefault((id(parameter) in cnn, parameter.dim() > 1), []).append(parameter)
    rates = {True: phase.encoder_learning_rate, False: phase.learning_rate}
    return [
        {
            "params": parameters,
            "peak": rates[in_cnn],
            "lr": rates[in_cnn],
            "weight_decay": weight_decay if matrix else 0.0,
        }
        for (in_cnn, matrix), parameters in sorted(groups.items(), key=lambda entry: entry[0])
    ]


def _rate(phase: PhaseConfig, position: Position, steps: int) -> float:
    """Share of the peak rate: a linear warm-up, then a cosine (Loshchilov & Hutter 2017)."""
    total = phase.epochs * steps
    warm = max(1, round(phase.warmup * total))
    done = position.epoch * steps + position.step
    if done < warm:
        return (done + 1) / warm
    if phase.schedule == "constant":
        return 1.0
    through = (done - warm) / max(1, total - warm)
    return phase.final_rate + (1 - phase.final_rate) * (1 + math.cos(math.pi * through)) / 2


class FeatureCache(Callback):
    """Computes a frozen CNN's grids once, before a phase that asks for it."""

    def __init__(self, folder: Path, show: bool, interrupt: Interrupt) -> None:
        self.folder, self.show, self.interrupt = folder, show, interrupt

    def on_phase(self, trainer: Trainer, phase: PhaseConfig) -> None:
        """Fills `trainer.grids`, or empties it."""
        trainer.grids = None
        if not phase.cache_features:
            return
        photos = trainer.reader.photos
        with _bar(self.show, len(photos), "features", "photo") as bar:

            def advance(count: int) -> None:
                bar.update(count)
                self.interrupt.check()

            trainer.grids = cache_grids(
                trainer.model.encoder,
                trainer.checkpoint.preprocess,
                photos,
                self.folder,
                device=trainer.device,
                progress=advance,
            )


class Validation(Callback):
    """Captions the validation photos after every epoch and keeps the best weights."""

    def __init__(
        self, photos: Sequence[Photo], folder: Path, show: bool, interrupt: Interrupt
    ) -> None:
        self.photos, self.folder, self.show, self.interrupt = photos, folder, show, interrupt
        self.named: set[str] = set()  # photos that cannot be read

    def on_epoch(self, trainer: Trainer, entry: dict[str, Any]) -> None:
        """Adds the scores to `entry`; writes `best.safetensors` and `last.safetensors`."""
        captioner = Captioner(trainer.averaged(), trainer.device)
        with _bar(self.show, len(self.photos), "validation", "photo") as bar:

            def advance() -> None:
                bar.update(1)
                self.interrupt.check()

            report = evaluate(
                captioner,
                self.photos,
                bootstrap=0,
                progress=advance,
                **dataclasses.asdict(trainer.recipe.search),
            )
        for reason in report.left_out:
            if reason not in self.named:
                _LOG.warning("left out: %s", reason)
                self.named.add(reason)
        entry["cider"] = report.scores["cider"].value
        entry["bleu_4"] = report.scores["bleu_4"].value
        trained = _provenance(trainer, report.scores)
        progress = trainer.progress
        better = entry["cider"] > progress.best_cider
        progress.stale_epochs = 0 if better else progress.stale_epochs + 1
        for name in ["last", *(["best"] if better else [])]:
            checkpoints.save(trainer.averaged(**trained), self.folder / f"{name}.safetensors")
        progress.best_cider = max(progress.best_cider, entry["cider"])


def _provenance(trainer: Trainer, scores: dict[str, Score]) -> dict[str, Any]:
    position, recipe = trainer.progress.position, trainer.recipe
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "recipe": _portable(config.to_dict(recipe)),
        "licence": recipe.licence,
        "photos": len(trainer.reader.photos),
        "captions": sum(len(sentences) for sentences in trainer.reader.sentences),
        "phase": trainer.phase.name,
        "epoch": position.epoch + 1,
        "scores": {"validation": {name: score.to_dict() for name, score in scores.items()}},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
        },
    }


def _portable(settings: Any) -> Any:
    """Settings whose absolute paths, which say something of one machine, are cut to their names."""
    if isinstance(settings, dict):
        return {name: _portable(value) for name, value in settings.items()}
    if isinstance(settings, list):
        return [_portable(value) for value in settings]
    if isinstance(settings, str) and Path(settings).is_absolute():
        return Path(settings).name
    return settings


class Log(Callback):
    """`log.csv`, TensorBoard's event files, a progress bar, and a line an epoch."""

    def __init__(self, folder: Path, show: bool) -> None:
        self.folder, self.show = folder, show
        self.writer: Any = None
        self.bar: Any = None

    def on_phase(self, trainer: Trainer, phase: PhaseConfig) -> None:
        """Opens the writer and a bar with the time left in the phase."""
        position, steps = trainer.progress.position, len(trainer.reader)
        if self.writer is None:
            from torch.utils.tensorboard.writer import SummaryWriter  # slow to import

            # What an interrupted run logged after its last save is about to be logged again.
            self.writer = SummaryWriter(str(self.folder), purge_step=position.total_steps + 1)
        if self.bar is not None:
            self.bar.close()
        done = position.epoch * steps + position.step
        self.bar = _bar(self.show, phase.epochs * steps, phase.name or "training", "step", done)

    def on_step(self, trainer: Trainer, losses: dict[str, Tensor]) -> None:
        """Writes the step's losses and learning rates."""
        number = trainer.progress.position.total_steps
        for name, value in losses.items():
            self.writer.add_scalar(f"train/{name}", float(value), number)
        rate = trainer.optimizer.param_groups[0]["lr"]
        self.writer.add_scalar("train/learning_rate", rate, number)
        self.bar.set_postfix(loss=f"{float(losses['loss']):.3f}", refresh=False)
        self.bar.update(1)

    def on_epoch(self, trainer: Trainer, entry: dict[str, Any]) -> None:
        """Writes the epoch's line everywhere."""
        entry["seconds"] = round(trainer.progress.seconds, 1)
        for name in ("loss", "cider", "bleu_4"):
            self.writer.add_scalar(f"epoch/{name}", entry[name], entry["step"])
        self.writer.flush()
        _write_csv(self.folder / "log.csv", [*trainer.progress.history, entry])
        epochs = trainer.phase.epochs
        self.bar.write(
            f"{entry['phase']} · epoch {entry['epoch']}/{epochs} · loss {entry['loss']:.3f} · "
            f"validation CIDEr {entry['cider']:.4f}, BLEU-4 {entry['bleu_4']:.4f} · "
            f"{entry['seconds']:.0f} s",
            file=sys.stdout,
        )
        sys.stdout.flush()

    def close(self, trainer: Trainer) -> None:
        """Closes the bar and the event file."""
        if self.bar is not None:
            self.bar.close()
        if self.writer is not None:
            self.writer.close()


def _bar(show: bool, total: int, name: str, unit: str, done: int = 0) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, initial=done, desc=name, unit=unit, disable=not show, leave=False)


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    partial = path.with_suffix(".csv.partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)


class Save(Callback):
    """Writes the resume state every so many steps and after every epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_step(self, trainer: Trainer, losses: dict[str, Tensor]) -> None:
        """Saves where the recipe says so."""
        every = trainer.recipe.training.save_steps
        if every and trainer.progress.position.total_steps % every == 0:
            save_state(trainer, self.path)

    def after_epoch(self, trainer: Trainer) -> None:
        """Saves."""
        save_state(trainer, self.path)


class Interrupt(Callback):
    """Turns Ctrl-C into an orderly stop after the current step; a second one stops at once."""

    def __init__(self) -> None:
        self.requested = False

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Listens for Ctrl-C inside the block (in the main thread, where signals arrive)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = signal.signal(signal.SIGINT, self._request)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        # Not `print`: the signal may come while the same stream is being written to.
        os.write(2, b"\nstopping after this step; once more stops at once\n")

    def check(self) -> None:
        """Raises `Interrupted` where Ctrl-C was pressed."""
        if self.requested:
            raise Interrupted

    def on_step(self, trainer: Trainer, losses: dict[str, Tensor]) -> None:
        """Stops between two steps."""
        self.check()


def save_state(trainer: Trainer, path: Path) -> None:
    """Writes everything that going on needs: weights, their average, moments, place, history."""
    tensors = {f"model.{k}": v for k, v in trainer.model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in trainer.average.state_dict().items()}
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    for parameter, state in trainer.optimizer.state.items():
        tensors |= {f"optimizer.{names[id(parameter)]}.{k}": v for k, v in state.items()}
    # Tied tensors would be refused as shared memory; a copy costs less than a rule about them.
    copies = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }
    metadata = {
        "format": json.dumps(_STATE),
        "recipe": json.dumps(config.to_dict(trainer.recipe)),
        "progress": json.dumps(dataclasses.asdict(trainer.progress)),
        "scaler": json.dumps(trainer.scaler.state_dict()),
        "data": json.dumps(trainer.data_digest),
    }
    checkpoints.write_tensors(copies, metadata, path)


def load_state(trainer: Trainer, path: Path) -> None:
    """Puts a trainer where `save_state` found it.

    Raises:
        CheckpointError: the file is missing, damaged, or of another recipe or other data.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata["format"] != _STATE:
            raise KeyError("format")
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path}: no resume state, or a damaged one ({error}); start anew in another --output"
        ) from error
    _check_same(metadata["recipe"], config.to_dict(trainer.recipe), path)
    if metadata.get("data", trainer.data_digest) != trainer.data_digest:
        raise CheckpointError(
            f"{path}: the training photos or captions are not those of the interrupted run; put "
            "them back, or start anew in another --output"
        )
    values = metadata["progress"]
    trainer.progress = Progress(**{**values, "position": Position(**values["position"])})
    trainer.enter(trainer.recipe.phases[trainer.progress.position.phase])
    trainer.model.load_state_dict(_under("model.", tensors))
    trainer.average.load_state_dict(_under("average.", tensors))
    moments = _under("optimizer.", tensors)
    for name, parameter in trainer.model.named_parameters():
        own = _under(f"{name}.", moments)
        if own:
            trainer.optimizer.state[parameter] = {
                k: v if k == "step" else _laid_out_as(parameter, v) for k, v in own.items()
            }
    if metadata["scaler"]:
        trainer.scaler.load_state_dict(metadata["scaler"])


def _laid_out_as(parameter: Tensor, values: Tensor) -> Tensor:
    """The values in the parameter's memory format: in another one, sums may round differently."""
    return torch.empty_like(parameter, dtype=values.dtype).copy_(values)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _check_same(saved: Any, given: Any, path: Path) -> None:
    def flat(values: Any, place: str = "") -> dict[str, Any]:
        if isinstance(values, dict):
            pairs = [(f"{place}.{k}" if place else k, v) for k, v in values.items()]
        elif isinstance(values, list):
            pairs = [(f"{place}.{i}", v) for i, v in enumerate(values)]
        else:
            return {place: values}
        return {k: v for name, value in pairs for k, v in flat(value, name).items()}

    old, new = flat(saved), flat(given)
    changed = [k for k in {**old, **new} if old.get(k) != new.get(k) and k not in _FREE]
    if changed:
        name = changed[0]
        raise CheckpointError(
            f"{path}: the interrupted run had {name} = {old.get(name)!r}, the recipe now has "
            f"{new.get(name)!r}; resume with the old recipe, or start anew in another --output"
        )


def read_splits(data: DataConfig, seed: int) -> tuple[list[Photo], list[Photo]]:
    """The training and the validation photos of a recipe.

    Raises:
        ConfigError: no training source is named.
        DataError: a source is not what its format promises.
    """
    if not data.train:
        raise ConfigError(
            "the recipe names no training data; write [[data.train]] with captions and images, or "
            "--data.train.0.captions FILE --data.train.0.images FOLDER"
        )
    training = [photo for source in data.train for photo in datasets.read(source)]
    if not data.validation:
        training, validation = datasets.split_off(training, data.validation_share, seed)
    else:
        validation = [photo for source in data.validation for photo in datasets.read(source)]
    if len(validation) > data.validation_photos:
        chosen = np.random.default_rng(seed).permutation(len(validation))[: data.validation_photos]
        validation = [validation[number] for number in sorted(chosen.tolist())]
    return training, validation


def start_checkpoint(recipe: Recipe, training: Sequence[Photo]) -> Checkpoint:
    """What training starts from: a new model, or `recipe.init` with its vocabulary extended."""
    captions = [caption for photo in training for caption in photo.captions]
    # Validation reports no alternatives, which cost time; who uses the model wants them.
    search = dataclasses.replace(recipe.search, alternatives=SearchOptions().alternatives)
    if recipe.init:
        path = checkpoints.default_path() if recipe.init == "shipped" else Path(recipe.init)
        old = checkpoints.load(path)
        vocabulary = old.vocabulary.extended(captions, recipe.data.min_count)
        old.model.extend_vocabulary(len(vocabulary))
        begun = {"started_from": {"checkpoint": path.name, **old.provenance}}
        return dataclasses.replace(old, vocabulary=vocabulary, search=search, provenance=begun)
    vocabulary = Vocabulary.build(captions, recipe.data.min_count)
    if not vocabulary.ordinary:
        raise DataError(
            f"no word stands {recipe.data.min_count} times in the {len(captions)} training "
            "captions; lower data.min_count"
        )
    encoder = recipe.model.encoder
    model = build_model(recipe.model, len(vocabulary))
    if encoder.weights == "shipped":
        _take_shipped(model, encoder.name)
    else:
        load_pretrained(model.encoder.features, encoder.name, encoder.weights)
    return Checkpoint(model, recipe.model, vocabulary, Preprocess(encoder.image_size), search)


def _take_shipped(model: CaptionModel, name: str) -> None:
    """Starts the CNN as the one of the checkpoint that came along; the rest stays new."""
    shipped = checkpoints.load(checkpoints.default_path())
    if shipped.config.encoder.name != name:
        raise ConfigError(
            f'model.encoder.weights = "shipped" holds a {shipped.config.encoder.name}, but '
            f"model.encoder.name is {name}; make them equal, or choose imagenet"
        )
    weights = shipped.model.encoder.features.state_dict()
    wanted = model.encoder.features.state_dict().keys()  # fewer, with fewer stages
    model.encoder.features.load_state_dict({key: weights[key] for key in wanted})


def _claim(folder: Path, resume: bool) -> None:
    """Makes the folder of a new run, which must not write over another one's files."""
    files = ("resume.safetensors", "best.safetensors", "last.safetensors", "log.csv")
    held = [name for name in files if (folder / name).exists()]
    if resume:
        if files[0] in held:
            return
        raise CheckpointError(
            f"{folder}: nothing to resume; leave --resume out, or name the --output of the run"
        )
    if held:
        raise ConfigError(
            f"{folder} holds a run already; go on with --resume, or choose another --output"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"output {folder} cannot be made ({error.strerror}); choose another --output"
        ) from error


def train(
    recipe: Recipe, *, resume: bool = False, device: str = "cpu", show: bool | None = None
) -> Path:
    """Trains as the recipe says and returns the best checkpoint's path.

    Args:
        recipe: everything there is to set.
        resume: go on with the interrupted run in `recipe.output`.
        device: where to compute.
        show: progress bars; left out, on a terminal only.

    Raises:
        ConfigError, DataError, CheckpointError: the recipe, its data or its files are not usable.
        Interrupted: Ctrl-C; the run is saved.
    """
    folder = Path(recipe.output)
    state_path = folder / "resume.safetensors"
    _claim(folder, resume)
    visible = sys.stderr.isatty() if show is None else show
    training, validation = read_splits(recipe.data, recipe.seed)
    torch.manual_seed(recipe.seed)
    checkpoint = start_checkpoint(recipe, training)
    checkpoint.model.to(device).encoder.features.to(memory_format=torch.channels_last)
    reader = BatchReader(
        training,
        checkpoint.vocabulary,
        checkpoint.preprocess,
        batch_size=recipe.training.batch_size,
        seed=recipe.seed,
        max_words=recipe.data.max_words,
        workers=recipe.training.workers,
    )
    interrupt = Interrupt()
    callbacks = [
        FeatureCache(folder / "features", visible, interrupt),
        Validation(validation, folder, visible, interrupt),
        Log(folder, visible),
        Save(state_path),
        interrupt,
    ]
    trainer = Trainer(recipe, checkpoint, reader, callbacks)
    if resume:
        load_state(trainer, state_path)
    try:
        with interrupt.watching():
            trainer.fit()
    except Interrupted:
        save_state(trainer, state_path)
        raise Interrupted(
            f"stopped and saved in {folder}; go on with the same command and --resume"
        ) from None
    finally:
        for callback in callbacks:
            callback.close(trainer)
    save_state(trainer, state_path)
    return folder / "best.safetensors"
