"""What a translator's file holds, and what contradicts it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from captioner import checkpoint as checkpoints
from captioner.errors import CheckpointError
from captioner.options import SearchOptions
from captioner.translation import Translator
from tests.stored import Change, altered, drop, put, translating
from tests.stored import saved as saved
from tests.stored import tied as tied
from tests.stored import translator_file as translator_file


@pytest.mark.parametrize(("source", "output"), [(True, True), (True, False), (False, True)])
def test_a_translators_float32_comes_back_bit_by_bit(
    source: bool, output: bool, tmp_path: Path
) -> None:
    checkpoint = translating(source, output)
    checkpoints.save(checkpoint, tmp_path / "model.safetensors", torch.float32)
    loaded = checkpoints.load_translation(tmp_path / "model.safetensors")
    before, after = checkpoint.model.state_dict(), loaded.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    model = loaded.model
    assert (model.encoder.embedding.weight is model.decoder.embedding.weight) == source
    assert (model.decoder.output.weight is model.decoder.embedding.weight) == output
    stored = load_file(tmp_path / "model.safetensors")
    assert len(stored) == len(before) - source - output
    assert loaded.config == checkpoint.config
    assert loaded.subwords == checkpoint.subwords
    assert loaded.languages.to_dict() == checkpoint.languages.to_dict()
    assert loaded.search == checkpoint.search
    assert loaded.provenance == checkpoint.provenance
    assert not any(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    same = [Translator(one)("A dog is a dog.", to="de") for one in (checkpoint, loaded)]
    assert same[0].text == same[1].text
    assert same[0].log_prob == same[1].log_prob


def test_a_translator_describes_itself(translator_file: Path) -> None:
    told = checkpoints.describe(translator_file)
    checkpoint = translating()
    assert told["task"] == "translate"
    assert told["languages"]["directions"] == [["en", "de"], ["de", "en"]]
    assert told["subwords"]["languages"] == ["en", "de"]
    assert told["provenance"] == {"epoch": 3}
    assert told["parameters"] == sum(p.numel() for p in checkpoint.model.parameters())
    assert not {"vocabulary", "preprocess"} & told.keys()


def test_each_reader_takes_its_own_kind(saved: Path, translator_file: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        checkpoints.load(translator_file)
    assert str(caught.value) == (
        f"{translator_file}: a checkpoint for 'translate'; expected one for 'caption'"
    )
    with pytest.raises(CheckpointError) as caught:
        checkpoints.load_translation(saved)
    assert str(caught.value) == (
        f"{saved}: a checkpoint for 'caption'; expected one for 'translate'"
    )


def test_a_translators_scores_are_kept(translator_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(translator_file.read_bytes())
    judged, search = checkpoints.load_translation(path), SearchOptions(beam_size=5)
    checkpoints.save_scores(path, judged, "validation", {"bleu": {"value": 0.4}}, search)
    again = checkpoints.load_translation(path)
    assert again.provenance == {"epoch": 3, "scores": {"validation": {"bleu": {"value": 0.4}}}}
    assert again.search == search
    before, after = load_file(translator_file), load_file(path)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("subwords"), "the metadata lack subwords"),
        (drop("languages"), "the metadata lack languages"),
        (put("task", "translator"), "a checkpoint for 'translator'; expected one for 'translate'"),
    ],
)
def test_a_translators_metadata_that_no_reader_takes(
    change: Change, message: str, translator_file: Path, tmp_path: Path
) -> None:
    path = altered(translator_file, tmp_path / "model.safetensors", change)
    with pytest.raises(CheckpointError, match=message):
        checkpoints.load_translation(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            put("config.encoder.cell", "qrnn"),
            "encoder.cell is 'qrnn'; expected one of lstm, gru, rnn",
        ),
        (put("config.encoder.hidden_size", 13), "size mismatch"),
        (put("config.attention.score", "none"), "Unexpected key"),
        (put("subwords.merges", ["x y"]), "the subwords are damaged: no pieces for the merge"),
        (put("subwords", 7), "the subwords are damaged"),
        (put("subwords.languages", ["en"]), "their counts do not fit the subwords"),
        (put("languages.counts.en", [1, 2]), "the languages are damaged"),
        (put("languages.directions", [["fr", "de"]]), "a direction starts in an unknown one"),
        (put("languages", []), "the languages are damaged"),
        (put("search.beam_size", 0), "beam_size is 0"),
        (lambda h, t: t.pop("encoder.network.weight_ih_l0"), "Missing key.*weight_ih_l0"),
        (lambda h, t: t.pop("encoder.embedding.weight"), "encoder.embedding.weight"),
    ],
)
def test_translators_that_contradict_themselves(
    change: Change, reason: str, translator_file: Path, tmp_path: Path
) -> None:
    path = altered(translator_file, tmp_path / "model.safetensors", change)
    with pytest.raises(CheckpointError, match=r"contradicts itself .*undamaged copy") as caught:
        checkpoints.load_translation(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert caught.match(reason)
