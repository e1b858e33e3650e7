"""Makes the training files and the sets apart of the translator of everyday words.

Tatoeba's pairs of manythings.org/anki, pairs written for the project, Multi30k: what is held out
of one file is in none.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archives import write_whole
from ours import require_ours, told

from captioner.errors import DataError
from captioner.translations.pairs import read_texts

NAME = "everyday pairs"
LICENCE = (
    "Tatoeba: CC BY 2.0 FR; Multi30k: research and education only; translations written for the "
    "project: CC0; captions: their sources' terms"
)
DESCRIPTION = """\
Turns a folder with tatoeba/, written/, korean/ and multi30k/ into what configs/everyday.toml
learns from: train/*.tsv (English, translation), val/ and test/ (a source a line, its translations
in the file beside it, tabs between several), Korean captions of photos as COCO captions, and the
photos that are in none of the training files."""
EPILOG = """\
example:
  python data/prepare_everyday.py shared/data -o runs/data/everyday

Set apart, drawn by a hash of each sentence or photo: 1,000 English sentences of everyday German,
French and Spanish with all their translations, 300 of Czech and Korean, Spanish captions of 300
photos, Korean ones of 600 (a caption of 300 of them is translated); and a third of each as a set
that chooses the weights, with captions of 300 photos of Multi30k's training split. Its validation
split is a test set. An English sentence held out of one file is in no other, a photo neither,
nor is one of their translations in that language; case and punctuation make no other sentence.

The sentences that translations are looked at by are never learned, nor is one that differs from
them by a single word."""

# What the project's texts are looked at by: never learned from, and in no set.
SEEDS: Mapping[str, tuple[str, ...]] = {
    "en": (
        "I am a student.",
        "We are eating bread.",
        "Today, Charles gave an apple to Bora.",
    ),
    "fr": ("Je suis étudiant.",),
    "es": ("Estamos comiendo pan.",),
    "ko": ("오늘 찰스는 보라에게 사과를 주었다.",),
}
EVERYDAY = {"de": 1000, "fr": 1000, "es": 1000, "cs": 300, "ko": 300}  # sentences in a test set
CAPTIONS = {"es": 300, "ko": 600}  # photos set apart for tests
CHOSEN = 300  # of Multi30k's training photos, whose captions choose the weights
TRANSLATED = 300  # of these photos, a caption of each
FOLDERS = ("tatoeba", "written", "korean", "multi30k")
VALIDATION = 3  # a validation set has one sentence for so many of a test set
_SHORT = {"'m": " am", "'re": " are", "'s": " is", "n't": " not", "'ve": " have", "'ll": " will"}


@dataclass(frozen=True)
class Row:
    """An English sentence and its translation."""

    english: str
    other: str
    language: str
    kind: str  # everyday, captions
    photo: str = ""  # set and name of the photo that a caption is of
    drawn: bool = True  # whether it may be held out

    @property
    def place(self) -> str:
        """The photo, the same whatever set its name comes from."""
        collection, _, name = self.photo.partition("/")
        stem = name.rpartition(".")[0]
        if collection in ("flickr8k", "multi30k"):  # Flickr8k is a part of Flickr30k
            return f"flickr {stem.partition('_')[0]}"
        if collection == "coco-part" or stem.startswith("coco-"):
            return f"coco {stem.removeprefix('coco-').lstrip('0')}"
        return self.photo


@dataclass
class Apart:
    """What training must not hold, and the sets that it makes up."""

    english: set[str] = field(default_factory=set)  # bare sentences
    others: dict[str, set[str]] = field(default_factory=dict)  # bare translations, by language
    photos: set[str] = field(default_factory=set)
    tested: dict[str, set[str]] = field(default_factory=dict)  # photos of a language's test set
    files: dict[str, list[str]] = field(default_factory=dict)

    def hold(self, rows: Iterable[Row]) -> None:
        """Keeps rows out of training."""
        for row in rows:
            self.english.add(bare(row.english))
            self.others.setdefault(row.language, set()).add(bare(row.other))
            self.photos |= {row.place} if row.photo else set()

    def holds(self, row: Row) -> bool:
        """Whether a row gives away something that is held out."""
        return (
            bare(row.english) in self.english
            or bare(row.other) in self.others.get(row.language, ())
            or bool(row.photo and row.place in self.photos)
        )


def prepare(source: Path, output: Path) -> dict[str, int]:
    """Writes all files, and the manifest.

    Args:
        source: folder with tatoeba/, written/, korean/ and multi30k/.
        output: folder to write.

    Returns:
        The lines of every file.

    Raises:
        DataError: a file is missing or is not what it should be, or there is too little of
            something to set apart; the output was made by something else.
    """
    require_ours(output, NAME)
    everything = read(source)
    rows = [row for row in everything if not near_seed(row)]
    validation = _validation(source)
    apart = set_apart(rows, validation)
    files = {**apart.files, **_training(rows, apart)}
    for name, lines in files.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(output / name, "".join(f"{line}\n" for line in lines).encode())
    photos = _photos(rows, apart)
    for name, document in photos.items():
        write_whole(output / name, json.dumps(document, ensure_ascii=False).encode())
    manifest = {
        "data_set": NAME,
        "licence": LICENCE,
        "read": {
            str(path.relative_to(source)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(source.glob("*/*"))
            if path.parent.name in FOLDERS and path.is_file()
        },
        "near a sentence that is looked at": len(everything) - len(rows),
        "written": {name: len(lines) for name, lines in files.items()},
    }
    write_whole(output / "manifest.json", json.dumps(manifest, indent=1).encode() + b"\n")
    counts = {name: len(document["annotations"]) for name, document in photos.items()}
    return {**{name: len(lines) for name, lines in files.items()}, **counts}


