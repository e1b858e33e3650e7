"""The Transformer's decoder: torch's own layers, word by word or at once, and what it lets out."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.nn.attention import Attention, Heads
from captioner.nn.decoder import Unrolled
from captioner.nn.memory import Memory
from captioner.nn.positions import build_positions
from captioner.nn.scores import SCORE_BUILDERS
from captioner.nn.selfattention import LayerPlan
from captioner.nn.transformer import MapChoice, TransformerDecoder, TransformerState
from captioner.options import SearchOptions
from captioner.search import force, search
from captioner.text import EOS
from captioner.tracing import trace

V, E, S, D, INNER = 23, 11, 26, 7, 13  # words, embedding, model, memory's features, feed-forward
H, L = 2, 3  # heads of either attention, layers
B, N, T = 3, 17, 6
LENGTHS = torch.tensor([4, 6, 1, 3, 6])  # of K = 5 sentences
OWNERS = torch.tensor([2, 0, 0, 1, 2])

NORMS = ("layer", "batch", "none")
VARIANTS = [  # norm, whether it stands first, residual, positions
    *product(NORMS, (True, False), (True,), ("sinusoid",)),
    ("layer", True, False, "sinusoid"),
    ("layer", True, True, "none"),
    ("layer", True, True, "learned"),
]
every_variant = pytest.mark.parametrize(("norm", "norm_first", "residual", "positions"), VARIANTS)


def decoder_of(
    norm: str = "layer",
    norm_first: bool = True,
    residual: bool = True,
    positions: str = "sinusoid",
    *,
    score: str = "scaled_dot",
    memory_size: int = D,
    embedding_size: int = E,
    maps: MapChoice = MapChoice(),  # noqa: B008  (frozen)
    tied: bool = True,
    dropout: float = 0.0,
) -> TransformerDecoder:
    torch.manual_seed(3)
    heads = Heads(H, S, S)
    decoder = TransformerDecoder(
        nn.Embedding(V, embedding_size),
        [
            Attention(SCORE_BUILDERS[score](heads.size, heads.size, 5), heads=heads)
            for _ in range(L)
        ],
        LayerPlan(S, H, INNER, norm, norm_first, residual),
        memory_size=memory_size,
        positions=build_positions(positions, S),
        maps=maps,
        tie_embeddings=tied,
        dropout=dropout,
    )
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():  # from nearly indifferent to opinionated
        for parameter in decoder.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        for part in decoder.modules():
            if isinstance(part, nn.BatchNorm1d) and part.running_mean is not None:
                part.running_mean.normal_(generator=generator)
                part.running_var.fill_(50.0)
    return decoder.eval()


def grids(batch: int = B, size: int = D) -> Memory:
    return Memory(torch.randn(batch, N, size, generator=torch.Generator().manual_seed(5)))


def sentences_of_words() -> Memory:
    """A memory in a row, as of sentences of 17, 2 and 9 words."""
    mask = torch.arange(N) < torch.tensor([17, 2, 9]).unsqueeze(1)
    return Memory(grids().values, mask)


def tokens_of() -> Tensor:
    drawn = torch.randint(4, V, (len(LENGTHS), T), generator=torch.Generator().manual_seed(7))
    return drawn.masked_fill(torch.arange(T) >= LENGTHS.unsqueeze(1), 0)


def assert_same(found: Unrolled, expected: Unrolled) -> None:
    torch.testing.assert_close(found.padded_logits(), expected.padded_logits())
    torch.testing.assert_close(found.weights, expected.weights)


def assert_near(found: Tensor, expected: Tensor) -> None:
    """Equal up to what single precision rounds off numbers as large as these."""
    largest = max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * largest)


def torchs_layers(decoder: TransformerDecoder, norm_first: bool) -> list[nn.Module]:
    """torch's decoder layers with the same weights."""
    found: list[nn.Module] = []
    for own in decoder.layers:
        other = nn.TransformerDecoderLayer(
            S, H, INNER, dropout=0.0, batch_first=True, norm_first=norm_first
        )
        cross = own.cross
        state = {
            "self_attn.in_proj_weight": own.attention.project.weight,
            "self_attn.in_proj_bias": own.attention.project.bias,
            "multihead_attn.in_proj_weight": torch.cat(
                [part.weight for part in (cross.query, cross.key, cross.value)]
            ),
            "multihead_attn.in_proj_bias": torch.cat(
                [part.bias for part in (cross.query, cross.key, cross.value)]
            ),
        }
        parts = {
            "self_attn.out_proj": own.attention.output,
            "multihead_attn.out_proj": cross.output,
            "linear1": own.feed.enter,
            "linear2": own.feed.leave,
            **{f"norm{n}": around.norm for n, around in enumerate(own.around, 1)},
        }
        for name, part in parts.items():
            state |= {f"{name}.{k}": v for k, v in part.state_dict().items()}
        other.load_state_dict(state)
        found.append(other.eval())
    return found


