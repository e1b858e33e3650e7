"""The recurrent decoder: a network that writes a sentence while attending to a memory.

Shapes: B memories, M sentences of each, K sentences of all memories together, T words, W words of
all sentences together, N positions, D features, E embedding, S state, H heads, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from captioner.nn.attention import Attended, Attention, Bottleneck
from captioner.nn.cells import Cell
from captioner.nn.combined import Combined
from captioner.nn.copying import Copied, Copying
from captioner.nn.decoder import Probe, Step, Unrolled
from captioner.nn.memory import Memory, of_each, rows
from captioner.nn.query import Query
from captioner.nn.vocabulary import Compared, WordLayers


@dataclass(frozen=True)
class RecurrentState:
    """What the decoder remembers between two words."""

    hidden: Tensor  # (B, M, S)
    cell: Tensor | None = None  # (B, M, S), of an LSTM
    context: Tensor | None = None  # (B, M, D) of the previous step, where the next one is fed it
    place: int = 0  # how many words have been read
    covered: Tensor | None = None  # (B, M, H, N) sums of the weights, where the attention asks

    def select(self, indices: Tensor) -> RecurrentState:
        """Of each memory's sentences those at `indices` (B, K), which may repeat."""
        return self._each(lambda part: of_each(part, indices))

    def of(self, memories: Tensor) -> RecurrentState:
        """All sentences about the memories at `memories` (K,)."""
        return self._each(lambda part: rows(part, memories))

    def first(self, memories: int, sentences: int) -> RecurrentState:
        """Of the first memories the first sentences."""
        if self.hidden.shape[:2] == (memories, sentences):
            return self
        return self._each(lambda part: part[:memories, :sentences])

    def _each(self, change: Callable[[Tensor], Tensor]) -> RecurrentState:
        """The state with all that it holds of sentences changed."""
        names = ("hidden", "cell", "context", "covered")
        parts: dict[str, Any] = {
            name: change(part) for name in names if (part := getattr(self, name)) is not None
        }
        return replace(self, **parts)


@dataclass(frozen=True)
class _Layout:
    """Where each word of K sentences lies while they are read step by step.

    At step t, M_t sentences of each of B_t memories run. Memories stand by their longest sentence,
    and so do the sentences of each: those that have ended lie behind, and no step reads them.
    """

    order: Tensor  # (B,) the memories that have sentences
    sizes: list[tuple[int, int]]  # (B_t, M_t) of every step
    places: Tensor  # (W,) of each packed word among the Σ B_t·M_t that are read
    words: Tensor  # (Σ B_t·M_t,) the packed word at each place; 0 where a sentence has ended
    owners: Tensor  # (W,) the memory of each packed word, in the order above

    @staticmethod
    def of(lengths: Tensor, owners: Tensor) -> _Layout:
        """Arranges K sentences of `lengths` (K,) about the memories `owners` (K,), on the CPU."""
        memories: dict[int, list[int]] = {}
        longest_first = lengths.argsort(descending=True, stable=True).tolist()
        for sentence, owner in zip(longest_first, owners[longest_first].tolist(), strict=True):
            memories.setdefault(owner, []).append(sentence)  # in the order of their longest
        column = torch.zeros(2, len(lengths), dtype=torch.long)  # memory and rank of each sentence
        for number, sentences in enumerate(memories.values()):
            column[0, sentences] = number
            column[1, sentences] = torch.arange(len(sentences))
        runs = torch.arange(int(lengths.max())).unsqueeze(1) < lengths  # (T, K)
        counts = (torch.where(runs, column.unsqueeze(1), -1).amax(-1) + 1).T  # (T, 2)
        area = counts.prod(1)
        starts = area.cumsum(0) - area  # (T,)
        places = (starts + torch.outer(column[0], counts[:, 1])).add(column[1].unsqueeze(1))
        packed = pack_padded_sequence(places, lengths, batch_first=True, enforce_sorted=False).data
        words = torch.zeros(int(area.sum()), dtype=torch.long)
        words[packed] = torch.arange(len(packed))
        own = pack_padded_sequence(
            column[0].unsqueeze(1).expand_as(places), lengths, True, enforce_sorted=False
        ).data
        sizes = [(memories, sentences) for memories, sentences in counts.tolist()]
        return _Layout(torch.tensor(list(memories)), sizes, packed, words, own)

    def split(self, read: Tensor) -> list[Tensor]:
        """Of what lies at all places (Σ B_t·M_t, ·), each step's own (B_t, M_t, ·)."""
        areas = [memories * sentences for memories, sentences in self.sizes]
        parts = read.split(areas)
        return [part.unflatten(0, size) for part, size in zip(parts, self.sizes, strict=True)]

    def gather(self, steps: Sequence[Tensor]) -> Tensor:
        """Of what the steps gave, (B_t, M_t, …) each, that of the packed words, (W, …)."""
        return rows(torch.cat([step.flatten(0, 1) for step in steps]), self.places)

    def to(self, device: torch.device) -> _Layout:
        """The same, its indices on `device`."""
        names = ("order", "places", "words", "owners")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


