from __future__ import annotations

import json
from pathlib import Path

import pytest

from captioner.captions.recipe import Recipe
from captioner.errors import ConfigError
from captioner.multimodal.recipe import MultimodalRecipe
from captioner.recipes.files import read_recipe
from captioner.settings import from_dict, to_dict
from captioner.translations.recipe import TranslationRecipe

TRANSLATORS = (
    "everyday",
    "family-multimodal-text",
    "family-translations",
    "korean",
    "length",
    "translate",
    "translate-critical",
    "translate-on",
)
SEEING = ("family-multimodal", "multimodal")
CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.toml"))
RECIPES = [path for path in CONFIGS if not path.stem.startswith("study-")]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_are_valid_and_survive_json(path: Path) -> None:
    recipe = read_recipe(str(path))
    kind = TranslationRecipe if path.stem in TRANSLATORS else Recipe
    assert type(recipe) is (MultimodalRecipe if path.stem in SEEING else kind)
    assert from_dict(type(recipe), json.loads(json.dumps(to_dict(recipe)))) == recipe


def test_defaults_survive_json() -> None:
    assert from_dict(Recipe, json.loads(json.dumps(to_dict(Recipe())))) == Recipe()


@pytest.mark.parametrize("task", ["'paint'", "['caption']", "3"])
def test_an_unknown_task_is_told(tmp_path: Path, task: str) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(f"task = {task}\n")
    message = r"^task is .*; expected one of caption, translate, multimodal$"
    with pytest.raises(ConfigError, match=message):
        read_recipe(str(file))
