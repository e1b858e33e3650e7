"""Official archives in, the folder that `captioner.datasets` reads out: shared by prepare_*.py.

An archive is never unpacked by its own file names: photos are picked by the names that the captions
speak of, and land in one flat folder. A run writes a journal, a line for every stored photo, so
that an interrupted one goes on where it stopped; a complete one turns it into manifest.json.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import shutil
import stat
import sys
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image
from tqdm import tqdm

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for a checkout that is not installed

from captioner.atomic import naming, swept, whole
from captioner.audit import summary, table
from captioner.datasets import Photo, photo_id, read_coco, stays_inside
from captioner.errors import CaptionerError, DataError, ImageError
from captioner.pictures.open import open_photo, original_size

QUALITY = 90  # of the JPEG files that are stored shrunk
LARGEST_PHOTO = 64 * 2**20  # bytes; COCO's largest has half a megabyte
LARGEST_TEXT = 2**30  # bytes; a small archive may claim to hold terabytes
CHUNK = 64  # photos handed to the threads at once; an interrupt waits for no more

Splits = Mapping[str, Sequence[Photo]]


@dataclass(frozen=True)
class Options:
    """What a prepare script was asked to do."""

    inputs: tuple[Path, ...]
    output: Path
    side: int | None  # shorter side that photos are shrunk to, in pixels
    squash: int | None  # side of the square that photos are squashed to, in pixels
    allow_missing: bool
    sha256: Mapping[str, str]  # expected digests by the archive's file name

    @property
    def made(self) -> str:
        """How the photos are stored, in words; it must not change between two runs."""
        if self.squash:
            return f"squashed to {self.squash} × {self.squash} pixels, JPEG quality {QUALITY}"
        if self.side:
            return f"shorter side at most {self.side} pixels, JPEG quality {QUALITY}"
        return "as they were"


@dataclass(frozen=True)
class DataSet:
    """What sets one data set apart from another."""

    name: str
    licence: str
    read: Callable[[Texts], Splits]  # the splits, from the annotation files among the inputs


def parser(description: str, epilog: str) -> argparse.ArgumentParser:
    """The options that both scripts have."""
    arguments = argparse.ArgumentParser(
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="INPUT",
        help="the official ZIP archives, or folders that hold what was in them",
    )
    arguments.add_argument(
        *("-o", "--output"),
        type=Path,
        required=True,
        help="folder to write: images/, captions_train.json, captions_val.json, …, manifest.json",
    )
    shape = arguments.add_mutually_exclusive_group()
    shape.add_argument(
        "--side",
        type=_pixels,
        metavar="N",
        help="store photos shrunk until the shorter side has N pixels; the aspect ratio is kept, "
        "smaller photos stay as they are (256 is plenty for a model of 224 pixels)",
    )
    shape.add_argument(
        "--squash",
        type=_pixels,
        metavar="N",
        help="store photos as N × N pixels, squashed as the model squashes them: the smallest "
        "files and the fastest training",
    )
    arguments.add_argument(
        "--allow-missing",
        action="store_true",
        help="leave out photos that have captions but are not among the inputs, or are damaged",
    )
    arguments.add_argument(
        "--sha256",
        type=_digest,
        action="append",
        default=[],
        metavar="NAME=HEX",
        help="expected SHA-256 of the archive of that name; may be given once for each of them",
    )
    return arguments


def options(arguments: argparse.Namespace) -> Options:
    """The parsed arguments as options."""
    return Options(
        tuple(arguments.inputs),
        arguments.output,
        arguments.side,
        arguments.squash,
        arguments.allow_missing,
        dict(arguments.sha256),
    )


def _pixels(text: str) -> int:
    if not text.isdecimal() or not 32 <= int(text) <= 4096:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pixels from 32 to 4096")
    return int(text)


def _digest(text: str) -> tuple[str, str]:
    name, _, digest = text.rpartition("=")
    if not name or not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=HEX with 64 hexadecimal digits")
    return name, digest.lower()


def run(data_set: DataSet, chosen: Options) -> int:
    """Prepares the data set and says how it went.

    Returns:
        The exit code: 0, 1 after an error, 130 after an interrupt.
    """
    try:
        splits = prepare(data_set, chosen)
    except CaptionerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}; the same command goes on from here", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    print(table(summary(splits)))
    print(f"{data_set.name}, photos {chosen.made}: {chosen.output}")
    return 0


def prepare(data_set: DataSet, chosen: Options) -> dict[str, list[Photo]]:
    """Writes the photos, the captions of every split, and the manifest.

    Returns:
        The splits as `captioner.datasets` reads them from what was written.

    Raises:
        DataError: the inputs are not what they should be, photos are missing or damaged, there is
            too little space, or the output was made otherwise.
    """
    sources = [open_source(path, chosen.output) for path in chosen.inputs]
    _require_named(chosen)
    members = [member for source in sources for member in source.members]
    with tempfile.TemporaryDirectory() as folder:
        texts = Texts(members, Path(folder))
        with _plain_names(Path(folder)):
            splits = data_set.read(texts)
    found, missing = _matched(splits, members)
    _complain("are not among the inputs", missing, chosen.allow_missing)
    with Journal(chosen.output, data_set.name, chosen.made) as journal:
        archives = [_archive_record(source, chosen, journal) for source in sources]
        broken = _store(found, chosen, journal)
        _complain("could not be stored", broken, chosen.allow_missing)
        kept = {name: found[name].base for name in found if found[name].base not in broken}
        written = {
            split: _write_captions(data_set, split, photos, kept, chosen, journal)
            for split, photos in splits.items()
            if any(photo.path.name in kept for photo in photos)
        }
        if not written:
            raise DataError("none of the photos with captions could be stored: nothing to write")
        journal.close_with(
            {
                "data_set": data_set.name,
                "photos_stored": chosen.made,
                "read": archives + texts.records,
                "written": list(written.values()),
                "photos": {base: asdict(journal.records[base]) for base in sorted(kept.values())},
            }
        )
    return {
        split: read_coco(chosen.output / record["name"], chosen.output / "images")
        for split, record in written.items()
    }


def _require_named(chosen: Options) -> None:
    """Refuses a checksum that would check nothing."""
    names = [path.name for path in chosen.inputs]
    for name in chosen.sha256.keys() - names:
        raise DataError(f"--sha256 is given for {name}, but the inputs are {', '.join(names)}")


def _complain(what: str, problems: Mapping[str, str], allowed: bool) -> None:
    """One line for all photos that are not there; an error unless they may be left out."""
    if not problems:
        return
    name, problem = next(iter(problems.items()))
    line = f"{len(problems):,} photos {what}, first {name}{problem and f' ({problem})'}"
    if not allowed:
        raise DataError(
            f"{line}: give the archives or folders that hold them, or leave these photos out with "
            "--allow-missing"
        )
    print(f"{line}: left out", file=sys.stderr)


# What comes in: archives and folders are both lists of members.


@dataclass(frozen=True)
class Member:
    """A file in an archive or folder."""

    name: str  # path inside, with forward slashes
    size: int  # bytes
    crc: int | None  # CRC-32 of the content; a folder does not know it
    read: Callable[[], bytes]

    @property
    def base(self) -> str:
        """The file's name without its folders."""
        return PurePosixPath(self.name).name

    def checksum(self) -> int:
        """CRC-32 of the content."""
        return zlib.crc32(self.read()) if self.crc is None else self.crc


