from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from captioner.errors import ConfigError
from captioner.options import SearchOptions
from captioner.settings import field_of, is_whole

API = Path(__file__).parent.parent / "docs" / "api.md"
OPTIONS = {entry.name: entry for entry in dataclasses.fields(SearchOptions)}
SLIDERS = {name: e.metadata["slider"] for name, e in OPTIONS.items() if e.metadata["slider"]}
SERVED = {name: e.metadata["served"] for name, e in OPTIONS.items() if e.metadata["served"]}


def test_n_best_samples_need_no_beam() -> None:
    assert SearchOptions(sample=True, n_best=9).n_best == 9


@pytest.mark.parametrize("name", SLIDERS)
def test_a_slider_offers_what_the_option_takes(name: str) -> None:
    low, high, step = SLIDERS[name]
    own = {"sample": True}
    for value in (low, low + step, high):
        assert getattr(SearchOptions(**own, **{name: value}), name) == value
    assert not is_whole(OPTIONS[name]) or all(isinstance(value, int) for value in SLIDERS[name])
    steps = (high - low) / step
    assert steps == pytest.approx(round(steps))


@pytest.mark.parametrize("name", SERVED)
def test_the_document_says_what_is_served(name: str) -> None:
    most = SERVED[name]
    assert most <= OPTIONS[name].metadata["within"][1]
    assert f"`{name}` (1 to {most}" in API.read_text(encoding="utf-8")


def test_options_are_changed_as_a_whole() -> None:
    own = SearchOptions(beam_size=2, length_penalty=0.1)
    assert own.changed() == own
    assert own.changed(beam_size=None) == own
    assert own.changed(n_best=4) == dataclasses.replace(own, beam_size=4, n_best=4)
    assert own.changed(n_best=4, sample=True).beam_size == 2
    with pytest.raises(ConfigError, match=r"^beam is no decoding option; expected alternatives, "):
        own.changed(beam=2)
    with pytest.raises(ConfigError, match=r"^n_best 101 is more than any beam can find; ask for"):
        own.changed(n_best=101)


def test_a_field_is_found_by_its_name() -> None:
    assert field_of(SearchOptions, "seed").metadata["within"] == (0, 2**63 - 1)
    assert [name for name in OPTIONS if is_whole(OPTIONS[name])] == [
        "beam_size",
        "max_length",
        "n_best",
        "seed",
        "alternatives",
    ]
