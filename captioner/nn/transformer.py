"""The Transformer's decoder: Vaswani et al. 2017.

Shapes: B memories, M sentences of each, K sentences of all memories together, T words, W words of
all sentences together, N positions, D features, E embedding, S model size, L layers, H heads of
the cross-attention, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from captioner.nn.attention import Attended, Attention
from captioner.nn.copying import Copied, Copying
from captioner.nn.decoder import Probe, Step, Unrolled
from captioner.nn.memory import Memory, of_each, rows
from captioner.nn.positions import Positions
from captioner.nn.query import Query
from captioner.nn.scores import General
from captioner.nn.selfattention import (
    Around,
    Dropping,
    FeedForward,
    LayerPlan,
    SelfAttention,
    fitted,
    start_evenly,
)
from captioner.nn.vocabulary import Compared, WordLayers


@dataclass(frozen=True)
class TransformerState:
    """What the decoder remembers between two words: keys and values of those before."""

    past: Tensor  # (B, M, L, 2, ·, t, ·)

    @property
    def place(self) -> int:
        """How many words have been read (t)."""
        return self.past.shape[-2]

    def select(self, indices: Tensor) -> TransformerState:
        """Of each memory's sentences those at `indices` (B, K), which may repeat."""
        return TransformerState(of_each(self.past, indices))

    def of(self, memories: Tensor) -> TransformerState:
        """All sentences about the memories at `memories` (K,)."""
        return TransformerState(self.past.index_select(0, memories))


@dataclass(frozen=True)
class MapChoice:
    """Which of the L·H looks of a step are its map: one, several side by side, or all of them."""

    layer: int = 0  # from 1; 0: every layer
    head: int = 0  # from 1; 0: every head

    def of(self, layers: Sequence[Tensor], dim: int) -> Tensor:
        """Of each layer's tensors, with H heads along `dim`, those of the map, side by side."""
        if self.layer:
            layers = layers[self.layer - 1 : self.layer]
        if self.head:
            layers = [layer.narrow(dim, self.head - 1, 1) for layer in layers]
        return layers[0] if len(layers) == 1 else torch.cat(list(layers), dim)


class DecoderLayer(nn.Module):
    """Self-attention over the words so far, attention over the memory, a feed-forward network."""

    around: Sequence[Around]

    def __init__(self, plan: LayerPlan, dropping: Dropping, cross: Attention) -> None:
        super().__init__()
        self.attention = SelfAttention(plan.size, plan.heads, dropping.weights)
        self.cross = cross
        self.feed = FeedForward(plan, dropping)
        self.around = nn.ModuleList(  # type: ignore[assignment]
            Around(plan, dropping) for _ in range(3)
        )

    def forward(
        self, values: Tensor, past: Tensor, memory: Memory, seen: Tensor, real: Tensor | None
    ) -> tuple[Tensor, Tensor, Query, Attended]:
        """One layer further, for all T words of M sentences about each of B memories.

        Args:
            values: (B, M, T, S).
            past: keys and values of the words before, (B, M, 2, ·, t, ·).
            memory: with this layer's keys and contents.
            seen: (T, t + T), True where a word sees another.
            real: (B, M, T), False for padding; None: all words are.

        Returns:
            Values (B, M, T, S), the keys and values of all t + T words, and the question and the
            answer of the M·T queries to each memory.
        """
        attending, looking, feeding = self.around
        gathered, _, held = self.attention(attending.before(values, real), seen, past)
        values = attending.after(values, gathered, real)
        query = Query(looking.before(values, real).flatten(1, 2))
        attended: Attended = self.cross(query, memory)
        context = attended.context.view(values.shape)
        values = looking.after(values, context, real)
        values = feeding.after(values, self.feed(feeding.before(values, real)), real)
        return values, held, query, attended