# What comes in.


def read(source: Path) -> list[Row]:
    """All pairs, each once.

    Raises:
        DataError: a file is missing, or has too few columns.
    """
    rows: list[Row] = []
    for language, name in (("de", "deu"), ("fr", "fra"), ("es", "spa"), ("ko", "kor")):
        pairs = _columns(source / f"tatoeba/eng-{name}.tsv", 2)
        drawn = language != "ko"  # of Korean, what was written for the project is held out
        rows += [Row(one, other, language, "everyday", drawn=drawn) for one, other, *_ in pairs]
    for language, name in (("cs", "ces"), ("ko", "kor")):
        pairs = _columns(source / f"written/eng-{name}-everyday.tsv", 2)
        rows += [Row(one, other, language, "everyday") for one, other, *_ in pairs]
    for english, other, *photo in _columns(source / "written/eng-spa-captions.tsv", 4):
        rows.append(Row(english, other, "es", "captions", "/".join(photo[:2])))
    for english, other, *photo in _columns(source / "korean/eng-kor.tsv", 4, header=True):
        if photo[0] == "tatoeba":
            rows.append(Row(english, other, "ko", "everyday"))
        else:  # Multi30k's photos are not there to be captioned
            drawn = photo[0] != "multi30k"
            rows.append(Row(english, other, "ko", "captions", "/".join(photo[:2]), drawn))
    rows += [row for language in ("de", "fr", "cs") for row in _aligned(source, "train", language)]
    return list(dict.fromkeys(row for row in rows if bare(row.english) and bare(row.other)))


def _validation(source: Path) -> list[Row]:
    """Multi30k's validation captions, in their order."""
    return [row for language in ("de", "fr", "cs") for row in _aligned(source, "val", language)]


def _columns(path: Path, count: int, header: bool = False) -> Iterator[list[str]]:
    for number, line in enumerate(read_texts(str(path))[header:], 1 + header):
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) < count:
            raise DataError(
                f"{path}: line {number} has {len(cells)} tab-separated columns; expected {count}: "
                "is it the file that it is named after?"
            )
        yield cells


