from __future__ import annotations

import pytest

from captioner.options import SearchOptions
from captioner.trials import Sentence, Trial, try_decodings

FOUND = {  # by beam size: log p of each sentence, and its length
    1: {"a": (-3.0, 3), "aa": (-5.0, 7)},
    3: {"b": (-3.0, 3), "bb": (-3.5, 5), "bbb": (-6.0, 11)},
}


def found(beam_size: int) -> list[tuple[str, list[Sentence]]]:
    one = [Sentence(text, *numbers) for text, numbers in FOUND[beam_size].items()]
    return [("first", one), ("second", one[::-1])]


@pytest.mark.parametrize(
    ("penalty", "first"),
    [(0.0, "b"), (0.5, "bb"), (1.0, "bbb")],  # -3, -3.5 / √5, -6 / 11
)
def test_a_penalty_ranks_what_one_search_found(penalty: float, first: str) -> None:
    asked, scored = [], []

    def find(beam_size: int) -> list[tuple[str, list[Sentence]]]:
        asked.append(beam_size)
        return found(beam_size)

    def score(said: object, wanted: object) -> dict[str, float]:
        scored.append((said, wanted))
        return {"quality": 0.25}

    trials = try_decodings(find, score, beam_sizes=(1, 3), length_penalties=(penalty, 0.0))
    assert asked == [1, 3]
    assert [said for said, _ in scored] == [["a", "a"], [first, first], ["b", "b"]]
    assert all(wanted == ["first", "second"] for _, wanted in scored)
    assert [(trial.beam_size, trial.length_penalty) for trial in trials] == [
        (1, None), (3, penalty), (3, 0.0),
    ]  # fmt: skip
    assert all(trial.scores == {"quality": 0.25} for trial in trials)


def test_a_trial_asks_for_its_decoding() -> None:
    own = SearchOptions(beam_size=5, length_penalty=0.4, max_length=17)
    assert Trial(3, 0.0, {}).put_into(own) == SearchOptions(3, 0.0, max_length=17)
    assert Trial(1, None, {}).put_into(own) == SearchOptions(1, 0.4, max_length=17)