@dataclass(frozen=True)
class Source:
    """One of the inputs."""

    path: Path
    is_archive: bool
    members: Sequence[Member]


def open_source(path: Path, output: Path) -> Source:
    """What is in a folder, but for the output inside it, or in a ZIP archive.

    Raises:
        DataError: there is nothing of the kind, or the archive is damaged or not to be trusted.
    """
    if path.is_dir():
        return Source(path, False, list(_files(path, output)))
    if not path.exists():
        raise DataError(f"{path}: no such file; name the archives where your browser stored them")
    return Source(path, True, list(_zipped(path)))


def _files(folder: Path, output: Path) -> Iterator[Member]:
    """The files in a folder and below, but for what was written into it by an earlier run."""
    if folder.resolve().is_relative_to(output.resolve()):
        raise DataError(f"{folder}: lies inside the output {output}; name another output folder")
    for where, below, names in os.walk(folder):
        below[:] = sorted(
            name
            for name in below
            if not name.startswith(".") and (Path(where) / name).resolve() != output.resolve()
        )
        for path in (Path(where) / name for name in sorted(names) if not name.startswith(".")):
            inside = path.relative_to(folder).as_posix()
            if path.is_file():
                yield Member(inside, path.stat().st_size, None, path.read_bytes)


def _zipped(path: Path) -> Iterator[Member]:
    """The files in a ZIP archive.

    Raises:
        DataError: it is no whole ZIP archive, or holds what no official archive holds: names that
            lead out of it, links, encrypted or huge files.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(
            f"{path}: no whole ZIP archive ({error}); it has {path.stat().st_size:,} bytes: "
            "compare that with the home page and get it again"
        ) from None
    lock = threading.Lock()  # ZipFile counts its readers without one
    for info in archive.infolist():
        strange = _strangeness(info)
        if strange:
            raise DataError(
                f"{path}: the member {info.orig_filename!r} {strange}; no official archive has "
                "that, nothing was written: get it from its home page"
            )
        base = PurePosixPath(info.filename).name
        if not info.is_dir() and not base.startswith(".") and "__MACOSX/" not in info.filename:
            read = partial(_unzipped, path, archive, info, lock)
            yield Member(info.filename, info.file_size, info.CRC, read)


def _strangeness(info: zipfile.ZipInfo) -> str:
    largest = LARGEST_PHOTO if _is_photo(info.filename) else LARGEST_TEXT
    if not stays_inside(info.orig_filename.removesuffix("/")):
        return "has a name that leads out of the archive"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link"
    if info.flag_bits & 1:
        return "is encrypted"
    if info.file_size > largest and (_is_photo(info.filename) or _is_text(info.filename)):
        return f"claims {info.file_size:,} bytes, above {largest:,}"
    return ""


def _unzipped(
    path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, lock: threading.Lock
) -> bytes:
    """A member's content; reading checks its CRC-32."""
    try:
        with lock:
            return archive.read(info)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DataError(f"{path}: the member {info.filename!r} is damaged ({error})") from None


