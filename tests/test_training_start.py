from __future__ import annotations

import re

import pytest
import torch

from captioner.captions.checkpoint import Checkpoint
from captioner.errors import ConfigError
from captioner.nn.architecture import ModelConfig, TranslationConfig
from captioner.settings import from_dict
from captioner.training import start
from captioner.translations.checkpoint import TranslationCheckpoint


def test_what_no_memory_holds_is_not_built() -> None:
    # Two LSTMs whose matrices alone have 8 × 4 × 65,536² numbers.
    sizes = {"hidden_size": 2**16, "layers": 100}
    config = from_dict(TranslationConfig, {"encoder": sizes})
    told = r"the model's weights would take [\d,]+ GB, and this machine has [\d,]+ GB of memory; "
    with pytest.raises(ConfigError, match=told + re.escape("choose smaller sizes or fewer layers")):
        start.built(TranslationCheckpoint, config, 300)


def test_counting_first_changes_no_weights() -> None:
    sizes = {"encoder": {"image_size": 32, "feature_size": 8}, "attention": {"size": 8}}
    config = from_dict(ModelConfig, {**sizes, "decoder": {"hidden_size": 8, "embedding_size": 8}})
    states = []
    for build in (Checkpoint.build, lambda *values: start.built(Checkpoint, *values)):
        torch.manual_seed(7)
        states.append(build(config, 11).state_dict())
    first, second = states
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
