"""Training for a time instead of for epochs: the same for every variant, whatever a step costs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from captioner.training.loop import Callback, Trainer

_FINAL = 0.05  # share of the peak learning rate at the end


def clock_of(device: torch.device) -> Callable[[], float]:
    """Seconds: of the processor on a CPU, so that what else the machine does takes nothing."""
    return time.process_time if device.type == "cpu" else time.perf_counter


class Spent(Exception):  # noqa: N818  (an end, no error)
    """The time is over."""


@dataclass(frozen=True)
class Point:
    """Where a run stands at one moment."""

    steps: int
    seconds: float  # of training alone
    loss: float  # mean of the steps since the point before
    score: float


class Budget(Callback):
    """Ends a run when its time is over; what is done between steps takes none of it."""

    def __init__(
        self,
        seconds: float,
        points: int,
        look: Callable[[Trainer], float],
        *,
        clock: Callable[[], float],
        warmup: float = 0.05,
    ) -> None:
        """Takes a time.

        Args:
            seconds: of training.
            points: looks at equal shares of the time, the last one at its end.
            look: the score of what has been trained so far.
            clock: seconds, as `clock_of` has them.
            warmup: share of the time in which learning rates rise.
        """
        self.seconds, self.points, self.look, self.warmup = seconds, points, look, warmup
        self.clock = clock
        self.spent = self.begun = 0.0
        self.steps, self.taken = 0, 0  # of the run; since the last point
        self.loss_sum: Any = 0.0
        self.curve: list[Point] = []

    def rate(self) -> float:
        """Share of the peak learning rate: a rise, then a cosine, both over the time."""
        through = min(1.0, self.spent / self.seconds)
        if through < self.warmup:
            return max(through, 0.01 * self.warmup) / self.warmup
        left = (through - self.warmup) / (1 - self.warmup)
        return _FINAL + (1 - _FINAL) * (1 + math.cos(math.pi * left)) / 2

    def on_phase(self, trainer: Trainer, phase: Any) -> None:
        """Starts the clock."""
        trainer.rate = self.rate  # type: ignore[method-assign]
        self.begun = self.clock()

    def on_step(self, trainer: Trainer, losses: dict[str, Tensor]) -> None:
        """Counts a step, looks where it is time to, and ends the run.

        Raises:
            Spent: the time is over.
        """
        if trainer.device.type == "cuda":
            torch.cuda.synchronize(trainer.device)
        self.spent += self.clock() - self.begun
        self.steps, self.taken = self.steps + 1, self.taken + 1
        self.loss_sum = self.loss_sum + losses["loss"]
        due = int(self.spent / self.seconds * self.points)
        if due > len(self.curve) or self.spent >= self.seconds:
            loss = float(self.loss_sum) / self.taken
            self.curve.append(Point(self.steps, self.spent, loss, self.look(trainer)))
            self.loss_sum, self.taken = 0.0, 0
        if self.spent >= self.seconds:
            raise Spent
        self.begun = self.clock()


def climbs(curve: list[Point], share: float = 0.02) -> bool:
    """Whether the score still rose by more than a share of itself towards the end."""
    if len(curve) < 2:
        return True
    return curve[-1].score - curve[-2].score > share * abs(curve[-1].score)
