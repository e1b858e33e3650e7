"""Decoding, held against naive searches that share no code with it."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from captioner import search as search_module
from captioner.errors import CheckpointError, ConfigError
from captioner.nn.attention import Attended, Attention
from captioner.nn.cells import CELLS
from captioner.nn.decoder import Step
from captioner.nn.memory import Memory
from captioner.nn.recurrent import RecurrentDecoder, RecurrentState
from captioner.nn.scores import SCORE_BUILDERS
from captioner.options import SearchOptions
from captioner.search import Hypothesis, Start, force, search, uniform_draws, word_log_probs
from captioner.text import BOS, EOS, PAD, UNK

V, E, S, D, N, B = 23, 11, 13, 7, 17, 5
MAX_LENGTH = 6


def decoder_of(seed: int = 3, cell: str = "lstm", query: str = "before") -> RecurrentDecoder:
    torch.manual_seed(seed)
    inputs = E if query == "after" else E + D
    decoder = RecurrentDecoder(
        Attention(SCORE_BUILDERS["additive"](S, D, 5)),
        nn.Embedding(V, E),
        CELLS[cell](inputs, S),
        context_size=D,
        query="after" if query == "fed" else query,
        input_feeding=query == "fed",  # the previous context is carried along
        tie_embeddings=False,
    )
    with torch.no_grad():  # from nearly indifferent to opinionated
        for parameter in decoder.parameters():
            parameter.mul_(2)
        decoder.output.weight.mul_(3)
        decoder.output.bias[EOS] += 2
    return decoder.eval()


def memory_of(masked: bool = False) -> Memory:
    values = 2 * torch.randn(B, N, D, generator=torch.Generator().manual_seed(5))
    mask = torch.arange(N) < torch.tensor([17, 3, 1, 11, 5]).unsqueeze(1)
    return Memory(values, mask if masked else None)


def options_of(**settings: Any) -> SearchOptions:
    return SearchOptions(**{"max_length": MAX_LENGTH, "alternatives": 3, **settings})


@dataclass(frozen=True)
class Said:
    """All that the scripted decoder remembers."""

    words: Tensor  # (B, K, T) the start and what has been said

    def select(self, indices: Tensor) -> Said:
        taken = [own[chosen] for own, chosen in zip(self.words, indices, strict=True)]
        return Said(torch.stack(taken))

    def of(self, memories: Tensor) -> Said:
        return Said(self.words[memories])


class Scripted:
    """A decoder whose distributions are drawn anew for every photo and every beginning.

    It stands in for the real one, and what it attends to betrays the words that a step had read.
    """

    def __init__(self, words: int, sharpness: float = 2.0) -> None:
        self.vocabulary_size = words
        self.words, self.sharpness = words, sharpness
        self.cache: dict[tuple[int, ...], np.ndarray] = {}

    def log_probs(self, photo: int, said: tuple[int, ...]) -> np.ndarray:
        """(V,) after the words `said`."""
        key = (photo, *said)
        if key not in self.cache:
            logits = self.sharpness * np.random.default_rng(key).normal(size=self.words)
            logits[[PAD, BOS, UNK]] += 9  # a search that may say them, will
            self.cache[key] = logits
        kept = self.cache[key].copy()
        kept[[PAD, BOS, UNK]] = -np.inf
        return kept - np.log(np.exp(kept).sum())

    def start(self, memory: Memory) -> tuple[Memory, Said]:
        return memory, Said(torch.zeros(len(memory), 1, 0))

    def step(self, tokens: Tensor, state: Said, memory: Memory) -> Step[Said]:
        read = torch.cat([state.words, tokens.unsqueeze(2)], 2)  # the start and the words so far
        batch, beams = tokens.shape
        logits, weights = torch.zeros(batch, beams, self.words), torch.zeros(batch, beams, 2, N)
        for row, photo in enumerate(memory.values[:, 0, 0].long().tolist()):
            for beam in range(beams):
                said = tuple(map(int, read[row, beam, 1:].tolist()))
                self.log_probs(photo, said)
                logits[row, beam] = torch.from_numpy(self.cache[photo, *said])
                for head, place in enumerate(places(photo, said)):
                    weights[row, beam, head, place] = 1
        extras = {"last": tokens.unsqueeze(2)}
        contexts = memory.values[:, :1].expand(-1, beams, -1)
        return Step(logits, Attended(contexts, weights, extras), Said(read))


def places(photo: int, said: Sequence[int]) -> tuple[int, int]:
    """Where the two heads look after the words `said`: every beginning somewhere else."""
    number = sum(word * 7**place for place, word in enumerate(said, 1)) + photo
    return number % N, (number // N) % N


def photos_of(*numbers: int) -> Memory:
    return Memory(torch.tensor(numbers).float().view(-1, 1, 1).expand(-1, N, 1))


def run(
    decoder: RecurrentDecoder | Scripted, memory: Memory, *arguments: Any, **settings: Any
) -> Any:
    return search(decoder, memory, *arguments, **settings)  # type: ignore[arg-type]


def every_sentence(words: int, max_length: int) -> Iterator[tuple[int, ...]]:
    for length in range(max_length + 1):
        yield from itertools.product(range(4, words), repeat=length)


def log_prob_of(script: Scripted, photo: int, sentence: tuple[int, ...]) -> float:
    ended = (*sentence, EOS)
    return sum(script.log_probs(photo, ended[:t])[word] for t, word in enumerate(ended))


@dataclass(frozen=True)
class Found:
    tokens: tuple[int, ...]
    total: float

    def score(self, penalty: float) -> float:
        return self.total / (len(self.tokens) + 1) ** penalty


def naive_beam(
    script: Scripted, photo: int, beams: int, max_length: int, prefix: Sequence[int] = ()
) -> list[Found]:
    """Beam search with lists, in float64."""
    alive, done = [Found((), 0.0)], []
    for step in range(max_length + 1):
        if step < len(prefix):
            allowed: Sequence[int] = [prefix[step]]
        else:
            allowed = [EOS] if step == max_length else [EOS, *range(4, script.words)]
        longer = [
            Found((*one.tokens, word), one.total + script.log_probs(photo, one.tokens)[word])
            for one in alive
            for word in allowed
        ]
        longer.sort(key=lambda one: -one.total)
        best = longer[: beams - len(done)]
        done += [replace(one, tokens=one.tokens[:-1]) for one in best if one.tokens[-1] == EOS]
        alive = [one for one in best if one.tokens[-1] != EOS]
    return done


def assert_rests_on_its_own_words(script: Scripted, photo: int, found: Hypothesis) -> None:
    """Everything that it carries comes from the beginnings that it went through itself."""
    words = len(found.tokens)
    assert found.weights.shape == (words, 2, N)
    for t, word in enumerate(found.tokens):
        said = found.tokens[:t]
        log_probs = script.log_probs(photo, said)
        np.testing.assert_allclose(found.log_probs[t], log_probs[word], atol=1e-5)
        for head, place in enumerate(places(photo, said)):
            assert found.weights[t, head].tolist() == np.eye(N)[place].tolist()
        assert found.extras["last"][t].tolist() == [said[-1] if said else BOS]
        best = np.argsort(-log_probs, kind="stable")[: found.alternatives.shape[1]]
        assert found.alternatives[t].tolist() == best.tolist()
        np.testing.assert_allclose(found.alternative_probs[t], np.exp(log_probs[best]), atol=1e-5)
    end = script.log_probs(photo, found.tokens)[EOS]
    np.testing.assert_allclose(found.end_log_prob, end, atol=1e-5)
    total = log_prob_of(script, photo, found.tokens)
    np.testing.assert_allclose(found.log_prob, total, atol=1e-4)


@pytest.mark.parametrize("beams", [1, 2, 3, 5, 11])
@pytest.mark.parametrize("penalty", [0.0, 0.7])
def test_beam_search_is_the_naive_one(beams: int, penalty: float) -> None:
    script = Scripted(words=9)
    options = options_of(beam_size=beams, n_best=beams, length_penalty=penalty)
    photos = range(7)
    for photo, found in zip(photos, run(script, photos_of(*photos), options), strict=True):
        expected = naive_beam(script, photo, beams, MAX_LENGTH)
        expected.sort(key=lambda one: -one.score(penalty))
        assert [one.tokens for one in found] == [one.tokens for one in expected]
        for hypothesis, one in zip(found, expected, strict=True):
            np.testing.assert_allclose(hypothesis.score(penalty), one.score(penalty), atol=1e-4)
            assert_rests_on_its_own_words(script, photo, hypothesis)


@pytest.mark.parametrize("penalty", [0.0, 0.7, 2.0])
def test_a_beam_as_wide_as_all_sentences_finds_them_all(penalty: float) -> None:
    script = Scripted(words=6)
    sentences = list(every_sentence(words=6, max_length=3))
    assert len(sentences) == 1 + 2 + 4 + 8
    options = options_of(
        beam_size=len(sentences), n_best=len(sentences), max_length=3, length_penalty=penalty
    )
    for photo, found in zip((3, 8), run(script, photos_of(3, 8), options), strict=True):
        scores = {
            sentence: log_prob_of(script, photo, sentence) / (len(sentence) + 1) ** penalty
            for sentence in sentences
        }
        expected = sorted(sentences, key=lambda sentence: -scores[sentence])
        assert [one.tokens for one in found] == expected
        np.testing.assert_allclose(
            [one.score(penalty) for one in found], [scores[s] for s in expected], atol=1e-4
        )
        best = run(script, photos_of(photo), replace(options, n_best=3))
        assert [one.tokens for one in best[0]] == expected[:3]


def test_words_that_may_stand_once_are_not_said_again() -> None:
    """With a beam as wide as all sentences, what is left out is just what repeats such a word."""
    script, once = Scripted(words=7), (4, 6)
    allowed = [
        sentence
        for sentence in every_sentence(words=7, max_length=3)
        if all(sentence.count(word) <= 1 for word in once)
    ]
    options = options_of(beam_size=45, n_best=45, max_length=3, length_penalty=0.7)
    for photo in (3, 8):
        (found,) = run(script, photos_of(photo), options, start=Start(once=once))
        scores = {s: log_prob_of(script, photo, s) / (len(s) + 1) ** 0.7 for s in allowed}
        expected = sorted(allowed, key=lambda sentence: -scores[sentence])
        assert [one.tokens for one in found] == expected
        # Their probabilities are the model's own: nothing is shared out anew.
        np.testing.assert_allclose(
            [one.score(0.7) for one in found], [scores[s] for s in expected], atol=1e-4
        )


def test_a_prefix_may_say_a_word_twice_that_may_stand_once() -> None:
    script = Scripted(words=6)
    options = options_of(beam_size=9, n_best=9, max_length=4)
    (found,) = run(script, photos_of(3), options, (4, 4), start=Start(once=(4, 5)))
    assert found
    for one in found:
        assert one.tokens[:2] == (4, 4)
        assert 4 not in one.tokens[2:]
        assert one.tokens.count(5) <= 1


def test_the_probabilities_of_all_sentences_sum_to_1_short_of_those_that_are_cut() -> None:
    script = Scripted(words=6)
    options = options_of(beam_size=15, n_best=15, max_length=3)
    [found] = run(script, photos_of(2), options)
    # At the last step the end is forced, but counts with its own probability.
    cut = sum(
        math.exp(one.log_prob - one.end_log_prob) * (1 - math.exp(one.end_log_prob))
        for one in found
        if len(one.tokens) == 3
    )
    assert math.isclose(sum(math.exp(one.log_prob) for one in found) + cut, 1, rel_tol=1e-4)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("cell", "query"), [("lstm", "before"), ("gru", "after"), ("lstm", "fed")])
def test_a_beam_of_1_is_greedy(cell: str, query: str, masked: bool) -> None:
    decoder, memory = decoder_of(cell=cell, query=query), memory_of(masked)
    found = search(decoder, memory, options_of(beam_size=1))
    lengths = set()
    for photo in range(B):
        ready, state = decoder.start(memory.select(slice(photo, photo + 1)))
        token, said, log_prob = BOS, [], 0.0
        while token != EOS:
            step = decoder.step(torch.tensor([[token]]), state, ready)
            logits, state = step.logits[0, 0].detach().double().numpy(), step.state
            logits[[PAD, BOS, UNK]] = -np.inf
            log_probs = logits - np.log(np.exp(logits).sum())
            token = EOS if len(said) == MAX_LENGTH else int(log_probs.argmax())
            log_prob += log_probs[token]
            said.append(token)
        assert found[photo][0].tokens == tuple(said[:-1])
        np.testing.assert_allclose(found[photo][0].log_prob, log_prob, atol=1e-4)
        lengths.add(len(said))
    assert len(lengths) > 1  # or the ends would not have been tried


def assert_same(found: Hypothesis, expected: Hypothesis) -> None:
    assert found.tokens == expected.tokens
    assert found.alternatives.shape == expected.alternatives.shape
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(found.end_log_prob, expected.end_log_prob, **close)
    for name in ("log_probs", "weights", "alternative_probs"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), **close)
    assert found.alternatives.tolist() == expected.alternatives.tolist()
    assert found.extras.keys() == expected.extras.keys()
    for name in expected.extras:
        np.testing.assert_allclose(found.extras[name], expected.extras[name], **close)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "settings",
    [{"beam_size": 1}, {"beam_size": 5, "n_best": 5}, {"sample": True, "n_best": 3, "seed": 7}],
    ids=["greedy", "beam", "sample"],
)
def test_a_batch_of_photos_is_one_at_a_time(settings: dict[str, Any], masked: bool) -> None:
    decoder, memory, options = decoder_of(), memory_of(masked), options_of(**settings)
    together = search(decoder, memory, options)
    for photo, expected in enumerate(together):
        alone = memory.select(slice(photo, photo + 1))
        [found] = search(decoder, alone, options, indices=[photo])
        assert len(found) == len(expected) == options.n_best
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("query", ["before", "after", "fed"])
@pytest.mark.parametrize("settings", [{"beam_size": 7, "n_best": 7}, {"sample": True, "n_best": 5}])
def test_what_is_found_is_what_teacher_forcing_says(
    settings: dict[str, Any], query: str, masked: bool
) -> None:
    decoder, memory = decoder_of(query=query), memory_of(masked)
    found = search(decoder, memory, options_of(**settings))
    owners = [photo for photo, hypotheses in enumerate(found) for _ in hypotheses]
    sentences = [one.tokens for hypotheses in found for one in hypotheses]
    assert len({len(sentence) for sentence in sentences}) > 2
    forced = force(decoder, memory, sentences, owners, alternatives=3)
    for one, other in zip(itertools.chain.from_iterable(found), forced, strict=True):
        assert_same(one, other)
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
        assert set(one.extras) == {"gate"}


def test_the_fed_context_follows_the_back_pointers() -> None:
    """Not only what is kept: each beam goes on with the context of the beam that it continues."""

    class Forgetful(RecurrentDecoder):
        def step(
            self, tokens: Tensor, state: RecurrentState, memory: Memory
        ) -> Step[RecurrentState]:
            found = super().step(tokens, state, memory)
            assert found.state.context is not None
            return replace(
                found, state=replace(found.state, context=found.state.context.roll(1, 1))
            )

    decoder, memory = decoder_of(query="fed"), memory_of()
    options = options_of(beam_size=7, n_best=7)
    found = [one for own in search(decoder, memory, options) for one in own]
    decoder.__class__ = Forgetful
    mixed = [one for own in search(decoder, memory, options) for one in own]
    decoder.__class__ = RecurrentDecoder
    owners = [photo for photo in range(B) for _ in range(7)]
    for hypotheses, same in ((found, True), (mixed, False)):
        forced = force(decoder, memory, [one.tokens for one in hypotheses], owners)
        apart = [abs(a.log_prob - b.log_prob) for a, b in zip(hypotheses, forced, strict=True)]
        assert (max(apart) < 1e-4) == same


@pytest.mark.parametrize("sample", [False, True])
def test_beams_share_their_memory(sample: bool) -> None:
    """No step sees more memories than there are, however wide the beam."""
    seen = []

    class Watched(RecurrentDecoder):
        def step(
            self, tokens: Tensor, state: RecurrentState, memory: Memory
        ) -> Step[RecurrentState]:
            seen.append((tokens.shape, len(memory)))
            return super().step(tokens, state, memory)

    decoder = decoder_of()
    decoder.__class__ = Watched
    search(decoder, memory_of(), options_of(beam_size=7, n_best=7, sample=sample))
    assert seen
    assert all(shape == (B, 7) and memories == B for shape, memories in seen)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sample", [False, True])
def test_what_every_hypothesis_keeps(sample: bool, masked: bool) -> None:
    memory = memory_of(masked)
    options = options_of(beam_size=5, n_best=5, sample=sample, alternatives=4)
    for photo, hypotheses in enumerate(search(decoder_of(), memory, options)):
        scores = [one.score(options.length_penalty) for one in hypotheses]
        assert scores == sorted(scores, reverse=True)
        for one in hypotheses:
            words = len(one.tokens)
            assert words <= MAX_LENGTH
            assert not {PAD, BOS, EOS, UNK} & set(one.tokens)
            assert one.weights.shape == (words, 1, N)
            np.testing.assert_allclose(one.weights.sum(-1), 1, atol=1e-5)
            if memory.mask is not None:
                assert not one.weights[..., ~memory.mask[photo].numpy()].any()
            assert one.log_probs.shape == (words,)
            assert bool((one.log_probs <= 0).all())
            assert one.end_log_prob <= 0
            assert one.extras["gate"].shape == (words, 1)
            assert one.alternatives.shape == one.alternative_probs.shape == (words, 4)
            assert not np.isin(one.alternatives, [PAD, BOS, UNK]).any()
            assert bool((np.diff(one.alternative_probs) <= 0).all())
            for word, log_prob, others, probs in zip(
                one.tokens, one.log_probs, one.alternatives, one.alternative_probs, strict=True
            ):
                if word in others:
                    place = others.tolist().index(word)
                    assert probs[place] == pytest.approx(math.exp(log_prob), rel=1e-5)
                else:
                    assert math.exp(log_prob) <= probs[-1]
            for array in (one.log_probs, one.weights, one.alternatives, *one.extras.values()):
                assert array.base is None  # a view would keep the whole batch


@pytest.mark.parametrize("sample", [False, True])
@pytest.mark.parametrize(("bias", "words"), [(-60.0, MAX_LENGTH), (60.0, 0)])
def test_sentences_end_at_the_latest_after_max_length_words(
    sample: bool, bias: float, words: int
) -> None:
    decoder = decoder_of()
    with torch.no_grad():
        decoder.output.bias[EOS] += bias
    options = options_of(beam_size=1, sample=sample)
    for [one] in search(decoder, memory_of(), options):
        assert len(one.tokens) == words
        assert one.weights.shape == (words, 1, N)
        assert one.alternatives.shape == (words, 3)
        assert math.isfinite(one.log_prob)
        assert (one.end_log_prob < -20) == (words > 0)


@pytest.mark.parametrize("max_length", [1, 2])
def test_short_sentences(max_length: int) -> None:
    script = Scripted(words=6)
    options = options_of(beam_size=15, n_best=15, max_length=max_length)
    [found] = run(script, photos_of(4), options)
    assert {one.tokens for one in found} == set(every_sentence(6, max_length))


@pytest.mark.parametrize("words", [4, 5, 6])
def test_a_vocabulary_smaller_than_the_beam_gives_what_there_is(words: int) -> None:
    script = Scripted(words)
    options = options_of(beam_size=13, n_best=13, max_length=1, alternatives=9)
    for photo, found in enumerate(run(script, photos_of(0, 1), options)):
        assert {one.tokens for one in found} == set(every_sentence(words, 1))
        for one in found:
            assert one.alternatives.shape == (len(one.tokens), words - 3)
            assert_rests_on_its_own_words(script, photo, one)


@pytest.mark.parametrize("beams", [1, 3, 7])
@pytest.mark.parametrize("prefix", [(5,), (8, 4), (4, 4, 7, 5, 8), (4, 4, 7, 5, 8, 6)])
def test_every_sentence_starts_with_the_prefix(beams: int, prefix: tuple[int, ...]) -> None:
    script = Scripted(words=9)
    options = options_of(beam_size=beams, n_best=beams)
    for photo, found in enumerate(run(script, photos_of(0, 1, 2), options, prefix)):
        expected = naive_beam(script, photo, beams, MAX_LENGTH, prefix)
        expected.sort(key=lambda one: -one.score(options.length_penalty))
        assert [one.tokens for one in found] == [one.tokens for one in expected]
        for one in found:
            assert one.tokens[: len(prefix)] == prefix
            assert_rests_on_its_own_words(script, photo, one)


@pytest.mark.parametrize("sample", [False, True])
def test_a_prefix_counts_with_its_own_probabilities(sample: bool) -> None:
    decoder, memory, prefix = decoder_of(), memory_of(), (17, 5, 20)
    options = options_of(beam_size=3, n_best=3, sample=sample)
    for photo, found in enumerate(search(decoder, memory, options, prefix)):
        forced = force(decoder, memory, [one.tokens for one in found], [photo] * 3, alternatives=3)
        for one, other in zip(found, forced, strict=True):
            assert one.tokens[:3] == prefix
            assert bool((one.log_probs[:3] < 0).all())
            assert_same(one, other)


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        (
            (4, 5, 6, 7, 8, 9, 10),
            "the prefix has 7 words, max_length is 6; raise max_length or shorten the prefix",
        ),
        ((4, EOS), "the prefix holds token 2, which cannot be said"),
        ((PAD,), "the prefix holds token 0, which cannot be said"),
        ((BOS, 4), "the prefix holds token 1, which cannot be said"),
        ((4, UNK), "the prefix holds token 3, which cannot be said"),
        ((V,), f"the prefix holds token {V}, which cannot be said"),
        ((-1,), "the prefix holds token -1, which cannot be said"),
    ],
)
def test_prefixes_that_cannot_be(prefix: tuple[int, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        search(decoder_of(), memory_of(), options_of(), prefix)
    assert str(caught.value) == message


def sampled(
    decoder: RecurrentDecoder, memory: Memory, **settings: Any
) -> list[list[tuple[int, ...]]]:
    indices = settings.pop("indices", None)
    options = options_of(sample=True, **settings)
    found = search(decoder, memory, options, indices=indices)
    return [[one.tokens for one in hypotheses] for hypotheses in found]


def test_the_same_seed_draws_the_same_sentences() -> None:
    decoder, memory = decoder_of(), memory_of()
    first = sampled(decoder, memory, n_best=3, seed=7)
    torch.manual_seed(99)
    assert sampled(decoder, memory, n_best=3, seed=7) == first
    assert sampled(decoder, memory, n_best=3, seed=8) != first
    assert len({tuple(sentence) for hypotheses in first for sentence in hypotheses}) > 5


def test_draws_belong_to_the_photo_and_not_to_its_place() -> None:
    decoder, memory = decoder_of(), memory_of()
    first = sampled(decoder, memory, n_best=3)
    order = [3, 0, 4]
    assert sampled(decoder, memory.select(torch.tensor(order)), n_best=3, indices=order) == [
        first[photo] for photo in order
    ]
    twins = memory.select(torch.tensor([1, 1]))
    one, other = sampled(decoder, twins, n_best=7)
    assert one != other  # photos that look alike still draw for themselves


def test_uniform_draws_are_uniform_and_each_photos_own() -> None:
    draws = uniform_draws(3, range(11), 13, 17)
    assert draws.shape == (11, 13, 17)
    assert bool(((draws >= 0) & (draws <= 1)).all())
    assert abs(float(draws.mean()) - 0.5) < 0.02
    assert abs(float(draws.var()) - 1 / 12) < 0.01
    assert len(draws.unique()) > 0.99 * draws.numel()
    assert torch.equal(uniform_draws(3, [9, 2], 13, 17), draws[[9, 2]])
    assert not torch.equal(uniform_draws(4, range(11), 13, 17), draws)


def nucleus(log_probs: np.ndarray, top_p: float, temperature: float) -> np.ndarray:
    """The fewest words that hold `top_p` of the tempered distribution, and their chances."""
    raised = np.exp(log_probs / temperature)
    probs = raised / raised.sum()
    kept = np.zeros_like(probs)
    held = 0.0
    for word in np.argsort(-probs):
        if held >= top_p:
            break
        kept[word] = probs[word]
        held += probs[word]
    return kept / kept.sum()


@pytest.mark.parametrize(
    ("top_p", "temperature"), [(1.0, 1.0), (0.8, 1.0), (0.6, 1.0), (0.9, 0.6), (0.9, 2.0)]
)
def test_frequencies_approach_the_truncated_distribution(top_p: float, temperature: float) -> None:
    script, samples = Scripted(words=7, sharpness=1.0), 2003
    options = options_of(
        sample=True, n_best=samples, max_length=2, top_p=top_p, temperature=temperature, seed=11
    )
    [found] = run(script, photos_of(3), options)
    assert len(found) == samples
    drawn = {one.tokens: one for one in found}
    for sentence, one in drawn.items():
        np.testing.assert_allclose(one.log_prob, log_prob_of(script, 3, sentence), atol=1e-4)
    counts = Counter(one.tokens for one in found)
    for sentence in every_sentence(7, 2):
        chance, ended = 1.0, (*sentence, EOS)
        for t, word in enumerate(ended[:2] if len(sentence) == 2 else ended):
            chance *= nucleus(script.log_probs(3, ended[:t]), top_p, temperature)[word]
        deviation = math.sqrt(chance * (1 - chance) / samples)
        # Where a word is cut off, its chance and so the deviation are exactly 0.
        assert abs(counts[sentence] / samples - chance) <= 4 * deviation, sentence


@pytest.mark.parametrize(
    "settings",
    [
        {"top_p": 1e-9},
        {"top_p": 5e-324},
        {"top_p": 1.0, "temperature": 1e-5},
        {"temperature": 1e-38},
    ],
)
def test_drawing_from_the_best_word_alone_is_greedy(settings: dict[str, float]) -> None:
    decoder, memory = decoder_of(), memory_of()
    greedy = search(decoder, memory, options_of(beam_size=1))
    drawn = search(decoder, memory, options_of(sample=True, n_best=3, **settings))
    for [expected], found in zip(greedy, drawn, strict=True):
        for one in found:
            assert_same(one, expected)  # the log probabilities too: they are not tempered


def test_sampling_may_return_more_than_the_beam_holds() -> None:
    found = search(decoder_of(), memory_of(), options_of(sample=True, beam_size=1, n_best=7))
    assert [len(hypotheses) for hypotheses in found] == [7] * B


def test_no_photos_no_sentences() -> None:
    decoder, nobody = decoder_of(), memory_of().select(slice(0))
    for sample in (False, True):
        assert search(decoder, nobody, options_of(sample=sample)) == []
    assert force(decoder, nobody, []) == []


def test_teacher_forcing_of_different_lengths_is_one_by_one() -> None:
    decoder, memory = decoder_of(), memory_of(masked=True)
    sentences = [(5, 9, 13), (), (4,), (22, 4, 4, 19, 8, 8, 11), (7, 7)]
    for owners in (None, [2, 2, 0, 1, 4]):
        together = force(decoder, memory, sentences, owners)
        for k, found in enumerate(together):
            owner = k if owners is None else owners[k]
            alone = memory.select(slice(owner, owner + 1))
            [expected] = force(decoder, alone, [sentences[k]])
            assert found.tokens == sentences[k]
            assert found.alternatives.shape == (len(sentences[k]), 5)
            assert_same(found, expected)


def test_teacher_forcing_is_the_steps() -> None:
    decoder, memory, sentence = decoder_of(), memory_of(), (5, 19, 4, 4, 11, 22, 8)
    [found] = force(decoder, memory.select(slice(2, 3)), [sentence])
    ready, state = decoder.start(memory.select(slice(2, 3)))
    read, total = (BOS, *sentence), 0.0
    for t, word in enumerate((*sentence, EOS)):
        step = decoder.step(torch.tensor([[read[t]]]), state, ready)
        state = step.state
        logits = step.logits[0, 0].detach().double().numpy()
        logits[[PAD, BOS, UNK]] = -np.inf
        log_prob = logits[word] - np.log(np.exp(logits).sum())
        total += log_prob
        if word == EOS:
            np.testing.assert_allclose(found.end_log_prob, log_prob, atol=1e-5)
        else:
            np.testing.assert_allclose(found.log_probs[t], log_prob, atol=1e-5)
            weights = step.attended.weights[0, 0].detach()
            np.testing.assert_allclose(found.weights[t], weights, atol=1e-6)
    np.testing.assert_allclose(found.log_prob, total, atol=1e-4)


def test_an_unknown_word_keeps_its_place_and_its_map_but_has_no_probability() -> None:
    decoder, memory = decoder_of(), memory_of()
    sentence = (5, UNK, 9, UNK)
    [found] = force(decoder, memory, [sentence], [1])
    assert found.tokens == sentence
    assert np.isnan(found.log_probs).tolist() == [False, True, False, True]
    assert found.log_prob == pytest.approx(
        float(found.log_probs[0] + found.log_probs[2]) + found.end_log_prob, abs=1e-5
    )
    np.testing.assert_allclose(found.weights.sum(-1), 1, atol=1e-5)
    assert bool(np.isfinite(found.alternative_probs).all())
    assert not np.isin(found.alternatives, [PAD, BOS, UNK]).any()
    [other] = force(decoder, memory, [(5, 21, 9, 21)], [1])
    assert found.log_probs[0] == pytest.approx(float(other.log_probs[0]), abs=1e-6)
    assert found.log_probs[2] != pytest.approx(float(other.log_probs[2]), abs=1e-6)  # it was read


def test_probabilities_are_shared_among_what_can_be_said() -> None:
    logits = 3 * torch.randn(5, 7, V, generator=torch.Generator().manual_seed(13))
    found = word_log_probs(logits).exp()
    assert not found[..., [PAD, BOS, UNK]].any()
    torch.testing.assert_close(found.sum(-1), torch.ones(5, 7))
    said = [token for token in range(V) if token not in (PAD, BOS, UNK)]
    torch.testing.assert_close(found[..., said], logits[..., said].softmax(-1))
    assert word_log_probs(logits.half()).dtype == torch.float32


def test_half_precision_finds_sentences_too() -> None:
    memory = memory_of(masked=True)
    half = Memory(memory.values.bfloat16(), memory.mask)
    found = [one for [one] in search(decoder_of().bfloat16(), half, options_of())]
    in_full = force(decoder_of(), memory, [one.tokens for one in found])
    for one, other in zip(found, in_full, strict=True):
        assert one.weights.dtype == one.log_probs.dtype == np.float32
        np.testing.assert_allclose(one.weights.sum(-1), 1, atol=2**-7)
        np.testing.assert_allclose(one.weights, other.weights, atol=0.05)
        assert one.log_prob == pytest.approx(other.log_prob, abs=0.5)


def test_no_alternatives_are_none() -> None:
    decoder, memory = decoder_of(), memory_of()
    [first, *_] = search(decoder, memory, options_of(alternatives=0))
    assert first[0].alternatives.shape == (len(first[0].tokens), 0)
    [forced, *_] = force(decoder, memory, [(5, 9)], [0], alternatives=0)
    assert forced.alternatives.shape == forced.alternative_probs.shape == (2, 0)


def test_the_score_divides_by_the_length_and_counts_the_end() -> None:
    nothing = np.zeros((3, 0))
    log_probs = np.array([-1.0, np.nan, -2.5])
    one = Hypothesis((4, UNK, 5), log_probs, -0.5, nothing, nothing, nothing)
    assert one.log_prob == -4.0
    assert one.score(0.0) == -4.0
    assert one.score(1.0) == -1.0
    assert one.score(0.5) == -2.0


# ---- what stands before the first word -----------------------------------------------------------

TAGS = (7, 11, 19)  # one of them begins every sentence, and none stands within
STARTS = (11, 7, 7, 19, 11)  # of the five memories


def tag_lover(query: str = "before") -> RecurrentDecoder:
    """A decoder that would say nothing but tags."""
    decoder = decoder_of(query=query)
    with torch.no_grad():
        decoder.output.bias[list(TAGS)] += 30
    return decoder


@pytest.mark.parametrize(
    "settings",
    [{"beam_size": 1}, {"beam_size": 5, "n_best": 5}, {"sample": True, "n_best": 3, "seed": 7}],
    ids=["greedy", "beam", "sample"],
)
def test_a_start_token_is_never_said(settings: dict[str, Any]) -> None:
    options, start = options_of(alternatives=9, **settings), Start(TAGS[0], never=TAGS)
    found = search(tag_lover(), memory_of(), options, start=start)
    for one in itertools.chain.from_iterable(found):
        assert not set(one.tokens) & {*TAGS, PAD, BOS, UNK}
        assert not np.isin(one.alternatives, [*TAGS, PAD, BOS, UNK]).any()
        assert bool(np.isfinite(one.alternative_probs).all())
    plain = search(decoder_of(), memory_of(), options, start=start)  # their share is the others'
    for one, other in zip(*map(itertools.chain.from_iterable, (found, plain)), strict=True):
        assert_same(one, other)


def test_forbidden_tokens_have_no_probability() -> None:
    logits = 3 * torch.randn(5, V, generator=torch.Generator().manual_seed(13))
    found = word_log_probs(logits, TAGS).exp()
    assert not found[:, [PAD, BOS, UNK, *TAGS]].any()
    torch.testing.assert_close(found.sum(-1), torch.ones(5))


@pytest.mark.parametrize("query", ["before", "after", "fed"])
@pytest.mark.parametrize("settings", [{"beam_size": 3}, {"sample": True, "seed": 7}])
def test_every_memory_has_a_start_of_its_own(settings: dict[str, Any], query: str) -> None:
    decoder, memory = decoder_of(query=query), memory_of(masked=True)
    options = options_of(**settings)
    together = search(decoder, memory, options, start=Start(STARTS, TAGS))
    for photo, first in enumerate(STARTS):
        alone = memory.select(slice(photo, photo + 1))
        [[found]] = search(decoder, alone, options, indices=[photo], start=Start(first, TAGS))
        assert_same(found, together[photo][0])


def test_the_start_decides_what_is_said() -> None:
    decoder, memory = decoder_of(), memory_of()
    said = [
        [one.tokens for [one] in search(decoder, memory, options_of(), start=Start(first, TAGS))]
        for first in TAGS
    ]
    assert len({tuple(every) for every in said}) > 1


def test_teacher_forcing_knows_the_starts() -> None:
    """The searched sentences again; several about one memory begin as that one does."""
    decoder, memory, start = decoder_of(), memory_of(masked=True), Start(STARTS, TAGS)
    found = search(decoder, memory, options_of(beam_size=3, n_best=3), start=start)
    owners = [photo for photo in range(B) for _ in range(3)]
    every = list(itertools.chain.from_iterable(found))
    sentences = [one.tokens for one in every]
    forced = force(decoder, memory, sentences, owners, alternatives=3, start=start)
    for one, other in zip(every, forced, strict=True):
        assert_same(one, other)
    wrong = force(decoder, memory, sentences, owners, start=Start(STARTS[::-1], TAGS))
    apart = [abs(a.log_prob - b.log_prob) for a, b in zip(forced, wrong, strict=True)]
    assert max(apart) > 1e-2


def test_starts_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="2 start tokens for 5 memories"):
        search(decoder_of(), memory_of(), options_of(), start=Start([7, 11], TAGS))
    with pytest.raises(ConfigError, match="the prefix holds token 11, which cannot be said"):
        search(decoder_of(), memory_of(), options_of(), [5, 11], start=Start(7, TAGS))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"n_best": 4, "beam_size": 3},
            "n_best 4 is more than beam_size 3 can find; ask for a beam_size of at least 4",
        ),
        (
            {"n_best": 400, "beam_size": 3},
            "n_best 400 is more than any beam can find; ask for at most 100, or draw them: sample",
        ),
        ({"top_p": 0.0}, "top_p is 0.0; expected a share above 0, at most 1"),
        ({"top_p": math.nan}, "top_p is nan; expected a share above 0, at most 1"),
        ({"top_p": "0.5"}, "top_p is '0.5'; expected a share above 0, at most 1"),
        ({"top_p": True}, "top_p is True; expected a share above 0, at most 1"),
        ({"temperature": 0.0}, "temperature is 0.0; expected a number from 1e-38 to 1e+38"),
        ({"temperature": 1e-300}, "temperature is 1e-300; expected a number from 1e-38 to 1e+38"),
        ({"temperature": math.inf}, "temperature is inf; expected a number from 1e-38 to 1e+38"),
        ({"temperature": math.nan}, "temperature is nan; expected a number from 1e-38 to 1e+38"),
        ({"temperature": 1j}, "temperature is 1j; expected a number from 1e-38 to 1e+38"),
        ({"seed": -1}, f"seed is -1; expected a whole number from 0 to {2**63 - 1}"),
        ({"seed": 2**63}, f"seed is {2**63}; expected a whole number from 0 to {2**63 - 1}"),
        ({"seed": 0.5}, f"seed is 0.5; expected a whole number from 0 to {2**63 - 1}"),
        ({"length_penalty": -0.1}, "length_penalty is -0.1; expected a number from 0 to 10"),
        ({"length_penalty": 1e9}, "length_penalty is 1000000000.0; expected a number from 0 to 10"),
        ({"length_penalty": "1"}, "length_penalty is '1'; expected a number from 0 to 10"),
        (
            {"length_penalty": 10**5000},
            "length_penalty is a value of type int; expected a number from 0 to 10",
        ),
        ({"max_length": 0}, "max_length is 0; expected a whole number from 1 to 1000"),
        ({"max_length": None}, "max_length is None; expected a whole number from 1 to 1000"),
        ({"beam_size": 10**6}, "beam_size is 1000000; expected a whole number from 1 to 100"),
        ({"beam_size": "3"}, "beam_size is '3'; expected a whole number from 1 to 100"),
        ({"beam_size": 3.0}, "beam_size is 3.0; expected a whole number from 1 to 100"),
        ({"beam_size": True}, "beam_size is True; expected a whole number from 1 to 100"),
        ({"beam_size": [3]}, "beam_size is [3]; expected a whole number from 1 to 100"),
        ({"n_best": 5000}, "n_best is 5000; expected a whole number from 1 to 4096"),
        ({"sample": "yes"}, "sample is 'yes'; expected true or false"),
        ({"sample": 1}, "sample is 1; expected true or false"),
        ({"alternatives": -1}, "alternatives is -1; expected a whole number from 0 to 100000"),
        (
            {"alternatives": 10**9},
            f"alternatives is {10**9}; expected a whole number from 0 to 100000",
        ),
    ],
)
def test_options_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SearchOptions(**settings)
    assert str(caught.value) == message


def test_numbers_of_other_kinds_become_pythons() -> None:
    """What came from NumPy or torch is written as JSON into checkpoints."""
    options = SearchOptions(
        beam_size=np.int16(4),  # type: ignore[arg-type]
        length_penalty=np.float32(0.5),  # type: ignore[arg-type]
        max_length=torch.tensor(7),  # type: ignore[arg-type]
        temperature=2,
        top_p=np.float64(0.25),
    )
    assert options == SearchOptions(4, 0.5, 7, top_p=0.25, temperature=2.0)
    kinds = {type(value) for value in asdict(options).values()}
    assert kinds == {int, float, bool}


@pytest.mark.parametrize("settings", [{"length_penalty": 10.0}, {"length_penalty": 0}])
def test_the_ends_of_the_ranges_can_be_searched(settings: dict[str, Any]) -> None:
    for sample in (False, True):
        for temperature in (1e-38, 1e38):
            options = SearchOptions(
                beam_size=100, n_best=3, sample=sample, temperature=temperature, **settings
            )
            for found in search(decoder_of(), memory_of(), replace(options, max_length=5)):
                assert all(np.isfinite(one.score(options.length_penalty)) for one in found)


@pytest.mark.parametrize("options", [{"beam_size": 3}, {"sample": True, "n_best": 2}], ids=str)
@pytest.mark.parametrize("once", [(), (5, 6, 7)])
def test_finished_photos_are_left_behind(
    options: dict[str, Any], once: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is found does not depend on when a batch gets smaller, and it does."""
    decoder, memory = Scripted(9), Memory(torch.arange(40.0).view(-1, 1, 1).expand(-1, N, D))
    wanted = options_of(length_penalty=0.5, **options)
    sizes: dict[int, list[int]] = {}
    found = {}
    for step in (1, 8, 100):
        monkeypatch.setattr(search_module, "_STEP", step)
        seen: list[int] = sizes.setdefault(step, [])

        def counted(
            tokens: Tensor, state: Said, memory: Memory, seen: list[int] = seen
        ) -> Step[Said]:
            seen.append(len(memory))
            return Scripted.step(decoder, tokens, state, memory)

        monkeypatch.setattr(decoder, "step", counted)
        found[step] = search(decoder, memory, wanted, start=Start(once=once))
    assert set(sizes[100]) == {40}
    assert len(set(sizes[1])) > 2
    assert {size % 8 for size in sizes[8]} == {0}
    assert min(sizes[8]) < 40
    for step in (1, 8):
        for some, others in zip(found[step], found[100], strict=True):
            assert [h.tokens for h in some] == [h.tokens for h in others]
            for one, other in zip(some, others, strict=True):
                for name in ("log_probs", "weights", "alternatives", "alternative_probs"):
                    np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
                assert one.extras.keys() == other.extras.keys()
                for name, values in one.extras.items():
                    np.testing.assert_array_equal(values, other.extras[name])


