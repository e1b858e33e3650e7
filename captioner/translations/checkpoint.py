"""What a translator's checkpoint holds: pieces of words, and the languages that it learned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from os import PathLike
from typing import Any, ClassVar

import torch

from captioner import storage
from captioner.languages import Languages
from captioner.nn.architecture import MultimodalConfig, TranslationConfig
from captioner.nn.model import (
    MultimodalModel,
    TranslationModel,
    build_multimodal_model,
    build_translation_model,
)
from captioner.pictures.preprocess import Preprocess
from captioner.settings import from_dict
from captioner.storage import Stored, harmless
from captioner.subwords import Subwords


@dataclass(frozen=True)
class TranslationCheckpoint(Stored):
    """A translator's model with everything that is needed to use it and to judge it."""

    model: TranslationModel
    config: TranslationConfig
    subwords: Subwords
    languages: Languages

    task = "translate"
    needs: ClassVar[tuple[str, ...]] = ("subwords", "languages")
    lexicon = "subwords"
    settings: ClassVar[type[TranslationConfig]] = TranslationConfig
    build = staticmethod(build_translation_model)

    def __repr__(self) -> str:
        ways = ", ".join(f"{source} → {target}" for source, target in self.languages.directions)
        return f"<{type(self).__name__}: {ways}, {len(self.subwords)} pieces>"

    @classmethod
    def parsed(cls, header: Mapping[str, Any]) -> dict[str, Any]:
        """Settings, pieces and languages."""
        config = from_dict(cls.settings, header["config"])
        subwords = Subwords.from_json(json.dumps(header["subwords"]))
        harmless(subwords.pieces)
        languages = Languages.from_dict(header["languages"], len(subwords))
        return {"config": config, "subwords": subwords, "languages": languages}

    def own_header(self) -> dict[str, Any]:
        """Pieces and languages."""
        subwords = json.loads(self.subwords.to_json())
        return {"subwords": subwords, "languages": self.languages.to_dict()}


@dataclass(frozen=True)
class MultimodalCheckpoint(TranslationCheckpoint):
    """A translator's that looks at a photo as well: with a CNN, and how it is shown photos."""

    model: MultimodalModel
    config: MultimodalConfig
    _: KW_ONLY
    preprocess: Preprocess

    task = "multimodal"
    needs = (*TranslationCheckpoint.needs, "preprocess")
    settings = MultimodalConfig
    build = staticmethod(build_multimodal_model)  # type: ignore[assignment]

    @classmethod
    def parsed(cls, header: Mapping[str, Any]) -> dict[str, Any]:
        """Settings, pieces, languages and preprocessing."""
        return {**super().parsed(header), "preprocess": Preprocess.from_dict(header["preprocess"])}

    def own_header(self) -> dict[str, Any]:
        """Pieces, languages and preprocessing."""
        return {**super().own_header(), "preprocess": self.preprocess.to_dict()}


def load(path: str | PathLike[str] | None, device: str | torch.device) -> TranslationCheckpoint:
    """A translator's checkpoint, with eyes or without; as `Stored.load`.

    Raises:
        ConfigError, CheckpointError: as there.
    """
    if path is None:
        return TranslationCheckpoint.load(None, device)
    kinds = (TranslationCheckpoint, MultimodalCheckpoint)
    header, _ = storage.read(storage.checked_path(path), kinds, with_tensors=False)
    kind = next(kind for kind in kinds if kind.task == header["task"])
    return kind.load(path, device)
