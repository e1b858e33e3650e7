"""The loop: steps through batches, and calls whoever watches.

What a batch, a model and a loss are is the business of a task's own trainer.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from captioner.errors import ConfigError
from captioner.recipes.shared import Phase
from captioner.training.ranks import ALONE, Ranks

_PATIENCE = 100  # steps in a row whose gradients may overflow; finding a scale takes about 16
_GPU_STEPS = 20  # between two looks at the losses: each one makes the host wait for the device


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
    best_score: float = -math.inf
    stale_epochs: int = 0  # since the best, in this phase
    loss_sum: float = 0.0  # over the steps of this epoch
    seconds: float = 0.0  # spent in this epoch, interruptions not counted


class Callback:
    """What happens around the loop; every method may be left out."""

    def on_phase(self, trainer: Trainer, phase: Any) -> None:
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
    """Steps through batches; a task's own trainer says what they are and what a step minimises."""

    def __init__(
        self, recipe: Any, checkpoint: Any, reader: Any, callbacks: Sequence[Callback] = ()
    ) -> None:
        """Takes what the task's own trainer has made.

        Args:
            recipe: with `training`, `phases`, `seed` and `output`.
            checkpoint: a frozen dataclass with a `model` and its `provenance`.
            reader: its `len` is the steps of an epoch.
            callbacks: called in this order.
        """
        self.recipe = recipe
        self.checkpoint = checkpoint
        self.model: nn.Module = checkpoint.model
        self.reader = reader
        self.callbacks = callbacks
        self.device = next(self.model.parameters()).device
        self.precision = _precision(recipe.training.precision, self.device)
        self.progress = Progress()
        self.kept: dict[str, Tensor] = {}  # what a loss remembers between steps, saved with a run
        self.average = AveragedModel(
            self.model, multi_avg_fn=self._average_weights, use_buffers=True
        )
        # Counted on the host, or every step would wait for the device to tell how many there were.
        self.average.n_averaged = self.average.n_averaged.cpu()
        self.ranks = ALONE
        self.shares: dict[str, float] = {}  # by what the means of a step's losses are multiplied
        self._together: nn.Module | None = None  # the step, where several processes take it
        self.skipped = 0  # steps in a row that were not taken, since their gradients overflowed
        waits = self.device.type == "cpu" or self.precision == torch.float16
        self.look_every = 1 if waits else _GPU_STEPS  # steps
        self._unseen: list[tuple[tuple[int, int, int], Tensor, Tensor]] = []  # place, loss, norm
        self.enter(recipe.phases[0])

    def batches(self, epoch: int, first_step: int) -> Iterator[Any]:
        """The batches of an epoch (counted over all phases) from a step on."""
        raise NotImplementedError

    def loss(self, batch: Any) -> dict[str, Tensor]:
        """What is minimised, under `loss`, and its parts by name."""
        raise NotImplementedError

    def groups(self, phase: Any) -> list[tuple[list[nn.Parameter], float]]:
        """The parameters that learn in a phase, with their peak learning rates."""
        learning = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        return [(learning, phase.learning_rate)]

    def rate(self) -> float:
        """Share of the peak learning rates that the next step takes."""
        return share_of_peak(self.phase, self.progress.position, len(self.reader))

    def content(self) -> Any:
        """What the batches depend on besides the recipe, as plain values for JSON."""
        raise NotImplementedError

    def counts(self, batch: Any) -> dict[str, int]:
        """How many there are in a batch of what the means of losses are over."""
        return {
            "words": int(batch.lengths.sum()),
            "sentences": len(batch.lengths),
            "photos": len(getattr(batch, "numbers", ())),
            "mentions": len(batch.mentions),
        }

    def join(self, ranks: Ranks) -> None:
        """Takes a share of each batch, as one of several processes."""
        self.ranks = ranks
        if ranks.size > 1:
            self.reader.part = (ranks.rank, ranks.size)

    @property
    def through(self) -> float:
        """How much of the phase is over, 0 to 1."""
        position, steps = self.progress.position, len(self.reader)
        return (position.epoch * steps + position.step) / (self.phase.epochs * steps)

    @cached_property
    def data_digest(self) -> str:
        """SHA-256 of `content`."""
        return hashlib.sha256(json.dumps(self.content()).encode()).hexdigest()

    def enter(self, phase: Any) -> None:
        """Readies the model and a new optimiser for a phase."""
        self.phase: Any = phase  # of the task's own class
        self._together = None  # other parameters may learn
        self.model.train()
        decay = self.recipe.training.weight_decay
        groups = [
            {"params": part, "peak": rate, "lr": rate, "weight_decay": decay if matrix else 0.0}
            for parameters, rate in self.groups(phase)
            for matrix in (False, True)
            if (part := [p for p in parameters if (p.dim() > 1) == matrix])
        ]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-8, fused=True)
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
            if self.is_over():  # where a resumed run stands behind its phase's last epoch
                continue
            self._each("on_phase", phase)
            while not self.is_over():
                self._epoch(phase)

    def _epoch(self, phase: Phase) -> None:
        position, progress = self.progress.position, self.progress
        began = time.perf_counter() - progress.seconds
        epoch_number = sum(p.epochs for p in self.recipe.phases[: position.phase]) + position.epoch
        for batch in self.batches(epoch_number, position.step):
            found = self.step(batch.to(self.device))
            progress.seconds = time.perf_counter() - began
            position.step += 1
            position.total_steps += 1
            self._each("on_step", found)
        self.look()
        entry = {
            "phase": phase.name or f"phase {position.phase + 1}",
            "epoch": position.epoch + 1,
            "step": position.total_steps,
            "loss": progress.loss_sum / max(position.step, 1),
        }
        entry = self._judged(entry)
        progress.history.append(entry)
        position.epoch, position.step = position.epoch + 1, 0
        progress.loss_sum = progress.seconds = 0.0
        self._each("after_epoch")

    def _judged(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Has an epoch's line added to by whoever watches: the first process, for all of them.

        Raises:
            FirstStopped: it was stopped meanwhile.
        """
        said = None
        try:
            self._each("on_epoch", entry)
            said = [entry, self.progress.best_score, self.progress.stale_epochs]
        finally:
            said = self.ranks.first_says(said)
        if said is None:
            raise FirstStopped
        entry, self.progress.best_score, self.progress.stale_epochs = said
        return entry

    def _found(self, batch: Any) -> dict[str, Tensor]:
        """The losses of a batch, with gradients that are averaged over processes as they come."""
        if self.ranks.size == 1:
            return self.loss(batch)
        self.shares = self.ranks.weights(self.counts(batch))
        if self._together is None:
            self._together = DistributedDataParallel(_Step(self), find_unused_parameters=True)
        found: dict[str, Tensor] = self._together(batch)
        return found

    def step(self, batch: Any) -> dict[str, Tensor]:
        """One gradient step on a batch.

        Raises:
            ConfigError: what `look` finds, at every step or at every so many.
        """
        position = self.progress.position
        # Dropout depends on the place in the run, not on what was drawn before: resuming is exact.
        key = [self.recipe.seed, position.phase, position.epoch, position.step]
        key += [self.ranks.rank] if self.ranks.rank else []
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
        rate = self.rate()
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        with torch.autocast(
            self.device.type, self.precision, enabled=self.precision != torch.float32
        ):
            found = self._found(batch)
        self.scaler.scale(found["loss"]).backward()
        self.scaler.unscale_(self.optimizer)
        limit = self.recipe.training.gradient_clip or math.inf
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        place = (position.phase, position.epoch, position.step)
        found = {name: self.ranks.mean(value.detach()) for name, value in found.items()}
        self._unseen.append((place, found["loss"], norm.detach()))
        if len(self._unseen) >= self.look_every:
            self.look()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update_parameters(self.model)
        return {**found, "gradient_norm": norm.detach()}

    def look(self) -> None:
        """Adds up the losses of the steps since the last look.

        Raises:
            ConfigError: a loss or its gradient is not finite, or no loss scale makes it so.
        """
        unseen, self._unseen = self._unseen, []
        if not unseen:
            return
        numbers = torch.stack([torch.stack((loss, norm)).float() for _, loss, norm in unseen])
        for (place, _, _), (loss, norm) in zip(unseen, numbers.tolist(), strict=True):
            self._check_finite(place, loss, norm)
            self.progress.loss_sum += loss

    def averaged(self, **provenance: Any) -> Any:
        """The checkpoint with the moving average of the weights."""
        model = self.average.module if self.recipe.training.weight_average else self.model
        merged = {**self.checkpoint.provenance, **provenance}
        return dataclasses.replace(self.checkpoint, model=model, provenance=merged)

    def _average_weights(
        self,
        averages: tuple[Tensor, ...] | list[Tensor],
        values: tuple[Tensor, ...] | list[Tensor],
        count: Tensor | int,
    ) -> None:
        # A short memory at first, or the random start would weigh on the average for epochs.
        done = int(self.average.n_averaged)  # what `count` says, which lies on the device
        decay = min(self.recipe.training.weight_average, (1 + done) / (10 + done))
        if averages[0].is_floating_point():  # each call brings tensors of one type
            torch._foreach_lerp_(list(averages), list(values), 1 - decay)

    def is_over(self) -> bool:
        """Whether the phase has had its epochs, or stopped early."""
        patience = self.recipe.training.patience
        stale = bool(patience) and self.progress.stale_epochs >= patience
        return stale or self.progress.position.epoch >= self.phase.epochs

    def _check_finite(self, place: tuple[int, int, int], loss: float, norm: float) -> None:
        # Loss scaling finds its scale by gradients that overflow; such steps are not taken. It
        # halves the scale each time: gradients that stay infinite at any scale are no overflow.
        self.skipped = 0 if math.isfinite(norm) else self.skipped + 1
        searching = self.scaler.is_enabled() and self.skipped < _PATIENCE
        if math.isfinite(loss) and (searching or math.isfinite(norm)):
            return
        phase, epoch, step = place
        raise ConfigError(
            f"phase {phase + 1}, epoch {epoch + 1}, step {step + 1}: "
            f"the loss is {loss:g} and its gradient's norm {norm:g}, so training cannot go on; "
            f"lower the phase's learning rates and start anew (what was saved before stays in "
            f"{self.recipe.output})"
        )

    def _each(self, event: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self, *arguments)


class FirstStopped(Exception):  # noqa: N818  (no error of its own)
    """The first of several processes was stopped, and says why."""


class _Step(nn.Module):
    """A step's losses as a module, whose parameters' gradients are watched."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__()
        self.model = trainer.model
        self._losses = trainer.loss

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """What the trainer minimises."""
        return self._losses(batch)


_MEANS = {  # over what the terms are means, where it is not words
    "doubly_stochastic": "sentences",
    "distillation": "photos",
    "supervised_attention": "mentions",
}


def weighted(
    terms: Mapping[str, tuple[float, Tensor]],
    shares: Mapping[str, float] | None = None,
    **noted: Tensor,
) -> dict[str, Tensor]:
    """The sum of a loss's terms, under `loss`, and what the logs say besides.

    Args:
        terms: weight and value of each, by name; values are scalars.
        shares: by what a mean over words, sentences, photos or mentions is multiplied, where the
            batch is a share of a larger one; see `Ranks.weights`.
        noted: what is logged, and not minimised.
    """
    if shares:
        terms = {
            name: (weight, value * shares[_MEANS.get(name, "words")])
            for name, (weight, value) in terms.items()
        }
    weight, value = next(iter(terms.values()))
    total = weight * value
    for weight, value in list(terms.values())[1:]:
        total = total + weight * value
    return {"loss": total, **{name: value for name, (_, value) in terms.items()}, **noted}


def _precision(name: str, device: torch.device) -> torch.dtype:
    if name == "auto" and device.type == "cuda":
        # Float16 has to be scaled, which makes the host wait at every step; older GPUs know no
        # other.
        return torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16
    if name == "auto":
        return torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def share_of_peak(phase: Phase, position: Position, steps: int) -> float:
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
