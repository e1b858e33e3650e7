"""What a comparison asks of a model of each task: its scores, its time, and what else counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from captioner.captions.captioner import Captioner
from captioner.captions.evaluation import CaptionEvaluation
from captioner.captions.start import CaptionData
from captioner.datasets import Photo
from captioner.errors import ConfigError
from captioner.grounding import pointing, report, sentences
from captioner.multimodal.evaluation import MultimodalEvaluation
from captioner.multimodal.pairs import SeenPair, photos_of
from captioner.scoring import Evaluation
from captioner.sights import Sight
from captioner.studies import masked
from captioner.studies.budget import clock_of
from captioner.studies.gradients import by_distance
from captioner.studies.length import bleu_by_length
from captioner.tasks import CAPTION, MULTIMODAL, TRANSLATE
from captioner.training.start import some
from captioner.translations.evaluation import TranslationEvaluation
from captioner.translations.start import TranslationData
from captioner.translations.translator import Translator

_SHOWN = {"wrong": "a wrong photo", "none": "no photo"}
_SEED = 0  # by which the scored items are chosen: the same for all runs


@dataclass(frozen=True)
class Outcome:
    """What a model came to."""

    score: float  # what the study compares, over all items together
    each: list[float]  # of each item alone, in the same order for all models
    seconds: float  # an item
    said: list[str] = field(default_factory=list)
    measures: dict[str, float] = field(default_factory=dict)  # what else was counted
    series: dict[str, list[float]] = field(default_factory=dict)  # and what is no single number
    # Of each item under other conditions, in one order for all models; "WHAT: CONDITION" is held
    # against "WHAT", and that against `each` where there is no such entry
    conditions: dict[str, list[float]] = field(default_factory=dict)


class Subject(Protocol):
    """A task, as a comparison sees it."""

    name: str  # of the score
    single: str  # what `Outcome.each` is

    def quick(self, model: Any, count: int) -> float:
        """The score over the first items, decoded as the recipe says."""

    def whole(self, model: Any) -> Outcome:
        """Everything."""


class Captions:
    """Photos captioned: CIDEr-D."""

    name, single = "CIDEr", "CIDEr-D of a photo"

    def __init__(self, data: CaptionData, items: int) -> None:
        self.photos: Sequence[Photo] = some(data.validation, items, _SEED)
        sources = data.recipe.data.validation
        self.boxes = sources[0].boxes if len(sources) == 1 else ""
        self.search = data.recipe.search

    def quick(self, model: Captioner, count: int) -> float:
        """CIDEr of the first photos."""
        judged = CaptionEvaluation(model, self.photos[:count], names=("cider",))
        return judged.run(self.search, bootstrap=0).scores["cider"].value

    def whole(self, model: Captioner) -> Outcome:
        """CIDEr, BLEU-4, the spread of the maps and, where boxes are there, their pointing."""
        judged = CaptionEvaluation(model, self.photos, names=("cider", "bleu"))
        seconds, found = _timed(judged, self.search)
        spreads = [_spread(caption.maps) for caption in found.answers if len(caption.maps)]
        measures = {
            "bleu_4": found.scores["bleu_4"].value,
            "spread": float(np.mean(spreads)) if spreads else float("nan"),
        }
        if self.boxes:
            asked = report.questions(self.photos, self.boxes)
            shown = sentences.explained(model, asked)
            measures["pointing"] = _pointing(pointing.measure(shown, bootstrap=0))
        said = [caption.text for caption in found.answers]
        each = [float(value) for value in found.each]
        return Outcome(found.scores["cider"].value, each, seconds, said, measures)


class Translations:
    """Sentences translated: BLEU, in one direction."""

    name, single = "BLEU", "chrF of a sentence"
    views: Sequence[str] = ("own",)  # what is shown beside a sentence, the first one to be compared

    def __init__(
        self, data: TranslationData, recipe: Any, items: int, gradients: int, masks: bool = False
    ) -> None:
        if len(data.validation) != 1:
            ways = ", ".join(f"{one}→{other}" for one, other in data.validation)
            raise ConfigError(f"a study compares one direction, but the recipe validates {ways}")
        [pairs] = data.validation.values()
        self.pairs: Sequence[Any] = some(pairs, items, _SEED)
        self.search, self.gradients = recipe.search, gradients
        self.masked = masked.masked_pairs(self.pairs) if masks else []
        self.unmasked = [
            pair
            for pair in self.pairs
            if masks and masked.asked(pair.source_text, pair.target_text)
        ]

    def judged(self, model: Translator, pairs: Sequence[Any], view: str) -> TranslationEvaluation:
        """The pairs beside the translator."""
        return TranslationEvaluation(model, pairs)

    def quick(self, model: Translator, count: int) -> float:
        """BLEU of the first sentences."""
        judged = self.judged(model, self.pairs[:count], self.views[0])
        return judged.bleu(self.search, lambda: None).value

    def whole(self, model: Translator) -> Outcome:
        """BLEU, chrF and, where asked for, gradients by distance, other photos, masked words."""
        seconds, found = _timed(self.judged(model, self.pairs, self.views[0]), self.search)
        said = [each.text for each in found.answers]
        measures, conditions = {"chrf": found.scores["chrf"].value}, {}
        for name, value in bleu_by_length(
            [pair.source_text for pair in self.pairs],
            said,
            [pair.references for pair in self.pairs],
            self.pairs[0].target_language,
        ).items():
            measures[f"BLEU, {name} words"] = value
        for view in self.views[1:]:
            other = self.judged(model, self.pairs, view).run(self.search, bootstrap=0)
            measures[f"BLEU, {_SHOWN[view]}"] = other.scores["bleu"].value
            conditions[f"chrF: {_SHOWN[view]}"] = [float(value) for value in other.each]
        if self.masked:
            self._masks(model, measures, conditions)
        series = {}
        if self.gradients:
            series["reach"] = by_distance(model, self.pairs[: self.gradients]).tolist()
        return Outcome(
            found.scores["bleu"].value,
            [float(value) for value in found.each],
            seconds,
            said,
            measures,
            series,
            conditions,
        )

    def _masks(
        self, model: Translator, measures: dict[str, float], conditions: dict[str, list[float]]
    ) -> None:
        """BLEU of masked sources, and the share of the masked words that are said."""
        for view in self.views[:2]:
            found = self.judged(model, self.masked, view).run(self.search, bootstrap=0)
            said = [each.text for each in found.answers]
            ending = "" if view == self.views[0] else f": {_SHOWN[view]}"
            measures[f"BLEU, masked{ending.replace(':', ',')}"] = found.scores["bleu"].value
            conditions[f"masked words said{ending}"] = masked.found(self.unmasked, said)


class Multimodal(Translations):
    """Sentences translated with their photos in view, with those of others, and with none."""

    views = ("own", "wrong", "none")
    pairs: Sequence[SeenPair]

    def __init__(self, data: TranslationData, recipe: Any, items: int, masks: bool) -> None:
        super().__init__(data, recipe, items, 0, masks)
        self._known: Mapping[Path, Sight] | None = None  # the CNN never learns

    def judged(self, model: Translator, pairs: Sequence[Any], view: str) -> MultimodalEvaluation:
        """The pairs beside the translator, and what it is shown with them."""
        if self._known is None:
            assert model.eyes is not None
            self._known = {each.path: model.eyes.look(each.path) for each in photos_of(self.pairs)}
        return MultimodalEvaluation(model, pairs, view=view, known=self._known)


def subject_of(
    task: str, data: Any, recipe: Any, items: int, gradients: int = 0, masks: bool = False
) -> Subject:
    """How a task's models are compared.

    Raises:
        ConfigError: no study knows the task, or not with these settings.
    """
    if task == TRANSLATE:
        return Translations(data, recipe, items, gradients, masks)
    if task == MULTIMODAL and not gradients:
        return Multimodal(data, recipe, items, masks)
    if task == CAPTION and not gradients and not masks:
        return Captions(data, items)
    what = "gradients by distance are" if gradients else "this study is"
    raise ConfigError(f"{what} not made for recipes of task {task!r}")


@torch.inference_mode()
def _timed(judged: Evaluation[Any, Any, Any], options: Any) -> tuple[float, Any]:
    """Seconds an item, scoring included, and what was found."""
    clock = clock_of(judged.model.device)
    begun = clock()
    found = judged.run(options, bootstrap=0)
    return (clock() - begun) / max(1, len(found.answers)), found


def _spread(maps: np.ndarray) -> float:
    """Share of the cells that maps (T, h, w) of this entropy would cover evenly."""
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    flat = flat / flat.sum(1, keepdims=True)
    entropy = -(flat * np.log(np.where(flat > 0, flat, 1.0))).sum(1)
    return float(np.exp(entropy).mean() / flat.shape[1])


def _pointing(found: pointing.Pointing) -> float:
    return float(found.whole.rows["word"].measures["pointing"].value)