class TransformerDecoder(WordLayers):
    """Masked self-attention and attention over a memory, layer by layer (§3.1).

    Word by word, keys and values of the words before are remembered, not computed anew. Each
    layer's cross-attention is one as every decoder's, with any score; which of them is the map that
    people see is a matter of choice.
    """

    layers: Sequence[DecoderLayer]

    def __init__(
        self,
        embedding: nn.Embedding,
        cross: Sequence[Attention],
        plan: LayerPlan,
        *,
        memory_size: int,
        positions: Positions | None,
        maps: MapChoice = MapChoice(),
        tie_embeddings: bool = True,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        word_dropout: float = 0.0,
        copying: Copying | None = None,
    ) -> None:
        """Takes finished parts.

        Args:
            embedding: of the vocabulary's V words.
            cross: of each layer, with heads that project queries and values of S features.
            plan: of the layers.
            memory_size: D.
            positions: of the words, (…, S); None: none.
            maps: which layer and head come out.
            tie_embeddings: the output layer shares the embedding matrix.
            dropout: share dropped of embeddings, of what each part of a layer gives, and of the
                deep output.
            attention_dropout: share dropped of the weights of all attention.
            word_dropout: share of the previous words hidden whole.
            copying: puts words of recognised things beside the vocabulary.
        """
        super().__init__()
        width = embedding.embedding_dim
        self.embedding, self.positions, self.maps = embedding, positions, maps
        self.dropout, self.word_dropout = nn.Dropout(dropout), nn.Dropout1d(word_dropout)
        self.weight_dropout = nn.Dropout(attention_dropout)
        dropping = Dropping(self.dropout, self.weight_dropout)
        self.layers = nn.ModuleList(  # type: ignore[assignment]
            DecoderLayer(plan, dropping, each) for each in cross
        )
        self.norm = plan.last_norm()
        self.enter = fitted(width, plan.size)
        self.leave = fitted(plan.size, width)
        self.read = fitted(memory_size, plan.size)
        start_evenly(self)
        self._start_undecided()
        self.output = nn.Linear(width, embedding.num_embeddings)
        if tie_embeddings:
            self.output.weight = embedding.weight
        self.copying = copying

    @torch.no_grad()
    def _start_undecided(self) -> None:
        """Lets the general score start as small as the scaled dot's.

        Norms make queries and keys long; their product would let one position have all the weight
        and the others no gradient (Vaswani et al. 2017, §3.2.1). A recurrent state is short.
        """
        for layer in self.layers:
            if isinstance(layer.cross.score, General):
                matrix = layer.cross.score.key.weight
                matrix.mul_(matrix.shape[0] ** -0.5)

    def start(self, memory: Memory) -> tuple[Memory, TransformerState]:
        """The memories made ready, with all layers' keys and contents side by side as if of heads.

        Raises:
            ValueError: a memory has no real position.
        """
        read = replace(memory, values=self.read(memory.values))
        own = [layer.cross.prepare(read) for layer in self.layers]
        keys, contents = [one.keys for one in own], [one.contents for one in own]
        ready = replace(
            read,
            keys=torch.cat([part for part in keys if part is not None], 1),
            contents=torch.cat([part for part in contents if part is not None], 1),
        )
        if self.copying is not None:
            ready = self.copying.prepare(ready, self.embedding)
        heads = self.layers[0].attention.heads
        size = read.values.shape[-1] // heads
        past = read.values.new_zeros(len(memory), 1, len(self.layers), 2, heads, 0, size)
        return ready, TransformerState(past)

    def step(
        self, tokens: Tensor, state: TransformerState, memory: Memory
    ) -> Step[TransformerState]:
        """Reads the previous words (B, M) and predicts the next ones."""
        return self._step(tokens, state, memory)[0]

    def probe(
        self, tokens: Tensor, state: TransformerState, memory: Memory
    ) -> Probe[TransformerState]:
        """A step with everything that is computed on the way; each layer asks, side by side."""
        step, queries, layers = self._step(tokens, state, memory)
        assert memory.contents is not None
        energies = [
            layer.cross.energies(query, self._of_layer(memory, number)).transpose(1, 2)
            for number, (layer, query) in enumerate(zip(self.layers, queries, strict=True))
        ]
        contents = memory.contents.chunk(len(self.layers), 1)
        whole = replace(self.maps, head=0)  # what is asked and found by all heads together
        asked = whole.of([query.hidden for query in queries], 2)
        found = whole.of([layer.context for layer in layers], 2)
        return Probe(step, asked, self.maps.of(energies, 2), self.maps.of(contents, 1), found)

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
        """Reads given sentences, all words at once: none sees those behind it.

        Args:
            tokens: previous words, (K, T), each sentence from the start token on.
            lengths: of the sentences, (K,), on the CPU.
            memory: B memories, fresh from an encoder.
            owners: which of them each sentence is about, (K,), best on the CPU; left out, the k-th
                is about the k-th.
            compared: the words whose logits are wanted, in their order; left out, all.
        """
        owners = torch.arange(len(tokens)) if owners is None else owners.cpu()
        places = _Places.of(lengths, owners).to(memory.device)
        memory, state = self.start(memory.select(places.order))
        longest = int(lengths.max())
        side_by_side = places.spread(tokens[:, :longest])  # (B, M, T)
        real = torch.arange(longest, device=memory.device) < places.lengths.unsqueeze(-1)
        state = state.select(places.order.new_zeros(side_by_side.shape[:2]))
        values, _, _, layers = self._run(side_by_side, state, memory, real)

        def packed(words: Tensor) -> PackedSequence:  # of words (B, M, T, …), the K sentences'
            own = rows(words.flatten(0, 1), places.places)
            return pack_padded_sequence(own, lengths, batch_first=True, enforce_sorted=False)

        def padded(words: PackedSequence) -> Tensor:
            return pad_packed_sequence(words, batch_first=True)[0]

        deep, owned = packed(self._deep(values)), packed(places.owners.expand_as(side_by_side))
        logits, copied = self._read_out(deep.data, memory, owned.data, compared)  # (W, V)
        attended = self._seen(layers)
        size = side_by_side.shape
        if copied is not None:
            copied = Copied(
                padded(deep._replace(data=copied.tokens)), padded(deep._replace(data=copied.shares))
            )
        return Unrolled(
            deep._replace(data=logits),
            padded(packed(attended.weights.unflatten(1, size[1:]))),
            {k: padded(packed(v.unflatten(1, size[1:]))) for k, v in attended.extras.items()},
            copied,
        )

    def set_dropout(self, *, attention: float, words: float, features: float) -> None:
        """Sets the shares dropped in training.

        Args:
            attention: of the weights of all attention.
            words: of the previous words, whole.
            features: of embeddings, of what each part gives, and of the deep output.
        """
        for layer in self.layers:
            layer.cross.set_dropout(attention)
        self.weight_dropout.p = attention
        self.word_dropout.p, self.dropout.p = words, features

    def _step(
        self, tokens: Tensor, state: TransformerState, memory: Memory
    ) -> tuple[Step[TransformerState], Sequence[Query], Sequence[Attended]]:
        values, state, queries, layers = self._run(tokens.unsqueeze(-1), state, memory)
        logits, copied = self._read_out(self._deep(values).squeeze(2), memory)
        return Step(logits, self._seen(layers), state, copied), queries, layers

    def _run(
        self, tokens: Tensor, state: TransformerState, memory: Memory, real: Tensor | None = None
    ) -> tuple[Tensor, TransformerState, Sequence[Query], Sequence[Attended]]:
        """Reads T further words (B, M, T) of each sentence: values (B, M, T, S) and the rest."""
        first, count = state.place, tokens.shape[-1]
        places = torch.arange(first, first + count, device=tokens.device)
        embedded = self._embed(tokens.flatten(1)).view(*tokens.shape, -1)
        values = self.enter(embedded * self.embedding.embedding_dim**0.5)  # (B, M, T, S)
        if self.positions is not None:
            values = values + self.positions(places)
        seen = torch.arange(first + count, device=tokens.device) <= places.unsqueeze(1)
        held, queries, layers = [], [], []
        for number, layer in enumerate(self.layers):
            own = self._of_layer(memory, number)
            values, past, query, attended = layer(values, state.past[:, :, number], own, seen, real)
            held.append(past)
            queries.append(query)
            layers.append(attended)
        return self.norm(values, real), TransformerState(torch.stack(held, 2)), queries, layers

    def _of_layer(self, memory: Memory, number: int) -> Memory:
        """The memory with one layer's keys and contents."""
        assert memory.keys is not None, "start comes first"
        assert memory.contents is not None
        heads = self.layers[0].cross.heads
        own = slice(number * heads, (number + 1) * heads)
        return replace(memory, keys=memory.keys[:, own], contents=memory.contents[:, own])

    def _seen(self, layers: Sequence[Attended]) -> Attended:
        """What the step looked at: the map's layers and heads, and the last of its contexts."""
        last = layers[self.maps.layer - 1]  # with no layer chosen, the last of all
        return replace(last, weights=self.maps.of([layer.weights for layer in layers], 2))

    def _deep(self, values: Tensor) -> Tensor:
        """The deep output (…, E) of values (…, S)."""
        deep: Tensor = self.leave(values)
        return deep


