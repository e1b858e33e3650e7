"""What was said in another language, and what each of its words looked at.

Shapes: S source words, T target words, P pieces of the translation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.errors import ConfigError, shown
from captioner.options import SearchOptions
from captioner.pictures.drawings import save, suffix_of
from captioner.pictures.heatmap import HeatMap
from captioner.pictures.open import open_photo
from captioner.pictures.sheets import Sheet
from captioner.sights import Sight
from captioner.tracing import Trace
from captioner.translations.pharaoh import token_links
from captioner.translations.selfattention import SelfAttention
from captioner.words import Word, rounded

_NO_SPACE = tuple("。！？｡」』")  # what no space follows


@dataclass(frozen=True, eq=False)
class Seen:
    """What the words of a translation saw of the photo in view, beside the sentence they read."""

    sight: Sight
    shares: NDArray[np.float32]  # (T,) of each word's look that lay on the photo, 0 to 1
    maps: NDArray[np.float32]  # (T, h, w) where it lay there, each sums to 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "photo": self.sight.file,
            "grid": list(self.maps.shape[1:]),
            "shares": [rounded(share) for share in self.shares.tolist()],
            "maps": [[rounded(x) for x in cells.ravel().tolist()] for cells in self.maps],
        }


@dataclass(frozen=True, eq=False)
class Translation:
    """A text in another language, and what each of its words looked at.

    A text of several sentences is translated sentence by sentence and joined: the alignment is
    block-diagonal then, as no word looks beyond its own sentence, and its rows still sum to 1.
    """

    text: str  # as people write it
    source_words: tuple[str, ...]  # S words, punctuation marks among them
    words: tuple[Word, ...]  # T words
    alignment: NDArray[np.float32]  # (T, S), rows sum to 1
    end_mass: NDArray[np.float32]  # (T,) share that each word's look left to the source's end
    # (what lies on words, on the end and on a photo, `seen.shares`, is all there is)
    log_prob: float  # of the words and the end of every sentence
    pieces: int = 0  # that the words were said in; a length penalty counts them and the end
    source: str = ""  # as it was given
    source_language: str = ""
    target_language: str = ""
    guessed: bool = False  # whether the source's language was not given
    n_best: tuple[Translation, ...] = ()  # the other sentences found, from second best on
    warning: str | None = None  # why not to rely on it: another language, words hardly known
    astray: bool = False  # whether the warning is about all of it, and not about single words
    error: str | None = None  # why there is no translation
    seen: Seen | None = None  # what its words saw of a photo, where one was in view

    def __repr__(self) -> str:
        if self.error is not None:
            return f"<Translation of {shown(self.source)}: {shown(self.error)}>"
        way = f"{self.source_language} → {self.target_language}"
        return f"<Translation {shown(self.text)} of {shown(self.source)}, {way}>"

    def heatmap(self) -> Image.Image:
        """The alignment drawn: the source on top, the translation at the left."""
        return self.drawing().picture()

    def drawing(self) -> HeatMap:
        """The heat map, not drawn yet: `picture` gives pixels, `vectors` SVG or PDF."""
        return HeatMap(
            self.source_words,
            [word.text for word in self.words],
            self.alignment,
            end_mass=self.end_mass,
            title=self.text,
        )

    def pharaoh(self) -> str:
        """The alignment as translators' tools read it: `0-0 1-2`, source and target token each.

        Tokens are what spaces part in `source` and `text`, so `bread.` is one.
        """
        links = token_links(
            (self.source, self.text),
            (self.source_words, [word.text for word in self.words]),
            self.alignment,
            self.end_mass,
        )
        return " ".join(f"{source}-{target}" for source, target in links)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the heat map, whole or not at all, in place of what is there.

        Args:
            path: of a `.png`, or of an `.svg` or `.pdf`, in which text stays text.

        Raises:
            ConfigError: the suffix is another one, or there is no word.
            OSError: it cannot be written.
        """
        suffix_of(Path(path), "heat map")
        save(self.drawing(), Path(path))

    def sheet(self, *, grid: bool = False) -> Image.Image:
        """The photo that was in view, then every word over the place that it looked at.

        Args:
            grid: show the real cells instead of smoothing them.

        Raises:
            ConfigError: there was no photo in view, or there is no word.
            ImageError: the photo cannot be opened any more.
        """
        return self.seen_drawing(grid=grid).picture()

    def seen_drawing(self, *, grid: bool = False) -> Sheet:
        """The sheet of the photo that was in view, not drawn yet.

        Raises:
            ConfigError: as `sheet`.
            ImageError: as `sheet`.
        """
        if self.seen is None:
            raise ConfigError("no photo was in view of this translation, so there is none to draw")
        photo = open_photo(self.seen.sight.source)
        return Sheet(photo, self.words, self.seen.maps, self.text, grid)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, as `captioner translate --jsonl` writes them."""
        values: dict[str, Any] = {
            "source": self.source,
            "from": self.source_language,
            "guessed": self.guessed,
            "to": self.target_language,
            "source_words": list(self.source_words),
            **self._said(),
        }
        if self.n_best:
            values["n_best"] = [other._said() for other in self.n_best]
        return {**values, "warning": self.warning, "error": self.error}

    def _said(self) -> dict[str, Any]:
        return {
            "translation": self.text,
            "words": [word.to_dict() for word in self.words],
            "alignment": [[rounded(share) for share in row] for row in self.alignment.tolist()],
            "end_mass": [rounded(share) for share in self.end_mass.tolist()],
            **({} if self.seen is None else {"seen": self.seen.to_dict()}),
            "log_prob": rounded(self.log_prob),
        }


@dataclass(frozen=True, eq=False)
class SentenceReading:
    """Every step of a sentence's translation. P + 1 steps: the pieces and the end."""

    source: tuple[str, ...]  # the memory's positions, its end apart: the source's pieces
    # (where a photo was in view, its cells follow behind the end, row by row)
    words: tuple[str, ...]  # P pieces
    following: tuple[tuple[str, ...], ...]  # (P + 1, A), likeliest next pieces, best first
    trace: Trace  # the numbers of each step
    self_attention: SelfAttention | None = None  # piece to piece, where a Transformer reads
    grid: tuple[int, int] | None = None  # (h, w) of the photo's cells
    # What these looked at in one another, (L, H, h·w, h·w), where a layer refines the grid
    refinement: NDArray[np.float32] | None = None


