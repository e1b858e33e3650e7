"""Many photos at once: captions as they come, a row of the table each, a bad file among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from captioner.captions.alt_text import alt_text
from captioner.captions.caption import Caption
from captioner.captions.captioner import Captioner
from captioner.errors import CaptionerError, ConfigError
from captioner.options import SearchOptions
from captioner.pictures.open import open_photo
from captioner.ui.exports import certainty, public
from captioner.ui.values import data_url

MOST_PHOTOS = 200
LONGEST_ALT = 1000  # characters of a corrected alternative text
DOUBTFUL = 0.5  # probability below which a word is marked
_THUMBNAIL = 160  # pixels, the longer side


@dataclass(frozen=True)
class Row:
    """One photo's row in the table."""

    file: str
    caption: str  # empty where there is an error
    error: str  # empty where there is a caption
    thumbnail: str  # a JPEG as data URL; empty where the photo cannot be read
    prob: float | None  # mean probability of the words
    spread: float | None  # mean spread of their maps
    unsure: bool = False
    alt: str = ""  # the caption as alternative text
    doubtful: int = 0  # words under `DOUBTFUL`
    words: int = 0  # that have a probability
    doubt: float = 0.0  # 0 to 1, what rows are sorted by
    other: str = ""  # what another model said of the same photo, where two are compared


@dataclass(frozen=True)
class Progress:
    """How far many photos have got; each is a whole picture of the work, older ones are past."""

    done: int
    total: int
    rows: tuple[Row, ...]
    captions: tuple[Caption, ...]  # the same photos, for downloads

    @property
    def failed(self) -> int:
        """How many photos have an error."""
        return sum(bool(row.error) for row in self.rows)


def caption_many(
    captioner: Captioner,
    files: Sequence[str],
    *,
    batch_size: int = 8,
    options: SearchOptions | None = None,
) -> Iterator[Progress]:
    """Captions photos in their order, a batch at a time, and tells after each batch.

    Args:
        captioner: may be shared with other visitors; nothing of this call stays in it.
        files: the photos' paths.
        batch_size: photos captioned together.
        options: how to decode; left out, as the checkpoint has it.

    Yields:
        The state at the start (nothing done) and after every batch. A photo that cannot be read is
        a row with its error and stops no other.

    Raises:
        ConfigError: there is no photo, there are too many, or a setting is wrong.
    """
    if not 0 < len(files) <= MOST_PHOTOS:
        raise ConfigError(f"{len(files)} photos were given; expected 1 to {MOST_PHOTOS} at once")
    rows: list[Row] = []
    captions: list[Caption] = []
    stream = captioner.stream(files, batch_size=batch_size, workers=1, options=options)
    yield Progress(0, len(files), (), ())
    for caption in stream:
        captions.append(public(caption))
        rows.append(_row(captions[-1]))
        if len(rows) % batch_size == 0 or len(rows) == len(files):
            yield Progress(len(rows), len(files), tuple(rows), tuple(captions))


def rows(captions: Sequence[Caption]) -> tuple[Row, ...]:
    """The rows of captions that are there already, as imported ones are."""
    return tuple(_row(caption) for caption in captions)


def _row(caption: Caption) -> Row:
    if caption.error is not None:
        return Row(caption.file or "", "", caption.error, "", None, None)
    try:
        small = open_photo(caption.source, side=_THUMBNAIL)
        small.thumbnail((_THUMBNAIL, _THUMBNAIL))
        thumbnail = data_url(small)
    except CaptionerError:  # gone since it was captioned
        thumbnail = ""
    prob, spread = certainty(caption)
    probs = [word.prob for word in caption.words if word.prob is not None]
    sure = prob if caption.confidence is None else caption.confidence
    return Row(
        caption.file or "",
        caption.text,
        "",
        thumbnail,
        prob,
        spread,
        caption.unsure,
        alt=alt_text(caption.text),
        doubtful=sum(prob < DOUBTFUL for prob in probs),
        words=len(probs),
        doubt=0.0 if sure is None else round(1 - sure, 4),
    )


def beside(
    captions: Sequence[Caption], others: Sequence[Caption]
) -> tuple[tuple[Caption | None, ...], int]:
    """What another model said of the same photos, by their names in their order.

    Returns:
        Its caption for each of `captions`, None where there is none; and how many of the others
        belong to no photo here.
    """
    waiting: dict[str, list[Caption]] = {}
    for other in others:
        if other.error is None:
            waiting.setdefault(other.file or "", []).append(other)
    found = tuple(
        waiting[caption.file or ""].pop(0) if waiting.get(caption.file or "") else None
        for caption in captions
    )
    return found, sum(map(len, waiting.values()))


def alt_texts(captions: Sequence[Caption], edits: object) -> list[str]:
    """The captions as alternative texts, those that a person corrected as they are now.

    Args:
        captions: of the table's rows.
        edits: what the browser sent: corrected texts by the number of their row.

    Raises:
        ConfigError: these are no short texts of rows that are there.
    """
    texts = ["" if one.error else alt_text(one.text) for one in captions]
    corrected = edits if isinstance(edits, dict) else {}
    if edits is not None and not isinstance(edits, dict):
        raise ConfigError("the corrected texts are damaged; correct one again")
    for number, text in corrected.items():
        known = str(number).isdecimal() and int(number) < len(texts)
        if not known or not isinstance(text, str) or len(text) > LONGEST_ALT:
            raise ConfigError(
                f"a corrected text is of no row, or longer than {LONGEST_ALT} characters; shorten "
                "it"
            )
        texts[int(number)] = " ".join(text.split())
    return texts
