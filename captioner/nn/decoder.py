"""The decoder: a recurrent network that writes a sentence while attending to a memory.

Shapes: B memories, K sentences, T words, M words of all sentences together, N positions,
D features, H heads, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from captioner.nn.attention import Attended, Attention, Bottleneck, Memory, MultiHead, rows
from captioner.nn.copying import Copied, Copying


@dataclass(frozen=True)
class State:
    """What the decoder remembers between two words."""

    hidden: Tensor  # (K, S)
    cell: Tensor | None = None  # (K, S), of an LSTM
    context: Tensor | None = None  # (K, D) of the previous step, where the next one is fed it

    def select(self, indices: Tensor | slice) -> State:
        """The states at `indices`, which may repeat."""
        cell = None if self.cell is None else rows(self.cell, indices)
        context = None if self.context is None else rows(self.context, indices)
        return State(rows(self.hidden, indices), cell, context)


@dataclass(frozen=True)
class Step:
    """One word further."""

    logits: Tensor  # (K, V) of the next word
    attended: Attended  # what this step looked at
    state: State
    copied: Copied | None = None  # (K, S), where the decoder copies


@dataclass(frozen=True)
class Unrolled:
    """All steps of given sentences (teacher forcing)."""

    logits: PackedSequence  # (M, V): no step is spent on padding
    weights: Tensor  # (K, T, H, N), 0 beyond a sentence's end
    extras: Mapping[str, Tensor]  # the attention's by-products, (K, T, …) each
    copied: Copied | None = None  # (K, T, S), where the decoder copies

    def padded_logits(self) -> Tensor:
        """Logits (K, T, V), 0 beyond a sentence's end."""
        return pad_packed_sequence(self.logits, batch_first=True)[0]