def _is_photo(name: str) -> bool:
    return name.lower().endswith((".jpg", ".jpeg"))


def _is_text(name: str) -> bool:
    return name.lower().endswith((".txt", ".json"))


@dataclass
class Texts:
    """The annotation files among the inputs; those asked for are laid out in a folder."""

    members: Sequence[Member]
    folder: Path
    records: list[dict[str, Any]] = field(default_factory=list)  # of what was read

    def names(self) -> list[str]:
        """The file names of all annotation files."""
        return sorted({member.base for member in self.members if _is_text(member.base)})

    def path(self, base: str) -> Path | None:
        """Where the file of that name can be read; None if it is not among the inputs.

        Raises:
            DataError: several files have the name, with different content.
        """
        contents = {member.read(): member for member in self.members if member.base == base}
        if len(contents) > 1:
            places = " and ".join(member.name for member in contents.values())
            raise DataError(f"{base} is there more than once ({places}) and differs: name one")
        for content in contents:
            digest = hashlib.sha256(content).hexdigest()
            self.records.append({"name": base, "bytes": len(content), "sha256": digest})
            with naming(self.folder / base):
                (self.folder / base).write_bytes(content)
        return self.folder / base if contents else None


@contextmanager
def _plain_names(folder: Path) -> Iterator[None]:
    """Complaints about a file in the temporary folder name the file alone."""
    try:
        yield
    except DataError as error:
        raise DataError(str(error).replace(f"{folder}{os.sep}", "")) from None


def _by_name(members: Iterable[Member]) -> dict[str, Member]:
    """The photos by file name; the same one may be there twice.

    Raises:
        DataError: two photos have one name.
    """
    by_name: dict[str, Member] = {}
    for member in members:
        if not _is_photo(member.base):
            continue
        other = by_name.setdefault(member.base, member)
        if other is not member and not _same(other, member):
            raise DataError(
                f"two different photos are called {member.base} ({other.name} and {member.name}): "
                "leave one of the inputs out"
            )
    return by_name


def _same(one: Member, other: Member) -> bool:
    return one.size == other.size and one.checksum() == other.checksum()


def _matched(splits: Splits, members: Iterable[Member]) -> tuple[dict[str, Member], dict[str, str]]:
    """The member behind every photo with captions, by name, and the photos that have none.

    COCO renamed its photos from 2014 to 2017; there the photo id finds them.
    """
    by_name = _by_name(members)
    by_id = {photo_id(base): member for base, member in by_name.items()}
    found: dict[str, Member] = {}
    missing: dict[str, str] = {}
    for photo in (photo for photos in splits.values() for photo in photos):
        match = by_name.get(photo.path.name) or by_id.get(photo.photo_id)
        if match is None:
            missing[photo.path.name] = ""
        else:
            found[photo.path.name] = match
    return found, missing


