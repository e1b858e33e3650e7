"""The file format: written whole or not at all, read as it was written, damage named."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from captioner import checkpoint as checkpoints
from captioner import storage
from captioner.checkpoint import Checkpoint, TranslationCheckpoint
from captioner.cli import describe
from captioner.errors import CheckpointError
from captioner.nn.model import build_model
from captioner.options import SearchOptions
from captioner.settings import to_dict
from tests.stored import WORDS, altered, made, put, refused
from tests.stored import saved as saved
from tests.stored import tied as tied
from tests.stored import translator_file as translator_file


@pytest.mark.parametrize("tie", [True, False])
def test_float32_comes_back_bit_by_bit(tie: bool, tmp_path: Path) -> None:
    checkpoint = made(tie_embeddings=tie)
    checkpoints.save(checkpoint, tmp_path / "model.safetensors", torch.float32)
    loaded = checkpoints.load(tmp_path / "model.safetensors")
    before, after = checkpoint.model.state_dict(), loaded.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (loaded.model.decoder.output.weight is loaded.model.decoder.embedding.weight) == tie
    assert loaded.config == checkpoint.config
    assert loaded.vocabulary == checkpoint.vocabulary
    assert loaded.preprocess == checkpoint.preprocess
    assert loaded.search == checkpoint.search
    assert loaded.provenance == checkpoint.provenance
    assert not any(module.training for module in loaded.model.modules())


def test_float16_rounds_weights_but_not_statistics(tied: Checkpoint, saved: Path) -> None:
    loaded = checkpoints.load(saved).model.state_dict()
    for name, value in tied.model.state_dict().items():
        assert loaded[name].dtype == value.dtype
        exact = "running_" in name or not value.is_floating_point()
        assert torch.equal(loaded[name], value if exact else value.half().float()), name
    stored = load_file(saved)
    assert {str(v.dtype) for k, v in stored.items() if "running_" in k} == {"torch.float32"}
    assert stored["decoder.embedding.weight"].dtype == torch.float16


def test_tied_weights_are_stored_once(saved: Path, tmp_path: Path) -> None:
    assert "decoder.output.weight" not in load_file(saved)
    untied = tmp_path / "untied.safetensors"
    checkpoints.save(made(tie_embeddings=False), untied)
    assert "decoder.output.weight" in load_file(untied)


def test_saving_what_was_loaded_changes_nothing(saved: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    checkpoints.save(checkpoints.load(saved), again)
    first, second = load_file(saved), load_file(again)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_it_can_be_trained_further(saved: Path) -> None:
    model = checkpoints.load(saved).model
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_model_in_another_memory_format_is_stored_the_same(
    tied: Checkpoint, saved: Path, tmp_path: Path
) -> None:
    turned = dataclasses.replace(
        tied, model=checkpoints.load(saved).model.to(memory_format=torch.channels_last)
    )
    checkpoints.save(turned, tmp_path / "turned.safetensors")
    first, second = load_file(saved), load_file(tmp_path / "turned.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_describe_builds_no_model(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Checkpoint, "build", lambda *_: pytest.fail("a model was built"))
    told = checkpoints.describe(saved)
    assert told["file"] == str(saved)
    assert told["bytes"] == saved.stat().st_size
    assert told["parameters"] == sum(value.numel() for value in load_file(saved).values())
    assert told["format"] == checkpoints.FORMAT
    assert told["task"] == "caption"
    assert told["vocabulary"][4:] == list(WORDS)
    assert told["config"]["encoder"]["feature_size"] == 23
    assert told["preprocess"]["size"] == 64
    assert told["search"]["beam_size"] == 2
    assert told["provenance"]["licence"] == "ours"


def test_no_path_gets_into_the_file(tied: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    checkpoints.save(tied, path)
    assert str(tmp_path).encode() not in path.read_bytes()


def test_the_metadata_are_json_in_utf8(saved: Path) -> None:
    with safe_open(saved, framework="np") as file:
        header = {key: json.loads(value) for key, value in file.metadata().items()}
    assert header["vocabulary"][-1] == "雪"


@pytest.mark.parametrize("failing", ["save_file", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(
    failing: str, tied: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"the old one")

    def half(tensors: Any, target: Path, metadata: Any) -> None:
        Path(target).write_bytes(b"half of it")
        raise SafetensorError("No space left on device")

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(
        *{
            "save_file": (storage, "save_file", half),
            "fsync": (storage.os, "fsync", fail),
            "replace": (Path, "replace", fail),
        }[failing]
    )
    with pytest.raises(CheckpointError, match=r"cannot be written .*No space left.*make room") as e:
        checkpoints.save(tied, path)
    assert str(path) in str(e.value)
    monkeypatch.undo()
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_nothing_behind(
    tied: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(storage.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(tied, tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file(tied: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot be written"):
        checkpoints.save(tied, tmp_path / "file" / "model.safetensors")


def test_missing_folders_are_made(tied: Checkpoint, tmp_path: Path) -> None:
    checkpoints.save(tied, tmp_path / "a" / "b" / "model.safetensors")
    assert checkpoints.load(tmp_path / "a" / "b" / "model.safetensors").config == tied.config


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_file_has_the_usual_permissions(mask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        storage.write_tensors({"one": torch.zeros(2)}, {}, tmp_path / "one.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "one.safetensors").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_scores_are_kept_and_nothing_else_changes(
    dtype: torch.dtype, tied: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    first = {"cider": {"value": 0.5}}
    provenance = {"licence": "ours", "scores": {"validation": first, "test": {"cider": {}}}}
    checkpoints.save(dataclasses.replace(tied, provenance=provenance), path, dtype)
    header, stored = checkpoints.describe(path), load_file(path)
    search = SearchOptions(beam_size=5, length_penalty=0.25)
    second = {"bleu_4": {"value": 0.25}}
    checkpoints.save_scores(path, checkpoints.load(path), "test", second, search)
    after, weights = checkpoints.describe(path), load_file(path)
    kept = {"licence": "ours", "scores": {"validation": first, "test": second}}
    expected = {**header, "search": to_dict(search), "provenance": kept}
    assert after["sha256"] != header["sha256"]
    counted = {"bytes": 0, "sha256": ""}  # of what is kept, and so another
    assert {**after, **counted} == {**expected, **counted}
    assert weights.keys() == stored.keys()
    for name, tensor in stored.items():
        assert weights[name].dtype == tensor.dtype
        assert torch.equal(weights[name], tensor)


def test_scores_of_another_checkpoint_are_refused(tied: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    checkpoints.save(tied, path)
    judged = checkpoints.load(path)
    checkpoints.save(dataclasses.replace(tied, provenance={"epoch": 5}), path)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="changed since it was loaded; score what it holds"):
        checkpoints.save_scores(path, judged, "test", {}, SearchOptions())
    assert path.read_bytes() == before


def test_a_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.safetensors", "no such file; expected a captioner checkpoint")
    refused(tmp_path, "a folder; expected a captioner checkpoint")


def test_a_file_without_permission(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(storage, "safe_open", deny)
    refused(saved, r"cannot be read \(Permission denied\)")


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"not a model at all, but a text\n" * 9, b"\0" * 99]
)
def test_no_safetensors_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    refused(path, "cut short or no safetensors file .*expected a captioner checkpoint")


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.5, 0.999])
def test_a_file_cut_short(share: float, saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    content = saved.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(path, "cut short")


def test_pickles_are_named_and_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickle, "load", lambda *_: pytest.fail("unpickled"))
    monkeypatch.setattr(torch, "load", lambda *_: pytest.fail("unpickled"))
    for protocol in (2, 4, 5):
        path = tmp_path / f"{protocol}.pt"
        path.write_bytes(pickle.dumps({"weights": list(range(999))}, protocol))
        refused(path, "a pickle, which could run anything when opened")
    torch.save({"weight": torch.zeros(7)}, tmp_path / "new.pt")
    refused(tmp_path / "new.pt", "a pickle")
    torch.save(
        {"weight": torch.zeros(7)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False
    )
    refused(tmp_path / "old.pt", "a pickle")
    with zipfile.ZipFile(tmp_path / "any.zip", "w") as archive:
        archive.writestr("any", "thing")
    refused(tmp_path / "any.zip", "a pickle")


@pytest.mark.parametrize("length", [0x80, 0x0280, 0x0480, 0x4B50])
def test_a_length_that_looks_like_a_pickle(length: int, saved: Path, tmp_path: Path) -> None:
    """A file begins with its header's length, whose bytes may be those of a pickle's beginning."""
    content = saved.read_bytes()
    (old,) = struct.unpack("<Q", content[:8])
    length += -(-(old - length) // 65536) * 65536 if old > length else 0
    path = tmp_path / "model.safetensors"
    header = content[8 : 8 + old].ljust(length)
    path.write_bytes(struct.pack("<Q", length) + header + content[8 + old :])
    assert path.read_bytes()[:1] in (b"\x80", b"P")
    assert checkpoints.describe(path)["vocabulary"][4:] == list(WORDS)


def test_weights_of_a_plain_cnn(tmp_path: Path) -> None:
    path = tmp_path / "mobilenet.safetensors"
    save_file({"features.0.0.weight": torch.zeros(5, 3, 3, 3)}, path)
    refused(path, "no captioner checkpoint: .*lack `format`.*model.encoder.weights")
    save_file({"features.0.0.weight": torch.zeros(5)}, path, {"format": "pt"})
    refused(path, "the metadata are no JSON")


def test_without_shipped_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.importlib.resources, "files", lambda package: tmp_path)
    for task in ("caption", "translate"):
        with pytest.raises(CheckpointError, match="the shipped weights are not there; reinstall"):
            checkpoints.default_path(task)
        (tmp_path / f"{task}.safetensors").touch()
        assert checkpoints.default_path(task) == tmp_path / f"{task}.safetensors"
    assert checkpoints.default_path() == tmp_path / "caption.safetensors"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (3, "the checkpoint is 3; expected the path of a file"),
        (["a"], "the checkpoint is ['a']; expected the path of a file"),
        (b"x", "the checkpoint is b'x'; expected the path of a file"),
        ("", "the checkpoint's path is empty; leave it out for the shipped one"),
        ("x" * 5000, f"{'x' * 100}… (5000 characters): cannot be read (File name too long)"),
        ("a\0b", "a\0b: cannot be read (embedded null byte)"),
        ("/", "/: a folder; expected a captioner checkpoint (.safetensors)"),
        ("/dev/zero", "/dev/zero: no regular file; expected a captioner checkpoint (.safetensors)"),
    ],
)
def test_what_is_no_file_is_told(path: Any, message: str) -> None:
    for load in (checkpoints.load, checkpoints.load_translation, checkpoints.describe):
        with pytest.raises(CheckpointError) as caught:
            load(path)
        assert str(caught.value) == message


def same(one: Checkpoint, other: Checkpoint) -> bool:
    before, after = one.model.state_dict(), other.model.state_dict()
    parts = ("config", "vocabulary", "preprocess", "search", "provenance")
    return all(torch.equal(before[name], after[name]) for name in before) and all(
        getattr(one, part) == getattr(other, part) for part in parts
    )


def read_or_refused(read: Callable[[Path], Any], path: Path) -> Any:
    """What is read; None, where it is refused in one line that names the file."""
    try:
        return read(path)
    except CheckpointError as error:
        told = str(error)
    assert told.startswith(f"{path}: ")
    assert "\n" not in told
    return None


def test_flipped_bits_are_found(saved: Path, tmp_path: Path) -> None:
    """Anywhere in the file: a flip is refused in one line, or has changed nothing that counts."""
    path, content = tmp_path / "model.safetensors", saved.read_bytes()
    (header,) = struct.unpack("<Q", content[:8])
    rng, whole = np.random.default_rng(3), checkpoints.load(saved)
    weights = 8 + header + rng.integers(0, len(content) - 8 - header, 12)
    for place in (*rng.integers(0, 8 + header, 12).tolist(), *weights.tolist()):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        loaded = read_or_refused(checkpoints.load, path)
        assert loaded is None or (place < 8 + header and same(loaded, whole)), place


def test_a_changed_weight_is_named_as_damage(saved: Path, tmp_path: Path) -> None:
    path, content = tmp_path / "model.safetensors", bytearray(saved.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        checkpoints.load(path)
    assert str(caught.value) == (
        f"{path}: damaged, its content is not what was written (the checksum differs); get an "
        "undamaged copy"
    )


def test_files_without_a_checksum_load_and_scores_bring_one(saved: Path, tmp_path: Path) -> None:
    path = altered(saved, tmp_path / "model.safetensors", lambda header, tensors: None)
    with safe_open(path, framework="pt") as file:
        assert "sha256" not in file.metadata()
    loaded = checkpoints.load(path)
    assert same(loaded, checkpoints.load(saved))
    checkpoints.save_scores(path, loaded, "test", {"cider": {"value": 1.0}}, SearchOptions())
    with safe_open(path, framework="pt") as file:
        assert len(json.loads(file.metadata()["sha256"])) == 64
    assert checkpoints.load(path).provenance["scores"]["test"] == {"cider": {"value": 1.0}}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_one_weight_that_is_no_number(value: float, saved: Path, tmp_path: Path) -> None:
    def change(header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        tensors["decoder.from_hidden.weight"][3, 5] = value

    path = altered(saved, tmp_path / "model.safetensors", change)
    with pytest.raises(CheckpointError, match=r"from_hidden\.weight holds numbers that are not fi"):
        checkpoints.load(path)


def test_weights_beyond_float16_are_kept(tied: Checkpoint, tmp_path: Path) -> None:
    model = build_model(tied.config, len(WORDS) + 4).eval()
    with torch.no_grad():
        model.decoder.from_hidden.bias[2] = 70_000.0
    checkpoints.save(dataclasses.replace(tied, model=model), tmp_path / "model.safetensors")
    loaded = checkpoints.load(tmp_path / "model.safetensors")
    assert loaded.model.decoder.from_hidden.bias[2] == 70_000.0


ODD = (None, True, -1, 10**30, 0.5, "", "odd\x1b[31m", [], [[]], [1, "a"], {}, {"a": {}}, [None])


def places(node: Any, place: str = "") -> list[str]:
    """All dotted places of a header, tables and values."""
    inner = node.items() if isinstance(node, dict) else ()
    found = [each for key, value in inner for each in places(value, f"{place}.{key}")]
    return [*([place.removeprefix(".")] if place else []), *found]


def test_every_field_of_a_wrong_type_is_one_line(
    saved: Path, translator_file: Path, tmp_path: Path
) -> None:
    """Whatever stands there instead: read or refused, by the readers and by the command."""

    path = tmp_path / "odd.safetensors"
    rng = np.random.default_rng(5)
    for source, load in (
        (saved, checkpoints.load),
        (translator_file, checkpoints.load_translation),
    ):
        header = checkpoints.describe(source)
        for extra in ("file", "bytes", "parameters"):
            del header[extra]
        made = {"provenance": {**header["provenance"], **PROVENANCE}}
        for place in places({**header, **made}):
            for value in (ODD[number] for number in rng.permutation(len(ODD))[:3]):
                texts = {k: json.loads(json.dumps(v)) for k, v in {**header, **made}.items()}
                put(place, value)(texts, {})
                save_file(
                    {"one": torch.zeros(2)}, path, {k: json.dumps(v) for k, v in texts.items()}
                )
                for reader in (load, checkpoints.describe):
                    read_or_refused(reader, path)
                typed = SimpleNamespace(checkpoint=str(path), named=None, json=False)
                with contextlib.suppress(CheckpointError):
                    describe.run(typed)


PROVENANCE = {
    "recipe": {
        "data": {"train": [{"captions": "a.json", "tsv": "", "source": "a", "target": "b"}]},
        "phases": [{"name": "one", "epochs": 3}],
    },
    "photos": 3,
    "captions": 15,
    "phase": "one",
    "epoch": 3,
    "licence": "ours",
    "created": "2026-01-01",
    "versions": {"torch": "2"},
    "started_from": {"checkpoint": "a", "created": "b"},
    "scores": {"test": {"cider": {"name": "c", "value": 1.0, "interval": None, "recipe": "r"}}},
}


def test_nothing_in_a_file_reaches_the_terminal_as_an_order(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        orders = json.loads(json.dumps(PROVENANCE).replace('"ours"', json.dumps(ORDER)))
        orders["versions"] = {ORDER: ORDER}
        orders["scores"] = {ORDER: {ORDER: {**PROVENANCE["scores"]["test"]["cider"]}}}
        header["provenance"] = orders

    path = altered(saved, tmp_path / "model.safetensors", change)
    for as_json in (False, True):
        describe.run(SimpleNamespace(checkpoint=str(path), named=None, json=as_json))
        out = capsys.readouterr().out
        assert all(char.isprintable() or char == "\n" for char in out)
        assert "31m" in out
        if as_json:
            assert json.loads(out)["provenance"]["licence"] == ORDER


ORDER = "\x1b[31mred\x07\x9b2J"


def test_words_that_are_orders_are_refused(
    saved: Path, translator_file: Path, tmp_path: Path
) -> None:
    path = altered(
        saved, tmp_path / "one.safetensors", lambda h, t: h["vocabulary"].__setitem__(5, ORDER)
    )
    for read in (checkpoints.load, checkpoints.describe):
        with pytest.raises(
            CheckpointError, match=r"'.x1b.31mred.x07.x9b2J' is no word: it holds c"
        ):
            read(path)
    last = checkpoints.describe(translator_file)["subwords"]["pieces"][-1]

    def change(header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        told = json.dumps(header["subwords"]).replace(json.dumps(last), json.dumps("\x1b"))
        header["subwords"] = {**json.loads(told), "merges": []}

    path = altered(translator_file, tmp_path / "two.safetensors", change)
    with pytest.raises(CheckpointError, match="is no word: it holds control characters"):
        checkpoints.load_translation(path)


def test_what_a_shell_shows_is_short(
    tiny_checkpoint: Checkpoint, tiny_translation: TranslationCheckpoint
) -> None:
    words = len(tiny_checkpoint.vocabulary.ordinary)
    assert repr(tiny_checkpoint) == f"<Checkpoint of a captioner: mobilenet_v2, {words} words>"
    shown = repr(tiny_translation)
    assert shown.startswith("<TranslationCheckpoint: en → de, en → fr, fr → en, ")
    for text in (shown, repr(tiny_translation.languages)):
        assert len(text) < 200
        assert "\n" not in text
