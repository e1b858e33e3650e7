"""What is wrong with captioned photos before a model learns from them, and what to do about it.

Pictures that do not open, captions that say nothing, photos that stand in training and test at
once: each is a `Finding` with a remedy. Splits that share photos flatter every score, and Flickr8k
lies inside Flickr30k and Multi30k, so splits are compared by photo id and by file content alike.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from captioner.captions.recipe import DataConfig
from captioner.datasets import Photo, Photos
from captioner.errors import DataError, ImageError
from captioner.pictures.messages import shown_name
from captioner.pictures.open import open_photo, original_size, was_turned
from captioner.text import Vocabulary, tokenise

SEVERITIES = ("error", "warning", "info")
TINY = 64  # pixels of the shorter side; below it a photo blown up to a model's square is a blur
LONG = 50  # words; almost always two captions run together, or a paragraph
REFERENCES = 5  # captions a photo that published scores are computed from
COVERAGE = 0.95  # share of a split's words that the training vocabulary should know

Progress = Callable[[int, int], None]
"""Called with how many pictures and captions were looked at, and how many there are."""


@dataclass(frozen=True)
class Finding:
    """One thing that was seen; an "info" is worth knowing and asks for nothing."""

    severity: str  # "error", "warning" or "info"
    split: str  # name of the split, or of two: "train, val"
    subject: str  # the file, photo id, caption or quantity it is about
    message: str  # what is so
    remedy: str  # what to do about it

    def __str__(self) -> str:
        return f"{self.severity}: {self.split}: {self.subject}: {self.message}; {self.remedy}"


@dataclass(frozen=True)
class Counts:
    """How much a split holds."""

    split: str
    photos: int
    captions: int
    fewest: int  # captions of a photo
    most: int  # captions of a photo


def summary(splits: Mapping[str, Sequence[Photo]]) -> list[Counts]:
    """How many photos and captions every split holds."""
    counts = []
    for split, photos in splits.items():
        sizes = [len(photo.captions) for photo in photos] or [0]
        counts.append(Counts(split, len(photos), sum(sizes), min(sizes), max(sizes)))
    return counts


def table(counts: Sequence[Counts]) -> str:
    """The counts of `summary` as aligned lines of text, the total last where there are several."""
    rows = [(c.split, f"{c.photos:,}", f"{c.captions:,}", _range(c.fewest, c.most)) for c in counts]
    if len(counts) > 1:
        photos, captions = sum(c.photos for c in counts), sum(c.captions for c in counts)
        ends = _range(min(c.fewest for c in counts), max(c.most for c in counts))
        rows.append(("total", f"{photos:,}", f"{captions:,}", ends))
    rows.insert(0, ("split", "photos", "captions", "a photo"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def audit(
    splits: Mapping[str, Sequence[Photo]],
    *,
    vocabulary: Vocabulary | None = None,
    min_count: int = DataConfig.min_count,
    progress: Progress | None = None,
    limit: int = 10,
) -> list[Finding]:
    """Looks at every picture and caption of the splits, and at the splits side by side.

    Args:
        splits: photos by split name; "train", or else the first, is the one that is learnt from.
        vocabulary: the words that a model knows; by default those of the training split.
        min_count: how often the training split must hold a word for the model to know it; of no
            effect where a vocabulary is given.
        progress: called now and then, see `Progress`.
        limit: findings of one kind in one split, after which the rest is only counted.

    Returns:
        Errors first, then warnings, then what is good to know.

    Raises:
        DataError: there is no split, or one is empty.
    """
    if not splits or not all(splits.values()):
        empty = next((split for split, photos in splits.items() if not photos), "")
        raise DataError(
            f"nothing to look at{empty and f' in the split {empty!r}'}: name a file of captions"
        )
    paths = dict.fromkeys(photo.path for photos in splits.values() for photo in photos)
    captions = sum(len(photo.captions) for photos in splits.values() for photo in photos)
    tick = _ticker(progress, len(paths) + captions)
    looks = dict(zip(paths, _looks(list(paths), tick), strict=True))
    texts = {split: _read_through(photos, tick) for split, photos in splits.items()}
    findings: list[Finding] = []
    for split, photos in splits.items():
        findings += _capped(_pictures(split, photos, looks), limit)
        findings += _capped(_captions(split, texts[split]), limit)
        findings += _capped(_twins(split, photos, looks), limit)
    training = "train" if "train" in splits else next(iter(splits))
    findings += _references(splits, training)
    findings += _coverage(texts, training, vocabulary, min_count)
    findings += _shared(splits, looks)
    return ordered(findings)


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The findings, errors first, then warnings, then what is good to know."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def readings(split: str, file: str, found: Photos) -> list[Finding]:
    """What reading a file of captions tells: its format, and what was mended or left out.

    Args:
        split: name of the split that it belongs to.
        file: as its owner wrote it.
        found: what `datasets.reading` gave.
    """
    remedy = "nothing to do, unless it is another format: name it as `format`"
    message = f"read as {found.format.title} ({found.format.name})"
    own = [Finding("info", split, file, message, remedy)]
    remedy = "look whether that is right; data check counts what was read"
    return own + [
        Finding("warning", split, file, note.removeprefix(f"{file}: "), remedy)
        for note in found.notes
    ]


def _ticker(progress: Progress | None, total: int) -> Callable[[int], None]:
    done = 0

    def tick(steps: int) -> None:
        nonlocal done
        done += steps
        if progress is not None:
            progress(done, total)

    return tick


def _capped(findings: Iterable[tuple[str, Finding]], limit: int) -> Iterator[Finding]:
    """The first `limit` findings of every kind, and how many more there are."""
    kinds: dict[str, list[Finding]] = defaultdict(list)
    for kind, finding in findings:
        kinds[kind].append(finding)
    for kind, found in kinds.items():
        yield from found[:limit]
        if len(found) > limit:
            last = found[-1]
            more = f"{len(found) - limit:,} more"
            message = f"{kind}, {len(found):,} in all"
            yield Finding(last.severity, last.split, more, message, last.remedy)


# Pictures.


@dataclass(frozen=True)
class _Look:
    """What a picture file turned out to be."""

    problem: str = ""  # why it does not open
    missing: bool = False
    size: tuple[int, int] = (0, 0)  # (width, height), upright
    turned: bool = False  # by its EXIF orientation
    digest: bytes = b""  # of the file's content


_CHUNK = 512  # pictures handed to the threads at once, so that an interrupt need not wait for more


def _looks(paths: Sequence[Path], tick: Callable[[int], None]) -> Iterator[_Look]:
    """Opens every picture; decoding and hashing leave the interpreter free for other threads."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), _CHUNK):
            chunk = paths[start : start + _CHUNK]
            yield from pool.map(_look, chunk)
            tick(len(chunk))


