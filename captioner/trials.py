"""Decodings that are tried on validation data, to choose the best of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from captioner.options import SearchOptions

T = TypeVar("T")


class Sentence(NamedTuple):
    """One of the sentences that a beam found."""

    text: str
    log_prob: float
    length: int  # tokens and the end, which is what a length penalty counts


@dataclass(frozen=True)
class Trial:
    """A decoding that was tried, and how it scored."""

    beam_size: int
    length_penalty: float | None  # None for a beam of 1, which has nothing to rank
    scores: Mapping[str, float]  # the first one chooses

    def put_into(self, options: SearchOptions) -> SearchOptions:
        """The options with this decoding; without a length penalty of its own, with theirs."""
        return options.changed(beam_size=self.beam_size, length_penalty=self.length_penalty)


def try_decodings(
    find: Callable[[int], Sequence[tuple[T, Sequence[Sentence]]]],
    score: Callable[[Sequence[str], Sequence[T]], Mapping[str, float]],
    *,
    beam_sizes: Sequence[int],
    length_penalties: Sequence[float],
) -> tuple[Trial, ...]:
    """Scores every beam size with every length penalty.

    A beam finds the same sentences whatever the penalty, which only ranks them at the end: one
    search a beam size is enough.

    Args:
        find: all sentences that a beam of some size finds, beside what each shall be compared with.
        score: of one sentence each, beside what it shall be compared with.
        beam_sizes: to try; 1 is tried once, as it has nothing to rank.
        length_penalties: to try.

    Returns:
        The trials, beam size by beam size.
    """
    trials = []
    for beam_size in beam_sizes:
        found = find(beam_size)
        wanted = [each for each, _ in found]
        for penalty in length_penalties if beam_size > 1 else (None,):
            said = [_first(sentences, penalty or 0.0) for _, sentences in found]
            trials.append(Trial(beam_size, penalty, score(said, wanted)))
    return tuple(trials)


def _first(sentences: Sequence[Sentence], length_penalty: float) -> str:
    """The sentence that `length_penalty` ranks first."""
    return max(sentences, key=lambda each: each.log_prob / each.length**length_penalty).text
