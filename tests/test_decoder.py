"""One decoder: word by word or unrolled, with any cell, query, gate and memory."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioner import losses
from captioner.nn.architecture import ModelConfig
from captioner.nn.attention import Attended, Attention, Bottleneck
from captioner.nn.cells import CELLS
from captioner.nn.decoder import Step, Unrolled
from captioner.nn.memory import Memory
from captioner.nn.model import build_model
from captioner.nn.query import Query
from captioner.nn.recurrent import RecurrentDecoder, RecurrentState
from captioner.nn.scores import SCORE_BUILDERS
from captioner.settings import from_dict

V, E, S, D, SIZE = 23, 11, 13, 7, 5  # words, embedding, state, features, additive's hidden size
B, N, T = 3, 17, 6
LENGTHS = torch.tensor([4, 6, 1, 3, 6])  # of K = 5 sentences
OWNERS = torch.tensor([2, 0, 0, 1, 2])

QUERIES = ("before", "after", "fed")  # fed: after, with the previous context fed to the next step
VARIANTS = list(product(tuple(CELLS), QUERIES, (True, False), (True, False)))
every_variant = pytest.mark.parametrize(("cell", "query", "gate", "tied"), VARIANTS)
every_step = pytest.mark.parametrize(("cell", "query"), list(product(tuple(CELLS), QUERIES)))


def decoder_of(
    cell: str = "lstm",
    query: str = "before",
    gate: bool = True,
    tied: bool = True,
    dropout: float = 0.0,
    score: str = "additive",
) -> RecurrentDecoder:
    torch.manual_seed(3)
    inputs = E if query == "after" else E + D
    decoder = RecurrentDecoder(
        Attention(SCORE_BUILDERS[score](S, D, SIZE)),
        nn.Embedding(V, E),
        CELLS[cell](inputs, S),
        context_size=D,
        query="after" if query == "fed" else query,
        input_feeding=query == "fed",
        gate=gate,
        tie_embeddings=tied,
        dropout=dropout,
    )
    with torch.no_grad():  # from nearly indifferent to opinionated
        for parameter in decoder.parameters():
            parameter.mul_(2)
    return decoder.eval()


def grids(batch: int = B) -> Memory:
    return Memory(torch.randn(batch, N, D, generator=torch.Generator().manual_seed(5)))


def sentences_of_words() -> Memory:
    """A memory in a row, as of sentences of 17, 2 and 9 words."""
    mask = torch.arange(N) < torch.tensor([17, 2, 9]).unsqueeze(1)
    return Memory(grids().values, mask)


def tokens_of() -> Tensor:
    drawn = torch.randint(0, V, (len(LENGTHS), T), generator=torch.Generator().manual_seed(7))
    return drawn.masked_fill(torch.arange(T) >= LENGTHS.unsqueeze(1), 0)


def double(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def assert_same(found: Unrolled, expected: Unrolled) -> None:
    torch.testing.assert_close(found.padded_logits(), expected.padded_logits())
    torch.testing.assert_close(found.weights, expected.weights)
    assert found.extras.keys() == expected.extras.keys()
    for name in expected.extras:
        torch.testing.assert_close(found.extras[name], expected.extras[name])


@every_variant
@pytest.mark.parametrize("masked", [False, True])
def test_word_by_word_is_unrolled(
    cell: str, query: str, gate: bool, tied: bool, masked: bool
) -> None:
    decoder, tokens = decoder_of(cell, query, gate, tied), tokens_of()
    memory = sentences_of_words() if masked else grids()
    unrolled = decoder(tokens, LENGTHS, memory, OWNERS)
    logits = unrolled.padded_logits()
    assert logits.shape == (len(LENGTHS), T, V)
    assert unrolled.weights.shape == (len(LENGTHS), T, 1, N)
    assert unrolled.extras.keys() == ({"gate"} if gate else set())

    ready, state = decoder.start(memory.select(OWNERS))
    for t in range(T):
        step = decoder.step(tokens[:, t : t + 1], state, ready)
        state = step.state
        runs = t < LENGTHS
        found = {"logits": logits, "weights": unrolled.weights, **unrolled.extras}
        expected = {
            "logits": step.logits,
            "weights": step.attended.weights,
            **step.attended.extras,
        }
        assert found.keys() == expected.keys()
        for name in expected:
            torch.testing.assert_close(found[name][runs, t], expected[name][runs, 0])
            assert bool((found[name][~runs, t] == 0).all())


@every_variant
def test_sentences_together_are_sentences_alone(
    cell: str, query: str, gate: bool, tied: bool
) -> None:
    decoder, tokens, memory = decoder_of(cell, query, gate, tied), tokens_of(), sentences_of_words()
    together = decoder(tokens, LENGTHS, memory, OWNERS)
    for k, (length, owner) in enumerate(zip(LENGTHS.tolist(), OWNERS.tolist(), strict=True)):
        alone = decoder(
            tokens[k : k + 1, :length],
            LENGTHS[k : k + 1],
            memory.select(slice(owner, owner + 1)),
        )
        torch.testing.assert_close(alone.padded_logits()[0], together.padded_logits()[k, :length])
        torch.testing.assert_close(alone.weights[0], together.weights[k, :length])
        for name, values in alone.extras.items():
            torch.testing.assert_close(values[0], together.extras[name][k, :length])


@every_variant
@pytest.mark.parametrize("masked", [False, True])
def test_sentences_of_one_memory_share_it(
    cell: str, query: str, gate: bool, tied: bool, masked: bool
) -> None:
    """M sentences side by side, about memories that are not copied, are each of them alone."""
    decoder, memory = decoder_of(cell, query, gate, tied), grids()
    memory = sentences_of_words() if masked else memory
    tokens = torch.randint(0, V, (B, 4, T), generator=torch.Generator().manual_seed(8))
    ready, state = decoder.start(memory)
    state, steps = state.select(torch.zeros(B, 4, dtype=torch.long)), []
    for t in range(T):
        step: Step[RecurrentState] = decoder.step(tokens[:, :, t], state, ready)
        state = step.state
        steps.append(step)
    assert state.place == T
    unrolled = decoder.unroll(
        tokens.flatten(0, 1),
        torch.full((B * 4,), T),
        memory.select(torch.arange(B).repeat_interleave(4)),
    )
    logits = torch.stack([step.logits for step in steps], 2).flatten(0, 1)
    torch.testing.assert_close(logits, unrolled.padded_logits())
    weights = torch.stack([step.attended.weights for step in steps], 2).flatten(0, 1)
    torch.testing.assert_close(weights, unrolled.weights)


def test_only_what_still_runs_is_read() -> None:
    """Sentences that have ended fall out of the steps, unless one beside them outlasts them."""
    decoder, sizes = decoder_of(), []
    attention = decoder.attention

    class Counted(nn.Module):
        remembers = False

        def __init__(self) -> None:
            super().__init__()
            self.prepare, self.first = attention.prepare, attention.first

        def forward(self, query: Query, memory: Memory) -> Attended:
            sizes.append((len(memory), query.hidden.shape[:2]))
            found: Attended = attention(query, memory)
            return found

    decoder.attention = Counted()  # type: ignore[assignment]
    decoder(tokens_of(), LENGTHS, grids(), OWNERS)
    # Memory 0 has sentences of 6 and 1 words, memory 1 one of 3, memory 2 two of 6 and 4.
    running = [(3, 2), (3, 2), (3, 2), (2, 2), (2, 1), (2, 1)]
    assert sizes == [(memories, (memories, most)) for memories, most in running]


def test_a_memory_without_sentences_is_left_out() -> None:
    decoder, tokens = decoder_of(), tokens_of()[:2]
    owners, lengths = torch.tensor([2, 2]), LENGTHS[:2]
    values = grids().values.clone()
    values[:2] = torch.nan
    found = decoder(tokens, lengths, Memory(values), owners)
    assert_same(found, decoder(tokens, lengths, grids(), owners))


def test_new_words_start_at_the_mean_and_old_ones_stay() -> None:
    for tied in (False, True):
        decoder = decoder_of(tied=tied)
        assert decoder.vocabulary_size == V
        expected = decoder(tokens_of(), LENGTHS, grids(), OWNERS).padded_logits()
        mean = decoder.embedding.weight.mean(0)
        decoder.resize_vocabulary(V + 4)
        assert decoder.vocabulary_size == V + 4
        assert (decoder.output.weight is decoder.embedding.weight) == tied
        found = decoder(tokens_of(), LENGTHS, grids(), OWNERS).padded_logits()
        torch.testing.assert_close(found[..., :V], expected)
        torch.testing.assert_close(decoder.embedding.weight[V:], mean.expand(4, -1))


@every_step
def test_a_probe_is_the_step_taken_apart(cell: str, query: str) -> None:
    decoder, memory = decoder_of(cell, query), sentences_of_words()
    ready, state = decoder.start(memory)
    tokens = torch.tensor([[3], [8], [13]])
    probe, step = decoder.probe(tokens, state, ready), decoder.step(tokens, state, ready)
    assert probe is not None
    torch.testing.assert_close(probe.step.logits, step.logits)
    torch.testing.assert_close(probe.energies.softmax(-1), step.attended.weights)
    asked = state.hidden if query == "before" else step.state.hidden
    torch.testing.assert_close(probe.query, asked)
    torch.testing.assert_close(probe.contents[:, 0], memory.values)
    torch.testing.assert_close(probe.context, step.attended.context)


def test_the_query_knows_the_word_the_place_and_the_cell() -> None:
    decoder, tokens, asked = decoder_of(), torch.tensor([[3, 8, 13]]), []
    forward = decoder.attention.forward

    def listening(query: Query, memory: Memory) -> Attended:
        asked.append(query)
        found: Attended = forward(query, memory)
        return found

    decoder.attention.forward = listening  # type: ignore[method-assign]
    decoder(tokens, torch.tensor([3]), grids(1))
    ready, state = decoder.start(grids(1))
    for token in tokens[0]:
        state = decoder.step(token.view(1, 1), state, ready).state
    for unrolled, single, place, word in zip(
        asked[:3], asked[3:], range(3), tokens[0], strict=True
    ):
        assert unrolled.place == single.place == place
        for query in (unrolled, single):
            assert query.word is not None
            assert torch.equal(query.word[0, 0], decoder.embedding.weight[word])
        assert unrolled.cell is not None
        assert single.cell is not None
        torch.testing.assert_close(unrolled.cell, single.cell)


def test_without_owners_the_kth_sentence_is_about_the_kth_memory() -> None:
    decoder, tokens = decoder_of(), tokens_of()
    memory = grids(len(LENGTHS))
    assert_same(
        decoder(tokens, LENGTHS, memory),
        decoder(tokens, LENGTHS, memory, torch.arange(len(LENGTHS))),
    )


@every_step
@pytest.mark.parametrize("score", ["additive", "general"])
def test_padding_a_memory_changes_nothing(cell: str, query: str, score: str) -> None:
    decoder, tokens = decoder_of(cell, query, score=score), tokens_of()
    memory = sentences_of_words()
    assert memory.mask is not None
    padded = Memory(F.pad(memory.values, (0, 0, 0, 2), value=1e3), F.pad(memory.mask, (0, 2)))
    expected = decoder(tokens, LENGTHS, memory, OWNERS)
    found = decoder(tokens, LENGTHS, padded, OWNERS)
    torch.testing.assert_close(found.padded_logits(), expected.padded_logits())
    torch.testing.assert_close(found.weights, F.pad(expected.weights, (0, 2)))
    unmasked = ~padded.mask[OWNERS]
    assert bool((found.weights[:, :, 0].transpose(1, 2)[unmasked] == 0).all())


def test_a_memory_without_a_word_is_an_error() -> None:
    memory = Memory(grids().values, torch.tensor([[True], [False], [True]]).expand(B, N))
    with pytest.raises(ValueError, match=r"memories \[1\] are masked everywhere"):
        decoder_of().start(memory)


def test_padding_behind_a_sentence_is_not_read() -> None:
    decoder, tokens, memory = decoder_of(), tokens_of(), grids()
    dirty = torch.where(torch.arange(T) < LENGTHS.unsqueeze(1), tokens, V - 1)
    longer = F.pad(dirty, (0, 3), value=V - 1)
    expected = decoder(tokens, LENGTHS, memory, OWNERS)
    for given in (dirty, longer):
        assert_same(decoder(given, LENGTHS, memory, OWNERS), expected)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


class ByHand:
    """The decoder's equations in NumPy, float64, for one sentence."""

    def __init__(self, decoder: RecurrentDecoder) -> None:
        self.decoder = decoder
        self.weights = {name: double(value) for name, value in decoder.named_parameters()}
        self.after = decoder.query == "after"

    def affine(self, name: str, x: np.ndarray) -> np.ndarray:
        return self.weights[f"{name}.weight"] @ x + self.weights[f"{name}.bias"]

    def recur(self, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        w = self.weights
        from_input = w["cell.weight_ih"] @ x + w["cell.bias_ih"]
        from_state = w["cell.weight_hh"] @ h + w["cell.bias_hh"]
        if self.weights["cell.weight_ih"].shape[0] == S:
            return np.tanh(from_input + from_state), c
        if self.weights["cell.weight_ih"].shape[0] == 4 * S:
            i, f, g, o = np.split(from_input + from_state, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            return sigmoid(o) * np.tanh(c), c
        (r, z, n), (hr, hz, hn) = np.split(from_input, 3), np.split(from_state, 3)
        z = sigmoid(z + hz)
        return (1 - z) * np.tanh(n + sigmoid(r + hr) * hn) + z * h, c

    def attend(self, q: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        w = self.weights
        keys = values @ w["attention.score.key.weight"].T
        hidden = np.tanh(self.affine("attention.score.query", q) + keys)
        energies = hidden @ w["attention.score.energy.weight"][0]
        raised = np.exp(energies - energies.max())
        weights = raised / raised.sum()
        gate = sigmoid(self.affine("gate", q))[0] if self.decoder.gate is not None else 1.0
        return gate * (weights @ values), weights, gate

    def run(self, tokens: list[int], values: np.ndarray) -> list[dict[str, np.ndarray]]:
        mean = values.mean(0)
        h = np.tanh(self.affine("initial_hidden", mean))
        c = np.tanh(self.affine("initial_cell", mean)) if "initial_cell.bias" in self.weights else h
        steps, context = [], mean
        for token in tokens:
            embedded = self.weights["embedding.weight"][token]
            if self.after:
                fed = [context] if self.decoder.input_feeding else []
                h, c = self.recur(np.concatenate([embedded, *fed]), h, c)
                context, weights, gate = self.attend(h, values)
            else:
                context, weights, gate = self.attend(h, values)
                h, c = self.recur(np.concatenate([embedded, context]), h, c)
            deep = embedded + self.affine("from_hidden", h) + self.affine("from_context", context)
            matrix = self.weights.get("output.weight", self.weights["embedding.weight"])
            logits = matrix @ np.tanh(deep) + self.weights["output.bias"]
            steps.append({"logits": logits, "weights": weights, "gate": np.array(gate)})
        return steps


@every_variant
def test_the_steps_are_the_equations(cell: str, query: str, gate: bool, tied: bool) -> None:
    decoder = decoder_of(cell, query, gate, tied)
    memory, tokens = grids(1), [2, 19, 5, 11]
    unrolled = decoder(torch.tensor([tokens]), torch.tensor([len(tokens)]), memory)
    expected = ByHand(decoder).run(tokens, double(memory.values[0]))
    for t, step in enumerate(expected):
        found = unrolled.padded_logits()[0, t]
        np.testing.assert_allclose(double(found), step["logits"], atol=2e-5)
        np.testing.assert_allclose(double(unrolled.weights[0, t, 0]), step["weights"], atol=1e-6)
        if gate:
            np.testing.assert_allclose(
                double(unrolled.extras["gate"][0, t, 0]), step["gate"], atol=1e-6
            )


def test_the_query_before_does_not_see_the_word_and_the_query_after_does() -> None:
    twice = Memory(grids(1).values.expand(2, -1, -1))
    for query, sees in (("before", False), ("after", True)):
        decoder = decoder_of(query=query)
        ready, state = decoder.start(twice)
        weights = decoder.step(torch.tensor([[5], [9]]), state, ready).attended.weights.detach()
        assert (float((weights[0] - weights[1]).abs().max()) > 1e-4) == sees


@pytest.mark.parametrize("cell", list(CELLS))
def test_the_fed_context_changes_the_next_step(cell: str) -> None:
    """The first one is fed the memory's mean, each later one what the one before it looked at."""
    decoder, tokens = decoder_of(cell, "fed"), torch.tensor([[3], [8], [13]])
    ready, state = decoder.start(grids())
    assert state.context is not None
    torch.testing.assert_close(state.context[:, 0], grids().mean())
    first = decoder.step(tokens, state, ready)
    assert torch.equal(first.state.context, first.attended.context)
    expected = decoder.step(tokens, first.state, ready)
    other = replace(first.state, context=first.state.context.roll(1, 0))
    changed = decoder.step(tokens, other, ready)
    for one, same in (
        (changed.logits, expected.logits),
        (changed.state.hidden, expected.state.hidden),
    ):
        assert float((one - same).detach().abs().amax(-1).min()) > 1e-4
    for query in ("before", "after"):
        plain = decoder_of(cell, query)
        ready, state = plain.start(grids())
        assert state.context is None
        assert plain.step(tokens, state, ready).state.context is None


def test_the_fed_context_learns_from_the_next_word() -> None:
    """The gradient of a later word reaches what an earlier step looked at, through the context."""
    decoder = decoder_of("gru", "fed")
    ready, state = decoder.start(grids())
    first = decoder.step(torch.tensor([[3], [8], [13]]), state, ready)
    context = first.state.context.detach().requires_grad_()
    changed = replace(first.state, context=context)
    decoder.step(torch.tensor([[4], [4], [19]]), changed, ready).logits[1].square().sum().backward()
    assert context.grad is not None
    assert context.grad[1].all()
    assert not context.grad[[0, 2]].any()


@pytest.mark.parametrize("cell", list(CELLS))
def test_states_are_selected_with_everything_they_have(cell: str) -> None:
    decoder, memory = decoder_of(cell, "fed"), grids()
    ready, state = decoder.start(memory)
    assert (state.cell is None) == (cell != "lstm")
    tokens = torch.tensor([[3, 5], [8, 11], [13, 17]])  # two sentences of each memory
    state = decoder.step(tokens, state.select(torch.zeros(B, 2, dtype=torch.long)), ready).state
    assert state.place == 1
    indices = torch.tensor([[1, 0, 1], [0, 0, 1], [1, 1, 1]])  # three now
    selected = state.select(indices)
    assert selected.place == 1
    for name in ("hidden", "cell", "context"):
        before, after = getattr(state, name), getattr(selected, name)
        assert (before is None) == (after is None)
        if before is not None:
            for b, m in np.ndindex(B, 3):
                assert torch.equal(after[b, m], before[b, indices[b, m]]), name
    step = decoder.step(tokens, state, ready)
    moved = decoder.step(tokens.gather(1, indices), selected, ready)
    for b, m in np.ndindex(B, 3):
        torch.testing.assert_close(moved.logits[b, m], step.logits[b, indices[b, m]])
        torch.testing.assert_close(moved.state.hidden[b, m], step.state.hidden[b, indices[b, m]])


def test_a_step_leaves_its_state_alone() -> None:
    decoder = decoder_of()
    ready, state = decoder.start(grids())
    kept = RecurrentState(state.hidden.clone())
    tokens = torch.tensor([[3], [8], [13]])
    first = decoder.step(tokens, state, ready).logits
    assert torch.equal(state.hidden, kept.hidden)
    assert torch.equal(decoder.step(tokens, state, ready).logits, first)


def test_dropout_is_for_training() -> None:
    decoder, tokens, memory = decoder_of(dropout=0.5), tokens_of(), grids()
    plain = decoder_of(dropout=0.0)
    assert_same(decoder(tokens, LENGTHS, memory, OWNERS), plain(tokens, LENGTHS, memory, OWNERS))
    decoder.train()
    one, other = (decoder(tokens, LENGTHS, memory, OWNERS).padded_logits() for _ in range(2))
    assert not torch.equal(one, other)
    torch.manual_seed(11)
    first = decoder(tokens, LENGTHS, memory, OWNERS)
    torch.manual_seed(11)
    assert_same(decoder(tokens, LENGTHS, memory, OWNERS), first)


class Dropped(nn.Module):
    """In the place of dropout: drops everything that is handed to it at one of its calls."""

    def __init__(self, call: int) -> None:
        super().__init__()
        self.left = call

    def forward(self, given: Tensor) -> Tensor:
        self.left -= 1
        return given * 0 if self.left == 0 else given


@pytest.mark.parametrize("unrolled", [False, True])
def test_embeddings_and_the_deep_output_are_dropped(unrolled: bool) -> None:
    decoder, memory = decoder_of(), grids()

    def logits(tokens: list[int], call: int) -> Tensor:
        decoder.dropout = Dropped(call)
        if unrolled:
            found = decoder(torch.tensor([tokens]).T, torch.ones(B, dtype=torch.long), memory)
            return found.logits.data
        ready, state = decoder.start(memory)
        return decoder.step(torch.tensor(tokens).unsqueeze(1), state, ready).logits[:, 0]

    without_words = logits([3, 8, 13], call=1)
    torch.testing.assert_close(logits([4, 4, 19], call=1), without_words)
    assert not torch.allclose(logits([4, 4, 19], call=0), logits([3, 8, 13], call=0))
    torch.testing.assert_close(
        logits([3, 8, 13], call=2), decoder.output.bias.detach().expand(B, -1)
    )


@every_variant
def test_the_gradient_reaches_every_parameter(
    cell: str, query: str, gate: bool, tied: bool
) -> None:
    decoder = decoder_of(cell, query, gate, tied)
    assert (decoder.output.weight is decoder.embedding.weight) == tied
    decoder(tokens_of(), LENGTHS, grids(), OWNERS).logits.data.square().sum().backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None, name
        assert bool((parameter.grad != 0).any()), name


def test_the_gradient_knows_no_padding() -> None:
    """The loss of one sentence moves the memory of that sentence only, at its real positions."""
    decoder, tokens, memory = decoder_of(), tokens_of(), sentences_of_words()
    values = memory.values.clone().requires_grad_()
    unrolled = decoder(tokens, LENGTHS, Memory(values, memory.mask), OWNERS)
    unrolled.padded_logits()[3].square().sum().backward()  # sentence 3 is about memory 1
    assert values.grad is not None
    assert bool((values.grad[1, :2] != 0).any(-1).all())
    assert bool((values.grad[1, 2:] == 0).all())
    assert bool((values.grad[[0, 2]] == 0).all())


@every_step
def test_half_precision_learns_too(cell: str, query: str) -> None:
    decoder, tokens, memory = decoder_of(cell, query), tokens_of(), sentences_of_words()
    expected = decoder(tokens, LENGTHS, memory, OWNERS)
    with torch.autocast("cpu", torch.bfloat16):
        found = decoder(tokens, LENGTHS, memory, OWNERS)
    torch.testing.assert_close(
        found.padded_logits().float(), expected.padded_logits(), atol=0.3, rtol=0.1
    )
    sums = found.weights.float().sum(-1)
    runs = torch.arange(T) < LENGTHS.unsqueeze(1)
    torch.testing.assert_close(sums[runs], torch.ones_like(sums[runs]), atol=2**-7, rtol=0)
    found.logits.data.float().square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in decoder.parameters())


def test_without_a_gate_there_is_none() -> None:
    gated, plain = decoder_of(gate=True), decoder_of(gate=False)
    assert plain.gate is None
    plain.load_state_dict({k: v for k, v in gated.state_dict().items() if "gate" not in k})
    with torch.no_grad():
        gated.gate.weight.zero_()
        gated.gate.bias.fill_(40)  # σ(40) is 1
    tokens = tokens_of()
    open_, none = (d(tokens, LENGTHS, grids(), OWNERS) for d in (gated, plain))
    torch.testing.assert_close(open_.padded_logits(), none.padded_logits())
    assert none.extras == {}
    with torch.no_grad():
        gated.gate.bias.fill_(-200)  # σ(−200) is 0 and passes nothing
    shut = gated(tokens, LENGTHS, grids(), OWNERS)
    shuffled = Memory(grids().values.roll(3, 1))  # only the mean, which stays, still counts
    torch.testing.assert_close(
        gated(tokens, LENGTHS, shuffled, OWNERS).padded_logits(), shut.padded_logits()
    )
    assert not shut.extras["gate"].any()


# ---- without attention ---------------------------------------------------------------------------


def summed() -> Memory:
    """Sentences that an encoder has summed up."""
    summary = torch.randn(B, D, generator=torch.Generator().manual_seed(9))
    return replace(sentences_of_words(), summary=summary)


def bottleneck_of(cell: str, query: str, every: bool) -> RecurrentDecoder:
    decoder = decoder_of(cell, query, gate=False)
    decoder.attention = Bottleneck(every)
    return decoder


@every_step
@pytest.mark.parametrize("every", [False, True])
def test_the_bottleneck_word_by_word_is_unrolled(cell: str, query: str, every: bool) -> None:
    decoder, tokens, memory = bottleneck_of(cell, query, every), tokens_of(), summed()
    unrolled = decoder(tokens, LENGTHS, memory, OWNERS)
    logits = unrolled.padded_logits()
    ready, state = decoder.start(memory.select(OWNERS))
    for t in range(T):
        step = decoder.step(tokens[:, t : t + 1], state, ready)
        state, runs = step.state, t < LENGTHS
        torch.testing.assert_close(logits[runs, t], step.logits[runs, 0])
        torch.testing.assert_close(unrolled.weights[runs, t], step.attended.weights[runs, 0])


@every_step
@pytest.mark.parametrize("every", [False, True])
def test_all_that_the_decoder_knows_is_the_sum(cell: str, query: str, every: bool) -> None:
    decoder, tokens, memory = bottleneck_of(cell, query, every), tokens_of(), summed()
    assert memory.summary is not None
    expected = decoder(tokens, LENGTHS, memory, OWNERS).padded_logits()
    shorter = Memory(torch.zeros(B, 3, D), summary=memory.summary)
    assert torch.equal(decoder(tokens, LENGTHS, shorter, OWNERS).padded_logits(), expected)
    other = replace(memory, summary=memory.summary.roll(1, 0))
    assert not torch.allclose(decoder(tokens, LENGTHS, other, OWNERS).padded_logits(), expected)
    mean = replace(memory, summary=None)  # as of a photo, whose encoder makes no sum
    as_sum = replace(memory, summary=mean.mean())
    torch.testing.assert_close(
        decoder(tokens, LENGTHS, mean, OWNERS).padded_logits(),
        decoder(tokens, LENGTHS, as_sum, OWNERS).padded_logits(),
    )


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("cell", list(CELLS))
def test_the_sum_is_the_first_state_and_where_wanted_the_context(cell: str, every: bool) -> None:
    """Sutskever et al. 2014 and Cho et al. 2014, by torch's own network over the whole sentence."""
    decoder, tokens, memory = bottleneck_of(cell, "after", every), tokens_of()[1:2], summed()
    assert memory.summary is not None
    network = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[cell](E, S, batch_first=True)
    network.load_state_dict({f"{k}_l0": v for k, v in decoder.cell.state_dict().items()})
    embedded, summary = decoder.embedding(tokens), memory.summary[:1]
    first = torch.tanh(decoder.initial_hidden(summary)).unsqueeze(0)
    if decoder.initial_cell is not None:
        states, _ = network(
            embedded, (first, torch.tanh(decoder.initial_cell(summary)).unsqueeze(0))
        )
    else:
        states, _ = network(embedded, first)
    context = summary if every else torch.zeros(1, D)
    deep = torch.tanh(embedded + decoder.from_hidden(states) + decoder.from_context(context))
    found = decoder(tokens, LENGTHS[1:2], memory.select(slice(1)))
    torch.testing.assert_close(found.padded_logits(), decoder.output(deep))


# ---- repeatable --------------------------------------------------------------------------------


def trained() -> list[Tensor]:
    """Weights after two steps of a real size: 16 photos of 196 cells, 5 captions each."""
    config = from_dict(ModelConfig, {"encoder": {"weights": "random"}})
    torch.manual_seed(11)
    decoder = build_model(config, 4600).decoder.train()
    lengths = torch.randint(2, 5, (80,))
    tokens, targets = torch.randint(0, 4600, (2, 80, 4)).unbind()
    values, owners = torch.randn(16, 196, 512), torch.arange(16).repeat_interleave(5)
    learner = torch.optim.AdamW(decoder.parameters(), 1e-3)
    project = nn.Linear(512, 512)  # stands for an encoder, which learns through the memory
    for _ in range(2):
        unrolled = decoder.unroll(tokens, lengths, Memory(project(values)), owners)
        loss = losses.cross_entropy(unrolled.logits, targets, 0.1)
        (loss + losses.doubly_stochastic(unrolled.weights)).backward()
        learner.step()
        learner.zero_grad()
    assert project.weight.grad is not None
    return [*decoder.state_dict().values(), project.weight.grad]


def test_two_threads_learn_the_same_twice() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, second = trained(), trained()
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
