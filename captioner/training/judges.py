"""Judges of drawn captions: at once, or in processes of their own while the device computes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from captioner.metrics import CiderScorer, repeated_words

Rewards = Callable[[], np.ndarray]  # waits for the rewards (K,)

_MOST = 6  # processes; each keeps all references
_scorer: CiderScorer | None = None  # of a judging process


class Judge:
    """Rewards captions by CIDEr-D, less a penalty for content words that stand twice."""

    def __init__(self, references: Sequence[Sequence[Sequence[str]]], penalty: float = 0.0) -> None:
        """Counts the n-grams of the references.

        Args:
            references: the tokens of each photo's captions.
            penalty: taken off for every content word that is said again.
        """
        self.penalty = penalty
        self._scorer = CiderScorer(references)

    def __call__(self, said: Sequence[Sequence[str]], owners: Sequence[int]) -> Rewards:
        """The rewards of captions about the photos `owners`; they are ready when they are asked."""
        found = _rewards(self._scorer, said, owners, self.penalty)
        return lambda: found

    def close(self) -> None:
        """Nothing is open."""


class JudgesBeside(Judge):
    """The same in a few processes, so that judging a step goes on beside computing it."""

    def __init__(
        self,
        references: Sequence[Sequence[Sequence[str]]],
        penalty: float = 0.0,
        processes: int | None = None,
    ) -> None:
        """Starts the processes, of which each counts the n-grams for itself."""
        self.penalty = penalty
        self.processes = processes or max(1, min(_MOST, (os.cpu_count() or 2) - 2))
        # Forked, a process would inherit the device's handles, which work in their own alone.
        self._pool = ProcessPoolExecutor(
            self.processes, multiprocessing.get_context("spawn"), _begin, (references,)
        )

    def __call__(self, said: Sequence[Sequence[str]], owners: Sequence[int]) -> Rewards:
        """Hands captions out in equal parts; asking for the rewards waits for them."""
        size = -(-len(said) // self.processes)
        parts = [
            self._pool.submit(_judge, said[at : at + size], owners[at : at + size], self.penalty)
            for at in range(0, len(said), size)
        ]
        return lambda: np.concatenate([part.result() for part in parts])

    def close(self) -> None:
        """Ends the processes."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _rewards(
    scorer: CiderScorer, said: Sequence[Sequence[str]], owners: Sequence[int], penalty: float
) -> np.ndarray:
    rewards = scorer.score(said, owners)
    if penalty:
        rewards = rewards - penalty * np.array([len(repeated_words(words)) for words in said])
    return rewards


def _begin(references: Any) -> None:
    """In a judging process: Ctrl-C is for the training, which ends its judges itself."""
    global _scorer  # each judging process has its own
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _scorer = CiderScorer(references)


def _judge(said: Sequence[Sequence[str]], owners: Sequence[int], penalty: float) -> np.ndarray:
    assert _scorer is not None
    return _rewards(_scorer, said, owners, penalty)
