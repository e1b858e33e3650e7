"""Links of an aligner, piece by piece, on their way into a translator's batches and its loss."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from captioner.alignments import SilverLinks
from captioner.errors import ConfigError
from captioner.subwords import Subwords
from captioner.translations import links
from captioner.translations.links import read_or_align
from captioner.translations.pairs import Pair
from tests.conftest import PHRASES
from tests.miniature import steps, subwords, translating


def pairs() -> list[Pair]:
    return [
        Pair(one, other, "en", "de")
        for one, other in zip(PHRASES["en"], PHRASES["de"], strict=True)
    ]


@pytest.fixture
def diagonal(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An aligner that links word t with word t; how many pairs it was asked about, call by call."""
    asked: list[int] = []

    def align(words: Sequence[tuple[Sequence[str], Sequence[str]]], **_: Any) -> list[SilverLinks]:
        asked.append(len(words))
        sure = [frozenset((t, t) for t in range(min(map(len, pair)))) for pair in words]
        return [SilverLinks(each, each) for each in sure]

    monkeypatch.setattr(links, "align", align)
    return asked


def words_of(pieces: Subwords, text: str) -> list[int]:
    return list(pieces.encode(text).owners)


def test_every_piece_of_a_word_looks_at_all_pieces_of_its_words(
    diagonal: list[int], tmp_path: Path
) -> None:
    found = read_or_align(pairs(), subwords(), tmp_path / "links.json", most=9, seed=1)
    assert found.keys() == set(pairs())
    several = 0
    for pair, own in found.items():
        source, target = (words_of(subwords(), t) for t in (pair.source_text, pair.target_text))
        expected = [
            (place, tuple(np.flatnonzero(np.array(source) == word)))
            for place, word in enumerate(target)
            if word <= max(source)
        ]
        assert own == expected
        several += sum(len(places) > 1 for _, places in own)
    assert several  # some words are cut


def test_what_an_aligner_found_is_not_looked_for_again(diagonal: list[int], tmp_path: Path) -> None:
    path = tmp_path / "links.json"
    both = [*pairs(), *[pair.turned() for pair in pairs()]]
    first = read_or_align(both, subwords(), path, most=3, seed=1)
    assert diagonal == [3, 3]  # of each direction
    assert len(first) == 6
    assert read_or_align(both, subwords(), path, most=3, seed=1) == first
    assert diagonal == [3, 3]
    assert read_or_align(both, subwords(), path, most=3, seed=2) != first
    path.write_text('{"cut')
    assert read_or_align(both, subwords(), path, most=3, seed=1) == first
    assert len(json.loads(path.read_text())) == 2


def test_where_no_links_can_be_kept_it_is_said(diagonal: list[int], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"links.json cannot be written \(.*; make room, or"):
        read_or_align(pairs(), subwords(), tmp_path / "none" / "links.json", most=2, seed=1)


def test_the_aligner_is_the_studys_own(tmp_path: Path) -> None:
    """Words that always stand together are linked, wherever they stand."""
    texts = [("A dog runs.", "Ein Hund läuft."), ("A cat runs.", "Eine Katze läuft.")] * 4
    texts += [
        ("A dog jumps.", "Ein Hund springt."),
        ("Two men are sleeping.", "Zwei Männer schlaf."),
    ]
    own = [Pair(one, other, "en", "de") for one, other in texts]
    found = read_or_align(own, subwords(), tmp_path / "links.json", most=99, seed=1)
    pair = own[0]
    source, target = (subwords().encode(text) for text in (pair.source_text, pair.target_text))
    linked = {
        (target.words[target.owners[place]], source.words[source.owners[other]])
        for place, places in found[pair]
        for other in places
    }
    assert ("Hund", "dog") in linked
    assert ("läuft", "runs") in linked


QUICK = {"learning_rate": 3e-2, "schedule": "constant", "warmup": 0.0}


def test_links_reach_the_batch_and_the_loss(diagonal: list[int], tmp_path: Path) -> None:
    for by in ("mass", "cross_entropy", "squares"):
        phase = {"attention_supervision": 0.7, "supervised_by": by, **QUICK}
        trainer = translating(phases=[phase], training={"batch_tokens": 999})
        reader = trainer.reader
        reader.links = read_or_align(
            reader.pairs, subwords(), tmp_path / "links.json", most=99, seed=1
        )
        (batch,) = reader.read(0)
        assert len(batch.mentions) == sum(map(len, reader.links.values()))
        assert batch.regions.shape == (len(batch.mentions), batch.sources.shape[1])
        for (row, place), region in zip(batch.mentions.tolist(), batch.regions, strict=True):
            source = batch.sources[row].tolist()
            (pair,) = [p for p in reader.pairs if source[: len(_ids(p))] == _ids(p)]
            wanted = dict(reader.links[pair])[place]
            assert region.nonzero().flatten().tolist() == list(wanted)
        first = steps(trainer, 1)[0]["supervised_attention"]
        for _ in range(30):
            trainer.progress.position.step = 0
            (last,) = steps(trainer, 1)
        assert float(last["supervised_attention"]) < 0.8 * float(first)


def _ids(pair: Pair) -> list[int]:
    return list(subwords().encode(pair.source_text).ids)


def test_a_batch_without_links_teaches_nothing() -> None:
    trainer = translating(phases=[{"attention_supervision": 0.7}])
    batch = next(trainer.batches(0, 0))
    assert batch.mentions.shape == (0, 2)
    found = trainer.loss(batch)
    assert float(found["supervised_attention"].detach()) == 0
    assert torch.equal(found["loss"], found["cross_entropy"])