@pytest.mark.parametrize("norm_first", [True, False])
def test_the_layers_are_torchs(norm_first: bool) -> None:
    decoder = decoder_of(norm_first=norm_first, memory_size=S, embedding_size=S)
    memory, tokens = Memory(grids(B, S).values, sentences_of_words().mask), tokens_of()[:B]
    unrolled = decoder.unroll(tokens, torch.full((B,), T), memory)
    assert decoder.positions is not None
    assert memory.mask is not None
    values = decoder.embedding(tokens) * S**0.5 + decoder.positions(torch.arange(T))
    causal = torch.ones(T, T, dtype=torch.bool).triu(1)
    for layer in torchs_layers(decoder, norm_first):
        values = layer(values, memory.values, tgt_mask=causal, memory_key_padding_mask=~memory.mask)
    expected = decoder.output(decoder.norm(values))
    torch.testing.assert_close(unrolled.padded_logits(), expected, rtol=1e-4, atol=1e-5)


@every_variant
def test_word_by_word_is_unrolled(
    norm: str, norm_first: bool, residual: bool, positions: str
) -> None:
    decoder, tokens = decoder_of(norm, norm_first, residual, positions), tokens_of()
    for memory in (sentences_of_words(), grids()):
        unrolled = decoder(tokens, LENGTHS, memory, OWNERS)
        logits = unrolled.padded_logits()
        assert logits.shape == (len(LENGTHS), T, V)
        assert unrolled.weights.shape == (len(LENGTHS), T, L * H, N)
        ready, state = decoder.start(memory.select(OWNERS))
        for t in range(T):
            step = decoder.step(tokens[:, t : t + 1], state, ready)
            state = step.state
            assert state.place == t + 1
            runs = t < LENGTHS
            for found, expected in (
                (logits, step.logits),
                (unrolled.weights, step.attended.weights),
            ):
                assert_near(found[runs, t], expected[runs, 0])
                assert bool((found[~runs, t] == 0).all())
        sums = unrolled.weights.sum(-1)
        runs = torch.arange(T) < LENGTHS.unsqueeze(1)
        torch.testing.assert_close(sums, runs.unsqueeze(-1).expand_as(sums).float())


@pytest.mark.parametrize("norm", NORMS)
def test_what_comes_later_changes_nothing_before(norm: str) -> None:
    decoder, tokens = decoder_of(norm), tokens_of()[1:2]
    expected = decoder(tokens, torch.tensor([T]), grids(1))
    for place in range(1, T):
        changed = tokens.clone()
        changed[0, place] = 4 if int(tokens[0, place]) != 4 else 5
        found = decoder(changed, torch.tensor([T]), grids(1))
        before, after = found.padded_logits(), expected.padded_logits()
        torch.testing.assert_close(before[:, :place], after[:, :place])
        torch.testing.assert_close(found.weights[:, :place], expected.weights[:, :place])
        assert not torch.allclose(before[:, place], after[:, place], atol=1e-4)


