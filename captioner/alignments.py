"""How well attention aligns words, where nobody has aligned them by hand: a silver aligner.

IBM Model 2 (Brown et al. 1993, section 4.2) is trained in both directions. Links on which the two
agree are *sure*, links that either draws are *possible*; the alignment error rate knows the same
two kinds (Och and Ney 2003, section 2.2). S source words, T target words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from captioner.errors import MetricError
from captioner.metrics import Score, resample
from captioner.options import RESAMPLES

Link = tuple[int, int]  # place of a target word, place of the source word that it stands for
WordPair = tuple[Sequence[str], Sequence[str]]  # words of a source sentence and of its translation

_COLUMNS = ("rows", "possible", "sure", "wanted", "linked", "hits", "mass", "end", "words")


@dataclass(frozen=True)
class SilverLinks:
    """Which words of a sentence pair belong together, as far as counting can tell."""

    sure: frozenset[Link]  # found in both directions
    possible: frozenset[Link]  # found in at least one


def align(
    pairs: Sequence[WordPair], *, support: Iterable[WordPair] = (), iterations: int = 5
) -> list[SilverLinks]:
    """Silver links of sentence pairs, by NLTK's IBM Model 2 in both directions.

    The model learns from the very pairs that it aligns, and from the supporting ones. The time
    grows with iterations × pairs × S × T: five iterations over 5,000 captions take minutes.

    Args:
        pairs: words of the sentences to align; their case is ignored.
        support: further pairs in the same languages, training sentences say; more of them make
            better links.
        iterations: of Model 2; Model 1, from which it starts, gets twice as many.

    Returns:
        Links for each of `pairs`; none where a sentence has no words.

    Raises:
        MetricError: `iterations` is less than 1.
    """
    if iterations < 1:
        raise MetricError(f"iterations is {iterations}: the aligner needs at least 1.")
    several = [_lowered(pair) for pair in pairs]
    others = [pair for pair in map(_lowered, support) if all(pair)]
    trained = [pair for pair in several if all(pair)] + others
    forward = _links(trained, iterations)
    swapped = _links([(target, source) for source, target in trained], iterations)
    backward = [{(t, s) for s, t in links} for links in swapped]
    found = zip(forward, backward, strict=True)
    return [_silver(*next(found)) if all(pair) else _silver(set(), set()) for pair in several]


def measure(
    alignments: Sequence[np.ndarray],
    silver: Sequence[SilverLinks],
    *,
    end_mass: Sequence[np.ndarray] | None = None,
    shifts: Sequence[int] = (-1, 1),
    bootstrap: int = RESAMPLES,
    seed: int = 0,
) -> AlignmentReport:
    """Compares where words look with silver links.

    A row counts as one link, to the source word with the largest share. The scores:

    - "hits": share of the words with a sure link whose row points at one;
    - "mass": share of attention that the sure source words of such a word get, in the mean;
    - "precision": share of the rows' links that are possible, "recall": share of the sure links
      that rows draw, "f1": their harmonic mean, "aer": the alignment error rate of Och and Ney;
    - "end_mass": share of attention on the end of the source, in the mean over all words.

    A shifted score judges for word t the row of word t + shift: attention that points at the
    *next* word has its best score at −1. Shift 0 is there again, over the words for which all
    shifted rows exist. The yardstick is a diagonal: row t points at source word (t + ½) S / T.

    Args:
        alignments: (T, S) for each sentence, rows renormalised over words.
        silver: links of the same words.
        end_mass: (T,) for each sentence.
        shifts: apart from 0.
        bootstrap: resamples of sentences for the intervals; 0 leaves them out.
        seed: seed of the resampling.

    Raises:
        MetricError: numbers of sentences differ, a link lies outside its alignment, or there is
            no word to judge.
    """
    _check(alignments, silver, end_mass)
    ends = end_mass or [np.zeros(len(rows)) for rows in alignments]

    def scores(rows: Sequence[np.ndarray], *, shift: int = 0, margin: int = 0) -> dict[str, Score]:
        judged = zip(rows, silver, ends, strict=True)
        statistics = np.array([_statistics(*each, shift, margin) for each in judged])
        return _scores(
            statistics, _recipe(len(rows), shift, margin, bootstrap, seed), bootstrap, seed
        )

    margin = max(map(abs, shifts), default=0)
    own = scores(alignments)
    if end_mass is None:
        del own["end_mass"]
    diagonal = scores([_diagonal(rows.shape) for rows in alignments])
    shifted = {k: scores(alignments, shift=k, margin=margin) for k in sorted({0, *shifts})}
    for each in (diagonal, *shifted.values()):
        del each["end_mass"]
    return AlignmentReport(own, shifted if shifts else {}, diagonal, len(alignments))


@dataclass(frozen=True)
class AlignmentReport:
    """What `measure` found."""

    scores: dict[str, Score]  # hits, mass, precision, recall, f1, aer and, where known, end_mass
    shifted: dict[int, dict[str, Score]]  # by shift, all over the same words
    diagonal: dict[str, Score]  # what pointing along the diagonal gets
    sentences: int

    def table(self) -> str:
        """A Markdown table in per cent, with 95 % intervals."""
        names = ("hits", "mass", "precision", "recall", "f1", "aer")
        rows = {"attention": self.scores, "the diagonal": self.diagonal}
        rows |= {
            f"row t {k:+d}, same words" if k else "row t, same words": v
            for k, v in self.shifted.items()
        }
        lines = [f"| {' | '.join(['', *names])} |", f"|---|{'---|' * len(names)}"]
        for title, scores in rows.items():
            lines.append(f"| {title} | {' | '.join(_percent(scores[name]) for name in names)} |")
        if "end_mass" in self.scores:
            lines += ["", f"On the end of the source: {_percent(self.scores['end_mass'])} %."]
        return "\n".join([*lines, "", next(iter(self.scores.values())).recipe])


# The silver aligner


def _lowered(pair: WordPair) -> tuple[list[str], list[str]]:
    source, target = pair
    return [word.lower() for word in source], [word.lower() for word in target]


def _links(pairs: Sequence[tuple[list[str], list[str]]], iterations: int) -> list[set[Link]]:
    """For each pair, the source word that every target word was made from, if any."""
    from nltk.translate import AlignedSent, IBMModel2

    corpus = [AlignedSent(target, source) for source, target in pairs]
    if corpus:
        IBMModel2(corpus, iterations)  # aligns what it has learned from
    return [{(t, s) for t, s in sentence.alignment if s is not None} for sentence in corpus]


def _silver(forward: set[Link], backward: set[Link]) -> SilverLinks:
    return SilverLinks(frozenset(forward & backward), frozenset(forward | backward))


# Counting


def _diagonal(shape: tuple[int, ...]) -> np.ndarray:
    target, source = shape
    rows = np.zeros(shape)
    if source:
        places = ((np.arange(target) + 0.5) * source / max(1, target)).astype(int)
        rows[np.arange(target), places] = 1
    return rows


def _statistics(
    rows: np.ndarray, silver: SilverLinks, end: np.ndarray, shift: int, margin: int
) -> list[float]:
    """The sums of one sentence, in the order of `_COLUMNS`, over words `margin` from both ends."""
    words = range(margin, len(rows) - margin)
    drawn = {(t, int(rows[t + shift].argmax())) for t in words}
    sure = {(t, s) for t, s in silver.sure if t in words}
    linked = {t for t, _ in sure}
    return [
        len(drawn),
        len(drawn & silver.possible),
        len(drawn & sure),
        len(sure),
        len(linked),
        len({t for t, _ in drawn & sure}),
        float(sum(rows[t + shift, s] for t, s in sure)),
        float(end.sum()),
        len(rows),
    ]


def _scores(statistics: np.ndarray, recipe: str, bootstrap: int, seed: int) -> dict[str, Score]:
    totals = _values(statistics.sum(axis=0))
    if np.isnan(totals["hits"]):
        raise MetricError("There is no word with a sure link to judge: give longer sentences.")
    spread = _values(resample(statistics, bootstrap, seed)) if bootstrap else {}
    return {
        name: Score(name, float(value), _interval(spread.get(name)), recipe)
        for name, value in totals.items()
    }


def _values(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Scores (...) of sums (..., 9); nan where there is nothing to divide by."""
    column = dict(zip(_COLUMNS, np.moveaxis(sums, -1, 0), strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = column["possible"] / column["rows"]
        recall = column["sure"] / column["wanted"]
        return {
            "hits": column["hits"] / column["linked"],
            "mass": column["mass"] / column["linked"],
            "precision": precision,
            "recall": recall,
            "f1": 2 * precision * recall / np.maximum(precision + recall, 1e-12),
            "aer": 1 - (column["sure"] + column["possible"]) / (column["rows"] + column["wanted"]),
            "end_mass": column["end"] / column["words"],
        }


def _interval(values: np.ndarray | None) -> tuple[float, float] | None:
    if values is None:
        return None
    low, high = np.nanquantile(values, (0.025, 0.975))
    return float(low), float(high)


def _recipe(sentences: int, shift: int, margin: int, bootstrap: int, seed: int) -> str:
    words = f"words {margin} from both ends" if margin else "all words"
    drawn = f"bootstrap {bootstrap}, seed {seed}" if bootstrap else "no bootstrap"
    row = f"row t {shift:+d}" if shift else "row t"
    return f"against IBM Model 2, both directions | {row} | {words} | N {sentences} | {drawn}"


def _percent(score: Score) -> str:
    spread = score.interval
    return f"{100 * score.value:.1f}" + (
        f" [{100 * spread[0]:.1f}, {100 * spread[1]:.1f}]" if spread else ""
    )


def _check(
    alignments: Sequence[np.ndarray],
    silver: Sequence[SilverLinks],
    end_mass: Sequence[np.ndarray] | None,
) -> None:
    for name, several in (("silver links", silver), ("end masses", end_mass)):
        if several is not None and len(several) != len(alignments):
            raise MetricError(
                f"{len(alignments)} alignments came with {len(several)} {name}: give one for each."
            )
    for number, (rows, links) in enumerate(zip(alignments, silver, strict=True)):
        places = np.array(sorted(links.possible | links.sure) or [(-1, -1)])
        if rows.ndim != 2 or (places >= np.array(rows.shape)).any():
            raise MetricError(
                f"The alignment of sentence {number} has shape {rows.shape}, which its silver "
                "links exceed: both must be of the same words."
            )
        if end_mass is not None and np.shape(end_mass[number]) != rows.shape[:1]:
            raise MetricError(
                f"end_mass of sentence {number} has shape {np.shape(end_mass[number])}, but "
                f"{rows.shape[:1]} was expected: one share a target word."
            )
