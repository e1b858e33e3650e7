"""Scores of anyone's captions: files in any format, matched photo by photo; two systems compared.

Scores of words come from `captioner.metrics`; here stand those that need no references: how long
captions are, how many say a word twice, how different they are from each other (Li et al. 2016,
distinct-n).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from captioner import metrics
from captioner.errors import DataError
from captioner.formats import registry
from captioner.formats.content import Content, lines, shown
from captioner.formats.entries import Entry, plain
from captioner.metrics import Score
from captioner.options import RESAMPLES
from captioner.text import tokenise

NAMES = ("bleu", "rouge_l", "cider", "meteor")
FEW = 100  # photos; below that an interval of CIDEr is about as wide as systems differ


@dataclass(frozen=True)
class Captions:
    """Captions of photos in one file."""

    path: Path
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]

    @property
    def by_line(self) -> bool:
        """Whether they are lines of text, told apart by their numbers alone."""
        return all(not entry.name and entry.identity.startswith("line ") for entry in self.entries)


@dataclass(frozen=True)
class Matched:
    """One caption a photo, with what people wrote of it."""

    names: tuple[str, ...]
    said: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]  # what was left out, or means little


@dataclass(frozen=True)
class Difference:
    """How much better one system is than another by one score, on the same photos."""

    name: str
    value: float  # of the first less that of the second
    interval: tuple[float, float]  # 95 %, paired bootstrap over photos (Koehn 2004)
    chance: float  # share of the resamples in which the first is not better


def read(path: str | Path) -> Captions:
    """Reads captions in any format; what is in none of them is a caption a line.

    Raises:
        DataError: it holds no captions.
    """
    content = registry.opened(path)
    if content.path.is_file() and not any(f.recognises(content) for f in registry.FORMATS):
        if content.is_json:
            registry.recognised(content)  # says what is wrong with it
        return _lines(content)
    form = registry.recognised(content)
    found = registry.read(content.path, form.name, split="*" if form.name == "karpathy" else "")
    entries = tuple(entry for entry in found.entries if entry.captions)
    if not entries:
        raise DataError(f"{path}: holds no caption")
    return Captions(content.path, entries, found.notes)


_NO_TEXT = re.compile(r"[\x00-\x06\x0e-\x1a\x1c-\x1f]")  # archives and tables begin so


def _lines(content: Content) -> Captions:
    """A caption a line.

    Raises:
        DataError: it is some other kind of file.
    """
    if content.path.suffix.lower() in (".json", ".jsonl"):
        raise DataError(
            f"{content.path}: no JSON of captions: it begins with {shown(content.first)}; expected "
            "a list or an object, as docs/formats.md shows, or a text with a caption a line"
        )
    if _NO_TEXT.search(content.text):
        raise DataError(
            f"{content.path}: no text: it holds control characters; expected captions in a format "
            "of docs/formats.md, or a text with a caption a line"
        )
    entries = [Entry("", (line.strip(),), f"line {n}") for n, line in lines(content.text)]
    return Captions(content.path, tuple(entries), ())


def match(said: Captions, references: Sequence[Captions]) -> Matched:
    """Puts captions to the references of the same photos: by name, or else by id.

    Raises:
        DataError: a caption's photo has no references, or photos cannot be told apart.
    """
    notes = [note for each in (said, *references) for note in each.notes]
    captions = [each.by_line for each in (said, *references)]
    if any(captions) and not all(captions):
        lines, names = (said, references[0]) if said.by_line else (references[0], said)
        raise DataError(
            f"{lines.path} is lines of text and {names.path} names photos: they cannot be matched; "
            "give both as lines, or both with names"
        )
    key = _key(said, references)
    wanted: dict[str, list[str]] = {}
    for each in references:
        for entry in each.entries:
            wanted.setdefault(key(entry), []).extend(entry.captions)
    unknown = [entry for entry in said.entries if key(entry) not in wanted]
    if unknown:
        first = unknown[0].name or unknown[0].identity
        raise DataError(
            f"{said.path}: {len(unknown):,} of {len(said.entries):,} photos have no references in "
            f"{references[0].path}, first {first!r}"
        )
    several = sum(len(entry.captions) > 1 for entry in said.entries)
    if several:
        notes.append(f"{said.path}: {several:,} photos have several captions; the first counts")
    if len(said.entries) < len(wanted):
        notes.append(
            f"{len(said.entries):,} of the {len(wanted):,} photos with references are scored: "
            "the others have no caption"
        )
    return Matched(
        tuple(key(entry) for entry in said.entries),
        tuple(entry.captions[0] for entry in said.entries),
        tuple(tuple(wanted[key(entry)]) for entry in said.entries),
        (*notes, *_little(len(said.entries))),
    )


def _little(photos: int) -> list[str]:
    """What a score of few photos means."""
    if photos == 1:
        return [
            "of one photo CIDEr is 0 and BLEU is that of one sentence: neither says how good a "
            "system is"
        ]
    if photos < FEW:
        return [f"scores of {photos} photos vary much: read the intervals, not the numbers"]
    return []


def _key(said: Captions, references: Sequence[Captions]) -> Callable[[Entry], str]:
    """What tells photos apart: names where all are named alike, or else ids.

    An id is what a name tells ("42" of COCO's names); where that is not what the captions are told
    by, it is the data set's own.

    Raises:
        DataError: two photos of one file have one id.
    """
    by_name = {plain(entry.name) for each in references for entry in each.entries if entry.name}
    if all(entry.name and plain(entry.name) in by_name for entry in said.entries):
        return lambda entry: plain(entry.name) if entry.name else entry.key

    def key(entry: Entry) -> str:
        return entry.identity if entry.identity and not entry.name else entry.key

    held = [entry for each in references for entry in each.entries]
    if not {key(entry) for entry in said.entries} <= {key(entry) for entry in held}:
        own_ids = {entry.identity for entry in held} - {""}
        if all(entry.identity in own_ids for entry in said.entries):
            return lambda entry: entry.identity or entry.key
    for each in (said, *references):
        seen: dict[str, str] = {}
        for entry in each.entries:
            own, name = key(entry), entry.name or entry.identity
            if own in seen:
                raise DataError(
                    f"{each.path}: {seen[own]} and {name} have one id, {own}, and the names differ "
                    "between the files: name the photos alike in both"
                )
            seen[own] = name
    return key


def score(
    matched: Matched,
    *,
    names: Sequence[str] = NAMES,
    bootstrap: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Score]:
    """All scores of one system, those of `describe` too.

    Args:
        matched: its captions with the references.
        names: any of `NAMES`; METEOR is a Java program and takes seconds.
        bootstrap: resamples for the intervals.
        seed: of the resampling.

    Raises:
        MetricError: the number of resamples is below 0.
    """
    found = metrics.score(
        matched.said, matched.references, names=names, bootstrap=bootstrap, seed=seed
    )
    return found | describe(matched.said, bootstrap=bootstrap, seed=seed)


def describe(said: Sequence[str], *, bootstrap: int = RESAMPLES, seed: int = 0) -> dict[str, Score]:
    """What can be said of captions without references.

    Returns:
        "length": words a caption; "repetition": share of the captions that say a content word
        twice; "distinct_1", "distinct_2": different words and pairs of words by all of them;
        "different": share of the captions that are said of one photo only.
    """
    tokens = [tokenise(caption) for caption in said]
    context = f"N {len(said)}"
    each = {
        "length": ([len(words) for words in tokens], "words a caption"),
        "repetition": (
            [bool(metrics.repeated_words(words)) for words in tokens],
            "share of captions that say a content word twice",
        ),
    }
    scores = {}
    for name, (values, title) in each.items():
        column = np.array(values, dtype=float)[:, None]
        interval = None
        if bootstrap:
            means = metrics.resample(column, bootstrap, seed) / len(said)
            low, high = np.quantile(means, (0.025, 0.975))
            interval = (float(low), float(high))
        scores[name] = Score(name, float(column.mean()), interval, f"{title} | {context}")
    for n, what in ((1, "words"), (2, "pairs of words")):
        grams = [
            gram for words in tokens for gram in zip(*(words[k:] for k in range(n)), strict=False)
        ]
        value = len(set(grams)) / max(1, len(grams))
        title = f"different {what} by all of them | {context}"
        scores[f"distinct_{n}"] = Score(f"distinct_{n}", value, None, title)
    different = len({" ".join(words) for words in tokens}) / len(said)
    title = f"share of captions that differ from all before | {context}"
    scores["different"] = Score("different", different, None, title)
    return scores


def compare(
    one: Matched, other: Matched, *, bootstrap: int = RESAMPLES, seed: int = 0
) -> tuple[list[Difference], int]:
    """Two systems on the photos that both captioned: BLEU-4, ROUGE-L and CIDEr-D, paired.

    Args:
        one: the system that should be better.
        other: the system that it is compared with.
        bootstrap: resamples, 1 or more.
        seed: of the resampling.

    Returns:
        A difference a score, and the number of photos.

    Raises:
        DataError: they have no photo in common.
    """
    places = {name: place for place, name in enumerate(other.names)}
    both = [(k, places[name]) for k, name in enumerate(one.names) if name in places]
    if not both:
        raise DataError("the two systems captioned no photo in common")
    references = [[tokenise(text) for text in one.references[k]] for k, _ in both]
    systems = (
        [tokenise(one.said[k]) for k, _ in both],
        [tokenise(other.said[k]) for _, k in both],
    )
    photos = len(both)
    counts = [metrics.bleu(said, references)[1] for said in systems]
    found = [_difference("bleu_4", counts, metrics.summed_bleu, bootstrap, seed)]
    for name, measure in (("rouge_l", metrics.rouge_l), ("cider", metrics.cider)):
        values = [measure(said, references)[1][:, None] for said in systems]
        found.append(_difference(name, values, lambda sums: sums[..., 0] / photos, bootstrap, seed))
    return found, photos


def _difference(
    name: str,
    statistics: Sequence[np.ndarray],
    value: Callable[[np.ndarray], np.ndarray],
    bootstrap: int,
    seed: int,
) -> Difference:
    """Both systems' sums over the same draws of photos."""
    drawn = [value(metrics.resample(each, bootstrap, seed)) for each in statistics]
    whole = [float(value(each.sum(axis=0))) for each in statistics]
    low, high = np.quantile(drawn[0] - drawn[1], (0.025, 0.975))
    chance = float((drawn[0] <= drawn[1]).mean())
    return Difference(name, whole[0] - whole[1], (float(low), float(high)), chance)
