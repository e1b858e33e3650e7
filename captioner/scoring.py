"""A model and what people wrote → scores with their recipe, whichever the task.

Sentences are decoded freely, without teacher forcing; references are used to score them only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np

from captioner.errors import DataError
from captioner.metrics import Score
from captioner.options import RESAMPLES, SearchOptions, given_or
from captioner.trials import Sentence, Trial, try_decodings


class Answer(Protocol):
    """What a model said about one item: a caption, a translation."""

    @property
    def text(self) -> str:
        """The sentence."""

    @property
    def log_prob(self) -> float:
        """Of its tokens and the end."""

    @property
    def n_best(self) -> Sequence[Any]:
        """The other sentences that were asked for, best first."""

    @property
    def error(self) -> str | None:
        """Why there is no sentence."""


I = TypeVar("I")  # noqa: E741  (of items: photos, pairs)
A = TypeVar("A", bound=Answer)


@dataclass(frozen=True, eq=False)
class Report(Generic[I, A]):
    """What an evaluation found."""

    scores: dict[str, Score]
    items: tuple[I, ...]  # those that were scored
    answers: tuple[A, ...]  # one an item
    each: np.ndarray  # the score of each answer alone, (items,)
    failures: tuple[str, ...]  # why others are missing, or count as empty

    def __repr__(self) -> str:
        scores = ", ".join(f"{name} {score.value:.3f}" for name, score in self.scores.items())
        return f"<{type(self).__name__}: {scores}>"

    def to_dict(self) -> dict[str, Any]:
        """The scores as plain values for JSON."""
        return {name: score.to_dict() for name, score in self.scores.items()}

    def records(self) -> Iterator[dict[str, Any]]:
        """Each answer with its own score and what people wrote, as plain values for JSON."""
        raise NotImplementedError


R = TypeVar("R", bound=Report[Any, Any])


class Evaluation(ABC, Generic[I, A, R]):
    """A model with the items that it is scored on; a task says what is answered and scored."""

    unit: ClassVar[str]  # what an item is called
    report: ClassVar[type[Any]]
    left_out: ClassVar[bool] = False  # whether items without an answer are; they count as empty

    def __init__(self, model: Any, items: Sequence[I]) -> None:
        self.model = model
        self.items = items

    @abstractmethod
    def answers(self, options: SearchOptions) -> Iterator[A]:
        """The answers to the items, in their order."""

    @abstractmethod
    def length(self, answer: A) -> int:
        """Tokens of an answer, without its end."""

    @abstractmethod
    def scores(
        self, said: Sequence[str], items: Sequence[I], *, bootstrap: int, decoding: str
    ) -> dict[str, Score]:
        """The scores of one sentence an item, by name."""

    @abstractmethod
    def trial_scores(self, said: Sequence[str], items: Sequence[I]) -> dict[str, float]:
        """What a search compares decodings by; the first chooses."""

    @abstractmethod
    def each(self, said: Sequence[str], items: Sequence[I]) -> np.ndarray:
        """The score of each sentence alone."""

    def failure(self, item: I, answer: A) -> str:
        """What is said of an item without an answer."""
        return str(answer.error)

    def run(
        self,
        options: SearchOptions | None = None,
        *,
        bootstrap: int = RESAMPLES,
        progress: Callable[[], object] = lambda: None,
    ) -> R:
        """Decodes every item and scores what came.

        Args:
            options: how to decode; left out, as the checkpoint has it, without alternatives.
            bootstrap: resamples for the intervals; 0 leaves them out.
            progress: called after every item.

        Raises:
            DataError: there is nothing to score.
        """
        options = given_or(options, self.model.options(alternatives=0))
        items, answers, failures = self.answered(options, progress)
        said = [answer.text for answer in answers]
        scores = self.scores(said, items, bootstrap=bootstrap, decoding=decoding(options))
        each = self.each(said, items)
        return self.report(scores, tuple(items), tuple(answers), each, tuple(failures))

    def search(
        self,
        options: SearchOptions | None = None,
        *,
        beam_sizes: Sequence[int],
        length_penalties: Sequence[float],
        progress: Callable[[], object] = lambda: None,
    ) -> tuple[Trial, ...]:
        """Scores every beam size with every length penalty.

        Args:
            options: what else there is to decoding; left out, as the checkpoint has it.
            beam_sizes: to try; 1 is tried once, as it has nothing to rank.
            length_penalties: to try.
            progress: called after every item of every beam size.

        Returns:
            The trials, beam size by beam size.

        Raises:
            DataError: there is too little to score.
        """

        def find(beam_size: int) -> list[tuple[I, list[Sentence]]]:
            # Every sentence of the beam comes back, for penalties to rank.
            whole = self.model.options(options).changed(
                beam_size=beam_size, n_best=beam_size, alternatives=0
            )
            items, answers, _ = self.answered(whole, progress)
            self.check_search(items)
            return [
                (item, [self._sentence(each) for each in (answer, *answer.n_best)])
                for item, answer in zip(items, answers, strict=True)
            ]

        return try_decodings(
            find, self.trial_scores, beam_sizes=beam_sizes, length_penalties=length_penalties
        )

    def check_search(self, items: Sequence[I]) -> None:
        """Refuses items that a search could not choose by.

        Raises:
            DataError: they are too few.
        """

    def _sentence(self, answer: A) -> Sentence:
        return Sentence(answer.text, answer.log_prob, self.length(answer) + 1)

    def answered(
        self, options: SearchOptions, progress: Callable[[], object]
    ) -> tuple[list[I], list[A], list[str]]:
        """The items that are scored, their answers, and what is to be said of failures."""
        items, answers, failures = [], [], []
        for item, answer in zip(self.items, self.answers(options), strict=True):
            if answer.error is not None:
                failures.append(self.failure(item, answer))
            if answer.error is None or not self.left_out:
                items.append(item)
                answers.append(answer)
            progress()
        if not items:
            first = f"; the first: {failures[0]}" if failures else ""
            raise DataError(f"none of {len(failures)} {self.unit}s can be read{first}")
        return items, answers, failures


def decoding(options: SearchOptions) -> str:
    """How the sentences were found, for a score's recipe."""
    if options.sample:
        return f"top-p {options.top_p:g}, temperature {options.temperature:g}, seed {options.seed}"
    if options.beam_size == 1:
        return "greedy"
    return f"beam {options.beam_size}, length penalty {options.length_penalty:g}"