def joined(source: str, parts: Sequence[Translation], options: SearchOptions) -> Translation:
    """A text's best translations from the best of its sentences."""

    def score(found: Translation) -> float:
        return found.log_prob / (found.pieces + 1) ** options.length_penalty

    best: list[tuple[Translation, ...]] = [()]
    for part in parts:  # the best of all ways to go on are among those from the best beginnings
        ways = [(*begun, one) for begun in best for one in (part, *part.n_best)]
        best = sorted(ways, key=lambda way: -sum(map(score, way)))[: options.n_best]
    first, *others = [together(source, way) for way in best]
    return dataclasses.replace(first, n_best=tuple(others))


def together(source: str, parts: Sequence[Translation]) -> Translation:
    """A text's translation from those of its sentences; the alignment has them as blocks."""
    text = ""
    for part in parts:
        gap = " " if text and part.text and not text.endswith(_NO_SPACE) else ""
        text += gap + part.text
    shapes = np.array([part.alignment.shape for part in parts])
    alignment = np.zeros(shapes.sum(0), np.float32)  # (T, S)
    for part, (row, column) in zip(parts, shapes.cumsum(0) - shapes, strict=True):
        height, width = part.alignment.shape
        alignment[row : row + height, column : column + width] = part.alignment
    return dataclasses.replace(
        parts[0],
        text=text,
        source_words=tuple(word for part in parts for word in part.source_words),
        words=tuple(word for part in parts for word in part.words),
        alignment=alignment,
        end_mass=np.concatenate([part.end_mass for part in parts]),
        log_prob=sum(part.log_prob for part in parts),
        pieces=sum(part.pieces + 1 for part in parts) - 1,  # each has an end of its own
        source=source,
        guessed=any(part.guessed for part in parts),
        n_best=(),
        warning=_warnings(parts),
        astray=any(part.astray for part in parts),
        seen=_seen(parts),
    )


def _seen(parts: Sequence[Translation]) -> Seen | None:
    """What all sentences saw; the words of one that stays as it is have looked at nothing."""
    known = next((part.seen for part in parts if part.seen is not None), None)
    if known is None:
        return None
    height, width = known.maps.shape[1:]
    shares, maps = [], []
    for part in parts:
        count = len(part.words)
        even = np.full((count, height, width), 1 / (height * width), np.float32)
        shares.append(np.zeros(count, np.float32) if part.seen is None else part.seen.shares)
        maps.append(even if part.seen is None else part.seen.maps)
    return Seen(known.sight, np.concatenate(shares), np.concatenate(maps))


def _warnings(parts: Sequence[Translation]) -> str | None:
    """What is to be said of a text, each thing once, with the sentences that it is about."""
    about: dict[str, list[str]] = {}
    for number, part in enumerate(parts, 1):
        if part.warning:
            about.setdefault(part.warning, []).append(str(number))
    told = [f"sentence {', '.join(numbers)}: {warning}" for warning, numbers in about.items()]
    return "; ".join(told) or None
