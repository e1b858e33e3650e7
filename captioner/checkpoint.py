"""Checkpoints: one safetensors file that holds a model and explains itself.

Weights are tensors; everything else (task, configuration, vocabulary, preprocessing, languages,
decoding, provenance) is JSON in the file's metadata. Nothing in it can execute.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.resources
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from captioner import confidence as confidences
from captioner import devices
from captioner.atomic import whole
from captioner.confidence import Confidence
from captioner.errors import CaptionerError, CheckpointError, shown
from captioner.languages import Languages
from captioner.nn.architecture import ModelConfig, TranslationConfig
from captioner.nn.model import (
    CaptionModel,
    TranslationModel,
    build_model,
    build_translation_model,
    tied,
)
from captioner.options import SearchOptions
from captioner.pictures.preprocess import Preprocess
from captioner.settings import from_dict, to_dict
from captioner.subwords import Subwords
from captioner.text import SPECIALS, Vocabulary, is_harmless, tokenise

FORMAT = 1
CAPTION, TRANSLATE = "caption", "translate"  # tasks

_CHECKSUM = "sha256"  # of everything else in the file; files of before it was there have none
_OWN = {CAPTION: {"vocabulary", "preprocess"}, TRANSLATE: {"subwords", "languages"}}


@dataclass(frozen=True)
class Checkpoint:
    """A captioner's model with everything that is needed to use it and to judge it."""

    model: CaptionModel
    config: ModelConfig
    vocabulary: Vocabulary
    preprocess: Preprocess
    search: SearchOptions = field(default_factory=SearchOptions)  # decoding chosen on validation
    provenance: Mapping[str, Any] = field(default_factory=dict)  # data, licence, recipe, scores
    kinds: tuple[str, ...] = ()  # everyday words of the encoder's classes, in their order
    confidence: Confidence | None = None  # how sure its captions can be, once it was calibrated

    def __repr__(self) -> str:
        encoder = self.config.encoder.name
        return f"<Checkpoint of a captioner: {encoder}, {len(self.vocabulary.ordinary)} words>"


@dataclass(frozen=True)
class TranslationCheckpoint:
    """A translator's model with everything that is needed to use it and to judge it."""

    model: TranslationModel
    config: TranslationConfig
    subwords: Subwords
    languages: Languages
    search: SearchOptions = field(default_factory=SearchOptions)  # decoding chosen on validation
    provenance: Mapping[str, Any] = field(default_factory=dict)  # data, licence, recipe, scores

    def __repr__(self) -> str:
        ways = ", ".join(f"{source} → {target}" for source, target in self.languages.directions)
        return f"<TranslationCheckpoint: {ways}, {len(self.subwords)} pieces>"


def default_path(task: str = CAPTION) -> Path:
    """The weights for a task that came along with the package.

    Raises:
        CheckpointError: this installation has none.
    """
    path = Path(str(importlib.resources.files("captioner.checkpoints") / f"{task}.safetensors"))
    if not path.exists():
        raise CheckpointError(
            f"{path}: the shipped weights are not there; reinstall captioner, or name a checkpoint"
        )
    return path