def _look(path: Path) -> _Look:
    try:
        photo = open_photo(path, side=TINY)
        digest = hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    except (ImageError, OSError, MemoryError) as error:
        missing = isinstance(error.__cause__ or error, FileNotFoundError)
        return _Look(problem=str(error).removeprefix(f"{shown_name(path)}: "), missing=missing)
    return _Look("", False, original_size(photo), was_turned(photo), digest)


def _pictures(
    split: str, photos: Sequence[Photo], looks: Mapping[Path, _Look]
) -> Iterator[tuple[str, Finding]]:
    for path in dict.fromkeys(photo.path for photo in photos):
        look, name = looks[path], shown_name(path)
        if look.missing:
            remedy = "put the file there, mend the folder of photos, or take the photo's entry out"
            yield "missing pictures", Finding("error", split, name, "there is no such file", remedy)
        elif look.problem:
            remedy = "get the file again, or take the photo's entry out"
            yield "pictures that do not open", Finding("error", split, name, look.problem, remedy)
        elif min(look.size) < TINY:
            message = f"{look.size[0]} × {look.size[1]} pixels, the shorter side below {TINY}"
            remedy = "use the original photo, or take the entry out"
            yield "tiny pictures", Finding("warning", split, name, message, remedy)
        if look.turned:
            message = "turned upright on opening, as its EXIF orientation asks"
            remedy = "nothing to do here; tools that ignore EXIF, and boxes drawn with them, differ"
            yield "pictures turned by EXIF", Finding("info", split, name, message, remedy)


