from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from captioner.errors import DataError
from captioner.grounding import masking
from captioner.grounding.masking import WHERE, WHICH, measure
from captioner.search import force
from captioner.text import EOS, UNK
from captioner.translation import Translator

WAY = {"to": "de", "source_language": "en"}


def test_one_piece_by_hand(
    tiny_translator: Translator, phrases: dict[str, tuple[str, ...]]
) -> None:
    """The first piece, its attended word masked in the memory, and unknown in the source."""
    source, target = phrases["en"][1], phrases["de"][1]
    subwords, model = tiny_translator.subwords, tiny_translator.model
    pieces, said = subwords.encode(source), subwords.encode(target).ids
    tokens = torch.tensor([[*pieces.ids, EOS]])
    rows = masking.read_sentence(
        tiny_translator, source, target, "de", "en", np.random.default_rng(0)
    )
    assert rows is not None
    assert rows.shape == (len(said), 6)
    with torch.inference_mode():
        memory = model.encoder(tokens, torch.tensor([tokens.shape[1]]))
        start = tiny_translator.start("de")
        [own] = force(model.decoder, memory, [said], start=start)
        looked = own.weights[0, 0, : len(pieces.ids)]
        owners = np.array(pieces.owners)
        word = np.bincount(owners, looked).argmax()
        mask = torch.tensor([[*(owners != word).tolist(), True]])
        [hidden] = force(model.decoder, replace(memory, mask=mask), [said], start=start)
        blanked = torch.where(mask, tokens, UNK)
        again = model.encoder(blanked, torch.tensor([tokens.shape[1]]))
        [unread] = force(model.decoder, again, [said], start=start)
    assert rows[0, 0] == pytest.approx(own.log_probs[0] - hidden.log_probs[0], abs=1e-4)
    assert rows[0, 3] == pytest.approx(own.log_probs[0] - unread.log_probs[0], abs=1e-4)


def test_what_is_found(tiny_translator: Translator, phrases: dict[str, tuple[str, ...]]) -> None:
    done: list[int] = []
    pairs = list(zip(phrases["en"], phrases["de"], strict=True))
    found = measure(tiny_translator, pairs, bootstrap=30, progress=done.append, **WAY)
    assert (found.sentences, len(done)) == (7, 7)
    assert found.words == sum(len(tiny_translator.subwords.encode(de).ids) for _, de in pairs)
    for where in WHERE:
        lost = found.lost[where]
        assert tuple(lost) == WHICH
        gap = lost["attended"].value - lost["another"].value
        assert found.ahead[where].value == pytest.approx(gap)
    json.dumps(found.to_dict(), allow_nan=False)
    assert str(found).splitlines()[-1].endswith("words in 7 sentences")


def test_capitals_are_masked_as_they_are_read(
    tiny_translator: Translator, phrases: dict[str, tuple[str, ...]]
) -> None:
    """A text of capitals is read in small letters, which are other pieces."""
    source, target = phrases["en"][1], phrases["de"][1]
    one, other = (
        masking.read_sentence(tiny_translator, text, target, "de", "en", np.random.default_rng(0))
        for text in (source, source.upper())
    )
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(other, one, atol=1e-5)


def test_another_word_is_never_the_attended_one() -> None:
    attended = np.repeat(np.arange(4), 50)
    drawn = masking.others(attended, 4, np.random.default_rng(1))
    assert (drawn != attended).all()
    assert set(drawn.tolist()) == {0, 1, 2, 3}


def test_nothing_to_mask(tiny_translator: Translator) -> None:
    with pytest.raises(DataError, match="no pair has two source words or more"):
        measure(tiny_translator, [("Dog", "Hund"), ("A dog runs", "")], **WAY)
