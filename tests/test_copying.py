"""Copying: words of recognised things beside the vocabulary, in one softmax."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.copying import copied_rightly, f1, named, split
from captioner.nn.attention import Attention
from captioner.nn.cells import LSTM
from captioner.nn.copying import Copied, Copying
from captioner.nn.memory import Memory
from captioner.nn.recurrent import RecurrentDecoder
from captioner.nn.scores import SCORE_BUILDERS
from captioner.options import SearchOptions
from captioner.prediction import Caption
from captioner.search import force, search, word_log_probs
from captioner.text import BOS
from captioner.words import Word

V, E, S, D, B, N = 23, 11, 13, 7, 3, 17  # words, embedding, state, features, photos, cells
CLASSES, THINGS, SIZE = 19, 5, 2
WORDS = [5 + (7 * number) % 11 for number in range(CLASSES)]  # some classes share their word


def copying_of(things: int = THINGS) -> Copying:
    torch.manual_seed(7)
    copying = Copying(E, SIZE, things, CLASSES)
    copying.name_classes(WORDS)
    with torch.no_grad():
        for parameter in copying.parameters():
            parameter.add_(torch.randn_like(parameter))
        copying.query.bias[-1] += 3
    return copying


def decoder_of(copying: Copying | None) -> RecurrentDecoder:
    torch.manual_seed(3)
    decoder = RecurrentDecoder(
        Attention(SCORE_BUILDERS["general"](S, D, 1)),
        nn.Embedding(V, E),
        LSTM(E + D, S),
        context_size=D,
        query="after",
        input_feeding=True,
        copying=copying,
    )
    return decoder.eval()


def memory() -> Memory:
    generator = torch.Generator().manual_seed(5)
    values = torch.randn(B, N, D, generator=generator)
    return Memory(values, kinds=3 * torch.randn(B, CLASSES, generator=generator))


def test_things_are_the_likeliest_words_with_their_classes_taken_together() -> None:
    prepared = copying_of().prepare(memory(), nn.Embedding(V, E))
    assert prepared.things is not None
    assert prepared.thing_log_probs is not None
    probs = memory().kinds.double().softmax(-1).numpy()  # type: ignore[union-attr]
    for row in range(B):
        sums: dict[int, float] = {}
        for word, prob in zip(WORDS, probs[row], strict=True):
            sums[word] = sums.get(word, 0.0) + prob
        best = sorted(sums, key=lambda word: -sums[word])[:THINGS]
        assert prepared.things[row].tolist() == best
        expected = np.log([sums[word] for word in best])
        assert np.allclose(prepared.thing_log_probs[row], expected, atol=1e-5)


@torch.no_grad()
def test_one_softmax_takes_in_vocabulary_and_things() -> None:
    copying, embedding = copying_of(), nn.Embedding(V, E)
    prepared = copying.prepare(memory(), embedding)
    logits, deep = torch.randn(B, V), torch.randn(B, E)
    mixed, copied = copying(logits, deep, prepared, torch.arange(B))
    # M captions beside each other share what can be copied from their photo.
    beside = copying(*(part.unsqueeze(1).expand(-1, 3, -1) for part in (logits, deep)), prepared)
    torch.testing.assert_close(beside[0], mixed.unsqueeze(1).expand(-1, 3, -1))
    torch.testing.assert_close(beside[1].shares, copied.shares.unsqueeze(1).expand(-1, 3, -1))
    # The equations, one thing at a time.
    query, key = copying.query, copying.key.weight
    for row in range(B):
        asked = query.weight @ deep[row] + query.bias
        scores = {
            int(word): float(
                asked[:SIZE] @ (key @ embedding.weight[word]) / SIZE**0.5
                + asked[SIZE] * log_prob
                + asked[SIZE + 1]
            )
            for word, log_prob in zip(
                prepared.things[row],  # type: ignore[index]
                prepared.thing_log_probs[row],  # type: ignore[index]
                strict=True,
            )
        }
        mass = logits[row].double().exp()
        total = mass.sum() + sum(np.exp(score) for score in scores.values())
        probs = mixed[row].double().softmax(-1)
        assert probs.sum() == pytest.approx(1)
        for word in range(V):
            own = (mass[word] + np.exp(scores.get(word, -np.inf))) / total
            assert float(probs[word]) == pytest.approx(float(own), rel=1e-5)
            share = float(copied.of(torch.full((B,), word))[row])
            expected = np.exp(scores[word]) / (total * own) if word in scores else 0.0
            assert share == pytest.approx(float(expected), rel=1e-4, abs=1e-7)


def test_the_classifier_learns_nothing_from_captions() -> None:
    own = memory()
    kinds = own.kinds.requires_grad_(True)  # type: ignore[union-attr]
    decoder = decoder_of(copying_of())
    unrolled = decoder(torch.tensor([[BOS, 6, 9]] * B), torch.tensor([3, 2, 3]), own)
    unrolled.logits.data.logsumexp(-1).sum().backward()
    assert kinds.grad is None
    assert decoder.copying is not None
    assert float(decoder.copying.query.weight.grad.abs().sum()) > 0  # type: ignore[union-attr]


def test_word_by_word_equals_unrolled() -> None:
    decoder = decoder_of(copying_of())
    owners = torch.tensor([2, 0, 0, 1])
    tokens, lengths = torch.randint(4, V, (4, 6)), torch.tensor([3, 6, 1, 5])
    unrolled = decoder(tokens, lengths, memory(), owners)
    assert unrolled.copied is not None
    own, state = decoder.start(memory().select(owners))
    for place in range(6):
        step = decoder.step(tokens[:, place : place + 1], state, own)
        state = step.state
        runs = lengths > place
        assert torch.allclose(
            unrolled.padded_logits()[runs, place], step.logits[runs, 0], atol=1e-5
        )
        assert step.copied is not None
        assert torch.allclose(unrolled.copied.shares[runs, place], step.copied.shares[runs, 0])
        assert torch.equal(unrolled.copied.tokens[runs, place], step.copied.tokens[runs, 0])


def test_search_and_forcing_tell_the_same_share() -> None:
    decoder = decoder_of(copying_of())
    options = SearchOptions(beam_size=4, n_best=3, max_length=7)
    found = search(decoder, memory(), options)
    flat = [(owner, one) for owner, several in enumerate(found) for one in several]
    forced = force(decoder, memory(), [one.tokens for _, one in flat], [owner for owner, _ in flat])
    assert any(one.extras["copy_share"].max() > 0.1 for _, one in flat)
    for (_, one), other in zip(flat, forced, strict=True):
        assert one.extras["copy_share"].shape == (len(one.tokens),)
        assert np.allclose(one.extras["copy_share"], other.extras["copy_share"], atol=1e-5)
        assert np.allclose(one.log_probs, other.log_probs, atol=1e-4)


def test_a_word_that_nothing_else_says_is_copied() -> None:
    copying = copying_of()
    decoder = decoder_of(copying)
    word = WORDS[4]
    with torch.no_grad():
        decoder.output.bias[word] = -50  # the vocabulary never says it
        copying.query.weight.zero_()
        copying.query.bias.copy_(torch.tensor([0.0] * SIZE + [1.0, 40.0]))
    kinds = torch.full((1, CLASSES), -20.0)
    kinds[0, 4] = 20.0
    seen = Memory(torch.randn(1, N, D), kinds=kinds)
    found = search(decoder, seen, SearchOptions(beam_size=1, max_length=2))[0][0]
    assert found.tokens[0] == word
    assert found.extras["copy_share"][0] == pytest.approx(1)


def test_without_copying_there_is_no_share() -> None:
    decoder = decoder_of(None)
    found = search(decoder, memory(), SearchOptions(beam_size=2, max_length=3))[0][0]
    assert "copy_share" not in found.extras


def test_classes_need_their_words() -> None:
    with pytest.raises(ValueError, match="3 words for 19 classes"):
        Copying(E, SIZE, THINGS, CLASSES).name_classes([5, 6, 7])


def test_the_mixture_of_low_precision_logits_keeps_their_precision() -> None:
    copying = copying_of()
    prepared = copying.prepare(memory(), nn.Embedding(V, E))
    logits, deep = torch.randn(B, 1, V), torch.randn(B, 1, E)
    mixed, copied = copying(logits.bfloat16(), deep, prepared)
    assert mixed.dtype == torch.bfloat16
    assert copied.shares.dtype == torch.float32
    whole: Tensor = copying(logits, deep, prepared)[0]
    assert word_log_probs(mixed).isfinite().sum() == word_log_probs(whole).isfinite().sum()


def test_what_is_copied_into_logits_as_they_lie_is_the_same() -> None:
    copying = copying_of()
    prepared = copying.prepare(memory(), nn.Embedding(V, E))
    logits, deep = torch.randn(B, 2, V), torch.randn(B, 2, E)
    with torch.inference_mode():
        expected, copied = copying(logits, deep, prepared)
        lying = logits.clone()
        found = copying.into(lying, deep, prepared)
    assert lying.equal(expected)
    assert not lying.equal(logits)
    assert found.tokens.equal(copied.tokens)
    assert found.shares.equal(copied.shares)


def test_a_share_is_of_one_word_only() -> None:
    copied = Copied(torch.tensor([[4, 9]]), torch.tensor([[0.25, 0.5]]))
    assert copied.of(torch.tensor([9])).item() == 0.5
    assert copied.of(torch.tensor([5])).item() == 0.0


# ---- the benchmark of unseen kinds ---------------------------------------------------------------


def test_f1_of_a_kind() -> None:
    said = [{"bus"}, {"bus"}, set(), {"zebra"}]
    meant = [{"bus"}, set(), {"bus"}, {"zebra", "bus"}]
    assert f1(said, meant, "bus") == pytest.approx(2 * 1 / (2 + 3))
    assert f1(said, meant, "zebra") == 1
    assert f1(said, meant, "pizza") == 0


def test_kinds_are_cut_out_of_training() -> None:
    texts = {1: "Two buses", 2: "a dog", 3: "A couch.", 4: "a busy cat", 5: "pizzas", 6: "a man"}
    texts |= dict.fromkeys(range(7, 20), "a tree")
    document = {
        "images": [{"id": number} for number in texts],
        "annotations": [{"image_id": n, "caption": caption} for n, caption in texts.items()],
    }
    training, test = split(document, others=2, seed=1)
    kept, apart = ({i["id"] for i in part["images"]} for part in (training, test))
    assert kept | apart == set(texts)
    assert not kept & apart
    assert {1, 3, 5} < apart
    assert len(apart) == 5
    assert not named(a["caption"] for a in training["annotations"])


def test_words_copied_rightly_stand_in_a_reference() -> None:
    words = (Word("lions", 0.5, -0.7, copy_share=0.9), Word("lie", 0.5, -0.7, copy_share=0.1))
    other = (Word("rock", 0.5, -0.7, copy_share=0.6),)
    found = [Caption("", each, 0.0, np.zeros((0, 1, 1))) for each in (words, other)]
    assert copied_rightly(found, [["A lion lies."], ["A stone."]]) == (1, 2)
