"""Imports point strictly downwards: the drawing of the house, kept true."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = (
    ("errors", "atomic"),
    ("settings",),
    ("text",),
    ("formats", "formats.content", "formats.places"),
    ("formats.entries",),
    (
        "formats.coco",
        "formats.flickr",
        "formats.folder",
        "formats.karpathy",
        "formats.tables",
        "formats.webdataset",
    ),
    ("formats.registry", "formats.lists"),
    ("formats.conversion",),
    ("options", "nn.architecture", "recipes.shared"),
    ("recipes.captioning", "recipes.translation"),
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
    ("pictures.embedding", "pictures.shards", "pictures.xmp"),
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
        "examples",
        "naming",
        "words",
    ),
    ("recipes.files",),
    ("confidence", "languages", "nn.decoder", "nn.recognition", "nn.sentences", "subwords"),
    ("nn.recurrent",),
    ("nn.model",),
    ("checkpoint", "metrics", "search", "trials"),
    ("tracing",),
    ("datasets", "judges", "losses", "pairs", "translations.translation"),
    ("translations.reader",),
    ("translations.translator",),
    ("captions.alt_text", "captions.caption", "captions.inputs"),
    ("captions.interpreter", "captions.opened"),
    ("captions.writer",),
    ("captions.look",),
    ("captions.captioner",),
    ("alignments", "audit", "boxes", "evaluation", "outputs", "scoring"),
    ("batches", "beside", "calibration", "maps"),
    ("training.loop",),
    ("training.state",),
    ("training.callbacks",),
    ("training.run",),
    ("training.self_critical", "training.store"),
    ("training.captioning", "training.translation"),
    ("training",),
    ("studies",),
    ("cli.display", "cli.flags", "cli.models", "cli.streams"),
    ("cli.collected",),
    ("cli.results", "cli.scores"),
    (
        "cli.calibrate",
        "cli.caption",
        "cli.demo",
        "cli.describe",
        "cli.evaluate",
        "cli.explain",
        "cli.score",
        "cli.data_convert",
        "cli.study_alignment",
        "cli.study_length",
        "cli.train",
        "cli.translate",
        "cli.ui",
    ),
    ("cli.study", "cli.data"),
    ("cli.parser",),
    ("cli",),
    (
        "__main__",
        "config",
        "prediction",
        "translation",
    ),  # the last three are old names: nothing may use them
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
        "recipes/captioning",
        "recipes/files",
        "recipes/translation",
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
