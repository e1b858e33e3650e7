"""Captions beside photos and inside of them: text files, XMP sidecars, copies, photos in place.

What a person wrote stays unless its owner says `--replace`; what captioner wrote before is brought
up to date. Photos are changed with `--in-place` only, which is the one exception to the rule that
an output is never an input: the new file is written whole beside the photo, both are decoded and
compared, and then it takes the photo's name, time and permissions.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from captioner.atomic import behind, whole
from captioner.captions.alt_text import alt_text
from captioner.captions.caption import Caption
from captioner.errors import CaptionerError, ConfigError, ImageError
from captioner.outputs import Guard, Kind, mirrored
from captioner.pictures import xmp
from captioner.pictures.embedding import packet_of, with_packet
from captioner.pictures.messages import printable, shown_name

TEXTS, XMP = (".txt", ".caption"), ".xmp"
SIDECARS = (*TEXTS, XMP)
_EXIF_DESCRIPTION = 0x010E
# What cameras write there by themselves.
_CAMERAS = ("olympus digital camera", "sony dsc", "digital camera", "dcim", "screenshot", "default")


@dataclass(frozen=True)
class Wishes:
    """Where captions go besides standard output."""

    sidecar: str = ""  # one of `SIDECARS`: beside each photo
    prefix: str = ""  # put before the text of a .txt or .caption
    suffix: str = ""  # put behind it
    output: str = ""  # folder for copies of the photos with their captions inside
    in_place: bool = False  # captions go into the photos themselves
    replace: bool = False  # what people wrote may be replaced
    dry_run: bool = False  # only say what would be written
    alt_text: bool = False  # the text is an alternative text

    def __post_init__(self) -> None:
        if (self.prefix or self.suffix) and self.sidecar not in TEXTS:
            raise ConfigError(
                "--sidecar-prefix and --sidecar-suffix belong to a text file; add --sidecar .txt"
            )
        if self.replace and not (self.sidecar or self.output or self.in_place):
            raise ConfigError(
                "--replace belongs to --sidecar, --output and --in-place; add one of them"
            )

    @property
    def any(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.sidecar or self.output or self.in_place)


@dataclass(frozen=True)
class Change:
    """What is to be written for a photo."""

    path: Path
    text: str  # as it will stand there
    data: bytes | None  # the file's content; None where what is there stays
    photo: Path | None = None  # whose time and permissions, and whose pixels, the file has
    kept: bool = False  # whether a person's text is in its place and stays


def text_of(caption: Caption, as_alt_text: bool) -> str:
    """The words that go beside a photo or into it."""
    return alt_text(caption.text, unsure=caption.unsure) if as_alt_text else caption.text


_ANY = Kind("file", lambda path: True)  # what may be replaced is decided here, text by text


def _has_our_text(path: Path) -> bool:
    try:
        packet = packet_of(path.read_bytes())
        return any(xmp.written_by_us(packet, name) for name in (xmp.DESCRIPTION, xmp.ALT_TEXT))
    except (CaptionerError, OSError):
        return False


COPY = Kind("copy of a photo", _has_our_text)


class Beside:
    """Writes captions beside photos and into them, and counts what it leaves as it is."""

    def __init__(self, wishes: Wishes, guard: Guard) -> None:
        self.wishes, self.guard = wishes, guard
        self.kept = 0  # texts of people that stay
        self._done: set[str] = set()
        self._texts: dict[str, Path] = {}  # whose text each file of this run is

    def deliver(self, caption: Caption, root: str = "") -> list[Change]:
        """Writes one caption wherever it is wanted.

        Args:
            caption: of a photo in a file.
            root: the folder that was named and that the photo lies in.

        Returns:
            What was written, or with `dry_run` would be; and what stays.

        Raises:
            CaptionerError: it cannot be written; nothing is, in that place.
        """
        if caption.file is None or not os.path.isfile(caption.file):  # noqa: PTH113
            name = "the photo" if caption.file is None else shown_name(caption.file)
            raise ConfigError(f"{name} is in no file of its own, so that nothing goes beside it")
        own = os.path.realpath(caption.file)
        if own in self._done:  # named twice
            return []
        self._done.add(own)
        done = []
        for change in self._changes(caption, Path(caption.file), root):
            self.kept += change.kept
            if change.data is not None and not self.wishes.dry_run:
                _write(change)
            done.append(change)
        return done

    def _changes(self, caption: Caption, photo: Path, root: str) -> Iterator[Change]:
        wishes = self.wishes
        if wishes.sidecar in TEXTS:
            yield self._text(caption, photo)
        elif wishes.sidecar:
            yield self._xmp(caption, photo)
        if wishes.output:
            target = Path(wishes.output) / mirrored(str(photo), root)
            if not wishes.dry_run:
                self.guard.claim(target, COPY, "--output")
            yield self._embedded(caption, photo, target)
        if wishes.in_place:
            _check_writable(photo)
            yield self._embedded(caption, photo, photo)

    def _text(self, caption: Caption, photo: Path) -> Change:
        wishes = self.wishes
        target = photo.with_suffix(wishes.sidecar)
        self.guard.check(target, _ANY, "--sidecar")
        owner = self._texts.setdefault(os.path.realpath(target).casefold(), photo)
        if owner is not photo:
            raise ConfigError(
                f"{shown_name(photo)}: {shown_name(target)} holds the text of {shown_name(owner)}; "
                "rename one of the two photos"
            )
        text = f"{wishes.prefix}{text_of(caption, wishes.alt_text)}{wishes.suffix}"
        text = " ".join(text.split("\n"))
        data = f"{text}\n".encode(errors="replace")
        old = target.read_bytes() if target.exists() else b""
        if old.strip() in (b"", data.strip()):
            return Change(target, text, None if old else data)
        return Change(target, text, data if wishes.replace else None, kept=not wishes.replace)

    def _xmp(self, caption: Caption, photo: Path) -> Change:
        """`dog.xmp`, if Adobe's programs have put it there; or else `dog.jpg.xmp`."""
        target = photo.with_suffix(XMP)
        if not target.exists():
            target = photo.with_name(photo.name + XMP)
        self.guard.check(target, _ANY, "--sidecar")
        packet = target.read_bytes() if target.exists() else None
        try:
            return self._changed(caption, target, packet, others={})
        except ImageError as error:
            raise ImageError(f"{shown_name(target)}: {error}") from error

    def _embedded(self, caption: Caption, photo: Path, target: Path) -> Change:
        data = photo.read_bytes()
        try:
            change = self._changed(caption, target, packet_of(data), others=_exif_text(data))
            if change.data is not None:
                own = with_packet(data, change.data)
                _check_pixels(data, own)
                return Change(target, change.text, own, photo, change.kept)
        except ImageError as error:
            raise ImageError(f"{shown_name(photo)}: {error}") from error
        copied = None if target == photo else data  # a copy is made even if nothing changes
        return Change(target, change.text, copied, photo, change.kept)

    def _changed(
        self,
        caption: Caption,
        target: Path,
        packet: bytes | None,
        others: Mapping[str, str],
    ) -> Change:
        """The packet with what may be written of a caption; None where that is nothing new."""
        wanted = {
            xmp.DESCRIPTION: text_of(caption, self.wishes.alt_text),
            xmp.ALT_TEXT: text_of(caption, as_alt_text=True),
        }
        there = {**others, **xmp.texts_of(packet)}
        free = {
            name: text
            for name, text in wanted.items()
            if self.wishes.replace or name not in there or xmp.written_by_us(packet, name)
        }
        text = wanted[xmp.DESCRIPTION]
        kept = len(free) < len(wanted)
        if all(there.get(name) == text for name, text in free.items()):
            return Change(target, text, None, kept=kept)
        return Change(target, text, xmp.with_texts(packet, free), kept=kept)