def save(
    checkpoint: Checkpoint | TranslationCheckpoint,
    path: str | Path,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Writes a checkpoint: to a temporary file first, then in one step to its place.

    Args:
        checkpoint: what to write.
        path: where.
        dtype: of the weights; batch norm statistics stay float32.
    """
    again = tied(checkpoint.model)
    tensors = {
        name: _stored(name, value, dtype)
        for name, value in checkpoint.model.state_dict().items()
        if name not in again
    }
    header = {
        "format": FORMAT,
        **_own_header(checkpoint),
        "config": to_dict(checkpoint.config),
        "search": to_dict(checkpoint.search),
        "provenance": dict(checkpoint.provenance),
    }
    write_tensors(tensors, _metadata(header), path)


def _own_header(checkpoint: Checkpoint | TranslationCheckpoint) -> dict[str, Any]:
    """The task, and what only its checkpoints hold."""
    if isinstance(checkpoint, TranslationCheckpoint):
        return {
            "task": TRANSLATE,
            "subwords": json.loads(checkpoint.subwords.to_json()),
            "languages": checkpoint.languages.to_dict(),
        }
    return {
        "task": CAPTION,
        "vocabulary": list(checkpoint.vocabulary.words),
        "preprocess": checkpoint.preprocess.to_dict(),
        **({"kinds": list(checkpoint.kinds)} if checkpoint.kinds else {}),
        **({"confidence": checkpoint.confidence.to_dict()} if checkpoint.confidence else {}),
    }


def _stored(name: str, value: Tensor, dtype: torch.dtype) -> Tensor:
    value = value.detach().cpu()
    keep = not value.is_floating_point() or "running_" in name
    stored = value if keep else value.to(dtype)
    if not keep and bool((value.isfinite() & ~stored.isfinite()).any()):
        stored = value  # float16 ends at 65,504
    return stored.contiguous()


def _metadata(header: Mapping[str, Any]) -> dict[str, str]:
    return {key: json.dumps(value, ensure_ascii=False) for key, value in header.items()}


def save_scores(
    path: str | Path,
    judged: Checkpoint | TranslationCheckpoint,
    name: str,
    scores: Mapping[str, Any],
    search: SearchOptions,
) -> None:
    """Writes scores into a checkpoint's file, with the decoding that they hold for as its own.

    The weights stay as they are stored, bit by bit.

    Args:
        path: the file.
        judged: what was loaded from it and scored.
        name: of the split; scores kept under that name before are replaced.
        scores: plain values by metric, as `Score.to_dict` makes them.
        search: how the sentences were found.

    Raises:
        CheckpointError: the file cannot be read or written, or holds another checkpoint by now.
    """
    header, tensors = _read_again(Path(path), judged, "score")
    provenance = header["provenance"]
    kept = {**provenance.get("scores", {}), name: dict(scores)}
    header["provenance"] = {**provenance, "scores": kept}
    header["search"] = to_dict(search)
    write_tensors(tensors, _metadata(header), path)


def save_confidence(path: str | Path, judged: Checkpoint, confidence: Confidence) -> None:
    """Writes into a captioner's file how sure its captions can be; the weights stay as they are.

    Args:
        path: the file.
        judged: what was loaded from it and calibrated.
        confidence: replaces what the file has.

    Raises:
        CheckpointError: the file cannot be read or written, or holds another checkpoint by now.
    """
    header, tensors = _read_again(Path(path), judged, "calibrate")
    header["confidence"] = confidence.to_dict()
    write_tensors(tensors, _metadata(header), path)


def _read_again(
    path: Path, judged: Checkpoint | TranslationCheckpoint, act: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and weights as they are stored, to be written again with something more.

    Raises:
        CheckpointError: the file cannot be read, or holds another checkpoint by now.
    """
    header, tensors = _read(path, with_tensors=True)
    if header["provenance"] != judged.provenance:  # a training that still runs has a new best one
        raise CheckpointError(f"{path}: changed since it was loaded; {act} what it holds now")
    del header["parameters"]  # counted in reading
    return header, tensors


def write_tensors(tensors: dict[str, Tensor], metadata: dict[str, str], path: str | Path) -> None:
    """A safetensors file, whole or not at all.

    Raises:
        CheckpointError: it cannot be written.
    """
    path = Path(path)
    metadata = {**metadata, _CHECKSUM: json.dumps(checksum(tensors, metadata))}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial:
            partial.touch()
            usual = stat.S_IMODE(partial.stat().st_mode)
            save_file(tensors, partial, metadata)
            partial.chmod(usual)  # safetensors lets nobody but the owner read
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: cannot be written ({error}); make room there, or choose another folder"
        ) from error


def checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 of tensors, with their names, types and shapes, and of metadata but for itself."""
    digest = hashlib.sha256()
    for key in sorted(metadata.keys() - {_CHECKSUM}):
        digest.update(json.dumps([key, metadata[key]]).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_whole(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Refuses a file that no longer holds what was written: flipped bits, edits by hand.

    Raises:
        CheckpointError: the checksum differs. Without one, nothing is known.
    """
    told = metadata.get(_CHECKSUM)
    if told is not None and told != json.dumps(checksum(tensors, metadata)):
        raise CheckpointError(
            f"{path}: damaged, its content is not what was written (the checksum differs); get an "
            "undamaged copy"
        )


