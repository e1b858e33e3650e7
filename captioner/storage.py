"""The file format of checkpoints: one safetensors file that holds a model and explains itself.

Weights are tensors; everything else (task, configuration, vocabulary, decoding, provenance, and
what only one task has) is JSON in the file's metadata. Nothing in it can execute.

What a checkpoint of some task holds is the business of that task's subclass of `Stored`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.resources
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from captioner import devices
from captioner.atomic import behind, whole
from captioner.errors import CaptionerError, CheckpointError, shown
from captioner.nn.model import tied
from captioner.options import SearchOptions, given_or
from captioner.settings import from_dict, to_dict
from captioner.text import is_harmless

FORMAT = 1

_CHECKSUM = "sha256"  # of everything else in the file; files of before it was there have none
_COMMON = ("config", "search", "provenance")  # entries of every task's header


@dataclass(frozen=True)
class Stored:
    """A model with everything that is needed to use it and to judge it: what a file holds."""

    model: Any
    config: Any
    _: KW_ONLY
    search: SearchOptions = field(default_factory=SearchOptions)  # decoding chosen on validation
    provenance: Mapping[str, Any] = field(default_factory=dict)  # data, licence, recipe, scores

    task: ClassVar[str]  # as the file names it
    needs: ClassVar[tuple[str, ...]]  # entries of the header that only this task's files have
    lexicon: ClassVar[str]  # the field whose length is the size of the model's vocabulary

    @staticmethod
    def build(config: Any, size: int, /) -> Any:
        """A model with random weights, of settings and the size of a vocabulary."""
        raise NotImplementedError

    @classmethod
    def parsed(cls, header: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that only this task has, and `config`, from a file's header.

        Raises:
            CaptionerError: an entry is not what `own_header` writes.
        """
        raise NotImplementedError

    def own_header(self) -> dict[str, Any]:
        """The entries of the header that only this task's files have, as plain values for JSON."""
        raise NotImplementedError

    def complete(self) -> None:
        """Sets what a model takes from the other fields; called when its weights are there."""

    @classmethod
    def check_header(cls, header: Mapping[str, Any]) -> None:
        """Refuses a header that contradicts itself, without building the model.

        Raises:
            CaptionerError: it does.
        """
        from_dict(SearchOptions, header["search"])
        cls.parsed(header)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str] | None = None, device: str | torch.device = "cpu"
    ) -> Self:
        """Reads a checkpoint; the model comes back in evaluation mode, in float32.

        Args:
            path: of the file; left out, the weights that came along.
            device: where the model shall be; `auto` is a GPU where there is one.

        Raises:
            ConfigError: the device cannot be used.
            CheckpointError: the file is missing, cut short, damaged, no checkpoint, of another
                task, or from a newer format; the message says which and what to do.
        """
        device = devices.pick(device)
        path = checked_path(default_path(cls.task) if path is None else path)
        header, tensors = read(path, [cls], with_tensors=True)
        with consistent(path):
            fields = cls.parsed(header)
            with torch.device("meta"), _Unfilled():
                model = cls.build(fields["config"], len(fields[cls.lexicon]))
            _fill(model, tensors)
            search = from_dict(SearchOptions, header["search"])
            found = cls(model=model, search=search, provenance=header["provenance"], **fields)
            found.complete()
            model.to(device).eval()
            return found

    def options(self, own: SearchOptions | None = None, /, **settings: Any) -> SearchOptions:
        """`own`, or the checkpoint's decoding, with `settings` (fields of `SearchOptions`) put in.

        Raises:
            ConfigError: a field is unknown or out of range.
        """
        return given_or(own, self.search).changed(**settings)

    def rebuilt(self, config: Any) -> Self:
        """The same weights in a model of other settings, which take as many."""
        model = self.build(config, len(getattr(self, self.lexicon)))
        model.load_state_dict(self.model.state_dict())
        return dataclasses.replace(self, model=model, config=config)