def _twins(
    split: str, photos: Sequence[Photo], looks: Mapping[Path, _Look]
) -> Iterator[tuple[str, Finding]]:
    """Photos that stand in a split more than once."""
    seen: dict[str, Path] = {}
    contents: dict[bytes, Photo] = {}
    for photo in photos:
        digest = looks[photo.path].digest
        remedy = "put all its captions under one entry, or give different photos different names"
        if photo.photo_id in seen:
            message = f"the photo id {photo.photo_id} is that of {seen[photo.photo_id]} too"
            yield "ids met twice", Finding("warning", split, str(photo.path), message, remedy)
        elif digest and digest in contents:
            message = f"the same file content as {contents[digest].path}"
            yield "contents met twice", Finding("warning", split, str(photo.path), message, remedy)
        seen.setdefault(photo.photo_id, photo.path)
        contents.setdefault(digest, photo)


# Captions.


@dataclass
class _Text:
    """A split's captions, counted."""

    lengths: list[int] = field(default_factory=list)  # words of every caption
    words: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)  # captions, by the number of their photos
    blank: list[tuple[Photo, str]] = field(default_factory=list)
    long: list[tuple[Photo, int]] = field(default_factory=list)
    repeated: list[tuple[Photo, str]] = field(default_factory=list)


def _read_through(photos: Sequence[Photo], tick: Callable[[int], None]) -> _Text:
    text = _Text()
    for photo in photos:
        said: set[str] = set()
        for caption in photo.captions:
            words = tokenise(caption)
            plain = " ".join(words)
            text.lengths.append(len(words))
            text.words.update(words)
            if not words:
                text.blank.append((photo, caption))
            elif plain in said:
                text.repeated.append((photo, caption))
            if len(words) > LONG:
                text.long.append((photo, len(words)))
            said.add(plain)
        text.said.update(said - {""})
        tick(len(photo.captions))
    return text


def _captions(split: str, text: _Text) -> Iterator[tuple[str, Finding]]:
    for photo, caption in text.blank:
        message, remedy = f"the caption {caption!r} holds no word", "take the caption out"
        yield "empty captions", Finding("warning", split, str(photo.path), message, remedy)
    for photo, words in text.long:
        message, remedy = f"a caption of {words} words, above {LONG}", "shorten it, or part it"
        yield "long captions", Finding("warning", split, str(photo.path), message, remedy)
    for photo, caption in text.repeated:
        message, remedy = f"has the caption {_short(caption)!r} twice", "take one of them out"
        yield "repeated captions", Finding("warning", split, str(photo.path), message, remedy)
    common = [(caption, count) for caption, count in text.said.items() if count > 1]
    if common:
        caption, count = max(common, key=lambda entry: entry[1])
        message = f"{len(common):,} are written for several photos, {_short(caption)!r} for {count}"
        remedy = "nothing to do, unless that caption is a placeholder"
        yield "common captions", Finding("info", split, "captions", message, remedy)
    mean = sum(text.lengths) / max(1, len(text.lengths))
    message = f"{mean:.1f} words on average, {max(text.lengths, default=0)} at most"
    remedy = "choose the longest caption to learn and to search for accordingly"
    yield "lengths", Finding("info", split, "captions", message, remedy)


