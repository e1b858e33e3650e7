"""Captions the same photos with an earlier version and with this one, taking turns.

    python -m benchmarks.before PHOTOS --earlier ENVIRONMENT/bin/python

The earlier version is a commit, unpacked into a temporary folder, with the weights that came along
with it; `--earlier` names the Python of an environment with the packages that it was made for
(`git archive COMMIT | tar -x -C DIR`, then `pip install DIR` in a new environment). Each version is
a process of its own that waits while the others compute, so that whatever else the machine does
meets all of them alike. Processor time tells what is computed even where the machine is busy: on
two free cores, as many photos a second are possible as two seconds hold.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent
COMMIT = "5ab7f37"
JOBS = ("beam 3", "greedy", "beam 5", "large photos", "one photo", "training")
_SENTENCE = "a photo of something with a few words about it and of a common length"
_RECIPE = """
output = "{output}"
init = "{weights}"
seed = 1
[[data.train]]
captions = "{folder}/captions.json"
images = "{folder}"
[[data.validation]]
captions = "{folder}/few.json"
images = "{folder}"
[search]
beam_size = 1
alternatives = 0
[training]
batch_size = 16
save_steps = 0
[[phases]]
name = "fine-tuning"
epochs = {epochs}
learning_rate = 1e-5
encoder_learning_rate = 1e-6
fine_tune_from = 1
"""
_LARGE = (4000, 3000)  # twelve megapixels

# Runs in either version; what it is asked comes line by line.
_CHILD = """
import contextlib, json, os, statistics, sys, time
began = time.perf_counter()
from captioner import Captioner
from captioner.cli import main as command
captioner = Captioner.load(sys.argv[1])
settings = json.loads(sys.argv[2])
for line in sys.stdin:
    job = json.loads(line)
    files, beams = job["files"], job["beam_size"]
    clock, processor = time.perf_counter(), time.process_time()
    if job["recipe"]:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            assert command(["train", job["recipe"]]) == 0
        wall = time.perf_counter() - clock
    elif job["singly"]:
        times = []
        for file in files:
            start = time.perf_counter()
            captioner(file, beam_size=beams)
            times.append(time.perf_counter() - start)
        wall = statistics.median(times) * len(files)
    else:
        found = list(captioner.stream(files, beam_size=beams, **settings))
        assert all(caption.error is None for caption in found), found
        wall = time.perf_counter() - clock
    spent = time.process_time() - processor
    print(json.dumps([wall / len(files), spent / len(files), time.perf_counter() - began]))
    sys.stdout.flush()
"""


@dataclass
class Version:
    """A version of captioner with weights, in a process of its own."""

    name: str
    python: str
    folder: Path
    weights: Path
    settings: dict[str, int] = field(default_factory=dict)

    def start(self) -> subprocess.Popen[str]:
        """The process, which loads the weights and then waits."""
        return subprocess.Popen(
            [self.python, "-c", _CHILD, str(self.weights), json.dumps(self.settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
        )


def ask(
    process: subprocess.Popen[str], job: str, files: Sequence[Path], recipe: Path | None = None
) -> list[float]:
    """Seconds and processor seconds a photo, and seconds since the process began."""
    beams = {"greedy": 1, "beam 5": 5}.get(job, 3)
    asked = {
        "files": [str(file) for file in files],
        "beam_size": beams,
        "singly": job == "one photo",
        "recipe": recipe and str(recipe),
    }
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(asked) + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise SystemExit(f"a version ended early with code {process.wait()}")
    found: list[float] = json.loads(answer)
    return found


def learn(process: subprocess.Popen[str], version: Version, files: Sequence[Path]) -> list[float]:
    """As `ask`, of a caption that is learned: a run of three epochs less one of a single one.

    The CNN learns along, and what a run begins and ends with is in neither figure.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, own in (("captions", files), ("few", files[:4])):
            for file in own:
                shutil.copy(file, place)
            images = [{"id": n, "file_name": file.name} for n, file in enumerate(own)]
            said = [{"id": n, "image_id": n, "caption": _SENTENCE} for n in range(len(own))]
            text = json.dumps({"images": images, "annotations": said})
            (place / f"{name}.json").write_text(text, encoding="utf-8")
        spent = {}
        for epochs in (1, 3):
            recipe = place / f"{epochs}.toml"
            values = {"weights": version.weights, "folder": place, "epochs": epochs}
            recipe.write_text(_RECIPE.format(output=place / f"run{epochs}", **values))
            spent[epochs] = ask(process, "training", files, recipe)
        one, three = (np.array(spent[epochs]) for epochs in (1, 3))
        return [*((three - one)[:2] / 2), spent[1][2]]


