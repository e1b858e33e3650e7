"""Decoding: greedy, beam, nucleus sampling and teacher forcing, for any memory and any attention.

One loop serves them all, vectorised over photos and beams; what differs is the rule by which the
next words are chosen. Everything a hypothesis rests on is carried along its back-pointers.

Shapes: B memories, K hypotheses of each, V vocabulary, N positions, H heads, A alternatives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from captioner.errors import CheckpointError, ConfigError
from captioner.nn.copying import Copied
from captioner.nn.decoder import Decoder, Step, Stepwise
from captioner.nn.memory import Memory, of_each
from captioner.options import SearchOptions
from captioner.text import BOS, EOS, NEVER, PAD, UNK

_BLOCK = 64  # numbers, of which the largest is found at once
_SMALL = 60.0  # a logit whose exponential, of many words together, is an ordinary number
_STEP = 8  # memories that have to be finished before a batch gets smaller
_NO_NUMBERS = (
    "the model gives no probabilities, since its numbers overflow: the checkpoint is damaged, or "
    "went astray in training; get an undamaged copy, or one that was saved earlier"
)


@dataclass(frozen=True)
class Start:
    """What stands before the first word."""

    tokens: int | Sequence[int] = BOS  # for all memories, or for each one its own
    never: Sequence[int] = ()  # further tokens that no sentence holds: all that can stand there
    once: Sequence[int] = ()  # tokens that a sentence holds once at most, a prefix apart

    def column(self, memories: int, device: torch.device) -> Tensor:
        """The first tokens, (B,)."""
        one = isinstance(self.tokens, int)
        tokens = [self.tokens] * memories if one else list(self.tokens)  # type: ignore[arg-type]
        if len(tokens) != memories:
            raise ValueError(f"{len(tokens)} start tokens for {memories} memories")
        return torch.tensor(tokens, device=device)


_PLAIN = Start()


@dataclass(frozen=True)
class Hypothesis:
    """One sentence with everything it rests on. T words; the end is neither a word nor a map."""

    tokens: tuple[int, ...]  # (T,)
    log_probs: np.ndarray  # (T,), of each word given those before it; nan for an unknown word
    end_log_prob: float  # of the end after the last word
    weights: np.ndarray  # (T, H, N), what each word's step looked at
    alternatives: np.ndarray  # (T, A) tokens, the most probable at each place, best first
    alternative_probs: np.ndarray  # (T, A)
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)  # (T, …) each

    @property
    def log_prob(self) -> float:
        """Of the known words and the end, natural logarithm."""
        return float(np.nansum(self.log_probs, dtype=np.float64)) + self.end_log_prob

    def score(self, length_penalty: float) -> float:
        """Log p / length^a, the end counting as one; what hypotheses are ranked by."""
        return self.log_prob / (len(self.tokens) + 1) ** length_penalty


def word_log_probs(logits: Tensor, never: Sequence[int] = ()) -> Tensor:
    """Log probabilities (…, V) among the words that can be said, and the end of the sentence.

    Args:
        logits: (…, V).
        never: what cannot be said, besides the special tokens.
    """
    return sayable(logits.float(), never).log_softmax(-1)


def sayable(logits: Tensor, never: Sequence[int] = ()) -> Tensor:
    """The logits (…, V), −∞ where a word cannot be said: the special tokens, and `never`."""
    silent = torch.tensor([*NEVER, *never], device=logits.device)
    return logits.index_fill(-1, silent, -torch.inf)


def _most_probable(log_probs: Tensor, count: int, never: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Tokens (…, A) and probabilities (…, A) of the likeliest words, best first."""
    can_be_said = log_probs.shape[-1] - len({*NEVER, *never})
    best, tokens = _top(log_probs, min(count, can_be_said))
    return tokens, best.exp()


