"""Pictures of any mode as RGB of eight bits; and what is white in those of more bits."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, PngImagePlugin, TiffImagePlugin

from captioner.errors import ImageError
from captioner.pictures.formats import content

_SIGNIFICANT_BITS = re.compile(rb"\0\0\0([\1-\4])sBIT(.{4})", re.DOTALL)  # PNG, section 11.3.2.7
_BITS_PER_SAMPLE, _MAX_SAMPLE, _PLANES, _SIGNED_MAX_SAMPLE = 258, 281, 284, 341  # TIFF 6.0
_DECLARED = frozenset(2**bits - 1 for bits in range(8, 16))  # whites below that of the file's bits
_WHITES = (255, 1023, 4095, 16383, 65535)  # of cameras, in files of sixteen bits

_BAND = 2**22  # pixels that are worked on at once where their values take more room than a picture

_DEEP = re.compile(r"([RGBAXaL]+);16([BLN])")  # colours or one of them, and their bytes' order
# The upper bytes of a channel, and the lower ones: a picture each, and which of its bands they are.
_Bytes: TypeAlias = tuple[Image.Image, int, Image.Image, int]
_SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def decoded(image: Image.Image, name: str) -> Image.Image:
    """A picture of any mode as a new RGB one; transparency is laid on white.

    Args:
        image: perhaps not read yet.
        name: of it in messages.

    Raises:
        ImageError: It holds NaN or infinite values. Pillow's readers raise whatever they like.
    """
    _mend_planes(image)
    deep = _Deep.in_file(image)
    white = _declared_white(image) if deep or image.mode[:1] == "I" else None
    image.load()  # after which nothing tells what the file held
    if deep:
        image = _brightened(image, deep, white)
    return _rgb(image, name, white)


def _mend_planes(image: Image.Image) -> None:
    """Makes Pillow read 16-bit colours that a TIFF file holds plane by plane, unpacked, as such.

    It takes their bytes for values of eight bits, every one for a pixel.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.tile:
        bits = image.tag_v2.get(_BITS_PER_SAMPLE)
        if bits and bits[0] == 16 and _raw_mode(image.tile[0]) in ("R", "G", "B", "A"):
            order = "L" if image.tag_v2.prefix == b"II" else "B"
            image.tile = [
                _with_raw_mode(tile, f"{_raw_mode(tile)};16{order}") for tile in image.tile
            ]


def _declared_white(image: Image.Image) -> int | None:
    """The value of white that a file of 16-bit values declares; None where it does not."""
    values: list[Any] = []
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        values = [image.tag_v2.get(tag) for tag in (_MAX_SAMPLE, _SIGNED_MAX_SAMPLE)]
        bits = image.tag_v2.get(_BITS_PER_SAMPLE)
        values.append(2 ** bits[0] - 1 if bits else None)
    elif isinstance(image, PngImagePlugin.PngImageFile) and image.fp:
        head = content(image.fp)  # type: ignore[arg-type]
        found = _SIGNIFICANT_BITS.search(head, 33, max(33, head.find(b"IDAT")))
        colours = 3 if found and found[1][0] > 2 else 1  # the rest is transparency
        values = [2 ** max(found[2][:colours]) - 1 if found else None]
    plain = [next(iter(value), None) if isinstance(value, tuple) else value for value in values]
    return next((value for value in plain if value in _DECLARED), None)


@dataclass(frozen=True)
class _Deep:
    """A file of 16-bit colours, of which Pillow keeps the upper byte.

    It gives the lower one to whoever says that the values have their bytes in the other order.
    """

    reader: type[ImageFile.ImageFile]
    data: bytes
    frame: int
    layout: str  # of the values: RGB, RGBA, RGBX, RGBa (premultiplied), LA
    order: str  # of the bytes: B, L or N, as in Pillow's raw modes
    packed_planes: bool  # of which Pillow gives the upper bytes alone

    @classmethod
    def in_file(cls, image: Image.Image) -> _Deep | None:
        """That of a picture that is not read yet; None where it is no such file."""
        readers = (PngImagePlugin.PngImageFile, TiffImagePlugin.TiffImageFile)
        if not isinstance(image, readers) or not image.tile or not image.fp:
            return None
        found = _DEEP.fullmatch(_raw_mode(image.tile[0]))
        if found is None or found[1] == "L":
            return None
        layout = found[1] if len(found[1]) > 1 else image.mode
        packed = (
            isinstance(image, TiffImagePlugin.TiffImageFile)
            and image.tag_v2.get(_PLANES) == 2
            and image.tile[0].codec_name == "libtiff"
        )
        data = content(image.fp)  # type: ignore[arg-type]
        return cls(type(image), data, image.tell(), layout, found[2], packed)

    def channels(self, loaded: Image.Image) -> list[_Bytes]:
        """The upper and the lower bytes of each channel; an unused channel is left out.

        Args:
            loaded: what Pillow made of the file.
        """
        if self.layout == "LA":  # four bytes, like those of four channels
            four = self._read("RGBA", "")
            return [(four, 0, four, 1), (four, 2, four, 3)]
        layout = self.layout.upper()
        # Premultiplied values are wanted as they are; Pillow has divided them.
        upper = loaded if layout == self.layout else self._read(layout, self.order)
        lower = self._read(layout, _SWAPPED[self.order])
        bands = zip(range(len(upper.getbands())), range(len(lower.getbands())), strict=True)
        return [(upper, one, lower, other) for one, other in bands]

    def _read(self, layout: str, order: str) -> Image.Image:
        image = self.reader(io.BytesIO(self.data), "")
        if self.frame:
            image.seek(self.frame)
        bits = f";16{order}" if order else ""
        image.tile = [
            _with_raw_mode(tile, (plane if len(plane := _raw_mode(tile)) == 1 else layout) + bits)
            for tile in image.tile
        ]
        image.load()
        return image


