"""A translator and sentence pairs → scores with their recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from captioner import metrics
from captioner.errors import DataError, MetricError
from captioner.metrics import Score
from captioner.options import RESAMPLES, SENTENCES_AT_ONCE, SearchOptions, given_or
from captioner.scoring import Evaluation, Report
from captioner.translations.pairs import Pair
from captioner.translations.translation import Translation
from captioner.translations.translator import Translator
from captioner.trials import Trial


@dataclass(frozen=True, eq=False, repr=False)
class TranslationReport(Report[Pair, Translation]):
    """What an evaluation of translations found."""

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All of them."""
        return self.items

    @property
    def translations(self) -> tuple[Translation, ...]:
        """One a pair."""
        return self.answers

    @property
    def sentence_chrf(self) -> np.ndarray:
        """The chrF2 of each translation alone."""
        return self.each

    def records(self) -> Iterator[dict[str, Any]]:
        """Both sentences, the translation, and its own chrF."""
        for pair, found, chrf in zip(self.items, self.answers, self.each.tolist(), strict=True):
            yield {
                "source": pair.source_text,
                "reference": pair.target_text,
                **({"references": list(pair.references)} if pair.others else {}),
                "translation": found.text,
                "chrf": round(chrf, 4),
                "error": found.error,
            }


class TranslationEvaluation(Evaluation[Pair, Translation, TranslationReport]):
    """A translator with the pairs of one direction that it is scored on.

    A sentence that cannot be translated counts as an empty translation; its `error` says why.
    """

    unit = "sentence"
    report = TranslationReport

    def __init__(
        self, translator: Translator, pairs: Sequence[Pair], *, batch_size: int = SENTENCES_AT_ONCE
    ) -> None:
        """Takes what is scored.

        Args:
            translator: with the weights to judge.
            pairs: of one direction.
            batch_size: sentences translated together.

        Raises:
            DataError: there is no pair, or the pairs are of several directions.
        """
        super().__init__(translator, pairs)
        self.batch_size = batch_size
        self.source, self.target = _direction(pairs)

    def answers(self, options: SearchOptions) -> Iterator[Translation]:
        """The translations, or why there is none."""
        return self.model.stream(
            [pair.source_text for pair in self.items],
            to=self.target,
            source_language=self.source,
            batch_size=self.batch_size,
            options=options,
            **self.settings(),
        )

    def settings(self) -> dict[str, Any]:
        """What else the translator is told, as `Translator.stream` takes it."""
        return {}

    def length(self, answer: Translation) -> int:
        """Pieces."""
        return answer.pieces

    def failure(self, item: Pair, answer: Translation) -> str:
        """What counts as empty, and why."""
        return f"{item.source_text[:40]!r} counts as not translated: {answer.error}"

    def scores(
        self, said: Sequence[str], items: Sequence[Pair], *, bootstrap: int, decoding: str
    ) -> dict[str, Score]:
        """BLEU and chrF."""
        written = [pair.references for pair in items]
        return metrics.score_translations(
            said, written, self.target, bootstrap=bootstrap, decoding=decoding
        )

    def each(self, said: Sequence[str], items: Sequence[Pair]) -> np.ndarray:
        """The chrF2 of each translation alone."""
        return metrics.chrf(said, [pair.references for pair in items])[1]

    def trial_scores(self, said: Sequence[str], items: Sequence[Pair]) -> dict[str, float]:
        """BLEU, of lower-cased Moses tokens, which chooses, and chrF.

        Raises:
            MetricError: BLEU cannot be computed here.
        """
        written = [pair.references for pair in items]
        bleu = self._bleu(said, written).value
        return {"bleu": bleu, "chrf": metrics.chrf(said, written)[0]}

    def bleu(self, options: SearchOptions, progress: Callable[[], object]) -> Score:
        """BLEU alone, of lower-cased Moses tokens, without an interval.

        Raises:
            MetricError: it cannot be computed here.
        """
        pairs, found, _ = self.answered(options, progress)
        return self._bleu([each.text for each in found], [pair.references for pair in pairs])

    def _bleu(self, said: Sequence[str], written: Sequence[tuple[str, ...]]) -> Score:
        scores = metrics.score_translations(
            said, written, self.target, names=("bleu",), bootstrap=0
        )
        if math.isnan(scores["bleu"].value):
            raise MetricError(scores["bleu"].recipe)
        return scores["bleu"]


def evaluate_translations(
    translator: Translator,
    pairs: Sequence[Pair],
    *,
    bootstrap: int = RESAMPLES,
    batch_size: int = SENTENCES_AT_ONCE,
    progress: Callable[[], object] = lambda: None,
    options: SearchOptions | None = None,
    **settings: Any,
) -> TranslationReport:
    """Translates the sources and compares with what people wrote, raw.

    A sentence that cannot be translated counts as an empty translation; its `error` says why.

    Args:
        translator: with the weights to judge.
        pairs: of one direction.
        bootstrap: resamples for the intervals; 0 leaves them out.
        batch_size: sentences translated together.
        progress: called after every sentence.
        options: how to decode; left out, as the checkpoint has it, without alternatives.
        settings: fields of `SearchOptions` that are put into the options.

    Raises:
        ConfigError: the checkpoint does not translate so.
        DataError: there is no pair, or the pairs are of several directions.
    """
    judged = TranslationEvaluation(translator, pairs, batch_size=batch_size)
    options = given_or(options, translator.options(alternatives=0)).changed(**settings)
    return judged.run(options, bootstrap=bootstrap, progress=progress)


def search_translation_decoding(
    translator: Translator,
    pairs: Sequence[Pair],
    *,
    beam_sizes: Sequence[int],
    length_penalties: Sequence[float],
    batch_size: int = SENTENCES_AT_ONCE,
    progress: Callable[[], object] = lambda: None,
    options: SearchOptions | None = None,
) -> tuple[Trial, ...]:
    """BLEU and chrF of every beam size with every length penalty: `Evaluation.search`.

    The pairs, of one direction, are not those that the final scores are for.

    Raises:
        ConfigError: the checkpoint does not translate so.
        DataError: there is no pair, or the pairs are of several directions.
        MetricError: BLEU cannot be computed here.
    """
    judged = TranslationEvaluation(translator, pairs, batch_size=batch_size)
    return judged.search(
        options, beam_sizes=beam_sizes, length_penalties=length_penalties, progress=progress
    )


def _direction(pairs: Sequence[Pair]) -> tuple[str, str]:
    """From which language the pairs go to which."""
    directions = {(pair.source_language, pair.target_language) for pair in pairs}
    if len(directions) != 1:
        found = ", ".join(f"{source} → {target}" for source, target in sorted(directions))
        raise DataError(
            f"{len(pairs)} pairs of {found or 'no languages'}; expected pairs of one direction: "
            "score each by itself"
        )
    return directions.pop()
