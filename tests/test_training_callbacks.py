"""What hangs on the loop, without a model: signals, lines of the log, what cannot be written."""

from __future__ import annotations

import errno
import signal
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from captioner.captions.recipe import PhaseConfig
from captioner.cli import train as command
from captioner.errors import ConfigError
from captioner.training import callbacks, run
from captioner.training.callbacks import Interrupt, Interrupted, Log
from captioner.training.loop import Progress, Trainer

LOSS = {"loss": torch.tensor(1.5)}


def standing(epochs: int = 2, steps: int = 200) -> Any:
    """What a log wants to know of a trainer."""
    return SimpleNamespace(
        progress=Progress(),
        reader=range(steps),
        look_every=1,
        phase=PhaseConfig(name="tuned", epochs=epochs),
        optimizer=SimpleNamespace(param_groups=[{"lr": 5e-4}]),
    )


# ---- stopping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_signals_stop_after_the_step(
    number: signal.Signals,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The state is saved, the message says how to go on, and the signal is told to the caller."""
    saved: list[Path] = []
    monkeypatch.setattr(run, "save_state", lambda trainer, path: saved.append(path))
    interrupt = Interrupt()

    class Stopped(Trainer):
        def __init__(self) -> None:
            self.recipe, self.callbacks = SimpleNamespace(output=str(tmp_path)), [interrupt]

        def fit(self) -> None:
            signal.raise_signal(number)
            self._each("on_step", {})
            pytest.fail("the run went on")

    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Interrupted, match=r"stopped and saved in .*; go on with .*--resume") as e:
        run.run(Stopped(), interrupt, resume=False)
    assert e.value.number == number
    assert saved == [tmp_path / run.STATE_FILE]
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    assert "stopping after this step" in capfd.readouterr().err


def test_a_second_signal_stops_at_once() -> None:
    interrupt = Interrupt()
    with interrupt.watching():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt) as caught:
            signal.raise_signal(signal.SIGTERM)
    assert caught.value.number == signal.SIGTERM  # type: ignore[attr-defined]


def test_ctrl_c_is_left_alone_in_other_threads() -> None:
    handlers = []

    def work() -> None:
        with Interrupt().watching():
            handlers.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [before]


def test_the_command_knows_which_signal_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    from captioner import training

    def train(*_: Any, **__: Any) -> Path:
        stop = Interrupted("stopped and saved")
        stop.number = signal.SIGTERM
        raise stop

    monkeypatch.setattr(training, "train", train)
    typed = SimpleNamespace(dry_run=False, recipe=None, settings=[], device="cpu", resume=False)
    with pytest.raises(KeyboardInterrupt, match="stopped and saved") as caught:
        command.run(typed)  # type: ignore[arg-type]
    assert caught.value.number == signal.SIGTERM  # type: ignore[attr-defined]


# ---- lines without a terminal --------------------------------------------------------------------


def test_without_a_bar_a_line_tells_of_the_first_steps_and_then_of_one_a_minute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 1000.0
    log, trainer = Log(tmp_path, show=False, clock=lambda: now), standing()
    trainer.progress.position.step = 40  # as after a resume
    log.on_phase(trainer, trainer.phase)
    for _ in range(100):
        now += 10.0
        trainer.progress.position.step += 1
        log.on_step(trainer, LOSS)
    log.close(trainer)
    lines = capsys.readouterr().out.splitlines()
    steps = [int(line.split(" · step ")[1].partition("/")[0]) for line in lines]
    assert steps == [41, 42, 43, *range(49, 141, 6)]
    expected = "loss 1.5000 · learning rate 5.00e-04 · 0:59:50 left"  # 359 of 400 steps, 10 s each
    assert lines[0] == f"tuned · step 41/400 · {expected}"
    assert lines[-1].endswith(" · 0:43:30 left")


def test_with_a_bar_there_are_no_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, trainer = Log(tmp_path, show=True), standing()
    log.on_phase(trainer, trainer.phase)
    trainer.progress.position.step = 1
    log.on_step(trainer, LOSS)
    log.close(trainer)
    assert capsys.readouterr().out == ""


# ---- folders that cannot be written --------------------------------------------------------------


def test_a_folder_that_tensorboard_cannot_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.utils.tensorboard import writer

    def deny(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(writer, "SummaryWriter", deny)
    log, trainer = Log(tmp_path, show=False), standing()
    with pytest.raises(ConfigError) as caught:
        log.on_phase(trainer, trainer.phase)
    assert str(caught.value) == (
        f"output {tmp_path}: the log cannot be written (Permission denied); make room there or "
        "make it writable and go on with --resume, or choose another --output"
    )
    log.close(trainer)  # nothing was opened


def test_a_full_disk_ends_a_run_in_one_line_and_keeps_the_old_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, trainer = Log(tmp_path, show=False), standing()
    log.on_phase(trainer, trainer.phase)
    entry = {"phase": "tuned", "epoch": 1, "step": 200, "loss": 1.5}
    log.on_epoch(trainer, dict(entry))
    before = (tmp_path / "log.csv").read_bytes()

    class Full:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def writeheader(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(callbacks.csv, "DictWriter", Full)
    with pytest.raises(
        ConfigError, match=r"log\.csv cannot be written \(No space left on device\); m"
    ):
        log.on_epoch(trainer, dict(entry))
    log.close(trainer)
    assert (tmp_path / "log.csv").read_bytes() == before
    assert not list(tmp_path.glob("*.partial"))
