"""Training a translator: what its batches, its losses and its scores are.

Shapes: B pairs, K drawn translations of them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from captioner import losses, metrics
from captioner.metrics import Score
from captioner.nn.memory import Memory
from captioner.nn.model import TranslationModel
from captioner.search import Start
from captioner.training.attending import attention_terms, averaged
from captioner.training.callbacks import Validation, Watch
from captioner.training.loop import Trainer, weighted
from captioner.training.sampled import compared_with
from captioner.training.scheduled import mixed_inputs, own_share
from captioner.training.self_critical import Drawn, draw
from captioner.translations.checkpoint import TranslationCheckpoint
from captioner.translations.evaluation import TranslationEvaluation
from captioner.translations.links import LINKS_FILE, read_or_align
from captioner.translations.pairs import PairBatch, PairReader
from captioner.translations.recipe import TranslationRecipe
from captioner.translations.start import Directions, TranslationData, drawing
from captioner.translations.translator import Translator


class TranslationTrainer(Trainer):
    """Minimises the cross-entropy of translations given their sources."""

    model: TranslationModel
    checkpoint: TranslationCheckpoint
    reader: PairReader

    def enter(self, phase: Any) -> None:
        """Readies the model, an optimiser, and what the phase's epochs hold."""
        super().enter(phase)
        reader = self.reader
        reader.draws(drawing(self.recipe, phase, reader.members, reader.pairs))

    def batches(self, epoch: int, first_step: int) -> Iterator[PairBatch]:
        """Pairs of like lengths."""
        return self.reader.read(epoch, first_step)

    def memory(self, batch: PairBatch) -> Memory:
        """What the decoder looks at: the sources, read."""
        memory: Memory = self.model.encoder(batch.sources, batch.source_lengths)
        return memory

    def loss(self, batch: PairBatch) -> dict[str, Tensor]:
        """Cross-entropy, and what the phase adds to it.

        With R-Drop it is that of two passes, and how far these are apart comes on top; the
        self-critical loss takes the place of a share of it. With `sampled_words`, it is one among
        the words that are drawn, over which label smoothing is spread; R-Drop compares the passes
        over the whole vocabulary, and so does the self-critical loss its draws.
        """
        phase, decoder = self.phase, self.model.decoder
        smoothing, passes = self.recipe.training.label_smoothing, []
        inputs, attention = self._inputs(batch), self.checkpoint.config.attention
        told, compared = batch, None
        if self.recipe.training.sampled_words and not phase.r_drop:
            compared, places = compared_with(
                batch.targets, decoder.vocabulary_size, self.recipe.training.sampled_words
            )
            told = replace(batch, targets=places)
        for _ in range(2 if phase.r_drop else 1):
            memory = self.memory(batch)
            passes.append(decoder.unroll(inputs, batch.lengths, memory, compared=compared))
        each = [losses.cross_entropy(one.logits, told.targets, smoothing) for one in passes]
        asked = [attention_terms(attention, phase, one, told, self.kept) for one in passes]
        terms = {
            "cross_entropy": (1 - phase.self_critical, torch.stack(each).mean()),
            **averaged(asked),
        }
        if phase.r_drop:
            terms["r_drop"] = phase.r_drop, losses.r_drop(*(one.logits for one in passes))
        if not phase.self_critical:
            return weighted(terms, self.shares)
        drawn = self.draws(batch, memory)
        terms["self_critical"] = phase.self_critical, drawn.loss()
        return weighted(terms, self.shares, reward=drawn.reward())

    def _inputs(self, batch: PairBatch) -> Tensor:
        """The pieces that are read: the translations' own, or some of the model's instead."""
        phase = self.phase
        share = own_share(self.through, phase.scheduled_sampling, phase.scheduled_decay)
        if not share:
            return batch.inputs
        with torch.no_grad():
            memory = self.memory(batch)
        starts = self.checkpoint.subwords.starts
        return mixed_inputs(self.model.decoder, memory, batch.inputs, share, never=starts)

    def draws(self, batch: PairBatch, memory: Memory) -> Drawn:
        """Translations drawn for a batch, and judged."""
        phase = self.phase
        wanted = [
            target[:length]
            for target, length in zip(batch.targets.tolist(), batch.lengths.tolist(), strict=True)
        ]

        def judge(
            drawn: Sequence[Sequence[int]], owners: Sequence[int]
        ) -> Callable[[], np.ndarray]:
            rewards = metrics.gleu(drawn, [wanted[owner] for owner in owners])
            return lambda: rewards

        return draw(
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

    def content(self) -> Any:
        """The pairs and the pieces."""
        pairs = [
            [p.source_text, p.target_text, p.source_language, p.target_language]
            for p in self.reader.pairs
        ]
        return [self.checkpoint.subwords.pieces, *pairs]


class TranslationValidation(Validation):
    """Translates the validation sentences; the highest BLEU, averaged over directions, is best."""

    def __init__(self, directions: Directions, watch: Watch) -> None:
        super().__init__(watch)
        self.directions = directions
        self.logged = ("bleu", *(f"bleu_{source}_{target}" for source, target in directions))

    def scores(self, trainer: Trainer) -> dict[str, Score]:
        """Lower-cased BLEU of each direction, behind their mean, without intervals."""
        translator = Translator(trainer.averaged(), trainer.device)
        found: dict[str, Score] = {}
        total = sum(map(len, self.directions.values()))
        with self.watch.progress(total, "validation", "sentence") as advance:
            for (source, target), pairs in self.directions.items():
                judged = self.judged(translator, pairs)
                found[f"bleu_{source}_{target}"] = judged.bleu(trainer.recipe.search, advance)
        mean = float(np.mean([score.value for score in found.values()]))
        about = f"mean over {', '.join(f'{s}→{t}' for s, t in self.directions)}"
        return {"bleu": Score("bleu", mean, None, about), **found}

    def judged(self, translator: Translator, pairs: Sequence[Any]) -> TranslationEvaluation:
        """The pairs of one direction beside the translator."""
        return TranslationEvaluation(translator, pairs)

    def provenance(self, trainer: Trainer) -> dict[str, Any]:
        """The count of pairs."""
        return {"pairs": len(trainer.reader.pairs)}


R = TypeVar("R", bound=PairReader)


def make_reader(
    kind: type[R],
    recipe: TranslationRecipe,
    checkpoint: TranslationCheckpoint,
    data: TranslationData,
) -> R:
    """What reads the training pairs in batches.

    Raises:
        ConfigError: the checkpoint does not translate as validation wants it.
        DataError: no pair is short enough.
    """
    for source, target in data.validation:
        checkpoint.languages.check(source, target)
    return kind(
        data.training,
        checkpoint.subwords,
        batch_tokens=recipe.training.batch_tokens,
        seed=recipe.seed,
        shares=[source.share for source in recipe.data.train],
        max_pieces=recipe.data.max_pieces,
    )


def make_trainer(
    recipe: TranslationRecipe,
    checkpoint: TranslationCheckpoint,
    data: TranslationData,
    watch: Watch,
) -> TranslationTrainer:
    """What trains a translator, whose model lies on its device already.

    Raises:
        ConfigError: the checkpoint does not translate as validation wants it.
        DataError: no pair is short enough.
    """
    reader = make_reader(PairReader, recipe, checkpoint, data)
    if any(phase.attention_supervision for phase in recipe.phases):
        reader.links = read_or_align(
            reader.pairs,
            checkpoint.subwords,
            watch.folder / LINKS_FILE,
            most=recipe.data.linked_pairs,
            seed=recipe.seed,
        )
    callbacks = [TranslationValidation(data.validation, watch), *watch.callbacks()]
    return TranslationTrainer(recipe, checkpoint, reader, callbacks)
