"""Rows of a translator with the photo in view: where it looked, and how much of that was there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from captioner.errors import ConfigError
from captioner.studies.masked import LANGUAGES, mask
from captioner.translations.translator import Translator

from .rows import Asked, Row, Tile

VARIANTS = ("flat", "hierarchical")
TRANSLATION = "Ein brauner Hund steht auf dem Gras neben einem Mann."
WORDS = ("brauner", "Hund", "steht", "Gras", "neben", "Mann")


def memories(
    folder: Path,
    asked: Asked,
    translation: str = TRANSLATION,
    words: Sequence[str] = WORDS,
    seed: int = 1,
) -> list[Row]:
    """Two rows a variant: the sentence as it is, and with its visible words masked.

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
    return [
        row
        for variant in VARIANTS
        for row in _of(
            Translator.load(folder / f"{variant}-{seed}.safetensors"),
            *(variant, asked, translation, words),
        )
    ]


def _of(
    translator: Translator, variant: str, asked: Asked, translation: str, words: Sequence[str]
) -> Iterator[Row]:
    read, into = LANGUAGES
    for title, source in (
        (variant, asked.sentence),
        (f"{variant}, words masked", mask(asked.sentence).text),
    ):
        found = translator.explain(
            source, translation, to=into, source_language=read, photo=asked.source
        )
        assert found.seen is not None
        said = [word.text for word in found.words]
        missing = next((word for word in words if word not in said), None)
        if missing is not None:
            raise ConfigError(f"{translation!r} has no word {missing!r}; its words are: {said}")
        tiles = [
            Tile(found.seen.maps[place], f"photo {found.seen.shares[place]:.2f}")
            for place in map(said.index, words)
        ]
        yield Row(title, source, tiles)
