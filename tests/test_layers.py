"""Imports point downwards: the drawing of the house, kept true.

import-linter would need a contract for every module that lies below its own room, as recipes do;
here a floor is a line.
"""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# From below to above. A name stands for a module, or for a room with all that has no floor of its
# own; within a floor, modules may use each other as long as they do so in one direction.
FLOORS = (
    ("errors", "atomic", "resuming"),
    ("settings",),
    ("text",),
    ("formats",),
    ("nn.architecture",),
    ("options", "recipes.photos", "recipes.shared"),
    ("captions.recipe", "translations.recipe"),
    ("multimodal.recipe",),
    ("scenes",),
    ("pictures",),
    ("bars", "devices", "pipeline", "images", "examples", "naming", "words"),
    ("nn",),
    ("runtimes",),
    ("confidence", "grids", "languages", "sights", "subwords"),
    ("chrf", "meteor", "metrics", "search", "storage", "trials"),
    ("intervals",),
    ("captions.checkpoint", "scoring", "tracing", "translations.checkpoint"),
    ("datasets", "grounding.synonyms", "judges", "losses", "systems"),
    ("translations",),
    ("captions",),
    ("alignments", "audit", "boxes", "outputs", "beside"),
    ("captions.evaluation", "translations.evaluation", "translations.links"),
    ("calibration", "captions.batches", "export", "multimodal", "speed"),
    ("grounding",),
    ("training",),
    ("captions.start", "captions.store", "translations.start"),
    ("captions.training", "translations.training"),
    ("multimodal.training",),
    ("captions.task", "multimodal.task", "translations.task"),
    ("tasks",),
    ("checkpoint", "recipes.files"),
    ("studies", "studies.budget", "studies.config", "studies.gradients", "studies.length"),
    ("studies.subjects",),
    ("studies.runs",),
    ("studies.grounded",),
    ("studies.curves", "studies.summary"),
    ("cli",),
    # Old names, which nothing may use.
    ("__main__", "config", "evaluation", "prediction", "translation"),
)
_FLOOR_OF = {name: number for number, names in enumerate(FLOORS) for name in names}
MODULES = sorted((ROOT / "captioner").rglob("*.py"))


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "captioner").with_suffix("").parts)


def _floor(module: str) -> int:
    """Of a module, its own or that of the nearest room."""
    while module not in _FLOOR_OF:
        module, dot, _ = module.rpartition(".")
        assert dot, "a module without a floor: give it a line in FLOORS"
    return _FLOOR_OF[module]


NAMES = {_name(path) for path in MODULES if path.name != "__init__.py"}
ROOMS = {name.split(".")[0] for name in NAMES if "." in name}


def _imports(path: Path, *, top_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides the floor"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in names if name.removeprefix("captioner.") in NAMES | ROOMS}
            # `from captioner.cli import flags` asks that module, as `captioner.cli.flags` does.
            found |= names if names == modules else {node.module or "", *names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_point_downwards(path: Path) -> None:
    if path.name == "__init__.py":
        return  # the public names look everywhere
    for name in _own(path):
        assert _floor(name) <= _floor(_name(path)), f"{_name(path)} imports {name}"


def test_imports_go_round_in_no_circle() -> None:
    graph = {_name(path): _own(path) for path in MODULES if path.name != "__init__.py"}
    assert len(tuple(TopologicalSorter(graph).static_order())) >= len(NAMES)


def _own(path: Path) -> set[str]:
    """Our modules that a module imports."""
    names = {name.removeprefix("captioner.") for name in _imports(path) if "captioner." in name}
    return names & (NAMES | ROOMS)


def test_the_tasks_do_not_see_each_other() -> None:
    """But for one seam: a caption can be translated."""
    rooms = {"captions": "translations", "translations": "captions"}
    seam = {"captioner.translations.translator", "captioner.translations.translation"}
    for path in MODULES:
        other = rooms.get(path.parent.name)
        if other is not None:
            seen = {name for name in _imports(path) if name.startswith(f"captioner.{other}.")}
            modules = {name for name in seen if name.removeprefix("captioner.") in NAMES | ROOMS}
            assert modules <= seam, path


@pytest.mark.parametrize("room", ["nn", "pictures", "training"])
def test_rooms_below_the_tasks_know_none(room: str) -> None:
    for path in MODULES:
        if path.parent.name == room and path.name != "__init__.py":
            names = _imports(path)
            assert not any(
                n.startswith(("captioner.captions", "captioner.translations")) for n in names
            ), path


def test_the_drawn_world_has_one_door() -> None:
    rooms = {f"captioner.{name}" for name in NAMES if name.startswith("scenes.")}
    for path in MODULES:
        if path.parent.name != "scenes":
            assert not _imports(path) & rooms, path


def test_only_the_page_imports_gradio() -> None:
    for path in MODULES:
        assert not any(name.split(".")[0] == "gradio" for name in _imports(path)), path


@pytest.mark.parametrize(
    "module",
    [
        "datasets",
        "errors",
        "metrics",
        "nn/architecture",
        "options",
        "captions/recipe",
        "captions/task",
        "recipes/files",
        "recipes/photos",
        "tasks",
        "translations/recipe",
        "translations/task",
        "settings",
        "subwords",
        *sorted(name for name in NAMES if name.startswith("pictures.")),
    ],
)
def test_light_modules_do_not_import_torch(module: str) -> None:
    path = (ROOT / "captioner").joinpath(*module.split(".")).with_suffix(".py")
    heavy = {"torch", "torchvision", "nltk", "matplotlib", "tokenizers"}
    assert not {name.split(".")[0] for name in _imports(path, top_only=True)} & heavy


def test_nothing_unpickles() -> None:
    for path in [*MODULES, *(ROOT / "data").glob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        called = {ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
        assert not called & {"torch.load", "pickle.load", "pickle.loads", "joblib.load"}, path
