"""Imports point strictly downwards: the drawing of the house, kept true."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = (
    ("errors", "atomic"),
    ("settings",),
    ("options", "nn.architecture", "recipes.photos", "recipes.shared"),
    ("captions.recipe", "translations.recipe"),
    ("multimodal.recipe",),
    # The drawn world's own floors, of which the others see only the house that holds them.
    ("scenes.colours",),
    ("scenes.sketch",),
    ("scenes.people", "scenes.animals", "scenes.objects"),
    ("scenes.kinds", "scenes.places"),
    ("scenes.layout",),
    ("scenes.painting", "scenes.sentences"),
    ("scenes.world",),
    ("scenes.files",),
    # Pictures: opened, then drawn.
    ("pictures.drawings", "pictures.messages", "pictures.sizes"),
    ("pictures.formats", "pictures.geometry", "pictures.jpeg", "pictures.preprocess"),
    ("pictures.augment", "pictures.depth", "pictures.folders"),
    ("pictures.arrays",),
    ("pictures.open",),
    ("pictures.ink", "pictures.scale"),
    ("pictures.blocks", "pictures.overlay"),
    ("pictures.figures", "pictures.sheets"),
    ("pictures.heatmap",),
    ("devices", "nn.cells", "nn.efficientnet_lite", "nn.memory", "nn.scores", "pipeline"),
    (
        "images",
        "nn.attention",
        "nn.encoders",
        "nn.copying",
        "scenes",
        "text",
        "examples",
        "naming",
        "words",
    ),
    (
        *("confidence", "grids", "languages", "nn.combined", "nn.decoder", "nn.recognition"),
        *("nn.sentences", "sights", "subwords"),
    ),
    ("nn.sighted",),
    ("nn.recurrent",),
    ("nn.model",),
    ("metrics", "search", "storage", "trials"),
    ("captions.checkpoint", "scoring", "tracing", "translations.checkpoint"),
    ("datasets", "judges", "losses", "translations.pairs", "translations.translation"),
    ("multimodal.pairs", "translations.reader"),
    ("translations.translator",),
    ("captions.caption", "captions.inputs"),
    ("captions.interpreter", "captions.opened"),
    ("captions.writer",),
    ("captions.look",),
    ("captions.captioner",),
    (
        *("alignments", "audit", "boxes", "outputs"),
        *("captions.evaluation", "translations.evaluation"),
    ),
    ("calibration", "captions.batches", "maps", "multimodal.evaluation"),
    ("training.loop",),
    ("training.state",),
    ("training.callbacks",),
    ("training.features", "training.run", "training.self_critical", "training.start"),
    ("captions.start", "captions.store", "translations.start"),
    ("captions.training", "translations.training"),
    ("multimodal.training",),
    ("captions.task", "multimodal.task", "translations.task"),
    ("tasks",),
    ("checkpoint", "recipes.files", "training"),
    ("studies",),
    ("cli.display", "cli.flags", "cli.models", "cli.streams"),
    ("cli.results", "cli.scored"),
    ("cli.scores",),
    (
        "cli.calibrate",
        "cli.caption",
        "cli.data",
        "cli.demo",
        "cli.describe",
        "cli.evaluate",
        "cli.explain",
        "cli.study_alignment",
        "cli.study_length",
        "cli.train",
        "cli.translate",
        "cli.ui",
    ),
    ("cli.study",),
    ("cli.parser",),
    ("cli",),
    (
        "__main__",
        "config",
        "evaluation",
        "prediction",
        "translation",
    ),  # the last four are old names: nothing may use them
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
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in names if name.removeprefix("captioner.") in FLOOR}
            # `from captioner.cli import flags` asks that module, as `captioner.cli.flags` does.
            found |= names if names == modules else {node.module or "", *names}
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


def test_the_tasks_do_not_see_each_other() -> None:
    """But for one seam: a caption can be translated."""
    rooms = {"captions": "translations", "translations": "captions"}
    seam = {"captioner.translations.translator", "captioner.translations.translation"}
    for path in MODULES:
        other = rooms.get(path.parent.name)
        if other is not None:
            seen = {name for name in _imports(path) if name.startswith(f"captioner.{other}.")}
            modules = {name for name in seen if name.removeprefix("captioner.") in FLOOR}
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
    rooms = {f"captioner.{name}" for name in FLOOR if name.startswith("scenes.")}
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
        *(name for name in FLOOR if name.startswith("pictures.")),
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
