"""Makes the Multi30k folder that `captioner` trains translation on out of the public archive.

Elliott, Frank, Sima'an and Specia 2016, "Multi30K: Multilingual English-German Image Descriptions";
French by Elliott et al. 2017, Czech by Barrault et al. 2018.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import re
import sys
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from archives import LARGEST_TEXT, Member, open_source, write_whole
from ours import require_ours, told

from captioner.errors import DataError

NAME = "Multi30k"
LICENCE = "Multi30k: for research and education; captions of Flickr30k and their translations"
LANGUAGES = ("en", "de", "fr", "cs")
SEEN = "seen"  # folder of the lines about photos that are there
OFFICIAL = {"train": 29_000, "val": 1_014}  # lines; the test sets are of several sizes
_SPLIT = r"(train|val|test_\w+)"
_SENTENCES = re.compile(rf"{_SPLIT}\.({'|'.join(LANGUAGES)})(?:\.gz)?")
_PHOTOS = re.compile(rf"(?:.*/)?(?:image_splits/{_SPLIT}\.txt|{_SPLIT}\.images\.txt)")
DESCRIPTION = """\
Turns Multi30k's public archive into a folder that captioner reads: train.en, train.de, train.fr,
train.cs (29,000 lines), val.* (1,014), test sets where they are among the inputs, and in
train.images.txt, val.images.txt the photo of each line. Raw text, line n in every language the
same caption."""
EPILOG = """\
example:
  python data/prepare_multi30k.py multi30k-dataset/data/task1 -o multi30k
  python data/prepare_multi30k.py dataset-master.zip -o multi30k
  python data/prepare_multi30k.py train.en.gz train.de.gz val.en.gz val.de.gz -o multi30k
  python data/prepare_multi30k.py multi30k-dataset/data/task1 -o multi30k --photos flickr8k/images

Nothing is downloaded. The archive is https://github.com/multi30k/dataset: clone it, get it as a ZIP
file, or get single files from its folder data/task1/raw. The tar archives of the older shared tasks
(training.tar.gz, validation.tar.gz: English and German) do as well. The files in its folder tok are
left alone: they are lower-cased, and what people read cannot be had back from them.