def test_words_in_another_order_are_another_sentence_even_without_positions() -> None:
    """Who sees only what lies before knows a little of the order all the same."""
    tokens = torch.tensor([[1, 5, 9, 13, 17, 21], [1, 9, 5, 13, 17, 21]])
    for positions, differs in (("sinusoid", True), ("learned", True), ("none", False)):
        decoder = decoder_of(positions=positions)
        one = TransformerDecoder.unroll(
            decoder, tokens, torch.tensor([T, T]), grids(2).select(torch.tensor([0, 0]))
        ).padded_logits()
        layers = decoder.layers
        decoder.layers = nn.ModuleList(list(layers)[:1])  # type: ignore[assignment]
        single = decoder(tokens, torch.tensor([T, T]), grids(2).select(torch.tensor([0, 0])))
        decoder.layers = layers
        last = single.padded_logits()[:, -1]
        assert torch.allclose(last[0], last[1], atol=1e-5) != differs
        assert not torch.allclose(one[0, -1], one[1, -1], atol=1e-5)


def test_sentences_together_are_sentences_alone() -> None:
    decoder, tokens, memory = decoder_of(), tokens_of(), sentences_of_words()
    together = decoder(tokens, LENGTHS, memory, OWNERS)
    for k, (length, owner) in enumerate(zip(LENGTHS.tolist(), OWNERS.tolist(), strict=True)):
        alone = decoder(
            tokens[k : k + 1, :length], LENGTHS[k : k + 1], memory.select(slice(owner, owner + 1))
        )
        torch.testing.assert_close(alone.padded_logits()[0], together.padded_logits()[k, :length])
        torch.testing.assert_close(alone.weights[0], together.weights[k, :length])


def test_padding_is_not_read_and_a_memory_without_sentences_is_left_out() -> None:
    decoder, tokens = decoder_of(), tokens_of()
    expected = decoder(tokens, LENGTHS, grids(), OWNERS)
    dirty = torch.where(torch.arange(T) < LENGTHS.unsqueeze(1), tokens, V - 1)
    for given in (dirty, F.pad(dirty, (0, 3), value=V - 1)):
        assert_same(decoder(given, LENGTHS, grids(), OWNERS), expected)
    values = grids().values.clone()
    values[:2] = torch.nan
    owners, lengths = torch.tensor([2, 2]), LENGTHS[:2]
    found = decoder(tokens[:2], lengths, Memory(values), owners)
    assert_same(found, decoder(tokens[:2], lengths, grids(), owners))
    masked = sentences_of_words()
    assert masked.mask is not None
    padded = Memory(F.pad(masked.values, (0, 0, 0, 2), value=1e3), F.pad(masked.mask, (0, 2)))
    unrolled = decoder(tokens, LENGTHS, padded, OWNERS)
    weights = decoder(tokens, LENGTHS, masked, OWNERS).weights
    torch.testing.assert_close(unrolled.weights, F.pad(weights, (0, 2)))


def test_batch_norm_in_training_counts_no_padding() -> None:
    found = []
    for extra in (0, 4):
        decoder = decoder_of("batch").train()
        tokens = F.pad(tokens_of(), (0, extra), value=V - 1)
        found.append(decoder(tokens, LENGTHS, grids(), OWNERS))
        one_by_one = decoder.layers[0].around[0].norm
        assert isinstance(one_by_one, nn.BatchNorm1d)
    assert_same(*found)
    # Sentences side by side leave a place empty (memory 1 has one of them), which counts nothing.
    decoder = decoder_of("batch").train()
    apart = decoder(tokens_of(), LENGTHS, grids().select(OWNERS))
    assert_same(apart, found[0])


def test_a_memory_without_a_word_is_an_error() -> None:
    memory = Memory(grids().values, torch.tensor([[True], [False], [True]]).expand(B, N))
    with pytest.raises(ValueError, match=r"memories \[1\] are masked everywhere"):
        decoder_of().start(memory)


