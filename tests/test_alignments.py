from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from captioner.alignments import AlignmentReport, SilverLinks, align, measure
from captioner.errors import MetricError

# A toy language: the adjective stands behind its noun, everything else in the same order.
NOUNS = {"dog": "perro", "cat": "gato", "boy": "nino", "house": "casa", "tree": "arbol"}
ADJECTIVES = {"red": "rojo", "big": "grande", "old": "viejo"}
VERBS = {"sees": "ve", "has": "tiene", "wants": "quiere"}
SHAPES = ((5, 7), (3, 2), (7, 7), (2, 11))


def toy_pairs() -> list[tuple[list[str], list[str]]]:
    pairs = []
    for noun, n in NOUNS.items():
        for adjective, a in ADJECTIVES.items():
            for verb, v in VERBS.items():
                pairs.append((["the", adjective, noun, verb, "it"], ["el", n, a, v, "lo"]))
                pairs.append((["the", noun, verb], ["el", n, v]))
    return pairs


def links(*sure: tuple[int, int], possible: tuple[tuple[int, int], ...] = ()) -> SilverLinks:
    return SilverLinks(frozenset(sure), frozenset(sure) | frozenset(possible))


def one_hot(shape: tuple[int, int], places: list[int]) -> np.ndarray:
    rows = np.zeros(shape)
    rows[np.arange(shape[0]), places] = 1
    return rows


def random_set(seed: int) -> tuple[list[np.ndarray], list[SilverLinks], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    rows = [rng.dirichlet(np.full(s, 0.3), size=t) for t, s in SHAPES]
    silver = []
    for t, s in SHAPES:
        drawn = [(int(a), int(b)) for a, b in zip(rng.permutation(t), rng.permutation(s))]  # noqa: B905
        silver.append(links(*drawn[::2], possible=tuple(drawn)))
    return rows, silver, [rng.random(t) for t, _ in SHAPES]


def values(report: AlignmentReport) -> dict[str, float]:
    return {name: score.value for name, score in report.scores.items()}


def test_the_aligner_finds_a_swapped_adjective() -> None:
    pairs = toy_pairs()
    found = align(pairs, iterations=3)
    long, short = found[0], found[1]
    assert {(1, 2), (2, 1)} <= long.sure  # noun and adjective have changed places
    assert (3, 3) in long.sure
    assert short.sure >= {(1, 1), (2, 2)}
    assert all(each.sure <= each.possible for each in found)


def test_case_does_not_matter_and_support_helps_without_being_aligned() -> None:
    pairs = toy_pairs()
    shouted = [([word.upper() for word in source], target) for source, target in pairs[:1]]
    found = align(shouted, support=pairs, iterations=3)
    assert len(found) == 1
    assert {(1, 2), (2, 1)} <= found[0].sure


def test_sentences_without_words_have_no_links() -> None:
    pairs = [(["a", "b"], ["x", "y"]), ([], ["x"]), (["a"], []), (["a"], ["x"])]
    found = align(pairs, iterations=1)
    assert len(found) == 4
    assert found[1].possible == found[2].possible == frozenset()
    assert (0, 0) in found[3].sure
    assert align([]) == []


def test_links_lie_within_their_sentences() -> None:
    for (source, target), each in zip(toy_pairs(), align(toy_pairs(), iterations=1), strict=True):
        assert all(t < len(target) and s < len(source) for t, s in each.possible)


def test_iterations_are_checked() -> None:
    with pytest.raises(MetricError, match="iterations is 0: the aligner needs at least 1"):
        align([], iterations=0)


def test_looking_at_the_links_themselves_is_perfect() -> None:
    silver = [links((0, 2), (1, 0), (2, 1))]
    report = measure([one_hot((3, 5), [2, 0, 1])], silver, bootstrap=0)
    expected = {"hits": 1, "mass": 1, "precision": 1, "recall": 1, "f1": 1, "aer": 0}
    assert values(report) == expected


def test_scores_by_hand() -> None:
    # Row 0 points at its sure link, row 1 at a possible one, row 2 at none, row 3 has no link.
    silver = [links((0, 1), (1, 0), (2, 2), possible=((1, 3),))]
    rows = np.array([[0.2, 0.8, 0, 0], [0.3, 0, 0, 0.7], [0.9, 0, 0.1, 0], [0.25, 0.25, 0.4, 0.1]])
    found = values(measure([rows], silver, end_mass=[np.array([0, 0, 0.5, 0.5])], bootstrap=0))
    assert found["hits"] == pytest.approx(1 / 3)
    assert found["mass"] == pytest.approx((0.8 + 0.3 + 0.1) / 3)
    assert found["precision"] == pytest.approx(2 / 4)
    assert found["recall"] == pytest.approx(1 / 3)
    assert found["f1"] == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))
    assert found["aer"] == pytest.approx(1 - (1 + 2) / (4 + 3))
    assert found["end_mass"] == pytest.approx(0.25)


