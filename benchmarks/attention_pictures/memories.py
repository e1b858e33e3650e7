"""Rows of a translator with the photo in view: where it looked, and how much of that was there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from captioner.errors import ConfigError
from captioner.studies.masked import LANGUAGES, mask
from captioner.translations.translator import Translator

from .rows import Asked, Row, Tile

NAME = "memories"
ROWS = (  # variant of `captioner study multimodal`, title, whether visible words are masked
    ("flat", "flat, photo always in view", False),
    ("flat-hidden", "flat, half of the photos hidden", False),
    ("flat-hidden", "the same, words masked", True),
    ("hierarchical-hidden", "hierarchical, half of the photos hidden", False),
    ("hierarchical-hidden", "the same, words masked", True),
)
TRANSLATION = "Ein brauner Hund steht auf dem Gras neben einem Mann."
WORDS = ("brauner", "Hund", "steht", "Gras", "neben", "Mann")


def missing(folder: Path, seed: int) -> list[Path]:
    """The runs that are not there."""
    paths = dict.fromkeys(_path(folder, variant, seed) for variant, _, _ in ROWS)
    return [path for path in paths if not path.is_file()]


def memories(
    folder: Path,
    asked: Asked,
    translation: str = TRANSLATION,
    words: Sequence[str] = WORDS,
    seed: int = 1,
) -> list[Row]:
    """What translators with the photo in view looked at.

    Args:
        folder: in which `captioner study multimodal` keeps its runs.
        asked: photo and sentence.
        translation: of the sentence, that is given, so that all rows say the same.
        words: of the translation, that are shown.
        seed: of the runs.

    Raises:
        ConfigError: the translation lacks a word.
        CheckpointError: a run is not there.
    """
    known = {
        variant: Translator.load(_path(folder, variant, seed))
        for variant in dict.fromkeys(variant for variant, _, _ in ROWS)
    }
    return [
        _row(known[variant], title, asked, masks, translation, words)
        for variant, title, masks in ROWS
    ]


def _path(folder: Path, variant: str, seed: int) -> Path:
    return folder / f"{variant}-{seed}.safetensors"


def _row(
    translator: Translator,
    title: str,
    asked: Asked,
    masks: bool,
    translation: str,
    words: Sequence[str],
) -> Row:
    source = mask(asked.sentence).text if masks else asked.sentence
    read, into = LANGUAGES
    found = translator.explain(
        source, translation, to=into, source_language=read, photo=asked.source
    )
    assert found.seen is not None
    said = [word.text for word in found.words]
    absent = next((word for word in words if word not in said), None)
    if absent is not None:
        raise ConfigError(
            f"the translation {translation!r} has no word {absent!r}; its words are: "
            f"{', '.join(said)}"
        )
    tiles = [
        Tile(found.seen.maps[place], f"photo {found.seen.shares[place]:.2f}")
        for place in map(said.index, words)
    ]
    return Row(title, source, tiles)
