"""Captioned photos as people publish them: COCO captions, Karpathy's JSON, Flickr8k token files.

Three formats come in, one type goes out: a list of `Photo`. The photos themselves are neither
opened nor looked for here, so that a hundred thousand of them are listed in a second or two;
`captioner.audit` looks at them.

Sources: Chen et al. 2015, "Microsoft COCO Captions" (arXiv:1504.00325); Karpathy and Fei-Fei 2015,
"Deep Visual-Semantic Alignments" (arXiv:1412.2306), whose splits the field compares on; Hodosh,
Young and Hockenmaier 2013, "Framing Image Description as a Ranking Task".
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioner.captions.recipe import Source
from captioner.errors import ConfigError, DataError
from captioner.text import decoded

FORMATS = ("auto", "coco", "karpathy", "flickr8k")


@dataclass(frozen=True)
class Photo:
    """One photo and what people wrote about it."""

    photo_id: str  # who it is in any data set: see `photo_id`
    path: Path
    captions: tuple[str, ...]  # raw, as written, without the spaces around them; never empty


_FOLDERS = re.compile(r".*[\\/]", re.DOTALL)
_NUMBERED = re.compile(r"(?:COCO_[a-z]+[0-9]{4}_)?0*([0-9]+)(?:\.[A-Za-z0-9.]+)?")
_FLICKR = re.compile(r"([0-9]+)_[0-9a-f]{8,12}(?:[_.].*)?", re.DOTALL)


def photo_id(file_name: str) -> str:
    """Who a photo is, whatever data set it is met in; a folder before the name does not matter.

    COCO names (`COCO_val2014_000000391895.jpg`, `000000391895.jpg`) give COCO's number, "391895";
    Flickr names (`1000268201_693b08cb0e.jpg`, `1000268201.jpg`) the digits before the first
    underscore or dot, by which Flickr8k is recognised inside Flickr30k and Multi30k; any other name
    its stem, its letters composed (NFC) as macOS does not write them.
    """
    name = unicodedata.normalize("NFC", _FOLDERS.sub("", file_name))
    known = _NUMBERED.fullmatch(name) or _FLICKR.fullmatch(name)
    return known.group(1) if known else Path(name).stem


def read(source: Source) -> list[Photo]:
    """Reads one set of captioned photos, in the order of its file.

    With the format "auto" the content decides: JSON with "images" and "annotations" is COCO's, JSON
    whose images carry "sentences" and "split" is Karpathy's, and anything that is not JSON is a
    Flickr8k token file.

    Raises:
        DataError: a file is missing or not what its format promises, the folder of photos does not
            exist, or no captioned photo is left.
        ConfigError: the format is unknown.
    """
    if source.format not in FORMATS:
        raise ConfigError(f"format is {source.format!r}, but should be one of {', '.join(FORMATS)}")
    path, images = Path(source.captions), Path(source.images)
    text = _text(path)
    if not text.strip():
        raise DataError(f"{path}: the file is empty; expected captions: get it again")
    guessing = source.format == "auto"
    is_json = text.lstrip()[:1] in ("{", "[") if guessing else source.format != "flickr8k"
    document = _parsed(path, text) if is_json else None
    form = _guessed(path, document) if guessing else source.format
    if form == "flickr8k":
        return _flickr8k(path, text, images, Path(source.split) if source.split else None)
    if form == "karpathy":
        return _karpathy(path, document, images, source.split)
    if source.split:
        raise DataError(
            f"{path}: a COCO file has no splits inside, but split is {_shown(source.split)}: "
            "leave it out, and name the file of that split"
        )
    return _coco(path, document, images)


def read_coco(captions: str | Path, images: str | Path) -> list[Photo]:
    """Reads a COCO captions file: "images" (id, file_name) and "annotations" (image_id, caption).

    Photos without a caption are left out, blank captions too.

    Raises:
        DataError: see `read`.
    """
    path = Path(captions)
    return _coco(path, _parsed(path, _text(path)), Path(images))


def read_karpathy(file: str | Path, images: str | Path, split: str) -> list[Photo]:
    """Reads one split of a Karpathy file (`dataset_coco.json`, `dataset_flickr8k.json`).

    Args:
        file: the JSON file; its images carry filename, split, sentences with "raw", and for COCO
            filepath.
        images: the folder that holds the photos; filepath is a folder inside it.
        split: "train", "val", "test", "restval", or several joined by a plus sign: "train+restval".

    Raises:
        DataError: see `read`.
    """
    path = Path(file)
    return _karpathy(path, _parsed(path, _text(path)), Path(images), split)


def read_flickr8k(
    tokens: str | Path, images: str | Path, split_file: str | Path | None = None
) -> list[Photo]:
    """Reads Flickr8k's own format: lines `name.jpg#0<TAB>caption`, a list of names for each split.

    With a split file its photos come in its order, without one all photos in the order of the token
    file. Flickr8k.token.txt names one photo (`2258277193_586949ec62.jpg.1`) that its archive does
    not hold: a name with such an ending is left out unless the file is there.

    Raises:
        DataError: see `read`.
    """
    path = Path(tokens)
    return _flickr8k(path, _text(path), Path(images), Path(split_file) if split_file else None)


def split_off(
    photos: Sequence[Photo], share: float, seed: int = 0
) -> tuple[list[Photo], list[Photo]]:
    """Carves off about `share` of the photos, as a validation split for data that has none.

    A hash of seed and photo id decides about each photo by itself: the order does not matter, a
    photo never changes sides when others are added, and all entries of one photo id stay together.

    Returns:
        (rest, part), each in the order of `photos`.

    Raises:
        ConfigError: `share` is not between 0 and 1, both excluded.
        DataError: one side would be empty.
    """
    if not 0 < share < 1:
        raise ConfigError(f"the share to split off is {share}, but should lie between 0 and 1")
    chosen = {p.photo_id for p in photos if _draw(p.photo_id, seed) < share}
    part = [p for p in photos if p.photo_id in chosen]
    rest = [p for p in photos if p.photo_id not in chosen]
    if not part or not rest:
        raise DataError(
            f"a share of {share} of {len(photos)} photos leaves {len(rest)} and {len(part)}: "
            "choose a share nearer to 0.5, another seed, or name a validation file"
        )
    return rest, part


def _draw(identity: str, seed: int) -> float:
    """A number in [0, 1) that depends on the photo id and the seed only."""
    digest = hashlib.blake2b(f"{seed}:{identity}".encode(errors="replace"), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


# Formats: each takes what was read, so that guessing the format does not read a file twice.


def _guessed(path: Path, document: Any) -> str:
    """The format of a parsed file; None stands for a file that is not JSON."""
    if document is None:
        return "flickr8k"
    if isinstance(document, dict) and "images" in document:
        images = document["images"]
        first = images[0] if isinstance(images, list) and images else None
        if isinstance(first, dict) and "sentences" in first and "split" in first:
            return "karpathy"
        if "annotations" in document:
            return "coco"
    found = f" with {_keys(document)}" if isinstance(document, dict) else ""
    raise DataError(
        f"{path}: JSON, but not of captions: it is {_KINDS[type(document)]}{found}; expected "
        "COCO's 'images' and 'annotations', or Karpathy's 'images' with 'sentences' and 'split'"
    )


def _coco(path: Path, document: Any, images: Path) -> list[Photo]:
    names: dict[int | str, str] = {}
    taken: dict[str, str] = {}
    for i, image in enumerate(_field(path, "the file", document, "images", list)):
        where = f"images[{i}]"
        identity = _field(path, where, image, "id", int, str)
        if identity in names:
            raise DataError(f"{path}: {where} has the id {_shown(identity)} of an earlier image")
        names[identity] = _name(path, where, _field(path, where, image, "file_name", str), taken)
    captions: dict[int | str, list[str]] = {identity: [] for identity in names}
    find = finder(names)
    foreign: list[str] = []
    for i, annotation in enumerate(_field(path, "the file", document, "annotations", list)):
        where = f"annotations[{i}]"
        identity = _field(path, where, annotation, "image_id", int, str)
        caption = _field(path, where, annotation, "caption", str)
        if (own := find(identity)) is not None:
            captions[own].append(caption)
        else:
            foreign.append(f"{where} has image_id {_shown(identity)}")
    if foreign:
        raise DataError(
            f"{path}: {len(foreign)} annotations speak of photos that are not in 'images', first "
            f"{foreign[0]}: the file is cut short, or two files were mixed"
        )
    return _photos(path, images, ((name, captions[identity]) for identity, name in names.items()))


Id = int | str


def finder(identities: Iterable[Id]) -> Callable[[Id], Id | None]:
    """Finds ids that may be written otherwise: "042" is 42, unless 42 is written in two ways."""
    own = set(identities)
    counts = Counter(map(_number, own))
    alike = {_number(identity): identity for identity in own if counts[_number(identity)] == 1}
    return lambda identity: identity if identity in own else alike.get(_number(identity))


def _number(identity: Id) -> Id:
    """The number that an id is, be it written as text."""
    plain = identity.strip() if isinstance(identity, str) else ""
    return int(plain) if plain.isascii() and plain.isdigit() and len(plain) < 20 else identity


def _karpathy(path: Path, document: Any, images: Path, split: str) -> list[Photo]:
    wanted = {name.strip() for name in split.split("+")} - {""}
    splits: Counter[str] = Counter()
    taken: dict[str, str] = {}
    chosen: list[tuple[str, list[str]]] = []
    for i, image in enumerate(_field(path, "the file", document, "images", list)):
        where = f"images[{i}]"
        name = _field(path, where, image, "filename", str)
        if "filepath" in image:
            name = f"{_field(path, where, image, 'filepath', str)}/{name}".removeprefix("/")
        name = _name(path, where, name, taken)
        belongs = _field(path, where, image, "split", str)
        splits[belongs] += 1
        sentences = _field(path, where, image, "sentences", list)
        raws = [
            _field(path, f"{where}.sentences[{k}]", sentence, "raw", str)
            for k, sentence in enumerate(sentences)
        ]
        if belongs in wanted:
            chosen.append((name, raws))
    missing = wanted - splits.keys() - {"train", "val", "test", "restval"}
    if missing or not chosen:
        held = ", ".join(f"{_shown(name)} ({count})" for name, count in splits.most_common(8))
        raise DataError(
            f"{path}: no photos of the split {_shown(min(missing, default=split))}; the file holds "
            f"{held or 'no photos'}: name one of them as split, or several as 'train+restval'"
        )
    return _photos(path, images, chosen)


_TOKEN_LINE = re.compile(r"([^\t]+)#([0-9]+)\t(.*)", re.DOTALL)
_ODD_ENDING = re.compile(r"\.[A-Za-z]+\.[0-9]+")


def _flickr8k(path: Path, text: str, images: Path, split_file: Path | None) -> list[Photo]:
    captions: dict[str, list[str]] = {}
    seen: dict[tuple[str, str], int] = {}
    taken: dict[str, str] = {}
    for number, line in _lines(text):
        parts = _TOKEN_LINE.fullmatch(line)
        if not parts:
            raise DataError(
                f"{path}: line {number} is {_shown(line)}, expected 'name.jpg#0', a tab and the "
                "caption (or JSON, as COCO and Karpathy write it)"
            )
        name, index, caption = parts.groups()
        if (name, index) in seen:
            raise DataError(
                f"{path}: line {number} gives {_shown(f'{name}#{index}')} again, first on line "
                f"{seen[name, index]}"
            )
        seen[name, index] = number
        if name not in captions:
            captions[_name(path, f"line {number}", name, taken)] = []
        captions[name].append(caption)
    if split_file is not None:
        names = _split_names(split_file, path, captions)
    else:
        names = [n for n in captions if not _ODD_ENDING.search(n) or _is_there(images, n)]
    return _photos(path, images, ((name, captions[name]) for name in names))


def _split_names(path: Path, tokens: Path, captions: dict[str, list[str]]) -> list[str]:
    """The names in a split file, in its order; every one of them has captions."""
    names: dict[str, int] = {}
    for number, line in _lines(_text(path)):
        name = line.strip()
        if name in names:
            raise DataError(
                f"{path}: line {number} names {_shown(name)} again, first on line {names[name]}"
            )
        names[name] = number
    written = {_plain(name): name for name in captions}  # "é" may be one character or two
    names = {written.get(_plain(name), name): number for name, number in names.items()}
    unknown = [name for name in names if name not in captions]
    if unknown:
        raise DataError(
            f"{path}: {len(unknown)} of {len(names)} photos have no captions in {tokens}, first "
            f"{_shown(unknown[0])} on line {names[unknown[0]]}: name two files of one data set"
        )
    if not names:
        raise DataError(
            f"{path}: names no photos, expected a list like '1000268201_693b08cb0e.jpg'"
        )
    return list(names)


def _photos(path: Path, images: Path, entries: Iterable[tuple[str, list[str]]]) -> list[Photo]:
    """The photos that have a caption; the folder must be there, the files are not looked for."""
    photos = []
    for name, raws in entries:
        captions = tuple(caption for raw in raws if (caption := raw.strip()))
        if captions:
            photos.append(Photo(photo_id(name), _located(images, name), captions))
    if not photos:
        raise DataError(f"{path}: holds no photo with a caption")
    if not os.path.isdir(images):  # noqa: PTH112  (Path.is_dir raises for too long a name)
        there = os.path.exists(images)  # noqa: PTH110
        what = "is a file, not a folder" if there else "does not exist"
        first = photos[0].path.relative_to(images)
        raise DataError(
            f"{path}: its folder of photos {str(images)!r} {what}: set images to the folder that "
            f"holds {str(first)!r}"
        )
    return photos


def _located(images: Path, name: str) -> Path:
    """Where a photo lies, by a name that Windows or macOS may have written in its own way.

    Backslashes part folders on Windows, and macOS takes accents apart (NFD). Only for such names
    the files are looked for; one that is found in no way stays as it is written.
    """
    if "\\" in name or not name.isascii():
        slashed = name.replace("\\", "/")
        forms = (unicodedata.normalize(form, slashed) for form in ("NFC", "NFD"))
        for other in (name, slashed, *forms):
            if os.path.exists(images / other):  # noqa: PTH110  (as above)
                return images / other
    return images / name


def _is_there(images: Path, name: str) -> bool:
    return os.path.isfile(_located(images, name))  # noqa: PTH113  (as above)


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


# Files and fields: every complaint is one line that names the file and the place in it.


def _text(path: Path, expected: str = "captions or a list of photos") -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected {expected}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"{path}: cannot be read: {reason}") from None
    return decoded(content, str(path))


def read_json(path: str | Path, expected: str) -> Any:
    """What a JSON file holds; its text may be UTF-8 or UTF-16.

    Args:
        path: of the file.
        expected: what it should be, for the message where it is missing.

    Raises:
        DataError: the file is missing, empty or not JSON, or an object gives one key twice.
    """
    return _parsed(Path(path), _text(Path(path), expected))


def _parsed(path: Path, text: str) -> Any:
    if not text.strip():
        raise DataError(f"{path}: the file is empty, expected JSON: get it again")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        item = dict(pairs)
        if len(item) != len(pairs):
            twice = next(key for key, count in Counter(k for k, _ in pairs).items() if count > 1)
            raise DataError(
                f"{path}: an object gives {_shown(twice)} twice, of which one would be lost: "
                "put both under one"
            )
        return item

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and _is_json(text[error.pos :].lstrip().partition("\n")[0]):
            raise DataError(
                f"{path}: JSON lines, a value on each line; expected one JSON document that holds "
                "them all, as COCO's 'images' and 'annotations' do"
            ) from None
        raise DataError(
            f"{path}: broken JSON in line {error.lineno}, column {error.colno}: {error.msg}; "
            "the file may be cut short: get it again"
        ) from None
    except RecursionError:
        raise DataError(
            f"{path}: JSON that no data set holds: lists and objects nested a thousand deep"
        ) from None
    except ValueError:  # what is left: a number of thousands of digits
        raise DataError(
            f"{path}: JSON that no data set holds: a number of thousands of digits"
        ) from None


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _lines(text: str) -> Iterable[tuple[int, str]]:
    """Lines that are not blank, counted from 1; cut at line feeds only, not at U+2028."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line


_KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number with a point",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def _field(path: Path, where: str, item: Any, key: str, *kinds: type) -> Any:
    """`item[key]`, which must be of one of the kinds exactly: true is no number."""
    if type(item) is not dict:
        raise DataError(f"{path}: {where} is {_KINDS[type(item)]}, expected an object with {key!r}")
    if key not in item:
        raise DataError(f"{path}: {where} has no {key!r}, only {_keys(item)}")
    value = item[key]
    if type(value) not in kinds:
        expected = " or ".join(_KINDS[kind] for kind in kinds)
        shown = f" ({_shown(value)})" if isinstance(value, str | int | float) else ""
        raise DataError(
            f"{path}: {where}.{key} is {_KINDS[type(value)]}{shown}, expected {expected}"
        )
    if type(value) is str and not _encodable(value):
        raise DataError(
            f"{path}: {where}.{key} is {_shown(value)}, which holds half a character "
            "(a lone surrogate): mend that text"
        )
    return value


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_LEAVES = (
    re.compile(  # absolute, with a drive, through the parent, a folder, or with control characters
        r"[\\/]|[A-Za-z]:|(?:.*[\\/])?\.\.(?:[\\/]|\Z)|(?:.*[\\/])?\.?\Z|.*[\x00-\x1f]", re.DOTALL
    )
)


def stays_inside(name: str) -> bool:
    """Whether a file name from outside leads to a file in the folder it is joined to, or below."""
    return not _LEAVES.match(name)


def _name(path: Path, where: str, name: str, taken: dict[str, str]) -> str:
    """A file name that stays inside the folder of photos and was not given before."""
    if not stays_inside(name):
        raise DataError(
            f"{path}: {where} names the file {_shown(name)}, expected a name inside the folder of "
            "photos, without '..', drive or leading slash"
        )
    if name in taken:
        raise DataError(
            f"{path}: {where} names the file {_shown(name)} again, first {taken[name]}: "
            "put all captions of a photo under one entry"
        )
    taken[name] = where
    return name


def _keys(item: dict[str, Any]) -> str:
    return ", ".join(map(_shown, list(item)[:5])) or "nothing"


def _shown(value: object) -> str:
    """A value from a file, fit for a line of an error message."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= 60 else f"{text[:40]}…{text[-15:]}"
