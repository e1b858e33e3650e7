"""Many photos at once: captions as they come, a row of the table each, a bad file among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from captioner.captions.caption import Caption
from captioner.captions.captioner import Captioner
from captioner.errors import CaptionerError, ConfigError
from captioner.options import SearchOptions
from captioner.pictures.open import open_photo
from captioner.ui.exports import certainty, public
from captioner.ui.values import data_url

MOST_PHOTOS = 200
_THUMBNAIL = 96  # pixels, the longer side


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
    return Row(caption.file or "", caption.text, "", thumbnail, prob, spread, caption.unsure)