def load(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Checkpoint:
    """Reads a captioner's checkpoint; the model comes back in evaluation mode, in float32.

    Raises:
        ConfigError: the device cannot be used.
        CheckpointError: the file is missing, cut short, damaged, no checkpoint, of another task, or
            from a newer format; the message says which and what to do.
    """
    device = devices.pick(device)
    header, tensors = _read(checked_path(path), with_tensors=True, task=CAPTION)
    with _consistent(path):
        settings = from_dict(ModelConfig, header["config"])
        vocabulary = _vocabulary(header["vocabulary"])
        with torch.device("meta"):
            model = build_model(settings, len(vocabulary))
        _fill(model, tensors)
        kinds = _kinds(header.get("kinds", []), settings.encoder.classes)
        name_kinds(model, vocabulary, kinds)
        return Checkpoint(
            model=model.to(device).eval(),
            config=settings,
            vocabulary=vocabulary,
            preprocess=Preprocess.from_dict(header["preprocess"]),
            search=from_dict(SearchOptions, header["search"]),
            provenance=header["provenance"],
            kinds=kinds,
            confidence=_confidence(header, settings),
        )


def load_translation(
    path: str | os.PathLike[str], device: str | torch.device = "cpu"
) -> TranslationCheckpoint:
    """Reads a translator's checkpoint; the model comes back in evaluation mode, in float32.

    Raises:
        ConfigError, CheckpointError: as `load`.
    """
    device = devices.pick(device)
    header, tensors = _read(checked_path(path), with_tensors=True, task=TRANSLATE)
    with _consistent(path):
        settings = from_dict(TranslationConfig, header["config"])
        subwords = _subwords(header["subwords"])
        if settings.encoder.layers > len(tensors):  # or building so many would take for ever
            raise CheckpointError(f"there are no {settings.encoder.layers} layers")
        with torch.device("meta"):
            model = build_translation_model(settings, len(subwords))
        _fill(model, tensors)
        return TranslationCheckpoint(
            model=model.to(device).eval(),
            config=settings,
            subwords=subwords,
            languages=Languages.from_dict(header["languages"], len(subwords)),
            search=from_dict(SearchOptions, header["search"]),
            provenance=header["provenance"],
        )


@contextlib.contextmanager
def _consistent(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns the errors that a damaged file's contradictions raise into one `CheckpointError`."""
    try:
        yield
    except (
        CaptionerError,
        RuntimeError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
    ) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"{path}: the checkpoint contradicts itself ({reason}); get an undamaged copy"
        ) from error


def _vocabulary(words: Any) -> Vocabulary:
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise CheckpointError("the vocabulary is no list of words")
    if tuple(words[: len(SPECIALS)]) != SPECIALS:
        raise CheckpointError(f"the vocabulary does not start with {', '.join(SPECIALS)}")
    return Vocabulary(_harmless(words[len(SPECIALS) :]))


def _subwords(values: Any) -> Subwords:
    subwords = Subwords.from_json(json.dumps(values))
    _harmless(subwords.pieces)
    return subwords


def _harmless(words: Sequence[str]) -> Sequence[str]:
    """Words without control characters, which a terminal would obey when they are said."""
    for word in words:
        if not is_harmless(word):
            raise CheckpointError(f"{word!a} is no word: it holds control characters")
    return words


def _kinds(words: Any, classes: int) -> tuple[str, ...]:
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise CheckpointError("the kinds are no list of words")
    if words and len(words) != classes:
        raise CheckpointError(f"{len(words)} kinds for a classifier of {classes} classes")
    return tuple(_harmless(words))


def _confidence(header: Mapping[str, Any], settings: ModelConfig) -> Confidence | None:
    """How sure the captions can be; None where the checkpoint was not calibrated."""
    if "confidence" not in header:
        return None
    features = confidences.available(
        copies=settings.copy.things > 0, recognises=settings.encoder.classes > 0
    )
    return Confidence.from_dict(header["confidence"], features)


def name_kinds(model: CaptionModel, vocabulary: Vocabulary, kinds: Sequence[str]) -> None:
    """Sets the words of the classes that a model can copy: of a name of several words, the last.

    Raises:
        CheckpointError: there are no words for the classes.
    """
    classes = model.copied_classes
    if classes is None:
        return
    if len(kinds) != classes:
        raise CheckpointError(f"{len(kinds)} words for the {classes} classes to copy")
    model.name_classes([vocabulary.encode(["", *tokenise(kind)])[-1] for kind in kinds])


def _fill(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Puts the stored weights into a model without any; what is tied was stored once."""
    state = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    for name, value in state.items():
        if not bool(value.isfinite().all()):
            raise CheckpointError(f"{name} holds numbers that are not finite")
    again = tied(model)
    model.load_state_dict(
        state | {name: state[first] for name, first in again.items()}, assign=True
    )
    for name, first in again.items():
        owner, _, parameter = name.rpartition(".")
        setattr(model.get_submodule(owner), parameter, model.get_parameter(first))
    model.requires_grad_(True)


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a checkpoint says of itself, without building the model.

    Besides the header: `file`, `bytes`, `parameters`.

    Raises:
        CheckpointError: as `load`.
    """
    path = checked_path(path)
    header, _ = _read(path, with_tensors=False)
    with _consistent(path):
        from_dict(SearchOptions, header["search"])
        if header["task"] == CAPTION:
            settings = from_dict(ModelConfig, header["config"])
            _confidence(header, settings)
            _vocabulary(header["vocabulary"])
            Preprocess.from_dict(header["preprocess"])
        else:
            from_dict(TranslationConfig, header["config"])
            subwords = _subwords(header["subwords"])
            Languages.from_dict(header["languages"], len(subwords))
    return {"file": str(path), "bytes": path.stat().st_size, **header}


def _check_file(path: Path) -> None:
    """Says what keeps a file from being read, which safetensors would call missing."""
    expected = "expected a captioner checkpoint (.safetensors)"
    try:
        kind = path.stat().st_mode
        if stat.S_ISREG(kind):
            path.open("rb").close()
            return
    except FileNotFoundError:
        raise CheckpointError(f"{_named(path)}: no such file; {expected}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CheckpointError(f"{_named(path)}: cannot be read ({reason})") from None
    what = "a folder" if stat.S_ISDIR(kind) else "no regular file"
    raise CheckpointError(f"{path}: {what}; {expected}")


def _named(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 300 else f"{text[:100]}… ({len(text)} characters)"


def checked_path(path: Any) -> Path:
    """A checkpoint's path as it is handed over.

    Raises:
        CheckpointError: it is none.
    """
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise CheckpointError(f"the checkpoint is {shown(path)}; expected the path of a file")
    if not os.fspath(path):
        raise CheckpointError("the checkpoint's path is empty; leave it out for the shipped one")
    return Path(path)


def _read(
    path: Path, *, with_tensors: bool, task: str | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The metadata and, where asked for, the tensors of a checkpoint for `task`, or for any."""
    _check_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            header = _header(path, metadata, task)
            header["parameters"] = sum(
                int(torch.Size(file.get_slice(name).get_shape()).numel())
                for name in file.keys()  # noqa: SIM118
            )
            tensors = {n: file.get_tensor(n) for n in file.keys()} if with_tensors else {}  # noqa: SIM118
        if with_tensors:
            check_whole(path, tensors, metadata)
        return header, tensors
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    except SafetensorError as error:
        # Only now: the length that a whole file begins with may happen to look like a pickle.
        with path.open("rb") as file:
            pickled = file.read(2) in (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05")
        if pickled:
            raise CheckpointError(
                f"{path}: a pickle, which could run anything when opened; expected a captioner "
                "checkpoint (.safetensors)"
            ) from error
        raise CheckpointError(
            f"{path}: cut short or no safetensors file ({error}); expected a captioner checkpoint"
        ) from error


def _header(path: Path, metadata: Mapping[str, str], task: str | None) -> dict[str, Any]:
    if "format" not in metadata:
        raise CheckpointError(
            f"{path}: a safetensors file, but no captioner checkpoint: its metadata lack `format`; "
            "plain CNN weights belong in --model.encoder.weights"
        )
    try:
        header = {key: json.loads(value) for key, value in metadata.items()}
    except (ValueError, RecursionError) as error:  # endless digits, endless nesting
        raise CheckpointError(f"{path}: the metadata are no JSON ({error})") from error
    if not isinstance(header["format"], int) or header["format"] > FORMAT:
        raise CheckpointError(
            f"{path}: format {header['format']} is newer than this captioner reads ({FORMAT}); "
            "upgrade captioner"
        )
    tasks = tuple(_OWN) if task is None else (task,)
    if header.get("task") not in tasks:
        expected = " or ".join(map(repr, tasks))
        raise CheckpointError(
            f"{path}: a checkpoint for {header.get('task')!r}; expected one for {expected}"
        )
    missing = {"config", "search", "provenance", *_OWN[header["task"]]} - header.keys()
    if missing:
        raise CheckpointError(f"{path}: the metadata lack {', '.join(sorted(missing))}")
    provenance = header["provenance"]
    if not isinstance(provenance, dict) or not isinstance(provenance.get("scores", {}), dict):
        raise CheckpointError(
            f"{path}: the metadata's provenance is no table, or its scores are none; get an "
            "undamaged copy"
        )
    return header