class _Unfilled(TorchFunctionMode):
    """Layers get no first numbers, since a file has them.

    Those from a normal distribution, drawn where there is nothing to draw into, would import
    torch's compiler: a second of the first caption.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init" or func is Tensor.normal_:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def default_path(task: str = "caption") -> Path:
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
    checkpoint: Stored,
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
        "task": checkpoint.task,
        **checkpoint.own_header(),
        "config": to_dict(checkpoint.config),
        "search": to_dict(checkpoint.search),
        "provenance": dict(checkpoint.provenance),
    }
    write_tensors(tensors, _metadata(header), path)


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
    judged: Stored,
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
    with rewriting(path, judged, "score") as header:
        provenance = header["provenance"]
        kept = {**provenance.get("scores", {}), name: dict(scores)}
        header["provenance"] = {**provenance, "scores": kept}
        header["search"] = to_dict(search)


@contextlib.contextmanager
def rewriting(path: str | Path, judged: Stored, act: str) -> Iterator[dict[str, Any]]:
    """The header of a file, to be changed; at the block's end it is written, the weights as before.

    Args:
        path: the file.
        judged: what was loaded from it.
        act: what is being done to it, for messages.

    Raises:
        CheckpointError: the file cannot be read or written, or holds another checkpoint by now.
    """
    path = Path(path)
    header, tensors = read(path, [type(judged)], with_tensors=True)
    if header["provenance"] != judged.provenance:  # a training that still runs has a new best one
        raise CheckpointError(f"{path}: changed since it was loaded; {act} what it holds now")
    del header["parameters"]  # counted in reading
    yield header
    write_tensors(tensors, _metadata(header), path)


def write_tensors(tensors: dict[str, Tensor], metadata: dict[str, str], path: str | Path) -> None:
    """A safetensors file, whole or not at all.

    Raises:
        CheckpointError: it cannot be written.
    """
    path = Path(path)
    metadata = {**metadata, _CHECKSUM: json.dumps(checksum(tensors, metadata))}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path, folder=True) as partial:  # safetensors writes to a file of its own first
            partial.touch()
            usual = stat.S_IMODE(partial.stat().st_mode)
            save_file(tensors, partial, metadata)
            partial.chmod(usual)  # safetensors lets nobody but the owner read
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{path}: cannot be written ({reason}); make room there, or choose another folder"
        ) from error


def check_writable(path: str | Path) -> None:
    """Refuses a checkpoint that could not be written anew, before the work and not after it.

    Raises:
        CheckpointError: nothing can be written beside the file, as writing it whole takes.
    """
    folder = behind(Path(path)).parent
    if os.path.isdir(folder) and not os.access(folder, os.W_OK):  # noqa: PTH112
        raise CheckpointError(
            f"{path}: cannot be written (no permission in its folder, or a disk that can only be "
            "read); copy it, and name the copy"
        )


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
    written = metadata.get(_CHECKSUM)
    if written is not None and written != json.dumps(checksum(tensors, metadata)):
        raise CheckpointError(
            f"{path}: damaged, its content is not what was written (the checksum differs); get an "
            "undamaged copy"
        )


@contextlib.contextmanager
def consistent(path: str | os.PathLike[str]) -> Iterator[None]:
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


def harmless(words: Sequence[str]) -> Sequence[str]:
    """The words, if none holds control characters, which a terminal would obey.

    Raises:
        CheckpointError: one does.
    """
    for word in words:
        if not is_harmless(word):
            raise CheckpointError(f"{word!a} is no word: it holds control characters")
    return words


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


def read(
    path: Path, kinds: Sequence[type[Stored]], *, with_tensors: bool
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and, where asked for, the tensors of a file that holds one of `kinds`.

    The header has one more entry, `parameters`: how many numbers the tensors hold.

    Raises:
        CheckpointError: as `Stored.load`.
    """
    _check_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            header = _header(path, metadata, kinds)
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


def _header(
    path: Path, metadata: Mapping[str, str], kinds: Sequence[type[Stored]]
) -> dict[str, Any]:
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
            f"{path}: format {shown(header['format'])} is newer than this captioner reads "
            f"({FORMAT}); upgrade captioner"
        )
    kind = next((kind for kind in kinds if kind.task == header.get("task")), None)
    if kind is None:
        expected = " or ".join(repr(kind.task) for kind in kinds)
        raise CheckpointError(
            f"{path}: a checkpoint for {shown(header.get('task'))}; expected one for {expected}"
        )
    missing = {*_COMMON, *kind.needs} - header.keys()
    if missing:
        raise CheckpointError(f"{path}: the metadata lack {', '.join(sorted(missing))}")
    provenance = header["provenance"]
    if not isinstance(provenance, dict) or not isinstance(provenance.get("scores", {}), dict):
        raise CheckpointError(
            f"{path}: the metadata's provenance is no table, or its scores are none; get an "
            "undamaged copy"
        )
    return header
