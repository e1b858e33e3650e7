from __future__ import annotations

import contextlib
import dataclasses
import importlib
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner import options, settings
from captioner.captions import recipe as captioning
from captioner.captions.recipe import PhaseConfig, Recipe
from captioner.errors import ConfigError
from captioner.nn import architecture
from captioner.nn.architecture import ModelConfig, TranslationConfig
from captioner.options import SearchOptions
from captioner.settings import from_dict
from captioner.translations import recipe as translation
from captioner.translations.recipe import TranslationPhaseConfig, TranslationRecipe

SETTINGS = [
    entry
    for module in (options, architecture, captioning, translation)
    for cls in vars(module).values()
    if dataclasses.is_dataclass(cls)
    for entry in dataclasses.fields(cls)
]


def test_every_setting_explains_itself() -> None:
    assert len(SETTINGS) > 50
    for entry in SETTINGS:
        assert entry.metadata["help"], entry.name


@pytest.mark.parametrize(
    ("cls", "values", "message"),
    [
        (Recipe, {"sed": 1}, "sed is no setting; did you mean seed?"),
        (Recipe, {"training": {"batchsize": 1}}, "training.batchsize is no setting; did you mean"),
        (Recipe, {"xyzzy": 1}, "xyzzy is no setting; expected one of output, init, seed"),
        (Recipe, {"seed": "1"}, "seed is '1'; expected a whole number"),
        (Recipe, {"seed": -1}, "seed is -1; expected 0 or more"),
        (
            Recipe,
            {"phases": [{"name": "late", "supervised_mass": 0.0}]},
            "phase 'late': supervised_mass is 0.0; expected a share above 0 and at most 1",
        ),
        (Recipe, {"seed": True}, "seed is True; expected a whole number"),
        (Recipe, {"data": 3}, "data is 3; expected a table of settings"),
        (Recipe, {"phases": 3}, "phases is 3; expected a list"),
        (Recipe, {"phases": []}, r"no \[\[phases\]\]"),
        (Recipe, {"phases": [{"epochs": 0}]}, "epochs is 0; expected a number above 0"),
        (Recipe, {"phases": [{"epochs": 1.5}]}, "phases.0.epochs is 1.5; expected a whole number"),
        (Recipe, {"phases": [{"fine_tune_from": 6}]}, "phases.0.fine_tune_from is 6; expected one"),
        (
            Recipe,
            {
                "model": {"encoder": {"stages": 4, "stride": 16}},
                "phases": [{}, {"fine_tune_from": 5}],
            },
            r"phases.1.fine_tune_from is 5, but the CNN has only 4 stages "
            r"\(model.encoder.stages\), so nothing of it would learn; "
            "choose 1 to 4, or 0 for a frozen CNN",
        ),
        (Recipe, {"given": ["decoder.dropout"]}, "given is no setting"),
        (Recipe, {"phases": [{"max_length": 0}]}, "max_length is 0; expected a number above 0"),
        (
            TranslationRecipe,
            {"phases": [{"extra_length": -1}]},
            "extra_length is -1; expected 0 or more",
        ),
        (Recipe, {"data": {"train": [{"images": "x"}]}}, "a data source needs `captions`"),
        (Recipe, {"data": {"validation_share": 1.0}}, "validation_share is 1.0; expected between"),
        (Recipe, {"training": {"weight_decay": -1.0}}, "0 or more, not"),
        (
            ModelConfig,
            {"attention": {"score": "cosin"}},
            "attention.score is 'cosin'; expected one",
        ),
        (ModelConfig, {"encoder": {"stride": 8}}, "encoder.stride is 8; expected one of 16, 32"),
        (ModelConfig, {"encoder": {"stages": 4}}, "stages 4 end at stride 16, but encoder.stride"),
        (
            ModelConfig,
            {"encoder": {"lateral": True}},
            "grid of stride 16, but encoder.stages is 5 and encoder.stride 32; set stages = 5 and",
        ),
        (
            ModelConfig,
            {"encoder": {"lateral": True, "stride": 16, "stages": 4}},
            "but encoder.stages is 4 and encoder.stride 16; set stages = 5 and stride = 16, or lat",
        ),
        (
            ModelConfig,
            {"encoder": {"lateral": True, "stride": 16, "image_size": 112}},
            "image_size 112 is no multiple of 32, the fifth stage's stride, .* choose 128",
        ),
        (ModelConfig, {"encoder": {"image_size": 100}}, "no multiple of encoder.stride 32; choose"),
        (
            ModelConfig,
            {"attention": {"score": "dot"}, "encoder": {"feature_size": 300}},
            "encoder.feature_size is 300 and decoder.hidden_size 512; make them equal",
        ),
        (ModelConfig, {"decoder": {"dropout": 1.0}}, "dropout is 1.0; expected a share"),
        (SearchOptions, {"beam_size": 0}, "beam_size is 0; expected a whole number from 1"),
        (SearchOptions, {"n_best": 4}, "n_best 4 is more than beam_size 3 can find"),
        (SearchOptions, {"top_p": 0.0}, "top_p is 0.0; expected a share above 0"),
        (SearchOptions, {"temperature": 0.0}, "temperature is 0.0"),
        (SearchOptions, {"length_penalty": -1.0}, "length_penalty is -1.0"),
        (SearchOptions, {"alternatives": -1}, "alternatives is -1"),
        (PhaseConfig, {"cache_features": True, "fine_tune_from": 1}, "needs a frozen CNN"),
        (PhaseConfig, {"cache_features": True, "augment": {"flip": True}}, "cannot follow augment"),
        (
            PhaseConfig,
            {"name": "taught", "attention_supervision": -0.5},
            "phase 'taught': attention_supervision is -0.5; expected 0 or mo",
        ),
        (PhaseConfig, {"attention_supervision": math.nan}, "attention_supervision is nan"),
        (PhaseConfig, {"attention_supervision": math.inf}, "attention_supervision is inf"),
        (PhaseConfig, {"self_critical": 1.5}, "self_critical is 1.5; expected a share from 0 to 1"),
        (PhaseConfig, {"self_critical": -0.1}, "self_critical is -0.1; expected"),
        (
            PhaseConfig,
            {"self_critical": math.nan},
            "self_critical is nan; expected a finite number",
        ),
        (
            Recipe,
            {"training": {"weight_decay": math.nan}},
            "training.weight_decay is nan; expected",
        ),
        (Recipe, {"training": {"gradient_clip": math.inf}}, "gradient_clip is inf; expected a fin"),
        (Recipe, {"search": {"beam_size": 10**6}}, "beam_size is 1000000; expected a whole number"),
        (PhaseConfig, {"learning_rate": 10**400}, "learning_rate is 1000.*…; expected a finite"),
        (PhaseConfig, {"samples": 1}, "samples is 1; expected at least 2, since each is judged by"),
        (
            TranslationPhaseConfig,
            {"name": "last", "self_critical": 1.5},
            "phase 'last': self_critical is 1.5; expected a share from 0 to 1",
        ),
        (TranslationPhaseConfig, {"self_critical": math.nan}, "self_critical is nan; expected"),
        (TranslationPhaseConfig, {"samples": 1}, "samples is 1; expected at least 2, since each"),
        (TranslationPhaseConfig, {"temperature": 0.0}, "temperature is 0.0; expected a number ab"),
        (TranslationPhaseConfig, {"temperature": math.inf}, "temperature is inf; expected"),
        (PhaseConfig, {"batch_size": -1}, "batch_size is -1; expected 0 or more"),
        (PhaseConfig, {"samples": 5000}, "samples is 5000; expected at most 4096"),
        (PhaseConfig, {"max_length": 10**9}, "max_length is 1000000000; expected at most 1,000"),
        (TranslationPhaseConfig, {"extra_length": 10**9}, "expected 0 or more, and at most 1000"),
        (Recipe, {"training": {"workers": 10**6}}, "workers is 1000000; expected at most 64"),
        (Recipe, {"training": {"patience": -1}}, "patience is -1; expected 0 or more"),
        (Recipe, {"training": {"save_steps": -1}}, "save_steps is -1; expected 0 or more"),
        (TranslationRecipe, {"training": {"patience": -1}}, "patience is -1; expected 0 or more"),
        (Recipe, {"seed": 2**63}, f"seed is {2**63}; expected at most {2**63 - 1}"),
        (Recipe, {"output": " "}, "output is ' '; expected the name of a folder"),
        (TranslationRecipe, {"output": "a\0"}, r"output is 'a\\x00'; expected the name of a fol"),
        (
            TranslationRecipe,
            {"data": {"subwords": 10**12}},
            "subwords is 1000000000000; expected at most 1,000,000",
        ),
        (ModelConfig, {"encoder": {"feature_size": 10**6}}, "is 1000000; expected at most 65,536"),
        (ModelConfig, {"encoder": {"image_size": 2**20}}, "is 1048576; expected at most 8,192"),
        (ModelConfig, {"encoder": {"refine": 10**6}}, "refine is 1000000; expected at most 100"),
        (ModelConfig, {"encoder": {"classes": 2**63}}, "expected 0 to 65,536"),
        (ModelConfig, {"attention": {"size": 2**63}}, "expected at most 65,536"),
        (ModelConfig, {"attention": {"local": {"radius": 2**63}}}, "expected at most 65,536"),
        (ModelConfig, {"decoder": {"layers": 10**9}}, "is 1000000000; expected at most 100"),
        (ModelConfig, {"decoder": {"inner": 10**9}}, "inner is 1000000000; expected at most 262,"),
        (ModelConfig, {"decoder": {"hidden_size": 10**30}}, "expected at most 65,536"),
        (TranslationConfig, {"encoder": {"layers": 101}}, "layers is 101; expected at most 100"),
        (TranslationConfig, {"encoder": {"hidden_size": 2**17}}, "expected at most 65,536"),
        (PhaseConfig, {"augment": {"crop": 0.0}}, "augment.crop is 0.0"),
        (PhaseConfig, {"augment": {"jitter": 1.0}}, "augment.jitter is 1.0"),
    ],
)
def test_wrong_settings_are_told(cls: type, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(cls, values)


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("seed", "7", 7),
        ("output", "runs/x", "runs/x"),
        ("training.weight_average", "0.5", 0.5),
        ("model.decoder.gate", "false", False),
        ("phases.0.epochs", "3", 3),
        ("phases.1.epochs", "4", 4),
        ("phases.0.augment.flip", "TRUE", True),
        ("data.train.0.captions", "a.json", "a.json"),
    ],
)
def test_override_sets_one_place(path: str, text: str, value: object) -> None:
    values: dict[str, Any] = {"phases": [{"epochs": 9}]}
    settings.override(values, path, text, Recipe)
    node: Any = values
    for step in path.split("."):
        node = node[int(step) if step.isdigit() else step]
    assert node == value


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("training.batch", "1", "training.batch is no setting; did you mean batch_size?"),
        ("seed", "x", "--seed is 'x'; expected a whole number"),
        ("model.decoder.gate", "maybe", "expected true or false"),
        ("training.weight_decay", "x", "expected a number"),
        ("phases.3.epochs", "1", "'3' is no place in a list of 0; expected 0 to 0"),
        ("phases.x", "1", "'x' is no place in a list"),
        ("model", "1", "--model holds several settings"),
        ("phases.0", "1", "--phases.0 holds several settings"),
        ("seed.x", "1", "seed.x is no setting"),
    ],
)
def test_override_refuses(path: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings.override({}, path, text, Recipe)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["seed", "data", "model", "encoder", "phases", "train", "epochs", "x"]
                ),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_nothing_but_a_config_error(values: Any) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(from_dict(Recipe, values), Recipe)


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("SearchOptions", "options"),
        ("Recipe", "captions.recipe"),
        ("PairSource", "translations.recipe"),
        ("ModelConfig", "nn.architecture"),
        ("from_dict", "settings"),
    ],
)
def test_the_old_module_says_what_replaced_it(name: str, home: str) -> None:
    from captioner import config

    told = f"captioner.config is no more; import {name} from captioner.{home}"
    with pytest.warns(DeprecationWarning, match=f"^{re.escape(told)}$"):
        found = getattr(config, name)
    assert found is getattr(importlib.import_module(f"captioner.{home}"), name)
    with pytest.raises(AttributeError, match=r"'captioner\.config' has no attribute 'Painter'"):
        config.Painter  # noqa: B018
