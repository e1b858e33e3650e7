"""The formats of captions: one list, by which files are told apart, read, written, documented."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from captioner.atomic import whole
from captioner.errors import ConfigError, DataError
from captioner.formats import archives, coco, flickr, folder, karpathy, tables, webdataset
from captioner.formats.content import KINDS, Content, keys
from captioner.formats.entries import Entry

Reader = Callable[[Content, str, Path | None], list[Entry]]
"""Takes a file, the name of a split or "", and the folder of photos where it is known."""


@dataclass(frozen=True)
class Format:
    """A shape that captions of photos come in."""

    name: str  # as it is typed
    title: str  # what people call it
    shape: str  # what is in it, for the table of formats
    where: str  # who writes or wants it
    files: tuple[str, ...]  # patterns of the names that an output of this format has
    recognises: Callable[[Content], bool]
    read: Reader
    text: Callable[[Sequence[Entry]], str] | None = None  # the file, where it is a text
    several: bool = True  # whether a photo may have several captions
    splits: bool = False  # whether it keeps which part of a data set a photo belongs to
    named: bool = True  # whether it names files, and not ids alone
    home: bool = False  # whether its photos lie beside or in it


FORMATS = (
    Format(
        "webdataset",
        "WebDataset",
        "a tar (gz, bz2, xz, zst) of `000017.jpg` with `000017.txt` or `.json` beside it",
        "webdataset, img2dataset",
        ("*.tar",),
        webdataset.is_tar,
        webdataset.read,
        splits=True,
        home=True,
    ),
    Format(
        "folder",
        "folder with texts",
        "`dog.jpg` with `dog.txt` (or `dog.caption`) beside it, a caption a line",
        "kohya_ss, diffusers, OneTrainer",
        (),
        folder.is_folder,
        folder.read,
        home=True,
    ),
    Format(
        "karpathy",
        "Karpathy's JSON",
        '`{"images": [{"filename", "split", "sentences": [{"raw"}]}]}`',
        "`dataset_coco.json`, `dataset_flickr8k.json`",
        ("dataset_*.json",),
        karpathy.is_karpathy,
        karpathy.read,
        karpathy.written,
        splits=True,
    ),
    Format(
        "coco",
        "COCO captions",
        '`{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}`',
        "`captions_val2017.json`",
        ("*.json",),
        coco.is_captions,
        coco.read_captions,
        coco.written_captions,
    ),
    Format(
        "results",
        "COCO results",
        '`[{"image_id": 42, "caption": "…"}]`, one a photo',
        "pycocoevalcap, evaluation servers",
        ("captions_*_results.json", "*results*.json"),
        coco.is_results,
        coco.read_results,
        coco.written_results,
        several=False,
        named=False,
    ),
    Format(
        "flickr8k",
        "Flickr8k tokens",
        "lines `name.jpg#0`, a tab, the caption; splits are files of their own",
        "`Flickr8k.token.txt`, `results_20130124.token`",
        ("*.token", "*.token.txt"),
        flickr.is_tokens,
        flickr.read_tokens,
        flickr.written_tokens,
    ),
    Format(
        "flickr30k",
        "Flickr30k table",
        f"`{flickr.BARS}`, bars between; its one broken row is mended",
        "Kaggle's `results.csv`",
        ("results.csv",),
        flickr.is_bars,
        flickr.read_bars,
        flickr.written_bars,
    ),
    Format(
        "kaggle",
        "Kaggle's Flickr8k",
        "a CSV `image,caption`, a caption a row",
        "Kaggle's `captions.txt`",
        ("captions.txt",),
        tables.is_kaggle,
        tables.read_csv,
        tables.written_kaggle,
    ),
    Format(
        "imagefolder",
        "Hugging Face imagefolder",
        '`{"file_name", "text"}` an object a line (or a CSV), beside the photos',
        "datasets, diffusers: `metadata.jsonl`, `metadata.csv`",
        ("metadata.jsonl", "metadata.csv"),
        tables.is_metadata,
        tables.read_metadata,
        tables.written_metadata,
        splits=True,
        home=True,
    ),
    Format(
        "jsonl",
        "JSON lines",
        '`{"file", "caption"}` an object a line; other names for both are known',
        "`captioner caption --jsonl`",
        ("*.jsonl", "*.ndjson"),
        tables.is_objects,
        tables.read_objects,
        tables.written_objects,
        splits=True,
    ),
    Format(
        "csv",
        "CSV",
        "a heading with a column of names and one of captions; `,` `;` `|` or tabs between",
        "spreadsheets, `captioner caption --csv`",
        ("*.csv",),
        tables.is_csv,
        tables.read_csv,
        tables.written_csv,
        splits=True,
    ),
    Format(
        "tabs",
        "lines with tabs",
        "`holiday/dog.jpg`, a tab, the caption; no heading",
        "what `captioner caption` prints",
        ("*.tsv",),
        tables.is_tabs,
        tables.read_tabs,
        tables.written_tabs,
    ),
)
NAMES = tuple(each.name for each in FORMATS)
_BY_NAME = {each.name: each for each in FORMATS}
_METADATA = ("metadata.jsonl", "metadata.csv")


def named(name: str) -> Format:
    """The format of a name.

    Raises:
        ConfigError: there is none.
    """
    if name not in _BY_NAME:
        raise ConfigError(f"format is {name!r}, but should be one of auto, {', '.join(NAMES)}")
    return _BY_NAME[name]


def opened(path: str | Path) -> Content:
    """A file of captions; a folder that holds the `metadata` of an imagefolder stands for it."""
    path = Path(path)
    if path.is_dir():
        path = next((path / name for name in _METADATA if (path / name).is_file()), path)
    return Content(path)


def recognised(content: Content) -> Format:
    """The format that a file is in, by what is in it.

    Raises:
        DataError: by none of them; or it is broken JSON.
    """
    found = next((each for each in FORMATS if each.recognises(content)), None)
    if found is not None:
        return found
    if not content.is_json:
        return _BY_NAME["flickr8k"]  # which says what its first line should be
    if content.objects is not None and len(content.objects) > 1:
        raise DataError(
            f"{content.path}: JSON lines with {keys(content.objects[0][1])}; expected a name "
            f"({', '.join(tables.NAMES[:3])}, …) and a caption ({', '.join(tables.CAPTIONS[:3])}, "
            "…) in every object"
        )
    document = content.document
    with_keys = f" with {keys(document)}" if isinstance(document, dict) else ""
    raise DataError(
        f"{content.path}: JSON, but not of captions: it is {KINDS[type(document)]}{with_keys}; "
        "expected COCO's 'images' and 'annotations', or Karpathy's 'images' with 'sentences' and "
        "'split'"
    )


@dataclass(frozen=True)
class Reading:
    """What was read of one file."""

    format: Format
    path: Path  # of the file itself, where a folder stood for it
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]  # what was mended or left out, a line each


def read(
    path: str | Path, format: str = "auto", *, split: str = "", images: Path | None = None
) -> Reading:
    """Reads a file, a folder or an archive of captions.

    Args:
        path: of it.
        format: the name of a format, or "auto".
        split: the part of the data set that is wanted; for "flickr8k" a file that lists its photos.
        images: the folder of photos, where it is known.

    Raises:
        DataError: it is not what its format promises.
        ConfigError: the format is unknown.
    """
    content = Content(path) if format == "folder" else opened(path)
    own = recognised(content) if format == "auto" else named(format)
    if own.text is not None and content.path.is_dir():
        content.text  # noqa: B018  (says that it is a folder)
    entries = own.read(content, split, images)
    return Reading(own, content.path, tuple(entries), tuple(content.notes))


def of_output(path: Path, name: str = "") -> Format:
    """The format that an output is to have: the one that is named, or by the name of the file.

    Raises:
        ConfigError: neither tells.
    """
    if name:
        return named(name)
    matching = (
        (len(pattern), each)
        for each in FORMATS
        for pattern in each.files
        if fnmatch.fnmatch(path.name.lower(), pattern)
    )
    best = max(matching, key=lambda pair: pair[0], default=None)
    if best is not None:
        return best[1]
    if archives.is_named_so(path):
        raise ConfigError(
            f"{path}: archives are written uncompressed, since photos are compressed already; "
            "name it .tar"
        )
    if path.is_dir() or not path.suffix:
        return _BY_NAME["folder"]
    raise ConfigError(f"{path}: its name tells no format; add --to with one of {', '.join(NAMES)}")


def write(
    entries: Sequence[Entry],
    path: Path,
    format: Format,
    *,
    images: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Writes captions, whole or not at all.

    Args:
        entries: with a caption each.
        path: of the file, folder or archive.
        format: to write.
        images: the folder of the photos, which a folder and an archive take copies of.
        overwrite: in a folder, other texts may be replaced.

    Raises:
        DataError: the format cannot hold them, or a photo is missing.
    """
    if format.name == "folder":
        folder.pack(entries, path, images, overwrite)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if format.name == "webdataset":
        webdataset.pack(entries, path, images)
        return
    text = text_of(entries, path, format)
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def text_of(entries: Sequence[Entry], path: Path, format: Format) -> str:
    """What a file of captions that is a text holds.

    Raises:
        DataError: the format cannot hold them.
    """
    assert format.text is not None
    is_csv = format.name == "imagefolder" and path.suffix.lower() == ".csv"
    return (tables.written_metadata_csv if is_csv else format.text)(entries)


def table() -> str:
    """The table of docs/formats.md."""
    rows = ["| `--to`, `format` | what it is | what is in it | who writes or wants it | keeps |"]
    rows.append("|---|---|---|---|---|")
    for each in FORMATS:
        keeps = [
            "names" if each.named else "ids",
            "all captions" if each.several else "one caption",
            *(["splits"] if each.splits else []),
            *(["photos"] if each.text is None else []),
        ]
        shape = each.shape.replace("|", "\\|")
        rows.append(
            f"| `{each.name}` | {each.title} | {shape} | {each.where} | {', '.join(keeps)} |"
        )
    return "\n".join(rows) + "\n"
