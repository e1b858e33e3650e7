"""What a translator's checkpoint holds: pieces of words, and the languages that it learned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from captioner.languages import Languages
from captioner.nn.architecture import TranslationConfig
from captioner.nn.model import TranslationModel, build_translation_model
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
    needs = ("subwords", "languages")
    lexicon = "subwords"
    build = staticmethod(build_translation_model)

    def __repr__(self) -> str:
        ways = ", ".join(f"{source} → {target}" for source, target in self.languages.directions)
        return f"<TranslationCheckpoint: {ways}, {len(self.subwords)} pieces>"

    @classmethod
    def parsed(cls, header: Mapping[str, Any]) -> dict[str, Any]:
        """Settings, pieces and languages."""
        config = from_dict(TranslationConfig, header["config"])
        subwords = Subwords.from_json(json.dumps(header["subwords"]))
        harmless(subwords.pieces)
        languages = Languages.from_dict(header["languages"], len(subwords))
        return {"config": config, "subwords": subwords, "languages": languages}

    def own_header(self) -> dict[str, Any]:
        """Pieces and languages."""
        subwords = json.loads(self.subwords.to_json())
        return {"subwords": subwords, "languages": self.languages.to_dict()}
