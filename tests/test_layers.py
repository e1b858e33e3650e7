"""Imports point strictly downwards: the drawing of the house, kept true."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = (
    ("errors",),
    ("config",),
    # The drawn world's own floors, of which the others see only the house that holds them.
    ("scenes.colours",),
    ("scenes.sketch",),
    ("scenes.people", "scenes.animals", "scenes.objects"),
    ("scenes.kinds", "scenes.places"),
    ("scenes.layout",),
    ("scenes.painting", "scenes.sentences"),
    ("scenes.world",),
    ("scenes.files",),
    ("devices", "drawings", "nn.attention", "nn.efficientnet_lite", "pipeline"),
    ("images", "nn.encoders", "nn.copying", "scenes", "text", "examples", "naming", "words"),
    (
        "confidence",
        "folders",
        "languages",
        "nn.decoder",
        "nn.recognition",
        "nn.sentences",
        "subwords",
    ),
    ("nn.model",),
    ("checkpoint", "metrics", "render", "search", "trials"),
    ("datasets", "judges", "losses", "pairs", "translation"),
    ("prediction",),
    ("alignments", "audit", "boxes", "evaluation", "outputs", "tracing"),
    ("batches", "calibration", "maps"),
    ("training.loop",),
    ("training.state",),
    ("training.callbacks",),
    ("training.run",),
    ("training.self_critical", "training.store"),
    ("training.captioning", "training.translation"),
    ("training",),
    ("studies",),
    ("cli.display", "cli.models", "cli.settings", "cli.streams"),
    ("cli.parser", "cli.results"),
    ("cli.scores",),
    (
        "cli.audits",
        "cli.calibrations",
        "cli.captions",
        "cli.descriptions",
        "cli.evaluations",
        "cli.pages",
        "cli.recipes",
        "cli.studies",
        "cli.translations",
    ),
    ("cli",),
    ("__main__",),
)
FLOOR = {module: number for number, modules in enumerate(FLOORS) for module in modules}
MODULES = sorted((ROOT / "captioner").rglob("*.py"))


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "captioner").with_suffix("").parts)


def _imports(path: Path, *, top_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides the floor"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_module_has_its_floor() -> None:
    assert {_name(path) for path in MODULES if path.name != "__init__.py"} <= FLOOR.keys()


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_point_downwards(path: Path) -> None:
    if path.name == "__init__.py":
        return  # the public names look everywhere
    own = {name.removeprefix("captioner.") for name in _imports(path) if "captioner." in name}
    for name in own & FLOOR.keys():
        assert FLOOR[name] < FLOOR[_name(path)], f"{_name(path)} imports {name}"


def test_the_drawn_world_has_one_door() -> None:
    rooms = {f"captioner.{name}" for name in FLOOR if name.startswith("scenes.")}
    for path in MODULES:
        if path.parent.name != "scenes":
            assert not _imports(path) & rooms, path


def test_only_the_page_imports_gradio() -> None:
    for path in MODULES:
        assert not any(name.split(".")[0] == "gradio" for name in _imports(path)), path


@pytest.mark.parametrize(
    "module", ["config", "errors", "images", "datasets", "render", "metrics", "subwords"]
)
def test_light_modules_do_not_import_torch(module: str) -> None:
    path = ROOT / "captioner" / f"{module}.py"
    heavy = {"torch", "torchvision", "nltk", "matplotlib", "tokenizers"}
    assert not {name.split(".")[0] for name in _imports(path, top_only=True)} & heavy


def test_nothing_unpickles() -> None:
    for path in [*MODULES, *(ROOT / "data").glob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        called = {ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
        assert not called & {"torch.load", "pickle.load", "pickle.loads", "joblib.load"}, path
