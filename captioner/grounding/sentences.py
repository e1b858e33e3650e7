"""What is asked about: sentences about photos, the words in them that name something, their maps.

The maps come from a captioner that reads given sentences (teacher forcing), so that every model is
asked about the same words, or from a JSONL file of any model, as `docs/maps-format.md` has it.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from captioner.captions.captioner import Captioner
from captioner.captions.closer import agreed
from captioner.datasets import Photo, photo_id
from captioner.errors import DataError, ImageError
from captioner.grounding.reading import read_sentences
from captioner.grounding.regions import Region
from captioner.grounding.synonyms import Kinds, Namer
from captioner.nn.encoders import normalise
from captioner.nn.memory import Memory
from captioner.pictures.open import open_photo
from captioner.pictures.preprocess import Preprocess
from captioner.text import Vocabulary, tokenise

_BATCH = 32  # photos at a time


@dataclass(frozen=True)
class Mention:
    """A word that names something."""

    sentence: int  # of the photo's
    place: int  # of the word in it
    kinds: Kinds  # that it can name


@dataclass(frozen=True)
class Asked:
    """A photo, sentences about it and the words that are asked about."""

    photo: Photo
    sentences: tuple[tuple[str, ...], ...]
    mentions: tuple[Mention, ...]
    regions: Mapping[str, Sequence[Region]]  # by kind; empty where nobody drew any


@dataclass(frozen=True, eq=False)
class Shown:
    """A sentence about a photo with the map of each of its words."""

    photo: str  # `Photo.photo_id`
    words: tuple[str, ...]  # T, lower-cased
    maps: NDArray[np.float32]  # (T, h, w), each sums to 1
    following: NDArray[np.float32] | None = None  # (T, h, w), of the step after each word


def ask(
    photos: Iterable[Photo],
    namer: Namer,
    regions: Mapping[str, Mapping[str, Sequence[Region]]] | None = None,
) -> list[Asked]:
    """The photos whose captions name something, and where.

    Args:
        photos: with given captions.
        namer: finds the words that name something.
        regions: by photo id and kind; where given, only words that name a kind with a region in
            their photo are asked about.

    Raises:
        DataError: no caption names anything that can be asked about.
    """
    found, seen = [], 0
    for photo in photos:
        seen += 1
        own = (regions or {}).get(photo.photo_id, {})
        sentences = tuple(tuple(tokenise(caption)) for caption in photo.captions)
        mentions = tuple(
            Mention(number, place, kinds)
            for number, words in enumerate(sentences)
            for place, named in namer(words)
            if (kinds := named if regions is None else named.intersection(own))
        )
        if mentions:
            found.append(Asked(photo, sentences, mentions, own))
    if not found:
        of = "" if regions is None else f" that has a region ({len(regions)} photos have some)"
        raise DataError(
            f"no caption of {seen} photos names a thing{of}; do captions and regions belong to "
            "the same photos, and are the kinds' names English words?"
        )
    return found


def opened(
    captioner: Captioner,
    asked: Sequence[Asked],
    batch_size: int = _BATCH,
    preprocess: Preprocess | None = None,
) -> Iterator[tuple[list[Asked], Tensor, list[str]]]:
    """The photos in batches: those that can be read, their pixels, and why others are missing.

    Args:
        captioner: who is to see them.
        asked: the photos.
        batch_size: photos at a time.
        preprocess: makes their pixels; left out, the captioner's.

    Yields:
        The asked photos, normalised pixels (B, 3, S, S) on the captioner's device, and a line for
        each photo that cannot be read.
    """
    preprocess = preprocess or captioner.preprocess

    def pixels(entry: Asked) -> NDArray[np.uint8] | ImageError:
        try:
            return preprocess.pixels(open_photo(entry.photo.path, side=preprocess.size))
        except ImageError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(asked), batch_size):
            batch = asked[start : start + batch_size]
            found = list(pool.map(pixels, batch))
            pairs = [(a, p) for a, p in zip(batch, found, strict=True) if isinstance(p, np.ndarray)]
            lines = [str(error) for error in found if isinstance(error, ImageError)]
            stacked = torch.zeros(0, 3, preprocess.size, preprocess.size)
            if pairs:
                raw = torch.from_numpy(np.stack([picture for _, picture in pairs]))
                stacked = normalise(raw.to(captioner.device), preprocess.mean, preprocess.std)
            yield [entry for entry, _ in pairs], stacked, lines


def explained(
    captioner: Captioner,
    asked: Sequence[Asked],
    *,
    memory_of: Callable[[Memory], Memory] = lambda memory: memory,
    progress: Callable[[int], object] = lambda photos: None,
) -> Iterator[tuple[Asked, list[Shown]] | str]:
    """What a captioner shows for every given sentence, photo by photo; heads are averaged.

    Args:
        captioner: whose maps; those of a closer look, where it takes one.
        asked: see `ask`.
        memory_of: changes what the encoder made of a batch, such as for a control.
        progress: called with a number of photos when these are done.

    Yields:
        The photo with what is shown of its sentences, or why it cannot be read.
    """
    encoder, closer = captioner.model.encoder, captioner.writer.closer
    enlarged: Iterable[Any] = itertools.repeat(None)
    if closer is not None:
        enlarged = opened(captioner, asked, preprocess=closer.preprocess)
    for (entries, pixels, lines), larger in zip(opened(captioner, asked), enlarged, strict=False):
        yield from lines
        if entries:
            with torch.inference_mode():
                memory, near = memory_of(encoder(pixels)), None
                if larger is not None:
                    near = memory_of(encoder(torch.cat([larger[1], larger[1].flip(-1)])))
                yield from _shown(captioner, entries, memory, near)
        progress(len(entries) + len(lines))


def _shown(
    captioner: Captioner, entries: Sequence[Asked], memory: Memory, near: Memory | None
) -> list[tuple[Asked, list[Shown]]]:
    """What is shown of the sentences about a batch; `near` is what a closer look saw of it."""
    assert memory.grid is not None
    owners = [n for n, entry in enumerate(entries) for _ in entry.sentences]
    words = [sentence for entry in entries for sentence in entry.sentences]
    tokens = [captioner.vocabulary.encode(sentence) for sentence in words]
    decoder, grid = captioner.model.decoder, memory.grid
    maps = read_sentences(decoder, memory, tokens, owners).maps.unflatten(-1, grid)
    if near is not None and near.grid is not None:
        grid = near.grid
        behind = [len(entries) + owner for owner in owners]
        read = read_sentences(decoder, near, tokens * 2, owners + behind).maps
        maps = agreed(maps, *read.unflatten(-1, grid).split(len(tokens)))
    drawn = maps.cpu().numpy()
    found: list[tuple[Asked, list[Shown]]] = [(entry, []) for entry in entries]
    for row, (owner, sentence) in enumerate(zip(owners, words, strict=True)):
        own = drawn[row, : len(sentence) + 1]
        shown = Shown(entries[owner].photo.photo_id, sentence, own[:-1], own[1:])
        found[owner][1].append(shown)
    return found


def read_maps(path: str | Path) -> tuple[list[Shown], list[str]]:
    """Sentences with maps of any model, from a JSONL file as `docs/maps-format.md` describes it.

    A photo is known by its `file`; several lines may be about one photo. `n_best` is passed over.

    Returns:
        What is shown, and a line for each of the file's lines that is wrong or holds an error.

    Raises:
        DataError: the file cannot be read, or no line is right.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise DataError(f"{path}: cannot be read ({reason}); expected JSONL with maps") from None
    found, wrong = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                found.append(_line(json.loads(line)))
            except (ValueError, TypeError, KeyError, RecursionError, DataError) as error:
                reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
                wrong.append(f"{path}: line {number}: {reason}")
    if not found:
        first = f"; the first: {wrong[0]}" if wrong else ""
        raise DataError(
            f"{path}: no line holds a caption with maps; expected one JSON object a line with "
            f"file, words, grid and maps{first}"
        )
    return found, wrong


