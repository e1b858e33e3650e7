"""The runs of a comparison: each is trained for its time, judged and written down by itself."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from captioner import storage, tasks
from captioner.errors import DataError
from captioner.outputs import write_text
from captioner.settings import to_dict
from captioner.studies.budget import Budget, Point, Spent, clock_of
from captioner.studies.config import StudyConfig, Variant
from captioner.studies.subjects import Outcome, subject_of
from captioner.training.callbacks import Interrupt, Log, Save, Validation, Watch
from captioner.training.loop import Trainer

_FIRST = 1  # the seed that a study begins with unless it says another one
_WATCHERS = (Validation, Log, Save)  # a run of minutes is judged once, at its end


@dataclass(frozen=True)
class Run:
    """What one run found."""

    variant: str
    seed: int
    score: str  # name of what is compared
    single: str  # what `outcome.each` is
    outcome: Outcome
    curve: tuple[Point, ...]
    parameters: int
    settings: tuple[str, ...]  # what differs from the study's recipe
    key: str  # of recipe, time and items: a run of other ones is made anew

    @property
    def steps(self) -> int:
        """Updates."""
        return self.curve[-1].steps

    @property
    def step_seconds(self) -> float:
        """Seconds an update."""
        return self.curve[-1].seconds / self.steps


def run_all(
    config: StudyConfig,
    device: torch.device,
    tell: Callable[[str], object] = print,
    *,
    show: bool = False,
) -> Iterator[Run]:
    """Every run of a study, in the order in which it is made; what is there is not made again.

    Args:
        config: the study.
        device: where to compute.
        tell: called with a line a run.
        show: progress bars.

    Raises:
        ConfigError, DataError, CheckpointError: a recipe, its data or its files are not usable.
        Interrupted: Ctrl-C or SIGTERM; what is finished is kept.
    """
    every = config.runs()
    for number, (variant, seed) in enumerate(every, 1):
        recipe = config.recipe_of(variant, seed)
        path, key = _place(config, variant, seed), _key(config, recipe)
        found = load(path) if path.exists() else None
        if found is None or found.key != key:
            found = _made(config, variant, recipe, key, device, show)
            write_text(path, json.dumps(_numbers(dataclasses.asdict(found))) + "\n")
        tell(
            f"{number}/{len(every)} · {variant.name} · seed {seed} · {found.score} "
            f"{found.outcome.score:.4f} · {found.steps} steps of {1000 * found.step_seconds:.0f} ms"
        )
        yield found


def load(path: Path) -> Run:
    """A run that was written down.

    Raises:
        DataError: the file is damaged.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        outcome = Outcome(**values.pop("outcome"))
        curve = tuple(Point(**point) for point in values.pop("curve"))
        settings = tuple(values.pop("settings"))
        return Run(**values, outcome=outcome, curve=curve, settings=settings)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: no run of a study ({error}); remove it to make it anew") from None


def _place(config: StudyConfig, variant: Variant, seed: int) -> Path:
    return Path(config.output) / f"{variant.name}-{seed}.json"


def _key(config: StudyConfig, recipe: Any) -> str:
    """Of everything that a run's numbers depend on, which the folder that it lies in is not."""
    asked: list[Any] = [
        config.minutes,
        config.points,
        config.warmup,
        config.items,
        config.gradients,
    ]
    if config.masked:  # a key of before there were masks stays what it was
        asked.append("masked")
    if config.seeds[0] != _FIRST:  # by which items are set aside, see `_made`; as above
        asked.append(f"items of seed {config.seeds[0]}")
    settings = {name: value for name, value in to_dict(recipe).items() if name != "output"}
    text = json.dumps([settings, asked, config.curve_items])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _made(
    config: StudyConfig, variant: Variant, recipe: Any, key: str, device: torch.device, show: bool
) -> Run:
    """Trains and judges one run."""
    task = tasks.of(recipe)
    # By one seed for all: the same items are set aside, whatever else a seed changes.
    data = task.read(dataclasses.replace(recipe, seed=config.seeds[0]))
    torch.manual_seed(recipe.seed)
    checkpoint = task.start(recipe, data)
    recipe = dataclasses.replace(recipe, model=checkpoint.config, phases=(_endless(recipe),))
    checkpoint.model.to(device)
    subject = subject_of(task.name, data, recipe, config.items, config.gradients, config.masked)
    outcomes: list[Outcome] = []

    def look(trainer: Trainer) -> float:
        model = task.open(trainer.averaged(), device)
        if budget.spent < budget.seconds:
            return subject.quick(model, config.curve_items)
        outcomes.append(subject.whole(model))  # once more over the same items, for the curve
        return subject.quick(model, config.curve_items)

    seconds, clock = 60 * config.minutes, clock_of(device)
    budget = Budget(seconds, config.points, look, clock=clock, warmup=config.warmup)
    watch = Watch(Path(recipe.output), show, Interrupt())
    trainer = task.trainer(recipe, checkpoint, data, watch)
    kept = [each for each in trainer.callbacks if not isinstance(each, _WATCHERS)]
    trainer.callbacks = [*kept, budget]
    try:
        with watch.interrupt.watching():
            trainer.fit()
    except Spent:
        pass
    finally:
        for callback in trainer.callbacks:
            callback.close(trainer)
    storage.save(
        trainer.averaged(licence=recipe.licence, study=config.title, variant=variant.name),
        Path(config.output) / f"{variant.name}-{recipe.seed}.safetensors",
    )
    return Run(
        variant.name,
        recipe.seed,
        subject.name,
        subject.single,
        outcomes[0],
        tuple(budget.curve),
        sum(parameter.numel() for parameter in checkpoint.model.parameters()),
        (*config.settings, *variant.settings),
        key,
    )


def _endless(recipe: Any) -> Any:
    """The recipe's first phase, which only the time ends."""
    return dataclasses.replace(recipe.phases[0], epochs=10**6)


def _numbers(values: Any) -> Any:
    """Plain values without nan, which JSON does not know."""
    if isinstance(values, dict):
        return {name: _numbers(value) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_numbers(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
