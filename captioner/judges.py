"""Judges of drawn captions: at once, or in processes of their own while the device computes.

This module is light on purpose: a judging process imports it, and not torch.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from captioner.atomic import naming
from captioner.metrics import CiderScorer, repeated_words

Rewards = Callable[[], np.ndarray]  # waits for the rewards (K,)

_MOST = 6  # processes; each keeps all references
_scorer: CiderScorer | None = None  # of a judging process


class Judge:
    """Rewards captions by CIDEr-D, less a penalty for content words that stand twice."""

    def __init__(self, references: Sequence[Sequence[Sequence[str]]]) -> None:
        """Takes the tokens of each photo's captions, whose n-grams are counted when needed."""
        self._references = references
        self._scorer: CiderScorer | None = None

    def __call__(
        self, said: Sequence[Sequence[str]], owners: Sequence[int], penalty: float = 0.0
    ) -> Rewards:
        """The rewards of captions, at once.

        Args:
            said: their tokens.
            owners: the photo that each is about.
            penalty: taken off for every content word that is said again.
        """
        if self._scorer is None:
            self._scorer = CiderScorer(self._references)
        found = _rewards(self._scorer, said, owners, penalty)
        return lambda: found

    def close(self) -> None:
        """Nothing is open."""


class JudgesBeside(Judge):
    """The same in a few processes, so that judging a step goes on beside computing it."""

    def __init__(
        self, references: Sequence[Sequence[Sequence[str]]], processes: int | None = None
    ) -> None:
        """Starts the processes, of which each counts the n-grams for itself."""
        self.processes = processes or max(1, min(_MOST, (os.cpu_count() or 2) - 2))
        self._folder = tempfile.TemporaryDirectory(prefix="captioner-judges-")
        path = Path(self._folder.name) / "references.json"
        with naming(path):
            path.write_text(json.dumps(references), encoding="utf-8")
        # Forked, a process would inherit the device's handles, which work in their own alone.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(self.processes, context, _begin, (str(path),))
        self._ready = [self._pool.submit(os.getpid) for _ in range(self.processes)]

    def __call__(
        self, said: Sequence[Sequence[str]], owners: Sequence[int], penalty: float = 0.0
    ) -> Rewards:
        """Hands captions out in equal parts; asking for the rewards waits for them."""
        size = -(-len(said) // self.processes)
        parts = [
            self._pool.submit(_judge, said[at : at + size], owners[at : at + size], penalty)
            for at in range(0, len(said), size)
        ]
        return lambda: np.concatenate([part.result() for part in parts])

    def close(self) -> None:
        """Ends the processes."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._folder.cleanup()


def _rewards(
    scorer: CiderScorer, said: Sequence[Sequence[str]], owners: Sequence[int], penalty: float
) -> np.ndarray:
    rewards = scorer.score(said, owners)
    if penalty:
        rewards = rewards - penalty * np.array([len(repeated_words(words)) for words in said])
    return rewards


def _begin(path: str) -> None:
    """In a judging process: Ctrl-C is for the training, which ends its judges itself."""
    global _scorer  # each judging process has its own
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _scorer = CiderScorer(json.loads(Path(path).read_text(encoding="utf-8")))


def _judge(said: Sequence[Sequence[str]], owners: Sequence[int], penalty: float) -> np.ndarray:
    assert _scorer is not None
    return _rewards(_scorer, said, owners, penalty)
