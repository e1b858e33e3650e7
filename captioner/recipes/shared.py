"""What every task's recipe holds alike: settings explained once, and the checks that go with them.

Each function makes a field, so that a recipe names the setting where its readers look for it.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

from captioner.errors import ConfigError, shown
from captioner.nn.architecture import AttentionConfig
from captioner.options import ROWS
from captioner.settings import check_not_negative, check_positive, setting


class Phase(Protocol):
    """What is alike of one stretch of training, whatever is learned."""

    @property
    def name(self) -> str:
        """What the logs call it."""

    @property
    def epochs(self) -> int:
        """How often the data are gone through."""

    @property
    def learning_rate(self) -> float:
        """The peak of it."""

    @property
    def warmup(self) -> float:
        """Share of the phase in which the rate climbs."""

    @property
    def schedule(self) -> str:
        """What the rate does then: `cosine` or `constant`."""

    @property
    def final_rate(self) -> float:
        """Share of the peak that the cosine ends at."""

    @property
    def samples(self) -> int:
        """Sentences that the self-critical loss draws."""


def phase_name() -> Any:
    """Of a phase."""
    return setting("", "what the logs call this phase")


def schedule() -> Any:
    """Of a phase."""
    return setting("cosine", "learning rate after the warm-up", choices=("cosine", "constant"))


def final_rate() -> Any:
    """Of a phase."""
    return setting(0.02, "share of the peak rate that the cosine ends at")


def warmup(share: float) -> Any:
    """Of a phase."""
    return setting(share, "share of the phase in which the learning rate climbs")


def attention_supervision(about: str) -> Any:
    """Of a phase."""
    return setting(0.0, f"weight of the loss that teaches {about}")


def supervised_by() -> Any:
    """Of a phase."""
    return setting(
        "mass",
        "with attention_supervision: mass, -log of what lies where it should; cross_entropy and "
        "squares, the difference from an even map of the place (Liu et al. 2016, Mi et al. 2016)",
        choices=("mass", "cross_entropy", "squares"),
    )


def supervised_mass(where: str) -> Any:
    """Of a phase."""
    return setting(
        1.0,
        f"with attention_supervision by mass: share of a map {where} that is enough; what lies "
        "above earns nothing, so that maps need not become narrow to be right",
    )


def coverage() -> Any:
    """Of a phase."""
    return setting(
        0.0,
        "weight of the loss on looking again at what has been looked at (See et al. 2017, eq. 12)",
    )


def scheduled_sampling() -> Any:
    """Of a phase."""
    return setting(
        0.0,
        "share of the words read that are the model's own, drawn from what it predicts, by the end "
        "of the phase, instead of the sentence's (scheduled sampling, Bengio et al. 2015)",
    )


def scheduled_decay() -> Any:
    """Of a phase."""
    return setting(
        "linear",
        "with scheduled_sampling: how the share of the sentence's own words falls to there",
        choices=("linear", "exponential", "inverse_sigmoid"),
    )


def label_smoothing(over: str) -> Any:
    """Of all phases."""
    return setting(0.1, f"share of the target spread over all {over}")


def weight_decay() -> Any:
    """Of all phases."""
    return setting(0.01, "AdamW's weight decay on matrices")


def gradient_clip(norm: float) -> Any:
    """Of all phases."""
    return setting(norm, "largest norm of the gradient; 0 is no limit")


def weight_average() -> Any:
    """Of all phases."""
    return setting(
        0.999,
        "decay of the moving average of the weights, which is what is scored and saved; 0 off",
    )


def precision() -> Any:
    """Of all phases."""
    return setting(
        "auto",
        "auto: bfloat16 on CUDA (float16 with loss scaling, where that is all it has), float32 on "
        "a CPU; bfloat16: autocast on either",
        choices=("auto", "float32", "bfloat16"),
    )


def validate_every() -> Any:
    """Of all phases."""
    return setting(1, "epochs between two validations; the last epoch of a phase always has one")


def patience(score: str) -> Any:
    """Of all phases."""
    return setting(0, f"epochs without a better validation {score} that end a phase; 0 never")


def save_steps() -> Any:
    """Of all phases."""
    return setting(200, "steps between two saves of the resume state; 0 only at epochs")


def output(folder: str) -> Any:
    """Of a recipe."""
    return setting(folder, "folder for checkpoints, logs and the resume state")


def seed(items: str) -> Any:
    """Of a recipe."""
    return setting(
        1,
        f"seed of the initial weights, the order of the {items} and dropout: the same recipe gives "
        "the same weights on a CPU with as many threads (OMP_NUM_THREADS=1 is what is tested)",
    )


def model(config: type) -> Any:
    """Of a recipe."""
    return setting(
        config,
        "the model; with `init` that of the checkpoint, of which only dropouts can be changed",
    )


def licence() -> Any:
    """Of a recipe."""
    return setting("", "terms of the training data, written into the checkpoint")


def task(name: str) -> Any:
    """Of a recipe."""
    return setting(name, "what is learned", choices=(name,))


def check_samples(phase: Phase) -> None:
    """Refuses fewer drawn sentences than can be compared with one another, and too many.

    Raises:
        ConfigError: there are fewer than two, or more than any memory holds.
    """
    if phase.samples < 2:
        raise ConfigError(
            f"phase {phase.name!r}: samples is {phase.samples}; expected at least 2, since each "
            "is judged by the mean of the others"
        )
    if phase.samples > ROWS:
        raise ConfigError(
            f"phase {phase.name!r}: samples is {phase.samples}; expected at most {ROWS}"
        )


def check_attending(phase: Any) -> None:
    """Refuses weights and shares of what a phase asks of attention that cannot be.

    Raises:
        ConfigError: one is out of range.
    """
    for name in ("attention_supervision", "coverage"):
        if not 0 <= getattr(phase, name) < math.inf:
            raise ConfigError(
                f"phase {phase.name!r}: {name} is {getattr(phase, name)}; expected 0 or more"
            )
    if not 0 < phase.supervised_mass <= 1:
        raise ConfigError(
            f"phase {phase.name!r}: supervised_mass is {phase.supervised_mass}; expected a share "
            "above 0 and at most 1"
        )
    if not 0 <= phase.scheduled_sampling < 1:
        raise ConfigError(
            f"phase {phase.name!r}: scheduled_sampling is {phase.scheduled_sampling}; expected a "
            "share from 0 to below 1"
        )


def check_looks(attention: AttentionConfig, phases: tuple[Any, ...]) -> None:
    """Refuses phases that ask something of a model that looks at nothing.

    Raises:
        ConfigError: there is no attention to be supervised.
    """
    for number, phase in enumerate(phases):
        for name in ("attention_supervision", "coverage"):
            if getattr(phase, name) and attention.score == "none":
                raise ConfigError(
                    f"phases.{number}.{name} is {getattr(phase, name)}, but with "
                    "model.attention.score none nothing looks; choose a score, or set it to 0"
                )


def check_often(training: Any) -> None:
    """Refuses what cannot say how often something is done.

    Raises:
        ConfigError: `validate_every` is not above 0, or `patience` or `save_steps` is below.
    """
    check_positive(training, "validate_every")
    check_not_negative(training, "patience", "save_steps")


def check_recipe(output: str, seed: int, phases: tuple[Any, ...]) -> None:
    """Refuses what no recipe can be.

    Raises:
        ConfigError: the output can be no folder, the seed is out of range, or there is no phase.
    """
    if not output.strip() or "\0" in output:
        raise ConfigError(f"output is {shown(output)}; expected the name of a folder")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; expected 0 or more")
    if seed >= 2**63:
        raise ConfigError(f"seed is {shown(seed)}; expected at most {2**63 - 1}")
    if not phases:
        raise ConfigError("the recipe has no [[phases]]; write at least one")
