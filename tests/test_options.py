from __future__ import annotations

from captioner.options import SearchOptions


def test_n_best_samples_need_no_beam() -> None:
    assert SearchOptions(sample=True, n_best=9).n_best == 9
