"""The size of a picture: what one is, and how large it may be."""

from __future__ import annotations

from captioner.errors import ImageError

MAX_PIXELS = 64_000_000
"""The largest picture that is decoded, in pixels (width × height).

A JPEG file may hold more, as those of telephones do: it is then decoded at a half or less.
"""


def check_size(size: tuple[int, int], name: str, limit: int = MAX_PIXELS) -> None:
    """Refuses a picture without pixels, and one above the limit.

    Args:
        size: (width, height), in pixels.
        name: of it in messages.
        limit: pixels, width × height.

    Raises:
        ImageError: It is either.
    """
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(
            f"{name}: the picture is {width} × {height} pixels, expected at least 1 × 1"
        )
    if width * height > limit:
        raise ImageError(
            f"{name}: {width} × {height} pixels are {width * height:,}, above the limit of"
            f" {limit:,} ({limit / 1e6:g} megapixels); make it smaller first"
        )


def is_count(value: object) -> bool:
    """Whether a value is a whole number, 1 or more: of pixels or of cells, say."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
