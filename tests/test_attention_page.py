"""The page about attention in both languages: the same ideas, equations, pictures, numbers."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

from captioner.cli.train import split_settings
from captioner.nn.model import build_model
from captioner.recipes.files import read_recipe

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "docs" / "attention.md", ROOT / "docs" / "attention.ko.md")


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def equations(page: Path) -> list[str]:
    return [re.sub(r"\s+", " ", each) for each in re.findall(r"\$\$.*?\$\$", text(page), re.DOTALL)]


def signs(page: Path) -> list[str]:
    """What stands within a line between dollars."""
    rest = re.sub(r"\$\$.*?\$\$", "", text(page), flags=re.DOTALL)
    return sorted(re.sub(r"\s+", " ", each) for each in re.findall(r"\$[^$]+\$", rest))


def settings(page: Path) -> list[str]:
    rest = re.sub(r"^```.*?^```", "", text(page), flags=re.DOTALL | re.MULTILINE)
    return sorted(re.sub(r"\s+", " ", each) for each in re.findall(r"`[^`]+`", rest))


def numbers(page: Path) -> list[str]:
    """Those of prose and tables: none of code, equations, addresses, and texts of pictures."""
    rest = re.sub(r"^    .*$", "", text(page), flags=re.MULTILINE)
    for pattern in (r"```.*?```", r"<!--.*?-->", r"!\[.*?\]\(.*?\)", r"\$\$.*?\$\$", r"\$[^$]+\$"):
        rest = re.sub(pattern, "", rest, flags=re.DOTALL)
    rest = re.sub(r"`[^`]+`|\]\([^)]*\)", "", rest)
    return sorted(re.findall(r"\d+(?:,\d{3})*", rest))


def pictures(page: Path) -> list[str]:
    """Those that are shown, and those that wait for their runs, in their order."""
    found = re.findall(r"!\[[^]]*\]\((.*?)\)|<!-- picture ([a-z-]+):", text(page))
    return [one or f"attention/{other}.webp" for one, other in found]


def test_both_pages_explain_the_same_ideas_in_the_same_order() -> None:
    ours, theirs = (
        [line.split(" ", 1)[0] for line in text(page).splitlines() if line[:1] == "#"]
        for page in PAGES
    )
    assert ours == theirs
    assert len(ours) > 18
    first, second = (text(page).split("\n## ") for page in PAGES)
    for our, their in zip(first, second, strict=True):  # an idea has its equations and pictures
        assert our.count("$$") == their.count("$$"), (our[:40], their[:40])
        assert our.count("<!-- picture") + our.count("![") == their.count(
            "<!-- picture"
        ) + their.count("!["), our[:40]


def test_both_pages_have_the_same_equations_settings_and_numbers() -> None:
    assert len(equations(PAGES[0])) > 15
    assert equations(PAGES[0]) == equations(PAGES[1])
    assert signs(PAGES[0]) == signs(PAGES[1])
    assert settings(PAGES[0]) == settings(PAGES[1])
    assert len(numbers(PAGES[0])) > 80
    assert numbers(PAGES[0]) == numbers(PAGES[1])


def test_both_pages_show_the_same_pictures_and_samples() -> None:
    assert len(pictures(PAGES[0])) > 15
    assert pictures(PAGES[0]) == pictures(PAGES[1])
    ours, theirs = (
        re.findall(r"^```.*?^```", text(page), re.DOTALL | re.MULTILINE) for page in PAGES
    )
    assert ours == theirs


def test_the_pictures_are_small() -> None:
    for path in (ROOT / "docs" / "attention").iterdir():
        assert path.suffix == ".webp"
        assert path.stat().st_size <= 60_000, path


COMMANDS = re.findall(r"^captioner (train configs/scenes.toml .*)$", text(PAGES[0]), re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_setting_makes_a_model_of_the_drawn_world(command: str) -> None:
    _, typed = split_settings(shlex.split(command))
    recipe = read_recipe(str(ROOT / "configs" / "scenes.toml"), typed)
    with torch.device("meta"):
        build_model(recipe.model, 50)


def test_each_setting_has_a_folder_of_its_own() -> None:
    folders = re.findall(r"--output (\S+)", "\n".join(COMMANDS))
    assert len({*folders}) == len(COMMANDS) > 20