def test_beams_take_their_past_along() -> None:
    decoder, memory = decoder_of(), grids()
    ready, state = decoder.start(memory)
    state = state.select(torch.zeros(B, 4, dtype=torch.long))
    tokens = torch.randint(4, V, (B, 4, 2), generator=torch.Generator().manual_seed(8))
    for t in range(2):
        state = decoder.step(tokens[..., t], state, ready).state
    parents = torch.tensor([[3, 3, 0], [1, 2, 0], [0, 0, 0]])
    last = torch.tensor([[5, 6, 7], [8, 9, 10], [11, 12, 13]])
    step = decoder.step(last, state.select(parents), ready)
    for b, k in product(range(B), range(3)):
        whole = torch.cat([tokens[b, parents[b, k]], last[b, k : k + 1]]).unsqueeze(0)
        alone = decoder(whole, torch.tensor([3]), memory.select(slice(b, b + 1)))
        torch.testing.assert_close(step.logits[b, k], alone.padded_logits()[0, -1])
    assert isinstance(state, TransformerState)


@pytest.mark.parametrize("sample", [False, True])
def test_what_search_finds_is_what_the_model_thinks_of_it(sample: bool) -> None:
    decoder, memory = decoder_of(), sentences_of_words()
    options = SearchOptions(
        beam_size=4, n_best=3, max_length=7, sample=sample, length_penalty=0.5, alternatives=3
    )
    for number, hypotheses in enumerate(search(decoder, memory, options)):
        own = memory.select(slice(number, number + 1))
        sentences = [hypothesis.tokens for hypothesis in hypotheses]
        forced = force(decoder, own, sentences, [0] * len(sentences), alternatives=3)
        for hypothesis, expected in zip(hypotheses, forced, strict=True):
            assert abs(hypothesis.log_prob - expected.log_prob) < 1e-3
            torch.testing.assert_close(
                torch.from_numpy(hypothesis.weights),
                torch.from_numpy(expected.weights),
                rtol=1e-4,
                atol=1e-5,
            )


@pytest.mark.parametrize("layer", range(L + 1))
@pytest.mark.parametrize("head", range(H + 1))
def test_the_map_is_the_layer_and_the_head_that_were_chosen(layer: int, head: int) -> None:
    decoder, memory = decoder_of(maps=MapChoice(layer, head)), sentences_of_words()
    everything = decoder_of()(tokens_of(), LENGTHS, memory, OWNERS)
    found = decoder(tokens_of(), LENGTHS, memory, OWNERS)
    torch.testing.assert_close(found.padded_logits(), everything.padded_logits())
    chosen = everything.weights.unflatten(2, (L, H))
    chosen = chosen[:, :, layer - 1 : layer] if layer else chosen
    chosen = chosen[:, :, :, head - 1 : head] if head else chosen
    torch.testing.assert_close(found.weights, chosen.flatten(2, 3))


