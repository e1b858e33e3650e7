"""Sentence pairs: what files give, what is held out, and batches that lose and repeat nothing."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from captioner.errors import ConfigError, DataError
from captioner.settings import from_dict, to_dict
from captioner.subwords import Subwords
from captioner.text import EOS, PAD
from captioner.translations.pairs import Pair, PairBatch, PairReader, read_pairs, split_by_source
from captioner.translations.recipe import PairSource

ENGLISH = ("A dog runs.", "Two men", "The red ball rolls down the hill .")
GERMAN = ("Ein Hund läuft.", "Zwei Männer", "Der rote Ball rollt den Hügel hinab.")


def written(path: Path, content: str | bytes) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def parallel(folder: Path, one: str | bytes, other: str | bytes, **settings: object) -> PairSource:
    files = {"source": written(folder / "x.en", one), "target": written(folder / "x.de", other)}
    return from_dict(PairSource, {**files, "languages": ["en", "de"], **settings})


def tsv(folder: Path, content: str, **settings: object) -> PairSource:
    file = written(folder / "x.tsv", content)
    return from_dict(PairSource, {"tsv": file, "languages": ["en", "fr"], **settings})


# Files


def test_parallel_files(tmp_path: Path) -> None:
    pairs = read_pairs(parallel(tmp_path, "\n".join(ENGLISH) + "\n", "\n".join(GERMAN)))
    assert pairs == [Pair(e, g, "en", "de") for e, g in zip(ENGLISH, GERMAN, strict=True)]


def test_both_ways(tmp_path: Path) -> None:
    source = parallel(tmp_path, "\n".join(ENGLISH), "\n".join(GERMAN), both_ways=True)
    pairs = read_pairs(source)
    assert pairs[3:] == [pair.turned() for pair in pairs[:3]]
    assert pairs[3] == Pair(GERMAN[0], ENGLISH[0], "de", "en")


def test_columns_of_a_tsv(tmp_path: Path) -> None:
    content = "\ufeffGo.\tVa !\tCC-BY\r\nRun!\tCours\u2028!\tCC-BY\r\n"
    assert read_pairs(tsv(tmp_path, content)) == [
        Pair("Go.", "Va !", "en", "fr"),
        Pair("Run!", "Cours\u2028!", "en", "fr"),
    ]
    assert read_pairs(tsv(tmp_path, content, columns=[3, 1]))[0] == Pair("CC-BY", "Go.", "en", "fr")


def test_empty_lines_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = read_pairs(parallel(tmp_path, "one\n\n \u200b\nfour\n\n", "eins\nzwei\ndrei\nvier\n\n"))
    assert [pair.source_text for pair in pairs] == ["one", "four"]
    assert "x.en: left out 3 of 5 pairs, empty on one side" in caplog.text
    caplog.clear()
    assert len(read_pairs(tsv(tmp_path, "a\tb\n\nc\t\nd\te\n"))) == 2
    assert "left out 2 of 4 pairs" in caplog.text


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ("a\nb\nc\n", "d\ne\n", "x.en has 3 lines and .*x.de 2: line n of one must be the transl"),
        ("a\nb\n", b"d\n\xe4\n", "x.de: line 2 is not UTF-8 text .byte 2.: save it as UTF-8"),
        ("", "", "x.en: holds no pair of sentences"),
        ("a\n", "\n", "x.en: holds no pair of sentences"),
    ],
)
def test_parallel_files_that_are_none(
    tmp_path: Path, one: str, other: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_pairs(parallel(tmp_path, one, other))
    assert "\n" not in str(caught.value)


def test_a_tsv_with_too_few_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2 has 1 tab-separated columns, but .* \[1, 2\]"):
        read_pairs(tsv(tmp_path, "a\tb\nc d\n"))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    gone = PairSource(tsv=str(tmp_path / "gone.tsv"), languages=("en", "fr"))
    with pytest.raises(DataError, match=r"gone\.tsv: no such file; expected sentences"):
        read_pairs(gone)
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_pairs(PairSource(tsv=str(tmp_path), languages=("en", "fr")))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "has no file; give source and target"),
        ({"source": "a"}, "has source; give source and target"),
        ({"source": "a", "target": "b", "tsv": "c"}, "source and target and tsv; give source and"),
        ({"tsv": "a"}, r"languages is \[\]; expected the codes of the two languages"),
        ({"tsv": "a", "languages": ["en", "en"]}, r"languages is \['en', 'en'\]"),
        ({"tsv": "a", "languages": ["en", "de"], "columns": [0, 1]}, r"columns is \[0, 1\]"),
        ({"tsv": "a", "languages": ["en", "de"], "columns": [2]}, r"columns is \[2\]"),
        ({"tsv": "a", "languages": ["en", "de"], "share": 0}, "share is 0.0; expected a share"),
        ({"tsv": "a", "languages": ["en", "de"], "held_out": 1}, "held_out is 1.0; expected a sh"),
        ({"tsv": "a", "languages": ["en", "de"], "part": "test"}, "expected one of all, train, h"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(PairSource, settings)


def test_settings_come_back() -> None:
    source = PairSource(tsv="a", languages=("en", "ko"), columns=(3, 1), share=20000, part="train")
    assert from_dict(PairSource, to_dict(source)) == source


# The split


def everyday(count: int) -> list[Pair]:
    """Every English sentence with two French ones, the second shared with the next sentence."""
    return [
        Pair(f"Sentence {n}.", f"Phrase {m} !", "en", "fr")
        for n in range(count)
        for m in (n, n + 1)
    ]


@given(st.integers(0, 99), st.sampled_from([0.1, 0.3, 0.7]))
def test_nothing_held_out_is_seen(seed: int, share: float) -> None:
    pairs = everyday(101)
    rest, held_out = split_by_source(pairs, share, seed)
    for side in ("source_text", "target_text"):
        seen = {getattr(pair, side) for pair in rest}
        assert not seen & {getattr(pair, side) for pair in held_out}
    assert abs(len(held_out) / len(pairs) - share) < 0.25
    assert [pair for pair in pairs if pair in rest] == rest
    assert [pair for pair in pairs if pair in held_out] == held_out


def test_a_sentence_keeps_its_side() -> None:
    pairs = everyday(53)
    _, held_out = split_by_source(pairs, 0.3)
    again = [Pair(p.source_text.upper() + "!", p.target_text, "en", "fr") for p in pairs[::-1]]
    _, others = split_by_source(again, 0.3)
    assert [p.target_text for p in others[::-1]] == [p.target_text for p in held_out]


def test_parts_of_a_source(tmp_path: Path) -> None:
    content = "".join(f"{pair.source_text}\t{pair.target_text}\n" for pair in everyday(41))
    rest, held_out = split_by_source(read_pairs(tsv(tmp_path, content)), 0.2)
    assert read_pairs(tsv(tmp_path, content, part="train", held_out=0.2)) == rest
    turned = read_pairs(tsv(tmp_path, content, part="held_out", held_out=0.2, both_ways=True))
    assert turned == held_out + [pair.turned() for pair in held_out]


def test_a_split_needs_two_sides() -> None:
    with pytest.raises(
        DataError, match=r"a share of 0\.001 of 6 pairs leaves 6 and 0: choose a sh"
    ):
        split_by_source(everyday(3), 0.001)
    with pytest.raises(ConfigError, match="the share to hold out is 1"):
        split_by_source(everyday(3), 1)


# Batches

WORDS = ("dog", "runs", "red", "the", "hill", "man")


def counted(count: int, start: int = 0) -> list[Pair]:
    """Pairs of many lengths, each with a source of its own."""
    return [
        Pair(
            f"{n} " + " ".join(WORDS[k % 6] for k in range(n * 7 % 13)),
            " ".join(WORDS[k % 5] for k in range(1 + n * 5 % 11)),
            "en",
            ("de", "fr")[n % 2],
        )
        for n in range(start, start + count)
    ]


@pytest.fixture(scope="module")
def subwords() -> Subwords:
    pairs = counted(211)
    texts = [pair.source_text for pair in pairs] + [pair.target_text for pair in pairs]
    return Subwords.train(texts, 97, ["de", "fr"], byte_fallback=False)


@pytest.fixture(scope="module")
def reader(subwords: Subwords) -> PairReader:
    return PairReader([counted(211)], subwords, batch_tokens=113, seed=3)


def rows(batch: PairBatch) -> list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """Source, input and target of every pair, checked for padding."""
    found = []
    for row, (long, short) in enumerate(zip(batch.source_lengths, batch.lengths, strict=True)):
        source, given, target = batch.sources[row], batch.inputs[row], batch.targets[row]
        assert set(source[long:].tolist()) | set(target[short:].tolist()) <= {PAD}
        assert set(given[short:].tolist()) <= {PAD}
        assert source[long - 1] == target[short - 1] == EOS
        assert torch.equal(given[1:short], target[: short - 1])
        found.append(tuple(tuple(t.tolist()) for t in (source[:long], given[:short], target)))
    return found  # type: ignore[return-value]


def expected(pair: Pair, subwords: Subwords) -> tuple[tuple[int, ...], int]:
    start = subwords.start(pair.target_language)
    return (*subwords.encode(pair.source_text).ids, EOS), start


def test_an_epoch_holds_every_pair_once(reader: PairReader, subwords: Subwords) -> None:
    seen = [row for batch in reader.read(5) for row in rows(batch)]
    assert Counter((source, given[0]) for source, given, _ in seen) == Counter(
        expected(pair, subwords) for pair in counted(211)
    )


def test_shapes(reader: PairReader) -> None:
    for batch in reader.read(0):
        pairs, longest = batch.sources.shape
        assert longest == batch.source_lengths.max()
        assert batch.inputs.shape == batch.targets.shape == (pairs, batch.lengths.max())
        assert batch.sources.dtype == batch.inputs.dtype == batch.lengths.dtype == torch.int64


def test_steps_hold_alike_much(reader: PairReader) -> None:
    for epoch in range(7):
        batches = list(reader.read(epoch))
        assert len(batches) == len(reader)
        pieces = [int(b.lengths.sum() + b.source_lengths.sum()) for b in batches]
        assert sum(pieces) / len(pieces) <= 113
        assert max(pieces) < 2 * 113


def test_little_is_padded(reader: PairReader) -> None:
    for batch in reader.read(2):
        assert batch.lengths.max() - batch.lengths.min() <= 3


def test_the_order_depends_on_seed_and_epoch_alone(reader: PairReader, subwords: Subwords) -> None:
    def order(reader: PairReader, epoch: int, first_step: int = 0) -> list[object]:
        return [rows(batch) for batch in reader.read(epoch, first_step)]

    same = PairReader([counted(211)], subwords, batch_tokens=113, seed=3)
    other = PairReader([counted(211)], subwords, batch_tokens=113, seed=4)
    whole = order(reader, 1)
    assert order(same, 1) == whole
    assert order(same, 1, first_step=17) == whole[17:]
    assert order(same, 1, first_step=len(same)) == []
    assert order(reader, 2) != whole
    assert order(other, 1) != whole


@pytest.mark.parametrize(("share", "drawn"), [(0.5, 30), (1.0, 61), (7.0, 7), (99.0, 61)])
def test_shares_of_the_sets(subwords: Subwords, share: float, drawn: int) -> None:
    sets = [counted(31), counted(61, start=100)]
    reader = PairReader(sets, subwords, batch_tokens=53, seed=1, shares=[1.0, share])
    second = {subwords.encode(pair.source_text).ids for pair in sets[1]}
    epochs = []
    for epoch in (0, 1):
        seen = [row[0][:-1] for batch in reader.read(epoch) for row in rows(batch)]
        assert len(seen) == len(set(seen)) == 31 + drawn
        epochs.append(second & set(seen))
        assert len(epochs[-1]) == drawn
        assert len(list(reader.read(epoch))) == len(reader)
    assert (epochs[0] != epochs[1]) == (drawn < 61)


def test_long_pairs_are_left_out_and_counted(
    subwords: Subwords, caplog: pytest.LogCaptureFixture
) -> None:
    long = Pair("dog " * 9, "runs", "en", "de")
    with caplog.at_level(logging.WARNING):
        kept = PairReader(
            [[*counted(5), long, long.turned()]],
            Subwords.train([long.source_text, "runs"], 97, ["de", "en", "fr"], byte_fallback=False),
            batch_tokens=101,
            seed=1,
            max_pieces=60,
        )
        assert not caplog.records
        assert len(kept.pairs) == 7
        reader = PairReader([counted(5), [long]], subwords, batch_tokens=101, seed=1, max_pieces=8)
    assert long not in reader.pairs
    assert f"left out {6 - len(reader.pairs)} of 6 pairs, over 8 pieces long" in caplog.text
    assert sum(len(batch.lengths) for batch in reader.read(0)) == len(reader.pairs)


@given(st.integers(1, 400), st.integers(0, 9))
def test_any_budget_gives_every_step_a_pair(
    subwords: Subwords, batch_tokens: int, epoch: int
) -> None:
    pairs = counted(23)
    reader = PairReader([pairs], subwords, batch_tokens=batch_tokens, seed=2)
    sizes = [len(batch.lengths) for batch in reader.read(epoch)]
    assert len(sizes) == len(reader)
    assert min(sizes) >= 1
    assert sum(sizes) == 23


def test_a_language_without_start_token(subwords: Subwords) -> None:
    pairs = [Pair("dog", "개", "en", "ko")]
    with pytest.raises(ConfigError, match="'ko' is no language of this model; it writes de, fr"):
        PairReader([pairs], subwords, batch_tokens=101, seed=1)


def test_nothing_short_enough(subwords: Subwords) -> None:
    with pytest.raises(DataError, match="none of 5 pairs has at most 1 pieces on both sides"):
        PairReader([counted(5)], subwords, batch_tokens=101, seed=1, max_pieces=1)


def test_lengths_stay_on_the_cpu(reader: PairReader) -> None:
    moved = next(reader.read(0)).to(torch.device("meta"))
    assert moved.sources.is_meta
    assert moved.inputs.is_meta
    assert moved.targets.is_meta
    assert not moved.lengths.is_meta
    assert not moved.source_lengths.is_meta


def test_a_line_may_hold_several_translations(tmp_path: Path) -> None:
    (tmp_path / "a.en").write_text("Go!\nStay.\nWait.\n", encoding="utf-8")
    (tmp_path / "a.de").write_text("Geh!\tLos! \t\nBleib.\n \t \n", encoding="utf-8")
    files = {"source": str(tmp_path / "a.en"), "target": str(tmp_path / "a.de")}
    go, stay = read_pairs(PairSource(**files, languages=("en", "de")))
    assert go == Pair("Go!", "Geh!", "en", "de", others=("Los!",))
    assert go.references == ("Geh!", "Los!")
    assert stay == Pair("Stay.", "Bleib.", "en", "de")
    assert go.each() == [Pair("Go!", "Geh!", "en", "de"), Pair("Go!", "Los!", "en", "de")]
    both = read_pairs(PairSource(**files, languages=("en", "de"), both_ways=True))
    assert both[2:] == [one.turned() for pair in (go, stay) for one in pair.each()]
    # A held-out sentence gives none of its translations away.
    others = [Pair(f"Say {n}.", f"Sag {n}.", "en", "de", others=("Los!",)) for n in range(40)]
    with pytest.raises(DataError, match="leaves 0 and"):
        split_by_source(others, 0.5)