With --photos, the lines whose photo lies in a folder, such as Flickr8k's, which is a part of
Flickr30k, are written once more, into the output's folder seen/: train, val and test, split by
photo (5,000, 253 and 1,000 of Flickr8k's 6,253), for translation with the photo in view.

Flickr8k lies inside Flickr30k, and so inside Multi30k: never train a captioner on the English side
and score it on Flickr8k's test photos.

What was read and written stands with its SHA-256 in manifest.json."""


@dataclass(frozen=True)
class Text:
    """A file of the output: its lines, and where they come from."""

    name: str
    lines: Sequence[str]
    member: str  # its name among the inputs
    sha256: str  # of what was read, still compressed

    @property
    def content(self) -> bytes:
        """What is written."""
        return _content_of(self.lines)


def prepare(
    inputs: Sequence[Path], output: Path, photos: Path | None = None
) -> dict[str, dict[str, int]]:
    """Writes every split's sentences and photo names, and the manifest.

    Args:
        inputs: folders, archives, files.
        output: folder to write.
        photos: folder of photos; the lines about them are written once more, split by photo.

    Returns:
        The lines of every file written, split by split.

    Raises:
        DataError: the inputs hold no two languages of a split, or what they hold is damaged, not
            raw text, or not aligned; the output was made by something else.
    """
    require_ours(output, NAME)
    members = [member for path in inputs for member in _members(path, output)]
    texts = _texts(members)
    _check_splits(texts, members)
    if photos is not None:
        texts |= _about(texts, photos)
    for name, text in texts.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(output / name, text.content)
    manifest = json.dumps(_manifest(texts), indent=1, ensure_ascii=False)
    write_whole(output / "manifest.json", manifest.encode() + b"\n")
    return _splits(texts)


# What comes in.


def _members(path: Path, output: Path) -> Iterable[Member]:
    """The files in a folder or archive; a file with a known name is its own."""
    name = "/".join(path.resolve().parts[-2:])  # the lists of photos are known by their folder
    if path.is_file() and _target(name):
        return [Member(name, path.stat().st_size, None, path.read_bytes)]
    if path.is_file() and tarfile.is_tarfile(path):
        return list(_tarred(path))
    return open_source(path, output).members


def _tarred(path: Path) -> Iterator[Member]:
    """The plain files in a tar archive, which may be compressed."""
    try:
        archive = tarfile.open(path)  # noqa: SIM115 (its members are read later)
        for info in archive.getmembers():
            if info.isfile():
                yield Member(info.name, info.size, None, partial(_untarred, archive, info))
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(f"{path}: no whole tar archive ({error}); get it again") from None


def _untarred(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(info)
    return file.read() if file else b""


def _target(name: str) -> str:
    """What a file among the inputs is called in the output; empty if it is of no use."""
    path = PurePosixPath(name)
    if sentences := _SENTENCES.fullmatch(path.name):
        return f"{sentences[1]}.{sentences[2]}"
    photos = _PHOTOS.fullmatch(name)
    return f"{photos[1] or photos[2]}.images.txt" if photos else ""


def _texts(members: Iterable[Member]) -> dict[str, Text]:
    """The files of the output, in their order.

    Raises:
        DataError: one is there twice and differs, or is damaged.
    """
    texts: dict[str, Text] = {}
    for member in members:
        name = _target(member.name)
        if not name:
            continue
        text = _text(name, member)
        other = texts.setdefault(name, text)
        if other.lines != text.lines:
            raise DataError(
                f"{name} is there more than once ({other.member} and {member.name}) and differs: "
                "leave one of the inputs out"
            )
    return {name: texts[name] for name in sorted(texts, key=_place)}


def _place(name: str) -> tuple[bool, str, int]:
    split, _, ending = name.partition(".")
    languages = (*LANGUAGES, "images.txt")
    return split.startswith("test"), split, languages.index(ending)


def _text(name: str, member: Member) -> Text:
    content = _content(member)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{member.name}: line {line} is not UTF-8 text; get it again") from None
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    if name.endswith(".images.txt"):
        lines = [line.partition("#")[0].strip() for line in lines]  # some lists say which caption
    elif 2 * sum(line.endswith(" .") for line in lines) > len(lines):
        raise DataError(
            f"{member.name}: is tokenised, most lines end in ' .'; give the raw files, in the "
            "archive's folder data/task1/raw"
        )
    return Text(name, lines, member.name, hashlib.sha256(member.read()).hexdigest())


def _content(member: Member) -> bytes:
    """A file's text, unpacked.

    Raises:
        DataError: it is damaged, or larger than any text of the archive.
    """
    if member.size <= LARGEST_TEXT:
        content = member.read()
        if not member.name.endswith(".gz"):
            return content
        try:
            with gzip.open(io.BytesIO(content)) as file:
                content = file.read(LARGEST_TEXT + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{member.name}: is damaged ({error}); get it again") from None
        if len(content) <= LARGEST_TEXT:
            return content
    raise DataError(f"{member.name}: above {LARGEST_TEXT:,} bytes; no text of the archive is")


# What goes out.


def _check_splits(texts: Mapping[str, Text], members: Sequence[Member]) -> None:
    """Refuses splits of which something is missing, or whose lines do not match."""
    if not texts:
        found = ", ".join(sorted({PurePosixPath(m.name).name for m in members})[:8])
        raise DataError(
            f"no train.en, train.de.gz or the like among the inputs, which have "
            f"{found or 'no files'}: give the archive's folder data/task1"
        )
    for split, of_split in _splits(texts).items():
        if sum(not name.endswith(".images.txt") for name in of_split) < 2:
            raise DataError(
                f"of {split} there is only {' and '.join(of_split)}: add its other languages"
            )
        if len(set(of_split.values())) > 1:
            listed = ", ".join(f"{name} has {lines:,}" for name, lines in of_split.items())
            raise DataError(f"the lines do not match: {listed}; give files of one edition")


# Lines about photos that are there.


def _about(texts: Mapping[str, Text], folder: Path) -> dict[str, Text]:
    """The lines about a folder's photos, as the files of a split of their own.

    Lines about one photo stay together. Which part a photo belongs to depends on its number alone.

    Raises:
        DataError: there are no such photos, or too few.
    """
    files = {_number(path.name): path.name for path in sorted(folder.glob("*.jpg"))}
    found: dict[str, list[tuple[str, int]]] = {}  # by photo: split and line
    for split in OFFICIAL:
        names = texts.get(f"{split}.images.txt")
        for line, name in enumerate(names.lines if names else ()):
            if _number(name) in files:
                found.setdefault(_number(name), []).append((split, line))
    counts = _sizes(len(found))
    if min(counts.values()) < 1:
        raise DataError(
            f"{folder}: holds {len(found)} photos that lines are about, too few to be split; name "
            "Flickr8k's folder of photos"
        )
    drawn = iter(sorted(found, key=lambda number: hashlib.sha256(number.encode()).digest()))
    written = {}
    for part, count in counts.items():
        numbers = sorted(islice(drawn, count))
        places = [(number, *place) for number in numbers for place in found[number]]
        for language in _languages(texts):
            lines = [texts[f"{split}.{language}"].lines[line] for _, split, line in places]
            written[f"{SEEN}/{part}.{language}"] = lines
        written[f"{SEEN}/{part}.images.txt"] = [files[number] for number, _, _ in places]
    return {
        name: Text(name, lines, "train, val", hashlib.sha256(_content_of(lines)).hexdigest())
        for name, lines in written.items()
    }


def _number(name: str) -> str:
    """A photo's number: Flickr8k's names have more behind it."""
    return name.partition("_")[0].partition(".")[0]


def _sizes(photos: int) -> dict[str, int]:
    """How many photos each part has: of Flickr8k's 6,253, 5,000, 253 and 1,000."""
    val, test = (round(photos * share / 6_253) for share in (253, 1_000))
    return {"train": photos - val - test, "val": val, "test": test}


def _languages(texts: Mapping[str, Text]) -> list[str]:
    """Those that both splits have."""
    return [
        language
        for language in LANGUAGES
        if all(
            f"{split}.{language}" in texts for split in OFFICIAL if f"{split}.images.txt" in texts
        )
    ]


def _content_of(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _splits(texts: Mapping[str, Text]) -> dict[str, dict[str, int]]:
    """The lines of every file, split by split."""
    splits: dict[str, dict[str, int]] = {}
    for name, text in texts.items():
        splits.setdefault(name.partition(".")[0], {})[name] = len(text.lines)
    return splits


def _manifest(texts: Mapping[str, Text]) -> dict[str, Any]:
    return {
        "data_set": NAME,
        "licence": LICENCE,
        "read": [{"name": text.member, "sha256": text.sha256} for text in texts.values()],
        "written": [
            {
                "name": name,
                "lines": len(text.lines),
                "bytes": len(text.content),
                "sha256": hashlib.sha256(text.content).hexdigest(),
            }
            for name, text in texts.items()
        ],
    }


def _table(splits: Mapping[str, Mapping[str, int]]) -> str:
    """The lines and files of every split."""
    width = max(map(len, splits))
    lines = []
    for split, of_split in splits.items():
        count = next(iter(of_split.values()))
        files = " ".join(n.removeprefix(f"{split}.").removesuffix(".txt") for n in of_split)
        odd = f" ({NAME} has {OFFICIAL[split]:,})" if count != OFFICIAL.get(split, count) else ""
        lines.append(f"{split.ljust(width)}  {count:>6,} lines  {files}{odd}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepares the data set and says how it went.

    Returns:
        The exit code: 0, 1 after an error, 130 after an interrupt.
    """
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="INPUT",
        help="the archive: its folder, ZIP or tar files, or single text files, .gz or not",
    )
    parser.add_argument(
        *("-o", "--output"), type=Path, required=True, help="folder to write, new or written before"
    )
    parser.add_argument(
        "--photos",
        type=Path,
        metavar="DIR",
        help="folder of photos, such as Flickr8k's: split the lines about them once more",
    )
    chosen = parser.parse_args(arguments)

    def work() -> str:
        table = _table(prepare(chosen.inputs, chosen.output, chosen.photos))
        return f"{table}\n{NAME}: {chosen.output}"

    return told(work)


if __name__ == "__main__":
    sys.exit(main())
