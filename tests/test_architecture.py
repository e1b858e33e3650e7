from __future__ import annotations

import pytest

from captioner.errors import ConfigError
from captioner.nn import encoders
from captioner.nn.architecture import BACKBONES, SCORES, ModelConfig, TranslationConfig
from captioner.nn.architecture import CELLS as CELL_NAMES
from captioner.nn.cells import CELLS
from captioner.nn.model import Dropouts
from captioner.nn.scores import SCORE_BUILDERS
from captioner.settings import from_dict


def test_choices_are_what_the_networks_know() -> None:
    assert set(BACKBONES) == set(encoders.BACKBONES)
    assert set(SCORES) == set(SCORE_BUILDERS)
    assert set(CELL_NAMES) == set(CELLS)


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        (
            {"heads": 2, "score": "none"},
            "heads is 2, but with attention.score none nothing looks; choose a score, or set",
        ),
        (
            {"heads": 4, "size": 510},
            "heads is 4, which do not share attention.size 510 evenly; choose a divisor",
        ),
        (
            {"heads": 3, "score": "scaled_dot"},
            "heads is 3, which do not share encoder.feature",
        ),
        ({"input_feeding": True}, "input_feeding brings the previous context into the next step"),
        (
            {"kind": "hard", "score": "none"},
            r"^attention.kind is hard, but with attention.score none nothing looks; choose a "
            r'score, or set kind = "soft"$',
        ),
        (
            {"kind": "local_p", "score": "location"},
            r"^attention.kind local_p compares the query with what lies at a position, but "
            r"attention.score location asks for the place alone; choose another score, or set "
            r'kind = "soft" or "hard"$',
        ),
        (
            {"kind": "sentinel"},
            r"^attention.kind sentinel is made by the recurrent step, but attention.query is "
            r'before it; set query = "after", or another kind$',
        ),
        (
            {"coverage": True, "score": "dot"},
            r"^attention.coverage is a part of the additive score, but attention.score is dot; set "
            r'score = "additive", or coverage = false$',
        ),
        ({"kind": "wild"}, "kind is 'wild'; expected one of soft, hard, local_m, local_p, sent"),
        ({"places": 0}, "^places is 0; expected a number above 0$"),
        ({"local": {"radius": 0}}, "^radius is 0; expected a number above 0$"),
        ({"hard": {"expected": 1.5}}, r"^hard.expected is 1.5; expected a share from 0 to 1$"),
        ({"hard": {"reward": -1}}, r"^hard.reward is -1.0; expected 0 or more$"),
        ({"hard": {"decode": "luck"}}, "decode is 'luck'; expected one of expectation, argmax, sa"),
    ],
)
def test_attention_settings_that_do_not_fit(attention: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(ModelConfig, {"attention": attention})


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_a_sentinel_needs_the_cell_of_an_lstm(cell: str) -> None:
    values = {"attention": {"kind": "sentinel", "query": "after"}, "decoder": {"cell": cell}}
    with pytest.raises(ConfigError, match=f"from an LSTM's cell, but decoder.cell is {cell}; set"):
        from_dict(ModelConfig, values)
    with pytest.raises(ConfigError, match=f"from an LSTM's cell, but decoder.cell is {cell}; set"):
        from_dict(TranslationConfig, values)


def test_rates_of_dropout_are_read_from_settings_and_left_out_of_inputs() -> None:
    model = from_dict(
        ModelConfig,
        {
            "encoder": {"dropout": 0.1},
            "attention": {"dropout": 0.2},
            "decoder": {"dropout": 0.3, "word_dropout": 0.4},
        },
    )
    assert Dropouts.of(model) == Dropouts(0.1, 0.0, 0.2, 0.3, 0.4)
    assert Dropouts.of(model).without_inputs() == Dropouts(0.0, 0.0, 0.0, 0.3, 0.0)
    other = from_dict(TranslationConfig, {"encoder": {"dropout": 0.6, "word_dropout": 0.7}})
    assert Dropouts.of(other) == Dropouts(0.6, 0.7, 0.0, 0.3, 0.0)