@contextlib.contextmanager
def unpacked(commit: str) -> Iterator[Path]:
    """A commit's files, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "archive", commit], cwd=ROOT, check=True, capture_output=True
        )
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        yield Path(folder)


@contextlib.contextmanager
def busy(wanted: bool) -> Iterator[None]:
    """Another process that never rests, where one is wanted."""
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def photos(folder: Path, count: int, made: Path) -> dict[str, list[Path]]:
    """The files of each job."""
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not files:
        raise SystemExit(f"{folder}: no photos (.jpg, .jpeg, .png)")
    files = (files * -(-count // len(files)))[:count]
    large = []
    for number, file in enumerate(files[:8]):
        large.append(made / f"{number}.jpg")
        Image.open(file).convert("RGB").resize(_LARGE).save(large[-1], quality=90)
    jobs = dict.fromkeys(JOBS, files)
    learned = [*dict.fromkeys(files)][:64]
    return {**jobs, "large photos": large * 2, "one photo": files[:10], "training": learned}


def measure(
    versions: Sequence[Version], files: dict[str, list[Path]], rounds: int
) -> dict[str, dict[str, dict[str, float]]]:
    """By job and version: the best photos a second and processor milliseconds a photo."""
    found: dict[str, dict[str, dict[str, float]]] = {job: {} for job in files}
    first: dict[str, float] = {}
    running = []
    try:
        for version in versions:
            running.append(version.start())
            # The first caption of a new process, all that it imports and loads included.
            first[version.name] = ask(running[-1], "one photo", files["one photo"][:1])[2]
        for number in range(rounds + 1):  # the first round builds and loads
            for job, own in files.items():
                for version, process in zip(versions, running, strict=True):
                    if job == "training":
                        wall, spent, _ = learn(process, version, own)
                    else:
                        wall, spent, _ = ask(process, job, own)
                    if number:
                        _keep(found[job], version.name, wall, spent)
    finally:
        for process in running:
            process.kill()
            process.wait()
    found["first caption"] = {name: {"seconds": value} for name, value in first.items()}
    return found


def _keep(found: dict[str, dict[str, float]], name: str, wall: float, spent: float) -> None:
    best = found.setdefault(name, {"a second": 0.0, "processor ms": float("inf")})
    best["a second"] = max(best["a second"], 1 / wall)
    best["processor ms"] = min(best["processor ms"], 1000 * spent)


def table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """Markdown: a row a job and version, with ratios to the first version.

    In training, a photo is one with a caption to be learned.
    """
    lines = [
        "| job | version | photos a second | ratio | processor ms a photo | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for job, own in found.items():
        before = next(iter(own.values()))
        for name, best in own.items():
            if "seconds" in best:
                lines.append(f"| {job} | {name} | {best['seconds']:.2f} s | | | |")
                continue
            rate, spent = best["a second"], best["processor ms"]
            faster, less = rate / before["a second"], before["processor ms"] / spent
            lines.append(
                f"| {job} | {name} | {rate:.1f} | {faster:.2f} | {spent:.1f} | {less:.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Prints the table, and JSON where it is wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="a folder of photos")
    parser.add_argument("--commit", default=COMMIT, help=f"the earlier version ({COMMIT})")
    parser.add_argument("--earlier", default=sys.executable, help="Python of its environment")
    parser.add_argument("--count", type=int, default=256, help="photos captioned at a time")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS)
    parser.add_argument("--busy", action="store_true", help="keep another process busy meanwhile")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    began = time.perf_counter()
    with unpacked(arguments.commit) as folder, tempfile.TemporaryDirectory() as made:
        old, new = (place / "checkpoints" / "caption.safetensors" for place in (folder, ROOT))
        versions = [
            Version(f"{arguments.commit}", arguments.earlier, folder, old),
            Version("now, its weights", sys.executable, ROOT, old),
            Version("now", sys.executable, ROOT, new),
        ]
        files = photos(arguments.photos, arguments.count, Path(made))
        with busy(arguments.busy):
            chosen = {job: files[job] for job in arguments.jobs}
            chosen.setdefault("one photo", files["one photo"])
            found = measure(versions, chosen, arguments.rounds)
    print(table(found))
    print(
        f"\n{arguments.count} photos, best of {arguments.rounds}, "
        f"{time.perf_counter() - began:.0f} s in all"
    )
    if arguments.json:
        report: dict[str, Any] = {"count": arguments.count, "figures": found}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
