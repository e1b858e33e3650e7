"""How fast a captioner is here: every part by itself and all together, taking turns in one run.

A rate says something about the machine, about what else it did meanwhile, and about the captioner.
What is measured in one run, in turns, can be compared.
"""

from __future__ import annotations

import copy
import functools
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from captioner.captions.captioner import Captioner
from captioner.captions.opened import Opened, open_one
from captioner.errors import ImageError
from captioner.losses import cross_entropy
from captioner.nn.encoders import normalise
from captioner.nn.model import CaptionModel
from captioner.pipeline import in_batches
from captioner.text import BOS

BEAMS = (1, 3, 5)
_LEARNED, _WORDS = 16, 12  # captions of a training step, and words of each
_SINGLE = 5  # photos captioned one by one in a round


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    unit: str
    ratio: float | None = None  # to the captions a second of a beam of three, from files


def measure(
    captioner: Captioner,
    files: Sequence[Path],
    *,
    batch_size: int,
    workers: int,
    rounds: int,
    training: bool = True,
) -> Iterator[Figure]:
    """Figures, each the best of all rounds.

    Args:
        captioner: on any device.
        files: photos, one at least, all of which can be opened.
        batch_size: photos computed together.
        workers: threads that open photos.
        rounds: how often everything is measured, in turns.
        training: whether to measure that as well, which takes longest.

    Raises:
        ImageError: a photo cannot be opened.
    """
    read = functools.partial(open_one, preprocess=captioner.preprocess)
    opened = [read(file) for file in files]
    for photo in opened:
        if photo.error is not None:
            raise ImageError(photo.error)
    parts: dict[str, Callable[[], float]] = {
        "files opened": lambda: _rate(
            len(files), lambda: _through(in_batches(files, read, batch_size, workers))
        ),
        "photos encoded": lambda: _rate(len(files), lambda: _encode(captioner, opened, batch_size)),
    }
    for beams in BEAMS:
        parts[_named(beams)] = lambda beams=beams: _rate(  # type: ignore[misc]
            len(files),
            lambda: _through(
                captioner.stream(
                    files, batch_size=batch_size, workers=workers, beam_size=beams, n_best=1
                )
            ),
        )
    if training:
        learner = Learner(captioner, opened)
        parts["captions learned"] = lambda: _rate(_LEARNED, learner.step)
    parts["one photo"] = lambda: -_median_time(captioner, files[:_SINGLE])
    yield from _figures(parts, rounds)


def _figures(parts: dict[str, Callable[[], float]], rounds: int) -> Iterator[Figure]:
    """The best of all rounds; what comes first in a process is left out, as it builds and loads."""
    best = dict.fromkeys(parts, float("-inf"))
    for part in parts.values():
        part()
    for _ in range(rounds):
        for name, part in parts.items():
            best[name] = max(best[name], part())
    whole = best[_named(3)]
    for name, value in best.items():
        if name == "one photo":
            yield Figure(name, -1000 * value, "ms")
        else:
            yield Figure(name, value, "a second", value / whole)
    memory = highest_memory()
    if memory is not None:
        yield Figure("highest memory", memory / 2**20, "MiB")


def _named(beams: int) -> str:
    return "captions, greedy" if beams == 1 else f"captions, beam {beams}"


def _rate(count: int, work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def _median_time(captioner: Captioner, files: Sequence[Path]) -> float:
    """Seconds that a caption takes where photos come one by one, with a beam of three."""
    times = []
    for file in files:
        began = time.perf_counter()
        captioner(file, beam_size=3, n_best=1)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _through(results: Iterable[object]) -> None:
    deque(results, maxlen=0)


def _encode(captioner: Captioner, opened: Sequence[Opened], batch_size: int) -> None:
    for first in range(0, len(opened), batch_size):
        captioner.writer.encode(opened[first : first + batch_size])


class Learner:
    """A copy of the model that learns all its weights from made-up captions of real photos."""

    def __init__(self, captioner: Captioner, opened: Sequence[Opened]) -> None:
        self.model: CaptionModel = copy.deepcopy(captioner.checkpoint.model).to(captioner.device)
        self.model.train().requires_grad_(True)
        self.model.encoder.fine_tune(1)
        photos = [opened[place % len(opened)].pixels for place in range(_LEARNED)]
        pixels = torch.stack([torch.from_numpy(p) for p in photos if p is not None])
        preprocess = captioner.preprocess
        self.photos = normalise(pixels.to(captioner.device), preprocess.mean, preprocess.std)
        rng = torch.Generator().manual_seed(0)
        size = self.model.decoder.vocabulary_size
        words = torch.randint(BOS + 1, size, (_LEARNED, _WORDS + 1), generator=rng)
        words[:, 0] = BOS
        words = words.to(captioner.device)
        self.inputs, self.targets = words[:, :-1].contiguous(), words[:, 1:].contiguous()
        self.lengths = torch.full((_LEARNED,), _WORDS)

    def step(self) -> None:
        """One step: forward, backward, and the gradients thrown away."""
        unrolled = self.model(self.photos, self.inputs, self.lengths)
        cross_entropy(unrolled.logits, self.targets).backward()
        self.model.zero_grad(set_to_none=True)


def highest_memory() -> int | None:
    """Bytes that this process held at most so far; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
