"""Training a translator: sentence pairs in, a checkpoint out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from captioner import checkpoint as checkpoints
from captioner import losses, metrics
from captioner.checkpoint import TranslationCheckpoint
from captioner.errors import ConfigError, MetricError
from captioner.languages import Direction, Languages
from captioner.metrics import Score
from captioner.nn.memory import Memory
from captioner.nn.model import TranslationModel, build_translation_model
from captioner.options import SearchOptions
from captioner.pairs import Pair, PairBatch, PairReader, drawn_count, read_pairs
from captioner.recipes.translation import TranslationPhaseConfig, TranslationRecipe
from captioner.search import Start
from captioner.subwords import Subwords
from captioner.training.attending import attention_losses
from captioner.training.callbacks import Interrupt, Log, Save, Validation, progress_bar
from captioner.training.links import LINKS_FILE, read_or_align
from captioner.training.loop import Trainer
from captioner.training.run import STATE_FILE, claim, run, with_dropouts
from captioner.training.scheduled import mixed_inputs, own_share
from captioner.training.self_critical import draw
from captioner.translations.translator import Translator


class TranslationTrainer(Trainer):
    """Minimises the cross-entropy of translations given their sources."""

    model: TranslationModel
    checkpoint: TranslationCheckpoint
    reader: PairReader

    def batches(self, epoch: int, first_step: int) -> Iterator[PairBatch]:
        """Pairs of like lengths."""
        return self.reader.read(epoch, first_step)

    def loss(self, batch: PairBatch) -> dict[str, Tensor]:
        """Cross-entropy, and what the phase adds to it.

        With R-Drop it is that of two passes, and how far these are apart comes on top; the
        self-critical loss takes the place of a share of it.
        """
        phase = cast(TranslationPhaseConfig, self.phase)
        smoothing, passes = self.recipe.training.label_smoothing, []
        inputs = self._inputs(batch)
        for _ in range(2 if phase.r_drop else 1):
            memory = self.model.encoder(batch.sources, batch.source_lengths)
            passes.append(self.model.decoder.unroll(inputs, batch.lengths, memory))
        each = [losses.cross_entropy(one.logits, batch.targets, smoothing) for one in passes]
        found = {"cross_entropy": torch.stack(each).mean()}
        total = (1 - phase.self_critical) * found["cross_entropy"]
        for unrolled in passes:  # of two, each counts half, as it does above
            added, parts = attention_losses(
                self.checkpoint.config.attention, phase, unrolled, batch, self.kept
            )
            total = total + added / len(passes)
            found |= parts
        if phase.r_drop:
            found["r_drop"] = losses.r_drop(*(one.logits for one in passes))
            total = total + phase.r_drop * found["r_drop"]
        if phase.self_critical:
            found |= self._self_critical(batch, memory)
            total = total + phase.self_critical * found["self_critical"]
        return {"loss": total, **found}

    def _inputs(self, batch: PairBatch) -> Tensor:
        """The pieces that are read: the translations' own, or some of the model's instead."""
        phase = cast(TranslationPhaseConfig, self.phase)
        share = own_share(self.through, phase.scheduled_sampling, phase.scheduled_decay)
        if not share:
            return batch.inputs
        with torch.no_grad():
            memory = self.model.encoder(batch.sources, batch.source_lengths)
        starts = self.checkpoint.subwords.starts
        return mixed_inputs(self.model.decoder, memory, batch.inputs, share, never=starts)

    def _self_critical(self, batch: PairBatch, memory: Memory) -> dict[str, Tensor]:
        """The self-critical loss of translations drawn for a batch, and their mean reward."""
        phase = cast(TranslationPhaseConfig, self.phase)
        wanted = [
            target[:length]
            for target, length in zip(batch.targets.tolist(), batch.lengths.tolist(), strict=True)
        ]

        def judge(
            drawn: Sequence[Sequence[int]], owners: Sequence[int]
        ) -> Callable[[], np.ndarray]:
            rewards = metrics.gleu(drawn, [wanted[owner] for owner in owners])
            return lambda: rewards

        drawn = draw(
            self.model.decoder,
            memory,
            judge,
            samples=phase.samples,
            max_length=int(batch.lengths.max()) + phase.extra_length,
            seed=self.recipe.seed,
            # A number of its own for each pair of each step: a resumed run draws the same.
            first=self.progress.position.total_steps * self.recipe.training.batch_tokens,
            temperature=phase.temperature,
            start=Start(batch.inputs[:, 0].tolist(), self.checkpoint.subwords.starts),
        )
        return drawn.loss()

    @cached_property
    def data_digest(self) -> str:
        """Of the pairs and the pieces."""
        content = [self.checkpoint.subwords.pieces, *map(dataclasses.astuple, self.reader.pairs)]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


class TranslationValidation(Validation):
    """Translates the validation sentences; the highest BLEU, averaged over directions, is best."""

    def __init__(
        self,
        directions: dict[Direction, list[Pair]],
        folder: Path,
        show: bool,
        interrupt: Interrupt,
    ) -> None:
        super().__init__(folder)
        self.directions, self.show, self.interrupt = directions, show, interrupt
        self.logged = ("bleu", *(f"bleu_{source}_{target}" for source, target in directions))

    def scores(self, trainer: Trainer) -> dict[str, Score]:
        """Lower-cased BLEU of each direction, behind their mean, without intervals."""
        translator = Translator(trainer.averaged(), trainer.device)
        found: dict[str, Score] = {}
        total = sum(map(len, self.directions.values()))
        with progress_bar(self.show, total, "validation", "sentence") as bar:
            for (source, target), pairs in self.directions.items():
                said = []
                stream = translator.stream(
                    [pair.source_text for pair in pairs],
                    to=target,
                    source_language=source,
                    options=trainer.recipe.search,
                )
                for translation in stream:
                    said.append(translation.text)
                    bar.update(1)
                    self.interrupt.check()
                wanted = [pair.target_text for pair in pairs]
                found[f"bleu_{source}_{target}"] = _bleu(said, wanted, target)
        mean = float(np.mean([score.value for score in found.values()]))
        about = f"mean over {', '.join(f'{s}→{t}' for s, t in self.directions)}"
        return {"bleu": Score("bleu", mean, None, about), **found}

    def provenance(self, trainer: Trainer) -> dict[str, Any]:
        """The count of pairs."""
        return {"pairs": len(trainer.reader.pairs)}


def _bleu(said: Sequence[str], wanted: Sequence[str], language: str) -> Score:
    score = metrics.score_translations(said, wanted, language, names=("bleu",), bootstrap=0)["bleu"]
    if math.isnan(score.value):
        raise MetricError(score.recipe)
    return score


def read_directions(recipe: TranslationRecipe) -> dict[Direction, list[Pair]]:
    """The validation pairs of each direction, at most `data.validation_pairs` of them.

    Raises:
        ConfigError: none are named.
        DataError: a source is not what its format promises.
    """
    if not recipe.data.validation:
        raise ConfigError(
            "the recipe names no validation pairs; write [[data.validation]] with files of their "
            'own, or with those of the training pairs and part = "held_out"'
        )
    directions: dict[Direction, list[Pair]] = {}
    for source in recipe.data.validation:
        for pair in read_pairs(source):
            directions.setdefault((pair.source_language, pair.target_language), []).append(pair)
    return {
        direction: _some(pairs, recipe.data.validation_pairs, recipe.seed)
        for direction, pairs in directions.items()
    }


def _some(pairs: Sequence[Pair], count: int, seed: int) -> list[Pair]:
    chosen = np.random.default_rng(seed).permutation(len(pairs))[:count]
    return [pairs[number] for number in sorted(chosen.tolist())]


def start_checkpoint(
    recipe: TranslationRecipe, training: Sequence[Sequence[Pair]]
) -> TranslationCheckpoint:
    """What training starts from: a new model, or `recipe.init` with its pieces."""
    # Validation reports no alternatives, which cost time; who uses the model wants them.
    search = dataclasses.replace(recipe.search, alternatives=SearchOptions().alternatives)
    texts = _texts(training)
    directions = dict.fromkeys(
        (pair.source_language, pair.target_language) for pairs in training for pair in pairs
    )
    if recipe.init:
        old, name = checkpoints.load_translation(recipe.init), Path(recipe.init).name
        old = with_dropouts(old, recipe, name, build_translation_model, len(old.subwords))
        for _, target in directions:
            old.subwords.start(target)
        languages = old.languages.joined(_languages(directions, texts, old.subwords))
        begun = {"started_from": {"checkpoint": name, **old.provenance}}
        return dataclasses.replace(old, languages=languages, search=search, provenance=begun)
    # The pieces are made for what an epoch holds: a large set that little is drawn from would
    # otherwise leave the other languages with the shorter ones.
    epoch = [
        _some(pairs, drawn_count(source.share, len(pairs)), recipe.seed)
        for source, pairs in zip(recipe.data.train, training, strict=True)
    ]
    subwords = Subwords.train(
        (text for several in _texts(epoch).values() for text in several),
        recipe.data.subwords,
        list(texts),
        byte_fallback=recipe.data.byte_fallback,
    )
    model = build_translation_model(recipe.model, len(subwords))
    languages = _languages(directions, texts, subwords)
    return TranslationCheckpoint(model, recipe.model, subwords, languages, search)


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


def train(
    recipe: TranslationRecipe,
    *,
    resume: bool = False,
    device: str = "cpu",
    show: bool | None = None,
) -> Path:
    """Trains a translator as the recipe says and returns the best checkpoint's path.

    Args:
        recipe: everything there is to set.
        resume: go on with the interrupted run in `recipe.output`.
        device: where to compute.
        show: progress bars; left out, on a terminal only.

    Raises:
        ConfigError, DataError, CheckpointError: the recipe, its data or its files are not usable.
        Interrupted: Ctrl-C or SIGTERM; the run is saved.
    """
    if not recipe.data.train:
        raise ConfigError(
            "the recipe names no training pairs; write [[data.train]] with source, target and "
            "languages"
        )
    folder = Path(recipe.output)
    claim(folder, resume)
    visible = sys.stderr.isatty() if show is None else show
    training = [read_pairs(source) for source in recipe.data.train]
    directions = read_directions(recipe)
    torch.manual_seed(recipe.seed)
    checkpoint = start_checkpoint(recipe, training)
    recipe = dataclasses.replace(recipe, model=checkpoint.config)  # what is run, and told
    checkpoint.model.to(device)
    for source, target in directions:
        checkpoint.languages.check(source, target)
    reader = PairReader(
        training,
        checkpoint.subwords,
        batch_tokens=recipe.training.batch_tokens,
        seed=recipe.seed,
        shares=[source.share for source in recipe.data.train],
        max_pieces=recipe.data.max_pieces,
    )
    if any(phase.attention_supervision for phase in recipe.phases):
        reader.links = read_or_align(
            reader.pairs,
            checkpoint.subwords,
            folder / LINKS_FILE,
            most=recipe.data.linked_pairs,
            seed=recipe.seed,
        )
    interrupt = Interrupt()
    callbacks = [
        TranslationValidation(directions, folder, visible, interrupt),
        Log(folder, visible),
        Save(folder / STATE_FILE),
        interrupt,
    ]
    return run(TranslationTrainer(recipe, checkpoint, reader, callbacks), interrupt, resume)
