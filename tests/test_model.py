"""The composition root: which settings make which model, and how its vocabulary grows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from captioner.errors import ConfigError
from captioner.nn.architecture import SCORES, ModelConfig, TranslationConfig
from captioner.nn.attention import Bottleneck
from captioner.nn.cells import GRU, LSTM, RNN
from captioner.nn.encoders import build_features
from captioner.nn.model import (
    CaptionModel,
    TranslationModel,
    build_model,
    build_translation_model,
    tied,
)
from captioner.nn.scores import Additive, Cosine, Dot, General
from captioner.settings import from_dict
from captioner.text import PAD

V, D, S, E, SIZE = 29, 13, 17, 11, 7
TOKENS = torch.tensor([[1, 5, 9, 28, 3], [1, 7, 0, 0, 0], [1, 28, 6, 0, 0]])
LENGTHS = torch.tensor([5, 2, 3])
OWNERS = torch.tensor([1, 0, 1])
PHOTOS = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(23))


def settings(score: str = "additive", **changes: dict[str, Any]) -> ModelConfig:
    equal = score in ("dot", "scaled_dot", "cosine")
    values: dict[str, dict[str, Any]] = {
        "encoder": {"image_size": 64, "feature_size": S if equal else D, "weights": "random"},
        "attention": {"score": score, "size": SIZE},
        "decoder": {"hidden_size": S, "embedding_size": E},
    }
    for part, more in changes.items():
        values[part] |= more
    return from_dict(ModelConfig, values)


def model_of(config: ModelConfig, words: int = V) -> CaptionModel:
    torch.manual_seed(19)
    return build_model(config, words).eval()


def logits_of(model: CaptionModel) -> Tensor:
    with torch.no_grad():
        return model(PHOTOS, TOKENS, LENGTHS, OWNERS).padded_logits()


@pytest.mark.parametrize(
    ("score", "kind"),
    [
        ("additive", Additive),
        ("dot", Dot),
        ("scaled_dot", Dot),
        ("general", General),
        ("cosine", Cosine),
    ],
)
def test_every_score_makes_a_model(score: str, kind: type[nn.Module]) -> None:
    assert score in SCORES
    model = model_of(settings(score))
    assert isinstance(model.decoder.attention.score, kind)
    unrolled = model(PHOTOS, TOKENS, LENGTHS, OWNERS)
    assert unrolled.padded_logits().shape == (3, 5, V)
    assert unrolled.weights.shape == (3, 5, 1, 4)
    assert bool(unrolled.logits.data.isfinite().all())
    sums = unrolled.weights.sum(-1).squeeze(-1)
    torch.testing.assert_close(sums, (torch.arange(5) < LENGTHS.unsqueeze(1)).float())
    scale = getattr(model.decoder.attention.score, "scale", None)
    assert scale == {"dot": 1.0, "scaled_dot": S**-0.5}.get(score)


@pytest.mark.parametrize("query", ["before", "after"])
@pytest.mark.parametrize(("cell", "kind"), [("lstm", LSTM), ("gru", GRU), ("rnn", RNN)])
def test_the_decoders_settings_arrive(cell: str, kind: type[nn.Module], query: str) -> None:
    config = settings(
        encoder={"stride": 16, "dropout": 0.3},
        attention={"query": query},
        decoder={"cell": cell, "gate": False, "tie_embeddings": False, "dropout": 0.2},
    )
    model = model_of(config)
    decoder = model.decoder
    assert isinstance(decoder.cell, kind)
    assert decoder.cell.input_size == (E + D if query == "before" else E)
    assert (decoder.query, decoder.gate, decoder.dropout.p) == (query, None, 0.2)
    assert decoder.output.weight is not decoder.embedding.weight
    assert decoder.attention.score.key.weight.shape == (SIZE, D)
    assert decoder.attention.score.query.weight.shape == (SIZE, S)
    assert model.encoder.dropout.p == 0.3
    assert model(PHOTOS, TOKENS, LENGTHS, OWNERS).weights.shape == (3, 5, 1, 16)


def test_input_feeding_and_the_lateral_connection_arrive() -> None:
    config = settings(
        encoder={"stride": 16, "lateral": True},
        attention={"query": "after", "input_feeding": True},
    )
    model = model_of(config)
    assert model.decoder.input_feeding
    assert model.decoder.cell.input_size == E + D
    assert model.encoder.lateral is not None
    # The fifth stage is not dilated: the fourth one brings the finer grid.
    assert {m.dilation for m in model.encoder.features.modules() if isinstance(m, nn.Conv2d)} == {
        (1, 1)
    }
    assert model(PHOTOS, TOKENS, LENGTHS, OWNERS).weights.shape == (3, 5, 1, 16)
    plain = model_of(settings(encoder={"stride": 16}, attention={"query": "after"}))
    assert not plain.decoder.input_feeding
    assert plain.encoder.lateral is None
    assert plain.decoder.cell.input_size == E


def test_a_new_model_is_nearly_indifferent() -> None:
    torch.manual_seed(19)
    model = build_model(settings(decoder={"embedding_size": 211, "hidden_size": 97}), 499)
    assert not model.decoder.embedding.weight[PAD].any()
    assert 0.05 < float(logits_of(model).std()) < 2
    assert model.decoder.output.weight is model.decoder.embedding.weight


def test_the_cnn_is_torchvisions() -> None:
    with torch.device("meta"):
        expected = build_features("mobilenet_v2", 32).state_dict()
    found = model_of(settings()).encoder.features.state_dict()
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in expected.items()}


def test_the_whole_model_learns() -> None:
    model = model_of(settings()).train()
    model(PHOTOS, TOKENS, LENGTHS, OWNERS).logits.data.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name


def test_the_encoder_and_the_decoder_are_all_there_is() -> None:
    model = model_of(settings())
    with torch.no_grad():
        memory = model.encoder(PHOTOS)
        expected = model.decoder(TOKENS, LENGTHS, memory, OWNERS).padded_logits()
        alone = model(PHOTOS, TOKENS[:2], LENGTHS[:2])
        by_turns = model.decoder(TOKENS[:2], LENGTHS[:2], memory, torch.tensor([0, 1]))
    torch.testing.assert_close(logits_of(model), expected)
    torch.testing.assert_close(alone.padded_logits(), by_turns.padded_logits())


@pytest.mark.parametrize("tied", [True, False])
def test_new_words_leave_the_old_ones_alone(tied: bool) -> None:
    model = model_of(settings(decoder={"tie_embeddings": tied}))
    with torch.no_grad():
        model.decoder.output.bias.normal_()
    before, count = logits_of(model), sum(1 for _ in model.parameters())
    old = {k: v.clone() for k, v in model.state_dict().items()}
    model.extend_vocabulary(V + 3)
    after = logits_of(model)
    assert after.shape == (3, 5, V + 3)
    torch.testing.assert_close(after[..., :V], before)
    assert all(
        torch.equal(v[: len(old[k])] if v.dim() else v, old[k])
        for k, v in model.state_dict().items()
    )
    # The output layer is affine, so that a mean word's logit is the mean of the logits.
    mean = before.mean(-1, keepdim=True).expand(-1, -1, 3)
    torch.testing.assert_close(after[..., V:], mean, rtol=1e-4, atol=1e-5)

    decoder = model.decoder
    assert (decoder.output.weight is decoder.embedding.weight) == tied
    assert sum(1 for _ in model.parameters()) == count
    assert decoder.embedding.weight.shape == decoder.output.weight.shape == (V + 3, E)
    assert decoder.embedding.num_embeddings == decoder.output.out_features == V + 3
    mean_embedding = decoder.embedding.weight[:V].mean(0).expand(3, -1)
    torch.testing.assert_close(decoder.embedding.weight[V:], mean_embedding)
    assert all(parameter.requires_grad for parameter in decoder.parameters())


@pytest.mark.parametrize("tied", [True, False])
def test_new_words_can_be_read_and_learned(tied: bool) -> None:
    model = model_of(settings(decoder={"tie_embeddings": tied}))
    model.extend_vocabulary(V + 3)
    tokens = TOKENS.clone()
    tokens[0, 1:3] = torch.tensor([V, V + 2])
    model(PHOTOS, tokens, LENGTHS, OWNERS).logits.data[:, V:].square().sum().backward()
    for weight in (model.decoder.embedding.weight, model.decoder.output.weight):
        assert weight.grad is not None
        assert bool(weight.grad[[V, V + 2]].any(1).all())


def test_no_new_words_change_nothing() -> None:
    model = model_of(settings())
    before = logits_of(model)
    model.extend_vocabulary(V)
    assert torch.equal(logits_of(model), before)


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_new_words_are_of_the_models_precision(kind: torch.dtype) -> None:
    model = model_of(settings()).to(kind)
    model.extend_vocabulary(V + 3)
    assert {parameter.dtype for parameter in model.parameters()} == {kind}


@pytest.mark.parametrize("score", ["dot", "scaled_dot", "cosine"])
def test_scores_that_compare_need_equal_sizes(score: str) -> None:
    values = {
        "encoder": {"feature_size": D},
        "attention": {"score": score},
        "decoder": {"hidden_size": S},
    }
    with pytest.raises(ConfigError) as caught:
        from_dict(ModelConfig, values)
    assert str(caught.value) == (
        f"attention.score {score} compares vectors of one size, but encoder.feature_size is 13 and "
        "decoder.hidden_size 17; make them equal, or choose general or additive"
    )


@pytest.mark.parametrize("score", ["additive", "general"])
def test_the_other_scores_do_not(score: str) -> None:
    assert settings(score).encoder.feature_size != settings(score).decoder.hidden_size


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"encoder": {"image_size": 100}},
            "encoder.image_size 100 is no multiple of encoder.stride 32; choose 96",
        ),
        (
            {"encoder": {"image_size": 10, "stride": 16}},
            "encoder.image_size 10 is no multiple of encoder.stride 16; choose 16",
        ),
        ({"decoder": {"dropout": 1.0}}, "dropout is 1.0; expected a share from 0 to below 1"),
        ({"attention": {"size": 0}}, "size is 0; expected a number above 0"),
    ],
)
def test_settings_that_make_no_model(changes: dict[str, dict[str, Any]], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**changes)
    assert str(caught.value) == message


def test_four_stages_see_less_around_a_cell() -> None:
    """The earlier stage's cells do not change with what lies far away; the dilated ones' do."""
    photo = torch.rand(1, 3, 320, 320, generator=torch.Generator().manual_seed(3))
    covered = photo.clone()
    covered[..., 200:, 200:] = 0
    changed = {}
    for stages in (4, 5):
        wanted = {"encoder": {"stride": 16, "stages": stages, "image_size": 320}}
        torch.manual_seed(7)
        model = build_model(from_dict(ModelConfig, wanted), 11).eval()
        with torch.inference_mode():
            one, other = model.encoder.grid(photo), model.encoder.grid(covered)
        assert one.shape[1:3] == (20, 20)
        changed[stages] = (one != other).any(-1)[0]
    assert not changed[4][0, 0]
    assert changed[4][-1, -1]
    assert changed[5].sum() > changed[4].sum()


@pytest.mark.parametrize("name", ["mobilenet_v3_large", "efficientnet_b0", "resnet18", "vgg16"])
def test_four_stages_of_every_family(name: str) -> None:
    wanted = {"encoder": {"name": name, "stride": 16, "stages": 4, "image_size": 64}}
    model = build_model(from_dict(ModelConfig, wanted), 11).eval()
    with torch.inference_mode():
        memory = model.encoder(torch.rand(1, 3, 64, 64))
    assert memory.grid == (4, 4)


# ---- models that translate -----------------------------------------------------------------------

SOURCES = torch.tensor([[5, 9, 28, 2], [7, 2, 0, 0], [28, 6, 2, 0]])
SOURCE_LENGTHS = torch.tensor([4, 2, 3])


def translation_of(**changes: dict[str, Any]) -> TranslationModel:
    values: dict[str, dict[str, Any]] = {
        "encoder": {"hidden_size": 5, "dropout": 0.0},
        "attention": {"size": SIZE},
        "decoder": {"hidden_size": S, "embedding_size": E, "dropout": 0.0},
    }
    for part, more in changes.items():
        values[part] |= more
    torch.manual_seed(19)
    return build_translation_model(from_dict(TranslationConfig, values), V)


def test_a_translator_is_the_captioner_with_another_encoder() -> None:
    model = translation_of()
    assert isinstance(model.decoder.attention.score, General)
    assert model.decoder.query == "after"
    assert model.decoder.input_feeding
    assert model.decoder.gate is None
    assert isinstance(model.encoder.network, nn.LSTM)
    unrolled = model(SOURCES, SOURCE_LENGTHS, TOKENS, LENGTHS)
    assert unrolled.padded_logits().shape == (3, 5, V)
    assert unrolled.weights.shape == (3, 5, 1, 4)
    memory = model.encoder(SOURCES, SOURCE_LENGTHS)
    expected = model.decoder(TOKENS, LENGTHS, memory)
    assert torch.equal(unrolled.logits.data, expected.logits.data)
    assert memory.mask is not None
    assert not unrolled.weights.transpose(1, 3)[~memory.mask].any()


@pytest.mark.parametrize(("cell", "kind"), [("lstm", nn.LSTM), ("gru", nn.GRU), ("rnn", nn.RNN)])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_sentence_encoders_settings_arrive(
    cell: str, kind: type[nn.Module], layers: int
) -> None:
    dropping = {"dropout": 0.3, "word_dropout": 0.2}
    model = translation_of(encoder={"cell": cell, "layers": layers, **dropping})
    network = model.encoder.network
    assert type(network) is kind
    assert network.bidirectional
    assert network.batch_first
    assert (network.num_layers, network.hidden_size, network.input_size) == (layers, 5, E)
    assert network.dropout == (0.3 if layers > 1 else 0.0)
    assert (model.encoder.dropout.p, model.encoder.word_dropout.p) == (0.3, 0.2)
    assert model.decoder.word_dropout.p == 0.0


@pytest.mark.parametrize("source", [True, False])
@pytest.mark.parametrize("output", [True, False])
def test_embeddings_are_tied_where_wanted(source: bool, output: bool) -> None:
    model = translation_of(encoder={"tie_embeddings": source}, decoder={"tie_embeddings": output})
    decoder = model.decoder
    assert (model.encoder.embedding.weight is decoder.embedding.weight) == source
    assert (decoder.output.weight is decoder.embedding.weight) == output
    names = {"encoder.embedding.weight", "decoder.embedding.weight", "decoder.output.weight"}
    again = tied(model)
    assert len(again) == source + output
    assert {*again, *again.values()} <= names
    assert len({id(p) for p in model.parameters()}) == len(model.state_dict()) - source - output


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("query", ["before", "after"])
def test_without_attention_the_decoder_gets_the_sum(query: str, every_step: bool) -> None:
    attention = {"score": "none", "every_step": every_step, "query": query, "input_feeding": False}
    model = translation_of(attention=attention)
    assert isinstance(model.decoder.attention, Bottleneck)
    assert model.decoder.attention.every_step == every_step
    unrolled = model(SOURCES, SOURCE_LENGTHS, TOKENS, LENGTHS)
    real = (torch.arange(4) < SOURCE_LENGTHS.unsqueeze(1)).float()
    even = (real / real.sum(1, keepdim=True)).unsqueeze(1)
    runs = (torch.arange(5) < LENGTHS.unsqueeze(1)).unsqueeze(-1)
    torch.testing.assert_close(unrolled.weights[:, :, 0], even * runs)
    unrolled.logits.data.square().sum().backward()
    assert model.encoder.network.weight_ih_l0.grad is not None
    assert bool((model.encoder.network.weight_ih_l0.grad != 0).any())


def test_a_captioner_can_do_without_attention_too() -> None:
    model = model_of(settings(attention={"score": "none", "query": "after"}))
    assert isinstance(model.decoder.attention, Bottleneck)
    assert model(PHOTOS, TOKENS, LENGTHS, OWNERS).weights.shape == (3, 5, 1, 4)


def test_the_whole_translator_learns() -> None:
    model = translation_of(encoder={"tie_embeddings": False}).train()
    model(SOURCES, SOURCE_LENGTHS, TOKENS, LENGTHS).logits.data.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": {"every_step": True}}, "attention.every_step belongs to attention.score no"),
        ({"attention": {"score": "dot"}}, "feature_size is 10 and decoder.hidden_size 17; make"),
        ({"encoder": {"cell": "sru"}}, "encoder.cell is 'sru'; expected one of lstm, gru, rnn"),
        ({"encoder": {"layers": 0}}, "layers is 0; expected a number above 0"),
        ({"encoder": {"word_dropout": 1.0}}, "word_dropout is 1.0; expected a share from 0 to bel"),
    ],
)
def test_settings_that_make_no_translator(changes: dict[str, dict[str, Any]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        translation_of(**changes)
