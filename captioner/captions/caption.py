"""What was found: a sentence about a photo, and where each of its words looked."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.atomic import is_same_file
from captioner.errors import ConfigError, shown
from captioner.pictures.drawings import save, suffix_of
from captioner.pictures.geometry import Geometry
from captioner.pictures.open import open_photo
from captioner.pictures.overlay import draw_overlay
from captioner.pictures.scale import shared_peak
from captioner.pictures.sheets import Sheet
from captioner.text import detokenise
from captioner.translations.translation import Translation
from captioner.words import Word, rounded


@dataclass(frozen=True, eq=False)
class Caption:
    """A sentence about a photo, and where each of its words looked.

    In another language than the model's it is a translation, and where a word looked is carried
    over from the `original` by what the translation's words looked at.
    """

    text: str  # as people write it
    words: tuple[Word, ...]  # T words
    log_prob: float  # of the known words and the end of the sentence
    maps: NDArray[np.float32]  # (T, h, w), each sums to 1
    file: str | None = None  # name of the photo, where it came from a file
    geometry: Geometry | None = None  # where the cells lie on the photo
    gates: NDArray[np.float32] | None = None  # (T,) how much of the context passed, 0 to 1
    n_best: tuple[Caption, ...] = ()  # the other sentences found, from second best on
    original: Caption | None = None  # the model's own sentence, where this is its translation
    translation: Translation | None = None  # how the two belong together
    error: str | None = None  # why there is no caption
    source: Any = None  # what was handed over as the photo
    confidence: float | None = None  # the chance that it names the thing, 0 to 1, of a caption that
    # was written, by a calibrated checkpoint; of several, of the best one
    unsure: bool = False  # whether that is below the checkpoint's threshold
    evidence: Mapping[str, float] = field(default_factory=dict)  # what the confidence rests on
    note: str | None = None  # what to know of how the photo was read: of a raw file, its preview

    def __repr__(self) -> str:
        of = "" if self.file is None else f" of {shown(self.file)}"
        if self.error is not None:
            return f"<Caption{of}: {shown(self.error)}>"
        size = "×".join(map(str, self.maps.shape))
        return f"<Caption {shown(self.text)}{of}, maps {size}>"

    def _repr_png_(self) -> bytes | None:
        """The contact sheet, as notebooks show it; None where there is no caption."""
        if self.error is not None or self.source is None:
            return None
        buffer = io.BytesIO()
        self.sheet().save(buffer, "PNG")
        return buffer.getvalue()

    def _repr_html_(self) -> str:
        """The sentence as notebooks show it above the sheet: each word tells its probability.

        A word is the darker the likelier it was; the pointer on it shows the number.
        """
        if self.error is not None:
            return f"<p>{html.escape(self.error)}</p>"
        words = " ".join(_word_html(word) for word in self.words)
        sheet = ""
        if self.source is not None:
            buffer = io.BytesIO()  # JPEG: a notebook keeps it, beside the PNG
            self.sheet().save(buffer, "JPEG", quality=90, subsampling=0)
            data = base64.b64encode(buffer.getvalue()).decode("ascii")
            sheet = f'<img alt="{html.escape(self.text)}" src="data:image/jpeg;base64,{data}">'
        return f"<p>{words}</p>{sheet}"

    def photo(self) -> Image.Image:
        """The whole photo, upright, opened again; at half its size above 64 megapixels."""
        return open_photo(self.source)

    def overlay(self, word: str | int, *, grid: bool = False) -> Image.Image:
        """The photo with the map of one word laid over it, in the photo's own pixels.

        Args:
            word: the word (its first place counts, capitals do not) or its position.
            grid: show the real cells instead of smoothing them.

        Raises:
            ConfigError: the sentence has no such word, or there is none.
        """
        self._check()
        peak = shared_peak(self.maps)
        return draw_overlay(self.photo(), self.maps[self._place(word)], peak=peak, grid=grid)

    def _check(self) -> None:
        if self.error is not None:
            raise ConfigError(f"there is no caption to draw: {self.error}")

    def _place(self, word: str | int) -> int:
        texts = [entry.text for entry in self.words]
        if isinstance(word, int) and -len(texts) <= word < len(texts):
            return word % len(texts)
        folded = [text.casefold() for text in texts]
        if isinstance(word, str) and word.casefold() in folded:
            return folded.index(word.casefold())
        said = ", ".join(texts) or "none"
        raise ConfigError(f"the caption has no word {shown(word)}; its words are: {said}")

    def sheet(self, *, grid: bool = False) -> Image.Image:
        """The contact sheet: the photo, then each word over its map, on one colour scale."""
        return self.drawing(grid=grid).picture()

    def drawing(self, *, grid: bool = False) -> Sheet:
        """The contact sheet, not drawn yet: `picture` gives pixels, `vectors` SVG or PDF.

        Raises:
            ConfigError: there is no caption.
        """
        self._check()
        title = self.text if self.original is None else f"{self.text} – {self.original.text}"
        title = f"{title} (unsure)" if self.unsure else title
        return Sheet(self.photo(), self.words, self.maps, title, grid)

    def save(self, path: str | PathLike[str], *, grid: bool = False) -> None:
        """Writes the contact sheet, whole or not at all, in place of what is there.

        Args:
            path: of a `.png`, or of an `.svg` or `.pdf`, in which text stays text.
            grid: show the real cells instead of smoothing them.

        Raises:
            ConfigError: the suffix is another one, the file is the photo itself, or there is no
                caption.
            OSError: it cannot be written.
        """
        target = Path(path)
        suffix_of(target, "sheet")
        if isinstance(self.source, (str, PathLike)) and is_same_file(target, fspath(self.source)):
            raise ConfigError(f"{target} is the photo itself; choose another name")
        save(self.drawing(grid=grid), target)

    def to_dict(self, *, maps: bool = False) -> dict[str, Any]:
        """Plain values for JSON, as `captioner caption --jsonl` writes them.

        Args:
            maps: include the maps, h·w numbers a word, row by row, four significant digits.
        """
        values: dict[str, Any] = {
            "file": self.file,
            "caption": self.text,
            "words": [word.to_dict() for word in self.words],
            "log_prob": rounded(self.log_prob),
            "grid": list(self.maps.shape[1:]),
        }
        if self.confidence is not None:
            values |= {"confidence": rounded(self.confidence), "unsure": self.unsure}
        if maps:
            values["maps"] = [[rounded(x) for x in m.ravel().tolist()] for m in self.maps]
        if self.n_best:
            values["n_best"] = [_alternative_dict(other, maps) for other in self.n_best]
        if self.original is not None and self.translation is not None:
            values["original"] = _alternative_dict(self.original, maps)
            carried = self.translation.to_dict()
            names = ("from", "to", "source_words", "alignment", "warning")
            values |= {key: carried[key] for key in names}
        if self.note is not None:
            values["note"] = self.note
        return {**values, "error": self.error}


def _word_html(word: Word) -> str:
    known = word.prob is not None
    about = f"{100 * (word.prob or 0):.1f} %" if known else "not in the vocabulary"
    others = ", ".join(f"{text} {100 * prob:.1f} %" for text, prob in word.alternatives)
    title = html.escape(f"{about}: {others}" if others else about)
    strength = 0.45 + 0.55 * (word.prob or 0.0)
    text = html.escape(word.text)
    return f'<span title="{title}" style="opacity:{strength:.2f}">{text}</span>'


def _alternative_dict(caption: Caption, maps: bool) -> dict[str, Any]:
    values = caption.to_dict(maps=maps)
    return {k: v for k, v in values.items() if k not in ("file", "grid", "n_best", "note", "error")}


def beginning(caption: Caption, count: int) -> Caption:
    """The first words of a caption, as if it went on behind them."""
    words = caption.words[:count]
    return dataclasses.replace(
        caption,
        text=detokenise([word.text for word in words]),
        words=words,
        log_prob=sum(word.log_prob or 0.0 for word in words),
        maps=caption.maps[:count],
        gates=None if caption.gates is None else caption.gates[:count],
        n_best=(),
        confidence=None,  # it is of a whole caption
        unsure=False,
        evidence={},
    )


def in_other_words(caption: Caption, translation: Translation) -> Caption:
    """The caption said in another language, each map carried over by the words looked at."""
    return dataclasses.replace(
        caption,
        text=translation.text,
        words=translation.words,
        log_prob=translation.log_prob,
        maps=_carried(caption, translation),
        gates=None,
        n_best=(),
        original=caption,
        translation=translation,
        error=translation.error and f"{caption.file or 'the caption'}: {translation.error}",
    )


def _carried(caption: Caption, translation: Translation) -> NDArray[np.float32]:
    """Maps (T, h, w) of the translation's words: the product of the two attentions.

    A source word that the caption has no map for, such as a full stop, is left out of the sum.
    """
    shares = word_shares(translation, [word.text for word in caption.words])
    return np.tensordot(shares, caption.maps, 1).astype(np.float32)


def word_shares(translation: Translation, words: Sequence[str]) -> NDArray[np.float64]:
    """How much each of T translated words looked at each word of the caption, rows sum to 1."""
    shares = translation.alignment.astype(np.float64) @ _overlaps(translation.source_words, words)
    shares += np.finfo(np.float32).tiny  # all may be on words without a map
    shares /= shares.sum(1, keepdims=True)
    return shares  # (T, words of the caption)


def _overlaps(words: Sequence[str], others: Sequence[str]) -> NDArray[np.float64]:
    """How the letters of `words` are shared out among `others`, two cuts of one sentence.

    `is`, `n't` and `isn`, `'`, `t` have the same letters in the same order; the sentence's own full
    stop stands behind the last of `others`, which makes a row of zeros.
    """
    shares = np.zeros((len(words), len(others)))
    owners = [place for place, other in enumerate(others) for _ in other.replace(" ", "")]
    letter = 0
    for place, word in enumerate(words):
        for owner in owners[letter : letter + len(word)]:
            shares[place, owner] += 1 / len(word)
        letter += len(word)
    return shares
