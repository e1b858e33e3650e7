"""Where a translator's training begins: its pairs and its first checkpoint."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from captioner.errors import ConfigError
from captioner.languages import Direction, Languages
from captioner.subwords import Subwords
from captioner.training.start import built, continued, decoding, some
from captioner.translations.checkpoint import TranslationCheckpoint
from captioner.translations.drawing import (
    Draw,
    Numbers,
    by_share,
    by_temperature,
    drawn_count,
)
from captioner.translations.pairs import Pair, read_pairs
from captioner.translations.recipe import TranslationPhaseConfig, TranslationRecipe

Directions = dict[Direction, list[Pair]]
C = TypeVar("C", bound=TranslationCheckpoint)


@dataclass(frozen=True)
class TranslationData:
    """What a run learns from and is chosen by."""

    training: list[list[Pair]]  # source by source of the recipe
    validation: Directions


def read(
    recipe: TranslationRecipe, read_source: Callable[[Any], list[Any]] = read_pairs
) -> TranslationData:
    """The sentence pairs of a recipe.

    Args:
        recipe: that names them.
        read_source: reads the pairs of one source.

    Raises:
        ConfigError: none are named to learn from, or to choose by.
        DataError: a source is not what its format promises.
    """
    if not recipe.data.train:
        raise ConfigError(
            "the recipe names no training pairs; write [[data.train]] with source, target and "
            "languages"
        )
    # Of several translations, each is learned as a pair of its own.
    training = [
        [one for pair in read_source(source) for one in pair.each()] for source in recipe.data.train
    ]
    return TranslationData(training, read_directions(recipe, read_source))


def read_directions(
    recipe: TranslationRecipe, read_source: Callable[[Any], Sequence[Pair]] = read_pairs
) -> Directions:
    """The validation pairs of each direction, at most `data.validation_pairs` of them.

    Args:
        recipe: that names them.
        read_source: reads the pairs of one source.

    Raises:
        ConfigError: none are named.
        DataError: a source is not what its format promises.
    """
    if not recipe.data.validation:
        raise ConfigError(
            "the recipe names no validation pairs; write [[data.validation]] with files of their "
            'own, or with those of the training pairs and part = "held_out"'
        )
    directions: Directions = {}
    for source in recipe.data.validation:
        for pair in read_source(source):
            directions.setdefault((pair.source_language, pair.target_language), []).append(pair)
    return {
        direction: some(pairs, recipe.data.validation_pairs, recipe.seed)
        for direction, pairs in directions.items()
    }


def start_checkpoint(
    recipe: TranslationRecipe, training: Sequence[Sequence[Pair]]
) -> TranslationCheckpoint:
    """What training starts from: a new model, or `recipe.init` with its pieces."""
    return begun(recipe, training, TranslationCheckpoint)


def begun(
    recipe: TranslationRecipe, training: Sequence[Sequence[Pair]], kind: type[C], **own: Any
) -> C:
    """A new checkpoint of a kind, or that of `recipe.init`, with its pieces and languages.

    Args:
        recipe: of the run.
        training: pairs, source by source.
        kind: of checkpoint.
        own: fields that only a new checkpoint of this kind needs.
    """
    texts = _texts(training)
    directions = dict.fromkeys(
        (pair.source_language, pair.target_language) for pairs in training for pair in pairs
    )
    if recipe.init:
        old = continued(recipe, kind)
        for _, target in directions:
            old.subwords.start(target)
        languages = old.languages.joined(_languages(directions, texts, old.subwords))
        return dataclasses.replace(old, languages=languages)
    # The pieces are made for what an epoch holds: a large set that little is drawn from would
    # otherwise leave the other languages with the shorter ones.
    subwords = Subwords.train(
        (text for several in _texts(_first_epoch(recipe, training)).values() for text in several),
        recipe.data.subwords,
        list(texts),
        byte_fallback=recipe.data.byte_fallback,
    )
    model = built(kind, recipe.model, len(subwords))
    languages = _languages(directions, texts, subwords)
    return kind(model, recipe.model, subwords, languages, search=decoding(recipe), **own)


def _first_epoch(
    recipe: TranslationRecipe, training: Sequence[Sequence[Pair]]
) -> list[Sequence[Pair]]:
    """What an epoch holds of each source, or of all."""
    if recipe.data.epoch_pairs:
        pairs = [pair for own in training for pair in own]
        ends = np.cumsum([0, *map(len, training)])
        members = [np.arange(*both) for both in itertools.pairwise(ends)]
        numbers = drawing(recipe, recipe.phases[0], members, pairs).epoch(
            np.random.default_rng(recipe.seed)
        )
        return [[pairs[number] for number in numbers]]
    return [
        some(pairs, drawn_count(source.share, len(pairs)), recipe.seed)
        for source, pairs in zip(recipe.data.train, training, strict=True)
    ]


def drawing(
    recipe: TranslationRecipe,
    phase: TranslationPhaseConfig,
    members: Sequence[Numbers],
    pairs: Sequence[Pair],
) -> Draw:
    """What the epochs of a phase hold.

    Args:
        recipe: of the run.
        phase: of it.
        members: numbers of each source's pairs.
        pairs: of all sources, by their numbers.
    """
    if not recipe.data.epoch_pairs:
        return by_share(members, [source.share for source in recipe.data.train])
    directions = [(pair.source_language, pair.target_language) for pair in pairs]
    return by_temperature(members, directions, recipe.data, phase)


def _texts(training: Sequence[Sequence[Pair]]) -> dict[str, dict[str, None]]:
    """The different sentences of each language, in their order."""
    texts: dict[str, dict[str, None]] = {}
    for pairs in training:
        for pair in pairs:
            texts.setdefault(pair.source_language, {})[pair.source_text] = None
            texts.setdefault(pair.target_language, {})[pair.target_text] = None
    return texts


def _languages(
    directions: dict[Direction, None], texts: dict[str, dict[str, None]], subwords: Subwords
) -> Languages:
    return Languages.count(
        directions,
        {name: (subwords.encode(text).ids for text in several) for name, several in texts.items()},
        len(subwords),
    )