class RecurrentDecoder(WordLayers):
    """A recurrent cell with attention, after Xu et al. 2015, §3.1.2.

    The initial state comes from the memory's mean; the context is gated (§4.2.1); the word is read
    out of the previous word, the state and the context together (deep output, eq. 7).
    """

    def __init__(
        self,
        attention: Attention | Bottleneck | Combined,
        embedding: nn.Embedding,
        cell: Cell,
        *,
        context_size: int,
        query: str = "before",
        input_feeding: bool = False,
        gate: bool = True,
        tie_embeddings: bool = True,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        copying: Copying | None = None,
    ) -> None:
        """Takes finished parts.

        Args:
            attention: any attention whose query is the recurrent state.
            embedding: of the vocabulary's V words.
            cell: its input is the previous word and, where the query comes before, the context.
            context_size: D.
            query: `before` the recurrent step (Bahdanau, Xu) or `after` it (Luong).
            input_feeding: with the query after it, the step reads the previous context beside the
                word, so that it knows what has been looked at (Luong et al. 2015, §3.3, who feed
                their attentional state instead).
            gate: scale the context by β = σ(f(h)).
            tie_embeddings: the output layer shares the embedding matrix.
            dropout: share dropped of embeddings and of the deep output.
            word_dropout: share of the previous words hidden whole (Gal & Ghahramani 2016, §4.2).
            copying: puts words of recognised things beside the vocabulary.
        """
        super().__init__()
        state_size, width = cell.hidden_size, embedding.embedding_dim
        self.attention, self.embedding, self.cell, self.query = attention, embedding, cell, query
        self.input_feeding = input_feeding
        self.reads_context = query == "before" or input_feeding
        self.initial_hidden = nn.Linear(context_size, state_size)
        self.initial_cell = nn.Linear(context_size, state_size) if cell.keeps_cell else None
        self.gate = nn.Linear(state_size, 1) if gate else None
        self.from_hidden = nn.Linear(state_size, width)
        self.from_context = nn.Linear(context_size, width)
        self.output = nn.Linear(width, embedding.num_embeddings)
        if tie_embeddings:
            self.output.weight = embedding.weight
        self.dropout = nn.Dropout(dropout)
        self.word_dropout = nn.Dropout1d(word_dropout)
        self.copying = copying

    def start(self, memory: Memory) -> tuple[Memory, RecurrentState]:
        """The memories made ready, and the state of one sentence of each before its first word.

        Raises:
            ValueError: a memory has no real position.
        """
        memory, first = self.attention.prepare(memory), self.attention.first(memory)
        if self.copying is not None:
            memory = self.copying.prepare(memory, self.embedding)
        first = first.unsqueeze(1)  # (B, 1, D)
        hidden = torch.tanh(self.initial_hidden(first))
        cell = torch.tanh(self.initial_cell(first)) if self.initial_cell is not None else None
        return memory, RecurrentState(hidden, cell, first if self.input_feeding else None)

    def step(self, tokens: Tensor, state: RecurrentState, memory: Memory) -> Step[RecurrentState]:
        """Reads the previous words (B, M) and predicts the next ones."""
        return self._step(tokens, state, memory)[0]

    def _step(
        self, tokens: Tensor, state: RecurrentState, memory: Memory
    ) -> tuple[Step[RecurrentState], Query]:
        embedded = self._embed(tokens)
        inputs = self.cell.read_words(embedded)
        weight = self._context_weight(inputs)
        query, attended, state = self._advance(embedded, inputs, weight, state, memory)
        deep = self._deep(embedded, state.hidden, attended.context)
        logits, copied = self._read_out(deep, memory)
        return Step(logits, attended, state, copied), query

    def probe(
        self, tokens: Tensor, state: RecurrentState, memory: Memory
    ) -> Probe[RecurrentState] | None:
        """A step with everything that is computed on the way; None where nothing is attended to."""
        if isinstance(self.attention, Bottleneck):
            return None
        step, query = self._step(tokens, state, memory)
        energies = self.attention.energies(query, memory).transpose(1, 2)
        contents = self.attention.contents(memory)
        return Probe(step, query.hidden, energies, contents, step.attended.context)

    def forward(
        self, tokens: Tensor, lengths: Tensor, memory: Memory, owners: Tensor | None = None
    ) -> Unrolled:
        """As `unroll`."""
        return self.unroll(tokens, lengths, memory, owners)

    def unroll(
        self,
        tokens: Tensor,
        lengths: Tensor,
        memory: Memory,
        owners: Tensor | None = None,
        compared: Compared | None = None,
    ) -> Unrolled:
        """Reads given sentences.

        Args:
            tokens: previous words, (K, T), each sentence from the start token on.
            lengths: of the sentences, (K,), on the CPU.
            memory: B memories, fresh from an encoder.
            owners: which of them each sentence is about, (K,), best on the CPU, where they are
                sorted; left out, the k-th is about the k-th.
            compared: the words whose logits are wanted, in their order; left out, all.
        """
        owners = torch.arange(len(tokens)) if owners is None else owners.cpu()
        layout = _Layout.of(lengths, owners).to(memory.device)
        memory, state = self.start(memory.select(layout.order))
        packed = pack_padded_sequence(tokens, lengths, batch_first=True, enforce_sorted=False)
        embedded = self._embed(packed.data)  # (W, E)
        steps, hidden = self._read(embedded, layout, state, memory)
        contexts = layout.gather([step.context for step in steps])
        deep = self._deep(embedded, layout.gather(hidden), contexts)  # (W, E)
        logits, copied = self._read_out(deep, memory, layout.owners, compared)  # (W, V)

        def padded(words: Tensor) -> Tensor:
            return pad_packed_sequence(packed._replace(data=words), batch_first=True)[0]

        names = steps[0].extras.keys()
        extras = {name: padded(layout.gather([s.extras[name] for s in steps])) for name in names}
        weights = padded(layout.gather([step.weights for step in steps]))
        if copied is not None:
            copied = Copied(padded(copied.tokens), padded(copied.shares))
        return Unrolled(packed._replace(data=logits), weights, extras, copied)

    def _read(
        self, embedded: Tensor, layout: _Layout, state: RecurrentState, memory: Memory
    ) -> tuple[list[Attended], list[Tensor]]:
        """What each step looked at, and its hidden state, (B_t, M_t, S)."""
        inputs = rows(self.cell.read_words(embedded), layout.words)
        weight = self._context_weight(inputs)
        words = layout.split(rows(embedded, layout.words))
        _, most = layout.sizes[0]
        state = state.select(layout.order.new_zeros(len(memory), most))
        steps, hidden = [], []
        for size, word, read in zip(layout.sizes, words, layout.split(inputs), strict=True):
            memory, state = memory.first(size[0]), state.first(*size)
            _, attended, state = self._advance(word, read, weight, state, memory)
            steps.append(attended)
            hidden.append(state.hidden)
        return steps, hidden

    def set_dropout(self, *, attention: float, words: float, features: float) -> None:
        """Sets the shares dropped in training.

        Args:
            attention: of the attention's weights.
            words: of the previous words, whole.
            features: of embeddings and of the deep output.
        """
        self.attention.set_dropout(attention)
        self.word_dropout.p, self.dropout.p = words, features

    def _context_weight(self, inputs: Tensor) -> Tensor | None:
        """The part of the cell that reads a context, (G, D), where it reads one."""
        if not self.reads_context:
            return None
        return self.cell.context_weight(self.embedding.embedding_dim, inputs)

    def _advance(
        self,
        word: Tensor,
        inputs: Tensor,
        weight: Tensor | None,
        state: RecurrentState,
        memory: Memory,
    ) -> tuple[Query, Attended, RecurrentState]:
        """One step on: the query, what it found, and the state behind the step."""
        covered = state.covered
        if self.query == "before":
            query = replace(_query(word, state, state.place), covered=covered)
            attended = self._attend(query, memory)
            state = self._recur(inputs, weight, attended.context, state)
            return query, attended, replace(state, covered=self._covering(covered, attended))
        before = state
        state = self._recur(inputs, weight, before.context, before)
        query = replace(
            _query(word, state, before.place),
            previous=before.hidden,
            fed=before.context,
            covered=covered,
        )
        attended = self._attend(query, memory)
        fed = attended.context if self.input_feeding else None
        covered = self._covering(covered, attended)
        return query, attended, replace(state, context=fed, covered=covered)

    def _covering(self, covered: Tensor | None, attended: Attended) -> Tensor | None:
        """What has been looked at after this step, where the attention asks for it."""
        if not self.attention.remembers:
            return None
        return attended.weights if covered is None else covered + attended.weights

    def _recur(
        self, inputs: Tensor, weight: Tensor | None, context: Tensor | None, state: RecurrentState
    ) -> RecurrentState:
        """The state after a word that has been read already, and a context that has not."""
        if weight is not None and context is not None:
            inputs = inputs + F.linear(context, weight)
        hidden, cell = self.cell(inputs, state.hidden, state.cell)
        return RecurrentState(hidden, cell, place=state.place + 1)

    def _attend(self, query: Query, memory: Memory) -> Attended:
        attended: Attended = self.attention(query, memory)
        if self.gate is None:
            return attended
        gate = torch.sigmoid(self.gate(query.hidden))  # (B, M, 1)
        return Attended(
            attended.context * gate, attended.weights, {**attended.extras, "gate": gate}
        )

    def _deep(self, embedded: Tensor, hidden: Tensor, context: Tensor) -> Tensor:
        """The deep output, before its dropout: (…, E)."""
        return torch.tanh(embedded + self.from_hidden(hidden) + self.from_context(context))


def _query(word: Tensor, state: RecurrentState, place: int) -> Query:
    return Query(state.hidden, word, place, state.cell)
