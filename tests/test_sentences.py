"""The sentence's encoder, held against torch's cells, a word at a time in both directions."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.nn.memory import Memory
from captioner.nn.sentences import SentenceEncoder

V, E, H = 23, 11, 7  # words, embedding, state of a direction
B, S = 5, 13
LENGTHS = torch.tensor([9, 13, 1, 4, 2])
REAL = torch.arange(S) < LENGTHS.unsqueeze(1)

every_network = pytest.mark.parametrize(
    ("cell", "layers"), list(product(("lstm", "gru"), (1, 2))), ids=str
)


def encoder_of(
    cell: str = "lstm", layers: int = 1, dropout: float = 0.0, word_dropout: float = 0.0
) -> SentenceEncoder:
    torch.manual_seed(3)
    kind = nn.LSTM if cell == "lstm" else nn.GRU
    encoder = SentenceEncoder(
        nn.Embedding(V, E),
        kind(E, H, layers, batch_first=True, bidirectional=True),
        dropout=dropout,
        word_dropout=word_dropout,
    )
    with torch.no_grad():  # from nearly indifferent to opinionated
        for parameter in encoder.parameters():
            parameter.mul_(2)
    return encoder.eval()


def tokens_of() -> Tensor:
    drawn = torch.randint(4, V, (B, S), generator=torch.Generator().manual_seed(5))
    return drawn.masked_fill(~REAL, 0)


def summary_of(memory: Memory) -> Tensor:
    assert memory.summary is not None
    return memory.summary


def same(found: Memory, expected: Memory) -> None:
    torch.testing.assert_close(found.values, expected.values)
    torch.testing.assert_close(summary_of(found), summary_of(expected))


def by_hand(encoder: SentenceEncoder, sentence: Tensor) -> tuple[Tensor, Tensor]:
    """States (S, D) and summary (D,) of one sentence without padding."""
    network = encoder.network
    kind = nn.LSTMCell if isinstance(network, nn.LSTM) else nn.GRUCell
    inputs = list(encoder.embedding.weight[sentence])
    for layer in range(network.num_layers):
        directions = []
        for end in ("", "_reverse"):
            cell = kind(len(inputs[0]), H)
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            cell.load_state_dict(
                {name: getattr(network, f"{name}_l{layer}{end}") for name in names}
            )
            state, read = None, []
            for word in reversed(inputs) if end else inputs:
                state = cell(word.unsqueeze(0), state)
                read.append((state[0] if isinstance(state, tuple) else state).squeeze(0))
            directions.append(read[::-1] if end else read)
        inputs = [torch.cat(both) for both in zip(*directions, strict=True)]
    return torch.stack(inputs), torch.cat([directions[0][-1], directions[1][0]])


@every_network
def test_the_states_are_the_cells_in_both_directions(cell: str, layers: int) -> None:
    encoder, tokens = encoder_of(cell, layers), tokens_of()
    memory = encoder(tokens, LENGTHS)
    assert memory.values.shape == (B, S, 2 * H)
    assert summary_of(memory).shape == (B, 2 * H)
    for row, length in enumerate(LENGTHS.tolist()):
        states, summary = by_hand(encoder, tokens[row, :length])
        torch.testing.assert_close(memory.values[row, :length], states)
        torch.testing.assert_close(summary_of(memory)[row], summary)


def test_the_memory_is_a_row_of_real_and_padded_places() -> None:
    memory = encoder_of()(tokens_of(), LENGTHS)
    assert memory.mask is not None
    assert torch.equal(memory.mask, REAL)
    assert bool((memory.values[~REAL] == 0).all())
    assert memory.grid is None
    assert memory.keys is None


@every_network
def test_the_summary_is_where_each_direction_has_read_everything(cell: str, layers: int) -> None:
    memory = encoder_of(cell, layers)(tokens_of(), LENGTHS)
    last = memory.values[torch.arange(B), LENGTHS - 1, :H]
    torch.testing.assert_close(summary_of(memory), torch.cat([last, memory.values[:, 0, H:]], -1))


@every_network
def test_padding_changes_nothing(cell: str, layers: int) -> None:
    encoder, tokens = encoder_of(cell, layers), tokens_of()
    expected = encoder(tokens, LENGTHS)
    same(encoder(tokens.masked_fill(~REAL, V - 1), LENGTHS), expected)
    longer = encoder(F.pad(tokens, (0, 4), value=V - 1), LENGTHS)
    torch.testing.assert_close(longer.values, F.pad(expected.values, (0, 0, 0, 4)))
    torch.testing.assert_close(summary_of(longer), summary_of(expected))
    assert torch.equal(longer.mask, F.pad(REAL, (0, 4)))


@every_network
def test_a_sentence_knows_nothing_of_its_neighbours(cell: str, layers: int) -> None:
    encoder, tokens = encoder_of(cell, layers), tokens_of()
    together = encoder(tokens, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = encoder(tokens[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(alone.values[0], together.values[row, :length])
        torch.testing.assert_close(summary_of(alone)[0], summary_of(together)[row])
    order = torch.tensor([3, 0, 4, 2, 1])
    same(encoder(tokens[order], LENGTHS[order]), together.select(order))


def test_a_word_is_told_to_those_behind_it_and_those_before_it() -> None:
    encoder, tokens = encoder_of(), tokens_of()
    changed = tokens.clone()
    changed[1, 6] = 4 if int(tokens[1, 6]) != 4 else 5
    before, after = (encoder(each, LENGTHS).values for each in (tokens, changed))
    differs = (before != after)[1].view(S, 2, H).any(-1)  # (S, direction)
    places = torch.arange(S)
    assert torch.equal(differs[:, 0], places >= 6)
    assert torch.equal(differs[:, 1], places <= 6)
    assert torch.equal(before[[0, 2, 3, 4]], after[[0, 2, 3, 4]])


def test_dropout_is_for_training() -> None:
    plain, dropping = encoder_of(), encoder_of(dropout=0.4, word_dropout=0.3)
    expected = plain(tokens_of(), LENGTHS)
    same(dropping(tokens_of(), LENGTHS), expected)
    dropping.train()
    torch.manual_seed(7)
    first, second = (dropping(tokens_of(), LENGTHS) for _ in range(2))
    assert not torch.equal(first.values, second.values)
    assert not torch.equal(summary_of(first), summary_of(second))
    same(plain.train()(tokens_of(), LENGTHS), expected)


class Dropped(nn.Module):
    """Drops everything at one of its calls."""

    def __init__(self, call: int) -> None:
        super().__init__()
        self.left = call

    def forward(self, given: Tensor) -> Tensor:
        self.left -= 1
        return given * 0 if self.left == 0 else given


def test_embeddings_memory_and_summary_are_dropped() -> None:
    encoder, tokens = encoder_of(), tokens_of()
    expected = encoder(tokens, LENGTHS)
    others = tokens.roll(1, 0).masked_fill(~REAL, 0)

    def dropped(given: Tensor, call: int) -> Memory:
        encoder.dropout = Dropped(call)
        return encoder(given, LENGTHS)

    same(dropped(others, 1), dropped(tokens, 1))
    assert bool((dropped(tokens, 1).values[REAL] != 0).any())
    assert not dropped(tokens, 2).values.any()
    torch.testing.assert_close(summary_of(dropped(tokens, 2)), summary_of(expected))
    assert not summary_of(dropped(tokens, 3)).any()
    torch.testing.assert_close(dropped(tokens, 3).values, expected.values)


def test_words_are_hidden_whole() -> None:
    encoder = encoder_of(word_dropout=0.5).train()
    seen: list[Tensor] = []
    encoder.network.register_forward_pre_hook(lambda _, given: seen.append(given[0].data))
    torch.manual_seed(7)
    encoder(tokens_of(), LENGTHS)
    [read] = seen
    assert read.shape == (int(LENGTHS.sum()), E)
    hidden = (read == 0).all(1)
    assert 0.2 < hidden.float().mean() < 0.8
    packed = nn.utils.rnn.pack_padded_sequence(
        tokens_of(), LENGTHS, batch_first=True, enforce_sorted=False
    )
    whole = 2 * encoder.embedding(packed.data)
    torch.testing.assert_close(read[~hidden], whole[~hidden])


@every_network
def test_the_gradient_reaches_everything_but_the_padding(cell: str, layers: int) -> None:
    encoder, tokens = encoder_of(cell, layers), tokens_of()
    memory = encoder(tokens.masked_fill(~REAL, 1), LENGTHS)
    (memory.values.square().sum() + summary_of(memory).square().sum()).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert bool((parameter.grad != 0).any()), name
    read = torch.zeros(V, dtype=torch.bool)
    read[tokens[REAL]] = True
    assert encoder.embedding.weight.grad is not None
    assert torch.equal((encoder.embedding.weight.grad != 0).any(1), read)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_half_precision_reads_the_same(cell: str) -> None:
    encoder, tokens = encoder_of(cell), tokens_of()
    expected = encoder(tokens, LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        found = encoder(tokens, LENGTHS)
    torch.testing.assert_close(found.values.float(), expected.values, atol=0.05, rtol=0.05)
    summaries = summary_of(found).float(), summary_of(expected)
    torch.testing.assert_close(*summaries, atol=0.05, rtol=0.05)


def test_it_shares_its_embedding() -> None:
    """What a decoder learns about a word, the encoder reads."""
    torch.manual_seed(3)
    shared = nn.Embedding(V, E)
    network = nn.GRU(E, H, batch_first=True, bidirectional=True)
    encoder = SentenceEncoder(shared, network)
    before = encoder(tokens_of(), LENGTHS).values
    with torch.no_grad():
        shared.weight.mul_(3)
    assert not torch.allclose(encoder(tokens_of(), LENGTHS).values, before)
