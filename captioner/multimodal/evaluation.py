"""A translator with eyes and sentence pairs with photos → scores; with a wrong photo, with none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from captioner.errors import ConfigError
from captioner.multimodal.pairs import SeenPair, photos_of
from captioner.options import SENTENCES_AT_ONCE
from captioner.sights import Sight
from captioner.translations.evaluation import TranslationEvaluation
from captioner.translations.translator import Photo, Translator

VIEWS = ("own", "wrong", "none")  # which photo is in view of a sentence


class MultimodalEvaluation(TranslationEvaluation):
    """A translator with the pairs that it is scored on, and what it is shown with each."""

    items: Sequence[SeenPair]

    def __init__(
        self,
        translator: Translator,
        pairs: Sequence[SeenPair],
        *,
        view: str = "own",
        batch_size: int = SENTENCES_AT_ONCE,
        known: Mapping[Path, Sight] | None = None,
    ) -> None:
        """Takes what is scored.

        Args:
            translator: with the weights to judge.
            pairs: of one direction.
            view: `own`: each sentence has its photo in view; `wrong`: that of another; `none`: none
                (Elliott 2018, "Adversarial Evaluation of Multimodal Machine Translation").
            batch_size: sentences translated together.
            known: photos that were seen before.

        Raises:
            ConfigError: there is no such view, or no other photo.
            DataError: there is no pair, or the pairs are of several directions.
        """
        super().__init__(translator, pairs, batch_size=batch_size)
        if view not in VIEWS:
            raise ConfigError(f"view is {view!r}; expected one of {', '.join(VIEWS)}")
        self.shown: dict[Path, Path | None] = shown(pairs, view)
        self.known = known or {}

    def settings(self) -> dict[str, Any]:
        """The photos, seen once where one is shown with several sentences."""
        return {"photos": [self._photo(self.shown[pair.path]) for pair in self.items]}

    def _photo(self, path: Path | None) -> Photo:
        return None if path is None else self.known.get(path, path)


def shown(pairs: Sequence[SeenPair], view: str) -> dict[Path, Path | None]:
    """Which photo is shown instead of each: with `wrong`, the one half the photos further on."""
    own = [photo.path for photo in photos_of(pairs)]
    if view == "none":
        return dict.fromkeys(own)
    if view == "own":
        return {path: path for path in own}
    if len(own) < 2:
        raise ConfigError("there is one photo alone, so no sentence can be shown a wrong one")
    half = len(own) // 2
    return dict(zip(own, own[half:] + own[:half], strict=True))
