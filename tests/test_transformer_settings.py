"""The Transformers' settings: which model they make, what is refused, and that all else goes on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from captioner import checkpoint as checkpoints
from captioner.captions.captioner import Captioner
from captioner.checkpoint import Checkpoint, TranslationCheckpoint
from captioner.cli import main
from captioner.errors import CheckpointError, ConfigError
from captioner.nn.architecture import ModelConfig, TranslationConfig
from captioner.nn.model import Dropouts, build_model, build_translation_model
from captioner.nn.positions import Learned, Sinusoid
from captioner.nn.selfattention import BatchNorm, LayerNorm, NoNorm
from captioner.nn.sentences import TransformerEncoder
from captioner.nn.transformer import MapChoice, TransformerDecoder
from captioner.settings import from_dict, to_dict
from captioner.translations.translator import Translator

Values = dict[str, dict[str, Any]]
SIZES: Values = {
    "encoder": {"image_size": 64, "feature_size": 24, "weights": "random", "heads": 3},
    "attention": {"size": 22, "heads": 2},
    "decoder": {"hidden_size": 26, "embedding_size": 14, "heads": 2, "layers": 2, "inner": 17},
}
SENTENCE: Values = {
    "encoder": {"hidden_size": 11, "heads": 2, "layers": 2, "inner": 13, "dropout": 0.0},
    "attention": {"size": 22, "heads": 2, "input_feeding": False},
    "decoder": {**SIZES["decoder"], "dropout": 0.0},
}


def merged(values: Values, changes: Values) -> Values:
    return {part: {**own, **changes.get(part, {})} for part, own in values.items()}


def captions_of(**changes: dict[str, Any]) -> ModelConfig:
    return from_dict(ModelConfig, merged(SIZES, changes))


def translations_of(**changes: dict[str, Any]) -> TranslationConfig:
    return from_dict(TranslationConfig, merged(SENTENCE, changes))


CAPTIONING: list[Values] = [
    {"decoder": {"kind": "transformer"}},
    {"decoder": {"kind": "transformer", "norm": "batch", "map_layer": 2}},
    {"decoder": {"kind": "transformer", "norm": "none", "residual": False, "map_head": 1}},
    {"decoder": {"kind": "transformer", "norm_first": False, "positions": "learned"}},
    {"decoder": {"kind": "transformer", "positions": "none"}, "attention": {"score": "dot"}},
    {"decoder": {"kind": "transformer"}, "attention": {"score": "scaled_dot", "heads": 1}},
    {"decoder": {"kind": "transformer"}, "encoder": {"refine": 1, "positions": "learned"}},
    {"encoder": {"refine": 2}},
    {"encoder": {"refine": 1, "positions": "none"}, "attention": {"score": "none", "heads": 1}},
]
TRANSLATING: list[Values] = [
    {"encoder": {"kind": "transformer"}},
    {"encoder": {"kind": "transformer"}, "decoder": {"kind": "transformer"}},
    {"encoder": {"kind": "transformer", "norm": "batch", "positions": "learned"}},
    {"encoder": {"kind": "transformer", "norm_first": False, "residual": False}},
    {"encoder": {"kind": "transformer", "positions": "none", "tie_embeddings": False}},
    {"encoder": {"kind": "transformer"}, "attention": {"score": "none", "heads": 1}},
    {"encoder": {"cell": "rnn"}, "decoder": {"kind": "transformer"}},
]


def steps(model: nn.Module, arguments: tuple[Any, ...]) -> list[float]:
    """The losses of a few steps towards the same words."""
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    model.train()
    losses = []
    for _ in range(4):
        logits = model(*arguments).logits.data
        loss = nn.functional.cross_entropy(logits, torch.arange(len(logits)) % 5 + 4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("changes", CAPTIONING, ids=str)
def test_a_captioner_learns_is_kept_and_writes(
    changes: Values, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    config = captions_of(**changes)
    vocabulary = tiny_checkpoint.vocabulary
    torch.manual_seed(3)
    model = build_model(config, len(vocabulary))
    model.encoder.fine_tune(0)
    model.set_dropouts(Dropouts(0.0, 0.0, 0.0, 0.0, 0.0))
    tokens, lengths = torch.tensor([[1, 5, 9, 6], [1, 7, 8, 0], [1, 4, 0, 0]]), [4, 3, 2]
    photos = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    losses = steps(model, (photos, tokens, torch.tensor(lengths), torch.tensor([0, 1, 1])))
    assert losses[-1] < losses[0]

    path = tmp_path / "model.safetensors"
    held = dataclasses.replace(tiny_checkpoint, model=model.eval(), config=config)
    checkpoints.save(held, path, torch.float32)
    loaded = checkpoints.load(path)
    assert loaded.config == config
    arguments = (photos, tokens, torch.tensor(lengths), torch.tensor([0, 1, 1]))
    with torch.inference_mode():
        torch.testing.assert_close(
            loaded.model(*arguments).padded_logits(), model(*arguments).padded_logits()
        )
    captioner = Captioner(loaded)
    look = captioner.look(Image.new("RGB", (71, 53), (90, 160, 30)))
    said = look(prefix="a dog", max_length=6)  # a start, or it might say nothing
    explained = look.explain(said.text)
    assert explained.text == said.text
    np.testing.assert_allclose(said.maps, explained.maps, atol=1e-5)
    np.testing.assert_allclose(said.maps.sum((1, 2)), 1, atol=1e-4)
    if config.attention.score != "none":
        traced = look.trace(said.text).trace
        maps = traced.weights.mean(1)[:-1].reshape(said.maps.shape)
        np.testing.assert_allclose(maps, said.maps, atol=1e-5)


@pytest.mark.parametrize("changes", TRANSLATING, ids=str)
def test_a_translator_learns_is_kept_and_translates(
    changes: Values, tiny_translation: TranslationCheckpoint, tmp_path: Path
) -> None:
    config = translations_of(**changes)
    subwords = tiny_translation.subwords
    torch.manual_seed(3)
    model = build_translation_model(config, len(subwords))
    sources, source_lengths = torch.tensor([[5, 9, 7, 2], [8, 2, 0, 0]]), torch.tensor([4, 2])
    tokens, lengths = torch.tensor([[1, 5, 9, 6], [1, 7, 8, 0]]), torch.tensor([4, 3])
    losses = steps(model, (sources, source_lengths, tokens, lengths))
    assert losses[-1] < losses[0]

    path = tmp_path / "model.safetensors"
    held = dataclasses.replace(tiny_translation, model=model.eval(), config=config)
    checkpoints.save(held, path, torch.float32)
    loaded = checkpoints.load_translation(path)
    assert loaded.config == config
    translator = Translator(loaded)
    said = translator("A dog runs over the log.", to="de", source_language="en", max_length=9)
    before = Translator(held)(
        "A dog runs over the log.", to="de", source_language="en", max_length=9
    )
    assert said.text == before.text
    np.testing.assert_allclose(said.alignment, before.alignment, atol=1e-5)
    explained = translator.explain("A dog runs.", "Ein Hund.", to="de", source_language="en")
    assert explained.alignment.shape == (3, 4)
    if config.attention.score == "none":
        return
    reading = translator.trace(explained)
    if config.encoder.kind == "recurrent":
        assert reading.self_attention is None
        with pytest.raises(ConfigError, match="this model reads with a recurrent network, in whi"):
            translator.self_attention("A dog runs.")
        return
    assert reading.self_attention is not None
    places = len(reading.source) + 1
    assert reading.self_attention.weights.shape == (2, 2, places, places)
    whole = translator.self_attention("A dog runs.")
    assert whole.words == ("A", "dog", "runs", ".", "(end)")
    assert whole.weights.shape == (2, 2, 5, 5)
    np.testing.assert_allclose(whole.weights.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(whole.of(), whole.weights.mean((0, 1)), atol=1e-6)
    np.testing.assert_allclose(whole.of(2, 1), whole.weights[1, 0], atol=1e-6)
    with pytest.raises(ConfigError, match=r"^head is 3; expected 1 to 2, or 0 for the mean of all"):
        whole.of(1, 3)
    assert whole.heatmap(1).size[0] > 100


def test_self_attention_needs_something_to_read(tiny_translation: TranslationCheckpoint) -> None:
    config = translations_of(encoder={"kind": "transformer"})
    model = build_translation_model(config, len(tiny_translation.subwords))
    translator = Translator(dataclasses.replace(tiny_translation, model=model, config=config))
    for text, message in (("", "'' has no words to read"), ("* *", "'. .' has no words to trans")):
        with pytest.raises(ConfigError, match=message.replace("*", r"\*")):
            translator.self_attention(text)
    with pytest.raises(ConfigError, match="None came; expected a sentence as a string"):
        translator.self_attention(None)  # type: ignore[arg-type]


def test_the_decoders_settings_arrive() -> None:
    model = build_model(
        captions_of(
            decoder={
                "kind": "transformer",
                "layers": 3,
                "norm": "batch",
                "norm_first": False,
                "residual": False,
                "positions": "learned",
                "map_layer": 2,
                "map_head": 1,
                "dropout": 0.2,
            },
            attention={"dropout": 0.1},
        ),
        19,
    )
    decoder = model.decoder
    assert isinstance(decoder, TransformerDecoder)
    assert len(decoder.layers) == 3
    assert isinstance(decoder.positions, Learned)
    assert decoder.maps == MapChoice(2, 1)
    assert isinstance(decoder.norm, NoNorm)
    for layer in decoder.layers:
        assert (layer.attention.heads, layer.cross.heads) == (2, 2)
        assert layer.feed.enter.out_features == 17
        assert layer.cross.query.in_features == 26
        assert layer.cross.dropout.p == layer.attention.dropout.p == 0.1
        for around in layer.around:
            assert isinstance(around.norm, BatchNorm)
            assert (around.norm_first, around.residual, around.dropout.p) == (False, False, 0.2)
    model.set_dropouts(Dropouts(0.5, 0.0, 0.4, 0.3, 0.25))
    assert decoder.layers[1].cross.dropout.p == decoder.layers[1].attention.dropout.p == 0.4
    assert decoder.layers[2].around[0].dropout.p == decoder.dropout.p == 0.3
    assert decoder.word_dropout.p == 0.25


def test_the_encoders_settings_arrive() -> None:
    model = build_model(captions_of(encoder={"refine": 2, "dropout": 0.3}), 19)
    assert model.encoder.refine is not None
    assert len(model.encoder.refine.stack.layers) == 2
    assert model.encoder.refine.stack.layers[0].feed.enter.out_features == 4 * 24
    assert model.encoder.refine.stack.layers[0].around[0].dropout.p == 0.3
    model.set_dropouts(Dropouts(0.1, 0.0, 0.0, 0.0, 0.0))
    assert model.encoder.refine.stack.layers[1].around[1].dropout.p == 0.1
    assert build_model(captions_of(), 19).encoder.refine is None

    changes = {"kind": "transformer", "norm_first": False, "dropout": 0.3}
    translator = build_translation_model(translations_of(encoder=changes), 19)
    encoder = translator.encoder
    assert isinstance(encoder, TransformerEncoder)
    assert isinstance(encoder.positions, Sinusoid)
    assert isinstance(encoder.stack.norm, NoNorm)
    assert isinstance(encoder.stack.layers[0].around[0].norm, LayerNorm)
    assert encoder.embedding is translator.decoder.embedding
    memory = encoder(torch.tensor([[5, 9, 2]]), torch.tensor([3]))
    assert memory.values.shape == (1, 3, 22)
    translator.set_dropouts(Dropouts(0.1, 0.2, 0.0, 0.0, 0.0))
    assert encoder.stack.layers[1].around[0].dropout.p == encoder.dropout.p == 0.1
    assert encoder.word_dropout.p == 0.2


def test_what_a_transformer_does_not_use_is_ignored() -> None:
    kind = {"kind": "transformer"}
    models = []
    for decoder, attention in (
        ({"cell": "lstm", "gate": True}, {"query": "before"}),
        ({"cell": "rnn", "gate": False}, {"query": "after"}),
    ):
        torch.manual_seed(3)
        config = captions_of(decoder={**kind, **decoder}, attention=attention)
        models.append(build_model(config, 19).decoder.state_dict())
    assert models[0].keys() == models[1].keys()
    assert all(torch.equal(value, models[1][name]) for name, value in models[0].items())


def test_settings_of_old_checkpoints_are_those_of_a_recurrent_model() -> None:
    new = {
        "decoder": [
            "kind",
            "layers",
            "heads",
            "inner",
            "norm",
            "norm_first",
            "residual",
            "positions",
            "map_layer",
            "map_head",
        ],
        "encoder": ["refine", "heads", "positions"],
    }
    values = to_dict(
        captions_of(encoder={"heads": 4}, decoder={"heads": 4, "layers": 2, "inner": 0})
    )
    old = {
        part: {k: v for k, v in own.items() if k not in new.get(part, ())}
        for part, own in values.items()
    }
    assert from_dict(ModelConfig, old) == from_dict(ModelConfig, values)
    assert from_dict(ModelConfig, old).decoder.kind == "recurrent"


TRANSFORMER = {"kind": "transformer"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"decoder": TRANSFORMER, "attention": {"input_feeding": True, "query": "after"}},
            "attention.input_feeding brings the last context into a recurrent step, but with "
            "decoder.kind transformer all words are read at once; set input_feeding = false",
        ),
        (
            {"decoder": TRANSFORMER, "attention": {"score": "none", "heads": 1}},
            "attention.score none is the bottleneck of a recurrent decoder; a Transformer sees the "
            'memory by its attention alone: choose a score, or set decoder.kind = "recurrent"',
        ),
        (
            {"decoder": {**TRANSFORMER, "heads": 3}},
            "decoder.heads is 3, which do not share decoder.hidden_size 26 evenly; choose a "
            "divisor of it",
        ),
        (
            {"decoder": TRANSFORMER, "attention": {"heads": 3, "score": "dot"}},
            "attention.heads is 3, which do not share decoder.hidden_size 26 evenly; choose a "
            "divisor of it",
        ),
        (
            {"decoder": {**TRANSFORMER, "map_layer": 3}},
            "decoder.map_layer is 3, but there are 2 layers (decoder.layers); choose 1 to 2, or 0 "
            "for the mean of all",
        ),
        (
            {"decoder": {**TRANSFORMER, "map_head": 3}},
            "decoder.map_head is 3, but attention.heads is 2; choose 1 to 2, or 0 for the mean of "
            "all",
        ),
        ({"encoder": {"refine": -1}}, "encoder.refine is -1; expected 0 or more layers"),
        (
            {"encoder": {"refine": 1, "heads": 5}},
            "encoder.heads is 5, which do not share encoder.feature_size 24 evenly; choose a "
            "divisor of it",
        ),
        ({"decoder": {"layers": 0}}, "layers is 0; expected a number above 0"),
        ({"decoder": {"inner": -1}}, "decoder.inner is -1; expected 0 or more"),
        (
            {"decoder": {"kind": "transformers"}},
            "decoder.kind is 'transformers'; expected one of recurrent, transformer",
        ),
    ],
)
def test_settings_that_make_no_captioner(changes: Values, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        captions_of(**changes)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"encoder": {**TRANSFORMER, "heads": 3}},
            "encoder.heads is 3, which do not share a word's features 22 evenly; choose a divisor "
            "of it",
        ),
        (
            {"decoder": TRANSFORMER, "attention": {"input_feeding": True}},
            "attention.input_feeding brings the last context into a recurrent step, but with "
            "decoder.kind transformer all words are read at once; set input_feeding = false",
        ),
    ],
)
def test_settings_that_make_no_translator(changes: Values, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        translations_of(**changes)
    assert str(caught.value) == message


def test_describe_tells_what_is_used_and_no_more(
    tiny_checkpoint: Checkpoint,
    tiny_translation: TranslationCheckpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "model.safetensors"
    config = captions_of(
        encoder={"refine": 1}, decoder={**TRANSFORMER, "map_layer": 2, "positions": "none"}
    )
    model = build_model(config, len(tiny_checkpoint.vocabulary))
    checkpoints.save(dataclasses.replace(tiny_checkpoint, model=model, config=config), path)
    assert main(["describe", str(path)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "24 features, refined by 1 layer of self-attention with 3 heads and sinusoid p" in out
    assert "additive score of size 22, 2 heads in each layer; the map is the mean of all h" in out
    assert "heads of layer 2 decoder Transformer, 2 layers, 2 heads of self-attention, pre-" in out
    assert "no positions, of size 26, word embeddings of 14, one matrix" in out
    for unused in ("LSTM", "gate", "before", "residual"):
        assert unused not in out

    own = translations_of(encoder={**TRANSFORMER, "residual": False, "norm": "none"})
    translator = build_translation_model(own, len(tiny_translation.subwords))
    held = dataclasses.replace(tiny_translation, model=translator, config=own)
    path.unlink()
    checkpoints.save(held, path, torch.float32)
    assert main(["describe", str(path)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert (
        "encoder Transformer, 2 layers, 2 heads of self-attention, no norm, sinusoid positions, no "
        "residual connections: a piece of a word becomes 22 features"
    ) in out
    assert "bidirectional" not in out


@pytest.mark.parametrize("setting", [("decoder", "layers"), ("encoder", "refine")])
def test_a_file_that_promises_endless_layers_is_damaged(
    setting: tuple[str, str], tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    config = captions_of(encoder={"refine": 1}, decoder=TRANSFORMER)
    model = build_model(config, len(tiny_checkpoint.vocabulary))
    path = tmp_path / "model.safetensors"
    checkpoints.save(dataclasses.replace(tiny_checkpoint, model=model, config=config), path)
    with safe_open(path, framework="pt") as file:
        metadata = {k: v for k, v in file.metadata().items() if k != "sha256"}
    values = json.loads(metadata["config"])
    values[setting[0]][setting[1]] = 10**9
    save_file(load_file(path), path, {**metadata, "config": json.dumps(values)})
    with pytest.raises(CheckpointError, match=r"contradicts itself \(.* is 1000000000; expected a"):
        checkpoints.load(path)