@pytest.mark.parametrize("count", [1, 5, 17])
@pytest.mark.parametrize("size", [63, 4096, 5631])
def test_the_largest_numbers_are_found_block_by_block(count: int, size: int) -> None:
    values = torch.randn(3, 2, size, generator=torch.Generator().manual_seed(size))
    values[0, 0, -count:] = 9  # in the part that fills no block
    values[1, 1, 64 : 64 + count] = 9  # all in one block
    values[2, 0] = -torch.inf
    best, places = search_module._top(values, count)
    expected = values.topk(count, -1)
    assert best.equal(expected.values)
    assert values.gather(-1, places).equal(best)
    for row in places.flatten(0, 1).tolist():
        assert len(set(row)) == count


@pytest.mark.parametrize("scale", [1, 30, 300])  # 300: exponentials overflow
@pytest.mark.parametrize("size", [40, 5631])
def test_scores_are_the_log_probabilities_of_all_words(scale: float, size: int) -> None:
    logits = scale * torch.randn(2, 3, size, generator=torch.Generator().manual_seed(size))
    scores = search_module._Scores(Step(logits, None, None), (7,))  # type: ignore[arg-type]
    expected = word_log_probs(logits, (7,))
    torch.testing.assert_close(scores.all(), expected, rtol=1e-5, atol=1e-4)
    tokens, log_probs = scores.top(9)
    assert tokens.equal(logits.index_fill(-1, torch.tensor([0, 1, 3, 7]), -torch.inf).topk(9)[1])
    torch.testing.assert_close(log_probs, expected.gather(-1, tokens), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(scores.of(tokens), log_probs)


@pytest.mark.parametrize("sample", [False, True])
def test_a_model_whose_numbers_overflow_says_so(sample: bool) -> None:
    decoder = decoder_of()
    with torch.no_grad():
        decoder.output.weight.fill_(3e38)  # finite, and no product of it is
    told = "the model gives no probabilities, since its numbers overflow: the checkpoint is damaged"
    with pytest.raises(CheckpointError, match=f"^{told}"):
        search(decoder, memory_of(), options_of(sample=sample))
    with pytest.raises(CheckpointError, match=f"^{told}"):
        force(decoder, memory_of(), [[7, 8]])


def test_words_that_nobody_knows_are_no_overflow() -> None:
    [found] = force(decoder_of(), memory_of(), [[7, UNK, 8]])
    assert np.isnan(found.log_probs).tolist() == [False, True, False]