def test_aer_equals_the_one_of_nltk() -> None:
    from nltk.translate.metrics import alignment_error_rate

    rows, silver, _ = random_set(3)
    for each, wanted in zip(rows, silver, strict=True):
        drawn = {(t, int(row.argmax())) for t, row in enumerate(each)}
        expected = alignment_error_rate(set(wanted.sure), drawn, set(wanted.possible))
        found = values(measure([each], [wanted], shifts=(), bootstrap=0))
        assert found["aer"] == pytest.approx(expected)


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_shift_reads_the_row_before_or_behind(shift: int) -> None:
    places = [3, 0, 4, 1, 5, 2]
    silver = [links(*((t, s) for t, s in enumerate(places)))]
    aside = one_hot((6, 7), list(np.roll(places, shift)))  # row t + shift looks where word t should
    report = measure([aside], silver, bootstrap=0)
    assert set(report.shifted) == {-1, 0, 1}
    assert report.shifted[shift]["hits"].value == 1
    assert report.shifted[0]["hits"].value == 0
    assert report.shifted[-shift]["hits"].value == 0
    assert report.shifted[shift]["hits"].recipe == (
        f"against IBM Model 2, both directions | row t {shift:+d} | words 1 from both ends | N 1 | "
        "no bootstrap"
    )


def test_no_shifts_are_no_shifts() -> None:
    rows, silver, _ = random_set(5)
    assert measure(rows, silver, shifts=(), bootstrap=0).shifted == {}


def test_the_diagonal_is_the_yardstick() -> None:
    silver = [links(*((t, t) for t in range(5))), links((0, 0), (1, 3), (2, 5))]
    rows = [one_hot((5, 5), [4, 3, 2, 1, 0]), one_hot((3, 7), [6, 6, 6])]
    report = measure(rows, silver, bootstrap=0)
    assert report.diagonal["hits"].value == pytest.approx((5 + 2) / 8)  # 7 words: 1, 3 and 5
    assert "end_mass" not in report.diagonal


def test_intervals_hold_the_value_and_follow_the_seed() -> None:
    rows, silver, ends = random_set(7)
    rows, silver, ends = rows * 5, silver * 5, ends * 5
    first = measure(rows, silver, end_mass=ends, bootstrap=97, seed=1)
    again = measure(rows, silver, end_mass=ends, bootstrap=97, seed=1)
    other = measure(rows, silver, end_mass=ends, bootstrap=97, seed=2)
    assert first == again
    assert first.scores["mass"].interval != other.scores["mass"].interval
    for score in first.scores.values():
        low, high = score.interval
        assert low <= score.value <= high


def test_the_table_shows_everything() -> None:
    rows, silver, ends = random_set(11)
    table = measure(rows, silver, end_mass=ends, bootstrap=31).table()
    assert table.count("\n| ") == 5  # below the heads: attention, the diagonal, three rows
    for title in ("attention", "the diagonal", "row t -1", "row t, same words", "row t +1"):
        assert f"| {title}" in table
    assert "On the end of the source: " in table
    assert table.endswith("| row t | all words | N 4 | bootstrap 31, seed 0")
    assert "On the end" not in measure(rows, silver, bootstrap=0).table()


def test_what_does_not_match_is_refused() -> None:
    rows, silver, ends = random_set(13)
    with pytest.raises(MetricError, match="4 alignments came with 3 silver links: give one"):
        measure(rows, silver[:3])
    with pytest.raises(MetricError, match="4 alignments came with 3 end masses"):
        measure(rows, silver, end_mass=ends[:3])
    with pytest.raises(MetricError, match=r"sentence 0 has shape \(5, 7\), which its silver"):
        measure(rows, [links((5, 0)), *silver[1:]])
    with pytest.raises(MetricError, match=r"sentence 1 has shape \(2,\), but \(3,\) was"):
        measure(rows, silver, end_mass=[ends[0], ends[0][:2], *ends[2:]])
    with pytest.raises(MetricError, match="no word with a sure link to judge"):
        measure(rows, [replace(each, sure=frozenset()) for each in silver], bootstrap=0)
