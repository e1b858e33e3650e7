"""benchmarks/lengths.py: what a longer sentence costs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.lengths import Cost, _kept, costs, figure, main, table
from captioner.translation import Translator


def test_what_is_kept_is_each_storage_once_and_no_weight() -> None:
    weight = torch.ones(1000, 1000, requires_grad=True)
    given = torch.ones(10, 1000, requires_grad=True)

    def work() -> None:
        made = given @ weight  # keeps what was given (40,000 bytes) and the weight
        (made.exp() + made.exp() * made.view(-1).view(10, 1000)).sum().backward()

    # Both exponentials, and for the product what was made, once for all its views.
    assert _kept(work, [weight]) == 4 * 40_000
    assert _kept(work, []) == 4 * 40_000 + 4_000_000


def test_a_recurrent_translators_memory_grows_with_the_length(tiny_translator: Translator) -> None:
    before = {k: v.clone() for k, v in tiny_translator.model.state_dict().items()}
    found = [costs(tiny_translator, length, rounds=1, batch=2) for length in (8, 16, 32)]
    steps = [found[n + 1].kept - found[n].kept for n in range(2)]
    assert 1.9 < steps[1] / steps[0] < 3  # twice as many pieces more; attention's square is small
    assert all(cost.training > 0 and cost.writing > 0 for cost in found)
    assert all(torch.equal(v, before[k]) for k, v in tiny_translator.model.state_dict().items())


def test_the_table_says_by_how_much_the_last_doubling_costs_more() -> None:
    found = {"one": [Cost(0.01, 2, 0.1), Cost(0.04, 5, 0.2)]}
    lines = [" ".join(line.split()) for line in table((8, 16), found).splitlines()]
    assert "| one | 10 | 40 | × 4.0 |" in lines
    assert "| one | 2 | 5 | × 2.5 |" in lines
    assert "| one | 100 | 200 | × 2.0 |" in lines
    assert figure((8, 16), found).width > 900


def test_it_writes_a_table_and_a_figure(
    translation_weights: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)  # of the other tests, too
    main([translation_weights, "--lengths", "4", "8", "--rounds", "1", "-o", str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == {"lengths.md", "lengths.png"}
    assert "| translate " in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([translation_weights, "--lengths", "1"])
    assert "--lengths 1: expected at least 2 pieces" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([translation_weights, translation_weights])
    assert "these are translate, translate" in capsys.readouterr().err
