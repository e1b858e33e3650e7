"""What recipes of tasks with photos share: how photos are varied, and a network that teaches."""

from __future__ import annotations

from dataclasses import dataclass

from captioner.errors import ConfigError
from captioner.settings import setting


@dataclass(frozen=True)
class AugmentConfig:
    """How training photos are varied."""

    flip: bool = setting(False, "mirror half of the photos (not where captions say left or right)")
    crop: float = setting(1.0, "smallest share of the area that a random crop keeps; 1 is no crop")
    jitter: float = setting(0.0, "largest change of brightness, contrast and saturation, ±")

    def __post_init__(self) -> None:
        if not 0 < self.crop <= 1:
            raise ConfigError(f"augment.crop is {self.crop}; expected a share above 0, at most 1")
        if not 0 <= self.jitter < 1:
            raise ConfigError(f"augment.jitter is {self.jitter}; expected 0 to below 1")

    @property
    def active(self) -> bool:
        """Whether the same photo can look different twice."""
        return self.flip or self.crop < 1 or self.jitter > 0


@dataclass(frozen=True)
class TeacherConfig:
    """The untouched network whose knowledge of things a phase's `distillation` keeps."""

    features: str = setting(
        "", "its CNN, of the same kind as the encoder's: imagenet, or a safetensors file"
    )
    classifier: str = setting(
        "",
        "its last layer, over the mean of the CNN's last grid: a safetensors file with "
        "classifier.weight and classifier.bias; left out where features is imagenet",
    )
    words: str = setting(
        "",
        "JSON list with an everyday word for each class, which joins the vocabulary and the "
        "checkpoint: plain words, or objects with `word`",
    )

    def __post_init__(self) -> None:
        if bool(self.features) != bool(self.words):
            raise ConfigError(
                f"teacher.features is {self.features!r} and teacher.words {self.words!r}; a "
                "teacher needs both: its CNN and the words for its classes"
            )
        if bool(self.classifier) != (self.features not in ("", "imagenet")):
            raise ConfigError(
                f"teacher.features is {self.features!r} and teacher.classifier "
                f"{self.classifier!r}; a CNN from a file needs its classifier's file, and "
                "imagenet brings its own"
            )
