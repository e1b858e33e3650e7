"""What an epoch holds: shares of sources, or directions by temperature."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner.errors import ConfigError
from captioner.settings import from_dict
from captioner.translations.drawing import Draw, Numbers, by_share, by_temperature
from captioner.translations.recipe import TranslationRecipe

SIZES = {("en", "de"): 400, ("en", "ko"): 25}  # turned ones come behind
CAPTIONS = {("en", "de"): 100, ("en", "ko"): 9}


def recipe(**changes: Any) -> TranslationRecipe:
    """Everyday pairs of two languages, then their captions, both ways."""
    languages = [*SIZES, *CAPTIONS]
    groups = ["", "", "captions", "captions"]
    train = [
        {"tsv": "-", "languages": list(own), "both_ways": True, "group": group}
        for own, group in zip(languages, groups, strict=True)
    ]
    data = {"train": train, "epoch_pairs": 1000, "temperature": 2.0, **changes.pop("data", {})}
    return from_dict(TranslationRecipe, {"data": data, **changes})


def numbered() -> tuple[list[Numbers], list[tuple[str, str]], list[int]]:
    """Numbers of each source's pairs, the direction and the source of each pair."""
    sources = [*SIZES.items(), *CAPTIONS.items()]
    directions: list[tuple[str, str]] = []
    owners: list[int] = []
    for place, ((one, other), count) in enumerate(sources):
        directions += [(one, other)] * count + [(other, one)] * count
        owners += [place] * (2 * count)
    ends = np.cumsum([0, *(2 * count for _, count in sources)])
    return [np.arange(*both) for both in itertools.pairwise(ends)], directions, owners


def counted(wanted: TranslationRecipe, phase: int = 0) -> tuple[dict[tuple[str, str], int], int]:
    """How often each direction is drawn, and how many captions."""
    members, directions, owners = numbered()
    draw = by_temperature(members, directions, wanted.data, wanted.phases[phase])
    drawn = draw.epoch(np.random.default_rng(1))
    assert len(drawn) == sum(draw.counts)
    found = dict.fromkeys(directions, 0)
    for number in drawn.tolist():
        found[directions[number]] += 1
    return found, sum(owners[number] > 1 for number in drawn.tolist())


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_directions_are_drawn_in_proportion_to_a_root(temperature: float) -> None:
    found, _ = counted(recipe(data={"temperature": temperature}))
    sizes = {"de": 500 ** (1 / temperature), "ko": 34 ** (1 / temperature)}
    total = 2 * sum(sizes.values())
    assert sum(found.values()) == 1000
    for (one, other), count in found.items():
        own = sizes[other if one == "en" else one]
        assert count == pytest.approx(1000 * own / total, abs=1)


def test_a_phase_favours_a_group() -> None:
    phases = [{"epochs": 1}, {"epochs": 1, "favours": "captions", "favoured": 0.5, "pairs": 200}]
    wanted = recipe(phases=phases)
    assert counted(wanted)[1] == pytest.approx(1000 * 109 / 534, abs=60)  # as many as there are
    found, captions = counted(wanted, 1)
    assert captions == 100
    assert sum(found.values()) == 200
    assert found["en", "ko"] == pytest.approx(50 * (3 / 13 + 5 / 25), abs=1)


def test_nothing_comes_a_third_time_before_all_came_twice() -> None:
    draw = Draw((np.arange(10), np.arange(10, 13)), (7, 8))
    for seed in range(5):
        drawn = draw.epoch(np.random.default_rng(seed)).tolist()
        assert sorted(drawn[:7]) == sorted(set(drawn[:7]))
        assert sorted(drawn.count(number) for number in (10, 11, 12)) == [2, 3, 3]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(1, 400))
def test_any_sizes_give_the_number_that_is_asked_for(sizes: list[int], total: int) -> None:
    ends = np.cumsum([0, *sizes])
    members = [np.arange(*both) for both in itertools.pairwise(ends)]
    directions = [("en", f"a{chr(97 + n)}") for n, size in enumerate(sizes) for _ in range(size)]
    wanted = recipe()
    one = wanted.data.train[0]
    data = dataclasses.replace(wanted.data, train=(one,) * len(sizes), epoch_pairs=total)
    draw = by_temperature(members, directions, data, wanted.phases[0])
    assert sum(draw.counts) == total
    assert np.concatenate(draw.cells).tolist() == list(range(ends[-1]))


def test_shares_are_of_each_source() -> None:
    members = [np.arange(10), np.arange(10, 30), np.arange(30, 34)]
    assert by_share(members, [1.0, 0.5, 99]).counts == (10, 10, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"temperature": 0.5}}, "temperature is 0.5; expected a number from 1 on"),
        ({"data": {"epoch_pairs": -1}}, "epoch_pairs is -1; expected 0 or a number of pairs"),
        (
            {"phases": [{"favours": "photos"}]},
            "phase '': favours is 'photos', but no training source has that group; there is "
            "captions",
        ),
        ({"phases": [{"favoured": 1.0}]}, "favoured is 1.0; expected a share between 0 and 1"),
        ({"phases": [{"pairs": -3}]}, "pairs is -3; expected 0 or more"),
        (
            {"data": {"epoch_pairs": 0}, "phases": [{"name": "x", "pairs": 5}]},
            "phase 'x': pairs is about draws by temperature; set data.epoch_pairs too",
        ),
    ],
)
def test_wrong_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe(**changes)


def test_a_share_and_a_number_of_pairs_contradict_each_other() -> None:
    train = [{"tsv": "-", "languages": ["en", "de"], "share": 0.5}]
    with pytest.raises(ConfigError, match=r"a source has share 0\.5, but epoch_pairs = 9 draws by"):
        from_dict(TranslationRecipe, {"data": {"train": train, "epoch_pairs": 9}})