def _references(splits: Mapping[str, Sequence[Photo]], training: str) -> Iterator[Finding]:
    """How many captions the photos have: scores depend on it where they are computed."""
    for split, photos in splits.items():
        sizes = Counter(len(photo.captions) for photo in photos)
        mean = sum(size * count for size, count in sizes.items()) / len(photos)
        message = _range(min(sizes), max(sizes))
        if len(sizes) > 1:
            message += f", {mean:.2f} on average"
        few = sum(count for size, count in sizes.items() if size < REFERENCES)
        if few and split != training:
            message += f"; {few:,} of {len(photos):,} photos have fewer than {REFERENCES}"
            remedy = "do not compare its scores with published ones, which have five references"
            yield Finding("warning", split, "captions a photo", message, remedy)
        else:
            remedy = "nothing to do"
            yield Finding("info", split, "captions a photo", message, remedy)


def _coverage(
    texts: Mapping[str, _Text], training: str, vocabulary: Vocabulary | None, min_count: int
) -> Iterator[Finding]:
    """How much of every split can be said with the words that the model knows."""
    if vocabulary is None:
        known = {word for word, count in texts[training].words.items() if count >= min_count}
        whose = (
            f"words met at least {min_count} times in {training}"
            if min_count > 1
            else f"of {training}"
        )
    else:
        known = {word for text in texts.values() for word in text.words if word in vocabulary}
        whose = "of the given vocabulary"
    size = len(known) if vocabulary is None else len(vocabulary.ordinary)
    for split, text in texts.items():
        total = text.words.total()
        unknown = Counter({word: n for word, n in text.words.items() if word not in known})
        share = 1 - unknown.total() / max(1, total)
        message = f"{share:.2%} of {total:,} words are among the {size:,} {whose}"
        if unknown:
            listed = ", ".join(f"{word} ({count})" for word, count in unknown.most_common(8))
            message += f"; {len(unknown):,} others, most frequent: {listed}"
        if share < COVERAGE:
            remedy = "lower min_count, or train on more captions like these"
            yield Finding("warning", split, "vocabulary", message, remedy)
        else:
            yield Finding("info", split, "vocabulary", message, "nothing to do")


# Splits side by side.


def _shared(
    splits: Mapping[str, Sequence[Photo]], looks: Mapping[Path, _Look]
) -> Iterator[Finding]:
    """Photos that two splits share, by photo id, and by content under different ids."""
    ids = {split: {p.photo_id: p for p in photos} for split, photos in splits.items()}
    contents = {
        split: {looks[p.path].digest: p for p in photos if looks[p.path].digest}
        for split, photos in splits.items()
    }
    for one, other in combinations(splits, 2):
        same = [identity for identity in ids[one] if identity in ids[other]]
        if same:
            yield _shared_ids(one, other, same, ids, looks)
        pairs = [
            (photo, contents[other][digest])
            for digest, photo in contents[one].items()
            if digest in contents[other]
        ]
        copies = [(a, b) for a, b in pairs if a.photo_id != b.photo_id]
        if copies:
            first = f"{copies[0][0].path} and {copies[0][1].path}"
            message = f"{len(copies):,} files have the same content under different names"
            remedy = f"take them out of {one}, or the scores on {other} are flattered"
            yield Finding("error", f"{one}, {other}", first, message, remedy)


def _shared_ids(
    one: str,
    other: str,
    same: Sequence[str],
    ids: Mapping[str, Mapping[str, Photo]],
    looks: Mapping[Path, _Look],
) -> Finding:
    """One finding for all; names that any camera gives are suspect only if the content agrees."""
    pairs = [(looks[ids[one][i].path].digest, looks[ids[other][i].path].digest) for i in same]
    identical = sum(a == b != b"" for a, b in pairs)
    certain = identical or any(identity.isdigit() for identity in same)
    listed = ", ".join(same[:5]) + (", …" if len(same) > 5 else "")
    message = f"{len(same):,} photo ids are in both, {identical:,} of them with the same content"
    remedy = (
        f"take them out of {one}, or the scores on {other} are flattered; if they are different "
        "photos, give them different names"
    )
    return Finding("error" if certain else "warning", f"{one}, {other}", listed, message, remedy)


def _range(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low} to {high}"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"
