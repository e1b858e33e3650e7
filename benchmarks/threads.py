"""Times captions under several policies of waiting and threading, with and without a busy core.

    python -m benchmarks.threads

OpenMP's threads spin at barriers while they wait for one another, and a caption's decoder has
thousands of tiny operations. Where another program keeps a core busy, a thread that spins waits
for one that does not run. Each policy is a process of its own; they take turns, so that whatever
else this machine does meets all of them alike. Compare the ratios; the milliseconds are this
machine's.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

KINDS = ("one photo", "a folder")  # captioned alone; as a stream, milliseconds a photo


@dataclass(frozen=True)
class Policy:
    """A way to wait and to share the work out."""

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    torch_first: bool = False  # torch is there before captioner, which then changes nothing
    search_threads: int = 0  # threads while a sentence is looked for; 0: as many as elsewhere


_PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE"}
POLICIES = (
    Policy("torch's own", torch_first=True),
    Policy("captioner's"),
    Policy("passive", _PASSIVE),
    Policy("active", {"OMP_WAIT_POLICY": "ACTIVE"}),
    Policy("spin 1,000", {"GOMP_SPINCOUNT": "1000"}),
    Policy("spin 10,000", {"GOMP_SPINCOUNT": "10000"}),
    Policy("search alone", torch_first=True, search_threads=1),
    Policy("passive, search alone", _PASSIVE, search_threads=1),
    Policy("one thread", {"OMP_NUM_THREADS": "1"}),
)


class Child:
    """A process that captions under one policy when it is told to."""

    def __init__(self, number: int, photos: int) -> None:
        policy = POLICIES[number]
        own = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "MKL_"))}
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "benchmarks.threads",
                "--child",
                str(number),
                "--photos",
                str(photos),
            ],
            env={**own, **policy.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def milliseconds(self, kind: str, times: int) -> float:
        """The median of `times` measurements, a photo."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(kind, times, sep="\t", file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        self.process.communicate()


def serve(policy: Policy, count: int) -> None:
    """Captions one photo or `count`, as often as it is told to, and says how long it took."""
    if policy.torch_first:
        importlib.import_module("torch")
    from captioner import Captioner
    from captioner.examples import found

    if policy.search_threads:
        import torch

        from captioner.captions import writer

        every, search = torch.get_num_threads(), writer.search

        def alone(*arguments: object) -> object:
            torch.set_num_threads(policy.search_threads)
            try:
                return search(*arguments)  # type: ignore[arg-type]
            finally:
                torch.set_num_threads(every)

        writer.search = alone  # type: ignore[assignment]
    captioner = Captioner.load()
    paths = [path for _, path in found()]
    for line in sys.stdin:
        kind, times = line.rstrip("\n").split("\t")
        many = kind != KINDS[0]
        photos = [paths[place % len(paths)] for place in range(count if many else 1)]
        taken = []
        for _ in range(int(times)):
            began = time.perf_counter()
            for _ in captioner.stream(photos, workers=2 if many else 1):
                pass
            taken.append((time.perf_counter() - began) / len(photos))
        print(1000 * statistics.median(taken), flush=True)


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that compute for nothing."""
    idlers = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in idlers:
            process.send_signal(signal.SIGKILL)
            process.wait()


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Times captions under policies of threading.")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each policy (default: 7)")
    parser.add_argument("--photos", type=int, default=64, help="in the folder (default: 64)")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="*", default=[], help="names of policies (default: all)")
    arguments = parser.parse_args()
    if arguments.child is not None:
        serve(POLICIES[arguments.child], arguments.photos)
        return
    chosen = [n for n, p in enumerate(POLICIES) if not arguments.only or p.name in arguments.only]
    with contextlib.ExitStack() as stack:
        children = {number: Child(number, arguments.photos) for number in chosen}
        for child in children.values():
            stack.callback(child.close)
            for kind in KINDS:
                child.milliseconds(kind, 1)  # the first time, memory is laid out
        found: dict[tuple[int, str, int], list[float]] = {}
        for turn in range(arguments.rounds):
            print(f"round {turn + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
            for count in (0, 1):
                with busy(count):
                    for kind, times in zip(KINDS, (5, 1), strict=True):
                        for number, child in children.items():
                            cell = found.setdefault((number, kind, count), [])
                            cell.append(child.milliseconds(kind, times))
    show(chosen, {cell: statistics.median(values) for cell, values in found.items()})


def show(chosen: list[int], medians: dict[tuple[int, str, int], float]) -> None:
    """The medians, and how they compare with the first policy's."""
    cells = [(kind, count) for kind in KINDS for count in (0, 1)]
    heads = [f"{kind}, {'a busy core' if count else 'idle'}" for kind, count in cells]
    print(f"| ms a photo | {' | '.join(heads)} |\n|---|{'--:|' * len(heads)}")
    for number in chosen:
        own = [(medians[number, *cell], medians[chosen[0], *cell]) for cell in cells]
        row = [f"{found:.0f} (×{found / first:.2f})" for found, first in own]
        print(f"| {POLICIES[number].name} | {' | '.join(row)} |")


if __name__ == "__main__":
    main()