def _line(values: Any) -> Shown:
    if not isinstance(values, dict):
        raise DataError(f"is {type(values).__name__}; expected an object with words, grid, maps")
    if values.get("error") is not None:
        raise DataError(str(values["error"]))
    texts = [word["word"] if isinstance(word, dict) else word for word in values["words"]]
    if not isinstance(values["file"], str) or not all(isinstance(text, str) for text in texts):
        raise DataError("file is no text, or a word is none")
    rows, columns = (int(side) for side in values["grid"])
    if min(rows, columns) < 1:
        raise DataError(f"grid is {rows}×{columns}; expected rows and columns from 1 on")
    maps = np.array([np.ravel(each) for each in values["maps"]], np.float64)
    if maps.shape != (len(texts), rows * columns):
        raise DataError(
            f"{len(texts)} words on a grid of {rows}×{columns} came with maps of shape "
            f"{maps.shape}; expected one map of {rows * columns} numbers a word"
        )
    sums = maps.sum(1, keepdims=True)
    if not (maps >= 0).all() or not ((sums > 0) & (sums < math.inf)).all():
        raise DataError("a map is not of numbers from 0 up with a sum above 0")
    maps = (maps / sums).astype(np.float32).reshape(-1, rows, columns)
    return Shown(photo_id(values["file"]), tuple(text.lower() for text in texts), maps)


