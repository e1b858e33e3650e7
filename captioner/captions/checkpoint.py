"""What a captioner's checkpoint holds: words, preprocessing, kinds of things, confidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from captioner import confidence as confidences
from captioner import storage
from captioner.confidence import Confidence
from captioner.errors import CheckpointError
from captioner.nn.architecture import ModelConfig
from captioner.nn.model import CaptionModel, build_model
from captioner.pictures.preprocess import Preprocess
from captioner.settings import from_dict
from captioner.storage import Stored, harmless
from captioner.text import SPECIALS, Vocabulary, tokenise


@dataclass(frozen=True)
class Checkpoint(Stored):
    """A captioner's model with everything that is needed to use it and to judge it."""

    model: CaptionModel
    config: ModelConfig
    vocabulary: Vocabulary
    preprocess: Preprocess
    _: KW_ONLY
    kinds: tuple[str, ...] = ()  # everyday words of the encoder's classes, in their order
    confidence: Confidence | None = None  # how sure its captions can be, once it was calibrated

    task = "caption"
    needs = ("vocabulary", "preprocess")
    lexicon = "vocabulary"
    build = staticmethod(build_model)

    def __repr__(self) -> str:
        encoder = self.config.encoder.name
        return f"<Checkpoint of a captioner: {encoder}, {len(self.vocabulary.ordinary)} words>"

    @classmethod
    def parsed(cls, header: Mapping[str, Any]) -> dict[str, Any]:
        """Settings, vocabulary, preprocessing, kinds and confidence."""
        config = from_dict(ModelConfig, header["config"])
        return {
            "config": config,
            "vocabulary": _vocabulary(header["vocabulary"]),
            "preprocess": Preprocess.from_dict(header["preprocess"]),
            "kinds": _kinds(header.get("kinds", []), config.encoder.classes),
            "confidence": _confidence(header, config),
        }

    def own_header(self) -> dict[str, Any]:
        """Vocabulary, preprocessing, and kinds and confidence where there are some."""
        return {
            "vocabulary": list(self.vocabulary.words),
            "preprocess": self.preprocess.to_dict(),
            **({"kinds": list(self.kinds)} if self.kinds else {}),
            **({"confidence": self.confidence.to_dict()} if self.confidence else {}),
        }

    def complete(self) -> None:
        """Sets the words of the classes that a model can copy: of several words, the last.

        Raises:
            CheckpointError: there are no words for the classes.
        """
        classes = self.model.copied_classes
        if classes is None:
            return
        if len(self.kinds) != classes:
            raise CheckpointError(f"{len(self.kinds)} words for the {classes} classes to copy")
        words = [self.vocabulary.encode(["", *tokenise(kind)])[-1] for kind in self.kinds]
        self.model.name_classes(words)


def save_confidence(path: str | Path, judged: Checkpoint, confidence: Confidence) -> None:
    """Writes into a captioner's file how sure its captions can be; the weights stay as they are.

    Args:
        path: the file.
        judged: what was loaded from it and calibrated.
        confidence: replaces what the file has.

    Raises:
        CheckpointError: the file cannot be read or written, or holds another checkpoint by now.
    """
    with storage.rewriting(path, judged, "calibrate") as header:
        header["confidence"] = confidence.to_dict()


def _vocabulary(words: Any) -> Vocabulary:
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise CheckpointError("the vocabulary is no list of words")
    if tuple(words[: len(SPECIALS)]) != SPECIALS:
        raise CheckpointError(f"the vocabulary does not start with {', '.join(SPECIALS)}")
    return Vocabulary(harmless(words[len(SPECIALS) :]))


def _kinds(words: Any, classes: int) -> tuple[str, ...]:
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise CheckpointError("the kinds are no list of words")
    if words and len(words) != classes:
        raise CheckpointError(f"{len(words)} kinds for a classifier of {classes} classes")
    return tuple(harmless(words))


def _confidence(header: Mapping[str, Any], settings: ModelConfig) -> Confidence | None:
    """How sure the captions can be; None where the checkpoint was not calibrated."""
    if "confidence" not in header:
        return None
    features = confidences.available(
        copies=settings.copy.things > 0, recognises=settings.encoder.classes > 0
    )
    return Confidence.from_dict(header["confidence"], features)