def _top(values: Tensor, count: int, largest: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The largest of the last dimension and their places, as `topk` finds them.

    On a CPU, `topk` looks at every number by itself. Of many blocks, the largest numbers are found
    at once; the `count`-th of these is no larger than the `count`-th of all, and little else is
    above it.

    Args:
        values: (…, V).
        count: how many to find.
        largest: what `_largest` says of `values`, where that is known.
    """
    size = values.shape[-1]
    if values.device.type == "cpu" and 0 < count * 4 <= size // _BLOCK:
        largest = _largest(values) if largest is None else largest
        least = largest.topk(count, dim=-1, sorted=False).values.amin(-1, keepdim=True)
        if bool(least.isfinite().all()):  # or most would have to be looked at
            return _above(values, count, least)
    best, places = values.topk(count, dim=-1)
    return best, places


def _largest(values: Tensor) -> Tensor:
    """The largest number of each block of the last dimension (…, V), one of the rest included."""
    whole = values.shape[-1] // _BLOCK * _BLOCK
    blocks = values[..., :whole].unflatten(-1, (-1, _BLOCK)).amax(-1)
    rest = values[..., whole:]
    return torch.cat([blocks, rest.amax(-1, keepdim=True)], -1) if rest.shape[-1] else blocks


def _above(values: Tensor, count: int, least: Tensor) -> tuple[Tensor, Tensor]:
    """The `count` largest of the last dimension, of which as many at least are `least` or more."""
    rows = values.flatten(0, -2).numpy()  # whose way to find a few among many is the faster one
    owners, places = np.divmod(np.flatnonzero(rows >= least.flatten(0, -2).numpy()), rows.shape[1])
    found = rows[owners, places]
    order = np.lexsort((-found, owners))
    first = np.searchsorted(owners, np.arange(len(rows)))
    chosen = order[first[:, None] + np.arange(count)]
    shape = (*values.shape[:-1], count)
    best = torch.from_numpy(found[chosen]).reshape(shape)
    return best, torch.from_numpy(places[chosen]).reshape(shape)


class _Scores:
    """Log probabilities of the next words, of which little more is computed than is asked for."""

    def __init__(self, step: Step[Any], never: Sequence[int]) -> None:
        self.logits, self.never = step.logits.float(), never  # (B, K, V)
        if never or not step.sayable:
            self.logits = sayable(self.logits, never)
        self.largest = _largest(self.logits) if self.logits.shape[-1] >= _BLOCK else self.logits
        self.total = self._total()  # (B, K, 1)

    def _total(self) -> Tensor:
        """The logarithm of the summed exponentials."""
        best = self.largest.amax(-1)
        if bool((best.abs() < _SMALL).all()):  # no exponential overflows: none has to be shifted
            return self.logits.exp().sum(-1, keepdim=True).log()
        return self.logits.logsumexp(-1, keepdim=True)

    def top(self, count: int) -> tuple[Tensor, Tensor]:
        """Tokens (B, K, C) and log probabilities of the likeliest words, best first."""
        count = min(count, self.logits.shape[-1] - len({*NEVER, *self.never}))
        best, tokens = _top(self.logits, count, self.largest)
        return tokens, best - self.total

    def of(self, tokens: Tensor) -> Tensor:
        """Log probabilities (B, K, C) of tokens (B, K, C)."""
        return self.logits.gather(-1, tokens) - self.total

    def all(self) -> Tensor:
        """Log probabilities (B, K, V)."""
        return self.logits - self.total


@dataclass(frozen=True)
class _Candidates:
    """The words that a step may say, the likeliest alone: (B, K, C) each, best first."""

    tokens: Tensor
    log_probs: Tensor  # −∞ where a word may not be said


@dataclass(frozen=True)
class _Choice:
    """The K next words of each memory: (B, K) each."""

    totals: Tensor  # log probability of the sentence so far, −∞ where there is none
    parents: Tensor  # which hypothesis is continued
    tokens: Tensor


class _Beam:
    """The K best continuations; a finished sentence gives up its place, as in Xu et al. 2015."""

    def __init__(self, batch: int, beams: int, device: torch.device) -> None:
        self.totals = torch.full((batch, beams), -torch.inf, device=device)
        self.totals[:, 0] = 0.0  # one start, or the first step would find K equal beams
        self.places = torch.full((batch, 1), beams, device=device)

    def choose(self, totals: Tensor, allowed: _Candidates, step: int) -> _Choice:
        beams = totals.shape[1]
        candidates = (totals.unsqueeze(-1) + allowed.log_probs).flatten(1)  # (B, K·C)
        best, indices = candidates.topk(beams, dim=1)
        rank = torch.arange(beams, device=best.device)
        best = best.masked_fill(rank >= self.places, -torch.inf)
        parents = indices // allowed.tokens.shape[-1]
        tokens = allowed.tokens.flatten(1).gather(1, indices)
        ended = (tokens == EOS) & best.isfinite()
        self.places = self.places - ended.sum(1, keepdim=True)
        return _Choice(best, parents, tokens)

    def keep(self, memories: Tensor) -> None:
        """Goes on with the memories at `memories` alone."""
        self.places = self.places[memories]


class _Nucleus:
    """One draw for each of K sentences from the likeliest words (Holtzman et al. 2020, §3.1)."""

    def __init__(self, draws: Tensor, options: SearchOptions) -> None:
        self.totals = torch.zeros(draws.shape[:2], device=draws.device)
        self.draws = draws  # (B, K, T) uniform in [0, 1)
        self.options = options

    def keep(self, memories: Tensor) -> None:
        """Goes on with the memories at `memories` alone."""
        self.draws = self.draws[memories]

    def choose(self, totals: Tensor, log_probs: Tensor, step: int) -> _Choice:
        """The words that are drawn, by log probabilities (B, K, V), −∞ where none may be said."""
        below_best = log_probs - log_probs.amax(-1, keepdim=True)  # divided, still 0 at the best
        probs, order = (below_best / self.options.temperature).softmax(-1), None
        if self.options.top_p < 1:
            probs, order = probs.sort(-1, descending=True)  # (B, K, V)
            outside = probs.cumsum(-1) - probs >= self.options.top_p
            outside[..., 0] = False  # in single precision, a tiny share is none at all
            probs = probs.masked_fill(outside, 0.0)
        cumulated = probs.cumsum(-1)
        total = cumulated[..., -1:]
        drawn = self.draws[..., step : step + 1].to(probs) * total
        # Rounded up to the total, it would lie behind every word.
        drawn = torch.minimum(drawn, total.nextafter(torch.zeros_like(total)))
        place = torch.searchsorted(cumulated, drawn, right=True)  # where p > 0: the first beyond
        place = place.clamp(max=cumulated.shape[-1] - 1)  # of what is no number: none
        tokens = (place if order is None else order.gather(-1, place)).squeeze(-1)
        totals = totals + log_probs.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
        return _Choice(totals, torch.arange(tokens.shape[1]).to(tokens).expand_as(tokens), tokens)


def uniform_draws(seed: int, indices: Sequence[int], samples: int, steps: int) -> Tensor:
    """Uniform numbers (B, samples, steps) that depend on a photo's own index, not on its batch."""
    rows = [np.random.default_rng((seed, index)).random((samples, steps)) for index in indices]
    return torch.from_numpy(np.stack(rows)).float()


@torch.inference_mode()
def search(
    decoder: Stepwise[Any],
    memory: Memory,
    options: SearchOptions,
    prefix: Sequence[int] = (),
    indices: Sequence[int] | None = None,
    start: Start = _PLAIN,
) -> list[list[Hypothesis]]:
    """Writes sentences about B memories; for each, hypotheses from best to worst.

    Args:
        decoder: in evaluation mode.
        memory: fresh from an encoder.
        options: beam or sampling, lengths, counts.
        prefix: words that every sentence must start with.
        indices: with sampling, the memories' own numbers, which seed their draws; left out, 0 to
            B − 1.
        start: what stands before the first word.

    Returns:
        `options.n_best` hypotheses a memory; fewer only where no more sentences are possible.

    Raises:
        ConfigError: the prefix is longer than `max_length` or holds a word that cannot be said.
        CheckpointError: the model gives no probabilities, since its numbers overflow.
    """
    _check_prefix(prefix, options, decoder.vocabulary_size, start.never)
    batch, device = len(memory), memory.device
    if batch == 0:
        return []
    rule: _Beam | _Nucleus = _Beam(batch, options.beam_size, device)
    if options.sample:
        numbers = range(batch) if indices is None else indices
        draws = uniform_draws(options.seed, numbers, options.n_best, options.max_length + 1)
        rule = _Nucleus(draws.to(device), options)
    trace = _run(decoder, memory, rule, options, prefix, start)
    found = trace.hypotheses(options.length_penalty)
    if not all(found):  # whatever is probable at all ends at the last step
        raise CheckpointError(_NO_NUMBERS)
    return [hypotheses[: options.n_best] for hypotheses in found]


def _check_prefix(
    prefix: Sequence[int], options: SearchOptions, vocabulary_size: int, never: Sequence[int]
) -> None:
    if len(prefix) > options.max_length:
        raise ConfigError(
            f"the prefix has {len(prefix)} words, max_length is {options.max_length}; raise "
            "max_length or shorten the prefix"
        )
    for token in prefix:
        if token in (*NEVER, *never, EOS) or not 0 <= token < vocabulary_size:
            raise ConfigError(f"the prefix holds token {token}, which cannot be said")


def _run(
    decoder: Stepwise[Any],
    memory: Memory,
    rule: _Beam | _Nucleus,
    options: SearchOptions,
    prefix: Sequence[int],
    start: Start,
) -> _Trace:
    totals = rule.totals  # (B, K)
    batch, beams = totals.shape
    memory, state = decoder.start(memory)
    state = state.select(torch.zeros_like(totals, dtype=torch.long))
    tokens = start.column(batch, totals.device).unsqueeze(1).expand(-1, beams)  # (B, K)
    trace = _Trace(torch.arange(batch, device=totals.device))
    said = _Said(start.once, decoder.vocabulary_size, tokens)
    # One step more than words: at the last, whatever still runs must end.
    forced = (*prefix, *[None] * (options.max_length - len(prefix)), EOS)
    for number, only in enumerate(forced):
        step = decoder.step(tokens, state, memory)
        scores = _Scores(step, start.never)
        if isinstance(rule, _Beam):
            likeliest, allowed = _looked_at(scores, options.alternatives, said, only)
            choice = rule.choose(totals, allowed, number)
        else:
            likeliest = scores.top(options.alternatives)
            log_probs = scores.all()
            log_probs = said.without(log_probs) if only is None else _alone(log_probs, only)
            choice = rule.choose(totals, log_probs, number)
        ended = (choice.tokens == EOS) & choice.totals.isfinite()
        trace.add(choice, ended, scores, likeliest, step)
        totals = choice.totals.masked_fill(ended, -torch.inf)
        running = totals.isfinite().any(1)
        if not bool(running.any()):
            break
        said.add(choice)
        state, tokens = step.state.select(choice.parents), choice.tokens
        kept = _unfinished(running)
        if kept is not None:
            memory, state = memory.select(kept), state.of(kept)
            tokens, totals = tokens[kept], totals[kept]
            for part in (rule, said, trace):
                part.keep(kept)
    return trace


def _looked_at(
    scores: _Scores, alternatives: int, said: _Said, only: int | None
) -> tuple[tuple[Tensor, Tensor], _Candidates]:
    """The likeliest words of all, and those among which a beam chooses, found at once."""
    beams, words = scores.logits.shape[1:]
    needed = min(beams, words) + said.most  # a hypothesis has no more, and of them some may be held
    tokens, log_probs = scores.top(max(alternatives, needed if only is None else 0))
    likeliest = tokens[..., :alternatives], log_probs[..., :alternatives]
    if only is not None:
        tokens = tokens.new_full((*tokens.shape[:-1], 1), only)
        return likeliest, _Candidates(tokens, scores.of(tokens))
    return likeliest, _Candidates(tokens, said.without_those(tokens, log_probs))


def _alone(log_probs: Tensor, only: int) -> Tensor:
    """Log probabilities (B, K, V), −∞ but for one word."""
    allowed = torch.full_like(log_probs, -torch.inf)
    allowed[..., only] = log_probs[..., only]
    return allowed


def _unfinished(running: Tensor) -> Tensor | None:
    """Which memories to go on with (K,): those that run, and a few more; None if it is all.

    What a graph runtime computes costs it some time at each size that it sees first, so there are
    few sizes.
    """
    count = -(-int(running.sum()) // _STEP) * _STEP
    if count >= len(running):
        return None
    first = running.int().argsort(descending=True, stable=True)[:count]
    return first.sort().values


class _Said:
    """Which words each hypothesis holds already, of those that may stand once."""

    def __init__(self, once: Sequence[int], words: int, like: Tensor) -> None:
        self.once: Tensor | None = None
        if once:
            self.once = torch.zeros(words, dtype=torch.bool, device=like.device)  # (V,)
            self.once[list(once)] = True
        self.held = like.new_empty(*like.shape, 0)  # (B, K, T) tokens, PAD where one may return

    def without(self, log_probs: Tensor) -> Tensor:
        """Log probabilities (B, K, V), −∞ where a word would be said again."""
        if self.once is None or not self.held.shape[-1]:
            return log_probs
        return log_probs.scatter(-1, self.held, -torch.inf)  # and so is PAD, in any case

    def without_those(self, tokens: Tensor, log_probs: Tensor) -> Tensor:
        """Log probabilities (B, K, C) of tokens (B, K, C), −∞ where one would be said again."""
        if not self.most:
            return log_probs
        again = (tokens.unsqueeze(-1) == self.held.unsqueeze(-2)).any(-1)
        return log_probs.masked_fill(again, -torch.inf)

    @property
    def most(self) -> int:
        """The most of these words that a hypothesis holds."""
        return int((self.held != PAD).sum(-1).max()) if self.held.shape[-1] else 0

    def add(self, choice: _Choice) -> None:
        """Follows the hypotheses to their children."""
        if self.once is not None:
            new = choice.tokens.where(self.once[choice.tokens], PAD)
            self.held = torch.cat([of_each(self.held, choice.parents), new.unsqueeze(-1)], -1)

    def keep(self, memories: Tensor) -> None:
        """Goes on with the memories at `memories` alone."""
        self.held = self.held[memories]


class _Trace:
    """What every step chose and saw, from which the sentences are read backwards."""

    def __init__(self, owners: Tensor) -> None:
        self.owners = owners  # (B,) the memory of each row of the step that comes
        self.memories = len(owners)
        self.rows: list[Tensor] = []  # of every memory in each step; anything where it has none
        self.parents: list[Tensor] = []
        self.steps: list[dict[str, Tensor]] = []  # (B, K, …) each, in the order of the children
        self.ended: list[tuple[Tensor, Tensor]] = []  # memories and slots where sentences end

    def add(
        self,
        choice: _Choice,
        ended: Tensor,
        scores: _Scores,
        likeliest: tuple[Tensor, Tensor],
        step: Step[Any],
    ) -> None:
        """Keeps one step; what belongs to a parent is put at its children's places."""
        parents = choice.parents
        memories = torch.arange(len(parents), device=parents.device).unsqueeze(1)
        best_tokens, best_log_probs = likeliest
        extras = {k: of_each(v, parents).float() for k, v in step.attended.extras.items()}
        if step.copied is not None:
            own, shares = (of_each(v, parents) for v in (step.copied.tokens, step.copied.shares))
            extras["copy_share"] = Copied(own, shares).of(choice.tokens)
        self.steps.append(
            {
                "token": choice.tokens,
                "log_prob": scores.logits[memories, parents, choice.tokens]
                - scores.total[memories, parents, 0],
                "weights": of_each(step.attended.weights, parents).float(),
                "alternatives": of_each(best_tokens, parents),
                "alternative_probs": of_each(best_log_probs, parents).exp(),
                **extras,
            }
        )
        self.parents.append(choice.parents)
        rows, slots = ended.nonzero(as_tuple=True)
        self.ended.append((self.owners[rows], slots))
        places = self.owners.new_zeros(self.memories)
        self.rows.append(places.scatter(0, self.owners, memories.flatten()))

    def keep(self, memories: Tensor) -> None:
        """Goes on with the memories at `memories` alone."""
        self.owners = self.owners[memories]

    def hypotheses(self, length_penalty: float) -> list[list[Hypothesis]]:
        """The sentences of each memory, best first."""
        photo, slot = (torch.cat(parts) for parts in zip(*self.ended, strict=True))  # (M,)
        counts = torch.tensor([len(own) for own, _ in self.ended], device=slot.device)
        last = torch.arange(len(counts), device=slot.device).repeat_interleave(counts)
        path = torch.zeros(len(self.parents), len(slot), dtype=torch.long, device=slot.device)
        for number in reversed(range(len(self.parents))):
            runs = last >= number
            path[number] = slot
            slot = torch.where(runs, self.parents[number][self.rows[number][photo], slot], slot)
        traced = {
            name: torch.stack(
                [s[name][self.rows[i][photo], path[i]] for i, s in enumerate(self.steps)]
            ).cpu()
            for name in self.steps[0]
        }  # (S, M, …)
        found: list[list[Hypothesis]] = [[] for _ in range(self.memories)]
        for row, (length, owner) in enumerate(zip(last.tolist(), photo.tolist(), strict=True)):
            columns = {k: v[: length + 1, row].numpy() for k, v in traced.items()}
            found[owner].append(_hypothesis(columns))
        for hypotheses in found:
            hypotheses.sort(key=lambda found: -found.score(length_penalty))
        return found


def _hypothesis(columns: dict[str, np.ndarray]) -> Hypothesis:
    """Cuts the end, the last row, from the words; copies, so that no view keeps a batch alive."""
    words = {name: column[:-1].copy() for name, column in columns.items()}
    return Hypothesis(
        tokens=tuple(words.pop("token").tolist()),
        log_probs=words.pop("log_prob"),
        end_log_prob=float(columns["log_prob"][-1]),
        weights=words.pop("weights"),
        alternatives=words.pop("alternatives"),
        alternative_probs=words.pop("alternative_probs"),
        extras=words,
    )


@torch.inference_mode()
def force(
    decoder: Decoder[Any],
    memory: Memory,
    sentences: Sequence[Sequence[int]],
    owners: Sequence[int] | None = None,
    alternatives: int = SearchOptions.alternatives,
    start: Start = _PLAIN,
) -> list[Hypothesis]:
    """Hypotheses of given sentences (teacher forcing): what the model would have thought of them.

    Args:
        decoder: in evaluation mode.
        memory: B memories, fresh from an encoder.
        sentences: tokens without start and end; `UNK` for words that the vocabulary lacks.
        owners: which memory each sentence is about; left out, the k-th is about the k-th.
        alternatives: how many of the most probable words to report at each place.
        start: what stands before the first word of each memory's sentences.

    Raises:
        CheckpointError: the model gives no probabilities, since its numbers overflow.
    """
    if not sentences:
        return []
    device = memory.device
    targets = [torch.tensor([*sentence, EOS]) for sentence in sentences]
    lengths = torch.tensor([len(target) for target in targets])
    target = pad_sequence(targets, batch_first=True).to(device)  # (K, T)
    about = torch.arange(len(sentences)) if owners is None else torch.tensor(owners)  # (K,)
    first = start.column(len(memory), device)[about.to(device)]
    inputs = torch.cat([first.unsqueeze(1), target[:, :-1]], 1)
    unrolled = decoder.unroll(inputs, lengths, memory, about)
    log_probs = word_log_probs(unrolled.padded_logits(), start.never)  # (K, T, V)
    chosen = log_probs.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    chosen = chosen.masked_fill(target == UNK, torch.nan)
    best_tokens, best_probs = _most_probable(log_probs, alternatives, start.never)
    columns = {
        "token": target,
        "log_prob": chosen,
        "weights": unrolled.weights.float(),
        "alternatives": best_tokens,
        "alternative_probs": best_probs,
        **{name: value.float() for name, value in unrolled.extras.items()},
    }
    if unrolled.copied is not None:
        columns["copy_share"] = unrolled.copied.of(target)
    arrays = {name: value.cpu().numpy() for name, value in columns.items()}
    lacking = np.isnan(arrays["log_prob"]) & (arrays["token"] != UNK)
    if any(lacking[row, :length].any() for row, length in enumerate(lengths.tolist())):
        raise CheckpointError(_NO_NUMBERS)
    return [
        _hypothesis({name: value[row, :length] for name, value in arrays.items()})
        for row, length in enumerate(lengths.tolist())
    ]