def ask_shown(
    shown: Iterable[Shown],
    namer: Namer,
    regions: Mapping[str, Mapping[str, Sequence[Region]]],
) -> list[tuple[Asked, list[Shown]]]:
    """The same questions for maps that come from a file: its own sentences are asked about.

    Raises:
        DataError: no sentence names a thing that has a region in its photo.
    """
    by_photo: dict[str, list[Shown]] = {}
    for each in shown:
        by_photo.setdefault(each.photo, []).append(each)
    photos = [
        Photo(identity, Path(identity), tuple(" ".join(each.words) for each in own))
        for identity, own in by_photo.items()
    ]
    plain = {photo.photo_id: photo for photo in photos}
    entries = []
    for identity, own in by_photo.items():
        kinds_here = regions.get(identity, {})
        mentions = tuple(
            Mention(number, place, kinds)
            for number, each in enumerate(own)
            for place, named in namer(each.words)
            if (kinds := named.intersection(kinds_here))
        )
        if mentions:
            sentences = tuple(each.words for each in own)
            entries.append((Asked(plain[identity], sentences, mentions, kinds_here), own))
    if not entries:
        raise DataError(
            f"none of {len(plain)} photos in the file of maps has a sentence that names a thing "
            f"with a region ({len(regions)} photos have some); does `file` name the same photos?"
        )
    return entries


def known(asked: Sequence[Asked], vocabulary: Vocabulary) -> list[Asked]:
    """The photos with those of their words that the vocabulary has: others have no probability."""
    kept = (
        replace(
            entry,
            mentions=tuple(
                mention
                for mention in entry.mentions
                if entry.sentences[mention.sentence][mention.place] in vocabulary
            ),
        )
        for entry in asked
    )
    return [entry for entry in kept if entry.mentions]


def sample(asked: Sequence[Asked], photos: int, words: int, seed: int = 0) -> list[Asked]:
    """At most so many photos, spread evenly over all, and so many of each one's words, drawn.

    Sentences without a drawn word are left out.
    """
    step = max(1.0, len(asked) / max(1, photos))
    chosen = [asked[int(place * step)] for place in range(min(photos, len(asked)))]
    rng = np.random.default_rng(seed)
    return [_drawn(entry, words, rng) for entry in chosen]


def _drawn(entry: Asked, words: int, rng: np.random.Generator) -> Asked:
    count = min(words, len(entry.mentions))
    places = sorted(rng.choice(len(entry.mentions), count, replace=False).tolist())
    kept = [entry.mentions[place] for place in places]
    used = sorted({mention.sentence for mention in kept})
    return replace(
        entry,
        sentences=tuple(entry.sentences[number] for number in used),
        mentions=tuple(replace(m, sentence=used.index(m.sentence)) for m in kept),
    )