@dataclass(frozen=True)
class _Places:
    """Where K sentences lie when those of a memory stand side by side, B·M places in all."""

    order: Tensor  # (B,) the memories that have sentences
    places: Tensor  # (K,) of each sentence
    sentences: Tensor  # (B, M) at each place; the first one where there is none
    lengths: Tensor  # (B, M), 0 where there is none

    @staticmethod
    def of(lengths: Tensor, owners: Tensor) -> _Places:
        """Arranges K sentences of `lengths` (K,) about the memories `owners` (K,), on the CPU."""
        order, memory, counts = owners.unique(return_inverse=True, return_counts=True)
        by_memory = memory.argsort(stable=True)
        firsts = (counts.cumsum(0) - counts).repeat_interleave(counts)
        most = int(counts.max())
        places = torch.empty_like(memory)
        places[by_memory] = memory[by_memory] * most + torch.arange(len(memory)) - firsts
        sentences = torch.zeros(len(order) * most, dtype=torch.long)
        sentences[places] = torch.arange(len(places))
        spread = torch.zeros(len(order) * most, dtype=torch.long)
        spread[places] = lengths
        size = (len(order), most)
        return _Places(order, places, sentences.view(size), spread.view(size))

    def spread(self, values: Tensor) -> Tensor:
        """What belongs to the sentences (K, …), at their places: (B, M, …)."""
        return rows(values, self.sentences.flatten()).unflatten(0, self.sentences.shape)

    @property
    def owners(self) -> Tensor:
        """The memory of each place, in the order above, (B, 1, 1)."""
        return torch.arange(len(self.order), device=self.order.device).view(-1, 1, 1)

    def to(self, device: torch.device) -> _Places:
        """The same, on `device`."""
        names = ("order", "places", "sentences", "lengths")
        return _Places(*(getattr(self, name).to(device) for name in names))