def _exif_text(data: bytes) -> dict[str, str]:
    """What a person wrote into a photo's EXIF, which image managers show as its description."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            text = str(image.getexif().get(_EXIF_DESCRIPTION, ""))
    except Exception:  # whatever is wrong with it, there is no text to be kept
        return {}
    text = text.strip("\0 \t\r\n")
    return {} if not text or text.lower() in _CAMERAS else {xmp.DESCRIPTION: text}


def _check_pixels(before: bytes, after: bytes) -> None:
    """Refuses a file that shows anything else than the one that it is to replace.

    Raises:
        ImageError: a pixel differs, or one of the two does not open.
    """
    try:
        for one, other in zip(_frames(before), _frames(after), strict=True):
            if one != other:
                raise ImageError("its pixels would change, so that it stays as it is")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(
            f"whether its pixels stay cannot be seen ({printable(str(error))}), "
            "so that it stays as it is"
        ) from error


def _frames(data: bytes) -> Iterator[tuple[str, tuple[int, int], bytes]]:
    with Image.open(io.BytesIO(data)) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            yield image.mode, image.size, image.tobytes()


def _check_writable(photo: Path) -> None:
    """Refuses to change a photo that its owner has protected, though its folder would allow it.

    Raises:
        ImageError: it is so.
    """
    if not photo.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        raise ImageError(
            f"{shown_name(photo)}: it is read-only, so that it stays as it is; allow it (chmod "
            "u+w), or write copies with --output DIR"
        )


def _write(change: Change) -> None:
    """Writes one file, whole or not at all."""
    assert change.data is not None
    behind(change.path).parent.mkdir(parents=True, exist_ok=True)
    with whole(change.path) as partial:
        partial.write_bytes(change.data)
        if change.photo is not None:
            with partial.open("rb") as file:
                os.fsync(file.fileno())  # or a power cut could leave the name without the content
            shutil.copystat(change.photo, partial)
