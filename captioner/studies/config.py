"""What a comparison is asked for: one recipe, its variants, seeds and the time of a run."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioner import tasks
from captioner.errors import ConfigError, DataError, shown
from captioner.recipes.files import read_recipe
from captioner.settings import check_positive, from_dict, setting
from captioner.text import decoded

# Said of the same lines in the same language, with a photo in view or without one.
_COMPARABLE = {tasks.TRANSLATE, tasks.MULTIMODAL}
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")  # and files are called by it
_LONGEST = 100_000  # minutes of a run
_ITS_OWN = {"seed": "seeds", "output": "output"}  # what a study gives every recipe, from its own


@dataclass(frozen=True)
class Variant:
    """One way to set the recipe."""

    name: str = setting("", "what it is called in tables: small letters, digits, - and _")
    settings: tuple[str, ...] = setting(
        (), "what differs from the recipe, as typed: model.attention.score=dot"
    )
    core: bool = setting(
        False, "trained with every seed and compared with the others; otherwise once, to work"
    )
    recipe: str = setting("", "recipe (.toml) of its own; left out, the study's")

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"a variant is called {shown(self.name)}; expected up to 100 small letters, "
                "digits, - and _"
            )
        _check_settings(self.settings)


@dataclass(frozen=True)
class Grounding:
    """Boxes by which the maps of a captioning study are measured, once its runs are finished."""

    boxes: str = setting("", "COCO instance file, its nouns marked or of known kinds; empty: none")
    captions: str = setting("", "COCO captions of the photos")
    images: str = setting("", "folder of the photos")

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in ("boxes", "captions", "images")}
        if any(given.values()) and not all(given.values()):
            told = ", ".join(f"{name} {value!r}" for name, value in given.items())
            raise ConfigError(f"grounding has {told}; it needs all three, or none")


@dataclass(frozen=True)
class StudyConfig:
    """A comparison."""

    title: str = setting("", "heading of what is written")
    recipe: str = setting("", "recipe (.toml) that all variants start from")
    output: str = setting("", "folder for what each run has found, by which a study goes on")
    documents: str = setting("", "folder for table.md, results.csv and the figures")
    minutes: float = setting(
        4.0, "processor time (on a GPU: time) that a run trains", unit="minutes"
    )
    seeds: tuple[int, ...] = setting((1, 2, 3, 4, 5), "of the core variants; the others take one")
    points: int = setting(4, "points of a curve: the score at equal shares of the time")
    warmup: float = setting(0.05, "share of the time in which learning rates rise")
    items: int = setting(500, "photos or sentence pairs of the validation data that are scored")
    curve_items: int = setting(100, "of these, for the points of a curve before the last")
    gradients: int = setting(
        0, "translation: pairs by which gradients are measured by distance; 0: none"
    )
    masked: bool = setting(
        False, "translation from en into de: score sources with colours and nouns masked, too"
    )
    grounding: Grounding = setting(
        Grounding, "captions: boxes by which the maps of finished runs are measured"
    )
    settings: tuple[str, ...] = setting((), "what all variants set, as typed")
    variants: tuple[Variant, ...] = setting((), "what is compared")

    def __post_init__(self) -> None:
        check_positive(self, "minutes", most=_LONGEST)
        check_positive(self, "points", "items", "curve_items")
        for name in ("recipe", "output", "documents"):
            if not getattr(self, name):
                raise ConfigError(f"the study names no {name}; write one")
        if not 0 < self.warmup < 1:
            raise ConfigError(f"warmup is {self.warmup}; expected a share between 0 and 1")
        names = [variant.name for variant in self.variants]
        if not names or not self.seeds or len({*names}) < len(names):
            raise ConfigError(
                "a study needs variants, each with a name of its own, and seeds; it has "
                f"{', '.join(names) or 'no variants'}, and seeds {list(self.seeds)}"
            )
        again = next((seed for seed in self.seeds if self.seeds.count(seed) > 1), None)
        if again is not None:
            raise ConfigError(
                f"seed {again} is there twice in {list(self.seeds)}; the same run again tells "
                "nothing, name each seed once"
            )
        _check_settings(self.settings)

    def runs(self) -> list[tuple[Variant, int]]:
        """Every run: by seed first, so that an early end leaves whole rounds."""
        return [
            (variant, seed)
            for number, seed in enumerate(self.seeds)
            for variant in sorted(self.variants, key=lambda each: not each.core)
            if variant.core or number == 0
        ]

    def recipe_of(self, variant: Variant, seed: int) -> Any:
        """The recipe of one run.

        Raises:
            ConfigError: the settings make none; the message names the variant.
        """
        places = [typed(text) for text in (*self.settings, *variant.settings)]
        own = [("seed", str(seed)), ("output", str(Path(self.output) / "training"))]
        try:
            return read_recipe(variant.recipe or self.recipe, [*places, *own])
        except ConfigError as error:
            raise ConfigError(f"variant {variant.name}: {error}") from None


def _check_settings(texts: Sequence[str]) -> None:
    """Refuses settings of another form, and those that a study would put its own over.

    Raises:
        ConfigError: see above.
    """
    for text in texts:
        place, _ = typed(text)
        if place in _ITS_OWN:
            raise ConfigError(
                f"settings have {text!r}, but every run has its {place} from the study; leave it "
                f"out, and set the study's {_ITS_OWN[place]}"
            )


def typed(text: str) -> tuple[str, str]:
    """Place and value of `place=value`.

    Raises:
        ConfigError: it has another form.
    """
    place, equals, value = (part.strip() for part in text.partition("="))
    if not place or not equals or not value:
        raise ConfigError(f"{text!r} sets nothing; expected a place and a value: model.copy.size=8")
    return place, value


def read_study(path: str | Path, replaced: Sequence[tuple[str, Any]] = ()) -> StudyConfig:
    """A study from its TOML file; all recipes are made, so that none is refused hours later.

    Args:
        path: the file.
        replaced: fields of `StudyConfig` with values that take the place of the file's.

    Raises:
        ConfigError: the file is missing or no TOML, or a setting is unknown or out of range.
    """
    try:
        values = tomllib.loads(decoded(Path(path).read_bytes(), str(path)))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; expected a study (.toml)") from None
    except (DataError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: no TOML: {error}") from None
    config = from_dict(StudyConfig, {**values, **dict(replaced)})
    kinds = {tasks.of(config.recipe_of(*each)).name for each in config.runs()}
    if len(kinds) > 1 and not kinds <= _COMPARABLE:
        raise ConfigError(f"{path}: the variants are of several tasks: {', '.join(sorted(kinds))}")
    if config.grounding.boxes and kinds != {tasks.CAPTION}:
        told = ", ".join(sorted(kinds))
        raise ConfigError(f"{path}: grounding measures captioners, but the recipe is for {told}")
    return config