def _aligned(source: Path, split: str, language: str) -> list[Row]:
    """Multi30k's captions in English and another language."""
    names = [source / "multi30k" / f"{split}.{end}" for end in ("en", language, "images.txt")]
    texts = [read_texts(str(name)) for name in names]
    if len({len(each) for each in texts}) > 1:
        found = ", ".join(f"{n.name} has {len(t):,}" for n, t in zip(names, texts, strict=True))
        raise DataError(f"the lines do not match: {found}; give files of one edition")
    return [
        Row(_one(one), _one(other), language, "captions", f"multi30k/{photo.strip()}", False)
        for one, other, photo in zip(*texts, strict=True)
    ]


def _one(text: str) -> str:
    """A sentence without tabs, which part several of them."""
    return " ".join(text.split("\t")).strip()


# What is set apart.


def set_apart(rows: Sequence[Row], validation: Sequence[Row]) -> Apart:
    """Draws the test and validation sets.

    Args:
        rows: that there are.
        validation: captions of Multi30k, a test set as they are.

    Raises:
        DataError: there are too few rows of a kind.
    """
    apart = Apart()
    for language, count in EVERYDAY.items():
        own = [row for row in rows if (row.kind, row.language) == ("everyday", language)]
        groups = _grouped(own, lambda row: bare(row.english))
        drawn = _drawn(groups, count, f"everyday {language}")
        for split, keys in drawn.items():
            held = [row for key in keys for row in groups[key]]
            apart.hold(held)
            _write(apart, f"{split}/everyday", held, own)
    for language, count in CAPTIONS.items():
        own = [row for row in rows if (row.kind, row.language) == ("captions", language)]
        groups = _grouped(own, lambda row: row.place)
        drawn = _drawn(groups, count, f"captions {language}")
        apart.tested[language] = set(drawn["test"])
        for split, keys in drawn.items():
            apart.hold(row for key in keys for row in groups[key])
            held = [groups[key][0] for key in keys[:TRANSLATED]]
            _write(apart, f"{split}/captions", held, held)
    _choose_captions(apart, rows)
    apart.hold(validation)
    for language in dict.fromkeys(row.language for row in validation):
        own = [row for row in validation if row.language == language]
        apart.files[f"test/multi30k.en-{language}.en"] = [row.english for row in own]
        apart.files[f"test/multi30k.en-{language}.{language}"] = [row.other for row in own]
        apart.files[f"test/multi30k.{language}-en.{language}"] = [row.other for row in own]
        apart.files[f"test/multi30k.{language}-en.en"] = [row.english for row in own]
    return apart


def _choose_captions(apart: Apart, rows: Sequence[Row]) -> None:
    """Some of Multi30k's training captions choose the weights: its validation is a test here."""
    photos = dict.fromkeys(row.place for row in rows if row.photo.startswith("multi30k/"))
    order = sorted(photos, key=lambda place: hashlib.sha256(place.encode()).digest())
    drawn = set(order[:CHOSEN])
    held = [row for row in rows if row.place in drawn and row.photo.startswith("multi30k/")]
    for language in ("de", "fr", "cs"):
        own = [row for row in held if row.language == language]
        _write(apart, "val/captions", own, own)
    apart.hold(held)


def _grouped(rows: Iterable[Row], key: Any) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _drawn(groups: Mapping[str, Sequence[Row]], count: int, name: str) -> dict[str, list[str]]:
    """Keys of the groups that make up the test set and the validation set.

    Raises:
        DataError: there are not twice as many.
    """
    able = [key for key, rows in groups.items() if any(row.drawn for row in rows)]
    wanted = count + min(count, TRANSLATED * VALIDATION) // VALIDATION
    if len(able) < 2 * wanted:
        raise DataError(
            f"{name}: {len(able):,} sentences or photos are too few to set {wanted:,} apart; give "
            "the whole files"
        )
    order = sorted(able, key=lambda key: hashlib.sha256(f"{name}: {key}".encode()).digest())
    return {"test": order[:count], "val": order[count:wanted]}


