"""What a recipe of translation with the photo in view holds, besides what a translator's holds."""

from __future__ import annotations

from dataclasses import dataclass

from captioner.errors import ConfigError
from captioner.nn.architecture import MultimodalConfig
from captioner.recipes import shared
from captioner.settings import setting
from captioner.translations.recipe import PairDataConfig, PairSource, TranslationRecipe


@dataclass(frozen=True)
class SeenSource(PairSource):
    """One set of sentence pairs, each about a photo."""

    photos: str = setting("", "file with the name of a pair's photo on every line")
    images: str = setting("", "folder that holds the photos")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.photos or not self.images:
            given = f"photos is {self.photos!r} and images {self.images!r}"
            raise ConfigError(
                f"{given}; a source of task multimodal needs both: a file with a photo's name on "
                'every line, and the folder of the photos; without photos, write task = "translate"'
            )


@dataclass(frozen=True)
class SeenDataConfig(PairDataConfig):
    """What a translator with eyes learns from and what it is chosen by."""

    train: tuple[SeenSource, ...] = setting((), "sources of the training pairs, mixed together")
    validation: tuple[SeenSource, ...] = setting((), "sources of the pairs that choose the weights")


@dataclass(frozen=True)
class MultimodalRecipe(TranslationRecipe):
    """Everything that `captioner train` needs for a translator with eyes: one TOML file."""

    output: str = shared.output("runs/multimodal")
    data: SeenDataConfig = setting(SeenDataConfig, "training and validation pairs with photos")
    model: MultimodalConfig = shared.model(MultimodalConfig)
    task: str = shared.task("multimodal")

    def __post_init__(self) -> None:
        super().__post_init__()
        for number, phase in enumerate(self.phases):
            if phase.attention_supervision:
                raise ConfigError(
                    f"phases.{number}.attention_supervision is {phase.attention_supervision}, but "
                    "links between words say nothing of what lies on the photo; set it to 0, or "
                    'task = "translate"'
                )
