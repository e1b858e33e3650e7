"""What hangs on the loop: logging, saving, validation, Ctrl-C and SIGTERM."""

from __future__ import annotations

import contextlib
import csv
import datetime
import math
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torchvision
from torch import Tensor

from captioner import bars, settings, storage
from captioner.atomic import whole
from captioner.errors import ConfigError
from captioner.metrics import Score
from captioner.recipes.shared import Phase
from captioner.training.loop import Callback, Trainer
from captioner.training.ranks import ALONE
from captioner.training.state import save_state

STATE_FILE = "resume.safetensors"  # in a run's folder

_FIRST_STEPS, _EVERY = 3, 60.0  # without a progress bar: steps printed; seconds between lines


class Interrupted(Exception):  # noqa: N818  (a request to stop, no error)
    """Ctrl-C or SIGTERM: everything is saved, and the message says how to go on."""

    number: int = signal.SIGINT  # the signal that asked for it


class Log(Callback):
    """`log.csv`, TensorBoard's event files, a progress bar, and a line an epoch.

    Where no progress bar is shown, a line tells of the first steps and of one a minute.
    """

    def __init__(
        self, folder: Path, show: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder, self.show, self.clock = folder, show, clock
        self.writer: Any = None
        self.bar: Any = None
        self.begun = self.printed = 0.0  # times
        self.first = 0  # step of the phase that this session began with

    def on_phase(self, trainer: Trainer, phase: Phase) -> None:
        """Opens the writer and a bar with the time left in the phase."""
        position, steps = trainer.progress.position, len(trainer.reader)
        if self.writer is None:
            from torch.utils.tensorboard.writer import SummaryWriter  # slow to import

            # What an interrupted run logged after its last save is about to be logged again.
            with writing(self.folder):
                self.writer = SummaryWriter(str(self.folder), purge_step=position.total_steps + 1)
        if self.bar is not None:
            self.bar.close()
        done = position.epoch * steps + position.step
        self.begun, self.first = self.clock(), done
        self.bar = progress_bar(
            self.show, phase.epochs * steps, phase.name or "training", "step", done
        )

    def on_step(self, trainer: Trainer, losses: dict[str, Tensor]) -> None:
        """Writes the step's losses and learning rates."""
        number = trainer.progress.position.total_steps
        if number % trainer.look_every:
            self.bar.update(1)
            return
        rate = trainer.optimizer.param_groups[0]["lr"]
        with writing(self.folder):
            for name, value in losses.items():
                self.writer.add_scalar(f"train/{name}", float(value), number)
            self.writer.add_scalar("train/learning_rate", rate, number)
        if not self.show:
            self._print(trainer, float(losses["loss"]), rate)
        self.bar.set_postfix(loss=f"{float(losses['loss']):.3f}", refresh=False)
        self.bar.update(1)

    def _print(self, trainer: Trainer, loss: float, rate: float) -> None:
        """A line for whoever reads what a run without a terminal prints."""
        position, steps, now = trainer.progress.position, len(trainer.reader), self.clock()
        done, total = position.epoch * steps + position.step, trainer.phase.epochs * steps
        taken = done - self.first
        if taken > _FIRST_STEPS and now - self.printed < _EVERY:
            return
        self.printed = now
        left = datetime.timedelta(seconds=round((now - self.begun) / taken * (total - done)))
        print(
            f"{trainer.phase.name or 'training'} · step {done}/{total} · loss {loss:.4f} · "
            f"learning rate {rate:.2e} · {left} left",
            flush=True,
        )

    def on_epoch(self, trainer: Trainer, entry: dict[str, Any]) -> None:
        """Writes the epoch's line everywhere."""
        entry["seconds"] = round(trainer.progress.seconds, 1)
        scores = {
            name: value
            for name, value in entry.items()
            if name not in ("phase", "epoch", "step", "seconds") and not math.isnan(value)
        }
        with writing(self.folder):
            for name, value in scores.items():
                self.writer.add_scalar(f"epoch/{name}", value, entry["step"])
            self.writer.flush()
            _write_csv(self.folder / "log.csv", [*trainer.progress.history, entry])
        epochs = trainer.phase.epochs
        self.bar.write(
            f"{entry['phase']} · epoch {entry['epoch']}/{epochs} · "
            + " · ".join(f"{name} {value:.4f}" for name, value in scores.items())
            + f" · {entry['seconds']:.0f} s",
            file=sys.stdout,
        )
        sys.stdout.flush()

    def close(self, trainer: Trainer) -> None:
        """Closes the bar and the event file."""
        if self.bar is not None:
            self.bar.close()
        if self.writer is not None:
            with contextlib.suppress(OSError):  # a full disk was reported when it was written to
                self.writer.close()


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Says in one line that a log cannot be written.

    Raises:
        ConfigError: it cannot; what the run saved before stays.
    """
    try:
        yield
    except OSError as error:
        what = f"output {folder}: the log" if error.filename is None else error.filename
        raise ConfigError(
            f"{what} cannot be written ({error.strerror or error}); make room there or make it "
            "writable and go on with --resume, or choose another --output"
        ) from error


def progress_bar(show: bool, total: int, name: str, unit: str, done: int = 0) -> Any:
    """A bar, gone when it is closed; none where `show` is false."""
    return bars.bar(total=total, initial=done, desc=name, unit=unit, disable=not show, leave=False)


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with whole(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


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
    """Turns Ctrl-C and SIGTERM into an orderly stop after the current step.

    A second one stops at once. SIGTERM is how docker, systemd and Slurm end a job.
    """

    ranks = ALONE  # who stops together

    def __init__(self) -> None:
        self.requested = False
        self.number = int(signal.SIGINT)  # the signal that came

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Listens for both inside the block (in the main thread, where signals arrive)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        previous = [signal.signal(number, self._request) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, previous, strict=True):
                signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            stop = KeyboardInterrupt()
            stop.number = number  # type: ignore[attr-defined]
            raise stop
        self.requested, self.number = True, number
        # Not `print`: the signal may come while the same stream is being written to.
        os.write(2, b"\nstopping after this step; once more stops at once\n")

    def check(self) -> None:
        """Raises `Interrupted` where a stop was asked for."""
        if self.requested:
            raise Interrupted

    def on_step(self, trainer: Trainer, losses: dict[str, Tensor]) -> None:
        """Stops between two steps; several processes do so behind the same one."""
        self.requested = self.ranks.any(self.requested)
        self.check()


@dataclass(frozen=True)
class Watch:
    """What every run is watched by: its folder, its progress on a terminal, and who may stop it."""

    folder: Path
    show: bool  # progress bars
    interrupt: Interrupt

    def callbacks(self) -> tuple[Callback, ...]:
        """Logs, saves, and stops where that was asked for; they come behind a task's own."""
        return Log(self.folder, self.show), Save(self.folder / STATE_FILE), self.interrupt

    @contextlib.contextmanager
    def progress(self, total: int, name: str, unit: str) -> Iterator[Callable[..., None]]:
        """Gives what is called after each unit, or after several; there, the run can be stopped."""
        with progress_bar(self.show, total, name, unit) as bar:

            def advance(count: int = 1) -> None:
                bar.update(count)
                self.interrupt.check()

            yield advance


class Validation(Callback):
    """Scores the averaged weights after every epoch and keeps the best ones."""

    logged: tuple[str, ...] = ()  # scores of the log's line; by the first the best are chosen

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def scores(self, trainer: Trainer) -> dict[str, Score]:
        """The scores by name."""
        raise NotImplementedError

    def provenance(self, trainer: Trainer) -> dict[str, Any]:
        """What the checkpoint says of its data."""
        raise NotImplementedError

    def on_epoch(self, trainer: Trainer, entry: dict[str, Any]) -> None:
        """Adds the scores to `entry`; writes `best.safetensors` and `last.safetensors`.

        In between two validations nothing is scored or written: the scores are nan.
        """
        done = trainer.progress.position.epoch + 1
        if done % trainer.recipe.training.validate_every and done < trainer.phase.epochs:
            entry |= dict.fromkeys(self.logged, math.nan)
            return
        scores = self.scores(trainer)
        entry |= {name: scores[name].value for name in self.logged}
        chosen = entry[self.logged[0]]
        progress = trainer.progress
        ahead = chosen > progress.best_score
        better = ahead or chosen == progress.best_score == 0  # 0 tells nothing: the later one
        progress.stale_epochs = 0 if ahead else progress.stale_epochs + 1
        progress.best_score = max(progress.best_score, chosen)
        trained = trainer.averaged(**self._provenance(trainer, scores))
        for name in ["last", *(["best"] if better else [])]:
            storage.save(trained, self.watch.folder / f"{name}.safetensors")

    def _provenance(self, trainer: Trainer, scores: dict[str, Score]) -> dict[str, Any]:
        recipe = trainer.recipe
        return {
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "recipe": _portable(settings.to_dict(recipe)),
            "licence": recipe.licence,
            **self.provenance(trainer),
            "phase": trainer.phase.name,
            "epoch": trainer.progress.position.epoch + 1,
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