@pytest.mark.parametrize("maps", [MapChoice(), MapChoice(2), MapChoice(0, 1), MapChoice(3, 2)])
@pytest.mark.parametrize("score", ["scaled_dot", "additive"])
def test_a_probe_is_the_step_taken_apart(maps: MapChoice, score: str) -> None:
    decoder, memory = decoder_of(maps=maps, score=score), sentences_of_words()
    ready, state = decoder.start(memory)
    tokens = torch.tensor([[5], [8], [13]])
    probe, step = decoder.probe(tokens, state, ready), decoder.step(tokens, state, ready)
    torch.testing.assert_close(probe.step.logits, step.logits)
    torch.testing.assert_close(probe.energies.softmax(-1), step.attended.weights)
    count = (1 if maps.layer else L) * (1 if maps.head else H)
    assert probe.energies.shape == (B, 1, count, N)
    assert probe.contents.shape == (B, count, N, S // H)
    assert probe.query.shape == (B, 1, S if maps.layer else L * S)
    # The context is the one of the map's layer, or of the last: out of its own weights.
    cross = decoder.layers[maps.layer - 1].cross
    read = decoder.read(memory.values)
    everything = decoder_of(maps=MapChoice(maps.layer or L), score=score)
    weights = everything.step(tokens, state, ready).attended.weights[:, 0]  # (B, H, N)
    values = cross.value(read).unflatten(-1, (H, -1)).transpose(1, 2)
    sums = torch.matmul(weights.unsqueeze(2), values).flatten(1)
    torch.testing.assert_close(probe.step.attended.context[:, 0], cross.output(sums))


def test_a_sentence_can_be_traced() -> None:
    found = trace(decoder_of(), grids(1), [5, 9, 13], alternatives=4)
    assert found.weights.shape == found.scores.shape == (4, L * H, N)
    assert found.queries.shape == (4, L * S)
    assert found.contexts.shape == (4, L * S)
    assert found.lengths.shape == (L * H, N)
    assert found.gates is None
    [forced] = force(decoder_of(), grids(1), [[5, 9, 13]])
    torch.testing.assert_close(
        torch.from_numpy(found.weights[:-1]), torch.from_numpy(forced.weights)
    )
    assert found.tokens.shape == (4, 4)
    assert EOS < V


@pytest.mark.parametrize("tied", [True, False])
def test_new_words_start_at_the_mean_and_old_ones_stay(tied: bool) -> None:
    decoder = decoder_of(tied=tied)
    expected = decoder(tokens_of(), LENGTHS, grids(), OWNERS).padded_logits()
    mean = decoder.embedding.weight.mean(0)
    decoder.resize_vocabulary(V + 4)
    assert decoder.vocabulary_size == V + 4
    assert (decoder.output.weight is decoder.embedding.weight) == tied
    found = decoder(tokens_of(), LENGTHS, grids(), OWNERS).padded_logits()
    torch.testing.assert_close(found[..., :V], expected)
    torch.testing.assert_close(decoder.embedding.weight[V:], mean.expand(4, -1))


def test_dropout_is_for_training_and_a_phase_sets_it() -> None:
    decoder = decoder_of(dropout=0.4)
    expected = decoder_of()(tokens_of(), LENGTHS, grids(), OWNERS)
    assert_same(decoder(tokens_of(), LENGTHS, grids(), OWNERS), expected)
    decoder.train()
    torch.manual_seed(7)
    first, second = (decoder(tokens_of(), LENGTHS, grids(), OWNERS) for _ in range(2))
    assert not torch.equal(first.logits.data, second.logits.data)
    decoder.set_dropout(attention=0.0, words=0.0, features=0.0)
    assert_same(decoder(tokens_of(), LENGTHS, grids(), OWNERS), expected)
    for rates in ({"attention": 0.5}, {"words": 0.5}, {"features": 0.5}):
        decoder.set_dropout(**{"attention": 0.0, "words": 0.0, "features": 0.0, **rates})
        found = decoder(tokens_of(), LENGTHS, grids(), OWNERS)
        assert not torch.equal(found.logits.data, expected.logits.data), rates
        rows = found.weights.sum(-1)[torch.arange(T) < LENGTHS.unsqueeze(1)]
        torch.testing.assert_close(rows, torch.ones_like(rows))  # the weights told stay whole


@every_variant
def test_everything_learns(norm: str, norm_first: bool, residual: bool, positions: str) -> None:
    decoder = decoder_of(norm, norm_first, residual, positions, tied=False).train()
    decoder(tokens_of(), LENGTHS, grids(), OWNERS).logits.data.square().sum().backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name


@pytest.mark.parametrize("score", ["scaled_dot", "general", "additive"])
def test_a_new_decoder_has_not_decided_where_to_look(score: str) -> None:
    """Long queries and keys would give one position all the weight, and the others no gradient."""
    torch.manual_seed(3)
    size = 128
    decoder = TransformerDecoder(
        nn.Embedding(V, size),
        [Attention(SCORE_BUILDERS[score](size, size, size), heads=Heads(1, size, size))],
        LayerPlan(size, 4, INNER),
        memory_size=size,
        positions=None,
    ).eval()
    memory = Memory(torch.randn(B, N, size, generator=torch.Generator().manual_seed(5)))
    weights = decoder(tokens_of()[:B], torch.full((B,), T), memory).weights
    assert float(weights.amax(-1).mean()) < 0.5
