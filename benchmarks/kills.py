"""Kills captioning and training at random moments, goes on with --resume, and counts what is lost.

    python -m benchmarks.kills captions training --kills 100

Three kinds of ends take turns: SIGKILL, SIGTERM, and a disk that is full at a random byte (the
kernel's limit of a file's size, which fails a write in the midst as a full disk does). After each,
the same command is run again with --resume. Where a round has come to its end, it is held against
one that nobody stopped, and the next one begins, until so many were killed. The model is tiny and
its weights random: what is tried is what is kept on the disk.

Processes are forks of this one, so that a kill costs no new imports; nothing is computed before.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import functools
import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from captioner import checkpoint as checkpoints
from captioner import scenes, settings
from captioner.captions.recipe import Recipe
from captioner.captions.writer import Writer
from captioner.checkpoint import Checkpoint
from captioner.cli import main as command
from captioner.nn.architecture import ModelConfig
from captioner.nn.model import build_model
from captioner.options import SearchOptions
from captioner.pictures.preprocess import Preprocess
from captioner.text import Vocabulary
from captioner.training import train
from captioner.training.callbacks import STATE_FILE
from captioner.training.folder import MARK

ENDS = ("SIGKILL", "SIGTERM", "full disk")
_SIDE = 64  # pixels
_BATCH = 4  # photos
_LONGEST = 600.0  # seconds that a process may take to end
_ENCODER = {"image_size": _SIDE, "stride": 16, "stages": 4, "feature_size": 24, "weights": "random"}
_MODEL = {
    "encoder": _ENCODER,
    "attention": {"size": 16},
    "decoder": {"hidden_size": 24, "embedding_size": 16},
}


@dataclass
class Count:
    """What happened."""

    kills: Counter[str] = field(default_factory=Counter)  # by end
    rounds: int = 0  # that came to their end
    again: list[int] = field(default_factory=list)  # units that were done again, a kill each
    wrong: list[str] = field(default_factory=list)  # what is not as it was promised

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "kills": dict(self.kills),
            "rounds": self.rounds,
            "done again": sum(self.again),
            "done again, most behind one kill": max(self.again, default=0),
            "wrong": self.wrong,
        }


def forked(work: Callable[[], int], errors: Path, most: int | None = None) -> int:
    """Has a process of its own do something, and exit with what it returns.

    Args:
        work: what to do.
        errors: file for what it prints.
        most: bytes that a file may have.
    """
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        printed = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        if most is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        torch.set_num_threads(1)
        code = work()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def ended(process: int, seconds: float) -> int | None:
    """The exit code of a process, negative where a signal ended it; None if it still runs then."""
    latest = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= latest:
            return None
        time.sleep(0.002)


class Trial:
    """One command, run to its end once, and then killed again and again."""

    expected: tuple[int, ...] = ()  # exit codes of a process that SIGTERM or a full disk ended

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.errors = folder / "printed.txt"
        self.seconds = 1.0  # that a run takes which nobody stops
        self.count = Count()

    def ready(self, output: Path) -> None:
        """Puts there what the command works on, which nobody kills."""

    def work(self, output: Path, resume: bool) -> int:
        """Does all of it, in a process of its own; returns its exit code."""
        raise NotImplementedError

    def done(self) -> int:
        """How many units were worked on so far, also those done twice."""
        raise NotImplementedError

    def kept(self, output: Path) -> int:
        """How many of them are safe."""
        raise NotImplementedError

    def room(self, output: Path) -> int:
        """How many bytes the largest file may have in a run whose disk is full."""
        raise NotImplementedError

    def check(self, whole: Path, output: Path) -> list[str]:
        """What a round that came to its end lacks of one that nobody stopped."""
        raise NotImplementedError

    def once(self, work: Callable[[], int]) -> None:
        """Runs something that has to succeed."""
        code = ended(forked(work, self.errors), _LONGEST)
        if code != 0:
            raise RuntimeError(f"exit code {code}: {self.errors.read_text()}")

    def _imports(self, code: int) -> int:
        """Notes what the work has imported, so that the next process finds it there."""
        names = [name for name, module in sys.modules.items() if getattr(module, "__spec__", None)]
        self.errors.with_suffix(".modules").write_text("\n".join(names))
        return code

    def run(self, kills: int) -> Count:
        """Kills so many times, and once more lets every round come to its end."""
        whole, output = self.folder / "whole", self.folder / "killed"
        self.ready(whole)
        self.once(lambda: self._imports(self.work(whole, False)))
        for name in self.errors.with_suffix(".modules").read_text().split():
            with contextlib.suppress(ImportError):  # a part of another module
                importlib.import_module(name)
        shutil.rmtree(whole)
        self.ready(whole)
        began = time.monotonic()
        self.once(lambda: self.work(whole, False))
        self.seconds = time.monotonic() - began
        while sum(self.count.kills.values()) < kills:
            shutil.rmtree(output, ignore_errors=True)
            self.ready(output)
            if self._round(output, kills):
                self.count.wrong += self.check(whole, output)
            self.count.rounds += 1
        return self.count

    def _round(self, output: Path, kills: int) -> bool:
        """Whether it came to its end."""
        resume = False
        while True:
            killed = sum(self.count.kills.values())
            end = ENDS[killed % len(ENDS)] if killed < kills else ""
            worked, safe = self.done(), self.kept(output)
            most = self.room(output) if end == "full disk" else None
            work = functools.partial(self.work, output, resume)
            process = forked(work, self.errors, most)
            waits = self.seconds * self.random.uniform(0, 1.1) if end.startswith("SIG") else 0.0
            code = ended(process, waits or _LONGEST)
            if code is None and end.startswith("SIG"):
                os.kill(process, getattr(signal, end))
                code = ended(process, _LONGEST)
            if code is None:
                os.kill(process, signal.SIGKILL)
                raise RuntimeError(f"a process did not end: {self.errors.read_text()}")
            if code == 0:
                return True
            if code not in (-signal.SIGKILL, *self.expected):
                self.count.wrong.append(f"exit code {code}: {self.errors.read_text()}")
                return False
            if end:
                self.count.kills[end] += 1
                told = f"{killed + 1} of {kills}, {self.count.rounds} rounds, {self.count.wrong}"
                print(told, file=sys.stderr, flush=True)
                self.count.again.append(self.done() - worked - (self.kept(output) - safe))
            resume = True


class Captions(Trial):
    """`captioner caption` with objects, a table, sidecars and sheets."""

    expected = (-signal.SIGTERM, 128 + signal.SIGTERM, 2)

    def __init__(self, folder: Path, seed: int, photos: int) -> None:
        super().__init__(folder, seed)
        self.photos, self.weights, self.log = folder / "photos", folder / "tiny.st", folder / "log"
        self.log.touch()
        (self.photos / "below").mkdir(parents=True)
        for number in range(photos):
            pixels = np.random.default_rng(number).integers(0, 256, (6, 9, 3), dtype=np.uint8)
            name = f"{'below/' * (number % 2)}{number:04}.{('png', 'jpg')[number % 3 == 0]}"
            Image.fromarray(pixels).resize((90, 60)).save(self.photos / name)
        self.once(self._save)

    def _save(self) -> int:
        torch.manual_seed(1)
        config = settings.from_dict(ModelConfig, _MODEL)
        words = Vocabulary(("a", "dog", "cat", "runs", "over", "the", "log", "red", "ball"))
        model = build_model(config, len(words)).eval()
        search = SearchOptions(beam_size=2, max_length=8)
        tiny = Checkpoint(model, config, words, Preprocess(_SIDE), search=search)
        checkpoints.save(tiny, self.weights, torch.float32)
        return 0

    def ready(self, output: Path) -> None:
        """A copy of the photos, beside which the sidecars go."""
        shutil.copytree(self.photos, output / "photos")

    def work(self, output: Path, resume: bool) -> int:
        """Captions the folder; a photo that was captioned is a line of the log."""
        os.chdir(output)
        log = os.open(self.log, os.O_WRONLY | os.O_APPEND)
        write = Writer.write

        def noting(self: Writer, memory: Any, opened: Any, *rest: Any) -> Any:
            found = write(self, memory, opened, *rest)
            os.write(log, "".join(f"{photo.file}\n" for photo in opened).encode())
            return found

        Writer.write = noting  # type: ignore
        flags = ["--jsonl", "all.jsonl", "--csv", "all.csv", "--write", "captions_results.json"]
        flags += ["--sidecar", ".txt", "--overlay", "sheets", "--batch-size", str(_BATCH)]
        flags += ["--checkpoint", str(self.weights), "--device", "cpu"]
        return command(["caption", "photos", *flags, *(["--resume"] if resume else [])])

    def done(self) -> int:
        """Photos that were captioned."""
        return self.log.read_bytes().count(b"\n")

    def kept(self, output: Path) -> int:
        """Whole lines."""
        files = [output / "all.jsonl.partial", output / "all.jsonl"]
        return sum(file.read_bytes().count(b"\n") for file in files if file.exists())

    def room(self, output: Path) -> int:
        """Up to the bytes that four photos take, behind those that are there."""
        there = output / "all.jsonl.partial"
        return (there.stat().st_size if there.exists() else 0) + self.random.randrange(1, 6000)

    def check(self, whole: Path, output: Path) -> list[str]:
        """Every output, photo by photo."""
        wrong = []
        ours, theirs = (_objects(folder / "all.jsonl") for folder in (output, whole))
        names = [values["file"] for values in ours]
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            wrong.append(f"{len(twice)} photos have two lines")
        if names != [values["file"] for values in theirs]:
            wrong.append(f"{len(names)} lines, not of the {len(theirs)} photos in their order")
        if [v["caption"] for v in ours] != [v["caption"] for v in theirs]:
            wrong.append("captions differ")
        for name in ("all.csv", "captions_results.json"):
            if _table(output / name) != _table(whole / name):
                wrong.append(f"{name} differs")
        for pattern in ("photos/**/*.txt", "sheets/**/*.png"):
            found, expected = (
                {str(p.relative_to(f)) for p in f.glob(pattern)} for f in (output, whole)
            )
            if found != expected:
                wrong.append(f"{pattern}: {len(found)} of {len(expected)} are there")
        return wrong


def _objects(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _table(file: Path) -> Any:
    """What a file says, without numbers that are rounded otherwise in other batches."""
    if file.suffix == ".json":
        return json.loads(file.read_bytes())
    with file.open(newline="") as opened:
        return [row[:2] for row in csv.reader(opened)]


class Training(Trial):
    """`captioner.training.train` of a tiny captioner."""

    expected = (3, -signal.SIGTERM)

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self.world, self.log = folder / "world", folder / "log"
        self.log.touch()
        scenes.write(self.world, train=6, val=2, seed=5, size=(_SIDE, _SIDE))

    def recipe(self, output: Path) -> Recipe:
        """Two phases, three epochs of three steps, saved after each."""
        data = {
            name: [
                {
                    "captions": str(self.world / f"captions_{split}.json"),
                    "images": str(self.world / "images"),
                }
            ]
            for name, split in (("train", "train"), ("validation", "val"))
        }
        phases = [
            {"name": "frozen", "epochs": 2, "learning_rate": 3e-3},
            {
                "name": "tuned",
                "epochs": 1,
                "learning_rate": 1e-3,
                "encoder_learning_rate": 1e-3,
                "fine_tune_from": 3,
            },
        ]
        values = {
            "output": str(output),
            "seed": 3,
            "data": {**data, "min_count": 1},
            "model": _MODEL,
            "training": {"batch_size": 2, "save_steps": 1, "workers": 1, "weight_average": 0.9},
            "search": {"beam_size": 1, "max_length": 5, "alternatives": 0},
            "phases": phases,
        }
        return settings.from_dict(Recipe, values)

    def work(self, output: Path, resume: bool) -> int:
        """Trains; exit code 3 where the run was stopped in order."""
        from captioner.errors import CaptionerError
        from captioner.training.callbacks import Interrupted

        try:
            there = (output / MARK).exists() or (output / STATE_FILE).exists()
            train(self.recipe(output), resume=resume and there, show=False)
        except (CaptionerError, Interrupted, OSError) as error:
            print(error)
            return 3
        return 0

    def done(self) -> int:
        """Steps are not counted one by one: what is done again shows in nothing."""
        return 0

    def kept(self, output: Path) -> int:
        """As `done`."""
        return 0

    def room(self, output: Path) -> int:
        """Less than what a resume state takes."""
        sizes = [file.stat().st_size for file in (self.folder / "whole").glob("*.safetensors")]
        return self.random.randrange(1, max(sizes))

    def check(self, whole: Path, output: Path) -> list[str]:
        """The weights, bit by bit, and that nothing else is left."""
        wrong = []
        for name in ("best.safetensors", "last.safetensors"):
            one, other = (
                checkpoints.load(folder / name).model.state_dict() for folder in (output, whole)
            )
            if any(not torch.equal(one[key], other[key]) for key in other):
                wrong.append(f"{name}: weights differ")
        names, expected = (
            {p.name for p in f.iterdir() if not p.name.startswith("events")}
            for f in (output, whole)
        )
        if names != expected:
            wrong.append(f"files differ: {sorted(names ^ expected)}")
        return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs trials, and prints a line of JSON of what happened in each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", nargs="+", choices=("captions", "training"))
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--photos", type=int, default=60, help="of a round of captions")
    parser.add_argument("--seed", type=int, default=1)
    typed = parser.parse_args(arguments)
    wrong = False
    for what in typed.what:
        with tempfile.TemporaryDirectory(prefix="captioner-kills-") as name:
            folder = Path(name)
            trial: Trial = (
                Captions(folder, typed.seed, typed.photos)
                if what == "captions"
                else Training(folder, typed.seed)
            )
            found = trial.run(typed.kills)
        print(json.dumps({"what": what, **found.to_dict()}), flush=True)
        wrong = wrong or bool(found.wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