def _archive_record(source: Source, chosen: Options, journal: Journal) -> dict[str, Any]:
    """Name, size and SHA-256 of an archive; the journal spares a resumed run the reading."""
    if not source.is_archive:
        return {"folder": source.path.resolve().name, "files": len(source.members)}
    path, about = source.path, source.path.stat()
    key = f"{path.name} {about.st_size} {about.st_mtime_ns}"
    digest = journal.digests.get(key) or _sha256(path)
    expected = chosen.sha256.get(path.name, digest)
    if digest != expected:
        raise DataError(
            f"{path}: its SHA-256 is {digest}, not {expected}: the file is damaged, or another "
            "edition; get it again"
        )
    journal.note_digest(key, digest)
    return {"name": path.name, "bytes": about.st_size, "sha256": digest}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with (
        path.open("rb") as file,
        tqdm(
            desc=f"SHA-256 of {path.name}",
            total=path.stat().st_size,
            unit="B",
            unit_scale=True,
            disable=None,
        ) as bar,
    ):
        while block := file.read(2**22):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


# What goes out.


@dataclass(frozen=True)
class Record:
    """A photo that was stored."""

    bytes: int
    sha256: str
    width: int
    height: int
    source_crc32: str


@contextmanager
def _ours(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(
            f"{path}: was not written by this script, or is damaged; name a new folder"
        ) from None


class Journal:
    """What an output folder holds: read from its manifest and journal, and added to.

    Raises:
        DataError: the folder was filled by something else, or with other settings.
    """

    def __init__(self, output: Path, name: str, made: str) -> None:
        self.output = output
        self.records: dict[str, Record] = {}
        self.digests: dict[str, str] = {}  # of archives, by name, size and time
        self._path = output / "journal.jsonl"
        self._made = {"data_set": name, "photos_stored": made}
        self._recall()

    def _recall(self) -> None:
        manifest = self.output / "manifest.json"
        if manifest.exists():
            made = self._read_manifest(manifest)
        elif self._path.exists():
            made = self._made
        elif self.output.exists() and (
            not self.output.is_dir() or next(self.output.iterdir(), None)
        ):
            raise DataError(f"{self.output}: there is something else there; name a new folder")
        else:
            return
        if self._path.exists():
            made = self._replay(self._path.read_text(encoding="utf-8").split("\n")) or made
        if self.records and made != self._made:
            raise DataError(
                f"{self.output}: holds {made['data_set']} with photos {made['photos_stored']}, but "
                f"asked for is {self._made['data_set']} with photos {self._made['photos_stored']}: "
                "name a new folder, or ask for the same"
            )

    def _read_manifest(self, path: Path) -> dict[str, str]:
        with _ours(path):
            known = json.loads(path.read_text(encoding="utf-8"))
            self.records = {base: Record(**record) for base, record in known["photos"].items()}
            return {key: known[key] for key in self._made}

    def _replay(self, lines: Iterable[str]) -> dict[str, str]:
        """Takes in a journal's lines, but for one that an interrupt or a power cut tore."""
        made: dict[str, str] = {}
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            with _ours(self._path):
                if "made" in entry:
                    made = {key: entry["made"][key] for key in self._made}
                elif "archive" in entry:
                    self.digests[entry["archive"]] = entry["sha256"]
                else:
                    base = entry.pop("photo")
                    self.records[base] = Record(**entry)
        return made

    def __enter__(self) -> Journal:
        (self.output / "images").mkdir(parents=True, exist_ok=True)
        swept(self.output / "images")
        self._file = self._path.open("a", encoding="utf-8")
        self._write({"made": self._made})
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _write(self, entry: Mapping[str, Any]) -> None:
        with naming(self._path):
            self._file.write(f"\n{json.dumps(entry)}")  # line feed first: the last may be torn
            self._file.flush()

    def note(self, base: str, record: Record) -> None:
        """Remembers that a photo is stored."""
        self.records[base] = record
        self._write({"photo": base, **asdict(record)})

    def note_digest(self, key: str, digest: str) -> None:
        """Remembers the SHA-256 of an archive."""
        self.digests[key] = digest
        self._write({"archive": key, "sha256": digest})

    def close_with(self, manifest: Mapping[str, Any]) -> None:
        """Puts the manifest in the journal's place: the folder is complete."""
        text = json.dumps(manifest, indent=1, ensure_ascii=False)
        write_whole(self.output / "manifest.json", text.encode() + b"\n")
        self._file.close()
        self._path.unlink()


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file as a whole or not at all."""
    with whole(path) as partial:
        partial.write_bytes(content)


def _store(found: Mapping[str, Member], chosen: Options, journal: Journal) -> dict[str, str]:
    """Stores the photos that are not stored yet.

    Returns:
        What is wrong with the photos that could not be stored, by file name.
    """
    members = list({member.base: member for member in found.values()}.values())
    _require_space(members, chosen, journal)
    broken: dict[str, str] = {}
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=len(members), unit=" photos", desc="storing", disable=None) as bar,
    ):
        for start in range(0, len(members), CHUNK):
            chunk = members[start : start + CHUNK]
            store = partial(_stored, chosen=chosen, records=journal.records)
            for member, result in zip(chunk, pool.map(store, chunk), strict=True):
                if isinstance(result, str):
                    broken[member.base] = result
                elif result != journal.records.get(member.base):
                    journal.note(member.base, result)
                bar.update()
    return broken


def _stored(member: Member, chosen: Options, records: Mapping[str, Record]) -> Record | str:
    """The record of a photo, which is written unless it is there already; or what is wrong."""
    path = chosen.output / "images" / member.base
    known = records.get(member.base)
    try:
        if known and _is_intact(path, known) and known.source_crc32 == _hex(member.checksum()):
            return known
        content = member.read()
        made, width, height = _made(content, chosen)
    except (DataError, ImageError) as error:
        return str(error).removeprefix("the given bytes: ")
    write_whole(path, made)
    digest = hashlib.sha256(made).hexdigest()
    return Record(len(made), digest, width, height, _hex(zlib.crc32(content)))


def _is_intact(path: Path, record: Record) -> bool:
    return (
        path.is_file()
        and path.stat().st_size == record.bytes
        and hashlib.sha256(path.read_bytes()).hexdigest() == record.sha256
    )


def _hex(crc: int) -> str:
    return f"{crc:08x}"


def _made(content: bytes, chosen: Options) -> tuple[bytes, int, int]:
    """A photo as it shall be stored, its width and its height.

    Raises:
        ImageError: it does not open; a photo that stays as it is has to open, too.
    """
    target = chosen.squash or chosen.side
    photo = open_photo(content, side=2 * target if target else 8)
    width, height = original_size(photo)
    if chosen.squash:
        size = (chosen.squash, chosen.squash)
    elif chosen.side and min(width, height) > chosen.side:
        scale = chosen.side / min(width, height)
        size = (round(width * scale), round(height * scale))
    else:
        return content, width, height
    file = io.BytesIO()
    photo.resize(size, Image.Resampling.LANCZOS).save(file, "JPEG", quality=QUALITY)
    return file.getvalue(), *size


def _require_space(members: Sequence[Member], chosen: Options, journal: Journal) -> None:
    """Refuses to begin what the disk cannot hold."""
    target = chosen.squash or chosen.side
    most = target * target if target else LARGEST_PHOTO  # a byte a pixel: twice what JPEG takes
    needed = sum(min(m.size, most) + 4096 for m in members if m.base not in journal.records)
    free = shutil.disk_usage(chosen.output).free
    if needed > free:
        raise DataError(
            f"{chosen.output}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free: "
            "name an output on another disk, or store the photos shrunk with --squash 224"
        )


def _write_captions(
    data_set: DataSet,
    split: str,
    photos: Sequence[Photo],
    kept: Mapping[str, str],
    chosen: Options,
    journal: Journal,
) -> dict[str, Any]:
    """Writes a split as COCO captions; photos keep their number, captions are counted."""
    present = [photo for photo in photos if photo.path.name in kept]
    numbers = _numbers(present)
    images = []
    for number, photo in zip(numbers, present, strict=True):
        base = kept[photo.path.name]
        size = {"width": journal.records[base].width, "height": journal.records[base].height}
        images.append({"id": number, "file_name": base, **size})
    pairs = [
        (n, text) for n, photo in zip(numbers, present, strict=True) for text in photo.captions
    ]
    document = {
        "info": {"description": f"{data_set.name}, {split}; photos {chosen.made}"},
        "licenses": [{"id": 1, "name": data_set.licence}],
        "images": images,
        "annotations": [
            {"id": i, "image_id": image, "caption": text}
            for i, (image, text) in enumerate(pairs, 1)
        ],
    }
    content = json.dumps(document, ensure_ascii=False).encode() + b"\n"
    name = f"captions_{split}.json"
    write_whole(chosen.output / name, content)
    digest = hashlib.sha256(content).hexdigest()
    return {
        "name": name,
        "bytes": len(content),
        "sha256": digest,
        "photos": len(present),
        "captions": len(pairs),
    }


def _numbers(photos: Sequence[Photo]) -> list[int]:
    """The photo ids, which are numbers in every official data set; or else the places, from 1."""
    ids = dict.fromkeys(photo.photo_id for photo in photos)
    if len(ids) == len(photos) and all(re.fullmatch(r"[0-9]{1,18}", name) for name in ids):
        return [int(name) for name in ids]
    return list(range(1, len(photos) + 1))