class Decoder(nn.Module):
    """LSTM or GRU with attention, after Xu et al. 2015, §3.1.2.

    The initial state comes from the memory's mean; the context is gated (§4.2.1); the word is read
    out of the previous word, the state and the context together (deep output, eq. 7).
    """

    def __init__(
        self,
        attention: Attention | Bottleneck | MultiHead,
        embedding: nn.Embedding,
        cell: nn.LSTMCell | nn.GRUCell,
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
        self.initial_hidden = nn.Linear(context_size, state_size)
        self.initial_cell = (
            nn.Linear(context_size, state_size) if isinstance(cell, nn.LSTMCell) else None
        )
        self.gate = nn.Linear(state_size, 1) if gate else None
        self.from_hidden = nn.Linear(state_size, width)
        self.from_context = nn.Linear(context_size, width)
        self.output = nn.Linear(width, embedding.num_embeddings)
        if tie_embeddings:
            self.output.weight = embedding.weight
        self.dropout = nn.Dropout(dropout)
        self.word_dropout = nn.Dropout1d(word_dropout)
        self.copying = copying

    def start(self, memory: Memory) -> tuple[Memory, State]:
        """The memory made ready for the attention, and the state before the first word."""
        memory, first = self.attention.prepare(memory), self.attention.first(memory)
        if self.copying is not None:
            memory = self.copying.prepare(memory)
        hidden = torch.tanh(self.initial_hidden(first))
        cell = torch.tanh(self.initial_cell(first)) if self.initial_cell is not None else None
        return memory, State(hidden, cell, first if self.input_feeding else None)

    def step(self, tokens: Tensor, state: State, memory: Memory) -> Step:
        """Reads the previous words (K,) and predicts the next ones."""
        embedded = self._embed(tokens)
        inputs = self._read_words(embedded)
        attended, state = self._advance(inputs, self._context_weight(inputs), state, memory)
        deep = self._deep(embedded, state.hidden, attended.context)
        logits, copied = self._read_out(deep, memory)
        return Step(logits, attended, state, copied)

    def forward(
        self, tokens: Tensor, lengths: Tensor, memory: Memory, owners: Tensor | None = None
    ) -> Unrolled:
        """Runs all steps of given sentences: the same computation as `step`, word by word.

        Args:
            tokens: previous words (K, T), the first of each sentence being the start token.
            lengths: words of each sentence (K,), on the CPU.
            memory: B memories, fresh from an encoder.
            owners: which memory each sentence is about, (K,); left out, the k-th is about the k-th.
        """
        packed = pack_padded_sequence(tokens, lengths, batch_first=True, enforce_sorted=False)
        order = packed.sorted_indices  # the longest first: those still running are a prefix
        assert order is not None, "enforce_sorted=False sorts"
        memory, state = self.start(memory)
        own = order if owners is None else owners[order]
        memory, state = memory.select(own), state.select(own)
        whole = memory
        embedded = self._embed(packed.data)  # (M, E)
        hidden: list[Tensor] = []
        steps: list[Attended] = []
        inputs = self._read_words(embedded)  # (M, G)
        weight = self._context_weight(inputs)
        for word in inputs.split(packed.batch_sizes.tolist()):
            if len(word) < len(memory):
                memory, state = memory.select(slice(len(word))), state.select(slice(len(word)))
            attended, state = self._advance(word, weight, state, memory)
            hidden.append(state.hidden)
            steps.append(attended)
        contexts = torch.cat([step.context for step in steps])
        deep = self._deep(embedded, torch.cat(hidden), contexts)  # (M, E)
        running = torch.cat([torch.arange(n) for n in packed.batch_sizes.tolist()])
        logits, copied = self._read_out(deep, whole, running.to(deep.device))  # (M, V)

        def padded(parts: list[Tensor]) -> Tensor:
            return pad_packed_sequence(packed._replace(data=torch.cat(parts)), batch_first=True)[0]

        weights = padded([step.weights for step in steps])
        extras = {name: padded([step.extras[name] for step in steps]) for name in steps[0].extras}
        if copied is not None:
            copied = Copied(padded([copied.tokens]), padded([copied.shares]))
        return Unrolled(packed._replace(data=logits), weights, extras, copied)

    def _embed(self, tokens: Tensor) -> Tensor:
        return self.dropout(self.word_dropout(self.embedding(tokens)))

    def _read_words(self, embedded: Tensor) -> Tensor:
        """What the previous words add to the cell's gates, (M, G): of all steps at once."""
        weight = self.cell.weight_ih[:, : self.embedding.embedding_dim]
        return F.linear(embedded, weight, self.cell.bias_ih)

    def _context_weight(self, inputs: Tensor) -> Tensor | None:
        """The part of the cell that reads a context (G, D), as precise as its inputs."""
        weight = self.cell.weight_ih[:, self.embedding.embedding_dim :]
        return weight.to(inputs.dtype) if weight.shape[1] else None

    def _advance(
        self, inputs: Tensor, weight: Tensor | None, state: State, memory: Memory
    ) -> tuple[Attended, State]:
        if self.query == "before":
            attended = self._attend(state.hidden, memory)
            return attended, self._recur(inputs, weight, attended.context, state)
        state = self._recur(inputs, weight, state.context, state)
        attended = self._attend(state.hidden, memory)
        return attended, replace(state, context=attended.context if self.input_feeding else None)

    def _recur(
        self, inputs: Tensor, weight: Tensor | None, context: Tensor | None, state: State
    ) -> State:
        """`nn.LSTMCell` or `nn.GRUCell`, which has read the word already."""
        if weight is not None and context is not None:
            inputs = inputs + F.linear(context, weight)
        recurrent = F.linear(state.hidden, self.cell.weight_hh, self.cell.bias_hh)  # (K, G)
        if state.cell is None:
            reset, update, new = inputs.chunk(3, -1)
            own_reset, own_update, own_new = recurrent.chunk(3, -1)
            keep = torch.sigmoid(update + own_update)
            fresh = torch.tanh(new + torch.sigmoid(reset + own_reset) * own_new)
            return State(fresh + keep * (state.hidden - fresh))
        enter, forget, new, out = (inputs + recurrent).chunk(4, -1)
        cell = torch.sigmoid(forget) * state.cell + torch.sigmoid(enter) * torch.tanh(new)
        return State(torch.sigmoid(out) * torch.tanh(cell), cell)

    def _attend(self, query: Tensor, memory: Memory) -> Attended:
        attended = self.attention(query, memory)
        if self.gate is None:
            return attended
        gate = torch.sigmoid(self.gate(query))  # (K, 1)
        return Attended(
            attended.context * gate, attended.weights, {**attended.extras, "gate": gate}
        )

    def _deep(self, embedded: Tensor, hidden: Tensor, context: Tensor) -> Tensor:
        """The deep output, before its dropout: (M, E)."""
        return torch.tanh(embedded + self.from_hidden(hidden) + self.from_context(context))

    def _read_out(
        self, deep: Tensor, memory: Memory, owners: Tensor | None = None
    ) -> tuple[Tensor, Copied | None]:
        """Logits (M, V), what is copied taken in; `owners` (M,) tells the memory of each row."""
        deep = self.dropout(deep)
        logits = self.output(deep)
        if self.copying is None:
            return logits, None
        both: tuple[Tensor, Copied] = self.copying(logits, deep, self.embedding, memory, owners)
        return both