def _raw_mode(tile: Any) -> str:
    return str(tile.args[0] if isinstance(tile.args, tuple) else tile.args)


def _with_raw_mode(tile: Any, raw_mode: str) -> Any:
    rest = tile.args[1:] if isinstance(tile.args, tuple) else None
    return tile._replace(args=raw_mode if rest is None else (raw_mode, *rest))


def _extrema(image: Image.Image) -> Sequence[tuple[Any, Any]]:
    """The lowest and the highest value of each channel."""
    found: Any = image.getextrema()
    return found if isinstance(found[0], tuple) else [found]


def _values(channel: _Bytes) -> Iterator[NDArray[np.uint16]]:
    """A channel's values, some rows at a time."""
    first, one, second, other = channel
    upper, lower = np.asarray(first.getchannel(one)), np.asarray(second.getchannel(other))
    rows = max(1, _BAND // max(1, upper.shape[1]))
    for top in range(0, len(upper), rows):
        yield upper[top : top + rows].astype(np.uint16) << 8 | lower[top : top + rows]


def _largest(channel: _Bytes) -> int:
    return max(int(values.max()) for values in _values(channel))


def _scaled(channel: _Bytes, white: float) -> NDArray[np.uint8]:
    return np.concatenate([eight_bits(values, white) for values in _values(channel)])


def _brightened(image: Image.Image, deep: _Deep, declared: int | None) -> Image.Image:
    """A loaded picture, read again where its colours take fewer than their 16 bits."""
    tops = [int(highest) for _, highest in _extrema(image)]
    # Premultiplied colours are divided by a transparency that may take fewer bits, too.
    if max(tops[:3]) > 127 and (deep.layout != "RGBa" or tops[3] > 127):
        return image
    if deep.packed_planes:
        step = next((white for white in (3, 15, 63) if 0 < max(tops[:3]) <= white), 255)
        return image if step == 255 else image.point(lambda value: value * 255 / step)
    channels = deep.channels(image)  # values are made of them one by one: they take much memory
    alpha = channels.pop() if deep.layout in ("RGBA", "RGBa", "LA") else None
    white = _white(max(map(_largest, channels)), declared)
    if white == 65535:
        return image
    scaled = [_scaled(channel, white) for channel in channels]
    if alpha is not None:  # which a program may have added, in all 16 bits
        scaled.append(_scaled(alpha, white if _largest(alpha) <= white else 65535))
    mode = "RGB" if alpha is None else deep.layout
    return Image.merge(mode, [Image.fromarray(channel) for channel in scaled])


def _rgb(image: Image.Image, name: str, declared: int | None) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image)  # (H, W)
        if not np.isfinite(values).all():
            raise ImageError(f"{name}: holds NaN or infinite values, expected finite ones")
        usual = (1, 255, 65535) if image.mode == "F" else _WHITES
        white = _white(float(values.max()), declared, usual)
        return Image.fromarray(eight_bits(values, white)).convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        return _on_white(image)
    return image.convert("RGB")  # a copy where it is RGB already


def _on_white(image: Image.Image) -> Image.Image:
    """Transparency laid on white, some rows at a time: all of them at once take three copies."""
    canvas = Image.new("RGB", image.size, "white")
    width, height = image.size
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        layer = image.crop((0, top, width, min(top + rows, height))).convert("RGBA")
        canvas.paste(layer.convert("RGB"), (0, top), layer.getchannel("A"))
    return canvas


def _white(top: float, declared: int | None, usual: Sequence[int] = _WHITES) -> float:
    """The value that stands for white in a picture of values up to `top`.

    Less than the values take is no range that could have been declared; more may well be one.
    Where nothing is declared, it is the smallest usual one that no value exceeds, or `top` itself.
    """
    if declared is not None and top <= declared:
        return declared
    return next((white for white in usual if top <= white), top)


def eight_bits(values: NDArray[Any], white: float) -> NDArray[np.uint8]:
    """Values from 0 to `white`, rounded to 0 to 255; whatever lies outside is clipped."""
    found = np.empty(values.shape, np.uint8)
    rows = max(1, _BAND // max(1, values[:1].size))
    for top in range(0, len(values), rows):  # as floats, all of them would be four times as large
        scaled = values[top : top + rows].astype(np.float32)
        scaled *= np.float32(255 / white)
        np.rint(scaled.clip(0, 255, out=scaled), out=scaled)
        found[top : top + rows] = scaled
    return found
