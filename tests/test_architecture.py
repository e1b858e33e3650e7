from __future__ import annotations

import pytest

from captioner.errors import ConfigError
from captioner.nn import encoders
from captioner.nn.architecture import BACKBONES, SCORES, ModelConfig
from captioner.nn.attention import SCORE_BUILDERS
from captioner.settings import from_dict


def test_choices_are_what_the_networks_know() -> None:
    assert set(BACKBONES) == set(encoders.BACKBONES)
    assert set(SCORES) == set(SCORE_BUILDERS)


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        (
            {"heads": 2},
            "heads is 2, and heads compare by scaled_dot, but attention.score",
        ),
        (
            {"heads": 3, "score": "scaled_dot"},
            "heads is 3, which do not share encoder.feature",
        ),
        ({"input_feeding": True}, "input_feeding brings the previous context into the next step"),
    ],
)
def test_attention_settings_that_do_not_fit(attention: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(ModelConfig, {"attention": attention})
