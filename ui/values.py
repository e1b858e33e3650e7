"""Values for the viewers: what the browser draws, as plain JSON.

A caption's value holds the photo as a JPEG of at most `LONGEST` pixels, and the maps as bytes on
one shared colour scale, so that every picture is drawn in the browser.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.captions.alt_text import alt_text
from captioner.captions.caption import Caption, word_shares
from captioner.pictures.scale import shared_peak, spread
from captioner.translations.translation import Translation
from captioner.words import Word

LONGEST = 1024  # pixels of the longer side of what a browser gets to see
QUALITY = 82  # of its JPEG

View = dict[str, Any]


def view(
    caption: Caption,
    photo: Image.Image | View | None = None,
    *,
    others: Sequence[tuple[str, Caption]] = (),
    title: str = "",
    busy: bool = False,
    length_penalty: float = 1.0,
) -> View:
    """The viewer's value for a caption.

    Args:
        caption: with its maps.
        photo: what to draw on, or its value as `blank` makes it; left out, the caption's own.
        others: more captions of the same photo with what each is called, shown as cards behind
            the caption's own; all share one colour scale.
        title: what the caption's own card is called.
        busy: more words are to come.
        length_penalty: of the search, by which the cards are ranked.
    """
    everything = [caption, *(other for _, other in others)]
    peak = peak_of(everything)
    shown = photo if isinstance(photo, dict) else blank(photo or caption.photo())
    value = {
        **shown,
        **sentence(caption, peak),
        "grid": list(caption.maps.shape[1:]),
        "peak": peak,
        "busy": busy,
    }
    if caption.confidence is not None:
        value |= {"confidence": rounded(caption.confidence), "unsure": caption.unsure}
    if others:
        named = [(title, caption), *others]
        value["choices"] = [
            {
                "title": name,
                "grid": list(c.maps.shape[1:]),
                **sentence(c, peak),
                **_rank(c, length_penalty),
            }
            for name, c in named
        ]
    return value


def blank(photo: Image.Image | None) -> View:
    """The viewer's value for a photo that nothing has been said about yet."""
    if photo is None:
        return {"photo": "", "words": []}
    shown = photo.copy()
    shown.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return {"photo": data_url(shown), "size": list(shown.size), "words": []}


def data_url(picture: Image.Image) -> str:
    """A picture as a JPEG in a URL, without any of the file's own data."""
    buffer = io.BytesIO()
    plain = picture.convert("RGB")
    plain.info = {}
    plain.save(buffer, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def peak_of(captions: Sequence[Caption]) -> float:
    """The top of the colour scale that all maps of some captions share."""
    alike: dict[tuple[int, ...], list[NDArray[np.float32]]] = {}  # of one grid
    for caption in captions:
        if len(caption.maps):
            alike.setdefault(caption.maps.shape[1:], []).append(caption.maps)
    return max((shared_peak(np.concatenate(maps)) for maps in alike.values()), default=1.0)


def sentence(caption: Caption, peak: float) -> View:
    """A caption's words and maps, without its photo."""
    return {
        "caption": caption.text,
        "alt": caption.text if caption.original else alt_text(caption.text),
        "log_prob": rounded(caption.log_prob),
        "words": [_word(word) for word in caption.words],
        "maps": map_bytes(caption.maps, peak),
        "spread": [] if not len(caption.maps) else spread(caption.maps).round(4).tolist(),
    }


def _rank(caption: Caption, length_penalty: float) -> View:
    """What a sentence is ranked by, as `Hypothesis.score` has it, the end counting as one word.

    With a penalty of 1 that is the mean of the words' log probabilities: `per_word` is the
    probability that words have on average (their geometric mean). Nothing where none is known.
    """
    if caption.words and all(word.prob is None for word in caption.words):
        return {}  # made elsewhere, and not said how probable it was
    score = caption.log_prob / (len(caption.words) + 1) ** length_penalty
    rank = {"score": rounded(score)}
    return rank if length_penalty != 1 else {**rank, "per_word": rounded(float(np.exp(score)))}


def _word(word: Word) -> View:
    return {
        "text": word.text,
        "prob": None if word.prob is None else rounded(word.prob),
        "alternatives": [[text, rounded(prob)] for text, prob in word.alternatives],
        "known": word.known,
        "copied": word.copied,
    }


def map_bytes(maps: NDArray[np.floating[Any]], peak: float) -> str:
    """Maps (T, h, w) as base64 of T·h·w bytes; 255 is the shared peak and all above it."""
    levels = np.minimum(np.asarray(maps, np.float64) / peak, 1) * 255
    return base64.b64encode((levels + 0.5).astype(np.uint8).tobytes()).decode("ascii")


def rounded(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


def moved(caption: Caption, after: Sequence[Word], peak: float) -> View:
    """A caption whose words' probabilities stand beside those after something was painted over."""
    words = [
        {**_word(old), "after": None if new.prob is None else rounded(new.prob)}
        for old, new in zip(caption.words, after, strict=True)
    ]
    return {**sentence(caption, peak), "words": words}


def links(said: Caption, peak: float) -> View:
    """The lower line of the viewer: a translated caption, linked to the words above it."""
    assert said.translation is not None
    assert said.original is not None
    above = [word.text for word in said.original.words]
    return {
        **sentence(said, peak),
        "alignment": rows(word_shares(said.translation, above)),
        "language": said.translation.target_language,
    }


def pairs(found: Translation) -> View:
    """The value of the viewer of linked words."""
    return {
        "source_words": list(found.source_words),
        "words": [_word(word) for word in found.words],
        "alignment": rows(found.alignment),
        "end_mass": _list(found.end_mass),
        "caption": found.text,
        "source_language": found.source_language,
        "target_language": found.target_language,
        "guessed": found.guessed,
        "log_prob": rounded(found.log_prob),
        "warning": found.warning,
    }


def rows(values: NDArray[np.floating[Any]]) -> list[list[float]]:
    """Rows of numbers, rounded."""
    return [_list(row) for row in values]


def _list(values: NDArray[np.floating[Any]]) -> list[float]:
    return [rounded(float(value)) for value in values]
