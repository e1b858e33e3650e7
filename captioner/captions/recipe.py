"""What a captioner's recipe holds: photos, phases, a teacher, and the whole TOML file."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from captioner.errors import ConfigError
from captioner.formats.archives import is_named_so as is_archive
from captioner.formats.registry import NAMES as FORMATS
from captioner.nn.architecture import STAGES, ModelConfig
from captioner.options import WORKERS, SearchOptions
from captioner.recipes import shared
from captioner.recipes.photos import AugmentConfig, TeacherConfig
from captioner.settings import check_positive, check_share, field_of, setting, written_down

_LONGEST = 1000  # words of a drawn caption, as of one that is searched


@dataclass(frozen=True)
class Source:
    """One set of captioned photos."""

    captions: str = setting(
        "", "file or folder of captions in any format of docs/formats.md (COCO JSON, CSV, …)"
    )
    images: str = setting(
        "", "folder that holds the photos; imagefolder and folder: left out, where they lie"
    )
    format: str = setting("auto", "format of the captions", choices=("auto", *FORMATS))
    split: str = setting(
        "",
        "name of the split, where the file has some (train, train+restval, val, …); flickr8k: "
        "the split file",
    )
    boxes: str = setting(
        "",
        "COCO instances JSON, where things lie: `evaluate` measures by it how often a noun's map "
        "points at what the noun names, and training with attention_supervision teaches it",
    )

    def __post_init__(self) -> None:
        for name in ("captions",) if self._is_home() else ("captions", "images"):
            if not getattr(self, name):
                raise ConfigError(
                    f"a data source needs `{name}`: {field_of(Source, name).metadata['help']}"
                )

    def _is_home(self) -> bool:
        """Whether the photos lie beside their captions."""
        own = self.format in ("folder", "imagefolder", "webdataset")
        metadata = self.captions.endswith(("metadata.csv", "metadata.jsonl"))
        home = own or metadata or is_archive(self.captions)
        return home or os.path.isdir(self.captions)  # noqa: PTH112


@dataclass(frozen=True)
class DataConfig:
    """What a model learns from and what it is chosen by."""

    train: tuple[Source, ...] = setting((), "sources of the training photos, mixed together")
    validation: tuple[Source, ...] = setting((), "sources of the photos that choose the weights")
    validation_share: float = setting(
        0.05, "without validation sources: share of the training photos set aside, by photo id"
    )
    min_count: int = setting(4, "words written fewer times in the training captions are unknown")
    max_words: int = setting(40, "longer training captions are cut here", unit="words")
    validation_photos: int = setting(
        1000, "at most so many validation photos are captioned after an epoch"
    )

    def __post_init__(self) -> None:
        check_positive(self, "min_count", "max_words", "validation_photos")
        if not 0 < self.validation_share < 1:
            raise ConfigError(
                f"data.validation_share is {self.validation_share}; expected between 0 and 1"
            )


@dataclass(frozen=True)
class PhaseConfig:
    """One stretch of training with settings of its own."""

    name: str = shared.phase_name()
    epochs: int = setting(10, "times every photo is seen")
    batch_size: int = setting(0, "photos in a step of this phase; 0: as training.batch_size")
    learning_rate: float = setting(5e-4, "peak learning rate of everything but the CNN")
    encoder_learning_rate: float = setting(1e-4, "peak learning rate of the CNN")
    fine_tune_from: int = setting(
        0,
        "first CNN stage (1 to 5) that learns, with all after it: 1 is the whole CNN, 0 none of it",
        choices=tuple(range(STAGES + 1)),
    )
    batch_norm: str = setting(
        "frozen", "batch norm statistics while the CNN learns", choices=("frozen", "updated")
    )
    cache_features: bool = setting(
        False, "compute the frozen CNN's grids once and read them from disk afterwards"
    )
    augment: AugmentConfig = setting(AugmentConfig, "how photos are varied")
    input_dropout: bool = setting(
        True,
        "false: the dropout of grid cells, attention weights and whole words rests, that of "
        "embeddings and deep output goes on",
    )
    attention_supervision: float = shared.attention_supervision(
        "a noun's map to lie on the boxes of what it names (Liu et al. 2017, Attention Correctness)"
    )
    supervised_by: str = shared.supervised_by()
    supervised_mass: float = shared.supervised_mass("in the boxes")
    coverage: float = shared.coverage()
    scheduled_sampling: float = shared.scheduled_sampling()
    scheduled_decay: str = shared.scheduled_decay()
    self_critical: float = setting(
        0.0,
        "share of the self-critical loss, whose reward is CIDEr-D (Rennie et al. 2017); the rest "
        "stays cross-entropy",
    )
    samples: int = setting(
        5, "self-critical: captions drawn for every photo, each judged by the mean of the others"
    )
    repetition_penalty: float = setting(
        0.0,
        "self-critical: taken off the reward for every content word that a caption says again",
    )
    distillation: float = setting(
        0.0,
        "weight of the loss that keeps the CNN's classifier true while the CNN learns: its "
        "divergence from the [teacher]'s answers to the same pictures (Hinton et al. 2015)",
    )
    max_length: int = setting(
        20, "self-critical: a drawn caption is cut here, without an end", unit="words"
    )
    warmup: float = shared.warmup(0.02)
    schedule: str = shared.schedule()
    final_rate: float = shared.final_rate()

    def __post_init__(self) -> None:
        check_positive(self, "epochs", "learning_rate", "encoder_learning_rate")
        check_positive(self, "max_length", most=_LONGEST)
        check_share(self, "warmup", "final_rate")
        if self.batch_size < 0:
            raise ConfigError(
                f"phase {self.name!r}: batch_size is {self.batch_size}; expected 0 or more"
            )
        shared.check_attending(self)
        if not 0 <= self.self_critical <= 1:
            raise ConfigError(
                f"phase {self.name!r}: self_critical is {self.self_critical}; expected a share "
                "from 0 to 1"
            )
        if not 0 <= self.repetition_penalty < math.inf:
            raise ConfigError(
                f"phase {self.name!r}: repetition_penalty is {self.repetition_penalty}; expected 0 "
                "or more"
            )
        shared.check_samples(self)
        if not 0 <= self.distillation < math.inf:
            raise ConfigError(
                f"phase {self.name!r}: distillation is {self.distillation}; expected 0 or more"
            )
        if self.cache_features and self.distillation:
            raise ConfigError(
                f"phase {self.name!r}: a teacher answers to pictures, which cached features no "
                "longer are; set distillation = 0 or cache_features = false"
            )
        if self.cache_features and self.fine_tune_from:
            raise ConfigError(
                f"phase {self.name!r}: cache_features needs a frozen CNN, but fine_tune_from is "
                f"{self.fine_tune_from}; set fine_tune_from = 0 or cache_features = false"
            )
        if self.cache_features and self.augment.active:
            raise ConfigError(
                f"phase {self.name!r}: cached features cannot follow augment; set "
                "cache_features = false or leave augment out"
            )


@dataclass(frozen=True)
class TrainingConfig:
    """What all phases share."""

    batch_size: int = setting(32, "photos in a step, each with all its captions")
    label_smoothing: float = shared.label_smoothing("words")
    doubly_stochastic: float = setting(
        0.0, "weight of the doubly stochastic penalty (Xu et al. 2015, eq. 14)"
    )
    weight_decay: float = shared.weight_decay()
    gradient_clip: float = shared.gradient_clip(5.0)
    weight_average: float = shared.weight_average()
    precision: str = shared.precision()
    keep_photos: str = setting(
        "auto",
        "decode all photos once and keep them as 8-bit numbers where training computes, varied "
        "there in batches; auto: on a GPU with room for them",
        choices=("auto", "always", "never"),
    )
    encoder_precision: str = setting(
        "same",
        "float32 keeps the CNN at it while the rest computes in less: a CPU's bfloat16 is slower "
        "for large depthwise kernels, as EfficientNet's",
        choices=("same", "float32"),
    )
    validate_every: int = shared.validate_every()
    patience: int = shared.patience("CIDEr")
    workers: int = setting(2, "threads that read photos")
    save_steps: int = shared.save_steps()

    def __post_init__(self) -> None:
        check_positive(self, "batch_size")
        check_positive(self, "workers", most=WORKERS)
        shared.check_often(self)
        check_share(self, "label_smoothing", "weight_average")
        if self.doubly_stochastic < 0 or self.gradient_clip < 0 or self.weight_decay < 0:
            raise ConfigError(
                "training: doubly_stochastic, gradient_clip and weight_decay are 0 or more, not "
                f"{self.doubly_stochastic}, {self.gradient_clip}, {self.weight_decay}"
            )


@dataclass(frozen=True)
class Recipe:
    """Everything that `captioner train` needs: one TOML file."""

    output: str = shared.output("runs/captioner")
    init: str = setting(
        "", "checkpoint to start from (`shipped` is the one that came along); empty: a new model"
    )
    seed: int = shared.seed("photos")
    data: DataConfig = setting(DataConfig, "training and validation photos")
    model: ModelConfig = shared.model(ModelConfig)
    teacher: TeacherConfig = setting(TeacherConfig, "the network that a phase's distillation asks")
    training: TrainingConfig = setting(TrainingConfig, "what all phases share")
    search: SearchOptions = setting(
        lambda: SearchOptions(beam_size=3, alternatives=0), "decoding of the validation photos"
    )
    phases: tuple[PhaseConfig, ...] = setting(lambda: (PhaseConfig(),), "one after the other")
    licence: str = shared.licence()
    task: str = shared.task("caption")
    given: tuple[str, ...] = written_down()

    def __post_init__(self) -> None:
        shared.check_recipe(self.output, self.seed, self.phases)
        shared.check_looks(self.model.attention, self.phases)
        if self.model.copy.things and not (self.teacher.features or self.init):
            raise ConfigError(
                f"model.copy.things is {self.model.copy.things}, but nothing tells the things "
                "apart; write a [teacher] with features, classifier and words, or set it to 0"
            )
        stages = self.model.encoder.stages
        for number, phase in enumerate(self.phases):
            if phase.distillation and not self.teacher.features:
                raise ConfigError(
                    f"phases.{number}.distillation is {phase.distillation}, but the recipe names "
                    "no [teacher]; write its features, classifier and words, or set it to 0"
                )
            if phase.fine_tune_from > stages:
                raise ConfigError(
                    f"phases.{number}.fine_tune_from is {phase.fine_tune_from}, but the CNN has "
                    f"only {stages} stages (model.encoder.stages), so nothing of it would learn; "
                    f"choose 1 to {stages}, or 0 for a frozen CNN"
                )