def _write(apart: Apart, name: str, held: Sequence[Row], rows: Sequence[Row]) -> None:
    """Both directions of a set: one source a line, all that it is translated by among the rows.

    Of sentences that differ by case or punctuation alone, the first is translated.
    """
    language = held[0].language
    for here, there in (("english", "other"), ("other", "english")):
        ways = _grouped(rows, lambda row, here=here: getattr(row, here))
        first = {bare(row.english): getattr(row, here) for row in reversed(held)}
        sources = list(dict.fromkeys(reversed(first.values())))
        one, two = ("en", language) if here == "english" else (language, "en")
        apart.files[f"{name}.{one}-{two}.{one}"] = sources
        apart.files[f"{name}.{one}-{two}.{two}"] = [
            "\t".join(dict.fromkeys(getattr(row, there) for row in ways[source]))
            for source in sources
        ]


def bare(text: str) -> str:
    """A sentence without what does not make it another one: case, punctuation, spaces."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFC", text).casefold()))


def words_of(text: str) -> list[str]:
    """Words to compare sentences by: of small letters, English short forms written out."""
    small = unicodedata.normalize("NFC", text).casefold().replace("’", "'")
    for short, long in _SHORT.items():
        small = re.sub(rf"{short}\b", long, small)
    return re.findall(r"[^\W_]+", small)


def near_seed(row: Row) -> bool:
    """Whether a side of a row is a sentence that is looked at, but for a word at most."""
    sides = (("en", row.english), (row.language, row.other))
    return any(
        differs_by_a_word_at_most(words_of(text), seed)
        for language, text in sides
        for seed in _SEED_WORDS.get(language, ())
    )


def differs_by_a_word_at_most(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether one word is another, too many or missing, or none is."""
    if abs(len(one) - len(other)) > 1:
        return False
    short, long = sorted((one, other), key=len)
    same = 0
    while same < len(short) and short[same] == long[same]:
        same += 1
    return list(short[same + (len(short) == len(long)) :]) == list(long[same + 1 :])


_SEED_WORDS = {language: [words_of(text) for text in texts] for language, texts in SEEDS.items()}


# What goes out.


def _training(rows: Sequence[Row], apart: Apart) -> dict[str, list[str]]:
    """The training files, and the photos apart."""
    files: dict[str, list[str]] = {}
    for row in rows:
        if not apart.holds(row):
            own = files.setdefault(f"train/{row.kind}.en-{row.language}.tsv", [])
            own.append(f"{row.english}\t{row.other}")
    names = {row.photo for row in rows if row.photo and row.place in apart.photos}
    return {**files, "photos-apart.txt": sorted(names)}


def _photos(rows: Sequence[Row], apart: Apart) -> dict[str, Any]:
    """Korean captions of photos as COCO captions, of those to learn from and of the test's."""
    captions = [row for row in rows if row.kind == "captions" and row.language == "ko"]
    tested = apart.tested["ko"]
    split = {
        "korean-captions-train.json": [r for r in captions if r.drawn and not apart.holds(r)],
        "korean-captions-test.json": [r for r in captions if r.drawn and r.place in tested],
    }
    return {name: _coco(own) for name, own in split.items()}


def _coco(rows: Sequence[Row]) -> dict[str, Any]:
    """COCO captions of photos, whose names begin with the folder of their set."""
    numbers = {photo: n for n, photo in enumerate(dict.fromkeys(row.photo for row in rows), 1)}
    return {
        "images": [
            {"id": number, "file_name": photo.replace("/", "/images/", 1)}
            for photo, number in numbers.items()
        ],
        "annotations": [
            {"id": n, "image_id": numbers[row.photo], "caption": row.other}
            for n, row in enumerate(rows, 1)
        ],
    }


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
        "source", type=Path, metavar="DIR", help="with tatoeba, written, korean, multi30k"
    )
    parser.add_argument(
        *("-o", "--output"), type=Path, required=True, help="folder to write, new or written before"
    )
    chosen = parser.parse_args(arguments)

    def work() -> str:
        counts = prepare(chosen.source, chosen.output)
        lines = [f"{count:>8,}  {name}" for name, count in counts.items()]
        return "\n".join([*lines, f"{NAME}: {chosen.output}"])

    return told(work)


if __name__ == "__main__":
    raise SystemExit(main())
